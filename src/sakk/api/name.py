"""Names: screened against the lists, and exempted by persons. The operator's alone."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.entity import NAME_LENGTH_MAX, EntityKind
from sakk.core.errors import ResourceMissing
from sakk.core.name_screening import (
    COUNTRIES_MAX,
    REASON_LENGTH_MAX,
    SUBJECT_LENGTH_MAX,
    public_exemption,
    public_screening,
    read_query,
)
from sakk.core.screening import Verdict
from sakk.flow import name as flow
from sakk.store import name as store

resource = Resource("name_screenings")

Text = Annotated[str, Field(min_length=1, max_length=SUBJECT_LENGTH_MAX)]
FullName = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH_MAX)]
Countries = Annotated[list[Annotated[str, Field(max_length=2)]], Field(max_length=COUNTRIES_MAX)]
Reason = Annotated[str, Field(min_length=1, max_length=REASON_LENGTH_MAX)]
Hits = list[dict[str, Any]]


class NameScreeningCreate(Parameters):
    """Who is asked for. ``birth`` is a date, a month or a year; ``countries`` are ISO 3166-1.

    ``subject`` is what the name is about, in your words: exemptions are granted to it.
    """

    name: FullName
    kind: Literal["person", "organization", "vessel", "aircraft", "unknown"] | None = None
    birth: Annotated[str, Field(max_length=40)] | None = None
    countries: Countries | None = None
    subject: Text | None = None


class NameScreeningListParameters(ListParameters):
    """Which screenings."""

    subject: Text | None = None


class NameScreeningShape(Shape):
    """A decision about a name: the entities that met a rule, each with what speaks for it.

    A hit has ``score`` (of 1,000), ``name_score`` (the names alone), ``pairs`` (which words were
    matched with which), ``query_left`` and ``listed_left`` (which were not), ``evidence`` (points
    for and against), and ``exemption``, where a person said that it is somebody else.
    """

    id: str
    object: Literal["name_screening"]
    account: str | None
    subject: str
    name: str
    kind: EntityKind
    birth: str | None
    countries: list[str]
    verdict: Verdict
    hits: Hits
    lists_version: int
    rules_version: str
    matcher: str
    input_hash: str
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


class ExemptionCreate(Parameters):
    """That ``subject`` is not ``entity``, and why."""

    subject: Text
    entity: Identifier
    reason: Reason


class ExemptionEnd(Parameters):
    """Why it is taken back."""

    reason: Reason | None = None


class ExemptionShape(Shape):
    """A person's word that a subject is not an entity. It holds for one version of the entry."""

    id: str
    object: Literal["name_exemption"]
    subject: str
    entity: str
    entity_version: int
    reason: str
    created_by: str
    ended: int | None
    ended_by: str | None
    ended_reason: str | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.post(
    "/v1/screenings/names",
    returns=NameScreeningShape,
    operation="create_name_screening",
    operator_only=True,
)
def create(context: Context, body: NameScreeningCreate) -> Document:
    """Screen a name against the lists, and record the decision."""
    query = read_query(body.name, kind=body.kind, birth=body.birth, countries=body.countries or ())
    subject = body.subject or "enquiry"
    flow.check_subject(subject)
    (decided,) = flow.screen_names(
        context.connection,
        context.parts.name_index(),
        [flow.NameRequest(subject, query, context.visible_account_id, context.livemode)],
        now=context.now,
    )
    return public_screening(decided)


@resource.get(
    "/v1/screenings/names",
    returns=Page[NameScreeningShape],
    operation="list_name_screenings",
    operator_only=True,
)
def list_screenings(context: Context, query: NameScreeningListParameters) -> Listing:
    """List decisions about names, newest first."""
    rows, has_more = store.list_name_screenings(
        context.connection,
        query.page(),
        livemode=context.livemode,
        account_id=context.visible_account_id,
        subject=query.subject,
    )
    return Listing(data=[public_screening(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/screenings/names/exemptions",
    returns=Page[ExemptionShape],
    operation="list_name_exemptions",
    operator_only=True,
)
def list_exemptions(context: Context, query: NameScreeningListParameters) -> Listing:
    """List exemptions, newest first, those that have ended too."""
    rows, has_more = store.list_exemptions(
        context.connection, query.page(), livemode=context.livemode, subject=query.subject
    )
    return Listing(data=[public_exemption(row) for row in rows], has_more=has_more)


@resource.post(
    "/v1/screenings/names/exemptions",
    returns=ExemptionShape,
    operation="create_name_exemption",
    operator_only=True,
    two_steps=True,
)
def create_exemption(context: Context, body: ExemptionCreate) -> Document:
    """Say that a subject is not an entity, as a person of compliance."""
    row = flow.exempt(
        context.parts,
        subject=body.subject,
        entity_id=body.entity,
        reason=body.reason,
        actor=context.actor,
        livemode=context.livemode,
    )
    return public_exemption(row)


@resource.post(
    "/v1/screenings/names/exemptions/{exemption}/end",
    returns=ExemptionShape,
    operation="end_name_exemption",
    operator_only=True,
    two_steps=True,
)
def end_exemption(context: Context, exemption: Identifier, body: ExemptionEnd) -> Document:
    """Take an exemption back, as a person of compliance: the hit counts again."""
    row = flow.end_exemption(
        context.parts,
        exemption,
        reason=body.reason,
        actor=context.actor,
        livemode=context.livemode,
    )
    return public_exemption(row)


@resource.get(
    "/v1/screenings/names/{name_screening}",
    returns=NameScreeningShape,
    operation="retrieve_name_screening",
    operator_only=True,
)
def retrieve(context: Context, name_screening: Identifier) -> Document:
    """Retrieve a decision about a name."""
    found = store.find_name_screening(context.connection, name_screening, livemode=context.livemode)
    if found is None or context.visible_account_id not in (None, found.account_id):
        raise ResourceMissing(f"No such screening: {name_screening!r}", param="id")
    return public_screening(found)
