"""Reconciliations: runs as they were kept. A row is written once, and never changed."""

from datetime import datetime
from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    select,
    text,
)

from sakk.core.chart import AccountCode, currency_unit
from sakk.core.reconciliation import Reconciliation, ReconciliationStatus, Suspended
from sakk.store.database import fetch_all, fetch_one, row_of
from sakk.store.network import assets, currencies, networks
from sakk.store.schema import Document, Timestamp, metadata

# Any constant that no other advisory lock of ours uses: the bytes of "recon".
RECORD_LOCK: Final = int.from_bytes(b"recon", "big")

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("breaks", Integer, nullable=False),
    Column("journal_sequence", BigInteger, nullable=False),
    Column("document", Document, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("why", Text),
    Column("started", Timestamp, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_reconciliations_livemode", "livemode", "id"),
)


def lock_records(connection: Connection) -> None:
    """One run is recorded after another, whichever process asks."""
    connection.execute(select(func.pg_advisory_xact_lock(RECORD_LOCK)))


def insert(connection: Connection, run: Reconciliation) -> None:
    connection.execute(reconciliations.insert().values(row_of(run)))


def find(connection: Connection, identifier: str, *, livemode: bool) -> Reconciliation | None:
    table = reconciliations
    statement = select(table).where(table.c.id == identifier, table.c.livemode == livemode)
    return fetch_one(connection, statement, Reconciliation)


def find_last(
    connection: Connection, *, livemode: bool, read: bool = False
) -> Reconciliation | None:
    """The newest run; ``read``: of those that could read all they looked at."""
    c = reconciliations.c
    statement = select(reconciliations).where(c.livemode == livemode)
    if read:
        statement = statement.where(c.status != ReconciliationStatus.failed.value)
    return fetch_one(connection, statement.order_by(c.id.desc()).limit(1), Reconciliation)


def list_between(
    connection: Connection, *, after: datetime, until: datetime, livemode: bool, limit: int
) -> list[Reconciliation]:
    """The newest runs that were kept in a period, oldest first."""
    c = reconciliations.c
    statement = (
        select(reconciliations)
        .where(c.livemode == livemode, c.created > after, c.created <= until)
        .order_by(c.id.desc())
        .limit(limit)
    )
    return fetch_all(connection, statement, Reconciliation)[::-1]


def suspended(connection: Connection) -> list[Suspended]:
    """What the ledger holds in suspense, coins and money at banks; zeros left out."""
    codes = [int(AccountCode.suspense), int(AccountCode.bank_suspense)]
    rows = connection.execute(_SUSPENDED, {"codes": codes})
    return [Suspended(row.name, row.unit, int(row.units)) for row in rows]


_SUSPENDED = text(
    "SELECT n.name, n.unit, a.credits_posted - a.debits_posted AS units"
    " FROM ledger_account_names n JOIN ledger_accounts a ON a.id = n.id"
    " WHERE n.code = ANY(:codes) AND a.debits_posted <> a.credits_posted ORDER BY n.name"
)


def unit_modes(connection: Connection) -> dict[str, bool]:
    """Of every unit of the chart, whether it is of live money."""
    named = connection.execute(select(currencies.c.currency)).scalars()
    modes = {
        currency_unit(each, livemode=livemode): livemode
        for each in named
        for livemode in (True, False)
    }
    listed = select(assets.c.asset, networks.c.livemode).join(
        networks, networks.c.network == assets.c.network
    )
    modes |= {row.asset: row.livemode for row in connection.execute(listed)}
    native = select(networks.c.native_asset, networks.c.livemode)
    return modes | {row.native_asset: row.livemode for row in connection.execute(native)}
