"""The factory and its clones on a real chain without EIP-7702, with the real USDC."""

from typing import Any

import pytest
from eth_account import Account

from sakk.core import clone, evm, hub
from sakk.core.clone import Item, Recover
from sakk.core.errors import Misconfigured
from sakk.rails.evm.clone import factory_facts, require_our_addresses, require_our_code
from sakk.rails.evm.rpc import Rpc
from sakk.rails.sandbox.rpc import LocalRpcRefused
from sakk.rails.sandbox.wallet import Transfer
from tests.chain import Chain, StartChain
from tests.clone import DeployedFactory, deploy_factory
from tests.hub import COLD_KEY, DAY_SECONDS, deploy_hub

UNITS = 1_000_000
ETHER = 10**18
TREASURY = str(Account.from_key("0x" + "7e" * 32).address)
OTHER = str(Account.from_key("0x" + "7f" * 32).address)
# A token whose every call burns all gas; one that answers false.
BURNS_ALL_GAS = "0x5b600056"
ANSWERS_FALSE = "0x60005f5260205ff3"


def salts(count: int) -> list[bytes]:
    return [clone.salt_of(f"0x{0xC0DE0000 + number:040x}") for number in range(count)]


def factory_on(chain: Chain) -> DeployedFactory:
    """The payer collects and recovers."""
    payer = chain.payer.address
    return deploy_factory(
        chain, deploy_hub(chain, treasury=TREASURY, collector=payer), recoverer=payer
    )


def fund(made: DeployedFactory, wanted: list[bytes], token: str) -> list[str]:
    places = [clone.address_of(made.address, salt) for salt in wanted]
    made.chain.payer.transfer_many([Transfer(token, each, UNITS) for each in places])
    made.chain.mine()
    return places


def failed(receipt: dict[str, Any], made: DeployedFactory) -> set[int]:
    logs = [(each["address"], each["topics"], each["data"]) for each in receipt["logs"]]
    return hub.not_collected(logs, hub=made.address)


def test_a_hundred_cost_what_is_promised_on_a_chain_without_delegation(
    start_chain: StartChain,
) -> None:
    chain = start_chain("eip155:31339", hardfork="cancun")
    made = factory_on(chain)
    usdc = chain.contracts.usdc.contract.lower()
    chain.payer.transfer(usdc, TREASURY, 1)
    wanted = salts(100)
    for gas in (57_500, 15_000):
        fund(made, wanted, usdc)
        receipt = made.sweep([Item(salt, usdc, UNITS) for salt in wanted])
        assert failed(receipt, made) == set()
        assert int(receipt["gasUsed"], 16) <= gas * 100
    assert chain.payer.balance_of(usdc, TREASURY) == 200 * UNITS + 1


def test_a_clone_stands_where_it_is_said_whoever_creates_it(chain: Chain) -> None:
    made = factory_on(chain)
    usdc = chain.contracts.usdc.contract.lower()
    first, second = salts(2)
    places = fund(made, [first, second], usdc)
    told = chain.payer.read(made.address, "addressOf(bytes32)", first, returns=["address"])
    assert str(told[0]).lower() == places[0]
    # Somebody is faster, and again: the code is the same, and it pays home.
    for _ in range(2):
        chain.issuer.send_data(made.address, clone.encode_create(first), gas_limit=200_000)
        chain.mine()
    code = str(chain.rpc.call("eth_getCode", places[0], "latest"))
    assert clone.implementation_of(made.address)[2:] in code
    for caller in (chain.issuer, chain.payer):
        with pytest.raises(LocalRpcRefused):
            caller.call_contract(
                places[0], "send(address,address,uint256)", usdc, caller.address, UNITS
            )
    receipt = made.sweep([Item(first, usdc, UNITS), Item(second, usdc, UNITS)])
    assert failed(receipt, made) == set()
    assert chain.payer.balance_of(usdc, TREASURY) == 2 * UNITS


def test_one_that_can_not_pay_holds_up_no_other(chain: Chain) -> None:
    made = factory_on(chain)
    usdc = chain.contracts.usdc.contract.lower()
    for place, code in (("0x" + "b1" * 20, BURNS_ALL_GAS), ("0x" + "b2" * 20, ANSWERS_FALSE)):
        chain.rpc.call("anvil_setCode", place, code)
    wanted = salts(4)
    places = fund(made, wanted, usdc)
    chain.issuer.call_contract(usdc, "blacklist(address)", places[1])
    chain.mine()
    items = [Item(salt, usdc, UNITS) for salt in wanted]
    items.insert(1, Item(wanted[0], "0x" + "b1" * 20, 1))
    items.insert(2, Item(wanted[0], "0x" + "b2" * 20, 1))
    items.append(Item(wanted[3], usdc, 1))
    receipt = made.sweep(items)
    assert failed(receipt, made) == {1, 2, 3, 6}
    assert chain.payer.balance_of(usdc, TREASURY) == 3 * UNITS
    with pytest.raises(LocalRpcRefused):
        chain.issuer.call_contract(made.address, "sweep((bytes32,address,uint256)[])", [])


