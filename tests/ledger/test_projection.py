"""The projection: every row once, whatever dies between two statements; statements from it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import UUID

import psycopg
import pytest
from prometheus_client import REGISTRY

from sakk.core.charge import Step, charge_id, read_charge_id, read_units, units_data
from sakk.ledger import projection
from sakk.ledger.calls import OpenLedger
from sakk.ledger.projection import Projector, catch_up, lag, wait_projected
from sakk.ledger.rows import Book
from sakk.ledger.types import Account, AccountFlags, Transfer, TransferFlags
from sakk.ledger.verify import verify
from sakk.ledger.writer import open_ledger
from sakk.store import projection as store
from sakk.store.database import Database, open_database
from sakk.store.ledger import (
    PARTITIONED,
    AccountName,
    account_names,
    balance_at,
    entries,
    remember_accounts,
)
from sakk.store.receipt import committed

SECOND = 1_000_000_000


def move(
    identifier: int, debit: int = 1, credit: int = 2, amount: int = 1, **more: Any
) -> Transfer:
    return Transfer(identifier, debit, credit, amount, unit=7, code=3, **more)


def open_with_accounts(database_url: str, **options: Any) -> OpenLedger:
    ledger = open_ledger(database_url, **options)
    ledger.create_accounts(
        [
            Account(1, unit=7, code=1),
            Account(2, unit=7, code=1, flags=AccountFlags.history),
            Account(3, unit=2**64 - 1, code=1),
        ]
    )
    return ledger


def rows(database_url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(query).fetchall()


def test_a_statement_carries_the_balance_after_each_line(
    database_url: str, database: Database
) -> None:
    with closing(open_with_accounts(database_url)) as ledger:
        results = ledger.create_transfers(
            [move(10, amount=50, effective_at=SECOND), move(11, 2, 1, 20), move(12, amount=5)]
        )
    catch_up(database_url)
    with database.begin() as connection:
        newest = entries(connection, 2, limit=2)
        older = entries(connection, 2, after=newest[-1].timestamp_ns)
        oldest_first = entries(connection, 2, newest_first=False)
        other = entries(connection, 1)
        at = [balance_at(connection, 2, timestamp_ns=r.timestamp) for r in results]
        before = balance_at(connection, 2, timestamp_ns=results[0].timestamp - 1)
    assert [(e.amount, e.balance_after) for e in newest] == [(5, 35), (-20, 30)]
    assert [e.balance_after for e in older] == [50]
    assert oldest_first == [*older, *reversed(newest)]
    assert (older[0].transfer_id, older[0].code) == (UUID(int=10), 3)
    assert older[0].timestamp_ns == results[0].timestamp
    assert older[0].effective_at_ns == SECOND
    assert newest[0].effective_at_ns == newest[0].timestamp_ns
    assert sum(e.amount for e in (*newest, *older, *other)) == 0
    assert (at, before) == ([50, 30, 35], 0)


def test_accounts_that_are_asked_for_again_keep_what_they_have(database_url: str) -> None:
    """A process that starts asks for its accounts; those of an earlier page are there already."""
    with closing(open_with_accounts(database_url)) as ledger:
        ledger.create_transfers([move(10, amount=50)])
        catch_up(database_url)
    with closing(open_with_accounts(database_url)) as ledger:
        ledger.create_transfers([move(11, amount=5)])
        catch_up(database_url)  # by a projector that remembers nothing of the first page
    totals = rows(database_url, "SELECT credits_posted FROM ledger_accounts ORDER BY id")
    assert [int(total) for (total,) in totals] == [0, 55, 0]
    assert verify(database_url).breaks == []


def test_holds_show_what_became_of_them(database_url: str) -> None:
    now = [1_800_000_000 * SECOND]
    pending = TransferFlags.pending
    with closing(open_with_accounts(database_url, clock=lambda: now[0])) as ledger:
        ledger.create_transfers([move(k, amount=k, flags=pending) for k in (10, 11, 12)])
        ledger.create_transfers([move(13, amount=13, flags=pending, timeout_seconds=1)])
        catch_up(database_url)  # the rest settles holds of an earlier page
        settle = {"debit_account_id": 0, "credit_account_id": 0, "unit": 0, "code": 0}
        ledger.create_transfers(
            [
                Transfer(20, amount=4, flags=TransferFlags.post_pending, pending_id=10, **settle),
                Transfer(21, amount=0, flags=TransferFlags.void_pending, pending_id=11, **settle),
            ]
        )
        now[0] += 2 * SECOND
        ledger.lookup_accounts([1])
    catch_up(database_url)
    found = rows(
        database_url,
        "SELECT status, amount, code, debit_account_id, pending_id FROM ledger_transfers"
        " ORDER BY timestamp_ns",
    )
    one = UUID(int=1)
    assert found == [
        ("posted", 10, 3, one, None),
        ("voided", 11, 3, one, None),
        ("pending", 12, 3, one, None),
        ("expired", 13, 3, one, None),
        ("posted", 4, 3, one, UUID(int=10)),
        ("voided", 11, 3, one, UUID(int=11)),
    ]
    assert rows(
        database_url,
        "SELECT credits_pending, credits_posted FROM ledger_accounts"
        " WHERE code = 1 ORDER BY id OFFSET 1 LIMIT 1",
    ) == [(12, 4)]
    balances = rows(
        database_url,
        "SELECT credits_pending, credits_posted FROM ledger_balances ORDER BY timestamp_ns",
    )
    assert balances == [(10, 0), (21, 0), (33, 0), (46, 0), (36, 4), (25, 4), (12, 4)]
    assert verify(database_url).ok


def test_charges_of_one_row_of_the_journal_are_one_line(
    database_url: str, database: Database
) -> None:
    """Two channels (1, 3) of one payee (4); a movement of another kind ends the lines before it;
    reservations stand open over pages, and one runs out."""
    now = [1_800_000_000 * SECOND]
    pending, posts = TransferFlags.pending, TransferFlags.post_pending
    settle = {"debit_account_id": 0, "credit_account_id": 0, "unit": 0, "code": 0}

    def charge(k: int, channel: int, amount: int) -> Transfer:
        return Transfer(
            charge_id(9, k, Step.reserved), channel, 4, amount, 7, 601, pending,
            timeout_seconds=60, user_data=1_000 + k,
        )  # fmt: skip

    def end(k: int, step: Step, amount: int) -> Transfer:
        flags = posts if step is Step.committed else TransferFlags.void_pending
        reserved = charge_id(9, k, Step.reserved)
        return Transfer(
            charge_id(9, k, step), amount=amount, flags=flags, pending_id=reserved,
            user_data=units_data(k), **settle,
        )  # fmt: skip

    with closing(open_ledger(database_url, clock=lambda: now[0])) as ledger:
        ledger.create_accounts([Account(each, unit=7, code=1) for each in (1, 2, 3, 4)])
        ledger.create_transfers([charge(1, 1, 10), charge(2, 3, 20), charge(3, 1, 30)])
        catch_up(database_url)
        assert rows(database_url, "SELECT count(*) FROM ledger_open_charges") == [(3,)]
        assert verify(database_url).breaks == []
        ledger.create_transfers(
            [
                *(end(1, Step.committed, 10), end(2, Step.committed, 5), end(3, Step.committed, 7)),
                *(move(50, 4, 2, 1), charge(4, 1, 8), end(4, Step.released, 0), charge(5, 3, 6)),
            ]
        )
        catch_up(database_url)  # by a projector that remembers nothing of the first page
        assert verify(database_url).breaks == []
        now[0] += 61 * SECOND
        ledger.create_transfers([move(51, 4, 2, 1)])
        catch_up(database_url)
    assert rows(database_url, "SELECT count(*) FROM ledger_open_charges") == [(0,)]
    with database.begin() as connection:
        payee = entries(connection, 4, newest_first=False)
        receipts = committed(connection, 1, after_ns=0, limit=10)
        again = committed(connection, 1, after_ns=receipts[0].timestamp_ns, limit=10)
    assert [(each.amount, each.balance_after) for each in payee] == [
        *((5, 5), (17, 22), (-1, 21), (-1, 20)),
    ]
    assert [read_charge_id(each.pending_id) for each in receipts] == [(9, 1, 0), (9, 3, 0)]
    assert [(each.amount, each.request, read_units(each.user_data)) for each in receipts] == [
        *((10, 1_001, 1), (7, 1_003, 3)),
    ]
    assert again == receipts[1:]
    assert verify(database_url).breaks == []
    with psycopg.connect(database_url) as writer:
        writer.execute("UPDATE ledger_transfers SET charges = substr(charges, 81)")
        writer.execute("INSERT INTO ledger_open_charges SELECT gen_random_uuid(), 0, id, id,"
                           " 1, 7, id, 1, 60 FROM ledger_accounts LIMIT 1")  # fmt: skip
    found = verify(database_url).breaks
    assert [each.place.split(" ")[0] for each in found].count("ledger_open_charges") == 1
    assert any("charges is" in each.message for each in found)


def test_refusals_are_no_rows(database_url: str) -> None:
    with closing(open_with_accounts(database_url)) as ledger:
        ledger.create_transfers([move(10, amount=0), move(11), move(11), move(12, 1, 9)])
    catch_up(database_url)
    assert rows(database_url, "SELECT id FROM ledger_transfers") == [(UUID(int=11),)]
    assert rows(database_url, "SELECT unit FROM ledger_accounts ORDER BY unit DESC LIMIT 1") == [
        (2**64 - 1,)
    ]


def test_pages_may_be_cut_anywhere(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "EVENTS_MAX", 3)
    monkeypatch.setattr(projection, "ROWS_MAX", 2)
    with closing(open_with_accounts(database_url)) as ledger:
        for start in range(10, 60, 5):
            ledger.create_transfers([move(start + k, amount=start) for k in range(5)])
    assert catch_up(database_url) == 11
    assert catch_up(database_url) == 0
    assert verify(database_url).ok


def test_a_projector_follows_the_writer(database_url: str) -> None:
    projector = Projector(database_url)
    with closing(open_with_accounts(database_url, on_append=projector.wake)) as ledger:
        for k in range(20):
            ledger.create_transfers([move(10 + k)])
        wait_projected(database_url)
        assert lag(database_url).rows == 0
    projector.close()
    assert projector.failure is None
    report = verify(database_url)
    assert report.ok
    assert report.entries == 40


def test_the_lag_is_known(database_url: str) -> None:
    assert lag(database_url) == projection.Lag(0, 0, 0.0)
    with closing(open_with_accounts(database_url)):
        found = lag(database_url)
    assert (found.rows, found.events) == (1, 3)
    assert found.seconds > 0


def test_the_projection_trails_under_a_flood_and_catches_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "EVENTS_MAX", 16)
    monkeypatch.setattr(projection, "MEASURE_SECONDS", 0.0)
    with closing(open_with_accounts(database_url)) as ledger:
        for k in range(40):
            ledger.create_transfers([move(10 + 5 * k + each) for each in range(5)])
        with psycopg.connect(database_url) as other:  # as a projector would that is in the way
            other.execute("INSERT INTO ledger_cursors VALUES (0, 0, 0)")
            projector = Projector(database_url)
            _wait_for(lambda: projector.lag_events() == 203)
            assert _gauge("lag_events") == 203
            assert _gauge("lag_seconds") > 0
            other.rollback()
        wait_projected(database_url)
        _wait_for(lambda: projector.lag_events() == 0)
    projector.close()
    assert (_gauge("lag_events"), _gauge("lag_seconds")) == (0, 0)
    assert projector.failure is None
    report = verify(database_url)
    assert (report.ok, report.entries) == (True, 400)


def _gauge(name: str) -> float:
    return REGISTRY.get_sample_value(f"sakk_ledger_projection_{name}", {"shard": "0"}) or 0.0


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_projector_gives_way_to_a_flood_until_it_trails_too_far(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "FLOOD_EVENTS", 0)  # whatever comes is a flood
    monkeypatch.setattr(projection, "GIVE_WAY_SECONDS", 0.001)
    gave_way = threading.Semaphore(0)
    with closing(Projector(database_url, give_way_events_max=5)) as projector:
        wait = projector._closing.wait

        def counted(seconds: float) -> bool:
            gave_way.release()
            return wait(seconds)

        # It has looked how far it trails before anything is appended: a row that is committed and
        # not yet told of counts twice until the next look.
        monkeypatch.setattr(projector._closing, "wait", counted)
        assert gave_way.acquire(timeout=30)
        with closing(open_with_accounts(database_url, on_append=projector.wake)) as ledger:
            while gave_way.acquire(blocking=False):
                pass
            for _ in range(3):
                assert gave_way.acquire(timeout=30)
            assert lag(database_url).events == 3
            ledger.create_transfers([move(1), move(2)])
            wait_projected(database_url)
    assert lag(database_url).events == 0


def test_rows_of_a_busy_ledger_are_written_a_few_times_a_second(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes during the pause after a page is written as one."""
    arrived, over = threading.Semaphore(0), threading.Event()
    over.set()
    pages: list[int] = []
    project = projection.project

    async def counted(rows: projection.Rows, book: Book) -> int:
        pages.append(await project(rows, book))
        return pages[-1]

    def wait(seconds: float) -> bool:
        assert seconds >= 0
        if not over.is_set():
            arrived.release()
        return over.wait(30) and False

    monkeypatch.setattr(projection, "project", counted)
    with closing(Projector(database_url)) as projector:
        with closing(open_with_accounts(database_url, on_append=projector.wake)) as ledger:
            wait_projected(database_url)
            monkeypatch.setattr(projector._closing, "wait", wait)
            over.clear()
            ledger.create_transfers([move(10)])
            assert arrived.acquire(timeout=30)
            written = len(pages)
            for k in range(1, 5):
                ledger.create_transfers([move(10 + k)])
            over.set()
            wait_projected(database_url)
        assert [page for page in pages[written:] if page] in ([4], [5])


