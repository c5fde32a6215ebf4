"""Orders: when a position is closed, what a fill posts, and whose word is wrong."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sakk.core import order as rules
from sakk.core.errors import ParameterInvalid, SamePerson, UnexpectedState
from sakk.core.hedge_policy import (
    HedgePolicy,
    HedgeProposal,
    check_policy,
    digest_of,
    in_turn,
    public,
    takes_two,
)
from sakk.core.order import ChildOrder, Order, OrderStatus, Report
from sakk.core.rate import SCALE, Price, Rated
from sakk.core.router import Side

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
POLICY = HedgePolicy("usdt", False, "usdc", 1_000, 5_000, NOW)
RATED = Rated("usdt", "usdc", Price(SCALE, SCALE), NOW, ("s",), ("usdt", "usdc"))
BUY = ChildOrder(
    id="ordc_1",
    order_id="ord_1",
    livemode=False,
    venue="north",
    base="usdt",
    base_decimals=6,
    quote="usdc",
    quote_decimals=6,
    side="buy",
    units=100,
    price=SCALE // 2,
    status="intended",
    asked=False,
    filled_units=0,
    quote_units=0,
    fee_units=0,
    created=NOW,
)
SELL = replace(BUY, side="sell")


@pytest.mark.parametrize(
    ("units", "cents", "expected"),
    [
        (9, 999, None),
        (-9, -999, None),
        (-10, -1_000, (Side.buy, 10, SCALE * 1_005 // 1_000, OrderStatus.approved)),
        (50, 5_001, (Side.sell, 50, SCALE * 995 // 1_000, OrderStatus.awaiting)),
    ],
)
def test_when_a_position_is_closed(units: int, cents: int, expected: object) -> None:
    assert rules.hedge(POLICY, units=units, usd_cents=cents, rated=RATED) == expected


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"currency": "xxx"}, "currency"),
        ({"against": "xxx"}, "against"),
        ({"against": "usdt"}, "against"),
        ({"threshold_usd_cents": 0}, "threshold_usd_cents"),
        ({"auto_usd_cents": -1}, "auto_usd_cents"),
    ],
)
def test_policies_that_can_not_be_followed(changes: dict[str, object], param: str) -> None:
    currencies = {"usdt": 6, "usdc": 6}
    with pytest.raises(ParameterInvalid) as caught:
        check_policy(replace(POLICY, **changes), currencies)  # type: ignore[arg-type]
    assert caught.value.param == param
    assert check_policy(POLICY, currencies) is POLICY


def test_no_position_is_sold_in_circles() -> None:
    def policy(currency: str, against: str, *, live: bool = False) -> HedgePolicy:
        return replace(POLICY, currency=currency, against=against, livemode=live)

    currencies = dict.fromkeys(("usdt", "usdc", "eurc", "usd"), 6)
    chain = [policy("usdc", "usd"), policy("usdt", "usdc"), policy("eurc", "usdt")]
    for wrong in (policy("usdc", "usdt"), policy("usdc", "eurc"), policy("usd", "eurc")):
        with pytest.raises(ParameterInvalid, match="would come back") as caught:
            check_policy(wrong, currencies, chain)
        assert caught.value.param == "against"
    for right in (policy("usdt", "usd"), policy("usd", "eurc", live=True)):
        assert check_policy(right, currencies, chain) is right
    # What changes another's position comes before it.
    assert [each.currency for each in in_turn(chain)] == ["eurc", "usdt", "usdc"]
    # And what two people wrote at once is looked at, and not for ever.
    circle = [policy("usdt", "usdc"), policy("usdc", "usdt")]
    assert len(in_turn(circle)) == 2


@pytest.mark.parametrize(
    ("child", "report", "wrong"),
    [
        (BUY, Report(100, 50, 9), None),
        (BUY, Report(99, 50, 0), None),
        (BUY, Report(101, 50, 0), "more than was asked for"),
        (BUY, Report(100, 51, 0), "took more"),
        (SELL, Report(100, 50, 0), None),
        (SELL, Report(100, 49, 0), "gave less"),
    ],
)
def test_a_venues_word_is_held_against_what_was_agreed(
    child: ChildOrder, report: Report, wrong: str | None
) -> None:
    found = rules.check_report(child, report)
    assert (found is None) if wrong is None else (wrong in (found or ""))
    assert rules.is_amounts(report)


@pytest.mark.parametrize("report", [Report(-1, 0, 0), Report(0, -1, 0), Report(0, 0, -1)])
def test_less_than_nothing_is_no_word(report: Report) -> None:
    assert not rules.is_amounts(report)


@pytest.mark.parametrize(
    ("child", "report", "legs"),
    [
        (
            BUY,
            Report(100, 50, 3),
            [
                "venue:north#test/usdt > fx:usdc-usdt#test/usdt 100",
                "fx:usdc-usdt#test/usdc > venue:north#test/usdc 50",
                "fee:venue#test/usdc > venue:north#test/usdc 3",
            ],
        ),
        (
            SELL,
            Report(100, 50, 0),
            [
                "venue:north#test/usdc > fx:usdc-usdt#test/usdc 50",
                "fx:usdc-usdt#test/usdt > venue:north#test/usdt 100",
            ],
        ),
        (BUY, Report(0, 0, 0), []),
    ],
)
def test_what_a_fill_posts(child: ChildOrder, report: Report, legs: list[str]) -> None:
    posted = rules.postings(child, report)
    assert [f"{leg.debit.name} > {leg.credit.name} {leg.amount}" for leg in posted] == legs


def test_two_people_and_never_one_twice() -> None:
    order = Order(
        id="ord_1",
        livemode=False,
        base="usdt",
        base_decimals=6,
        quote="usdc",
        quote_decimals=6,
        side="buy",
        units=100,
        limit_price=SCALE,
        usd_cents=9,
        reason="hedge",
        status="awaiting",
        approvals=[],
        route=None,
        filled_units=0,
        quote_units=0,
        fee_units=0,
        created=NOW,
        ended_at=None,
    )
    assert rules.approved(order, "per_1") == (["per_1"], OrderStatus.awaiting)
    one = replace(order, approvals=["per_1"])
    assert rules.approved(one, "per_2") == (["per_1", "per_2"], OrderStatus.approved)
    with pytest.raises(SamePerson, match="another person"):
        rules.approved(one, "per_1")
    rules.check_awaiting(one, NOW)
    with pytest.raises(UnexpectedState, match="waited too long"):
        rules.check_awaiting(one, NOW + rules.WAITS_FOR)
    with pytest.raises(UnexpectedState, match="is done"):
        rules.check_awaiting(replace(one, status="done"), NOW)
    assert order.wanted.units == 100
    shown = rules.public(order, [BUY])
    assert (shown["limit"], shown["children"][0]["venue"]) == ("1", "north")
    until = int((NOW + rules.WAITS_FOR).timestamp())
    assert (shown["expires_at"], shown["ended_at"]) == (until, None)
    ended = rules.public(replace(order, status="expired", ended_at=NOW), [])
    assert (ended["expires_at"], ended["ended_at"]) == (None, int(NOW.timestamp()))


@pytest.mark.parametrize(
    ("before", "changes", "two"),
    [
        (None, {"auto_usd_cents": 0}, False),
        (None, {"auto_usd_cents": 1}, True),
        (POLICY, {"auto_usd_cents": 5_001}, True),
        # What is smaller would go by itself from now on; or it would wait, as all does then.
        (POLICY, {"threshold_usd_cents": 999}, True),
        (POLICY, {"threshold_usd_cents": 999, "auto_usd_cents": 998}, False),
        (POLICY, {"threshold_usd_cents": 1_001}, False),
        (POLICY, {"auto_usd_cents": 0}, False),
        # Closed against another currency it may go by itself where nobody said so.
        (POLICY, {"against": "usd", "auto_usd_cents": 1}, True),
        (POLICY, {"against": "usd", "auto_usd_cents": 0}, False),
    ],
)
def test_more_by_itself_takes_two(
    before: HedgePolicy | None, changes: dict[str, object], two: bool
) -> None:
    after = replace(POLICY, **changes)  # type: ignore[arg-type]
    assert takes_two(before, after) is two


def test_what_is_confirmed_is_what_was_shown() -> None:
    wanted = HedgeProposal("usdt", False, "usdc", 1_000, 9_000, None, "per_1", NOW)
    shown = public("usdt", False, POLICY, wanted)
    assert shown["digest"] == digest_of(wanted, POLICY)
    assert (shown["auto_usd_cents"], shown["proposal"]["auto_usd_cents"]) == (5_000, 9_000)
    others = {
        digest_of(replace(wanted, auto_usd_cents=9_001), POLICY),
        digest_of(replace(wanted, note="more"), POLICY),
        # The policy became another meanwhile.
        digest_of(wanted, replace(POLICY, auto_usd_cents=0)),
        digest_of(wanted, None),
    }
    assert len(others | {shown["digest"]}) == 5
    later = NOW + timedelta(hours=1)
    assert wanted.policy(later) == HedgePolicy("usdt", False, "usdc", 1_000, 9_000, later)
    first = public("usdt", False, None, wanted)
    assert (first["auto_usd_cents"], first["created"]) == (None, int(NOW.timestamp()))
    assert public("usdt", False, POLICY, None)["digest"] is None
