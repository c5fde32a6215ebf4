"""Screenings: every verdict that was given, never changed afterwards."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Select, Table, Text, select
from sqlalchemy.dialects.postgresql import insert

from sakk.core.screening import (
    Screening,
    reason_from_document,
    reason_to_document,
)
from sakk.store.schema import Document, Timestamp, Units, metadata

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
    Column("reasons", Document, nullable=False),
    Column("lists_version", BigInteger, nullable=False),
    Column("rules_version", Text, nullable=False),
    Column("input_hash", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_screenings_subject", "subject", "id"),
    Index("ix_screenings_verdict", "livemode", "verdict", "id"),
    Index("ix_screenings_account", "account_id", "livemode", "id"),
)

_FIELDS = tuple(field.name for field in fields(Screening))


def insert_screenings(connection: Connection, rows: Sequence[Screening]) -> None:
    """Record verdicts; one recorded already stays as it is."""
    if rows:
        connection.execute(
            insert(screenings).on_conflict_do_nothing(index_elements=["id"]),
            [_to_row(row) for row in rows],
        )


def find_screening(connection: Connection, screening_id: str) -> Screening | None:
    row = (
        connection.execute(select(screenings).where(screenings.c.id == screening_id))
        .mappings()
        .first()
    )
    return None if row is None else _from_row(dict(row))


def list_screenings(
    connection: Connection,
    *,
    livemode: bool,
    account_id: str | None = None,
    subject: str | None = None,
    verdict: str | None = None,
    starting_after: str | None = None,
    ending_before: str | None = None,
    limit: int,
) -> list[Screening]:
    """Newest first. ``ending_before`` returns the page just before that id, also newest first."""
    statement = select(screenings).where(screenings.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(screenings.c.account_id == account_id)
    if subject is not None:
        statement = statement.where(screenings.c.subject == subject)
    if verdict is not None:
        statement = statement.where(screenings.c.verdict == verdict)
    if ending_before is not None:
        statement = statement.where(screenings.c.id > ending_before).order_by(screenings.c.id)
        return _fetch(connection, statement.limit(limit))[::-1]
    if starting_after is not None:
        statement = statement.where(screenings.c.id < starting_after)
    return _fetch(connection, statement.order_by(screenings.c.id.desc()).limit(limit))


def latest_screening(connection: Connection, subject: str) -> Screening | None:
    """The last verdict on a pay-in or payout, or None if it was never screened."""
    statement = select(screenings).where(screenings.c.subject == subject)
    found = _fetch(connection, statement.order_by(screenings.c.id.desc()).limit(1))
    return found[0] if found else None


def _fetch(connection: Connection, statement: Select[Any]) -> list[Screening]:
    return [_from_row(dict(row)) for row in connection.execute(statement).mappings()]


def _to_row(row: Screening) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _FIELDS}
    values["reasons"] = [reason_to_document(reason) for reason in row.reasons]
    return values


def _from_row(values: dict[str, Any]) -> Screening:
    values["reasons"] = tuple(reason_from_document(document) for document in values["reasons"])
    return Screening(**values)
