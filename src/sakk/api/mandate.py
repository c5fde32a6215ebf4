"""Mandates: what agents may spend of the account's money, signed by its owners."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.mandate_spend import MandateSpendShape
from sakk.api.parameters import (
    Amount,
    CurrencyCode,
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    Strict,
    Timestamp,
)
from sakk.api.person import Code, Hash
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import ap2, eip712
from sakk.core import mandate as rules
from sakk.core.approval import PREFIX as APPROVAL_PREFIX
from sakk.core.errors import ParameterInvalid
from sakk.core.mandate import CategoryRule, MandateStatus, PayeeRule, Period, Terms
from sakk.core.mandate_spend import public_spend
from sakk.core.metadata import merge
from sakk.flow import mandate as flow
from sakk.flow import mandate_approval as approvals
from sakk.flow import mandate_life as life
from sakk.flow import mandate_spend as spends
from sakk.flow.mandate_approval import Place
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.store import mandate as store
from sakk.store.page import fetch_page

resource = Resource("mandates")
# Who may decide on what waits for people may decide on spends.
words = Resource("approvals")

Signature = Annotated[
    str,
    Field(
        max_length=200,
        description="The owner's, over `typed_data` (EIP-712): 65 bytes, hexadecimal.",
    ),
]
Seconds = Annotated[int, Field(ge=1, le=rules.PERIOD_SECONDS_MAX)]
_NONE: Any = Field(default_factory=list)
Count = Annotated[int, Field(ge=1, le=rules.COUNT_MAX)]


class PeriodParameters(Strict):
    """At most so much, so many payments, or both, in each window of so many seconds."""

    seconds: Seconds
    amount: Amount | None = None
    count: Count | None = None


class PayeeParameters(Strict):
    """Who may be paid: whoever agrees with everything that is named."""

    account: Identifier | None = None
    network: Identifier | None = None
    address: Identifier | None = None
    host: Annotated[str, Field(max_length=255)] | None = None
    category: Identifier | None = None
    limit: Amount | None = None


class CategoryParameters(Strict):
    """A group of the payees, and how much it may be paid in all."""

    name: Identifier
    limit: Amount | None = None


class TermsParameters(Strict):
    """What is signed. What is left out is not limited."""

    owner: Identifier
    agent: Identifier
    currency: CurrencyCode
    total: Amount
    expires_at: Timestamp
    starts_at: Annotated[Timestamp | None, Field(description="Now, by default.")] = None
    salt: Annotated[
        Identifier | None, Field(description="Makes equal terms two mandates; drawn by default.")
    ] = None
    count: Count | None = None
    call_min: Amount | None = None
    call_max: Amount | None = None
    payee_max: Annotated[
        Amount | None, Field(description="To each payee that has no limit of its own.")
    ] = None
    approval_above: Annotated[
        int | None, Field(ge=0, description="A payment of more waits for a person.")
    ] = None
    may_park: Annotated[
        bool, Field(description="The agent may move idle balance into the pool and back.")
    ] = False
    may_invoice: Annotated[
        bool, Field(description="The agent may ask others to pay the account.")
    ] = False
    periods: Annotated[
        list[PeriodParameters], Field(default_factory=list, max_length=rules.PERIODS_MAX)
    ]
    payees: Annotated[
        list[PayeeParameters], Field(default_factory=list, max_length=rules.PAYEES_MAX)
    ]
    categories: Annotated[
        list[CategoryParameters], Field(default_factory=list, max_length=rules.CATEGORIES_MAX)
    ]
    networks: Annotated[
        list[Identifier], Field(default_factory=list, max_length=rules.NETWORKS_MAX)
    ]
    schemes: Annotated[list[Identifier], Field(max_length=rules.SCHEMES_MAX)] = _NONE
    replaces: Annotated[
        Identifier | None, Field(description="The mandate whose place it takes.")
    ] = None


class MandateDraft(Parameters):
    """The terms as they are meant."""

    terms: TermsParameters


class Ap2Draft(Parameters):
    """An open payment mandate of AP2, and what it does not say."""

    mandate: Annotated[
        dict[str, Any], Field(description="`mandate.payment.open.1`, as AP2's schema has it.")
    ]
    owner: Identifier
    agent: Identifier
    currency: CurrencyCode
    starts_at: Timestamp | None = None
    expires_at: Timestamp | None = None


class MandateCreate(Parameters):
    """The terms of a draft, unchanged, and the owner's signature over them."""

    terms: TermsParameters
    signature: Signature
    description: LongText | None = None
    metadata: Metadata | None = None


