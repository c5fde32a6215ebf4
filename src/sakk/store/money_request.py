"""Requests for money, and the bills whose shares they are: rows and queries."""

from collections.abc import Mapping, Sequence
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
    and_,
    func,
    or_,
    select,
    text,
    update,
)

from sakk.core.bill import Bill
from sakk.core.money_request import MoneyRequest, MoneyRequestStatus
from sakk.store.alias import aliases
from sakk.store.database import due, fetch_all, fetch_one, insert_records
from sakk.store.lease import NOW
from sakk.store.schema import Document, Timestamp, Units, metadata
from sakk.store.transfer import transfers

bills = Table(
    "bills",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("amount", Units, nullable=False),
    Column("own_share", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("note", Text),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_bills_account", "account_id", "livemode", "id"),
)

money_requests = Table(
    "money_requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("payer", Text),
    Column("recipient", Text),
    Column("amount", Units),
    Column("amount_paid", Units, nullable=False),
    Column("released", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("note", Text),
    Column("status", Text, nullable=False),
    Column("bill", Text),
    Column("place", Integer, nullable=False),
    Column("reminders", Integer, nullable=False),
    Column("reminded_at", Timestamp),
    Column("expires_at", Timestamp, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_money_requests_account", "account_id", "livemode", "id"),
    Index("ix_money_requests_payer", "payer", "livemode", "id"),
    Index("ix_money_requests_recipient", "recipient", "livemode", "id"),
    Index("ix_money_requests_bill", "bill", postgresql_where=text("bill is not null")),
    Index("ix_money_requests_open", "expires_at", postgresql_where=text("status = 'open'")),
)
_c = money_requests.c


def insert(connection: Connection, requests: Sequence[MoneyRequest]) -> None:
    insert_records(connection, money_requests, requests)


def insert_bill(connection: Connection, bill: Bill) -> None:
    insert_records(connection, bills, [bill])


def is_asked(account_id: str, *, livemode: bool) -> ColumnElement[bool]:
    """Requests that an account is asked by: by its id, or by an address that it has proved."""
    own = select(aliases.c.value).where(
        aliases.c.account_id == account_id,
        aliases.c.livemode == livemode,
        aliases.c.kind == "email",
        aliases.c.status == "active",
    )
    return or_(
        _c.payer == account_id,
        and_(_c.payer.is_(None), _c.recipient.in_(own.scalar_subquery())),
    )


def find(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, lock: bool = False
) -> MoneyRequest | None:
    """A request that an account made."""
    statement = select(money_requests).where(
        _c.id == identifier, _c.account_id == account_id, _c.livemode == livemode
    )
    return fetch_one(connection, statement.with_for_update() if lock else statement, MoneyRequest)


def find_any(connection: Connection, identifier: str, *, livemode: bool) -> MoneyRequest | None:
    """A request, whoever made it: for the operator."""
    statement = select(money_requests).where(_c.id == identifier, _c.livemode == livemode)
    return fetch_one(connection, statement, MoneyRequest)


def find_asked(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, lock: bool = False
) -> MoneyRequest | None:
    """A request that an account is asked by."""
    statement = select(money_requests).where(
        _c.id == identifier, _c.livemode == livemode, is_asked(account_id, livemode=livemode)
    )
    return fetch_one(connection, statement.with_for_update() if lock else statement, MoneyRequest)


def lock(connection: Connection, identifier: str) -> MoneyRequest | None:
    """A request, for whoever writes down what was paid of it."""
    statement = select(money_requests).where(_c.id == identifier).with_for_update()
    return fetch_one(connection, statement, MoneyRequest)


def promised(connection: Connection, identifier: str) -> int:
    """What is paid of a request, or on its way; ask under its lock."""
    statement = select(func.coalesce(func.sum(transfers.c.amount), 0)).where(
        transfers.c.reason == identifier, transfers.c.status.in_(("requested", "posted"))
    )
    return int(connection.execute(statement).scalar_one())


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(money_requests).where(_c.id == identifier).values(dict(values)))


def count_open(connection: Connection, *, account_id: str, livemode: bool) -> int:
    statement = select(func.count()).where(
        _c.account_id == account_id,
        _c.livemode == livemode,
        _c.status == MoneyRequestStatus.open.value,
    )
    return int(connection.execute(statement).scalar_one())


# Open requests whose time is over, locked.
over = due(
    select(money_requests).where(_c.status == MoneyRequestStatus.open.value, _c.expires_at <= NOW),
    MoneyRequest,
    _c.expires_at,
    lock=money_requests,
)


def find_bill(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> Bill | None:
    """A bill of an account; of any where ``account_id`` is None."""
    statement = select(bills).where(bills.c.id == identifier, bills.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(bills.c.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Bill)


def take_on(connection: Connection, bill: Bill, units: int) -> None:
    """Who paid the bill bears so much more of it."""
    connection.execute(
        update(bills).where(bills.c.id == bill.id).values(own_share=bills.c.own_share + units)
    )


def shares_of(connection: Connection, identifiers: Sequence[str]) -> dict[str, list[MoneyRequest]]:
    """The shares of bills, in the order in which they were asked for."""
    statement = select(money_requests).where(_c.bill.in_(list(identifiers))).order_by(_c.place)
    found: dict[str, list[MoneyRequest]] = {each: [] for each in identifiers}
    for row in fetch_all(connection, statement, MoneyRequest):
        assert row.bill is not None
        found[row.bill].append(row)
    return found
