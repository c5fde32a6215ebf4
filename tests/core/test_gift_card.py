"""Gift cards, as rules: codes, what the law asks, and what a movement does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.gift_card import (
    MINIMUMS,
    GiftCard,
    GiftCardMovement,
    amount_to_redeem,
    change_of,
    check_expiry,
    check_redeemable,
    earliest_expiry,
    facts_of,
    hash_code,
    hint_of,
    postings,
    public,
    public_for_holder,
    public_movement,
    write_code,
)
from sakk.core.posting import Posting

NOW = datetime(2026, 2, 3, tzinfo=UTC)
CARD = GiftCard(
    id="gc_1",
    account_id="acct_1",
    livemode=False,
    amount=100,
    balance=100,
    currency="usdc",
    decimals=6,
    status="active",
    redeemable="issuer",
    country=None,
    expires_at=None,
    code_hash="00",
    hint="wxyz",
    replaces=None,
    metadata={},
    created=NOW,
)
MOVEMENT = GiftCardMovement(
    id="gcm_1",
    card="gc_1",
    account_id="acct_1",
    livemode=False,
    kind="redeem",
    amount=40,
    currency="usdc",
    decimals=6,
    other=None,
    status="posted",
    failure_code=None,
    description=None,
    metadata={},
    created=NOW,
)


@given(st.integers(0, 2**130 - 1), st.integers(0, 2**130 - 1))
def test_a_code_is_its_random_bits_however_it_is_typed(one: int, other: int) -> None:
    code = write_code(one)
    assert (hash_code(code) == hash_code(write_code(other))) == (one == other)
    typed = code.upper().replace("-", " ").replace("0", "O").replace("1", "l")
    assert hash_code(f" {typed} ") == hash_code(code)
    assert code.endswith(hint_of(code)[-1])


@pytest.mark.parametrize("code", ["", "abc", "u" * 26, "é" * 26, "0" * 27])
def test_what_is_no_code(code: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        hash_code(code)
    assert caught.value.param == "code"


@pytest.mark.parametrize(
    ("country", "earliest"),
    [
        ("US", datetime(2031, 3, 1, tzinfo=UTC)),
        ("IE", datetime(2031, 3, 1, tzinfo=UTC)),
        ("DE", datetime(2030, 1, 1, tzinfo=UTC)),
        ("AT", datetime(2056, 3, 1, tzinfo=UTC)),
        ("AU", datetime(2029, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_card_lives_as_long_as_the_law_asks(country: str, earliest: datetime) -> None:
    check_expiry(earliest, country, now=NOW)
    with pytest.raises(ParameterInvalid) as caught:
        check_expiry(earliest - timedelta(seconds=1), country, now=NOW)
    assert caught.value.param == "expires_at"


def test_the_year_of_issue_is_the_countrys_own() -> None:
    """At 23:30 by UTC on New Year's Eve it is the next year in Germany."""
    last = datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC)
    found = [earliest_expiry(MINIMUMS["DE"], now=last + timedelta(seconds=more)) for more in (0, 1)]
    assert [each and each.year for each in found] == [2030, 2031]


@pytest.mark.parametrize(
    ("country", "param"), [("CA", "expires_at"), ("XX", "country"), (None, "country")]
)
def test_where_no_card_may_expire(country: str | None, param: str) -> None:
    check_expiry(None, country, now=NOW)
    with pytest.raises(ParameterInvalid) as caught:
        check_expiry(datetime(2200, 1, 1, tzinfo=UTC), country, now=NOW)
    assert caught.value.param == param


@given(st.integers(0, 80 * 365), st.sampled_from(sorted(MINIMUMS)))
def test_no_day_of_issue_comes_short_of_the_law(days: int, country: str) -> None:
    now = NOW + timedelta(days=days)
    minimum = MINIMUMS[country]
    least = earliest_expiry(minimum, now=now)
    if minimum.years is None:
        assert least is None
    else:
        assert least is not None
        assert (least.year, least.month, least.day) > (
            now.year + minimum.years,
            0 if minimum.from_end_of_year else now.month,
            0 if minimum.from_end_of_year else now.day,
        )


