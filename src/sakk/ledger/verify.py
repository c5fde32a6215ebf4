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

from sakk.core.errors import Misconfigured
from sakk.ledger.frozen import hash_of
from sakk.ledger.group import RESOLVED, Kind, Outcome, Request
from sakk.ledger.journal import Group, decode_group
from sakk.ledger.machine import Machine, new_machine
from sakk.ledger.record import (
    ACCOUNT,
    ID_SIZE,
    ID_ZERO,
    TRANSFER,
    decode_account,
    decode_results,
)
from sakk.ledger.replay import apply_row, check_link, genesis
from sakk.ledger.rules import CREDIT_LIMIT, DEBIT_LIMIT, PENDING, POST, SETTLING
from sakk.ledger.snapshot import state_hash
from sakk.ledger.types import AccountFlags
from sakk.store import journal as journal_store
from sakk.store import projection as store
from sakk.store.journal import JournalRow, SnapshotRow, connect
from sakk.store.projection import AccountRow, EntryRow, TransferRow

BREAKS_MAX = 1_000
STATEMENT_SECONDS_MAX = 24 * 3600
HISTORY = AccountFlags.history.value
USER_DATA = slice(80, 96)  # of an account's record


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
    sequence: int = 0
    projected_sequence: int = 0
    journal_rows: int = 0
    accounts: int = 0
    transfers: int = 0
    entries: int = 0
    snapshots: int = 0
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

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON; ``units`` are debits posted per unit, as strings."""
        return {
            "object": "ledger_verification",
            "ok": self.ok,
            "shard": self.shard,
            "sequence": self.sequence,
            "projected_sequence": self.projected_sequence,
            "journal_rows": self.journal_rows,
            "accounts": self.accounts,
            "transfers": self.transfers,
            "entries": self.entries,
            "snapshots": self.snapshots,
            "state_hash": self.state_hash,
            "units": {unit: str(total) for unit, total in self.units.items()},
            "breaks_total": self.breaks_total,
            "breaks": [
                {"check": each.check, "place": each.place, "message": each.message}
                for each in self.breaks
            ],
        }


@dataclass(slots=True)
class _Count:
    """Totals added up from what the journal says was moved, without any rule."""

    accounts: dict[str, AccountRow] = field(default_factory=dict)
    transfers: dict[str, TransferRow] = field(default_factory=dict)
    entries: dict[tuple[str, int], EntryRow] = field(default_factory=dict)
    balances: dict[tuple[str, int], tuple[int, int, int, int]] = field(default_factory=dict)

    def add(self, row: JournalRow, group: Group) -> None:
        first = row.timestamp_ns - row.count + 1
        for identifier in group.expired:
            hold = self.transfers[identifier.hex()]
            self._release(hold, "expired")
            self._note(hold, first - 1)
        for request, outcome in zip(group.requests, group.outcomes, strict=True):
            if request.kind is Kind.create_accounts:
                timestamps, statuses = decode_results(outcome.results)
                for index, fields in enumerate(ACCOUNT.iter_unpack(request.records)):
                    if not statuses[index]:
                        identifier = fields[0].hex()
                        self.accounts[identifier] = AccountRow(
                            identifier, fields[6], fields[8], fields[9], fields[5].hex(),
                            timestamps[index],
                        )  # fmt: skip
            else:
                for transfer in _created(row.sequence, request, outcome):
                    self._add(transfer)

    def _add(self, transfer: TransferRow) -> None:
        if transfer.flags & SETTLING:
            hold = self.transfers[transfer.pending_id or ""]
            _inherit(transfer, hold)
            self._release(hold, transfer.status)
        self.transfers[transfer.id] = transfer
        debit = self.accounts[transfer.debit_account_id]
        credit = self.accounts[transfer.credit_account_id]
        if transfer.flags & PENDING:
            debit.debits_pending += transfer.amount
            credit.credits_pending += transfer.amount
        elif transfer.status == "posted":
            debit.debits_posted += transfer.amount
            credit.credits_posted += transfer.amount
            if transfer.amount:
                self._enter(transfer, debit, -transfer.amount)
                self._enter(transfer, credit, transfer.amount)
        self._note(transfer, transfer.timestamp_ns)

    def _enter(self, transfer: TransferRow, account: AccountRow, amount: int) -> None:
        at, balance = transfer.timestamp_ns, account.credits_posted - account.debits_posted
        self.entries[account.id, at] = EntryRow(
            account.id, at, transfer.effective_at_ns, amount, balance
        )

    def _note(self, transfer: TransferRow, timestamp_ns: int) -> None:
        for identifier in (transfer.debit_account_id, transfer.credit_account_id):
            if self.accounts[identifier].flags & HISTORY:
                self.balances[identifier, timestamp_ns] = _totals(self.accounts[identifier])

    def _release(self, hold: TransferRow, status: str) -> None:
        hold.status = status
        self.accounts[hold.debit_account_id].debits_pending -= hold.amount
        self.accounts[hold.credit_account_id].credits_pending -= hold.amount


def _created(sequence: int, request: Request, outcome: Outcome) -> Iterator[TransferRow]:
    """The transfers that a request created, as asked for but with the amount that moved."""
    timestamps, statuses = decode_results(outcome.results)
    moved = dict(RESOLVED.iter_unpack(outcome.resolved))
    for index, fields in enumerate(TRANSFER.iter_unpack(request.records)):
        if statuses[index]:
            continue
        flags, pending_id = fields[11], fields[4]
        status = "voided" if flags & SETTLING and not flags & POST else "posted"
        yield TransferRow(
            id=fields[0].hex(),
            sequence=sequence,
            timestamp_ns=timestamps[index],
            effective_at_ns=fields[7] or timestamps[index],
            debit_account_id=fields[1].hex(),
            credit_account_id=fields[2].hex(),
            amount=int.from_bytes(moved.get(index, fields[3]), "little"),
            unit=fields[6],
            code=fields[10],
            flags=flags,
            timeout_seconds=fields[9],
            user_data=fields[5].hex(),
            pending_id=None if pending_id == ID_ZERO else pending_id.hex(),
            status="pending" if flags & PENDING else status,
        )


def _inherit(transfer: TransferRow, hold: TransferRow) -> None:
    """Fill in what a post or void takes from its hold."""
    transfer.debit_account_id = hold.debit_account_id
    transfer.credit_account_id = hold.credit_account_id
    transfer.unit = hold.unit
    transfer.code = hold.code
    if transfer.user_data == ID_ZERO.hex():
        transfer.user_data = hold.user_data


def verify(database_url: str, *, shard: int = 0) -> Report:
    """Check everything at one moment; the writer may go on beside it."""
    report = Report(shard)
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
    machine, count, head = new_machine(), _Count(), genesis(shard)
    projection_is_checked = False
    if cursor.sequence == 0:
        projection_is_checked = _check_projection(connection, report, machine, count)
    for row in journal_store.read_journal(connection, shard):
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
        try:
            count.add(row, decode_group(row.payload))
        except KeyError as error:
            report.add("replay", place, f"names what was never created: {error}")
            break
        if row.sequence in snapshots:
            _check_snapshot(connection, report, machine, row, snapshots.pop(row.sequence))
        if row.sequence == cursor.sequence:
            projection_is_checked = _check_projection(connection, report, machine, count)
    report.sequence = head.sequence
    for sequence in snapshots:
        report.add("snapshot", _snapshot_place(shard, sequence), "stands at no row of the journal")
    if not projection_is_checked:
        report.add(
            "projection",
            f"ledger_cursors shard {shard}",
            f"stands at row {cursor.sequence}, which the journal's good part does not reach",
        )
    _check_totals(report, machine, count)
    report.accounts, report.transfers = machine.account_count, machine.transfer_count
    report.state_hash = state_hash(machine).hex()


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


def _check_totals(report: Report, machine: Machine, count: _Count) -> None:
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
        theirs = count.accounts.get(identifier.hex())
        if theirs is None or ours != _totals(theirs):
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


def _check_projection(
    connection: psycopg.Connection[Any], report: Report, machine: Machine, count: _Count
) -> bool:
    """Every projected row is what the journal comes to at the cursor, and none is missing."""
    shard = report.shard
    accounts = {}
    for record in machine.account_records():
        account = decode_account(record)
        identifier = record[:ID_SIZE].hex()
        accounts[identifier] = AccountRow(
            identifier, account.unit, account.code, account.flags.value,
            record[USER_DATA].hex(), account.timestamp, account.debits_pending,
            account.debits_posted, account.credits_pending, account.credits_posted,
        )  # fmt: skip
    rows: Iterator[tuple[Any, object]]
    rows = ((row.id, row) for row in store.all_account_rows(connection, shard))
    _compare(report, "ledger_accounts", accounts, rows)
    for record in machine.transfer_records():
        fields = TRANSFER.unpack(record)
        counted = count.transfers[fields[0].hex()]
        if (counted.amount, counted.timestamp_ns) != (
            int.from_bytes(fields[3], "little"),
            fields[8],
        ):
            report.add("balance", f"transfer {UUID(bytes=fields[0])}", "moved another amount")
    rows = ((row.id, row) for row in store.all_transfer_rows(connection, shard))
    _compare(report, "ledger_transfers", count.transfers, rows)
    rows = (
        ((row.account_id, row.timestamp_ns), row) for row in store.all_entry_rows(connection, shard)
    )
    report.entries = len(count.entries)
    _compare(report, "ledger_entries", count.entries, rows)
    balances = store.all_balance_rows(connection, shard)
    rows = (((identifier, at), totals) for identifier, at, totals in balances)
    _compare(report, "ledger_balances", count.balances, rows)
    return True


def _compare(
    report: Report,
    table: str,
    expected: Any,
    rows: Iterable[tuple[Any, object]],
) -> None:
    """Compare rows with what they must be, by key; name missing, foreign and altered ones."""
    seen = set()
    for key, row in rows:
        seen.add(key)
        wanted = expected.get(key)
        if wanted is None:
            report.add("projection", f"{table} {_name(key)}", "the journal knows no such row")
        elif wanted != row:
            names = getattr(wanted, "__slots__", ())
            differences = [
                f"{name} is {getattr(row, name)!r}, the journal says {getattr(wanted, name)!r}"
                for name in names
                if getattr(row, name) != getattr(wanted, name)
            ]
            report.add(
                "projection",
                f"{table} {_name(key)}",
                "; ".join(differences) or f"is {row}, the journal says {wanted}",
            )
    for key in expected.keys() - seen:
        report.add("projection", f"{table} {_name(key)}", "is missing")


def _name(key: Any) -> str:
    if isinstance(key, tuple):
        return f"account {UUID(hex=key[0])} at {key[1]}"
    return str(UUID(hex=key))


def _totals(row: AccountRow) -> tuple[int, int, int, int]:
    return row.debits_pending, row.debits_posted, row.credits_pending, row.credits_posted


def _snapshot_place(shard: int, sequence: int) -> str:
    return f"ledger_snapshots shard {shard} sequence {sequence}"
