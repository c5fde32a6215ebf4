"""Persons: the operator's people, their keys and their second factors."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Listing, ShownOnce
from sakk.api.parameters import ListParameters, Parameters, ShortText
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import person as rules
from sakk.core.errors import ResourceMissing
from sakk.core.role import OWN, Role
from sakk.flow import person as flow
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.store import person as store
from sakk.store.page import fetch_page

resource = Resource("persons")
# What everybody does for themselves, whatever their roles.
own = Resource(OWN)

ROLES_MAX = 10
Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
LastFour = Annotated[str, StringConstraints(pattern=r"^[0-9a-z]{4}$")]
# Finance was called treasurer once, and may still be asked for by that name.
RoleName = Literal[
    "owner",
    "admin",
    "finance",
    "treasurer",
    "approver",
    "compliance",
    "developer",
    "support",
    "viewer",
]
Roles = Annotated[list[RoleName], Field(min_length=1, max_length=ROLES_MAX)]


class PersonCreate(Parameters):
    """A new person. ``key_hash`` and ``key_last4`` are of the token that they made and keep."""

    name: ShortText
    email: ShortText
    roles: Roles
    key_hash: Hash
    key_last4: LastFour


class PersonUpdate(Parameters):
    """Other roles, or a new key in place of every old one and of the second factor."""

    roles: Roles | None = None
    key_hash: Hash | None = None
    key_last4: LastFour = "0000"


class StepUpParameters(Parameters):
    """``code``: the one-time code that the caller's own device shows now."""

    code: Code | None = None


class ApprovalParameters(Parameters):
    """The ``digest`` of the proposal that was shown, and a fresh ``code`` of the caller's."""

    digest: Hash
    code: Code | None = None


class CodeParameters(Parameters):
    """The one-time code that the new second factor shows now."""

    code: Code


class PublicKeyParameters(Parameters):
    """An Ed25519 public key in hexadecimal, and a fresh one-time code."""

    public_key: Hash
    code: Code | None = None


class Proposal(Shape):
    """What another admin has to approve."""

    by: str
    roles: list[Role]
    new_key: bool
    public_key: str | None
    resets: Annotated[bool, Field(description="All that they sign in by ends.")]
    digest: Annotated[str, Field(description="Of all of it: what is approved is what was shown.")]


class PersonShape(Shape):
    """One of the operator's people. ``second_factor``: is one in force?"""

    id: str
    object: Literal["person"]
    name: str
    email: str
    roles: list[Role]
    state: rules.PersonState
    proposal: Proposal | None
    public_key: str | None
    second_factor: bool
    proposed_by: str | None
    approved_by: str | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


class SecondFactorShape(Shape):
    """A second factor in the making: ``secret`` and ``uri`` are shown in this answer alone."""

    object: Literal["second_factor"]
    person: str
    secret: str | None
    uri: str | None


@resource.post(
    "/v1/persons",
    returns=PersonShape,
    operation="create_person",
    operator_only=True,
    two_steps=True,
)
def create(context: Context, body: PersonCreate) -> Document:
    """Propose a person, as an admin; they may act when another admin approves.

    The person makes the token (`sakk persons token`) and gives you its hash: nobody else ever has
    it. The first two admins are made by `sakk persons create` on the machine.
    """
    person = flow.propose(
        context.parts,
        flow.Introduction(
            name=body.name,
            email=body.email,
            roles=list(body.roles),
            key_hash=body.key_hash,
            key_last4=body.key_last4,
        ),
        identifier=context.object_id(rules.PREFIX),
        actor=context.actor,
        livemode=context.livemode,
    )
    return rules.public_person(person)


