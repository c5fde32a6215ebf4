"""Times as people read them: the year first, in Latin digits, with the zone said."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from markupsafe import Markup


def moment(at: datetime | None, zone: str = "UTC", *, seconds: bool = False) -> Markup:
    """A ``<time>`` element: ``2026-05-04 13:07 UTC``, its zone never apart; a dash for none."""
    if at is None:
        return Markup("<span>\u2013</span>")
    local = at.astimezone(zone_of(zone))
    text = local.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
    machine = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = "UTC" if local.utcoffset() == timedelta() else f"UTC{local.isoformat()[-6:]}"
    # A line may end between the day and the time, and nowhere else.
    return Markup('<time datetime="{}"><bdi dir="ltr">{}\u00a0{}</bdi></time>').format(
        machine, text, name
    )


def known_zone(name: str | None) -> ZoneInfo:
    """A time zone as a browser names its own; UTC for what is no such name."""
    return ZoneInfo(name if name is not None and name in _names() else "UTC")


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name; UTC for one that is not known."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