def test_what_is_no_payment_goes_where_the_recoverer_says(chain: Chain) -> None:
    made = factory_on(chain)
    usdc = chain.contracts.usdc.contract.lower()
    [salt] = salts(1)
    [place] = fund(made, [salt], usdc)
    chain.payer.send_native(place, ETHER)
    chain.mine()
    for token, units in ((usdc, UNITS), (None, ETHER)):
        data = clone.encode_recover(Recover(salt, token, OTHER.lower(), units))
        with pytest.raises(LocalRpcRefused):
            chain.issuer.rpc.call("eth_call", {"from": chain.issuer.address, "to": made.address,
                                               "data": "0x" + data.hex()}, "latest")  # fmt: skip
        sent = chain.payer.send_data(made.address, data, gas_limit=300_000)
        chain.mine()
        chain.payer.wait(sent)
        # There is nothing more of it: all of it goes, or nothing.
        sent = chain.payer.send_data(made.address, data, gas_limit=300_000)
        chain.mine()
        assert int(chain.payer.wait(sent, must_succeed=False)["status"], 16) == 0
    assert chain.payer.balance_of(usdc, OTHER) == UNITS
    assert chain.payer.native_balance(OTHER) == ETHER


def test_the_cold_key_changes_the_treasury_and_the_recoverer(chain: Chain, rpc: Rpc) -> None:
    made = factory_on(chain)
    usdc = chain.contracts.usdc.contract.lower()
    [salt] = salts(1)
    fund(made, [salt], usdc)
    made.hub.cold_call("propose(address)", OTHER)
    made.cold_call("propose(address)", OTHER)
    for place in (made.hub.address, made.address):
        with pytest.raises(LocalRpcRefused):
            chain.payer.call_contract(place, "execute()")
    with pytest.raises(LocalRpcRefused):
        chain.payer.call_contract(made.address, "propose(address)", TREASURY)
    facts = factory_facts(rpc, made.address)
    assert (facts.hub_address, facts.recoverer) == (made.hub.address, made.recoverer)
    assert (facts.proposed, facts.executable_at is None) == (OTHER.lower(), False)
    chain.rpc.call("evm_increaseTime", DAY_SECONDS + 1)
    chain.mine()
    for place in (made.hub.address, made.address):
        chain.payer.call_contract(place, "execute()", gas_limit=100_000)
    chain.mine()
    # One that was given out before pays the new treasury; a stolen recoverer is stopped at once.
    made.sweep([Item(salt, usdc, UNITS)])
    assert chain.payer.balance_of(usdc, OTHER) == UNITS
    assert factory_facts(rpc, made.address).recoverer == OTHER.lower()
    made.cold_call("propose(address)", evm.checksum_address(made.recoverer))
    made.cold_call("cancel()")
    with pytest.raises(LocalRpcRefused):
        made.cold_call("cancel()")
    chain.wallet(COLD_KEY).forget_nonce()
    made.cold_call("dismiss()")
    facts = factory_facts(rpc, made.address)
    assert (facts.recoverer, facts.proposed, facts.executable_at) == (None, None, None)


def test_other_code_and_other_addresses_are_found_out(chain: Chain, rpc: Rpc) -> None:
    made = factory_on(chain)
    require_our_code(rpc, "DepositFactory", made.address)
    require_our_addresses(rpc, made.address)
    with pytest.raises(Misconfigured, match="deploy it first"):
        factory_facts(rpc, "0x" + "12" * 20)
    with pytest.raises(Misconfigured, match="is no DepositFactory"):
        factory_facts(rpc, made.hub.address)
    # A chain that counts addresses otherwise: the same code answers at another place.
    code = chain.rpc.call("eth_getCode", made.address, "latest")
    implementation = clone.implementation_of(made.address)
    elsewhere = "0x" + "34" * 20
    chain.rpc.call("anvil_setCode", elsewhere, code)
    with pytest.raises(Misconfigured, match="no DepositClone stands"):
        require_our_addresses(rpc, elsewhere)
    chain.rpc.call("anvil_setCode", clone.implementation_of(elsewhere),
                   chain.rpc.call("eth_getCode", implementation, "latest"))  # fmt: skip
    with pytest.raises(Misconfigured, match="would create a clone at"):
        require_our_addresses(rpc, elsewhere)
    chain.rpc.call("anvil_setCode", elsewhere, "0x60006000fd")
    with pytest.raises(Misconfigured, match="creates no clones"):
        require_our_addresses(rpc, elsewhere)
