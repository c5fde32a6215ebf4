"""Reports: the jobs, and leases of them that are drawn out while a file is written."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    delete,
    func,
    select,
    text,
    update,
)

from sakk.core.report import OPEN, Report
from sakk.store.database import among, fetch_all, fetch_one, row_of
from sakk.store.lease import lease_columns
from sakk.store.schema import Document, Timestamp, metadata

reports = Table(
    "reports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("form", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("parameters", Document, nullable=False),
    Column("mapping", Integer),
    Column("rows", BigInteger, nullable=False),
    Column("rows_total", BigInteger),
    Column("file", Text),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("requested_by", Text),
    Column("metadata", Document, nullable=False),
    *lease_columns(),
    Column("ended_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    Index("ix_reports_account", "account_id", "livemode", "id"),
    Index("ix_reports_work", "id", postgresql_where=text("status in ('pending', 'running')")),
    Index("ix_reports_file", "file", postgresql_where=text("file IS NOT NULL")),
)


def insert(connection: Connection, report: Report) -> None:
    connection.execute(reports.insert().values(row_of(report)))


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> Report | None:
    """One report, of an account or of any (None)."""
    statement = select(reports).where(reports.c.id == identifier, reports.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(reports.c.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Report)


def count_open(connection: Connection, account_id: str) -> int:
    """How many of an account's are not ended, in both modes."""
    found = connection.execute(
        select(func.count()).where(
            reports.c.account_id == account_id, among(reports.c.status, OPEN)
        )
    ).scalar_one()
    return int(found)


def advance(
    connection: Connection,
    identifier: str,
    *,
    token: str,
    lease_until: datetime | None,
    **values: object,
) -> bool:
    """Write down how far a report has come; False for who does not hold its lease any more."""
    table = reports
    done = connection.execute(
        update(table)
        .where(table.c.id == identifier, table.c.lease_token == token, among(table.c.status, OPEN))
        .values(lease_until=lease_until, **values)
    )
    return done.rowcount == 1


def set_ended(connection: Connection, identifier: str, **values: object) -> None:
    """End a locked report; whoever writes at it learns so at the next part."""
    connection.execute(
        update(reports)
        .where(reports.c.id == identifier)
        .values(lease_token=None, lease_until=None, **values)
    )


def forget(connection: Connection, *, before: datetime, limit: int) -> int:
    """Remove reports that ended long ago; how many."""
    due = (
        select(reports.c.id)
        .where(reports.c.created < before, ~among(reports.c.status, OPEN))
        .limit(limit)
    )
    return connection.execute(delete(reports).where(reports.c.id.in_(due))).rowcount


def list_of(connection: Connection, *, account_id: str | None, limit: int) -> list[Report]:
    """The newest reports, of an account or of all."""
    statement = select(reports).order_by(reports.c.id.desc()).limit(limit)
    if account_id is not None:
        statement = statement.where(reports.c.account_id == account_id)
    return fetch_all(connection, statement, Report)
