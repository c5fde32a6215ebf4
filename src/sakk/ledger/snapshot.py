"""Snapshots: a machine's state in the database, so that a start need not replay the journal.

The bytes are those of ``sakk.ledger.frozen``, a part a row, as they stand in memory: ids do not
compress, and a start has better things to do than to inflate the rest.
"""

import hashlib

from sakk.ledger.frozen import Frozen, hash_of
from sakk.ledger.machine import Machine, Make, new_loader
from sakk.ledger.outside import Journal
from sakk.store.journal import JournalRow, SnapshotRow


def state_hash(machine: Machine) -> bytes:
    """SHA-256 of the canonical state: equal states, equal hash."""
    frozen = machine.freeze()
    try:
        return hash_of(frozen.parts())
    finally:
        frozen.close()


async def write_snapshot(journal: Journal, head: JournalRow, frozen: Frozen) -> SnapshotRow:
    """Store a frozen state and let it go; slow, for a task and a connection of its own.

    The parts are read twice, once for the hash: so none of them is kept.
    """
    digest, size = hashlib.sha256(), 0
    try:
        for part in frozen.parts():
            digest.update(part)
            size += len(part)
        row = SnapshotRow(head.shard, head.sequence, head.hash, digest.digest(), size)
        await journal.save_snapshot(row, frozen.parts())
    finally:
        frozen.close()
    return row


async def read_snapshot(
    journal: Journal, snapshot: SnapshotRow, make: Make | None = None
) -> Machine | None:
    """The machine in a snapshot, or None where its bytes are not what its hash says."""
    loader, digest, part = new_loader(make), hashlib.sha256(), 0
    try:
        while (payload := await journal.snapshot_part(snapshot.sequence, part)) is not None:
            digest.update(payload)
            loader.add(payload)
            part += 1
        return loader.finish() if digest.digest() == snapshot.state_hash else None
    except ValueError:
        return None
