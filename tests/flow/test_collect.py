"""Collections by a hub on a real chain: many deposits in one transaction, each with its own end."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import text
from tests.chain import StartChain
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.hubs import allow_hub, collect_all, deposited, pay_again, use_hub
from tests.flow.money import fund_treasury, let_pass, send_rpc, units_at, wei_at
from tests.hub import DAY_SECONDS, DeployedHub

from sakk.core import chart, evm, hub
from sakk.core.authorization import decode_signed, is_set_code
from sakk.core.errors import Misconfigured, ParameterInvalid
from sakk.core.hub import Alone
from sakk.core.network import CurrencyKind
from sakk.core.transaction import ChainTransaction
from sakk.flow.hub import LOOK_EVERY, put_hub
from sakk.signing.policy import load_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.store import hub as hubs
from sakk.store import network
from sakk.store.address import put_treasury


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world that collects deposits of one token and more."""
    return make_world(sweep=True)


def collections(world: World) -> list[ChainTransaction]:
    return [row for row in world.transactions() if row.purpose == "collect"]


def purposes(world: World) -> list[str]:
    return sorted(row.purpose for row in world.transactions())


def statuses(world: World) -> list[str]:
    return [row.status for row in world.sweeps()]


def test_a_hundred_deposits_are_one_transaction_first_and_later(world: World) -> None:
    fund_treasury(world, 1)
    use_hub(world)
    addresses = deposited(world, 100)
    collect_all(world)
    pay_again(world, addresses)
    collect_all(world)
    first, later = collections(world)
    assert purposes(world) == ["collect", "collect"]
    assert (first.status, later.status) == ("posted", "posted")
    assert statuses(world) == ["posted"] * 200
    assert first.raw is not None
    assert len(decode_signed(first.raw).transaction.authorizations) == 100
    assert later.raw is not None
    assert not is_set_code(later.raw)
    for row, gas in ((first, 35_000), (later, 15_000)):
        receipt = send_rpc(world, "eth_getTransactionReceipt", row.hash)
        assert int(receipt["gasUsed"], 16) <= gas * 100
        # Far from the limit, so that a price of the last block is not what decides.
        assert row.gas_limit < int(receipt["gasUsed"], 16) * 2
    assert units_at(world, world.treasury) == 1_001 * WHOLE_TOKEN
    assert world.custody("usdc", "deposit") == 0
    assert world.custody("usdc", "hot") == 1_001 * WHOLE_TOKEN
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    assert world.balance() == 1_000 * WHOLE_TOKEN
    one = world.sweeps()[0]
    assert world.event_types(about=one.id, operator=True) == [
        "sweep.created",
        "sweep.signed",
        "sweep.broadcast",
        "sweep.confirmed",
        "sweep.posted",
    ]
    assert one.tx_hash == first.hash
    world.check()


def test_a_source_on_the_deny_list_fails_alone(world: World) -> None:
    use_hub(world)
    addresses = deposited(world, 4)
    denied = addresses[1]
    world.chain.issuer.call_contract(world.contract("usdc"), "blacklist(address)", denied)
    world.mine()
    collect_all(world)
    ends = {row.address: (row.status, row.failure_code) for row in world.sweeps()}
    assert ends.pop(denied) == ("failed", "not_collected")
    assert set(ends.values()) == {("posted", None)}
    assert units_at(world, world.treasury) == 15 * WHOLE_TOKEN
    assert world.custody("usdc", "deposit") == 5 * WHOLE_TOKEN
    world.check()
    # It is left alone for an hour, and twice as long after the next failure.
    let_pass(world, 600)
    assert len(world.sweeps()) == 4
    world.advance(timedelta(hours=1))
    collect_all(world)
    world.chain.issuer.call_contract(world.contract("usdc"), "unBlacklist(address)", denied)
    world.mine()
    world.advance(timedelta(hours=1, minutes=30))
    collect_all(world)
    assert statuses(world).count("failed") == 2
    world.advance(timedelta(hours=1))
    collect_all(world)
    assert units_at(world, world.treasury) == 20 * WHOLE_TOKEN
    world.check()


def test_a_paused_token_waits_and_another_goes(world: World) -> None:
    use_hub(world)
    addresses = deposited(world, 2)
    pay_again(world, addresses, token="usdt", whole=3)
    world.chain.issuer.call_contract(world.contract("usdc"), "pause()")
    world.mine()
    collect_all(world)
    assert len(collections(world)) == 1
    ends = {(row.asset, row.status) for row in world.sweeps()}
    assert ends == {(world.asset("usdc"), "failed"), (world.asset("usdt"), "posted")}
    assert units_at(world, world.treasury, "usdt") == 6 * WHOLE_TOKEN
    world.check()
    world.chain.issuer.call_contract(world.contract("usdc"), "unpause()")
    world.mine()
    world.advance(timedelta(hours=1))
    collect_all(world)
    assert units_at(world, world.treasury) == 10 * WHOLE_TOKEN
    world.check()


