"""Settlements, as rules: when periods end, what is divided, and what is told."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import chart
from sakk.core import settlement as rules
from sakk.core.calendar import business_days
from sakk.core.chart import TransferCode
from sakk.core.errors import ParameterInvalid
from sakk.core.payout import PayoutStatus
from sakk.core.posting import Posting
from sakk.core.settlement import (
    Interval,
    Plan,
    Settlement,
    SettlementSchedule,
    SettlementStatus,
    SettlementTerms,
    Sums,
    check_terms,
    next_end,
    parse_terms,
    pay_date,
    plan,
    read_terms,
)

DECIMALS = {"usdc": 6}
THEN = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
UNIT = "test/usdc"
AVAILABLE = chart.merchant("acct_1", "available", UNIT)
RESERVED = chart.merchant("acct_1", "reserved", UNIT)


def terms(**changes: Any) -> SettlementTerms:
    return replace(SettlementTerms(), **changes)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def ends(of: SettlementTerms, after: str, count: int = 3) -> list[str]:
    """The next ends in local time."""
    moment, found = at(after), []
    for _ in range(count):
        end = next_end(of, moment, business_days(of.calendar))
        assert end is not None
        assert end > moment
        moment = end
        found.append(end.astimezone(ZoneInfo(of.timezone)).strftime("%a %d %H:%M %z"))
    return found


BERLIN = {"timezone": "Europe/Berlin", "cutoff": "17:30"}


@pytest.mark.parametrize(
    ("of", "after", "expected"),
    [
        (
            terms(),
            "2026-03-02T12:00+00:00",
            ["Tue 03 00:00 +0000", "Wed 04 00:00 +0000", "Thu 05 00:00 +0000"],
        ),
        # The cut-off itself ends the period before; a second earlier is still in it.
        (terms(**BERLIN), "2026-03-02T16:30:00+00:00", ["Tue 03 17:30 +0100"]),
        (terms(**BERLIN), "2026-03-02T16:29:59+00:00", ["Mon 02 17:30 +0100"]),
        # Over the change of clocks at the end of March it stays 17:30 there.
        (
            terms(**BERLIN),
            "2026-03-28T00:00+00:00",
            ["Sat 28 17:30 +0100", "Sun 29 17:30 +0200", "Mon 30 17:30 +0200"],
        ),
        # Half past two does not exist on that day: an hour later, as every clock shows.
        (
            terms(timezone="Europe/Berlin", cutoff="02:30"),
            "2026-03-28T12:00+00:00",
            ["Sun 29 03:30 +0200"],
        ),
        # Good Friday and Easter Monday of T2: from Thursday to Tuesday.
        (
            terms(**BERLIN, calendar="ECB"),
            "2026-04-01T16:00+00:00",
            ["Thu 02 17:30 +0200", "Tue 07 17:30 +0200", "Wed 08 17:30 +0200"],
        ),
        # A weekly Friday that is a holiday is the business day after; then Fridays again.
        (
            terms(interval=Interval.weekly, weekday=4, calendar="DE", **BERLIN),
            "2026-03-28T00:00+00:00",
            ["Tue 07 17:30 +0200", "Fri 10 17:30 +0200", "Fri 17 17:30 +0200"],
        ),
    ],
)
def test_when_periods_end(of: SettlementTerms, after: str, expected: list[str]) -> None:
    assert ends(of, after, len(expected)) == expected


def test_a_person_or_a_balance_ends_a_period() -> None:
    assert next_end(terms(interval=Interval.manual), THEN, business_days(None)) is None
    looked = next_end(terms(interval=Interval.threshold), THEN, business_days(None))
    assert looked == THEN + rules.THRESHOLD_EVERY


def test_a_calendar_without_business_days_is_a_mistake_of_ours() -> None:
    def never(_: date) -> bool:
        return False

    with pytest.raises(AssertionError):
        next_end(terms(), THEN, never)
    # A week that has its day and no business day after it.
    weekday = terms(interval=Interval.weekly, weekday=9)
    with pytest.raises(AssertionError):
        next_end(weekday, THEN, business_days(None))


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0, "2026-04-02T15:30+00:00"), (1, "2026-04-07T15:30+00:00"), (2, "2026-04-08T15:30+00:00")],
)
def test_what_was_closed_is_paid_business_days_later(days: int, expected: str) -> None:
    of = terms(**BERLIN, calendar="ECB", delay_days=days)
    assert pay_date(of, at("2026-04-02T15:30+00:00"), business_days("ECB")) == at(expected)


def test_a_calendar_that_is_not_there_is_told() -> None:
    assert business_days(None)(date(2026, 12, 25))
    assert not business_days("DE")(date(2026, 12, 25))
    with pytest.raises(ParameterInvalid, match="no calendar"):
        business_days("Atlantis")


def sums(closing: int, received: int = 0, lines: int = 1) -> Sums:
    return Sums(lines, closing, 0, received, 0, closing)


@pytest.mark.parametrize(
    ("of", "found", "owed", "outstanding", "standing", "expected"),
    [
        (terms(), sums(100), 0, 0, 0, Plan(0, 0, 0, 100)),
        (terms(), sums(100), 30, 0, 0, Plan(30, 0, 0, 70)),
        # What is owed is more than there is: all of it, and nothing is paid.
        (terms(), sums(100), 300, 0, 0, Plan(100, 0, 0, 0)),
        (terms(), sums(100), 0, 60, 0, Plan(0, 0, 0, 40)),
        (terms(), sums(100), 0, 160, 0, Plan(0, 0, 0, 0)),
        (terms(reserve_ppm=50_000), sums(100, 199), 0, 0, 0, Plan(0, 9, 0, 91)),
        (terms(reserve_ppm=500_000), sums(100, 1_000), 20, 0, 0, Plan(20, 80, 0, 0)),
        (terms(reserve_ppm=500_000), sums(100, -50), 0, 0, 0, Plan(0, 0, 0, 100)),
        (terms(reserve_fixed={"usdc": 30}), sums(100), 0, 0, 10, Plan(0, 0, 20, 80)),
        (terms(reserve_fixed={"usdc": 300}), sums(100), 0, 0, 10, Plan(0, 0, 100, 0)),
        # Lowered: it goes back, and is paid with the next period.
        (terms(reserve_fixed={"usdc": 3}), sums(100), 0, 0, 10, Plan(0, 0, -7, 100)),
        (terms(minimum={"usdc": 101}), sums(100), 0, 0, 0, Plan(0, 0, 0, 0)),
        (terms(minimum={"usdc": 100}), sums(100), 0, 0, 0, Plan(0, 0, 0, 100)),
    ],
)
def test_how_a_balance_is_divided(
    of: SettlementTerms, found: Sums, owed: int, outstanding: int, standing: int, expected: Plan
) -> None:
    decided = plan(of, "usdc", found, owed=owed, outstanding=outstanding, standing=standing)
    assert decided == expected


AMOUNTS = st.integers(0, 10**24)


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, st.integers(0, rules.MILLION))
def test_nothing_is_taken_twice(
    closing: int,
    received: int,
    owed: int,
    outstanding: int,
    standing: int,
    fixed: int,
    minimum: int,
    ppm: int,
) -> None:
    of = terms(reserve_ppm=ppm, reserve_fixed={"usdc": fixed}, minimum={"usdc": minimum})
    found = plan(
        of, "usdc", sums(closing, received), owed=owed, outstanding=outstanding, standing=standing
    )
    taken = found.owed + found.reserved + max(0, found.reserved_fixed)
    assert min(found.owed, found.reserved, found.payable) >= 0
    assert taken + found.payable <= max(0, closing - outstanding)
    # What is neither taken nor paid is less than the minimum, and is carried.
    left = max(0, closing - outstanding) - taken - found.payable
    assert left == 0 or (found.payable == 0 and left < max(1, minimum))


def test_a_threshold_ends_a_period() -> None:
    of = terms(interval=Interval.threshold, threshold={"usdc": 50})
    decided = [rules.is_threshold_met(of, "usdc", Plan(0, 0, 0, units)) for units in (49, 50)]
    assert decided == [False, True]
    assert not rules.is_threshold_met(of, "eurc", Plan(0, 0, 0, 50))
    assert rules.is_threshold_met(terms(), "usdc", Plan(0, 0, 0, 0))


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"cutoff": "24:30"}, "cutoff"),
        ({"cutoff": "17:30:00"}, "cutoff"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"weekday": 7}, "weekday"),
        ({"delay_days": -1}, "delay_days"),
        ({"minimum": {"dkk": 1}}, "minimum[dkk]"),
        ({"reserve_fixed": {"usdc": -1}}, "reserve_fixed[usdc]"),
        ({"interval": Interval.threshold}, "threshold"),
        ({"threshold": {"usdc": 1}}, "threshold"),
        ({"reserve_ppm": 1}, "reserve_days"),
    ],
)
def test_terms_that_can_not_be_kept(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        check_terms(terms(**changes), DECIMALS)
    assert refused.value.param == param


def test_terms_are_written_and_read() -> None:
    of = terms(
        reserve_ppm=1,
        reserve_days=2,
        minimum={"usdc": 3},
        calendar="DE",
        destination={"beneficiary": "ben_1", "network": "eip155:1"},
    )
    check_terms(of, DECIMALS)
    assert read_terms(of.document()) == of == parse_terms(of.document())
    assert parse_terms({"interval": "weekly"}) == terms(interval=Interval.weekly)


@pytest.mark.parametrize(
    "written",
    [
        [],
        {"intervall": "daily"},
        {"interval": "hourly"},
        {"weekday": "1"},
        {"weekday": True},
        {"calendar": 1},
        {"currency": 1},
        {"minimum": {"usdc": "1"}},
        {"destination": {"beneficiary": "ben_1"}},
        {"destination": {"bank_account": "ba_1", "network": "bank"}},
        {"destination": {"beneficiary": 1, "network": "eip155:1"}},
    ],
)
def test_what_are_no_terms_is_told(written: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_terms(written)


def settlement(**changes: Any) -> Settlement:
    row = Settlement(
        id="set_01jd8k0000000000000000000a",
        account_id="acct_1",
        livemode=False,
        number=7,
        currency="usdc",
        decimals=6,
        status="closed",
        from_ns=0,
        to_ns=9,
        period_end=THEN,
        first_line=1,
        lines=3,
        opening=0,
        credits=100,
        debits=0,
        closing=100,
        received=100,
        fees=0,
        owed=10,
        reserved=5,
        payable=85,
        terms=terms(destination={"beneficiary": "ben_1", "network": "eip155:1"}).document(),
        pay_at=THEN,
        metadata={},
        created=THEN,
    )
    return replace(row, **changes)


def test_what_is_paid_in_another_currency() -> None:
    place = {"beneficiary": "ben_1", "network": "eip155:1"}
    row = settlement(terms=terms(destination=place, currency="usdt").document())
    assert (rules.pays_in(row), rules.pays_in(settlement())) == ("usdt", "usdc")
    assert rules.conversion_id(row) == "conv_01jd8k0000000000000000000b"
    # Terms from before there was a choice.
    before = {name: each for name, each in settlement().terms.items() if name != "currency"}
    assert rules.pays_in(settlement(terms=before)) == "usdc"
    for wrong in ({"currency": "xxx", "destination": place}, {"currency": "usdc"}):
        with pytest.raises(ParameterInvalid) as caught:
            check_terms(terms(**wrong), DECIMALS)
        assert caught.value.param == "currency"


def test_a_bank_account_is_paid_its_own_currency_alone() -> None:
    place = {"bank_account": "ba_1", "currency": "usdc"}
    row = settlement(terms=terms(destination=place).document())
    assert rules.after_booking(row, held=False) == "pending"
    other = terms(destination={**place, "currency": "eur"}).document()
    assert rules.after_booking(replace(row, terms=other), held=False) == "kept"


def test_what_is_posted() -> None:
    row = settlement()
    assert rules.recovery_posting(row) == Posting(
        AVAILABLE, chart.receivable("acct_1", UNIT), 10, TransferCode.receivable_recovered
    )
    held = Posting(AVAILABLE, RESERVED, 5, TransferCode.reserve_held)
    assert rules.reserve_posting(row, 5) == held
    back = Posting(RESERVED, AVAILABLE, 5, TransferCode.reserve_released)
    assert rules.reserve_posting(row, -5) == back
    assert rules.payout_id(row) == "po_01jd8k0000000000000000000a"


def test_where_a_booked_settlement_goes() -> None:
    kept = settlement(terms=terms().document())
    assert rules.after_booking(kept, held=False) is SettlementStatus.kept
    assert rules.after_booking(settlement(payable=0), held=False) is SettlementStatus.carried
    assert rules.after_booking(settlement(), held=True) is SettlementStatus.held
    assert rules.after_booking(settlement(), held=False) is SettlementStatus.pending


@pytest.mark.parametrize("status", list(PayoutStatus))
def test_a_settlement_is_what_its_payout_is(status: PayoutStatus) -> None:
    ended = {
        PayoutStatus.posted: SettlementStatus.paid,
        PayoutStatus.rejected: SettlementStatus.failed,
        PayoutStatus.canceled: SettlementStatus.failed,
        PayoutStatus.failed: SettlementStatus.failed,
    }
    assert rules.outcome(status.value) is ended.get(status, SettlementStatus.paying)


def test_what_is_shown() -> None:
    shown = rules.public(settlement())
    assert (shown["paid_at"], shown["reserve_release_at"]) == (None, None)
    paid = rules.public(settlement(paid_at=THEN, release_at=THEN, amount=85))
    assert paid["paid_at"] == paid["reserve_release_at"] == int(THEN.timestamp())
    assert paid["amount_decimal"] == "0.000085"
    schedule = SettlementSchedule(
        "ssch_1", "acct_1", False, terms().document(), False, 1, None, THEN
    )
    assert rules.public_schedule(schedule)["next_at"] is None
    due = rules.public_schedule(replace(schedule, next_at=THEN))
    assert due["next_at"] == int(THEN.timestamp())
