"""Bank statements: taken in order, their lines matched, and booked.

A statement is taken in under its account's lock, and with it every later one that waited for it.
Lines are matched in the database alone; what a line moves is then posted under its own id, so that
a line is booked once however often its statement comes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, select

from sakk.core import bank_event as news
from sakk.core import bank_payment as payment_rules
from sakk.core import bank_return as return_rules
from sakk.core import bank_statement as rules
from sakk.core import chart, event, payout_posting
from sakk.core.bank_account import Adapter, BankAccount, read_terms
from sakk.core.bank_file import BankFile, FileKind
from sakk.core.bank_payment import UNDER_WAY, BankPayment, BankPaymentStatus
from sakk.core.bank_reference import BankReference, found_in
from sakk.core.bank_return import BankReturn
from sakk.core.bank_statement import (
    BankLine,
    BankStatement,
    LineStatus,
    Outcome,
    ReadStatement,
    StatementStatus,
)
from sakk.core.case import CaseKind, Opening, Priority
from sakk.core.event import NewEvent
from sakk.core.name_screening import read_query
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.core.screening import Verdict
from sakk.flow import application_fee, bank_return_order, fee
from sakk.flow.book import PostingSet
from sakk.flow.case import open_cases
from sakk.flow.context import Parts
from sakk.flow.name import NameRequest, screen_names
from sakk.flow.payout import hold_set, payout_event
from sakk.flow.stage import Stage, wake
from sakk.ledger.types import CreateTransferStatus
from sakk.screening.name import NameIndex
from sakk.store import bank_account as bank_accounts
from sakk.store import bank_payment as bank_payments
from sakk.store import bank_return as bank_returns
from sakk.store import bank_statement as store
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import settlement as settlements
from sakk.store.database import fetch, query, update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, given_back_on_error, retry_delay, settle

MATCH_MAX = 100
BOOK_MAX = 200

log = structlog.get_logger(__name__)

_new = query(
    select(store.bank_lines)
    .where(store.bank_lines.c.status == LineStatus.new.value)
    .order_by(store.bank_lines.c.id)
    .limit(MATCH_MAX)
    .with_for_update(skip_locked=True),
    BankLine,
)
_matched = claimable(
    store.bank_lines,
    BankLine,
    store.bank_lines.c.status == LineStatus.matched.value,
    limit=BOOK_MAX,
)


def take_in(
    connection: Connection,
    read: ReadStatement,
    account: BankAccount,
    file: BankFile,
    kind: FileKind,
    *,
    now: datetime,
) -> BankStatement:
    """Take a statement in: believed, waiting for the one before, a copy, or wrong."""
    locked = bank_accounts.lock_one(connection, account.id)
    assert locked is not None
    credits, debits = rules.sums(read.lines)
    row = BankStatement(
        id=new_id(rules.PREFIX),
        livemode=account.livemode,
        bank_account=account.id,
        file=file.id,
        kind=kind.value,
        reference=read.reference,
        number=read.number,
        from_date=read.from_date,
        to_date=read.to_date,
        currency=account.currency,
        decimals=account.decimals,
        opening_units=read.opening_units,
        closing_units=read.closing_units,
        credits=credits,
        debits=debits,
        lines=len(read.lines),
        digest=rules.digest_of(read),
        status=StatementStatus.waiting.value,
        created=now,
    )
    status, reason = _believed(connection, row, read, account)
    row = replace(row, status=status.value, reason=reason)
    # A copy adds nothing, so its lines are not kept a second time.
    is_copy = status is StatementStatus.duplicate
    store.insert(connection, row, [] if is_copy else _lines(row, read, now=now))
    if status is StatementStatus.accepted:
        store.accept(connection, row.id, now=now)
        _accepted(connection, [row, *_follow(connection, account, now=now)], now=now)
    elif status in (StatementStatus.waiting, StatementStatus.broken):
        log.warning("bank.statement_stopped", statement=row.id, why=reason)
        events.append(connection, [_statement_event(row, news.BANK_STATEMENT_STOPPED)], now=now)
    return row


def _believed(
    connection: Connection, row: BankStatement, read: ReadStatement, account: BankAccount
) -> tuple[StatementStatus, str | None]:
    copy = store.find_copy(connection, row)
    if copy is not None:
        return StatementStatus.duplicate, f"it says what {copy.id} says"
    fault = rules.fault_of(read)
    if fault is not None:
        return StatementStatus.broken, fault
    if read.is_intraday:
        return StatementStatus.intraday, None
    if _is_next(connection, row, account):
        return StatementStatus.accepted, None
    before, _ = store.neighbours(
        connection, account.id, row.to_date, row.number, balance=account.opening_units
    )
    stands = account.opening_units if before is None else before.closing_units
    reason = f"it opens with {row.opening_units}, and the one before it closed with {stands}"
    return StatementStatus.waiting, reason


def _is_next(connection: Connection, row: BankStatement, account: BankAccount) -> bool:
    before, after = store.neighbours(
        connection, account.id, row.to_date, row.number, balance=account.opening_units
    )
    return rules.is_next(
        row.opening_units,
        row.closing_units,
        number=row.number,
        to_date=row.to_date,
        before=before,
        after=after,
        balance=account.opening_units,
    )


def _follow(connection: Connection, account: BankAccount, *, now: datetime) -> list[BankStatement]:
    """Accept whatever waited and now follows, until nothing does."""
    followed: list[BankStatement] = []
    waiting = store.list_waiting(connection, account.id)
    while True:
        fitting = next((row for row in waiting if _is_next(connection, row, account)), None)
        if fitting is None:
            return followed
        store.accept(connection, fitting.id, now=now)
        waiting.remove(fitting)
        followed.append(replace(fitting, status=StatementStatus.accepted.value, reason=None))


def _accepted(connection: Connection, rows: Sequence[BankStatement], *, now: datetime) -> None:
    told = [_statement_event(row, news.BANK_STATEMENT_ACCEPTED) for row in rows]
    events.append(connection, told, now=now)
    wake(connection, "bank.match")


def _lines(row: BankStatement, read: ReadStatement, *, now: datetime) -> list[BankLine]:
    return [
        BankLine(
            id=new_id(rules.LINE_PREFIX),
            livemode=row.livemode,
            bank_account=row.bank_account,
            statement=row.id,
            number=number,
            currency=row.currency,
            decimals=row.decimals,
            booking_date=each.booking_date,
            value_date=each.value_date,
            units=each.units,
            end_to_end_id=each.end_to_end_id,
            bank_reference=each.bank_reference,
            remittance=each.remittance,
            creditor_reference=each.creditor_reference,
            counterparty_name=each.counterparty_name,
            counterparty_iban=each.counterparty_iban,
            counterparty_bic=each.counterparty_bic,
            code=each.code,
            return_code=each.return_code,
            is_reversal=each.is_reversal,
            status=LineStatus.waiting.value,
            created=now,
        )
        for number, each in enumerate(read.lines, start=1)
    ]


def match_stage(parts: Parts) -> Stage:
    """The stage that says what lines are, the oldest first."""
    index = NameIndex(parts.database)

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            # One worker at a time: what a payment and its return are is decided in their order.
            if not store.lock_matching(connection):
                return 0
            rows = fetch(connection, _new)
            if rows:
                _match(connection, index, rows, now=now)
        return len(rows)

    return Stage("bank.match", run, idle_seconds=2.0)


def _before(
    connection: Connection, rows: Sequence[BankLine], known: Mapping[str, BankPayment | BankReturn]
) -> list[BankLine]:
    """The debits of what these lines give back, where their turn would be a later batch's."""
    here = {row.id for row in rows}
    names = [(row.end_to_end_id or "").upper() for row in rows if row.units > 0]
    back = [name for name in names if name in known and known[name].status in UNDER_WAY]
    return [row for row in store.lock_debits(connection, back) if row.id not in here]


