"""Calendars: which days are business days, of a country or of a payment system.

The days are those of the package ``holidays`` (https://pypi.org/project/holidays/): public holidays
by ISO 3166 country, and ``ECB`` for the days on which the Eurosystem's T2 is closed.
"""

from collections.abc import Callable
from datetime import date
from functools import lru_cache

from sakk.core.errors import ParameterInvalid

ECB = "ECB"


def business_days(calendar: str | None) -> Callable[[date], bool]:
    """Says of a day whether it is a business day; every day is one without a calendar.

    ParameterInvalid for a calendar that there is not.
    """
    return _every_day if calendar is None else _business_days(calendar)


def _every_day(_: date) -> bool:
    return True


@lru_cache(maxsize=64)
def _business_days(calendar: str) -> Callable[[date], bool]:
    # Imported where a calendar is asked for: it takes longer than all of core.
    import holidays

    try:
        if calendar == ECB:
            return holidays.financial_holidays(ECB).is_working_day
        return holidays.country_holidays(calendar).is_working_day
    except NotImplementedError:
        raise ParameterInvalid(
            "There is no calendar {calendar}. Name a country by ISO 3166, as DE, or ECB.",
            param="calendar",
            calendar=repr(calendar),
        ) from None
