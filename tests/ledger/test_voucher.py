"""Vouchers in the journal: kept with what they pay, told again by a replay, and by rows once."""

import secrets
from contextlib import closing
from dataclasses import astuple, replace
from datetime import UTC, datetime

import pytest

from sakk.core import ids
from sakk.core.escrow_channel import PREFIX
from sakk.ledger.calls import Op
from sakk.ledger.compiled.rows import Book as CompiledBook
from sakk.ledger.group import Kind, Outcome, Request
from sakk.ledger.journal import GROUP, decode_group, encode_group, next_row, row_hash
from sakk.ledger.machine import Make, new_machine
from sakk.ledger.projection import LATE_SECONDS, catch_up, lag
from sakk.ledger.record import encode_accounts, encode_results, encode_transfers
from sakk.ledger.replay import JournalBroken, apply_row, genesis, take_snapshot
from sakk.ledger.rows import ReferenceBook
from sakk.ledger.tail import events
from sakk.ledger.types import Account, Transfer
from sakk.ledger.verify import verify
from sakk.ledger.voucher import (
    CHANNELS_MIN,
    KeptVoucher,
    Remembered,
    decode_vouchers,
    encode_voucher,
    highest,
    kept_vouchers,
    vouchers_in,
)
from sakk.ledger.writer import open_ledger
from sakk.store import escrow_channel as store
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.journal import JournalRow, connect, journal_after
from sakk.store.projection import read_cursor, waits_since

SECOND = 1_000_000_000
TAIL_ROWS = 4_200


def voucher(channel: bytes, ceiling: int) -> KeptVoucher:
    return KeptVoucher(channel, ceiling, secrets.token_bytes(65))


def records(*vouchers: KeptVoucher) -> bytes:
    return b"".join(map(encode_voucher, vouchers))


def test_a_record_says_all_of_a_voucher() -> None:
    there = [voucher(secrets.token_bytes(16), ceiling) for ceiling in (0, 1, 2**128 - 1)]
    assert decode_vouchers(records(*there)) == there
    with pytest.raises(ValueError, match="65 bytes"):
        encode_voucher(KeptVoucher(bytes(16), 1, bytes(64)))


def test_both_machines_keep_them_beside_transfers_and_change_nothing() -> None:
    """A machine's state is the same without them; the row holds them as they came."""
    kept = records(voucher(b"a" * 16, 5), voucher(b"b" * 16, 7), voucher(b"a" * 16, 3))
    accounts = Request(
        Kind.create_accounts, encode_accounts([Account(1, unit=7, code=1), Account(2, 7, 1)])
    )
    moved = Request(Kind.create_transfers, encode_transfers([Transfer(9, 1, 2, 4, unit=7, code=3)]))
    group = [accounts, Request(Kind.keep_vouchers, kept), moved]
    outcomes, states = [], []
    for make in Make:
        machine = new_machine(make)
        outcomes.append(machine.apply(group, 60 * SECOND))
        states.append(machine.lookup_accounts((1).to_bytes(16, "big")))
        assert machine.transfer_count == 1
    assert outcomes[0] == outcomes[1]
    assert states[0] == states[1] != bytes(128)
    times = range(60 * SECOND - 3, 60 * SECOND)
    assert outcomes[0].outcomes[1] == Outcome(encode_results(times, bytes(3)))
    payload = encode_group(group, outcomes[0])
    assert decode_group(payload).requests == group
    assert vouchers_in(payload) == kept
    assert highest([payload])[b"a" * 16][0] == 5
    row = JournalRow(0, 1, 1, 60 * SECOND, 6, bytes(32), bytes(32), payload)
    assert apply_row(new_machine(), row) is None
    assert [each["event"] for each in events(row)][2:5] == ["voucher"] * 3
    # Rows of accounts and transfers are made as if they were not there.
    pages = []
    for book in (ReferenceBook(0), CompiledBook(0)):
        book.read([row])
        assert (book.missing_holds(), book.missing_accounts()) == ([], [])
        pages.append(book.page())
    assert pages[0] == pages[1]


def test_the_highest_is_known_at_once_and_stands_in_rows_later(
    database_url: str, database: Database
) -> None:
    first, second = new_id(PREFIX), new_id(PREFIX)
    numbers = [ids.decode(each)[1].to_bytes(16, "big") for each in (first, second)]
    low, high, other = voucher(numbers[0], 5), voucher(numbers[0], 9), voucher(numbers[1], 2)

    with closing(open_ledger(database_url)) as ledger:

        def known() -> dict[str, tuple[int, bytes]]:
            return kept_vouchers(ledger, database, [first, second])

        assert known() == {}
        ledger.calls.call(Op.keep_vouchers, records(high, low))
        # On disk, and told, before anybody has written a row.
        assert known() == {first: (9, high.signature)}
        with connect(database_url) as driver:
            [row] = journal_after(driver, 0, 0, limit=10)
        assert vouchers_in(row.payload) == records(high, low)
        catch_up(database_url)
        assert known() == {first: (9, high.signature)}
        ledger.calls.call(Op.keep_vouchers, records(low, other))
        both = {first: (9, high.signature), second: (2, other.signature)}
        assert known() == both
        catch_up(database_url)
        with database.begin() as connection:
            assert store.vouchers_of(connection, [first, second]) == both
    report = verify(database_url)
    assert (report.ok, report.vouchers) == (True, 2)