def test_what_a_token_keeps_on_the_way_is_a_loss(world: World) -> None:
    use_hub(world)
    deposited(world, 3, token="usdt")
    world.chain.issuer.call_contract(world.contract("usdt"), "setParams(uint256,uint256)", 10, 49)
    world.mine()
    collect_all(world)
    assert statuses(world) == ["posted"] * 3
    lost = 15 * WHOLE_TOKEN // 1_000
    assert world.custody("usdt", "hot") == units_at(world, world.treasury, "usdt")
    assert world.ledger(chart.loss("transfer_fee", world.asset("usdt"))) == -lost
    world.check()


def test_money_that_is_held_is_never_touched(world: World) -> None:
    use_hub(world)
    clean, tainted = deposited(world, 2)
    world.run_only("sweep.collect")
    world.import_list(world.chain.payer.address.lower())
    world.pay(tainted, "usdt", WHOLE_TOKEN)
    world.mine(3)
    # Between the choice and the call, and then between the call and its signature.
    world.run_except("sweep.collect", "collect.build", "transaction.sign")
    world.run_only("collect.build")
    ends = {row.address: (row.status, row.failure_code) for row in world.sweeps()}
    assert ends == {clean: ("approved", None), tainted: ("failed", "address_held")}
    world.pay(clean, "usdt", WHOLE_TOKEN)
    world.mine(3)
    world.run_except("sweep.collect", "collect.build", "transaction.sign")
    collect_all(world)
    assert {row.failure_code for row in world.sweeps()} == {"address_held"}
    assert [row.status for row in collections(world)] == ["refused"]
    assert units_at(world, world.treasury) == 0
    world.check()
    for held in world.payins(status="held"):
        world.release(held)
    collect_all(world, 6)
    assert units_at(world, world.treasury) == 10 * WHOLE_TOKEN
    assert units_at(world, world.treasury, "usdt") == 2 * WHOLE_TOKEN
    world.check()


def test_what_came_after_the_choice_stays(world: World) -> None:
    """The amount is exact: coins that nobody has screened yet are not taken along."""
    use_hub(world)
    [address] = deposited(world, 1)
    world.run_only("sweep.collect")
    world.pay(address, "usdc", 7 * WHOLE_TOKEN)
    world.mine()
    world.run_except("sweep.collect")
    world.mine(2)
    world.run_except("sweep.collect")
    assert units_at(world, world.treasury) == 5 * WHOLE_TOKEN
    assert units_at(world, address) == 7 * WHOLE_TOKEN
    world.check()


def test_an_authorisation_that_is_spent_or_missing_falls_back_to_the_key(world: World) -> None:
    used = world.customer_address(world.customer())
    key_index = 0
    world.pay(used, "usdc", 5 * WHOLE_TOKEN)
    world.finalize()
    collect_all(world, 6)
    assert purposes(world) == ["sweep", "topup"]
    use_hub(world, authorised=key_index + 64)
    pay_again(world, [used])
    collect_all(world, 6)
    assert purposes(world) == ["sweep", "sweep", "topup", "topup"] or purposes(world) == [
        "sweep",
        "sweep",
        "topup",
    ]
    assert [row.method for row in world.sweeps()] == ["key", "key"]
    with world.database.begin() as connection:
        connection.execute(text("DELETE FROM authorizations"))
    deposited(world, 1)
    collect_all(world, 6)
    assert {row.method for row in world.sweeps()} == {"key"}
    assert units_at(world, world.treasury) == 15 * WHOLE_TOKEN
    world.check()


def test_a_lone_payment_goes_by_its_key_and_a_customer_by_the_hub(world: World) -> None:
    use_hub(world, alone=Alone.key)
    intent = world.intent(500)
    world.pay(intent)
    world.finalize()
    collect_all(world, 6)
    assert purposes(world) == ["sweep", "topup"]
    world.pay(intent, units=2 * WHOLE_TOKEN)
    deposited(world, 1)
    collect_all(world, 6)
    assert purposes(world).count("collect") == 1
    assert world.custody("usdc", "deposit") == 0
    world.check()


def test_a_deposit_waits_for_company_until_a_payout_wants_it(world: World) -> None:
    use_hub(world, wait_seconds=600)
    deposited(world, 2)
    collect_all(world)
    assert world.sweeps() == []
    world.advance(timedelta(minutes=10))
    collect_all(world)
    assert statuses(world) == ["posted", "posted"]
    deposited(world, 1)
    world.run()
    assert len(world.sweeps()) == 2
    row = world.payout(14 * WHOLE_TOKEN, address="0x8ba1f109551bd432803012645ac136ddd64dba72")
    collect_all(world, 6)
    assert {each.status for each in world.payouts() if each.id == row.id} == {"posted"}
    world.check()


