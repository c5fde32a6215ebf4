"""Heads are written down outside of the database, and a log that was replaced is found by them."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.flow.wiring import WorldClock
from typer.testing import CliRunner

from sakk.cli.app import make_app
from sakk.client import audit as offline
from sakk.core.account import AccountKind
from sakk.flow import account as accounts
from sakk.flow import audit as log
from sakk.flow import audit_anchor as flow
from sakk.flow import webhook
from sakk.flow.context import Parts
from sakk.store import audit as store
from sakk.store import event as events
from sakk.store.database import Database
from sakk.store.identity import new_id

EVERY = timedelta(minutes=5)


class Anchored:
    """A database whose log grows and is anchored as its worker does it."""

    def __init__(self, database: Database, directory: Path | None) -> None:
        self.database = database
        self.clock = WorldClock()
        self.stage = flow.audit_anchor_stage(
            Parts(database, clock=self.clock), directory=directory, every=EVERY
        )

    def grow(self, name: str) -> None:
        with self.database.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO currencies (currency, name, kind, decimals, updated)"
                    " VALUES (:name, '', 'coin', 6, now())"
                ),
                {"name": name},
            )
        with self.database.begin() as connection:
            assert log.seal(connection, now=self.clock()) > 0


def lines(directory: Path) -> list[Any]:
    return [json.loads(each) for each in (directory / flow.FILE_NAME).read_text().splitlines()]


def test_a_head_is_filed_when_the_log_has_grown_and_not_too_often(
    database: Database, tmp_path: Path
) -> None:
    directory = tmp_path / "not made yet"
    log_of = Anchored(database, directory)
    assert log_of.stage.run() == 0
    log_of.grow("one")
    assert (log_of.stage.run(), log_of.stage.run()) == (1, 0)
    log_of.grow("two")
    assert log_of.stage.run() == 0
    log_of.clock.advance(EVERY)
    assert (log_of.stage.run(), log_of.stage.run()) == (1, 0)
    assert [each["number"] for each in lines(directory)] == [1, 2]
    with database.begin() as connection:
        told, _ = events.page(connection, account_id=None, livemode=False, types=["audit.*"])
        heads = [each.hash.hex() for each in store.list_blocks(connection, limit=2)]
    assert [each.object["hash"] for each in told] == heads
    assert [each["hash"] for each in lines(directory)] == heads[::-1]


def test_a_crash_between_the_file_and_its_note_writes_the_line_twice(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_of = Anchored(database, tmp_path)
    log_of.grow("one")
    with monkeypatch.context() as broken:
        broken.setattr(store, "set_filed", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            log_of.stage.run()
    assert log_of.stage.run() == 1
    assert [each["number"] for each in lines(tmp_path)] == [1, 1]
    known = {1: lines(tmp_path)[0]["hash"]}
    assert [log.unlike_anchor(each, known) for each in offline.read_anchors(tmp_path)] == [[], []]


def test_a_torn_line_is_passed_over(database: Database, tmp_path: Path) -> None:
    path = tmp_path / flow.FILE_NAME
    path.write_text('{"object":"audit_head","num')
    log_of = Anchored(database, tmp_path)
    log_of.grow("one")
    assert log_of.stage.run() == 1
    assert [each["number"] for each in offline.read_anchors(tmp_path)] == [1]
    assert list(offline.read_anchors(path)) == list(offline.read_anchors(tmp_path))


def test_a_log_that_was_made_anew_is_found_by_its_anchors(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has all rights can write another log, whole and in order; not the anchors."""
    log_of = Anchored(database, tmp_path)
    log_of.grow("one")
    log_of.grow("two")
    log_of.stage.run()
    with database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role TO replica"))
        connection.execute(text("DELETE FROM audit_entries"))
        connection.execute(text("DELETE FROM audit_blocks"))
        connection.execute(
            text(
                "INSERT INTO audit_inbox (source, act, key, subject, after) SELECT 'currencies',"
                " 'insert', currency, currency, to_jsonb(each) FROM currencies AS each"
            )
        )
    with database.begin() as connection:
        log.seal(connection, now=log_of.clock(), limit=1)
    monkeypatch.setenv("DATABASE_URL", database.url)
    runner, app = CliRunner(), make_app("audit")
    arguments = ["audit", "verify", "--anchors", str(tmp_path)]
    lost = runner.invoke(app, arguments)
    assert (lost.exit_code, "blocks were taken away" in lost.stdout) == (1, True)
    with database.begin() as connection:
        log.seal(connection, now=log_of.clock())
    assert runner.invoke(app, ["audit", "verify"]).exit_code == 0
    replaced = runner.invoke(app, arguments)
    assert (replaced.exit_code, "it was replaced" in replaced.stdout) == (1, True)


def test_the_operators_webhook_is_told_and_no_merchants(database: Database) -> None:
    log_of = Anchored(database, None)
    ids = {kind: new_id("acct") for kind in (AccountKind.operator, AccountKind.merchant)}
    with database.begin() as connection:
        for kind, identifier in ids.items():
            accounts.create(
                connection,
                account_id=identifier,
                livemode=False,
                now=log_of.clock(),
                kind=kind,
                details={"name": str(kind)},
                policy={},
            )
            webhook.create(
                connection,
                account_id=identifier,
                livemode=False,
                url="https://receiver.example/",
                enabled_events=["*"],
                allow_loopback=False,
                now=log_of.clock(),
            )
    log_of.grow("one")
    assert log_of.stage.run() == 1
    with database.begin() as connection:
        told = connection.execute(
            text(
                "SELECT delivery.account_id FROM webhook_deliveries AS delivery"
                " JOIN events ON events.id = event_id WHERE type = 'audit.anchored'"
            )
        )
        assert told.scalars().all() == [ids[AccountKind.operator]]
