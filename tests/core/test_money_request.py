"""Requests for money, as rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sakk.core.errors import ParameterInvalid, ParameterMissing, UnexpectedState
from sakk.core.money_request import (
    LIFE,
    LIFE_MAX,
    REMINDER_EVERY,
    REMINDERS_MAX,
    MoneyRequest,
    MoneyRequestStatus,
    after_payment,
    amount_to_pay,
    check_open,
    check_reminder,
    expiry,
    left,
    public,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
REQUEST = MoneyRequest(
    id="mreq_1",
    account_id="acct_1",
    livemode=False,
    payer="acct_2",
    recipient=None,
    amount=100,
    amount_paid=0,
    released=0,
    currency="usdc",
    decimals=6,
    note="tea",
    status="open",
    bill="bill_1",
    place=0,
    reminders=0,
    reminded_at=None,
    expires_at=NOW + LIFE,
    metadata={"table": "7"},
    created=NOW,
)
OPEN = replace(REQUEST, amount=None)


@pytest.mark.parametrize(
    ("request_", "wanted", "promised", "amount"),
    [
        (REQUEST, None, 0, 100),
        (REQUEST, 40, 0, 40),
        (REQUEST, None, 40, 60),
        (replace(REQUEST, released=30), None, 40, 30),
        (OPEN, 7, 0, 7),
    ],
)
def test_what_is_paid(
    request_: MoneyRequest, wanted: int | None, promised: int, amount: int
) -> None:
    assert amount_to_pay(request_, wanted, promised=promised) == amount


@pytest.mark.parametrize(
    ("request_", "wanted", "promised", "error"),
    [
        (REQUEST, 101, 0, ParameterInvalid),
        (REQUEST, 61, 40, ParameterInvalid),
        (REQUEST, None, 100, UnexpectedState),
        (OPEN, None, 0, ParameterMissing),
        (OPEN, 7, 7, UnexpectedState),
    ],
)
def test_what_can_not_be_paid(
    request_: MoneyRequest, wanted: int | None, promised: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        amount_to_pay(request_, wanted, promised=promised)
    assert left(OPEN, 5) is None


@pytest.mark.parametrize(
    ("request_", "amount", "after"),
    [
        (REQUEST, 40, (40, "open")),
        (REQUEST, 100, (100, "paid")),
        (replace(REQUEST, amount_paid=40, released=20), 40, (80, "paid")),
        (OPEN, 1, (1, "paid")),
        # What was on its way when it was called off.
        (replace(REQUEST, status="canceled"), 100, (100, "canceled")),
    ],
)
def test_where_a_payment_leads(request_: MoneyRequest, amount: int, after: tuple[int, str]) -> None:
    assert after_payment(request_, amount) == (after[0], MoneyRequestStatus(after[1]))


def test_what_has_ended_stays_so() -> None:
    check_open(REQUEST, now=NOW)
    for ended in (replace(REQUEST, status="paid"), replace(REQUEST, expires_at=NOW)):
        with pytest.raises(UnexpectedState):
            check_open(ended, now=NOW)


def test_nobody_is_reminded_often() -> None:
    day = NOW + REMINDER_EVERY
    check_reminder(REQUEST, now=day)
    check_reminder(replace(REQUEST, reminded_at=day), now=day + REMINDER_EVERY)
    for request_, now in (
        (REQUEST, NOW),
        (replace(REQUEST, reminded_at=day), day),
        (replace(REQUEST, reminders=REMINDERS_MAX), day),
    ):
        with pytest.raises(UnexpectedState):
            check_reminder(request_, now=now)


def test_when_it_ends() -> None:
    assert expiry(None, now=NOW) == NOW + LIFE
    assert expiry(NOW + LIFE_MAX, now=NOW) == NOW + LIFE_MAX
    for wanted in (NOW, NOW + LIFE_MAX + timedelta(seconds=1)):
        with pytest.raises(ParameterInvalid):
            expiry(wanted, now=NOW)


def test_who_is_asked_sees_less() -> None:
    shown = public(replace(REQUEST, reminded_at=NOW))
    assert (shown["bill"], shown["metadata"], shown["amount_decimal"]) == (
        "bill_1",
        {"table": "7"},
        "0.000100",
    )
    assert shown["reminded_at"] == int(NOW.timestamp())
    theirs = public(OPEN, for_payer=True)
    assert (theirs["bill"], theirs["metadata"], theirs["amount_decimal"]) == (None, {}, None)
