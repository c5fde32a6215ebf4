"""Drafts of refunds: what a request would take, within the cap as it stands, and where it may go.

Whoever drafts has locked what bounds it: the payment intent, or the pay-in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from sakk.core import money
from sakk.core import refund as rules
from sakk.core.errors import (
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.evm import parse_address
from sakk.core.money import Rate
from sakk.core.network import Asset
from sakk.core.payin import PayIn, PayInStatus, credited_amount
from sakk.core.payment import PaymentIntent, quote_of, value_of
from sakk.core.payout import HoldStatus, Initiator, MoneySource, check_destination
from sakk.core.quote import unknown_fee
from sakk.core.refund import Given, Refund, RefundStatus, Share
from sakk.flow import fee, quote
from sakk.store import account, address, network
from sakk.store import payin as payins
from sakk.store import payment as payments
from sakk.store import refund as store

CLAIM_DEFAULT = timedelta(days=30)
CLAIM_MIN = timedelta(minutes=1)
CLAIM_MAX = timedelta(days=366)
STANDING = (PayInStatus.posted, PayInStatus.released)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to: a network by CAIP-2, and an address on it as it was written."""

    network: str
    address: str


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What is to be given back, of a payment intent or of one pay-in by itself.

    ``amount`` None: all that is left. ``coin`` None: what arrived. Without a ``destination`` the
    payer says where to, by the link whose token has ``claim_hash``. ``fee_mode``: who bears the
    fee, None for who the account's settings say.
    """

    payment_intent: str | None = None
    payin: str | None = None
    amount: int | None = None
    coin: str | None = None
    destination: Place | None = None
    claim_hash: str | None = None
    claim_expires_at: datetime | None = None
    reason: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    fee_mode: str | None = None
    initiator: Initiator = field(default_factory=Initiator)
    # Does the platform give its fee back? ``platform``: who asks, None for who may ask for any.
    refund_application_fee: bool | None = None
    platform: str | None = None


def lock_bounds(connection: Connection, request: RefundRequest) -> None:
    """Lock the payment intent, and then the pay-in, that bound a refund."""
    intent = request.payment_intent
    if request.payin is not None:
        intent = payins.find_intent(connection, request.payin)
    if intent is not None:
        payments.lock_many(connection, [intent])
    if request.payin is not None:
        payins.lock_one(connection, request.payin)


def draft_refund(
    connection: Connection,
    request: RefundRequest,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Refund:
    """A refund as asked for, within the cap as it stands; what bounds it is locked."""
    if (request.payment_intent is None) == (request.payin is None):
        raise ParameterInvalid("Give payment_intent or payin, one of them.", param="payment_intent")
    if request.payin is not None and request.refund_application_fee:
        raise ParameterInvalid(
            "A platform takes a fee of a payment: name payment_intent.",
            param="refund_application_fee",
        )
    if request.payment_intent is not None:
        refund = _of_payment(connection, request, identifier, account_id, livemode, now)
    else:
        refund = _of_payin(connection, request, identifier, account_id, livemode, now)
    refund = _with_fee(connection, refund, request, now=now)
    place = request.destination
    towards = refund.network if place is None else place.network
    refund = fee.price_refund(connection, refund, place=towards, now=now)
    if request.destination is not None:
        pending = replace(refund, status=RefundStatus.pending.value)
        return aim(connection, pending, request.destination, now=now)
    if not payable_assets(connection, refund, now=now):
        raise UnexpectedState(
            "{coin} can not be sent on any network in this amount: no enabled network "
            "lists a token of it that is paid out and fine enough.",
            coin=refund.coin,
        )
    return replace(
        refund,
        claim_hash=request.claim_hash,
        claim_expires_at=claim_expiry(request.claim_expires_at, now),
    )


def _of_payment(
    connection: Connection,
    request: RefundRequest,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Refund:
    assert request.payment_intent is not None
    intent = payments.find(
        connection, request.payment_intent, account_id=account_id, livemode=livemode
    )
    if intent is None:
        raise ResourceMissing(
            "No such payment_intent: {payment_intent}.",
            param="payment_intent",
            payment_intent=repr(request.payment_intent),
        )
    _check_platform(intent, request)
    share = _share(connection, intent, request)
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    return Refund(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        payment_intent=intent.id,
        payin=None,
        source=MoneySource.balance.value,
        amount=share.amount,
        currency=intent.currency,
        decimals=intent.decimals,
        coin=share.coin,
        coin_amount=share.coin_amount,
        coin_decimals=currencies[share.coin].decimals,
        status=RefundStatus.requires_action.value,
        hold=HoldStatus.none.value,
        reason=request.reason,
        description=request.description,
        metadata=request.metadata or {},
        initiator=request.initiator.key,
        initiator_person=request.initiator.person,
        refund_application_fee=request.refund_application_fee,
        created=now,
    )


def _check_platform(intent: PaymentIntent, request: RefundRequest) -> None:
    """A platform's fee is given back by nobody else: it is its money."""
    if not request.refund_application_fee:
        return
    taken_by = None if intent.application is None else intent.application["platform"]
    if taken_by is None:
        raise ParameterInvalid(
            "No platform takes a fee of this payment.", param="refund_application_fee"
        )
    if request.platform not in (None, taken_by):
        raise PermissionDenied(
            "The platform that takes the fee gives it back, and nobody else.",
            param="refund_application_fee",
        )


