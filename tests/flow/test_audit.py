"""The audit log on a real database: sealed in order, and what is tampered with is found by name."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from tests.screening.conftest import CLEAN, SUSPECT, request
from typer.testing import CliRunner

from sakk.cli.app import make_app
from sakk.client import audit as offline
from sakk.core import event
from sakk.core.event import NewEvent
from sakk.flow import audit as flow
from sakk.flow.context import Parts
from sakk.screening.engine import Engine
from sakk.screening.importers import import_list
from sakk.store import audit as store
from sakk.store import event as events
from sakk.store.database import Database
from sakk.store.screening import insert_screenings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CURRENCY = (
    "INSERT INTO currencies (currency, name, kind, decimals, updated)"
    " VALUES (:name, 'Zed', 'coin', 6, '2026-01-01T00:00:00Z')"
)


def change(database: Database, name: str) -> None:
    with database.begin() as connection:
        connection.execute(text(CURRENCY), {"name": name})


def change_all(database: Database, names: list[str]) -> None:
    for name in names:
        change(database, name)


def seal(database: Database, *, limit: int = 100) -> int:
    with database.begin() as connection:
        return flow.seal(connection, now=NOW, limit=limit)


def keys(database: Database) -> list[str]:
    """The keys of the sealed entries, in their order."""
    with database.begin() as connection:
        found = connection.execute(text("SELECT key FROM audit_entries ORDER BY seq"))
        return list(found.scalars())


def found(database: Database) -> list[str]:
    return [f"{each.where}: {each.what}" for each in flow.verify(database).breaks]


def test_what_was_committed_is_sealed_in_order_and_once(database: Database) -> None:
    assert seal(database) == 0
    for name in ("one", "two", "three"):
        change(database, name)
    stage = flow.seal_stage(Parts(database, clock=lambda: NOW))
    assert (stage.run(), stage.run()) == (3, 0)
    change(database, "four")
    assert seal(database) == 1
    assert keys(database) == ["one", "two", "three", "four"]
    proof = flow.verify(database)
    assert (proof.breaks, proof.blocks, proof.entries, proof.waiting) == ((), 2, 4, 0)


def test_a_block_takes_so_much_and_the_next_the_rest(database: Database) -> None:
    for name in "abcde":
        change(database, name)
    assert [seal(database, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert (keys(database), found(database)) == (list("abcde"), [])


def test_what_commits_out_of_order_is_in_the_next_block_and_nothing_waits(
    database: Database,
) -> None:
    """The transaction with the lowest number ends last, one is rolled back: none is lost."""
    with database.begin() as slow:
        slow.execute(text(CURRENCY), {"name": "slow"})
        rolled_back = database.engine.connect()
        rolled_back.execute(text(CURRENCY), {"name": "never"})
        rolled_back.close()
        change(database, "quick")
        assert seal(database) == 1
        change(database, "quicker")
        assert seal(database) == 1
    assert seal(database) == 1
    assert (keys(database), found(database)) == (["quick", "quicker", "slow"], [])


def test_many_write_at_once_while_it_is_sealed(database: Database) -> None:
    """No writer waits for another or for the sealer; two sealers make one chain."""
    names = [[f"w{writer}-{place}" for place in range(20)] for writer in range(4)]
    writers = [threading.Thread(target=change_all, args=(database, own)) for own in names]
    stop = threading.Event()
    faults: list[BaseException] = []

    def sealing() -> None:
        try:
            while not stop.is_set():
                seal(database, limit=7)
        except BaseException as error:
            faults.append(error)

    sealers = [threading.Thread(target=sealing) for _ in range(2)]
    for thread in [*sealers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in sealers:
        thread.join()
    while seal(database):
        pass
    assert faults == []
    sealed = keys(database)
    assert sorted(sealed) == sorted(each for own in names for each in own)
    for own in names:
        assert [each for each in sealed if each in own] == own
    assert found(database) == []


@pytest.fixture
def told(database: Database, tmp_path: Path) -> Iterator[Connection]:
    """A log with a bit of everything, and a connection whose changes are undone at the end."""
    path = tmp_path / "list.csv"
    path.write_text(f"address,category,network\n{SUSPECT},sanctions,\n{CLEAN},scam,\n")
    import_list(database, path, now=NOW)
    path.write_text(f"address,category,network\n{SUSPECT},sanctions,\n{'0x' + '11' * 20},scam,\n")
    import_list(database, path, now=NOW)
    engine = Engine(database)
    with database.begin() as connection:
        insert_screenings(connection, engine.screen([request(), request(CLEAN)]))
        decided = NewEvent(None, False, event.PAYIN_HELD, "pin_1", {"id": "pin_1", "name": "\0"})
        events.append(connection, [decided], now=NOW)
    change(database, "zed")
    assert seal(database) > 0
    change(database, "later")
    assert seal(database) == 1
    assert found(database) == []
    with database.engine.connect() as connection:
        yield connection
        connection.rollback()


# What somebody with all rights on the database would do, and what is said of it.
TAMPERED = [
    ("UPDATE screenings SET verdict = 'clear'", "screenings scr_", "verdict is"),
    (
        "UPDATE screenings SET reasons = jsonb_set(reasons, '{0,version}', '9')"
        " WHERE reasons <> '[]'",
        "screenings scr_",
        "reasons is",
    ),
    ("DELETE FROM screenings", "screenings scr_", "is gone, and no entry says so"),
    (
        'INSERT INTO screenings SELECT (jsonb_populate_record(each, \'{"id": "scr_0"}\')).*'
        " FROM screenings each LIMIT 1",
        "screenings scr_0",
        "was never noted",
    ),
    (
        "UPDATE labels SET entity = 'x' WHERE opened_version = 2",
        "labels open at version 2",
        "one was altered",
    ),
    (
        "UPDATE labels SET recorded_to = recorded_to + interval '1 second'",
        "labels close at version 2",
        "one was altered",
    ),
    ("UPDATE labels SET closed_version = NULL", "labels close at version 2", "are gone"),
    ("DELETE FROM labels WHERE closed_version = 2", "labels open at version 1", "were sealed"),
    (
        "INSERT INTO labels (list_id, family, address, category, confidence, recorded_from,"
        " opened_version) VALUES ('l', 'eip155', 'a', 'theft', 1, now(), 1)",
        "labels open at version 1",
        "3 rows are there",
    ),
    ("UPDATE currencies SET decimals = 2", "currencies later", "decimals is 2, sealed was 6"),
    ("TRUNCATE currencies", "currencies zed", "is gone"),
    (
        "UPDATE events SET body = replace(body::text, 'pin_1', 'pin_2')::json",
        "events evt_",
        "sha256 is",
    ),
    ("DELETE FROM label_imports", "label_imports imp_", "is gone"),
    (
        'UPDATE audit_entries SET body = replace(body, \'"actor":"\', \'"actor":"x\')',
        "entry 1",
        "was altered",
    ),
    ("UPDATE audit_entries SET body = 'no JSON' WHERE seq = 3", "entry 3", "was altered"),
    ("UPDATE audit_entries SET body = 'no JSON' WHERE seq = 3", "the tables", "not compared"),
    ("UPDATE audit_entries SET actor = 'x' WHERE seq = 3", "entry 3", "filed under other words"),
    ("DELETE FROM audit_entries WHERE seq = 2", "block 1", "are there"),
    ("DELETE FROM audit_blocks WHERE number = 1", "block 2", "block 1 is missing"),
    ("UPDATE audit_blocks SET sealed_at = now()", "block 1", "header was altered"),
]


def test_what_is_tampered_with_is_named(told: Connection) -> None:
    seal_triggers = "ALTER TABLE audit_{} DISABLE TRIGGER sakk_audit"
    for statement, where, what in TAMPERED:
        undo = told.begin_nested()
        # Nothing is noted of it, as by a superuser who knows how.
        told.execute(text("SET LOCAL session_replication_role TO replica"))
        told.execute(text(statement))
        breaks = [f"{each.where}: {each.what}" for each in flow.prove(told).breaks]
        assert any(each.startswith(where) and what in each for each in breaks), (statement, breaks)
        undo.rollback()
    for name in ("entries", "blocks"):
        told.execute(text(seal_triggers.format(name)))
    breaks = [each.where for each in flow.prove(told).breaks]
    assert breaks == ["audit_entries", "audit_blocks"]


def test_a_change_by_hand_that_is_noted_is_no_break_but_has_a_name(told: Connection) -> None:
    told.execute(text("UPDATE currencies SET decimals = 2 WHERE currency = 'zed'"))
    assert flow.prove(told).breaks == ()
    assert told.execute(text("SELECT actor <> '' FROM audit_inbox")).scalar_one()


def _verifier(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The stand-alone verifier, as an auditor runs it."""
    command = [sys.executable, "-I", "-S", str(offline.__file__), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_an_export_proves_itself_without_sakk(
    database: Database, told: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url)
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    runner, app = CliRunner(), make_app("audit")
    for arguments in (["export", str(whole)], ["export", str(part), "--subject", "pin_1"]):
        assert runner.invoke(app, ["audit", *arguments]).exit_code == 0, arguments
    heads = json.loads(runner.invoke(app, ["audit", "heads", "--json"]).stdout)
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text("".join(json.dumps(each) + "\n" for each in heads))
    done = _verifier(whole, "--anchors", anchors, "--head", heads[0]["hash"])
    assert (done.returncode, done.stdout[:4]) == (0, "YES:"), done.stdout
    assert "2 anchors" in done.stdout
    shown = offline.check(part)
    assert (shown.breaks, shown.entries) == ([], 3)
    assert shown.withheld == offline.check(whole).entries - 3
    assert ("zed" in whole.read_text(), "zed" in part.read_text()) == (True, False)
    proved = runner.invoke(app, ["audit", "verify", "--anchors", str(anchors), "--json"])
    said = json.loads(proved.stdout)
    # The exports themselves were noted since.
    assert (proved.exit_code, said["ok"], said["anchors"], said["waiting"]) == (0, True, 2, 2)
    rows = json.loads(runner.invoke(app, ["audit", "show", "--subject", "zed", "--json"]).stdout)
    assert [(each["source"], each["act"], each["block"]) for each in rows] == [
        ("currencies", "insert", 1)
    ]
    table = runner.invoke(app, ["audit", "show", "--subject", "pin_1"]).stdout
    assert "payin.held" in table
    anchors.write_text(anchors.read_text().replace('"hash": "', '"hash": "0', 1))
    refused = runner.invoke(app, ["audit", "verify", "--anchors", str(anchors)])
    assert refused.exit_code == 1
    assert "it was replaced" in refused.stdout
    refused = runner.invoke(app, ["audit", "verify", str(whole), "--head", "00"])
    assert refused.exit_code == 1


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _flip(lines: list[Any]) -> None:
    lines[2]["entry"] = lines[2]["entry"].replace('"act":"', '"act":"x', 1)


def _break(lines: list[Any]) -> None:
    lines[2]["entry"] = lines[2]["entry"][1:]


def _drop(lines: list[Any]) -> None:
    del lines[3]


def _exchange(lines: list[Any]) -> None:
    lines[2], lines[3] = lines[3], lines[2]


def _cut(lines: list[Any]) -> None:
    last = max(place for place, line in enumerate(lines) if "block" in line)
    del lines[last:]


def _behead(lines: list[Any]) -> None:
    lines[1]["block"]["sealed_at"] = "2020"


def _begin_later(lines: list[Any]) -> None:
    last = max(place for place, line in enumerate(lines) if "block" in line)
    lines[0]["from"] = 2
    del lines[1:last]


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (_flip, "block 1: its entries are not those that were sealed"),
        (_break, "entry 1: was altered"),
        (_drop, "block 1: "),
        (_exchange, "entry 1: was sealed as entry 2"),
        (_cut, "not with the head that it names"),
        (_behead, "block 1: its header was altered"),
        (_begin_later, None),
    ],
)
def test_an_export_that_was_tampered_with_is_refused(
    told: Connection, tmp_path: Path, tamper: Any, says: str | None
) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text("".join(line + "\n" for line in flow.export(told)))
    lines = _lines(path)
    tamper(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    breaks = offline.check(path).breaks
    assert (breaks == []) if says is None else any(each.find(says) >= 0 for each in breaks), breaks


@pytest.mark.parametrize(
    "content",
    ["", "no json\n", "[]\n", '{"object":"other"}\n', '{"object":"audit_export","version":1}\n'],
)
def test_what_is_no_export_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text(content)
    with pytest.raises(offline.AuditExportError):
        offline.check(path)
    assert _verifier(path).returncode == 1


def test_a_log_that_lost_its_end_is_found_by_its_anchors(told: Connection, tmp_path: Path) -> None:
    blocks = store.list_blocks(told, limit=2)
    known = {each.number: each.hash.hex() for each in blocks}
    anchor = {"object": "audit_head", "number": 2, "hash": known[2]}
    assert flow.unlike_anchor(anchor, known) == []
    del known[2]
    [said] = flow.unlike_anchor(anchor, known)
    assert "taken away" in said
