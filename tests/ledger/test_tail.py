"""``sakk ledger replay|snapshot|tail``: the journal seen from beside its writer."""

import json
import os
import subprocess
import sys
import uuid
from typing import Any

import pytest

from sakk.core.ledger import operator_unit, stored_id
from sakk.ledger.tail import events, follow
from sakk.ledger.types import AMOUNT_MAX, Account, LiabilityRoot, Transfer, TransferFlags
from sakk.ledger.verify import verify
from sakk.ledger.writer import open_ledger

from .test_verify import fill

UNIT = operator_unit(7, livemode=False)


def sakk(database_url: str, *words: str) -> list[Any]:
    """What a command of ``sakk ledger`` prints, as JSON lines."""
    done = subprocess.run(
        [sys.executable, "-m", "sakk.cli", "ledger", *words, "--json"],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_replay_and_snapshot_come_to_what_verify_finds(database_url: str) -> None:
    fill(database_url)
    report = verify(database_url)
    [replayed] = sakk(database_url, "replay")
    [made] = sakk(database_url, "snapshot")
    [again] = sakk(database_url, "replay", "--from-snapshot")
    assert replayed["sequence"] == made["sequence"] == again["sequence"] == report.sequence
    assert {replayed["state_hash"], made["state_hash"], again["state_hash"]} == {report.state_hash}
    assert replayed["events"] > again["events"] == 0
    assert replayed["accounts"] == again["accounts"] == report.accounts
    assert replayed["transfers"] == again["transfers"] == report.transfers


def test_tail_tells_every_event_as_it_took_effect(database_url: str) -> None:
    now = [1_800_000_000 * 10**9]
    ledger = open_ledger(database_url, clock=lambda: now[0])
    first, second, hold, post, lost = (
        stored_id(uuid.UUID(int=0x4000_8000_0000_0000_0000 + k).int, livemode=False)
        for k in range(1, 6)
    )
    ledger.create_accounts([Account(first, UNIT, 1), Account(second, UNIT, 1)])
    pending = Transfer(hold, first, second, 40, UNIT, 9, TransferFlags.pending)
    whole = Transfer(post, 0, 0, AMOUNT_MAX, 0, 0, TransferFlags.post_pending, pending_id=hold)
    ledger.create_transfers([pending, whole])
    timed = Transfer(lost, first, second, 1, UNIT, 9, TransferFlags.pending, timeout_seconds=1)
    ledger.create_transfers([timed])
    now[0] += 2 * 10**9
    ledger.create_accounts([Account(first, UNIT, 2)])
    root = LiabilityRoot(5, b"\x06" * 32, total=40, epoch=1, leaves=2, unit=7, sequence=4)
    ledger.create_roots([root])
    ledger.close()
    told = sakk(database_url, "tail", "--after", "0", "--no-follow")
    assert [(each["event"], each.get("status")) for each in told] == [
        ("account", "created"),
        ("account", "created"),
        ("transfer", "created"),
        ("transfer", "created"),
        ("transfer", "created"),
        ("expired", None),
        ("account", "exists_with_different_code"),
        ("root", "created"),
    ]
    assert (told[7]["root"], told[7]["total"]) == ("06" * 32, 40)
    assert (told[7]["epoch"], told[7]["journal_sequence"], told[7]["leaves"]) == (1, 4, 2)
    moved = told[3]
    assert (moved["amount"], moved["pending_id"]) == (40, told[2]["id"])
    # Ids are shown as their owner wrote them.
    assert uuid.UUID(told[0]["id"]).variant == uuid.RFC_4122
    assert told[5]["id"] == told[4]["id"]
    groups = sakk(database_url, "tail", "--after", "1", "--no-follow", "--groups")
    assert [each["events"] for each in groups] == [2, 1, 1, 1]
    assert sakk(database_url, "tail", "--no-follow") == []


@pytest.mark.parametrize("signalled", [False, True])
def test_tail_follows_what_is_written_until_it_is_told_to_stop(
    database_url: str, signalled: bool
) -> None:
    ledger = open_ledger(database_url)
    ledger.create_accounts([Account(1, 7, 1)])
    process = subprocess.Popen(
        [sys.executable, "-m", "sakk.cli", "ledger", "tail", "--after", "0"]
        + ([] if signalled else ["--json"]),
        env={**os.environ, "DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert "created" in process.stdout.readline()
        ledger.create_accounts([Account(2, 7, 1)])
        line = process.stdout.readline()
        assert str(uuid.UUID(int=2)) in line
        process.terminate() if signalled else process.send_signal(2)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        ledger.close()


def test_following_begins_at_the_end_unless_told_otherwise(database_url: str) -> None:
    fill(database_url)
    assert list(follow(database_url)) == []
    rows = list(follow(database_url, after=0))
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    assert sum(1 for row in rows for _ in events(row)) >= sum(row.count for row in rows)
