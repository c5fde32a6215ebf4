"""Bank proofs: the ledger's money at banks against their statements, and orders against lines.

An account's balance in the ledger is the closing balance of its last believed statement, less what
its lines still have to be booked, and each posting on it is one line's: where they are not, the
posting or the line is named. Orders that a bank was sent and lines that nothing names are matched;
what is left of them when banks have had their time is found, and so is a line that can not be
booked. What a bank took otherwise than agreed for money that goes back is found until two people
have corrected it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from heapq import merge
from itertools import groupby
from typing import Any, Final, NamedTuple

from sakk.core.matching import Entry, Fault, MatchingRules, Mismatch, Side, match, merged, order
from sakk.core.reconciliation import IN_FLIGHT_MAX, BreakKind, Finding, Suspended

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
class UnbookedLine:
    """A line of a believed statement that is on its way to the ledger, since then."""

    id: str
    unit: str
    units: int
    status: str
    failures: int
    since: datetime


class Posting(NamedTuple):
    """A movement on a bank's ledger account, as lines count it: above zero came in.

    ``row``: the number of the row's id that it was booked for.
    """

    row: int
    id: str
    units: int
    is_correction: bool


class Line(NamedTuple):
    """A line that has, or (not ``is_booked``) may have, a posting for that row."""

    row: int
    id: str
    units: int
    is_booked: bool


@dataclass(slots=True)
class Pairing:
    """What is left when every posting of an account has found its line.

    ``early_units``: of lines whose posting is there before their row says so.
    """

    unit: str
    bank_account: str
    postings: list[Posting] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    early_units: int = 0

    @property
    def difference(self) -> int:
        """What the bank has beyond the ledger by what is left."""
        return sum(each.units for each in self.lines) - sum(each.units for each in self.postings)


@dataclass(frozen=True, slots=True)
class ReturnDifference:
    """What the ``line`` of a return took beyond what was agreed to, or (below zero) sent too little
    of it, which stands in ``account``, in suspense.

    ``corrected_units``: what corrections of its break brought back there, less what they took.
    """

    id: str
    line: str
    account: str
    unit: str
    units: int
    corrected_units: int

    @property
    def left(self) -> int:
        """What suspense has too much by it, or (below zero) too little; zero is explained."""
        return self.corrected_units - self.units

    def to_document(self) -> dict[str, Any]:
        return {
            "bank_return": self.id,
            "line": self.line,
            "account": self.account,
            "units": str(self.units),
            "corrected_units": str(self.corrected_units),
        }


@dataclass(frozen=True, slots=True)
class BankMoment:
    """What the database says of banks at one moment: what is to be proved, and what to match."""

    balances: Sequence[BankBalance] = ()
    broken: Sequence[BrokenStatement] = ()
    movements: Sequence[Movement] = ()
    unbooked: Sequence[UnbookedLine] = ()
    pairings: Sequence[Pairing] = ()
    differences: Sequence[ReturnDifference] = ()


def paired(
    postings: Iterable[Posting], lines: Iterable[Line], *, unit: str, bank_account: str
) -> Pairing:
    """Hold the postings of an account against its lines, both in the order of their rows.

    A correction stands in the place of a line's posting that is missing, or takes back one that
    nobody's line is.
    """
    left = Pairing(unit, bank_account)
    sides: tuple[Iterable[Posting | Line], ...] = (postings, lines)
    both = merge(*sides, key=_row_of)
    for _, group in groupby(both, key=_row_of):
        alone: list[Posting] = []
        waiting: list[Line] = []
        for each in group:
            (alone if isinstance(each, Posting) else waiting).append(each)  # type: ignore[arg-type]
        rest: list[Line] = []
        for line in waiting:
            mine = next((each for each in alone if each.units == line.units), None)
            if mine is None:
                rest.append(line)
            else:
                alone.remove(mine)
                left.early_units += 0 if line.is_booked else line.units
        total = sum(each.units for each in alone)
        both_are = next((each for each in rest if len(alone) > 1 and each.units == total), None)
        if both_are is not None:
            # One debit of a provider's, with its fee: two postings.
            rest.remove(both_are)
            alone = []
            left.early_units += 0 if both_are.is_booked else both_are.units
        left.lines += [each for each in rest if each.is_booked]
        left.postings += alone
    _corrected(left)
    return left


def _row_of(each: Posting | Line) -> int:
    return each.row


def _corrected(left: Pairing) -> None:
    for each in [posting for posting in left.postings if posting.is_correction]:
        line = next((line for line in left.lines if line.units == each.units), None)
        wrong = next(
            (
                other
                for other in left.postings
                if not other.is_correction and other.units == -each.units
            ),
            None,
        )
        if line is not None:
            left.lines.remove(line)
        elif wrong is not None:
            left.postings.remove(wrong)
        else:
            continue
        left.postings.remove(each)


def difference_key(identifier: str) -> str:
    """By which runs know a return's difference."""
    return f"bank_return:{identifier}"


