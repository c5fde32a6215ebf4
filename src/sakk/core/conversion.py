"""Conversions: what an account has of one currency becomes another, at a price held for a while.

A quote says what is taken and what is given, by the bid of the market less the operator's spread;
whoever converts by it before it expires gets exactly that. The market's side goes through the
pair's ``fx`` accounts, of which the operator holds the position; the spread and the fee of the
account's schedule are revenue, each a transfer of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal

from sakk.core import chart, money
from sakk.core import rate as rates
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.fee import Pricing
from sakk.core.network import Currency
from sakk.core.posting import Posting
from sakk.core.rate import Market, Rated

PREFIX: Final = "conv"
QUOTE_PREFIX: Final = "cq"
SPREAD_PPM_MAX: Final = 100_000
LOCK_SECONDS: Final = 60
LOCK_SECONDS_MAX: Final = 3_600
# In cents of a dollar: of one conversion, and of what an account converts in a day.
USD_CENTS_MAX: Final = 100_000_00
USD_CENTS_PER_DAY_MAX: Final = 1_000_000_00
DAY: Final = timedelta(days=1)
_USD_DECIMALS: Final = 2

Fixed = Literal["source", "target"]


@dataclass(frozen=True, slots=True)
class ConversionTerms:
    """How accounts convert: ``account_id`` names one, or is empty for all that have no own.

    ``lock_seconds``: so long a quote's price is held. ``usd_cents_max`` of one conversion and
    ``usd_cents_per_day_max`` of a day, valued at the market's mid.
    """

    account_id: str
    livemode: bool
    enabled: bool
    spread_ppm: int
    lock_seconds: int
    usd_cents_max: int
    usd_cents_per_day_max: int
    updated: datetime


def default_terms(*, livemode: bool, now: datetime) -> ConversionTerms:
    """What holds where nobody wrote anything: at the market's own bid, within limits."""
    return ConversionTerms(
        *("", livemode, True, 0, LOCK_SECONDS, USD_CENTS_MAX, USD_CENTS_PER_DAY_MAX), now
    )


def check_terms(terms: ConversionTerms) -> ConversionTerms:
    """The terms; ParameterInvalid by the field's name for what could not be kept."""
    for field, least, most in (
        ("spread_ppm", 0, SPREAD_PPM_MAX),
        ("lock_seconds", 1, LOCK_SECONDS_MAX),
        ("usd_cents_max", 0, money.UNITS_MAX),
        ("usd_cents_per_day_max", 0, money.UNITS_MAX),
    ):
        if not least <= getattr(terms, field) <= most:
            raise ParameterInvalid(
                "{field} is {least} to {most}.", param=field, field=field, least=least, most=most
            )
    return terms


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is taken and given; ``spread`` (of the target) and ``service_fee`` (of the source, on
    top of what is taken) are the operator's. ``usd_cents``: what it is worth at the mid."""

    source_amount: int
    target_amount: int
    spread: int
    service_fee: int
    fee_terms: dict[str, Any] | None
    bid: int
    ask: int
    price: int
    sources: list[str]
    path: list[str]
    rated_at: datetime
    usd_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionQuote:
    """A price that is held until ``expires_at``, for one conversion. ``of_operator``: without the
    account's limits and its fee, so that the account itself can not use it."""

    id: str
    account_id: str
    livemode: bool
    source_currency: str
    source_decimals: int
    target_currency: str
    target_decimals: int
    source_amount: int
    target_amount: int
    spread: int
    service_fee: int
    fee_terms: dict[str, Any] | None
    bid: int
    ask: int
    price: int
    sources: list[str]
    path: list[str]
    rated_at: datetime
    usd_cents: int
    metadata: dict[str, str]
    of_operator: bool = False
    expires_at: datetime
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """One conversion by a quote. Statuses: requested, posted, rejected. ``of_operator``: none of
    what the account may convert in a day."""

    id: str
    account_id: str
    livemode: bool
    quote: str
    source_currency: str
    source_decimals: int
    target_currency: str
    target_decimals: int
    source_amount: int
    target_amount: int
    spread: int
    service_fee: int
    fee_terms: dict[str, Any] | None
    price: int
    usd_cents: int
    status: str
    failure_code: str | None
    metadata: dict[str, str]
    of_operator: bool = False
    created: datetime


