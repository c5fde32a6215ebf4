"""The page of a checkout session: how to pay, how far it is, and how it ended."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sakk.checkout.visit import CheckoutSettings
from sakk.core import abi, branding, caip, money
from sakk.core import checkout_session as rules
from sakk.core.checkout_session import Arrival, Progress, Stand
from sakk.core.eip681 import payment_uri
from sakk.core.evm import checksum_address
from sakk.core.payment import Quote, quote_of
from sakk.flow.checkout_session import Look

RATE_DECIMALS: Final = 8
# What may still be paid, so that ways to pay are shown.
PAYABLE: Final = frozenset({Stand.awaiting, Stand.partial, Stand.confirming, Stand.expired})


@dataclass(frozen=True, slots=True)
class Way:
    """One way to pay: a coin on a network. ``units`` are atomic units of what is due."""

    asset: str
    network: str
    network_name: str
    symbol: str
    contract: str
    address: str
    units: int
    decimals: int
    chain_id: int
    uri: str
    call: str
    rate: str
    rate_is_exact: bool

    @property
    def decimal(self) -> str:
        return money.format_decimal(self.units, self.decimals)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer that was seen: ``done`` blocks of ``needed`` are built on it."""

    decimal: str
    symbol: str
    network_name: str
    tx_hash: str
    done: int
    needed: int
    is_waiting: bool
    counts: bool


def version_of(progress: Progress) -> str:
    """Changes whenever what the page says changes."""
    blocks = sum(each.confirmations for each in progress.waiting)
    statuses = "".join(each.status[0] for each in progress.arrivals)
    return f"{progress.stand}-{progress.due}-{blocks}-{statuses}"


def values_of(
    look: Look, settings: CheckoutSettings, *, chosen: str | None, now: datetime
) -> dict[str, Any]:
    """All that the template says."""
    intent, progress = look.intent, look.progress
    ways = _ways(look)
    way = next((each for each in ways if each.asset == chosen), ways[0])
    brand = look.branding
    late = progress.stand is Stand.expired
    return {
        "look": look,
        "stand": progress.stand.value,
        "merchant": look.merchant,
        "lines": look.session.lines if len(look.session.lines) > 1 else [],
        "title": look.session.lines[0]["name"] if len(look.session.lines) == 1 else "",
        "amount_decimal": money.format_decimal(intent.amount, intent.decimals),
        "received_decimal": money.format_decimal(intent.amount_received, intent.decimals),
        "arrived_decimal": money.format_decimal(
            intent.amount_received - intent.amount_credited, intent.decimals
        ),
        "has_arrived": intent.amount_received > intent.amount_credited,
        "due_decimal": money.format_decimal(progress.due, intent.decimals),
        "excess_decimal": money.format_decimal(progress.excess, intent.decimals),
        "currency": intent.currency,
        "is_partial": 0 < progress.due < intent.amount,
        "asks": progress.stand in PAYABLE and progress.due > 0 and not late,
        "ways": ways,
        "way": way,
        "transfers": [_transfer(look, each) for each in progress.arrivals if each.counts],
        "strays": [_transfer(look, each) for each in progress.arrivals if not each.counts],
        "expires_at": intent.expires_at,
        "seconds_left": max(0, math.floor((intent.expires_at - now).total_seconds())),
        "version": version_of(progress),
        "is_ended": progress.stand in rules.ENDED,
        "return_url": _return(look, progress.stand),
        "message": look.message,
        "brand": brand,
        "style": None if brand is None or brand.color is None else branding.color_path(brand.color),
        "logo": None
        if brand is None or brand.logo_hash is None
        else branding.logo_path(brand.logo_hash),
        "livemode": look.session.livemode,
        "gift_cards": look.gift_cards,
        "may_test": settings.test_payer is not None and not look.session.livemode,
        "has_claim": look.claim_hash is not None,
        "has_difference": look.difference is not None,
    }


def ancestors_of(look: Look) -> tuple[str, ...]:
    """The sites that may show the page in a frame."""
    return () if look.branding is None else tuple(look.branding.origins)


def _return(look: Look, stand: Stand) -> str | None:
    paid = stand in (Stand.paid, Stand.paid_late, Stand.over)
    url = look.session.success_url if paid else look.session.cancel_url
    return rules.return_url(url, look.session.id)


def _ways(look: Look) -> Sequence[Way]:
    return [_way(look, quote_of(document)) for document in look.intent.quotes]


def _way(look: Look, quote: Quote) -> Way:
    intent = look.intent
    coin = look.currencies[quote.currency]
    address = checksum_address(quote.address or intent.address)
    due = look.progress.due or intent.amount
    units = rules.due_units(quote, due=due, amount=intent.amount, coin_decimals=coin.decimals)
    scale = 10 ** (quote.decimals + RATE_DECIMALS)
    divisor = quote.rate.denominator * 10**intent.decimals
    worth, rest = divmod(quote.rate.numerator * scale, divisor)
    return Way(
        asset=quote.asset,
        network=quote.network,
        network_name=look.networks[quote.network].name,
        symbol=quote.currency.upper(),
        contract=checksum_address(quote.contract),
        address=address,
        units=units,
        decimals=quote.decimals,
        chain_id=caip.chain_id(quote.network),
        uri=payment_uri(asset=quote.asset, address=address, units=units),
        call="0x" + abi.encode_transfer(address.lower(), units).hex(),
        rate=money.format_decimal(worth, RATE_DECIMALS),
        rate_is_exact=not rest,
    )


def _transfer(look: Look, arrival: Arrival) -> Transfer:
    quotes = {each["asset"]: each for each in look.intent.quotes}
    quote = quotes.get(arrival.asset)
    return Transfer(
        decimal=""
        if quote is None
        else money.format_decimal(arrival.token_amount, quote["decimals"]),
        symbol="" if quote is None else quote["currency"].upper(),
        network_name=look.networks[arrival.network].name,
        tx_hash=arrival.tx_hash,
        done=arrival.confirmations,
        needed=arrival.confirmations_min,
        is_waiting=arrival in look.progress.waiting,
        counts=arrival.counts,
    )
