"""A sandbox's one-time link: whoever opens it on this machine is its owner."""

from typing import Final

from sakk.console.entrance import Arrival, Entrance, SignedInNow
from sakk.console.route import ROOT
from sakk.console.visit import Page
from sakk.core.errors import ResourceMissing
from sakk.flow import sign_in as flow

PATH: Final = f"{ROOT}/enter/{{token}}"


def show(arrival: Arrival, token: str) -> Page:
    """A page with one button: opening a link changes nothing, so no prefetch uses it up."""
    _check(arrival)
    return Page("console/enter.html", {"action": PATH.format(token=token)})


def enter(arrival: Arrival, token: str) -> SignedInNow:
    """Sign in."""
    _check(arrival)
    begun = flow.enter(arrival.parts, token, arrival.device, replaces=arrival.token)
    return SignedInNow(begun, ROOT)


def _check(arrival: Arrival) -> None:
    if not arrival.settings.sandbox:
        raise ResourceMissing("There is no such page.")


ENTRANCES = (Entrance("GET", PATH, show), Entrance("POST", PATH, enter))
