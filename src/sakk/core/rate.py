"""Rates: what one currency is worth in another, by what several sources said lately.

A price is two whole numbers of ``SCALE``-ths of the quote currency for one whole unit of the base
currency: what we give for it (bid) and what we ask for it (ask). No float and no rounding decimal
appears; each division says which way it rounds, and all round against whoever converts, so that
nobody gains by going there and back, and no unit is made.

Of several sources those that are stale are left out, then those far from the median; what is left
must be the greater part, or there is no price. A pair that nobody quotes is crossed over others. A
coin that is pegged stops where it leaves its peg, until it has been back for a while or a person
lets it go.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from math import gcd
from typing import Any, Final

from sakk.core import money
from sakk.core.money import Rate
from sakk.core.network import Currency, unit_rate

SCALE_DIGITS: Final = 18
SCALE: Final = 10**SCALE_DIGITS
# So that the inverse of every price is one.
PRICE_MAX: Final = SCALE * SCALE
MILLION: Final = 1_000_000
# Over so many pairs a price is crossed at most.
LEGS_MAX: Final = 4
# A source's clock may be so far ahead of ours.
AHEAD_MAX: Final = timedelta(seconds=60)
# Whoever is farther from the median is left out.
OUTLIER_PPM: Final = 20_000
# A coin is off its peg when it is farther from 1, and back when it is not for so long.
PEG_BOUND_PPM: Final = 10_000
RECOVERY_SECONDS: Final = 1_800
# The source of what an operator wrote down with a currency.
CONFIGURED: Final = "configured"
_NUMBER = re.compile(r"(?a:\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,2})?)")


@dataclass(frozen=True, slots=True)
class Price:
    """In ``SCALE``-ths: ``bid`` is given for one whole unit of the base, ``ask`` is asked."""

    bid: int
    ask: int

    def __post_init__(self) -> None:
        if not 0 < self.bid <= self.ask <= PRICE_MAX:
            raise ValueError("a price has a bid above zero, and an ask that is not below it")

    @property
    def mid(self) -> int:
        """Between the two, rounded down: for what is shown and valued, never for what is paid."""
        return (self.bid + self.ask) // 2


@dataclass(frozen=True, slots=True)
class Observation:
    """What a source said of a pair at a time, and when we heard it."""

    source: str
    base: str
    quote: str
    bid: int
    ask: int
    at: datetime
    received: datetime


class Refusal(StrEnum):
    """Why a source does not count now."""

    stale = "stale"
    ahead = "ahead"
    outlier = "outlier"


@dataclass(frozen=True, slots=True)
class Judged:
    """What several sources come to; ``price`` None: too few agree. ``at``: of the oldest."""

    price: Price | None
    at: datetime | None
    sources: tuple[str, ...]
    refused: tuple[tuple[str, Refusal], ...]


@dataclass(frozen=True, slots=True)
class Rated:
    """A price with where it comes from; ``path`` are the currencies that it was crossed over."""

    base: str
    quote: str
    price: Price
    at: datetime
    sources: tuple[str, ...]
    path: tuple[str, ...]


def read_price(text: str, *, up: bool = False) -> int:
    """A decimal number as a price, exact to ``SCALE_DIGITS`` places and rounded from there;
    ValueError for what is none."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"not a price: {text[:40]!r}")
    exact = Fraction(text) * SCALE
    found = -(-exact.numerator // exact.denominator) if up else int(exact)
    if not 0 < found <= PRICE_MAX:
        raise ValueError(f"a price out of range: {text[:40]!r}")
    return found


def write_price(price: int) -> str:
    """A price as a decimal, without the zeros that say nothing."""
    text = money.format_decimal(price, SCALE_DIGITS).rstrip("0")
    return text.removesuffix(".")


def inverse(price: Price) -> Price:
    """The price of the quote currency in the base currency."""
    return Price(PRICE_MAX // price.ask, money.divide_up(PRICE_MAX, price.bid))


def crossed(first: Price, second: Price) -> Price | None:
    """Of a in b and b in c, the price of a in c; None where it is out of range."""
    bid, ask = first.bid * second.bid // SCALE, money.divide_up(first.ask * second.ask, SCALE)
    return Price(bid, ask) if bid and ask <= PRICE_MAX else None


def spread_by(price: int, ppm: int) -> int:
    """What is left of a bid when a spread is taken, rounded down; 0 where nothing is."""
    return price * (MILLION - ppm) // MILLION


def convert(units: int, price: int, *, base_decimals: int, quote_decimals: int) -> int:
    """Smallest units of the quote currency for units of the base, at a bid: rounded down, once."""
    made: int = units * price * 10**quote_decimals // (SCALE * 10**base_decimals)
    return made


def needed(units: int, price: int, *, base_decimals: int, quote_decimals: int) -> int:
    """The fewest units of the base that `convert` makes so many units of the quote of."""
    return money.divide_up(units * SCALE * 10**base_decimals, price * 10**quote_decimals)


def locked(price: Price, *, coin: Currency, priced_in: Currency) -> Rate:
    """The ratio by which a payment in a coin counts: what we would give for it."""
    numerator, denominator = price.bid * 10**priced_in.decimals, SCALE * 10**coin.decimals
    common = gcd(numerator, denominator)
    return Rate(numerator // common, denominator // common)


def judge(
    observations: Sequence[Observation],
    *,
    ages: Mapping[str, timedelta],
    now: datetime,
    outlier_ppm: int = OUTLIER_PPM,
) -> Judged:
    """What the newest word of each source on one pair comes to.

    ``ages``: how old a source's word may be. Each mid is held against the median of all that are
    fresh. The bid is the lower median of those that count, the ask the upper one.
    """
    refused: list[tuple[str, Refusal]] = []
    fresh: list[Observation] = []
    for each in sorted(observations, key=lambda each: each.source):
        if each.at < now - ages[each.source]:
            refused.append((each.source, Refusal.stale))
        elif each.at > now + AHEAD_MAX:
            refused.append((each.source, Refusal.ahead))
        else:
            fresh.append(each)
    counted: list[Observation] = []
    if fresh:
        mids = sorted(each.bid + each.ask for each in fresh)
        twice = mids[(len(mids) - 1) // 2] + mids[len(mids) // 2]
        for each in fresh:
            if abs(2 * (each.bid + each.ask) - twice) * MILLION > outlier_ppm * twice:
                refused.append((each.source, Refusal.outlier))
            else:
                counted.append(each)
    if 2 * len(counted) <= len(fresh):
        return Judged(None, None, (), tuple(refused))
    bids = sorted(each.bid for each in counted)
    asks = sorted(each.ask for each in counted)
    return Judged(
        Price(bids[(len(bids) - 1) // 2], asks[len(asks) // 2]),
        min(each.at for each in counted),
        tuple(each.source for each in counted),
        tuple(refused),
    )


def configured(
    currencies: Iterable[Currency], quoted: Iterable[tuple[str, str]], *, now: datetime
) -> list[Rated]:
    """What an operator wrote down of currencies' worth in dollars, where no source leads to them.

    ``quoted``: the pairs that sources are set up for, whether they have a price now or not: a
    source that fell silent is no reason to believe in an old number.
    """
    reached = {"usd"}
    pairs = list(quoted)
    for _ in pairs:
        reached |= {each for pair in pairs if reached & set(pair) for each in pair}
    found: list[Rated] = []
    for each in currencies:
        if each.currency in reached or each.usd_numerator is None or each.usd_denominator is None:
            continue
        numerator = each.usd_numerator * SCALE
        bid = numerator // each.usd_denominator
        ask = money.divide_up(numerator, each.usd_denominator)
        if bid and ask <= PRICE_MAX:
            path = (each.currency, "usd")
            found.append(Rated(*path, Price(bid, ask), now, (CONFIGURED,), path))
    return found


def find(known: Iterable[Rated], base: str, quote: str, *, now: datetime) -> Rated | None:
    """The price of a pair, over the fewest others; of equally many the first by name. None where
    none leads there."""
    ways: dict[str, list[Rated]] = {}
    for each in sorted(known, key=lambda each: (each.base, each.quote)):
        ways.setdefault(each.base, []).append(each)
        turned = replace(
            each, base=each.quote, quote=each.base, price=inverse(each.price), path=each.path[::-1]
        )
        ways.setdefault(turned.base, []).append(turned)
    start = Rated(base, base, Price(SCALE, SCALE), now, (), (base,))
    waiting, seen = deque([start]), {base}
    while waiting:
        here = waiting.popleft()
        if here.quote == quote:
            return here
        if len(here.path) > LEGS_MAX:
            continue
        for step in ways.get(here.quote, ()):
            price = crossed(here.price, step.price)
            if step.quote not in seen and price is not None:
                seen.add(step.quote)
                waiting.append(
                    Rated(
                        base,
                        step.quote,
                        price,
                        min(here.at, step.at),
                        tuple(sorted({*here.sources, *step.sources})),
                        (*here.path, step.quote),
                    )
                )
    return None


@dataclass(frozen=True, slots=True)
class Peg:
    """A coin that should be worth one of ``peg``. While ``stopped_at`` is set nothing is quoted or
    converted over it. ``manual``: a person stopped it, and it does not begin again by itself."""

    currency: str
    peg: str
    bound_ppm: int
    recover_seconds: int
    stopped_at: datetime | None
    recovered_since: datetime | None
    manual: bool
    updated: datetime
    # What somebody wants of it, until another person confirms that: `sakk.core.rate_proposal`.
    proposal: dict[str, Any] | None = None


def is_off(peg: Peg, price: Price) -> bool:
    """Is the coin farther from its peg than its bound?"""
    return abs(price.bid + price.ask - 2 * SCALE) * MILLION > 2 * SCALE * peg.bound_ppm


def watched(peg: Peg, price: Price | None, *, now: datetime) -> Peg:
    """The peg as it is after a look; a price that is not known is no recovery."""
    if peg.manual:
        return peg
    if price is not None and is_off(peg, price):
        return replace(peg, stopped_at=peg.stopped_at or now, recovered_since=None)
    if peg.stopped_at is None:
        return peg
    if price is None:
        return replace(peg, recovered_since=None)
    since = peg.recovered_since or now
    if now - since >= timedelta(seconds=peg.recover_seconds):
        return replace(peg, stopped_at=None, recovered_since=None)
    return replace(peg, recovered_since=since)


def stopped_on(path: Iterable[str], pegs: Iterable[Peg]) -> str | None:
    """The first currency of a path that is stopped."""
    stopped = {each.currency for each in pegs if each.stopped_at is not None}
    return next((each for each in path if each in stopped), None)


@dataclass(frozen=True, slots=True)
class Market:
    """All that is known of rates at a moment. ``judged``: the pairs that sources are asked for."""

    at: datetime
    known: tuple[Rated, ...] = ()
    judged: Mapping[tuple[str, str], Judged] = field(default_factory=dict)
    pegs: tuple[Peg, ...] = ()

    def find(self, base: str, quote: str) -> Rated | None:
        """The price of a pair now, whether it is stopped or not; None where none is known."""
        return find(self.known, base, quote, now=self.at)

    def stopped_on(self, rated: Rated) -> str | None:
        """The currency by which a price may not be used now."""
        return stopped_on(rated.path, self.pegs)

    def lock(self, coin: Currency, priced_in: Currency) -> tuple[Rate, tuple[str, ...]] | None:
        """By which ratio a payment in a coin counts, and whose word that is; None where it can not
        be said now. What an operator wrote down counts as it was written."""
        if coin.currency == priced_in.currency:
            return Rate(1, 1), ()
        rated = self.find(coin.currency, priced_in.currency)
        if rated is None or self.stopped_on(rated) is not None:
            return None
        if rated.sources == (CONFIGURED,):
            exact = unit_rate(coin, priced_in)
            assert exact is not None
            return exact, rated.sources
        return locked(rated.price, coin=coin, priced_in=priced_in), rated.sources


def market_of(
    observations: Iterable[Observation],
    *,
    quoted: Sequence[tuple[str, str]],
    ages: Mapping[str, timedelta],
    currencies: Iterable[Currency],
    pegs: Iterable[Peg],
    now: datetime,
) -> Market:
    """What sources said lately, judged pair by pair, with what an operator wrote down beside it.

    ``quoted``: the pairs that sources are set up for.
    """
    said: dict[tuple[str, str], list[Observation]] = {pair: [] for pair in quoted}
    for each in observations:
        said[each.base, each.quote].append(each)
    judged = {pair: judge(words, ages=ages, now=now) for pair, words in said.items()}
    known = [
        Rated(*pair, found.price, found.at, found.sources, pair)
        for pair, found in judged.items()
        if found.price is not None and found.at is not None
    ]
    known += configured(currencies, quoted, now=now)
    return Market(now, tuple(known), judged, tuple(pegs))


def pair_of(name: str) -> tuple[str, str]:
    """The currencies of a pair's name, as ``eur-usd``; ValueError."""
    base, dash, quote = name.partition("-")
    if not (base and dash and quote) or "-" in quote or base == quote:
        raise ValueError(f"a pair is two currencies, as eur-usd, not {name[:40]!r}")
    return base, quote


def public_peg(peg: Peg, *, livemode: bool) -> dict[str, Any]:
    """The object ``peg``, the operator's alone."""
    return {
        "id": peg.currency,
        "object": "peg",
        "bound_ppm": peg.bound_ppm,
        "created": int(peg.updated.timestamp()),
        "livemode": livemode,
        "manual": peg.manual,
        "metadata": {},
        "peg": peg.peg,
        "recover_seconds": peg.recover_seconds,
        "recovered_since": _seconds(peg.recovered_since),
        "stopped_at": _seconds(peg.stopped_at),
    }


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def public(rated: Rated, *, livemode: bool, stopped: str | None) -> dict[str, Any]:
    """The API's object ``rate``: prices as decimals, in the quote currency for one of the base."""
    return {
        "id": f"{rated.base}-{rated.quote}",
        "object": "rate",
        "ask": write_price(rated.price.ask),
        "base": rated.base,
        "bid": write_price(rated.price.bid),
        "created": int(rated.at.timestamp()),
        "livemode": livemode,
        "metadata": {},
        "mid": write_price(rated.price.mid),
        "path": list(rated.path),
        "quote": rated.quote,
        "sources": list(rated.sources),
        "stopped_on": stopped,
    }