def test_a_deposit_that_is_not_worth_its_gas_waits_until_it_is_old(world: World) -> None:
    use_hub(world, cost_percent_max=1, age_seconds_max=86_400)
    with world.database.begin() as connection:
        [eth] = [each for each in network.list_currencies(connection) if each.currency == "eth"]
        # A coin so dear that a collection costs more than a hundredth of five dollars.
        dear = replace(eth, kind=CurrencyKind.coin.value, usd_numerator=100_000, usd_denominator=1)
        network.put_currency(connection, dear)
    deposited(world, 1)
    collect_all(world)
    assert world.sweeps() == []
    deposited(world, 1, whole=9_000)
    collect_all(world)
    assert [row.token_amount for row in world.sweeps()] == [9_000 * WHOLE_TOKEN]
    world.advance(timedelta(days=1))
    collect_all(world)
    assert statuses(world) == ["posted", "posted"]
    world.check()


def test_a_reorganisation_of_a_confirmed_collection(world: World) -> None:
    use_hub(world)
    addresses = deposited(world, 3)
    collect_all(world)
    [row] = collections(world)
    assert row.status == "posted"
    world.chain.reorg(world.chain.height() - (row.block_number or 0) + 1)
    # One that was delegated and is no more is denied when the same bytes are mined again.
    world.chain.issuer.call_contract(world.contract("usdc"), "blacklist(address)", addresses[0])
    world.chain.mine()
    world.run()
    world.reconcile()
    assert units_at(world, world.treasury) == 0
    collect_all(world)
    [again] = collections(world)
    assert (again.raw, again.status, again.orphaned) == (row.raw, "posted", False)
    ends = {each.address: each.status for each in world.sweeps()}
    assert ends == {addresses[0]: "failed", addresses[1]: "posted", addresses[2]: "posted"}
    assert units_at(world, world.treasury) == 10 * WHOLE_TOKEN
    assert world.custody("usdc", "deposit") == 5 * WHOLE_TOKEN
    world.check()
    # And the other way round: what failed is collected after all.
    world.chain.reorg(world.chain.height() - (again.block_number or 0) + 1)
    world.chain.rpc.call("anvil_dropAllTransactions")
    world.chain.issuer.call_contract(world.contract("usdc"), "unBlacklist(address)", addresses[0])
    world.chain.mine()
    world.run()
    collect_all(world)
    assert statuses(world) == ["posted"] * 3
    assert units_at(world, world.treasury) == 15 * WHOLE_TOKEN
    world.check()


def test_a_chain_without_delegation_goes_by_top_ups(
    make_world: MakeWorld, start_chain: StartChain
) -> None:
    old = start_chain("eip155:31341", hardfork="cancun")
    world = make_world(sweep=True, more_chains=[old])
    with pytest.raises(Misconfigured, match="EIP-7702"):
        use_hub(world, chain=old, authorised=1)
    use_hub(world)
    address = world.customer_address(world.customer())
    for chain in (world.chain, old):
        world.pay(address, "usdc", 5 * WHOLE_TOKEN, chain=chain)
    world.mine(3)
    world.run_except("sweep.collect")
    collect_all(world, 6)
    ways = {(row.network, row.method, row.status) for row in world.sweeps()}
    assert ways == {
        (world.chain.network, "hub", "posted"),
        (old.network, "key", "posted"),
    }
    assert old.payer.balance_of(world.contract("usdc", old), world.treasury) == 5 * WHOLE_TOKEN
    world.check()


def test_two_workers_collect_once(world: World) -> None:
    use_hub(world)
    deposited(world, 6)
    world.run_only("sweep.collect", "sweep.collect")
    assert len(world.sweeps()) == 6
    world.run_only("collect.build", "collect.build")
    assert len(collections(world)) == 1
    collect_all(world)
    assert statuses(world) == ["posted"] * 6
    world.check()


def test_the_signer_reads_every_item_for_itself(world: World) -> None:
    deployed = use_hub(world)
    deposited(world, 2)
    other = replace(deployed, address="0x" + "11" * 20)
    allow_hub(world, other)
    collect_all(world)
    codes = {row.failure_code for row in world.sweeps()}
    assert codes == {"signer_call_not_allowed"}
    assert world.custody("usdc", "deposit") == 10 * WHOLE_TOKEN
    world.check()
    allow_hub(world, deployed)
    world.advance(timedelta(minutes=6))
    collect_all(world)
    assert statuses(world).count("posted") == 2
    world.check()


