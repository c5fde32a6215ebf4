"""Rates: sources, what they said (rows that never change), and pegs with what is stopped."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.rate import Observation, Peg
from sakk.core.rate_source import RateSource
from sakk.store.database import fetch_all, fetch_one, row_of
from sakk.store.lease import lease_columns
from sakk.store.schema import Document, Timestamp, Units, metadata

rate_sources = Table(
    "rate_sources",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("location", Text, nullable=False),
    Column("pairs", Document, nullable=False),
    Column("every_seconds", Integer, nullable=False),
    Column("age_seconds", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("error", Text),
    Column("checked", Timestamp),
    Column("next_at", Timestamp, nullable=False),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Column("proposal", Document),
    Index("ix_rate_sources_next_at", "next_at", postgresql_where=text("enabled")),
)

rate_observations = Table(
    "rate_observations",
    metadata,
    Column("source", Text, primary_key=True),
    Column("base", Text, primary_key=True),
    Column("quote", Text, primary_key=True),
    Column("at", Timestamp, primary_key=True),
    Column("bid", Units, nullable=False),
    Column("ask", Units, nullable=False),
    Column("received", Timestamp, nullable=False),
)

rate_pegs = Table(
    "rate_pegs",
    metadata,
    Column("currency", Text, primary_key=True),
    Column("peg", Text, nullable=False),
    Column("bound_ppm", Integer, nullable=False),
    Column("recover_seconds", Integer, nullable=False),
    Column("stopped_at", Timestamp),
    Column("recovered_since", Timestamp),
    Column("manual", Boolean, nullable=False),
    Column("updated", Timestamp, nullable=False),
    Column("proposal", Document),
)


def put_source(connection: Connection, source: RateSource) -> None:
    """Write a source down, or change one of its name; what it said stays."""
    statement = upsert(rate_sources).values(row_of(source))
    changed = (
        *("kind", "location", "pairs", "every_seconds", "age_seconds", "enabled"),
        *("state", "error", "next_at", "retry_at", "failures", "proposal"),
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["id"], set_={name: statement.excluded[name] for name in changed}
        )
    )


def find_source(connection: Connection, name: str, *, lock: bool = False) -> RateSource | None:
    statement = select(rate_sources).where(rate_sources.c.id == name)
    return fetch_one(connection, statement.with_for_update() if lock else statement, RateSource)


def propose_of_source(connection: Connection, name: str, proposal: dict[str, Any] | None) -> None:
    """What somebody wants of a locked source."""
    wanted = update(rate_sources).where(rate_sources.c.id == name)
    connection.execute(wanted.values(proposal=proposal))


def list_sources(connection: Connection, *, enabled: bool = False) -> list[RateSource]:
    """All sources, or those that are asked, by name."""
    statement = select(rate_sources).order_by(rate_sources.c.id)
    if enabled:
        statement = statement.where(rate_sources.c.enabled)
    return fetch_all(connection, statement, RateSource)


def set_state(connection: Connection, name: str, state: str) -> None:
    connection.execute(update(rate_sources).where(rate_sources.c.id == name).values(state=state))


def insert_observations(connection: Connection, rows: Sequence[Observation]) -> None:
    """Keep what sources said; what was heard of the same moment before stays as it was."""
    if rows:
        connection.execute(
            upsert(rate_observations).on_conflict_do_nothing(), [row_of(row) for row in rows]
        )


def newest(connection: Connection) -> list[Observation]:
    """Of every source that is asked, its newest word on each of its pairs."""
    found: Any = connection.execute(
        text(
            "SELECT o.source, o.base, o.quote, o.bid, o.ask, o.at, o.received FROM rate_sources s"
            " CROSS JOIN LATERAL jsonb_to_recordset(s.pairs) AS p (base text, quote text)"
            " CROSS JOIN LATERAL (SELECT * FROM rate_observations o WHERE o.source = s.id"
            " AND o.base = p.base AND o.quote = p.quote ORDER BY o.at DESC LIMIT 1) o"
            " WHERE s.enabled"
        )
    )
    return [
        Observation(
            row.source, row.base, row.quote, int(row.bid), int(row.ask), row.at, row.received
        )
        for row in found
    ]


def list_observations(
    connection: Connection, *, base: str, quote: str, since: datetime, limit: int
) -> list[Observation]:
    """What was said of a pair, newest first."""
    table = rate_observations
    statement = (
        select(table)
        .where(table.c.base == base, table.c.quote == quote, table.c.at >= since)
        .order_by(table.c.at.desc(), table.c.source)
        .limit(limit)
    )
    return fetch_all(connection, statement, Observation)


def words_of(
    connection: Connection,
    source: str,
    *,
    base: str,
    quote: str,
    before: datetime | None,
    limit: int,
) -> list[Observation]:
    """What one source said of a pair, newest first, from before a moment on."""
    c = rate_observations.c
    wanted = select(rate_observations).where(c.source == source, c.base == base, c.quote == quote)
    if before is not None:
        wanted = wanted.where(c.at < before)
    return fetch_all(connection, wanted.order_by(c.at.desc()).limit(limit), Observation)


def forget(connection: Connection, *, before: datetime, limit: int) -> int:
    """Remove words that are older than any source may be believed; how many.

    The pairs are found by skipping from one to the next of them, so that the key serves, and words
    of sources that are not asked any more go too.
    """
    return connection.execute(_FORGET, {"before": before, "limit": limit}).rowcount


_FORGET = text(
    "WITH RECURSIVE pairs AS ("
    " (SELECT source, base, quote FROM rate_observations ORDER BY source, base, quote LIMIT 1)"
    " UNION ALL SELECT n.source, n.base, n.quote FROM pairs p CROSS JOIN LATERAL"
    " (SELECT o.source, o.base, o.quote FROM rate_observations o"
    " WHERE (o.source, o.base, o.quote) > (p.source, p.base, p.quote)"
    " ORDER BY o.source, o.base, o.quote LIMIT 1) n),"
    " old AS (SELECT o.* FROM pairs p CROSS JOIN LATERAL"
    " (SELECT e.source, e.base, e.quote, e.at FROM rate_observations e"
    " WHERE e.source = p.source AND e.base = p.base AND e.quote = p.quote AND e.at < :before"
    " ORDER BY e.at LIMIT :limit) o LIMIT :limit)"
    " DELETE FROM rate_observations o USING old WHERE o.source = old.source"
    " AND o.base = old.base AND o.quote = old.quote AND o.at = old.at"
)


def put_peg(connection: Connection, peg: Peg) -> None:
    """Write a peg down as it is now."""
    statement = upsert(rate_pegs).values(row_of(peg))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["currency"],
            set_={
                column.name: statement.excluded[column.name]
                for column in rate_pegs.columns
                if column.name != "currency"
            },
        )
    )


def list_pegs(connection: Connection, *, lock: bool = False) -> list[Peg]:
    """All pegs, by currency."""
    statement = select(rate_pegs).order_by(rate_pegs.c.currency)
    return fetch_all(connection, statement.with_for_update() if lock else statement, Peg)
