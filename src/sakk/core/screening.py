"""Screening: from what the lists say about a transfer's parties to a verdict, with its reasons.

The same hits under the same rules give the same decision, for ever. A decision is bound to the
version of the lists and of the rules, so that it can be made again later and compared.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sakk.core.label import CONFIDENCE_MAX, Category


class Verdict(StrEnum):
    """In rising order of gravity. ``review`` and ``block`` hold a pay-in and stop a payout."""

    clear = "clear"
    review = "review"
    block = "block"


class Direction(StrEnum):
    incoming = "incoming"
    outgoing = "outgoing"


class Side(StrEnum):
    sender = "sender"
    receiver = "receiver"


_GRAVITY = {Verdict.clear: 0, Verdict.review: 1, Verdict.block: 2}


@dataclass(frozen=True, slots=True)
class ScreeningRequest:
    """A transfer to be judged. ``subject`` is ``pin_…`` or ``po_…``; ``token_units`` are atomic."""

    subject: str
    account_id: str | None
    livemode: bool
    network: str
    asset: str
    direction: Direction
    sender: str
    receiver: str
    token_units: int


@dataclass(frozen=True, slots=True)
class Hit:
    """What one list says about one party; ``path`` leads from the party to the labelled address."""

    side: Side
    address: str
    category: str
    list_name: str
    list_version: int
    confidence: int
    entity: str | None
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """Hits of these categories, at least this sure, on these sides, call for a verdict."""

    name: str
    verdict: Verdict
    categories: frozenset[Category]
    sides: frozenset[Side] = frozenset(Side)
    confidence_min: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.confidence_min <= CONFIDENCE_MAX:
            raise ValueError(f"confidence_min is a whole number from 0 to {CONFIDENCE_MAX}")

    def matches(self, hit: Hit) -> bool:
        return (
            hit.side in self.sides
            and hit.confidence >= self.confidence_min
            and hit.category in self.categories
        )


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules under one version; a changed rule is a new version."""

    version: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: the rule, and the entry of the list (at its version) that met it.

    A reason with verdict ``clear`` is the operator's override, which took a review away.
    """

    verdict: Verdict
    rule: str
    side: Side
    address: str
    category: str
    list: str
    version: int
    confidence: int
    entity: str | None
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Screening:
    """A verdict on a transfer, with all that is needed to reach it again."""

    id: str
    account_id: str | None
    livemode: bool
    subject: str
    network: str
    asset: str
    direction: str
    sender: str
    receiver: str
    token_units: int
    verdict: str
    reasons: tuple[Reason, ...]
    lists_version: int
    rules_version: str
    input_hash: str
    created: datetime


UNREADABLE_ADDRESS = "unreadable_address"
KNOWN_GOOD = "known_good"

DEFAULT_RULES = RuleSet(
    version="default-1",
    rules=(
        Rule("direct_sanctions", Verdict.block, frozenset({Category.sanctions})),
        Rule(
            "direct_terrorism_or_child_abuse",
            Verdict.block,
            frozenset({Category.terrorism, Category.child_abuse}),
        ),
        Rule(
            "direct_crime",
            Verdict.review,
            frozenset(
                {
                    Category.theft,
                    Category.ransomware,
                    Category.scam,
                    Category.extortion,
                    Category.darknet_market,
                }
            ),
        ),
        Rule("direct_mixer", Verdict.review, frozenset({Category.mixer})),
        Rule("frozen_by_issuer", Verdict.review, frozenset({Category.frozen_by_issuer})),
    ),
)


def decide(hits: Sequence[Hit], rules: RuleSet) -> tuple[Verdict, tuple[Reason, ...]]:
    """Judge the hits: the gravest matched rule wins, and every match is a reason.

    The operator's ``known_good`` entry for a party takes reviews on that party away, never a block:
    a list of a state is not the operator's to overrule.
    """
    trusted = {hit.side for hit in hits if hit.category == Category.known_good}
    reasons = []
    for hit in hits:
        if hit.category == Category.known_good:
            reasons.append(_reason(hit, KNOWN_GOOD, Verdict.clear))
            continue
        for rule in rules.rules:
            if rule.matches(hit) and (rule.verdict is Verdict.block or hit.side not in trusted):
                reasons.append(_reason(hit, rule.name, rule.verdict))
    reasons.sort(key=_reason_order)
    return gravest([reason.verdict for reason in reasons]), tuple(reasons)


def unreadable(side: Side, address: str) -> Reason:
    """The reason for a party whose address cannot be read: what cannot be looked up waits."""
    return Reason(
        verdict=Verdict.review,
        rule=UNREADABLE_ADDRESS,
        side=side,
        address=address,
        category=Category.other,
        list="",
        version=0,
        confidence=CONFIDENCE_MAX,
        entity=None,
        path=(address,),
    )


def gravest(verdicts: Sequence[Verdict]) -> Verdict:
    """The gravest of verdicts; clear if there is none."""
    return max(verdicts, key=_GRAVITY.__getitem__, default=Verdict.clear)


def input_hash(request: ScreeningRequest) -> str:
    """SHA-256 in hex over the request's fields in a fixed order, in canonical JSON."""
    fields = (
        request.subject,
        request.account_id,
        request.livemode,
        request.network,
        request.asset,
        request.direction,
        request.sender,
        request.receiver,
        str(request.token_units),
    )
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def request_of(screening: Screening) -> ScreeningRequest:
    """The request that a screening answered, to ask it again."""
    return ScreeningRequest(
        subject=screening.subject,
        account_id=screening.account_id,
        livemode=screening.livemode,
        network=screening.network,
        asset=screening.asset,
        direction=Direction(screening.direction),
        sender=screening.sender,
        receiver=screening.receiver,
        token_units=screening.token_units,
    )


