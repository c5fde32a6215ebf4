"""Cases: rows and queries. Acts, notes and attachments are written once and never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from sakk.core.attachment import Attachment
from sakk.core.case import Case, CaseAct, CaseStatus, Note, Settings
from sakk.core.errors import CursorMissing
from sakk.core.payin import SCREENED, PayInStatus
from sakk.core.payout import PayoutStatus
from sakk.core.travel_rule import UNTOLD
from sakk.store.database import (
    among,
    as_json,
    due,
    fetch_all,
    fetch_one,
    insert_given,
    insert_records,
    row_of,
    update_records,
)
from sakk.store.page import PageRequest, fetch_page
from sakk.store.payin import payins
from sakk.store.payout import payouts
from sakk.store.schema import Bytes, Document, Timestamp, metadata

cases = Table(
    "cases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("screening", Text),
    Column("assignee", Text),
    # SQL's null where there is none, not JSON's: it is compared.
    Column("proposal", JSONB(none_as_null=True)),
    Column("outcome", Text),
    Column("carrier", Text),
    Column("acts", Integer, nullable=False),
    Column("due_at", Timestamp, nullable=False),
    Column("overdue_at", Timestamp),
    Column("closed_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    # One case for life: what is found later of the same subject is added to it.
    Index("uq_cases_subject", "subject", unique=True),
    Index("ix_cases_list", "livemode", "id"),
    Index(
        "ix_cases_queue",
        "livemode",
        "priority",
        "id",
        postgresql_where=text("status <> 'closed'"),
    ),
    Index("ix_cases_carried", "id", postgresql_where=text("status = 'carrying_out'")),
    Index("ix_cases_due", "due_at", postgresql_where=text("status <> 'closed'")),
)

# What a case is about, and the addresses that other cases may have in common with it.
case_subjects = Table(
    "case_subjects",
    metadata,
    Column("case_id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("created", Timestamp, nullable=False),
    Index("ix_case_subjects_subject", "subject", "case_id"),
)

case_notes = Table(
    "case_notes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("case_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("author", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_case_notes_case", "case_id", "id"),
)

case_attachments = Table(
    "case_attachments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("case_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("author", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("content", Bytes, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_case_attachments_case", "case_id", "id"),
)

case_acts = Table(
    "case_acts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("case_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("act", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("key", Text),
    Column("before", Document, nullable=False),
    Column("after", Document, nullable=False),
    Column("detail", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    # Two acts at once would have one number, and the case's row is locked before.
    Index("uq_case_acts_number", "case_id", "number", unique=True),
)

# By mode: who reports to its authority, and whether one person may decide alone (the sandbox).
case_settings = Table(
    "case_settings",
    metadata,
    Column("livemode", Boolean, primary_key=True),
    Column("one_person", Boolean, nullable=False),
    Column("reporting_entity", JSONB(none_as_null=True)),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", Timestamp, nullable=False),
)


def insert_new(connection: Connection, rows: Sequence[Case]) -> None:
    """Write cases whose subjects have none; of two at once the first is the one."""
    if rows:
        statement = insert_given(cases, Case.__slots__).on_conflict_do_nothing(
            index_elements=["subject"]
        )
        given = as_json(cases, [row_of(row) for row in rows])
        connection.execute(statement, {"rows": given})


def lock_of_subjects(connection: Connection, subjects: Sequence[str]) -> list[Case]:
    """The cases of these subjects, locked in the order of their ids.

    A subject's own row is locked before its case, by everybody.
    """
    statement = select(cases).where(among(cases.c.subject, subjects)).order_by(cases.c.id)
    return fetch_all(connection, statement.with_for_update(), Case)


def write(connection: Connection, rows: Sequence[Case]) -> None:
    """Write what acts change of cases."""
    fields = (
        "id",
        "status",
        "priority",
        "reason",
        "screening",
        "assignee",
        "proposal",
        "outcome",
        "carrier",
        "acts",
        "due_at",
        "overdue_at",
        "closed_at",
    )
    update_records(
        connection, cases, [{name: getattr(row, name) for name in fields} for row in rows]
    )


def insert_acts(connection: Connection, rows: Sequence[CaseAct]) -> None:
    insert_records(connection, case_acts, rows)


def add_subjects(
    connection: Connection, pairs: Sequence[tuple[str, str]], *, now: datetime
) -> None:
    """Remember what cases are about: (case, subject); what is known stays."""
    if pairs:
        statement = insert_given(case_subjects, ("case_id", "subject", "created"))
        rows = [
            {"case_id": case, "subject": subject, "created": now}
            for case, subject in sorted(set(pairs))
        ]
        connection.execute(
            statement.on_conflict_do_nothing(), {"rows": as_json(case_subjects, rows)}
        )


def find(connection: Connection, identifier: str, *, livemode: bool) -> Case | None:
    """A case by its id, or by its subject's."""
    column = cases.c.id if identifier.startswith("case_") else cases.c.subject
    statement = select(cases).where(column == identifier, cases.c.livemode == livemode)
    return fetch_one(connection, statement, Case)


