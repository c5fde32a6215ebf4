"""The projector's rows in the simulated server, and the loop that keeps a projector going.

Pages come in PostgreSQL's binary formats (``sakk.store.copy``) and are read here as it reads them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any

import psycopg

from sakk.ledger import projection
from sakk.ledger.outside import Condition
from sakk.ledger.record import ACCOUNT, ID_ZERO, RESERVED, TRANSFER
from sakk.ledger.rows import Book
from sakk.store.journal import JournalRow
from sakk.store.projection import Cursor, Page
from tests.ledger.copied import array, numeric, rows
from tests.sim.postgres import CUT, Connection, Lock, Server, State, rows_after
from tests.sim.scheduler import Process

IDLE_SECONDS = (0.05, 0.5, 3.0)
RETRY_SECONDS = 0.5


def number(value: bytes | None) -> int:
    """A whole NUMERIC that is there."""
    assert value is not None
    return numeric(value)


def integer(value: bytes | None) -> int:
    assert value is not None
    return int.from_bytes(value, "big", signed=True)


class SimulatedRows:
    """``sakk.ledger.projection.Rows``: reads and one commit over one connection."""

    def __init__(self, server: Server, process: Process) -> None:
        self._server = server
        self._connection = Connection(server, process)
        self._pages: list[tuple[Page, Cursor]] = []
        self._lock: Lock | None = None
        self._connection.on_cut.append(self._unlock)

    def transaction(self) -> AbstractAsyncContextManager[None]:
        return _Transaction(self)

    async def lock_cursor(self, shard: int) -> Cursor:
        cursor: Cursor = await self._connection.ask(self._take_lock)
        return cursor

    async def journal_after(self, shard: int, sequence: int, *, limit: int) -> list[JournalRow]:
        rows: list[JournalRow] = await self._read(lambda state: rows_after(state, sequence, limit))
        return rows

    async def hold_records(self, ids: Sequence[bytes]) -> bytes:
        records: bytes = await self._read(lambda state: _hold_records(state, set(ids)))
        return records

    async def account_records(self, ids: Sequence[bytes]) -> bytes:
        records: bytes = await self._read(lambda state: _account_records(state, ids))
        return records

    async def write_page(self, page: Page, cursor: Cursor) -> None:
        self._pages.append((page, cursor))

    async def commit(self) -> None:
        pages, self._pages = self._pages, []
        await self._connection.ask(lambda: self._commit(pages))

    def roll_back(self) -> None:
        """What the server does when the one who began is gone, or says so."""
        self._pages = []
        self._connection.cut()

    async def _read(self, query: Callable[[State], Any]) -> Any:
        return await self._connection.ask(lambda: self._server.read(query))

    async def _take_lock(self) -> Cursor:
        lock = self._server.cursor_lock
        await lock.acquire(alone=True)
        if not self._connection.is_open:
            lock.release(alone=True)
            raise psycopg.OperationalError(CUT)
        self._lock = lock
        return self._server.state.cursor

    def _unlock(self) -> None:
        """Where a connection ends in a transaction, the server rolls it back."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release(alone=True)

    async def _commit(self, pages: list[tuple[Page, Cursor]]) -> None:
        # A commit that the server has received goes on to its end, whoever waits for it.
        lock, self._lock = self._lock, None
        if lock is None:
            raise psycopg.OperationalError(CUT)
        try:
            for page, cursor in pages:
                self._server.commit_lazily(partial(_apply, page=page, cursor=cursor))
        finally:
            lock.release(alone=True)


class _Transaction(AbstractAsyncContextManager[None]):
    def __init__(self, rows: SimulatedRows) -> None:
        self._rows = rows

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self._rows.commit()
        else:
            self._rows.roll_back()


def _hold_records(state: State, ids: set[bytes]) -> bytes:
    return b"".join(
        TRANSFER.pack(
            row[0], row[5], row[6], number(row[7]).to_bytes(16, "little"), ID_ZERO, row[12],
            number(row[8]), *(integer(row[k]) for k in (4, 3, 11, 9, 10)),
        )
        for row in state.transfers.values()
        if row[0] in ids and row[15] == b"pending"
    )  # fmt: skip


def _account_records(state: State, ids: Sequence[bytes]) -> bytes:
    return b"".join(
        ACCOUNT.pack(
            row[0], *(number(total).to_bytes(16, "little") for total in row[7:11]),
            row[5], number(row[2]), integer(row[6]), integer(row[3]), integer(row[4]), RESERVED,
        )
        for row in (state.accounts[key] for key in ids if key in state.accounts)
    )  # fmt: skip


def _apply(state: State, page: Page, cursor: Cursor) -> None:
    for row in rows(page.accounts):
        assert row[0] not in state.accounts, "an account is projected twice"
        state.accounts[row[0] or b""] = row
    for row in rows(page.transfers):
        at = integer(row[3])
        assert at not in state.transfers, "a transfer is projected twice"
        state.transfers[at] = row
    for row in rows(page.entries):
        state.entries[row[0] or b"", integer(row[1])] = row
    for row in rows(page.balances):
        state.balances[row[0] or b"", integer(row[1])] = row
    if page.totals:
        for identifier, *values in zip(*map(array, page.totals), strict=True):
            known = state.accounts[identifier or b""]
            flags, *totals = values
            state.accounts[identifier or b""] = (*known[:4], flags, *known[5:7], *totals)
    for settled in page.settled:
        known = state.transfers[settled.timestamp_ns]
        state.transfers[settled.timestamp_ns] = (*known[:15], settled.status.encode())
    state.cursor = cursor


async def follow(
    server: Server, process: Process, changed: Condition, new_book: Callable[[], Book]
) -> None:
    """Keep the projection up with the journal, as ``Projector`` does; some look seldom."""
    idle_seconds = server.random.choice(IDLE_SECONDS)
    while True:
        try:
            rows, book = SimulatedRows(server, process), new_book()
            while True:
                if not await projection.project(rows, book):
                    await changed.wait(idle_seconds)
        except psycopg.Error:
            await server.scheduler.sleep(RETRY_SECONDS)
