"""Parties: the legal entities and persons whom an account is, pays for, or is owned by.

A party is what due diligence is done on (FATF Recommendations 10 and 24): who it says that it is,
the documents that show it, who owns and directs it, what the lists say about its names, and who
decided on it until when. What is known of a party has revisions; an older one is never changed.

``draft → submitted → approved | rejected``, and ``approved → suspended → approved``. A merchant
sees ``under_review`` for what is submitted or suspended, and no more.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.ownership import OWNER_PPM_MIN, WHOLE_PPM, Ownership, Relation
from sakk.core.profile import (
    IDENTITY_DOCUMENTS,
    REGISTER_DOCUMENTS,
    Details,
    LegalEntity,
    PartyKind,
)

PREFIX: Final = "pty"
LINK_PREFIX: Final = "plnk"
DOCUMENT_PREFIX: Final = "pdoc"
HIT_PREFIX: Final = "phit"

LINKS_MAX: Final = 500
DOCUMENTS_MAX: Final = 200


class PartyStatus(StrEnum):
    """Where due diligence on a party stands."""

    draft = "draft"
    submitted = "submitted"
    approved = "approved"
    rejected = "rejected"
    suspended = "suspended"


class PartyRole(StrEnum):
    """Who a party is to its account: the account itself, a customer, or somebody who owns, controls
    or directs either."""

    account = "account"
    customer = "customer"
    related = "related"


class Rating(StrEnum):
    """How much risk the operator sees in a party: it says how soon it is looked at again."""

    low = "low"
    medium = "medium"
    high = "high"


# FATF asks for reviews by risk; three, two and one years are what most institutions write down.
REVIEW_DAYS: Final[Mapping[str, int]] = {Rating.low: 1095, Rating.medium: 730, Rating.high: 365}


class HitState(StrEnum):
    """What a person said about a likeness between a party and an entry of a list."""

    open = "open"
    false_positive = "false_positive"
    true_match = "true_match"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A row. ``revision`` numbers what is known; ``screened_revision`` and ``lists_version`` say
    which revision of it was last compared with which lists.

    ``customer_id``: the account's customer that it is, if it is one. ``approval``: one person's yes
    to a party of high risk, which waits for another's. ``review_told``: the review that was asked
    for already.
    """

    id: str
    account_id: str
    customer_id: str | None
    livemode: bool
    role: str
    kind: str
    name: str
    details: dict[str, Any]
    revision: int
    status: str
    rating: str
    approval: dict[str, Any] | None = None
    reason: str | None = None
    screened_revision: int | None = None
    lists_version: int | None = None
    open_hits: int = 0
    submitted_at: datetime | None = None
    decided_at: datetime | None = None
    decided_by: str | None = None
    review_at: datetime | None = None
    review_told: datetime | None = None
    metadata: dict[str, str]
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """``party_id`` is this to ``of_party``; a removed one keeps its row."""

    id: str
    account_id: str
    livemode: bool
    of_party: str
    party_id: str
    relation: str
    share_ppm: int
    title: str | None
    removed_at: datetime | None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyDocument:
    """A file that shows something of a party; its content is sealed, and kept apart."""

    id: str
    account_id: str
    livemode: bool
    party_id: str
    kind: str
    name: str
    media_type: str
    size: int
    sha256: str
    country: str | None
    issued_on: str | None
    expires_on: str | None
    removed_at: datetime | None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A likeness between a name of a party and an entry of a list. ``score`` is 0 to 1,000.

    ``entry_version``: the lists version at which the entry took the form that was seen. A decision
    holds for that form; a changed entry is a new hit.
    """

    id: str
    party_id: str
    account_id: str
    livemode: bool
    revision: int
    entity_id: str
    entry_version: int
    list_name: str
    list_version: int
    name: str
    matched: str
    score: int
    evidence: dict[str, Any]
    state: str
    note: str | None
    decided_by: str | None
    decided_at: datetime | None
    created: datetime


def missing(
    details: Details, documents: Sequence[PartyDocument], ownership: Ownership, *, today: date
) -> list[str]:
    """What is still to be given before a party can be submitted, in words for its merchant."""
    kinds = {each.kind for each in documents if not is_expired(each, today)}
    lacking: list[str] = []
    if isinstance(details, LegalEntity):
        needed: dict[str, object] = {
            "details[registration]": details.registration,
            "details[registered_address]": details.registered_address,
            "details[incorporated_on]": details.incorporated_on,
        }
        if not kinds & REGISTER_DOCUMENTS:
            lacking.append("a document of kind incorporation or register_extract")
        # Thirds do not add up to the whole, and small holders need not be known.
        if ownership.unattributed_ppm >= OWNER_PPM_MIN:
            lacking.append(f"links: owners of the remaining {_percent(ownership.unattributed_ppm)}")
    else:
        needed = {
            "details[birth_date]": details.birth_date,
            "details[nationalities]": details.nationalities,
            "details[address]": details.address,
        }
        if not kinds & IDENTITY_DOCUMENTS:
            lacking.append("a document of identity that has not expired")
    return [name for name, value in needed.items() if not value] + lacking


def is_expired(document: PartyDocument, today: date) -> bool:
    """Has a document's last day passed?"""
    return document.expires_on is not None and date.fromisoformat(document.expires_on) < today