def _match(
    connection: Connection, index: NameIndex, rows: Sequence[BankLine], *, now: datetime
) -> None:
    named = [row.end_to_end_id.upper() for row in rows if row.end_to_end_id is not None]
    known = bank_payments.lock_named(connection, named)
    back = bank_returns.lock_named(connection, named)
    rows = [*rows, *_before(connection, rows, {**known, **back})]
    references = _references(connection, rows)
    limits = _fee_limits(connection, known.values())
    happened: list[NewEvent] = []
    # What left before what came: a return may stand before the payment in one statement, and its
    # statement may have come before the payment's.
    rows = sorted(rows, key=lambda each: (each.units > 0, each.id))
    of_returns = bank_return_order.follow(connection, rows, back, now=now)
    for row in rows:
        payment = known.get((row.end_to_end_id or "").upper())
        reference = references.get(row.id)
        account_id = None if reference is None else reference.account_id
        sent_back = of_returns.get(row.id)
        limit = None if payment is None else limits.get(payment.id)
        outcome = rules.outcome_of(row, payment, account_id, fee_limit=limit)
        if row.units < 0 and sent_back is not None:
            outcome = Outcome.sent_back
        elif (row.end_to_end_id or "").upper() in back:
            # It came back from its sender, or has the name of what did: nobody's until a person
            # has looked.
            outcome = Outcome.suspense
        order = payment or back.get((row.end_to_end_id or "").upper())
        if order is not None and _undoes(connection, row, outcome, order):
            outcome = Outcome.undone
        after = replace(row, status=LineStatus.matched.value, outcome=outcome.value)
        if order is not None and outcome is Outcome.undone:
            after = replace(after, payment=order.id)
        if sent_back is not None:
            after = replace(after, payment=sent_back.id)
        match outcome:
            case Outcome.payment | Outcome.returned:
                assert payment is not None
                known[payment.end_to_end_id] = _moved(connection, payment, row, outcome, now=now)
                after = replace(after, payment=payment.id, account_id=payment.account_id)
            case Outcome.payin:
                after = _screened(connection, index, replace(after, account_id=account_id), now=now)
            case Outcome.suspense | Outcome.held | Outcome.assigned:
                pass
            case Outcome.sent_back | Outcome.undone:
                pass
        if after.outcome in (Outcome.suspense, Outcome.held):
            happened.append(line_event(after, news.BANK_LINE_UNMATCHED))
        fields = ("status", "outcome", "account_id", "payment", "screening")
        store.change_line(connection, row.id, {name: getattr(after, name) for name in fields})
    events.append(connection, happened, now=now)
    wake(connection, "bank.book")


