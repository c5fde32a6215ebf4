"""Cases: rows and queries. Acts, notes and attachments are written once and never changed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from sakk.core.case import Case, CaseAct
from sakk.store.database import (
    among,
    as_json,
    fetch_all,
    fetch_one,
    insert_given,
    insert_records,
    row_of,
    update_records,
)
from sakk.store.lease import lease_columns
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
    *lease_columns(),
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