def exchange(
    rated: Rated,
    terms: ConversionTerms,
    market: Market,
    *,
    source: Currency,
    target: Currency,
    amount: int,
    fixed: Fixed,
    pricing: Pricing | None,
) -> Exchange:
    """What a conversion takes and gives at the market's price; each division is against whoever
    converts. ParameterInvalid for an amount of which nothing is left, or that can not be valued.

    ``amount``: of the source, or of the target that is to come out of it, as ``fixed`` says.
    """
    scales = {"base_decimals": source.decimals, "quote_decimals": target.decimals}
    price = rates.spread_by(rated.price.bid, terms.spread_ppm)
    if fixed == "source" or not price:
        taken = amount
        given = rates.convert(amount, price, **scales)
    else:
        taken, given = rates.needed(amount, price, **scales), amount
    whole = rates.convert(taken, rated.price.bid, **scales)
    if not given or max(taken, whole) > money.UNITS_MAX:
        raise ParameterInvalid(
            "Of this amount nothing would be left, or it is more than a ledger account can hold."
            " Convert another amount.",
            param="amount",
        )
    fee = None
    if pricing is not None:
        fee = pricing.price(taken, currency=source.currency, network=None)
    return Exchange(
        source_amount=taken,
        target_amount=given,
        spread=whole - given,
        service_fee=0 if fee is None else fee.fee,
        fee_terms=None if fee is None else fee.document(),
        bid=rated.price.bid,
        ask=rated.price.ask,
        price=price,
        sources=list(rated.sources),
        path=list(rated.path),
        rated_at=rated.at,
        usd_cents=_usd_cents(market, taken, source),
    )


def _usd_cents(market: Market, units: int, currency: Currency) -> int:
    rated = market.find(currency.currency, "usd")
    if rated is None:
        raise ParameterInvalid(
            "What {currency} is worth in dollars is not known now, so that limits can not be"
            " held. Try again, or ask the operator.",
            param="source_currency",
            currency=currency.currency,
        )
    scales = {"base_decimals": currency.decimals, "quote_decimals": _USD_DECIMALS}
    return rates.convert(units, rated.price.mid, **scales)


def check_limits(terms: ConversionTerms, *, usd_cents: int, usd_cents_today: int) -> None:
    """ParameterInvalid for more than an account may convert; ``usd_cents_today``: before it."""
    if usd_cents > terms.usd_cents_max:
        raise ParameterInvalid(
            "A conversion is of at most {limit} US dollars for this account, and this one is of"
            " {amount}. Convert less, or ask the operator.",
            param="amount",
            limit=money.format_decimal(terms.usd_cents_max, _USD_DECIMALS),
            amount=money.format_decimal(usd_cents, _USD_DECIMALS),
        )
    if usd_cents_today + usd_cents > terms.usd_cents_per_day_max:
        raise ParameterInvalid(
            "This account converts at most {limit} US dollars in 24 hours, of which {used} are"
            " used. Convert less, wait, or ask the operator.",
            param="amount",
            limit=money.format_decimal(terms.usd_cents_per_day_max, _USD_DECIMALS),
            used=money.format_decimal(usd_cents_today, _USD_DECIMALS),
        )


def check_not_stopped(market: Market, path: Sequence[str]) -> None:
    """UnexpectedState while one of the currencies of a path is stopped."""
    stopped = rates.stopped_on(path, market.pegs)
    if stopped is not None:
        raise UnexpectedState(
            "Nothing is converted over {currency} now: it is stopped. GET /v1/rates says when it"
            " goes on.",
            currency=stopped,
        )


def postings(conversion: Conversion) -> list[Posting]:
    """The linked set of a conversion: the pair's accounts take the whole of both sides."""
    mode = {"livemode": conversion.livemode}
    source = chart.currency_unit(conversion.source_currency, **mode)
    target = chart.currency_unit(conversion.target_currency, **mode)
    pair = (conversion.source_currency, conversion.target_currency)
    taken_from = chart.merchant(conversion.account_id, "available", source)
    given_to = chart.merchant(conversion.account_id, "available", target)
    legs = [
        Posting(
            taken_from,
            chart.fx(*pair, source),
            conversion.source_amount,
            TransferCode.conversion_taken,
        ),
        Posting(
            chart.fx(*pair, target),
            given_to,
            conversion.target_amount,
            TransferCode.conversion_given,
        ),
    ]
    if conversion.spread:
        legs.append(
            Posting(
                chart.fx(*pair, target),
                chart.fee_revenue(target),
                conversion.spread,
                TransferCode.conversion_spread,
            )
        )
    if conversion.service_fee:
        legs.append(
            Posting(
                taken_from,
                chart.fee_revenue(source),
                conversion.service_fee,
                TransferCode.conversion_fee,
            )
        )
    return legs