def next_review(rating: str, documents: Sequence[PartyDocument], *, now: datetime) -> datetime:
    """When a party is looked at again: by its rating, or when the first of its papers expires."""
    by_rating = now + timedelta(days=REVIEW_DAYS[rating])
    ends = [
        datetime.combine(date.fromisoformat(each.expires_on), now.timetz())
        for each in documents
        if each.expires_on is not None and not is_expired(each, now.date())
    ]
    return min([by_rating, *ends])


_AFTER: Final[Mapping[str, Mapping[str, PartyStatus]]] = {
    "submit": {
        PartyStatus.draft: PartyStatus.submitted,
        PartyStatus.rejected: PartyStatus.submitted,
    },
    # An approved one is approved again when its review is due.
    "approve": {
        PartyStatus.submitted: PartyStatus.approved,
        PartyStatus.approved: PartyStatus.approved,
        PartyStatus.suspended: PartyStatus.approved,
    },
    "reject": {PartyStatus.submitted: PartyStatus.rejected},
    "suspend": {PartyStatus.approved: PartyStatus.suspended},
}


def after(status: str, act: str) -> PartyStatus:
    """The status after an act; UnexpectedState where it may not happen."""
    found = _AFTER[act].get(status)
    if found is None:
        raise UnexpectedState(
            "This party is {status}: it can not be {done} now.", status=status, done=_DONE[act]
        )
    return found


_DONE: Final = {
    "submit": "submitted",
    "approve": "approved",
    "reject": "rejected",
    "suspend": "suspended",
}


def needs_second(party: Party) -> bool:
    """Does a yes to this party take two persons? High risk does, and so does a suspended one."""
    return party.rating == Rating.high or party.status == PartyStatus.suspended


