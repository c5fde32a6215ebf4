"""Tills: rows and queries."""

from sqlalchemy import ARRAY, Boolean, Column, Connection, Index, Integer, Table, Text, select

from sakk.core.pos_device import PosDevice
from sakk.store.database import fetch_one, insert_records, row_of, update_records
from sakk.store.schema import Document, Timestamp, metadata

pos_devices = Table(
    "pos_devices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("networks", ARRAY(Text)),
    Column("currencies", ARRAY(Text)),
    Column("pairing_hash", Text),
    Column("pairing_until", Timestamp),
    Column("token_hash", Text),
    Column("paired_at", Timestamp),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_pos_devices_account", "account_id", "livemode", "id"),
    Index("uq_pos_devices_pairing", "pairing_hash", unique=True),
    Index("uq_pos_devices_token", "token_hash", unique=True),
)


def insert(connection: Connection, device: PosDevice) -> None:
    insert_records(connection, pos_devices, [device])


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> PosDevice | None:
    """One till of an account, or of any (None), locked for a change if asked."""
    columns = pos_devices.c
    statement = select(pos_devices).where(columns.id == identifier, columns.livemode == livemode)
    if account_id is not None:
        statement = statement.where(columns.account_id == account_id)
    if lock:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, PosDevice)


def lock_pairing(connection: Connection, pairing_hash: str) -> PosDevice | None:
    """The till that a pairing link is for, locked, so that one phone alone becomes it."""
    statement = select(pos_devices).where(pos_devices.c.pairing_hash == pairing_hash)
    return fetch_one(connection, statement.with_for_update(), PosDevice)


def find_by_token(connection: Connection, token_hash: str) -> PosDevice | None:
    """Which till a phone is."""
    statement = select(pos_devices).where(pos_devices.c.token_hash == token_hash)
    return fetch_one(connection, statement, PosDevice)


def write(connection: Connection, device: PosDevice) -> None:
    update_records(connection, pos_devices, [row_of(device)])