def test_the_newest_is_known_however_far_the_rows_are_behind(
    database_url: str, database: Database
) -> None:
    """The projection stands still: more rows are behind it than anybody would read for a call."""
    mine = new_id(PREFIX)
    number = ids.decode(mine)[1].to_bytes(16, "big")
    newest = voucher(number, 9)
    machine, rows = new_machine(), [genesis(0)]
    for place in range(TAIL_ROWS):
        kept = newest if place == TAIL_ROWS - 9 else voucher(place.to_bytes(16, "big"), 1)
        group = [Request(Kind.keep_vouchers, records(kept))]
        at = (60 + place) * SECOND
        payload = encode_group(group, machine.apply(group, at))
        rows.append(next_row(rows[-1], epoch=0, timestamp_ns=at, payload=payload, count=1))
    columns = [astuple(row) for row in rows[1:]]
    with connect(database_url) as driver, driver.cursor() as cursor:
        with cursor.copy("COPY ledger_journal FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", *["int8"] * 3, "int4", *["bytea"] * 3])
            for each in columns:
                copy.write_row(each)
    for _ in range(2):
        # First from the journal alone, then with a snapshot that is ahead of the rows.
        with closing(open_ledger(database_url)) as ledger:
            assert kept_vouchers(ledger, database, [mine]) == {mine: (9, newest.signature)}
        take_snapshot(database_url)
    with database.read() as connection:
        assert store.vouchers_of(connection, [mine]) == {}
        assert waits_since(connection) == datetime.fromtimestamp(60, UTC)
    assert lag(database_url).seconds > LATE_SECONDS


def test_what_stands_in_rows_is_forgotten() -> None:
    """What is remembered has one voucher a channel, and of those alone that no row shows."""
    remembered = Remembered()
    channels = [place.to_bytes(16, "big") for place in range(CHANNELS_MIN)]
    for sequence, channel in enumerate(channels, 1):
        assert not remembered.is_long
        remembered.keep(records(voucher(channel, 2), voucher(channel, 1)), sequence)
    remembered.forget(CHANNELS_MIN - 1)
    last = decode_vouchers(remembered.lookup(channels[-1]))
    assert [(each.channel, each.ceiling) for each in last] == [(channels[-1], 2)]
    assert remembered.lookup(channels[0]) == bytes(128)


def test_a_row_that_lacks_a_voucher_is_found(database_url: str, database: Database) -> None:
    lower, gone, foreign = (new_id(PREFIX) for _ in range(3))
    numbers = [ids.decode(each)[1].to_bytes(16, "big") for each in (lower, gone)]
    with closing(open_ledger(database_url)) as ledger:
        ledger.calls.call(Op.keep_vouchers, records(*(voucher(each, 9) for each in numbers)))
    catch_up(database_url)
    with database.begin() as connection:
        table = store.escrow_vouchers
        connection.execute(table.delete().where(table.c.channel_id == gone))
        connection.execute(table.update().where(table.c.channel_id == lower).values(ceiling=8))
        store.keep_vouchers(connection, {foreign: (1, secrets.token_bytes(65))})
    report = verify(database_url)
    assert {(each.check, each.place): each.message for each in report.breaks} == {
        ("voucher", f"escrow_vouchers {lower}"): "its total is 8, the journal has a voucher of 9",
        ("voucher", f"escrow_vouchers {gone}"): "is missing, the journal has a voucher of 9",
        ("voucher", f"escrow_vouchers {foreign}"): "neither the journal nor a channel knows it",
    }


def test_a_kind_that_a_newer_release_wrote_is_refused_in_words(database_url: str) -> None:
    """Nobody passes over what he does not know: not who replays, and not who writes rows."""
    with closing(open_ledger(database_url)) as ledger:
        ledger.calls.call(Op.keep_vouchers, records(voucher(b"a" * 16, 5)))
    with connect(database_url) as driver:
        [row] = journal_after(driver, 0, 0, limit=10)
        payload = bytearray(row.payload)
        payload[GROUP.size] = 1 + max(Kind)
        changed = replace(row, payload=bytes(payload))
        changed = replace(changed, hash=row_hash(changed))
        driver.execute(
            "UPDATE ledger_journal SET payload = %s, hash = %s", (changed.payload, changed.hash)
        )
    for book in (ReferenceBook(0), CompiledBook(0)):
        with pytest.raises(ValueError, match="kind 5, which this release does not know"):
            book.read([changed])
    with pytest.raises(JournalBroken, match=r"row 1 .*kind 5.* a newer one wrote it"):
        open_ledger(database_url)
    with pytest.raises(ValueError, match="kind 5"):
        catch_up(database_url)
    with connect(database_url) as driver:
        assert read_cursor(driver, 0).sequence == 0
