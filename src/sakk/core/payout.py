"""Payouts: a merchant's money sent out to an address.

``requested → screened → approved → signed → broadcast → confirmed → posted``, or
``rejected | canceled | failed``, or ``unknown`` while the outcome is not known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core import money
from sakk.core.application_fee import Application
from sakk.core.approval import Approvable, approval_message
from sakk.core.beneficiary import Destination, Wanted
from sakk.core.errors import AmountTooSmall, InvalidRequest, ParameterInvalid
from sakk.core.evm import checksum_address
from sakk.core.fee import Price, Pricing
from sakk.core.network import Asset, Currency, Network
from sakk.core.person import Actor
from sakk.core.policy import Action, Decision, Facts
from sakk.core.quote import Quote, fees_promised, unknown_fee

SCHEDULE_MAX = timedelta(days=366)
# The network of a payout that a bank carries out.
BANK: Final = "bank"
# The merchant reads it: the rule itself is the operator's.
POLICY_BLOCKED: Final = "The payout is not allowed by the policy of the operator."


class PayoutStatus(StrEnum):
    requested = "requested"
    screened = "screened"
    approved = "approved"
    signed = "signed"
    broadcast = "broadcast"
    unknown = "unknown"
    confirmed = "confirmed"
    posted = "posted"
    rejected = "rejected"
    canceled = "canceled"
    failed = "failed"


class HoldStatus(StrEnum):
    """What became of the ledger's pending transfer that reserves the money."""

    none = "none"
    held = "held"
    refused = "refused"
    voided = "voided"
    posted = "posted"


class PayoutPurpose(StrEnum):
    """What a payout is for; one that carries a refund out is not listed among the payouts."""

    payout = "payout"
    refund = "refund"


