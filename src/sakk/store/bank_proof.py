"""What the proof of banks reads: balances at banks, statements, and what nothing is linked to."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from sakk.core import chart, ids
from sakk.core.bank_proof import (
    BankBalance,
    BankMoment,
    BrokenStatement,
    Line,
    Movement,
    Pairing,
    Posting,
    ReturnDifference,
    UnbookedLine,
    difference_key,
    paired,
)
from sakk.core.chart import TransferCode
from sakk.core.matching import Side

# Orders and lines that are looked at in one run; an installation with more has other worries.
MOVEMENTS_MAX = 1_000_000


def read_moment(connection: Connection, *, livemode: bool) -> BankMoment:
    """Everything of one mode; the connection sees one moment of the database."""
    given = {"livemode": livemode, "limit": MOVEMENTS_MAX}
    balances, pairings = [], []
    for row in connection.execute(_BALANCES, given):
        unit = chart.currency_unit(row.currency, livemode=livemode)
        name = chart.bank(row.id, unit).name
        held = connection.execute(_HELD, {"name": name}).scalar()
        # The opening is booked with the first line.
        unopened = int(row.opening_units) if held is None else 0
        opened = 0 if held is None else int(row.opening_units)
        pairing = _paired(connection, row.id, unit, opened)
        pairings.append(pairing)
        balances.append(
            BankBalance(
                bank_account=row.id,
                unit=unit,
                statement=row.statement,
                statement_units=int(row.closing),
                # The ledger may be ahead of a row, never behind it.
                unbooked_units=int(row.unbooked) - pairing.early_units + unopened,
                ledger_units=int(held or 0),
            )
        )
    broken = [
        BrokenStatement(
            row.id,
            chart.currency_unit(row.currency, livemode=livemode),
            int(row.closing_units - row.lead),
        )
        for row in connection.execute(_BROKEN, given)
    ]
    movements = [
        Movement(
            id=row.id,
            side=Side(row.side),
            unit=chart.currency_unit(row.currency, livemode=livemode),
            units=int(row.units),
            on=row.on_date,
            reference=row.reference,
            counterparty=row.counterparty,
        )
        for row in connection.execute(_MOVEMENTS, given)
    ]
    unbooked = [
        UnbookedLine(
            id=row.id,
            unit=chart.currency_unit(row.currency, livemode=livemode),
            units=int(row.units),
            status=row.status,
            failures=row.failures,
            since=row.since,
        )
        for row in connection.execute(_UNBOOKED, given)
    ]
    differences = tuple(_differences(connection, livemode=livemode))
    return BankMoment(balances, broken, movements, unbooked, pairings, differences)


def _differences(connection: Connection, *, livemode: bool) -> Iterator[ReturnDifference]:
    """What banks took otherwise than agreed, with what people have corrected of each."""
    for row in connection.execute(_DIFFERENCES, {"livemode": livemode}):
        unit = chart.currency_unit(row.currency, livemode=livemode)
        account = chart.bank_suspense(row.bank_account, unit)
        of_it = {"key": difference_key(row.id), "livemode": livemode}
        found = connection.execute(_BREAKS, of_it).scalars()
        named = {"name": account.name, "code": int(TransferCode.break_corrected)}
        named |= {"breaks": [UUID(int=ids.decode(each)[1]) for each in found]}
        corrected = connection.execute(_CORRECTED, named).scalar()
        yield ReturnDifference(
            id=row.id,
            line=row.debit_line,
            account=account.name,
            unit=unit,
            units=int(row.difference_units),
            corrected_units=int(corrected or 0),
        )


def list_balances(connection: Connection, *, livemode: bool) -> list[BankBalance]:
    """Every account by the ledger and by its bank, without looking at what is linked to what: so
    what the ledger is ahead of a row by is still counted as on its way."""
    found = []
    for row in connection.execute(_BALANCES, {"livemode": livemode}):
        unit = chart.currency_unit(row.currency, livemode=livemode)
        held = connection.execute(_HELD, {"name": chart.bank(row.id, unit).name}).scalar()
        found.append(
            BankBalance(
                bank_account=row.id,
                unit=unit,
                statement=row.statement,
                statement_units=int(row.closing),
                # The opening is booked with the first line.
                unbooked_units=int(row.unbooked) + (int(row.opening_units) if held is None else 0),
                ledger_units=int(held or 0),
            )
        )
    return found


def _paired(connection: Connection, bank_account: str, unit: str, opened: int) -> Pairing:
    """The postings on an account and its lines, as both stream by; only what is left is kept."""
    postings = (
        Posting(
            row.user_data.int, row.id.hex, int(row.units), row.code == TransferCode.break_corrected
        )
        for row in connection.execute(_POSTINGS, {"name": chart.bank(bank_account, unit).name})
    )
    given = {"bank_account": bank_account}
    return paired(
        postings,
        _lines(connection, given, opened),
        unit=unit,
        bank_account=bank_account,
    )


def _lines(connection: Connection, given: dict[str, str], opened: int) -> Iterator[Line]:
    """Lines by the row that they are booked for; what stood there before them among them."""
    account = given["bank_account"]
    opening = [Line(ids.decode(account)[1], account, opened, is_booked=True)] if opened else []
    for row in connection.execute(_LINES, given):
        line = Line(ids.decode(row.booked_for)[1], row.id, int(row.units), row.is_booked)
        while opening and opening[0].row <= line.row:
            yield opening.pop()
        yield line
    yield from opening


# An account is the operator's own where it is nobody else's. What its statement shows and the
# ledger does not yet have are its lines that are not booked; one that was assigned moves between
# accounts of ours alone.
_BALANCES = text(
    "SELECT a.id, a.currency, a.opening_units, s.id AS statement,"
    " coalesce(s.closing_units, a.opening_units) AS closing, coalesce((SELECT sum(l.units)"
    " FROM bank_lines l JOIN bank_statements t ON t.id = l.statement"
    " WHERE l.bank_account = a.id AND t.status = 'accepted' AND l.status IN ('new', 'matched')"
    " AND l.outcome IS DISTINCT FROM 'assigned'), 0) AS unbooked FROM bank_accounts a"
    " LEFT JOIN LATERAL (SELECT id, closing_units FROM bank_statements WHERE bank_account = a.id"
    " AND status = 'accepted' ORDER BY to_date DESC, number DESC NULLS LAST, closing_units ="
    " a.opening_units + (SELECT sum(closing_units - opening_units) FROM bank_statements"
    " WHERE bank_account = a.id AND status = 'accepted') DESC, id DESC LIMIT 1) s"
    " ON true WHERE a.account_id IS NULL AND a.livemode = :livemode ORDER BY a.id"
)
_HELD = text(
    "SELECT a.debits_posted - a.credits_posted FROM ledger_account_names n"
    " JOIN ledger_accounts a ON a.id = n.id WHERE n.name = :name"
)
# Both in the order of the row's number: the text of an id is in that order too.
_POSTINGS = text(
    "SELECT t.user_data, t.id, t.code, -e.amount AS units FROM ledger_account_names n"
    " JOIN ledger_entries e ON e.account_id = n.id JOIN ledger_transfers t"
    " ON t.shard = e.shard AND t.timestamp_ns = e.timestamp_ns WHERE n.name = :name"
    " ORDER BY t.user_data"
).execution_options(yield_per=10_000)
_LINES = text(
    "SELECT * FROM (SELECT l.id, l.units, l.status = 'booked' OR l.outcome = 'assigned'"
    " AS is_booked, coalesce(p.payout, l.id) AS booked_for FROM bank_lines l"
    " JOIN bank_statements s ON s.id = l.statement AND s.status = 'accepted'"
    " LEFT JOIN bank_payments p ON p.id = l.payment AND l.outcome IN ('payment', 'returned')"
    " WHERE l.bank_account = :bank_account"
    " AND l.status IN ('matched', 'booked')) found ORDER BY right(booked_for, 26) COLLATE \"C\""
).execution_options(yield_per=10_000)
# What is on its way to the ledger.
_UNBOOKED = text(
    "SELECT l.id, l.currency, l.units, l.status, l.failures,"
    " coalesce(l.waits_since, l.created) AS since FROM bank_lines l"
    " WHERE l.livemode = :livemode AND l.status IN ('new', 'matched') ORDER BY l.id LIMIT :limit"
)
_BROKEN = text(
    "SELECT s.id, s.currency, s.closing_units, s.opening_units + coalesce(sum(l.units), 0) AS lead"
    " FROM bank_statements s LEFT JOIN bank_lines l ON l.statement = s.id"
    " WHERE s.livemode = :livemode AND s.status = 'accepted' GROUP BY s.id"
    " HAVING s.opening_units + coalesce(sum(l.units), 0) <> s.closing_units ORDER BY s.id"
)
# Orders that a bank has and lines that went out, as far as they are not linked to one another; and
# beside them whatever has their reference, so that a line that came twice is told from a lost one.
_MOVEMENTS = text(
    "WITH lines AS (SELECT l.id, l.currency, l.units, l.booking_date, l.end_to_end_id,"
    " l.counterparty_iban, l.payment FROM bank_lines l JOIN bank_statements s"
    " ON s.id = l.statement WHERE l.livemode = :livemode AND s.status = 'accepted'"
    " AND l.units < 0), orders AS (SELECT p.id, p.currency, p.units + p.fee_units AS units,"
    " p.execution_date,"
    " p.end_to_end_id, d.iban,"
    " p.line FROM bank_payments p LEFT JOIN bank_accounts d ON d.id = p.destination"
    " WHERE p.livemode = :livemode AND p.status IN ('sent', 'accepted', 'booked', 'returned')"
    " UNION ALL SELECT r.id, r.currency, r.units + r.fee_units + r.difference_units,"
    " r.execution_date, r.end_to_end_id,"
    " r.iban, r.debit_line FROM bank_returns r WHERE r.livemode = :livemode"
    " AND r.status IN ('sent', 'accepted', 'booked', 'returned')),"
    " loose AS (SELECT end_to_end_id AS reference FROM lines WHERE payment IS NULL"
    " UNION SELECT end_to_end_id FROM orders WHERE line IS NULL"
    " UNION SELECT o.end_to_end_id FROM orders o JOIN lines l ON l.id = o.line"
    " WHERE l.units <> -o.units OR l.counterparty_iban <> o.iban)"
    " SELECT 0 AS side, id, currency, -units AS units, execution_date AS on_date,"
    " end_to_end_id AS reference, iban AS counterparty FROM orders"
    " WHERE line IS NULL OR end_to_end_id IN (SELECT reference FROM loose)"
    " UNION ALL SELECT 1, id, currency, units, booking_date, end_to_end_id, counterparty_iban"
    " FROM lines WHERE payment IS NULL AND end_to_end_id IS NOT NULL"
    " OR end_to_end_id IN (SELECT reference FROM loose) LIMIT :limit"
)
_DIFFERENCES = text(
    "SELECT id, bank_account, currency, debit_line, difference_units FROM bank_returns"
    " WHERE livemode = :livemode AND difference_units <> 0 ORDER BY id"
)
# A difference that a correction left, or brought again, is a later break under the same key.
_BREAKS = text("SELECT id FROM breaks WHERE key = :key AND livemode = :livemode")
_CORRECTED = text(
    "SELECT sum(CASE WHEN t.credit_account_id = n.id THEN t.amount ELSE -t.amount END)"
    " FROM ledger_account_names n JOIN ledger_transfers t ON n.id IN (t.credit_account_id,"
    " t.debit_account_id) WHERE n.name = :name AND t.user_data = ANY(:breaks)"
    " AND t.code = :code AND t.status = 'posted'"
)
