"""Payment intents: create, change, cancel, expire, and follow what arrives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from sakk.core import event, payment
from sakk.core.account import PaymentPolicy
from sakk.core.application_fee import Application
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.hd import Seed
from sakk.core.network import Asset, Currency, Network
from sakk.core.payin import PayInStatus
from sakk.core.payment import Contribution, PaymentIntent, PaymentStatus, Quote
from sakk.core.rate import Market
from sakk.flow import credit_fee
from sakk.flow.checkout_news import ended_sessions
from sakk.flow.rate import read_market
from sakk.flow.stage import wake
from sakk.store import account as accounts
from sakk.store import address, network
from sakk.store import customer as customers
from sakk.store import event as events
from sakk.store import payment as payments
from sakk.store import payment_credit as credits
from sakk.store.address import Issued
from sakk.store.database import update_records
from sakk.store.identity import now as wall_clock
from sakk.store.payin import Counted

EXPIRY_DEFAULT = timedelta(hours=1)
EXPIRY_MIN = timedelta(seconds=1)
EXPIRY_MAX = timedelta(days=366)
# Moves what gift cards hold for a payment whose rest has come.
GIFT_CARD_STAGE = "gift_card.post"


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What a merchant asks for; None means every enabled network or coin."""

    amount: int
    currency: str
    networks: Sequence[str] | None = None
    currencies: Sequence[str] | None = None
    customer: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    expires_at: datetime | None = None
    application: Application | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The configuration that a quote needs, read together; small, and cached by the doors."""

    seeds: tuple[Seed, ...]
    currencies: dict[str, Currency]
    networks: dict[str, Network]
    assets: list[Asset]
    market: Market


def read_catalogue(connection: Connection, *, now: datetime | None = None) -> Catalogue:
    """Read currencies, networks, assets, the wallet's extended public keys, and rates as they are
    at a time (None: by the machine's clock)."""
    return Catalogue(
        seeds=address.find_seeds(connection),
        currencies={each.currency: each for each in network.list_currencies(connection)},
        networks={each.network: each for each in network.list_networks(connection)},
        assets=network.list_assets(connection),
        market=read_market(connection, now=now or wall_clock()),
    )


def create(
    connection: Connection,
    catalogue: Catalogue,
    request: PaymentRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> PaymentIntent:
    """Create an intent with fresh deposit addresses and a locked quote for every way to pay."""
    priced_in = catalogue.currencies.get(request.currency)
    if priced_in is None:
        raise ParameterInvalid(
            f"There is no currency {request.currency!r}. GET /v1/currencies lists them.",
            param="currency",
        )
    offered = require_offered(catalogue, request, livemode=livemode)
    if request.customer is not None:
        _require_customer(connection, request.customer, account_id=account_id, livemode=livemode)
    names = {asset.network for asset in offered}
    factories = factories_of(catalogue.networks[name] for name in names)
    deposit = address.issue(
        connection,
        seeds=catalogue.seeds,
        account_id=account_id,
        livemode=livemode,
        now=now,
        payment_intent=identifier,
        customer=request.customer,
        factories=factories,
        keyed=len(factories) < len(names),
    )
    quotes = _quotes(catalogue, offered, priced_in, amount=request.amount, deposit=deposit)
    intent = PaymentIntent(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        amount=request.amount,
        currency=priced_in.currency,
        decimals=priced_in.decimals,
        status=PaymentStatus.requires_action.value,
        amount_received=0,
        amount_status=None,
        timing=None,
        quotes=[quote.to_document() for quote in quotes],
        networks=sorted({quote.network for quote in quotes}),
        address=deposit.key or deposit.on(quotes[0].network),
        customer=request.customer,
        description=request.description,
        metadata=request.metadata or {},
        cancellation_reason=None,
        expires_at=_expiry(request.expires_at, now),
        canceled_at=None,
        succeeded_at=None,
        created=now,
        application=None if request.application is None else request.application.document(),
    )
    payments.insert(connection, intent)
    events.append(
        connection, [payment_event(intent, event.PAYMENT_INTENT_CREATED, request_id)], now=now
    )
    return intent


def factories_of(networks: Iterable[Network]) -> dict[str, str]:
    """Whose clones are given out now, by network; the others take the addresses of keys."""
    return {
        each.network: each.deposit_factory for each in networks if each.deposit_factory is not None
    }


def cancel(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    reason: str | None,
    now: datetime,
    request_id: str | None = None,
) -> PaymentIntent:
    """Cancel an intent that nobody has begun to pay. Its address stays watched."""
    intent = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    if intent.status != PaymentStatus.requires_action or intent.amount_received:
        raise UnexpectedState(
            "This payment intent is {status} and can not be canceled: only one with status "
            "requires_action and nothing received can.",
            status=intent.status,
        )
    [canceled] = given_back(
        connection,
        [
            replace(
                intent,
                status=PaymentStatus.canceled.value,
                canceled_at=now,
                cancellation_reason=reason,
            )
        ],
    )
    write_status(connection, [canceled])
    told = [payment_event(canceled, event.PAYMENT_INTENT_CANCELED, request_id)]
    events.append(connection, told + ended_sessions(connection, [canceled]), now=now)
    return canceled


def given_back(connection: Connection, intents: list[PaymentIntent]) -> list[PaymentIntent]:
    """Intents that end unpaid, without what gift cards held for them; the cards have it again."""
    # What goes back of a part that was paid may outweigh what is held.
    may_hold = [each.id for each in intents if each.amount_held or each.amount_credited]
    released = credits.release(connection, may_hold)
    return [
        replace(each, amount_held=each.amount_held - released.get(each.id, 0)) for each in intents
    ]


def change(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    description: str | None,
    metadata: dict[str, str] | None,
    now: datetime,
    request_id: str | None = None,
) -> PaymentIntent:
    """Change what is only the merchant's note: description and metadata (None leaves alone)."""
    intent = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    changed = replace(
        intent,
        description=intent.description if description is None else description,
        metadata=intent.metadata if metadata is None else metadata,
    )
    update_records(
        connection,
        payments.payment_intents,
        [{"id": changed.id, "description": changed.description, "metadata": changed.metadata}],
    )
    events.append(
        connection, [payment_event(changed, event.PAYMENT_INTENT_UPDATED, request_id)], now=now
    )
    return changed


def follow(
    connection: Connection,
    intents: dict[str, PaymentIntent],
    contributions: dict[str, list[Counted]],
    *,
    now: datetime,
) -> list[NewEvent]:
    """Bring locked intents in line with the pay-ins that count; returns the events to append."""
    policies = accounts.policy(connection, {intent.account_id for intent in intents.values()})
    changed: list[PaymentIntent] = []
    happened: list[NewEvent] = []
    covered: list[str] = []
    for intent in intents.values():
        after, takes_held = _followed(
            intent,
            contributions.get(intent.id, []),
            policy=policies.get(intent.account_id, PaymentPolicy()),
            now=now,
        )
        if takes_held:
            covered.append(intent.id)
        if after != intent:
            changed.append(after)
            happened += [payment_event(after, name, None, intent) for name in _news(intent, after)]
    write_status(connection, changed)
    if taken := credits.take(connection, covered):
        credit_fee.price_cards(connection, taken, now=now)
        wake(connection, GIFT_CARD_STAGE)
    paid = [
        after
        for after in changed
        if after.status == PaymentStatus.succeeded and intents[after.id].status != after.status
    ]
    return happened + ended_sessions(connection, paid)


def _followed(
    intent: PaymentIntent, arrived: list[Counted], *, policy: PaymentPolicy, now: datetime
) -> tuple[PaymentIntent, bool]:
    assessment = payment.assess(
        intent,
        [
            Contribution(
                asset=payin.asset,
                token_amount=payin.token_amount,
                posted=payin.status in (PayInStatus.posted, PayInStatus.released),
                block_timestamp=payin.block_timestamp,
            )
            for payin in arrived
        ],
        policy=policy,
    )
    succeeded_now = (
        assessment.status is PaymentStatus.succeeded and intent.status != PaymentStatus.succeeded
    )
    after = replace(
        intent,
        status=assessment.status.value,
        amount_received=assessment.amount_received,
        amount_status=None if assessment.amount_status is None else assessment.amount_status.value,
        timing=None if assessment.timing is None else assessment.timing.value,
        succeeded_at=now if succeeded_now else intent.succeeded_at,
    )
    return after, assessment.takes_held and intent.amount_held > 0


def _news(before: PaymentIntent, after: PaymentIntent) -> list[str]:
    """Which events tell of the difference."""
    received_changed = after.amount_received != before.amount_received
    if after.status != before.status:
        match PaymentStatus(after.status):
            case PaymentStatus.succeeded:
                return [event.PAYMENT_INTENT_SUCCEEDED]
            case PaymentStatus.processing:
                return [event.PAYMENT_INTENT_PROCESSING]
            case PaymentStatus.requires_action:
                return [event.PAYMENT_INTENT_AMOUNT_CHANGED]
            case PaymentStatus.canceled | PaymentStatus.expired:
                return []
    if not received_changed:
        return []
    if after.status == PaymentStatus.succeeded:
        undone = after.amount_received < before.amount_received
        return [event.PAYMENT_INTENT_REVERSED if undone else event.PAYMENT_INTENT_AMOUNT_CHANGED]
    if after.amount_received > before.amount_received:
        return [event.PAYMENT_INTENT_PARTIALLY_FUNDED]
    return [event.PAYMENT_INTENT_AMOUNT_CHANGED]


def require_offered(
    catalogue: Catalogue, request: PaymentRequest, *, livemode: bool
) -> list[Asset]:
    """The assets that may pay; ParameterInvalid names what is not offered."""
    _check_names(
        request.networks,
        {
            name
            for name, each in catalogue.networks.items()
            if each.enabled and each.livemode == livemode
        },
        param="payment_method_options[crypto][networks]",
        listing="/v1/networks",
    )
    _check_names(
        request.currencies,
        {asset.currency for asset in catalogue.assets if asset.contract is not None},
        param="payment_method_options[crypto][currencies]",
        listing="/v1/currencies",
    )
    offered = [
        asset
        for asset in catalogue.assets
        if asset.payin_enabled
        and asset.contract is not None
        and (found := catalogue.networks.get(asset.network)) is not None
        and found.enabled
        and found.livemode == livemode
        and (request.networks is None or asset.network in request.networks)
        and (request.currencies is None or asset.currency in request.currencies)
    ]
    if not offered:
        raise ParameterInvalid(
            "No enabled token fits these networks and currencies. "
            "GET /v1/networks lists the tokens of each network.",
            param="payment_method_options[crypto]",
        )
    return offered


def _check_names(
    wanted: Sequence[str] | None, known: set[str], *, param: str, listing: str
) -> None:
    for position, name in enumerate(wanted or ()):
        if name not in known:
            raise ParameterInvalid(
                "{name} is not offered. GET {listing} lists what is.",
                param=f"{param}[{position}]",
                name=repr(name),
                listing=listing,
            )


def _quotes(
    catalogue: Catalogue, offered: list[Asset], priced_in: Currency, *, amount: int, deposit: Issued
) -> list[Quote]:
    quotes = [
        quote
        for asset in offered
        if (
            quote := payment.make_quote(
                asset,
                coin=catalogue.currencies[asset.currency],
                priced_in=priced_in,
                market=catalogue.market,
                amount=amount,
                address=deposit.on(asset.network),
            )
        )
        is not None
    ]
    if not quotes:
        raise ParameterInvalid(
            f"There is no rate between {priced_in.currency} and the coins offered now, or the "
            "amount is more than a ledger account can hold. GET /v1/rates lists what is known.",
            param="currency",
        )
    return quotes


def _expiry(wanted: datetime | None, now: datetime) -> datetime:
    if wanted is None:
        return now + EXPIRY_DEFAULT
    if not now + EXPIRY_MIN <= wanted <= now + EXPIRY_MAX:
        raise ParameterInvalid(
            "expires_at is a Unix time from 1 second to 366 days from now.", param="expires_at"
        )
    return wanted


def _require_customer(
    connection: Connection, customer: str, *, account_id: str, livemode: bool
) -> None:
    found = customers.find_customer(connection, customer, account_id=account_id, livemode=livemode)
    if found is None or found.deleted:
        raise ResourceMissing(f"No such customer: {customer!r}.", param="customer")


def _locked(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> PaymentIntent:
    intent = payments.find(
        connection, identifier, account_id=account_id, livemode=livemode, lock=True
    )
    if intent is None:
        raise ResourceMissing(
            "No such payment_intent: {identifier}.", param="id", identifier=repr(identifier)
        )
    return intent


def write_status(connection: Connection, intents: list[PaymentIntent]) -> None:
    """Write what a status change may touch, and nothing else."""
    fields = (
        "id",
        "status",
        "amount_received",
        "amount_status",
        "timing",
        "succeeded_at",
        "canceled_at",
        "cancellation_reason",
        "amount_credited",
        "amount_held",
    )
    update_records(
        connection,
        payments.payment_intents,
        [{name: getattr(intent, name) for name in fields} for intent in intents],
    )


def payment_event(
    intent: PaymentIntent,
    name: str,
    request_id: str | None,
    before: PaymentIntent | None = None,
) -> NewEvent:
    previous: dict[str, Any] | None = None
    if before is not None:
        previous = {
            name: getattr(before, name)
            for name in ("status", "amount_received")
            if getattr(before, name) != getattr(intent, name)
        }
    return NewEvent(
        account_id=intent.account_id,
        livemode=intent.livemode,
        type=name,
        object_id=intent.id,
        object=payment.public(intent),
        previous_attributes=previous,
        request_id=request_id,
    )
