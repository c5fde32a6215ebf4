"""The hub and its delegate on a real chain, with the real USDC."""

from dataclasses import dataclass
from typing import Any

import pytest
from eth_account import Account

from sakk.core import hub
from sakk.core.authorization import SignedAuthorization
from sakk.core.errors import Misconfigured
from sakk.core.evm import UINT256_MAX
from sakk.core.hub import Item
from sakk.rails.evm.contract import deployment
from sakk.rails.evm.hub import (
    Standing,
    estimate_collect,
    hub_facts,
    is_collector,
    standings,
)
from sakk.rails.evm.rpc import Rpc
from sakk.rails.evm.send import TransferWouldFail
from sakk.rails.sandbox.chain import TokenKind, deploy_token, mint
from sakk.rails.sandbox.rpc import LocalRpcRefused
from sakk.rails.sandbox.wallet import Transfer, encode_call
from tests.chain import Chain, StartChain
from tests.hub import DAY_SECONDS, DeployedHub, authorize, collect, deploy_hub

UNITS = 1_000_000
TREASURY = str(Account.from_key("0x" + "7e" * 32).address)
OTHER_TREASURY = str(Account.from_key("0x" + "7f" * 32).address)
# Loops for ever; answers false.
BURNS_ALL_GAS = "0x5b600056"
ANSWERS_FALSE = "0x60005f5260205ff3"


@dataclass(frozen=True, slots=True)
class Deposits:
    """Deposit addresses with their keys, on a chain with a hub."""

    chain: Chain
    hub: DeployedHub
    keys: list[str]

    @property
    def addresses(self) -> list[str]:
        return [str(Account.from_key(key).address).lower() for key in self.keys]

    @property
    def usdc(self) -> str:
        return self.chain.contracts.usdc.contract.lower()

    def fund(self, units: int = UNITS) -> None:
        transfers = [Transfer(self.usdc, each, units) for each in self.addresses]
        self.chain.payer.transfer_many(transfers)
        self.chain.mine()

    def items(self, token: str | None = None, units: int = UNITS) -> list[Item]:
        return [Item(each, token or self.usdc, units) for each in self.addresses]

    def authorizations(self) -> list[SignedAuthorization]:
        return [authorize(key, self.hub.delegate) for key in self.keys]

    def treasury_units(self, treasury: str = TREASURY, token: str | None = None) -> int:
        return self.chain.payer.balance_of(token or self.usdc, treasury)


def deposits(chain: Chain, count: int) -> Deposits:
    deployed = deploy_hub(chain, treasury=TREASURY, collector=chain.payer.address)
    keys = [f"0x{0xD0000 + number:064x}" for number in range(count)]
    return Deposits(chain, deployed, keys)


def failures(receipt: dict[str, Any], deployed: DeployedHub) -> set[int]:
    logs = [(each["address"], each["topics"], each["data"]) for each in receipt["logs"]]
    return hub.not_collected(logs, hub=deployed.address)


def test_a_hundred_deposits_cost_what_is_promised(chain: Chain) -> None:
    made = deposits(chain, 100)
    chain.payer.transfer(made.usdc, TREASURY, 1)
    made.fund()
    first = collect(chain, made.hub, made.items(), made.authorizations())
    assert made.treasury_units() == 100 * UNITS + 1
    made.fund()
    later = collect(chain, made.hub, made.items())
    assert made.treasury_units() == 200 * UNITS + 1
    assert int(first["gasUsed"], 16) <= 35_000 * 100
    assert int(later["gasUsed"], 16) <= 15_000 * 100


