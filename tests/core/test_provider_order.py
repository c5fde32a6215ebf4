"""Provider orders, as rules: what is asked next, and what an answer makes of an order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.provider_order import (
    LOCK_MARGIN,
    ProviderOrder,
    ProviderOrderStatus,
    Question,
    Quote,
    Standing,
    Step,
    Word,
    answer_refused,
    answered,
    locked,
    not_found,
    poll_after,
    public,
    step,
    told,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
QUOTE = Quote(id="Q1", units=1_000, fee_units=5, expires_at=NOW + timedelta(minutes=1))


def order(status: str = "new", **more: Any) -> ProviderOrder:
    given: dict[str, Any] = {
        "id": "pvo_1",
        "account_id": "acct_1",
        "livemode": False,
        "payout": "po_1",
        "payment": "bp_1",
        "bank_account": "ba_1",
        "provider": "sandbox",
        "units": 1_000,
        "fee_units": 0,
        "currency": "eur",
        "decimals": 2,
        "status": status,
        "created": NOW,
        **more,
    }
    return ProviderOrder(**given)


HELD = locked(order(), QUOTE, fee_limit=50)


@pytest.mark.parametrize(
    ("row", "after", "expected"),
    [
        (order(), timedelta(0), Step.quote),
        (HELD, timedelta(0), Step.place),
        # It would arrive after its time.
        (HELD, timedelta(minutes=1) - LOCK_MARGIN, Step.quote),
        (replace(HELD, status="placing"), timedelta(days=1), Step.look),
        (order("placed"), timedelta(0), Step.poll),
        (order("information_required"), timedelta(0), Step.poll),
        (order("paid"), timedelta(0), Step.nothing),
        (order("failed"), timedelta(0), Step.nothing),
    ],
)
def test_what_comes_next(row: ProviderOrder, after: timedelta, expected: Step) -> None:
    assert step(row, NOW + after) is expected


def test_it_is_asked_after_by_its_age_and_never_for_good() -> None:
    for status, age, seconds in (
        ("placed", timedelta(0), 2),
        ("placed", timedelta(minutes=30), 60),
        ("placing", timedelta(days=400), 300),
        ("information_required", timedelta(0), 30),
        ("information_required", timedelta(days=1), 300),
    ):
        assert poll_after(order(status), NOW + age) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("quote", "code"),
    [
        (QUOTE, None),
        (replace(QUOTE, fee_units=50), None),
        (replace(QUOTE, fee_units=51), "quote_too_dear"),
        (replace(QUOTE, fee_units=-1), "quote_too_dear"),
        (replace(QUOTE, units=999), "quote_differs"),
    ],
)
def test_which_quotes_are_locked(quote: Quote, code: str | None) -> None:
    row = locked(order(), quote, fee_limit=50)
    assert (row.status, row.reason_code) == ("locked" if code is None else "failed", code)


def test_one_quote_until_it_is_over_and_one_key() -> None:
    lost = replace(HELD, status="placing")
    # What was sent may still arrive: there is no other quote while the provider takes it.
    assert not_found(lost, NOW) is None
    assert not_found(lost, NOW + timedelta(minutes=1)) is None
    other = not_found(lost, NOW + timedelta(minutes=1) + LOCK_MARGIN)
    assert other is not None
    assert (other.status, other.quote, other.fee_units) == ("new", None, 0)
    assert (other.key, other.round) == (lost.key, 2)


ASKED = Standing(
    reference="R1",
    word=Word.information_required,
    questions=[Question(id="a", text="Why?"), Question(id="b", text="Show", wants_file=True)],
)


def test_what_a_provider_says() -> None:
    placed = told(
        replace(HELD, status="placing"), Standing(reference="R1", word=Word.processing), NOW
    )
    assert (placed.status, placed.reference, placed.ended_at) == ("placed", "R1", None)
    # What it takes is what it says, where that is another than we locked.
    assert (placed.fee_units, told(placed, replace(ASKED, fee_units=7), NOW).fee_units) == (5, 7)
    asking = told(told(placed, ASKED, NOW), ASKED, NOW)
    assert (asking.status, len(asking.questions)) == ("information_required", 2)
    paid = told(asking, Standing(reference="R1", word=Word.paid), NOW)
    assert (paid.status, paid.ended_at) == ("paid", NOW)
    no = Standing(reference="R1", word=Word.failed)
    assert told(paid, no, NOW) == paid
    failed = told(asking, no, NOW)
    assert (failed.status, failed.reason_code, failed.ended_at) == ("failed", "NARR", NOW)


def test_questions_are_answered_once() -> None:
    asking = told(order("placed"), ASKED, NOW)
    given: dict[str, Any] = {"text": "An invoice", "has_file": False}
    one = answered(asking, "a", "pva_1", **given)
    assert [each["answer"] for each in one.questions] == ["pva_1", None]
    assert public(one)["questions"][0]["answer"] == "pva_1"
    assert public(HELD)["quote"] == "Q1"
    for row, question, changes, error in (
        (one, "a", {}, UnexpectedState),
        (one, "c", {}, ParameterInvalid),
        (one, "b", {}, ParameterInvalid),
        (one, "b", {"text": " ", "has_file": True}, ParameterInvalid),
        (order("placed"), "a", {}, UnexpectedState),
    ):
        with pytest.raises(error):
            answered(row, question, "pva_2", **{**given, **changes})
    # An answer that it does not take leaves its question open, and the others as they are.
    open_again = answer_refused(one, "pva_1", "Not legible.")
    assert public(open_again)["questions"][0]["refusal"] == "Not legible."
    again = answered(open_again, "a", "pva_3", **given)
    assert [(each["answer"], each["refusal"]) for each in again.questions] == [
        ("pva_3", None),
        (None, None),
    ]
    two = answered(one, "b", "pva_2", text="Here", has_file=True)
    assert [each["answer"] for each in two.questions] == ["pva_1", "pva_2"]
    assert ProviderOrderStatus(two.status) is ProviderOrderStatus.information_required
