"""Pay-ins and reorganisations: before finality, after it, there and back. On a real node."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from tests.flow.fork import Fork
from tests.flow.harness import CONFIRMATIONS, World
from tests.flow.money import dies_with_the_answer, payout_now, transaction_of
from tests.flow.refunding import PAYER, paid, refund, refund_now, refunded

from sakk.core import evm
from sakk.core.network import Asset, Currency
from sakk.core.payin import PayIn
from sakk.core.payment import PaymentIntent
from sakk.flow import reverse
from sakk.flow.book import Books
from sakk.flow.refund import lock_refund
from sakk.flow.transaction import finish_subject
from sakk.flow.transfer import TransferRequest
from sakk.flow.transfer import create as create_transfer
from sakk.rails.sandbox.chain import TokenKind, deploy_token
from sakk.store import payout as payouts
from sakk.store.identity import new_id
from sakk.store.payin import payins

USD_25 = 25_000_000
SEEN = ["payment_intent.created", "payin.seen", "payment_intent.processing"]
BOOKED = ["payin.confirmed", "payin.posted", "payment_intent.succeeded"]
WAITS = (
    "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE a.datname = current_database() AND NOT l.granted"
)


def spend(world: World, amount: int) -> str:
    """Move money to another merchant; returns who has it now."""
    other = world.merchant()
    create_transfer(
        world.parts,
        TransferRequest(amount=amount, currency="usdc", destination=other),
        identifier=new_id("tr"),
        account_id=world.account,
        livemode=False,
    )
    world.run()
    return other


def test_orphaned_before_finality(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(2)
    world.run()
    assert world.facts(intent)[0] == "processing"
    world.chain.reorg(2)
    world.run()
    assert world.payin(intent).status == "orphaned"
    assert world.facts(intent) == ("requires_action", 0, None, None)
    assert world.position() == {}
    assert world.event_types() == [*SEEN, "payin.orphaned", "payment_intent.amount_changed"]
    assert "network.reorganized" in world.event_types(operator=True)
    world.mine(3)
    world.run()
    assert world.position() == {}
    world.check()


def test_mined_again_under_the_same_hash_counts_once(world: World) -> None:
    intent = world.intent(2500)
    transaction = world.pay(intent)
    world.mine(2)
    world.run()
    # In the same second the new block would be the old one, to the bit.
    world.advance(timedelta(seconds=5))
    world.chain.reorg(2, again=[transaction])
    world.run()
    world.finalize()
    rows = world.payins(intent)
    assert [row.status for row in rows] == ["orphaned", "posted"]
    assert {row.tx_hash for row in rows} == {transaction}
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    assert world.amounts() == [USD_25]
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def test_what_was_over_is_not_over_twice_when_a_part_is_mined_again(world: World) -> None:
    """Of 30 for 25 what is over is 5, whichever part was judged first and which came again."""
    world.set_policy(over="refund_due")
    intent = world.intent(2500)
    world.pay(intent, units=15_000_000)
    world.mine()
    later = world.pay(intent, units=15_000_000)
    world.mine(1 + CONFIRMATIONS)
    world.watch()
    world.run_only("payin.match", "payin.finality")
    with world.database.begin() as connection:
        # Another worker is at the first.
        locked = select(payins.c.id).where(payins.c.tx_hash != later).with_for_update()
        connection.execute(locked)
        world.run_only("payin.screen")
    world.run()
    whole = {"custody": 30_000_000, "balance": USD_25, "suspense": 5_000_000}
    assert world.position() == whole
    world.advance(timedelta(seconds=5))
    world.chain.reorg(1 + CONFIRMATIONS, again=[later])
    world.run()
    world.finalize()
    assert sorted(row.status for row in world.payins(intent)) == ["posted", "posted", "reversed"]
    assert world.position() == whole
    world.check()


def test_mined_again_after_the_expiry_counts_all_the_same(world: World) -> None:
    """The payer paid in time; that the chain mined it again later is not the payer's doing."""
    world.set_policy(late="suspense")
    intent = world.intent(2500)
    transaction = world.pay(intent)
    world.mine(2)
    world.run()
    world.advance(timedelta(hours=2))
    world.chain.reorg(2, again=[transaction])
    world.run()
    world.finalize()
    assert world.facts(intent)[:3] == ("succeeded", 2500, "exact")
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    world.check()


