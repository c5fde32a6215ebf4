"""The audit log: an inbox that every transaction notes into, and the sealed blocks and entries.

The inbox has no order of its own that anybody waits for. The log is only added to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Identity,
    Index,
    Integer,
    Row,
    Table,
    Text,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.audit import DECISIONS, Anchor, Block, Entry, Noted
from sakk.store.database import as_json, fetch_all, fetch_one, insert_given, row_of
from sakk.store.schema import Bytes, Timestamp, metadata

# Any constant that no other advisory lock of ours uses: the bytes of "audit".
SEAL_LOCK: Final = int.from_bytes(b"audit", "big")
PAGE_BLOCKS: Final = 50
STREAM_ROWS: Final = 1_000
SEARCHED_ENTRIES: Final = 20_000

# Filled by triggers (sakk.store.audited) as well as by us, so the defaults say who, when and in
# which transaction. A process tells the database who it is when it connects, a request when it
# begins; whoever does neither is named by the user of the database.
inbox = Table(
    "audit_inbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("xid", BigInteger, nullable=False, server_default=text("txid_current()")),
    Column("at", Timestamp, nullable=False, server_default=text("clock_timestamp()")),
    Column(
        "actor",
        Text,
        nullable=False,
        server_default=text(
            "COALESCE(NULLIF(current_setting('sakk.actor'::text, true), ''::text),"
            " ('sql:'::text || SESSION_USER))"
        ),
    ),
    Column(
        "request",
        Text,
        server_default=text("NULLIF(current_setting('sakk.request'::text, true), ''::text)"),
    ),
    Column("source", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
)

entries = Table(
    "audit_entries",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("block", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("hash", Bytes, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_audit_entries_subject", "subject", "seq"),
    Index("ix_audit_entries_key", "key", "source", "seq"),
    Index("ix_audit_entries_block", "block"),
)

blocks = Table(
    "audit_blocks",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("previous", Bytes, nullable=False),
    Column("entries", Bytes, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("is_full", Boolean, nullable=False),
    Column("sealed_at", Timestamp, nullable=False),
    Column("hash", Bytes, nullable=False),
)

# Heads that were, or are to be, written down outside of the database.
anchors = Table(
    "audit_anchors",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Bytes, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("sealed_at", Timestamp, nullable=False),
    Column("filed_at", Timestamp),
    Column("stamped_at", Timestamp),
    Column("stamp", Bytes),
    Column("created", Timestamp, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Note:
    """An act that no audited row tells of. ``source`` is its kind, ``key`` the one of it."""

    source: str
    act: str
    key: str
    subject: str
    after: dict[str, Any] | None = None


def note(connection: Connection, notes: Sequence[Note]) -> None:
    """Note acts in the transaction that does them."""
    if notes:
        statement = insert_given(inbox, Note.__slots__)
        connection.execute(statement, {"rows": as_json(inbox, [row_of(each) for each in notes])})


# The events that are noted, from the first that was: key and document, by key.
EVENTS: Final = (
    "SELECT id COLLATE \"C\" AS key, json_build_object('type', type, 'sha256',"  # noqa: S608 - names of ours
    " encode(sha256(convert_to(body::text, 'UTF8')), 'hex'))::text AS noted FROM events"
    f" WHERE type IN ({', '.join(repr(each) for each in sorted(DECISIONS))})"
    " AND id >= (SELECT min(key) FROM (SELECT key FROM audit_entries WHERE source = 'events'"
    " UNION ALL SELECT key FROM audit_inbox WHERE source = 'events') AS each)"
    " ORDER BY 1"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What was committed and is not sealed, and what the database says of that moment."""

    noted: tuple[Noted, ...]
    snapshot: str


def try_lock(connection: Connection) -> bool:
    """Be the one who seals, until the transaction ends; False while another is."""
    return bool(connection.execute(select(func.pg_try_advisory_xact_lock(SEAL_LOCK))).scalar_one())


def waiting(connection: Connection, *, limit: int) -> Waiting | None:
    """The oldest of what waits, with the snapshot in which it was looked for; None if nothing."""
    # One statement has one snapshot: what it sees is what its snapshot says had ended.
    statement = select(inbox, _SNAPSHOT).order_by(inbox.c.id).limit(limit)
    rows = connection.execute(statement).all()
    if not rows:
        return None
    names = [column.name for column in inbox.c]
    noted = tuple(Noted(**{name: getattr(row, name) for name in names}) for row in rows)
    return Waiting(noted, rows[0].snapshot)


