"""Any history, cut into any periods, comes to the same: no unit is lost, and none paid twice."""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as some

from sakk.core.settlement import MILLION, SettlementTerms, Sums, plan

LINES = some.lists(some.integers(-(10**9), 10**9), min_size=1, max_size=40)
CUTS = some.sets(some.integers(0, 40), max_size=12)


@dataclass
class Books:
    """One merchant's accounts in the ledger, and its settlements in rows."""

    available: int = 0
    reserve: int = 0
    owed: int = 0
    paid: int = 0
    # Of the statement: what is not settled yet, with the balance it opened with.
    opening: int = 0
    lines: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    standing: int = 0

    def move(self, amount: int, *, is_line: bool = True) -> None:
        """A payment, or one taken back: what the balance can not bear is owed (never below 0)."""
        taken = max(amount, -self.available)
        self.available += taken
        self.owed += taken - amount
        if is_line and taken:
            self.lines.append(taken)

    def settle(self, terms: SettlementTerms) -> None:
        """Close, book and pay, as the stages do."""
        closing = self.opening + sum(self.lines)
        assert closing == self.available, "statements replay to balances"
        found = Sums(
            lines=len(self.lines),
            credits=sum(each for each in self.lines if each > 0),
            debits=-sum(each for each in self.lines if each < 0),
            received=sum(self.lines),
            fees=0,
            closing=closing,
        )
        planned = plan(terms, "usdc", found, owed=self.owed, outstanding=0, standing=self.standing)
        taken = planned.owed + planned.reserved + planned.reserved_fixed
        assert 0 <= planned.payable <= closing
        assert taken + planned.payable <= closing
        self.opening, self.lines = closing, []
        self.owed -= planned.owed
        self.reserve += planned.reserved + planned.reserved_fixed
        self.standing += planned.reserved_fixed
        self.held.append(planned.reserved)
        self.paid += planned.payable
        self.lines += [-each for each in (taken, planned.payable) if each]
        self.available -= taken + planned.payable

    def release(self) -> None:
        """All rolling reserves come back."""
        back = sum(self.held)
        self.held, self.reserve = [], self.reserve - back
        self.available += back
        if back:
            self.lines.append(back)

    @property
    def worth(self) -> int:
        return self.available + self.reserve + self.paid - self.owed


@given(
    lines=LINES,
    cuts=CUTS,
    others=CUTS,
    ppm=some.integers(0, MILLION),
    fixed=some.integers(0, 10**9),
    minimum=some.integers(0, 10**6),
)
def test_any_slicing_comes_to_the_same(
    lines: list[int], cuts: set[int], others: set[int], ppm: int, fixed: int, minimum: int
) -> None:
    terms = replace(
        SettlementTerms(),
        reserve_ppm=ppm,
        reserve_days=7,
        reserve_fixed={"usdc": fixed},
        minimum={"usdc": minimum},
    )
    ends = []
    for slicing in (cuts, others):
        books = Books()
        for number, amount in enumerate(lines):
            books.move(amount)
            if number in slicing:
                books.settle(terms)
                assert min(books.available, books.reserve, books.paid, books.owed) >= 0
        assert books.worth == sum(lines)
        # In the end nothing is held back: everything that is the merchant's is paid.
        books.settle(terms)
        books.release()
        books.settle(SettlementTerms())
        books.settle(SettlementTerms())
        assert (books.available, books.reserve) == (0, 0)
        ends.append(books.paid - books.owed)
    assert ends == [sum(lines)] * 2
