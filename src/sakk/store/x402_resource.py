"""What is sold by HTTP 402 and wants to be found."""

from sqlalchemy import Boolean, Column, Connection, Index, Table, Text, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.x402_resource import X402Resource
from sakk.store.database import fetch_all
from sakk.store.schema import Document, Timestamp, metadata

x402_resources = Table(
    "x402_resources",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("type", Text, nullable=False),
    Column("description", Text),
    Column("mime_type", Text),
    Column("accepts", Document, nullable=False),
    Column("extensions", Document, nullable=False),
    Column("updated", Timestamp, nullable=False),
    Index("ix_x402_resources_updated", "updated"),
)


def put(connection: Connection, row: X402Resource) -> None:
    """List a resource as it is described now; one that another account lists stays that one's."""
    given = {name: getattr(row, name) for name in X402Resource.__slots__}
    statement = upsert(x402_resources).values(given)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["resource"],
            set_={name: statement.excluded[name] for name in given},
            where=x402_resources.c.account_id == row.account_id,
        )
    )


def find(
    connection: Connection, *, type: str | None, limit: int, offset: int
) -> tuple[list[X402Resource], int]:
    """A page of what is listed, the newest first, and how many there are in all."""
    wanted = [] if type is None else [x402_resources.c.type == type]
    statement = (
        select(x402_resources)
        .where(*wanted)
        .order_by(x402_resources.c.updated.desc(), x402_resources.c.resource)
        .limit(limit)
        .offset(offset)
    )
    counted = select(func.count()).select_from(x402_resources).where(*wanted)
    total = int(connection.execute(counted).scalar_one())
    return fetch_all(connection, statement, X402Resource), total