def digest_of(party: Party, links: Sequence[Link], documents: Collection[PartyDocument]) -> str:
    """SHA-256 of what is approved: nobody says yes to something that changed meanwhile."""
    content = (
        "sakk party v1",
        party.id,
        party.role,
        party.revision,
        party.status,
        party.rating,
        party.details,
        sorted((each.party_id, each.relation, each.share_ppm) for each in links),
        sorted(each.sha256 for each in documents),
        party.lists_version,
        party.open_hits,
    )
    text = json.dumps(content, separators=(",", ":"), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def role_of(role: str | None, customer_id: str | None) -> PartyRole:
    """Who a party is to its account, as far as it was said; ParameterInvalid where it can not be.

    Nobody is the account itself unless it is said: an account is verified by such a party.
    """
    if customer_id is not None and role not in (None, PartyRole.customer):
        raise ParameterInvalid(
            "A party with a customer is that customer: leave role out.", param="role"
        )
    if customer_id is None and role == PartyRole.customer:
        raise ParameterInvalid("Name the customer that it is.", param="customer")
    if customer_id is not None:
        return PartyRole.customer
    return PartyRole.related if role is None else PartyRole(role)


def check_link(of_party: Party, party: Party, relation: str, share_ppm: int) -> None:
    """A link that says something; ParameterInvalid otherwise."""
    if of_party.kind != PartyKind.legal_entity:
        raise ParameterInvalid("Nobody owns or directs an individual.", param="of_party")
    if of_party.id == party.id:
        raise ParameterInvalid("A party is not linked to itself.", param="party")
    if party.kind != PartyKind.individual and relation in (Relation.director, Relation.signatory):
        raise ParameterInvalid("A {relation} is an individual.", param="party", relation=relation)
    if relation == Relation.owner and not 1 <= share_ppm <= WHOLE_PPM:
        raise ParameterInvalid(
            "An owner holds 1 to {whole} parts per million; 25 % is 250000.",
            param="share_ppm",
            whole=WHOLE_PPM,
        )
    if relation != Relation.owner and share_ppm:
        raise ParameterInvalid(
            "A {relation} holds no share: leave it out.", param="share_ppm", relation=relation
        )


def public_status(status: str, *, to_operator: bool) -> str:
    """A merchant is told no more than that something is looked at."""
    hidden = status in (PartyStatus.submitted, PartyStatus.suspended)
    return "under_review" if hidden and not to_operator else status


def public_party(party: Party, *, to_operator: bool) -> dict[str, Any]:
    """The API's object ``party``; what would tip somebody off is the operator's alone."""
    shown: dict[str, Any] = {
        "id": party.id,
        "object": "party",
        "account": party.account_id,
        "customer": party.customer_id,
        "role": party.role,
        "kind": party.kind,
        "name": party.name,
        "details": party.details,
        "revision": party.revision,
        "status": public_status(party.status, to_operator=to_operator),
        "metadata": party.metadata,
        "created": int(party.created.timestamp()),
        "livemode": party.livemode,
    }
    if to_operator:
        shown |= {
            "rating": party.rating,
            "approval": party.approval,
            "reason": party.reason,
            "screened_revision": party.screened_revision,
            "lists_version": party.lists_version,
            "open_hits": party.open_hits,
            "submitted_at": _seconds(party.submitted_at),
            "decided_at": _seconds(party.decided_at),
            "decided_by": party.decided_by,
            "review_at": _seconds(party.review_at),
        }
    return shown


def public_link(link: Link) -> dict[str, Any]:
    """The API's object ``party_link``."""
    return {
        "id": link.id,
        "object": "party_link",
        "of_party": link.of_party,
        "party": link.party_id,
        "relation": link.relation,
        "share_ppm": link.share_ppm,
        "title": link.title,
        "removed": link.removed_at is not None,
        "metadata": {},
        "created": int(link.created.timestamp()),
        "livemode": link.livemode,
    }


def public_document(document: PartyDocument) -> dict[str, Any]:
    """The API's object ``party_document``, without its content."""
    return {
        "id": document.id,
        "object": "party_document",
        "party": document.party_id,
        "kind": document.kind,
        "name": document.name,
        "media_type": document.media_type,
        "size": document.size,
        "sha256": document.sha256,
        "country": document.country,
        "issued_on": document.issued_on,
        "expires_on": document.expires_on,
        "removed": document.removed_at is not None,
        "metadata": {},
        "created": int(document.created.timestamp()),
        "livemode": document.livemode,
    }


def public_hit(hit: Hit) -> dict[str, Any]:
    """The API's object ``party_hit``; the operator's alone."""
    return {
        "id": hit.id,
        "object": "party_hit",
        "party": hit.party_id,
        "revision": hit.revision,
        "entity": hit.entity_id,
        "list": hit.list_name,
        "list_version": hit.list_version,
        "name": hit.name,
        "matched": hit.matched,
        "score": hit.score,
        "evidence": hit.evidence,
        "state": hit.state,
        "note": hit.note,
        "decided_by": hit.decided_by,
        "decided_at": _seconds(hit.decided_at),
        "metadata": {},
        "created": int(hit.created.timestamp()),
        "livemode": hit.livemode,
    }


def _percent(ppm: int) -> str:
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}.{rest:04} %" if rest else f"{whole} %"


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
