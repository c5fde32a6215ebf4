"""Questions about the ledger's rows: right answers, and few rows read for them at 100,000."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, event, text

from sakk.core import ids
from sakk.ledger.projection import catch_up
from sakk.ledger.types import Account, AccountFlags, Transfer, TransferFlags
from sakk.ledger.writer import open_ledger
from sakk.store.agreement import custody_moves, owner_moves
from sakk.store.balance import find_line, list_lines
from sakk.store.database import Database, open_database
from sakk.store.ledger import (
    NEAR_NS,
    AccountName,
    AccountQuery,
    LedgerTransfer,
    Totals,
    TransferQuery,
    balance_at,
    balance_effective_at,
    entries,
    entries_by_effective_at,
    find_accounts,
    find_transfers,
    remember_accounts,
    totals_at,
)
from sakk.store.page import PageRequest
from sakk.store.projection import Month, account_fields, hold_fields, make_partitions
from sakk.store.reconcile import booked_units

ROWS = 100_000
READ_MAX = 500  # rows of tables that a question may look at
SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND  # in January 2027
F = TransferFlags


def move(identifier: int, debit: int, credit: int, amount: int, **more: Any) -> Transfer:
    return Transfer(identifier, debit, credit, amount, unit=7, **({"code": 3} | more))


def settle(identifier: int, flags: TransferFlags, pending_id: int) -> Transfer:
    amount = 2**128 - 1 if flags & F.post_pending else 0
    return Transfer(identifier, 0, 0, amount, 0, 0, flags, pending_id=pending_id)


@pytest.fixture
def small(database_url: str) -> Iterator[Database]:
    """Ten transfers between accounts 1 and 2 (with history), one of each kind among them."""
    now = [START]
    with closing(open_ledger(database_url, clock=lambda: now[0])) as ledger:
        ledger.create_accounts(
            [Account(1, unit=7, code=1), Account(2, unit=7, code=1, flags=AccountFlags.history),
             Account(3, unit=7, code=1)]
        )  # fmt: skip
        for batch in (
            [move(10, 1, 2, 50, user_data=9), move(11, 2, 3, 20, code=4)],
            [move(12, 1, 2, 5, flags=F.pending), move(13, 1, 2, 6, flags=F.pending),
             move(14, 1, 2, 7, flags=F.pending, timeout_seconds=1), move(15, 1, 3, 1)],
            [settle(16, F.post_pending, 12), settle(17, F.void_pending, 13)],
            [move(18, 1, 2, 8, flags=F.pending, user_data=9), move(19, 3, 1, 2, code=4)],
        ):  # fmt: skip
            now[0] += 10 * SECOND
            ledger.create_transfers(batch)
    catch_up(database_url)
    database = open_database(database_url)
    yield database
    database.close()


SEARCHES: list[tuple[TransferQuery, list[int]]] = [
    (TransferQuery(), [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]),
    (TransferQuery(account_id=1), [10, 12, 13, 14, 15, 16, 17, 18, 19]),
    (TransferQuery(account_id=3), [11, 15, 19]),
    (TransferQuery(account_id=4), []),
    (TransferQuery(code=4), [11, 19]),
    (TransferQuery(code=4, account_id=2), [11]),
    (TransferQuery(user_data=9), [10, 18]),
    (TransferQuery(user_data=0, account_id=3), [11, 15, 19]),
    (TransferQuery(user_data=9, status="posted"), [10]),
    (TransferQuery(status="pending"), [18]),
    (TransferQuery(status="expired"), [14]),
    (TransferQuery(status="voided"), [13, 17]),
    (TransferQuery(status="voided", account_id=2), [13, 17]),
    (TransferQuery(status="posted", account_id=2), [10, 11, 12, 16]),
    (TransferQuery(timestamp_min=START + 30 * SECOND - 1), [16, 17, 18, 19]),
    (TransferQuery(timestamp_max=START + 10 * SECOND), [10, 11]),
    (TransferQuery(account_id=1, timestamp_min=START + 31 * SECOND), [18, 19]),
]  # fmt: skip


def test_transfers_are_found_by_what_they_are(small: Database) -> None:
    with small.begin() as connection:
        for query, expected in SEARCHES:
            found = find_transfers(connection, query, newest_first=False)
            assert [each.id.int for each in found] == expected, query
            paged = pages(partial(find_transfers, connection, query, limit=2))
            assert [each.id.int for each in paged] == expected[::-1], query


def pages(ask: Callable[..., list[LedgerTransfer]]) -> list[LedgerTransfer]:
    found: list[LedgerTransfer] = []
    while page := ask(after=found[-1].timestamp_ns if found else None):
        found += page
    return found


def test_a_found_transfer_is_shown_as_it_took_effect(small: Database) -> None:
    with small.begin() as connection:
        post = find_transfers(connection, TransferQuery(account_id=2))[2]
    assert (post.id, post.pending_id) == (UUID(int=16), UUID(int=12))
    assert (post.debit_account_id, post.credit_account_id) == (UUID(int=1), UUID(int=2))
    assert (post.amount, post.unit, post.code, post.status) == (5, 7, 3, "posted")
    assert post.effective_at_ns == post.timestamp_ns == START + 30 * SECOND - 1


def test_the_four_totals_at_a_time(small: Database) -> None:
    with small.begin() as connection:
        before = totals_at(connection, 2, timestamp_ns=START)
        held = totals_at(connection, 2, timestamp_ns=START + 20 * SECOND)
        later = totals_at(connection, 2, timestamp_ns=START + 10**15)
        other = totals_at(connection, 1, timestamp_ns=START + 10**15)
    assert before is None
    assert held == Totals(0, 20, 18, 50)
    assert later == Totals(0, 20, 8, 55)
    assert other is None  # it keeps no history


def test_the_balance_at_the_users_time_is_the_sum_of_what_was_effective(database_url: str) -> None:
    chance, now = random.Random(7), START
    distances = [0, 0, 0, 1, -1, NEAR_NS, -NEAR_NS, NEAR_NS + 1, -NEAR_NS - 1, 10**17, -(10**17)]
    made = []
    for number in range(300):
        apart = chance.choice(distances) + chance.choice([0, 5, -7])
        sides = (1, 2) if chance.random() < 0.5 else (2, 1)
        effective_at = 0 if not apart else START + number * SECOND + apart
        made.append(move(10 + number, *sides, number + 1, effective_at=effective_at))
    times = []
    with closing(open_ledger(database_url, clock=lambda: now)) as ledger:
        ledger.create_accounts([Account(1, unit=7, code=1), Account(2, unit=7, code=1)])
        for transfer in made:
            now += SECOND
            times.append(ledger.create_transfers([transfer])[0].timestamp)
    catch_up(database_url)
    facts = [
        (
            transfer.effective_at or at,
            at,
            transfer.amount * (1 if transfer.debit_account_id == 1 else -1),
        )
        for transfer, at in zip(made, times, strict=True)
    ]
    asked = {0, *(at + d for at, _, _ in facts for d in (-1, 0)), *(at for _, at, _ in facts)}
    database = open_database(database_url)
    with database.begin() as connection:
        for at in chance.sample(sorted(asked), 200):
            expected = sum(amount for effective_at, _, amount in facts if effective_at <= at)
            assert balance_effective_at(connection, 2, effective_at_ns=at) == expected
            assert balance_effective_at(connection, 1, effective_at_ns=at) == -expected
        listed = entries_by_effective_at(connection, 2, newest_first=False, limit=1000)
        first = entries_by_effective_at(connection, 2, limit=100)
        last = first[-1]
        rest = entries_by_effective_at(
            connection, 2, after=(last.effective_at_ns, last.timestamp_ns), limit=1000
        )
    database.close()
    assert [(e.effective_at_ns, e.timestamp_ns, e.amount) for e in listed] == sorted(facts)
    assert listed == [*first, *rest][::-1]


@pytest.fixture
def filled(database_url: str) -> Iterator[Database]:
    """Two months of transfers: half of all entries are one account's, all dated near the ledger's
    time; of a hundred one is a hold, and few are open."""
    database = open_database(database_url)
    first = Month.of(START)
    with database.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        for month in (first, first.following):
            assert make_partitions(driver, month)
        connection.commit()
    name = AccountName(HOT.int, "merchant:acct_1:available#test/usdc", "test/usdc", 9, 21, "acct_1")
    with database.begin() as connection:
        for statement in FILL:
            connection.execute(text(statement))
        remember_accounts(connection, [name])
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    yield database
    database.close()


HOT = UUID(int=2**127)
STEP = 50 * SECOND  # 100,000 of them are two months
LAST = START + (ROWS - 1) * STEP
ROW = "{}_" + ids.encode("x", 5)[2:]  # an id whose number is 5
AT = f"{START} + i::bigint * {STEP}"
OTHER = "md5((i % 1000)::text)::uuid"
FILL = (
    "INSERT INTO ledger_transfers SELECT md5('t' || i)::uuid, 0, i, "
    f"{AT}, {AT} - 1000, '{HOT}', {OTHER}, i + 1, 7 + (i % 5000 = 1)::int, i % 100,"
    " CASE WHEN i % 100 = 0 THEN 2 ELSE 0 END, 0,"
    " CASE WHEN i % 2 = 0 THEN lpad(to_hex(i), 32, '0')::uuid ELSE uuid_nil() END, NULL,"
    " CASE WHEN i % 10000 = 0 THEN 'pending' ELSE 'posted' END"
    f" FROM generate_series(0, {ROWS} - 1) i".replace("uuid_nil()", f"'{UUID(int=0)}'::uuid"),
    f"INSERT INTO ledger_entries SELECT '{HOT}'::uuid, {AT}, 0, {AT} - 1000, -(i + 1), -i"
    f" FROM generate_series(0, {ROWS} - 1) i",
    f"INSERT INTO ledger_balances SELECT '{HOT}'::uuid, {AT}, 0, 0, i, 0, 0"
    f" FROM generate_series(0, {ROWS} / 10) i",
    "INSERT INTO ledger_accounts SELECT md5(i::text)::uuid, 0, 7 + (i % 1000 = 1)::int,"
    " 1 + (i % 500 = 1)::int * 2, 0, md5(i::text)::uuid,"
    f" i + 1, 0, 0, 0, 0 FROM generate_series(0, {ROWS} / 10) i",
)
LINE = ids.encode(
    "txn", ids.uuid7(now_ms=LAST // 10**6, random=LAST.to_bytes(ids.RANDOM_BYTES, "big"))
)
PAGE = PageRequest(limit=10)
QUESTIONS: dict[str, Callable[[Connection], Any]] = {
    "statement": lambda c: entries(c, HOT.int, limit=10),
    "its next page": lambda c: entries(c, HOT.int, after=START + STEP * 70_000, limit=10),
    "oldest first": lambda c: entries(c, HOT.int, after=START, limit=10, newest_first=False),
    "a day of it": lambda c: entries(
        c, HOT.int, span=(START + STEP * 50_000, START + STEP * 50_900), limit=10
    ),
    "a day by the user's time": lambda c: entries_by_effective_at(
        c, HOT.int, span=(START + STEP * 50_000, START + STEP * 50_900), limit=10
    ),
    "by the user's time": lambda c: entries_by_effective_at(c, HOT.int, limit=10),
    "its middle": lambda c: entries_by_effective_at(
        c, HOT.int, after=(START + STEP * 20_000, 0), limit=10
    ),
    "balance": lambda c: balance_at(c, HOT.int, timestamp_ns=START + STEP * 50_000),
    "balance by the user's time": lambda c: balance_effective_at(
        c, HOT.int, effective_at_ns=START + STEP * 50_000
    ),
    "totals": lambda c: totals_at(c, HOT.int, timestamp_ns=START + STEP * 5_000),
    "all": lambda c: find_transfers(c, TransferQuery(), limit=10),
    "time": lambda c: find_transfers(c, TransferQuery(timestamp_max=START + STEP * 900), limit=10),
    "account": lambda c: find_transfers(c, TransferQuery(account_id=HOT.int), limit=10),
    "account and time": lambda c: find_transfers(
        c, TransferQuery(account_id=HOT.int, timestamp_max=START + STEP * 900), limit=10
    ),
    "account and state": lambda c: find_transfers(
        c, TransferQuery(account_id=HOT.int, user_data=6), limit=10
    ),
    "a ledger": lambda c: find_transfers(c, TransferQuery(unit_min=8, unit_max=8), limit=10),
    "a ledger's middle": lambda c: find_transfers(
        c, TransferQuery(unit_min=8, unit_max=8), after=START + STEP * 50_000, limit=10
    ),
    "accounts": lambda c: find_accounts(c, AccountQuery(unit_min=7, unit_max=8), limit=10),
    "accounts of a ledger": lambda c: find_accounts(
        c, AccountQuery(unit_min=8, unit_max=8), limit=10
    ),
    "accounts of a code": lambda c: find_accounts(c, AccountQuery(code=3), limit=10),
    "accounts by user data": lambda c: find_accounts(
        c, AccountQuery(unit_min=7, unit_max=8, user_data=6), limit=10
    ),
    "accounts, next page": lambda c: find_accounts(
        c, AccountQuery(unit_min=7, unit_max=8), after=5_000, limit=10
    ),
    "code": lambda c: find_transfers(c, TransferQuery(code=33), limit=10),
    "user data": lambda c: find_transfers(c, TransferQuery(user_data=6), limit=10),
    "open holds": lambda c: find_transfers(c, TransferQuery(status="pending"), limit=10),
    "merchant's statement": lambda c: list_lines(
        c, account_id="acct_1", livemode=False, page=PAGE
    ),
    "merchant's line": lambda c: find_line(
        c, LINE, account_id="acct_1", livemode=False
    ),
    "a source's lines": lambda c: list_lines(
        c, account_id="acct_1", livemode=False, page=PAGE, source=ROW.format("pin")
    ),
    "custody of rows": lambda c: custody_moves(c, [ROW.format("po")]),
    "owners of rows": lambda c: owner_moves(c, [ROW.format("po")]),
    "booked for rows": lambda c: booked_units(c, [ROW.format("po")], ["eip155:1/slip44:60"]),
}  # fmt: skip


def test_every_question_reads_few_rows(filled: Database) -> None:
    read = {name: _rows_read(filled, ask) for name, ask in QUESTIONS.items()}
    assert {name: rows for name, rows in read.items() if rows > READ_MAX} == {}
    _check_the_projectors_questions(filled)
    # The test sees what it says that it sees.
    with filled.begin() as connection:
        connection.execute(
            text(
                "DROP INDEX ix_ledger_transfers_code, ix_ledger_entries_effective,"
                " ix_ledger_transfers_status, ix_ledger_transfers_user_data,"
                " ix_ledger_transfers_unit, ix_ledger_accounts_unit, ix_ledger_accounts_code"
            )
        )
    slow = {name for name, ask in QUESTIONS.items() if _rows_read(filled, ask) > READ_MAX}
    assert slow >= {"by the user's time", "code", "open holds", "user data", "owners of rows"}
    assert slow >= {"a ledger's middle", "accounts of a ledger", "accounts of a code"}


def _check_the_projectors_questions(filled: Database) -> None:
    """It finds holds and accounts by their indexes."""
    with filled.begin() as connection:
        driver: Any = connection.connection.driver_connection
        hold, account = (
            connection.execute(text(query)).scalar_one().bytes
            for query in ("SELECT md5('t10000')::uuid", "SELECT md5('5')::uuid")
        )
        for ask, found in ((hold_fields, hold), (account_fields, account)):
            spy: Any = _Spy(driver)
            assert [row[0].bytes for row in ask(spy, [found, bytes(16)])] == [found]
            assert spy.rows_read <= 2


class _Spy:
    """A connection that also counts the rows that a statement reads."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.rows_read = 0

    def cursor(self, **options: Any) -> "_Spy":
        self._cursor = self._driver.cursor(**options)
        return self

    def __enter__(self) -> "_Spy":
        return self

    def __exit__(self, *_: object) -> None:
        self._cursor.close()

    def execute(self, query: str, parameters: Any) -> Any:
        plan = self._driver.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", parameters)
        self.rows_read += _rows_of(plan.fetchone()[0][0]["Plan"])
        return self._cursor.execute(query, parameters)


def _rows_read(database: Database, ask: Callable[[Connection], Any]) -> int:
    """Rows that the scans of one question looked at, those they passed over too."""
    sent: list[tuple[str, Any]] = []

    def remember(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", remember)
    with database.begin() as connection:
        ask(connection)
    event.remove(database.engine, "before_cursor_execute", remember)
    assert sent
    with database.begin() as connection:
        plans = [
            connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            for statement, parameters in sent
        ]
        return sum(_rows_of(plan.scalar_one()[0]["Plan"]) for plan in plans)


def _rows_of(plan: dict[str, Any]) -> int:
    rows = 0
    if "Relation Name" in plan:
        passed = plan.get("Rows Removed by Filter", 0) + plan.get(
            "Rows Removed by Index Recheck", 0
        )
        rows = int((plan["Actual Rows"] + passed) * plan["Actual Loops"])
    return rows + sum(_rows_of(child) for child in plan.get("Plans", []))