class MoneySource(StrEnum):
    """Where a payout's money stands in the ledger: what we owe the merchant, or in suspense."""

    balance = "balance"
    suspense = "suspense"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """One payout. ``amount`` and ``fee`` in the currency's unit, ``token_amount`` atomic units.

    With ``fee_mode`` sender the beneficiary receives exactly ``amount`` and the account is debited
    ``amount + fee``; with receiver it receives ``amount - fee``. ``fee`` is for what the network
    takes; ``service_fee`` is what a fee schedule charges, always on top, and ``fee_terms`` by which
    price. ``fee_returned``: how much of a payment's fee goes back with its refund. From ``source``
    suspense it costs the account nothing: coins whose owner was undecided go back. ``waits_for``:
    why an approved one has no transaction yet, in words for the operator. ``batch`` and ``line``
    (from 1) say where it was asked for among others; ``reference`` is the caller's own name for it.
    No transaction is made for it before ``scheduled_at``. ``transaction_line``: its place in a
    transaction that pays others too. ``alone``: it was parked, and is sent with no others.
    """

    id: str
    account_id: str
    livemode: bool
    amount: int
    fee: int
    service_fee: int = 0
    fee_terms: dict[str, Any] | None = None
    fee_returned: int = 0
    # What a platform takes for it, on top, and by which terms.
    application_fee: int = 0
    application_terms: dict[str, Any] | None = None
    currency: str
    decimals: int
    network: str
    asset: str
    token_amount: int
    destination: str
    beneficiary: str | None = None
    fee_mode: str
    purpose: str = PayoutPurpose.payout.value
    source: str = MoneySource.balance.value
    status: str
    hold: str
    screening: str | None = None
    under_review: bool = False
    # Who asked for it: an API key, and the person whose key it is.
    initiator: str | None = None
    initiator_person: str | None = None
    # What the policy said: its version, the rule that fitted, and how many approvals of whom.
    policy_version: str | None = None
    rule: str | None = None
    approvals_needed: int = 0
    approver_role: str | None = None
    decided_at: datetime | None = None
    transaction: str | None = None
    transaction_line: int | None = None
    alone: bool = False
    tx_hash: str | None = None
    waits_for: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    description: str | None = None
    metadata: dict[str, str]
    batch: str | None = None
    line: int | None = None
    reference: str | None = None
    quote: str | None = None
    scheduled_at: datetime | None = None
    screened_at: datetime | None = None
    screening_stale: bool = False
    # What the Travel Rule still wants: it is not judged by the policy before that is there.
    travel_rule: str = "not_required"
    attempt: int = 0
    canceled_at: datetime | None = None
    confirmed_at: datetime | None = None
    posted_at: datetime | None = None
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Initiator:
    """Who asks: an API key, and the person whose key it is."""

    key: str | None = None
    person: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutRequest:
    """What a merchant asks to be sent; ``amount`` in the currency's smallest unit.

    ``travel_rule``: who stands behind the address, beside what the address book says.
    ``is_settlement``: it pays a settlement, on which no schedule charges.
    """

    amount: int
    currency: str
    destination: Wanted
    fee_mode: str = "sender"
    description: str | None = None
    metadata: dict[str, str] | None = None
    reference: str | None = None
    quote: str | None = None
    scheduled_at: datetime | None = None
    travel_rule: Mapping[str, Any] | None = None
    initiator: Initiator = Initiator()
    is_settlement: bool = False
    application: Application | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What payouts of one mode are made of, read once for any number of them.

    ``assets`` are the tokens that can be paid out, by network and currency; ``contracts`` every
    listed token's, by network; ``fees`` what is charged, by asset, in its currency's unit; None
    where nothing is. ``pricing``: by which fee schedule the account is charged, if by any.
    """

    networks: Mapping[str, Network]
    assets: Mapping[tuple[str, str], Asset]
    currencies: Mapping[str, Currency]
    contracts: Mapping[str, frozenset[str]]
    treasury: frozenset[str]
    fees: Mapping[str, int] | None = None
    pricing: Pricing | None = None
    # What a quote promised that the schedule charges, and by which price.
    service: tuple[int, dict[str, Any] | None] | None = None


def draft(
    request: PayoutRequest,
    place: Destination | InvalidRequest,
    terms: Terms,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
    batch: str | None = None,
    line: int | None = None,
) -> Payout:
    """The payout that a request asks for, to ``place``, which is what its destination was found
    to be; ParameterInvalid or AmountTooSmall with the field."""
    if isinstance(place, InvalidRequest):
        raise place
    network = terms.networks.get(place.network)
    if network is None:
        raise ParameterInvalid(
            "{network} is not an enabled network. GET /v1/networks lists them.",
            param="destination[address]",
            network=repr(place.network),
        )
    check_destination(
        place.address, contracts=terms.contracts[network.network], treasury=terms.treasury
    )
    asset = payable(terms, network=network.network, currency=request.currency)
    check_schedule(request.scheduled_at, now)
    currency = terms.currencies[asset.currency]
    service_fee, fee_terms = service_of(terms, request, asset)
    payout = Payout(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        amount=request.amount,
        fee=_fee(terms, asset),
        service_fee=service_fee,
        fee_terms=fee_terms,
        currency=currency.currency,
        decimals=currency.decimals,
        network=network.network,
        asset=asset.asset,
        token_amount=0,
        destination=place.address,
        beneficiary=place.beneficiary,
        fee_mode=request.fee_mode,
        status=PayoutStatus.requested.value,
        hold=HoldStatus.none.value,
        initiator=request.initiator.key,
        initiator_person=request.initiator.person,
        description=request.description,
        metadata=request.metadata or {},
        batch=batch,
        line=line,
        reference=request.reference,
        quote=request.quote,
        scheduled_at=request.scheduled_at,
        created=now,
    )
    return replace(payout, token_amount=_token_amount(payout, asset))


def check_destination(
    destination: str, *, contracts: frozenset[str], treasury: frozenset[str]
) -> None:
    """Raise ParameterInvalid for an address, in lower case, where money would be lost or ours."""
    param = "destination[address]"
    if destination in contracts:
        raise ParameterInvalid(
            "This is a token's own contract: money sent there is lost. "
            "Give the beneficiary's address.",
            param=param,
        )
    if destination in treasury:
        raise ParameterInvalid(
            "This is this Sakk's own treasury. To pay another account here, use /v1/transfers.",
            param=param,
        )


def payable(terms: Terms, *, network: str, currency: str) -> Asset:
    """The token that pays a currency out on a network; ParameterInvalid says which there are."""
    asset = terms.assets.get((network, currency))
    if asset is not None:
        return asset
    offered = sorted(code for place, code in terms.assets if place == network)
    raise ParameterInvalid(
        "{currency} can not be paid out on {network}. It offers: {offered}.",
        param="currency",
        currency=repr(currency),
        network=network,
        offered=", ".join(offered) or "nothing",
    )


def promised(
    terms: Terms,
    request: PayoutRequest,
    place: Destination | InvalidRequest,
    quotes: Mapping[str, Quote],
    *,
    now: datetime,
) -> Terms:
    """The terms with the fee that a request's quote promised, as they are if it names none.

    ``quotes`` by id; ParameterInvalid if there is no such one, or it is not this payout's. What is
    wrong with the destination itself is ``draft``'s to say.
    """
    if request.quote is None or isinstance(place, InvalidRequest):
        return terms
    asset = terms.assets.get((place.network, request.currency))
    if asset is None:
        return terms
    quote = quotes.get(request.quote)
    fees = fees_promised(quote, request.quote, asset, now=now)
    service = None
    if quote is not None and quote.service_fee is not None and quote.amount == request.amount:
        service = (quote.service_fee, quote.fee_terms)
    return replace(terms, fees=fees, service=service)


def _fee(terms: Terms, asset: Asset) -> int:
    if terms.fees is None:
        return 0
    fee = terms.fees.get(asset.asset)
    if fee is None:
        raise unknown_fee(asset)
    return fee


def service_of(
    terms: Terms, request: PayoutRequest, asset: Asset
) -> tuple[int, dict[str, Any] | None]:
    """What a fee schedule charges and by which price: as a quote promised, or as it is now."""
    if terms.service is not None and not request.is_settlement:
        return terms.service
    priced = service_price(terms, request, asset)
    return (0, None) if priced is None else (priced.fee, priced.document())


def service_price(terms: Terms, request: PayoutRequest, asset: Asset) -> Price | None:
    """What the account's fee schedule charges; None where it charges nothing."""
    if terms.pricing is None or request.is_settlement:
        return None
    return terms.pricing.price(request.amount, currency=asset.currency, network=asset.network)


