"""Conversions: terms, quotes, what was converted by them, and the position that it left."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.chart import AccountCode, currency_of_unit
from sakk.core.conversion import Conversion, ConversionQuote, ConversionTerms, QuoteStatus
from sakk.store.database import due, fetch_one, insert_records, row_of
from sakk.store.lease import before
from sakk.store.schema import Document, Timestamp, Units, metadata

conversion_terms = Table(
    "conversion_terms",
    metadata,
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("spread_ppm", Integer, nullable=False),
    Column("lock_seconds", Integer, nullable=False),
    Column("usd_cents_max", Units, nullable=False),
    Column("usd_cents_per_day_max", Units, nullable=False),
    Column("updated", Timestamp, nullable=False),
    PrimaryKeyConstraint("account_id", "livemode"),
)


def _amounts() -> list[Column[Any]]:
    """What a quote promises and a conversion carries out."""
    return [
        Column("id", Text, primary_key=True),
        Column("account_id", Text, nullable=False),
        Column("livemode", Boolean, nullable=False),
        Column("source_currency", Text, nullable=False),
        Column("source_decimals", Integer, nullable=False),
        Column("target_currency", Text, nullable=False),
        Column("target_decimals", Integer, nullable=False),
        Column("source_amount", Units, nullable=False),
        Column("target_amount", Units, nullable=False),
        Column("spread", Units, nullable=False),
        Column("service_fee", Units, nullable=False),
        Column("fee_terms", Document),
        Column("price", Units, nullable=False),
        Column("usd_cents", Units, nullable=False),
        Column("metadata", Document, nullable=False),
        Column("of_operator", Boolean, nullable=False, server_default=text("false")),
        Column("created", Timestamp, nullable=False),
    ]


conversion_quotes = Table(
    "conversion_quotes",
    metadata,
    *_amounts(),
    Column("bid", Units, nullable=False),
    Column("ask", Units, nullable=False),
    Column("sources", Document, nullable=False),
    Column("path", Document, nullable=False),
    Column("rated_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Index("ix_conversion_quotes_account", "account_id", "livemode", "id"),
)

conversions = Table(
    "conversions",
    metadata,
    *_amounts(),
    Column("quote", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure_code", Text),
    Index("ix_conversions_account", "account_id", "livemode", "id"),
    Index("ix_conversions_day", "account_id", "livemode", "created"),
    Index("uq_conversions_quote", "quote", unique=True),
    Index("ix_conversions_requested", "created", postgresql_where=text("status = 'requested'")),
)

# One after another by the index, however many: a file has thousands.
_USED_BY = text(
    "SELECT used.quote, used.id FROM unnest(CAST(:quotes AS text[])) AS given(id) CROSS JOIN"
    " LATERAL (SELECT id, quote FROM conversions WHERE quote = given.id LIMIT 1) AS used"
)
# A request converts its own; only what is older was left behind by a crash.
LEFT_TO_REQUEST = timedelta(seconds=5)


def put_terms(connection: Connection, terms: ConversionTerms) -> None:
    statement = upsert(conversion_terms).values(row_of(terms))
    kept = ("account_id", "livemode")
    changed = {
        column.name: statement.excluded[column.name]
        for column in conversion_terms.columns
        if column.name not in kept
    }
    connection.execute(statement.on_conflict_do_update(index_elements=kept, set_=changed))


def find_terms(
    connection: Connection, account_id: str, *, livemode: bool, exact: bool = False
) -> ConversionTerms | None:
    """An account's own terms, or those of all; ``exact``: its own alone."""
    names = [account_id] if exact else [account_id, ""]
    statement = (
        select(conversion_terms)
        .where(conversion_terms.c.account_id.in_(names), conversion_terms.c.livemode == livemode)
        .order_by(conversion_terms.c.account_id.desc())
        .limit(1)
    )
    return fetch_one(connection, statement, ConversionTerms)


def insert_quote(connection: Connection, quote: ConversionQuote) -> None:
    insert_records(connection, conversion_quotes, [quote])


