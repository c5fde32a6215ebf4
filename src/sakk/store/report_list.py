"""What reports read of other rows, streamed."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from sakk.store.report_books import stream

# Of an account where one is named.
_ACCOUNT = " AND (CAST(:account AS text) IS NULL OR {0}.account_id = :account)"
_WINDOW = " {0}.livemode = :live AND {0}.{1} >= :start AND {0}.{1} < :end"


def fees(connection: Connection, **given: Any) -> tuple[int, Iterator[Row[Any]]]:
    """Fees of a window, oldest first, with the country of who paid."""
    where = " WHERE" + _WINDOW.format("f", "created") + _ACCOUNT.format("f") + _OF_CURRENCY
    columns = (
        "f.id, f.created, f.account_id, a.country, f.kind, f.reason, f.source, f.currency,"
        " f.decimals, f.basis, f.amount, f.schedule, f.version, f.rule"
    )
    table = " FROM fees f LEFT JOIN accounts a ON a.id = f.account_id"
    return _both(connection, columns, table + where, "f.id", given)


_OF_CURRENCY = " AND (CAST(:currency AS text) IS NULL OR f.currency = :currency)"


def travel_rule(connection: Connection, **given: Any) -> tuple[int, Iterator[Row[Any]]]:
    """Travel Rule records of a window, oldest first; without what is sealed."""
    where = " WHERE" + _WINDOW.format("t", "created") + _ACCOUNT.format("t")
    columns = (
        "t.id, t.created, t.account_id, t.direction, t.subject, t.status, t.regime, t.network,"
        " t.address, t.currency, t.amount, c.decimals, t.counterparty, t.vasp, t.exchange,"
        " t.tx_hash, t.completed_at, t.ended_at"
    )
    table = " FROM travel_rules t LEFT JOIN currencies c ON c.currency = t.currency"
    return _both(connection, columns, table + where, "t.id", given)


def volumes(connection: Connection, **given: Any) -> Iterator[Row[Any]]:
    """What came in and went out in a window, added up."""
    return stream(connection, _VOLUMES, **given)


# What was credited is counted by the token, and told in its currency.
_MOVED = (  # noqa: S608 - names of ours alone
    " SELECT CASE WHEN p.status = 'reversed' THEN 'payin_reversed' ELSE 'payin' END AS kind,"
    " p.id, p.account_id, p.network, p.asset, p.currency, p.decimals,"
    " CASE WHEN p.credit_units IS NULL THEN p.amount WHEN s.decimals > p.decimals"
    " THEN div(p.credit_units, power(10::numeric, s.decimals - p.decimals))"
    " ELSE trunc(p.credit_units * power(10::numeric, coalesce(p.decimals - s.decimals, 0)))"
    " END AS units, p.posted_at, p.sender AS address, p.tx_hash"
    " FROM payins p LEFT JOIN assets s ON s.asset = p.asset WHERE p.posted_at IS NOT NULL"
    " AND p.currency IS NOT NULL AND p.account_id IS NOT NULL AND"
    + _WINDOW.format("p", "posted_at")
    + _ACCOUNT.format("p")
) + (
    " UNION ALL SELECT q.purpose AS kind, q.id, q.account_id, q.network, q.asset, q.currency,"
    " q.decimals, q.amount AS units, q.posted_at, q.destination AS address, q.tx_hash"
    " FROM payouts q WHERE q.status = 'posted' AND"
    + _WINDOW.format("q", "posted_at")
    + _ACCOUNT.format("q")
)
_VOLUMES = text(
    "SELECT m.kind, m.network, m.asset, m.currency, max(m.decimals) AS decimals, a.country,"  # noqa: S608
    f" count(*) AS transfers, sum(m.units) AS units FROM ({_MOVED}) m"
    " LEFT JOIN accounts a ON a.id = m.account_id"
    " GROUP BY m.kind, m.network, m.asset, m.currency, a.country"
    " ORDER BY m.kind, m.network, m.asset, m.currency, a.country"
)


def moved(connection: Connection, **given: Any) -> tuple[int, Iterator[Row[Any]]]:
    """Every transfer in or out of a window that came to its end, in the order of that."""
    columns = (
        "m.kind, m.id, m.account_id, a.country, m.network, m.asset, m.currency, m.decimals,"
        " m.units, m.posted_at, m.address, m.tx_hash"
    )
    table = f" FROM ({_MOVED}) m LEFT JOIN accounts a ON a.id = m.account_id"
    return _both(connection, columns, table, "m.posted_at, m.id", given)


def _both(
    connection: Connection, columns: str, rest: str, order: str, given: dict[str, Any]
) -> tuple[int, Iterator[Row[Any]]]:
    """How many there are, and the rows."""
    total = int(connection.execute(text("SELECT count(*)" + rest), given).scalar_one())
    rows = stream(connection, text(f"SELECT {columns}{rest} ORDER BY {order}"), **given)
    return total, rows


def window(
    *, account: str | None, livemode: bool, start: datetime, end: datetime
) -> dict[str, Any]:
    """The parameters that all of these have."""
    return {"account": account, "live": livemode, "start": start, "end": end}
