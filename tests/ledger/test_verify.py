"""Verification: quiet about a good ledger, loud and exact about every tampering."""

import psycopg
import pytest

from sakk.ledger.machine import Make
from sakk.ledger.projection import catch_up
from sakk.ledger.replay import take_snapshot
from sakk.ledger.types import AMOUNT_MAX, Account, AccountFlags, Transfer, TransferFlags
from sakk.ledger.verify import verify
from sakk.ledger.writer import open_ledger

SECOND = 1_000_000_000


def fill(database_url: str) -> None:
    """A small history with every kind of event, projected."""
    now = [1_800_000_000 * SECOND]
    ledger = open_ledger(database_url, clock=lambda: now[0])
    ledger.create_accounts(
        [
            Account(1, unit=7, code=1),
            Account(2, unit=7, code=1, flags=AccountFlags.history),
            Account(3, unit=7, code=1, flags=AccountFlags.debits_must_not_exceed_credits),
        ]
    )

    def move(identifier: int, debit: int, credit: int, amount: int, **more: int) -> Transfer:
        flags = TransferFlags(more.pop("flags", 0))
        return Transfer(identifier, debit, credit, amount, unit=7, code=1, flags=flags, **more)

    pending, post = TransferFlags.pending, TransferFlags.post_pending
    ledger.create_transfers([move(10, 1, 2, 500), move(11, 1, 3, 300, effective_at=SECOND)])
    ledger.create_transfers(
        [
            move(12, 3, 2, 100, flags=pending),
            move(13, 3, 2, 50, flags=pending, timeout_seconds=5),
            move(14, 3, 2, 20, flags=pending),
            move(15, 3, 1, 10_000),
        ]
    )
    ledger.create_transfers(
        [
            Transfer(16, 0, 0, 60, 0, 0, post, pending_id=12),
            Transfer(17, 0, 0, 0, 0, 0, TransferFlags.void_pending, pending_id=14),
            move(18, 3, 1, AMOUNT_MAX, flags=TransferFlags.balancing_debit),
        ]
    )
    now[0] += 6 * SECOND
    ledger.create_transfers([move(19, 2, 1, 1), move(20, 1, 2, 3, flags=pending)])
    ledger.close()
    take_snapshot(database_url)
    catch_up(database_url)


@pytest.mark.parametrize("make", Make)
def test_a_good_ledger_passes_and_says_what_it_looked_at(database_url: str, make: Make) -> None:
    """Also when the other machine replays than the one that wrote journal and snapshot."""
    fill(database_url)
    report = verify(database_url, make=make)
    assert report.machine == make
    assert report.breaks == []
    assert report.ok
    assert report.accounts == 3
    assert report.transfers == 10
    assert report.entries == 10
    assert report.snapshots == 1
    assert report.sequence == report.projected_sequence == report.journal_rows == 5
    assert report.as_dict()["ok"] is True


def test_an_empty_ledger_passes(database_url: str) -> None:
    assert verify(database_url).ok


def test_a_projection_that_trails_is_not_a_break(database_url: str) -> None:
    fill(database_url)
    ledger = open_ledger(database_url)
    ledger.create_transfers([Transfer(99, 1, 2, 5, unit=7, code=1)])
    ledger.close()
    report = verify(database_url)
    assert report.ok
    assert report.projected_sequence == report.sequence - 1


