"""Entries of lists of names: bitemporal rows under the same lists version as the labels.

An import of a list is a difference, by the entry's reference: what changed is closed and opened
again under the same ``entity_id``, what is gone is closed, and nothing is deleted. An entry was in
force at version V when ``opened_version <= V`` and it was not closed by V.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Identity,
    Index,
    Table,
    Text,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from sakk.core.entity import EntityContent, ListedEntity
from sakk.store.database import among, fetch_all
from sakk.store.identity import new_id
from sakk.store.schema import Timestamp, metadata

LOAD_BATCH = 2_000
# As in core.rule: learnt before threads read by it.
_LEARNT = msgspec.json.Decoder(EntityContent)


class Content(TypeDecorator[EntityContent]):
    """What a list says of an entity, as a JSON object; what it does not say takes no room."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: EntityContent | None, dialect: Dialect) -> Any:
        return None if value is None else content_document(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> EntityContent | None:
        return None if value is None else msgspec.convert(value, EntityContent)


def content_document(content: EntityContent) -> dict[str, Any]:
    """The JSON object of a content, without what is empty."""
    document: dict[str, Any] = msgspec.to_builtins(content)
    return {name: value for name, value in document.items() if value}


entities = Table(
    "entities",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("entity_id", Text, nullable=False, index=True),
    Column("list_id", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("content", Content, nullable=False),
    Column("valid_from", Timestamp),
    Column("valid_to", Timestamp),
    Column("recorded_from", Timestamp, nullable=False),
    Column("recorded_to", Timestamp),
    Column("opened_version", BigInteger, nullable=False),
    Column("closed_version", BigInteger),
    Index(
        "uq_entities_open",
        "list_id",
        "ref",
        unique=True,
        postgresql_where="closed_version IS NULL",
    ),
    Index("ix_entities_ref", "list_id", "ref", "id"),
    Index("ix_entities_opened_version", "opened_version"),
    Index(
        "ix_entities_closed_version",
        "closed_version",
        postgresql_where="closed_version IS NOT NULL",
    ),
)


@dataclass(frozen=True, slots=True)
class EntityRow:
    """An entry as a file states it, before it belongs to a list or a version."""

    ref: str
    kind: str
    name: str
    content: EntityContent
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class EntityChange:
    """How many entries an import opened, closed and left."""

    opened: int
    closed: int
    unchanged: int


_STAGED = ("ref", "kind", "name", "content", "valid_from", "valid_to")
_COLUMNS = [column for column in entities.c if column.name != "id"]
_OPEN_IN_LIST = "entities.list_id = :list_id AND entities.closed_version IS NULL"
_CLOSE_MISSING = text(
    "UPDATE entities SET closed_version = :version, recorded_to = :now"  # noqa: S608
    f" WHERE {_OPEN_IN_LIST} AND NOT EXISTS (SELECT FROM staged_entities staged"
    " WHERE staged.ref = entities.ref AND (staged.kind, staged.name, staged.content,"
    " staged.valid_from, staged.valid_to) IS NOT DISTINCT FROM (entities.kind, entities.name,"
    " entities.content, entities.valid_from, entities.valid_to))"
)
_OPEN_NEW = text(
    f"INSERT INTO entities (entity_id, list_id, {', '.join(_STAGED)}, recorded_from,"  # noqa: S608
    " opened_version)"
    f" SELECT coalesce(before.entity_id, staged.entity_id), :list_id,"
    f" {', '.join('staged.' + name for name in _STAGED)}, :now, :version"
    " FROM staged_entities staged LEFT JOIN LATERAL (SELECT entity_id FROM entities"
    " WHERE entities.list_id = :list_id AND entities.ref = staged.ref"
    " ORDER BY entities.id DESC LIMIT 1) before ON true"
    f" WHERE NOT EXISTS (SELECT FROM entities WHERE {_OPEN_IN_LIST}"
    " AND entities.ref = staged.ref) ORDER BY staged.position"
)


def stage_entities(connection: Connection, rows: Iterable[EntityRow]) -> int:
    """Copy entries into a table of this transaction only, in a stream; returns how many.

    One transaction can stage once. No reference may stand twice; what ``rows`` raises passes
    through and nothing is kept.
    """
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE staged_entities (position bigint, entity_id text, ref text,"
            " kind text, name text, content jsonb, valid_from timestamptz, valid_to timestamptz)"
            " ON COMMIT DROP"
        )
    )
    cursor: Any = connection.connection.cursor()
    columns = ", ".join(("position", "entity_id", *_STAGED))
    count = 0
    try:
        with cursor.copy(f"COPY staged_entities ({columns}) FROM STDIN") as copy:
            for count, row in enumerate(rows, start=1):
                content = msgspec.json.encode(content_document(row.content)).decode()
                copy.write_row(
                    (
                        count,
                        new_id("ent"),
                        row.ref,
                        row.kind,
                        row.name,
                        content,
                        row.valid_from,
                        row.valid_to,
                    )
                )
    finally:
        cursor.close()
    connection.execute(text("ANALYZE staged_entities"))
    return count


def apply_entities(
    connection: Connection, list_id: str, *, version: int, now: datetime
) -> EntityChange:
    """Make a list say what was staged, from ``version`` on; needs `store.label.lock_lists`."""
    parameters = {"list_id": list_id, "version": version, "now": now}
    closed = connection.execute(_CLOSE_MISSING, parameters).rowcount
    opened = connection.execute(_OPEN_NEW, parameters).rowcount
    total = count_open_entities(connection, list_id)
    return EntityChange(opened=opened, closed=closed, unchanged=total - opened)


def count_open_entities(connection: Connection, list_id: str) -> int:
    """How many entries a list has now."""
    return connection.execute(
        select(func.count())
        .select_from(entities)
        .where(entities.c.list_id == list_id, entities.c.closed_version.is_(None))
    ).scalar_one()


def versions_of(connection: Connection, entity_id: str) -> list[ListedEntity]:
    """All that a list ever said of an entity, in the order in which it was recorded."""
    statement = select(*_COLUMNS).where(entities.c.entity_id == entity_id).order_by(entities.c.id)
    return fetch_all(connection, statement, ListedEntity)


def entities_at(
    connection: Connection, *, version: int, entity_ids: Iterable[str]
) -> list[ListedEntity]:
    """What was in force at a lists version of some entities."""
    statement = (
        select(*_COLUMNS)
        .where(among(entities.c.entity_id, list(entity_ids)), *_in_force(version))
        .order_by(entities.c.id)
    )
    return fetch_all(connection, statement, ListedEntity)


def scan_entities(connection: Connection, *, version: int) -> Iterator[ListedEntity]:
    """Stream the entries in force at a lists version."""
    statement = select(*_COLUMNS).where(*_in_force(version)).order_by(entities.c.id)
    options = {"stream_results": True, "yield_per": LOAD_BATCH}
    with connection.execute(statement, execution_options=options) as result:
        for row in result:
            yield ListedEntity(*row)


def scan_entity_changes(
    connection: Connection, *, after: int, version: int
) -> tuple[list[tuple[str, int]], list[ListedEntity]]:
    """What closed and opened between two lists versions, net.

    Closed are (entity, the version that had opened it), opened are whole entries.
    """
    closed = connection.execute(
        select(entities.c.entity_id, entities.c.opened_version).where(
            entities.c.closed_version > after,
            entities.c.closed_version <= version,
            entities.c.opened_version <= after,
        )
    ).all()
    opened = select(*_COLUMNS).where(entities.c.opened_version > after, *_in_force(version))
    return [(row[0], row[1]) for row in closed], fetch_all(connection, opened, ListedEntity)


def count_entity_changes(connection: Connection, *, after: int) -> int:
    """How many entries opened or closed after a version."""
    return connection.execute(
        select(func.count())
        .select_from(entities)
        .where(or_(entities.c.opened_version > after, entities.c.closed_version > after))
    ).scalar_one()


def _in_force(version: int) -> tuple[Any, Any]:
    return (
        entities.c.opened_version <= version,
        or_(entities.c.closed_version.is_(None), entities.c.closed_version > version),
    )


def names_version(connection: Connection) -> int:
    """The lists version at which an entry of a list of names last came or went; 0 without any."""
    opened = select(func.max(entities.c.opened_version)).scalar_subquery()
    closed = select(func.max(entities.c.closed_version)).scalar_subquery()
    statement = select(func.greatest(func.coalesce(opened, 0), func.coalesce(closed, 0)))
    return int(connection.execute(statement).scalar_one())