_SNAPSHOT = func.txid_current_snapshot().cast(Text).label("snapshot")


def cluster_name(connection: Connection) -> str:
    """Which cluster counts the transactions: its system identifier."""
    return str(
        connection.execute(
            text("SELECT system_identifier::text FROM pg_control_system()")
        ).scalar_one()
    )


def append(connection: Connection, block: Block, sealed: Sequence[tuple[Noted, Entry]]) -> None:
    """Write a block with its entries, and take them out of the inbox; needs `try_lock`."""
    connection.execute(insert(blocks).values(row_of(block)))
    rows = [
        {
            "seq": entry.seq,
            "block": block.number,
            "source": noted.source,
            "act": noted.act,
            "key": noted.key,
            "subject": noted.subject,
            "actor": noted.actor,
            "at": noted.at,
            "hash": entry.hash,
            "body": entry.body,
        }
        for noted, entry in sealed
    ]
    statement = insert_given(entries, tuple(rows[0]))
    connection.execute(statement, {"rows": as_json(entries, rows)})
    connection.execute(delete(inbox).where(inbox.c.id.in_([noted.id for noted, _ in sealed])))


def last_block(connection: Connection) -> Block | None:
    statement = select(blocks).order_by(blocks.c.number.desc()).limit(1)
    return fetch_one(connection, statement, Block)


def list_blocks(connection: Connection, *, limit: int) -> list[Block]:
    """The newest blocks, newest first."""
    statement = select(blocks).order_by(blocks.c.number.desc()).limit(limit)
    return fetch_all(connection, statement, Block)


def scan_blocks(
    connection: Connection, *, since: int = 1
) -> Iterator[tuple[Block, list[tuple[int, str, bytes]]]]:
    """Every block from a number on, in order, with its entries: (place, body, hash)."""
    after = since - 1
    while page := fetch_all(
        connection,
        select(blocks).where(blocks.c.number > after).order_by(blocks.c.number).limit(PAGE_BLOCKS),
        Block,
    ):
        held: dict[int, list[tuple[int, str, bytes]]] = {each.number: [] for each in page}
        rows = connection.execute(
            select(entries.c.block, entries.c.seq, entries.c.body, entries.c.hash)
            .where(entries.c.block > after, entries.c.block <= page[-1].number)
            .order_by(entries.c.seq)
        )
        for row in rows:
            held.setdefault(row.block, []).append((row.seq, row.body, row.hash))
        yield from ((each, held[each.number]) for each in page)
        after = page[-1].number


def stray_entries(connection: Connection) -> list[int]:
    """Entries of a block that is not there."""
    known = select(blocks.c.number)
    statement = select(entries.c.seq).where(entries.c.block.not_in(known)).limit(STREAM_ROWS)
    return list(connection.execute(statement).scalars())


def misplaced_entries(connection: Connection) -> list[int]:
    """Entries whose columns, by which they are found, are not what their bytes say."""
    return list(connection.execute(_MISPLACED).scalars())


