"""From the journal back to the machine: the newest good snapshot, then every row after it."""

from collections.abc import Callable

from sakk.core.errors import SakkError
from sakk.ledger.journal import decode_group, row_hash
from sakk.ledger.machine import Machine, Make, new_machine
from sakk.ledger.outside import DatabaseJournal, Journal, run
from sakk.ledger.snapshot import read_snapshot, write_snapshot
from sakk.store import journal as store
from sakk.store.journal import JournalRow, SnapshotRow


class JournalBroken(SakkError):
    """The journal, or the machine, is not what it was: stop, and run ``sakk ledger verify``."""

    code = "journal_broken"


def genesis(shard: int) -> JournalRow:
    """What stands before a shard's first row."""
    return JournalRow(shard, 0, 0, 0, 0, store.GENESIS, store.GENESIS, b"")


async def restore(
    journal: Journal,
    *,
    from_zero: bool = False,
    make: Make | None = None,
    on_row: Callable[[JournalRow], None] | None = None,
) -> tuple[Machine, JournalRow]:
    """The machine after the journal's last row, and that row; JournalBroken if it cannot be.

    A snapshot that is damaged or does not belong to this journal is passed over: the journal
    holds everything.
    """
    machine, head = new_machine(make), genesis(journal.shard)
    for snapshot in () if from_zero else await journal.snapshots():
        row = await journal.row(snapshot.sequence)
        if row is None or row.hash != snapshot.journal_hash:
            continue
        loaded = await read_snapshot(journal, snapshot, make)
        if loaded is not None:
            machine, head = loaded, row
            break
    while rows := await journal.rows_after(head.sequence):
        for row in rows:
            for broken in (check_link(head, row), apply_row(machine, row)):
                if broken is not None:
                    raise JournalBroken(
                        f"journal row {row.sequence} of shard {row.shard}: {broken};"
                        " run `sakk ledger verify`"
                    )
            head = row
            if on_row is not None:
                on_row(row)
    return machine, head


def check_link(previous: JournalRow, row: JournalRow) -> str | None:
    """What is wrong between two neighbouring rows, or None."""
    if row.sequence != previous.sequence + 1:
        return f"follows row {previous.sequence}, rows between them are missing"
    if row.previous_hash != previous.hash:
        return "does not name the hash of the row before it"
    if row.epoch < previous.epoch:
        return f"has epoch {row.epoch} after epoch {previous.epoch}"
    if row.hash != row_hash(row):
        return "its hash is not the hash of its columns"
    return None


def apply_row(machine: Machine, row: JournalRow) -> str | None:
    """Apply a row's requests; what differs from the results it holds, or None."""
    try:
        group = decode_group(row.payload)
        outcome = machine.apply(group.requests, row.timestamp_ns)
    except ValueError as error:
        return str(error)
    if row.count != sum(request.count for request in group.requests):
        return f"says that it holds {row.count} events, its payload holds another number"
    if outcome.expired != b"".join(group.expired):
        return "the machine releases other holds than the row names"
    if outcome.outcomes != group.outcomes:
        return "the machine gives other results than the row holds"
    return None


def take_snapshot(url: str, *, shard: int = 0) -> SnapshotRow:
    """Replay the journal beside its writer, and store a snapshot of what it holds."""
    with DatabaseJournal(url, shard) as journal:
        machine, head = run(restore(journal))
        return run(write_snapshot(journal, head, machine.freeze()))
