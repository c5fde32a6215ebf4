"""Payment intents: what is asked, what counts towards it, and the status that follows.

``requires_action → processing → succeeded``, or ``canceled`` / ``expired``. ``timing`` and
``amount_status`` are facts beside the status, not statuses. The rate is locked at creation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from sakk.core import money
from sakk.core.account import PaymentPolicy
from sakk.core.eip681 import payment_uri
from sakk.core.evm import checksum_address
from sakk.core.money import Rate
from sakk.core.network import Asset, Currency
from sakk.core.rate import Market


class PaymentStatus(StrEnum):
    requires_action = "requires_action"
    processing = "processing"
    succeeded = "succeeded"
    canceled = "canceled"
    expired = "expired"


class AmountStatus(StrEnum):
    exact = "exact"
    under = "under"
    over = "over"


class Timing(StrEnum):
    on_time = "on_time"
    late = "late"


@dataclass(frozen=True, slots=True)
class PaymentIntent:
    """A merchant's request to be paid. ``quotes`` are the tokens that it accepts (see Quote).

    ``address``: of the key, or where no network asks for that the first that is offered.
    """

    id: str
    account_id: str
    livemode: bool
    amount: int
    currency: str
    decimals: int
    status: str
    amount_received: int
    amount_status: str | None
    timing: str | None
    quotes: list[dict[str, Any]]
    networks: list[str]
    address: str
    customer: str | None
    description: str | None
    metadata: dict[str, str]
    cancellation_reason: str | None
    expires_at: datetime
    canceled_at: datetime | None
    succeeded_at: datetime | None
    created: datetime
    # What refunds that were not given up take, in the intent's unit.
    amount_refunded: int = 0
    # What gift cards and accounts here have paid, and what is reserved of theirs for it.
    amount_credited: int = 0
    amount_held: int = 0
    # For which platform it was made, and what that takes.
    application: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """One way to pay: exactly ``token_amount`` atomic units of an asset, at a locked rate.

    ``rate``: smallest units of the intent's currency for one atomic unit of the token.
    ``address``: where to; None in the row of an intent from before there was more than one.
    ``sources``: who said what the coin is worth.
    """

    network: str
    asset: str
    contract: str
    currency: str
    decimals: int
    token_amount: int
    rate: Rate
    uri: str
    address: str | None = None
    sources: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "asset": self.asset,
            "contract": self.contract,
            "currency": self.currency,
            "decimals": self.decimals,
            "token_amount": str(self.token_amount),
            "rate": [str(self.rate.numerator), str(self.rate.denominator)],
            "uri": self.uri,
            "address": self.address,
            "sources": list(self.sources),
        }


def quote_of(document: dict[str, Any]) -> Quote:
    """Read a quote back from its stored document."""
    numerator, denominator = document["rate"]
    return Quote(
        network=document["network"],
        asset=document["asset"],
        contract=document["contract"],
        currency=document["currency"],
        decimals=document["decimals"],
        token_amount=int(document["token_amount"]),
        rate=Rate(int(numerator), int(denominator)),
        uri=document["uri"],
        address=document.get("address"),
        sources=tuple(document.get("sources", ())),
    )


def quotes_of(intent: PaymentIntent, assets: set[str]) -> list[Quote]:
    """The intent's quotes for these assets; an intent may have many more than were paid in."""
    return [quote_of(document) for document in intent.quotes if document["asset"] in assets]


def make_quote(
    asset: Asset,
    *,
    coin: Currency,
    priced_in: Currency,
    market: Market,
    amount: int,
    address: str,
) -> Quote | None:
    """What to pay in one token, rounded up to what the ledger can credit; None without a price."""
    found = market.lock(coin, priced_in)
    if found is None or asset.contract is None:
        return None
    rate, sources = found
    coin_units = money.convert_up(amount, rate)
    if asset.decimals >= coin.decimals:
        token_amount, _ = money.rescale(
            coin_units, from_decimals=coin.decimals, to_decimals=asset.decimals
        )
    else:
        token_amount = money.divide_up(coin_units, 10 ** (coin.decimals - asset.decimals))
    if token_amount > money.UNITS_MAX:
        return None
    return Quote(
        network=asset.network,
        asset=asset.asset,
        contract=asset.contract,
        currency=asset.currency,
        decimals=asset.decimals,
        token_amount=token_amount,
        rate=Rate(
            rate.numerator * 10**coin.decimals,
            rate.denominator * 10**asset.decimals,
        ),
        uri=payment_uri(asset=asset.asset, address=address, units=token_amount),
        address=address,
        sources=sources,
    )


@dataclass(frozen=True, slots=True)
class Contribution:
    """A pay-in that counts towards an intent. ``posted``: its money is in the ledger."""

    asset: str
    token_amount: int
    posted: bool
    block_timestamp: int


def value_of(quotes: Sequence[Quote], paid: Sequence[tuple[str, int]], *, amount: int) -> int:
    """What (asset, atomic units) pairs are worth in the intent's currency, rounded down.

    Exactly the quoted number of tokens is worth exactly the amount, whatever rounding made it.
    """
    tokens: dict[str, int] = {}
    for asset, units in paid:
        tokens[asset] = tokens.get(asset, 0) + units
    by_asset = {quote.asset: quote for quote in quotes}
    if len(tokens) == 1:
        [(asset, units)] = tokens.items()
        if units == by_asset[asset].token_amount:
            return amount
    return sum(money.convert_down(units, by_asset[asset].rate) for asset, units in tokens.items())


