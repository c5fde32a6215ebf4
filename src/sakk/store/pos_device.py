"""Tills: rows and queries."""

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Connection,
    Date,
    Index,
    Integer,
    Table,
    Text,
    cast,
    func,
    select,
)

from sakk.core import checkout_session, ids
from sakk.core import pos_device as rules
from sakk.core.pos_device import PosDevice, Takings
from sakk.store.checkout_session import checkout_sessions
from sakk.store.database import fetch_all, fetch_one, insert_records, row_of, update_records
from sakk.store.payment import payment_intents
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


def takings(
    connection: Connection, device: PosDevice, *, since: datetime, zone: str
) -> list[Takings]:
    """What was taken at a till, by the day on which it was asked in a time zone, its IANA name.

    Days without a sale are left out.
    """
    sale, paid = checkout_sessions.c, payment_intents.c
    # Sales have ids in the order of their forms' time, which is what their index is in.
    earliest = since - rules.FORM_AGE_MAX
    first = ids.encode(checkout_session.PREFIX, int(earliest.timestamp() * 1_000) << 80)
    day = cast(func.timezone(zone, sale.created), Date).label("day")
    statement = (
        select(
            day,
            func.count().label("asked"),
            func.count(paid.succeeded_at).label("paid"),
            func.sum(paid.amount_received).label("taken"),
            func.sum(paid.amount_refunded).label("given_back"),
        )
        .join(payment_intents, paid.id == sale.payment_intent)
        .where(sale.pos_device == device.id, sale.id >= first, sale.created >= since)
        .group_by(day)
    )
    return fetch_all(connection, statement, Takings)
