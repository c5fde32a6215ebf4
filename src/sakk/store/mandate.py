"""Mandates: rows and queries. Terms never change; what does is whether they still hold."""

from datetime import datetime

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.mandate import Mandate, MandateStatus
from sakk.store.database import due, fetch_all, fetch_one, row_of
from sakk.store.schema import Bytes, Document, Timestamp, metadata

mandates = Table(
    "mandates",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("owner_key", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("terms", Document, nullable=False),
    Column("signed", Bytes, nullable=False),
    # Signed once is one mandate, whoever sends it again.
    Column("digest", Bytes, nullable=False, unique=True),
    Column("signature", Bytes, nullable=False),
    Column("status", Text, nullable=False),
    Column("replaces", Text),
    Column("replaced_by", Text),
    Column("revoked_at", Timestamp),
    Column("revoked_by", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("starts_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_mandates_account", "account_id", "livemode", "id"),
    Index("ix_mandates_agent", "agent", "id"),
    Index("ix_mandates_owner_key", "owner_key", "id"),
    Index("ix_mandates_revoking", "revoked_at", postgresql_where=text("status = 'revoking'")),
)


def insert(connection: Connection, mandate: Mandate) -> bool:
    """Record a mandate; False where it stands there already, by its id or its digest."""
    statement = upsert(mandates).values(row_of(mandate)).on_conflict_do_nothing()
    return connection.execute(statement.returning(mandates.c.id)).first() is not None


def find(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> Mandate | None:
    return fetch_one(
        connection,
        select(mandates).where(
            mandates.c.id == identifier,
            mandates.c.account_id == account_id,
            mandates.c.livemode == livemode,
        ),
        Mandate,
    )


def lock(connection: Connection, identifier: str) -> Mandate | None:
    """As it stands, until the transaction is over."""
    statement = select(mandates).where(mandates.c.id == identifier).with_for_update()
    return fetch_one(connection, statement, Mandate)


def find_any(connection: Connection, identifier: str) -> Mandate | None:
    """By its id alone: for an agent, whose own signature says that it may see it."""
    return fetch_one(connection, select(mandates).where(mandates.c.id == identifier), Mandate)


def find_digest(connection: Connection, digest: bytes) -> Mandate | None:
    return fetch_one(connection, select(mandates).where(mandates.c.digest == digest), Mandate)


def of_owner_key(connection: Connection, owner_key: str) -> list[Mandate]:
    """What a key has signed and nobody has revoked."""
    statement = (
        select(mandates)
        .where(mandates.c.owner_key == owner_key, mandates.c.status == MandateStatus.active.value)
        .order_by(mandates.c.id)
    )
    return fetch_all(connection, statement, Mandate)


def begin_revoke(
    connection: Connection,
    identifier: str,
    *,
    by: str,
    now: datetime,
    replaced_by: str | None = None,
) -> bool:
    """End a mandate, before the ledger is told; False if it was ended before."""
    result = connection.execute(
        update(mandates)
        .where(mandates.c.id == identifier, mandates.c.status == MandateStatus.active.value)
        .values(
            status=MandateStatus.revoking.value,
            revoked_at=now,
            revoked_by=by,
            replaced_by=replaced_by,
        )
    )
    return result.rowcount == 1


def finish_revoke(connection: Connection, identifier: str) -> bool:
    """The ledger knows, and the channels are closing; False if that was recorded before."""
    result = connection.execute(
        update(mandates)
        .where(mandates.c.id == identifier, mandates.c.status == MandateStatus.revoking.value)
        .values(status=MandateStatus.revoked.value)
    )
    return result.rowcount == 1


# Mandates whose revocation was begun, and did not live to be finished.
revoking = due(
    select(mandates).where(mandates.c.status == MandateStatus.revoking.value),
    Mandate,
    mandates.c.revoked_at,
)
