"""Several treasury addresses: payouts leave from all of them, and none is overspent."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec
import pytest
from tests.flow.harness import World
from tests.flow.money import BENEFICIARY, credit, let_pass, payout_now, units_at
from tests.flow.test_treasury import finish, name_vault
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core import evm
from sakk.core.errors import ResourceMissing
from sakk.core.person import Actor
from sakk.core.sender import UNSIGNED_MAX
from sakk.flow import build, withdrawal
from sakk.flow.sender import standings, unfreeze
from sakk.signing.policy import load_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.store import network
from sakk.store.address import put_treasury
from sakk.store.database import update_records
from sakk.store.sender import freeze
from sakk.store.transaction import transactions

PAID = 10 * WHOLE_TOKEN
GAS_WEI = 10**18


def with_senders(world: World, count: int, whole: int) -> list[str]:
    """So many treasury addresses, each with whole tokens and gas; a merchant with a balance."""
    path = world.directory / "policy.toml"
    before, _ = load_policy(path)
    write_policy(path, msgspec.structs.replace(before, treasury_indexes=tuple(range(count))))
    named = world.parts.signer_client().public().treasury_addresses
    with world.database.begin() as connection:
        put_treasury(connection, named, livemode=False, now=world.clock())
    world.watch()
    for index in range(count):
        address = world.keystore.address(Branch.treasury, index)
        assert named[index] == address
        world.pay(address, "usdc", whole * WHOLE_TOKEN)
        if index:
            world.chain.payer.send_native(evm.checksum_address(address), GAS_WEI)
    credit(world, 1_000)
    return list(named.values())


def test_payouts_leave_from_all_of_them(world: World) -> None:
    addresses = with_senders(world, 3, 100)
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(6)]
    world.run_only("payout.hold", "payout.screen", "payout.decide", "payout.build")
    # All at once, as evenly as they come.
    built = world.transactions()
    assert {each.sender for each in built} == set(addresses)
    world.run()
    for _ in range(4):
        let_pass(world, 1)
    world.finalize()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    sent = [each.sender for each in world.transactions()]
    assert [sent.count(each) for each in addresses] == [2, 2, 2]
    assert units_at(world, BENEFICIARY) == 6 * PAID
    world.check()


def test_an_address_pays_what_it_has_and_no_more(world: World) -> None:
    addresses = with_senders(world, 2, 15)
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(3)]
    for _ in range(4):
        with ThreadPoolExecutor(2) as pool:
            for each in [pool.submit(world.stages["payout.build"].run) for _ in range(2)]:
                each.result()
        world.run()
        let_pass(world, 3)
    statuses = sorted(payout_now(world, row).status for row in rows)
    assert statuses == ["approved", "broadcast", "broadcast"]
    assert {each.sender for each in world.transactions()} == set(addresses)
    world.finalize()
    [waiting] = [row for row in rows if payout_now(world, row).status == "approved"]
    assert "do not cover it" in (payout_now(world, waiting).waits_for or "")
    world.pay(addresses[1], "usdc", 5 * WHOLE_TOKEN)
    world.finalize()
    let_pass(world, 3)
    world.finalize()
    assert units_at(world, BENEFICIARY) == 3 * PAID
    world.check()


def test_a_withdrawal_leaves_from_the_address_that_has_the_coins(world: World) -> None:
    addresses = with_senders(world, 2, 15)
    world.pay(addresses[1], "usdc", 20 * WHOLE_TOKEN)
    world.finalize()
    place = name_vault(world)
    row = withdrawal.withdraw(
        world.parts,
        actor=Actor("key_operator"),
        asset_name=world.asset("usdc"),
        units=30 * WHOLE_TOKEN,
        destination=place,
    )
    finish(world)
    [sent] = [each for each in world.transactions() if each.subject == row.id]
    assert (sent.sender, sent.status) == (addresses[1], "posted")
    assert units_at(world, place) == 30 * WHOLE_TOKEN
    world.check()


def test_a_frozen_address_is_passed_over_and_comes_back(world: World) -> None:
    addresses = with_senders(world, 2, 100)
    name = world.chain.network
    with world.database.begin() as connection:
        assert freeze(connection, name, addresses[0], base=0, reason="theft", now=world.clock())
        assert not freeze(connection, name, addresses[0], base=0, reason="again", now=world.clock())
        found = network.find_network(connection, name)
    assert found is not None
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(2)]
    world.run()
    let_pass(world, 1)
    world.finalize()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    assert {each.sender for each in world.transactions()} == {addresses[1]}
    usdc = world.asset("usdc")
    seen = standings(world.parts, found, [usdc])[usdc]
    assert [each.frozen_reason for each in seen] == ["theft", None]
    assert [each.spare_units for each in seen] == [100 * WHOLE_TOKEN, 80 * WHOLE_TOKEN]
    assert unfreeze(world.parts, name, addresses[0]) == 0
    with pytest.raises(ResourceMissing):
        unfreeze(world.parts, name, addresses[0])
    again = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert payout_now(world, again).status == "posted"
    assert addresses[0] in {each.sender for each in world.transactions()}
    world.check()


def built_of(world: World) -> list[int]:
    return [each.nonce for each in world.transactions() if each.status == "built"]


def test_plain_payments_of_one_sender_are_signed_side_by_side(world: World) -> None:
    with_senders(world, 1, 200)
    rows = [world.payout(WHOLE_TOKEN, address=BENEFICIARY) for _ in range(UNSIGNED_MAX + 2)]
    world.run_only("payout.hold", "payout.screen", "payout.decide", "payout.build")
    first, *rest = built_of(world)
    assert [first, *rest] == list(range(first, first + UNSIGNED_MAX))
    world.run()
    let_pass(world, 1)
    world.finalize()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    assert sorted(each.nonce for each in world.transactions()) == list(
        range(first, first + len(rows))
    )
    world.check()


def refusing(world: World, units: int) -> None:
    """The signer's file lets less than so many units go."""
    path = world.directory / "policy.toml"
    before, _ = load_policy(path)
    usdc = world.asset("usdc")
    assets = tuple(
        msgspec.structs.replace(each, per_transaction_max=str(units))
        if each.asset == usdc
        else each
        for each in before.assets
    )
    write_policy(path, msgspec.structs.replace(before, assets=assets))


