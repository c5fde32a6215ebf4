"""Rates: exact, against whoever converts, the median of those that agree; pegs that break."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import rate as rules
from sakk.core.money import Rate
from sakk.core.network import Currency
from sakk.core.rate import SCALE, Observation, Peg, Price, Rated, Refusal

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
AGE = timedelta(minutes=5)
SOURCES = ("a", "b", "c", "d")
AGES = dict.fromkeys(SOURCES, AGE)


def seen(source: str, bid: str, ask: str | None = None, *, at: datetime = NOW) -> Observation:
    first = rules.read_price(bid)
    second = rules.read_price(ask or bid, up=True)
    return Observation(source, "usdc", "usd", first, second, at, NOW)


def rated(base: str, quote: str, bid: str, ask: str | None = None, **rest: object) -> Rated:
    price = Price(rules.read_price(bid), rules.read_price(ask or bid, up=True))
    made = Rated(base, quote, price, NOW, ("s",), (base, quote))
    return replace(made, **rest)  # type: ignore[arg-type]


def currency(name: str, decimals: int = 6, worth: tuple[int, int] | None = (1, 1)) -> Currency:
    numerator, denominator = worth or (None, None)
    return Currency(name, name, "coin", decimals, numerator, denominator, NOW)


@pytest.mark.parametrize(
    ("text", "up", "expected"),
    [
        ("1", False, SCALE),
        ("0.9998", False, 9998 * SCALE // 10_000),
        ("1.5e-7", False, 15 * SCALE // 10**8),
        ("0.0000000000000000019", False, 1),
        ("0.0000000000000000011", True, 2),
        ("1E2", False, 100 * SCALE),
    ],
)
def test_prices_are_read_exactly(text: str, up: bool, expected: int) -> None:
    assert rules.read_price(text, up=up) == expected


@pytest.mark.parametrize(
    "text",
    ["", "-1", "0", "nan", "inf", "1_000", "1e999", "1e30", "٣", "1.", "0.0000000000000000001"],
)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="price"):
        rules.read_price(text)


def test_prices_are_written_short() -> None:
    assert [rules.write_price(each) for each in (SCALE, SCALE // 4, 10 * SCALE, 1)] == [
        "1",
        "0.25",
        "10",
        "0.000000000000000001",
    ]


@pytest.mark.parametrize(("bid", "ask"), [(0, 1), (2, 1), (1, rules.PRICE_MAX + 1)])
def test_a_price_is_not_crossed(bid: int, ask: int) -> None:
    with pytest.raises(ValueError, match="a bid above zero"):
        Price(bid, ask)


@pytest.mark.parametrize(
    ("words", "price", "sources", "refused"),
    [
        ([], None, "", []),
        ([seen("a", "0.99", "1.01")], ("0.99", "1.01"), "a", []),
        # Two of whom nobody can say which is right.
        ([seen("a", "1"), seen("b", "1.1")], None, "", ["a outlier", "b outlier"]),
        ([seen("a", "1"), seen("b", "1.01")], ("1", "1.01"), "ab", []),
        (
            [seen("b", "1"), seen("a", "1.2"), seen("c", "1.001")],
            ("1", "1.001"),
            "bc",
            ["a outlier"],
        ),
        ([seen("a", "1"), seen("b", "1.02"), seen("c", "1.01")], ("1.01", "1.01"), "abc", []),
        # Three that say three things.
        (
            [seen("a", "1"), seen("b", "1.1"), seen("c", "1.2")],
            None,
            "",
            ["a outlier", "c outlier"],
        ),
        (
            [seen("a", "1", at=NOW - AGE), seen("b", "1", at=NOW - AGE - timedelta(seconds=1))],
            ("1", "1"),
            "a",
            ["b stale"],
        ),
        ([seen("a", "1", at=NOW + timedelta(seconds=61))], None, "", ["a ahead"]),
        (
            [seen("a", "1"), seen("b", "1.002"), seen("c", "1.004"), seen("d", "1.006")],
            ("1.002", "1.004"),
            "abcd",
            [],
        ),
    ],
)
def test_the_median_of_those_that_agree(
    words: list[Observation],
    price: tuple[str, str] | None,
    sources: str,
    refused: list[str],
) -> None:
    judged = rules.judge(words, ages=AGES, now=NOW)
    expected = None if price is None else Price(*map(rules.read_price, price))
    assert judged.price == expected
    assert "".join(judged.sources) == sources
    assert [f"{source} {why}" for source, why in judged.refused] == refused
    assert (judged.at is None) == (price is None)


def test_the_oldest_that_counts_is_the_time() -> None:
    before = NOW - timedelta(minutes=2)
    judged = rules.judge([seen("a", "1"), seen("b", "1", at=before)], ages=AGES, now=NOW)
    assert judged.at == before
    assert Refusal("stale") is Refusal.stale


def test_pairs_that_nobody_quotes_are_crossed_over_the_fewest() -> None:
    known = [
        rated("usdc", "usd", "0.999", "1.001"),
        rated("eur", "usd", "1.25", sources=("ecb",), at=NOW - AGE),
        rated("eurc", "eur", "1"),
        rated("usdc", "sgd", "1.3"),
        rated("sgd", "eur", "0.6"),
    ]
    found = rules.find(known, "usdc", "eur", now=NOW)
    assert found is not None
    # Of two ways over one other the first by name.
    assert found.path == ("usdc", "sgd", "eur")
    found = rules.find(known[:3], "usdc", "eurc", now=NOW)
    assert found is not None
    assert found.path == ("usdc", "usd", "eur", "eurc")
    assert (found.sources, found.at) == (("ecb", "s"), NOW - AGE)
    assert found.price == Price(rules.read_price("0.7992"), rules.read_price("0.8008"))
    assert rules.find(known, "usdc", "xau", now=NOW) is None
    same = rules.find([], "usdc", "usdc", now=NOW)
    assert same is not None
    assert same.price == Price(SCALE, SCALE)


def test_no_price_is_crossed_over_too_many_or_out_of_range() -> None:
    chain = [rated(f"c{number}", f"c{number + 1}", "1") for number in range(5)]
    assert rules.find(chain, "c0", "c4", now=NOW) is not None
    assert rules.find(chain, "c0", "c5", now=NOW) is None
    tiny = [rated("a", "b", "0.0000000001"), rated("b", "c", "0.0000000001")]
    assert rules.find(tiny, "a", "c", now=NOW) is None
    assert rules.find(tiny, "c", "a", now=NOW) is None


def test_what_is_written_down_counts_where_no_source_leads() -> None:
    currencies = [
        currency("usd", 2),
        currency("usdc"),
        currency("usdt"),
        currency("eth", 18, (7, 3)),
        currency("btc", 8, None),
        currency("dust", 2, (1, 10**30)),
    ]
    quoted = [("usdc", "eur"), ("eur", "usd")]
    found = rules.configured(currencies, quoted, now=NOW)
    assert [(each.base, each.sources) for each in found] == [
        ("usdt", (rules.CONFIGURED,)),
        ("eth", (rules.CONFIGURED,)),
    ]
    assert found[1].price == Price(7 * SCALE // 3, 7 * SCALE // 3 + 1)


def test_a_payment_is_locked_at_what_is_given() -> None:
    price = Price(rules.read_price("0.998"), SCALE)
    usd = currency("usd", 2)
    assert rules.locked(price, coin=currency("usdc"), priced_in=usd) == Rate(499, 5_000_000)


def test_a_payment_is_locked_by_the_market() -> None:
    usd, usdc, usdt = currency("usd", 2), currency("usdc"), currency("usdt", worth=(7, 6))
    eth = currency("eth", 18, None)
    words = [seen("a", "0.998", "1")]
    known = {"currencies": (usd, usdc, usdt, eth), "quoted": [("usdc", "usd")], "ages": AGES}
    market = rules.market_of(words, pegs=(), now=NOW, **known)  # type: ignore[arg-type]
    assert market.judged["usdc", "usd"].sources == ("a",)
    assert market.lock(usdc, usd) == (Rate(499, 5_000_000), ("a",))
    # What was written down counts as it was written, to the digit.
    assert market.lock(usdt, usd) == (Rate(700, 6_000_000), (rules.CONFIGURED,))
    assert market.lock(eth, usd) is None
    assert market.lock(eth, eth) == (Rate(1, 1), ())
    stopped = replace(PEG, currency="usdc", stopped_at=NOW)
    market = rules.market_of(words, pegs=[stopped], now=NOW, **known)  # type: ignore[arg-type]
    assert market.lock(usdc, usd) is None
    # A source that fell silent is no reason to believe in an old number.
    market = rules.market_of((), pegs=(), now=NOW, **known)  # type: ignore[arg-type]
    assert market.lock(usdc, usd) is None


def test_a_spread_is_taken_of_the_bid() -> None:
    assert rules.spread_by(SCALE, 2_500) == 9975 * SCALE // 10_000
    assert rules.spread_by(SCALE, rules.MILLION) == 0


PEG = Peg("usdt", "usd", 10_000, 1_800, None, None, False, NOW)
STOPPED = replace(PEG, stopped_at=NOW)
HALF = timedelta(minutes=15)


@pytest.mark.parametrize(
    ("peg", "price", "after"),
    [
        (PEG, "0.99", PEG),
        (PEG, None, PEG),
        (PEG, "0.9899", STOPPED),
        (PEG, "1.0101", STOPPED),
        (STOPPED, "0.95", STOPPED),
        (STOPPED, None, STOPPED),
        (STOPPED, "1", replace(STOPPED, recovered_since=NOW)),
        (
            replace(STOPPED, recovered_since=NOW - HALF),
            "1",
            replace(STOPPED, recovered_since=NOW - HALF),
        ),
        (replace(STOPPED, recovered_since=NOW - HALF), None, STOPPED),
        (replace(STOPPED, recovered_since=NOW - HALF), "0.9", STOPPED),
        (replace(STOPPED, recovered_since=NOW - 2 * HALF), "1", PEG),
        (replace(STOPPED, manual=True), "1", replace(STOPPED, manual=True)),
    ],
)
def test_a_coin_off_its_peg_stops_until_it_was_back_for_a_while(
    peg: Peg, price: str | None, after: Peg
) -> None:
    seen_at = None if price is None else Price(rules.read_price(price), rules.read_price(price))
    assert rules.watched(peg, seen_at, now=NOW) == after


def test_a_stop_stands_on_every_path_over_the_coin() -> None:
    assert rules.stopped_on(("usdc", "usd", "usdt"), [STOPPED]) == "usdt"
    assert rules.stopped_on(("usdc", "usd"), [STOPPED]) is None
    assert rules.stopped_on(("usdt",), [PEG]) is None


def test_pairs_have_names() -> None:
    assert rules.pair_of("eur-usd") == ("eur", "usd")
    for name in ("eur", "eur-", "-usd", "eur-usd-x", "eur-eur"):
        with pytest.raises(ValueError, match="as eur-usd"):
            rules.pair_of(name)


def test_a_peg_as_it_is_told() -> None:
    shown = rules.public_peg(STOPPED, livemode=True)
    assert (shown["id"], shown["stopped_at"]) == ("usdt", int(NOW.timestamp()))
    assert shown["recovered_since"] is None


def test_a_rate_as_the_api_shows_it() -> None:
    shown = rules.public(rated("usdc", "usd", "0.999", "1.001"), livemode=False, stopped=None)
    assert (shown["id"], shown["bid"], shown["ask"], shown["mid"]) == (
        "usdc-usd",
        "0.999",
        "1.001",
        "1",
    )


PRICES = st.integers(1, 10**30).flatmap(
    lambda bid: st.builds(Price, st.just(bid), st.integers(bid, 10**30))
)
DECIMALS = st.integers(0, 18)


@given(PRICES, st.integers(0, 10**30), DECIMALS, DECIMALS)
def test_there_and_back_never_makes_money(price: Price, units: int, base: int, quote: int) -> None:
    there = rules.convert(units, price.bid, base_decimals=base, quote_decimals=quote)
    back = rules.convert(there, rules.inverse(price).bid, base_decimals=quote, quote_decimals=base)
    assert back <= units


# Of which four can be crossed and stay in range.
LIKELY = st.integers(10**15, 10**21).flatmap(
    lambda bid: st.builds(Price, st.just(bid), st.integers(bid, 10**22))
)


@given(st.lists(LIKELY, min_size=2, max_size=4), st.integers(0, 10**30))
def test_no_circle_over_crossed_prices_makes_money(prices: list[Price], units: int) -> None:
    known = [
        Rated(f"c{place}", f"c{place + 1}", price, NOW, ("s",), (f"c{place}", f"c{place + 1}"))
        for place, price in enumerate(prices)
    ]
    there = rules.find(known, "c0", f"c{len(prices)}", now=NOW)
    back = rules.find(known, f"c{len(prices)}", "c0", now=NOW)
    assert there is not None
    assert back is not None
    made = rules.convert(units, there.price.bid, base_decimals=6, quote_decimals=6)
    assert rules.convert(made, back.price.bid, base_decimals=6, quote_decimals=6) <= units


@given(PRICES, st.integers(1, 10**30), DECIMALS, DECIMALS)
def test_the_fewest_units_that_are_enough(price: Price, units: int, base: int, quote: int) -> None:
    asked = rules.needed(units, price.bid, base_decimals=base, quote_decimals=quote)
    scales = {"base_decimals": base, "quote_decimals": quote}
    assert rules.convert(asked, price.bid, **scales) >= units
    assert rules.convert(asked - 1, price.bid, **scales) < units


@given(st.lists(PRICES, min_size=1, max_size=7), st.integers(0, 10**6))
def test_the_median_lies_within_what_was_said(prices: list[Price], ppm: int) -> None:
    words = [
        Observation(f"s{place}", "a", "b", price.bid, price.ask, NOW, NOW)
        for place, price in enumerate(prices)
    ]
    ages = {each.source: AGE for each in words}
    judged = rules.judge(words, ages=ages, now=NOW, outlier_ppm=ppm)
    if judged.price is not None:
        assert min(each.bid for each in prices) <= judged.price.bid
        assert judged.price.ask <= max(each.ask for each in prices)
        assert 2 * len(judged.sources) > len(prices)
