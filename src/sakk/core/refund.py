"""Refunds: money that arrived, sent back.

``requires_action`` until the payer says where to, then ``pending``, then ``succeeded``, or
``failed``, or ``canceled``: Stripe's words for its refund object. What sends the money is a payout
of purpose ``refund``, which goes through the payouts' own stages; its id is the refund's with the
other prefix, so that the money can be reserved before the payout's row can be written.

The cap is kept in two units at once: in the intent's, and in that of each coin that arrived.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from sakk.core import ids, money
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.evm import checksum_address
from sakk.core.money import Rate
from sakk.core.network import Asset
from sakk.core.payment import Quote
from sakk.core.payout import MoneySource, Payout, PayoutPurpose, PayoutStatus

Reason = Literal["duplicate", "fraudulent", "requested_by_customer"]
FeeMode = Literal["merchant", "payer"]


class RefundStatus(StrEnum):
    requires_action = "requires_action"
    pending = "pending"
    succeeded = "succeeded"
    failed = "failed"
    canceled = "canceled"


class FailureReason(StrEnum):
    """Why a refund failed, as its merchant may read it: ``declined`` is all that is said of a
    destination that was not accepted."""

    insufficient_funds = "insufficient_funds"
    claim_expired = "claim_expired"
    declined = "declined"
    payment_reversed = "payment_reversed"
    transfer_failed = "transfer_failed"


# What counts against the cap: everything that was not given up.
LIVE = (
    RefundStatus.requires_action.value,
    RefundStatus.pending.value,
    RefundStatus.succeeded.value,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund. ``amount`` in ``currency``'s unit, the intent's; ``coin_amount`` in that of the
    coin that is sent; ``token_amount`` in atomic units, once the asset is known.

    ``source``: the merchant's balance, or suspense, where one pay-in's coins stand. ``asset`` and
    ``network`` are known from the start where the coins stand apart, else with the destination.
    ``claim_hash``: of the token in the claim link, which is kept nowhere. ``fee`` in the coin's
    unit: on top of ``coin_amount`` from the merchant's balance where ``fee_mode`` is ``merchant``,
    out of it where it is ``payer``, and None until it is known on which network it is sent. The cap
    counts ``coin_amount`` either way.
    """

    id: str
    account_id: str
    livemode: bool
    payment_intent: str | None
    payin: str | None
    source: str
    amount: int
    currency: str
    decimals: int
    coin: str
    coin_amount: int
    coin_decimals: int
    fee: int | None = 0
    fee_mode: str = "merchant"
    # What a fee schedule charges for it, always on top, and what of the payment's fee goes back.
    service_fee: int = 0
    fee_terms: dict[str, Any] | None = None
    fee_returned: int = 0
    # Does a platform's fee go back with it? None: by the rule that it was taken by.
    refund_application_fee: bool | None = None
    network: str | None = None
    asset: str | None = None
    token_amount: int | None = None
    destination: str | None = None
    status: str
    hold: str
    payout: str | None = None
    tx_hash: str | None = None
    reason: str | None = None
    failure_reason: str | None = None
    description: str | None = None
    metadata: dict[str, str]
    # Who asked for it: an API key, and the person whose key it is.
    initiator: str | None = None
    initiator_person: str | None = None
    claim_hash: str | None = None
    claim_expires_at: datetime | None = None
    claimed_at: datetime | None = None
    canceled_at: datetime | None = None
    succeeded_at: datetime | None = None
    attempt: int = 0
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Given:
    """An earlier refund of the same payment that counts: in the intent's unit, and in its coin."""

    amount: int
    coin: str
    coin_amount: int


@dataclass(frozen=True, slots=True)
class Cap:
    """What may still be refunded: in the intent's unit, and of each coin that arrived.

    ``sole``: the only coin that has anything to do with the payment, if there is only one. The last
    refund then gives back all that is left of it, whatever the rate's rounding left over.
    """

    amount: int
    coins: dict[str, int]
    sole: str | None


