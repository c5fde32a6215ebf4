"""Persons: rows and queries."""

from collections.abc import Mapping, Sequence
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
    func,
    literal,
    select,
    update,
)

from sakk.core.person import SANDBOX, Person, PersonState
from sakk.core.role import Role
from sakk.store.database import among, fetch_all, fetch_one, insert_records, run
from sakk.store.schema import Bytes, Document, Timestamp, metadata

PERSONS_MAX = 1_000
# Of all who add persons one counts the admins at a time.
PERSONS_LOCK = 0x5A4B51

persons = Table(
    "persons",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("proposal", Document),
    Column("public_key", Text),
    Column("totp_secret", Bytes),
    Column("totp_confirmed", Boolean, nullable=False),
    Column("totp_step", BigInteger, nullable=False),
    Column("totp_failures", Integer, nullable=False),
    Column("totp_locked_until", Timestamp),
    Column("proposed_by", Text),
    Column("approved_by", Text),
    Column("created", Timestamp, nullable=False),
    Column("password_hash", Text),
    Column("language", Text),
    Column("time_zone", Text),
    Column("theme", Text),
    Index("uq_persons_email", "livemode", "email", unique=True),
)


def insert(connection: Connection, person: Person) -> None:
    insert_records(connection, persons, [person])


def find(
    connection: Connection, identifier: str, *, livemode: bool, lock: bool = False
) -> Person | None:
    """One person of a mode."""
    statement = select(persons).where(persons.c.id == identifier, persons.c.livemode == livemode)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Person)


def by_email(connection: Connection, email: str, *, livemode: bool) -> Person | None:
    """The person with an address, however it is capitalised."""
    statement = (
        select(persons)
        .where(
            persons.c.livemode == livemode,
            func.lower(persons.c.email) == email.strip().lower(),
        )
        .order_by(persons.c.id)
        .limit(1)
    )
    return fetch_one(connection, statement, Person)


def list_persons(
    connection: Connection, *, livemode: bool, ids: Sequence[str] | None = None
) -> list[Person]:
    """Everybody of a mode, or those who are named, oldest first."""
    statement = select(persons).where(persons.c.livemode == livemode).order_by(persons.c.id)
    if ids is not None:
        statement = statement.where(persons.c.id.in_(list(ids)))
    return fetch_all(connection, statement.limit(PERSONS_MAX), Person)


def names(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """What people are called, by their ids; what is nobody's id is left out."""
    if not ids:
        return {}
    found = select(persons.c.id, persons.c.name).where(among(persons.c.id, ids))
    return {row.id: row.name for row in connection.execute(found)}


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(persons).where(persons.c.id == identifier).values(dict(values)))


def count_admins(connection: Connection, *, livemode: bool) -> int:
    """How many admins of a mode are active; an owner is one."""
    return _count(connection, [Role.admin, Role.owner], livemode=livemode)


def count_owners(connection: Connection, *, livemode: bool) -> int:
    """How many owners of a mode are active."""
    return _count(connection, [Role.owner], livemode=livemode)


def _count(connection: Connection, roles: Sequence[Role], *, livemode: bool) -> int:
    found = connection.execute(
        select(func.count())
        .select_from(persons)
        .where(
            persons.c.livemode == livemode,
            persons.c.state == PersonState.active.value,
            persons.c.proposed_by.is_distinct_from(SANDBOX),
            persons.c.roles.bool_op("&&")(literal([role.value for role in roles], ARRAY(Text))),
        )
    ).scalar_one()
    return int(found)


def any_live(connection: Connection) -> bool:
    """Is there somebody active who works on real money?"""
    statement = select(persons.c.id).where(
        persons.c.livemode, persons.c.state == PersonState.active.value
    )
    return connection.execute(statement.limit(1)).first() is not None


def lock_all(connection: Connection) -> None:
    """Until this transaction ends nobody else adds or suspends persons."""
    run(connection, "SELECT pg_advisory_xact_lock(%(lock)s)", {"lock": PERSONS_LOCK})
