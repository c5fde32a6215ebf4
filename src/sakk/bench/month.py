"""A month of two books with known errors in them, for the bench and the tests of matching.

Payments of many merchants go out and come back as lines of a statement, each with a reference, an
amount and a counterparty. Errors of seven kinds are put in by a seed, and what matching should say
of each is written down beside them, so that what it finds can be held against what is there.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sakk.core.matching import (
    Entry,
    Fault,
    Match,
    MatchingRules,
    Outcome,
    Rule,
    Side,
    match,
    merged,
    order,
)

MONTH_SECONDS: Final = 30 * 86_400
RULES: Final = MatchingRules(window_seconds=3 * 86_400, reference_seconds=10 * 86_400)
# A payment of so many has an error.
ERROR_EVERY: Final = 97
ERRORS: Final = ("missing", "doubled", "wrong", "late", "split", "swapped", "tampered")

Verdict = tuple[Rule | Fault, frozenset[str]]


@dataclass(slots=True)
class Month:
    """Two books, and what matching should say beyond that all else matches by its reference."""

    left: list[Entry] = field(default_factory=list)
    right: list[Entry] = field(default_factory=list)
    expected: set[Verdict] = field(default_factory=set)


def month(*, merchants: int, payments: int, seed: int) -> Month:
    """So many payments of so many merchants, of which some have one of the errors each."""
    chance = random.Random(seed)
    made = Month()
    number = 0
    while number < payments:
        ours = [_payment(number + n, merchants, payments, chance) for n in range(2)]
        error = ERRORS[number // 2 // ERROR_EVERY % len(ERRORS)]
        is_error = number // 2 % ERROR_EVERY == 0
        if is_error and error == "swapped":
            _swapped(made, *ours)
            number += 2
            continue
        _put(made, ours[0], error if is_error else None, chance)
        number += 1
    made.left.sort(key=order)
    made.right.sort(key=order)
    return made


def unexpected(made: Month) -> tuple[set[Verdict], set[Verdict]]:
    """What matching did not find of what is there, and what it found that is not."""
    found = {
        verdict
        for outcome in outcomes(made)
        if (verdict := _verdict(outcome))[0] is not Rule.reference
    }
    return made.expected - found, found - made.expected


def outcomes(made: Month) -> Iterator[Outcome]:
    """What matching says of a month."""
    return match(merged(made.left, made.right), RULES)


def _verdict(outcome: Outcome) -> Verdict:
    why = outcome.rule if isinstance(outcome, Match) else outcome.fault
    return why, frozenset(each.id for each in (*outcome.left, *outcome.right))


def _payment(number: int, merchants: int, payments: int, chance: random.Random) -> Entry:
    at = number * MONTH_SECONDS // payments
    units = chance.randrange(2, 10**9) * 10
    return Entry(
        at, Side.left, f"p{number}", units, "eur", (f"e2e{number}",), f"iban{number % merchants}"
    )


def _line(payment: Entry, chance: random.Random, *, name: str = "l", units: int = 0) -> Entry:
    """The line that a payment should have, within two days."""
    return payment._replace(
        at=payment.at + chance.randrange(1, 2 * 86_400),
        side=Side.right,
        id=name + payment.id,
        units=payment.units + units,
    )


def _put(made: Month, payment: Entry, error: str | None, chance: random.Random) -> None:
    line = _line(payment, chance)
    made.left.append(payment)
    match error:
        case "missing":
            made.expected.add((Fault.left_alone, frozenset({payment.id})))
        case "doubled":
            double = line._replace(at=line.at + 1, id=f"d{line.id}")
            made.right += [line, double]
            made.expected.add((Fault.duplicate, frozenset({double.id})))
        case "wrong":
            made.right.append(line._replace(units=line.units - 1))
            made.expected.add((Fault.amount_differs, frozenset({payment.id, line.id})))
        case "late":
            made.right.append(line._replace(at=payment.at + 6 * 86_400))
            made.expected.add((Rule.reference_late, frozenset({payment.id, line.id})))
        case "split":
            part = payment.units // 3
            parts = [
                line._replace(units=part, id=f"a{line.id}"),
                line._replace(units=payment.units - part, id=f"b{line.id}"),
            ]
            made.right += parts
            ids = frozenset({payment.id, *(each.id for each in parts)})
            made.expected.add((Rule.reference_sum, ids))
        case "tampered":
            made.left[-1] = payment._replace(units=payment.units + 10**6)
            made.right.append(line)
            made.expected.add((Fault.amount_differs, frozenset({payment.id, line.id})))
        case _:
            made.right.append(line)


def _swapped(made: Month, one: Entry, other: Entry) -> None:
    """Two payments of one amount, whose lines have each other's reference."""
    other = other._replace(units=one.units)
    made.left += [one, other]
    for payment, beside in ((one, other), (other, one)):
        line = payment._replace(
            side=Side.right, id=f"l{payment.id}", at=payment.at + 60, references=beside.references
        )
        made.right.append(line)
        made.expected.add((Fault.counterparty_differs, frozenset({beside.id, line.id})))