def test_a_long_lag_is_reckoned_from_its_beginning(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "COUNTED_ROWS_MAX", 2)
    with closing(open_with_accounts(database_url)) as ledger:
        for k in range(6):
            ledger.create_transfers([move(10 + k)])
    assert lag(database_url).rows == 7
    assert lag(database_url).events == (3 + 1) + (3 + 1) * 5 // 2


def test_a_row_that_contradicts_the_journal_stops_the_projector(database_url: str) -> None:
    """It writes nothing over it, and the lag is seen to grow."""
    with closing(open_with_accounts(database_url)) as ledger:
        catch_up(database_url)
        with psycopg.connect(database_url) as connection:
            connection.execute("DELETE FROM ledger_accounts")
        ledger.create_transfers([move(10)])
        projector = Projector(database_url)
        _wait_for(lambda: projector.failure is not None)
        assert projector.lag_events() == 1
    projector.close()
    assert isinstance(projector.failure, KeyError)
    assert rows(database_url, "SELECT count(*) FROM ledger_transfers") == [(0,)]


# Years ahead of those that every database begins with: 2036-12-25, 2037-01-01, 2037-02-01.
MONTHS = [2_113_819_200, 2_114_380_900, 2_117_059_200]


def test_every_month_has_partitions_and_an_altered_row_in_any_is_named(database_url: str) -> None:
    now = [0]
    with closing(open_with_accounts(database_url, clock=lambda: now[0])) as ledger:
        for number, second in enumerate(MONTHS):
            now[0] = second * SECOND
            ledger.create_transfers([move(10 + number, amount=number + 1)])
            catch_up(database_url)
            if not number:  # a month is made a week ahead
                assert _partitions(database_url) == ["2036_12", "2037_01", "default"]
    months = ["2036_12", "2037_01", "2037_02"]
    assert _partitions(database_url) == [*months, "default"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        for month in months:
            for table, column in (
                ("ledger_transfers", "amount"),
                ("ledger_entries", "balance_after"),
                ("ledger_balances", "credits_posted"),
            ):
                partition = f"{table}_{month}"
                connection.execute(f"UPDATE {partition} SET {column} = {column} + 1")
                (at,) = rows(database_url, f"SELECT timestamp_ns FROM {partition} LIMIT 1")[0]
                found = [each for each in verify(database_url).breaks if each.check == "projection"]
                assert found
                assert all(each.place.startswith(table) for each in found)
                if table != "ledger_transfers":
                    assert all(each.place.endswith(f"at {at}") for each in found)
                connection.execute(f"UPDATE {partition} SET {column} = {column} - 1")
    assert verify(database_url).ok
    _detach(database_url, months[0])


def _detach(database_url: str, month: str) -> None:
    """What is left after a month was taken out carries its balances on, and so do new rows."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for table in PARTITIONED:
            connection.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_{month}")
    with closing(open_ledger(database_url, clock=lambda: (MONTHS[-1] + 5) * SECOND)) as ledger:
        ledger.create_transfers([move(20, amount=4)])
    catch_up(database_url)
    database = open_database(database_url)
    with database.begin() as connection:
        assert [entry.balance_after for entry in entries(connection, 2)] == [10, 6, 3]
        assert balance_at(connection, 2, timestamp_ns=MONTHS[1] * SECOND) == 3
    database.close()


def _partitions(database_url: str) -> list[str]:
    """The last words of the names of one table's partitions of these years, and the default's."""
    made = rows(
        database_url,
        "SELECT substr(relid::regclass::text, length('ledger_entries_') + 1)"
        " FROM pg_partition_tree('ledger_entries') WHERE isleaf ORDER BY 1",
    )
    return [name for (name,) in made if name.startswith(("2036", "2037", "default"))]


def test_where_a_partition_cannot_be_made_nothing_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PARTITION_LOCK_MILLISECONDS", 1)
    now = MONTHS[0] * SECOND
    with closing(open_with_accounts(database_url, clock=lambda: now)) as ledger:
        ledger.create_transfers([move(10)])
        with psycopg.connect(database_url) as reader:
            reader.execute("SELECT count(*) FROM ledger_entries_default")
            catch_up(database_url)
        ledger.create_transfers([move(11)])
        catch_up(database_url)  # the month's rows lie in the default partition: it stays so
    assert rows(database_url, "SELECT count(*) FROM ledger_entries_default") == [(4,)]
    assert verify(database_url).ok


def test_a_month_that_the_operator_cut_otherwise_is_left_alone(database_url: str) -> None:
    day = 86_400 * SECOND
    now = 1_800_000_000 * SECOND // day * day
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE TABLE one_day PARTITION OF ledger_entries"
            f" FOR VALUES FROM ({now}) TO ({now + day})"
        )
    with closing(open_with_accounts(database_url, clock=lambda: now + 100)) as ledger:
        ledger.create_transfers([move(10)])
    catch_up(database_url)
    assert rows(database_url, "SELECT count(*) FROM one_day") == [(2,)]
    assert verify(database_url).ok


def test_two_projectors_write_every_row_once(database_url: str) -> None:
    first, second = Projector(database_url), Projector(database_url)

    def wake(events: int) -> None:
        first.wake(events)
        second.wake(events)

    with closing(open_with_accounts(database_url, on_append=wake)) as ledger:
        for k in range(50):
            ledger.create_transfers([move(10 + k)])
        wait_projected(database_url)
    first.close()
    second.close()
    assert verify(database_url).ok


def test_a_projector_that_is_closed_as_it_begins_a_page_ends(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waking by which it is closed may be forgotten with those before it."""
    monkeypatch.setattr(projection, "IDLE_SECONDS_MAX", 600.0)
    projector = Projector(database_url)
    clear = projector._wake.clear

    def close_first() -> None:
        projector._closing.set()
        projector._wake.set()
        clear()

    monkeypatch.setattr(projector._wake, "clear", close_first)
    projector._wake.set()
    projector._thread.join(30)
    assert not projector._thread.is_alive()


def test_a_projector_survives_its_connection(database_url: str) -> None:
    projector = Projector(database_url)
    with closing(open_with_accounts(database_url, on_append=projector.wake)) as ledger:
        wait_projected(database_url)
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
                " application_name = 'sakk-ledger' AND datname = current_database()"
            )
        ledger.create_transfers([move(10)])
        wait_projected(database_url)
    projector.close()
    assert verify(database_url).ok


