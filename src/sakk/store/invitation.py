"""Invitations: rows and queries."""

from datetime import datetime

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, select, update

from sakk.core.invitation import Invitation
from sakk.store.database import fetch_one, insert_records
from sakk.store.schema import Bytes, Timestamp, metadata

invitations = Table(
    "invitations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("person", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("token_hash", Bytes, nullable=False, unique=True),
    Column("created_by", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("used_at", Timestamp),
    Column("revoked_at", Timestamp),
    Index("ix_invitations_person", "person"),
)


def insert(connection: Connection, invitation: Invitation) -> None:
    insert_records(connection, invitations, [invitation])


def by_token(connection: Connection, token_hash: bytes, *, lock: bool = False) -> Invitation | None:
    """The invitation with a token, used ones too."""
    statement = select(invitations).where(invitations.c.token_hash == token_hash)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Invitation)


def use(connection: Connection, identifier: str, *, now: datetime) -> None:
    connection.execute(
        update(invitations).where(invitations.c.id == identifier).values(used_at=now)
    )


def revoke_of(connection: Connection, person: str, *, now: datetime) -> None:
    """End every invitation of a person that was not used."""
    connection.execute(
        update(invitations)
        .where(
            invitations.c.person == person,
            invitations.c.used_at.is_(None),
            invitations.c.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )


def is_invited(connection: Connection, person: str, *, now: datetime) -> bool:
    """Does a link of theirs still open?"""
    found = connection.execute(
        select(invitations.c.id).where(
            invitations.c.person == person,
            invitations.c.used_at.is_(None),
            invitations.c.revoked_at.is_(None),
            invitations.c.expires_at > now,
        )
    ).first()
    return found is not None
