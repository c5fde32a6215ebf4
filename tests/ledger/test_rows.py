"""Rows from the journal: both books make the same bytes, and PostgreSQL reads them as meant."""

import random
import sys
from collections.abc import Callable, Sequence

import psycopg
import pytest
from tests.ledger.copied import Store, array, numeric, rows

from sakk.ledger.charge import CHARGE
from sakk.ledger.compiled.rows import Book as CompiledBook
from sakk.ledger.group import Kind, Request
from sakk.ledger.journal import encode_group, next_row
from sakk.ledger.record import encode_accounts, encode_roots, encode_transfers
from sakk.ledger.reference import ReferenceMachine
from sakk.ledger.replay import genesis
from sakk.ledger.rows import Book, ReferenceBook, new_book
from sakk.ledger.types import (
    AMOUNT_MAX,
    Account,
    AccountFlags,
    LiabilityRoot,
    Transfer,
    TransferFlags,
)
from sakk.store.copy import NUMERIC_OID, Binary, accept_binary
from sakk.store.copy import array as encode_array
from sakk.store.copy import numeric as encode_numeric
from sakk.store.journal import JournalRow

SECOND = 1_000_000_000
HISTORIES = 40
GROUPS = 30

F = TransferFlags
AMOUNTS = [0, 1, 9_999, 10_000, 10**8, 120_000_000, 2**64 - 1, 2**64, 2**127, AMOUNT_MAX]
KINDS = [
    F.none, F.none, F.none, F.linked, F.pending, F.pending, F.post_pending, F.post_pending,
    F.void_pending, F.balancing_debit, F.pending | F.closing_debit, F.pending | F.closing_credit,
]  # fmt: skip


def history(chance: random.Random) -> list[JournalRow]:
    """A journal with every kind of event: accounts of all flags, holds that run out, refusals."""
    machine, head, now = ReferenceMachine(), genesis(0), 1_800_000_000 * SECOND
    found: list[JournalRow] = []
    holds: list[int] = []
    for number in range(GROUPS):
        now += chance.choice([1, SECOND]) * 4
        requests = [_accounts(chance)] if number == 0 or chance.random() < 0.1 else []
        requests += [_transfers(chance, holds) for _ in range(chance.randrange(3))]
        if chance.random() < 0.2:
            requests.insert(0, _root(number + 1))
        count = sum(request.count for request in requests)
        now = max(now, machine.timestamp + count + 1)
        outcome = machine.apply(requests, now)
        head = next_row(
            head,
            epoch=1,
            timestamp_ns=now,
            payload=encode_group(requests, outcome),
            count=count,
        )
        found.append(head)
    return found


def _accounts(chance: random.Random) -> Request:
    flags = [AccountFlags.none, AccountFlags.history, AccountFlags.debits_must_not_exceed_credits]
    ids = chance.sample(range(1, 9), 6)
    accounts = [
        Account(each, unit=2**64 - 1, code=each, flags=chance.choice(flags), user_data=each)
        for each in ids
    ]
    return Request(Kind.create_accounts, encode_accounts(accounts))


def _root(epoch: int) -> Request:
    """No row follows from it."""
    root = LiabilityRoot(epoch, b"\x01" * 32, 5, epoch, leaves=1, unit=7, sequence=epoch)
    return Request(Kind.create_roots, encode_roots([root]))


def _transfers(chance: random.Random, holds: list[int]) -> Request:
    made = []
    for _ in range(chance.randrange(1, 9)):
        identifier, flags = chance.getrandbits(100) + 1, chance.choice(KINDS)
        debit, credit = chance.sample(range(1, 9), 2)
        amount = chance.choice(AMOUNTS) if chance.random() < 0.3 else chance.randrange(1, 10**6)
        if flags & (F.post_pending | F.void_pending):
            pending_id = chance.choice(holds) if holds else 1
            whole = chance.choice([AMOUNT_MAX, 3]) if flags & F.post_pending else 0
            made.append(
                Transfer(identifier, 0, 0, whole, 0, 0, flags, pending_id=pending_id,
                         user_data=chance.choice([0, 5]))
            )  # fmt: skip
            continue
        timeout = chance.choice([0, 1, 3]) if flags & F.pending else 0
        if flags & F.pending:
            holds.append(identifier)
        made.append(
            Transfer(
                identifier, debit, credit, amount, unit=2**64 - 1,
                code=chance.choice([3, CHARGE, CHARGE]), flags=flags,
                timeout_seconds=timeout, user_data=chance.choice([0, 7, 2**128 - 1]),
                effective_at=chance.choice([0, 0, 1, 2**63 - 1]),
            )
        )  # fmt: skip
    return Request(Kind.create_transfers, encode_transfers(made))


