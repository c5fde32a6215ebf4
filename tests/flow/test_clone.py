"""Clones on real chains: given out, paid, collected by their factory, and recovered from."""

from datetime import timedelta

import msgspec
import pytest
from tests.chain import StartChain
from tests.flow.clones import use_factory
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.hubs import allow_hub, collect_all, deposited, pay_again, use_hub
from tests.flow.money import BENEFICIARY, fund_treasury, send_rpc, units_at, wei_at
from tests.flow.test_recovery import claim, examine, now_of, offer, settle, unlisted
from tests.flow.test_rotation import announce
from tests.hub import DAY_SECONDS

from sakk.core import clone, evm
from sakk.core.errors import Misconfigured, ParameterInvalid, UnexpectedState
from sakk.core.hd import Seed
from sakk.core.network import DepositMethod
from sakk.core.transaction import ChainTransaction
from sakk.flow import rotation as rotating
from sakk.flow.adoption import adopt
from sakk.flow.clone import put_factory, set_deposits
from sakk.flow.hub import LOOK_EVERY
from sakk.runtime.doctor import examine_clones
from sakk.signing.policy import load_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.store import address
from sakk.store.breach import list_newest


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world that collects deposits of one token and more."""
    return make_world(sweep=True)


def collections(world: World) -> list[ChainTransaction]:
    return [row for row in world.transactions() if row.purpose == "collect"]


def is_clone(world: World, place: str) -> bool:
    with world.database.begin() as connection:
        found = address.find_address(connection, place)
    assert found is not None
    return found.factory is not None


def test_an_intent_offers_a_key_here_and_a_clone_there(
    make_world: MakeWorld, start_chain: StartChain
) -> None:
    old = start_chain("eip155:31342", hardfork="cancun")
    world = make_world(sweep=True, more_chains=[old])
    use_hub(world)
    made = use_factory(world, chain=old)
    intent = world.intent(500)
    places = {each.network: world.address(intent, chain=each) for each in world.chains}
    assert [is_clone(world, place) for place in places.values()] == [False, True]
    assert intent.address == places[world.chain.network]
    with world.database.begin() as connection:
        known = address.find_addresses(connection, list(places.values()))
    [index] = {each.key_index for each in known.values()}
    salt = clone.salt_at([Seed(0, world.keystore.xpub)], index)
    assert places[old.network] == clone.address_of(made.address, salt)
    # Where clones alone are offered nobody is told of a key.
    alone = world.intent(500, networks=[old.network])
    assert is_clone(world, alone.address)
    for chain in world.chains:
        world.pay(intent, "usdc", 3 * WHOLE_TOKEN, chain=chain)
    world.pay(alone, chain=old)
    world.mine(3)
    world.run_except("sweep.collect")
    collect_all(world)
    assert world.refresh(intent).status == world.refresh(alone).status == "succeeded"
    ways = sorted((row.network, row.method, row.status) for row in world.sweeps())
    assert ways == [
        (old.network, "clone", "posted"),
        (old.network, "clone", "posted"),
        (world.chain.network, "hub", "posted"),
    ]
    assert old.payer.balance_of(world.contract("usdc", old), world.treasury) == 8 * WHOLE_TOKEN
    world.check()


def test_many_clones_are_one_transaction_whatever_one_of_them_may(world: World) -> None:
    fund_treasury(world, 1)
    use_factory(world)
    places = deposited(world, 5)
    denied = places[1]
    world.chain.issuer.call_contract(world.contract("usdc"), "blacklist(address)", denied)
    # Somebody creates one first: that changes nothing.
    create_by_anyone(world, places[0])
    collect_all(world)
    ends = {row.address: (row.method, row.status, row.failure_code) for row in world.sweeps()}
    assert ends.pop(denied) == ("clone", "failed", "not_collected")
    assert set(ends.values()) == {("clone", "posted", None)}
    [row] = collections(world)
    assert "5 clones to" in (row.explanation or "")
    assert units_at(world, world.treasury) == 21 * WHOLE_TOKEN
    assert world.custody("usdc", "deposit") == 5 * WHOLE_TOKEN
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    world.check()
    # A reorganisation takes the clones away too; the same bytes create them again, and who was
    # denied is not any more.
    world.chain.reorg(world.chain.height() - (row.block_number or 0) + 1)
    assert send_rpc(world, "eth_getCode", places[2], "latest") == "0x"
    world.chain.issuer.call_contract(world.contract("usdc"), "unBlacklist(address)", denied)
    world.chain.mine()
    world.run()
    world.reconcile()
    collect_all(world)
    [again] = collections(world)
    assert (again.raw, again.status, again.orphaned) == (row.raw, "posted", False)
    assert {each.status for each in world.sweeps()} == {"posted"}
    world.advance(timedelta(hours=1))
    pay_again(world, places)
    collect_all(world)
    assert units_at(world, world.treasury) == 51 * WHOLE_TOKEN
    gas = [int(send_rpc(world, "eth_getTransactionReceipt", each.hash)["gasUsed"], 16)
           for each in collections(world)]  # fmt: skip
    assert gas[1] < gas[0] / 2
    assert world.custody("usdc", "deposit") == 0
    world.check()


def create_by_anyone(world: World, place: str) -> None:
    with world.database.begin() as connection:
        found = address.find_address(connection, place)
    assert found is not None
    assert found.factory is not None
    salt = clone.salt_at([Seed(0, world.keystore.xpub)], found.key_index)
    world.chain.issuer.send_data(found.factory, clone.encode_create(salt), gas_limit=200_000)
    world.mine()


def test_what_was_given_out_stays_as_it_was(world: World) -> None:
    before = world.customer()
    made = use_factory(world)
    between = world.customer()
    set_deposits(world.parts, world.chain.network, DepositMethod.key)
    after = world.customer()
    places = [world.customer_address(each) for each in (before, between, after)]
    assert [is_clone(world, place) for place in places] == [False, True, False]
    # Each goes on by the way that it was given out for, whatever is given out now.
    pay_again(world, places)
    collect_all(world, 6)
    ways = {row.address: (row.method, row.status) for row in world.sweeps()}
    assert [ways[place] for place in places] == [
        ("key", "posted"),
        ("clone", "posted"),
        ("key", "posted"),
    ]
    # A factory that is off leaves its clones' coins where they are, and the doctor says so.
    put_factory(world.parts, world.chain.network, made.address, wait_seconds=0, enabled=False)
    pay_again(world, places[1:2])
    collect_all(world)
    assert world.custody("usdc", "deposit") == 5 * WHOLE_TOKEN
    words = [each.message for each in examine_clones(world.database, world.parts.rail_of)
             if not each.ok]  # fmt: skip
    assert len(words) == 1
    assert "1 deposits stand at clones of" in words[0]
    with pytest.raises(ParameterInvalid, match="none are given out"):
        set_deposits(world.parts, world.chain.network, DepositMethod.clone, made.address)
    world.check()


def test_only_a_factory_that_is_proved_is_used(world: World) -> None:
    name = world.chain.network
    deployed = use_hub(world)
    for place, words in (
        (deployed.address, "is no DepositFactory"),
        ("0x" + "12" * 20, "deploy it first"),
    ):
        with pytest.raises(Misconfigured, match=words):
            put_factory(world.parts, name, place)
    with pytest.raises(ParameterInvalid):
        put_factory(world.parts, "eip155:1", deployed.address)
    with pytest.raises(ParameterInvalid):
        put_factory(world.parts, name, "0x12")
    with pytest.raises(ParameterInvalid, match="name it"):
        set_deposits(world.parts, name, DepositMethod.clone)
    with pytest.raises(ParameterInvalid, match="need none"):
        set_deposits(world.parts, name, DepositMethod.key, deployed.address)
    with pytest.raises(ParameterInvalid):
        set_deposits(world.parts, name, DepositMethod.clone, "0x12")
    with pytest.raises(ParameterInvalid):
        set_deposits(world.parts, "eip155:1", DepositMethod.key)
    made = use_factory(world, hub=deployed)
    places = deposited(world, 1)
    assert is_clone(world, places[0])
    told = [each.message for each in examine_clones(world.database, world.parts.rail_of)]
    assert any(f"clones of {made.address} are given out" in each for each in told)
    # A hub of somebody else's code, whatever it says.
    code = send_rpc(world, "eth_getCode", deployed.address, "latest")
    send_rpc(world, "anvil_setCode", deployed.address, code + "00")
    with pytest.raises(Misconfigured, match="is no Hub"):
        put_factory(world.parts, name, made.address)


def test_the_signer_reads_every_clone_for_itself(world: World) -> None:
    made = use_factory(world)
    deposited(world, 2)
    allow_hub(world, made.hub, factories=())
    collect_all(world)
    assert {row.failure_code for row in world.sweeps()} == {"signer_call_not_allowed"}
    assert world.custody("usdc", "deposit") == 10 * WHOLE_TOKEN
    world.check()
    allow_hub(world, made.hub, factories=(made.address,))
    world.advance(timedelta(minutes=6))
    collect_all(world)
    assert [row.status for row in world.sweeps()].count("posted") == 2
    world.check()


@pytest.mark.breached
def test_the_cold_key_moves_clones_that_were_given_out_long_before(world: World) -> None:
    made = use_factory(world)
    places = deposited(world, 2)
    stranger = "0x8ba1f109551bd432803012645ac136ddd64dba72"
    for call in (made.hub.cold_call, made.cold_call):
        call("propose(address)", evm.checksum_address(stranger))
    world.advance(LOOK_EVERY)
    world.run_only("clone.look")
    told = [name for name in world.event_types(operator=True) if name.startswith("factory.")]
    assert told == ["factory.proposed"]
    with world.database.begin() as connection:
        kinds = {each.kind for each in list_newest(connection, limit=5)}
    assert kinds == {"treasury", "recoverer"}
    for call in (made.hub.cold_call, made.cold_call):
        call("cancel()")
    world.advance(LOOK_EVERY)
    world.run_only("clone.look")
    # A new treasury of ours, and an old recoverer that is dismissed.
    fresh = world.keystore.address(Branch.treasury, 1)
    with world.database.begin() as connection:
        address.put_treasury(connection, {1: fresh}, livemode=False, now=world.clock())
    made.hub.cold_call("propose(address)", evm.checksum_address(fresh))
    made.cold_call("dismiss()")
    world.advance(timedelta(seconds=DAY_SECONDS + 1))
    world.mine()
    world.chain.payer.call_contract(made.hub.address, "execute()", gas_limit=100_000)
    world.mine()
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)
    write_policy(path, msgspec.structs.replace(policy, treasury_indexes=(0, 1)))
    collect_all(world)
    assert units_at(world, fresh) == 10 * WHOLE_TOKEN
    assert {row.destination for row in world.sweeps()} == {fresh}
    told = [name for name in world.event_types(operator=True) if name.startswith("factory.")]
    assert told == ["factory.proposed", "factory.canceled", "factory.changed"]
    assert examine(world, places[0], world.native).why is not None
    world.check()


def test_what_is_no_payment_leaves_a_clone_by_its_factory(world: World) -> None:
    fund_treasury(world)
    use_factory(world)
    contract = unlisted(world)
    intent = world.intent(2_500)
    place = world.address(intent)
    assert is_clone(world, place)
    world.pay(intent, contract, 7 * WHOLE_TOKEN)
    send_rpc(world, "anvil_setBalance", place, hex(10**17))
    world.finalize()
    [surplus] = adopt(world.parts, world.chain.network)
    assert surplus.address == place
    world.run()
    held = world.payin(intent)
    for asset, units in ((held.asset, 7 * WHOLE_TOKEN), (world.native, 10**17)):
        found = examine(world, place, asset)
        assert (found.units, found.why) == (units, None)
        assert found.gas_wei is not None
        row = offer(world, place, asset)
        claim(world, row)
        settle(world)
        assert now_of(world, row).status == "succeeded"
        with world.database.begin() as connection:
            connection.exec_driver_sql("UPDATE recoveries SET claim_hash = NULL")
    assert units_at(world, BENEFICIARY, contract) == 7 * WHOLE_TOKEN
    assert wei_at(world, BENEFICIARY) == 10**17
    assert world.payin(intent).status == "returned"
    sent = [each for each in world.transactions() if each.purpose == "recovery"]
    assert [each.sender for each in sent] == [world.treasury] * 2
    assert {each.status for each in sent} == {"posted"}
    assert "go back from clone" in (sent[0].explanation or "")
    assert world.suspense(world.native) == 0
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    # And it is collected from as before.
    world.pay(intent)
    world.finalize()
    collect_all(world)
    assert world.sweeps()[-1].status == "posted"
    world.check()


def test_the_wrong_chain_and_the_wrong_kind_of_address(
    make_world: MakeWorld, start_chain: StartChain
) -> None:
    old = start_chain("eip155:31343", hardfork="cancun")
    world = make_world(sweep=True, more_chains=[old])
    made = use_factory(world, chain=old)
    fund_treasury(world)
    intent = world.intent(2_500)
    key, place = (world.address(intent, chain=each) for each in (world.chain, old))
    # What is paid to the key's address on the clones' chain is credited, and goes by the key.
    world.pay(key, "usdc", 3 * WHOLE_TOKEN, chain=old)
    # What is paid to the clone on the other chain is credited, and stands still: nothing is there.
    world.pay(place, "usdc", 5 * WHOLE_TOKEN)
    token = unlisted(world)
    world.pay(place, token, 2 * WHOLE_TOKEN)
    world.mine(3)
    world.run()
    collect_all(world, 6)
    assert [(row.network, row.method) for row in world.sweeps()] == [(old.network, "key")]
    found = examine(world, place, world.asset(token))
    assert found.source is None
    assert "is not known on" in (found.why or "")
    world.check()
    # Hub and factory are made there with the same calls: their addresses are the same.
    same = use_factory(world, give_out=False)
    assert same.address == made.address
    row = offer(world, place, world.asset(token))
    claim(world, row)
    settle(world)
    assert now_of(world, row).status == "succeeded"
    collect_all(world)
    assert world.sweeps()[-1].status == "posted"
    assert world.custody("usdc", "deposit") == 0
    assert units_at(world, BENEFICIARY, token) == 2 * WHOLE_TOKEN
    world.check()


def test_a_recovery_waits_for_a_recoverer_and_may_be_refused(world: World) -> None:
    fund_treasury(world)
    made = use_factory(world)
    contract = unlisted(world)
    intent = world.intent(2_500)
    place = world.address(intent)
    world.pay(intent, contract, 7 * WHOLE_TOKEN)
    world.finalize()
    row = offer(world, place, world.asset(contract))
    claim(world, row)
    # A signer that knows nothing of this factory.
    allow_hub(world, made.hub, factories=())
    world.run()
    [sent] = [each for each in world.transactions() if each.purpose == "recovery"]
    assert (sent.status, sent.error is not None) == ("refused", True)
    assert now_of(world, row).status == "failed"
    allow_hub(world, made.hub, factories=(made.address,))
    with world.database.begin() as connection:
        connection.exec_driver_sql("UPDATE recoveries SET claim_hash = NULL")
    again = offer(world, place, world.asset(contract))
    made.cold_call("dismiss()")
    claim(world, again)
    world.run()
    sweep = world.sweeps()[-1]
    assert (sweep.status, sweep.waits_for) == (
        "approved",
        "the factory obeys no recoverer: the cold key names one",
    )
    made.cold_call("propose(address)", evm.checksum_address(world.treasury))
    world.advance(timedelta(seconds=DAY_SECONDS + 1))
    world.mine()
    world.chain.payer.call_contract(made.address, "execute()", gas_limit=100_000)
    settle(world)
    assert now_of(world, again).status == "succeeded"
    assert units_at(world, BENEFICIARY, contract) == 7 * WHOLE_TOKEN
    world.check()


def test_a_key_that_a_factory_obeys_is_not_retired(world: World) -> None:
    made = use_factory(world)
    rotation = announce(world)
    begun = rotating.begin(world.parts, rotation.id)
    [held] = rotating.holdings(world.parts, begun)
    assert (held.hub_pays_it, held.factory_obeys_it) == (True, True)
    named = evm.checksum_address(rotation.target)
    for call in (made.hub.cold_call, made.cold_call):
        call("propose(address)", named)
    with pytest.raises(UnexpectedState, match="still pays"):
        rotating.require_empty(world.parts, begun)
    world.advance(timedelta(seconds=DAY_SECONDS + 60))
    world.mine()
    made.hub.cold_call("execute()")
    world.run_only("clone.look")
    with pytest.raises(UnexpectedState, match="sakk sweeps recoverer"):
        rotating.require_empty(world.parts, begun)
    made.cold_call("execute()")
    world.advance(LOOK_EVERY)
    world.run_only("clone.look")
    [held] = rotating.holdings(world.parts, begun)
    assert (held.hub_pays_it, held.factory_obeys_it) == (False, False)
