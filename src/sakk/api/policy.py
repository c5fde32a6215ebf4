"""Policies: versions of the rules for payouts, and what each of them would say."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Identifier,
    ListParameters,
    LongText,
    Parameters,
    ShortText,
    Strict,
)
from sakk.api.payout import PayoutFields, request_of
from sakk.api.proposal import Confirmation, yes_to
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import policy as rules
from sakk.core.errors import ParameterInvalid, ParameterMissing, ResourceMissing
from sakk.core.payout import Payout
from sakk.flow import policy as flow
from sakk.flow import simulation
from sakk.store import payout as payouts
from sakk.store import policy as store
from sakk.store.page import fetch_page

resource = Resource("policies")

Digits = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,78}$")]
Bound = Annotated[int, Field(ge=0)] | Digits
Entries = Annotated[list[Identifier], Field(max_length=rules.ENTRIES_MAX)]


class AmountParameters(Strict):
    """More than ``above`` and no more than ``up_to``: of the smallest unit, or whole units."""

    above: Bound | None = None
    up_to: Bound | None = None
    unit: rules.Unit | None = None


class PeriodParameters(AmountParameters):
    """What went before in ``seconds``, and this payout, added up ``per`` what."""

    seconds: Annotated[int, Field(ge=1, le=rules.PERIOD_SECONDS_MAX)]
    per: rules.Per


class RuleParameters(Strict):
    """One rule; what is left out fits anything."""

    name: ShortText
    action: Literal["allow", "approve", "block"]
    approvals: Annotated[int, Field(ge=1, le=rules.APPROVALS_MAX)] | None = None
    role: ShortText | None = None
    currencies: Entries | None = None
    assets: Entries | None = None
    networks: Entries | None = None
    purposes: Entries | None = None
    destinations: Entries | None = None
    initiators: Entries | None = None
    amount: AmountParameters | None = None
    period: PeriodParameters | None = None


Rules = Annotated[list[RuleParameters], Field(max_length=rules.RULES_MAX)]


class PolicyCreate(Parameters):
    """A version: the first rule that fits a payout decides it."""

    rules: Rules
    note: LongText | None = None


class PolicySimulate(Parameters):
    """Under which rules, and what: a ``payout`` there is, ``request`` one, or the ``last`` ones.

    ``policy``: a version by id or number, ``active`` by default; or ``rules`` that nobody proposed.
    """

    policy: Identifier | None = None
    rules: Rules | None = None
    payout: Identifier | None = None
    request: PayoutFields | None = None
    last: Annotated[int, Field(ge=1, le=simulation.PAST_MAX)] | None = None


class PolicyShape(Shape):
    """One version. ``base``: the version that it was written against."""

    id: str
    object: Literal["policy"]
    number: int
    state: rules.VersionState
    rules: list[dict[str, Any]]
    digest: str
    note: str | None
    base: int | None
    proposed_by: str | None
    decided_by: str | None
    activated_at: int | None
    closed_at: int | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


class PassedShape(Shape):
    """A rule that did not fit, and why."""

    rule: str
    reason: str


class DecisionShape(Shape):
    """What rules say: the one that fits, and those before it that do not."""

    action: rules.Action
    rule: str | None
    approvals: int
    role: str | None
    passed: list[PassedShape]
    sums: list[dict[str, Any]] | None = None


class DifferenceShape(Shape):
    """A payout that these rules would have decided otherwise."""

    payout: str
    was: dict[str, Any]
    would_be: DecisionShape


class SimulationShape(Shape):
    """What would happen. ``compared``: how many payouts ``differences`` are among."""

    object: Literal["policy_simulation"]
    policy: str | None
    number: int | None
    decision: DecisionShape | None
    compared: int | None
    differences: list[DifferenceShape] | None
    livemode: Livemode


@resource.post(
    "/v1/policies",
    returns=PolicyShape,
    operation="create_policy",
    operator_only=True,
    two_steps=True,
)
def create(context: Context, body: PolicyCreate) -> Document:
    """Propose a version, as admin or finance; it takes effect when another approves it."""
    version = flow.propose(
        context.parts,
        _document(body.rules),
        identifier=context.object_id(rules.PREFIX),
        actor=context.actor,
        note=body.note,
        livemode=context.livemode,
    )
    return rules.public_version(version)


@resource.get(
    "/v1/policies", returns=Page[PolicyShape], operation="list_policies", operator_only=True
)
def list_versions(context: Context, query: ListParameters) -> Listing:
    """List every version, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.policies,
        rules.PolicyVersion,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[rules.public_version(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/policies/{policy}", returns=PolicyShape, operation="retrieve_policy", operator_only=True
)
def retrieve(context: Context, policy: str) -> Document:
    """Retrieve a version by its id or number, or the one in force by ``active``."""
    found = flow.find_version(context.connection, policy, livemode=context.livemode)
    if found is None:
        raise ResourceMissing("No version of the policy is in force.", param="policy")
    return rules.public_version(found)


@resource.post(
    "/v1/policies/{policy}/approve",
    returns=PolicyShape,
    operation="approve_policy",
    operator_only=True,
    two_steps=True,
)
def approve(context: Context, policy: str, body: Confirmation) -> Document:
    """Put a version in force that another person proposed, as an admin or an approver.

    What waits for approvals is judged by it at once.
    """
    version = flow.approve(context.parts, policy, yes_to(context, body), livemode=context.livemode)
    return rules.public_version(version)


@resource.post(
    "/v1/policies/{policy}/reject",
    returns=PolicyShape,
    operation="reject_policy",
    operator_only=True,
    two_steps=True,
)
def reject(context: Context, policy: str) -> Document:
    """End a version that was proposed; one no is enough."""
    version = flow.reject(context.parts, policy, actor=context.actor, livemode=context.livemode)
    return rules.public_version(version)


@resource.lookup(
    "/v1/policies/simulate",
    returns=SimulationShape,
    operation="simulate_policy",
    operator_only=True,
)
def simulate(context: Context, body: PolicySimulate) -> Document:
    """Ask what would happen to a payout, or what would have happened to the last ones.

    Act for a merchant's account (`Stripe-Account`) to ask for a ``request`` of theirs.
    """
    asked = [each for each in (body.payout, body.request, body.last) if each is not None]
    if len(asked) != 1:
        raise ParameterMissing("Give one of payout, request and last.", param="payout")
    if body.rules is not None and body.policy is not None:
        raise ParameterInvalid("Give policy or rules, not both.", param="rules")
    with context.database.begin() as connection:
        version = (
            None
            if body.rules is not None
            else flow.find_version(connection, body.policy, livemode=context.livemode)
        )
        judged_by = (
            flow.rules_of(version)
            if body.rules is None
            else rules.read_rules(_document(body.rules), livemode=context.livemode)
        )
        result: Document = {
            "object": "policy_simulation",
            "policy": None if version is None else version.id,
            "number": None if version is None else version.number,
            "decision": None,
            "compared": None,
            "differences": None,
            "livemode": context.livemode,
        }
        if body.last is not None:
            compared, found = simulation.differences(
                connection, judged_by, livemode=context.livemode, last=body.last
            )
            shown = [simulation.public_difference(each) for each in found]
            return result | {"compared": compared, "differences": shown}
        if body.request is not None:
            decision = simulation.what_if(
                connection,
                judged_by,
                request_of(context, body.request),
                identifier=context.object_id("po"),
                account_id=context.account_id,
                livemode=context.livemode,
                now=context.now,
            )
        else:
            row = _payout(context, connection, body.payout or "")
            decision = simulation.simulate(connection, judged_by, row, now=context.now)
        return result | {"decision": decision}


def _payout(context: Context, connection: Any, identifier: str) -> Payout:
    found = payouts.find(
        connection,
        identifier,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such payout: {identifier!r}", param="payout")
    return found


def _document(written: list[RuleParameters]) -> list[dict[str, Any]]:
    return [each.model_dump(exclude_none=True, mode="json") for each in written]
