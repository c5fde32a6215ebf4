"""Tills: a phone at a counter that may ask to be paid, and nothing else.

A till is paired once, by a link that is good for one use; afterwards the phone holds a token of its
own in a cookie. Of both only the hashes are kept. Whoever takes the phone can ask people to pay the
merchant, and see what was asked and taken at this till.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

PREFIX: Final = "pos"
PAIRING_TIME: Final = timedelta(hours=24)
SALES_SHOWN_MAX: Final = 20
TAKINGS_DAYS: Final = 14
# A sale's id has the time of the form that asked for it, which is at most so much older.
FORM_AGE_MAX: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PosDevice:
    """One till. It prices in ``currency``; ``networks`` and ``currencies`` None: all that pay."""

    id: str
    account_id: str
    livemode: bool
    name: str
    active: bool
    currency: str
    decimals: int
    networks: list[str] | None
    currencies: list[str] | None
    pairing_hash: str | None
    pairing_until: datetime | None
    token_hash: str | None
    paired_at: datetime | None
    metadata: dict[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class Takings:
    """What was asked on one day at a till, and what came of it, in the till's smallest unit.

    ``asked``: how many sales; ``paid``: of these, how many were paid in full. ``taken``: all that
    was paid on them, parts too, since then; ``given_back``: what refunds take of it.
    """

    day: date
    asked: int
    paid: int
    taken: int
    given_back: int

    @property
    def kept(self) -> int:
        """What is left of it, in the till's smallest unit."""
        return self.taken - self.given_back


def each_day(found: Iterable[Takings], days: Sequence[date]) -> list[Takings]:
    """The takings of every one of the days, the last one first, also where nobody was asked."""
    of_day = {each.day: each for each in found}
    return [of_day.get(day, Takings(day, 0, 0, 0, 0)) for day in reversed(days)]


def together(found: Iterable[Takings], day: date) -> Takings:
    """Takings as those of one day."""
    rows = list(found)
    return Takings(
        day,
        sum(each.asked for each in rows),
        sum(each.paid for each in rows),
        sum(each.taken for each in rows),
        sum(each.given_back for each in rows),
    )


def is_timely(seed: int, now: datetime) -> bool:
    """Was the form of this seed (a UUIDv7) made a while ago, and not long ago or later?

    Who holds the phone writes the form: a sale that says it was another day's would be in nobody's
    takings.
    """
    age_ms = int(now.timestamp() * 1_000) - (seed >> 80)
    return -60_000 <= age_ms <= FORM_AGE_MAX // timedelta(milliseconds=1)


def pairing_path(token: str) -> str:
    """Where a phone becomes this till, below the server's public address."""
    return f"/pos/pair/{token}"


def may_pair(device: PosDevice, now: datetime) -> bool:
    """Is its pairing link still good?"""
    return device.active and device.pairing_until is not None and now < device.pairing_until


def public(device: PosDevice, *, pairing_url: str | None = None) -> dict[str, Any]:
    """The API's object ``pos_device``; the link is told once."""
    return {
        "id": device.id,
        "object": "pos_device",
        "active": device.active,
        "created": int(device.created.timestamp()),
        "currency": device.currency,
        "livemode": device.livemode,
        "metadata": device.metadata,
        "name": device.name,
        "paired_at": None if device.paired_at is None else int(device.paired_at.timestamp()),
        "pairing_url": pairing_url,
        "payment_method_options": {
            "crypto": {"networks": device.networks, "currencies": device.currencies}
        },
    }
