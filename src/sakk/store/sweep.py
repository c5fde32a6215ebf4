"""Sweeps: rows and queries."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Table,
    Text,
    exists,
    select,
    text,
    update,
)

from sakk.core.payin import PayInStatus
from sakk.core.sweep import Sweep
from sakk.store.address import addresses, deposits
from sakk.store.database import fetch_all, fetch_one, insert_records
from sakk.store.lease import lease_columns
from sakk.store.network import assets, networks
from sakk.store.payin import payins
from sakk.store.schema import Timestamp, Units, metadata

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("key_index", BigInteger, nullable=False),
    Column("destination", Text, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("status", Text, nullable=False),
    Column("method", Text, nullable=False, server_default="key"),
    Column("arrived_units", Units),
    Column("topup", Text),
    Column("transaction", Text),
    Column("tx_hash", Text),
    Column("waits_for", Text),
    Column("failure_code", Text),
    Column("posted_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("ix_sweeps_address", "address", "asset"),
    Index("ix_sweeps_transaction", "transaction"),
    Index(
        "ix_sweeps_work",
        "status",
        postgresql_where=text("status not in ('posted', 'rejected', 'canceled', 'failed')"),
    ),
)

_UNDER_WAY = ["requested", "screened", "approved", "signed", "broadcast", "unknown", "confirmed"]


@dataclass(frozen=True, slots=True)
class Collectable:
    """Coins that stand on a deposit address and may be swept."""

    livemode: bool
    network: str
    asset: str
    address: str
    key_index: int
    units: int


def insert(connection: Connection, rows: list[Sweep]) -> None:
    insert_records(connection, sweeps, rows)


def find(connection: Connection, identifier: str) -> Sweep | None:
    return fetch_one(connection, select(sweeps).where(sweeps.c.id == identifier), Sweep)


def lock_one(connection: Connection, identifier: str) -> Sweep | None:
    statement = select(sweeps).where(sweeps.c.id == identifier).with_for_update()
    return fetch_one(connection, statement, Sweep)


def lock_collectable(connection: Connection, *, now: datetime, limit: int) -> list[Collectable]:
    """Deposits worth collecting: clean, above the asset's minimum, no sweep of them under way."""
    held = exists().where(
        payins.c.address == deposits.c.address, payins.c.status == PayInStatus.held.value
    )
    busy = exists().where(
        sweeps.c.address == deposits.c.address,
        sweeps.c.asset == deposits.c.asset,
        sweeps.c.status.in_(_UNDER_WAY),
    )
    statement = (
        select(
            networks.c.livemode,
            assets.c.network,
            deposits.c.asset,
            deposits.c.address,
            addresses.c.key_index,
            deposits.c.units,
        )
        .join(assets, assets.c.asset == deposits.c.asset)
        .join(networks, networks.c.network == assets.c.network)
        .join(addresses, addresses.c.address == deposits.c.address)
        .where(
            deposits.c.units > 0,
            deposits.c.units >= assets.c.sweep_minimum,
            assets.c.contract.is_not(None),
            networks.c.enabled,
            addresses.c.purpose != "treasury",
            deposits.c.retry_at.is_(None) | (deposits.c.retry_at <= now),
            ~held,
            ~busy,
        )
        .order_by(deposits.c.address)
        .limit(limit)
        .with_for_update(of=deposits, skip_locked=True)
    )
    return fetch_all(connection, statement, Collectable)


def postpone(connection: Connection, *, address: str, asset: str, until: datetime) -> None:
    """Leave a deposit alone for a while after a failed collection."""
    connection.execute(
        update(deposits)
        .where(deposits.c.address == address, deposits.c.asset == asset)
        .values(retry_at=until)
    )
