"""Chain transactions: what a final one did to the books, and to the row that it was for."""

from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, update

from sakk.core import event, payout_posting
from sakk.core import rotation as rotation_rules
from sakk.core import sweep as sweep_rules
from sakk.core import withdrawal as withdrawal_rules
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.escrow_call import CarriedCall, settlement_postings
from sakk.core.event import NewEvent
from sakk.core.payout import HoldStatus, Payout, PayoutPurpose, PayoutStatus
from sakk.core.posting import Posting, merged
from sakk.core.sweep import Sweep, SweepStatus, deposit_units
from sakk.core.transaction import (
    ASK_CANCEL,
    Attempt,
    AttemptStatus,
    ChainTransaction,
    GasCoin,
    Purpose,
    TransactionStatus,
    forgotten_postings,
    gas_postings,
    is_replaceable,
    operator_view,
    topup_postings,
)
from sakk.core.travel_rule import TravelRuleStatus
from sakk.core.withdrawal import Withdrawal, WithdrawalStatus
from sakk.flow import application_fee, fee
from sakk.flow.context import Parts
from sakk.flow.escrow_call import finish_call
from sakk.flow.payout import payout_event
from sakk.flow.recovery import follow_again
from sakk.flow.stage import wake
from sakk.flow.sweep import SWEEP_AGAIN_AFTER, advance_collected, finish_collected, sweep_event
from sakk.flow.withdrawal import advance_withdrawal, finish_withdrawal
from sakk.flow.x402_payment import note_posted
from sakk.signing.protocol import Signed
from sakk.store import address
from sakk.store import charge_refund as charge_refunds
from sakk.store import escrow_channel as escrow_calls
from sakk.store import payout as payouts
from sakk.store import refund as refunds
from sakk.store import settlement as settlements
from sakk.store import sweep as sweeps
from sakk.store import transaction as store
from sakk.store import withdrawal as withdrawals
from sakk.store.database import update_records
from sakk.store.identity import new_id
from sakk.store.x402_payment import x402_payments

Subject: TypeAlias = Sweep | Withdrawal | list[Payout] | tuple[Sweep, ...] | CarriedCall | None


def first_attempt(row: ChainTransaction, signed: Signed, *, now: datetime) -> Attempt:
    """A transaction as it was signed first: replacements follow it."""
    return Attempt(
        id=new_id("txa"),
        transaction=row.id,
        attempt=0,
        network=row.network,
        max_fee_per_gas=row.max_fee_per_gas,
        max_priority_fee_per_gas=row.max_priority_fee_per_gas,
        unsigned=row.unsigned,
        raw=signed.raw,
        hash=signed.hash,
        status=AttemptStatus.signed.value,
        explanation=signed.explanation,
        signed_at=now,
        created=row.created,
    )


def follow_hash(connection: Connection, row: ChainTransaction, tx_hash: str) -> None:
    """What a transaction carries out names the attempt that was signed last, or mined."""
    for table in (payouts.payouts, sweeps.sweeps, x402_payments):
        connection.execute(
            update(table).where(table.c.transaction == row.id).values(tx_hash=tx_hash)
        )


def ask(parts: Parts, identifier: str, what: str, *, livemode: bool) -> ChainTransaction:
    """Have a transaction replaced now: ``replace`` offers more, ``cancel`` uses the nonce up.

    Of one that had failed and left the chain, more is offered for what calls it off.
    Again changes nothing. UnexpectedState once a block holds it, or while it is not signed.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        row = store.lock_one(connection, identifier, livemode=livemode)
        if row is None:
            raise ResourceMissing(
                "No such chain transaction: {transaction}", param="id", transaction=repr(identifier)
            )
        if not is_replaceable(row):
            where = f"{row.status}, in block {row.block_number}" if row.block_hash else row.status
            raise UnexpectedState(
                "{transaction} is {where}: there is nothing to replace.",
                transaction=identifier,
                where=where,
            )
        if row.orphaned and not row.succeeded:
            what = ASK_CANCEL
        change = {"id": row.id, "asked": what, "replace_at": now}
        update_records(connection, store.transactions, [change])
        wake(connection, "transaction.replace")
    return replace(row, asked=what, replace_at=now)


def transaction_event(row: ChainTransaction, name: str, **more: Any) -> NewEvent:
    """An event about a chain transaction; the operator's alone."""
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object={**operator_view(row), **more},
    )


def find_subject(connection: Connection, row: ChainTransaction) -> Subject:
    """What a transaction is for: of a top-up the sweep that needs the gas, of a collection many."""
    match Purpose(row.purpose):
        case Purpose.collect:
            return tuple(sweeps.of_transaction(connection, row.id))
        case Purpose.sweep | Purpose.topup | Purpose.recovery:
            return sweeps.find(connection, row.subject)
        case Purpose.withdrawal:
            return withdrawals.find(connection, row.subject)
        case Purpose.payout | Purpose.refund | Purpose.disperse:
            return payouts.lock_carried(connection, row.id)
        case Purpose.redemption | Purpose.escrow:
            return escrow_calls.carried_by(connection, row)
        case Purpose.cancel | Purpose.allowance | Purpose.deploy | Purpose.capture:
            return None
        case Purpose.rotation | Purpose.forgotten:
            return None


