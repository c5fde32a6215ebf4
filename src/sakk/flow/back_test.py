"""Back-tests: what rules that nobody put in force would have done to the last transfers.

Each transfer is judged by the facts that were recorded with its last verdict. What the rules ask
for beside is counted anew from our own rows, as they stood at the time; what cannot be known any
more (an exposure of then, an issuer's answer, a country's listing) is said to be missing and not
guessed. Nothing is written.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core.rule import Rule
from sakk.core.screening import (
    CHECK,
    Facts,
    Reason,
    Screening,
    Verdict,
    facts_from_document,
    reason_to_document,
    request_of,
)
from sakk.core.verdict import Needs, decide, needs
from sakk.store import behaviour
from sakk.store.behaviour import Question
from sakk.store.screening import newest_screenings

LAST_DEFAULT: Final = 10_000
LAST_MAX: Final = 10_000
DIFFERENCES_MAX: Final = 1_000
BATCH_MAX: Final = 500
VERSION: Final = "tested"


@dataclass(frozen=True, slots=True)
class Difference:
    """A transfer on which these rules say another verdict than the one that was given."""

    screening: Screening
    verdict: Verdict
    reasons: tuple[Reason, ...]


@dataclass(slots=True)
class BackTest:
    """What came of it. ``untested``: from before facts were kept. Rules by name, in transfers."""

    compared: int = 0
    untested: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    was: Counter[str] = field(default_factory=Counter)
    would_be: Counter[str] = field(default_factory=Counter)
    rules_were: Counter[str] = field(default_factory=Counter)
    rules_would_be: Counter[str] = field(default_factory=Counter)
    changed: int = 0
    differences: list[Difference] = field(default_factory=list)


def back_test(
    connection: Connection,
    rules: Sequence[Rule],
    *,
    livemode: bool,
    last: int = LAST_DEFAULT,
) -> BackTest:
    """Judge the last transfers of a mode again, at most `LAST_MAX`, each by its last verdict."""
    result = BackTest()
    found = newest_screenings(connection, livemode=livemode, limit=min(last, LAST_MAX))
    latest = {each.subject: each for each in reversed(found) if each.subject != CHECK}
    tested = [each for each in latest.values() if each.inputs is not None]
    result.untested = len(latest) - len(tested)
    for start in range(0, len(tested), BATCH_MAX):
        batch = tested[start : start + BATCH_MAX]
        for each, facts in zip(batch, _facts(connection, batch, rules, result), strict=True):
            _compare(result, each, facts, rules)
    return result


def _facts(
    connection: Connection, batch: Sequence[Screening], rules: Sequence[Rule], result: BackTest
) -> list[Facts]:
    """What was recorded, and what these rules ask for beside it as far as it can be known."""
    found = [facts_from_document(each.inputs or {}) for each in batch]
    wanted = [needs(request_of(each), rules) for each in batch]
    questions = [
        Question(
            request_of(each),
            [key for key in need.windows if key.name not in facts.counted],
            each.created,
        )
        for each, need, facts in zip(batch, wanted, found, strict=True)
    ]
    counts = behaviour.count_windows(connection, questions)
    paid = _where(wanted, "paid_before", lambda: behaviour.paid_before(connection, questions))
    alike = _where(wanted, "imitates", lambda: behaviour.imitated(connection, questions))
    facts = [
        replace(
            recorded,
            counted={**recorded.counted, **counted},
            paid_before=each_paid if recorded.paid_before is None else recorded.paid_before,
            imitates=recorded.imitates or each_alike,
        )
        for recorded, counted, each_paid, each_alike in zip(found, counts, paid, alike, strict=True)
    ]
    for each, need, known in zip(batch, wanted, facts, strict=True):
        result.missing.update(_missing(each, need, known))
    return facts


def _where(wanted: Sequence[Needs], name: str, ask: Any) -> Sequence[Any]:
    """The answers if any of these asks for them; otherwise nothing is read."""
    return ask() if any(getattr(need, name) for need in wanted) else [None] * len(wanted)


def _missing(screening: Screening, need: Needs, facts: Facts) -> list[str]:
    """What was asked for and can not be known: it was not looked up when it was judged."""
    before = screening.inputs or {}
    asked = before.get("asked", ())
    return [
        name
        for name, is_wanted in (
            ("exposure", need.exposure and facts.exposure is None),
            ("peels", need.peels and not facts.peels),
            ("countries", need.countries and not facts.countries),
            ("issuer", need.issuer and facts.issuer is None),
        )
        if is_wanted and name not in asked
    ]


def _compare(result: BackTest, screening: Screening, facts: Facts, rules: Sequence[Rule]) -> None:
    verdict, reasons = decide(request_of(screening), facts, rules, version=VERSION)
    result.compared += 1
    result.was[screening.verdict] += 1
    result.would_be[verdict.value] += 1
    result.rules_were.update({reason.rule for reason in screening.reasons})
    result.rules_would_be.update({reason.rule for reason in reasons})
    if verdict != screening.verdict:
        result.changed += 1
        if len(result.differences) < DIFFERENCES_MAX:
            result.differences.append(Difference(screening, verdict, reasons))


def public(result: BackTest, *, livemode: bool) -> dict[str, Any]:
    """The API's object ``screening_rules_test``."""
    names = sorted(result.rules_were.keys() | result.rules_would_be.keys())
    return {
        "object": "screening_rules_test",
        "compared": result.compared,
        "untested": result.untested,
        "missing": dict(result.missing),
        "verdicts": [
            {
                "verdict": verdict.value,
                "was": result.was[verdict.value],
                "would_be": result.would_be[verdict.value],
            }
            for verdict in Verdict
        ],
        "rules": [
            {"rule": name, "was": result.rules_were[name], "would_be": result.rules_would_be[name]}
            for name in names
        ],
        "changed": result.changed,
        "differences": [
            {
                "subject": each.screening.subject,
                "screening": each.screening.id,
                "was": each.screening.verdict,
                "would_be": each.verdict.value,
                "reasons": [reason_to_document(reason) for reason in each.reasons],
            }
            for each in result.differences
        ],
        "livemode": livemode,
    }
