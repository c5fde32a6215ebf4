"""Receiving addresses: one of an account, a mode and a network."""

from collections.abc import Sequence

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, select
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.receiving_address import ReceivingAddress
from sakk.store.database import fetch_all, fetch_one
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


def insert(connection: Connection, row: ReceivingAddress) -> bool:
    """Record it; False when another request was first."""
    given = {name: getattr(row, name) for name in ReceivingAddress.__slots__}
    statement = upsert(receiving_addresses).values(given).on_conflict_do_nothing()
    return connection.execute(statement).rowcount == 1


def find(
    connection: Connection, network: str, *, account_id: str, livemode: bool
) -> ReceivingAddress | None:
    """An account's address on a network."""
    statement = select(receiving_addresses).where(
        receiving_addresses.c.account_id == account_id,
        receiving_addresses.c.livemode == livemode,
        receiving_addresses.c.network == network,
    )
    return fetch_one(connection, statement, ReceivingAddress)


def by_address(connection: Connection, address: str, network: str) -> ReceivingAddress | None:
    """Whose receiving address this is on a network."""
    statement = select(receiving_addresses).where(
        receiving_addresses.c.address == address, receiving_addresses.c.network == network
    )
    return fetch_one(connection, statement, ReceivingAddress)


def list_given(
    connection: Connection, addresses: Sequence[str], network: str
) -> list[ReceivingAddress]:
    """Those of the given addresses that are receiving addresses on a network."""
    statement = select(receiving_addresses).where(
        receiving_addresses.c.address.in_(list(addresses)), receiving_addresses.c.network == network
    )
    return fetch_all(connection, statement, ReceivingAddress)