@dataclass(frozen=True, slots=True)
class Share:
    """What one refund takes: in the intent's unit, and in a coin's."""

    amount: int
    coin: str
    coin_amount: int


def remaining(received: int, arrived: Mapping[str, int], given: Sequence[Given]) -> Cap:
    """The cap after earlier refunds. ``received``: what was credited, in the intent's unit.

    ``arrived``: the same by coin, in the coins' units. A reorganisation may have taken more than is
    left; nothing is left then.
    """
    used = dict.fromkeys(arrived, 0)
    for each in given:
        used[each.coin] = used.get(each.coin, 0) + each.coin_amount
    coins = {coin: max(0, units - used[coin]) for coin, units in arrived.items()}
    return Cap(
        amount=max(0, received - sum(each.amount for each in given)),
        coins=coins,
        sole=next(iter(arrived)) if len(used) == 1 and arrived else None,
    )


def choose(
    cap: Cap,
    *,
    amount: int | None,
    coin: str | None,
    rates: Mapping[str, Rate],
    grains: Mapping[str, int],
) -> Share:
    """What a request takes; ``amount`` None is all that is left, ``coin`` None what arrived.

    ``rates``: by coin, the intent's units for one unit of it, locked with the intent. ``grains``:
    the fewest units of a coin that a token can carry. Every rounding is down: what is sent is never
    worth more than ``amount``. Raises ParameterInvalid and UnexpectedState.
    """
    if cap.amount == 0 or (amount is not None and amount > cap.amount):
        raise _above(cap)
    if coin is not None:
        if coin not in rates:
            raise ParameterInvalid(
                "The payment has no locked rate for {coin}. It can be refunded in: {coins}.",
                param="currency",
                coin=repr(coin),
                coins=", ".join(sorted(rates)),
            )
        wanted = _wanted(cap, coin, rates[coin]) if amount is None else amount
        share = _share(cap, coin, wanted, rates, grains)
        if coin in cap.coins and share.coin_amount > cap.coins[coin]:
            raise ParameterInvalid(
                "Less than that arrived in {coin} and is left. Refund the rest in another "
                "currency, by a refund of its own.",
                param="amount",
                coin=coin,
            )
    else:
        share = _fitting(cap, cap.amount if amount is None else amount, rates, grains)
    if share.coin_amount == 0:
        raise ParameterInvalid(
            "This amount is too small to be sent in {coin}. Refund more at once.",
            param="amount",
            coin=share.coin,
        )
    if share.coin_amount > money.UNITS_MAX:
        raise ParameterInvalid("This is more than a ledger account can hold.", param="amount")
    return share


def _wanted(cap: Cap, coin: str, rate: Rate) -> int:
    """All that is left, or what is left of one coin of several."""
    if coin == cap.sole or coin not in cap.coins:
        return cap.amount
    return min(cap.amount, money.convert_down(cap.coins[coin], rate))


def _fitting(cap: Cap, wanted: int, rates: Mapping[str, Rate], grains: Mapping[str, int]) -> Share:
    """In the coin that arrived; of several, the one that has most left, if it has enough."""
    payable = [coin for coin in cap.coins if coin in rates]
    if not payable:
        raise UnexpectedState(
            "What arrived ({coins}) is not paid out on any network now. "
            "Refund in another currency of the balance, or have the operator enable it.",
            coins=", ".join(sorted(cap.coins)),
        )
    for coin in sorted(payable, key=lambda coin: (-cap.coins[coin], coin)):
        share = _share(cap, coin, wanted, rates, grains)
        if share.coin_amount <= cap.coins[coin]:
            return share
    raise ParameterInvalid(
        "This payment arrived in several currencies ({coins}), and none "
        "has so much left. Refund each by a request of its own, with its currency.",
        param="currency",
        coins=", ".join(sorted(cap.coins)),
    )


def _share(
    cap: Cap, coin: str, wanted: int, rates: Mapping[str, Rate], grains: Mapping[str, int]
) -> Share:
    rate = rates[coin]
    units = wanted * rate.denominator // rate.numerator
    if list(cap.coins) == [coin]:
        # Exactly what is left at the end; before that, never more of the coin than is left of it.
        left = cap.coins[coin]
        units = left if coin == cap.sole and wanted == cap.amount else min(units, left)
    return Share(wanted, coin, units - units % grains[coin])