TAMPERINGS = {
    "a byte of a payload": (
        "UPDATE ledger_journal SET payload = set_byte(payload, 75, get_byte(payload, 75) # 1)"
        " WHERE sequence = 2",
        "hash_chain",
        "ledger_journal shard 0 sequence 2",
    ),
    "a row's hash": (
        "UPDATE ledger_journal SET hash = sha256(hash) WHERE sequence = 3",
        "hash_chain",
        "ledger_journal shard 0 sequence 3",
    ),
    "a payload and its hash": (
        "UPDATE ledger_journal SET payload = set_byte(payload, 72, get_byte(payload, 72) # 1),"
        " hash = sha256(hash) WHERE sequence = 2",
        "hash_chain",
        "ledger_journal shard 0 sequence 3",
    ),
    "a row's time": (
        "UPDATE ledger_journal SET timestamp_ns = timestamp_ns + 1 WHERE sequence = 4",
        "hash_chain",
        "ledger_journal shard 0 sequence 4",
    ),
    "a row's count": (
        "UPDATE ledger_journal SET count = count + 1 WHERE sequence = 4",
        "replay",
        "ledger_journal shard 0 sequence 4",
    ),
    "a missing row": (
        "DELETE FROM ledger_journal WHERE sequence = 3",
        "hash_chain",
        "ledger_journal shard 0 sequence 4",
    ),
    "a missing last row": (
        "DELETE FROM ledger_journal WHERE sequence = 5",
        "projection",
        "ledger_cursors shard 0",
    ),
    "a balance": (
        "UPDATE ledger_accounts SET credits_posted = credits_posted + 1"
        " WHERE id = '00000000-0000-0000-0000-000000000002'",
        "projection",
        "ledger_accounts 00000000-0000-0000-0000-000000000002",
    ),
    "an account's flags": (
        "UPDATE ledger_accounts SET flags = 0 WHERE id = '00000000-0000-0000-0000-000000000003'",
        "projection",
        "ledger_accounts 00000000-0000-0000-0000-000000000003",
    ),
    "a transfer's amount": (
        "UPDATE ledger_transfers SET amount = amount + 1"
        " WHERE id = '00000000-0000-0000-0000-00000000000a'",
        "projection",
        "ledger_transfers 00000000-0000-0000-0000-00000000000a",
    ),
    "a transfer's status": (
        "UPDATE ledger_transfers SET status = 'pending'"
        " WHERE id = '00000000-0000-0000-0000-00000000000d'",
        "projection",
        "ledger_transfers 00000000-0000-0000-0000-00000000000d",
    ),
    "a transfer that never was": (
        "INSERT INTO ledger_transfers SELECT gen_random_uuid(), shard, sequence,"
        " timestamp_ns + 1000000000, effective_at_ns, debit_account_id, credit_account_id,"
        " amount, unit, code, flags, timeout_seconds, user_data, pending_id, status"
        " FROM ledger_transfers LIMIT 1",
        "projection",
        "ledger_transfers ",
    ),
    "a hold that ended": (
        "UPDATE ledger_transfers SET status = 'voided'"
        " WHERE id = '00000000-0000-0000-0000-00000000000c'",
        "projection",
        "ledger_transfers 00000000-0000-0000-0000-00000000000c",
    ),
    "a hold that is open": (
        "UPDATE ledger_transfers SET status = 'expired'"
        " WHERE id = '00000000-0000-0000-0000-000000000014'",
        "projection",
        "ledger_transfers 00000000-0000-0000-0000-000000000014",
    ),
    "an account that never was": (
        "INSERT INTO ledger_accounts SELECT '00000000-0000-0000-0000-0000000000ff', shard, unit,"
        " code, flags, user_data, timestamp_ns, 0, 0, 0, 0 FROM ledger_accounts LIMIT 1",
        "projection",
        "ledger_accounts 00000000-0000-0000-0000-0000000000ff",
    ),
    "a missing account": (
        "DELETE FROM ledger_accounts WHERE id = '00000000-0000-0000-0000-000000000001'",
        "projection",
        "ledger_accounts 00000000-0000-0000-0000-000000000001",
    ),
    "a missing transfer": (
        "DELETE FROM ledger_transfers WHERE id = '00000000-0000-0000-0000-00000000000b'",
        "projection",
        "ledger_transfers 00000000-0000-0000-0000-00000000000b",
    ),
    "an entry's balance": (
        "UPDATE ledger_entries SET balance_after = 0 WHERE amount = 500",
        "projection",
        "ledger_entries account 00000000-0000-0000-0000-000000000002 at ",
    ),
    "an entry that never was": (
        "INSERT INTO ledger_entries SELECT account_id, timestamp_ns + 1, shard, effective_at_ns,"
        " amount, balance_after FROM ledger_entries WHERE amount = 500",
        "projection",
        "ledger_entries account 00000000-0000-0000-0000-000000000002 at ",
    ),
    "a missing history balance": (
        "DELETE FROM ledger_balances WHERE timestamp_ns ="
        " (SELECT max(timestamp_ns) FROM ledger_balances)",
        "projection",
        "ledger_balances account 00000000-0000-0000-0000-000000000002 at ",
    ),
    "a missing entry": (
        "DELETE FROM ledger_entries WHERE amount = -300",
        "projection",
        "ledger_entries account 00000000-0000-0000-0000-000000000001 at ",
    ),
    "a history balance": (
        "UPDATE ledger_balances SET credits_pending = 12345 WHERE timestamp_ns ="
        " (SELECT min(timestamp_ns) FROM ledger_balances)",
        "projection",
        "ledger_balances account 00000000-0000-0000-0000-000000000002 at ",
    ),
    "the cursor": (
        "UPDATE ledger_cursors SET sequence = sequence - 1",
        "projection",
        "ledger_transfers 00000000-0000-0000-0000-000000000013",
    ),
    "a snapshot's hash": (
        "UPDATE ledger_snapshots SET state_hash = sha256(state_hash)",
        "snapshot",
        "ledger_snapshots shard 0 sequence 5",
    ),
    "a byte of a snapshot": (
        "UPDATE ledger_snapshot_parts SET payload ="
        " set_byte(payload, length(payload) - 6, get_byte(payload, length(payload) - 6) # 1)"
        " WHERE part = 2",
        "snapshot",
        "ledger_snapshots shard 0 sequence 5",
    ),
    "a missing part of a snapshot": (
        "DELETE FROM ledger_snapshot_parts WHERE part = 3",
        "snapshot",
        "ledger_snapshots shard 0 sequence 5",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_and_named(database_url: str, name: str) -> None:
    statement, check, place = TAMPERINGS[name]
    fill(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute(statement).rowcount >= 1
    report = verify(database_url)
    assert not report.ok
    found = [each for each in report.breaks if each.check == check]
    assert any(each.place.startswith(place) for each in found), report.breaks


def test_a_damaged_snapshot_does_not_stop_the_ledger(database_url: str) -> None:
    fill(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE ledger_snapshot_parts SET payload = 'x' WHERE part = 1")
    ledger = open_ledger(database_url)
    account = ledger.lookup_accounts([2])[0]
    ledger.close()
    assert account is not None
    assert (account.credits_posted, account.debits_posted) == (560, 1)
