"""Lists and their labels: bitemporal rows under one lists version that only rises.

Every import that changes a label raises ``lists_version`` by one, under a lock that lets one import
run at a time, so versions commit in order: whoever reads version V sees every label of V. A label
was in force at version V when ``opened_version <= V`` and it was not closed by V. The NOTIFY at
commit is a hint to wake early; the version row is what decides.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Identity,
    Index,
    Integer,
    Row,
    SmallInteger,
    Table,
    Text,
    bindparam,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.core.label import Label, LabelList
from sakk.store.database import among, fetch_all, fetch_one, run, text_of
from sakk.store.identity import new_id
from sakk.store.schema import Timestamp, metadata

CHANNEL = "sakk"
PAYLOAD = "labels"
LOAD_BATCH = 10_000
# Any constant that no other advisory lock of ours uses: the bytes of "labels".
IMPORT_LOCK = int.from_bytes(b"labels", "big")

label_lists = Table(
    "label_lists",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("source", Text),
    Column("kind", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("imported_at", Timestamp, nullable=False),
    Column("retired_at", Timestamp),
    Column("entity_count", BigInteger, nullable=False, server_default="0"),
    Column("stale_told_at", Timestamp),
)

label_imports = Table(
    "label_imports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("list_id", Text, nullable=False, index=True),
    Column("version", BigInteger, nullable=False),
    Column("format", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("opened", BigInteger, nullable=False),
    Column("closed", BigInteger, nullable=False),
    Column("imported_at", Timestamp, nullable=False),
)

labels = Table(
    "labels",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("list_id", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("confidence", SmallInteger, nullable=False),
    Column("entity", Text),
    Column("actor", Text),
    Column("source", Text),
    Column("valid_from", Timestamp),
    Column("valid_to", Timestamp),
    Column("recorded_from", Timestamp, nullable=False),
    Column("recorded_to", Timestamp),
    Column("opened_version", BigInteger, nullable=False),
    Column("closed_version", BigInteger),
    Index(
        "uq_labels_open",
        "list_id",
        "family",
        "address",
        "category",
        unique=True,
        postgresql_where="closed_version IS NULL",
    ),
    Index("ix_labels_address", "address", "family"),
    Index("ix_labels_opened_version", "opened_version"),
    Index(
        "ix_labels_closed_version",
        "closed_version",
        postgresql_where="closed_version IS NOT NULL",
    ),
)

lists_versions = Table(
    "lists_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label as a file states it, before it belongs to a list or a version."""

    family: str
    address: str
    category: str
    confidence: int
    entity: str | None = None
    actor: str | None = None
    source: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """How many labels an import opened, closed and left; the lists version it ended at."""

    version: int
    opened: int
    closed: int
    unchanged: int
    duplicates: int


_STAGED = (
    "family",
    "address",
    "category",
    "confidence",
    "entity",
    "actor",
    "source",
    "valid_from",
    "valid_to",
)
_LABEL_COLUMNS = [column for column in labels.c if column.name != "id"]


def lists_version(connection: Connection, *, lock: bool = False) -> int:
    """The version of all lists together; 0 before the first import.

    With ``lock`` an import cannot commit until the caller's transaction ends, so that what the
    caller decides and writes is before the import, whole, or after it.
    """
    statement = _LOCK_VERSION if lock else _READ_VERSION
    found = run(connection, statement, _ONLY).scalar_one_or_none()
    if found is None and lock:
        # A row that is not there cannot be locked: the first import would slip past.
        connection.execute(_INSERT_VERSION)
        found = run(connection, statement, _ONLY).scalar_one_or_none()
    return found or 0


_INSERT_VERSION = insert(lists_versions).values(id=1, version=0).on_conflict_do_nothing()
_VERSION = select(lists_versions.c.version).where(lists_versions.c.id == bindparam("only"))
_ONLY = {"only": 1}
# Asked with every batch that is judged.
_READ_VERSION = text_of(_VERSION)
_LOCK_VERSION = text_of(_VERSION.with_for_update(read=True))


def list_lists(connection: Connection) -> list[LabelList]:
    return fetch_all(connection, select(label_lists).order_by(label_lists.c.name), LabelList)


@dataclass(frozen=True, slots=True)
class Import:
    """One import of a list: how many labels it opened and closed."""

    list_id: str
    version: int
    sha256: str
    opened: int
    closed: int
    imported_at: datetime


def list_imports(connection: Connection, *, limit: int) -> list[Import]:
    """The newest imports of any list."""
    columns = [label_imports.c[name] for name in Import.__slots__]
    statement = select(*columns).order_by(label_imports.c.id.desc()).limit(limit)
    return fetch_all(connection, statement, Import)


def find_list(connection: Connection, name: str) -> LabelList | None:
    return fetch_one(connection, select(label_lists).where(label_lists.c.name == name), LabelList)