class MandateListParameters(ListParameters):
    """Which mandates."""

    agent: Identifier | None = None
    status: Literal["active", "revoked"] | None = None


class SpendApprove(Parameters):
    """A person's yes to a spend that waits.

    A person of the house sends the spend's ``approval_digest`` as ``digest`` and a fresh ``code``;
    an owner sends ``owner_signature``, over the spend's ``approval_typed_data``.
    """

    digest: Hash | None = None
    code: Code | None = None
    owner_signature: Annotated[str | None, Field(max_length=200)] = None
    comment: LongText | None = None


class SpendReject(Parameters):
    """Why not."""

    comment: LongText | None = None


class BudgetShape(Shape):
    """One of a mandate's budgets: its limit, and what is left of it now.

    ``name`` tells it apart; ``limit`` is what kind it is. A count is of payments.
    """

    name: str
    limit: str
    amount: int
    left: int
    resets_at: int | None


class MandateDraftShape(Shape):
    """What the owner signs with `eth_signTypedData_v4` (EIP-712), and what it says in words."""

    object: Literal["mandate_draft"]
    terms: dict[str, Any]
    statement: str
    typed_data: dict[str, Any]
    digest: str
    unenforced: Annotated[
        list[str] | None, Field(description="Constraints of AP2's that are not held here.")
    ] = None


class MandateShape(Shape):
    """What an agent may spend. ``budgets`` are there when one mandate is retrieved."""

    id: str
    object: Literal["mandate"]
    account: str
    agent: str
    owner: str
    owner_key: str
    currency: str
    terms: dict[str, Any]
    statement: str
    typed_data: dict[str, Any]
    digest: str
    signature: str
    status: Literal["waiting", "active", "expired", "revoked"]
    budgets: list[BudgetShape] | None = None
    replaces: str | None
    replaced_by: str | None
    revoked_at: int | None
    starts_at: int
    expires_at: int
    description: str | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.lookup("/v1/mandates/draft", returns=MandateDraftShape, operation="draft_mandate")
def draft(context: Context, body: MandateDraft) -> Document:
    """What an owner would sign: the terms in their canonical form, in words, and as typed data."""
    return _drafted(context, _terms(context, body.terms))


@resource.lookup("/v1/mandates/draft_ap2", returns=MandateDraftShape, operation="draft_ap2_mandate")
def draft_ap2(context: Context, body: Ap2Draft) -> Document:
    """The same terms that an AP2 open payment mandate has; what they can not say is refused.

    AP2's amounts are in cents, and its budget in whole units: they are converted exactly.
    """
    terms = ap2.read(
        body.mandate,
        account_id=context.account_id,
        livemode=context.livemode,
        owner=body.owner,
        agent=body.agent,
        currency=body.currency.lower(),
        decimals=_decimals(context, body.currency.lower()),
        starts_at=body.starts_at,
        expires_at=body.expires_at,
        now=int(context.now.timestamp()),
        salt=_salt(context),
    )
    return {**_drafted(context, terms), "unenforced": ap2.unenforced(body.mandate)}


@resource.post("/v1/mandates", returns=MandateShape, operation="create_mandate", two_steps=True)
def create(context: Context, body: MandateCreate) -> Document:
    """Put in force what an owner signed. It never changes; sent again it is the same mandate."""
    mandate = life.create(
        context.parts,
        _terms(context, body.terms),
        body.signature,
        identifier=context.object_id(rules.PREFIX),
        description=body.description,
        metadata=merge({}, body.metadata or {}),
        request_id=context.request_id,
    )
    return flow.public(context.parts, mandate)


