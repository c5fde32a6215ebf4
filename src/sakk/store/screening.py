"""Screenings: every verdict that was given, never changed afterwards."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Table,
    Text,
    func,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from sakk.core.screening import (
    Reason,
    Screening,
    Verdict,
    reason_from_document,
    reason_to_document,
)
from sakk.store.database import (
    among,
    as_json,
    fetch_all,
    fetch_one,
    insert_given,
    run,
    text_of,
)
from sakk.store.page import PageRequest, fetch_page
from sakk.store.schema import Document, Timestamp, Units, metadata


class Reasons(TypeDecorator[tuple[Reason, ...]]):
    """The reasons of a verdict, in their order, as a JSON array."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(
        self, value: tuple[Reason, ...] | None, dialect: Dialect
    ) -> list[dict[str, Any]]:
        return [reason_to_document(reason) for reason in value or ()]

    def process_result_value(
        self, value: list[dict[str, Any]] | None, dialect: Dialect
    ) -> tuple[Reason, ...]:
        return tuple(reason_from_document(document) for document in value or ())


screenings = Table(
    "screenings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("subject", Text, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("token_units", Units, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reasons", Reasons, nullable=False),
    Column("lists_version", BigInteger, nullable=False),
    Column("rules_version", Text, nullable=False),
    Column("input_hash", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("inputs", Document),
    Index("ix_screenings_subject", "subject", "id"),
    Index("ix_screenings_verdict", "livemode", "verdict", "id"),
    Index("ix_screenings_account", "account_id", "livemode", "id"),
)

_FIELDS = tuple(field.name for field in fields(Screening))
_INSERT = text_of(insert_given(screenings, _FIELDS).on_conflict_do_nothing(index_elements=["id"]))


def insert_screenings(connection: Connection, rows: Sequence[Screening]) -> None:
    """Record verdicts; one recorded already stays as it is."""
    if rows:
        given = [{name: getattr(row, name) for name in _FIELDS} for row in rows]
        run(connection, _INSERT, {"rows": as_json(screenings, given)})


def find_screening(
    connection: Connection, screening_id: str, *, livemode: bool | None = None
) -> Screening | None:
    """A screening; with ``livemode`` only one of that mode."""
    statement = select(screenings).where(screenings.c.id == screening_id)
    if livemode is not None:
        statement = statement.where(screenings.c.livemode == livemode)
    return fetch_one(connection, statement, Screening)


def list_by_ids(connection: Connection, identifiers: Sequence[str]) -> list[Screening]:
    """These verdicts, oldest first."""
    if not identifiers:
        return []
    statement = select(screenings).where(among(screenings.c.id, identifiers))
    return fetch_all(connection, statement.order_by(screenings.c.id), Screening)


def list_screenings(
    connection: Connection,
    page: PageRequest,
    *,
    livemode: bool,
    account_id: str | None = None,
    subject: str | None = None,
    verdict: str | None = None,
) -> tuple[list[Screening], bool]:
    """A page of screenings, newest first, and is there more? For the operator's eyes."""
    filters = []
    if subject is not None:
        filters.append(screenings.c.subject == subject)
    if verdict is not None:
        filters.append(screenings.c.verdict == verdict)
    return fetch_page(
        connection,
        screenings,
        Screening,
        account_id=account_id,
        livemode=livemode,
        page=page,
        filters=filters,
    )


def newest_screenings(connection: Connection, *, livemode: bool, limit: int) -> list[Screening]:
    """The newest verdicts of a mode, newest first; each verdict by its index, then the newest."""
    by_verdict = [
        select(screenings)
        .where(screenings.c.livemode == livemode, screenings.c.verdict == verdict.value)
        .order_by(screenings.c.id.desc())
        .limit(limit)
        .subquery()
        for verdict in Verdict
    ]
    every = union_all(*(select(each) for each in by_verdict)).subquery()
    statement = select(every).order_by(every.c.id.desc()).limit(limit)
    return fetch_all(connection, statement, Screening)


def latest_screening(connection: Connection, subject: str) -> Screening | None:
    """The last verdict on a pay-in or payout, or None if it was never screened."""
    statement = select(screenings).where(screenings.c.subject == subject)
    return fetch_one(connection, statement.order_by(screenings.c.id.desc()).limit(1), Screening)


def latest_screenings(connection: Connection, subjects: Sequence[str]) -> dict[str, Screening]:
    """The last verdict on each of some pay-ins and payouts, by its subject."""
    statement = (
        select(screenings)
        .ext(distinct_on(screenings.c.subject))
        .where(among(screenings.c.subject, subjects))
        .order_by(screenings.c.subject, screenings.c.id.desc())
    )
    return {row.subject: row for row in fetch_all(connection, statement, Screening)}


def scan_screenings(
    connection: Connection,
    *,
    after: str,
    since: datetime | None = None,
    subject: str | None = None,
    limit: int,
) -> list[Screening]:
    """A page of verdicts in the order in which they were given, from ``after`` (an id) on."""
    statement = select(screenings).where(screenings.c.id > after, *_of(since, subject))
    return fetch_all(connection, statement.order_by(screenings.c.id).limit(limit), Screening)


def sample_screenings(
    connection: Connection,
    count: int,
    *,
    since: datetime | None = None,
    subject: str | None = None,
) -> list[Screening]:
    """So many verdicts, taken at random; it reads the ids of all."""
    ids = select(screenings.c.id).where(*_of(since, subject)).order_by(func.random()).limit(count)
    statement = select(screenings).where(screenings.c.id.in_(ids)).order_by(screenings.c.id)
    return fetch_all(connection, statement, Screening)


def _of(since: datetime | None, subject: str | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if since is not None:
        conditions.append(screenings.c.created >= since)
    if subject is not None:
        conditions.append((screenings.c.subject == subject) | (screenings.c.id == subject))
    return conditions