def reason_to_document(reason: Reason) -> dict[str, Any]:
    """A reason as it is stored and shown."""
    return {
        "verdict": str(reason.verdict),
        "rule": reason.rule,
        "side": str(reason.side),
        "address": reason.address,
        "category": str(reason.category),
        "list": reason.list,
        "version": reason.version,
        "confidence": reason.confidence,
        "entity": reason.entity,
        "path": list(reason.path),
    }


def reason_from_document(document: dict[str, Any]) -> Reason:
    """Read a stored reason back."""
    return Reason(
        verdict=Verdict(document["verdict"]),
        rule=document["rule"],
        side=Side(document["side"]),
        address=document["address"],
        category=document["category"],
        list=document["list"],
        version=document["version"],
        confidence=document["confidence"],
        entity=document["entity"],
        path=tuple(document["path"]),
    )


def to_public(screening: Screening) -> dict[str, Any]:
    """The API's object ``screening``. The operator's alone: it would tip a suspect off."""
    return {
        "id": screening.id,
        "object": "screening",
        "account": screening.account_id,
        "subject": screening.subject,
        "network": screening.network,
        "asset": screening.asset,
        "direction": str(screening.direction),
        "sender": screening.sender,
        "receiver": screening.receiver,
        "token_amount": str(screening.token_units),
        "verdict": str(screening.verdict),
        "reasons": [reason_to_document(reason) for reason in screening.reasons],
        "lists_version": screening.lists_version,
        "rules_version": screening.rules_version,
        "input_hash": screening.input_hash,
        "created": int(screening.created.timestamp()),
        "livemode": screening.livemode,
        "metadata": {},
    }


def _reason(hit: Hit, rule: str, verdict: Verdict) -> Reason:
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
    )


def _reason_order(reason: Reason) -> tuple[int, str, str, str, str, str]:
    """Gravest first, then by name: the order never depends on how labels were loaded."""
    return (
        -_GRAVITY[reason.verdict],
        reason.side,
        reason.rule,
        reason.list,
        reason.category,
        reason.entity or "",
    )
