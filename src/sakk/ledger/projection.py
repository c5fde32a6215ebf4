"""The projection: rows for statements and queries, from the journal, in order, exactly once.

It needs no machine. The journal says what was asked, what became of it and which holds ran out;
totals continue from the rows written before. Rows and cursor are one transaction, so a projector
that dies repeats nothing and misses nothing, and of two at once one waits for the other.
"""

import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

import psycopg
import structlog

from sakk.core.errors import Unavailable
from sakk.ledger.group import RESOLVED, Kind, Outcome, Request
from sakk.ledger.journal import Group, decode_group
from sakk.ledger.outside import run
from sakk.ledger.record import ACCOUNT, ID_ZERO, TRANSFER, decode_results
from sakk.ledger.rules import CLOSING_CREDIT, CLOSING_DEBIT, FROZEN, PENDING, POST, SETTLING
from sakk.ledger.types import AccountFlags
from sakk.store import ledger as store
from sakk.store.failpoint import failpoint
from sakk.store.journal import JournalRow, connect, journal_after, last_sequence
from sakk.store.ledger import AccountRow, Cursor, EntryRow, TransferRow

log = structlog.get_logger(__name__)

EVENTS_MAX = 16_384
ROWS_MAX = 256
IDLE_SECONDS_MAX = 5.0
RETRY_SECONDS = 0.5
HISTORY = AccountFlags.history.value
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Page:
    """The rows that a page of the journal comes to, before they are written."""

    accounts: dict[str, AccountRow]
    # Transfers of this page, and the holds of earlier pages that it settles.
    transfers: dict[str, TransferRow]
    earlier: frozenset[str]
    entry_sequence: int
    entries: list[EntryRow] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    settled: dict[str, str] = field(default_factory=dict)
    balances: dict[tuple[str, int], tuple[int, int, int, int]] = field(default_factory=dict)

    def apply(self, row: JournalRow, group: Group) -> None:
        """Continue totals, entries and states by one row of the journal."""
        first = row.timestamp_ns - row.count + 1
        for identifier in group.expired:
            self._release(self.transfers[identifier.hex()], "expired", first - 1)
        for request, outcome in zip(group.requests, group.outcomes, strict=True):
            if request.kind is Kind.create_accounts:
                self._add_accounts(request, outcome)
            else:
                for transfer in created_transfers(row.sequence, request, outcome):
                    self._add_transfer(transfer)

    def _add_accounts(self, request: Request, outcome: Outcome) -> None:
        timestamps, statuses = decode_results(outcome.results)
        events = zip(ACCOUNT.iter_unpack(request.records), timestamps, statuses, strict=True)
        for fields, timestamp, status in events:
            if status:
                continue
            identifier = fields[0].hex()
            self.accounts[identifier] = AccountRow(
                identifier, fields[6], fields[8], fields[9], fields[5].hex(), timestamp
            )
            self.touched.add(identifier)

    def _add_transfer(self, transfer: TransferRow) -> None:
        if transfer.flags & SETTLING:
            assert transfer.pending_id is not None
            hold = self.transfers[transfer.pending_id]
            inherit(transfer, hold)
            self._release(hold, transfer.status, transfer.timestamp_ns)
        self.transfers[transfer.id] = transfer
        debit = self.accounts[transfer.debit_account_id]
        credit = self.accounts[transfer.credit_account_id]
        if transfer.flags & PENDING:
            debit.debits_pending += transfer.amount
            credit.credits_pending += transfer.amount
        elif transfer.status == "posted":
            debit.debits_posted += transfer.amount
            credit.credits_posted += transfer.amount
            for account, direction in ((debit, "debit"), (credit, "credit")):
                self.entry_sequence += 1
                self.entries.append(
                    entry_of(transfer, account, direction, sequence=self.entry_sequence)
                )
        if transfer.flags & CLOSING_DEBIT:
            debit.flags |= FROZEN
        if transfer.flags & CLOSING_CREDIT:
            credit.flags |= FROZEN
        self._touch(debit, transfer.timestamp_ns)
        self._touch(credit, transfer.timestamp_ns)

    def _release(self, hold: TransferRow, status: str, timestamp_ns: int) -> None:
        hold.status = status
        if hold.id in self.earlier:
            self.settled[hold.id] = status
        debit = self.accounts[hold.debit_account_id]
        credit = self.accounts[hold.credit_account_id]
        debit.debits_pending -= hold.amount
        credit.credits_pending -= hold.amount
        if hold.flags & CLOSING_DEBIT:
            debit.flags &= ~FROZEN
        if hold.flags & CLOSING_CREDIT:
            credit.flags &= ~FROZEN
        self._touch(debit, timestamp_ns)
        self._touch(credit, timestamp_ns)

    def _touch(self, account: AccountRow, timestamp_ns: int) -> None:
        self.touched.add(account.id)
        if account.flags & HISTORY:
            self.balances[account.id, timestamp_ns] = (
                account.debits_pending,
                account.debits_posted,
                account.credits_pending,
                account.credits_posted,
            )


