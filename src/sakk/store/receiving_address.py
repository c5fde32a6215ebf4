"""Receiving addresses: one of an account, a mode and a network."""

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, select, text

from sakk.core.receiving_address import ReceivingAddress
from sakk.store.database import fetch_all, fetch_one, insert_records
from sakk.store.schema import Timestamp, metadata

receiving_addresses = Table(
    "receiving_addresses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("uq_receiving_addresses_network", "account_id", "livemode", "network", unique=True),
    Index("ix_receiving_addresses_address", "address"),
)


_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('sakk receiving ' || :account || :livemode))")


def lock_account(connection: Connection, account_id: str, *, livemode: bool) -> None:
    """Keep an account's first requests apart until the end of this transaction."""
    connection.execute(_LOCK, {"account": account_id, "livemode": str(livemode)})


def insert(connection: Connection, row: ReceivingAddress) -> None:
    insert_records(connection, receiving_addresses, [row])


def list_of(connection: Connection, *, account_id: str, livemode: bool) -> list[ReceivingAddress]:
    """An account's addresses, the first one first."""
    statement = select(receiving_addresses).where(
        receiving_addresses.c.account_id == account_id, receiving_addresses.c.livemode == livemode
    )
    return fetch_all(connection, statement.order_by(receiving_addresses.c.id), ReceivingAddress)


def by_address(connection: Connection, address: str, network: str) -> ReceivingAddress | None:
    """Whose receiving address this is on a network."""
    statement = select(receiving_addresses).where(
        receiving_addresses.c.address == address, receiving_addresses.c.network == network
    )
    return fetch_one(connection, statement, ReceivingAddress)