def check_schedule(scheduled_at: datetime | None, now: datetime) -> None:
    """ParameterInvalid for a time that is past, or more than a year ahead."""
    if scheduled_at is None:
        return
    if scheduled_at <= now:
        raise ParameterInvalid(
            "scheduled_at is past. Leave it out to pay at once.", param="scheduled_at"
        )
    if scheduled_at > now + SCHEDULE_MAX:
        raise ParameterInvalid(
            "scheduled_at is more than {days} days ahead. Schedule it later.",
            param="scheduled_at",
            days=SCHEDULE_MAX.days,
        )


def _token_amount(payout: Payout, asset: Asset) -> int:
    """Atomic units for exactly what is delivered; too little, or too fine for the token, fails."""
    units, remainder = money.rescale(
        delivered(payout), from_decimals=payout.decimals, to_decimals=asset.decimals
    )
    if payout.fee and payout.fee_mode == "receiver" and delivered(payout) <= 0:
        raise AmountTooSmall(
            "The fee of {fee} takes the whole amount. "
            "Send more, or bear the fee with fee_mode sender.",
            param="amount",
            fee=_worded(payout, payout.fee),
        )
    if remainder or units <= 0 or units > money.UNITS_MAX:
        raise ParameterInvalid(
            "This amount can not be sent exactly in {symbol}, which has {decimals} decimal places.",
            param="amount",
            symbol=asset.symbol,
            decimals=asset.decimals,
        )
    if units < asset.payout_minimum:
        raise AmountTooSmall(
            "{arriving} would arrive, and the least that is sent is {least} {currency}. Send more.",
            param="amount",
            arriving=_worded(payout, delivered(payout)),
            least=money.format_decimal(asset.payout_minimum, asset.decimals),
            currency=payout.currency,
        )
    return units


def _worded(payout: Payout, units: int) -> str:
    return f"{money.format_decimal(units, payout.decimals)} {payout.currency}"


def debited(payout: Payout) -> int:
    """What the payout takes from the account's balance, in the currency's unit."""
    if payout.source == MoneySource.suspense:
        return 0
    borne = payout.fee if payout.fee_mode == "sender" else 0
    return payout.amount + borne + payout.service_fee + payout.application_fee


def delivered(payout: Payout) -> int:
    """What the beneficiary receives, in the currency's unit."""
    return payout.amount if payout.fee_mode == "sender" else payout.amount - payout.fee


def approved_content(payout: Payout) -> bytes:
    """What a person approves of a payout, and may sign: see `sakk.core.approval`."""
    return approval_message(
        intent_id=payout.id,
        purpose=payout.purpose,
        network=payout.network,
        asset=payout.asset,
        destination=payout.destination,
        token_amount=payout.token_amount,
    )


def approvable(payout: Payout) -> Approvable:
    """What a person is asked to approve."""
    return Approvable(
        id=payout.id,
        account_id=payout.account_id,
        livemode=payout.livemode,
        noun="payout",
        content=approved_content(payout),
        rule=payout.rule,
        approvals_needed=payout.approvals_needed,
        approver_role=payout.approver_role,
        asked_by=Actor(payout.initiator or "", payout.initiator_person),
    )


def is_awaiting_approvals(payout: Payout) -> bool:
    """Was it judged, and does it wait for people?"""
    return payout.status == PayoutStatus.screened and payout.decided_at is not None


