"""Fees: schedules with their versions, what they would charge, and what was charged."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    CurrencyCode,
    Identifier,
    ListParameters,
    Metadata,
    Parameters,
    ShortText,
    Strict,
    Timestamp,
    moment,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import fee as rules
from sakk.core.errors import ResourceMissing
from sakk.core.metadata import merge
from sakk.core.money import UNITS_MAX
from sakk.flow import application_fee
from sakk.flow import fee as flow
from sakk.store import fee as store
from sakk.store.page import fetch_page

resource = Resource("fees")
schedules = Resource("fee_schedules")

Units = Annotated[int, Field(ge=0, le=UNITS_MAX)]
# Words, and no enumeration: JSON is read strictly.
Kind = Literal["payin", "payout", "refund", "conversion"]
PartsPerMillion = Annotated[int, Field(ge=0, le=rules.MILLION)]


class TierParameters(Strict):
    """What is priced so from a volume of the month on."""

    volume_from: Units
    percent_ppm: PartsPerMillion


class FeeRuleParameters(Strict):
    """One rule; what is left out fits anything. Amounts are in the currency's smallest unit."""

    kind: Kind | None = None
    currency: CurrencyCode | None = None
    network: Identifier | None = None
    percent_ppm: PartsPerMillion = 0
    fixed: Units = 0
    minimum: Units = 0
    maximum: Units | None = None
    tiers: Annotated[list[TierParameters], Field(max_length=rules.TIERS_MAX)] | None = None
    on_refund: Literal["kept", "returned"] = "kept"


FeeRules = Annotated[list[FeeRuleParameters], Field(min_length=1, max_length=rules.RULES_MAX)]


class FeeScheduleCreate(Parameters):
    """A schedule and its first version; ``effective_at`` is now when left out."""

    name: ShortText
    rules: FeeRules
    effective_at: Timestamp | None = None
    metadata: Metadata | None = None


class FeeScheduleUpdate(Parameters):
    """The rules of the next version; those before it stay as they are."""

    rules: FeeRules
    effective_at: Timestamp | None = None


class FeeSimulate(Parameters):
    """A movement, and by what: a ``fee_schedule`` as it is in force ``at`` a time, or ``rules``.

    ``volume``: what the month had before it. ``application_fee_amount`` and ``connected_account``:
    what a platform takes of it, by name or by its rules; then it may be priced by nothing else.
    """

    kind: Kind
    amount: Annotated[int, Field(ge=1, le=UNITS_MAX)]
    currency: CurrencyCode
    network: Identifier | None = None
    volume: Units = 0
    fee_schedule: Identifier | None = None
    at: Timestamp | None = None
    rules: FeeRules | None = None
    application_fee_amount: Units | None = None
    connected_account: Identifier | None = None


class FeeListParameters(ListParameters):
    """Which fees."""

    source: Identifier | None = None
    fee_schedule: Identifier | None = None


class FeePartShape(Shape):
    """A part of a fee: ``percent_2500ppm``, ``fixed``, ``minimum``, or ``cap`` (below zero)."""

    label: str
    amount: int


class FeeShape(Shape):
    """What was charged, or went back (below zero), by which rule of which version."""

    id: str
    object: Literal["fee"]
    account: str
    amount: int
    amount_decimal: str
    basis: Annotated[int, Field(description="What it was charged on.")]
    created: Created
    currency: str
    fee_schedule: str
    kind: rules.FeeKind
    livemode: Livemode
    metadata: ObjectMetadata
    parts: list[FeePartShape]
    reason: rules.FeeReason
    rule: Annotated[int, Field(description="Its place in the version, from 1.")]
    source: Annotated[str, Field(description="The pay-in, payout or refund that it belongs to.")]
    version: int


class FeeVersionShape(Shape):
    """One version of a schedule's rules."""

    version: int
    rules: list[dict[str, Any]]
    effective_at: int
    created: int
    created_by: str | None


class FeeScheduleShape(Shape):
    """Rules by which accounts are charged; one for both modes, versions newest first."""

    id: str
    object: Literal["fee_schedule"]
    created: Created
    livemode: Livemode
    metadata: ObjectMetadata
    name: str
    version_in_force: int | None
    versions: list[FeeVersionShape]


class FeeSimulationShape(Shape):
    """What a movement would cost. ``net``: what is left of a pay-in, or what a payout takes."""

    object: Literal["fee_simulation"]
    amount: int
    application_fee: Annotated[int, Field(description="What a platform takes.")]
    application_fee_parts: list[FeePartShape]
    currency: str
    fee: int
    fee_decimal: str
    kind: rules.FeeKind
    net: int
    net_decimal: str
    network: str | None
    on_refund: rules.OnRefund | None
    parts: list[FeePartShape]
    rule: int | None
    volume: int


@schedules.post(
    "/v1/fee_schedules",
    returns=FeeScheduleShape,
    operation="create_fee_schedule",
    operator_only=True,
)
def create(context: Context, body: FeeScheduleCreate) -> Document:
    """Write down by which rules accounts are charged. It charges nobody until it is assigned."""
    schedule = flow.create_schedule(
        context.connection,
        identifier=context.object_id(rules.SCHEDULE_PREFIX),
        name=body.name,
        written=read_fee_rules(body.rules),
        effective_at=moment(body.effective_at),
        metadata=merge({}, body.metadata or {}),
        by=context.actor.person or context.actor.key,
        now=context.now,
    )
    return _shown(context, schedule)


