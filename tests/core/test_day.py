"""Days, as rules: when they end, what they need, and what a report says."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core import day as rules
from sakk.core.day import Acceptance, Clock, Day, Sum, SumsBroken
from sakk.core.errors import ParameterInvalid
from sakk.core.ledger_break import opened
from sakk.core.reconciliation import BreakKind, Finding

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BERLIN = Clock("Europe/Berlin", "17:30")
FINDING = Finding("suspense:x", "suspense", BreakKind.suspense, "x", "x", 5, "5 stand there")


@pytest.mark.parametrize(
    ("day", "clock", "end"),
    [
        ("2026-03-02", Clock(), "2026-03-03T00:00+00:00"),
        ("2026-03-02", BERLIN, "2026-03-02T16:30+00:00"),
        ("2026-03-29", BERLIN, "2026-03-29T15:30+00:00"),
        ("2026-03-28", Clock("Europe/Berlin", "00:00"), "2026-03-28T23:00+00:00"),
        ("2026-03-29", Clock("Europe/Berlin", "02:30"), "2026-03-29T01:30+00:00"),
    ],
)
def test_when_days_end(day: str, clock: Clock, end: str) -> None:
    assert rules.end_of(date.fromisoformat(day), clock) == datetime.fromisoformat(end)


def test_half_a_clock_is_never_guessed() -> None:
    assert rules.read_clock(None, None) is None
    assert rules.read_clock("Europe/Berlin", "17:30") == BERLIN
    for zone, cutoff, param in (("UTC", None, "cutoff"), (None, "17:30", "timezone")):
        with pytest.raises(ParameterInvalid) as raised:
            rules.read_clock(zone, cutoff)
        assert raised.value.param == param


@given(
    st.integers(1_577_836_800, 1_893_456_000),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Auckland"]),
    st.sampled_from(["00:00", "02:30", "17:30", "23:59"]),
)
def test_every_moment_is_in_one_day(seconds: int, zone: str, cutoff: str) -> None:
    clock, then = Clock(zone, cutoff), datetime.fromtimestamp(seconds, UTC)
    found = rules.day_of(then, clock)
    assert rules.end_of(found - timedelta(days=1), clock) < then <= rules.end_of(found, clock)


@pytest.mark.parametrize(
    ("clock", "param"),
    [
        (Clock("Mars/Olympus"), "timezone"),
        (Clock("/etc"), "timezone"),
        (Clock("UTC", "25:00"), "cutoff"),
        (Clock("UTC", "10:00:01"), "cutoff"),
        (Clock("UTC", "10:00Z"), "cutoff"),
    ],
)
def test_clocks_that_there_are_not(clock: Clock, param: str) -> None:
    with pytest.raises(ParameterInvalid) as refused:
        rules.check_clock(clock)
    assert refused.value.param == param
    rules.check_clock(BERLIN)


def test_dates_and_reasons() -> None:
    assert rules.read_date("2026-03-02") == date(2026, 3, 2)
    assert rules.check_reason(" it\x00 is known ") == "it is known"
    for wrong in ("", "x" * 1_001):
        with pytest.raises(ParameterInvalid, match="1 to 1000"):
            rules.check_reason(wrong)
    with pytest.raises(ParameterInvalid, match="as 2026-03-31"):
        rules.read_date("yesterday")


def test_breaks_that_nobody_explains_stand_in_the_way() -> None:
    first = opened(FINDING, identifier="brk_1", livemode=True, run="recon_1", now=NOW)
    second = replace(first, id="brk_2", owner="per_1", notes=1)
    assert rules.blockers_of([first, second]) == [first]
    digest = rules.blockers_digest([first, second])
    assert digest == rules.blockers_digest([second, first])
    assert digest != rules.blockers_digest([first, replace(second, units=6)])
    assert rules.break_document(second)["explained"] is True


def one(account: str, opening: int, debits: int, credits: int, closing: int) -> Sum:
    return Sum(
        account=account,
        unit="usdc",
        entries=1,
        opening=opening,
        debits=debits,
        credits=credits,
        closing=closing,
    )


def test_sums_lead_from_one_balance_to_the_next_and_balance() -> None:
    units = rules.check_sums([one("a", 5, 2, 0, 3), one("b", 0, 0, 2, 2)])
    assert units == {"usdc": {"accounts": 2, "debits": 2, "credits": 2}}
    assert rules.unit_document("usdc", units["usdc"])["debits"] == "2"
    assert rules.sum_document(one("a", 5, 2, 0, 3))["closing"] == "3"
    with pytest.raises(SumsBroken, match="a leads from 5 to 3, and the ledger says 4"):
        rules.check_sums([one("a", 5, 2, 0, 4)])
    with pytest.raises(SumsBroken, match="debited 2 and credited 0"):
        rules.check_sums([one("a", 5, 2, 0, 3)])


def test_what_is_told() -> None:
    report = rules.report_bytes({"b": "1", "a": []})
    assert report == b'{"a":[],"b":"1"}'
    assert rules.words_of(report).startswith(b"sakk day v1\n")
    day = Day(
        id="day_1",
        livemode=True,
        number=1,
        date="2026-03-02",
        timezone="UTC",
        cutoff="00:00",
        from_ns=0,
        to_ns=5,
        ends_at=NOW,
        report=report.decode(),
        sha256="00",
        previous=None,
        signature=b"\x01",
        authority=b"\x02",
        closed_by="per_1",
        created=NOW,
    )
    assert rules.public(day)["signature"] == "01"
    assert rules.file_document(day)["report"] == '{"a":[],"b":"1"}'
    word = Acceptance(
        id="daya_1",
        livemode=True,
        date="2026-03-02",
        person="per_1",
        name="Ann",
        digest="00",
        reason="known",
        created=NOW,
    )
    assert rules.acceptance_document(word)["at"] == int(NOW.timestamp())