def list_acts(connection: Connection, case_id: str) -> list[CaseAct]:
    """Everything that happened to a case, oldest first."""
    statement = select(case_acts).where(case_acts.c.case_id == case_id)
    return fetch_all(connection, statement.order_by(case_acts.c.number), CaseAct)


def lock(connection: Connection, identifier: str) -> Case | None:
    """A case by its id, locked; its subject's row is locked before."""
    statement = select(cases).where(cases.c.id == identifier).with_for_update()
    return fetch_one(connection, statement, Case)


def is_live(connection: Connection, subject: str) -> bool:
    """Is there a case of this subject that is not closed?"""
    statement = select(cases.c.id).where(
        cases.c.subject == subject, cases.c.status != CaseStatus.closed.value
    )
    return connection.execute(statement).first() is not None


def take(connection: Connection, identifier: str, *, was: str | None, assignee: str | None) -> bool:
    """Give a case to somebody, if it is still whose it was: of two officers one gets it.

    One statement that compares and sets; nobody waits for a lock that a person's thinking holds.
    """
    changed = connection.execute(
        update(cases)
        .where(
            cases.c.id == identifier,
            cases.c.status.not_in([CaseStatus.closed.value, CaseStatus.carrying_out.value]),
            cases.c.assignee.is_not_distinct_from(was),
        )
        .values(assignee=assignee)
    )
    return changed.rowcount == 1


def insert_note(connection: Connection, note: Note) -> None:
    insert_records(connection, case_notes, [note])


def find_note(connection: Connection, identifier: str) -> Note | None:
    return fetch_one(connection, select(case_notes).where(case_notes.c.id == identifier), Note)


def list_notes(connection: Connection, case_id: str) -> list[Note]:
    """What people wrote down, oldest first."""
    statement = select(case_notes).where(case_notes.c.case_id == case_id)
    return fetch_all(connection, statement.order_by(case_notes.c.id), Note)


_WITHOUT_CONTENT = [case_attachments.c[name] for name in Attachment.__slots__]


def insert_attachment(connection: Connection, row: Attachment, content: bytes) -> None:
    insert_records(connection, case_attachments, [row], content=content)


def find_attachment(connection: Connection, identifier: str) -> Attachment | None:
    statement = select(*_WITHOUT_CONTENT).where(case_attachments.c.id == identifier)
    return fetch_one(connection, statement, Attachment)


def list_attachments(connection: Connection, case_id: str) -> list[Attachment]:
    """The files of a case without their content, oldest first."""
    statement = select(*_WITHOUT_CONTENT).where(case_attachments.c.case_id == case_id)
    return fetch_all(connection, statement.order_by(case_attachments.c.id), Attachment)


def read_content(connection: Connection, identifier: str) -> bytes:
    """The bytes of an attachment that there is."""
    statement = select(case_attachments.c.content).where(case_attachments.c.id == identifier)
    return bytes(connection.execute(statement).scalar_one())


