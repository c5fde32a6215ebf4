"""Orders of returns: what two people agreed to send back is screened, ordered, and followed.

A file of returns is made for one of the operator's accounts at a time, under its row's lock, and
holds nothing else. What a bank says of one, by a status report or by its lines, is written down
here. A return is locked before its line by these, and never waited for by whoever has the line.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from sakk.core import bank_event as news
from sakk.core import bank_payment as payment_rules
from sakk.core import bank_return as rules
from sakk.core.bank_account import BankAccount, batch_due, execution_date, read_terms
from sakk.core.bank_assignment import AssignmentStatus
from sakk.core.bank_file import BankFile
from sakk.core.bank_return import STANDING, BankReturn, BankReturnStatus
from sakk.core.bank_statement import BankLine, Outcome, waits_for_person
from sakk.core.calendar import business_days
from sakk.core.case import CaseKind, Opening, Priority
from sakk.core.country import is_country
from sakk.core.name_screening import NameScreening, read_query
from sakk.core.screening import Verdict
from sakk.flow.bank_assignment import may_be_gone
from sakk.flow.bank_payment import write_orders
from sakk.flow.bank_return import return_event
from sakk.flow.case import open_cases
from sakk.flow.context import Parts
from sakk.flow.name import NameRequest, screen_names
from sakk.flow.stage import REST_SECONDS, Stage
from sakk.rails.bank.pain001 import Order, Party
from sakk.rails.bank.reader import StatusReport
from sakk.screening.name import NameIndex
from sakk.store import bank_account as bank_accounts
from sakk.store import bank_assignment as assignments
from sakk.store import bank_return as store
from sakk.store import bank_statement as lines
from sakk.store import event as events
from sakk.store import name as names
from sakk.store.identity import new_id

NAME_LENGTH_MAX = 200


def return_stage(parts: Parts) -> Stage:
    """The stage that screens and orders what two people agreed to send back."""
    index = NameIndex(parts.database)

    def run() -> int:
        now = parts.clock()
        moved = 0
        with parts.database.read() as connection:
            own = bank_accounts.list_approved(connection)
        for account in own:
            with parts.database.begin() as connection:
                locked = bank_accounts.lock_one(connection, account.id)
                assert locked is not None
                moved += _order(connection, index, locked, now=now)
        return moved

    return Stage("bank.return", run, rest_seconds=REST_SECONDS, idle_seconds=2.0)


def _order(connection: Connection, index: NameIndex, account: BankAccount, *, now: datetime) -> int:
    rows = store.lock_confirmed(connection, account.id)
    if not rows:
        return 0
    assert account.terms is not None
    terms = read_terms(account.terms)
    if not batch_due(terms, min(row.decided_at or row.created for row in rows), now):
        return 0
    clear = [row for row in rows if _is_clear(connection, index, row, now=now)]
    if clear:
        _write(connection, account, clear, now=now)
    return len(rows)


def _is_clear(connection: Connection, index: NameIndex, row: BankReturn, *, now: datetime) -> bool:
    """Is nobody like its sender on a list? Else it stops, and the line has a case again. Where the
    money may have gone since two people agreed, it ends."""
    line = lines.find_line(connection, row.line, livemode=row.livemode)
    assert line is not None
    if may_be_gone(connection, line):
        _called_off(connection, row, now=now)
        return False
    country = row.country
    countries = [country] if country is not None and is_country(country) else []
    query = read_query(row.holder[:NAME_LENGTH_MAX], countries=countries)
    asked = NameRequest(row.line, query, None, row.livemode)
    [found] = screen_names(connection, index, [asked], now=now)
    if found.verdict == Verdict.clear or _is_known(connection, line, found):
        store.change(connection, [replace(row, screening=found.id)], "screening")
        return True
    first = max(found.hits, key=lambda hit: hit.score)
    reason = (
        f"The sender {row.holder}, to whom it was to go back, is like {first.matched} of"
        f" {first.list_name}, {found.id}."
    )
    opening = Opening(
        subject=row.line,
        kind=CaseKind.bank_line,
        account_id=None,
        livemode=row.livemode,
        screening_id=None,
        reason=reason,
        priority=Priority.high if found.verdict == Verdict.block else Priority.normal,
    )
    change = {"outcome": Outcome.held.value, "screening": found.id}
    lines.change_line(connection, row.line, change)
    open_cases(connection, [opening], now=now)
    stopped = replace(
        row,
        status=BankReturnStatus.stopped.value,
        screening=found.id,
        reason=reason,
        ended_at=now,
    )
    store.change(connection, [stopped], "status", "screening", "reason", "ended_at")
    events.append(connection, [return_event(stopped, news.BANK_RETURN_FAILED)], now=now)
    return False


def _called_off(connection: Connection, row: BankReturn, *, now: datetime) -> None:
    """A debit of the line's money came before this return's order: it is people's again."""
    lines.change_line(connection, row.line, {"outcome": row.line_outcome})
    ended = replace(
        row,
        status=BankReturnStatus.rejected.value,
        reason="A debit with the name of an order of this money came in before it was ordered.",
        ended_at=now,
    )
    store.change(connection, [ended], "status", "reason", "ended_at")
    events.append(connection, [return_event(ended, news.BANK_RETURN_FAILED)], now=now)


