"""Leases: a claim takes no more than its limit, however the rows are looked for."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Column, MetaData, Table, Text, func, select, text

from sakk.store.database import open_database
from sakk.store.lease import claim, claimable, lease_columns


@dataclass(frozen=True)
class Row:
    id: str
    attempt: int
    failures: int
    retry_at: datetime | None
    lease_token: str | None
    lease_until: datetime | None


def test_a_claim_takes_its_limit_by_any_plan(database_url: str) -> None:
    """Also where the rows that are due are asked for again for every row of the table."""
    table = Table("leased", MetaData(), Column("id", Text, primary_key=True), *lease_columns())
    due = claimable(table, Row, limit=2)
    database = open_database(database_url)
    try:
        with database.begin() as connection:
            table.create(connection)
            rows = "SELECT 'r' || i FROM generate_series(1, 9) AS i"
            connection.execute(text(f"INSERT INTO leased {rows}"))
            for way in ("hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize"):
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
            claimed = claim(connection, due, token="one", now=datetime.now(UTC))
            taken = select(func.count()).where(table.c.lease_token == "one")
            assert (len(claimed), connection.execute(taken).scalar_one()) == (2, 2)
    finally:
        database.close()
