"""Travel Rule: who stands behind transfers, what is missing of it, and the regime in force."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Identifier,
    ListParameters,
    LongText,
    Parameters,
    ShortText,
    Strict,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, Page, Shape
from sakk.core import regime as regimes
from sakk.core import travel_rule as rules
from sakk.core.errors import ResourceMissing
from sakk.core.evm import checksum_address
from sakk.core.ivms101 import write
from sakk.core.trp import ADDRESS_LENGTH_MAX
from sakk.flow import regime as regime_flow
from sakk.flow import travel_inquiry as inquiry_flow
from sakk.flow import travel_rule as flow
from sakk.flow.travel_need import opened
from sakk.store import regime as regime_store
from sakk.store import travel_rule as store
from sakk.store.page import fetch_page

resource = Resource("travel_rule")

Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Lei = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{18}[0-9]{2}$")]
TravelAddress = Annotated[
    str, StringConstraints(pattern=r"^ta[1-9A-HJ-NP-Za-km-z]+$", max_length=ADDRESS_LENGTH_MAX)
]
Ivms101Person = Annotated[
    dict[str, Any],
    Field(description="A `Person` of IVMS101: `naturalPerson` or `legalPerson`, as it says there."),
]


class VaspParameters(Strict):
    """The institution that holds the address for its customer (IVMS101 ``beneficiaryVASP``).

    ``travel_address``: the one that the beneficiary got from it, where it is asked.
    """

    id: Annotated[Identifier | None, Field(description="One of the operator's directory.")] = None
    name: ShortText | None = None
    lei: Lei | None = None
    country: Country | None = None
    travel_address: TravelAddress | None = None


class PartyParameters(Strict):
    """A person in short, or whole as IVMS101 in ``person``."""

    type: Literal["natural", "legal"] | None = None
    name: Annotated[
        ShortText | None, Field(description="A natural person's family name, or all of it.")
    ] = None
    given_name: ShortText | None = None
    country: Country | None = None
    town: ShortText | None = None
    address: Annotated[LongText | None, Field(description="Street and number, in lines.")] = None
    lei: Lei | None = None
    person: Ivms101Person | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.person is None and (self.name is None) != (self.type is None):
            raise ValueError("give type and name together")
        return self

    def told(self) -> dict[str, Any]:
        """What was said, and nothing that was not."""
        return self.model_dump(exclude_none=True)


class TravelRuleParameters(PartyParameters):
    """Who stands behind the address, and who keeps its keys.

    ``originator``: who sends, where it is not the account itself but one of its customers.
    """

    wallet: Literal["hosted", "self_hosted"] | None = None
    account_reference: ShortText | None = None
    vasp: VaspParameters | None = None
    originator: PartyParameters | None = None


class TravelRuleSupply(Parameters):
    """What is told of a transfer that waits; nothing: it is looked at again."""

    travel_rule: TravelRuleParameters | None = None


class Decision(Parameters):
    """Why; it stands in the record."""

    reason: LongText


class LegalHold(Parameters):
    """Is the data kept for longer than the ten years?"""

    legal_hold: bool


class OriginatorParameters(Parameters, PartyParameters):
    """Who the account is."""


class RegimeChoice(Parameters):
    """A preset's name (fatf, eu, hk, ch, sg, us), a regime that is written out, or ``none``.

    ``institution``: who you are, an IVMS101 person; needed with the first regime.
    """

    regime: ShortText | dict[str, Any]
    institution: Ivms101Person | None = None


class TravelAddressCreate(Parameters):
    """Of which deposit address, on which network."""

    network: Identifier
    address: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]


class TravelRuleListParameters(ListParameters):
    """Which records."""

    status: rules.TravelRuleStatus | None = None
    direction: rules.TransferDirection | None = None


class MissingShape(Shape):
    """What is missing, and how it is mended."""

    field: str
    message: str


class TravelRuleShape(Shape):
    """One transfer's record. It names what is missing, never what the parties told.

    ``subject``: the payout or the pay-in. ``ownership``: how a self-hosted wallet's owner was
    shown.
    """

    id: str
    object: Literal["travel_rule"]
    account: str | None
    address: str
    amount: Annotated[int, Field(description="In the currency's smallest unit.")]
    completed_at: int | None
    counterparty: Literal["vasp", "self_hosted", "own", "unknown"]
    created: Created
    currency: str | None
    deadline_at: Annotated[int | None, Field(description="The other institution answers until.")]
    decided_by: str | None
    direction: rules.TransferDirection
    exchange: rules.Exchange | None
    legal_hold: bool | None
    livemode: Livemode
    missing: list[MissingShape]
    network: str | None
    ownership: str | None
    reason: str | None
    reasons: Annotated[list[str], Field(description="Why it is needed.")]
    regime: str
    status: rules.TravelRuleStatus
    subject: str | None
    tx_hash: str | None
    vasp: str | None


class PayloadShape(Shape):
    """The IVMS101 document of a record; null when it was forgotten."""

    id: str
    object: Literal["travel_rule_payload"]
    ivms101: dict[str, Any] | None


class TravelAddressShape(Shape):
    """Where other institutions ask whether money may come to a deposit address."""

    object: Literal["travel_address"]
    address: str
    expires_at: int
    livemode: Livemode
    network: str
    travel_address: str


class RegimeShape(Shape):
    """The regime that an operator put in force, and who the operator is."""

    id: str
    object: Literal["travel_rule_regime"]
    name: str
    regime: dict[str, Any] | None
    institution: dict[str, Any] | None
    chosen_by: str | None
    created: Created
    livemode: Livemode


class OriginatorShape(Shape):
    """Who the account is, as its transfers tell other institutions."""

    object: Literal["travel_rule_originator"]
    account: str
    person: dict[str, Any] | None
    livemode: Livemode


@resource.get("/v1/travel_rules", returns=Page[TravelRuleShape], operation="list_travel_rules")
def list_records(context: Context, query: TravelRuleListParameters) -> Listing:
    """List the records, newest first: an account's, or all for the operator."""
    columns = store.travel_rules.c
    filters = []
    if query.status is not None:
        filters.append(columns.status == query.status.value)
    if query.direction is not None:
        filters.append(columns.direction == query.direction.value)
    rows, has_more = fetch_page(
        context.connection,
        store.travel_rules,
        rules.TravelRule,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[_shown(context, row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/travel_rules/{travel_rule}", returns=TravelRuleShape, operation="retrieve_travel_rule"
)
def retrieve(context: Context, travel_rule: str) -> Document:
    """Retrieve a record, by its own id or by that of its payout or pay-in."""
    found = flow.find(
        context.connection,
        travel_rule,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    return _shown(context, found)


@resource.get(
    "/v1/travel_rules/{travel_rule}/payload",
    returns=PayloadShape,
    operation="retrieve_travel_rule_payload",
    operator_only=True,
)
def payload(context: Context, travel_rule: str) -> Document:
    """Retrieve what a record knows of its parties, as IVMS101."""
    found = flow.find(context.connection, travel_rule, account_id=None, livemode=context.livemode)
    document, _ = opened(context.parts.secrets_vault(), found)
    return {
        "id": found.id,
        "object": "travel_rule_payload",
        "ivms101": None if found.payload is None else write(document),
    }


@resource.post(
    "/v1/travel_rules/{travel_rule}",
    returns=TravelRuleShape,
    operation="supply_travel_rule",
)
def supply(context: Context, travel_rule: str, body: TravelRuleSupply) -> Document:
    """Tell what is missing of a payout's beneficiary; what is not sent stays as it was said."""
    record = flow.supply(
        context.connection,
        context.parts.secrets_vault(),
        travel_rule,
        {} if body.travel_rule is None else body.travel_rule.told(),
        account_id=context.visible_account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return _shown(context, record)


@resource.post(
    "/v1/travel_rules/{travel_rule}/complete",
    returns=TravelRuleShape,
    operation="complete_travel_rule",
    operator_only=True,
)
def complete(context: Context, travel_rule: str, body: Decision) -> Document:
    """Say that all is there, because the data went another way; the payout goes on."""
    record = flow.complete(
        context.connection,
        travel_rule,
        livemode=context.livemode,
        by=context.actor.name,
        reason=body.reason,
        now=context.now,
    )
    return _shown(context, record)


@resource.post(
    "/v1/travel_rules/{travel_rule}/refuse",
    returns=TravelRuleShape,
    operation="refuse_travel_rule",
    operator_only=True,
)
def refuse(context: Context, travel_rule: str, body: Decision) -> Document:
    """Refuse a transfer: its payout ends, and its money is available again."""
    record = flow.refuse(
        context.connection,
        travel_rule,
        livemode=context.livemode,
        by=context.actor.name,
        reason=body.reason,
        now=context.now,
    )
    return _shown(context, record)


@resource.post(
    "/v1/travel_rules/{travel_rule}/hold",
    returns=TravelRuleShape,
    operation="hold_travel_rule",
    operator_only=True,
)
def hold(context: Context, travel_rule: str, body: LegalHold) -> Document:
    """Keep a record's data for longer than the ten years, or no longer so."""
    record = flow.hold_data(
        context.connection, travel_rule, livemode=context.livemode, legal_hold=body.legal_hold
    )
    return _shown(context, record)


@resource.post(
    "/v1/travel_rule/addresses",
    returns=TravelAddressShape,
    operation="create_travel_address",
)
def hand_out(context: Context, body: TravelAddressCreate) -> Document:
    """Make the travel address of a deposit address, for a payer whose institution asks for one.

    It is good for ninety days, and longer when it is asked for again.
    """
    travel_address, expires_at = inquiry_flow.hand_out(
        context.connection,
        context.parts,
        network_name=body.network,
        address=body.address.lower(),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return {
        "object": "travel_address",
        "address": checksum_address(body.address.lower()),
        "expires_at": int(expires_at.timestamp()),
        "livemode": context.livemode,
        "network": body.network,
        "travel_address": travel_address,
    }


@resource.get(
    "/v1/travel_rule/originator",
    returns=OriginatorShape,
    operation="retrieve_travel_rule_originator",
)
def retrieve_originator(context: Context) -> Document:
    """Retrieve who the account is, as its transfers tell other institutions."""
    person = flow.described_account(
        context.connection,
        context.parts.secrets_vault(),
        account_id=context.account_id,
        livemode=context.livemode,
    )
    return _originator(context, None if person is None else write(person))


@resource.post(
    "/v1/travel_rule/originator",
    returns=OriginatorShape,
    operation="update_travel_rule_originator",
)
def describe(context: Context, body: OriginatorParameters) -> Document:
    """Say who the account is; its payouts that waited for that go on."""
    person = flow.describe_account(
        context.connection,
        context.parts.secrets_vault(),
        body.model_dump(exclude_none=True, exclude={"expand"}),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return _originator(context, write(person))


@resource.get(
    "/v1/travel_rule/regime",
    returns=RegimeShape,
    operation="retrieve_travel_rule_regime",
    operator_only=True,
)
def retrieve_regime(context: Context) -> Document:
    """Retrieve the regime in force; there is none until one is chosen."""
    found = regime_store.find_active(context.connection, livemode=context.livemode)
    if found is None:
        raise ResourceMissing("No Travel Rule regime was chosen yet.", param="regime")
    return regimes.public_choice(found)


@resource.post(
    "/v1/travel_rule/regime",
    returns=RegimeShape,
    operation="choose_travel_rule_regime",
    operator_only=True,
)
def choose_regime(context: Context, body: RegimeChoice) -> Document:
    """Put a regime in force for the key's mode, or ``none``."""
    choice = regime_flow.choose(
        context.connection,
        body.regime,
        body.institution,
        identifier=context.object_id(regimes.PREFIX),
        livemode=context.livemode,
        chosen_by=context.actor.name,
        now=context.now,
    )
    return regimes.public_choice(choice)


def _originator(context: Context, person: dict[str, Any] | None) -> Document:
    return {
        "object": "travel_rule_originator",
        "account": context.account_id,
        "person": person,
        "livemode": context.livemode,
    }


def _shown(context: Context, record: rules.TravelRule) -> Document:
    return rules.public_travel_rule(record, operator=context.is_operator)