def test_what_is_known_before_and_after(chain: Chain, rpc: Rpc) -> None:
    made = deposits(chain, 3)
    ready, fresh, used = made.addresses
    facts = hub_facts(rpc, made.hub.address)
    assert facts.treasury == TREASURY.lower()
    assert (facts.delay_seconds, facts.proposed, facts.executable_at) == (DAY_SECONDS, None, None)
    assert is_collector(rpc, made.hub.address, chain.payer.address.lower())
    assert not is_collector(rpc, made.hub.address, TREASURY.lower())
    made.fund()
    items = made.items()[:1]
    data = hub.encode_sweep(items)
    estimate = estimate_collect(
        rpc,
        sender=chain.payer.address,
        to=made.hub.address,
        data=data,
        authorizations=made.authorizations()[:1],
    )
    assert hub.ITEM_GAS_RESERVE < estimate < 600_000
    # An estimate is enough for every item, for the hub begins none with less.
    receipt = collect(chain, made.hub, items, made.authorizations()[:1], gas_limit=estimate)
    assert failures(receipt, made.hub) == set()
    chain.payer.send_native(used, 10**18)
    chain.mine()
    chain.wallet(made.keys[2]).send_native(TREASURY, 1)
    chain.mine()
    assert standings(rpc, made.addresses, delegate=made.hub.delegate) == {
        ready: Standing.ready,
        fresh: Standing.can_be_delegated,
        used: Standing.spent,
    }
    other = standings(rpc, made.addresses[:1], delegate="0x" + "11" * 20)
    assert other == {ready: Standing.spent}
    with pytest.raises(TransferWouldFail):
        estimate_collect(rpc, sender=TREASURY, to=made.hub.address, data=data, authorizations=())
    with pytest.raises(Misconfigured, match="no hub stands"):
        hub_facts(rpc, "0x" + "11" * 20)


def test_one_source_on_the_deny_list_blocks_no_other(chain: Chain) -> None:
    made = deposits(chain, 5)
    made.fund()
    chain.issuer.call_contract(made.usdc, "blacklist(address)", made.addresses[2])
    chain.mine()
    receipt = collect(chain, made.hub, made.items(), made.authorizations())
    assert failures(receipt, made.hub) == {2}
    assert made.treasury_units() == 4 * UNITS
    chain.issuer.call_contract(made.usdc, "unBlacklist(address)", made.addresses[2])
    chain.mine()
    again = collect(chain, made.hub, made.items()[2:3])
    assert failures(again, made.hub) == set()
    assert made.treasury_units() == 5 * UNITS


def test_tokens_of_every_kind_share_a_call(chain: Chain) -> None:
    """A paused one, one without return values, one that burns all gas, one that answers false."""
    made = deposits(chain, 1)
    [address] = made.addresses
    usdt = chain.contracts.usdt.contract.lower()
    hostile, refusing, nothing = ("0x" + f"{number:02x}" * 20 for number in (0xA1, 0xA2, 0xA3))
    chain.rpc.call("anvil_setCode", hostile, BURNS_ALL_GAS)
    chain.rpc.call("anvil_setCode", refusing, ANSWERS_FALSE)
    plain = deploy_token(chain.contracts, TokenKind.plain, name="Plain", symbol="PLN", decimals=18)
    mint(chain.contracts, plain, address, 5)
    made.fund()
    chain.payer.transfer(usdt, address, UNITS)
    chain.issuer.call_contract(made.usdc, "pause()")
    chain.mine()
    items = [
        Item(address, hostile, UNITS),
        Item(address, made.usdc, UNITS),
        Item(address, refusing, UNITS),
        Item(address, nothing, UNITS),
        Item(address, usdt, UNITS),
        Item(address, plain.contract.lower(), 5),
        # More than there is, and an address that pays no hub.
        Item(address, plain.contract.lower(), 1),
        Item("0x" + "44" * 20, usdt, 1),
    ]
    receipt = collect(chain, made.hub, items, made.authorizations())
    assert failures(receipt, made.hub) == {0, 1, 2, 3, 6, 7}
    assert made.treasury_units(token=usdt) == UNITS
    assert made.treasury_units(token=plain.contract) == 5
    assert int(receipt["gasUsed"], 16) < 800_000
    # What one item may use, not what the hostile token would take.
    short = collect(chain, made.hub, items[:1], gas_limit=300_000, must_succeed=False)
    assert int(short["status"], 16) == 0


def test_an_amount_is_exact_and_the_largest_number_is_all(chain: Chain) -> None:
    made = deposits(chain, 1)
    [address] = made.addresses
    made.fund(3 * UNITS)
    collect(chain, made.hub, made.items(), made.authorizations())
    assert made.treasury_units() == UNITS
    sweep = "sweep((address,address,uint256)[])"
    rest = [(address, made.usdc, UINT256_MAX)]
    chain.payer.call_contract(made.hub.address, sweep, rest)
    chain.mine()
    assert made.treasury_units() == 3 * UNITS
    # Native coin reaches a delegated address with the gas of a contract's `transfer`.
    chain.payer.send_data(address, b"", gas_limit=30_000, value_wei=7)
    chain.mine()
    assert chain.payer.native_balance(address) == 7
    native = [(address, "0x" + "00" * 20, UINT256_MAX)]
    chain.payer.call_contract(made.hub.address, sweep, native)
    chain.mine()
    assert chain.payer.native_balance(TREASURY) == 7


