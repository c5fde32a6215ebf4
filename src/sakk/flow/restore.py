"""Restore: bring a database that is older than what was done with it in line, before it acts.

It begins before any stage runs: everything that goes out is frozen, indices that may have been
given out are skipped and watched, and what the signer's log holds beyond the database is imported:
a payout that is still there gets its transaction and is never signed anew, one that is not is
booked by what the chain proves. It ends when a look at everything finds nothing that a person has
not acknowledged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import psycopg
import structlog
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.errors import ResourceMissing, SakkError
from sakk.core.event import NewEvent
from sakk.core.freeze import PREFIX as FREEZE_PREFIX
from sakk.core.freeze import Freeze, FreezeOrigin
from sakk.core.restore import (
    GAP_DEFAULT,
    PREFIX,
    Finding,
    Head,
    Restore,
    RestoreStatus,
    head_finding,
    next_index,
    open_findings,
    public,
)
from sakk.flow.context import Parts
from sakk.flow.imported import Line, import_lines, unsigned_of
from sakk.flow.reconcile import reconcile
from sakk.flow.stage import wake
from sakk.ledger.verify import verify
from sakk.rails.evm.send import nonces
from sakk.signing.log import SignedEntry, read_log
from sakk.store import address, network, transaction
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import restore as store
from sakk.store.identity import new_id
from sakk.store.journal import connect, journal_row, last_sequence

# A shard of the ledger: there is one.
SHARD = 0
HASHES_ASKED_MAX = 1_000
# A crash of PostgreSQL takes back what was reserved and not used: that alone is not lost time.
INDICES_LOST_MAX = 1_024
INDICES_RESERVED_MAX = 4_096
REASON = "the database is older than what was done with it"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known outside of the database. ``lines``: what the signer's log says was signed.

    ``journal`` and ``address_index`` are as they were anchored elsewhere, None if they were not.
    """

    lines: Sequence[Line] = ()
    log_head: Head | None = None
    log_hash_at_anchor: str | None = None
    journal: Head | None = None
    address_index: int | None = None
    notes: list[Finding] = field(default_factory=list)


def read_signer_log(connection: Connection, path: Path) -> tuple[list[Line], Head, str | None]:
    """What a log says was signed, its head, and its hash at the line that the database anchored."""
    anchor = store.find_anchor(connection)
    lines, head, at_anchor = [], Head(0, ""), None
    for found in read_log(path):
        head = Head(found.sequence, found.hash)
        if anchor is not None and found.sequence == anchor.sequence:
            at_anchor = found.hash
        if isinstance(found.entry, SignedEntry):
            lines.append(Line(found.sequence, found.at, found.entry))
    return lines, head, at_anchor


def staleness(connection: Connection, url: str, evidence: Evidence) -> list[Finding]:
    """What proves that the database is older than what was done with it, or that a log was cut."""
    found = _signer_findings(connection, evidence)
    found += _journal_findings(url, evidence.journal)
    index = store.address_index(connection)
    if evidence.address_index is not None and index < evidence.address_index - INDICES_LOST_MAX:
        message = f"the next address index is {index}, and {evidence.address_index} was reached"
        found.append(Finding("addresses.behind", str(evidence.address_index), message))
    return found


def unknown_lines(connection: Connection, lines: Sequence[Line]) -> list[Line]:
    """Signatures that the database neither has nor is about to record after a crash."""
    known: set[str] = set()
    hashes = [line.entry.hash for line in lines]
    for start in range(0, len(hashes), HASHES_ASKED_MAX):
        known |= store.known_hashes(connection, hashes[start : start + HASHES_ASKED_MAX])
    return [
        line for line in lines if line.entry.hash not in known and not _is_awaited(connection, line)
    ]


def _is_awaited(connection: Connection, line: Line) -> bool:
    return store.is_awaited(
        connection,
        network=line.entry.network,
        sender=line.entry.source,
        nonce=line.entry.nonce,
        unsigned=unsigned_of(bytes.fromhex(line.entry.raw)),
    )