def others_suspense(
    suspense: Iterable[Suspended], differences: Iterable[ReturnDifference]
) -> list[Suspended]:
    """What stands in suspense beside the differences of returns, each of which is a break of its
    own: corrected by that one, it is not to be corrected a second time."""
    found = {each.account: each for each in suspense}
    for each in differences:
        stands = found.get(each.account)
        units = (0 if stands is None else stands.units) - each.left
        found[each.account] = Suspended(each.account, each.unit, units)
    return [each for each in found.values() if each.units]


def findings_of_banks(moment: BankMoment, *, now: datetime) -> list[Finding]:
    """What does not agree."""
    named = {each.bank_account: each.difference for each in moment.pairings}
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
        # What is named one by one is not told a second time.
        if each.difference != named.get(each.bank_account, 0)
    ]
    for pairing in moment.pairings:
        found += _unpaired(pairing)
    found += [
        Finding(
            f"bank_line_unbooked:{each.id}",
            SCOPE,
            BreakKind.in_flight,
            each.id,
            each.unit,
            each.units,
            f"{each.units} {each.status} since {each.since:%Y-%m-%d %H:%M} UTC and not booked,"
            f" after {each.failures} refusals",
        )
        for each in moment.unbooked
        if now - each.since > IN_FLIGHT_MAX
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
    found += [_differs(each) for each in moment.differences if each.left]
    return found + [
        _finding(each)
        for each in match(_entries(moment.movements), RULES)
        if isinstance(each, Mismatch) and not _is_young(each, now.date().toordinal())
    ]


def _differs(each: ReturnDifference) -> Finding:
    what = "took {} beyond what was agreed to" if each.units > 0 else "sent {} too little"
    more = f"{abs(each.left)} too {'much' if each.left > 0 else 'little'}"
    return Finding(
        difference_key(each.id),
        SCOPE,
        BreakKind.amount_differs,
        each.id,
        each.unit,
        each.left,
        f"by {each.line} the bank {what.format(abs(each.units))} for {each.id}: {each.account} has"
        f" {more} until two people correct it here",
    )


def _unpaired(pairing: Pairing) -> Iterator[Finding]:
    """Each posting without a line, and each line without its posting."""
    account, unit = pairing.bank_account, pairing.unit
    for each in pairing.postings:
        yield Finding(
            f"bank_posting:{each.id}",
            SCOPE,
            BreakKind.ledger_without_bank,
            each.id,
            unit,
            -each.units,
            f"the ledger's transfer {each.id} moves {each.units} on bank:{account}, and no line of"
            " its statements does",
        )
    for line in pairing.lines:
        yield Finding(
            f"bank_line_unposted:{line.id}",
            SCOPE,
            BreakKind.bank_without_ledger,
            line.id,
            unit,
            line.units,
            f"{line.id} of {line.units} is booked, and bank:{account} has no transfer of it",
        )


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


def _is_young(found: Mismatch, today: int) -> bool:
    """May the other side of it still come?"""
    if found.fault not in (Fault.left_alone, Fault.right_alone):
        return False
    newest = max(each.at for each in (*found.left, *found.right))
    return today - newest // DAY_SECONDS <= PATIENCE_DAYS


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