class Rows(Protocol):
    """Where the projector reads the journal and writes rows; see ``sakk.ledger.outside``.

    ``write_page`` writes the page's rows and the cursor; all between two cursors is one
    transaction.
    """

    def transaction(self) -> AbstractAsyncContextManager[None]: ...

    async def lock_cursor(self, shard: int) -> Cursor: ...

    async def journal_after(self, shard: int, sequence: int, *, limit: int) -> list[JournalRow]: ...

    async def transfer_rows(self, ids: Sequence[str]) -> dict[str, TransferRow]: ...

    async def account_rows(self, ids: Sequence[str]) -> dict[str, AccountRow]: ...

    async def write_page(self, page: Page, cursor: Cursor) -> None: ...


class DatabaseRows:
    """``Rows`` in PostgreSQL; every step blocks."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        with self._connection.transaction():
            yield

    async def lock_cursor(self, shard: int) -> Cursor:
        return store.lock_cursor(self._connection, shard)

    async def journal_after(self, shard: int, sequence: int, *, limit: int) -> list[JournalRow]:
        return journal_after(self._connection, shard, sequence, limit=limit)

    async def transfer_rows(self, ids: Sequence[str]) -> dict[str, TransferRow]:
        return store.transfer_rows(self._connection, ids)

    async def account_rows(self, ids: Sequence[str]) -> dict[str, AccountRow]:
        return store.account_rows(self._connection, ids)

    async def write_page(self, page: Page, cursor: Cursor) -> None:
        _write_page(self._connection, cursor.shard, page)
        failpoint("ledger.project.before")
        store.save_cursor(self._connection, cursor)


async def project(outside: Rows, shard: int) -> int:
    """Write the next page of the journal as rows; returns how many journal rows that were."""
    async with outside.transaction():
        cursor = await outside.lock_cursor(shard)
        rows = await _next_rows(outside, cursor)
        if not rows:
            return 0
        groups = [decode_group(row.payload) for row in rows]
        page = await _load_page(outside, cursor, groups)
        for row, group in zip(rows, groups, strict=True):
            page.apply(row, group)
        last = rows[-1]
        await outside.write_page(
            page, Cursor(shard, last.sequence, page.entry_sequence, last.timestamp_ns)
        )
    failpoint("ledger.project.after")
    return len(rows)


def catch_up(database_url: str, *, shard: int = 0) -> int:
    """Project everything that is in the journal now; returns the journal rows that were new."""
    total = 0
    with connect(database_url) as connection:
        while count := run(project(DatabaseRows(connection), shard)):
            total += count
    return total


class Projector:
    """A thread that keeps the projection up with the journal, woken after each append."""

    def __init__(self, database_url: str, *, shard: int = 0) -> None:
        self._url = database_url
        self._shard = shard
        self.failure: Exception | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"ledger-projector-{shard}", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the journal."""
        self._wake.set()

    def close(self) -> None:
        """Stop after the page under way."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with connect(self._url) as connection:
                    self._follow(connection)
            except psycopg.Error:
                # The database is away or starting: nothing is lost, the journal waits.
                self._closing.wait(RETRY_SECONDS)
            except Exception as error:
                # The rows contradict the journal: writing on would only hide where.
                self.failure = error
                log.exception("ledger_projection_stopped", shard=self._shard)
                return

    def _follow(self, connection: psycopg.Connection[Any]) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            if not run(project(DatabaseRows(connection), self._shard)):
                self._wake.wait(IDLE_SECONDS_MAX)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the projection is behind: journal rows, and seconds since what it shows last."""

    rows: int
    seconds: float


def lag(database_url: str, *, shard: int = 0) -> Lag:
    """The projection's lag now."""
    with connect(database_url) as connection:
        cursor = store.read_cursor(connection, shard)
        rows = last_sequence(connection, shard) - cursor.sequence
    seconds = max(0, time.time_ns() - cursor.timestamp_ns) / 1e9 if rows else 0.0
    return Lag(rows, seconds)


def wait_projected(
    database_url: str, *, shard: int = 0, seconds_max: float = 10.0, pause_seconds: float = 0.01
) -> None:
    """Wait until a running projector has written everything that is in the journal now."""
    deadline = time.monotonic() + seconds_max
    with connect(database_url) as connection:
        goal = last_sequence(connection, shard)
        while store.read_cursor(connection, shard).sequence < goal:
            if time.monotonic() > deadline:
                raise Unavailable("the ledger's projection is behind; ask again later")
            time.sleep(pause_seconds)


def created_transfers(sequence: int, request: Request, outcome: Outcome) -> Iterator[TransferRow]:
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


