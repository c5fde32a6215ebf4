"""SIGKILL of the real server, ``sakk serve --role ledger``, in the middle of a flood, many times.

Clients stand outside and live on: they repeat the same ids until they are answered. ``make soak``
kills many more times.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from sakk.core.errors import SakkError, Unavailable
from sakk.ledger.projection import catch_up
from sakk.ledger.remote import connect_ledger
from sakk.ledger.types import (
    BATCH_MAX,
    Account,
    CreateTransferStatus,
    Ledger,
    Transfer,
    TransferFlags,
    TransferResult,
)
from sakk.ledger.verify import verify
from sakk.ledger.writer import open_ledger
from sakk.runtime.process import READY, READY_VARIABLE

S = CreateTransferStatus
SAKK = str(Path(sys.executable).with_name("sakk"))
KILLS = 60 if os.environ.get("SAKK_SOAK") else 4
CLIENTS = 4
CHAIN = 3
BATCH = 5
ANSWERS_BETWEEN_KILLS = (20, 200)
WAIT_SECONDS_MAX = 60.0


@contextmanager
def serving(database_url: str, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """The role, once it answers; killed when the block ends, if it was not before."""
    read_fd, write_fd = os.pipe()
    with subprocess.Popen(
        [SAKK, "serve", "--role", "ledger"],
        env=os.environ
        | {
            "DATABASE_URL": database_url,
            "SAKK_LEDGER_ADDRESS": f"unix:{address}",
            "SAKK_DATA_DIR": str(Path(address).parent),
            READY_VARIABLE: str(write_fd),
        },
        pass_fds=[write_fd],
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            os.close(write_fd)
            with os.fdopen(read_fd, "rb") as ready:
                assert ready.readline() == READY
            yield process
        finally:
            process.kill()


class Flood:
    """Clients that post until ``over``, and what they were told."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.acknowledged: dict[int, int] = {}  # id -> timestamp
        self.unanswered: list[list[Transfer]] = []
        self.over = threading.Event()
        self.is_up = threading.Event()
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._post, args=(number,)) for number in range(CLIENTS)
        ]

    def __enter__(self) -> "Flood":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.is_up.set()
        for thread in self._threads:
            thread.join()

    def await_answers(self, count: int) -> None:
        """Wait until so many more transfers were acknowledged."""
        with self._changed:
            goal = len(self.acknowledged) + count
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= goal, WAIT_SECONDS_MAX)

    def _post(self, number: int) -> None:
        first = 10_000_000 * (number + 1)
        while not self.over.is_set():
            batch = [
                Transfer(
                    first + k, 1, 2, first + k, unit=7, code=1,
                    flags=TransferFlags.linked if k < CHAIN - 1 else TransferFlags.none,
                )
                for k in range(BATCH)
            ]  # fmt: skip
            results = self._until_answered(batch)
            if results is None:
                self.unanswered.append(batch)
                return
            assert {result.status for result in results} <= {S.created, S.exists}
            with self._changed:
                for transfer, result in zip(batch, results, strict=True):
                    self.acknowledged[transfer.id] = result.timestamp
                self._changed.notify_all()
            first += BATCH

    def _until_answered(self, batch: list[Transfer]) -> list[TransferResult] | None:
        while True:
            try:
                return self.ledger.create_transfers(batch)
            except SakkError:
                if self.over.is_set():
                    return None
                assert self.is_up.wait(WAIT_SECONDS_MAX)


def test_a_server_killed_in_mid_flood_loses_and_doubles_nothing(database_url: str) -> None:
    dice = random.Random(KILLS)
    with ExitStack() as stack:
        address = str(
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sakk-")), "ledger")
        )
        with closing(open_ledger(database_url)) as ledger:
            ledger.create_accounts([Account(1, unit=7, code=1), Account(2, unit=7, code=1)])
        flood = Flood(stack.enter_context(closing(connect_ledger(address))))
        with flood:
            for kill in range(1, KILLS + 1):
                with serving(database_url, address) as server:
                    flood.is_up.set()
                    flood.await_answers(dice.randint(*ANSWERS_BETWEEN_KILLS))
                    flood.is_up.clear()
                    if kill == KILLS:
                        flood.over.set()
                    server.kill()
    check(database_url, flood)