def facts_of(payout: Payout, roles: Iterable[str] = ()) -> Facts:
    """What a policy judges a payout by; ``roles`` are those of the person who asked for it."""
    return Facts(
        account=payout.account_id,
        currency=payout.currency,
        decimals=payout.decimals,
        network=payout.network,
        asset=payout.asset,
        destination=payout.destination,
        amount=payout.amount,
        purpose=payout.purpose,
        beneficiary=payout.beneficiary,
        key=payout.initiator,
        person=payout.initiator_person,
        roles=frozenset(roles),
    )


def decided(
    payout: Payout,
    decision: Decision,
    *,
    version: str | None,
    was_approved: bool,
    now: datetime,
) -> Payout:
    """The payout as the policy's decision leaves it: approved, rejected, or waiting for people.

    ``was_approved``: it has the approvals already that the decision asks for.
    """
    judged = replace(
        payout,
        policy_version=version,
        rule=decision.rule,
        approvals_needed=decision.approvals,
        approver_role=decision.role,
        decided_at=now,
    )
    match decision.action:
        case Action.allow:
            return replace(judged, status=PayoutStatus.approved.value)
        case Action.approve:
            waits = PayoutStatus.screened
            return replace(judged, status=(PayoutStatus.approved if was_approved else waits).value)
        case Action.block:
            return replace(
                judged,
                status=PayoutStatus.rejected.value,
                failure_code="policy_blocked",
                failure_message=POLICY_BLOCKED,
            )


def is_cancelable(payout: Payout) -> bool:
    """A payout may be called off until a transaction carries its nonce.

    Not before its money is reserved either: the ledger may hold what the row does not say yet, and
    only a held one is given back.
    """
    if payout.hold != HoldStatus.held:
        return False
    match PayoutStatus(payout.status):
        case PayoutStatus.requested | PayoutStatus.screened | PayoutStatus.approved:
            return payout.transaction is None
        case (
            PayoutStatus.signed
            | PayoutStatus.broadcast
            | PayoutStatus.unknown
            | PayoutStatus.confirmed
            | PayoutStatus.posted
            | PayoutStatus.rejected
            | PayoutStatus.canceled
            | PayoutStatus.failed
        ):
            return False


def is_unsigned(payout: Payout) -> bool:
    """Is it past its screening, and not signed yet, whether a transaction carries it or not?"""
    return payout.status in (PayoutStatus.screened, PayoutStatus.approved)


def may_be_sent(payout: Payout) -> bool:
    """Is it past its screening, and not yet carried by a transaction?"""
    return payout.transaction is None and payout.status in (
        PayoutStatus.screened,
        PayoutStatus.approved,
    )


def shown_destination(payout: Payout) -> str:
    """Where it goes, as people read it: an address, or the id of a bank account."""
    if payout.network == BANK:
        return payout.destination
    return checksum_address(payout.destination)


def public(payout: Payout, *, operator: bool) -> dict[str, Any]:
    """The API's object ``payout``, in Stripe's shape where Stripe has the field."""
    return {
        "id": payout.id,
        "object": "payout",
        "amount": payout.amount,
        "amount_decimal": money.format_decimal(payout.amount, payout.decimals),
        "application": None
        if payout.application_terms is None
        else payout.application_terms["platform"],
        "application_fee_amount": payout.application_fee,
        "approvals_needed": payout.approvals_needed if operator else None,
        "approver_role": payout.approver_role if operator else None,
        "asset": payout.asset,
        "awaiting_approvals": is_awaiting_approvals(payout),
        "batch": payout.batch,
        "created": int(payout.created.timestamp()),
        "currency": payout.currency,
        "description": payout.description,
        "destination": {
            "network": payout.network,
            "address": shown_destination(payout),
            "bank_account": payout.destination if payout.network == BANK else None,
            "beneficiary": payout.beneficiary,
        },
        "failure_code": payout.failure_code,
        "failure_message": payout.failure_message,
        "fee": payout.fee,
        "fee_mode": payout.fee_mode,
        "initiator": (payout.initiator_person or payout.initiator) if operator else None,
        "line": payout.line,
        "livemode": payout.livemode,
        "metadata": payout.metadata,
        "network": payout.network,
        "policy_version": payout.policy_version if operator else None,
        "quote": payout.quote,
        "reference": payout.reference,
        "rule": payout.rule if operator else None,
        "service_fee": payout.service_fee,
        "scheduled_at": None
        if payout.scheduled_at is None
        else int(payout.scheduled_at.timestamp()),
        "screening": payout.screening if operator else None,
        "status": payout.status,
        "token_amount": str(payout.token_amount),
        "travel_rule": payout.travel_rule,
        "tx_hash": payout.tx_hash,
        "under_review": payout.under_review,
        "waits_for": payout.waits_for if operator else None,
    }
