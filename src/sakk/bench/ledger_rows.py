"""The baseline of the ledger's bench: the same transfers by row locks in PostgreSQL.

What most systems do: lock both balances in order, look at them, change them, insert the transfer,
commit; one transaction a transfer, a number of connections at once. As durable, as idempotent and
as strict about overdrafts as the ledger.
"""

import random
import threading
import time
from typing import Any

import psycopg

from sakk.bench.figures import WrongResult
from sakk.bench.ledger_writer import ACCOUNTS, AMOUNT_MAX, FIRST_ACCOUNT, SEED, uniform
from sakk.store.journal import connect

SCHEMA = """
CREATE TABLE bench_balances (
  id bigint PRIMARY KEY, debits numeric(78,0) NOT NULL, credits numeric(78,0) NOT NULL
);
CREATE TABLE bench_transfers (
  id bigint PRIMARY KEY, debit bigint NOT NULL, credit bigint NOT NULL,
  amount numeric(78,0) NOT NULL, created_at timestamptz NOT NULL DEFAULT now()
);
"""


def prepare_rows(url: str) -> None:
    """Make the baseline's tables and accounts."""
    with connect(url) as connection:
        connection.execute(SCHEMA)
        connection.execute(
            "INSERT INTO bench_balances SELECT n, 0, 0 FROM generate_series(%s::int, %s::int) n",
            (FIRST_ACCOUNT, FIRST_ACCOUNT + ACCOUNTS - 1),
        )


def row_locks(url: str, *, first_id: int, transfers: int, connections: int) -> float:
    """Transfers a second, each in a transaction of its own; WrongResult unless all are there."""
    left = iter(range(first_id, first_id + transfers))
    lock = threading.Lock()
    failures: list[BaseException] = []
    opened = [connect(url) for _ in range(connections)]

    def client(connection: psycopg.Connection[Any], seed: int) -> None:
        chance = random.Random(seed)
        try:
            while True:
                with lock:
                    identifier = next(left, None)
                if identifier is None:
                    return
                _transfer(connection, identifier, chance)
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=client, args=(connection, SEED + number), daemon=True)
        for number, connection in enumerate(opened)
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures:
        raise failures[0]
    _check(opened[0], first_id + transfers - 1)
    for connection in opened:
        connection.close()
    return transfers / seconds


def _transfer(connection: psycopg.Connection[Any], identifier: int, chance: random.Random) -> None:
    debit, credit = uniform(chance)
    amount = chance.randint(1, AMOUNT_MAX)
    with connection.transaction():
        inserted = connection.execute(
            "INSERT INTO bench_transfers (id, debit, credit, amount) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (identifier, debit, credit, amount),
            prepare=True,
        )
        if inserted.rowcount == 0:
            return
        # In the order of ids, so that two transfers between the same accounts never deadlock.
        rows = connection.execute(
            "SELECT id, debits, credits FROM bench_balances WHERE id IN (%s, %s)"
            " ORDER BY id FOR UPDATE",
            (debit, credit),
            prepare=True,
        ).fetchall()
        if len(rows) != 2:
            raise WrongResult("an account of the baseline is missing")
        connection.execute(
            "UPDATE bench_balances SET debits = debits + %s WHERE id = %s",
            (amount, debit),
            prepare=True,
        )
        connection.execute(
            "UPDATE bench_balances SET credits = credits + %s WHERE id = %s",
            (amount, credit),
            prepare=True,
        )


def _check(connection: psycopg.Connection[Any], last_id: int) -> None:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM bench_transfers), (SELECT max(id) FROM bench_transfers),"
        " (SELECT sum(amount) FROM bench_transfers), sum(debits), sum(credits)"
        " FROM bench_balances"
    ).fetchone()
    assert row is not None
    count, newest, moved, debits, credits = row
    if not (count == newest == last_id and moved == debits == credits):
        raise WrongResult(f"the baseline holds {count} transfers, {moved}, {debits}, {credits}")
