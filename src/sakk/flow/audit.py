"""The audit log at work: the stage that seals it, and the proof that it is whole.

``verify`` holds the log against itself, and then the tables against the log: what was sealed must
be what stands there now, whoever changed it and by whatever means.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import structlog
from prometheus_client import Gauge
from sqlalchemy import Connection

from sakk.core import audit as rules
from sakk.core.audit import Break, Chain, Head
from sakk.core.errors import UnexpectedState
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.store import audit as store
from sakk.store import audited
from sakk.store.database import Database

STAGE = "audit.seal"
BLOCK_ENTRIES_MAX = 5_000
# Said of one source; a table that was emptied would fill the screen.
BREAKS_SHOWN_MAX = 20

Say = Callable[[str], None]

log = structlog.get_logger(__name__)

head_number = Gauge(
    "sakk_audit_head_block", "The audit log's newest block.", multiprocess_mode="mostrecent"
)
unsealed_seconds = Gauge(
    "sakk_audit_unsealed_seconds",
    "How long the oldest entry waits to be sealed.",
    multiprocess_mode="mostrecent",
)


def seal_stage(parts: Parts) -> Stage:
    """The stage that seals what was noted, once a second or as it fills a block."""

    def run() -> int:
        with parts.database.begin() as connection:
            return seal(connection, now=parts.clock(), limit=BLOCK_ENTRIES_MAX)

    return Stage(STAGE, run, gives_way=True)


def seal(connection: Connection, *, now: datetime, limit: int = BLOCK_ENTRIES_MAX) -> int:
    """Close one block over what is committed and waits; how many entries it has.

    One process at a time; another finds nothing to do. All is one transaction: a crash leaves what
    waited where it was.
    """
    if not store.try_lock(connection):
        return 0
    found = store.waiting(connection, limit=limit)
    if found is None:
        unsealed_seconds.set(0)
        return 0
    last = store.last_block(connection)
    block, sealed = rules.seal(
        last,
        found.noted,
        snapshot=found.snapshot,
        cluster=store.cluster_name(connection),
        is_full=len(found.noted) == limit,
        now=now,
    )
    store.append(connection, block, list(zip(found.noted, sealed, strict=True)))
    head_number.set(block.number)
    unsealed_seconds.set(max(0.0, (now - found.noted[0].at).total_seconds()))
    return block.count


@dataclass(frozen=True, slots=True)
class Proof:
    """What a verification found. ``waiting``: entries that are not sealed yet."""

    head: Head | None
    blocks: int
    entries: int
    waiting: int
    waiting_since: datetime | None
    breaks: tuple[Break, ...]

    @property
    def ok(self) -> bool:
        return not self.breaks


def verify(database: Database, *, say: Say = lambda line: None) -> Proof:
    """Prove the whole log, and every audited table by it, in one snapshot of the database.

    It reads all that was ever noted and all audited rows; ``say`` is told of each step.
    """
    with frozen(database) as connection:
        return prove(connection, say=say)


def prove(connection: Connection, *, say: Say = lambda line: None) -> Proof:
    """`verify` on a connection that sees one moment."""
    say("the chain of blocks")
    chain = walk(connection)
    breaks = list(chain.breaks)
    breaks += [
        Break(f"entry {seq}", "is of a block that is not there")
        for seq in store.stray_entries(connection)
    ]
    if not breaks:
        breaks += [
            Break(f"entry {seq}", "is filed under other words than its own")
            for seq in store.misplaced_entries(connection)
        ]
    for table in audited.missing_triggers(connection):
        breaks.append(Break(table, "its triggers are gone or off: changes are not noted"))
    if chain.is_unreadable:
        breaks.append(Break("the tables", "are not compared: entries of the log can not be read"))
    else:
        breaks += _compare_tables(connection, say)
    waiting, since = store.oldest_waiting(connection)
    head = None if chain.last is None else rules.head_of(chain.last)
    blocks = 0 if chain.last is None else chain.last.number
    return Proof(head, blocks, chain.entries, waiting, since, tuple(breaks))


def _compare_tables(connection: Connection, say: Say) -> list[Break]:
    breaks: list[Break] = []
    for table, about in audited.AUDITED.items():
        if about.updates_only:
            continue
        say(table)
        breaks += _compare(connection, table, audited.current_rows(table))
    for table, columns in audited.VERSIONED_TABLES.items():
        say(table)
        breaks += _compare_versions(connection, table, columns)
    say("events")
    return breaks + _compare(connection, "events", store.EVENTS)


@contextmanager
def frozen(database: Database) -> Iterator[Connection]:
    """A connection whose every statement sees the same moment."""
    engine = database.engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout TO 0")
        yield connection


def walk(connection: Connection) -> Chain:
    """Walk the whole chain."""
    chain = Chain()
    for block, bodies in store.scan_blocks(connection):
        chain.take(block, bodies)
    return chain


def _compare(connection: Connection, source: str, current: str) -> list[Break]:
    """Hold a table's rows against what was noted of them: both in the order of their keys."""
    found = _Breaks(source)
    noted = groupby(store.scan_entries(connection, source), key=lambda entry: entry.key)
    rows = store.scan_rows(connection, current)
    row = next(rows, None)
    for key, history in noted:
        state: dict[str, Any] | None = None
        last = 0
        for entry in history:
            after = None if entry.after is None else json.loads(entry.after)
            state, last = rules.follow(state, entry.act, after), entry.seq
        while row is not None and row.key < key:
            found.say(row.key, "was never noted: it was brought in past the log, or its entry gone")
            row = next(rows, None)
        if row is None or row.key != key:
            if state is not None:
                found.say(key, f"is gone, and no entry says so (entry {last} is the last)")
            continue
        if state is None:
            found.say(key, f"is there, though entry {last} says that it went")
        else:
            difference = rules.unlike(state, json.loads(row.noted))
            if difference is not None:
                found.say(key, f"{difference} (entry {last})")
        row = next(rows, None)
    while row is not None:
        found.say(row.key, "was never noted: it was brought in past the log, or its entry gone")
        row = next(rows, None)
    return found.breaks