def begin(
    connection: Connection,
    evidence: Evidence,
    *,
    reason: str,
    now: datetime,
    gap: int = GAP_DEFAULT,
) -> Restore:
    """Freeze, skip, import: in this one transaction, before anything of the house acts.

    Again, it goes on with the restore that is under way: a wider gap or a newer log adds to it.
    """
    store.lock(connection)
    _freeze(connection, now=now)
    before = store.find_open(connection)
    first = store.address_index(connection) if before is None else before.first_index
    following = next_index(restored=first, anchored=evidence.address_index, gap=gap)
    store.skip_addresses(
        connection,
        seeds=address.find_seeds(connection),
        # Processes had taken some indices at once and not used them when the backup was made.
        first=max(0, first - INDICES_RESERVED_MAX),
        following=following,
        now=now,
    )
    imported, notes = import_lines(connection, unknown_lines(connection, evidence.lines), now=now)
    kept = [] if before is None else [Finding(**note) for note in before.notes]
    notes = open_findings([*kept, *evidence.notes, *notes], [])
    restore = Restore(
        id=new_id(PREFIX) if before is None else before.id,
        status=RestoreStatus.restoring.value,
        reason=reason if before is None else before.reason,
        first_index=first,
        next_index=max(following, 0 if before is None else before.next_index),
        imported=imported + (0 if before is None else before.imported),
        notes=[note.document() for note in notes],
        acknowledged=[] if before is None else before.acknowledged,
        created=now if before is None else before.created,
    )
    store.put(connection, restore)
    if before is None:
        _tell(connection, restore, event.RESTORE_BEGUN, now=now)
    log.error("restore.begun", restore=restore.id, reason=reason, imported=imported)
    return restore


def acknowledge(connection: Connection, names: Iterable[str]) -> Restore:
    """A person has seen these findings and settles them; ResourceMissing without a restore."""
    store.lock(connection)
    found = _open(connection)
    known = list(dict.fromkeys([*found.acknowledged, *names]))
    changed = replace(found, acknowledged=known)
    store.put(connection, changed)
    return changed


def check(parts: Parts, evidence: Evidence) -> tuple[Restore, list[Finding]]:
    """Look at everything; with nothing left open, end the freeze. What is open, with the restore.

    The roles run meanwhile. Raises ResourceMissing when no restore is under way.
    """
    with parts.database.begin() as connection:
        restore = _open(connection)
        found = [Finding(**note) for note in restore.notes]
        found += _signer_findings(connection, evidence)
        found += _lost(connection, restore)
    found += _networks(parts)
    found += _books(parts)
    left = open_findings(found, restore.acknowledged)
    if left:
        return restore, left
    with parts.database.begin() as connection:
        store.lock(connection)
        now = parts.clock()
        restore = replace(_open(connection), status="finished", finished_at=now)
        store.put(connection, restore)
        # The log that was looked at is the one from here on.
        store.replace_anchor(connection, evidence.log_head)
        held = [
            each.id
            for each in freezes.list_in_force(connection, lock=True)
            if each.origin == FreezeOrigin.restore
        ]
        freezes.lift(connection, held, reason=f"{restore.id} is finished", now=now)
        _tell(connection, restore, event.RESTORE_FINISHED, now=now)
        wake(connection, "payout.build", "sweep.build", "transaction.sign")
        wake(connection, "transaction.broadcast")
    return restore, []


def _open(connection: Connection) -> Restore:
    found = store.find_open(connection)
    if found is None:
        raise ResourceMissing("No restore is under way: `sakk restore begin` begins one.")
    return found


def _freeze(connection: Connection, *, now: datetime) -> None:
    """Bytes of before are held back too: what they would do is not known yet."""
    held = [each.origin for each in freezes.list_in_force(connection)]
    if FreezeOrigin.restore not in held:
        row = Freeze(
            id=new_id(FREEZE_PREFIX),
            holds_rebroadcasts=True,
            reason=REASON,
            origin=FreezeOrigin.restore.value,
            created=now,
        )
        freezes.insert(connection, row)