def suspended(left: int, *, amount: int | None, rate: Rate) -> tuple[int, int]:
    """What a refund takes of coins in suspense: its amount, and atomic units.

    ``left``: atomic units that stand there still; ``rate``: units of the refund's currency for one
    of them. ``amount`` None is all of it, to the last unit.
    """
    worth = money.convert_down(left, rate)
    if left == 0:
        raise UnexpectedState(
            "Nothing of this payin stands in suspense any more: it was credited, or all of it has "
            "been refunded or is about to be."
        )
    if amount is not None and amount > worth:
        raise ParameterInvalid(
            "At most {worth} of this payin can still be refunded; refunds that are pending count.",
            param="amount",
            worth=worth,
        )
    if amount is None or amount == worth:
        units, amount = left, worth
    else:
        units = amount * rate.denominator // rate.numerator
    if units == 0 or amount == 0:
        raise ParameterInvalid(
            "This amount is too small to be sent. Refund more at once.", param="amount"
        )
    return amount, units


def of_credit(left: int, *, amount: int | None) -> int:
    """What a refund takes of a pay-in that was credited for no payment intent: units of its coin.

    ``left``: what of it has not been refunded yet. ``amount`` None is all of that.
    """
    if left <= 0:
        raise UnexpectedState(
            "Nothing of this payin is left to be refunded: all of it has been refunded or is about "
            "to be."
        )
    if amount is not None and amount > left:
        raise ParameterInvalid(
            "At most {left} of this payin can still be refunded; refunds that are pending count.",
            param="amount",
            left=left,
        )
    return left if amount is None else amount


def _above(cap: Cap) -> UnexpectedState | ParameterInvalid:
    if cap.amount == 0:
        return UnexpectedState(
            "Nothing of this payment is left to be refunded: nothing was credited, or all of it "
            "has been refunded or is about to be."
        )
    return ParameterInvalid(
        "At most {amount} of this payment can still be refunded; refunds that are pending count.",
        param="amount",
        amount=cap.amount,
    )


def coin_rate(quote: Quote, *, coin_decimals: int) -> Rate:
    """The intent's smallest units for one smallest unit of the coin, from a quote's locked rate."""
    return Rate(
        quote.rate.numerator * 10**quote.decimals, quote.rate.denominator * 10**coin_decimals
    )


def grain(assets: Sequence[Asset], *, coin_decimals: int) -> int:
    """The fewest units of a coin that the finest of these tokens carries."""
    finest = max(asset.decimals for asset in assets)
    return int(10 ** max(0, coin_decimals - finest))


def token_units(refund: Refund, asset: Asset) -> int | None:
    """Atomic units of an asset for exactly the refund's amount; None where it can not be sent."""
    if refund.token_amount is not None and refund.source == MoneySource.suspense:
        return refund.token_amount if asset.asset == refund.asset else None
    units, remainder = money.rescale(
        sent_units(refund), from_decimals=refund.coin_decimals, to_decimals=asset.decimals
    )
    return None if remainder or not 0 < units <= money.UNITS_MAX else units


def sent_units(refund: Refund) -> int:
    """What the payer receives, in the coin's unit, as far as the fee is known."""
    return refund.coin_amount - (refund.fee or 0 if refund.fee_mode == "payer" else 0)


def total_fee(network_fee: int, fixed: int, asset: Asset, *, coin_decimals: int) -> int:
    """What a refund in a token is charged, in the coin's unit, rounded up to what it can carry."""
    finest = grain([asset], coin_decimals=coin_decimals)
    return money.divide_up(network_fee + fixed, finest) * finest


def payout_id(refund: Refund) -> str:
    """The id of the payout that carries a refund out."""
    return ids.encode("po", ids.decode(refund.id)[1])


