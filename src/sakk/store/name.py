"""Screenings of names, never changed afterwards, and the exemptions that persons granted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Table, Text, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from sakk.core.name_screening import NameExemption, NameHit, NameQuery, NameScreening
from sakk.store.database import fetch_all, fetch_one, insert_records
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Timestamp, metadata

# As in core.rule: learnt before threads read by it.
_LEARNT = msgspec.json.Decoder(tuple[NameQuery, tuple[NameHit, ...]])


class Query(TypeDecorator[NameQuery]):
    """Who was asked for, as a JSON object."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: NameQuery | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.to_builtins(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> NameQuery | None:
        return None if value is None else msgspec.convert(value, NameQuery)


class Hits(TypeDecorator[tuple[NameHit, ...]]):
    """What was found, as a JSON array."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: tuple[NameHit, ...] | None, dialect: Dialect) -> Any:
        return [msgspec.to_builtins(hit) for hit in value or ()]

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[NameHit, ...]:
        return msgspec.convert(value or [], tuple[NameHit, ...])


name_screenings = Table(
    "name_screenings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("subject", Text, nullable=False),
    Column("query", Query, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("hits", Hits, nullable=False),
    Column("lists_version", BigInteger, nullable=False),
    Column("rules_version", Text, nullable=False),
    Column("matcher", Text, nullable=False),
    Column("input_hash", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_name_screenings_subject", "subject", "id"),
    Index("ix_name_screenings_account", "account_id", "livemode", "id"),
)

name_exemptions = Table(
    "name_exemptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("subject", Text, nullable=False),
    Column("entity_id", Text, nullable=False),
    Column("entity_version", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("ended_by", Text),
    Column("ended", Timestamp),
    Column("ended_reason", Text),
    Index("ix_name_exemptions_subject", "subject", "id"),
    Index("ix_name_exemptions_entity", "entity_id", "id"),
    Index(
        "uq_name_exemptions_open",
        "livemode",
        "subject",
        "entity_id",
        unique=True,
        postgresql_where="ended IS NULL",
    ),
)


def insert_name_screenings(connection: Connection, rows: Sequence[NameScreening]) -> None:
    insert_records(connection, name_screenings, rows)


def find_name_screening(
    connection: Connection, identifier: str, *, livemode: bool
) -> NameScreening | None:
    statement = select(name_screenings).where(
        name_screenings.c.id == identifier, name_screenings.c.livemode == livemode
    )
    return fetch_one(connection, statement, NameScreening)


def list_name_screenings(
    connection: Connection,
    page: PageRequest,
    *,
    livemode: bool,
    account_id: str | None = None,
    subject: str | None = None,
) -> tuple[list[NameScreening], bool]:
    """A page of screenings, newest first, and is there more?"""
    filters = [] if subject is None else [name_screenings.c.subject == subject]
    return fetch_page(
        connection,
        name_screenings,
        NameScreening,
        account_id=account_id,
        livemode=livemode,
        page=page,
        filters=filters,
    )


def exemptions_of(connection: Connection, subject: str, *, livemode: bool) -> list[NameExemption]:
    """The exemptions of a subject that nobody ended."""
    statement = (
        select(name_exemptions)
        .where(
            name_exemptions.c.subject == subject,
            name_exemptions.c.livemode == livemode,
            name_exemptions.c.ended.is_(None),
        )
        .order_by(name_exemptions.c.id)
    )
    return fetch_all(connection, statement, NameExemption)


def list_exemptions(
    connection: Connection, page: PageRequest, *, livemode: bool, subject: str | None = None
) -> tuple[list[NameExemption], bool]:
    """A page of exemptions, newest first, and is there more?"""
    filters = [] if subject is None else [name_exemptions.c.subject == subject]
    return fetch_page(
        connection,
        name_exemptions,
        NameExemption,
        account_id=None,
        livemode=livemode,
        page=page,
        filters=filters,
    )


def find_exemption(
    connection: Connection, identifier: str, *, livemode: bool, lock: bool = False
) -> NameExemption | None:
    statement = select(name_exemptions).where(
        name_exemptions.c.id == identifier, name_exemptions.c.livemode == livemode
    )
    return fetch_one(connection, statement.with_for_update() if lock else statement, NameExemption)


def insert_exemption(connection: Connection, row: NameExemption) -> None:
    insert_records(connection, name_exemptions, [row])


def end_exemption(
    connection: Connection, identifier: str, *, by: str, reason: str | None, now: datetime
) -> None:
    """End an exemption that is open; its row stays."""
    connection.execute(
        update(name_exemptions)
        .where(name_exemptions.c.id == identifier, name_exemptions.c.ended.is_(None))
        .values(ended_by=by, ended=now, ended_reason=reason)
    )