def _share(connection: Connection, intent: PaymentIntent, request: RefundRequest) -> Share:
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    received, arrived = credited(connection, intent)
    given = [
        Given(each.amount, each.coin, each.coin_amount)
        for each in store.list_live(connection, payment_intent=intent.id)
    ]
    payable: dict[str, list[Asset]] = {}
    for asset in _offered(connection, intent.livemode):
        payable.setdefault(asset.currency, []).append(asset)
    rates = {
        quote.currency: rules.coin_rate(quote, coin_decimals=currencies[quote.currency].decimals)
        for quote in map(quote_of, intent.quotes)
        if quote.currency in payable
    }
    grains = {
        coin: rules.grain(payable[coin], coin_decimals=currencies[coin].decimals) for coin in rates
    }
    return rules.choose(
        rules.remaining(received, arrived, given),
        amount=request.amount,
        coin=request.coin,
        rates=rates,
        grains=grains,
    )


def credited(connection: Connection, intent: PaymentIntent) -> tuple[int, dict[str, int]]:
    """What was credited for an intent and stands: in its unit, and by coin in the coins' units."""
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    quotes = {quote.asset: quote for quote in map(quote_of, intent.quotes)}
    paid: list[tuple[str, int]] = []
    arrived: dict[str, int] = {}
    for row in payins.list_counted(connection, [intent.id]).get(intent.id, []):
        if row.status not in STANDING or not row.credit_units:
            continue
        quote = quotes[row.asset]
        units, _ = credited_amount(
            row.credit_units,
            asset_decimals=quote.decimals,
            currency_decimals=currencies[quote.currency].decimals,
        )
        paid.append((row.asset, row.credit_units))
        arrived[quote.currency] = arrived.get(quote.currency, 0) + units
    if not paid:
        return 0, {}
    return value_of(list(quotes.values()), paid, amount=intent.amount), arrived


def refundable(connection: Connection, intent: PaymentIntent) -> tuple[int, int]:
    """What can still be given back of a payment, in its unit, and what of that came too much.

    What was set apart for its payer, and what gift cards paid, goes back by itself.
    """
    received, _ = credited(connection, intent)
    given = store.sum_live(connection, intent.id)
    left = max(0, received - given)
    over = received + intent.amount_credited - intent.amount - given
    return left, max(0, min(left, over))


