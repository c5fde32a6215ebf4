"""Clients: they post, repeat, ask, lose answers, and never give up."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from sakk.ledger.calls import Op
from sakk.ledger.record import encode_accounts, encode_ids, encode_transfers
from sakk.ledger.types import Account, AccountFlags, Transfer, TransferFlags

Question = tuple[Op, bytes]

UNIT = 7
LIMITED = (3, 4, 5)
ACCOUNTS = [
    Account(1, unit=UNIT, code=1),
    Account(2, unit=UNIT, code=1, flags=AccountFlags.history),
    *(
        Account(k, unit=UNIT, code=2, flags=AccountFlags.debits_must_not_exceed_credits)
        for k in LIMITED
    ),
]
OPEN: Question = (Op.create_accounts, encode_accounts(ACCOUNTS))


class Writing:
    """What one client asks, question by question; ids are its own, unless it repeats."""

    def __init__(self, random: Random, number: int, shared: list[Question]) -> None:
        self._random = random
        self._next_id = number * 1_000_000 + 1
        self._holds: list[Transfer] = []
        self._shared = shared  # what anybody asked: some of it is asked again

    def questions(self, count: int) -> Iterator[Question]:
        yield OPEN
        for _ in range(count):
            yield self._question()

    def _question(self) -> Question:
        kind = self._random.random()
        if kind < 0.35:
            return self._read()
        if kind < 0.47 and self._shared:
            return self._random.choice(self._shared)
        batch = [transfer for _ in range(self._random.randint(1, 2)) for transfer in self._event()]
        question = (Op.create_transfers, encode_transfers(batch))
        self._shared.append(question)
        return question

    def _read(self) -> Question:
        kind = self._random.randrange(3)
        if kind == 0:
            return Op.lookup_accounts, encode_ids([account.id for account in ACCOUNTS])
        newest = max(self._next_id - 1, 1)
        ids = [max(1, newest - self._random.randrange(6)) for _ in range(3)]
        return (Op.lookup_transfers, Op.lookup_results)[kind - 1], encode_ids(ids)

    def _event(self) -> list[Transfer]:
        kind = self._random.random()
        if kind < 0.35:
            return [self._move()]
        if kind < 0.5:
            # A chain, whose last link may be refused for lack of money.
            count = self._random.randint(2, 3)
            return [
                self._move(flags=TransferFlags.linked if k < count - 1 else TransferFlags.none)
                for k in range(count)
            ]
        if kind < 0.6:
            known, other = self._move(), self._random.randint(1, 9)
            return [known, replace(known, amount=other)]  # one id, perhaps two bodies
        if kind < 0.8 or not self._holds:
            hold = self._move(
                flags=TransferFlags.pending, timeout_seconds=self._random.choice((0, 1, 2, 5))
            )
            self._holds.append(hold)
            return [hold]
        hold = self._random.choice(self._holds)
        flags = self._random.choice((TransferFlags.post_pending, TransferFlags.void_pending))
        amount = hold.amount if flags == TransferFlags.post_pending else 0
        return [Transfer(self._id(), 0, 0, amount, 0, 0, flags, pending_id=hold.id)]

    def _move(
        self, *, flags: TransferFlags = TransferFlags.none, timeout_seconds: int = 0
    ) -> Transfer:
        free = self._random.random() < 0.6
        debit = self._random.choice((1, 2) if free else LIMITED)
        credit = self._random.choice([a.id for a in ACCOUNTS if a.id != debit])
        amount = self._random.randint(1, 60)
        return Transfer(
            self._id(), debit, credit, amount, UNIT, 1, flags, timeout_seconds=timeout_seconds
        )

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id
