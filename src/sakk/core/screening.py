"""Screening: what is asked of a transfer, the facts that were found, and the verdict on them.

The same facts under the same rules give the same decision, for ever (`sakk.core.verdict`). A
decision keeps its facts and names the version of the lists and of the rules, so that it can be made
again later and compared, bit for bit.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from sakk.core.behaviour import Counted, Peel
from sakk.core.exposure import Exposure, Hop, Method, Part, Path, Way
from sakk.core.exposure import to_public as exposure_to_public
from sakk.core.label import CONFIDENCE_MAX, Category

# The subject of a screening that is about no transfer: somebody asked beforehand.
CHECK = "check"
CountryParty = Literal["account", "beneficiary"]


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


GRAVITY = {Verdict.clear: 0, Verdict.review: 1, Verdict.block: 2}


@dataclass(frozen=True, slots=True)
class ScreeningRequest:
    """A transfer to be judged. ``subject`` is ``pin_…`` or ``po_…``; ``token_units`` are atomic.

    ``amount`` is in the smallest unit of ``currency``; None for a token that is on no list.
    """

    subject: str
    account_id: str | None
    livemode: bool
    network: str
    asset: str
    direction: Direction
    sender: str
    receiver: str
    token_units: int
    currency: str | None = None
    decimals: int | None = None
    amount: int | None = None
    beneficiary: str | None = None


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
class CountryHit:
    """The country of a party of ours stands on a list of countries, at the list's version."""

    party: CountryParty
    country: str
    listing: str
    list_name: str
    version: int

    @property
    def words(self) -> str:
        return f"the {self.party} is of {self.country}, which is {self.listing}"