def feed(book: Book, store: Store, page: Sequence[JournalRow]) -> tuple[list[bytes], list[bytes]]:
    """Give a book what it lacks; returns what that was."""
    book.read(page)
    holds = book.missing_holds()
    book.add_holds(store.hold_records(holds))
    accounts = book.missing_accounts()
    book.add_accounts(store.account_records(accounts))
    return sorted(holds), sorted(accounts)


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_both_books_make_the_same_pages(seed: int) -> None:
    chance = random.Random(seed)
    journal = history(chance)
    books: tuple[Book, Book] = (ReferenceBook(0), CompiledBook(0))
    store, at = Store(), 0
    seen: set[bytes] = set()
    while at < len(journal):
        page = journal[at : at + chance.randrange(1, 9)]
        at += len(page)
        if chance.random() < 0.3:  # as after a page that was not committed
            for book in books:
                book.forget()
        lacking = [feed(book, store, page) for book in books]
        assert lacking[0] == lacking[1]
        reference, compiled = (book.page() for book in books)
        assert reference == compiled
        assert books[0].sequence == books[1].sequence == page[-1].sequence
        store.write(reference)
        seen |= {row[-1] or b"" for row in rows(reference.transfers)}
        seen |= {each.status.encode() for each in reference.settled}
    assert seen >= {b"posted", b"pending", b"expired"}


def test_pages_do_not_depend_on_where_they_are_cut() -> None:
    journal = history(random.Random(99))
    ends = []
    for size in (1, len(journal)):
        book, store = new_book(0), Store()
        for at in range(0, len(journal), size):
            feed(book, store, journal[at : at + size])
            store.write(book.page())
        ends.append((store.accounts, store.holds))
    assert ends[0] == ends[1]
    assert ends[0][1]


@pytest.mark.parametrize("make", [ReferenceBook, CompiledBook])
def test_what_was_never_written_is_named(make: Callable[[int], Book]) -> None:
    journal = history(random.Random(1))
    book = make(0)
    feed(book, Store(), journal[5:])
    with pytest.raises(KeyError):
        book.page()


@pytest.mark.parametrize("make", [ReferenceBook, CompiledBook])
@pytest.mark.parametrize(
    "payload", [b"", b"SKJ1", b"SKJ2" + bytes(8), b"SKJ1" + bytes(9), b"SKJ1\x01" + bytes(7)]
)
def test_a_payload_that_is_none_is_refused(make: Callable[[int], Book], payload: bytes) -> None:
    head = genesis(0)
    row = next_row(head, epoch=1, timestamp_ns=5, payload=payload, count=0)
    with pytest.raises(ValueError, match="payload"):
        make(0).read([row])


def test_where_nothing_is_built_plain_python_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(new_book(3), CompiledBook)
    monkeypatch.setitem(sys.modules, "sakk.ledger.compiled.rows", None)
    monkeypatch.delattr("sakk.ledger.compiled.rows")
    plain = new_book(3)
    assert isinstance(plain, ReferenceBook)
    assert plain.shard == 3


NUMBERS = sorted(
    {
        sign * (10**power + change)
        for sign in (1, -1)
        for power in (0, 3, 4, 5, 7, 8, 16, 19, 20, 38)
        for change in (-1, 0, 1)
    }
    | {0, AMOUNT_MAX, -AMOUNT_MAX}
)


def test_postgresql_reads_the_numbers_as_meant(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        accept_binary(connection)
        encoded = encode_array(NUMERIC_OID, [encode_numeric(each) for each in NUMBERS])
        found = connection.execute(
            "SELECT array_agg(n::text ORDER BY place), %b::numeric[] = %s::numeric[]"
            " FROM unnest(%b::numeric[]) WITH ORDINALITY AS t(n, place)",
            (Binary(encoded), [str(each) for each in NUMBERS], Binary(encoded)),
        ).fetchone()
    assert found == ([str(each) for each in NUMBERS], True)
    assert [numeric(each) for each in array(encoded)] == NUMBERS