def find_quote(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> ConversionQuote | None:
    """One quote of an account (None: of any, for the operator)."""
    table = conversion_quotes
    statement = select(table).where(table.c.id == identifier, table.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(table.c.account_id == account_id)
    statement = statement.with_for_update() if lock else statement
    return fetch_one(connection, statement, ConversionQuote)


def insert(connection: Connection, conversion: Conversion) -> None:
    insert_records(connection, conversions, [conversion])


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Conversion | None:
    """One conversion of an account (None: of any, for the operator)."""
    statement = select(conversions).where(
        conversions.c.id == identifier, conversions.c.livemode == livemode
    )
    if account_id is not None:
        statement = statement.where(conversions.c.account_id == account_id)
    return fetch_one(connection, statement, Conversion)


def find_by_quote(connection: Connection, quote: str) -> str | None:
    """Which conversion a quote was used for."""
    found = connection.execute(select(conversions.c.id).where(conversions.c.quote == quote))
    identifier: str | None = found.scalar_one_or_none()
    return identifier


def used_by(connection: Connection, quotes: Sequence[str]) -> dict[str, str]:
    """Which conversions quotes were used for, of those that were."""
    if not quotes:
        return {}
    found = connection.execute(_USED_BY, {"quotes": list(quotes)})
    return {row.quote: row.id for row in found}


def quote_is(status: QuoteStatus, now: datetime) -> ColumnElement[bool]:
    """The condition for quotes that stand so."""
    c = conversion_quotes.c
    # Asked of each row by the index, and never joined: a list reads few of many.
    used = select(conversions.c.id).where(conversions.c.quote == c.id).limit(1).scalar_subquery()
    match status:
        case QuoteStatus.used:
            return used.is_not(None)
        case QuoteStatus.held:
            return used.is_(None) & (c.expires_at > now)
        case QuoteStatus.expired:
            return used.is_(None) & (c.expires_at <= now)


def lock_account(connection: Connection, account_id: str) -> None:
    """One conversion of an account is asked for at a time: so its limit of a day holds."""
    key = func.hashtextextended(f"conversions:{account_id}", 0)
    connection.execute(select(func.pg_advisory_xact_lock(key)))


def usd_cents_since(
    connection: Connection, account_id: str, *, livemode: bool, since: datetime
) -> int:
    """What an account converted from a time on; not what the operator converted for it."""
    statement = select(func.coalesce(func.sum(conversions.c.usd_cents), 0)).where(
        conversions.c.account_id == account_id,
        conversions.c.livemode == livemode,
        conversions.c.created > since,
        conversions.c.status != "rejected",
        ~conversions.c.of_operator,
    )
    return int(connection.execute(statement).scalar_one())


# Conversions that were committed and never heard of again.
left_behind = due(
    select(conversions).where(
        conversions.c.status == "requested", conversions.c.created < before(LEFT_TO_REQUEST)
    ),
    Conversion,
    conversions.c.created,
)


def finish(connection: Connection, conversion: Conversion) -> bool:
    """Record how a requested conversion ended; False if another process did so before."""
    result = connection.execute(
        update(conversions)
        .where(conversions.c.id == conversion.id, conversions.c.status == "requested")
        .values(status=conversion.status, failure_code=conversion.failure_code)
    )
    return result.rowcount == 1


def held(connection: Connection, *, livemode: bool) -> dict[str, int]:
    """What all exchanges left in each currency, from the projection of the ledger."""
    found = connection.execute(
        text(
            "SELECT n.unit, sum(a.credits_posted - a.debits_posted) AS units"
            " FROM ledger_account_names n JOIN ledger_accounts a ON a.id = n.id"
            " WHERE n.code = :code GROUP BY n.unit"
        ),
        {"code": int(AccountCode.fx)},
    )
    sums = {currency_of_unit(row.unit): int(row.units) for row in found}
    return {currency: units for (currency, live), units in sums.items() if live == livemode}