def move_payouts(
    connection: Connection,
    row: ChainTransaction,
    status: PayoutStatus,
    name: str,
    *,
    paid_only: bool = False,
    **fields: Any,
) -> list[NewEvent]:
    """All payouts that a transaction carries take a status together; what is told of it.

    ``paid_only``: those of lines that did not fail. ``fields`` are set beside the status.
    """
    moved = [
        replace(payout, status=status.value, **fields)
        for payout in payouts.lock_carried(connection, row.id)
        if not paid_only or row.pays(payout.transaction_line)
    ]
    changed = ("id", "status", *fields)
    rows = [{field: getattr(payout, field) for field in changed} for payout in moved]
    update_records(connection, payouts.payouts, rows)
    if any(payout.purpose == PayoutPurpose.refund for payout in moved):
        wake(connection, "refund.follow")
    return [payout_event(payout, name) for payout in moved]


def settlement(row: ChainTransaction, subject: Subject, *, coin: GasCoin) -> list[Posting]:
    """What a final transaction did: the gas in any case, the coins if it succeeded.

    A payout's hold is settled beside these, under the payout's own id.
    """
    moved = gas_postings(row, coin=coin)
    if row.succeeded:
        match Purpose(row.purpose):
            case Purpose.topup:
                moved += topup_postings(row, native_asset=coin.asset)
            case Purpose.forgotten:
                moved += forgotten_postings(row)
            case Purpose.rotation:
                moved += rotation_rules.postings(row)
            case Purpose.sweep | Purpose.recovery:
                assert isinstance(subject, Sweep)
                moved += sweep_rules.postings(subject, arrived_units=row.arrived_units or 0)
            case Purpose.withdrawal:
                assert isinstance(subject, Withdrawal)
                moved += withdrawal_rules.postings(subject)
            case Purpose.collect:
                assert isinstance(subject, tuple)
                for sweep in subject:
                    if sweep.arrived_units:
                        arrived = sweep.arrived_units
                        moved += sweep_rules.postings(sweep, arrived_units=arrived)
            case (
                Purpose.payout
                | Purpose.refund
                | Purpose.disperse
                | Purpose.redemption
                | Purpose.escrow
            ):
                moved += _carried(row, subject)
            case Purpose.cancel | Purpose.allowance | Purpose.deploy | Purpose.capture:
                pass
    return moved


def _carried(row: ChainTransaction, subject: Subject) -> list[Posting]:
    """What the payouts of a transaction moved whose lines did not fail, or a call of the escrow.

    A call that a restored database does not know moved nothing that it could name.
    """
    if isinstance(subject, CarriedCall):
        return settlement_postings(subject, arrived_units=row.arrived_units or 0)
    if not isinstance(subject, list):
        return []
    paid = [payout for payout in subject if row.pays(payout.transaction_line)]
    moved = merged(
        posting for payout in paid for posting in payout_posting.settlement_postings(payout)
    )
    # Each fee is a transfer of its own.
    return moved + [each for payout in paid for each in payout_posting.fee_postings(payout)]


def follow_status(
    connection: Connection, row: ChainTransaction, status: TransactionStatus
) -> list[NewEvent]:
    """The payout or sweep takes its transaction's status; a top-up has no row of its own."""
    unknown = status is TransactionStatus.unknown
    change: dict[str, Any] = {"id": row.subject}
    match Purpose(row.purpose):
        case Purpose.payout | Purpose.refund | Purpose.disperse:
            after = PayoutStatus.unknown if unknown else PayoutStatus.broadcast
            name = event.PAYOUT_UNKNOWN if unknown else event.PAYOUT_BROADCAST
            return move_payouts(connection, row, after, name)
        case Purpose.sweep | Purpose.recovery:
            sweep = sweeps.lock_one(connection, row.subject)
            assert sweep is not None
            swept = SweepStatus.unknown if unknown else SweepStatus.broadcast
            update_records(connection, sweeps.sweeps, [{**change, "status": swept.value}])
            name = event.SWEEP_UNKNOWN if unknown else event.SWEEP_BROADCAST
            if row.purpose == Purpose.recovery:
                wake(connection, "recovery.follow")
            return [sweep_event(replace(sweep, status=swept.value), name)]
        case Purpose.collect:
            swept = SweepStatus.unknown if unknown else SweepStatus.broadcast
            name = event.SWEEP_UNKNOWN if unknown else event.SWEEP_BROADCAST
            return advance_collected(connection, row.id, swept, name)
        case Purpose.withdrawal:
            sent = WithdrawalStatus.unknown if unknown else WithdrawalStatus.broadcast
            return advance_withdrawal(connection, row.subject, sent)
        case Purpose.topup | Purpose.cancel | Purpose.allowance | Purpose.deploy:
            return []
        case Purpose.rotation | Purpose.forgotten | Purpose.capture:
            return []
        case Purpose.redemption | Purpose.escrow:
            return []