def carrier(refund: Refund) -> Payout:
    """The payout that carries a refund out. Its hold follows from the refund alone."""
    return Payout(
        id=payout_id(refund),
        account_id=refund.account_id,
        livemode=refund.livemode,
        amount=refund.coin_amount,
        fee=refund.fee or 0,
        service_fee=refund.service_fee,
        fee_terms=refund.fee_terms,
        fee_returned=refund.fee_returned,
        currency=refund.coin,
        decimals=refund.coin_decimals,
        network=refund.network or "",
        asset=refund.asset or "",
        token_amount=refund.token_amount or 0,
        destination=refund.destination or "",
        fee_mode="receiver" if refund.fee_mode == "payer" else "sender",
        purpose=PayoutPurpose.refund.value,
        source=refund.source,
        status=PayoutStatus.requested.value,
        hold=refund.hold,
        initiator=refund.initiator,
        initiator_person=refund.initiator_person,
        description=refund.description,
        metadata={},
        created=refund.created,
    )


def is_claimable(refund: Refund, now: datetime) -> bool:
    """May the payer still say where to?"""
    return (
        refund.status == RefundStatus.requires_action
        and refund.claimed_at is None
        and refund.claim_expires_at is not None
        and now < refund.claim_expires_at
    )


def outcome(payout: Payout) -> tuple[RefundStatus, FailureReason | None]:
    """What a refund's status is by that of the payout that carries it out."""
    match PayoutStatus(payout.status):
        case PayoutStatus.posted:
            return RefundStatus.succeeded, None
        case PayoutStatus.rejected:
            return RefundStatus.failed, FailureReason.declined
        case PayoutStatus.failed:
            return RefundStatus.failed, FailureReason.transfer_failed
        case PayoutStatus.canceled:
            return RefundStatus.canceled, None
        case (
            PayoutStatus.requested
            | PayoutStatus.screened
            | PayoutStatus.approved
            | PayoutStatus.signed
            | PayoutStatus.broadcast
            | PayoutStatus.unknown
            | PayoutStatus.confirmed
        ):
            return RefundStatus.pending, None


def public(refund: Refund, *, operator: bool, claim_url: str | None = None) -> dict[str, Any]:
    """The API's object ``refund``, in Stripe's shape where Stripe has the field.

    ``claim_url`` is shown by the answer that made the link and by no other.
    """
    return {
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "amount_decimal": money.format_decimal(refund.amount, refund.decimals),
        "asset": refund.asset,
        "balance_transaction": None,
        "charge": None,
        "created": int(refund.created.timestamp()),
        "currency": refund.currency,
        "description": refund.description,
        "destination": _destination(refund),
        "failure_reason": refund.failure_reason,
        "fee": refund.fee,
        "fee_decimal": None
        if refund.fee is None
        else money.format_decimal(refund.fee, refund.coin_decimals),
        "fee_mode": refund.fee_mode,
        "fee_returned": refund.fee_returned,
        "livemode": refund.livemode,
        "metadata": refund.metadata,
        "network": refund.network,
        "next_action": _next_action(refund, claim_url),
        "payin": refund.payin,
        "payment_intent": refund.payment_intent,
        "payout": refund.payout if operator else None,
        "reason": refund.reason,
        "sent_amount": sent_units(refund),
        "sent_amount_decimal": money.format_decimal(sent_units(refund), refund.coin_decimals),
        "sent_currency": refund.coin,
        "service_fee": refund.service_fee,
        "status": refund.status,
        "token_amount": None if refund.token_amount is None else str(refund.token_amount),
        "tx_hash": refund.tx_hash,
    }


def _destination(refund: Refund) -> dict[str, str] | None:
    if refund.destination is None or refund.network is None:
        return None
    return {"network": refund.network, "address": checksum_address(refund.destination)}


def _next_action(refund: Refund, claim_url: str | None) -> dict[str, Any] | None:
    if refund.status != RefundStatus.requires_action or refund.claim_expires_at is None:
        return None
    return {
        "type": "claim",
        "claim": {"expires_at": int(refund.claim_expires_at.timestamp()), "url": claim_url},
    }