def _is_known(connection: Connection, line: BankLine, found: NameScreening) -> bool:
    """Two people closed the case of what was found before: only what is new stops it again."""
    if line.screening is None:
        return False
    before = names.find_name_screening(connection, line.screening, livemode=line.livemode)
    if before is None:
        return False
    seen = {(hit.entity_id, hit.entity_version) for hit in before.hits}
    return {(hit.entity_id, hit.entity_version) for hit in found.hits} <= seen


def _write(
    connection: Connection, account: BankAccount, rows: Sequence[BankReturn], *, now: datetime
) -> None:
    assert account.terms is not None
    terms = read_terms(account.terms)
    file, day = new_id("bf"), execution_date(terms, now, business_days(terms.calendar))
    ordered = [
        replace(
            row,
            status=BankReturnStatus.ordered.value,
            file=file,
            number_in_file=number,
            execution_date=day,
        )
        for number, row in enumerate(rows, start=1)
    ]
    told = {
        row.line: lines.find_line(connection, row.line, livemode=row.livemode) for row in ordered
    }
    orders = [
        Order(
            end_to_end_id=row.end_to_end_id,
            units=row.units,
            payee=_party(row),
            remittance=None if line is None else rules.remittance_of(line),
        )
        for row in ordered
        for line in [told[row.line]]
    ]
    write_orders(connection, account, file, orders, execution_date=day, now=now)
    store.change(connection, ordered, "status", "file", "number_in_file", "execution_date")


def _party(row: BankReturn) -> Party:
    return Party(
        name=row.holder,
        country=row.country,
        iban=row.iban,
        bic=row.bic,
        number=row.number,
        bank_code=row.bank_code,
    )


def sent(connection: Connection, file: str) -> None:
    """A file was put out: so were its returns."""
    rows = store.lock_of_file(connection, file)
    gone = [
        replace(row, status=BankReturnStatus.sent.value)
        for row in rows
        if row.status == BankReturnStatus.ordered
    ]
    store.change(connection, gone, "status")


def is_answered(connection: Connection, file: str) -> bool:
    """Has the bank spoken of a return of a file? Then it has the file."""
    rows = store.lock_of_file(connection, file)
    return any(row.status != BankReturnStatus.ordered for row in rows)


def made_again(connection: Connection, file: BankFile, *, now: datetime) -> bool:
    """Was a file that was never tried withdrawn, and are its returns in another?

    So it is where the day passed on which the bank should have carried them out.
    """
    rows = store.lock_of_file(connection, file.id)
    is_new = all(row.status == BankReturnStatus.ordered for row in rows)
    if not rows or file.tried_at is not None or not is_new:
        return False
    account = bank_accounts.lock_one(connection, file.bank_account or "")
    assert account is not None
    assert account.terms is not None
    today = now.astimezone(ZoneInfo(read_terms(account.terms).timezone)).date()
    day = rows[0].execution_date
    if day is None or day >= today:
        return False
    _write(connection, account, rows, now=now)
    return True