def finish_subject(
    connection: Connection,
    row: ChainTransaction,
    *,
    now: datetime,
    before: ChainTransaction | None = None,
) -> list[NewEvent]:
    """Bring the payouts or the sweep of a booked transaction to their end, and tell of it.

    ``before``: the transaction as it was booked before a reorganisation; what is the same stays.
    """
    match Purpose(row.purpose):
        case Purpose.topup | Purpose.forgotten:
            wake(connection, "sweep.build")
            return []
        case Purpose.rotation:
            wake(connection, "rotation.build", "payout.build")
            return []
        case Purpose.sweep | Purpose.recovery:
            told = _finish_sweep(connection, row, now=now)
            if before is not None:
                follow_again(connection, row.subject, now=now)
            return [told]
        case Purpose.withdrawal:
            done = bool(row.succeeded)
            return finish_withdrawal(connection, row.subject, succeeded=done, now=now)
        case Purpose.collect:
            return finish_collected(connection, row.id, succeeded=bool(row.succeeded), now=now)
        case Purpose.payout | Purpose.refund | Purpose.disperse:
            return _finish_payouts(connection, row, before, now=now)
        case Purpose.allowance:
            wake(connection, "payout.build")
            return []
        case Purpose.capture:
            note_posted(connection, row)
            return []
        case Purpose.redemption | Purpose.escrow:
            finish_call(connection, row, before, now=now)
            return []
        case Purpose.cancel | Purpose.deploy:
            return []


def _finish_payouts(
    connection: Connection, row: ChainTransaction, before: ChainTransaction | None, *, now: datetime
) -> list[NewEvent]:
    if before is not None:
        refunds.lock_carried(connection, row.id)
    finished = [
        _finished(row, payout, now=now)
        for payout in payouts.lock_carried(connection, row.id)
        if before is None
        or row.pays(payout.transaction_line) != before.pays(payout.transaction_line)
    ]
    fields = ("id", "status", "hold", "posted_at", "failure_code", "failure_message")
    changes = [{field: getattr(done, field) for field in fields} for done, _ in finished]
    update_records(connection, payouts.payouts, changes)
    for book in (fee.book_payouts, application_fee.book_payouts):
        book(connection, [done for done, _ in finished], again=before is not None, now=now)
    if any(name == event.PAYOUT_FAILED for _, name in finished):
        wake(connection, "payout.release")
    if any(done.travel_rule != TravelRuleStatus.not_required for done, _ in finished):
        wake(connection, "payout.travel_rule")
    for done, _ in finished:
        if done.purpose == PayoutPurpose.refund:
            refunds.reopen(connection, done.id)
            wake(connection, "refund.follow")
        if "charge_refund" in done.metadata:
            charge_refunds.reopen(connection, done.id)
            wake(connection, "charge_refund.follow")
        if "settlement" in done.metadata:
            if before is not None:
                settlements.reopen(connection, done.id)
            wake(connection, "settlement.follow")
    return [payout_event(done, name) for done, name in finished]


def _finished(row: ChainTransaction, payout: Payout, *, now: datetime) -> tuple[Payout, str]:
    """A payout at its end, by what its line of the transaction did; and what that is called."""
    if row.pays(payout.transaction_line):
        done = replace(
            payout,
            status=PayoutStatus.posted.value,
            hold=(HoldStatus.posted.value if payout.hold == HoldStatus.held else payout.hold),
            posted_at=now,
            failure_code=None,
            failure_message=None,
        )
        return done, event.PAYOUT_POSTED
    failed = replace(
        payout,
        status=PayoutStatus.failed.value,
        failure_code="transfer_failed" if row.succeeded else "transaction_failed",
        failure_message=row.why_unpaid(payout.transaction_line),
    )
    return failed, event.PAYOUT_FAILED


def _finish_sweep(connection: Connection, row: ChainTransaction, *, now: datetime) -> NewEvent:
    sweep = sweeps.lock_one(connection, row.subject)
    assert sweep is not None
    if row.succeeded:
        done = replace(sweep, status=SweepStatus.posted.value, posted_at=now, failure_code=None)
        name = event.SWEEP_POSTED
        if sweep.status == SweepStatus.failed:
            # Given up before and now mined after all: what was put back is gone again.
            address.add_deposits(
                connection, [(held, asset, -units) for held, asset, units in deposit_units(sweep)]
            )
        wake(connection, "payout.build")
    else:
        done = replace(sweep, status=SweepStatus.failed.value, failure_code="transaction_failed")
        name = event.SWEEP_FAILED
        address.add_deposits(connection, deposit_units(sweep))
        sweeps.postpone(
            connection, address=sweep.address, asset=sweep.asset, until=now + SWEEP_AGAIN_AFTER
        )
    fields = ("id", "status", "posted_at", "failure_code")
    update_records(connection, sweeps.sweeps, [{field: getattr(done, field) for field in fields}])
    wake(connection, "recovery.follow", "case.follow")
    return sweep_event(done, name)
