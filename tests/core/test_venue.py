"""Accounts at exchanges, and amounts on their steps: never against us."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import rate as rates
from sakk.core import venue as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.router import Side
from sakk.core.venue import PairRules, VenueAccount, kept, number_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT = VenueAccount(
    name="kraken_main",
    kind="kraken",
    livemode=True,
    location="https://api.kraken.com",
    key="abcdefgh",
    secret=b"sealed",
    pairs={"usdt-usd": "USDTZUSD"},
    fee_ppm=2_000,
    enabled=True,
    created=NOW,
    updated=NOW,
)
PAIR = PairRules(Fraction(1, 100), Fraction(1, 10_000), Fraction(1), Fraction(5))
PRICES = st.integers(1, 10 * rates.SCALE)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"name": "Kraken"}, "name"),
        ({"livemode": False}, "location"),
        ({"livemode": False, "location": "https://api.binance.com:443"}, "location"),
        ({"fee_ppm": -1}, "fee_ppm"),
        ({"key": ""}, "key"),
        ({"key": "ключ"}, "key"),
        ({"pairs": {}}, "pair"),
        ({"pairs": {"usdt": "USDTZUSD"}}, "pair"),
        ({"pairs": {"usdt-usd": "USDT ZUSD"}}, "pair"),
    ],
)
def test_what_is_no_account(changes: dict[str, Any], param: str) -> None:
    assert rules.check_account(ACCOUNT) is ACCOUNT
    with pytest.raises(ParameterInvalid) as caught:
        rules.check_account(replace(ACCOUNT, **changes))
    assert caught.value.param == param


def test_nobody_sees_its_secret() -> None:
    shown = rules.public(ACCOUNT)
    assert "secret" not in shown
    assert shown["key"] == "abcd…"


@given(units=st.integers(1, 10**12), price=PRICES, side=st.sampled_from(Side))
def test_steps_are_never_against_us(units: int, price: int, side: Side) -> None:
    amount = rules.lots_of(units, 6, PAIR)
    assert 0 <= Fraction(units, 10**6) - amount < PAIR.lot
    limit, exact = rules.limit_of(side, price, PAIR), Fraction(price, rates.SCALE)
    gap = exact - limit if side is Side.buy else limit - exact
    assert 0 <= gap < PAIR.tick
    assert rules.read_decimal(rules.write_decimal(amount)) == amount


@given(best=PRICES)
def test_a_minimum_is_taken_and_less_is_not(best: int) -> None:
    least = rules.minimum_units(PAIR, best, decimals=6)
    price = Fraction(best, rates.SCALE)
    assert rules.refusal(rules.lots_of(least, 6, PAIR), price, PAIR) is None
    step = int(PAIR.lot * 10**6)
    assert rules.refusal(rules.lots_of(least - step, 6, PAIR), price, PAIR) is not None


def test_words_that_are_no_amounts() -> None:
    for text in ("", "-1", "1e3", "1.", "NaN", "٣", "1" * 31):
        with pytest.raises(ValueError, match="not an amount"):
            rules.read_decimal(text)
    with pytest.raises(ValueError, match="not an amount"):
        rules.read_decimal(1.5)
    with pytest.raises(ValueError, match="no decimal form"):
        rules.write_decimal(Fraction(1, 3))
    assert rules.refusal(Fraction(10), Fraction(0), PAIR) is not None
    assert (rules.units_of(Fraction(7, 3), 0), rules.units_of(Fraction(7, 3), 0, up=True)) == (2, 3)


@pytest.mark.parametrize(
    ("key", "same_account", "number"),
    [("abcdefgh", False, 3), ("new", True, 3), ("new", False, 4), ("old", False, 1)],
)
def test_another_key_is_another_account(key: str, same_account: bool, number: int) -> None:
    before = replace(ACCOUNT, number=3)
    old = kept(replace(ACCOUNT, key="old"), NOW)
    given: dict[str, Any] = {"location": ACCOUNT.location, "same_account": same_account}
    assert number_of(before, [old], key=key, **given) == number
    assert number_of(None, [], key=key, **given) == 1
    # The same key at another address is another exchange's.
    elsewhere = number_of(before, [old], key="old", location="https://b.test", same_account=False)
    assert elsewhere == 4
