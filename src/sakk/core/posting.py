"""A posting: what a noun wants moved, before the ledger gives it ids.

The pure rules say which accounts, how much and why; ``flow`` turns a set of postings into linked
ledger transfers whose ids are a hash of (row, step, leg, attempt).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sakk.core.chart import LedgerAccount, TransferCode


@dataclass(frozen=True, slots=True)
class Posting:
    """Move ``amount`` of one unit from the credit side's account to the debit side's."""

    debit: LedgerAccount
    credit: LedgerAccount
    amount: int
    code: TransferCode

    def __post_init__(self) -> None:
        if self.debit.unit != self.credit.unit:
            raise ValueError(f"{self.debit.name} and {self.credit.name} are of two units")
        if self.amount <= 0:
            raise ValueError(f"a posting moves more than zero, not {self.amount}")


def reversed_postings(postings: list[Posting], code: TransferCode) -> list[Posting]:
    """The same movements the other way round, last first."""
    return [
        Posting(debit=each.credit, credit=each.debit, amount=each.amount, code=code)
        for each in reversed(postings)
    ]


def merged(postings: Iterable[Posting]) -> list[Posting]:
    """One posting for all that move the same way for the same reason, in the order of the first."""
    amounts: dict[tuple[LedgerAccount, LedgerAccount, TransferCode], int] = {}
    for each in postings:
        way = (each.debit, each.credit, each.code)
        amounts[way] = amounts.get(way, 0) + each.amount
    return [
        Posting(debit, credit, amount, code) for (debit, credit, code), amount in amounts.items()
    ]
