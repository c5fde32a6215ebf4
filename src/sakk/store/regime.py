"""Regimes: which one an operator chose for a mode, and which ones before."""

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, bindparam, select
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.regime import Choice
from sakk.store.database import fetch, query, row_of
from sakk.store.schema import Document, Timestamp, metadata

regimes = Table(
    "regimes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("regime", Document),
    Column("institution", Document),
    Column("chosen_by", Text),
    Column("created", Timestamp, nullable=False),
    Index("ix_regimes_newest", "livemode", "id"),
)


def insert(connection: Connection, choice: Choice) -> None:
    """Record a choice; repeated under its id, it is the same one."""
    connection.execute(upsert(regimes).values(row_of(choice)).on_conflict_do_nothing())


def find_active(connection: Connection, *, livemode: bool) -> Choice | None:
    """The newest choice of a mode; None where nobody has chosen yet."""
    found = fetch(connection, _ACTIVE, livemode=livemode)
    return found[0] if found else None


# Asked with every batch that is judged.
_ACTIVE = query(
    select(regimes)
    .where(regimes.c.livemode == bindparam("livemode"))
    .order_by(regimes.c.id.desc())
    .limit(1),
    Choice,
)
