"""Bank proofs: the ledger's money at banks against their statements, and orders against lines.

An account's balance in the ledger is the closing balance of its last believed statement, less what
its lines still have to be booked. Orders that a bank was sent and lines that nothing names are
matched; what is left of them when banks have had their time is found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sakk.core.matching import Entry, Fault, MatchingRules, Mismatch, Side, match, merged, order
from sakk.core.reconciliation import BreakKind, Finding

SCOPE: Final = "bank"
DAY_SECONDS: Final = 86_400
# Banks book within some days; the same reference is the same order for longer.
RULES: Final = MatchingRules(window_seconds=5 * DAY_SECONDS, reference_seconds=60 * DAY_SECONDS)
# An order without a line, or a line without an order, is looked into after so many days.
PATIENCE_DAYS: Final = 5
_FAULTS: Final = {
    Fault.left_alone: BreakKind.ledger_without_bank,
    Fault.right_alone: BreakKind.bank_without_ledger,
    Fault.amount_differs: BreakKind.amount_differs,
    Fault.counterparty_differs: BreakKind.counterparty_differs,
    Fault.duplicate: BreakKind.duplicate,
}


@dataclass(frozen=True, slots=True)
class BankBalance:
    """One account of the operator's at a bank. ``unbooked_units``: lines that are still on the way,
    and the opening before the first of them is booked.

    ``statement_units``: the last believed statement's closing balance, or what it was opened with.
    """

    bank_account: str
    unit: str
    statement: str | None
    statement_units: int
    unbooked_units: int
    ledger_units: int

    @property
    def difference(self) -> int:
        """What the bank has beyond the ledger; zero is the proof."""
        return self.statement_units - self.unbooked_units - self.ledger_units

    def to_document(self) -> dict[str, Any]:
        return {
            "bank_account": self.bank_account,
            "unit": self.unit,
            "statement": self.statement,
            "statement_units": str(self.statement_units),
            "unbooked_units": str(self.unbooked_units),
            "ledger_units": str(self.ledger_units),
            "difference": str(self.difference),
        }


@dataclass(frozen=True, slots=True)
class BrokenStatement:
    """A believed statement whose lines do not lead to its closing balance any more."""

    statement: str
    unit: str
    difference: int


@dataclass(frozen=True, slots=True)
class Movement:
    """An order (``units`` below zero, since it goes out) or a line, as either book has it."""

    id: str
    side: Side
    unit: str
    units: int
    on: date
    reference: str | None
    counterparty: str | None


@dataclass(frozen=True, slots=True)
class BankMoment:
    """What the database says of banks at one moment: what is to be proved, and what to match."""

    balances: Sequence[BankBalance] = ()
    broken: Sequence[BrokenStatement] = ()
    movements: Sequence[Movement] = ()


def findings_of_banks(moment: BankMoment, *, today: date) -> list[Finding]:
    """What does not agree."""
    found = [
        Finding(
            f"bank:{each.bank_account}",
            SCOPE,
            BreakKind.bank_without_ledger if each.difference > 0 else BreakKind.ledger_without_bank,
            each.bank_account,
            each.unit,
            each.difference,
            f"the statement says {each.statement_units}, of which {each.unbooked_units} are not"
            f" booked yet, and the ledger {each.ledger_units}",
        )
        for each in moment.balances
        if each.difference
    ]
    found += [
        Finding(
            f"bank_statement:{each.statement}",
            SCOPE,
            BreakKind.row_differs,
            each.statement,
            each.unit,
            each.difference,
            "its lines do not lead to the balance that it closed with",
        )
        for each in moment.broken
    ]
    return found + [
        _finding(each)
        for each in match(_entries(moment.movements), RULES)
        if isinstance(each, Mismatch) and not _is_young(each, today)
    ]


def _entries(movements: Iterable[Movement]) -> Iterable[Entry]:
    sides: tuple[list[Entry], list[Entry]] = ([], [])
    for each in movements:
        sides[each.side].append(
            Entry(
                each.on.toordinal() * DAY_SECONDS,
                each.side,
                each.id,
                each.units,
                each.unit,
                () if each.reference is None else (each.reference,),
                each.counterparty,
            )
        )
    return merged(*(sorted(side, key=order) for side in sides))


def _is_young(found: Mismatch, today: date) -> bool:
    """May the other side of it still come?"""
    if found.fault not in (Fault.left_alone, Fault.right_alone):
        return False
    newest = max(each.at for each in (*found.left, *found.right))
    return today.toordinal() - newest // DAY_SECONDS <= PATIENCE_DAYS


def _finding(found: Mismatch) -> Finding:
    first, *rest = [*found.left, *found.right]
    beside = [each.id for each in rest] + ([] if found.twin is None else [found.twin])
    return Finding(
        f"bank_line:{first.id}",
        SCOPE,
        _FAULTS[found.fault],
        first.id,
        found.currency,
        found.difference,
        f"{first.id} of {first.units}" + (f", beside {', '.join(beside[:20])}" if beside else ""),
    )