@resource.get(
    "/v1/persons", returns=Page[PersonShape], operation="list_persons", operator_only=True
)
def list_persons(context: Context, query: ListParameters) -> Listing:
    """List the operator's people, suspended ones too."""
    rows, has_more = fetch_page(
        context.connection,
        store.persons,
        rules.Person,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[rules.public_person(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/persons/{person}", returns=PersonShape, operation="retrieve_person", operator_only=True
)
def retrieve(context: Context, person: str) -> Document:
    """Retrieve a person."""
    found = store.find(context.connection, person, livemode=context.livemode)
    if found is None:
        raise ResourceMissing(f"No such person: {person!r}", param="person")
    return rules.public_person(found)


@resource.post(
    "/v1/persons/{person}",
    returns=PersonShape,
    operation="update_person",
    operator_only=True,
    two_steps=True,
)
def update(context: Context, person: str, body: PersonUpdate) -> Document:
    """Propose other roles or a new key for a person; another admin approves it.

    A new key ends every old one and the second factor: for a device that was lost.
    """
    changed = flow.propose_change(
        context.parts,
        person,
        actor=context.actor,
        livemode=context.livemode,
        roles=None if body.roles is None else list(body.roles),
        key_hash=body.key_hash,
        key_last4=body.key_last4,
    )
    return rules.public_person(changed)


@resource.post(
    "/v1/persons/{person}/approve",
    returns=PersonShape,
    operation="approve_person",
    operator_only=True,
    two_steps=True,
)
def approve(context: Context, person: str, body: ApprovalParameters) -> Document:
    """Approve what another admin proposed for a person, by its digest and a fresh code."""
    word = Word(context.actor, StepUp(code=body.code), body.digest)
    approved = flow.approve(context.parts, person, word, livemode=context.livemode)
    return rules.public_person(approved)


@resource.post(
    "/v1/persons/{person}/suspend",
    returns=PersonShape,
    operation="suspend_person",
    operator_only=True,
    two_steps=True,
)
def suspend(context: Context, person: str) -> Document:
    """End a person's keys at once and for ever; one admin is enough."""
    suspended = flow.suspend(context.parts, person, actor=context.actor, livemode=context.livemode)
    return rules.public_person(suspended)


@own.post(
    "/v1/persons/{person}/second_factor",
    returns=SecondFactorShape,
    operation="create_second_factor",
    operator_only=True,
    two_steps=True,
)
def enrol(context: Context, person: str, body: StepUpParameters) -> ShownOnce:
    """Begin a second factor of your own; to replace one that is in force, send its code.

    The secret is in this answer and nowhere else. It is in force when its first code was sent to
    `/v1/persons/{person}/second_factor/confirm`.
    """
    made = flow.enrol(
        context.parts,
        person,
        actor=context.actor,
        livemode=context.livemode,
        step_up=StepUp(code=body.code),
    )
    shown = {"object": "second_factor", "person": made.person.id}
    return ShownOnce(
        document={**shown, "secret": made.secret, "uri": made.uri},
        stored={**shown, "secret": None, "uri": None},
    )


@own.post(
    "/v1/persons/{person}/second_factor/confirm",
    returns=PersonShape,
    operation="confirm_second_factor",
    operator_only=True,
    two_steps=True,
)
def confirm(context: Context, person: str, body: CodeParameters) -> Document:
    """Put your new second factor in force by its first code."""
    confirmed = flow.confirm(
        context.parts, person, actor=context.actor, livemode=context.livemode, code=body.code
    )
    return rules.public_person(confirmed)


@own.post(
    "/v1/persons/{person}/public_key",
    returns=PersonShape,
    operation="set_public_key",
    operator_only=True,
    two_steps=True,
)
def set_public_key(context: Context, person: str, body: PublicKeyParameters) -> Document:
    """Name the Ed25519 key that you sign approvals with, as the signer's policy file has it.

    The first holds at once; another in its place is proposed, and an admin approves it.
    """
    changed = flow.set_public_key(
        context.parts,
        person,
        actor=context.actor,
        livemode=context.livemode,
        public_key=body.public_key,
        step_up=StepUp(code=body.code),
    )
    return rules.public_person(changed)
