"""Fees, as rules: which rule fits, what it comes to, and that every unit of it is explained."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import fee as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.fee import (
    Fee,
    FeeKind,
    FeeRule,
    FeeSchedule,
    FeeVersion,
    Movement,
    OnRefund,
    Part,
    Pricing,
    Tier,
    allocate,
    parse_rules,
    price,
    slices_of,
)

THEN = datetime(2026, 3, 1, 12, tzinfo=UTC)
NETWORK = "eip155:84532"
DECIMALS = {"usdc": 6, "eurc": 6}
TIERS = (Tier(1_000, 10_000), Tier(5_000, 0))


def version(*written: FeeRule, number: int = 1, at: datetime = THEN) -> FeeVersion:
    return FeeVersion("fsch_1", number, [each.document() for each in written], at, at, None)


def payin(amount: int = 1_000_000, **changes: Any) -> Movement:
    return replace(Movement(FeeKind.payin, "usdc", NETWORK, amount), **changes)


@pytest.mark.parametrize(
    ("rule", "movement", "parts"),
    [
        (FeeRule(), payin(), []),
        (FeeRule(percent_ppm=10_000), payin(), [("percent_10000ppm", 10_000)]),
        # One division, down: 2.5 % of 39 is 0.975.
        (FeeRule(percent_ppm=25_000), payin(39), []),
        (FeeRule(percent_ppm=25_000), payin(40), [("percent_25000ppm", 1)]),
        (
            FeeRule(percent_ppm=10_000, fixed=300_000),
            payin(),
            [("percent_10000ppm", 10_000), ("fixed", 300_000)],
        ),
        (
            FeeRule(percent_ppm=10_000, minimum=50_000),
            payin(),
            [("percent_10000ppm", 10_000), ("minimum", 40_000)],
        ),
        (
            FeeRule(percent_ppm=10_000, maximum=4_000),
            payin(),
            [("percent_10000ppm", 10_000), ("cap", -6_000)],
        ),
        # A pay-in is never charged more than came in; a payout is.
        (FeeRule(fixed=300), payin(100), [("fixed", 300), ("cap", -200)]),
        (FeeRule(fixed=300, maximum=50), payin(100), [("fixed", 300), ("cap", -250)]),
        (FeeRule(fixed=300), payin(100, kind=FeeKind.payout), [("fixed", 300)]),
        # Below, across and beyond the tiers: 400 at 5 %, 600 at 1 %, the rest at none.
        (FeeRule(percent_ppm=50_000, tiers=TIERS), payin(400), [("percent_50000ppm", 20)]),
        (
            FeeRule(percent_ppm=50_000, tiers=TIERS),
            payin(1_000, volume=600),
            [("percent_50000ppm", 20), ("percent_10000ppm", 6)],
        ),
        (
            FeeRule(percent_ppm=50_000, tiers=TIERS),
            payin(9_000, volume=4_000),
            [("percent_10000ppm", 10)],
        ),
        (FeeRule(percent_ppm=50_000, tiers=TIERS), payin(7, volume=6_000), []),
    ],
)
def test_what_a_rule_comes_to(
    rule: FeeRule, movement: Movement, parts: list[tuple[str, int]]
) -> None:
    found = price(version(rule), movement)
    assert found is not None
    assert found.parts == tuple(Part(*each) for each in parts)
    assert (found.fee, found.basis) == (sum(units for _, units in parts), movement.amount)


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (FeeRule(kind=FeeKind.payin, currency="usdc", network=NETWORK), True),
        (FeeRule(kind=FeeKind.payout), False),
        (FeeRule(currency="eurc"), False),
        (FeeRule(network="eip155:1"), False),
    ],
)
def test_the_first_rule_that_fits_prices(rule: FeeRule, fits: bool) -> None:
    found = price(version(rule, FeeRule(fixed=7, currency="usdc")), payin())
    assert found is not None
    assert found.rule == (1 if fits else 2)
    assert price(version(replace(rule, currency="eurc")), payin()) is None


RULES = st.builds(
    FeeRule,
    percent_ppm=st.integers(0, rules.MILLION),
    fixed=st.integers(0, 10**9),
    minimum=st.integers(0, 10**9),
    maximum=st.none() | st.integers(10**9, 10**12),
    tiers=st.lists(
        st.tuples(st.integers(1, 10**12), st.integers(0, rules.MILLION)),
        max_size=5,
        unique_by=lambda each: each[0],
    ).map(lambda tiers: tuple(Tier(*each) for each in sorted(tiers))),
)


@given(
    RULES,
    st.sampled_from(FeeKind),
    st.integers(1, 10**30),
    st.integers(0, 10**13),
)
def test_any_amount_by_any_schedule_sums_to_the_unit(
    rule: FeeRule, kind: FeeKind, amount: int, volume: int
) -> None:
    movement = payin(amount, kind=kind, volume=volume)
    slices = slices_of(rule, volume, amount)
    assert sum(units for units, _ in slices) == amount
    assert all(units > 0 for units, _ in slices)
    found = price(version(rule), movement)
    assert found is not None
    assert sum(each.units for each in found.parts) == found.fee
    assert found.fee >= 0
    if kind is FeeKind.payin:
        assert found.fee <= amount
    # The percentage is what it is exactly, less than a unit less.
    percent = sum(each.units for each in found.parts if each.label.startswith("percent"))
    exact = sum(units * ppm for units, ppm in slices)
    assert 0 <= exact - percent * rules.MILLION < rules.MILLION
    assert parse_rules([rule.document()]) == [rule]


@given(st.integers(0, 10**30), st.lists(st.integers(0, 10**12), min_size=1).filter(any))
def test_shares_sum_to_what_is_shared(units: int, weights: list[int]) -> None:
    shares = allocate(units, weights)
    assert sum(shares) == units
    total = sum(weights)
    assert all(
        abs(share * total - units * weight) < total
        for share, weight in zip(shares, weights, strict=True)
    )


def test_of_equal_remainders_the_first_has_the_unit() -> None:
    assert allocate(2, [1, 1, 1]) == [1, 1, 0]
    for weights in ([], [0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="weights"):
            allocate(1, weights)


@given(st.integers(0, 10**12), st.integers(1, 10**12), st.lists(st.integers(1, 10**12)))
def test_refunds_in_any_steps_give_back_the_fee_once(
    charged: int, received: int, steps: list[int]
) -> None:
    given_back = back = 0
    for step in [*steps, received]:
        giving = min(step, received - given_back)
        back += rules.returned(
            charged=charged,
            received=received,
            given=given_back,
            giving=giving,
            returned_before=back,
        )
        given_back += giving
        assert back == charged * given_back // received
    assert back == charged


def test_nothing_goes_back_of_what_was_not_received() -> None:
    assert rules.returned(charged=5, received=0, given=0, giving=3, returned_before=0) == 0
    assert rules.returned(charged=5, received=10, given=0, giving=3, returned_before=4) == 0


def test_the_last_version_to_take_effect_is_in_force() -> None:
    first, second = version(), version(number=2, at=THEN + timedelta(days=1))
    third = replace(second, version=3)
    found = [
        rules.in_force([first, second, third], THEN + timedelta(days=days)) for days in (-1, 0, 1)
    ]
    assert found == [None, first, third]


def test_tiers_ask_for_the_months_volume() -> None:
    tiered = version(FeeRule(currency="usdc", kind=FeeKind.payin, tiers=TIERS, percent_ppm=50_000))
    assert (rules.has_tiers(tiered), rules.has_tiers(version(FeeRule()))) == (True, False)
    assert rules.month_of(datetime.fromisoformat("2026-03-01T00:30:00+02:00")) == "2026-02"
    pricing = Pricing(FeeKind.payin, tiered, {"usdc": 600})
    found = pricing.price(1_000, currency="usdc", network=None)
    assert found is not None
    assert found.fee == 26
    assert pricing.price(1_000, currency="eurc", network=None) is None


@pytest.mark.parametrize(
    ("rule", "param"),
    [
        (FeeRule(currency="dkk"), "[currency]"),
        (FeeRule(fixed=1), "[currency]"),
        (FeeRule(maximum=0), "[currency]"),
        (FeeRule(currency="usdc", minimum=2, maximum=1), "[maximum]"),
        (FeeRule(currency="usdc", tiers=TIERS), "[kind]"),
        (FeeRule(kind=FeeKind.payin, currency="usdc", tiers=TIERS[::-1]), "[tiers]"),
        (
            FeeRule(
                kind=FeeKind.payin,
                currency="usdc",
                tiers=tuple(Tier(place, 0) for place in range(1, 22)),
            ),
            "[tiers]",
        ),
        (FeeRule(kind=FeeKind.payout, on_refund=OnRefund.returned), "[on_refund]"),
    ],
)
def test_rules_that_could_not_price_are_refused(rule: FeeRule, param: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        rules.check_rules([FeeRule(), rule], DECIMALS)
    assert refused.value.param == f"rules[1]{param}"


def test_good_rules_pass_and_too_many_do_not() -> None:
    good = FeeRule(kind=FeeKind.payin, currency="usdc", tiers=TIERS, on_refund=OnRefund.returned)
    rules.check_rules([good], DECIMALS)
    with pytest.raises(ParameterInvalid, match="at most"):
        rules.check_rules([good] * (rules.RULES_MAX + 1), DECIMALS)


@pytest.mark.parametrize(
    "written",
    [
        {},
        [1],
        [{"percent": 1}],
        [{"fixed": 1.5}],
        [{"fixed": True}],
        [{"minimum": -1}],
        [{"percent_ppm": 1_000_001}],
        [{"tiers": [{"volume_from": 1}]}],
        [{"tiers": 1}],
        [{"tiers": [{"volume_from": 1, "percent_ppm": 2_000_000}]}],
        [{"kind": "gift"}],
        [{"on_refund": "lost"}],
    ],
)
def test_what_is_no_rule_is_told(written: Any) -> None:
    with pytest.raises(ValueError, match=r"rule|valid|list"):
        parse_rules(written)


def test_what_is_shown() -> None:
    schedule = FeeSchedule("fsch_1", "Standard", {}, THEN)
    versions = [version(FeeRule(), number=1), version(number=2, at=THEN + timedelta(days=9))]
    shown = rules.public_schedule(schedule, versions, livemode=False, now=THEN)
    assert (shown["version_in_force"], [each["version"] for each in shown["versions"]]) == (
        1,
        [2, 1],
    )
    early = rules.public_schedule(schedule, [], livemode=False, now=THEN)
    assert early["version_in_force"] is None
    movement = payin()
    found = price(version(FeeRule(percent_ppm=10_000)), movement)
    assert found is not None
    simulated = rules.public_simulation(movement, found, decimals=6)
    assert (simulated["fee_decimal"], simulated["net"]) == ("0.010000", 990_000)
    assert found.document()["parts"] == simulated["parts"]
    out = rules.public_simulation(payin(kind=FeeKind.payout), None, decimals=6)
    assert (out["fee"], out["net"], out["rule"]) == (0, 1_000_000, None)
    fee = Fee(
        id="fee_1",
        account_id="acct_1",
        livemode=False,
        kind="payin",
        reason="charged",
        source="pin_1",
        currency="usdc",
        decimals=6,
        basis=1_000_000,
        amount=10_000,
        schedule="fsch_1",
        version=1,
        rule=1,
        parts=[],
        created=THEN,
    )
    assert rules.public_fee(fee)["amount_decimal"] == "0.010000"
