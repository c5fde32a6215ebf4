"""Volume: what pay-ins brought, by quarters of an hour, and folded into people's days.

All time zones of today are whole quarters of an hour from UTC, so that a day of any of them is a
sum of quarters.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo


@dataclass(frozen=True, slots=True)
class Volume:
    """What was credited in one quarter of an hour, less what the chain took back.

    ``amount`` in the currency's unit.
    """

    account_id: str
    livemode: bool
    quarter: datetime
    currency: str
    payins: int
    amount: int


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one currency."""

    day: date
    payins: int
    amount: int


def last_days(now: datetime, days: int, zone: tzinfo) -> list[date]:
    """The last days in a time zone, today last."""
    today = now.astimezone(zone).date()
    return [today - timedelta(days=back) for back in range(days - 1, -1, -1)]


def beginning(day: date, zone: tzinfo) -> datetime:
    """The instant at which a day begins in a time zone."""
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def by_day(volumes: Iterable[Volume], days: Sequence[date], zone: tzinfo) -> dict[str, list[Day]]:
    """Per currency, every one of the days, also those without a pay-in."""
    counted: dict[str, dict[date, tuple[int, int]]] = {}
    for each in volumes:
        of_currency = counted.setdefault(each.currency, dict.fromkeys(days, (0, 0)))
        day = each.quarter.astimezone(zone).date()
        if day in of_currency:
            payins, amount = of_currency[day]
            of_currency[day] = (payins + each.payins, amount + each.amount)
    return {
        currency: [Day(day, *of_currency[day]) for day in days]
        for currency, of_currency in sorted(counted.items())
    }
