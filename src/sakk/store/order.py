"""Orders at venues and their children."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.chart import AccountCode, LedgerAccount
from sakk.core.order import OPEN, ChildOrder, Order, OrderStatus
from sakk.store.database import among, fetch_all, fetch_one, insert_records, row_of
from sakk.store.lease import lease_columns
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Document, Timestamp, Units, metadata

orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("base", Text, nullable=False),
    Column("base_decimals", Integer, nullable=False),
    Column("quote", Text, nullable=False),
    Column("quote_decimals", Integer, nullable=False),
    Column("side", Text, nullable=False),
    Column("units", Units, nullable=False),
    Column("limit_price", Units, nullable=False),
    Column("usd_cents", Units, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("approvals", Document, nullable=False),
    Column("route", Document),
    Column("filled_units", Units, nullable=False),
    Column("quote_units", Units, nullable=False),
    Column("fee_units", Units, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
    *lease_columns(),
    Index("ix_orders_livemode", "livemode", "id"),
    # A position is closed by one order at a time.
    Index(
        "uq_orders_open",
        "base",
        "livemode",
        unique=True,
        postgresql_where=text("status IN ('awaiting', 'approved', 'working')"),
    ),
)

child_orders = Table(
    "child_orders",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("venue", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("base_decimals", Integer, nullable=False),
    Column("quote", Text, nullable=False),
    Column("quote_decimals", Integer, nullable=False),
    Column("side", Text, nullable=False),
    Column("units", Units, nullable=False),
    Column("price", Units, nullable=False),
    Column("status", Text, nullable=False),
    Column("asked", Boolean, nullable=False),
    Column("filled_units", Units, nullable=False),
    Column("quote_units", Units, nullable=False),
    Column("fee_units", Units, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("venue_number", Integer),
    Column("waits_for", Text),
    *lease_columns(),
    Index("ix_child_orders_order", "order_id"),
    Index("ix_child_orders_intended", "id", postgresql_where=text("status = 'intended'")),
)


def insert(connection: Connection, order: Order) -> bool:
    """Record an order; False where one of its position is open."""
    statement = upsert(orders).values(row_of(order)).on_conflict_do_nothing()
    return connection.execute(statement.returning(orders.c.id)).scalar_one_or_none() is not None


def find(
    connection: Connection,
    identifier: str,
    *,
    livemode: bool | None = None,
    lock: bool = False,
) -> Order | None:
    """One order, of a mode or (None) of either."""
    statement = select(orders).where(orders.c.id == identifier)
    if livemode is not None:
        statement = statement.where(orders.c.livemode == livemode)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Order)


def has_open(
    connection: Connection, currency: str, *, livemode: bool, since: datetime | None = None
) -> bool:
    """Does an order change this currency's position, on either side of it, or did one that ended
    after a moment?"""
    c = orders.c
    is_open = c.status.in_(OPEN)
    statement = select(c.id).where(
        or_(c.base == currency, c.quote == currency),
        c.livemode == livemode,
        is_open if since is None else or_(is_open, c.ended_at > since),
    )
    return connection.execute(statement.limit(1)).scalar_one_or_none() is not None


def list_newest(connection: Connection, *, limit: int) -> list[Order]:
    return fetch_all(connection, select(orders).order_by(orders.c.id.desc()).limit(limit), Order)


def list_orders(
    connection: Connection, page: PageRequest, *, livemode: bool, status: OrderStatus | None = None
) -> tuple[list[Order], bool]:
    """One page, newest first, and is there more?"""
    return fetch_page(
        connection,
        orders,
        Order,
        account_id=None,
        livemode=livemode,
        page=page,
        filters=[] if status is None else [orders.c.status == status.value],
    )


def lock_waiting(connection: Connection, *, before: datetime) -> list[Order]:
    """Those that have waited for people since before a moment, locked; one a position at most."""
    c = orders.c
    statement = (
        select(orders)
        .where(c.status == OrderStatus.awaiting.value, c.created <= before)
        .order_by(c.id)
        .with_for_update(skip_locked=True)
    )
    return fetch_all(connection, statement, Order)


def change(connection: Connection, identifier: str, **values: object) -> None:
    connection.execute(update(orders).where(orders.c.id == identifier).values(**values))


def insert_children(connection: Connection, rows: Sequence[ChildOrder]) -> None:
    insert_records(connection, child_orders, rows)


def newest_children(connection: Connection, *, livemode: bool, limit: int) -> list[ChildOrder]:
    """The newest parts of orders at all venues, newest first; of so many, those of a mode."""
    newest = select(child_orders).order_by(child_orders.c.id.desc()).limit(limit).subquery()
    statement = select(newest).where(newest.c.livemode == livemode).order_by(newest.c.id.desc())
    return fetch_all(connection, statement, ChildOrder)


def list_children(connection: Connection, *orders_of: str) -> list[ChildOrder]:
    """The children of these orders, as they were made."""
    if not orders_of:
        return []
    c = child_orders.c
    statement = select(child_orders).where(among(c.order_id, orders_of)).order_by(c.id)
    return fetch_all(connection, statement, ChildOrder)


def note_asked(
    connection: Connection, identifier: str, *, number: int, token: str, until: datetime
) -> bool:
    """From now on the venue may have it, once more, in its account of a number, and the lease
    begins anew; False where another worker has it."""
    c = child_orders.c
    noted = (
        update(child_orders)
        .where(c.id == identifier, c.lease_token == token)
        .values(asked=True, attempt=c.attempt + 1, venue_number=number, lease_until=until)
    )
    return connection.execute(noted.returning(c.id)).scalar_one_or_none() is not None


def fx_accounts(connection: Connection) -> list[LedgerAccount]:
    """The accounts of all pairs that were ever exchanged."""
    found = connection.execute(
        text("SELECT name, unit FROM ledger_account_names WHERE code = :code ORDER BY name"),
        {"code": int(AccountCode.fx)},
    )
    return [LedgerAccount(row.name.rpartition("#")[0], row.unit, AccountCode.fx) for row in found]
