"""A posting: what a noun wants moved, before the ledger gives it ids.

The pure rules say which accounts, how much and why; ``flow`` turns a set of postings into linked
ledger transfers whose ids are a hash of (row, step, leg, attempt).
"""

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