def _undoes(
    connection: Connection, line: BankLine, outcome: Outcome, order: BankPayment | BankReturn
) -> bool:
    """Is a line the other side of one in suspense, with an order's name and to the same amount?

    So are the debit of what a bank had refused, or made twice, and the credit that takes it back.
    They come to nothing: neither is anybody's, and nobody sends the credit anywhere once more.
    """
    is_loose = outcome is Outcome.suspense or (outcome is Outcome.returned and line.units > 0)
    if not is_loose or order.bank_account != line.bank_account:
        return False
    other = store.lock_opposite(connection, line)
    if other is None or (other.units > 0 and bank_return_order.is_proposed(connection, other.id)):
        return False
    change = {"outcome": Outcome.undone.value, "payment": order.id}
    store.change_line(connection, other.id, change)
    return True


def _fee_limits(connection: Connection, orders: Collection[BankPayment]) -> dict[str, int]:
    """What a provider may take beside each of these payments, where one carries it."""
    own = bank_accounts.list_by_ids(connection, sorted({each.bank_account for each in orders}))
    terms = {each.id: read_terms(each.terms) for each in own.values() if each.terms is not None}
    return {
        each.id: terms[each.bank_account].fee_limit(each.units)
        for each in orders
        if terms[each.bank_account].adapter is Adapter.provider
    }


def _references(connection: Connection, rows: Sequence[BankLine]) -> dict[str, BankReference]:
    """By line, the reference that was given out for its account and that it has."""
    texts: dict[str, list[str]] = {}
    for row in rows:
        if row.units > 0:
            told = [row.creditor_reference] if row.creditor_reference else []
            texts[row.id] = told + found_in(f"{row.remittance or ''} {row.end_to_end_id or ''}")
    found: dict[str, BankReference] = {}
    for livemode in {row.livemode for row in rows}:
        wanted = sorted({text for each in texts.values() for text in each})
        known = bank_accounts.references_of(connection, wanted, livemode=livemode)
        for row in rows:
            if row.livemode is not livemode:
                continue
            mine = [known[text] for text in texts.get(row.id, ()) if text in known]
            mine = [each for each in mine if each.bank_account == row.bank_account]
            # Two of different merchants are nobody's until a person has looked.
            if len({each.account_id for each in mine}) == 1:
                found[row.id] = mine[0]
    return found


