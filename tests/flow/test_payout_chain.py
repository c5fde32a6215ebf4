"""Payouts that the node loses, refuses, reverts or forgets: paid once, or not at all."""

from collections.abc import Iterator

import pytest
from tests.chain import Chain
from tests.flow.conftest import MakeWorld
from tests.flow.harness import CONFIRMATIONS, WHOLE_TOKEN, World
from tests.flow.money import (
    BENEFICIARY,
    credit,
    hold_total,
    let_pass,
    nonce_at,
    payout_now,
    pending_in_pool,
    rich,
    send_rpc,
    transaction_of,
    units_at,
    wei_at,
)
from tests.rails.lying_node import LyingNode, Refuse, lying_node
from tests.rails.test_evm_hub import ANSWERS_FALSE
from tests.screening.conftest import enact

from sakk.core import chart
from sakk.flow import confirm
from sakk.flow.transaction import ask

PAID = 30 * WHOLE_TOKEN


@pytest.fixture
def node(chain: Chain) -> Iterator[LyingNode]:
    """What stands between the world and its node."""
    with lying_node(chain.rpc_url) as started:
        yield started


def gas_spent(world: World) -> int:
    return -world.ledger(chart.fee_network("test/eth"))


def test_an_answer_that_was_lost_is_unknown_and_paid_once(
    make_world: MakeWorld, node: LyingNode
) -> None:
    world = make_world(rpc_urls=[node.url])
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    node.cut_after.add("eth_sendRawTransaction")
    world.run_except("transaction.confirm")
    first = transaction_of(world, row)
    assert (first.status, payout_now(world, row).status) == ("unknown", "unknown")
    assert pending_in_pool(world) == 1
    world.reconcile()
    let_pass(world, 6)
    node.honest()
    let_pass(world, 30)
    again = transaction_of(world, row)
    assert (again.raw, again.hash, again.nonce) == (first.raw, first.hash, first.nonce)
    assert again.broadcasts > first.broadcasts
    assert again.status == "broadcast"
    world.finalize()
    assert payout_now(world, row).status == "posted"
    assert units_at(world, BENEFICIARY) == PAID
    told = world.event_types(about=row.id)
    assert (told.count("payout.confirmed"), told.count("payout.posted")) == (1, 1)
    assert "payout.unknown" not in told
    assert "payout.unknown" in world.event_types(about=row.id, operator=True)
    world.check()


@pytest.mark.parametrize(
    "words", ["transaction underpriced", "insufficient funds for gas", "rlp: too long", "busy"]
)
def test_a_refusal_of_a_node_is_no_failure(
    make_world: MakeWorld, node: LyingNode, words: str
) -> None:
    world = make_world(rpc_urls=[node.url])
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)

    def refuse(params: list[object], truth: object) -> object:
        raise Refuse(-32000, words)

    node.answer("eth_sendRawTransaction", refuse)
    # The node behind took the bytes none the less; as far as Sakk can know, none did.
    send_rpc(world, "anvil_dropAllTransactions")
    world.run_except("transaction.confirm")
    send_rpc(world, "anvil_dropAllTransactions")
    first = transaction_of(world, row)
    assert (first.status, payout_now(world, row).status) == ("unknown", "unknown")
    assert hold_total(world) == PAID
    node.honest()
    let_pass(world, 60)
    world.finalize()
    assert transaction_of(world, row).raw == first.raw
    assert payout_now(world, row).status == "posted"
    assert units_at(world, BENEFICIARY) == PAID
    world.check()


def test_a_dropped_transaction_is_sent_again_byte_for_byte(world: World) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    first = transaction_of(world, row)
    for _ in range(3):
        send_rpc(world, "anvil_dropTransaction", first.hash)
        assert pending_in_pool(world) == 0
        world.run()
        let_pass(world, 6)
        assert pending_in_pool(world) == 1
    world.finalize()
    done = transaction_of(world, row)
    assert (done.raw, done.hash, done.broadcasts) == (first.raw, first.hash, 4)
    assert units_at(world, BENEFICIARY) == PAID
    world.check()


