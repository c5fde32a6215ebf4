"""What stages ask for again and again stays cheap: at 100,000 rows each question uses an index.

Every stage is run with nothing due, and the plan of each statement that it sent is looked at.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import psycopg
import pytest
from sqlalchemy import ARRAY, Boolean, Column, DateTime, LargeBinary, Numeric, Table, text
from sqlalchemy.types import JSON, BigInteger, Integer, Text

from sakk.core.behaviour import Per, WindowKey
from sakk.core.screening import Direction, ScreeningRequest
from sakk.flow.context import Parts
from sakk.flow.lookout import Lookout
from sakk.runtime.worker import pipeline
from sakk.screening.engine import Engine
from sakk.signing.client import SignerClient
from sakk.store import behaviour
from sakk.store.address import addresses, deposits
from sakk.store.adoption import adoptions
from sakk.store.behaviour import Question
from sakk.store.database import Database, open_database
from sakk.store.outflow import outflows
from sakk.store.payin import payins
from sakk.store.payment import payment_intents
from sakk.store.payout import payouts
from sakk.store.sweep import sweeps
from sakk.store.transaction import transactions
from sakk.store.transfer import count_pending, transfers, was_paid_before

ROWS = 100_000
# A few rows are due and another worker has them: a claim has to look at them and at no others.
LEASED = 20
OTHERS = "now() + interval '1 hour'"

# Table, what is true of all its rows, what is true of the few.
FILLED: list[tuple[Table, dict[str, str], dict[str, str]]] = [
    (payins, {"status": "'posted'"}, {"status": "'screened'", "lease_until": OTHERS}),
    (
        payouts,
        {"status": "'posted'", "hold": "'posted'"},
        {"status": "'approved'", "hold": "'held'", "lease_until": OTHERS},
    ),
    (
        transactions,
        {"status": "'posted'", "hash": "'0x' || i", "block_hash": "'0x' || i", "nonce": "i"},
        {"status": "'broadcast'", "hash": "'0x' || i", "nonce": "i", "lease_until": OTHERS},
    ),
    (sweeps, {"status": "'posted'"}, {"status": "'approved'", "lease_until": OTHERS}),
    (outflows, {"status": "'posted'"}, {"status": "'seen'", "lease_until": OTHERS}),
    # Busy accounts that never paid one another.
    (
        transfers,
        {
            "status": "'posted'",
            "account_id": "CASE i % 2 WHEN 0 THEN 'one' ELSE 'three' END",
            "destination": "CASE i % 2 WHEN 0 THEN 'four' ELSE 'two' END",
        },
        {"status": "'returned'", "account_id": "'one'", "created": "now() - interval '1 year'"},
    ),
    (adoptions, {"status": "'posted'"}, {"status": "'requested'", "lease_until": OTHERS}),
    (payment_intents, {"status": "'succeeded'"}, {"status": "'canceled'"}),
    (
        addresses,
        {"purpose": "'payment'", "family": "'eip155'"},
        {"purpose": "'customer'", "family": "'eip155'"},
    ),
    (deposits, {"units": "0", "asset": "'a'"}, {"units": "0", "asset": "'b'"}),
]

# What screening rules count about a transfer: every direction, for either side.
WINDOWS = [
    WindowKey(direction, per, 3_600, *band)
    for direction in Direction
    for per in get_args(Per)
    for band in ((), (1, 10))
]
QUESTIONS = [
    Question(
        ScreeningRequest(
            subject="po_1",
            account_id="acct_1",
            livemode=False,
            network="eip155:1",
            asset="eip155:1/slip44:60",
            direction=direction,
            sender="0x" + "1" * 40,
            receiver="0x" + "2" * 40,
            token_units=1,
            currency="usdc",
        ),
        WINDOWS,
        datetime.now(UTC),
    )
    for direction in Direction
]


@pytest.fixture
def filled(database_url: str) -> Iterator[Database]:
    """A database with many rows that are done and few that are not."""
    database = open_database(database_url)
    with database.begin() as connection:
        for table, done, leased in FILLED:
            for first, last, values in ((0, ROWS, done), (ROWS, ROWS + LEASED, leased)):
                connection.execute(text(_fill(table, first, last, values)))
        connection.execute(
            text("UPDATE addresses SET purpose = 'treasury' WHERE id = 'addresses-000000000'")
        )
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    yield database
    database.close()


def test_every_question_of_every_stage_uses_an_index(
    filled: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: dict[str, Any] = {}
    execute = psycopg.Cursor.execute

    def remember(cursor: Any, statement: Any, parameters: Any = None, **options: Any) -> Any:
        if "pg_notify" not in statement:
            sent[statement] = parameters
        return execute(cursor, statement, parameters, **options)

    nobody = SignerClient(tmp_path / "signer.sock")
    parts = Parts(database=filled, screening=Engine(filled), signer=nobody)
    stages = pipeline(parts)
    with monkeypatch.context() as patch:
        # By the driver's own cursor, through which all go, whoever compiled them.
        patch.setattr(psycopg.Cursor, "execute", remember)
        for stage in stages:
            assert stage.run() == 0, stage.name
        assert Lookout(filled, stages, parts.clock).look() == []
        with filled.begin() as connection:
            counted = behaviour.count_windows(connection, QUESTIONS)
            assert [set(each) for each in counted] == [{key.name for key in WINDOWS}] * 2
            assert behaviour.paid_before(connection, QUESTIONS) == [False, False]
            assert behaviour.imitated(connection, QUESTIONS) == [None, None]

        # What a request asks about a busy account reads none of what it did in years.
        stages_sent, since = dict(sent), datetime.now(UTC) - timedelta(days=1)
        with filled.begin() as connection:
            assert not was_paid_before(connection, "one", "two", livemode=False)
            assert not count_pending(connection, account_id="one", livemode=False, since=since)
    for statement in sent.keys() - stages_sent.keys():
        assert _read(filled, statement, sent[statement]) <= 1, statement

    names = {table.name for table, _, _ in FILLED}
    asked = {name for name in names for statement in sent if f"{name}." in statement}
    assert asked >= names - {"transfers", "addresses"}, asked
    assert _scanned(filled, sent) == set()
    # The test sees what it says that it sees.
    with filled.begin() as connection:
        connection.execute(text("DROP INDEX ix_payouts_work, ix_payins_work"))
    assert _scanned(filled, sent) == {"payins", "payouts"}


def _scanned(database: Database, sent: dict[str, Any]) -> set[str]:
    """Tables that one of the statements would read from end to end."""
    names = {table.name for table, _, _ in FILLED}
    return {
        node["Relation Name"]
        for statement, parameters in sent.items()
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "WITH"))
        for node in _nodes(_plan(database, statement, parameters))
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in names
    }


def _plan(database: Database, statement: str, parameters: Any) -> dict[str, Any]:
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        plan: dict[str, Any] = found.scalar_one()[0]["Plan"]
    return plan


def _read(database: Database, statement: str, parameters: Any) -> int:
    """How many rows of a table a statement looks at."""
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
        ).scalar_one()
    return sum(
        int(node.get(what, 0)) * int(node["Actual Loops"])
        for node in _nodes(found[0]["Plan"])
        if "Scan" in node["Node Type"]
        for what in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _fill(table: Table, first: int, last: int, values: dict[str, str]) -> str:
    """An INSERT of generated rows: what must be there, and the values that a test names."""
    columns = {
        column.name: values.get(column.name) or _value(table, column)
        for column in table.columns
        if column.name in values or not (column.nullable or column.server_default)
    }
    return (
        f'INSERT INTO "{table.name}" ({", ".join(columns)})'
        f" SELECT {', '.join(columns.values())}"
        f" FROM generate_series({first}, {last} - 1) AS i"
    )


def _value(table: Table, column: Column[Any]) -> str:
    kind = column.type
    impl = getattr(kind, "impl_instance", kind)
    if column.name in ("id", "address", "tx_hash", "block_hash"):
        return f"'{table.name}-' || lpad(i::text, 9, '0')"
    for types, value in (
        (Boolean, "false"),
        ((Integer, BigInteger, Numeric), "i"),
        (DateTime, "now()"),
        (LargeBinary, "''::bytea"),
        (ARRAY, "'{}'"),
        (JSON, "'{}'"),
        (Text, f"'{column.name}'"),
    ):
        if isinstance(impl, types):
            return value
    raise AssertionError(f"no value for {table.name}.{column.name}: {kind!r}")
