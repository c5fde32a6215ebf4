"""Is the ledger what it must be? Reads the journal and the projection at one moment, never writes.

Two computations meet here. The machine replays the journal from its first row. Beside it stands a
count of its own, which knows no rules: it adds up what the journal says was moved. Both must come
to the same totals, and the projection's rows to the same again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from sakk.core import ids
from sakk.core.caip import chain_id
from sakk.core.errors import Misconfigured
from sakk.core.escrow import is_signed
from sakk.core.escrow_channel import PREFIX
from sakk.ledger.count import Count, Moved, uuid_text
from sakk.ledger.frozen import hash_of
from sakk.ledger.journal import decode_group
from sakk.ledger.liability import Recount
from sakk.ledger.machine import Machine, Make, new_machine, serving
from sakk.ledger.record import (
    ACCOUNT,
    ID_SIZE,
    TRANSFER,
    decode_account,
)
from sakk.ledger.replay import apply_row, check_link, genesis
from sakk.ledger.rules import CREDIT_LIMIT, DEBIT_LIMIT
from sakk.ledger.snapshot import state_hash
from sakk.ledger.voucher import highest
from sakk.store import journal as journal_store
from sakk.store import projection as store
from sakk.store.journal import JournalRow, SnapshotRow, connect

BREAKS_MAX = 1_000
STATEMENT_SECONDS_MAX = 24 * 3600


@dataclass(frozen=True, slots=True)
class Break:
    """Something that is not as it must be, and where."""

    check: str
    place: str
    message: str


@dataclass(slots=True)
class Report:
    """What was looked at, and every break that was found (at most ``BREAKS_MAX`` are listed)."""

    shard: int
    machine: str
    sequence: int = 0
    projected_sequence: int = 0
    journal_rows: int = 0
    accounts: int = 0
    transfers: int = 0
    entries: int = 0
    snapshots: int = 0
    vouchers: int = 0
    roots: int = 0
    roots_recomputed: int = 0
    state_hash: str = ""
    units: dict[str, int] = field(default_factory=dict)
    breaks: list[Break] = field(default_factory=list)
    breaks_total: int = 0

    @property
    def ok(self) -> bool:
        return self.breaks_total == 0

    def add(self, check: str, place: str, message: str) -> None:
        self.breaks_total += 1
        if len(self.breaks) < BREAKS_MAX:
            self.breaks.append(Break(check, place, message))

    def add_all(self, check: str, found: Iterable[tuple[str, str]]) -> None:
        """Breaks of one check, each as its place and its message."""
        for place, message in found:
            self.add(check, place, message)

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON; ``units`` are debits posted per unit, as strings."""
        return {
            "object": "ledger_verification",
            "ok": self.ok,
            "shard": self.shard,
            "machine": self.machine,
            "sequence": self.sequence,
            "projected_sequence": self.projected_sequence,
            "journal_rows": self.journal_rows,
            "accounts": self.accounts,
            "transfers": self.transfers,
            "entries": self.entries,
            "snapshots": self.snapshots,
            "vouchers": self.vouchers,
            "roots": self.roots,
            "roots_recomputed": self.roots_recomputed,
            "state_hash": self.state_hash,
            "units": {unit: str(total) for unit, total in self.units.items()},
            "breaks_total": self.breaks_total,
            "breaks": [
                {"check": each.check, "place": each.place, "message": each.message}
                for each in self.breaks
            ],
        }


def verify(database_url: str, *, shard: int = 0, make: Make | None = None) -> Report:
    """Check everything at one moment; the writer may go on beside it.

    ``make``: the machine that replays; with the other one than wrote, both have the last word.
    """
    report = Report(shard, machine=(make or serving()).value)
    with connect(database_url) as connection:
        connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS_MAX}s'")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        try:
            _verify(connection, report)
        except psycopg.errors.UndefinedTable as error:
            raise Misconfigured(
                "this database holds no ledger; start `sakk serve` with it first"
            ) from error
    return report