def inherit(transfer: TransferRow, hold: TransferRow) -> None:
    """Fill in what a post or void takes from its hold."""
    transfer.debit_account_id = hold.debit_account_id
    transfer.credit_account_id = hold.credit_account_id
    transfer.unit = hold.unit
    transfer.code = hold.code
    if transfer.user_data == ID_ZERO.hex():
        transfer.user_data = hold.user_data


def entry_of(
    transfer: TransferRow, account: AccountRow, direction: str, *, sequence: int
) -> EntryRow:
    """One side of a posted movement, after it was added to the account."""
    return EntryRow(
        account_id=account.id,
        sequence=sequence,
        transfer_id=transfer.id,
        direction=direction,
        amount=transfer.amount,
        balance_after=account.credits_posted - account.debits_posted,
        timestamp_ns=transfer.timestamp_ns,
        effective_at_ns=transfer.effective_at_ns,
        code=transfer.code,
    )


async def _next_rows(outside: Rows, cursor: Cursor) -> list[JournalRow]:
    """Rows after the cursor, up to ``EVENTS_MAX`` events but at least one row."""
    found: list[JournalRow] = []
    events, after = 0, cursor.sequence
    while len(found) < ROWS_MAX:
        rows = await outside.journal_after(cursor.shard, after, limit=8)
        for row in rows:
            if found and events + row.count > EVENTS_MAX:
                return found
            found.append(row)
            events += row.count
        if not rows:
            break
        after = rows[-1].sequence
    return found


async def _load_page(outside: Rows, cursor: Cursor, groups: Sequence[Group]) -> Page:
    """Read what these groups build upon: the holds that they settle, and every account."""
    holds: set[str] = set()
    accounts: set[str] = set()
    for group in groups:
        holds.update(identifier.hex() for identifier in group.expired)
        for request, outcome in zip(group.requests, group.outcomes, strict=True):
            if request.kind is Kind.create_accounts:
                continue
            for transfer in created_transfers(0, request, outcome):
                if transfer.pending_id is not None:
                    holds.add(transfer.pending_id)
                accounts.update((transfer.debit_account_id, transfer.credit_account_id))
    earlier = await outside.transfer_rows(list(holds))
    for hold in earlier.values():
        accounts.update((hold.debit_account_id, hold.credit_account_id))
    return Page(
        accounts=await outside.account_rows(list(accounts)),
        transfers=dict(earlier),
        earlier=frozenset(earlier),
        entry_sequence=cursor.entry_sequence,
    )


def _write_page(connection: psycopg.Connection[Any], shard: int, page: Page) -> None:
    if page.touched:
        store.write_accounts(
            connection, shard, [page.accounts[identifier] for identifier in page.touched]
        )
    if page.settled:
        store.write_statuses(connection, list(page.settled.items()))
    store.copy_lines(
        connection,
        store.ledger_transfers,
        "id, shard, sequence, timestamp, timestamp_ns, effective_at, effective_at_ns,"
        " debit_account_id, credit_account_id, amount, unit, code, flags, timeout_seconds,"
        " user_data, pending_id, status",
        (
            f"{t.id}\t{shard}\t{t.sequence}\t{_time(t.timestamp_ns // 1000)}\t{t.timestamp_ns}"
            f"\t{_time(t.effective_at_ns // 1000)}\t{t.effective_at_ns}\t{t.debit_account_id}"
            f"\t{t.credit_account_id}\t{t.amount}\t{t.unit}\t{t.code}\t{t.flags}"
            f"\t{t.timeout_seconds}\t{t.user_data}\t{t.pending_id or NULL}\t{t.status}\n"
            for t in page.transfers.values()
            if t.id not in page.earlier
        ),
    )
    store.copy_lines(
        connection,
        store.ledger_entries,
        "account_id, sequence, shard, transfer_id, direction, amount, balance_after, timestamp,"
        " timestamp_ns, effective_at, effective_at_ns, code",
        (
            f"{e.account_id}\t{e.sequence}\t{shard}\t{e.transfer_id}\t{e.direction}\t{e.amount}"
            f"\t{e.balance_after}\t{_time(e.timestamp_ns // 1000)}\t{e.timestamp_ns}"
            f"\t{_time(e.effective_at_ns // 1000)}\t{e.effective_at_ns}\t{e.code}\n"
            for e in page.entries
        ),
    )
    store.copy_lines(
        connection,
        store.ledger_balances,
        "account_id, timestamp_ns, shard, timestamp, debits_pending, debits_posted,"
        " credits_pending, credits_posted",
        (
            f"{identifier}\t{timestamp_ns}\t{shard}\t{_time(timestamp_ns // 1000)}"
            f"\t{totals[0]}\t{totals[1]}\t{totals[2]}\t{totals[3]}\n"
            for (identifier, timestamp_ns), totals in page.balances.items()
        ),
    )


NULL = "\\N"


@lru_cache(maxsize=4096)
def _time(microseconds: int) -> str:
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat()
