"""Passkeys and recovery codes: rows and queries."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)

from sakk.core.passkey import PASSKEYS_MAX, Passkey, RecoveryCode
from sakk.store.database import fetch_all, fetch_one, insert_records
from sakk.store.schema import Bytes, Timestamp, metadata

passkeys = Table(
    "passkeys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("person", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("credential_id", Bytes, nullable=False, unique=True),
    Column("public_key", Bytes, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("transports", ARRAY(Text), nullable=False),
    Column("backed_up", Boolean, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("used_at", Timestamp),
    Column("removed_at", Timestamp),
    Index("ix_passkeys_person", "person"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("person", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("digest", Bytes, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("used_at", Timestamp),
)


def insert(connection: Connection, passkey: Passkey) -> None:
    insert_records(connection, passkeys, [passkey])


def of_person(connection: Connection, person: str) -> list[Passkey]:
    """A person's passkeys that are in force, the oldest first."""
    statement = (
        select(passkeys)
        .where(passkeys.c.person == person, passkeys.c.removed_at.is_(None))
        .order_by(passkeys.c.id)
        .limit(PASSKEYS_MAX)
    )
    return fetch_all(connection, statement, Passkey)


def by_credential(connection: Connection, credential_id: bytes) -> Passkey | None:
    """The passkey in force with an id of its authenticator's, locked."""
    statement = (
        select(passkeys)
        .where(passkeys.c.credential_id == credential_id, passkeys.c.removed_at.is_(None))
        .with_for_update()
    )
    return fetch_one(connection, statement, Passkey)


def is_known(connection: Connection, credential_id: bytes) -> bool:
    """Is there a passkey with an id of its authenticator's, in force or not?"""
    statement = select(passkeys.c.id).where(passkeys.c.credential_id == credential_id)
    return connection.execute(statement).first() is not None


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(passkeys).where(passkeys.c.id == identifier).values(dict(values)))


def remove_of(connection: Connection, person: str, *, now: datetime) -> None:
    """End every passkey of a person."""
    connection.execute(
        update(passkeys)
        .where(passkeys.c.person == person, passkeys.c.removed_at.is_(None))
        .values(removed_at=now)
    )


def put_recovery_codes(connection: Connection, person: str, codes: Sequence[RecoveryCode]) -> None:
    """These in place of all before."""
    connection.execute(delete(recovery_codes).where(recovery_codes.c.person == person))
    if codes:
        insert_records(connection, recovery_codes, codes)


def use_recovery_code(connection: Connection, person: str, digest: bytes, *, now: datetime) -> bool:
    """Use one up; False for one that there is not, or that was used."""
    done = connection.execute(
        update(recovery_codes)
        .where(
            recovery_codes.c.person == person,
            recovery_codes.c.digest == digest,
            recovery_codes.c.used_at.is_(None),
        )
        .values(used_at=now)
    )
    return done.rowcount == 1


def count_recovery_codes(connection: Connection, person: str) -> int:
    """How many are left."""
    found = connection.execute(
        select(func.count())
        .select_from(recovery_codes)
        .where(recovery_codes.c.person == person, recovery_codes.c.used_at.is_(None))
    ).scalar_one()
    return int(found)
