"""Requests for information: rows and queries. Nothing here is ever changed, only added."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Interval,
    Table,
    Text,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.core import information_request as rules
from sakk.core.information_request import (
    Asked,
    InformationEnd,
    InformationRequest,
    InformationStatus,
)
from sakk.store.database import among, fetch_all, fetch_one, insert_records
from sakk.store.schema import Document, Timestamp, metadata

information_requests = Table(
    "information_requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("case_id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("about", Document, nullable=False),
    Column("question", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("due_at", Timestamp, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_information_requests_account", "account_id", "livemode", "id"),
    Index("ix_information_requests_list", "livemode", "id"),
    Index("ix_information_requests_case", "case_id", "id"),
    Index("ix_information_requests_due", "due_at"),
)

# One row a request at most: of an answer and a withdrawal at once there is one.
information_ends = Table(
    "information_ends",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("text", Text),
    Column("files", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
)

information_reminders = Table(
    "information_reminders",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("created", Timestamp, nullable=False),
)
_c = information_requests.c
# A question a row, by the key: as a join it would read all that ever ended.
_status = (
    select(information_ends.c.status)
    .where(information_ends.c.request_id == _c.id)
    .scalar_subquery()
)


def insert_request(connection: Connection, request: InformationRequest) -> None:
    insert_records(connection, information_requests, [request])


def insert_end(connection: Connection, end: InformationEnd) -> None:
    insert_records(connection, information_ends, [end])


def has_status(status: InformationStatus) -> ColumnElement[bool]:
    """The condition that a request stands so."""
    return _status.is_(None) if status is InformationStatus.open else _status == status.value


def find(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Asked | None:
    """A request of an account's; None: whosever it is."""
    statement = select(information_requests).where(_c.id == identifier, _c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(_c.account_id == account_id)
    row = fetch_one(connection, statement, InformationRequest)
    return None if row is None else with_ends(connection, [row])[0]


def list_of_case(connection: Connection, case_id: str) -> list[Asked]:
    """All that was asked about a case, oldest first."""
    statement = select(information_requests).where(_c.case_id == case_id).order_by(_c.id)
    return with_ends(connection, fetch_all(connection, statement, InformationRequest))


def find_open(connection: Connection, case_id: str) -> Asked | None:
    """What waits for an answer of a case; ask under the case's lock."""
    return next((each for each in list_of_case(connection, case_id) if each.end is None), None)


def with_ends(connection: Connection, rows: Sequence[InformationRequest]) -> list[Asked]:
    """Requests with how they ended, in their order."""
    if not rows:
        return []
    ids = [row.id for row in rows]
    ended = select(information_ends).where(among(information_ends.c.request_id, ids))
    ends = {each.request_id: each for each in fetch_all(connection, ended, InformationEnd)}
    c = information_reminders.c
    counted = select(c.request_id, func.max(c.number)).where(among(c.request_id, ids))
    reminded = {
        str(request): int(number)
        for request, number in connection.execute(counted.group_by(c.request_id))
    }
    return [Asked(row, ends.get(row.id), reminded.get(row.id, 0)) for row in rows]


def list_due(connection: Connection, *, now: datetime, limit: int) -> list[Asked]:
    """Open requests whose next reminder is due; a request is reminded of a few times at most."""
    oldest = now - rules.REMINDERS_MAX * rules.REMINDER_EVERY - rules.DUE_MAX
    reminded = (
        select(func.count())
        .select_from(information_reminders)
        .where(information_reminders.c.request_id == _c.id)
        .scalar_subquery()
    )
    statement = (
        select(information_requests)
        .where(
            _c.due_at <= now,
            _c.due_at > oldest,
            _status.is_(None),
            reminded < rules.REMINDERS_MAX,
            _c.due_at + reminded * literal(rules.REMINDER_EVERY, Interval) <= now,
        )
        .order_by(_c.due_at)
        .limit(limit)
    )
    return with_ends(connection, fetch_all(connection, statement, InformationRequest))


def remind(connection: Connection, asked: Asked, *, now: datetime) -> Asked | None:
    """Write the next reminder; None when somebody else has just written it."""
    number = asked.reminders + 1
    row = {"request_id": asked.request.id, "number": number, "created": now}
    statement = insert(information_reminders).values(row).on_conflict_do_nothing()
    written = connection.execute(statement.returning(information_reminders.c.number)).first()
    if written is None:
        return None
    return replace(asked, reminders=number)


def count_open(connection: Connection, *, account_id: str, livemode: bool, limit: int) -> int:
    """How many of the newest wait for an account's answer; so many are looked at."""
    newest = (
        select(_status.label("status"))
        .where(_c.account_id == account_id, _c.livemode == livemode)
        .order_by(_c.id.desc())
        .limit(limit)
        .subquery()
    )
    statement = select(func.count()).select_from(newest).where(newest.c.status.is_(None))
    return int(connection.execute(statement).scalar_one())
