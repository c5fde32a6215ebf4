"""Anchors: the head of the audit log, written down where whoever has the database has no hand.

A log that is replaced as a whole proves itself. Only a head that was noted elsewhere proves that it
is another one. The row is committed first, then the head is told: to the operator's webhooks with
the row, to a file as often as it takes. A line that stands twice in a file says nothing wrong.
"""

import os
from datetime import timedelta
from pathlib import Path

from prometheus_client import Gauge
from sqlalchemy import Connection

from sakk.core import audit as rules
from sakk.core import event
from sakk.core.audit import Anchor, canonical
from sakk.core.event import NewEvent
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.store import audit as store
from sakk.store import event as events

STAGE = "audit.anchor"
FILE_NAME = "audit-heads.jsonl"
FILED_AT_ONCE_MAX = 1_000

anchored_block = Gauge(
    "sakk_audit_anchored_block",
    "The newest block of the audit log that was anchored.",
    multiprocess_mode="mostrecent",
)


def audit_anchor_stage(parts: Parts, *, directory: Path | None, every: timedelta) -> Stage:
    """The stage that anchors the head, at most once in ``every``, where the log has grown.

    ``directory``: of the operator's choice; heads are appended to a file in it.
    """

    def run() -> int:
        with parts.database.begin() as connection:
            made = _anchor(connection, parts, every=every)
            waiting = store.unfiled_anchors(connection, limit=FILED_AT_ONCE_MAX)
        if directory is None or not waiting:
            return made
        append_heads(directory, waiting)
        with parts.database.begin() as connection:
            store.set_filed(connection, [each.number for each in waiting], now=parts.clock())
        return len(waiting)

    return Stage(STAGE, run, gives_way=True)


def _anchor(connection: Connection, parts: Parts, *, every: timedelta) -> int:
    now = parts.clock()
    block, last = store.last_block(connection), store.last_anchor(connection)
    if block is None:
        return 0
    if last is not None:
        anchored_block.set(last.number)
        if last.number >= block.number or now < last.created + every:
            return 0
    head = rules.head_of(block)
    anchor = Anchor(
        number=head.number,
        hash=head.hash,
        entries=head.entries,
        sealed_at=head.sealed_at,
        created=now,
    )
    # Two workers at once: one tells it.
    if not store.insert_anchor(connection, anchor):
        return 0
    told = [
        NewEvent(None, livemode, event.AUDIT_ANCHORED, str(head.number), _public(head, livemode))
        for livemode in (False, True)
    ]
    events.append(connection, told, now=now)
    anchored_block.set(head.number)
    return 1


def _public(head: rules.Head, livemode: bool) -> dict[str, object]:
    """The operator's object ``audit_head``, as an event tells it."""
    return {"id": str(head.number), "livemode": livemode, **rules.head_document(head)}


def append_heads(directory: Path, anchors: list[Anchor]) -> None:
    """Append heads to the file, and wait until they are on the disk."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE_NAME
    lines = "".join(canonical(rules.head_document(_head(each))) + "\n" for each in anchors)
    with path.open("ab+") as file:
        # A line that was torn by a full disk ends here, and is passed over by whoever reads.
        if file.tell() and _last_byte(path) != b"\n":
            lines = "\n" + lines
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)


def _head(anchor: Anchor) -> rules.Head:
    return rules.Head(anchor.number, anchor.hash, anchor.entries, anchor.sealed_at)
