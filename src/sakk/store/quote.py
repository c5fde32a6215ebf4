"""Quotes of the network's fee, and what a transfer of each token costs at the newest look."""

from collections.abc import Iterable

from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Integer, Table, Text, select
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.quote import Quote, TransferCost
from sakk.store.database import among, fetch_all, fetch_one, insert_records, row_of
from sakk.store.schema import Document, Timestamp, Units, metadata

quotes = Table(
    "quotes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("fee", Units, nullable=False),
    Column("network_fee", Units, nullable=False),
    Column("gas", BigInteger, nullable=False),
    Column("gas_price", Units, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("amount", Units),
    Column("service_fee", Units),
    Column("fee_terms", Document),
    Index("ix_quotes_account", "account_id", "livemode", "id"),
    Index("ix_quotes_expires_at", "expires_at"),
)

transfer_costs = Table(
    "transfer_costs",
    metadata,
    Column("asset", Text, primary_key=True),
    Column("network", Text, nullable=False),
    Column("gas", BigInteger, nullable=False),
    Column("gas_price", Units, nullable=False),
    Column("measured", Timestamp, nullable=False),
)


def insert(connection: Connection, quote: Quote) -> None:
    insert_records(connection, quotes, [quote])


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Quote | None:
    """One quote of an account, or of any account for the operator (``account_id`` None)."""
    statement = select(quotes).where(quotes.c.id == identifier, quotes.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(quotes.c.account_id == account_id)
    return fetch_one(connection, statement, Quote)


def find_many(
    connection: Connection, identifiers: Iterable[str], *, account_id: str, livemode: bool
) -> list[Quote]:
    """Of the quotes given, those of an account."""
    statement = select(quotes).where(
        among(quotes.c.id, identifiers),
        quotes.c.account_id == account_id,
        quotes.c.livemode == livemode,
    )
    return fetch_all(connection, statement, Quote)


def put_cost(connection: Connection, cost: TransferCost) -> None:
    """Remember what a transfer costs now."""
    statement = upsert(transfer_costs).values(row_of(cost))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["asset"],
            set_={name: statement.excluded[name] for name in ("gas", "gas_price", "measured")},
        )
    )


def list_costs(connection: Connection) -> dict[str, TransferCost]:
    """What a transfer of each token costs, by asset."""
    return {
        each.asset: each for each in fetch_all(connection, select(transfer_costs), TransferCost)
    }