@dataclass(frozen=True, slots=True)
class IssuerAnswer:
    """What the token's contract says of the other side, at a block.

    ``denied`` None: it has a deny-list, by its listing here, and answers none of the known calls.
    """

    block: int
    denied: bool | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out about a transfer: all that a verdict rests on beside the rules.

    ``hits`` in a fixed order. ``unreadable``: the sides whose address can not be looked up.
    ``counted`` by a window's name. Of what no rule asked for nothing is known: None, or empty;
    ``asked`` names what was looked up of exposure, peels, countries and issuer, found or not.
    """

    hits: tuple[Hit, ...] = ()
    unreadable: tuple[Side, ...] = ()
    counted: Mapping[str, Counted] = field(default_factory=dict)
    paid_before: bool | None = None
    imitates: str | None = None
    exposure: Exposure | None = None
    peels: tuple[Peel, ...] = ()
    countries: tuple[CountryHit, ...] = ()
    issuer: IssuerAnswer | None = None
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: the rule (of ``rule_version``), and what of the facts met it.

    For a label: the list and its version. ``share_ppm`` and ``units`` say how much of the money it
    is about, where that is known, and ``path`` how it got here. A reason with verdict ``clear`` is
    the operator's override, which took a review away.
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
    kind: str = "direct"
    rule_version: str | None = None
    share_ppm: int | None = None
    units: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Screening:
    """A verdict on a transfer, with all that is needed to reach it again.

    ``inputs`` is the document of its facts; None in decisions from before they were kept.
    """

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
    inputs: dict[str, Any] | None = None


UNREADABLE_ADDRESS = "unreadable_address"


def unreadable(side: Side, address: str, *, rule_version: str | None = None) -> Reason:
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
        kind="address",
        rule_version=rule_version,
    )


def gravest(verdicts: Sequence[Verdict]) -> Verdict:
    """The gravest of verdicts; clear if there is none."""
    return max(verdicts, key=GRAVITY.__getitem__, default=Verdict.clear)


def input_hash(request: ScreeningRequest, inputs: dict[str, Any] | None = None) -> str:
    """SHA-256 in hex over the request's fields in a fixed order and the facts, in canonical JSON.

    Without ``inputs``: what decisions carry from before their facts were kept.
    """
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
        *(() if inputs is None else (inputs,)),
    )
    text = json.dumps(fields, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def counterparty(request: ScreeningRequest) -> str:
    """The address on the other side: whoever pays us, or whom we pay."""
    return request.sender if request.direction is Direction.incoming else request.receiver


def other_side(request: ScreeningRequest) -> Side:
    """On which side of a transfer that is."""
    return Side.sender if request.direction is Direction.incoming else Side.receiver


def party(request: ScreeningRequest, side: Side) -> str:
    """The address of one side of a transfer."""
    return request.sender if side is Side.sender else request.receiver


def inputs_of(request: ScreeningRequest, facts: Facts) -> dict[str, Any]:
    """All that a verdict rests on, beside the request's own columns, as it is stored and hashed.

    What was not found, or not looked for, is left out; units are digits.
    """
    transfer = {
        "currency": request.currency,
        "decimals": request.decimals,
        "amount": None if request.amount is None else str(request.amount),
        "beneficiary": request.beneficiary,
    }
    found: dict[str, Any] = {
        "transfer": {name: value for name, value in transfer.items() if value is not None},
        "hits": [_hit_to_document(hit) for hit in facts.hits],
        "unreadable": [str(side) for side in facts.unreadable],
        "counted": {
            name: {"count": each.count, "units": str(each.units), "is_cut": each.is_cut}
            for name, each in facts.counted.items()
        },
        "peels": [[hop.address, str(hop.units_in), str(hop.units_on)] for hop in facts.peels],
        "countries": [
            [hit.party, hit.country, hit.listing, hit.list_name, hit.version]
            for hit in facts.countries
        ],
        "asked": list(facts.asked),
    }
    document = {name: value for name, value in found.items() if value}
    if facts.paid_before is not None:
        document["paid_before"] = facts.paid_before
    if facts.imitates is not None:
        document["imitates"] = facts.imitates
    if facts.exposure is not None:
        document["exposure"] = exposure_to_public(facts.exposure)
    if facts.issuer is not None:
        document["issuer"] = {"block": facts.issuer.block, "denied": facts.issuer.denied}
    return document


def facts_from_document(document: Mapping[str, Any]) -> Facts:
    """Read stored facts back."""
    exposure, issuer = document.get("exposure"), document.get("issuer")
    return Facts(
        hits=tuple(_hit_from_document(hit) for hit in document.get("hits", ())),
        unreadable=tuple(Side(side) for side in document.get("unreadable", ())),
        counted={
            name: Counted(each["count"], int(each["units"]), each["is_cut"])
            for name, each in document.get("counted", {}).items()
        },
        paid_before=document.get("paid_before"),
        imitates=document.get("imitates"),
        exposure=None if exposure is None else _exposure_from_document(exposure),
        peels=tuple(
            Peel(address, int(units_in), int(units_on))
            for address, units_in, units_on in document.get("peels", ())
        ),
        countries=tuple(CountryHit(*each) for each in document.get("countries", ())),
        issuer=None if issuer is None else IssuerAnswer(issuer["block"], issuer["denied"]),
        asked=tuple(document.get("asked", ())),
    )


def _hit_to_document(hit: Hit) -> dict[str, Any]:
    return {
        "side": str(hit.side),
        "address": hit.address,
        "category": str(hit.category),
        "list": hit.list_name,
        "version": hit.list_version,
        "confidence": hit.confidence,
        "entity": hit.entity,
        "path": list(hit.path),
    }


def _hit_from_document(hit: Mapping[str, Any]) -> Hit:
    return Hit(
        side=Side(hit["side"]),
        address=hit["address"],
        category=hit["category"],
        list_name=hit["list"],
        list_version=hit["version"],
        confidence=hit["confidence"],
        entity=hit["entity"],
        path=tuple(hit["path"]),
    )


def _exposure_from_document(document: Mapping[str, Any]) -> Exposure:
    return Exposure(
        network=document["network"],
        asset=document["asset"],
        address=document["address"],
        direction=Way(document["direction"]),
        total_units=int(document["total_amount"]),
        parts=tuple(
            Part(part["category"], int(part["amount"]), int(part["direct_amount"]))
            for part in document["parts"]
        ),
        unknown_units=int(document["unknown_amount"]),
        height=document["height"],
        paths=tuple(
            Path(
                path["category"],
                path["entity"],
                path["list"],
                tuple(Hop(hop["address"], hop["tx_hash"]) for hop in path["hops"]),
                int(path["amount"]),
            )
            for path in document["paths"]
        ),
        lists_version=document["lists_version"],
        method=Method(document["method"]),
        is_cut=document["is_cut"],
    )


def hit_order(hit: Hit) -> tuple[str, str, str, int, str]:
    """The order in which hits are kept: it never depends on how labels were loaded."""
    return (hit.side, hit.list_name, hit.category, hit.confidence, hit.entity or "")


def request_of(screening: Screening) -> ScreeningRequest:
    """The request that a screening answered, to ask it again."""
    transfer = (screening.inputs or {}).get("transfer", {})
    amount = transfer.get("amount")
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
        currency=transfer.get("currency"),
        decimals=transfer.get("decimals"),
        amount=None if amount is None else int(amount),
        beneficiary=transfer.get("beneficiary"),
    )


def reason_to_document(reason: Reason) -> dict[str, Any]:
    """A reason as it is stored and shown."""
    return {
        "verdict": str(reason.verdict),
        "kind": reason.kind,
        "rule": reason.rule,
        "rule_version": reason.rule_version,
        "side": str(reason.side),
        "address": reason.address,
        "category": str(reason.category),
        "list": reason.list,
        "version": reason.version,
        "confidence": reason.confidence,
        "entity": reason.entity,
        "path": list(reason.path),
        "share_ppm": reason.share_ppm,
        "units": None if reason.units is None else str(reason.units),
        "detail": reason.detail,
    }


def reason_from_document(document: dict[str, Any]) -> Reason:
    """Read a stored reason back; those of earlier releases say less."""
    units = document.get("units")
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
        kind=document.get("kind", "direct"),
        rule_version=document.get("rule_version"),
        share_ppm=document.get("share_ppm"),
        units=None if units is None else int(units),
        detail=document.get("detail"),
    )


def is_same_finding(before: Screening, after: Screening) -> bool:
    """Do two decisions say the same, whatever version of the rules said it?"""
    return before.verdict == after.verdict and [
        replace(reason, rule_version=None) for reason in before.reasons
    ] == [replace(reason, rule_version=None) for reason in after.reasons]


def is_nothing_new(before: Screening, after: Screening) -> bool:
    """Does a decision find no more than one that a person looked at: no graver, no other rule?"""
    known = {reason.rule for reason in before.reasons}
    is_graver = GRAVITY[Verdict(after.verdict)] > GRAVITY[Verdict(before.verdict)]
    return not is_graver and all(reason.rule in known for reason in after.reasons)


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
        "inputs": screening.inputs,
        "lists_version": screening.lists_version,
        "rules_version": screening.rules_version,
        "input_hash": screening.input_hash,
        "created": int(screening.created.timestamp()),
        "livemode": screening.livemode,
        "metadata": {},
    }
