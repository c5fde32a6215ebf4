"""The writer at a bench: transfers a second through its interface, each durable when answered.

Callers hand over records (``sakk.ledger.record``), as a socket does, and wait for each answer, so
groups form as they do in service. One transfer in a hundred repeats an earlier one and one in a
hundred is refused, because real callers do both.
"""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sakk.bench.figures import WrongResult
from sakk.ledger.calls import Op, OpenLedger
from sakk.ledger.record import (
    ACCOUNT,
    ID_ZERO,
    RESERVED,
    TRANSFER,
    decode_account,
    decode_results,
    encode_id,
    split,
)
from sakk.ledger.types import (
    BATCH_MAX,
    AccountFlags,
    CreateTransferStatus,
    TransferFlags,
)

ACCOUNTS = 10_000
POOR = 1  # an account that may not overdraw and holds nothing
HOT = 2
FIRST_ACCOUNT = 3
UNIT = 7
CODE = 1
AMOUNT_MAX = 1_000
REPEATED_EVERY = 100
REFUSED_EVERY = 100
SEED = 8402
LINKED, PENDING = TransferFlags.linked.value, TransferFlags.pending.value
POST, VOID = TransferFlags.post_pending.value, TransferFlags.void_pending.value
WHOLE = b"\xff" * 16
ACCEPTED = (CreateTransferStatus.created, CreateTransferStatus.exists)
EXPECTED = frozenset((*ACCEPTED, CreateTransferStatus.exceeds_credits))

# Pairs of accounts, without end.
Pairs = Callable[[random.Random], tuple[int, int]]
Batches = list[bytes]