def check(database_url: str, flood: Flood) -> None:
    """Every acknowledged transfer is there once, and nothing else is half there."""
    with closing(open_ledger(database_url)) as ledger:
        ids = list(flood.acknowledged)
        for start in range(0, len(ids), BATCH_MAX):
            part = ids[start : start + BATCH_MAX]
            found = ledger.lookup_transfers(part)
            assert [t and t.timestamp for t in found] == [flood.acknowledged[k] for k in part]
        for batch in flood.unanswered:
            known = ledger.lookup_results([transfer.id for transfer in batch])
            assert known == [None] * BATCH or None not in known
        account = ledger.lookup_accounts([2])[0]
    catch_up(database_url)
    assert verify(database_url).breaks == []
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT id), sum(amount) FROM ledger_transfers"
        ).fetchone()
    assert row is not None
    assert account is not None
    assert row[0] == row[1] >= len(flood.acknowledged)
    assert row[2] == account.credits_posted


def test_a_paused_server_finds_itself_fenced_and_answers_nothing_more(database_url: str) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sakk-")))
        first = stack.enter_context(serving(database_url, str(folder / "first")))
        ledger = stack.enter_context(closing(connect_ledger(str(folder / "first"))))
        ledger.create_accounts([Account(1, unit=7, code=1), Account(2, unit=7, code=1)])
        flood = Flood(ledger)
        flood.is_up.set()
        with flood:
            flood.await_answers(100)
            first.send_signal(signal.SIGSTOP)
            flood.over.set()
            stack.enter_context(serving(database_url, str(folder / "second")))
            other = stack.enter_context(closing(connect_ledger(str(folder / "second"))))
            # The successor waited for an append under way; from here on it alone decides.
            taken = other.create_transfers([Transfer(1, 1, 2, 1, unit=7, code=1)])[0]
            before = other.lookup_accounts([2])
            first.send_signal(signal.SIGCONT)
            for _ in range(10):
                with pytest.raises(Unavailable):
                    ledger.lookup_accounts([2])
        # Answered after the pause were only those that were durable before the successor came.
        assert all(timestamp < taken.timestamp for timestamp in flood.acknowledged.values())
        assert other.lookup_accounts([2]) == before
        assert first.wait(WAIT_SECONDS_MAX) != 0
    check(database_url, flood)


@pytest.mark.parametrize("is_first_killed", [True, False], ids=["killed", "alive"])
def test_a_second_server_takes_over(database_url: str, is_first_killed: bool) -> None:
    """Fail-over by hand: another server against the same journal, at an address of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sakk-")))
        first = stack.enter_context(serving(database_url, str(folder / "first")))
        ledger = stack.enter_context(closing(connect_ledger(str(folder / "first"))))
        ledger.create_accounts([Account(1, unit=7, code=1), Account(2, unit=7, code=1)])
        before = ledger.create_transfers([Transfer(1, 1, 2, 5, unit=7, code=1)])
        if is_first_killed:
            first.kill()
        stack.enter_context(serving(database_url, str(folder / "second")))
        other = stack.enter_context(closing(connect_ledger(str(folder / "second"))))
        again = other.create_transfers([Transfer(1, 1, 2, 5, unit=7, code=1)])
        assert again == [TransferResult(S.exists, before[0].timestamp)]
        with pytest.raises(SakkError) as caught:
            ledger.lookup_accounts([2])
        assert caught.value.code in ({"unavailable"} if is_first_killed else {"ledger_fenced"})
        with pytest.raises(SakkError):
            ledger.create_transfers([Transfer(2, 1, 2, 5, unit=7, code=1)])
        assert other.lookup_results([2]) == [None]
        assert first.wait(WAIT_SECONDS_MAX) != 0
    assert verify(database_url).breaks == []
