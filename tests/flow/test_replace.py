"""Stuck transactions: offered again for more, mined once, and booked with the gas of that one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from msgspec import structs
from tests.flow.conftest import MakeWorld
from tests.flow.harness import CONFIRMATIONS, World
from tests.flow.money import (
    BENEFICIARY,
    credit,
    hold_total,
    let_pass,
    nonce_at,
    payout_now,
    rich,
    send_rpc,
    transaction_of,
    units_at,
    wei_at,
)
from tests.flow.test_gas_price import set_cap
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core.freeze import FreezeOrigin
from sakk.core.gas_price import GWEI
from sakk.core.payout import Payout
from sakk.core.transaction import Attempt, ChainTransaction, Purpose
from sakk.flow.freeze import FreezeOrder, freeze
from sakk.flow.transaction import ask
from sakk.signing.policy import load_policy, write_policy
from sakk.store.identity import new_id
from sakk.store.sender import frozen
from sakk.store.transaction import list_attempts

PAID = 30 * WHOLE_TOKEN
# A minute is the policy of a network unless it says otherwise.
STUCK_SECONDS = 61


def attempts_of(world: World, row: ChainTransaction) -> list[Attempt]:
    with world.database.begin() as connection:
        return list_attempts(connection, [row.id])[row.id]


def raise_base_fee(world: World, wei: int) -> None:
    """The next block asks so much; what waits is offered too little."""
    send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(wei))
    world.mine()


def stuck(world: World) -> tuple[Payout, ChainTransaction]:
    """A payout whose transaction was sent, and whose price blocks no longer take."""
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    first = transaction_of(world, row)
    assert first.status == "broadcast"
    raise_base_fee(world, first.max_fee_per_gas * 2)
    return row, first


def replaced(world: World) -> tuple[Payout, ChainTransaction, ChainTransaction]:
    """A stuck payout, its transaction before and after it was offered for more."""
    row, first = stuck(world)
    let_pass(world, STUCK_SECONDS)
    second = transaction_of(world, row)
    assert second.replacements == 1
    return row, first, second


def check_paid_once(world: World, row: Payout, tx_hash: str | None) -> None:
    done = payout_now(world, row)
    assert (done.status, done.tx_hash) == ("posted", tx_hash)
    assert units_at(world, BENEFICIARY) == PAID
    assert (world.balance(), hold_total(world)) == (70 * WHOLE_TOKEN, 0)
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    told = world.event_types(about=row.id)
    assert (told.count("payout.confirmed"), told.count("payout.posted")) == (1, 1)
    world.check()


def test_a_stuck_one_is_offered_for_more_and_mined(world: World) -> None:
    row, first, second = replaced(world)
    assert (second.nonce, second.destination, second.token_amount) == (
        first.nonce,
        first.destination,
        first.token_amount,
    )
    assert second.max_fee_per_gas > first.max_fee_per_gas * 2
    assert second.max_priority_fee_per_gas * 1_000 >= first.max_priority_fee_per_gas * 1_125
    assert payout_now(world, row).tx_hash == second.hash != first.hash
    attempts = attempts_of(world, second)
    assert [each.hash for each in attempts] == [first.hash, second.hash]
    assert [each.status for each in attempts] == ["signed", "signed"]
    told = world.events(about=first.id, operator=True)
    assert [each.type for each in told] == ["transaction.replaced"]
    assert told[0].object["replaced_hash"] == first.hash
    world.reconcile()
    world.finalize()
    check_paid_once(world, row, second.hash)
    assert nonce_at(world, world.treasury) == first.nonce + 1


def test_what_is_offered_enough_is_not_replaced(world: World) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    first = transaction_of(world, row)
    send_rpc(world, "anvil_dropTransaction", first.hash)
    for _ in range(3):
        let_pass(world, STUCK_SECONDS)
    again = transaction_of(world, row)
    assert (again.hash, again.replacements, again.waits_for) == (first.hash, 0, None)
    world.finalize()
    check_paid_once(world, row, first.hash)


def test_the_first_attempt_is_mined_after_all(world: World) -> None:
    row, first, second = replaced(world)
    send_rpc(world, "anvil_dropTransaction", second.hash)
    send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(first.max_fee_per_gas // 2))
    assert first.raw is not None
    send_rpc(world, "eth_sendRawTransaction", "0x" + first.raw.hex())
    world.finalize()
    done = transaction_of(world, row)
    assert (done.hash, done.raw, done.status) == (first.hash, first.raw, "posted")
    check_paid_once(world, row, first.hash)


def test_a_reorganisation_swaps_which_attempt_is_mined_before_it_is_final(world: World) -> None:
    row, first, second = replaced(world)
    world.mine()
    world.run()
    assert transaction_of(world, row).hash == second.hash
    swap(world, first, depth=1)
    world.run()
    assert payout_now(world, row).tx_hash == first.hash
    world.finalize()
    check_paid_once(world, row, first.hash)


def test_a_reorganisation_swaps_which_attempt_is_mined_after_it_was_booked(world: World) -> None:
    row, first, second = replaced(world)
    world.finalize()
    check_paid_once(world, row, second.hash)
    paid_second = transaction_of(world, row).gas_cost
    swap(world, first, depth=CONFIRMATIONS + 1)
    let_pass(world, 6)
    world.finalize()
    done = transaction_of(world, row)
    assert (done.hash, done.orphaned, done.status) == (first.hash, False, "posted")
    assert done.gas_cost != paid_second
    check_paid_once(world, row, first.hash)


def swap(world: World, first: ChainTransaction, *, depth: int) -> None:
    """Take the last blocks away; in their place the first attempt is mined."""
    assert first.raw is not None
    world.chain.reorg(depth)
    send_rpc(world, "anvil_dropAllTransactions")
    send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(first.max_fee_per_gas // 2))
    send_rpc(world, "eth_sendRawTransaction", "0x" + first.raw.hex())
    world.mine()


def test_a_spike_of_a_hundred_times_and_back(world: World) -> None:
    """Above the cap nothing is signed anew and nothing fails; below it, what is needed is paid."""
    row, first = stuck(world)
    set_cap(world, first.max_fee_per_gas * 4)
    raise_base_fee(world, first.max_fee_per_gas * 100)
    for _ in range(4):
        let_pass(world, STUCK_SECONDS)
    waiting = transaction_of(world, row)
    assert (waiting.hash, waiting.replacements) == (first.hash, 0)
    assert "the cap is" in (waiting.waits_for or "")
    assert world.event_types(about=world.chain.network, operator=True) == ["network.fees_above_cap"]
    raise_base_fee(world, first.max_fee_per_gas)
    let_pass(world, STUCK_SECONDS)
    second = transaction_of(world, row)
    assert (second.replacements, second.waits_for) == (1, None)
    world.finalize()
    check_paid_once(world, row, second.hash)


def test_no_room_below_the_cap_is_said(world: World) -> None:
    row, first = stuck(world)
    set_cap(world, first.max_fee_per_gas * 105 // 100)
    # The next block's base fee, an eighth below this empty one's, leaves too little of a tip.
    wanted = first.max_fee_per_gas - first.max_priority_fee_per_gas * 97 // 100
    raise_base_fee(world, wanted * 8 // 7)
    let_pass(world, STUCK_SECONDS)
    waiting = transaction_of(world, row)
    assert waiting.replacements == 0
    assert "must offer a tenth more" in (waiting.waits_for or "")
    set_cap(world, 500 * GWEI)
    let_pass(world, 10)
    world.finalize()
    check_paid_once(world, row, transaction_of(world, row).hash)


def test_a_refusal_of_the_signer_ends_the_attempt_and_not_the_payout(world: World) -> None:
    row, first = stuck(world)
    path = world.directory / "policy.toml"
    before, _ = load_policy(path)
    cap = str(first.max_fee_per_gas)
    low = tuple(structs.replace(rule, max_fee_per_gas_max=cap) for rule in before.networks)
    write_policy(path, structs.replace(before, networks=low))
    let_pass(world, STUCK_SECONDS)
    waiting = transaction_of(world, row)
    assert (waiting.hash, waiting.status) == (first.hash, "unknown")
    assert "fee_above_cap" in (waiting.waits_for or "")
    assert [each.status for each in attempts_of(world, first)] == ["signed", "refused"]
    write_policy(path, before)
    let_pass(world, 301)
    second = transaction_of(world, row)
    assert second.replacements == 2
    world.finalize()
    check_paid_once(world, row, second.hash)


def test_an_operator_asks_for_more(world: World) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    first = transaction_of(world, row)
    for _ in range(2):
        ask(world.parts, first.id, "replace", livemode=False)
    world.run()
    second = transaction_of(world, row)
    assert (second.replacements, second.asked) == (1, None)
    world.finalize()
    check_paid_once(world, row, second.hash)


def test_an_operator_cancels(world: World) -> None:
    row, first = stuck(world)
    for _ in range(2):
        ask(world.parts, first.id, "cancel", livemode=False)
    world.run()
    attempts = attempts_of(world, first)
    assert [each.cancels for each in attempts] == [False, True]
    raise_base_fee(world, transaction_of(world, row).max_fee_per_gas * 2)
    let_pass(world, STUCK_SECONDS)
    assert [each.cancels for each in attempts_of(world, first)] == [False, True, True]
    world.reconcile()
    world.finalize()
    done = payout_now(world, row)
    assert (done.status, done.failure_code) == ("failed", "transaction_failed")
    assert done.failure_message == "canceled: its nonce was used up"
    assert units_at(world, BENEFICIARY) == 0
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    assert nonce_at(world, world.treasury) == first.nonce + 1
    world.check()


def test_a_cancel_that_lost_the_race_pays(world: World) -> None:
    row, first = stuck(world)
    ask(world.parts, first.id, "cancel", livemode=False)
    world.run()
    cancel = transaction_of(world, row)
    send_rpc(world, "anvil_dropTransaction", cancel.hash)
    send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(first.max_fee_per_gas // 2))
    assert first.raw is not None
    send_rpc(world, "eth_sendRawTransaction", "0x" + first.raw.hex())
    world.finalize()
    check_paid_once(world, row, first.hash)


def test_through_a_freeze_nothing_is_offered_for_more(world: World) -> None:
    row, first = stuck(world)
    with world.database.begin() as connection:
        freeze(
            connection,
            FreezeOrder(reason="drill", asset=world.asset("usdc")),
            identifier=new_id("frz"),
            origin=FreezeOrigin.cli,
            now=world.clock(),
        )
    let_pass(world, STUCK_SECONDS)
    ask(world.parts, first.id, "replace", livemode=False)
    let_pass(world, STUCK_SECONDS)
    assert [each.status for each in attempts_of(world, first)] == ["signed"]
    assert (payout_now(world, row).status, hold_total(world)) == ("unknown", PAID)
    # The bytes that are out may be mined all the same, and are booked.
    send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(first.max_fee_per_gas // 16))
    world.mine()
    let_pass(world, 400)
    world.finalize()
    check_paid_once(world, row, first.hash)


def test_two_workers_replace_once(world: World) -> None:
    row, first = stuck(world)
    world.advance(timedelta(seconds=STUCK_SECONDS))
    stage = world.stages["transaction.replace"]
    with ThreadPoolExecutor(2) as pool:
        moved = [each.result() for each in [pool.submit(stage.run) for _ in range(2)]]
    assert sorted(moved) == [0, 1]
    world.run()
    assert len(attempts_of(world, first)) == 2
    world.finalize()
    check_paid_once(world, row, transaction_of(world, row).hash)


@pytest.mark.breached
def test_somebody_elses_transaction_is_an_alarm_and_the_chain_decides(world: World) -> None:
    row, first = stuck(world)
    send_rpc(world, "anvil_dropAllTransactions")
    send_rpc(world, "anvil_impersonateAccount", world.treasury)
    foreign = send_rpc(
        world,
        "eth_sendTransaction",
        {
            "from": world.treasury,
            "to": world.treasury,
            "value": "0x0",
            "nonce": hex(first.nonce),
            "maxFeePerGas": hex(first.max_fee_per_gas * 9),
        },
    )
    send_rpc(world, "anvil_stopImpersonatingAccount", world.treasury)
    world.mine()
    world.run_except("transaction.broadcast", "transaction.replace")
    contested = transaction_of(world, row)
    assert contested.status == payout_now(world, row).status == "unknown"
    assert foreign in (contested.error or "")
    with world.database.begin() as connection:
        assert world.treasury in frozen(connection, world.chain.network)
    assert hold_total(world) == PAID
    world.run()
    another = world.payout(PAID, address="0x" + "72" * 20)
    world.mine(CONFIRMATIONS)
    world.run()
    done = payout_now(world, row)
    assert (done.status, done.hold) == ("failed", "voided")
    assert done.failure_message == f"replaced by {foreign}"
    told = world.event_types(about=first.id, operator=True)
    assert told.count("transaction.foreign") == 1
    # Nothing leaves a frozen address.
    waiting = payout_now(world, another)
    assert (waiting.status, waiting.transaction) == ("approved", None)
    assert "frozen" in (waiting.waits_for or "")
    assert units_at(world, BENEFICIARY) == 0


@pytest.mark.parametrize("purpose", [Purpose.topup, Purpose.sweep])
def test_sweeps_and_their_gas_are_replaced_too(make_world: MakeWorld, purpose: Purpose) -> None:
    world = make_world(sweep=True)
    credit(world, 100)
    for _ in range(2):
        waiting = [each for each in world.transactions() if each.status == "broadcast"]
        if [each.purpose for each in waiting] == [purpose]:
            break
        world.finalize()
        let_pass(world, 3)
    [first] = waiting
    raise_base_fee(world, first.max_fee_per_gas * 2)
    let_pass(world, STUCK_SECONDS)
    for _ in range(4):
        world.finalize()
        let_pass(world, STUCK_SECONDS)
    done = {each.id: each for each in world.transactions()}
    assert done[first.id].status == "posted"
    assert done[first.id].replacements == 1
    assert [each.status for each in world.sweeps()] == ["posted"]
    assert units_at(world, world.treasury) == 100 * WHOLE_TOKEN
    world.check()