def _verify(connection: psycopg.Connection[Any], report: Report) -> None:
    shard = report.shard
    cursor = store.read_cursor(connection, shard)
    report.projected_sequence = cursor.sequence
    snapshots = {row.sequence: row for row in journal_store.snapshots(connection, shard)}
    report.snapshots = len(snapshots)
    machine, count, head = new_machine(Make(report.machine)), Count(), genesis(shard)
    projection, good = _Projection(connection, report), 0
    recount = Recount(connection, shard)
    kept: dict[bytes, tuple[int, bytes]] = {}
    for row in journal_store.read_journal(connection, shard):
        if good == cursor.sequence:
            projection.end(machine, count)
        place = f"ledger_journal shard {shard} sequence {row.sequence}"
        report.journal_rows += 1
        link = check_link(head, row)
        if link is not None:
            report.add("hash_chain", place, link)
        head = row
        wrong = apply_row(machine, row)
        if wrong is not None:
            report.add("replay", place, wrong)
            break
        group = decode_group(row.payload)
        try:
            moved = count.add(row, group)
        except KeyError as error:
            report.add("replay", place, f"names what was never created or ended: {error}")
            break
        _check_amounts(report, machine, moved)
        if row.sequence <= cursor.sequence:
            projection.expect(moved)
            for channel, voucher in highest([row.payload]).items():
                kept[channel] = max(voucher, kept.get(channel, voucher), key=lambda each: each[0])
        report.add_all("liability", recount.check(machine, row, group))
        if row.sequence in snapshots:
            _check_snapshot(connection, report, machine, row, snapshots.pop(row.sequence))
        good = row.sequence
    report.sequence = head.sequence
    report.add_all("liability", recount.rest())
    report.roots, report.roots_recomputed = recount.roots, recount.recomputed
    for sequence in snapshots:
        report.add("snapshot", _snapshot_place(shard, sequence), "stands at no row of the journal")
    if good == cursor.sequence:
        projection.end(machine, count)
    if not projection.ended:
        report.add(
            "projection",
            f"ledger_cursors shard {shard}",
            f"stands at row {cursor.sequence}, which the journal's good part does not reach",
        )
    _check_totals(report, machine, count)
    report.accounts, report.transfers = machine.account_count, machine.transfer_count
    report.state_hash = state_hash(machine).hex()
    _check_vouchers(connection, report, kept)


def _check_amounts(report: Report, machine: Machine, moved: Moved) -> None:
    """The machine remembers what the journal says was moved, and when."""
    records = machine.lookup_transfers(b"".join([each[0] for each in moved.amounts]))
    for fields, (identifier, amount, timestamp) in zip(
        TRANSFER.iter_unpack(records), moved.amounts, strict=True
    ):
        if fields[8] != timestamp or int.from_bytes(fields[3], "little") != amount:
            report.add("balance", f"transfer {UUID(bytes=identifier)}", "moved another amount")


def _check_snapshot(
    connection: psycopg.Connection[Any],
    report: Report,
    machine: Machine,
    row: JournalRow,
    snapshot: SnapshotRow,
) -> None:
    """A snapshot's bytes, its hash, and the replayed machine say the same."""
    place = _snapshot_place(report.shard, snapshot.sequence)
    if snapshot.journal_hash != row.hash:
        report.add("snapshot", place, "names another journal hash than the row has")
    if snapshot.state_hash != state_hash(machine):
        report.add("snapshot", place, "its state hash is not the replayed machine's")
    parts = journal_store.snapshot_parts(connection, report.shard, snapshot.sequence)
    if hash_of(parts) != snapshot.state_hash:
        report.add("snapshot", place, "its bytes are not what its state hash says")


def _check_vouchers(
    connection: psycopg.Connection[Any], report: Report, kept: dict[bytes, tuple[int, bytes]]
) -> None:
    """Of each channel the row holds the highest voucher of the journal, or what its payer signed
    beyond: a door without the journal's way writes the row alone."""
    missing = dict(kept)
    for channel_id, ceiling, signature, name, network, signer in store.vouchers(connection):
        report.vouchers += 1
        place = f"escrow_vouchers {channel_id}"
        journal = missing.pop(ids.decode(channel_id)[1].to_bytes(ID_SIZE, "big"), None)
        found = (int(ceiling), bytes(signature))
        if journal == found:
            continue
        if journal is not None and found[0] < journal[0]:
            message = f"its total is {found[0]}, the journal has a voucher of {journal[0]}"
            report.add("voucher", place, message)
        elif name is None:
            report.add("voucher", place, "neither the journal nor a channel knows it")
        elif not is_signed(
            bytes.fromhex(name[2:]), *found, chain_id=chain_id(network), signer=signer
        ):
            report.add("voucher", place, f"its signature is not {signer}'s for {found[0]}")
    for channel, (ceiling, _) in missing.items():
        place = f"escrow_vouchers {ids.encode(PREFIX, int.from_bytes(channel, 'big'))}"
        report.add("voucher", place, f"is missing, the journal has a voucher of {ceiling}")


def _check_totals(report: Report, machine: Machine, count: Count) -> None:
    """Debits = credits per unit; balances = sum of transfers; no account beyond its limit."""
    debits: dict[int, list[int]] = {}
    for record in machine.account_records():
        account = decode_account(record)
        identifier = record[:ID_SIZE]
        place = f"account {UUID(bytes=identifier)}"
        totals = debits.setdefault(account.unit, [0, 0, 0, 0])
        ours = (
            account.debits_pending,
            account.debits_posted,
            account.credits_pending,
            account.credits_posted,
        )
        for index, total in enumerate(ours):
            totals[index] += total
        theirs = count.accounts.get(identifier)
        if theirs is None or ours != theirs.totals:
            report.add("balance", place, "its totals are not the sum of its transfers")
        owed = account.debits_pending + account.debits_posted
        if account.flags & DEBIT_LIMIT and owed > account.credits_posted:
            report.add("limit", place, "its debits exceed its credits")
        paid = account.credits_pending + account.credits_posted
        if account.flags & CREDIT_LIMIT and paid > account.debits_posted:
            report.add("limit", place, "its credits exceed its debits")
    for unit, (debits_pending, debits_posted, credits_pending, credits_posted) in debits.items():
        report.units[str(unit)] = debits_posted
        if (debits_pending, debits_posted) != (credits_pending, credits_posted):
            report.add(
                "double_entry",
                f"unit {unit}",
                f"debits {debits_pending}+{debits_posted} are not"
                f" credits {credits_pending}+{credits_posted} (pending+posted)",
            )


