"""Disputes of charges: rows and queries."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    literal_column,
    or_,
    select,
    text,
    update,
)

from sakk.core.dispute import Dispute, DisputeStatus
from sakk.store.database import due, fetch_all, fetch_one, insert_records
from sakk.store.lease import before
from sakk.store.schema import Document, Timestamp, Units, metadata

channel_disputes = Table(
    "channel_disputes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("payer", Text),
    Column("payee", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("records", Document, nullable=False),
    Column("is_held", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("outcome", Text),
    Column("note", Text),
    Column("created", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Index("ix_channel_disputes_channel", "channel_id", "id"),
    # One charge is disputed once at a time; what is opened again stands beside another.
    Index(
        "uq_channel_disputes_charge",
        "session_id",
        "nonce",
        unique=True,
        postgresql_where=text("status IN ('requested', 'open') AND attempt = 0"),
    ),
    Index(
        "ix_channel_disputes_charge",
        "session_id",
        "nonce",
        postgresql_where=text("status IN ('requested', 'open')"),
    ),
    Index(
        "ix_channel_disputes_unfinished",
        "created",
        postgresql_where=text("status = 'requested' OR (status = 'open' AND outcome IS NOT NULL)"),
    ),
)

# A request acts on its own dispute; only what is older was left behind by a crash.
LEFT_TO_REQUEST = timedelta(seconds=5)


def insert(connection: Connection, dispute: Dispute) -> None:
    """Record a dispute of a charge that is not disputed; its channel is locked."""
    insert_records(connection, channel_disputes, [dispute])


def find(connection: Connection, dispute_id: str) -> Dispute | None:
    table = channel_disputes
    return fetch_one(connection, select(table).where(table.c.id == dispute_id), Dispute)


def find_of(
    connection: Connection, dispute_id: str, *, account_id: str | None, livemode: bool
) -> Dispute | None:
    """A dispute of which an account is payer or payee; None is the operator, of all."""
    table = channel_disputes
    statement = select(table).where(
        table.c.id == dispute_id, table.c.livemode == livemode, *_parties(account_id)
    )
    return fetch_one(connection, statement, Dispute)


def is_disputed(connection: Connection, session_id: str, nonce: int) -> bool:
    """Is there a dispute of a charge that is not over?"""
    table = channel_disputes
    statement = select(table.c.id).where(
        table.c.session_id == session_id,
        table.c.nonce == nonce,
        literal_column("status IN ('requested', 'open')", Boolean),
    )
    return connection.execute(statement.limit(1)).first() is not None


def list_of_channel(connection: Connection, channel_id: str, *, limit: int) -> list[Dispute]:
    """A channel's disputes, the newest first."""
    table = channel_disputes
    statement = select(table).where(table.c.channel_id == channel_id).order_by(table.c.id.desc())
    return fetch_all(connection, statement.limit(limit), Dispute)


def lock(connection: Connection, dispute_id: str) -> Dispute | None:
    """Read a dispute for a change; others wait until this transaction ends."""
    table = channel_disputes
    statement = select(table).where(table.c.id == dispute_id).with_for_update()
    return fetch_one(connection, statement, Dispute)


def change(connection: Connection, dispute_id: str, values: Mapping[str, Any]) -> None:
    table = channel_disputes
    connection.execute(update(table).where(table.c.id == dispute_id).values(dict(values)))


def undecide(connection: Connection, dispute: Dispute) -> None:
    """What was decided could not be carried out: it is to be decided again, if it still stands."""
    table = channel_disputes
    connection.execute(
        update(table)
        .where(
            table.c.id == dispute.id,
            table.c.status == DisputeStatus.open.value,
            table.c.attempt == dispute.attempt,
        )
        .values(outcome=None, note=None)
    )


# Disputes whose hold, or whose outcome, nobody has carried out to the end.
left_behind = due(
    select(channel_disputes).where(
        or_(
            channel_disputes.c.status == DisputeStatus.requested.value,
            (channel_disputes.c.status == DisputeStatus.open.value)
            & channel_disputes.c.outcome.is_not(None),
        ),
        channel_disputes.c.created < before(LEFT_TO_REQUEST),
    ),
    Dispute,
    channel_disputes.c.created,
)


def _parties(account_id: str | None) -> list[ColumnElement[bool]]:
    """Whose disputes somebody sees."""
    table = channel_disputes
    if account_id is None:
        return []
    return [or_(table.c.account_id == account_id, table.c.payee == account_id)]
