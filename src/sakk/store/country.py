"""Countries on lists, such as FATF's: bitemporal rows under the version of all lists."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Table,
    Text,
    exists,
    or_,
    select,
    update,
)

from sakk.store.account import accounts
from sakk.store.beneficiary import beneficiaries
from sakk.store.database import among
from sakk.store.label import label_lists
from sakk.store.schema import Timestamp, metadata

country_listings = Table(
    "country_listings",
    metadata,
    Column("list_id", Text, primary_key=True),
    Column("country", Text, primary_key=True),
    Column("listing", Text, primary_key=True),
    Column("opened_version", BigInteger, primary_key=True, autoincrement=False),
    Column("closed_version", BigInteger),
    Column("recorded_from", Timestamp, nullable=False),
    Column("recorded_to", Timestamp),
    Index(
        "uq_country_listings_open",
        "list_id",
        "country",
        "listing",
        unique=True,
        postgresql_where="closed_version IS NULL",
    ),
)


def open_listings(connection: Connection, list_id: str) -> set[tuple[str, str]]:
    """What a list says now: (country, listing)."""
    rows = connection.execute(
        select(country_listings.c.country, country_listings.c.listing).where(
            country_listings.c.list_id == list_id, country_listings.c.closed_version.is_(None)
        )
    )
    return {(row.country, row.listing) for row in rows}


def change_listings(
    connection: Connection,
    list_id: str,
    *,
    opened: Collection[tuple[str, str]],
    closed: Collection[tuple[str, str]],
    version: int,
    now: datetime,
) -> None:
    """Open and close what a list says, at a lists version; needs `lock_lists`."""
    for country, listing in sorted(closed):
        connection.execute(
            update(country_listings)
            .where(
                country_listings.c.list_id == list_id,
                country_listings.c.country == country,
                country_listings.c.listing == listing,
                country_listings.c.closed_version.is_(None),
            )
            .values(closed_version=version, recorded_to=now)
        )
    if opened:
        rows = [
            {
                "list_id": list_id,
                "country": country,
                "listing": listing,
                "opened_version": version,
                "recorded_from": now,
            }
            for country, listing in sorted(opened)
        ]
        connection.execute(country_listings.insert(), rows)


def is_changed(connection: Connection, *, after: int, version: int) -> bool:
    """Did a list of countries change between two lists versions?"""
    opened, closed = country_listings.c.opened_version, country_listings.c.closed_version
    changed = exists().where(
        or_((opened > after) & (opened <= version), (closed > after) & (closed <= version))
    )
    return bool(connection.execute(select(changed)).scalar_one())


def listed_now(connection: Connection) -> Mapping[str, Sequence[tuple[str, str, int]]]:
    """By country: how it is listed, by which list, and that list's version."""
    rows = connection.execute(
        select(
            country_listings.c.country,
            country_listings.c.listing,
            label_lists.c.name,
            label_lists.c.version,
        )
        .join(label_lists, label_lists.c.id == country_listings.c.list_id)
        .where(country_listings.c.closed_version.is_(None))
        .order_by(country_listings.c.country, label_lists.c.name, country_listings.c.listing)
    )
    found: dict[str, list[tuple[str, str, int]]] = {}
    for country, listing, name, version in rows:
        found.setdefault(country, []).append((listing, name, version))
    return found


def countries_of_accounts(connection: Connection, ids: Collection[str]) -> Mapping[str, str]:
    """The countries of accounts, where they are known."""
    rows = connection.execute(
        select(accounts.c.id, accounts.c.country).where(
            among(accounts.c.id, list(ids)), accounts.c.country.is_not(None)
        )
    )
    return {row.id: row.country for row in rows}


def countries_of_beneficiaries(
    connection: Connection, ids: Collection[str]
) -> Mapping[str, list[str]]:
    """The countries of beneficiaries, and of the institutions that hold their addresses."""
    rows = connection.execute(
        select(beneficiaries.c.id, beneficiaries.c.travel_rule).where(
            among(beneficiaries.c.id, list(ids)), beneficiaries.c.travel_rule.is_not(None)
        )
    )
    found = {}
    for identifier, said in rows:
        vasp = said.get("vasp") or {}
        found[identifier] = sorted(
            {each for each in (said.get("country"), vasp.get("country")) if each}
        )
    return found
