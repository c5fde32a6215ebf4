"""Conversions: what is taken and given, to the unit, against whoever converts; limits, postings."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import conversion as rules
from sakk.core import rate as rates
from sakk.core.conversion import Conversion, ConversionQuote, ConversionTerms, Position
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.fee import FeeKind, FeeRule, FeeVersion, Pricing
from sakk.core.network import Currency
from sakk.core.rate import Market, Peg, Price, Rated

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
USDC = Currency("usdc", "USD Coin", "coin", 6, 1, 1, NOW)
EUR = Currency("eur", "Euro", "fiat", 2, None, None, NOW)
TERMS = rules.default_terms(livemode=False, now=NOW)


def rated(base: str, quote: str, bid: str, ask: str) -> Rated:
    price = Price(rates.read_price(bid), rates.read_price(ask, up=True))
    return Rated(base, quote, price, NOW, ("desk",), (base, quote))


RATED = rated("usdc", "eur", "0.9212", "0.9222")
MARKET = Market(NOW, (RATED, rated("usdc", "usd", "0.999", "1.001")))


def exchanged(amount: int, *, spread_ppm: int = 0, **changes: Any) -> rules.Exchange:
    given: dict[str, Any] = {"source": USDC, "target": EUR, "fixed": "source", "pricing": None}
    terms = replace(TERMS, spread_ppm=spread_ppm)
    return rules.exchange(RATED, terms, MARKET, amount=amount, **{**given, **changes})


def test_what_is_given_is_the_bid_less_the_spread() -> None:
    made = exchanged(100_000_000, spread_ppm=5_000)
    assert (made.source_amount, made.target_amount, made.spread) == (100_000_000, 9_165, 47)
    assert made.price == 916_594 * 10**12
    assert (made.sources, made.path, made.rated_at) == (["desk"], ["usdc", "eur"], NOW)
    assert made.usd_cents == 10_000
    assert (made.service_fee, made.fee_terms) == (0, None)


def test_what_is_to_come_out_comes_out() -> None:
    made = exchanged(9_212, fixed="target")
    assert (made.source_amount, made.target_amount, made.spread) == (100_000_000, 9_212, 0)
    made = exchanged(9_213, fixed="target", spread_ppm=10_000)
    assert (made.source_amount, made.target_amount) == (101_021_067, 9_213)


def test_a_fee_is_of_what_is_taken_and_on_top() -> None:
    rule = FeeRule(kind=FeeKind.conversion, currency="usdc", percent_ppm=2_000, fixed=5)
    version = FeeVersion("fsch_1", 1, [rule.document()], NOW, NOW, None)
    made = exchanged(100_000_000, pricing=Pricing(FeeKind.conversion, version, {}))
    assert (made.source_amount, made.service_fee) == (100_000_000, 200_005)
    assert made.fee_terms is not None
    assert made.fee_terms["basis"] == 100_000_000
    none = FeeVersion("fsch_1", 1, [], NOW, NOW, None)
    assert exchanged(1_000_000, pricing=Pricing(FeeKind.conversion, none, {})).service_fee == 0


@pytest.mark.parametrize(
    ("amount", "changes"),
    [
        (1, {}),
        (10**39, {}),
        (10**38, {"fixed": "target"}),
        (100, {"spread_ppm": 1_000_000}),
    ],
)
def test_of_some_amounts_nothing_would_be_left(amount: int, changes: dict[str, Any]) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        exchanged(amount, **changes)
    assert caught.value.param == "amount"


def test_what_can_not_be_valued_is_not_converted() -> None:
    with pytest.raises(ParameterInvalid, match="in dollars") as caught:
        rules.exchange(
            RATED,
            TERMS,
            Market(NOW, (RATED,)),
            source=USDC,
            target=EUR,
            amount=1_000_000,
            fixed="source",
            pricing=None,
        )
    assert caught.value.param == "source_currency"


@given(
    st.integers(1, 10**15),
    st.integers(0, rules.SPREAD_PPM_MAX),
    st.sampled_from(["source", "target"]),
)
def test_both_sides_are_whole(amount: int, spread_ppm: int, fixed: str) -> None:
    """Whatever is asked for: what the pair gives is what is given and the spread, to the unit, and
    what comes out converted back is never more than went in."""
    try:
        made = exchanged(amount, spread_ppm=spread_ppm, fixed=fixed)
    except ParameterInvalid:
        return
    assert made.spread >= 0
    whole = rates.convert(made.source_amount, made.bid, base_decimals=6, quote_decimals=2)
    assert made.target_amount + made.spread == whole
    back = rates.inverse(RATED.price).bid
    assert (
        rates.convert(made.target_amount, back, base_decimals=2, quote_decimals=6)
        <= made.source_amount
    )


QUOTE = ConversionQuote(
    id="cq_1",
    account_id="acct_1",
    livemode=False,
    source_currency="usdc",
    source_decimals=6,
    target_currency="eur",
    target_decimals=2,
    source_amount=100_000_000,
    target_amount=9_165,
    spread=47,
    service_fee=200_000,
    fee_terms=None,
    bid=rates.read_price("0.9212"),
    ask=rates.read_price("0.9222"),
    price=rates.read_price("0.916594"),
    sources=["desk"],
    path=["usdc", "eur"],
    rated_at=NOW,
    usd_cents=10_000,
    metadata={},
    expires_at=NOW + timedelta(minutes=1),
    created=NOW,
)
CONVERSION = Conversion(
    id="conv_1",
    quote="cq_1",
    status="posted",
    failure_code=None,
    **{
        name: getattr(QUOTE, name)
        for name in ConversionQuote.__dataclass_fields__
        if name in Conversion.__dataclass_fields__ and name != "id"
    },
)


@pytest.mark.parametrize(
    ("changes", "legs"),
    [
        (
            {},
            [
                "merchant:acct_1:available#test/usdc > fx:eur-usdc#test/usdc 100000000 taken",
                "fx:eur-usdc#test/eur > merchant:acct_1:available#test/eur 9165 given",
                "fx:eur-usdc#test/eur > fee:revenue#test/eur 47 spread",
                "merchant:acct_1:available#test/usdc > fee:revenue#test/usdc 200000 fee",
            ],
        ),
        (
            {"spread": 0, "service_fee": 0, "livemode": True},
            [
                "merchant:acct_1:available#usdc > fx:eur-usdc#usdc 100000000 taken",
                "fx:eur-usdc#eur > merchant:acct_1:available#eur 9165 given",
            ],
        ),
    ],
)
def test_what_is_posted(changes: dict[str, Any], legs: list[str]) -> None:
    posted = rules.postings(replace(CONVERSION, **changes))
    assert [
        f"{leg.debit.name} > {leg.credit.name} {leg.amount} {leg.code.name.partition('_')[2]}"
        for leg in posted
    ] == legs


def test_limits_hold_to_the_cent() -> None:
    terms = replace(TERMS, usd_cents_max=100, usd_cents_per_day_max=150)
    rules.check_limits(terms, usd_cents=100, usd_cents_today=50)
    for cents, today, words in ((101, 0, "at most 1.00"), (100, 51, "0.51 are used")):
        with pytest.raises(ParameterInvalid, match=words):
            rules.check_limits(terms, usd_cents=cents, usd_cents_today=today)


def test_nothing_goes_over_what_is_stopped() -> None:
    peg = Peg("usdt", "usd", 1, 1, NOW, None, False, NOW)
    market = Market(NOW, pegs=(peg,))
    rules.check_not_stopped(market, ["usdc", "usd"])
    with pytest.raises(UnexpectedState, match="over usdt"):
        rules.check_not_stopped(market, ["usdc", "usd", "usdt"])


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"spread_ppm": -1}, "spread_ppm"),
        ({"spread_ppm": rules.SPREAD_PPM_MAX + 1}, "spread_ppm"),
        ({"lock_seconds": 0}, "lock_seconds"),
        ({"usd_cents_max": -1}, "usd_cents_max"),
        ({"usd_cents_per_day_max": -1}, "usd_cents_per_day_max"),
    ],
)
def test_terms_that_can_not_be_kept(changes: dict[str, int], param: str) -> None:
    changed: ConversionTerms = replace(TERMS, **changes)  # type: ignore[arg-type]
    with pytest.raises(ParameterInvalid) as caught:
        rules.check_terms(changed)
    assert caught.value.param == param
    assert rules.check_terms(TERMS) is TERMS


def test_positions_are_valued_where_that_is_known() -> None:
    currencies = {"usdc": USDC, "eur": EUR}
    found = rules.positions({"usdc": -1_000_000, "eur": 92}, currencies, MARKET)
    assert found == [Position("eur", 2, 92, 99), Position("usdc", 6, -1_000_000, -100)]
    [unknown] = rules.positions({"eur": 92}, currencies, Market(NOW))
    assert unknown.usd_cents is None
    shown = rules.public_position(unknown, livemode=False, now=NOW)
    assert (shown["id"], shown["amount_decimal"], shown["usd_cents"]) == ("eur", "0.92", None)


def test_what_the_api_shows() -> None:
    quote = rules.public_quote(QUOTE, used_by=None, now=NOW)
    assert (quote["price"], quote["spread_decimal"]) == ("0.916594", "0.47")
    assert (quote["status"], quote["conversion"]) == ("held", None)
    over = rules.public_quote(QUOTE, used_by=None, now=QUOTE.expires_at)
    used = rules.public_quote(QUOTE, used_by="conv_1", now=QUOTE.expires_at)
    assert (over["status"], used["status"], used["conversion"]) == ("expired", "used", "conv_1")
    assert quote["expires_at"] == int(NOW.timestamp()) + 60
    made = rules.public(CONVERSION)
    assert (made["quote"], made["service_fee_decimal"]) == ("cq_1", "0.200000")
    assert rules.public_terms(TERMS)["id"] == "default"
    assert rules.public_terms(replace(TERMS, account_id="acct_1"))["id"] == "acct_1"