Order = Literal["urgency", "due", "age"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases: each that is given narrows the list. ``subject``: an id or a CAIP-10 address.

    ``subjects``: several of them, any of which will do. ``is_taken``: somebody's, or nobody's.
    """

    status: str | None = None
    assignee: str | None = None
    kind: str | None = None
    priority: int | None = None
    overdue: bool | None = None
    subject: str | None = None
    subjects: Sequence[str] | None = None
    account_id: str | None = None
    is_taken: bool | None = None

    def conditions(self, now: datetime) -> list[ColumnElement[bool]]:
        """The conditions of a query."""
        found = [
            cases.c[name] == value
            for name in ("status", "assignee", "kind", "priority", "account_id")
            if (value := getattr(self, name)) is not None
        ]
        if self.overdue is not None:
            late = and_(cases.c.status != CaseStatus.closed.value, cases.c.due_at <= now)
            found.append(late if self.overdue else ~late)
        if self.subject is not None:
            about = select(case_subjects.c.case_id).where(case_subjects.c.subject == self.subject)
            found.append(cases.c.id.in_(about))
        if self.subjects is not None:
            any_of = among(case_subjects.c.subject, self.subjects)
            found.append(cases.c.id.in_(select(case_subjects.c.case_id).where(any_of)))
        if self.is_taken is not None:
            someone = cases.c.assignee.is_not(None)
            found.append(someone if self.is_taken else ~someone)
        return found


def list_cases(
    connection: Connection, wanted: Wanted, page: PageRequest, *, livemode: bool, now: datetime
) -> tuple[list[Case], bool]:
    """A page of cases, newest first, and is there more?"""
    return fetch_page(
        connection,
        cases,
        Case,
        account_id=None,
        livemode=livemode,
        page=page,
        filters=wanted.conditions(now),
    )


def list_queue(
    connection: Connection,
    wanted: Wanted,
    *,
    livemode: bool,
    now: datetime,
    limit: int,
    starting_after: str | None = None,
    order: Order = "urgency",
    more: Sequence[ColumnElement[bool]] = (),
) -> tuple[list[Case], bool]:
    """Cases that are not closed as they are to be worked, and is there more?

    By ``urgency`` the most urgent, then the oldest; ``due``: by deadline; ``age``: the oldest.
    ``more``: further conditions on the table.
    """
    conditions = [
        cases.c.livemode == livemode,
        cases.c.status != CaseStatus.closed.value,
        *wanted.conditions(now),
        *more,
    ]
    columns = {
        "urgency": (cases.c.priority.desc(), cases.c.id),
        "due": (cases.c.due_at, cases.c.id),
        "age": (cases.c.id,),
    }
    if starting_after is not None:
        last = fetch_one(connection, select(cases).where(cases.c.id == starting_after), Case)
        if last is None or last.livemode != livemode:
            raise CursorMissing(
                "No such case: {starting_after}. Use an id that the list returned.",
                param="starting_after",
                starting_after=repr(starting_after),
            )
        behind = {
            "urgency": or_(
                cases.c.priority < last.priority,
                and_(cases.c.priority == last.priority, cases.c.id > last.id),
            ),
            "due": tuple_(cases.c.due_at, cases.c.id) > tuple_(literal(last.due_at), last.id),
            "age": cases.c.id > last.id,
        }
        conditions.append(behind[order])
    statement = select(cases).where(*conditions).order_by(*columns[order])
    rows = fetch_all(connection, statement.limit(limit + 1), Case)
    return rows[:limit], len(rows) > limit


def list_related(connection: Connection, case_id: str, *, limit: int) -> list[str]:
    """Other cases with a subject or an address in common, newest first."""
    mine = case_subjects.alias()
    statement = (
        select(case_subjects.c.case_id)
        .distinct()
        .join(mine, mine.c.subject == case_subjects.c.subject)
        .where(mine.c.case_id == case_id, case_subjects.c.case_id != case_id)
        .order_by(case_subjects.c.case_id.desc())
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def list_subjects(connection: Connection, case_id: str) -> list[str]:
    """What a case is about: its subject, and the addresses that its findings name."""
    statement = select(case_subjects.c.subject).where(case_subjects.c.case_id == case_id)
    return list(connection.execute(statement.order_by(case_subjects.c.subject)).scalars())


def lock_overdue(connection: Connection, *, now: datetime, limit: int) -> list[Case]:
    """Cases whose deadline passed and was not told."""
    statement = (
        select(cases)
        .where(
            cases.c.status != CaseStatus.closed.value,
            cases.c.due_at <= now,
            cases.c.overdue_at.is_(None),
        )
        .order_by(cases.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return fetch_all(connection, statement, Case)


def lock_held_without_case(connection: Connection, *, limit: int) -> list[str]:
    """Pay-ins that screening holds and that have no case."""
    statement = (
        select(payins.c.id)
        .where(
            payins.c.status == PayInStatus.held.value,
            payins.c.reason.startswith(SCREENED, autoescape=True),
            # What could not be judged yet is judged by itself.
            payins.c.screening.is_not(None),
            # Its merchant may say who sent it; in time it is a case by itself.
            payins.c.reason != UNTOLD,
            ~exists().where(cases.c.subject == payins.c.id),
        )
        .order_by(payins.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(statement).scalars())


def lock_reviewed_without_case(connection: Connection, *, limit: int) -> list[tuple[str, str]]:
    """Payouts under review that have no case: their ids and purposes."""
    statement = (
        select(payouts.c.id, payouts.c.purpose)
        .where(
            payouts.c.status == PayoutStatus.requested.value,
            payouts.c.under_review,
            ~exists().where(cases.c.subject == payouts.c.id),
        )
        .order_by(payouts.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(row.id, row.purpose) for row in connection.execute(statement)]


# Cases whose outcome is being carried out; not locked, since their subjects come first.
carried = due(
    select(cases).where(cases.c.status == CaseStatus.carrying_out.value), Case, cases.c.id
)


@dataclass(frozen=True, slots=True)
class Ageing:
    """Of one kind: cases that are not closed, those past their deadline, and the oldest's time."""

    kind: str
    open: int
    overdue: int
    oldest: datetime | None


def ageing(connection: Connection, *, now: datetime) -> list[Ageing]:
    """How much work there is, of both modes."""
    statement = (
        select(
            cases.c.kind,
            func.count().label("open"),
            func.count().filter(cases.c.due_at <= now).label("overdue"),
            func.min(cases.c.created).label("oldest"),
        )
        .where(cases.c.status != CaseStatus.closed.value)
        .group_by(cases.c.kind)
    )
    return fetch_all(connection, statement, Ageing)


def find_settings(connection: Connection, *, livemode: bool) -> Settings | None:
    """How cases are worked in a mode; None: by two people, and nobody reports."""
    statement = select(case_settings).where(case_settings.c.livemode == livemode)
    return fetch_one(connection, statement, Settings)


def put_settings(connection: Connection, settings: Settings) -> None:
    """Write a mode's settings; live money always takes two people."""
    if settings.livemode and settings.one_person:
        raise ValueError("live cases are decided by two people")
    values = row_of(settings)
    connection.execute(
        insert(case_settings)
        .values(values)
        .on_conflict_do_update(index_elements=["livemode"], set_=values)
    )