def test_what_can_be_redeemed() -> None:
    check_redeemable(CARD, "acct_1", now=NOW)
    check_redeemable(replace(CARD, redeemable="holder"), "acct_2", now=NOW)
    for card, by in (
        (CARD, "acct_2"),
        (replace(CARD, status="frozen"), "acct_1"),
        (replace(CARD, expires_at=NOW), "acct_1"),
    ):
        with pytest.raises(UnexpectedState):
            check_redeemable(card, by, now=NOW)
    assert amount_to_redeem(CARD, None, left=70) == 70
    assert amount_to_redeem(CARD, 70, left=70) == 70
    with pytest.raises(ParameterInvalid):
        amount_to_redeem(CARD, 71, left=70)


@pytest.mark.parametrize(
    ("kind", "code", "onto", "change"),
    [
        ("issue", "gift_card_issued", True, 40),
        ("redeem", "gift_card_redeemed", False, -40),
        ("refund", "gift_card_refunded", True, 40),
        ("replacement", "gift_card_replaced", False, -40),
        ("lapse", "gift_card_lapsed", False, -40),
    ],
)
def test_what_a_movement_does(kind: str, code: str, onto: bool, change: int) -> None:
    unit = "test/usdc"
    card, balance = chart.gift_card("gc_1", unit), chart.merchant("acct_1", "available", unit)
    movement = replace(MOVEMENT, kind=kind)
    if kind == "replacement":
        movement = replace(movement, other="gc_2")
        balance = chart.gift_card("gc_2", unit)
    debit, credit = (balance, card) if onto else (card, balance)
    moved = Posting(debit, credit, 40, TransferCode[code])
    assert postings(movement) == [moved]
    # Whoever is paid by it bears its fee, and has it before what goes back is taken.
    owed, earned = chart.merchant("acct_1", "available", unit), chart.fee_revenue(unit)
    charged = Posting(owed, earned, 4, TransferCode.gift_card_fee)
    assert postings(replace(movement, fee=4)) == [moved, charged]
    back = Posting(earned, owed, 3, TransferCode.gift_card_fee_returned)
    assert postings(replace(movement, fee_returned=3)) == [back, moved]
    assert change_of(movement) == change


def test_what_is_shown() -> None:
    assert public(CARD)["code"] is None
    assert "00" not in public(CARD).values()
    ending = replace(CARD, expires_at=NOW)
    assert public(ending)["expires_at"] == int(NOW.timestamp())
    held = public_for_holder(ending, "Shop")
    assert (held["issuer"], held["balance"], "metadata" in held) == ("Shop", 100, False)
    assert public_for_holder(CARD, None)["expires_at"] is None
    noted = replace(MOVEMENT, description="rent", metadata={"own": "1"})
    assert public_movement(noted)["amount_decimal"] == "0.000040"
    assert (public_movement(noted)["description"], public_movement(noted)["metadata"]) == (
        "rent",
        {"own": "1"},
    )
    told = public_movement(noted, for_issuer=True)
    assert (told["description"], told["metadata"]) == (None, {}), "they are the redeemer's"


@pytest.mark.parametrize(
    ("kind", "by", "destination", "payer", "asker"),
    [
        ("issue", "acct_1", None, "acct_1", "key_1"),
        ("redeem", "acct_2", "acct_2", "acct_1", None),
        ("refund", "acct_2", "acct_1", "acct_2", "key_1"),
    ],
)
def test_a_movement_is_judged_as_the_transfer_of_who_pays(
    kind: str, by: str, destination: str | None, payer: str, asker: str | None
) -> None:
    told = facts_of(
        CARD,
        replace(MOVEMENT, kind=kind, account_id=by, destination=destination, initiator="key_1"),
    )
    assert (told.account, told.destination, told.key) == (payer, destination or "", asker)
    assert (told.amount, told.purpose) == (40, "transfer")