def enough(intent_amount: int, policy: PaymentPolicy) -> int:
    """The least amount that counts as paid under the account's tolerance."""
    percent_units = intent_amount * policy.tolerance_percent_bps // 10_000
    return max(1, intent_amount - max(policy.tolerance_under_units, percent_units))


@dataclass(frozen=True, slots=True)
class Assessment:
    """What an intent's row should say, given what has arrived."""

    status: PaymentStatus
    amount_received: int
    amount_status: AmountStatus | None
    timing: Timing | None
    takes_held: bool = False


def assess(
    intent: PaymentIntent, contributions: Sequence[Contribution], *, policy: PaymentPolicy
) -> Assessment:
    """Decide an intent's status and facts from the pay-ins that count towards it.

    ``takes_held``: all else is in the ledger, and what is held pays the rest.
    """
    paid = {each.asset for each in contributions}
    quotes = quotes_of(intent, paid)
    posted = [(each.asset, each.token_amount) for each in contributions if each.posted]
    everything = [(each.asset, each.token_amount) for each in contributions]
    credited = intent.amount_credited
    received = credited + (value_of(quotes, posted, amount=intent.amount) if posted else 0)
    awaited = credited + intent.amount_held
    awaited += value_of(quotes, everything, amount=intent.amount) if everything else 0
    least = enough(intent.amount, policy)
    # What went back does not pay: after a refund the whole amount is asked for again.
    back = intent.amount_refunded
    status = PaymentStatus(intent.status)
    match status:
        case PaymentStatus.succeeded | PaymentStatus.canceled:
            pass
        case PaymentStatus.requires_action | PaymentStatus.processing | PaymentStatus.expired:
            # What is held pays too, when all else is there: until it has, nothing has succeeded.
            status = _open_status(
                status,
                received=0 if intent.amount_held else received - back,
                awaited=awaited - back,
                least=least,
            )
        case _:
            assert_never(status)
    return Assessment(
        status=status,
        amount_received=received,
        amount_status=_amount_status(received, intent.amount) if posted or credited else None,
        timing=_timing(contributions, intent.expires_at) if contributions or credited else None,
        takes_held=status is PaymentStatus.processing
        and received - back + intent.amount_held >= least,
    )


def _open_status(
    status: PaymentStatus, *, received: int, awaited: int, least: int
) -> PaymentStatus:
    """What becomes of a payment that may still count, by the amount."""
    if received >= least:
        return PaymentStatus.succeeded
    if awaited >= least:
        return PaymentStatus.processing
    # What was on its way left the chain again.
    return PaymentStatus.requires_action if status is PaymentStatus.processing else status


def _amount_status(received: int, amount: int) -> AmountStatus:
    if received == amount:
        return AmountStatus.exact
    return AmountStatus.under if received < amount else AmountStatus.over


def _timing(contributions: Sequence[Contribution], expires_at: datetime) -> Timing:
    limit = int(expires_at.timestamp())
    late = any(each.block_timestamp > limit for each in contributions)
    return Timing.late if late else Timing.on_time


def is_open(status: str) -> bool:
    """May a payment still count without asking the account's policy?"""
    match PaymentStatus(status):
        case PaymentStatus.requires_action | PaymentStatus.processing:
            return True
        case PaymentStatus.succeeded | PaymentStatus.canceled | PaymentStatus.expired:
            return False


def public(intent: PaymentIntent) -> dict[str, Any]:
    """The API's object ``payment_intent``, in Stripe's shape."""
    return {
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_credited": intent.amount_credited,
        "amount_credited_decimal": money.format_decimal(intent.amount_credited, intent.decimals),
        "amount_decimal": money.format_decimal(intent.amount, intent.decimals),
        "amount_received": intent.amount_received,
        "amount_received_decimal": money.format_decimal(intent.amount_received, intent.decimals),
        "amount_refunded": intent.amount_refunded,
        "amount_refunded_decimal": money.format_decimal(intent.amount_refunded, intent.decimals),
        "amount_status": intent.amount_status,
        "application": None if intent.application is None else intent.application["platform"],
        "application_fee_amount": None
        if intent.application is None
        else intent.application["amount"],
        "canceled_at": _seconds(intent.canceled_at),
        "cancellation_reason": intent.cancellation_reason,
        "created": int(intent.created.timestamp()),
        "currency": intent.currency,
        "customer": intent.customer,
        "description": intent.description,
        "expires_at": int(intent.expires_at.timestamp()),
        "livemode": intent.livemode,
        "metadata": intent.metadata,
        "next_action": _next_action(intent),
        "payment_method_types": ["crypto"],
        "status": intent.status,
        "succeeded_at": _seconds(intent.succeeded_at),
        "timing": intent.timing,
    }


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _next_action(intent: PaymentIntent) -> dict[str, Any] | None:
    match PaymentStatus(intent.status):
        case PaymentStatus.succeeded | PaymentStatus.canceled:
            return None
        case PaymentStatus.requires_action | PaymentStatus.processing | PaymentStatus.expired:
            pass
    addresses: dict[str, Any] = {}
    for document in intent.quotes:
        address = checksum_address(document.get("address") or intent.address)
        entry = addresses.setdefault(
            document["network"], {"address": address, "supported_tokens": []}
        )
        entry["supported_tokens"].append(
            {
                "token_currency": document["currency"],
                "token_contract_address": checksum_address(document["contract"]),
                "asset": document["asset"],
                "decimals": document["decimals"],
                "amount": document["token_amount"],
                "amount_decimal": money.format_decimal(
                    int(document["token_amount"]), document["decimals"]
                ),
                "uri": document["uri"],
            }
        )
    return {
        "type": "crypto_display_details",
        "crypto_display_details": {"deposit_addresses": addresses},
    }