def lock_lists(connection: Connection) -> None:
    """Let one import run at a time, until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(IMPORT_LOCK)))


def stage_rows(connection: Connection, rows: Iterable[LabelRow]) -> int:
    """Copy rows into a table of this transaction only, in a stream; returns how many.

    One transaction can stage once. What ``rows`` raises passes through and nothing is kept.
    """
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE staged_labels (position bigint, family text, address text,"
            " category text, confidence smallint, entity text, actor text, source text,"
            " valid_from timestamptz, valid_to timestamptz) ON COMMIT DROP"
        )
    )
    cursor: Any = connection.connection.cursor()
    count = 0
    try:
        with cursor.copy(f"COPY staged_labels (position, {', '.join(_STAGED)}) FROM STDIN") as copy:
            for count, row in enumerate(rows, start=1):
                copy.write_row((count, *(getattr(row, name) for name in _STAGED)))
    finally:
        cursor.close()
    connection.execute(text("ANALYZE staged_labels"))
    return count


def apply_staged(connection: Connection, list_id: str, *, now: datetime) -> Change:
    """Make a list say what was staged: close what it no longer says, open what is new.

    Needs `lock_lists`. A row whose content changed is closed and opened again, so that what was
    known at any earlier version stays readable. The version rises only if a label changed.
    """
    version = lists_version(connection) + 1
    duplicates = _drop_duplicates(connection)
    parameters = {"list_id": list_id, "version": version, "now": now}
    closed = connection.execute(_CLOSE_MISSING, parameters).rowcount
    opened = connection.execute(_OPEN_NEW, parameters).rowcount
    total = count_open(connection, list_id)
    if opened or closed:
        raise_version(connection, version)
    else:
        version -= 1
    return Change(
        version=version,
        opened=opened,
        closed=closed,
        unchanged=total - opened,
        duplicates=duplicates,
    )


def put_list(connection: Connection, row: LabelList, change: Change) -> None:
    """Record a list's new standing and the import that brought it."""
    values = {name: getattr(row, name) for name in LabelList.__slots__}
    statement = insert(label_lists).values(values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["id"],
            set_={name: statement.excluded[name] for name in values if name not in ("id", "name")},
        )
    )
    connection.execute(
        insert(label_imports).values(
            id=new_id("imp"),
            list_id=row.id,
            version=row.version,
            format=row.format,
            sha256=row.sha256,
            row_count=row.row_count + row.entity_count,
            opened=change.opened,
            closed=change.closed,
            imported_at=row.imported_at,
        )
    )


def put_label(connection: Connection, list_id: str, row: LabelRow, *, now: datetime) -> int:
    """Open one label by hand, closing what the list said of it before; needs `lock_lists`."""
    version = lists_version(connection) + 1
    _close_one(connection, list_id, row, version=version, now=now)
    connection.execute(
        insert(labels).values(
            list_id=list_id,
            recorded_from=now,
            opened_version=version,
            **{name: getattr(row, name) for name in _STAGED},
        )
    )
    raise_version(connection, version)
    return version


def close_label(connection: Connection, list_id: str, row: LabelRow, *, now: datetime) -> bool:
    """Close one label by hand; False if the list does not say it. Needs `lock_lists`."""
    version = lists_version(connection) + 1
    if not _close_one(connection, list_id, row, version=version, now=now):
        return False
    raise_version(connection, version)
    return True


def note_stale(connection: Connection, names: Sequence[str], *, now: datetime) -> None:
    """Note of lists that the operator was told how old they are; an import forgets it."""
    connection.execute(
        update(label_lists).where(among(label_lists.c.name, names)).values(stale_told_at=now)
    )


def count_open(connection: Connection, list_id: str) -> int:
    """How many labels a list has now."""
    return connection.execute(
        select(func.count()).select_from(labels).where(*_open_rows(list_id))
    ).scalar_one()


def labels_of(connection: Connection, family: str, address: str) -> list[Label]:
    """All that was ever said of an address, in the order in which it was recorded."""
    statement = (
        select(*_LABEL_COLUMNS)
        .where(labels.c.address == address, labels.c.family == family)
        .order_by(labels.c.opened_version, labels.c.id)
    )
    return fetch_all(connection, statement, Label)


def labels_at(
    connection: Connection, *, version: int, addresses: Iterable[tuple[str, str]]
) -> list[Label]:
    """What was in force at a lists version about (family, address) pairs: for replay."""
    wanted = list(addresses)
    statement = (
        select(*_LABEL_COLUMNS)
        .where(
            among(labels.c.address, [address for _, address in wanted]),
            *_in_force(version),
        )
        .order_by(labels.c.id)
    )
    found = fetch_all(connection, statement, Label)
    pairs = set(wanted)
    return [label for label in found if (label.family, label.address) in pairs]