def _of_payin(
    connection: Connection,
    request: RefundRequest,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Refund:
    assert request.payin is not None
    row = payins.find(connection, request.payin, account_id=account_id, livemode=livemode)
    if row is None:
        raise ResourceMissing("No such payin: {payin}.", param="payin", payin=repr(request.payin))
    if row.status not in STANDING or row.orphaned:
        raise UnexpectedState(
            "This payin is not credited: only what stands in suspense after it was posted, or was "
            "credited for no payment, can be refunded by itself. A payment is refunded by its "
            "payment_intent."
        )
    if request.coin not in (None, row.currency):
        raise ParameterInvalid(
            "What arrived by itself goes back as it came, in {currency}.",
            param="currency",
            currency=row.currency,
        )
    given = store.list_live(connection, payin=row.id)
    in_suspense = [each for each in given if each.source == MoneySource.suspense]
    left = (row.suspense_units or 0) - sum(each.token_amount or 0 for each in in_suspense)
    if not left and row.payment_intent is None and row.credit_units:
        return _of_credit(connection, request, row, given, identifier, now)
    asset = network.find_asset(connection, row.asset)
    assert asset is not None
    coin = {each.currency: each for each in network.list_currencies(connection)}[asset.currency]
    currency, decimals = coin.currency, coin.decimals
    rate = Rate(10**coin.decimals, 10**asset.decimals)
    if row.counts and row.payment_intent is not None:
        intent = payments.find(
            connection, row.payment_intent, account_id=account_id, livemode=livemode
        )
        assert intent is not None
        currency, decimals = intent.currency, intent.decimals
        rate = {quote.asset: quote.rate for quote in map(quote_of, intent.quotes)}[row.asset]
    amount, units = rules.suspended(left, amount=request.amount, rate=rate)
    coin_amount, _ = money.rescale(units, from_decimals=asset.decimals, to_decimals=coin.decimals)
    return Refund(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        payment_intent=row.payment_intent,
        payin=row.id,
        source=MoneySource.suspense.value,
        amount=amount,
        currency=currency,
        decimals=decimals,
        coin=coin.currency,
        coin_amount=coin_amount,
        coin_decimals=coin.decimals,
        network=row.network,
        asset=row.asset,
        token_amount=units,
        status=RefundStatus.requires_action.value,
        hold=HoldStatus.none.value,
        reason=request.reason,
        description=request.description,
        metadata=request.metadata or {},
        initiator=request.initiator.key,
        initiator_person=request.initiator.person,
        created=now,
    )


def _of_credit(
    connection: Connection,
    request: RefundRequest,
    row: PayIn,
    given: Sequence[Refund],
    identifier: str,
    now: datetime,
) -> Refund:
    """A refund of what was credited to the balance without a payment intent, out of the balance.

    A transfer to a customer's or a receiving address, so also what was sold over HTTP 402.
    """
    assert row.account_id is not None
    assert row.credit_units is not None
    asset = network.find_asset(connection, row.asset)
    assert asset is not None
    coin = {each.currency: each for each in network.list_currencies(connection)}[asset.currency]
    credited_units, _ = credited_amount(
        row.credit_units, asset_decimals=asset.decimals, currency_decimals=coin.decimals
    )
    taken = sum(each.coin_amount for each in given if each.source == MoneySource.balance)
    amount = rules.of_credit(credited_units - taken, amount=request.amount)
    return Refund(
        id=identifier,
        account_id=row.account_id,
        livemode=row.livemode,
        payment_intent=None,
        payin=row.id,
        source=MoneySource.balance.value,
        amount=amount,
        currency=coin.currency,
        decimals=coin.decimals,
        coin=coin.currency,
        coin_amount=amount,
        coin_decimals=coin.decimals,
        status=RefundStatus.requires_action.value,
        hold=HoldStatus.none.value,
        reason=request.reason,
        description=request.description,
        metadata=request.metadata or {},
        initiator=request.initiator.key,
        initiator_person=request.initiator.person,
        created=now,
    )


def _with_fee(
    connection: Connection, refund: Refund, request: RefundRequest, *, now: datetime
) -> Refund:
    """Who bears the fee, and what the merchant is charged, which is locked in now.

    The merchant's part is reserved with the refund. Where the payer has yet to say on which network
    it is the most that any of them costs; the payer's is known when that is said. What stands in
    suspense is nobody's yet, and goes back whole.
    """
    settings = account.payout_settings(connection, refund.account_id)
    if settings.refund_fee == "waive" or refund.source == MoneySource.suspense:
        return refund
    mode = request.fee_mode or settings.refund_fee
    if mode == "payer":
        return replace(refund, fee=None, fee_mode=mode)
    place = request.destination
    fees = [
        _fee(connection, refund, asset, now=now)
        for asset in payable_assets(connection, refund, now=now)
        if place is None or asset.network == place.network
    ]
    return replace(refund, fee=max(fees, default=0), fee_mode=mode)


def _fee(connection: Connection, refund: Refund, asset: Asset, *, now: datetime) -> int:
    """What a refund is charged for being sent in a token; Unavailable while that is not known."""
    costs = quote.costs_now(connection, now=now)
    if asset.asset not in costs:
        raise unknown_fee(asset)
    settings = account.payout_settings(connection, refund.account_id)
    fixed = settings.refund_fee_fixed.get(refund.coin, 0)
    return rules.total_fee(costs[asset.asset], fixed, asset, coin_decimals=refund.coin_decimals)


def payable_assets(connection: Connection, refund: Refund, *, now: datetime) -> list[Asset]:
    """The assets in which exactly this refund can be sent, on enabled networks."""
    return [
        asset
        for asset in _offered(connection, refund.livemode)
        if asset.currency == refund.coin
        and rules.token_units(_charged(connection, refund, asset, now=now), asset) is not None
    ]


def _charged(connection: Connection, refund: Refund, asset: Asset, *, now: datetime) -> Refund:
    """The refund with the payer's fee for being sent in a token."""
    if refund.fee_mode != "payer":
        return refund
    return replace(refund, fee=_fee(connection, refund, asset, now=now))


def _offered(connection: Connection, livemode: bool) -> list[Asset]:
    networks = {each.network: each for each in network.list_networks(connection)}
    return [
        asset
        for asset in network.list_assets(connection)
        if asset.payout_enabled
        and asset.contract is not None
        and networks[asset.network].enabled
        and networks[asset.network].livemode == livemode
    ]


def aim(connection: Connection, refund: Refund, place: Place, *, now: datetime) -> Refund:
    """The refund with a destination that was checked; ParameterInvalid says what is wrong."""
    assets = {each.network: each for each in payable_assets(connection, refund, now=now)}
    asset = assets.get(place.network)
    if asset is None:
        raise ParameterInvalid(
            "This refund can not be sent on {network}. It can on: {networks}.",
            param="destination[network]",
            network=repr(place.network),
            networks=", ".join(sorted(assets)) or "no network",
        )
    try:
        parsed = parse_address(place.address)
    except ValueError as error:
        raise ParameterInvalid(
            "{error}. Give the address as its owner's wallet shows it on that network.",
            param="destination[address]",
            error=error,
        ) from error
    listed = network.list_assets(connection, network=place.network)
    check_destination(
        parsed,
        contracts=frozenset(each.contract for each in listed if each.contract is not None),
        treasury=address.operators(connection),
    )
    if address.find_address(connection, parsed) is not None:
        raise ParameterInvalid(
            "This is one of this Sakk's own deposit addresses, perhaps the one that was paid to. "
            "Give an address of your own wallet.",
            param="destination[address]",
        )
    refund = _charged(connection, refund, asset, now=now)
    return replace(
        refund,
        network=asset.network,
        asset=asset.asset,
        token_amount=rules.token_units(refund, asset),
        destination=parsed,
    )


def claim_expiry(wanted: datetime | None, now: datetime) -> datetime:
    if wanted is None:
        return now + CLAIM_DEFAULT
    if not now + CLAIM_MIN <= wanted <= now + CLAIM_MAX:
        raise ParameterInvalid(
            "claim_expires_at is a Unix time from 1 minute to 366 days from now.",
            param="claim_expires_at",
        )
    return wanted
