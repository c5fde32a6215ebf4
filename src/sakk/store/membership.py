"""Memberships: rows and queries."""

from collections.abc import Sequence

from sqlalchemy import ARRAY, Boolean, Column, Connection, Index, Table, Text, delete, select
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.membership import ACCOUNTS_MAX, Membership
from sakk.core.person import Person
from sakk.store.database import fetch_all, row_of
from sakk.store.person import PERSONS_MAX, persons
from sakk.store.schema import Timestamp, metadata

person_accounts = Table(
    "person_accounts",
    metadata,
    Column("person", Text, primary_key=True),
    Column("account_id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("granted_by", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_person_accounts_account_id", "account_id", "livemode"),
)


def put(connection: Connection, membership: Membership) -> None:
    """Give somebody these roles in an account, in place of those before."""
    values = row_of(membership)
    changed = {"roles": values["roles"], "granted_by": values["granted_by"]}
    connection.execute(
        upsert(person_accounts)
        .values(values)
        .on_conflict_do_update(index_elements=["person", "account_id"], set_=changed)
    )


def remove(connection: Connection, person: str, account_id: str) -> bool:
    """Take somebody's roles in an account; False if there were none."""
    done = connection.execute(
        delete(person_accounts).where(
            person_accounts.c.person == person, person_accounts.c.account_id == account_id
        )
    )
    return done.rowcount == 1


def of_person(connection: Connection, person: str) -> list[Membership]:
    """Where somebody has roles, the oldest account first."""
    statement = (
        select(person_accounts)
        .where(person_accounts.c.person == person)
        .order_by(person_accounts.c.account_id)
        .limit(ACCOUNTS_MAX)
    )
    return fetch_all(connection, statement, Membership)


def of_account(connection: Connection, account_id: str, *, livemode: bool) -> list[Membership]:
    """Everybody's roles in an account."""
    statement = (
        select(person_accounts)
        .where(person_accounts.c.account_id == account_id, person_accounts.c.livemode == livemode)
        .order_by(person_accounts.c.person)
        .limit(PERSONS_MAX)
    )
    return fetch_all(connection, statement, Membership)


def people_of(connection: Connection, memberships: Sequence[Membership]) -> dict[str, Person]:
    """Who they are, by id."""
    ids = [each.person for each in memberships]
    found = fetch_all(connection, select(persons).where(persons.c.id.in_(ids)), Person)
    return {each.id: each for each in found}
