"""What is asked for a price: one requirement for each coin that it can be paid in."""

from collections.abc import Container, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from sakk.client.x402 import Requirement
from sakk.paywall.errors import PaywallError
from sakk.paywall.payment import Meter, Offer, Terms
from sakk.paywall.price import PEGS, Metered, parse_price
from sakk.paywall.route import Pricing


def terms_of(
    pricing: Pricing, offers: Iterable[Offer], currencies: Container[str] | None = None
) -> Iterator[Terms]:
    """Every way to pay a price: in the coins that it names, of ``currencies`` where given."""
    for offer in offers:
        if currencies is not None and offer.currency not in currencies:
            continue
        if isinstance(pricing, Metered):
            meter = _meter(pricing, offer) if offer.is_metered else None
            if meter is not None:
                units = meter.amount(meter.units_max)
                yield Terms(offer, offer.requirement(units), units, meter)
            continue
        price = parse_price(pricing)
        try:
            found = price.units(offer.currency, offer.decimals)
        except PaywallError:
            # A coin that is named must do; of those worth a dollar, some may be too coarse.
            if offer.currency in price.amounts and PEGS.get(offer.currency) != offer.currency:
                raise
            continue
        if found is not None:
            yield Terms(offer, offer.requirement(found), found)


def _meter(pricing: Metered, offer: Offer) -> Meter | None:
    amount = parse_price(pricing.per_unit).of(offer.currency)
    if amount is None:
        return None
    exact = Fraction(amount) * 10**offer.decimals
    return Meter(exact.numerator, exact.denominator, pricing.units_max, pricing.unit)


def is_same(accepted: dict[str, Any], ours: Requirement) -> bool:
    """Did the payer accept this way to pay? Its amount is another question."""
    asset, pay_to = accepted.get("asset"), accepted.get("payTo")
    return (
        accepted.get("scheme") == ours.scheme
        and accepted.get("network") == ours.network
        and isinstance(asset, str)
        and asset.lower() == ours.asset.lower()
        and isinstance(pay_to, str)
        and pay_to.lower() == ours.pay_to.lower()
    )


def corrected(requirements: Sequence[Requirement], told: Requirement) -> list[Requirement]:
    """The ways to pay with one of them as it is told now, before the others of its scheme.

    x402's clients look for their place in the first of the scheme alone.
    """
    others = [each for each in requirements if not _is_alike(each, told)]
    place = next((at for at, each in enumerate(others) if each.scheme == told.scheme), len(others))
    return [*others[:place], told, *others[place:]]


def _is_alike(one: Requirement, other: Requirement) -> bool:
    return (one.scheme, one.network, one.asset, one.pay_to) == (
        other.scheme,
        other.network,
        other.asset,
        other.pay_to,
    )