_MISPLACED = text(
    "SELECT seq FROM (SELECT *, body::json AS said FROM audit_entries) AS each"
    " WHERE (said ->> 'source', said ->> 'act', said ->> 'key', said ->> 'subject',"
    " said ->> 'actor', (said ->> 'at')::timestamptz)"
    " IS DISTINCT FROM (source, act, key, subject, actor, at) ORDER BY seq LIMIT 100"
)


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry as it is shown, with its block."""

    seq: int
    block: int
    body: str


def about(connection: Connection, subject: str, *, limit: int | None = None) -> list[Shown]:
    """The entries about a subject or a row, oldest first; all without a limit."""
    statement = (
        select(entries.c.seq, entries.c.block, entries.c.body)
        .where((entries.c.subject == subject) | (entries.c.key == subject))
        .order_by(entries.c.seq)
        .limit(limit)
    )
    return fetch_all(connection, statement, Shown)


CHANGES: Final = ("insert", "update", "delete")


def search(
    connection: Connection,
    *,
    about: str | None = None,
    by: Sequence[str] = (),
    source: str | None = None,
    act: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[Shown]:
    """Sealed entries, newest first: about something, or by one of some people, keys or processes.

    ``source``: of which table. ``act``: one of ``CHANGES``, or ``other``, what no row says. All but
    what it is about is looked for among the newest entries alone, so that a search has an end.
    """
    statement = select(entries.c.seq, entries.c.block, entries.c.body)
    if about is not None:
        statement = statement.where((entries.c.subject == about) | (entries.c.key == about))
    if before is not None:
        statement = statement.where(entries.c.seq < before)
    filters: list[ColumnElement[bool]] = []
    if by:
        filters.append(or_(*(each for name in by for each in _is_by(name))))
    if source is not None:
        filters.append(entries.c.source == source)
    if act is not None:
        is_change = entries.c.act.in_(CHANGES)
        filters.append(~is_change if act == "other" else entries.c.act == act)
    if filters:
        newest = select(func.max(entries.c.seq)) if before is None else select(literal(before))
        floor = newest.scalar_subquery() - SEARCHED_ENTRIES
        statement = statement.where(entries.c.seq > floor, *filters)
    return fetch_all(connection, statement.order_by(entries.c.seq.desc()).limit(limit), Shown)


def _is_by(name: str) -> tuple[ColumnElement[bool], ...]:
    """An actor is a person with the sign-in or key by which they acted, or a process."""
    actor = entries.c.actor
    return (
        actor == name,
        actor.startswith(f"{name}/", autoescape=True),
        actor.endswith(f"/{name}", autoescape=True),
    )


def scan_entries(connection: Connection, source: str) -> Iterator[Row[Any]]:
    """All that was noted of a table, sealed or not, by key and in order: (key, act, seq, after)."""
    return _stream(connection, _OF_SOURCE, {"source": source})


_OF_SOURCE = (
    "SELECT key COLLATE \"C\" AS key, act, seq, body::json ->> 'after' AS after FROM audit_entries"
    " WHERE source = :source AND act <> 'truncate'"
    ' UNION ALL SELECT key COLLATE "C", act, (SELECT coalesce(max(seq), 0) FROM audit_entries)'
    " + id, after::text"
    " FROM audit_inbox WHERE source = :source AND act <> 'truncate' ORDER BY 1, 3"
)


def scan_rows(connection: Connection, query: str) -> Iterator[Row[Any]]:
    """Stream a query of ``sakk.store.audited``."""
    return _stream(connection, query, {})


def _stream(connection: Connection, query: str, given: dict[str, Any]) -> Iterator[Row[Any]]:
    options = {"stream_results": True, "yield_per": STREAM_ROWS}
    with connection.execute(text(query), given, execution_options=options) as result:
        yield from result


def oldest_waiting(connection: Connection) -> tuple[int, datetime | None]:
    """How many entries wait to be sealed, and since when the oldest does."""
    row = connection.execute(select(func.count(), func.min(inbox.c.at))).one()
    return row[0], row[1]


def hashes(connection: Connection) -> dict[int, str]:
    """The hash of every block, in hexadecimal, by its number."""
    rows = connection.execute(select(blocks.c.number, blocks.c.hash))
    return {row.number: bytes(row.hash).hex() for row in rows}


def last_anchor(connection: Connection) -> Anchor | None:
    statement = select(anchors).order_by(anchors.c.number.desc()).limit(1)
    return fetch_one(connection, statement, Anchor)


def insert_anchor(connection: Connection, anchor: Anchor) -> bool:
    """Note an anchor; False if another process did."""
    statement = upsert(anchors).values(row_of(anchor)).on_conflict_do_nothing()
    first = connection.execute(statement.returning(anchors.c.number)).scalar_one_or_none()
    return first is not None


def unfiled_anchors(connection: Connection, *, limit: int) -> list[Anchor]:
    """Those that are in no file yet, oldest first."""
    statement = select(anchors).where(anchors.c.filed_at.is_(None)).order_by(anchors.c.number)
    return fetch_all(connection, statement.limit(limit), Anchor)


def set_filed(connection: Connection, numbers: Sequence[int], *, now: datetime) -> None:
    """They stand in the operator's file."""
    connection.execute(
        update(anchors).where(anchors.c.number.in_(list(numbers))).values(filed_at=now)
    )