def test_those_behind_a_refused_one_are_built_again_and_no_nonce_is_lost(world: World) -> None:
    with_senders(world, 1, 200)
    refusing(world, PAID)
    amounts = [PAID, PAID + 1, PAID, PAID + 2, PAID]
    rows = [world.payout(units, address=BENEFICIARY) for units in amounts]
    world.run_only("payout.hold", "payout.screen", "payout.decide", "payout.build")
    first = built_of(world)[0]
    assert built_of(world) == list(range(first, first + 5))
    world.run()
    let_pass(world, 1)
    world.finalize()
    done = [payout_now(world, row) for row in rows]
    assert [each.status for each in done] == ["posted", "rejected", "posted", "rejected", "posted"]
    live = [each for each in world.transactions() if each.status != "refused"]
    assert sorted(each.nonce for each in live) == [first, first + 1, first + 2]
    # Nothing was spent to use a nonce up.
    assert {each.purpose for each in live} == {"payout"}
    assert units_at(world, BENEFICIARY) == 3 * PAID
    world.check()


def test_a_nonce_that_was_given_back_is_the_next_one_s(world: World) -> None:
    """Two workers sign two of a sender; the later is signed before the earlier is refused."""
    with_senders(world, 1, 200)
    early, late = (world.payout(units, address=BENEFICIARY) for units in (PAID + 1, PAID))
    world.run_only("payout.hold", "payout.screen", "payout.decide", "payout.build")
    gap, behind = world.transactions()
    refusing(world, PAID)
    leased = world.clock() + timedelta(seconds=5)
    with world.database.begin() as connection:
        change = {"id": gap.id, "lease_token": "elsewhere", "lease_until": leased}
        update_records(connection, transactions, [change])
    world.run()
    assert payout_now(world, late).status == "broadcast"
    assert payout_now(world, early).status == "approved"
    let_pass(world, 6)
    assert payout_now(world, early).status == "rejected"
    next_one = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert {payout_now(world, row).status for row in (late, next_one)} == {"posted"}
    nonces = {each.subject: each.nonce for each in world.transactions() if each.status != "refused"}
    assert nonces == {late.id: behind.nonce, next_one.id: gap.nonce}
    world.check()


def test_a_gap_that_nothing_takes_is_used_up(world: World) -> None:
    with_senders(world, 1, 200)
    early, late = (world.payout(units, address=BENEFICIARY) for units in (PAID + 1, PAID))
    world.run_only("payout.hold", "payout.screen", "payout.decide", "payout.build")
    gap, _ = world.transactions()
    refusing(world, PAID)
    with world.database.begin() as connection:
        change = {
            "id": gap.id,
            "lease_token": "elsewhere",
            "lease_until": world.clock() + timedelta(seconds=5),
        }
        update_records(connection, transactions, [change])
    world.run()
    let_pass(world, 6)
    let_pass(world, 70)
    world.finalize()
    assert payout_now(world, early).status == "rejected"
    assert payout_now(world, late).status == "posted"
    filled = [each for each in world.transactions() if each.purpose == "cancel"]
    assert [each.nonce for each in filled] == [gap.nonce]
    world.check()


def test_a_stuck_sender_holds_up_no_more_than_may_be_in_flight(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "IN_FLIGHT_MAX", 3)
    with_senders(world, 1, 200)
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(5)]
    for _ in range(3):
        world.run()
        world.advance(timedelta(seconds=2))
    statuses = [payout_now(world, row).status for row in rows]
    assert statuses == ["broadcast"] * 3 + ["approved"] * 2
    assert "on their way" in (payout_now(world, rows[3]).waits_for or "")
    let_pass(world, 2)
    world.finalize()
    let_pass(world, 2)
    world.finalize()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    world.check()
