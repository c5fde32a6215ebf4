"""One's own account: where one is signed in, and how."""

from typing import Final

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Visit
from sakk.core.role import OWN
from sakk.flow import sign_in as flow
from sakk.pages.language import mark
from sakk.store import sign_in as store

PATH: Final = f"{ROOT}/security"


def show(visit: Visit) -> Page:
    """Where they are signed in."""
    with visit.database.read() as connection:
        devices = store.live_of(connection, visit.person.id, now=visit.now)
    return Page("console/security.html", {"devices": devices})


def sign_out_device(visit: Visit, sign_in: str) -> Redirect:
    """Sign out on one device."""
    flow.end(visit.parts, visit.person.id, sign_in)
    return Redirect(PATH, visit.words.gettext("Signed out there."))


def sign_out_elsewhere(visit: Visit) -> Redirect:
    """Sign out everywhere but here."""
    ended = flow.end_all(visit.parts, visit.person.id, but=visit.signed_in.sign_in.id)
    told = visit.words.ngettext(
        "Signed out on {number} device.", "Signed out on {number} devices.", ended
    )
    return Redirect(PATH, told)


def sign_out(visit: Visit) -> Redirect:
    """Sign out here."""
    flow.end(visit.parts, visit.person.id, visit.signed_in.sign_in.id)
    return Redirect(f"{ROOT}/sign-in")


SCREENS = (
    Screen("GET", PATH, show, OWN, menu=Menu(mark("Organisation"), mark("Your account"))),
    Screen("POST", f"{PATH}/sign-out", sign_out, OWN),
    Screen("POST", f"{PATH}/sign-out/elsewhere", sign_out_elsewhere, OWN),
    Screen("POST", f"{PATH}/devices/{{sign_in}}/sign-out", sign_out_device, OWN),
)
