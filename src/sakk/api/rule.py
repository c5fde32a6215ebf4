"""Screening rules: their versions, who proposed and approved each, and what each says."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, LongText, Parameters
from sakk.api.proposal import Confirmation, yes_to
from sakk.api.route import Resource
from sakk.api.screening import ReasonShape
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import rule as core
from sakk.core.errors import ParameterMissing
from sakk.core.screening import Verdict
from sakk.flow import back_test
from sakk.flow import rule as flow
from sakk.store import rule as store
from sakk.store.page import fetch_page

resource = Resource("screening_rules")

# What each kind of rule has is checked by the core, which names the field that is wrong.
Rules = Annotated[list[dict[str, Any]], Field(max_length=core.RULES_MAX)]


class RulesCreate(Parameters):
    """A version: every rule that fits a transfer is a reason, and the gravest verdict wins."""

    rules: Rules
    note: LongText | None = None


class RulesShape(Shape):
    """One version. ``base``: the version that it was written against; 0 came with the house.

    ``id`` and ``created`` are null for what came with the house.
    """

    id: str | None
    object: Literal["screening_rules"]
    number: int
    state: core.RulesState
    rules: list[dict[str, Any]]
    digest: str
    note: str | None
    base: int | None
    proposed_by: str | None
    decided_by: str | None
    in_force_from: int | None
    in_force_to: int | None
    closed_at: int | None
    metadata: ObjectMetadata
    created: Created | None
    livemode: Livemode


class RulesTest(Parameters):
    """Which rules: ``rules`` that nobody proposed, or a ``version`` by id or number.

    On how many of the ``last`` transfers, each by its last verdict.
    """

    rules: Rules | None = None
    version: Identifier | None = None
    last: Annotated[int, Field(ge=1, le=back_test.LAST_MAX)] = back_test.LAST_DEFAULT


class VerdictCount(Shape):
    """How many transfers had a verdict, and would have it."""

    verdict: Verdict
    was: int
    would_be: int


class RuleCount(Shape):
    """How many transfers a rule fitted, and would fit."""

    rule: str
    was: int
    would_be: int


class DifferenceShape(Shape):
    """A transfer with another verdict than the one that was given, and the reasons for it."""

    subject: str
    screening: str
    was: Verdict
    would_be: Verdict
    reasons: list[ReasonShape]


class RulesTestShape(Shape):
    """What would have happened. ``untested``: judged before facts were kept.

    ``missing``: of how many transfers a fact was not looked up that these rules ask for.
    ``differences`` are the newest of those that ``changed``.
    """

    object: Literal["screening_rules_test"]
    compared: int
    untested: int
    missing: dict[str, int]
    verdicts: list[VerdictCount]
    rules: list[RuleCount]
    changed: int
    differences: list[DifferenceShape]
    livemode: Livemode


@resource.post(
    "/v1/screening_rules",
    returns=RulesShape,
    operation="create_screening_rules",
    operator_only=True,
    two_steps=True,
)
def create(context: Context, body: RulesCreate) -> Document:
    """Propose a version, as a person of compliance; it judges when another approves it."""
    version = flow.propose(
        context.parts,
        body.rules,
        identifier=context.object_id(core.PREFIX),
        actor=context.actor,
        note=body.note,
        livemode=context.livemode,
    )
    return core.public_version(version)


@resource.get(
    "/v1/screening_rules",
    returns=Page[RulesShape],
    operation="list_screening_rules",
    operator_only=True,
)
def list_versions(context: Context, query: ListParameters) -> Listing:
    """List every version that people wrote, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.screening_rules,
        core.RulesVersion,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[core.public_version(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/screening_rules/{rules}",
    returns=RulesShape,
    operation="retrieve_screening_rules",
    operator_only=True,
)
def retrieve(context: Context, rules: Identifier) -> Document:
    """Retrieve a version by its id or number, or the one that judges now by ``in_force``."""
    return flow.shown(context.connection, rules, livemode=context.livemode)


@resource.post(
    "/v1/screening_rules/{rules}/approve",
    returns=RulesShape,
    operation="approve_screening_rules",
    operator_only=True,
    two_steps=True,
)
def approve(context: Context, rules: Identifier, body: Confirmation) -> Document:
    """Put a version in force that another person proposed, as a person of compliance.

    The very next decision is by it; what waits is judged again.
    """
    version = flow.approve(context.parts, rules, yes_to(context, body), livemode=context.livemode)
    return core.public_version(version)


@resource.post(
    "/v1/screening_rules/{rules}/reject",
    returns=RulesShape,
    operation="reject_screening_rules",
    operator_only=True,
    two_steps=True,
)
def reject(context: Context, rules: Identifier) -> Document:
    """End a version that was proposed; one no is enough."""
    version = flow.reject(context.parts, rules, actor=context.actor, livemode=context.livemode)
    return core.public_version(version)


@resource.lookup(
    "/v1/screening_rules/test",
    returns=RulesTestShape,
    operation="test_screening_rules",
    operator_only=True,
)
def test(context: Context, body: RulesTest) -> Document:
    """Ask what rules would have done to the last transfers. Nothing is written."""
    if (body.rules is None) == (body.version is None):
        raise ParameterMissing("Give rules, or a version.", param="rules")
    with context.database.begin() as connection:
        document = body.rules
        if body.version is not None:
            document = flow.shown(connection, body.version, livemode=context.livemode)["rules"]
        result = back_test.back_test(
            connection, core.read_rules(document), livemode=context.livemode, last=body.last
        )
    return back_test.public(result, livemode=context.livemode)
