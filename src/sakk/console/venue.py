"""Venues: where orders are placed, whether each takes them, and what waits for its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sakk.console.fee import percent
from sakk.console.order import PATH as ORDERS
from sakk.console.route import ROOT, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core.errors import ResourceMissing
from sakk.core.order import ChildOrder
from sakk.core.venue import VenueAccount
from sakk.flow import venue as flow
from sakk.pages.language import mark
from sakk.rails.sandbox.venue import SANDBOX
from sakk.store import order as orders
from sakk.store import venue as store

PATH: Final = f"{ROOT}/venues"
# So many of the newest parts of orders are looked at for how venues do.
LOOKED_AT_MAX: Final = 500
STATES: Final[Mapping[str, tuple[str, str]]] = {
    "well": (mark("Takes orders"), "good"),
    "waits": (mark("Answers are awaited"), "warn"),
    "off": (mark("Switched off"), "plain"),
    "simulated": (mark("Simulated"), "plain"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A venue: its account, if it is a real one, and how the newest parts of orders went there.
    ``fee_ppm``: of its list.

    ``waiting``: parts of which it is not known how they ended, ``why`` of the oldest of them.
    """

    name: str
    account: VenueAccount | None
    state: str
    fee_ppm: int | None
    placed: int
    filled: int
    waiting: int
    why: str | None
    since: datetime | None
    last: datetime | None


def index(visit: Visit) -> Page:
    """The venues, and how they do."""
    return _listed(visit, None)


def again(visit: Visit, rejected: Rejected, venue: str) -> Page:
    """The same with why something could not be done."""
    return _listed(visit, rejected)


def enable(visit: Visit, venue: str) -> Redirect:
    """Place orders there again."""
    return _set(visit, venue, enabled=True)


def disable(visit: Visit, venue: str) -> Redirect:
    """Place no more orders there; what became of those before is still asked."""
    return _set(visit, venue, enabled=False)


def _set(visit: Visit, venue: str, *, enabled: bool) -> Redirect:
    with visit.database.begin() as connection:
        found = {each.name: each for each in store.list_all(connection)}.get(venue)
        if found is None or found.livemode != visit.livemode:
            raise ResourceMissing("There is no such venue.")
        flow.set_enabled(connection, venue, enabled=enabled, now=visit.now)
    gettext = visit.words.gettext
    if enabled:
        return Redirect(PATH, gettext("Orders are placed there again."))
    return Redirect(PATH, gettext("No more orders are placed there."), tone="warn")


def _listed(visit: Visit, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        accounts = {
            each.name: each
            for each in store.list_all(connection)
            if each.livemode == visit.livemode
        }
        parts = orders.newest_children(connection, livemode=visit.livemode, limit=LOOKED_AT_MAX)
    simulated = {each.name: each for each in SANDBOX} if visit.settings.sandbox else {}
    names = sorted({*accounts, *simulated, *(each.venue for each in parts)})
    values: dict[str, Any] = {
        "rows": [
            _line(
                name,
                accounts.get(name),
                [each for each in parts if each.venue == name],
                fee_ppm=simulated[name].fee_ppm if name in simulated else None,
            )
            for name in names
        ],
        "states": STATES,
        "percent": percent,
        "orders": ORDERS,
        "may_write": visit.may("orders", "write"),
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/venues.html", values)


def _line(
    name: str, account: VenueAccount | None, parts: Sequence[ChildOrder], *, fee_ppm: int | None
) -> Line:
    """How a venue does, by its newest parts of orders, newest first. ``fee_ppm``: of a simulated
    one."""
    waiting = [each for each in parts if each.status == "intended"]
    held = [each for each in waiting if each.waits_for]
    if account is None:
        state = "simulated"
    elif not account.enabled:
        state = "off"
    else:
        state = "waits" if held else "well"
    return Line(
        name=name,
        account=account,
        state=state,
        fee_ppm=fee_ppm if account is None else account.fee_ppm,
        placed=len(parts),
        filled=sum(1 for each in parts if each.filled_units),
        waiting=len(waiting),
        why=held[-1].waits_for if held else None,
        since=waiting[-1].created if waiting else None,
        last=parts[0].created if parts else None,
    )


def _act(name: str, handler: Any) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{venue}}/{name}",
        handler,
        "orders",
        step_up=True,
        operator_only=True,
        again=again,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "orders", operator_only=True),
    _act("enable", enable),
    _act("disable", disable),
)