def report(connection: Connection, told: StatusReport, *, file: str, now: datetime) -> None:
    """Write down what a bank says of the returns of a file."""
    words = {each.end_to_end_id.upper(): each for each in told.payments}
    changed: list[BankReturn] = []
    for before in store.lock_of_file(connection, file):
        said = words.get(before.end_to_end_id)
        if said is not None:
            word, code, reason = payment_rules.word_of(said.code), said.reason_code, said.reason
        else:
            word = payment_rules.word_of(told.code or "")
            code, reason = told.reason_code, told.reason
        after = rules.told(before, word, now=now)
        if after is before:
            continue
        if after.status == BankReturnStatus.rejected:
            words_of_it = payment_rules.reason_words(code, reason)
            after = replace(after, reason_code=code, reason=words_of_it)
            # It is a person's to decide about again.
            lines.change_line(connection, after.line, {"outcome": after.line_outcome})
            events.append(connection, [return_event(after, news.BANK_RETURN_FAILED)], now=now)
        changed.append(after)
    store.change(connection, changed, "status", "reason_code", "reason", "ended_at")


def follow(
    connection: Connection,
    rows: Iterable[BankLine],
    known: Mapping[str, BankReturn],
    *,
    now: datetime,
) -> dict[str, BankReturn]:
    """Of these lines, in their order, those that carry a return out or bring it back, by line."""
    current = dict(known)
    found: dict[str, BankReturn] = {}
    # What the return was not of these lines, which nothing in suspense shows yet.
    loose: list[BankLine] = []
    # Of what suspense shows, what credits among these lines take back already.
    taken: set[str] = set()
    for line in rows:
        row = current.get((line.end_to_end_id or "").upper())
        if row is None:
            continue
        if rules.carries_out(row, line) and _stands(connection, row):
            _, fee_units, difference = rules.split(row, line)
            row = replace(
                row,
                status=BankReturnStatus.booked.value,
                debit_line=line.id,
                fee_units=fee_units,
                difference_units=difference,
                ended_at=now,
            )
            if difference:
                events.append(connection, [return_event(row, news.BANK_RETURN_DIFFERS)], now=now)
        elif rules.comes_back(row, line) and not _is_of_another(connection, line, loose, taken):
            row = replace(
                row,
                status=BankReturnStatus.returned.value,
                return_line=line.id,
                reason_code=line.return_code,
                reason=payment_rules.reason_words(line.return_code),
                ended_at=now,
            )
            events.append(connection, [return_event(row, news.BANK_RETURN_FAILED)], now=now)
        else:
            loose.append(line)
            continue
        current[row.end_to_end_id] = found[line.id] = row
        fields = ("status", "debit_line", "return_line", "fee_units", "difference_units")
        store.change(connection, [row], *fields, "ended_at", "reason_code", "reason")
    return found


def _is_of_another(
    connection: Connection, line: BankLine, loose: list[BankLine], taken: set[str]
) -> bool:
    """Does a credit take back another debit with its name, which the return was not?

    ``loose``: of the same statements; each is taken back once, and so is one of before (``taken``).
    """
    name = (line.end_to_end_id or "").upper()
    for each in loose:
        is_same = each.bank_account == line.bank_account and each.units == -line.units
        if is_same and (each.end_to_end_id or "").upper() == name:
            loose.remove(each)
            return True
    other = lines.lock_opposite(connection, line, beside=taken)
    if other is None:
        return False
    taken.add(other.id)
    return True


def _stands(connection: Connection, row: BankReturn) -> bool:
    """Is a return's money still there to be moved by its debit?

    That of one that the bank had refused is a person's since: where nobody has decided about it
    again, it is taken from them.
    """
    if row.status != BankReturnStatus.rejected:
        return True
    line = lines.find_line(connection, row.line, livemode=row.livemode, lock=True)
    if line is None or not waits_for_person(line) or is_proposed(connection, line.id):
        return False
    lines.change_line(connection, line.id, {"outcome": Outcome.sent_back.value})
    return True


def is_proposed(connection: Connection, line: str) -> bool:
    """Has somebody proposed something of a locked line that stands?"""
    said = assignments.of_lines(connection, [line]).get(line)
    last = store.newest_of(connection, [line]).get(line)
    return (said is not None and said.status == AssignmentStatus.awaiting) or (
        last is not None and last.status in STANDING
    )


def told_booked(connection: Connection, identifier: str, *, now: datetime) -> None:
    """A return's debit is in the ledger."""
    row = store.list_by_ids(connection, [identifier])[identifier]
    events.append(connection, [return_event(row, news.BANK_RETURN_BOOKED)], now=now)