def test_nobody_else_moves_anything(chain: Chain) -> None:
    made = deposits(chain, 1)
    [address] = made.addresses
    made.fund()
    collect(chain, made.hub, made.items(units=1), made.authorizations())
    stranger = chain.issuer
    calls = [
        (
            made.hub.address,
            encode_call("sweep((address,address,uint256)[])", [(address,) * 2 + (1,)]),
        ),
        (made.hub.address, encode_call("propose(address)", stranger.address)),
        (made.hub.address, encode_call("cancel()")),
        (made.hub.address, encode_call("execute()")),
        (made.hub.address, encode_call("setCollector(address,bool)", stranger.address, True)),
        (address, encode_call("collect(address,address,uint256)", made.usdc, stranger.address, 1)),
        (address, encode_call("transfer(address,uint256)", stranger.address, 1)),
        (
            made.hub.delegate,
            encode_call("collect(address,address,uint256)", made.usdc, TREASURY, 1),
        ),
    ]
    for to, data in calls:
        with pytest.raises(LocalRpcRefused):
            stranger.rpc.call(
                "eth_estimateGas", {"from": stranger.address, "to": to, "data": "0x" + data.hex()}
            )


def test_the_treasury_changes_by_the_cold_key_after_its_delay(chain: Chain, rpc: Rpc) -> None:
    made = deposits(chain, 1)
    made.fund(3 * UNITS)
    collect(chain, made.hub, made.items(), made.authorizations())
    hub_address = made.hub.address
    made.hub.cold_call("propose(address)", OTHER_TREASURY)
    facts = hub_facts(rpc, hub_address)
    assert facts.proposed == OTHER_TREASURY.lower()
    assert facts.executable_at is not None
    with pytest.raises(LocalRpcRefused):
        chain.payer.call_contract(hub_address, "execute()")
    made.hub.cold_call("cancel()")
    assert hub_facts(rpc, hub_address).proposed is None
    made.hub.cold_call("propose(address)", OTHER_TREASURY)
    chain.rpc.call("evm_increaseTime", DAY_SECONDS)
    chain.mine()
    chain.payer.call_contract(hub_address, "execute()")
    chain.mine()
    assert hub_facts(rpc, hub_address).treasury == OTHER_TREASURY.lower()
    # The address was delegated before, and signed nothing since.
    collect(chain, made.hub, made.items())
    assert (made.treasury_units(), made.treasury_units(OTHER_TREASURY)) == (UNITS, UNITS)
    made.hub.cold_call("setCollector(address,bool)", chain.payer.address, False)
    assert not is_collector(rpc, hub_address, chain.payer.address.lower())
    with pytest.raises(LocalRpcRefused):
        chain.payer.call_contract(
            hub_address, "sweep((address,address,uint256)[])", [(made.addresses[0], made.usdc, 1)]
        )


def test_a_hub_is_not_made_without_a_treasury_or_a_delay(chain: Chain) -> None:
    zero, payer = "0x" + "00" * 20, chain.payer.address
    for arguments in (
        (zero, payer, payer, DAY_SECONDS),
        (payer, payer, zero, DAY_SECONDS),
        (payer, payer, payer, 60),
        (payer, payer, payer, 40 * DAY_SECONDS),
    ):
        with pytest.raises(LocalRpcRefused):
            chain.payer.create(deployment("Hub", *arguments)[32:])


def test_one_signature_is_good_on_two_chains(chain: Chain, start_chain: StartChain) -> None:
    other = start_chain("eip155:31338")
    signed: list[SignedAuthorization] = []
    for each in (chain, other):
        made = deposits(each, 1)
        made.fund()
        signed = signed or made.authorizations()
        collect(each, made.hub, made.items(), signed)
        assert made.treasury_units() == UNITS
