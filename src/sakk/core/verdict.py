"""Verdicts: what the rules of a version make of the facts about a transfer.

Pure: the same request, facts and rules give the same verdict and the same reasons in the same
order, in this process and in an auditor's ten years later.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from sakk.core.label import Category
from sakk.core.rule import Rule
from sakk.core.screening import (
    GRAVITY,
    Facts,
    Hit,
    Reason,
    ScreeningRequest,
    Side,
    Verdict,
    gravest,
    unreadable,
)

KNOWN_GOOD: Final = "known_good"


def decide(
    request: ScreeningRequest, facts: Facts, rules: Sequence[Rule], *, version: str
) -> tuple[Verdict, tuple[Reason, ...]]:
    """Judge: the gravest rule that fits wins, and each that fits is a reason.

    The operator's ``known_good`` entry for a party takes reviews on that party away, never a block:
    a list of a state is not the operator's to overrule.
    """
    reasons = [
        _labelled(hit, KNOWN_GOOD, Verdict.clear, version)
        for hit in facts.hits
        if hit.category == Category.known_good
    ]
    trusted = {reason.side for reason in reasons}
    for rule in rules:
        if _applies(rule, request):
            reasons += [
                reason
                for reason in _met(rule, facts, version)
                if rule.verdict is Verdict.block or reason.side not in trusted
            ]
    reasons += [
        unreadable(side, party(request, side), rule_version=version) for side in facts.unreadable
    ]
    reasons.sort(key=_order)
    return gravest([reason.verdict for reason in reasons]), tuple(reasons)


def party(request: ScreeningRequest, side: Side) -> str:
    """The address of one side of a transfer."""
    return request.sender if side is Side.sender else request.receiver


def _applies(rule: Rule, request: ScreeningRequest) -> bool:
    return (rule.direction is None or rule.direction == request.direction) and (
        not rule.networks or request.network in rule.networks
    )


def _met(rule: Rule, facts: Facts, version: str) -> Iterator[Reason]:
    for hit in facts.hits:
        if (
            hit.category in rule.categories
            and (not rule.sides or hit.side in rule.sides)
            and hit.confidence >= rule.confidence_min
        ):
            yield _labelled(hit, rule.name, rule.verdict, version)


def _labelled(hit: Hit, rule: str, verdict: Verdict, version: str) -> Reason:
    return Reason(
        verdict=verdict,
        rule=rule,
        side=hit.side,
        address=hit.address,
        category=str(hit.category),
        list=hit.list_name,
        version=hit.list_version,
        confidence=hit.confidence,
        entity=hit.entity,
        path=hit.path,
        rule_version=version,
    )


def _order(reason: Reason) -> tuple[int, str, str, str, str, str]:
    """Gravest first, then by name: the order never depends on how labels were loaded."""
    return (
        -GRAVITY[reason.verdict],
        reason.side,
        reason.rule,
        reason.list,
        reason.category,
        reason.entity or "",
    )
