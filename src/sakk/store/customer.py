"""Customers: rows of an account in one mode."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Table,
    Text,
    and_,
    exists,
    false,
    select,
    text,
    update,
)

from sakk.core.customer import Customer
from sakk.store.address import CUSTOMER, addresses
from sakk.store.database import fetch_all, fetch_one
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Document, Timestamp, metadata

customers = Table(
    "customers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("name", Text),
    Column("email", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_customers_account_id_livemode_id", "account_id", "livemode", "id"),
    Index("ix_customers_email", "email", "id", postgresql_where=text("email is not null")),
)


def insert_customer(connection: Connection, customer: Customer) -> None:
    connection.execute(
        customers.insert(), {name: getattr(customer, name) for name in Customer.__slots__}
    )


def find_customers(
    connection: Connection, customer_ids: Sequence[str], *, account_id: str, livemode: bool
) -> list[Customer]:
    """Those of the named customers that belong to the account, deleted ones too."""
    statement = select(customers).where(
        customers.c.id.in_(list(customer_ids)),
        customers.c.account_id == account_id,
        customers.c.livemode == livemode,
    )
    return fetch_all(connection, statement, Customer)


def names(connection: Connection, customer_ids: Sequence[str]) -> dict[str, str]:
    """What people call customers: by name, or by e-mail address; the others are left out."""
    rows = connection.execute(
        select(customers.c.id, customers.c.name, customers.c.email).where(
            customers.c.id.in_(list(customer_ids))
        )
    )
    return {row.id: row.name or row.email for row in rows if row.name or row.email}


def find_customer(
    connection: Connection,
    customer_id: str,
    *,
    account_id: str,
    livemode: bool,
    for_update: bool = False,
) -> Customer | None:
    """A customer, deleted ones too; ``for_update`` makes others wait until the transaction ends."""
    statement = select(customers).where(
        customers.c.id == customer_id,
        customers.c.account_id == account_id,
        customers.c.livemode == livemode,
    )
    return fetch_one(connection, statement.with_for_update() if for_update else statement, Customer)


def find_visible(
    connection: Connection, customer_id: str, *, account_id: str | None, livemode: bool
) -> Customer | None:
    """A customer of an account, or of any for the operator (None); deleted ones too."""
    statement = select(customers).where(
        customers.c.id == customer_id, customers.c.livemode == livemode
    )
    if account_id is not None:
        statement = statement.where(customers.c.account_id == account_id)
    return fetch_one(connection, statement, Customer)


def lock_older(connection: Connection, *, below: int, limit: int) -> list[Customer]:
    """Living customers all of whose keys' addresses have an index below one, locked."""
    own = and_(
        addresses.c.customer == customers.c.id,
        addresses.c.purpose == CUSTOMER,
        addresses.c.factory.is_(None),
    )
    statement = (
        select(customers)
        .where(
            customers.c.deleted == false(),
            exists().where(own, addresses.c.key_index < below),
            ~exists().where(own, addresses.c.key_index >= below),
        )
        .order_by(customers.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return fetch_all(connection, statement, Customer)


def update_customer(
    connection: Connection, customer_id: str, values: Mapping[str, Any], *, account_id: str
) -> None:
    if values:
        connection.execute(
            update(customers)
            .where(customers.c.id == customer_id, customers.c.account_id == account_id)
            .values(dict(values))
        )


def list_customers(
    connection: Connection,
    page: PageRequest,
    *,
    account_id: str,
    livemode: bool,
    email: str | None = None,
) -> tuple[list[Customer], bool]:
    filters = [customers.c.deleted == false()]
    if email is not None:
        filters.append(customers.c.email == email)
    return fetch_page(
        connection,
        customers,
        Customer,
        account_id=account_id,
        livemode=livemode,
        page=page,
        filters=filters,
    )