def test_a_chain_that_was_put_back_is_paid_on_again(world: World) -> None:
    rich(world, 100)
    snapshot = send_rpc(world, "evm_snapshot")
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.mine()
    world.run()
    first = transaction_of(world, row)
    assert first.block_hash is not None
    send_rpc(world, "evm_revert", snapshot)
    send_rpc(world, "anvil_dropAllTransactions")
    world.mine()
    world.run()
    assert units_at(world, BENEFICIARY) == 0
    let_pass(world, 6)
    world.finalize()
    done = transaction_of(world, row)
    assert (done.raw, done.status) == (first.raw, "posted")
    assert units_at(world, BENEFICIARY) == PAID
    told = world.event_types(about=row.id)
    assert (told.count("payout.confirmed"), told.count("payout.posted")) == (1, 1)
    world.check()


def test_a_reorg_before_finality(world: World) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.mine()
    world.run()
    first = transaction_of(world, row)
    assert first.block_number == world.chain.height()
    world.chain.reorg(1)
    world.run()
    assert payout_now(world, row).status == "broadcast"
    world.reconcile()
    let_pass(world, 6)
    world.finalize()
    done = transaction_of(world, row)
    assert (done.raw, done.status) == (first.raw, "posted")
    assert units_at(world, BENEFICIARY) == PAID
    assert world.event_types(about=row.id).count("payout.posted") == 1
    world.check()


