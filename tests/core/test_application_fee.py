"""Application fees: no more than was agreed, in however many parts a payment comes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.test_payin import payin

from sakk.core import application_fee as rules
from sakk.core import payin as payins
from sakk.core.application_fee import Application, Span, applied
from sakk.core.connected_account import (
    ConnectedAccount,
    check_acts,
    check_terms,
    require,
    scopes_of,
)
from sakk.core.connected_account import ConnectionStatus as Status
from sakk.core.connected_account import public as public_connection
from sakk.core.errors import ParameterInvalid, PermissionDenied, UnexpectedState
from sakk.core.fee import FeeKind, FeeRule, FeeVersion, OnRefund, due_back, returned

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONNECTED = ConnectedAccount(
    id="cac_1",
    account_id="acct_1",
    platform="acct_2",
    livemode=False,
    status="active",
    permissions=["payments"],
    fee_ppm_max=100_000,
    metadata={},
    created=NOW,
)
VERSION = FeeVersion(
    "cac_1",
    3,
    [FeeRule(percent_ppm=200_000, on_refund=OnRefund.returned).document()],
    NOW,
    NOW,
    None,
)

FEE = rules.ApplicationFee(
    id="afee_1",
    account_id="acct_2",
    connected="acct_1",
    livemode=False,
    connected_account="cac_1",
    kind="refund",
    reason="returned",
    status="pending",
    source="re_1",
    payment_intent="pi_1",
    currency="usdc",
    decimals=6,
    basis=1_000_000,
    amount=-50_000,
    version=None,
    rule=None,
    parts=[],
    created=NOW,
)


def taken(application: Application, span: Span, units: int, *, left: int | None = None) -> int:
    found = rules.of_payin(
        application,
        span,
        kind=FeeKind.payin,
        currency="usdc",
        network=None,
        arrived=units,
        credited=units,
        left=units if left is None else left,
        version=VERSION,
    )
    return 0 if found is None else found[0]


@given(
    parts=st.lists(st.integers(1, 10_000), min_size=1, max_size=6),
    asked=st.integers(1, 30_000),
    ppm=st.integers(0, 1_000_000),
)
def test_in_parts_it_comes_to_no_more_than_its_amount(
    parts: list[int], asked: int, ppm: int
) -> None:
    amount = asked * ppm // 1_000_000
    application = Application("acct_2", "cac_1", 1_000_000, amount)
    total = before = 0
    for value in parts:
        # A coin with four more decimals than the payment's currency.
        total += taken(application, Span(asked, before, before + value, value), value * 10_000)
        before += value
    assert total <= amount * 10_000
    if len(parts) == 1 and parts[0] >= asked:
        # What is over is the merchant's own.
        assert amount * 10_000 - total < 10_000 or total == amount * 10_000


def test_what_is_agreed_and_what_the_operator_leaves_bound_it() -> None:
    whole = Span(100, 0, 100, 100)
    by_rules = applied(CONNECTED, None, of=100, param="x")
    assert by_rules is not None
    # A fifth by the rules, a tenth by what was agreed.
    assert taken(by_rules, whole, 1_000) == 100
    assert taken(by_rules, whole, 1_000, left=40) == 40
    assert taken(by_rules, whole, 1_000, left=0) == 0
    named = applied(CONNECTED, 10, of=100, param="x")
    assert named is not None
    assert taken(named, whole, 1_000) == 100
    assert taken(named, Span(100, 100, 200, 100), 1_000) == 0
    with pytest.raises(ParameterInvalid, match="which is 10 of this") as caught:
        applied(CONNECTED, 11, of=100, param="application_fee_amount")
    assert caught.value.param == "application_fee_amount"
    assert applied(None, None, of=100, param="x") is None
    with pytest.raises(ParameterInvalid, match="Only a platform"):
        applied(None, 0, of=100, param="x")
    assert rules.read_application(named.document()) == named
    assert rules.read_application(None) is None
    assert taken(replace(named, amount=None), Span(100, 0, 0, 0), 0) == 0
    assert taken(named, Span(100, 0, 0, 0), 1_000) == 0


def test_a_payouts_fee_is_on_top() -> None:
    by_rules = Application("acct_2", "cac_1", 1_000_000)
    about: dict[str, Any] = {"amount": 1_000, "currency": "usdc", "network": "eip155:1"}
    found = rules.of_payout(by_rules, version=VERSION, **about)
    assert found is not None
    units, terms = found
    assert (units, terms["version"], terms["rule"], terms["on_refund"]) == (200, 3, 1, "returned")
    capped = rules.of_payout(replace(by_rules, fee_ppm_max=50_000), version=VERSION, **about)
    assert capped is not None
    assert (capped[0], capped[1]["parts"][-1]) == (50, {"label": "agreed_maximum", "amount": -150})
    assert sum(each["amount"] for each in capped[1]["parts"]) == capped[0]
    assert rules.of_payout(by_rules, version=None, **about) is None
    named = rules.of_payout(replace(by_rules, amount=7), version=VERSION, **about)
    assert named is not None
    assert (named[0], named[1]["version"]) == (7, None)


def test_what_is_undone_comes_back_from_everybody_who_had_a_part() -> None:
    row = replace(
        payin(),
        account_id="acct_1",
        credit_units=1_000,
        fee=100,
        application_fee=50,
        application_terms={"platform": "acct_2"},
    )
    booked = payins.postings(row, asset_decimals=6, currency_decimals=6)
    undo = payins.reversal_postings(booked)
    moved: dict[str, int] = {}
    for each in [*booked, *undo]:
        moved[each.debit.name] = moved.get(each.debit.name, 0) - each.amount
        moved[each.credit.name] = moved.get(each.credit.name, 0) + each.amount
    assert set(moved.values()) == {0}
    taken_back = {each.debit.owner: each.amount for each in undo if each.debit.owner}
    assert taken_back == {"acct_1": 850, "acct_2": 50}
    # What refunds had given back of the fee is the merchant's to give, and the operator's no more.
    for back, left in ((30, 70), (100, 0)):
        undo = payins.reversal_postings(booked, fee_given_back=back)
        taken_back = {each.debit.owner: each.amount for each in undo if each.debit.owner}
        assert taken_back == {"acct_1": 850 + back, "acct_2": 50}
        of_operator = [each.amount for each in undo if each.debit.code.name == "fee_revenue"]
        assert of_operator == ([left] if left else [])


@given(
    charged=st.lists(st.integers(0, 1_000), min_size=1, max_size=4),
    steps=st.lists(st.integers(1, 900), max_size=4),
    gone=st.sets(st.integers(0, 3)),
)
def test_refunds_and_reversals_in_any_mix_leave_a_platform_the_fee_of_what_stands(
    charged: list[int], steps: list[int], gone: set[int]
) -> None:
    """Pay-ins of 1,000 each: refunds give shares back, then some pay-ins are undone."""
    received = 1_000 * len(charged)
    rows: list[rules.ApplicationFee] = []
    for number, step in enumerate(steps):
        before = sum(rules.given(rows).values())
        giving = min(step, received - before)
        back = returned(
            charged=sum(charged),
            received=received,
            given=before,
            giving=giving,
            returned_before=-sum(each.amount for each in rows),
        )
        rows.append(replace(FEE, source=f"re_{number}", amount=-back, basis=giving))
    standing = [units for place, units in enumerate(charged) if place not in gone]
    given = sum(rules.given(rows).values())
    due = due_back(charged=sum(standing), received=1_000 * len(standing), given=given)
    was_back = -sum(each.amount for each in rows)
    undone = rules.undone(rows, due=due)
    assert sum(units for _, units in undone) == max(0, was_back - due)
    for source, units in undone:
        rows.append(replace(FEE, source=source, reason="reversed", amount=units, basis=0))
    # Of no refund more than it gave, and again there is nothing more to undo.
    net = {each.source: 0 for each in rows}
    for each in rows:
        net[each.source] -= each.amount
    assert all(units >= 0 for units in net.values())
    assert rules.undone(rows, due=due) == []
    kept = sum(standing) + sum(each.amount for each in rows)
    assert kept >= 0
    if not standing:
        assert kept == 0


def test_what_a_rule_prices_at_nothing_has_terms_and_what_none_prices_has_not() -> None:
    by_rules = Application("acct_2", "cac_1", 1_000_000)
    about: dict[str, Any] = {"amount": 1, "currency": "usdc", "network": None}
    found = rules.of_payout(by_rules, version=VERSION, **about)
    assert found is not None
    assert (found[0], found[1]["rule"], found[1]["basis"]) == (0, 1, 1)
    other = replace(VERSION, rules=[FeeRule(kind=FeeKind.payin, percent_ppm=1).document()])
    assert rules.of_payout(by_rules, version=other, **about) is None


def test_both_sides_see_the_same() -> None:
    shown = public_connection(replace(CONNECTED, accepted_at=NOW), VERSION.rules)
    assert (shown["account"], shown["platform"]) == ("acct_1", "acct_2")
    assert (shown["accepted_at"], shown["ended_at"]) == (int(NOW.timestamp()), None)
    assert shown["application_fee_rules"] == VERSION.rules
    told = rules.public(FEE)
    assert (told["application"], told["account"]) == ("acct_2", "acct_1")
    assert (told["amount_decimal"], told["status"]) == ("-0.050000", "pending")


def test_a_platform_does_what_was_agreed_and_nothing_else() -> None:
    check_acts(CONNECTED, "payment_intents:write")
    for scope in ("payouts:write", "api_keys:write", "connected_accounts:write", "accounts:write"):
        with pytest.raises(PermissionDenied, match=scope):
            check_acts(CONNECTED, scope)
    assert "payouts:write" in scopes_of(["payments", "payouts"])
    known: dict[str, Any] = {"platform": "acct_2", "account_id": "acct_1"}
    words = ["payouts", "payments", "payouts"]
    assert check_terms(permissions=words, fee_ppm_max=1, **known) == ["payments", "payouts"]
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"platform": "acct_1"}, "account"),
        ({"permissions": []}, "permissions"),
        ({"fee_ppm_max": 1_000_001}, "application_fee_ppm_max"),
    ]
    for wrong, param in wrongs:
        with pytest.raises(ParameterInvalid) as caught:
            check_terms(**{"permissions": words, "fee_ppm_max": 1, **known, **wrong})
        assert caught.value.param == param
    require(CONNECTED, Status.pending, Status.active)
    with pytest.raises(UnexpectedState, match="active"):
        require(CONNECTED, Status.pending)
