"""What reports read of the ledger's rows, streamed: a page of rows in memory at a time.

Only accounts of the chart, in the units of one mode. What mandates allow is counted and no money.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, TextClause, select, text

from sakk.core.chart import AccountCode, LedgerAccount, currency_unit
from sakk.store.ledger import WITHOUT_ENTRY
from sakk.store.network import assets, currencies, networks

PAGE = 2_000
COUNTING = [int(AccountCode.mandate_budget), int(AccountCode.mandate_spent)]


@dataclass(frozen=True, slots=True)
class BookUnit:
    """A unit of the ledger. ``symbol``: what people call it."""

    unit: str
    symbol: str
    decimals: int


def stream(connection: Connection, statement: TextClause, **given: Any) -> Iterator[Row[Any]]:
    """Rows by a cursor of the server's; the transaction must last as long."""
    options = {"stream_results": True, "yield_per": PAGE}
    with connection.execute(statement, given, execution_options=options) as result:
        yield from result


def book_units(connection: Connection, *, livemode: bool) -> dict[str, BookUnit]:
    """The units of a mode: its currencies, and the assets of its networks."""
    found = {}
    for row in connection.execute(select(currencies.c.currency, currencies.c.decimals)):
        unit = currency_unit(row.currency, livemode=livemode)
        found[unit] = BookUnit(unit, row.currency, row.decimals)
    of_networks = (
        select(assets.c.asset, assets.c.symbol, assets.c.decimals)
        .join(networks, networks.c.network == assets.c.network)
        .where(networks.c.livemode == livemode)
    )
    for asset in connection.execute(of_networks):
        found[asset.asset] = BookUnit(asset.asset, asset.symbol, asset.decimals)
    return found


def count_transfers(
    connection: Connection, units: Sequence[str], *, start_ns: int, end_ns: int
) -> int:
    given = {"units": list(units), "counting": COUNTING, "start": start_ns, "end": end_ns}
    return int(connection.execute(_COUNT_TRANSFERS, given).scalar_one())


def transfers(
    connection: Connection, units: Sequence[str], *, start_ns: int, end_ns: int
) -> Iterator[Row[Any]]:
    """Movements of a window in the ledger's order, with the names of both sides."""
    return stream(
        connection,
        _TRANSFERS,
        units=list(units),
        counting=COUNTING,
        start=start_ns,
        end=end_ns,
    )


_FROM_TRANSFERS = (
    " FROM ledger_transfers t"
    " JOIN ledger_account_names d ON d.id = t.debit_account_id"
    " JOIN ledger_account_names c ON c.id = t.credit_account_id"
    " WHERE t.timestamp_ns >= :start AND t.timestamp_ns < :end AND t.status = 'posted'"
    f" AND NOT {WITHOUT_ENTRY.replace('flags', 't.flags').replace('amount', 't.amount')}"
    " AND d.unit = ANY(:units) AND d.code <> ALL(:counting)"
)
_COUNT_TRANSFERS = text("SELECT count(*)" + _FROM_TRANSFERS)
_TRANSFERS = text(
    "SELECT t.timestamp_ns, t.code, t.user_data, t.amount, d.unit, d.name AS debit,"
    " c.name AS credit" + _FROM_TRANSFERS + " ORDER BY t.shard, t.timestamp_ns"
)


def balances(connection: Connection, units: Sequence[str], *, before_ns: int) -> Iterator[Row[Any]]:
    """What every account had before a moment of the ledger: credits less debits, not 0."""
    return stream(connection, _BALANCES, units=list(units), counting=COUNTING, before=before_ns)


_BALANCES = text(
    "SELECT n.name, n.unit, b.balance_after AS balance FROM ledger_account_names n"
    " CROSS JOIN LATERAL (SELECT e.balance_after FROM ledger_entries e"
    " WHERE e.account_id = n.id AND e.timestamp_ns < :before"
    " ORDER BY e.timestamp_ns DESC LIMIT 1) b"
    " WHERE n.unit = ANY(:units) AND n.code <> ALL(:counting) AND b.balance_after <> 0"
    " ORDER BY n.name"
)


def statement_head(
    connection: Connection, account: LedgerAccount, *, start_ns: int, end_ns: int
) -> tuple[int, int, int]:
    """Of an account's statement: lines before a window, the balance then, and lines in it."""
    given = {"name": account.name, "start": start_ns, "end": end_ns}
    row = connection.execute(_HEAD, given).one()
    return int(row.before), int(row.opening or 0), int(row.lines)


_HEAD = text(
    "SELECT count(*) FILTER (WHERE e.timestamp_ns < :start) AS before,"
    " count(*) FILTER (WHERE e.timestamp_ns >= :start) AS lines,"
    " (SELECT o.balance_after FROM ledger_account_names n JOIN ledger_entries o"
    " ON o.account_id = n.id WHERE n.name = :name AND o.timestamp_ns < :start"
    " ORDER BY o.timestamp_ns DESC LIMIT 1) AS opening"
    " FROM ledger_account_names n JOIN ledger_entries e ON e.account_id = n.id"
    " WHERE n.name = :name AND e.timestamp_ns < :end"
)


def statement_lines(
    connection: Connection, account: LedgerAccount, *, start_ns: int, end_ns: int
) -> Iterator[Row[Any]]:
    """The lines of a window of an account's statement, oldest first."""
    identifier: UUID | None = connection.execute(_ID, {"name": account.name}).scalar()
    if identifier is None:
        return iter(())
    return stream(connection, _LINES, account=identifier, start=start_ns, end=end_ns)


_ID = text("SELECT id FROM ledger_account_names WHERE name = :name")
_LINES = text(
    "SELECT e.timestamp_ns, e.amount, e.balance_after, t.code, t.user_data"
    " FROM ledger_entries e JOIN ledger_transfers t"
    " ON t.shard = e.shard AND t.timestamp_ns = e.timestamp_ns"
    " WHERE e.account_id = :account AND e.timestamp_ns >= :start AND e.timestamp_ns < :end"
    " ORDER BY e.timestamp_ns"
)