@pytest.mark.parametrize(("place", "committed"), [("before=kill:2", 1), ("after=kill:2", 2)])
def test_a_projector_killed_beside_its_commit_repeats_and_misses_nothing(
    database_url: str, place: str, committed: int
) -> None:
    """Each row of the journal is a page here: the accounts, then three times two transfers."""
    with closing(open_with_accounts(database_url)) as ledger:
        for first in (10, 12, 14):
            ledger.create_transfers([move(first), move(first + 1)])
    code = (
        "import sys\n"
        "from sakk.ledger import projection\n"
        "projection.EVENTS_MAX = 1\n"
        "projection.catch_up(sys.argv[1])\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, database_url],
        env=os.environ | {"SAKK_FAILPOINTS": f"ledger.project.{place}"},
        check=False,
    )
    assert killed.returncode == -9
    assert rows(database_url, "SELECT sequence FROM ledger_cursors") == [(committed,)]
    assert catch_up(database_url) == 4 - committed
    report = verify(database_url)
    assert (report.ok, report.entries) == (True, 12)


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_writer_killed_beside_its_append_is_whole(database_url: str, side: str) -> None:
    with closing(open_with_accounts(database_url)):
        pass
    code = (
        "import sys\n"
        "from sakk.ledger.types import Transfer\n"
        "from sakk.ledger.writer import open_ledger\n"
        "ledger = open_ledger(sys.argv[1])\n"
        "ledger.create_transfers([Transfer(k, 1, 2, 1, unit=7, code=3) for k in (10, 11)])\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, database_url],
        env=os.environ | {"SAKK_FAILPOINTS": f"ledger.append.{side}=kill"},
        check=False,
    )
    assert killed.returncode == -9
    expected = "created" if side == "before" else "exists"
    with closing(open_with_accounts(database_url)) as ledger:
        results = ledger.create_transfers([move(10), move(11)])
        account = ledger.lookup_accounts([2])[0]
    assert {result.status.name for result in results} == {expected}
    assert account is not None
    assert account.credits_posted == 2
    catch_up(database_url)
    assert verify(database_url).ok


def test_names_make_the_ledger_readable(database: Database) -> None:
    names = [
        AccountName(2**128 - 1, "custody:hot#usdc", "usdc", 2**63 - 1, 10),
        AccountName(5, "merchant:acct_1:available#usdc", "usdc", 9, 21, account="acct_1"),
    ]
    with database.begin() as connection:
        remember_accounts(connection, names)
        remember_accounts(connection, names[:1])
        remember_accounts(connection, [])
        assert account_names(connection, [5, 2**128 - 1, 6]) == {
            2**128 - 1: names[0],
            5: names[1],
        }
