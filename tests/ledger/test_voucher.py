"""Vouchers in the journal: kept with what they pay, told again by a replay, and by rows once."""

import secrets
from contextlib import closing

import pytest

from sakk.core import ids
from sakk.core.escrow_channel import PREFIX
from sakk.ledger.calls import Op
from sakk.ledger.compiled.rows import Book as CompiledBook
from sakk.ledger.group import Kind, Outcome, Request
from sakk.ledger.journal import decode_group, encode_group
from sakk.ledger.machine import Make, new_machine
from sakk.ledger.projection import catch_up
from sakk.ledger.record import encode_accounts, encode_results, encode_transfers
from sakk.ledger.replay import apply_row
from sakk.ledger.rows import ReferenceBook
from sakk.ledger.tail import events
from sakk.ledger.types import Account, Transfer
from sakk.ledger.verify import verify
from sakk.ledger.voucher import (
    KeptVoucher,
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

SECOND = 1_000_000_000


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

    def known() -> dict[str, tuple[int, bytes]]:
        with database.begin() as connection:
            return kept_vouchers(connection, [first, second])

    with closing(open_ledger(database_url)) as ledger:
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
    assert verify(database_url).ok
