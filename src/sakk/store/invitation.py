"""Invitations: rows and queries."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    false,
    select,
    update,
)

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
    Column("needs_code", Boolean, nullable=False, server_default=false()),
    Column("code_digest", Bytes),
    Column("failures", Integer, nullable=False, server_default="0"),
    Index("ix_invitations_person", "person"),
)


def insert(connection: Connection, invitation: Invitation) -> None:
    insert_records(connection, invitations, [invitation])


def by_token(connection: Connection, token_hash: bytes, *, lock: bool = False) -> Invitation | None:
    """The invitation with a token, used ones too."""
    statement = select(invitations).where(invitations.c.token_hash == token_hash)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Invitation)


def find(connection: Connection, identifier: str, *, lock: bool = False) -> Invitation | None:
    statement = select(invitations).where(invitations.c.id == identifier)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Invitation)


def open_of(connection: Connection, person: str, *, now: datetime) -> Invitation | None:
    """A person's link that still opens, locked."""
    statement = (
        select(invitations)
        .where(
            invitations.c.person == person,
            invitations.c.used_at.is_(None),
            invitations.c.revoked_at.is_(None),
            invitations.c.expires_at > now,
        )
        .order_by(invitations.c.id.desc())
        .limit(1)
        .with_for_update()
    )
    return fetch_one(connection, statement, Invitation)


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    connection.execute(
        update(invitations).where(invitations.c.id == identifier).values(dict(values))
    )


def revoke_of(connection: Connection, person: str, *, now: datetime) -> None:
    """End every invitation of a person that was not used."""
    _revoke(connection, person, now)


def revoke_without_code(connection: Connection, person: str, *, now: datetime) -> None:
    """End those that open without the word of another admin."""
    _revoke(connection, person, now, invitations.c.needs_code.is_(False))


def _revoke(connection: Connection, person: str, now: datetime, *only: ColumnElement[bool]) -> None:
    connection.execute(
        update(invitations)
        .where(
            invitations.c.person == person,
            invitations.c.used_at.is_(None),
            invitations.c.revoked_at.is_(None),
            *only,
        )
        .values(revoked_at=now)
    )
