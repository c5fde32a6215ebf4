"""Which amounts a link takes, and when nobody may begin to pay."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sakk.core import payment_link as rules
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.payment_link import PaymentLink

LINK = PaymentLink(
    id="plink_1",
    account_id="acct_1",
    livemode=False,
    token_hash="00",
    active=True,
    currency="usd",
    decimals=2,
    lines=[{"name": "Tea", "amount": 900, "quantity": 1}],
    amount=900,
    amount_min=None,
    amount_max=None,
    amount_preset=None,
    networks=None,
    currencies=None,
    uses_max=None,
    uses=0,
    success_url=None,
    message="Thanks",
    inactive_message=None,
    metadata={},
    created=datetime(2026, 5, 4, tzinfo=UTC),
)
OPEN = replace(LINK, amount=None, amount_min=100, amount_max=5_000, amount_preset=500)


def test_a_fixed_amount_is_what_it_is() -> None:
    assert rules.chosen_amount(LINK, 5) == 900
    assert rules.public(LINK, url="/pay/x")["custom_unit_amount"] is None


@pytest.mark.parametrize("given", [None, 99, 5_001])
def test_an_amount_out_of_bounds_is_refused(given: int | None) -> None:
    with pytest.raises(ParameterInvalid):
        rules.chosen_amount(OPEN, given)


def test_an_amount_within_bounds_is_taken() -> None:
    assert rules.chosen_amount(OPEN, 100) == 100
    assert rules.chosen_amount(replace(OPEN, amount_min=None, amount_max=None), 1) == 1
    assert rules.public(OPEN, url="/pay/x")["custom_unit_amount"]["preset"] == 500


@pytest.mark.parametrize(("least", "most", "preset"), [(10, 5, None), (10, None, 9), (None, 5, 6)])
def test_bounds_that_fit_nothing_are_refused(
    least: int | None, most: int | None, preset: int | None
) -> None:
    with pytest.raises(ParameterInvalid):
        rules.check_bounds(amount_min=least, amount_max=most, amount_preset=preset)
    rules.check_bounds(amount_min=1, amount_max=2, amount_preset=None)
    rules.check_bounds(amount_min=1, amount_max=2, amount_preset=2)


@pytest.mark.parametrize(
    ("link", "usable"),
    [
        (LINK, True),
        (replace(LINK, active=False), False),
        (replace(LINK, uses_max=2, uses=1), True),
        (replace(LINK, uses_max=2, uses=2), False),
    ],
)
def test_a_link_is_used_as_often_as_it_may_be(link: PaymentLink, usable: bool) -> None:
    assert rules.is_usable(link) is usable
    if usable:
        rules.require_usable(link, sessions_open=0)
    else:
        with pytest.raises(UnexpectedState, match="not active"):
            rules.require_usable(link, sessions_open=0)


def test_too_many_at_once_wait() -> None:
    with pytest.raises(UnexpectedState, match="at once"):
        rules.require_usable(LINK, sessions_open=rules.OPEN_MAX)


def test_what_is_shown() -> None:
    shown = rules.public(replace(LINK, uses_max=3, uses=1), url="/pay/x")
    assert shown["restrictions"] == {"completed_sessions": {"count": 1, "limit": 3}}
    assert shown["after_completion"]["hosted_confirmation"] == {"custom_message": "Thanks"}
    led = rules.public(replace(LINK, success_url="https://a.example"), url="/pay/x")
    assert led["after_completion"]["redirect"] == {"url": "https://a.example"}
    [item] = rules.public_lines(LINK)
    assert (item["id"], item["amount_total"]) == ("li_1_1", 900)
    assert (rules.page_path("x"), rules.poster_path("x")) == ("/pay/x", "/shop/x")