@pytest.mark.breached
def test_the_treasury_of_the_hub_is_followed_when_it_changes(world: World) -> None:
    deployed = use_hub(world)
    addresses = deposited(world, 2)
    collect_all(world)
    stranger = "0x8ba1f109551bd432803012645ac136ddd64dba72"
    change_treasury(world, deployed, stranger)
    pay_again(world, addresses)
    collect_all(world)
    told = [name for name in world.event_types(operator=True) if name.startswith("hub.")]
    assert told == ["hub.proposed", "hub.changed"]
    # It is no address of ours: nothing is signed, and nothing has failed.
    assert statuses(world) == ["posted"] * 2 + ["approved"] * 2
    assert units_at(world, stranger) == 0
    change_treasury(world, deployed, world.treasury)
    collect_all(world)
    assert statuses(world) == ["posted"] * 4
    world.check()


def change_treasury(world: World, deployed: DeployedHub, treasury: str) -> None:
    """By the cold key, and after its delay."""
    deployed.cold_call("propose(address)", evm.checksum_address(treasury))
    world.advance(LOOK_EVERY)
    world.run_only("hub.look")
    world.advance(timedelta(seconds=DAY_SECONDS + 1))
    world.mine()
    world.chain.payer.call_contract(deployed.address, "execute()", gas_limit=100_000)
    world.mine()


def test_rotation_works_on_addresses_that_were_delegated_before(world: World) -> None:
    """The drill: the cold key moves the treasury to a new key, and no address signs anything."""
    deployed = use_hub(world)
    addresses = deposited(world, 3)
    collect_all(world)
    fresh = world.keystore.address(Branch.treasury, 1)
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)
    write_policy(path, msgspec.structs.replace(policy, treasury_indexes=(0, 1)))
    with world.database.begin() as connection:
        put_treasury(connection, {0: world.treasury, 1: fresh}, livemode=False, now=world.clock())
    world.watch()
    change_treasury(world, deployed, fresh)
    pay_again(world, addresses)
    collect_all(world)
    assert statuses(world) == ["posted"] * 6
    assert units_at(world, world.treasury) == 15 * WHOLE_TOKEN
    assert units_at(world, fresh) == 15 * WHOLE_TOKEN
    assert {row.destination for row in world.sweeps()[3:]} == {fresh}
    # Only the first collection carried authorisations.
    raws = [row.raw for row in collections(world)]
    assert [is_set_code(raw or b"") for raw in raws] == [True, False]
    assert world.custody("usdc", "hot") == 30 * WHOLE_TOKEN
    world.check()


@pytest.mark.breached
def test_a_proposal_is_told_before_it_is_due(world: World) -> None:
    deployed = use_hub(world, authorised=0)
    stranger = evm.checksum_address("0x8ba1f109551bd432803012645ac136ddd64dba72")
    for signature, arguments in (("propose(address)", (stranger,)), ("cancel()", ())):
        deployed.cold_call(signature, *arguments)
        for _ in range(2):
            world.advance(LOOK_EVERY)
            world.run_only("hub.look")
    told = [each for each in world.events(operator=True) if each.type.startswith("hub.")]
    assert [each.type for each in told] == ["hub.proposed", "hub.canceled"]
    assert told[0].object["proposed"] == stranger
    assert told[0].object["executable_at"] is not None
    assert told[1].object["proposed"] is None


def test_a_hub_is_asked_who_it_is(world: World) -> None:
    deployed = use_hub(world, authorised=0)
    with world.database.begin() as connection:
        found = hubs.find(connection, world.chain.network)
    assert found is not None
    assert (found.treasury, found.delegate) == (world.treasury, deployed.delegate)
    with pytest.raises(Misconfigured, match="no hub stands"):
        put_hub(world.parts, world.chain.network, "0x" + "11" * 20)
    with pytest.raises(ParameterInvalid, match="no network"):
        put_hub(world.parts, "eip155:1", deployed.address)
    with pytest.raises(ParameterInvalid, match="not an EVM address"):
        put_hub(world.parts, world.chain.network, "0x11")
    deployed.cold_call("setCollector(address,bool)", evm.checksum_address(world.treasury), False)
    with pytest.raises(Misconfigured, match="takes no calls"):
        put_hub(world.parts, world.chain.network, deployed.address)


def test_more_than_one_transaction_holds_goes_in_several(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_hub(world)
    deposited(world, 5)
    monkeypatch.setattr(hub, "TRANSACTION_GAS_MAX", 500_000)
    collect_all(world, 8)
    assert len(collections(world)) > 1
    assert statuses(world) == ["posted"] * 5
    world.check()
