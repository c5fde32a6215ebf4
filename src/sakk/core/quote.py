"""Quotes: what the network takes for a transfer, in the currency that is sent, for a while.

The network's fee is the gas of one transfer times the price of gas, priced by the configured rates
of the native coin and of the currency, and rounded up. Whether an account is charged it is the
operator's policy; a quote says both, and the fee that is charged under it stays as it was quoted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sakk.core import money
from sakk.core.errors import ParameterInvalid, Unavailable
from sakk.core.network import Asset, Currency, unit_rate

PREFIX = "qt"
QUOTE_LENGTH = timedelta(minutes=10)
# An older look at the price of gas is not priced by: a fee is then not known.
COST_AGE_MAX = timedelta(minutes=5)
# A transfer of a token to an address that never held it, as USDC's own contract costs it.
TRANSFER_GAS_DEFAULT = 65_000
# What is added to an estimate when a transaction is built.
GAS_MARGIN_PERCENT = 25


@dataclass(frozen=True, slots=True)
class TransferCost:
    """Gas of one transfer of a token, and the price of gas in wei, as last measured."""

    asset: str
    network: str
    gas: int
    gas_price: int
    measured: datetime


@dataclass(frozen=True, slots=True)
class Quote:
    """A fee that holds until ``expires_at``. ``fee`` is charged, ``network_fee`` what it costs.

    Both in the currency's smallest unit; ``gas_price`` in wei. ``service_fee``: what the fee
    schedule charges for a payout of just this ``amount``, by ``fee_terms``; None where no amount
    was named.
    """

    id: str
    account_id: str
    livemode: bool
    kind: str
    network: str
    asset: str
    currency: str
    decimals: int
    fee: int
    network_fee: int
    gas: int
    gas_price: int
    metadata: dict[str, str]
    expires_at: datetime
    created: datetime
    amount: int | None = None
    service_fee: int | None = None
    fee_terms: dict[str, Any] | None = None


def network_fee(cost: TransferCost, *, native: Currency, currency: Currency) -> int | None:
    """What a transfer costs in the currency's smallest unit, rounded up; None without a price."""
    rate = unit_rate(native, currency)
    if rate is None:
        return None
    return money.divide_up(cost.gas * cost.gas_price * rate.numerator, rate.denominator)


def network_fees(
    costs: Mapping[str, TransferCost],
    assets: Iterable[Asset],
    currencies: Mapping[str, Currency],
    *,
    now: datetime,
) -> dict[str, int]:
    """The network's fee of every token whose cost is known and fresh, by asset."""
    by_name = {each.asset: each for each in assets}
    natives = {
        each.network: currencies[each.currency] for each in by_name.values() if each.is_native
    }
    found: dict[str, int] = {}
    for asset, cost in costs.items():
        listed = by_name.get(asset)
        native = natives.get(cost.network)
        if listed is None or native is None or cost.measured < now - COST_AGE_MAX:
            continue
        fee = network_fee(cost, native=native, currency=currencies[listed.currency])
        if fee is not None:
            found[asset] = fee
    return found


def typical_gas(limits: Sequence[int]) -> int:
    """The gas of a transfer: the median of what was lately estimated, without the margin."""
    if not limits:
        return TRANSFER_GAS_DEFAULT
    return sorted(limits)[len(limits) // 2] * 100 // (100 + GAS_MARGIN_PERCENT)


def unknown_fee(asset: Asset) -> Unavailable:
    """What a transfer costs can not be said: a fee that is not known is not charged, nor waived."""
    return Unavailable(
        "What a transfer of {symbol} on {network} costs is not known now: the "
        "network's fees were not read lately, or a currency has no price. Try again, or ask the "
        "operator.",
        symbol=asset.symbol,
        network=asset.network,
    )


def fees_promised(
    quote: Quote | None, identifier: str, asset: Asset, *, now: datetime
) -> dict[str, int]:
    """The fee of a payout in ``asset`` under a quote, by asset; ParameterInvalid if it has none."""
    if quote is None:
        raise ParameterInvalid(
            "No such quote: {identifier}.", param="quote", identifier=repr(identifier)
        )
    if quote.expires_at <= now:
        raise ParameterInvalid("This quote has expired. Ask for another one.", param="quote")
    if quote.asset != asset.asset:
        raise ParameterInvalid(
            "This quote is for {currency} on {network} ({asset}). "
            "Ask for one of this payout's, or leave it out.",
            param="quote",
            currency=quote.currency,
            network=quote.network,
            asset=quote.asset,
        )
    return {quote.asset: quote.fee}


def public(quote: Quote) -> dict[str, Any]:
    """The API's object ``quote``."""
    return {
        "id": quote.id,
        "object": "quote",
        "amount": quote.amount,
        "asset": quote.asset,
        "created": int(quote.created.timestamp()),
        "currency": quote.currency,
        "expires_at": int(quote.expires_at.timestamp()),
        "fee": quote.fee,
        "fee_decimal": money.format_decimal(quote.fee, quote.decimals),
        "gas": quote.gas,
        "gas_price": str(quote.gas_price),
        "kind": quote.kind,
        "livemode": quote.livemode,
        "metadata": quote.metadata,
        "network": quote.network,
        "network_fee": quote.network_fee,
        "network_fee_decimal": money.format_decimal(quote.network_fee, quote.decimals),
        "service_fee": quote.service_fee,
        "service_fee_decimal": None
        if quote.service_fee is None
        else money.format_decimal(quote.service_fee, quote.decimals),
    }
