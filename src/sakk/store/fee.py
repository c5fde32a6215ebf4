"""Fees: schedules, their versions, the month's volumes, and every fee that was booked."""

from collections.abc import Iterable, Sequence

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    select,
    text,
    tuple_,
)

from sakk.core.fee import Fee, FeeSchedule, FeeVersion
from sakk.store.database import among, fetch_all, fetch_one, insert_records, row_of
from sakk.store.schema import Document, Timestamp, Units, metadata

fee_schedules = Table(
    "fee_schedules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
)

# Rows never change: what was charged by a version can always be read.
fee_versions = Table(
    "fee_versions",
    metadata,
    Column("schedule", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("rules", Document, nullable=False),
    Column("effective_at", Timestamp, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("created_by", Text),
    PrimaryKeyConstraint("schedule", "version"),
)

# What tiers are counted by: of a month in UTC, in the currency's unit.
fee_volumes = Table(
    "fee_volumes",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("volume", Units, nullable=False),
    PrimaryKeyConstraint("account_id", "livemode", "kind", "currency", "month"),
)

fees = Table(
    "fees",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("basis", Units, nullable=False),
    Column("amount", Units, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("rule", Integer, nullable=False),
    Column("parts", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_fees_account", "account_id", "livemode", "id"),
    Index("ix_fees_source", "source"),
)


def insert_schedule(connection: Connection, schedule: FeeSchedule) -> None:
    connection.execute(fee_schedules.insert().values(row_of(schedule)))


def insert_version(connection: Connection, version: FeeVersion) -> None:
    connection.execute(fee_versions.insert().values(row_of(version)))


def find_schedule(
    connection: Connection, identifier: str, *, lock: bool = False
) -> FeeSchedule | None:
    """One schedule; locked, nobody else adds a version meanwhile."""
    statement = select(fee_schedules).where(fee_schedules.c.id == identifier)
    return fetch_one(connection, statement.with_for_update() if lock else statement, FeeSchedule)


def list_versions(connection: Connection, schedules: Iterable[str]) -> dict[str, list[FeeVersion]]:
    """The versions of schedules, oldest first."""
    found: dict[str, list[FeeVersion]] = {}
    statement = (
        select(fee_versions)
        .where(among(fee_versions.c.schedule, schedules))
        .order_by(fee_versions.c.schedule, fee_versions.c.version)
    )
    for each in fetch_all(connection, statement, FeeVersion):
        found.setdefault(each.schedule, []).append(each)
    return found


def read_volume(
    connection: Connection,
    *,
    account_id: str,
    livemode: bool,
    kind: str,
    currency: str,
    month: str,
) -> int:
    """What was counted in a month so far."""
    c = fee_volumes.c
    found = connection.execute(
        select(c.volume).where(
            tuple_(c.account_id, c.livemode, c.kind, c.currency, c.month)
            == tuple_(account_id, livemode, kind, currency, month)
        )
    ).scalar()
    return int(found or 0)


def add_volume(
    connection: Connection,
    *,
    account_id: str,
    livemode: bool,
    kind: str,
    currency: str,
    month: str,
    units: int,
) -> int:
    """Count more in a month, under the row's lock until the end of the transaction; what was there
    before it."""
    after = connection.execute(
        _ADD,
        {
            "account_id": account_id,
            "livemode": livemode,
            "kind": kind,
            "currency": currency,
            "month": month,
            "units": units,
        },
    ).scalar_one()
    return int(after) - units


_ADD = text(
    "INSERT INTO fee_volumes AS v (account_id, livemode, kind, currency, month, volume)"
    " VALUES (:account_id, :livemode, :kind, :currency, :month, :units)"
    " ON CONFLICT (account_id, livemode, kind, currency, month)"
    " DO UPDATE SET volume = v.volume + excluded.volume RETURNING volume"
)


def insert_fees(connection: Connection, records: Sequence[Fee]) -> None:
    insert_records(connection, fees, records)


def find_fee(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Fee | None:
    """One fee, of an account or of any (None)."""
    statement = select(fees).where(fees.c.id == identifier, fees.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(fees.c.account_id == account_id)
    return fetch_one(connection, statement, Fee)


def next_version(connection: Connection, schedule: str) -> int:
    """The number of a locked schedule's next version."""
    last = connection.execute(
        select(fee_versions.c.version)
        .where(fee_versions.c.schedule == schedule)
        .order_by(fee_versions.c.version.desc())
        .limit(1)
    ).scalar()
    return 1 if last is None else int(last) + 1