def _moved(
    connection: Connection,
    payment: BankPayment,
    line: BankLine,
    outcome: Outcome,
    *,
    now: datetime,
) -> BankPayment:
    """A payment that a line carries out, or takes back; its payout is told."""
    if outcome is Outcome.returned:
        after = replace(
            payment,
            status=BankPaymentStatus.returned.value,
            return_line=line.id,
            reason_code=line.return_code,
            reason=line.remittance and line.remittance[: payment_rules.TEXT_LENGTH_MAX],
            ended_at=now,
        )
    else:
        after = replace(
            payment,
            status=BankPaymentStatus.booked.value,
            line=line.id,
            fee_units=-line.units - payment.units,
            ended_at=now,
        )
        row = payouts.lock_one(connection, payment.payout)
        assert row is not None
        confirmed = replace(row, status=PayoutStatus.confirmed.value, confirmed_at=now)
        change = {"id": row.id, "status": confirmed.status, "confirmed_at": now}
        update_records(connection, payouts.payouts, [change])
        events.append(connection, [payout_event(confirmed, event.PAYOUT_CONFIRMED)], now=now)
    fields = ("status", "line", "fee_units", "return_line", "reason_code", "reason", "ended_at")
    written = {name: getattr(after, name) for name in ("id", *fields)}
    update_records(connection, bank_payments.bank_payments, [written])
    return after


def _screened(
    connection: Connection, index: NameIndex, line: BankLine, *, now: datetime
) -> BankLine:
    """Money for a merchant, once the sender's name was held against the lists; else it waits."""
    name = line.counterparty_name
    if name is None or not name.isprintable():
        _open_case(connection, line, "The bank names no sender.", Priority.normal, now=now)
        return replace(line, outcome=Outcome.held.value)
    asked = NameRequest(line.id, read_query(name[:200]), line.account_id, line.livemode)
    [found] = screen_names(connection, index, [asked], now=now)
    judged = replace(line, screening=found.id)
    if found.verdict == Verdict.clear:
        return judged
    first = max(found.hits, key=lambda hit: hit.score)
    reason = f"The sender {name} is like {first.matched} of {first.list_name}, {found.id}."
    grave = found.verdict == Verdict.block
    priority = Priority.high if grave else Priority.normal
    _open_case(connection, line, reason, priority, now=now)
    return replace(judged, outcome=Outcome.held.value)


def _open_case(
    connection: Connection, line: BankLine, reason: str, priority: Priority, *, now: datetime
) -> None:
    opening = Opening(
        subject=line.id,
        kind=CaseKind.bank_line,
        account_id=None,
        livemode=line.livemode,
        screening_id=None,
        reason=reason,
        priority=priority,
    )
    open_cases(connection, [opening], now=now)


def book_stage(parts: Parts) -> Stage:
    """The stage that brings lines into the ledger."""
    table = store.bank_lines

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _matched, token=token, now=parts.clock())
            paid = bank_payments.list_by_ids(connection, [row.payment or "" for row in rows])
            back = bank_returns.list_by_ids(connection, [row.payment or "" for row in rows])
            carried = {
                each.id: payouts.find(
                    connection, each.payout, account_id=each.account_id, livemode=each.livemode
                )
                for each in paid.values()
            }
            own = bank_accounts.list_by_ids(connection, [row.bank_account for row in rows])
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            _open(parts, own)
            # What left before what came back of it.
            for row in sorted(rows, key=lambda each: (each.units > 0, each.id)):
                payout = carried.get(row.payment or "")
                failpoint("bank.book.before")
                order = paid.get(row.payment or "")
                fee_units = 0 if order is None else order.fee_units
                booked = _is_in_turn(parts, row, payout) and _booked(
                    parts, row, payout, back.get(row.payment or ""), fee_units=fee_units
                )
                failpoint("bank.book.after")
                with parts.database.begin() as connection:
                    _record(connection, row, payout, booked=booked, token=token, now=parts.clock())
        return len(rows)

    return Stage("bank.book", run, due=(_matched,), idle_seconds=2.0)


def _open(parts: Parts, own: Mapping[str, BankAccount]) -> None:
    """What stood in an account before its first statement; the ledger takes it once."""
    for account in own.values():
        unit = chart.currency_unit(account.currency, livemode=account.livemode)
        opening = rules.opening_postings(account.id, unit, account.opening_units)
        if opening:
            parts.books.post([PostingSet(account.id, "open", 0, opening)])


def _is_in_turn(parts: Parts, row: BankLine, payout: Payout | None) -> bool:
    """Is what a line gives back booked as paid? That may be in another worker's hands."""
    if row.outcome != Outcome.returned:
        return True
    assert payout is not None
    with parts.database.read() as connection:
        found = payouts.find(
            connection, payout.id, account_id=payout.account_id, livemode=payout.livemode
        )
    return found is not None and found.status == PayoutStatus.posted