def test_reversed_after_finality(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.finalize()
    before = world.ledger_verify().transfers
    world.chain.reorg(3)
    world.run()
    assert world.payin(intent).status == "reversed"
    assert world.position() == {}
    assert world.amounts() == [USD_25, -USD_25]
    assert world.facts(intent) == ("succeeded", 0, None, None)
    assert world.event_types() == [
        *SEEN,
        *BOOKED,
        "payin.reversed",
        "payment_intent.reversed",
    ]
    # Corrections are new transfers: nothing that was written is gone.
    assert world.ledger_verify().transfers == before + 2
    world.check()


def test_reversed_and_mined_again(world: World) -> None:
    intent = world.intent(2500)
    transaction = world.pay(intent)
    world.finalize()
    world.advance(timedelta(seconds=5))
    world.chain.reorg(3, again=[transaction])
    world.run()
    world.finalize()
    assert [row.status for row in world.payins(intent)] == ["reversed", "posted"]
    assert world.amounts() == [USD_25, -USD_25, USD_25]
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def test_reversed_when_the_merchant_has_spent_it(world: World) -> None:
    """A reversal is never blocked: what the balance can not bear is owed as a receivable."""
    intent = world.intent(2500)
    world.pay(intent)
    world.finalize()
    other = spend(world, 20_000_000)
    world.chain.reorg(3)
    world.run()
    assert world.payin(intent).status == "reversed"
    assert world.position() == {"receivable": 20_000_000}
    assert world.balance("usdc", account=other) == 20_000_000
    assert world.amounts() == [USD_25, -20_000_000, -5_000_000]
    world.check()


def test_reversed_when_the_merchant_has_spent_all_of_it(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.finalize()
    spend(world, USD_25)
    world.chain.reorg(3)
    world.run()
    assert world.position() == {"receivable": USD_25}
    assert world.amounts() == [USD_25, -USD_25]
    world.check()


def test_reversed_out_of_suspense(world: World) -> None:
    world.set_policy(wrong_asset="suspense")
    intent = world.intent(2500, currencies=["usdc"])
    world.pay(intent, "usdt", units=USD_25)
    world.finalize()
    assert world.position("usdt") == {"custody": USD_25, "suspense": USD_25}
    world.chain.reorg(3)
    world.run()
    assert world.payin(intent).status == "reversed"
    assert world.position("usdt") == {}
    world.check()


def test_reversed_out_of_quarantine(world: World) -> None:
    world.import_list(world.chain.payer.address)
    intent = world.intent(2500)
    world.pay(intent)
    world.finalize()
    assert world.position() == {"custody": USD_25, "quarantine": USD_25}
    world.chain.reorg(3)
    world.run()
    assert world.payin(intent).status == "reversed"
    assert world.position() == {}
    world.check()


def test_reversed_after_its_release(world: World) -> None:
    world.import_list(world.chain.payer.address)
    intent = world.intent(2500)
    world.pay(intent)
    world.finalize()
    world.release(world.payin(intent))
    world.run()
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    world.chain.reorg(world.chain.height() - world.payin(intent).block_number + 1)
    world.run()
    assert world.payin(intent).status == "reversed"
    assert world.position() == {}
    world.check()


def test_held_and_not_yet_in_quarantine(world: World) -> None:
    world.import_list(world.chain.payer.address)
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    world.run_except("payin.post")
    assert world.payin(intent).status == "held"
    world.chain.reorg(3)
    world.run()
    assert world.payin(intent).status == "reversed"
    assert world.position() == {}
    world.check()


def test_reorganised_between_screening_and_posting(world: World) -> None:
    """From ``screened`` on a post may be under way: it is posted, and reversed after."""
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    world.run_except("payin.post")
    assert world.payin(intent).status == "screened"
    world.chain.reorg(3)
    world.watch()
    world.run_only("payin.orphan", "payin.reverse")
    assert world.payin(intent).status == "screened"
    world.run()
    assert world.payin(intent).status == "reversed"
    assert world.position() == {}
    world.check()


def test_reorganised_between_finality_and_screening(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.mine(3)
    world.run_except("payin.screen")
    assert world.payin(intent).status == "confirmed"
    world.chain.reorg(3)
    world.run()
    assert world.payin(intent).status == "orphaned"
    assert world.position() == {}
    assert world.facts(intent) == ("requires_action", 0, None, None)
    world.check()


def paid_once(world: World, intent: PaymentIntent, *statuses: str) -> None:
    """The rows ended like this, and the merchant has the money exactly once."""
    assert [row.status for row in world.payins(intent)] == list(statuses)
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def test_block_that_comes_back_before_it_was_given_up(world: World) -> None:
    intent = world.intent(2500)
    fork = Fork(world, lambda: world.pay(intent))
    world.run()
    fork.to_b(2)
    world.watch()
    assert world.payin(intent).orphaned
    fork.to_a(3)
    world.watch()
    world.run()
    paid_once(world, intent, "posted")


def test_block_that_comes_back_after_it_was_given_up(world: World) -> None:
    """A to B and back to A: the same block, hash and log again, after its pay-in was orphaned."""
    intent = world.intent(2500)
    fork = Fork(world, lambda: world.pay(intent))
    world.run()
    fork.to_b(2)
    world.run()
    assert world.payin(intent).status == "orphaned"
    fork.to_a(3)
    world.run()
    assert {row.block_hash for row in world.payins(intent)} == {fork.hash}
    paid_once(world, intent, "orphaned", "posted")


def test_block_that_comes_back_after_its_reversal(world: World) -> None:
    intent = world.intent(2500)
    fork = Fork(world, lambda: world.pay(intent))
    world.mine(2)
    world.run()
    fork.to_b(4)
    world.run()
    assert world.payin(intent).status == "reversed"
    fork.to_a(5)
    world.run()
    assert world.amounts() == [USD_25, -USD_25, USD_25]
    paid_once(world, intent, "reversed", "posted")


@pytest.mark.parametrize("step", ["payin.post", "payin.reverse"])
def test_block_that_comes_back_while_its_reversal_is_due(world: World, step: str) -> None:
    """What is posted, or may be, is reversed first and then seen anew: no half of it is lost."""
    intent = world.intent(2500)
    fork = Fork(world, lambda: world.pay(intent))
    world.mine(2)
    world.run_except(step)
    fork.to_b(4)
    world.watch()
    fork.to_a(5)
    world.watch()
    world.run()
    paid_once(world, intent, "reversed", "posted")


def test_block_that_comes_back_between_reversal_and_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = world.intent(2500)
    fork = Fork(world, lambda: world.pay(intent))
    world.mine(2)
    world.run()
    fork.to_b(4)
    world.watch()
    reverse_in_ledger = reverse.reverse_in_ledger

    def then_back(
        books: Books, row: PayIn, assets: dict[str, Asset], currencies: dict[str, Currency]
    ) -> bool:
        booked = reverse_in_ledger(books, row, assets, currencies)
        fork.to_a(5)
        world.watch()
        return booked

    monkeypatch.setattr(reverse, "reverse_in_ledger", then_back)
    assert world.run_only("payin.reverse") == [1]
    monkeypatch.undo()
    world.run()
    paid_once(world, intent, "reversed", "posted")


@pytest.mark.breached
def test_outflow_whose_block_comes_back_while_it_is_taken_back(world: World) -> None:
    """A burn on branch A: booked, given up, and there again before the books had followed."""
    token = deploy_token(
        world.chain.contracts, TokenKind.plain, name="Burnt", symbol="BRN", decimals=6
    )
    world.list_token(token)
    intent = world.intent(2500)
    address = evm.checksum_address(intent.address)
    payer = world.chain.payer
    payer.call_contract(token.contract, "mint(address,uint256)", address, USD_25)
    world.finalize()
    assert world.position(token.contract) == {"custody": USD_25, "balance": USD_25}

    fork = Fork(
        world,
        lambda: payer.call_contract(token.contract, "burn(address,uint256)", address, 7),
    )
    world.mine(2)
    world.run()
    assert world.suspense(token.contract) == -7
    fork.to_b(4)
    world.watch()
    fork.to_a(5)
    world.watch()
    world.run()
    assert [row.status for row in world.outflows()] == ["reversed", "posted"]
    assert world.position(token.contract) == {
        "custody": USD_25 - 7,
        "balance": USD_25,
        "suspense": -7,
    }
    world.check()


def test_an_outcome_that_changes_waits_for_a_refund_with_no_payout_in_hand(world: World) -> None:
    intent = paid(world)
    row = refund(world, intent, address=PAYER)
    world.run()
    world.finalize()
    [payout] = world.payouts()
    sent = transaction_of(world, payout)
    failed = replace(sent, succeeded=False)

    def finish() -> None:
        with world.database.begin() as connection:
            finish_subject(connection, failed, now=world.clock(), before=sent)

    # Everybody locks intents, then refunds, then payouts: no two wait for each other.
    with ThreadPoolExecutor(1) as pool:
        with world.database.begin() as other:
            lock_refund(other, row.id)
            waiting = pool.submit(finish)
            while not waiting.done() and not other.execute(text(WAITS)).scalar_one():
                pass
            carried = payouts.payouts
            other.execute(
                select(carried).where(carried.c.id == payout.id).with_for_update(nowait=True)
            )
        waiting.result()
    assert (refund_now(world, row).status, payout_now(world, payout).status) == (
        "pending",
        "failed",
    )
    world.run_only("refund.follow")
    assert (refund_now(world, row).status, refunded(world, intent)) == ("failed", 0)


@pytest.mark.breached
def test_outflow_that_was_booked_and_not_recorded_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker dies with the ledger's answer, and its block leaves before another looks."""
    token = deploy_token(
        world.chain.contracts, TokenKind.plain, name="Burnt", symbol="BRN", decimals=6
    )
    world.list_token(token)
    intent = world.intent(2500)
    address = evm.checksum_address(intent.address)
    payer = world.chain.payer
    payer.call_contract(token.contract, "mint(address,uint256)", address, USD_25)
    world.finalize()
    payer.call_contract(token.contract, "burn(address,uint256)", address, 7)
    world.mine(3)
    world.run_except("outflow.post")
    dies_with_the_answer(world, monkeypatch, "outflow.post")
    assert world.suspense(token.contract) == -7
    world.chain.reorg(3)
    world.run()
    assert [row.status for row in world.outflows()] == ["reversed"]
    assert world.position(token.contract) == {"custody": USD_25, "balance": USD_25}
    world.check()
