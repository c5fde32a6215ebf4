"""Volume: quarters of an hour, and the days that they fall on."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from sakk.core.volume import (
    Day,
    Volume,
    beginning,
    by_day,
    last_days,
    quarter_of,
    recount_from,
)

NOON = datetime(2026, 3, 1, 12, 7, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "quarter"),
    [
        (NOON, datetime(2026, 3, 1, 12, 0, tzinfo=UTC)),
        (NOON.replace(minute=59), datetime(2026, 3, 1, 12, 45, tzinfo=UTC)),
        (
            datetime(2026, 3, 1, 12, 20, tzinfo=timezone(timedelta(hours=5, minutes=45))),
            datetime(2026, 3, 1, 6, 30, tzinfo=UTC),
        ),
    ],
)
def test_a_moment_lies_in_a_quarter(moment: datetime, quarter: datetime) -> None:
    assert quarter_of(moment) == quarter


def test_what_may_have_been_open_is_counted_again() -> None:
    assert recount_from(NOON) == datetime(2026, 3, 1, 11, 45, tzinfo=UTC)


def test_days_are_those_of_the_persons_zone() -> None:
    kathmandu = ZoneInfo("Asia/Kathmandu")
    late = datetime(2026, 3, 1, 18, 15, tzinfo=UTC)  # midnight there
    days = last_days(late, 2, kathmandu)
    assert days == [date(2026, 3, 1), date(2026, 3, 2)]
    assert beginning(days[1], kathmandu) == late
    volumes = [
        Volume("acct_1", False, "usdc", late - timedelta(minutes=15), 1, 5),
        Volume("acct_1", False, "usdc", late, 2, 7),
        Volume("acct_1", False, "usdc", late + timedelta(minutes=15), 3, 11),
        Volume("acct_1", False, "usdc", late - timedelta(days=9), 1, 1_000),
        Volume("acct_1", False, "eurc", late, 1, 1),
    ]
    assert by_day(volumes, days, kathmandu) == {
        "eurc": [Day(days[0], 0, 0), Day(days[1], 1, 1)],
        "usdc": [Day(days[0], 1, 5), Day(days[1], 5, 18)],
    }