def _booked(
    parts: Parts,
    row: BankLine,
    payout: Payout | None,
    sent_back: BankReturn | None,
    *,
    fee_units: int,
) -> bool:
    """Post what a line moves; False where the ledger refused, and nothing of it is booked."""
    match Outcome(row.outcome or Outcome.suspense):
        case Outcome.payment:
            assert payout is not None
            holds = [(hold_set(payout), row.attempt)]
            [spent] = parts.books.settle_holds(holds, step="settle", void=False)
            spent_before = CreateTransferStatus.pending_transfer_already_posted
            if not spent.booked and spent.refusal is not spent_before:
                log.error("bank.hold_refused", line=row.id, why=str(spent.refusal))
                return False
            moved = rules.postings(row, fee_units=fee_units) + payout_posting.fee_postings(payout)
            made = PostingSet(payout.id, "bank", row.attempt, moved)
        case Outcome.returned:
            assert payout is not None
            back = payment_rules.return_postings(payout, row.bank_account)
            made = PostingSet(payout.id, "bank.return", row.attempt, back)
        case Outcome.sent_back:
            assert sent_back is not None
            moved = return_rules.postings(sent_back, row)
            made = PostingSet(row.id, "book", row.attempt, moved)
        case Outcome.assigned:
            made = PostingSet(row.id, "assign", row.attempt, rules.postings(row))
        case Outcome.payin | Outcome.suspense | Outcome.held | Outcome.undone:
            made = PostingSet(row.id, "book", row.attempt, rules.postings(row))
    [outcome] = parts.books.post([made])
    if not outcome.booked:
        log.error("bank.refused", line=row.id, why=str(outcome.refusal))
    return outcome.booked


def _record(
    connection: Connection,
    row: BankLine,
    payout: Payout | None,
    *,
    booked: bool,
    token: str,
    now: datetime,
) -> None:
    if not booked:
        change: dict[str, Any] = {
            "id": row.id,
            "attempt": row.attempt + 1,
            "failures": row.failures + 1,
            "retry_at": now + retry_delay(row.failures),
        }
        settle(connection, store.bank_lines, [change], token=token)
        return
    done = {"id": row.id, "status": LineStatus.booked.value, "booked_at": now, "attempt": 0}
    if not settle(connection, store.bank_lines, [done], token=token):
        return
    after = replace(row, status=LineStatus.booked.value, booked_at=now)
    if row.outcome in (Outcome.payin, Outcome.assigned):
        events.append(connection, [line_event(after, news.BANK_LINE_CREDITED)], now=now)
    elif row.outcome == Outcome.sent_back:
        bank_return_order.told_booked(connection, row.payment or "", now=now)
    elif payout is not None and row.outcome in (Outcome.payment, Outcome.returned):
        _finish(connection, payout, row, now=now)


def _finish(connection: Connection, payout: Payout, line: BankLine, *, now: datetime) -> None:
    """A payout at its end: made, or come back after it was."""
    locked = payouts.lock_one(connection, payout.id)
    assert locked is not None
    if line.outcome == Outcome.payment:
        after = replace(
            locked,
            status=PayoutStatus.posted.value,
            hold=HoldStatus.posted.value,
            posted_at=now,
        )
        name = event.PAYOUT_POSTED
    else:
        after = replace(
            locked,
            status=PayoutStatus.failed.value,
            failure_code="bank_returned",
            failure_message=payment_rules.reason_words(line.return_code),
        )
        name = event.PAYOUT_FAILED
        settlements.reopen(connection, payout.id)
    fields = ("id", "status", "hold", "posted_at", "failure_code", "failure_message")
    change = {field: getattr(after, field) for field in fields}
    update_records(connection, payouts.payouts, [change])
    for book in (fee.book_payouts, application_fee.book_payouts):
        book(connection, [after], again=line.outcome == Outcome.returned, now=now)
    events.append(connection, [payout_event(after, name)], now=now)
    wake(connection, "settlement.follow")


def line_event(row: BankLine, name: str) -> NewEvent:
    """An event about a line, to its merchant where it is one's."""
    return NewEvent(
        account_id=row.account_id,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public_line(row),
    )


def _statement_event(row: BankStatement, name: str) -> NewEvent:
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public(row),
    )