@schedules.post(
    "/v1/fee_schedules/{fee_schedule}",
    returns=FeeScheduleShape,
    operation="update_fee_schedule",
    operator_only=True,
)
def update(context: Context, fee_schedule: str, body: FeeScheduleUpdate) -> Document:
    """Add a version. What was charged by those before it stays charged."""
    schedule = flow.add_version(
        context.connection,
        fee_schedule,
        read_fee_rules(body.rules),
        effective_at=moment(body.effective_at),
        livemode=context.livemode,
        by=context.actor.person or context.actor.key,
        now=context.now,
    )
    return _shown(context, schedule)


@schedules.get(
    "/v1/fee_schedules",
    returns=Page[FeeScheduleShape],
    operation="list_fee_schedules",
    operator_only=True,
)
def list_schedules(context: Context, query: ListParameters) -> Listing:
    """List the fee schedules, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.fee_schedules,
        rules.FeeSchedule,
        account_id=None,
        livemode=None,
        page=query.page(),
    )
    versions = store.list_versions(context.connection, [row.id for row in rows])
    shown = [
        rules.public_schedule(
            row, versions.get(row.id, []), livemode=context.livemode, now=context.now
        )
        for row in rows
    ]
    return Listing(data=shown, has_more=has_more)


@schedules.get(
    "/v1/fee_schedules/{fee_schedule}",
    returns=FeeScheduleShape,
    operation="retrieve_fee_schedule",
    operator_only=True,
)
def retrieve_schedule(context: Context, fee_schedule: str) -> Document:
    """Retrieve a fee schedule with all its versions."""
    schedule = store.find_schedule(context.connection, fee_schedule)
    if schedule is None:
        raise ResourceMissing(f"No such fee schedule: {fee_schedule!r}", param="id")
    return _shown(context, schedule)


@schedules.lookup(
    "/v1/fee_simulations",
    returns=FeeSimulationShape,
    operation="simulate_fee",
    operator_only=True,
)
def simulate(context: Context, body: FeeSimulate) -> Document:
    """Say what a movement would cost, and by which rule; nothing is written."""
    movement = rules.Movement(
        rules.FeeKind(body.kind), body.currency.lower(), body.network, body.amount, body.volume
    )
    with context.database.begin() as connection:
        platform = body.application_fee_amount, body.connected_account
        priced = None
        if platform == (None, None) or body.fee_schedule or body.rules is not None:
            priced = flow.simulate(
                connection,
                movement,
                schedule=body.fee_schedule,
                written=None if body.rules is None else read_fee_rules(body.rules),
                at=moment(body.at) or context.now,
            )
        taken = application_fee.simulate(
            connection,
            movement,
            0 if priced is None else priced.fee,
            amount=body.application_fee_amount,
            connected_account=body.connected_account,
            livemode=context.livemode,
            now=moment(body.at) or context.now,
        )
        decimals = flow.decimals_of(connection, movement.currency)
    return rules.public_simulation(movement, priced, decimals=decimals, application=taken)


@resource.get("/v1/fees", returns=Page[FeeShape], operation="list_fees")
def list_fees(context: Context, query: FeeListParameters) -> Listing:
    """List the fees that the account was charged, newest first; the operator's key: all."""
    c = store.fees.c
    filters = [] if query.source is None else [c.source == query.source]
    if query.fee_schedule is not None:
        filters.append(c.schedule == query.fee_schedule)
    rows, has_more = fetch_page(
        context.connection,
        store.fees,
        rules.Fee,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public_fee(row) for row in rows], has_more=has_more)


@resource.get("/v1/fees/{fee}", returns=FeeShape, operation="retrieve_fee")
def retrieve(context: Context, fee: str) -> Document:
    """Retrieve a fee."""
    found = store.find_fee(
        context.connection,
        fee,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such fee: {fee!r}", param="id")
    return rules.public_fee(found)


def _shown(context: Context, schedule: rules.FeeSchedule) -> Document:
    versions = store.list_versions(context.connection, [schedule.id]).get(schedule.id, [])
    return rules.public_schedule(schedule, versions, livemode=context.livemode, now=context.now)


def read_fee_rules(written: list[FeeRuleParameters]) -> list[rules.FeeRule]:
    """Rules as they were sent."""
    return [
        rules.FeeRule(
            kind=None if each.kind is None else rules.FeeKind(each.kind),
            currency=None if each.currency is None else each.currency.lower(),
            network=each.network,
            percent_ppm=each.percent_ppm,
            fixed=each.fixed,
            minimum=each.minimum,
            maximum=each.maximum,
            tiers=tuple(
                rules.Tier(tier.volume_from, tier.percent_ppm) for tier in each.tiers or ()
            ),
            on_refund=rules.OnRefund(each.on_refund),
        )
        for each in written
    ]