@resource.get("/v1/mandates", returns=Page[MandateShape], operation="list_mandates")
def list_mandates(context: Context, query: MandateListParameters) -> Listing:
    """List the account's mandates, newest first; what is left of each is asked of each."""
    columns = store.mandates.c
    filters = []
    if query.agent is not None:
        filters.append(columns.agent == query.agent.lower())
    if query.status is not None:
        active = columns.status == MandateStatus.active.value
        filters.append(active if query.status == "active" else ~active)
    rows, has_more = fetch_page(
        context.connection,
        store.mandates,
        rules.Mandate,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(
        data=[{**rules.public_mandate(row, now=context.now), "budgets": None} for row in rows],
        has_more=has_more,
    )


@resource.get(
    "/v1/mandates/{mandate}",
    returns=MandateShape,
    operation="retrieve_mandate",
    asks_outside=True,
)
def retrieve(context: Context, mandate: str) -> Document:
    """Retrieve a mandate with what is left of its budgets. Its agent may, too."""
    with context.database.read() as connection:
        found = flow.find(
            connection, mandate, account_id=context.account_id, livemode=context.livemode
        )
    return flow.public(context.parts, found)


@resource.post(
    "/v1/mandates/{mandate}/revoke",
    returns=MandateShape,
    operation="revoke_mandate",
    two_steps=True,
)
def revoke(context: Context, mandate: str) -> Document:
    """End a mandate for ever, at once: the ledger refuses whatever is spent after this answer."""
    ended = life.revoke(
        context.parts,
        mandate,
        by=context.actor.signature,
        account_id=context.account_id,
        livemode=context.livemode,
    )
    return flow.public(context.parts, ended)


@words.post(
    "/v1/mandates/{mandate}/spends/{spend}/approve",
    returns=MandateSpendShape,
    operation="approve_mandate_spend",
    two_steps=True,
)
def approve(context: Context, mandate: str, spend: str, body: SpendApprove) -> Document:
    """Let an agent carry out a spend that waits for a person; it does when it asks again."""
    word = Word(context.actor, StepUp(body.code), body.digest, body.comment)
    approved = approvals.approve(
        context.parts,
        _place(context, mandate, spend),
        word,
        owner_signature=body.owner_signature,
        approval_id=context.object_id(APPROVAL_PREFIX),
    )
    return public_spend(approved)


@words.post(
    "/v1/mandates/{mandate}/spends/{spend}/reject",
    returns=MandateSpendShape,
    operation="reject_mandate_spend",
    two_steps=True,
)
def reject(context: Context, mandate: str, spend: str, body: SpendReject) -> Document:
    """Refuse a spend that waits for a person, or that was approved and not carried out yet."""
    rejected = approvals.reject(
        context.parts,
        _place(context, mandate, spend),
        Word(context.actor, comment=body.comment),
        approval_id=context.object_id(APPROVAL_PREFIX),
    )
    return public_spend(rejected)


@resource.post(
    "/v1/mandates/{mandate}/spends/{spend}/release",
    returns=MandateSpendShape,
    operation="release_mandate_spend",
    two_steps=True,
)
def release(context: Context, mandate: str, spend: str) -> Document:
    """Say that a reserved spend was never paid: it goes back to the budgets that it was taken from.

    Only the account says so, and never its agent: see to it that the payment can not happen.
    """
    released = spends.release(
        context.parts,
        mandate,
        spend,
        account_id=context.account_id,
        livemode=context.livemode,
    )
    return public_spend(released)


def _place(context: Context, mandate: str, spend: str) -> Place:
    return Place(mandate, spend, context.account_id, context.livemode)


def _drafted(context: Context, terms: Terms) -> Document:
    with context.database.read() as connection:
        checked = flow.draft(connection, terms, now=context.now)
    typed = rules.typed_data(checked)
    return {
        "object": "mandate_draft",
        "terms": rules.public_terms(checked),
        "statement": rules.statement(checked),
        "typed_data": typed,
        "digest": "0x" + eip712.digest(typed).hex(),
        "unenforced": None,
    }


def _terms(context: Context, given: TermsParameters) -> Terms:
    currency = given.currency.lower()
    return Terms(
        account_id=context.account_id,
        livemode=context.livemode,
        owner=given.owner,
        agent=given.agent,
        currency=currency,
        decimals=_decimals(context, currency),
        total=given.total,
        starts_at=int(context.now.timestamp()) if given.starts_at is None else given.starts_at,
        expires_at=given.expires_at,
        salt=given.salt or _salt(context),
        count=given.count,
        call_min=given.call_min,
        call_max=given.call_max,
        payee_max=given.payee_max,
        approval_above=given.approval_above,
        may_park=given.may_park,
        may_invoice=given.may_invoice,
        periods=tuple(Period(**each.model_dump()) for each in given.periods),
        payees=tuple(PayeeRule(**each.model_dump()) for each in given.payees),
        categories=tuple(CategoryRule(**each.model_dump()) for each in given.categories),
        networks=tuple(given.networks),
        schemes=tuple(given.schemes),
        replaces=given.replaces,
    )


def _decimals(context: Context, currency: str) -> int:
    with context.database.read() as connection:
        catalogue = context.catalogues.read(connection)
    found = catalogue.currencies.get(currency)
    if found is None:
        raise ParameterInvalid(
            f"There is no currency {currency!r}. GET /v1/currencies lists them.",
            param="terms[currency]",
        )
    return found.decimals


def _salt(context: Context) -> str:
    """Of this request alone: what it drafts is no mandate that was signed before."""
    return "0x" + hashlib.sha256(f"mandate {context.seed}".encode()).hexdigest()
