"""Sessions: rows and queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Table,
    Text,
    UniqueConstraint,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.session import Session
from sakk.store.channel import channels
from sakk.store.database import among, drive, fetch_all, fetch_one, row_of
from sakk.store.schema import Bytes, Timestamp, metadata

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("channel_id", Text, nullable=False),
    Column("handle", BigInteger, nullable=False, unique=True),
    Column("salt", Bytes, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("revoked_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    UniqueConstraint("channel_id", "salt"),
    Index("ix_sessions_channel", "channel_id", "id"),
    Index("ix_sessions_revoked", "revoked_at", postgresql_where=text("revoked_at IS NOT NULL")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chargeable:
    """A session with what a charge needs to know of its channel."""

    id: str
    handle: int
    channel_id: str
    account_id: str | None
    payee: str
    livemode: bool
    kind: str
    currency: str
    signer: str | None
    amount_min: int | None
    amount_max: int | None
    expires_at: datetime
    revoked_at: datetime | None


def insert(connection: Connection, session: Session) -> None:
    """Record a session; one with its salt that stands there already is left."""
    connection.execute(
        upsert(sessions)
        .values(row_of(session))
        .on_conflict_do_nothing(index_elements=["channel_id", "salt"])
    )


def find(connection: Connection, session_id: str) -> Session | None:
    return fetch_one(connection, select(sessions).where(sessions.c.id == session_id), Session)


def find_by_salt(connection: Connection, channel_id: str, salt: bytes) -> Session | None:
    """The session that an opening made before."""
    statement = select(sessions).where(sessions.c.channel_id == channel_id, sessions.c.salt == salt)
    return fetch_one(connection, statement, Session)


def list_of_channel(connection: Connection, channel_id: str, *, limit: int) -> list[Session]:
    """A channel's sessions, the newest first."""
    statement = (
        select(sessions)
        .where(sessions.c.channel_id == channel_id)
        .order_by(sessions.c.id.desc())
        .limit(limit)
    )
    return fetch_all(connection, statement, Session)


def ids_by_handle(connection: Connection, handles: Sequence[int]) -> dict[int, str]:
    """Which sessions the ids of charges speak of."""
    rows = connection.execute(
        select(sessions.c.handle, sessions.c.id).where(sessions.c.handle.in_(handles))
    )
    return {row.handle: row.id for row in rows}


def revoke(connection: Connection, session_id: str) -> None:
    """End a session, by the database's clock, which all processes share; again changes nothing."""
    connection.execute(
        update(sessions)
        .where(sessions.c.id == session_id, sessions.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


def list_revoked(connection: Connection, *, within_seconds: float) -> list[str]:
    """The sessions that were revoked so recently; asked many times a second."""
    return [row[0] for row in drive(connection, _REVOKED, {"seconds": within_seconds})]


_REVOKED = "SELECT id FROM sessions WHERE revoked_at > now() - make_interval(secs => %(seconds)s)"


def chargeable(connection: Connection, session_ids: Sequence[str]) -> list[Chargeable]:
    """Sessions with their channels, for the hot path. Whether money is left is the ledger's."""
    statement = (
        select(
            sessions.c.id,
            sessions.c.handle,
            sessions.c.channel_id,
            channels.c.account_id,
            channels.c.payee,
            channels.c.livemode,
            channels.c.kind,
            channels.c.currency,
            channels.c.signer,
            channels.c.amount_min,
            channels.c.amount_max,
            sessions.c.expires_at,
            sessions.c.revoked_at,
        )
        .join(channels, channels.c.id == sessions.c.channel_id)
        .where(among(sessions.c.id, session_ids))
    )
    return fetch_all(connection, statement, Chargeable)
