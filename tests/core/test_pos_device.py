"""A till is paired once, within a day, and its takings are told by the day."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from sakk.core import pos_device as rules
from sakk.core.pos_device import PAIRING_TIME, PosDevice, Takings, each_day

NOW = datetime(2026, 5, 4, tzinfo=UTC)
DEVICE = PosDevice(
    id="pos_1",
    account_id="acct_1",
    livemode=False,
    name="Stall",
    active=True,
    currency="usd",
    decimals=2,
    networks=None,
    currencies=["usdc"],
    pairing_hash="00",
    pairing_until=NOW + PAIRING_TIME,
    token_hash=None,
    paired_at=None,
    metadata={},
    created=NOW,
)


@pytest.mark.parametrize(
    ("device", "at", "may"),
    [
        (DEVICE, NOW, True),
        (DEVICE, NOW + PAIRING_TIME, False),
        (replace(DEVICE, active=False), NOW, False),
        (replace(DEVICE, pairing_until=None), NOW, False),
    ],
)
def test_a_pairing_link_is_good_for_a_day(device: PosDevice, at: datetime, may: bool) -> None:
    assert rules.may_pair(device, at) is may


def test_what_is_shown() -> None:
    shown = rules.public(replace(DEVICE, paired_at=NOW + timedelta(hours=1)))
    assert shown["paired_at"] == int(NOW.timestamp()) + 3_600
    assert (shown["pairing_url"], rules.public(DEVICE)["paired_at"]) == (None, None)
    assert "token_hash" not in shown
    assert rules.pairing_path("x") == "/pos/pair/x"


def test_takings_of_each_day_stand_with_the_last_one_first() -> None:
    days = [date(2026, 5, 3), date(2026, 5, 4), date(2026, 5, 5)]
    found = [Takings(days[1], 3, 2, 17_000_000, 2_500_000), Takings(date(2026, 5, 1), 1, 1, 1, 0)]
    assert each_day(found, days) == [
        Takings(days[2], 0, 0, 0, 0),
        found[0],
        Takings(days[0], 0, 0, 0, 0),
    ]
    assert found[0].kept == 14_500_000
    assert rules.together(found, days[1]) == Takings(days[1], 4, 3, 17_000_001, 2_500_000)
    assert rules.together([], days[1]) == Takings(days[1], 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("seconds", "timely"), [(0, True), (-3_600, True), (-3_601, False), (60, True), (61, False)]
)
def test_a_sale_is_of_the_time_at_which_it_is_asked(seconds: int, timely: bool) -> None:
    seed = int(NOW.timestamp() + seconds) * 1_000 << 80
    assert rules.is_timely(seed, NOW) is timely
    assert not rules.is_timely((1 << 128) - 1, NOW)