def scan_labels(connection: Connection, *, version: int) -> Iterator[Row[Any]]:
    """Stream (id, list, family, address, category, confidence, entity, validity) in force."""
    statement = select(*_INDEXED).where(*_in_force(version))
    options = {"stream_results": True, "yield_per": LOAD_BATCH}
    with connection.execute(statement, execution_options=options) as result:
        yield from result


def scan_changes(
    connection: Connection, *, after: int, version: int
) -> tuple[list[Row[Any]], list[Row[Any]]]:
    """What closed and what opened between two lists versions, net: (closed, opened)."""
    closed = connection.execute(
        select(*_INDEXED).where(
            labels.c.closed_version > after,
            labels.c.closed_version <= version,
            labels.c.opened_version <= after,
        )
    ).all()
    opened = connection.execute(
        select(*_INDEXED).where(labels.c.opened_version > after, *_in_force(version))
    ).all()
    return list(closed), list(opened)


def count_changes(connection: Connection, *, after: int) -> int:
    """How many labels opened or closed after a version."""
    return connection.execute(
        select(func.count())
        .select_from(labels)
        .where(or_(labels.c.opened_version > after, labels.c.closed_version > after))
    ).scalar_one()


def list_versions_at(connection: Connection, *, version: int) -> dict[str, tuple[str, int]]:
    """Per list id: its name, and its own version when all lists together stood at a version."""
    last = (
        select(label_imports.c.list_id, func.max(label_imports.c.version).label("version"))
        .where(label_imports.c.version <= version)
        .group_by(label_imports.c.list_id)
        .subquery()
    )
    rows = connection.execute(
        select(label_lists.c.id, label_lists.c.name, last.c.version).join(
            last, last.c.list_id == label_lists.c.id
        )
    )
    return {row.id: (row.name, row.version) for row in rows}


_INDEXED = [
    labels.c.id,
    labels.c.list_id,
    labels.c.family,
    labels.c.address,
    labels.c.category,
    labels.c.confidence,
    labels.c.entity,
    labels.c.valid_from,
    labels.c.valid_to,
]

_SAME_LABEL = (
    "labels.family = staged.family AND labels.address = staged.address"
    " AND labels.category = staged.category"
)
_SAME_CONTENT = (
    "(labels.confidence, labels.entity, labels.actor, labels.source, labels.valid_from,"
    " labels.valid_to) IS NOT DISTINCT FROM (staged.confidence, staged.entity, staged.actor,"
    " staged.source, staged.valid_from, staged.valid_to)"
)
_OPEN_IN_LIST = "labels.list_id = :list_id AND labels.closed_version IS NULL"

_CLOSE_MISSING = text(
    "UPDATE labels SET closed_version = :version, recorded_to = :now"  # noqa: S608
    f" WHERE {_OPEN_IN_LIST} AND NOT EXISTS (SELECT FROM staged_labels staged"
    f" WHERE {_SAME_LABEL} AND {_SAME_CONTENT})"
)
_OPEN_NEW = text(
    f"INSERT INTO labels (list_id, {', '.join(_STAGED)}, recorded_from, opened_version)"  # noqa: S608
    f" SELECT :list_id, {', '.join(_STAGED)}, :now, :version FROM staged_labels staged"
    f" WHERE NOT EXISTS (SELECT FROM labels WHERE {_OPEN_IN_LIST} AND {_SAME_LABEL})"
    " ORDER BY position"
)
_DROP_DUPLICATES = text(
    "DELETE FROM staged_labels staged USING (SELECT family, address, category, min(position)"
    " AS first FROM staged_labels GROUP BY family, address, category HAVING count(*) > 1) kept"
    " WHERE staged.family = kept.family AND staged.address = kept.address"
    " AND staged.category = kept.category AND staged.position > kept.first"
)


def _drop_duplicates(connection: Connection) -> int:
    """Keep the first of rows that say the same of the same address."""
    return connection.execute(_DROP_DUPLICATES).rowcount


def _open_rows(list_id: str) -> tuple[Any, Any]:
    return labels.c.list_id == list_id, labels.c.closed_version.is_(None)


def _in_force(version: int) -> tuple[Any, Any]:
    return (
        labels.c.opened_version <= version,
        or_(labels.c.closed_version.is_(None), labels.c.closed_version > version),
    )


def _close_one(
    connection: Connection, list_id: str, row: LabelRow, *, version: int, now: datetime
) -> bool:
    result = connection.execute(
        update(labels)
        .where(
            *_open_rows(list_id),
            labels.c.family == row.family,
            labels.c.address == row.address,
            labels.c.category == row.category,
        )
        .values(closed_version=version, recorded_to=now)
    )
    return result.rowcount > 0


def raise_version(connection: Connection, version: int) -> None:
    """Make a version the one of all lists, and wake who waits for it; needs `lock_lists`."""
    statement = insert(lists_versions).values(id=1, version=version)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_={"version": version})
    )
    connection.execute(select(func.pg_notify(CHANNEL, PAYLOAD)))