@dataclass(frozen=True, slots=True)
class Position:
    """What exchanges left the operator with in one currency: above zero it is long of it.

    ``usd_cents``: its value at the market's mid, rounded down; None while that is not known.
    """

    currency: str
    decimals: int
    units: int
    usd_cents: int | None


def positions(
    held: Mapping[str, int], currencies: Mapping[str, Currency], market: Market
) -> list[Position]:
    """The open positions of all currencies, valued now; ``held`` by currency."""
    found = []
    for name in sorted(held):
        decimals = currencies[name].decimals
        rated = market.find(name, "usd")
        value = None
        if rated is not None:
            sign = -1 if held[name] < 0 else 1
            scales = {"base_decimals": decimals, "quote_decimals": _USD_DECIMALS}
            value = sign * rates.convert(abs(held[name]), rated.price.mid, **scales)
        found.append(Position(name, decimals, held[name], value))
    return found


class QuoteStatus(StrEnum):
    """What is left of a quote: ``held`` until it is over, ``used`` by a conversion, ``expired``."""

    held = "held"
    used = "used"
    expired = "expired"


def quote_status(quote: ConversionQuote, used_by: str | None, now: datetime) -> QuoteStatus:
    """``used_by``: the conversion that it was used for."""
    if used_by is not None:
        return QuoteStatus.used
    return QuoteStatus.held if now < quote.expires_at else QuoteStatus.expired


def public_quote(quote: ConversionQuote, *, used_by: str | None, now: datetime) -> dict[str, Any]:
    """The API's object ``conversion_quote``."""
    return {
        "id": quote.id,
        "object": "conversion_quote",
        "ask": rates.write_price(quote.ask),
        "bid": rates.write_price(quote.bid),
        "conversion": used_by,
        "expires_at": int(quote.expires_at.timestamp()),
        "path": quote.path,
        "rated_at": int(quote.rated_at.timestamp()),
        "sources": quote.sources,
        "status": quote_status(quote, used_by, now).value,
        **_amounts(quote),
    }


def public(conversion: Conversion) -> dict[str, Any]:
    """The API's object ``conversion``."""
    return {
        "id": conversion.id,
        "object": "conversion",
        "failure_code": conversion.failure_code,
        "quote": conversion.quote,
        "status": conversion.status,
        **_amounts(conversion),
    }


def _amounts(row: ConversionQuote | Conversion) -> dict[str, Any]:
    return {
        "account": row.account_id,
        "created": int(row.created.timestamp()),
        "livemode": row.livemode,
        "metadata": row.metadata,
        "price": rates.write_price(row.price),
        "service_fee": row.service_fee,
        "service_fee_decimal": money.format_decimal(row.service_fee, row.source_decimals),
        "source_amount": row.source_amount,
        "source_amount_decimal": money.format_decimal(row.source_amount, row.source_decimals),
        "source_currency": row.source_currency,
        "spread": row.spread,
        "spread_decimal": money.format_decimal(row.spread, row.target_decimals),
        "target_amount": row.target_amount,
        "target_amount_decimal": money.format_decimal(row.target_amount, row.target_decimals),
        "target_currency": row.target_currency,
        "usd_cents": row.usd_cents,
    }


def public_terms(terms: ConversionTerms) -> dict[str, Any]:
    """The object ``conversion_terms``."""
    return {
        "id": terms.account_id or "default",
        "object": "conversion_terms",
        "created": int(terms.updated.timestamp()),
        "enabled": terms.enabled,
        "livemode": terms.livemode,
        "lock_seconds": terms.lock_seconds,
        "metadata": {},
        "spread_ppm": terms.spread_ppm,
        "usd_cents_max": terms.usd_cents_max,
        "usd_cents_per_day_max": terms.usd_cents_per_day_max,
    }


def public_position(position: Position, *, livemode: bool, now: datetime) -> dict[str, Any]:
    """The API's object ``fx_position``."""
    return {
        "id": position.currency,
        "object": "fx_position",
        "amount": position.units,
        "amount_decimal": money.format_decimal(position.units, position.decimals),
        "created": int(now.timestamp()),
        "currency": position.currency,
        "livemode": livemode,
        "metadata": {},
        "usd_cents": position.usd_cents,
    }
