"""Parties: who an account and its customers are, and what due diligence says of them."""

import base64
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    ShortText,
)
from sakk.api.person import Code, Hash
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import party as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.ownership import OWNER_PPM_MIN, WHOLE_PPM, Relation
from sakk.core.party import HitState, PartyRole, PartyStatus, Rating
from sakk.core.profile import DOCUMENT_BYTES_MAX, DocumentKind, PartyKind
from sakk.flow import due_diligence
from sakk.flow import party as flow
from sakk.flow.party import Whose
from sakk.flow.step_up import StepUp
from sakk.store import party as store
from sakk.store.page import page_of

resource = Resource("parties")

CONTENT_LENGTH_MAX: Final = 4 * (DOCUMENT_BYTES_MAX // 3 + 1)
BODY_BYTES_MAX: Final = CONTENT_LENGTH_MAX + 64 * 1024

Details = dict[str, Any]
# Written out where a body is read: JSON is taken strictly, and a word is no member of an enum.
Kind = Literal["legal_entity", "individual"]
RelationName = Literal["owner", "controller", "director", "signatory"]
RatingName = Literal["low", "medium", "high"]
DocumentName = Literal[
    "incorporation",
    "register_extract",
    "articles",
    "ownership_chart",
    "proof_of_address",
    "passport",
    "national_id",
    "residence_permit",
    "driving_licence",
    "source_of_funds",
    "licence",
    "other",
]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class PartyCreate(Parameters):
    """A party as it begins: a draft. ``details`` depend on ``kind``; see docs/concepts/parties.md.

    ``role``: ``account`` for the account itself; left out, it is somebody ``related``, or the
    ``customer`` that is named.
    """

    kind: Kind
    details: Details
    role: Literal["account", "customer", "related"] | None = None
    customer: Identifier | None = None
    metadata: Metadata | None = None


class PartyUpdate(Parameters):
    """What is known now, as a whole; what was known before is kept as a revision."""

    details: Details | None = None
    metadata: Metadata | None = None


class PartyListParameters(ListParameters):
    """Which parties."""

    kind: PartyKind | None = None
    status: PartyStatus | Literal["under_review"] | None = None
    customer: Identifier | None = None


class LinkCreate(Parameters):
    """``party`` is this to the one in the path. Only an owner has a share: 25 % is 250000."""

    party: Identifier
    relation: RelationName
    share_ppm: Annotated[int, Field(ge=0, le=WHOLE_PPM)] = 0
    title: ShortText | None = None


class DocumentCreate(Parameters):
    """A file of at most 10 MB: ``content`` in base64."""

    kind: DocumentName
    name: ShortText
    media_type: Identifier
    content: Annotated[str, StringConstraints(min_length=1, max_length=CONTENT_LENGTH_MAX)]
    country: Country | None = None
    issued_on: Day | None = None
    expires_on: Day | None = None


class ApproveParameters(Parameters):
    """The ``digest`` of what was read, why, and a fresh one-time code."""

    digest: Hash
    note: LongText
    code: Code | None = None


class RefuseParameters(Parameters):
    """Why; the merchant is not told."""

    reason: LongText


class RateParameters(Parameters):
    """How much risk there is, and why."""

    rating: RatingName
    note: LongText


class HitParameters(Parameters):
    """What a likeness is, why, and a fresh one-time code."""

    state: Literal["false_positive", "true_match"]
    note: LongText
    code: Code | None = None


class PartyShape(Shape):
    """A party. What stands below ``livemode`` is there for the operator alone."""

    id: str
    object: Literal["party"]
    account: str
    customer: str | None
    role: PartyRole
    kind: PartyKind
    name: str
    details: Details
    revision: int
    status: PartyStatus | Literal["under_review"]
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode
    rating: Rating | None = None
    approval: dict[str, Any] | None = None
    reason: str | None = None
    screened_revision: int | None = None
    lists_version: int | None = None
    open_hits: int | None = None
    submitted_at: int | None = None
    decided_at: int | None = None
    decided_by: str | None = None
    review_at: int | None = None
    digest: str | None = None


class LinkShape(Shape):
    """What one party is to another."""

    id: str
    object: Literal["party_link"]
    of_party: str
    party: str
    relation: Relation
    share_ppm: int
    title: str | None
    removed: bool
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


class DocumentShape(Shape):
    """A document; ``content`` in base64 stands on the one that is retrieved by its id."""

    id: str
    object: Literal["party_document"]
    party: str
    kind: DocumentKind
    name: str
    media_type: str
    size: int
    sha256: str
    country: str | None
    issued_on: str | None
    expires_on: str | None
    removed: bool
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode
    content: str | None = None


class OwnerShape(Shape):
    """A person at the end of chains of holdings; ``share_ppm`` is rounded down."""

    party: str
    share_ppm: int
    controls: bool
    beneficial: bool
    chains: list[list[str]]


class OwnershipShape(Shape):
    """Who owns a party in the end; ``unattributed_ppm`` is what no recorded chain leads to."""

    object: Literal["ownership"]
    party: str
    threshold_ppm: int
    owners: list[OwnerShape]
    unattributed_ppm: int
    livemode: Livemode


class HitShape(Shape):
    """A likeness between a name of the party and an entry of a list, from 0 to 1,000."""

    id: str
    object: Literal["party_hit"]
    party: str
    revision: int
    entity: str
    list: str
    list_version: int
    name: str
    matched: str
    score: int
    evidence: dict[str, Any]
    state: HitState
    note: str | None
    decided_by: str | None
    decided_at: int | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.post("/v1/parties", returns=PartyShape, operation="create_party")
def create(context: Context, body: PartyCreate) -> Document:
    """Write down a legal entity or a person: the account itself, a customer, an owner, a director.

    It is a draft until it is submitted.
    """
    party = flow.create(
        context.connection,
        _whose(context),
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        kind=body.kind,
        details=body.details,
        role=body.role,
        customer_id=body.customer,
        metadata=body.metadata,
        now=context.now,
    )
    return _shown(context, party)


@resource.get("/v1/parties", returns=Page[PartyShape], operation="list_parties")
def list_parties(context: Context, query: PartyListParameters) -> Listing:
    """List parties, newest first."""
    columns = store.parties.c
    filters = []
    if query.kind is not None:
        filters.append(columns.kind == query.kind.value)
    if query.customer is not None:
        filters.append(columns.customer_id == query.customer)
    if query.status is not None:
        shown = [
            each.value
            for each in PartyStatus
            if rules.public_status(each, to_operator=context.is_operator) == query.status
        ]
        filters.append(columns.status.in_(shown))
    rows, has_more = store.list_parties(
        context.connection,
        query.page(),
        livemode=context.livemode,
        account_id=context.visible_account_id,
        filters=filters,
    )
    data = [rules.public_party(row, to_operator=context.is_operator) for row in rows]
    return Listing(data=data, has_more=has_more)


@resource.get("/v1/parties/{party}", returns=PartyShape, operation="retrieve_party")
def retrieve(context: Context, party: str) -> Document:
    """Retrieve a party; the operator also sees the ``digest`` that an approval names."""
    return _shown(context, flow.find(context.connection, _whose(context), party))


@resource.post("/v1/parties/{party}", returns=PartyShape, operation="update_party")
def update(context: Context, party: str, body: PartyUpdate) -> Document:
    """Change what is known of a party; an approved one stays approved and is looked at again."""
    changed = flow.update(
        context.connection,
        _whose(context),
        party,
        changes=body.given("details", "metadata"),
        now=context.now,
    )
    return _shown(context, changed)


@resource.post("/v1/parties/{party}/submit", returns=PartyShape, operation="submit_party")
def submit(context: Context, party: str) -> Document:
    """Hand a party in to be decided on; what is missing is named."""
    return _shown(context, flow.submit(context.connection, _whose(context), party, now=context.now))


@resource.post("/v1/parties/{party}/links", returns=LinkShape, operation="create_party_link")
def add_link(context: Context, party: str, body: LinkCreate) -> Document:
    """Say who owns, controls or directs a legal entity, or signs for it."""
    link = flow.add_link(
        context.connection,
        _whose(context),
        party,
        identifier=context.object_id(rules.LINK_PREFIX),
        party_id=body.party,
        relation=Relation(body.relation),
        share_ppm=body.share_ppm,
        title=body.title,
        now=context.now,
    )
    return rules.public_link(link)


@resource.get("/v1/parties/{party}/links", returns=Page[LinkShape], operation="list_party_links")
def list_links(context: Context, party: str, query: ListParameters) -> Listing:
    """List who is what to a party, newest first; removed links are left out."""
    found = flow.find(context.connection, _whose(context), party)
    links = store.links_of_account(context.connection, found.account_id, livemode=found.livemode)
    shown = [rules.public_link(each) for each in reversed(links) if each.of_party == found.id]
    data, has_more = page_of(shown, query.page())
    return Listing(data=data, has_more=has_more)


@resource.delete(
    "/v1/parties/{party}/links/{link}", returns=LinkShape, operation="delete_party_link"
)
def remove_link(context: Context, party: str, link: str) -> Document:
    """Say that somebody is this to a party no longer; the link is kept, as removed."""
    removed = flow.remove_link(context.connection, _whose(context), party, link, now=context.now)
    return rules.public_link(removed)


@resource.get(
    "/v1/parties/{party}/ownership", returns=OwnershipShape, operation="retrieve_ownership"
)
def ownership(context: Context, party: str) -> Document:
    """Retrieve who owns a legal entity in the end: along every chain, in parts per million."""
    found = flow.find(context.connection, _whose(context), party)
    owned = flow.ownership(context.connection, found)
    beneficial = {each.party for each in owned.beneficial()}
    return {
        "object": "ownership",
        "party": found.id,
        "threshold_ppm": OWNER_PPM_MIN,
        "owners": [
            {
                "party": each.party,
                "share_ppm": each.share_ppm,
                "controls": each.controls,
                "beneficial": each.party in beneficial,
                "chains": [list(chain) for chain in each.chains],
            }
            for each in owned.owners
        ],
        "unattributed_ppm": owned.unattributed_ppm,
        "livemode": found.livemode,
    }


@resource.post(
    "/v1/parties/{party}/documents",
    returns=DocumentShape,
    operation="create_party_document",
    body_bytes_max=BODY_BYTES_MAX,
)
def add_document(context: Context, party: str, body: DocumentCreate) -> Document:
    """Keep a document that shows something of a party: PDF, JPEG or PNG, sealed at rest."""
    try:
        content = base64.b64decode(body.content, validate=True)
    except ValueError:
        raise ParameterInvalid("The content is not in base64.", param="content") from None
    document = flow.add_document(
        context.parts,
        context.connection,
        _whose(context),
        party,
        document_id=context.object_id(rules.DOCUMENT_PREFIX),
        content=content,
        described={
            "kind": body.kind,
            "name": body.name,
            "media_type": body.media_type,
            "country": body.country,
            "issued_on": body.issued_on,
            "expires_on": body.expires_on,
        },
        now=context.now,
    )
    return rules.public_document(document)


@resource.get(
    "/v1/parties/{party}/documents",
    returns=Page[DocumentShape],
    operation="list_party_documents",
)
def list_documents(context: Context, party: str, query: ListParameters) -> Listing:
    """List a party's documents, newest first; removed ones are left out."""
    found = flow.find(context.connection, _whose(context), party)
    documents = store.documents_of(context.connection, found.id)
    shown = [rules.public_document(each) for each in reversed(documents)]
    data, has_more = page_of(shown, query.page())
    return Listing(data=data, has_more=has_more)


@resource.get(
    "/v1/parties/{party}/documents/{document}",
    returns=DocumentShape,
    operation="retrieve_party_document",
)
def retrieve_document(context: Context, party: str, document: str) -> Document:
    """Retrieve a document with its content."""
    found, content = flow.read_document(
        context.parts, context.connection, _whose(context), party, document
    )
    return rules.public_document(found) | {"content": base64.b64encode(content).decode()}


@resource.delete(
    "/v1/parties/{party}/documents/{document}",
    returns=DocumentShape,
    operation="delete_party_document",
)
def remove_document(context: Context, party: str, document: str) -> Document:
    """Take a document away: it shows nothing any more, and is kept for who has to ask later."""
    removed = flow.remove_document(
        context.connection, _whose(context), party, document, now=context.now
    )
    return rules.public_document(removed)


@resource.get(
    "/v1/parties/{party}/hits",
    returns=Page[HitShape],
    operation="list_party_hits",
    operator_only=True,
)
def list_hits(context: Context, party: str, query: ListParameters) -> Listing:
    """List the likenesses between a party's names and entries of lists, the best first."""
    found = flow.find(context.connection, _whose(context), party)
    shown = [rules.public_hit(each) for each in store.hits_of(context.connection, found.id)]
    data, has_more = page_of(shown, query.page())
    return Listing(data=data, has_more=has_more)


@resource.post(
    "/v1/parties/{party}/hits/{hit}",
    returns=HitShape,
    operation="decide_party_hit",
    operator_only=True,
    two_steps=True,
)
def decide_hit(context: Context, party: str, hit: str, body: HitParameters) -> Document:
    """Say what a likeness is, as a person; a true match suspends an approved party at once."""
    decided = due_diligence.decide_hit(
        context.parts,
        _whose(context),
        party,
        hit,
        state=HitState(body.state),
        note=body.note,
        step_up=StepUp(code=body.code),
    )
    return rules.public_hit(decided)


@resource.post(
    "/v1/parties/{party}/approve",
    returns=PartyShape,
    operation="approve_party",
    operator_only=True,
    two_steps=True,
)
def approve(context: Context, party: str, body: ApproveParameters) -> Document:
    """Say yes to a party as it was shown, as a person. High risk takes two persons."""
    approved = due_diligence.approve(
        context.parts,
        _whose(context),
        party,
        digest=body.digest,
        note=body.note,
        step_up=StepUp(code=body.code),
    )
    return rules.public_party(approved, to_operator=True)


@resource.post(
    "/v1/parties/{party}/reject",
    returns=PartyShape,
    operation="reject_party",
    operator_only=True,
    two_steps=True,
)
def reject(context: Context, party: str, body: RefuseParameters) -> Document:
    """Do not accept a party that was submitted; it may be corrected and submitted again."""
    refused = due_diligence.refuse(
        context.parts, _whose(context), party, act="reject", reason=body.reason
    )
    return rules.public_party(refused, to_operator=True)


@resource.post(
    "/v1/parties/{party}/suspend",
    returns=PartyShape,
    operation="suspend_party",
    operator_only=True,
    two_steps=True,
)
def suspend(context: Context, party: str, body: RefuseParameters) -> Document:
    """Take an approval back; only two persons give it again."""
    suspended = due_diligence.refuse(
        context.parts, _whose(context), party, act="suspend", reason=body.reason
    )
    return rules.public_party(suspended, to_operator=True)


@resource.post(
    "/v1/parties/{party}/rate",
    returns=PartyShape,
    operation="rate_party",
    operator_only=True,
    two_steps=True,
)
def rate(context: Context, party: str, body: RateParameters) -> Document:
    """Say how much risk there is: it decides how many persons approve, and the next review."""
    rated = due_diligence.rate(
        context.parts, _whose(context), party, rating=body.rating, note=body.note
    )
    return rules.public_party(rated, to_operator=True)


def _whose(context: Context) -> Whose:
    return Whose(
        account_id=context.visible_account_id,
        livemode=context.livemode,
        actor=context.actor,
        request_id=context.request_id,
    )


def _shown(context: Context, party: rules.Party) -> Document:
    shown = rules.public_party(party, to_operator=context.is_operator)
    if context.is_operator:
        shown["digest"] = flow.digest_of(context.connection, party)
    return shown