class _Projection:
    """The projection's rows beside what the journal comes to, in one pass over both."""

    def __init__(self, connection: psycopg.Connection[Any], report: Report) -> None:
        self.ended = False
        self._report = report
        self._tables = {
            table: _Table(report, table, store.lines(connection, report.shard, table))
            for table in store.LINES
        }
        # What the rows of holds say became of them, until the journal says it.
        self._holds: dict[str, str] = {}

    def expect(self, moved: Moved) -> None:
        """The next row of the journal came to this."""
        transfers, entries = self._tables["ledger_transfers"], self._tables["ledger_entries"]
        for line, is_hold in moved.transfers:
            if is_hold:
                self._holds.update(transfers.expect_hold(line))
            else:
                transfers.expect(line)
        for line in moved.entries:
            entries.expect(line)
        self._report.entries += len(moved.entries)
        for key in sorted(moved.balances):
            self._tables["ledger_balances"].expect(moved.balances[key])
        for identifier, status in moved.settled:
            self._check_hold(identifier, status, self._holds.pop(identifier, status))

    def end(self, machine: Machine, count: Count) -> None:
        """The journal reached the cursor: nothing more may stand in the rows."""
        if self.ended:
            return
        self.ended = True
        for record in sorted(machine.account_records()):
            self._tables["ledger_accounts"].expect(_account_line(record))
        for line in count.open_charges():
            self._tables["ledger_open_charges"].expect(line)
        for table in self._tables.values():
            table.end()
        for identifier, found in self._holds.items():
            self._check_hold(identifier, "pending", found)

    def _check_hold(self, identifier: str, status: str, found: str) -> None:
        if found != status:
            self._report.add(
                "projection",
                f"ledger_transfers {identifier}",
                f"status is {found}, the journal says {status}",
            )


class _Table:
    """A table's lines, in order, against the lines that are expected, in the same order."""

    def __init__(self, report: Report, table: str, lines: Iterator[str]) -> None:
        self._report = report
        self._table = table
        self._columns = store.LINES[table]
        self._lines = lines
        self._found = next(lines, None)

    def expect(self, wanted: str) -> None:
        """The next line; name what is missing, foreign or altered."""
        while self._found != wanted:
            if self._found is None or self._key(self._found) > self._key(wanted):
                self._add(wanted, "is missing")
                return
            if self._key(self._found) == self._key(wanted):
                self._differ(self._found, wanted)
                break
            self._add(self._found, "the journal knows no such row")
            self._advance()
        self._advance()

    def expect_hold(self, wanted: str) -> dict[str, str]:
        """The same for a line without its status, which the row's id is answered with."""
        line, _, status = (self._found or "").rpartition(" ")
        if line != wanted:
            self.expect(f"{wanted} pending")
            return {}
        self._advance()
        return {wanted.split(" ", 2)[1]: status}

    def end(self) -> None:
        while self._found is not None:
            self._add(self._found, "the journal knows no such row")
            self._advance()

    def _advance(self) -> None:
        self._found = next(self._lines, None)

    def _key(self, line: str) -> tuple[int, str]:
        first, second, _ = line.split(" ", 2)
        return (0, first) if self._columns[0] == "id" else (int(first), second)

    def _differ(self, found: str, wanted: str) -> None:
        columns = zip(self._columns, found.split(" "), wanted.split(" "), strict=True)
        self._add(
            wanted,
            "; ".join(f"{name} is {a}, the journal says {b}" for name, a, b in columns if a != b),
        )

    def _add(self, line: str, message: str) -> None:
        at, name = self._key(line)
        if self._columns[1] == "account_id":
            name = f"account {name} at {at}"
        self._report.add("projection", f"{self._table} {name}", message)


def _account_line(record: bytes) -> str:
    """The line of ``ledger_accounts`` that an account comes to."""
    fields = ACCOUNT.unpack(record)
    totals = " ".join(str(int.from_bytes(total, "little")) for total in fields[1:5])
    unit, timestamp, code, flags = fields[6:10]
    user_data = uuid_text(fields[5])
    return f"{uuid_text(fields[0])} {unit} {code} {flags} {user_data} {timestamp} {totals}"


def _snapshot_place(shard: int, sequence: int) -> str:
    return f"ledger_snapshots shard {shard} sequence {sequence}"
