"""Versions of the chart's mapping; rows never change, the newest is in force."""

from sqlalchemy import Column, Connection, Integer, Table, Text, select, text

from sakk.core.chart_mapping import ChartMapping
from sakk.store.database import fetch_one, row_of
from sakk.store.schema import Document, Timestamp, metadata

chart_mappings = Table(
    "chart_mappings",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("rules", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("created_by", Text),
)


def lock(connection: Connection) -> None:
    """Until the transaction ends nobody else writes a version."""
    connection.execute(text("LOCK TABLE chart_mappings IN SHARE ROW EXCLUSIVE MODE"))


def insert(connection: Connection, mapping: ChartMapping) -> None:
    connection.execute(chart_mappings.insert().values(row_of(mapping)))


def find(connection: Connection, version: int) -> ChartMapping | None:
    table = chart_mappings
    return fetch_one(connection, select(table).where(table.c.version == version), ChartMapping)


def find_newest(connection: Connection) -> ChartMapping | None:
    """The version in force; None while none was written."""
    table = chart_mappings
    statement = select(table).order_by(table.c.version.desc()).limit(1)
    return fetch_one(connection, statement, ChartMapping)
