"""Volume: quarters of an hour, and the days that they fall on."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sakk.core.volume import Day, Volume, beginning, by_day, last_days


def test_days_are_those_of_the_persons_zone() -> None:
    kathmandu = ZoneInfo("Asia/Kathmandu")
    late = datetime(2026, 3, 1, 18, 15, tzinfo=UTC)  # midnight there
    days = last_days(late, 2, kathmandu)
    assert days == [date(2026, 3, 1), date(2026, 3, 2)]
    assert beginning(days[1], kathmandu) == late
    volumes = [
        Volume("acct_1", False, late - timedelta(minutes=15), "usdc", 1, 5),
        Volume("acct_1", False, late, "usdc", 2, 7),
        Volume("acct_1", False, late + timedelta(minutes=15), "usdc", 3, 11),
        Volume("acct_1", False, late - timedelta(days=9), "usdc", 1, 1_000),
        Volume("acct_1", False, late, "eurc", 1, 1),
    ]
    assert by_day(volumes, days, kathmandu) == {
        "eurc": [Day(days[0], 0, 0), Day(days[1], 1, 1)],
        "usdc": [Day(days[0], 1, 5), Day(days[1], 5, 18)],
    }