def test_a_reorg_after_the_books_were_closed_sends_the_same_bytes(world: World) -> None:
    rich(world, 100)
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(3)]
    world.run()
    for _ in range(20):
        world.mine()
        let_pass(world, 1)
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    first = {row.id: transaction_of(world, row) for row in rows}
    depth = world.chain.height() - min(each.block_number or 0 for each in first.values()) + 1
    world.chain.reorg(depth)
    world.run()
    assert all(transaction_of(world, row).orphaned for row in rows)
    assert units_at(world, BENEFICIARY) == 0
    proof = world.reconcile()
    assert {each.row for asset in proof.networks[0].assets for each in asset.in_flight} >= {
        each.id for each in first.values()
    }
    # A base fee of another height: what the same bytes cost is not what they cost before.
    base_fee = min(each.max_fee_per_gas for each in first.values()) * 3 // 4
    send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(base_fee))
    let_pass(world, 6)
    world.finalize()
    assert any(transaction_of(world, row).gas_cost != first[row.id].gas_cost for row in rows)
    for row in rows:
        done = transaction_of(world, row)
        assert (done.raw, done.orphaned, done.status) == (first[row.id].raw, False, "posted")
        assert payout_now(world, row).status == "posted"
        assert world.event_types(about=row.id).count("payout.posted") == 1
    assert units_at(world, BENEFICIARY) == 3 * PAID
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    world.check()
    # And the next one follows without a gap.
    later = world.payout(PAID // 10, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert payout_now(world, later).status == "posted"
    world.check()


def pause(world: World) -> None:
    world.chain.issuer.call_contract(world.contract("usdc"), "pause()")


def unpause(world: World) -> None:
    world.chain.issuer.call_contract(world.contract("usdc"), "unpause()")


def test_one_that_reverted_is_failed_by_proof_of_the_chain(world: World) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    pause(world)
    world.mine()
    world.run()
    assert payout_now(world, row).status == "broadcast"
    assert hold_total(world) == PAID
    world.reconcile()
    world.mine(CONFIRMATIONS)
    world.run()
    done = payout_now(world, row)
    assert (done.status, done.failure_code) == ("failed", "transaction_failed")
    assert done.hold == "voided"
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    sent = transaction_of(world, row)
    assert (sent.status, sent.succeeded) == ("failed", False)
    assert sent.gas_cost == gas_spent(world) > 0
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    assert world.event_types(about=row.id)[-1] == "payout.failed"
    unpause(world)
    world.finalize()
    again = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert payout_now(world, again).status == "posted"
    assert units_at(world, BENEFICIARY) == PAID
    world.check()


def test_a_token_that_answers_false_has_paid_nobody(world: World) -> None:
    """It did not revert: by EIP-20 a token may also say so, and move nothing."""
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    token = world.contract("usdc")
    code = send_rpc(world, "eth_getCode", token, "latest")
    send_rpc(world, "anvil_setCode", token, ANSWERS_FALSE)
    world.mine()
    send_rpc(world, "anvil_setCode", token, code)
    world.finalize()
    done = payout_now(world, row)
    assert (done.status, done.failure_code) == ("failed", "transaction_failed")
    assert done.failure_message == "The token answered false and moved nothing."
    assert (world.balance(), hold_total(world)) == (100 * WHOLE_TOKEN, 0)
    assert units_at(world, BENEFICIARY) == 0
    world.check()


def test_a_settled_one_that_reverts_on_the_other_branch_gives_its_money_back(
    world: World,
) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert payout_now(world, row).status == "posted"
    world.chain.reorg(CONFIRMATIONS + 1)
    pause(world)
    world.mine()
    world.run()
    let_pass(world, 6)
    world.finalize()
    done = payout_now(world, row)
    assert (done.status, done.failure_code) == ("failed", "transaction_failed")
    assert world.balance() == 100 * WHOLE_TOKEN
    assert units_at(world, BENEFICIARY) == 0
    assert world.ledger(chart.payout_in_flight("test/usdc")) == 0
    assert world.event_types(about=row.id)[-2:] == ["payout.posted", "payout.failed"]
    world.check()


def test_a_chain_that_decides_anew_while_the_last_is_booked_is_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The books have it, its row does not, and then the block is lost by which it was."""
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.finalize()
    sent = transaction_of(world, row)
    world.chain.reorg(CONFIRMATIONS + 1)
    pause(world)
    world.mine()
    world.run()
    let_pass(world, 6)
    world.mine(1 + CONFIRMATIONS)

    def cut(*_: object, **__: object) -> None:
        raise Cut

    monkeypatch.setattr(confirm, "settle", cut)
    with pytest.raises(Cut):
        world.run()
    monkeypatch.undo()
    assert payout_now(world, row).status == "posted"
    world.chain.reorg(world.chain.height() - (sent.block_number or 0) + 1)
    for _ in range(4):
        let_pass(world, 60)
        world.finalize()
    assert payout_now(world, row).status == "posted"
    assert units_at(world, BENEFICIARY) == PAID
    assert world.balance() - world.receivable() == 70 * WHOLE_TOKEN
    assert world.event_types(about=row.id)[-2:] == ["payout.failed", "payout.posted"]
    world.check()


class Cut(Exception):
    """The process is gone here."""


def test_a_failed_one_that_succeeds_on_the_other_branch_is_owed(world: World) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    pause(world)
    world.finalize()
    assert payout_now(world, row).status == "failed"
    sent = transaction_of(world, row)
    world.chain.reorg(CONFIRMATIONS + 1, again=[sent.hash or ""])
    world.run()
    let_pass(world, 6)
    world.finalize()
    done = payout_now(world, row)
    assert (done.status, done.failure_code) == ("posted", None)
    assert transaction_of(world, row).raw == sent.raw
    assert units_at(world, BENEFICIARY) == PAID
    assert (world.balance(), world.receivable()) == (100 * WHOLE_TOKEN, PAID)
    assert world.ledger(chart.payout_in_flight("test/usdc")) == 0
    world.check()


def test_a_failed_one_that_leaves_the_chain_is_called_off(world: World) -> None:
    """Its merchant was told and has paid anew: its bytes, good again, do not pay a second time."""
    rich(world, 100)
    failed = world.payout(PAID, address=BENEFICIARY)
    world.run()
    pause(world)
    world.finalize()
    assert payout_now(world, failed).status == "failed"
    unpause(world)
    world.mine()
    anew = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert units_at(world, BENEFICIARY) == PAID
    world.chain.reorg(world.chain.height() - (transaction_of(world, failed).block_number or 0) + 1)
    world.watch()
    # An operator in a hurry offers more for what is on its way: not for this one's payment.
    asked = ask(world.parts, transaction_of(world, failed).id, "replace", livemode=False)
    assert (asked.orphaned, asked.asked) == (True, "cancel")
    world.run()
    assert all(transaction_of(world, row).orphaned for row in (failed, anew))
    for _ in range(3):
        let_pass(world, 6)
        world.finalize()
    assert [payout_now(world, row).status for row in (failed, anew)] == ["failed", "posted"]
    assert units_at(world, BENEFICIARY) == PAID
    assert (world.balance(), hold_total(world)) == (70 * WHOLE_TOKEN, 0)
    assert world.event_types(about=failed.id).count("payout.failed") == 1
    done = transaction_of(world, failed)
    assert (done.status, done.orphaned) == ("failed", False)
    assert done.error == "canceled: its nonce was used up"
    world.check()


def test_a_block_that_is_not_followed_yet_ends_nothing(world: World) -> None:
    """Its loss would be noticed by nobody: the watcher had never seen it."""
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.mine(1 + CONFIRMATIONS)
    world.run_except(f"watch.{world.chain.network}")
    assert payout_now(world, row).status == "broadcast"
    # It is mined, so no more is offered for it while the watcher is behind.
    assert transaction_of(world, row).block_number == world.chain.height() - CONFIRMATIONS
    world.chain.reorg(CONFIRMATIONS + 1)
    for _ in range(3):
        let_pass(world, 6)
        world.finalize()
    assert payout_now(world, row).status == "posted"
    assert units_at(world, BENEFICIARY) == PAID
    world.check()


def test_what_is_on_its_way_ends_on_a_network_that_is_disabled(world: World) -> None:
    """Nobody follows it any more, so the chain's word is all there is."""
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.mine(1 + CONFIRMATIONS)
    with world.database.begin() as connection:
        connection.exec_driver_sql("UPDATE networks SET enabled = false")
    world.run_except(f"watch.{world.chain.network}")
    assert payout_now(world, row).status == "posted"
    assert units_at(world, BENEFICIARY) == PAID


def test_a_block_that_is_lost_while_it_is_asked_for_ends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.mine(1 + CONFIRMATIONS)
    world.watch()

    def lost(name: str) -> None:
        if name == "transaction.confirm.before":
            monkeypatch.undo()
            world.chain.reorg(CONFIRMATIONS + 1)
            world.watch()

    monkeypatch.setattr(confirm, "failpoint", lost)
    world.run_only("transaction.confirm")
    assert payout_now(world, row).status == "broadcast"
    for _ in range(3):
        let_pass(world, 6)
        world.finalize()
    assert payout_now(world, row).status == "posted"
    assert units_at(world, BENEFICIARY) == PAID
    world.check()


def test_a_deny_listed_beneficiary_fails_and_holds_nobody_up(world: World) -> None:
    # As if the issuer denied it just after it was screened: no rule asks before.
    enact(world.database)
    rich(world, 100)
    world.chain.issuer.call_contract(world.contract("usdc"), "blacklist(address)", BENEFICIARY)
    world.mine()
    denied = world.payout(PAID, address=BENEFICIARY)
    other = "0x" + "71" * 20
    fine = world.payout(PAID, address=other)
    world.run()
    world.finalize()
    assert payout_now(world, denied).status == "approved"
    assert payout_now(world, fine).status == "posted"
    for _ in range(6):
        let_pass(world, 10)
    done = payout_now(world, denied)
    assert (done.status, done.failure_code) == ("failed", "transfer_would_fail")
    assert (done.hold, done.transaction) == ("voided", None)
    assert (world.balance(), hold_total(world)) == (70 * WHOLE_TOKEN, 0)
    assert units_at(world, other) == PAID
    assert world.event_types(about=denied.id)[-1] == "payout.failed"
    world.check()


def test_a_spike_shorter_than_a_replacement_takes_delays_and_nothing_more(world: World) -> None:
    rich(world, 100)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    first = transaction_of(world, row)
    for _ in range(3):
        send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(first.max_fee_per_gas * 2))
        world.mine()
        let_pass(world, 6)
    assert payout_now(world, row).status == "unknown"
    assert nonce_at(world, world.treasury) == first.nonce
    send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(first.max_fee_per_gas // 16))
    world.mine()
    let_pass(world, 30)
    world.finalize()
    assert payout_now(world, row).status == "posted"
    assert transaction_of(world, row).raw == first.raw
    assert units_at(world, BENEFICIARY) == PAID
    world.check()


def test_a_balance_that_is_not_in_the_treasury_never_goes_out_twice(world: World) -> None:
    """Coins that one transaction is about to take are not counted for the next."""
    credit(world, 100)
    rich(world, 1, liquidity=40)
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(2)]
    world.run()
    let_pass(world, 3)
    statuses = sorted(payout_now(world, row).status for row in rows)
    assert statuses == ["approved", "broadcast"]
    world.finalize()
    let_pass(world, 3)
    assert sorted(payout_now(world, row).status for row in rows) == ["approved", "posted"]
    assert [each.status for each in world.transactions()] == ["posted"]
    world.check()