class _Breaks:
    """What is wrong with one table's rows: the first of them by name, the rest by number."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: list[Break] = []
        self._more = 0

    def say(self, key: str, what: str) -> None:
        if len(self._found) < BREAKS_SHOWN_MAX:
            self._found.append(Break(f"{self._source} {key}", what))
        else:
            self._more += 1

    @property
    def breaks(self) -> list[Break]:
        if not self._more:
            return self._found
        return [*self._found, Break(self._source, f"{self._more} more rows are not as sealed")]


def _compare_versions(connection: Connection, table: str, columns: Sequence[str]) -> list[Break]:
    """Hold the rows that a version opened and closed against their hash of that time."""
    sealed: dict[tuple[str, str], list[Any]] = {}
    for entry in store.scan_entries(connection, table):
        sealed.setdefault((entry.act, entry.key), []).append(json.loads(entry.after))
    found = _Breaks(table)
    for act, version in (("open", "opened_version"), ("close", "closed_version")):
        standing: dict[tuple[str, ...], dict[str, Any]] = {}
        of_act = {key: value for (kind, key), value in sealed.items() if kind == act}
        shapes = {tuple(each["columns"]) for value in of_act.values() for each in value}
        for shape in shapes or {tuple(columns) if act == "open" else audited.CLOSING}:
            rows = store.scan_rows(connection, audited.version_hashes(table, version, shape))
            standing[shape] = {str(row.version): row for row in rows}
        known = {key for each in standing.values() for key in each}
        for key in sorted(known | of_act.keys(), key=int):
            _compare_version(found, f"{act} at version {key}", of_act.get(key, []), standing, key)
    return found.breaks


def _compare_version(
    found: _Breaks,
    where: str,
    sealed: Sequence[Any],
    standing: dict[tuple[str, ...], dict[str, Any]],
    key: str,
) -> None:
    if len(sealed) != 1:
        found.say(where, f"{len(sealed)} statements changed its rows, one does")
        return
    [said] = sealed
    row = standing[tuple(said["columns"])].get(key)
    if row is None:
        found.say(where, f"its {said['rows']} rows are gone")
    elif row.rows != said["rows"]:
        found.say(where, f"{row.rows} rows are there, {said['rows']} were sealed")
    elif row.sha256 != said["sha256"]:
        found.say(where, "its rows are not those that were sealed: one was altered")


def export(connection: Connection, *, subject: str | None = None, since: int = 1) -> Iterator[str]:
    """The log as lines of JSON, for ``sakk.client.audit``: blocks, each before its entries.

    With ``subject`` only the entries about it are shown; of the others the hash is, so that the
    whole is proved and nothing else told. ``connection``: of `frozen`. UnexpectedState while
    nothing is sealed.
    """
    last = store.last_block(connection)
    if last is None or last.number < since:
        raise UnexpectedState("There is no such block yet: nothing is sealed.")
    yield rules.canonical(
        {
            "object": "audit_export",
            "version": 1,
            "from": since,
            "head": {"number": last.number, "hash": last.hash.hex()},
            "subject": subject,
        }
    )
    shown = None if subject is None else {each.seq for each in store.about(connection, subject)}
    for block, bodies in store.scan_blocks(connection, since=since):
        document = rules.block_document(block) | {"hash": block.hash.hex()}
        yield rules.canonical({"block": document})
        for seq, body, digest in bodies:
            is_shown = shown is None or seq in shown
            yield rules.canonical({"entry": body} if is_shown else {"hash": digest.hex()})


def note_export(database: Database, *, name: str, subject: str | None, head: int) -> None:
    """Who took a copy of the log is in the log."""
    with database.begin() as connection:
        after = {"name": name, "subject": subject, "head": head}
        noted = store.Note("exports", "audit_log", name, subject or "audit_log", after)
        store.note(connection, [noted])


def note_act(database: Database, *, act: str, path: str, subject: str | None, asked: bytes) -> None:
    """What somebody is about to do to a row that is no part of the log: before it is done.

    ``act``: a route's name. ``subject``: the row's id, where it is there yet. Of ``asked``, what
    was sent, the log has the hash: what people write of others is forgotten in its time, and the
    log never is.
    """
    with database.begin() as connection:
        after = {"path": path, "sha256": hashlib.sha256(asked).hexdigest()}
        store.note(connection, [store.Note("acts", act, path, subject or path, after)])


def unlike_anchor(anchor: Mapping[str, Any], known: Mapping[int, str]) -> list[str]:
    """What an anchored head says against the log, in words; nothing where they agree.

    ``known``: the hash of every block by its number.
    """
    number = anchor.get("number")
    if not isinstance(number, int) or number not in known:
        return [f"anchor of block {number}: the log ends before it: blocks were taken away"]
    if known[number] != anchor.get("hash"):
        return [f"anchor of block {number}: the log has another block there: it was replaced"]
    return []
