"""Payment links: rows and queries."""

from collections.abc import Iterable

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    select,
    update,
)

from sakk.core.payment_link import PaymentLink
from sakk.store.database import fetch_one, insert_records, update_records
from sakk.store.schema import Document, Timestamp, Units, metadata

payment_links = Table(
    "payment_links",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("token_hash", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("lines", Document, nullable=False),
    Column("amount", Units),
    Column("amount_min", Units),
    Column("amount_max", Units),
    Column("amount_preset", Units),
    Column("networks", ARRAY(Text)),
    Column("currencies", ARRAY(Text)),
    Column("uses_max", Integer),
    Column("uses", Integer, nullable=False),
    Column("success_url", Text),
    Column("message", Text),
    Column("inactive_message", Text),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("application", Document),
    Index("ix_payment_links_account", "account_id", "livemode", "id"),
    Index("uq_payment_links_token", "token_hash", unique=True),
)


def insert(connection: Connection, link: PaymentLink) -> None:
    insert_records(connection, payment_links, [link])


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> PaymentLink | None:
    """One link of an account, or of any (None), locked for a change if asked."""
    columns = payment_links.c
    statement = select(payment_links).where(columns.id == identifier, columns.livemode == livemode)
    if account_id is not None:
        statement = statement.where(columns.account_id == account_id)
    if lock:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, PaymentLink)


def find_by_token(
    connection: Connection, token_hash: str, *, lock: bool = False
) -> PaymentLink | None:
    """Whose page this is."""
    statement = select(payment_links).where(payment_links.c.token_hash == token_hash)
    if lock:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, PaymentLink)


def find_message(connection: Connection, identifier: str) -> str | None:
    """What a payer reads afterwards."""
    statement = select(payment_links.c.message).where(payment_links.c.id == identifier)
    return connection.execute(statement).scalar()


def write(connection: Connection, link: PaymentLink) -> None:
    """Write what its merchant may change."""
    names = ("id", "active", "uses_max", "success_url", "message", "inactive_message", "metadata")
    update_records(connection, payment_links, [{name: getattr(link, name) for name in names}])


def count_uses(connection: Connection, links: Iterable[str]) -> None:
    """One more session of each was completed; in the order of their ids, so that no two block."""
    for identifier in sorted(links):
        connection.execute(
            update(payment_links)
            .where(payment_links.c.id == identifier)
            .values(uses=payment_links.c.uses + 1)
        )
