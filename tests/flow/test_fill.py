"""Nonces that nothing of ours will use: they are used up, and what waits behind them is mined."""

import pytest
from tests.flow.harness import CONFIRMATIONS, World
from tests.flow.money import (
    BENEFICIARY,
    hold_total,
    let_pass,
    nonce_at,
    payout_now,
    rich,
    send_rpc,
    transaction_of,
    units_at,
)
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core.payout import Payout
from sakk.flow.fill import GAP_AFTER
from sakk.flow.sender import unfreeze
from sakk.store import sender as senders
from sakk.store.transaction import lock_nonce

PAID = 30 * WHOLE_TOKEN
LATER = GAP_AFTER.seconds + 1


def test_a_node_that_said_too_much_leaves_a_gap_that_is_filled(world: World) -> None:
    rich(world, 100)
    first = nonce_at(world, world.treasury)
    with world.database.begin() as connection:
        lock_nonce(connection, world.chain.network, world.treasury, base=first + 2)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert transaction_of(world, row).nonce == first + 2
    assert payout_now(world, row).status == "broadcast"
    let_pass(world, LATER)
    filling = [each for each in world.transactions() if each.purpose == "cancel"]
    assert sorted(each.nonce for each in filling) == [first, first + 1]
    assert {each.token_amount for each in filling} == {0}
    world.reconcile()
    world.finalize()
    let_pass(world, LATER)
    assert payout_now(world, row).status == "posted"
    assert {each.status for each in world.transactions()} == {"posted"}
    assert units_at(world, BENEFICIARY) == PAID
    assert nonce_at(world, world.treasury) == first + 3
    assert len(world.transactions()) == 3
    world.check()


def test_what_only_waits_for_a_block_is_no_gap(world: World) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    for _ in range(3):
        let_pass(world, LATER)
    assert [each.purpose for each in world.transactions()] == ["payout"]
    world.finalize()
    assert payout_now(world, row).status == "posted"
    world.check()


def take_its_nonce(world: World, row: Payout) -> None:
    """Somebody else's transaction uses a payout's nonce, and is final when it is looked at."""
    sent = transaction_of(world, row)
    send_rpc(world, "anvil_dropAllTransactions")
    send_rpc(world, "anvil_impersonateAccount", world.treasury)
    call = {"from": world.treasury, "to": world.treasury, "nonce": hex(sent.nonce)}
    send_rpc(world, "eth_sendTransaction", call)
    send_rpc(world, "anvil_stopImpersonatingAccount", world.treasury)
    world.mine(1 + CONFIRMATIONS)


def failed_by_another(world: World) -> Payout:
    """A payout whose nonce somebody else's final transaction took; its money is available again."""
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    take_its_nonce(world, row)
    world.run()
    assert payout_now(world, row).status == "failed"
    unfreeze(world.parts, world.chain.network, world.treasury)
    return row


@pytest.mark.breached
def test_a_nonce_that_comes_back_is_not_used_by_what_was_given_back(world: World) -> None:
    """The other's transaction leaves the chain: what had failed could be mined after all."""
    rich(world, 100)
    failed = failed_by_another(world)
    gone = transaction_of(world, failed)
    another = "0x" + "74" * 20
    row = world.payout(PAID, address=another)
    world.run()
    assert transaction_of(world, row).nonce == gone.nonce + 1
    world.chain.reorg(CONFIRMATIONS + 1)
    send_rpc(world, "anvil_dropAllTransactions")
    world.mine()
    world.run()
    assert nonce_at(world, world.treasury) == gone.nonce
    for _ in range(4):
        let_pass(world, LATER)
        world.finalize()
    assert payout_now(world, row).status == "posted"
    assert payout_now(world, failed).status == "failed"
    assert (units_at(world, another), units_at(world, BENEFICIARY)) == (PAID, 0)
    assert (world.balance(), hold_total(world)) == (70 * WHOLE_TOKEN, 0)
    done = transaction_of(world, failed)
    assert (done.status, done.orphaned) == ("failed", False)
    assert done.error == "canceled: its nonce was used up"
    told = world.event_types(about=gone.id, operator=True)
    assert told.count("transaction.foreign") == 1
    world.check()


@pytest.mark.breached
def test_one_that_comes_back_with_nothing_behind_it_is_called_off(world: World) -> None:
    """The block that had replaced it is lost: whoever kept its bytes has not long to send them."""
    rich(world, 100)
    failed = failed_by_another(world)
    gone = transaction_of(world, failed)
    assert (gone.block_number, gone.block_hash is not None) == (
        world.chain.height() - CONFIRMATIONS,
        True,
    )
    world.chain.reorg(CONFIRMATIONS + 1)
    send_rpc(world, "anvil_dropAllTransactions")
    world.mine()
    world.run()
    assert nonce_at(world, world.treasury) == gone.nonce
    for _ in range(2):
        let_pass(world, 6)
        world.finalize()
    assert nonce_at(world, world.treasury) == gone.nonce + 1
    assert payout_now(world, failed).status == "failed"
    assert (units_at(world, BENEFICIARY), world.balance()) == (0, 100 * WHOLE_TOKEN)
    done = transaction_of(world, failed)
    assert (done.status, done.orphaned) == ("failed", False)
    assert done.error == "canceled: its nonce was used up"
    world.check()


@pytest.mark.breached
def test_who_takes_the_nonce_of_what_was_booked_freezes_the_sender(world: World) -> None:
    """A payout that was made leaves the chain, and another's transaction is final in its place."""
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert payout_now(world, row).status == "posted"
    world.chain.reorg(CONFIRMATIONS + 1)
    take_its_nonce(world, row)
    world.run()
    assert payout_now(world, row).status == "failed"
    told = world.event_types(about=transaction_of(world, row).id, operator=True)
    assert told.count("transaction.foreign") == 1
    with world.database.begin() as connection:
        assert world.treasury in senders.frozen(connection, world.chain.network)
    assert (units_at(world, BENEFICIARY), world.balance()) == (0, 100 * WHOLE_TOKEN)
    # The gas of theirs came off our address too: reconciliation says so.
    world.reconcile(ok=False)
    world.ledger_verify()
