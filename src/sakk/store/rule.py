"""Screening rules: their versions, and which of them is in force in each mode.

The number in force stands in a row of its own, which a decision locks against change until it
commits, as it does the version of the lists: a change of rules is before a decision, whole, or
after it.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.rule import BUILT_IN_NUMBER, RulesState, RulesVersion
from sakk.store.database import fetch_one, insert_records, run, text_of
from sakk.store.schema import Document, Timestamp, metadata

screening_rules = Table(
    "screening_rules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("rules", Document, nullable=False),
    Column("digest", Text, nullable=False),
    Column("note", Text),
    Column("base", Integer, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("decided_by", Text),
    Column("created", Timestamp, nullable=False),
    Column("in_force_from", Timestamp),
    Column("in_force_to", Timestamp),
    Column("closed_at", Timestamp),
    Index("uq_screening_rules_number", "livemode", "number", unique=True),
    Index(
        "uq_screening_rules_in_force",
        "livemode",
        unique=True,
        postgresql_where="state = 'in_force'",
    ),
)

rules_in_force = Table(
    "rules_in_force",
    metadata,
    Column("livemode", Boolean, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
)

_NUMBERS = select(rules_in_force.c.livemode, rules_in_force.c.number).order_by(
    rules_in_force.c.livemode
)
# Asked with every batch that is judged.
_READ_NUMBERS = text_of(_NUMBERS)
_LOCK_NUMBERS = text_of(_NUMBERS.with_for_update(read=True))
_INSERT_NUMBERS = upsert(rules_in_force).on_conflict_do_nothing()


def numbers_in_force(connection: Connection, *, lock: bool = False) -> Mapping[bool, int]:
    """The number of the version that judges test money, and of the one that judges real money.

    With ``lock`` neither can change until the caller's transaction ends.
    """
    statement = _LOCK_NUMBERS if lock else _READ_NUMBERS
    found = {row.livemode: row.number for row in run(connection, statement, {})}
    if lock and len(found) < 2:
        # A row that is not there cannot be locked: the first version would slip past.
        rows = [{"livemode": mode, "number": BUILT_IN_NUMBER} for mode in (False, True)]
        connection.execute(_INSERT_NUMBERS, rows)
        found = {row.livemode: row.number for row in run(connection, statement, {})}
    return {mode: found.get(mode, BUILT_IN_NUMBER) for mode in (False, True)}


def lock_change(connection: Connection, *, livemode: bool) -> int:
    """Let one change of a mode's rules happen at a time, after decisions that have begun.

    Returns the number in force.
    """
    row = {"livemode": livemode, "number": BUILT_IN_NUMBER}
    connection.execute(_INSERT_NUMBERS, row)
    statement = select(rules_in_force.c.number).where(rules_in_force.c.livemode == livemode)
    return int(connection.execute(statement.with_for_update()).scalar_one())


def find(
    connection: Connection, identifier: str, *, livemode: bool, lock: bool = False
) -> RulesVersion | None:
    """A version by its id, or by its number."""
    column = screening_rules.c.number if identifier.isdecimal() else screening_rules.c.id
    value = int(identifier) if identifier.isdecimal() else identifier
    statement = select(screening_rules).where(
        column == value, screening_rules.c.livemode == livemode
    )
    return fetch_one(connection, statement.with_for_update() if lock else statement, RulesVersion)


def next_number(connection: Connection, *, livemode: bool) -> int:
    """The number of the version to come; the caller holds ``lock_change``."""
    last = connection.execute(
        select(func.max(screening_rules.c.number)).where(screening_rules.c.livemode == livemode)
    ).scalar_one()
    return BUILT_IN_NUMBER + 1 if last is None else int(last) + 1


def insert(connection: Connection, version: RulesVersion) -> None:
    insert_records(connection, screening_rules, [version])


def reject(connection: Connection, identifier: str, *, by: str, now: datetime) -> None:
    """End a proposed version."""
    values = {"state": RulesState.rejected.value, "decided_by": by, "closed_at": now}
    _change(connection, identifier, values)


def put_in_force(connection: Connection, version: RulesVersion, *, by: str, now: datetime) -> None:
    """Retire the version in force and let this one judge; the caller holds ``lock_change``."""
    connection.execute(
        update(screening_rules)
        .where(
            screening_rules.c.livemode == version.livemode,
            screening_rules.c.state == RulesState.in_force.value,
        )
        .values(state=RulesState.retired.value, in_force_to=now, closed_at=now)
    )
    values = {"state": RulesState.in_force.value, "decided_by": by, "in_force_from": now}
    _change(connection, version.id, values)
    connection.execute(
        update(rules_in_force)
        .where(rules_in_force.c.livemode == version.livemode)
        .values(number=version.number)
    )


def _change(connection: Connection, identifier: str, values: dict[str, object]) -> None:
    statement = update(screening_rules).where(screening_rules.c.id == identifier)
    connection.execute(statement.values(values))