def _signer_findings(connection: Connection, evidence: Evidence) -> list[Finding]:
    """Is its log the one that the database knows, and does the database know all of it?"""
    found = []
    anchor = store.find_anchor(connection)
    if anchor is not None and evidence.log_head is not None:
        at_anchor, here = evidence.log_hash_at_anchor, evidence.log_head.sequence
        different = head_finding("signer_log", anchor, found=at_anchor, here=here)
        found += [] if different is None else [different]
    forgotten = unknown_lines(connection, evidence.lines)
    if forgotten:
        first = forgotten[0]
        message = (
            f"{len(forgotten)} signatures of the signer's log are not here, the first in line"
            f" {first.sequence} for {first.entry.intent_id}"
        )
        found.append(Finding("signatures.unknown", str(first.sequence), message))
    return found


def _journal_findings(url: str, anchored: Head | None) -> list[Finding]:
    if anchored is None or not anchored.sequence:
        return []
    with connect(url) as connection:
        row = journal_row(connection, SHARD, anchored.sequence)
        here = last_sequence(connection, SHARD)
    found = head_finding(
        "journal", anchored, found=None if row is None else row.hash.hex(), here=here
    )
    return [] if found is None else [found]


def read_journal_head(url: str) -> Head:
    """The journal's newest row, to be anchored elsewhere."""
    with connect(url) as connection:
        row = journal_row(connection, SHARD, last_sequence(connection, SHARD))
    return Head(0, "") if row is None else Head(row.sequence, row.hash.hex())


def _lost(connection: Connection, restore: Restore) -> list[Finding]:
    """Coins at skipped addresses: each is somebody's, and one far out says to look wider."""
    found = []
    for lost, index, payins in store.used_lost(connection):
        message = f"{payins} pay-ins wait in suspense: address {lost} was given out and forgotten"
        found.append(Finding("address.lost", lost, message))
        if index >= (restore.first_index + restore.next_index) // 2:
            wide = 2 * (restore.next_index - restore.first_index)
            message = f"index {index} was used: run `sakk restore begin --gap {wide}` again"
            found.append(Finding("gap.narrow", str(restore.next_index), message))
    return found


def _networks(parts: Parts) -> list[Finding]:
    """Is every network followed to its head, and every nonce on it one that we know of?"""
    with parts.database.begin() as connection:
        enabled = [each for each in network.list_networks(connection) if each.enabled]
        cursors = {each.network: each.block_number for each in network.list_cursors(connection)}
        sending = store.senders(connection)
        known = {pair: transaction.next_nonce(connection, *pair) for pair in sending}
    found = []
    for each in enabled:
        rail = parts.rail_of(each)
        try:
            head = rail.head().number
            used = {
                sender: nonces(rail.rpc, sender).latest
                for name, sender in sending
                if name == each.network
            }
        except SakkError as error:
            found.append(Finding("network.away", each.network, error.message))
            continue
        cursor = cursors.get(each.network)
        if cursor is None or cursor < head - each.confirmations:
            message = (
                f"followed to block {cursor} of {head}: let the watcher read on, and look again"
            )
            found.append(Finding("network.behind", each.network, message))
        for sender, latest in used.items():
            mine = known[each.network, sender]
            if latest > (0 if mine is None else mine) and mine is not None:
                message = f"{sender} has sent {latest} transactions, {mine} are known here"
                found.append(Finding("nonce.unknown", f"{each.network}/{sender}", message))
    return found


def _books(parts: Parts) -> list[Finding]:
    """The ledger in itself, and against the chains."""
    report = verify(parts.database.url)
    found = [
        Finding("ledger.broken", str(place), str(each)) for place, each in enumerate(report.breaks)
    ]
    try:
        proof = reconcile(parts.database, parts.rail_of)
    except (SakkError, psycopg.Error) as error:
        words = error.message if isinstance(error, SakkError) else str(error)
        return [*found, Finding("books.unproved", "reconcile", words)]
    return found + [Finding("books.differ", each[:60], each) for each in proof.breaks]


def _tell(connection: Connection, restore: Restore, type: str, *, now: datetime) -> None:
    events.append(
        connection,
        [
            NewEvent(None, livemode, type, restore.id, public(restore, livemode=livemode))
            for livemode in (False, True)
        ],
        now=now,
    )