@dataclass(slots=True)
class Flood:
    """What a number of transfers over a number of callers took. ``created``: of them, new."""

    transfers: int = 0
    created: int = 0
    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Transfers a second, the repeated and the refused ones too."""
        return self.transfers / self.seconds


def uniform(chance: random.Random) -> tuple[int, int]:
    """Two different accounts, each as likely as another."""
    debit = chance.randrange(ACCOUNTS)
    credit = (debit + 1 + chance.randrange(ACCOUNTS - 1)) % ACCOUNTS
    return FIRST_ACCOUNT + debit, FIRST_ACCOUNT + credit


def hot(chance: random.Random) -> tuple[int, int]:
    """Everybody pays one merchant."""
    return FIRST_ACCOUNT + chance.randrange(ACCOUNTS), HOT


class Source:
    """Batches of records with ids that no batch before them had. The same seed, the same bytes."""

    def __init__(self) -> None:
        self._chance = random.Random(SEED)
        self._ids = itertools.count(1 << 64)
        self._earlier: list[bytes] = []

    def accounts(self) -> Iterator[bytes]:
        """Requests that create every account."""
        records = [
            _account(number, AccountFlags.debits_must_not_exceed_credits if number == POOR else 0)
            for number in range(1, FIRST_ACCOUNT + ACCOUNTS)
        ]
        for start in range(0, len(records), BATCH_MAX):
            yield b"".join(records[start : start + BATCH_MAX])

    def account_ids(self) -> Iterator[bytes]:
        """Requests that look every account up."""
        numbers: Sequence[int] = range(1, FIRST_ACCOUNT + ACCOUNTS)
        for start in range(0, len(numbers), BATCH_MAX):
            yield b"".join(map(encode_id, numbers[start : start + BATCH_MAX]))

    def plain(self, *, size: int, count: int, pairs: Pairs = uniform) -> Batches:
        """``count`` batches of plain transfers; a few are repeated, a few will be refused."""
        return [b"".join([self._plain(pairs) for _ in range(size)]) for _ in range(count)]

    def endless(self, *, size: int, ready: int) -> Iterator[bytes]:
        """``ready`` batches that are made now, and then as many more as are taken."""
        made = self.plain(size=size, count=ready)
        return itertools.chain(made, (self.plain(size=size, count=1)[0] for _ in itertools.count()))

    def mixed(self, *, size: int, count: int) -> Batches:
        """All kinds: of ten, three open a hold, post it or void it, and two are a linked pair."""
        return [self._mixed_batch(size) for _ in range(count)]

    def _plain(self, pairs: Pairs) -> bytes:
        draw = self._chance.randrange(REPEATED_EVERY * REFUSED_EVERY)
        if draw % REPEATED_EVERY == 0 and self._earlier:
            return self._earlier[draw % len(self._earlier)]
        if draw % REFUSED_EVERY == 1:
            return self._transfer(POOR, HOT)
        record = self._transfer(*pairs(self._chance))
        if draw % REPEATED_EVERY == 2:
            self._earlier.append(record)
        return record

    def _mixed_batch(self, size: int) -> bytes:
        records: list[bytes] = []
        while len(records) + 10 <= size:
            hold = self._transfer(*uniform(self._chance), flags=PENDING)
            posted = self._transfer(*uniform(self._chance), flags=PENDING)
            records += (
                hold,
                self._settle(hold, VOID),
                posted,
                self._settle(posted, POST),
                self._transfer(*uniform(self._chance), flags=LINKED),
                self._transfer(*uniform(self._chance)),
                *(self._plain(uniform) for _ in range(4)),
            )
        records += [self._plain(uniform) for _ in range(size - len(records))]
        return b"".join(records)

    def _transfer(self, debit: int, credit: int, *, flags: int = 0) -> bytes:
        return TRANSFER.pack(
            encode_id(next(self._ids)),
            encode_id(debit),
            encode_id(credit),
            self._chance.randint(1, AMOUNT_MAX).to_bytes(16, "little"),
            ID_ZERO, ID_ZERO, UNIT, 0, 0, 0, CODE, flags,
        )  # fmt: skip

    def _settle(self, hold: bytes, flags: int) -> bytes:
        amount = WHOLE if flags & POST else ID_ZERO
        return TRANSFER.pack(
            encode_id(next(self._ids)),
            ID_ZERO, ID_ZERO, amount, hold[:16], ID_ZERO, 0, 0, 0, 0, 0, flags,
        )  # fmt: skip


def open_accounts(ledger: OpenLedger, source: Source) -> None:
    """Create what the batches move money between."""
    for request in source.accounts():
        _, statuses = decode_results(ledger.calls.call(Op.create_accounts, request))
        if any(statuses):
            raise WrongResult("the bench's accounts were not created")


def flood(ledger: OpenLedger, batches: Batches, *, callers: int) -> Flood:
    """Hand every batch over, ``callers`` of them at a time, and wait for all answers.

    WrongResult if an outcome is none of created, exists, and the refusal that was planned.
    """
    result = Flood()
    left = iter(batches)
    lock = threading.Lock()
    answers: list[bytes] = []
    failures: list[BaseException] = []

    def call_on() -> None:
        try:
            while True:
                with lock:
                    batch = next(left, None)
                if batch is None:
                    return
                began = time.perf_counter()
                answer = ledger.calls.call(Op.create_transfers, batch)
                result.milliseconds.append((time.perf_counter() - began) * 1000)
                answers.append(answer)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call_on, daemon=True) for _ in range(callers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.seconds = time.perf_counter() - started
    if failures:
        raise failures[0]
    for answer in answers:
        _, statuses = decode_results(answer)
        result.transfers += len(statuses)
        result.created += statuses.count(CreateTransferStatus.created)
        if not EXPECTED.issuperset(statuses):
            wrong = CreateTransferStatus(next(each for each in statuses if each not in EXPECTED))
            raise WrongResult(f"a transfer of the bench ended as {wrong.name}")
    return result


def check_totals(ledger: OpenLedger) -> None:
    """WrongResult unless debits are credits, and every hold of the bench was settled."""
    sums = [0, 0, 0, 0]
    for ids in Source().account_ids():
        for record in split(ledger.calls.call(Op.lookup_accounts, ids)):
            account: Any = decode_account(record)
            sums[0] += account.debits_posted
            sums[1] += account.credits_posted
            sums[2] += account.debits_pending
            sums[3] += account.credits_pending
    if sums[0] != sums[1] or sums[2:] != [0, 0]:
        raise WrongResult(f"debits {sums[0]}, credits {sums[1]}, pending {sums[2:]}")


def _account(number: int, flags: int) -> bytes:
    return ACCOUNT.pack(
        encode_id(number), ID_ZERO, ID_ZERO, ID_ZERO, ID_ZERO, ID_ZERO, UNIT, 0, CODE, flags,
        RESERVED,
    )  # fmt: skip
