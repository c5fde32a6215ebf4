"""The writer: durable before it answers, the same after every restart, alone on its shard."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

import sakk.ledger.writer as writer_module
from sakk.core.errors import ParameterInvalid, RateLimited, Unavailable
from sakk.ledger.calls import Op, OpenLedger
from sakk.ledger.outside import DatabaseJournal, run
from sakk.ledger.projection import catch_up
from sakk.ledger.replay import JournalBroken, restore
from sakk.ledger.snapshot import state_hash
from sakk.ledger.types import (
    BATCH_MAX,
    Account,
    CreateAccountStatus,
    CreateTransferStatus,
    OutcomeUnknown,
    Transfer,
    TransferFlags,
    TransferResult,
)
from sakk.ledger.verify import verify
from sakk.ledger.writer import Fenced, open_ledger
from sakk.store import journal as store

S = CreateTransferStatus
SECOND = 1_000_000_000


def move(identifier: int, amount: int = 1, **more: Any) -> Transfer:
    return Transfer(identifier, 1, 2, amount, unit=7, code=1, **more)


@contextmanager
def opened(database_url: str, **options: Any) -> Iterator[OpenLedger]:
    ledger = open_ledger(database_url, **options)
    try:
        ledger.create_accounts([Account(1, unit=7, code=1), Account(2, unit=7, code=1)])
        yield ledger
    finally:
        ledger.close()


def posted(ledger: OpenLedger, account: int = 2) -> int:
    found = ledger.lookup_accounts([account])[0]
    assert found is not None
    return found.credits_posted


def journal_rows(database_url: str) -> int:
    with store.connect(database_url) as connection:
        return store.last_sequence(connection, 0)


def test_what_was_acknowledged_is_there_after_a_restart(database_url: str) -> None:
    transfers = [move(k, amount=k) for k in range(1, 101)]
    with opened(database_url) as ledger:
        first = ledger.create_transfers(transfers)
        refused = ledger.create_transfers([move(500, amount=0)])
    with opened(database_url) as again:
        second = again.create_transfers(transfers)
        assert again.create_transfers([move(500, amount=0)]) == refused
        assert posted(again) == 5050
        assert again.lookup_accounts([3]) == [None]
        assert again.lookup_transfers([7, 500])[0] == move(
            7, amount=7, timestamp=first[6].timestamp
        )
        assert again.lookup_transfers([500]) == [None]
        assert again.lookup_results([7, 500, 501]) == [first[6], refused[0], None]
    assert {result.status for result in first} == {S.created}
    assert {result.status for result in second} == {S.exists}
    assert [r.timestamp for r in first] == [r.timestamp for r in second]


def test_accounts_are_created_once(database_url: str) -> None:
    with opened(database_url) as ledger:
        results = ledger.create_accounts([Account(1, unit=7, code=1), Account(3, unit=7, code=0)])
        assert [result.status for result in results] == [
            CreateAccountStatus.exists,
            CreateAccountStatus.code_must_not_be_zero,
        ]


def test_an_empty_call_writes_nothing(database_url: str) -> None:
    with opened(database_url) as ledger:
        rows = journal_rows(database_url)
        assert ledger.create_transfers([]) == []
        assert ledger.lookup_accounts([]) == []
        assert journal_rows(database_url) == rows


@pytest.mark.parametrize(
    ("transfer", "param"),
    [
        (move(-1), "id"),
        (move(1 << 128), "id"),
        (move(1, amount=1 << 128), "amount"),
        (move(1, amount=1.5), "amount"),  # type: ignore[arg-type]
        (Transfer(1, 1, 2, 1, unit=1 << 64, code=1), "unit"),
        (Transfer(1, 1, 2, 1, unit=7, code=1 << 16), "code"),
        (move(1, timeout_seconds=1 << 32), "timeout_seconds"),
        (move(1, user_data=-5), "user_data"),
    ],
)
def test_a_value_that_does_not_fit_names_its_field(
    database_url: str, transfer: Transfer, param: str
) -> None:
    with opened(database_url) as ledger:
        with pytest.raises(ParameterInvalid, match="of event 1 must be") as caught:
            ledger.create_transfers([move(1), transfer])
        assert caught.value.param == param
        assert ledger.lookup_transfers([1]) == [None]


def test_a_batch_has_a_most(database_url: str) -> None:
    with opened(database_url) as ledger:
        with pytest.raises(ParameterInvalid, match="at most 8192"):
            ledger.create_transfers([move(1)] * (BATCH_MAX + 1))
        with pytest.raises(ParameterInvalid, match="whole number of 128 bytes"):
            ledger.calls.call(Op.create_transfers, b"x" * 129)
        results = ledger.create_transfers([move(k) for k in range(1, BATCH_MAX + 1)])
        assert {result.status for result in results} == {S.created}


def test_many_threads_share_groups_and_lose_nothing(database_url: str) -> None:
    with opened(database_url) as ledger:
        before = journal_rows(database_url)

        def post(thread: int) -> list[TransferResult]:
            return [ledger.create_transfers([move(thread * 1000 + k)])[0] for k in range(1, 26)]

        with ThreadPoolExecutor(16) as pool:
            results = [result for part in pool.map(post, range(16)) for result in part]
        assert {result.status for result in results} == {S.created}
        assert len({result.timestamp for result in results}) == 400
        assert posted(ledger) == 400
        assert journal_rows(database_url) - before < 400
    catch_up(database_url)
    assert verify(database_url).ok


def test_two_threads_with_one_id_create_it_once(database_url: str) -> None:
    with opened(database_url) as ledger:
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda _: ledger.create_transfers([move(9)])[0], range(8)))
        assert sorted(result.status for result in results) == [S.created] + [S.exists] * 7
        assert len({result.timestamp for result in results}) == 1
        assert posted(ledger) == 1


def test_time_outs_run_without_any_call(database_url: str) -> None:
    released = threading.Event()
    with opened(database_url, on_append=lambda _: released.set()) as ledger:
        hold = move(1, flags=TransferFlags.pending, timeout_seconds=1)
        assert ledger.create_transfers([hold])[0].status == S.created
        released.clear()
        assert released.wait(30)
        account = ledger.lookup_accounts([1])[0]
        assert account is not None
        assert account.debits_pending == 0
        void = Transfer(2, 0, 0, 0, 0, 0, TransferFlags.void_pending, pending_id=1)
        assert ledger.create_transfers([void])[0].status == S.pending_transfer_expired


def test_a_clock_that_jumps_back_does_not_turn_the_ledger_back(database_url: str) -> None:
    now = [1_800_000_000 * SECOND]
    with opened(database_url, clock=lambda: now[0]) as ledger:
        first = ledger.create_transfers([move(1)])[0].timestamp
        now[0] -= 3600 * SECOND
        second = ledger.create_transfers([move(2)])[0].timestamp
    assert first < second < first + SECOND
    assert verify(database_url).ok


# The fence


def test_a_second_writer_fences_off_the_first(database_url: str) -> None:
    with opened(database_url) as first:
        first.create_transfers([move(1)])
        with opened(database_url) as second:
            with pytest.raises(Fenced):
                first.lookup_accounts([1])
            assert first.stopped.wait(10)
            with pytest.raises(Unavailable):
                first.create_transfers([move(2)])
            assert second.create_transfers([move(2)])[0].status == S.created
            assert posted(second) == 2
    assert verify(database_url).ok


def test_a_fenced_writer_appends_nothing(database_url: str) -> None:
    with opened(database_url) as first:
        with opened(database_url) as second:
            rows = journal_rows(database_url)
            with pytest.raises(OutcomeUnknown):
                first.create_transfers([move(5)])
            assert journal_rows(database_url) == rows
            assert second.lookup_results([5]) == [None]
            assert second.create_transfers([move(5)])[0].status == S.created


def test_shards_do_not_meet(database_url: str) -> None:
    with opened(database_url) as first, opened(database_url, shard=1) as other:
        first.create_transfers([move(1)])
        assert other.lookup_transfers([1]) == [None]
        assert other.create_transfers([move(1, amount=9)])[0].status == S.created
        assert (posted(first), posted(other)) == (1, 9)
    assert verify(database_url).ok
    assert verify(database_url, shard=1).ok


def test_a_closed_ledger_says_so(database_url: str) -> None:
    with opened(database_url) as ledger:
        pass
    with pytest.raises(Unavailable, match="closed"):
        ledger.create_transfers([move(1)])
    ledger.close()


# What happens when the database goes away in the middle


def break_append(
    monkeypatch: pytest.MonkeyPatch, behave: Callable[[Any, Any, Any], bool]
) -> list[int]:
    """Let the next append of the writer behave badly, once."""
    real, calls = store.append, [0]

    def append(connection: psycopg.Connection[Any], row: store.JournalRow) -> bool:
        calls[0] += 1
        return behave(real, connection, row) if calls[0] == 1 else real(connection, row)

    monkeypatch.setattr(store, "append", append)
    return calls


def test_a_lost_acknowledgement_is_found_in_the_journal(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(database_url) as ledger:

        def commit_then_lose(real: Any, connection: Any, row: Any) -> bool:
            real(connection, row)
            raise psycopg.OperationalError("the connection was lost after the commit")

        calls = break_append(monkeypatch, commit_then_lose)
        rows = journal_rows(database_url)
        assert ledger.create_transfers([move(1)])[0].status == S.created
        assert calls == [1]
        assert journal_rows(database_url) == rows + 1
        assert posted(ledger) == 1


def test_an_append_that_never_arrived_is_repeated(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(database_url) as ledger:

        def lose(real: Any, connection: Any, row: Any) -> bool:
            connection.close()
            raise psycopg.OperationalError("the connection was lost before the commit")

        break_append(monkeypatch, lose)
        rows = journal_rows(database_url)
        assert ledger.create_transfers([move(1)])[0].status == S.created
        assert journal_rows(database_url) == rows + 1
        assert posted(ledger) == 1


def test_backends_killed_under_load_lose_and_double_nothing(database_url: str) -> None:
    with opened(database_url) as ledger, ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ledger.create_transfers, [move(k)]) for k in range(1, 201)]
        with psycopg.connect(database_url, autocommit=True) as admin:
            for future in futures[::20]:
                future.result()
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
                    " application_name = 'sakk-ledger' AND datname = current_database()"
                )
        assert {future.result()[0].status for future in futures} == {S.created}
        assert posted(ledger) == 200
    assert verify(database_url).ok


def test_a_server_that_hangs_is_not_waited_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(database_url) as ledger, psycopg.connect(database_url, autocommit=True) as admin:
        row = admin.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE application_name = 'sakk-ledger' AND datname = current_database()"
        ).fetchone()
        assert row is not None

        def hang(real: Any, connection: Any, row: Any) -> bool:
            # Short for the one that hangs alone: the others would run out of it on a busy machine.
            with monkeypatch.context() as patience:
                patience.setattr(store, "ANSWER_SECONDS_MAX", 0.3)
                return bool(real(connection, row))

        break_append(monkeypatch, hang)
        rows = journal_rows(database_url)
        os.kill(row[0], signal.SIGSTOP)
        try:
            # The row is longer than what the socket holds: it waits while it is being sent.
            batch = [move(k) for k in range(1, BATCH_MAX + 1)]
            assert {each.status for each in ledger.create_transfers(batch)} == {S.created}
        finally:
            os.kill(row[0], signal.SIGCONT)
        assert journal_rows(database_url) == rows + 1
        assert posted(ledger) == BATCH_MAX
    assert verify(database_url).ok


def test_a_wait_for_the_standby_that_was_cut_off_is_not_an_acknowledgement(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmed: list[int] = []
    real_confirm = store.confirm

    def confirm(connection: psycopg.Connection[Any], shard: int, epoch: int) -> bool:
        confirmed.append(epoch)
        return real_confirm(connection, shard, epoch)

    with opened(database_url) as ledger:

        def warn(real: Any, connection: Any, row: Any) -> bool:
            done = bool(real(connection, row))
            connection.execute("DO $$ BEGIN RAISE WARNING 'canceling the wait'; END $$")
            return done

        break_append(monkeypatch, warn)
        monkeypatch.setattr(store, "confirm", confirm)
        assert ledger.create_transfers([move(1)])[0].status == S.created
    assert confirmed == [1]


def test_a_journal_out_of_reach_is_an_unknown_outcome(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "RECOVERY_SECONDS_MAX", 0.2)
    with opened(database_url) as ledger:

        def lose(real: Any, connection: Any, row: Any) -> bool:
            raise psycopg.OperationalError("lost")

        monkeypatch.setattr(store, "append", lambda *_: lose(None, None, None))
        monkeypatch.setattr(store, "journal_row", lambda *_: None)
        with pytest.raises(OutcomeUnknown):
            ledger.create_transfers([move(1)])
        assert ledger.stopped.wait(10)
        with pytest.raises(Unavailable):
            ledger.lookup_accounts([1])
    monkeypatch.undo()
    with opened(database_url) as again:
        assert again.create_transfers([move(1)])[0].status == S.created


def test_a_full_queue_asks_to_come_back(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "QUEUE_CALLS_MAX", 3)
    entered, go_on = threading.Event(), threading.Event()
    with opened(database_url) as ledger:

        def wait(real: Any, connection: Any, row: Any) -> bool:
            entered.set()
            assert go_on.wait(30)
            return bool(real(connection, row))

        break_append(monkeypatch, wait)
        with ThreadPoolExecutor(8) as pool:
            first = pool.submit(ledger.create_transfers, [move(1)])
            assert entered.wait(30)
            more = [pool.submit(ledger.create_transfers, [move(k)]) for k in range(2, 8)]
            # Three fit in the queue and wait; the others are turned away at once.
            finished = as_completed(more, timeout=30)
            for _ in range(3):
                with pytest.raises(RateLimited):
                    next(finished).result()
            go_on.set()
            assert first.result()[0].status == S.created
            assert [future.result()[0].status for future in finished] == [S.created] * 3
        assert posted(ledger) == 4


def test_transfers_wait_for_statements_that_are_too_far_behind(database_url: str) -> None:
    behind = [0]
    with opened(database_url, lag_events=lambda: behind[0]) as ledger:
        behind[0] = writer_module.LAG_EVENTS_MAX + 1
        with pytest.raises(RateLimited) as caught:
            ledger.create_transfers([move(1)])
        assert caught.value.retry_after_seconds == writer_module.LAG_RETRY_SECONDS
        assert posted(ledger) == 0  # reads go on
        behind[0] -= 1
        assert ledger.create_transfers([move(1)])[0].status == S.created


def test_the_writer_counts_its_groups(database_url: str) -> None:
    def value(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"shard": "9"}) or 0.0

    with opened(database_url, shard=9) as ledger:
        rows = value("sakk_ledger_append_seconds_count")
        ledger.create_transfers([move(1), move(2), move(3)])
        assert value("sakk_ledger_append_seconds_count") == rows + 1
        assert value("sakk_ledger_group_events_sum") == 5
        assert value("sakk_ledger_snapshot_behind_events") == 5
        assert value("sakk_ledger_queue_events") == 3


# Snapshots


def test_a_restart_begins_at_the_newest_snapshot(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "SNAPSHOT_EVENTS", 50)
    with opened(database_url) as ledger:
        for start in range(0, 1000, 20):
            ledger.create_transfers([move(start + k + 1) for k in range(20)])
    replayed: list[int] = []
    with DatabaseJournal(database_url, 0) as journal:
        kept = run(journal.snapshots())
        assert 1 <= len(kept) <= store.SNAPSHOTS_KEPT
        machine, head = run(restore(journal, on_row=lambda row: replayed.append(row.sequence)))
        whole, _ = run(restore(journal, from_zero=True))
    assert replayed == list(range(kept[0].sequence + 1, head.sequence + 1))
    assert state_hash(machine) == state_hash(whole)
    with opened(database_url) as again:
        assert posted(again) == 1000
    assert verify(database_url).ok


def test_a_broken_journal_is_not_opened(database_url: str) -> None:
    with opened(database_url) as ledger:
        ledger.create_transfers([move(1)])
        ledger.create_transfers([move(2)])
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE ledger_journal SET hash = sha256(hash) WHERE sequence = 2")
    with pytest.raises(JournalBroken, match="journal row 2 of shard 0"):
        open_ledger(database_url)
