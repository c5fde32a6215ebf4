"""One's own account: what one signs in by, where one is signed in, and how pages look."""

from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Data, Page, Redirect, Rejected, Visit
from sakk.core.errors import UnexpectedState
from sakk.core.passkey import NAME_LENGTH_MAX, Purpose
from sakk.core.role import OWN
from sakk.core.sign_in import PASSWORD_LENGTH_MAX
from sakk.core.site import Site
from sakk.flow import credential as credentials
from sakk.flow import passkey as passkeys
from sakk.flow import person as people
from sakk.flow import sign_in as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import passkey as passkey_store
from sakk.store import sign_in as store

PATH: Final = f"{ROOT}/security"


class PasskeyForm(Form):
    """What the browser made, and what the person calls it."""

    passkey: str
    name: Annotated[str, Field(max_length=NAME_LENGTH_MAX)] | None = None


class PasswordForm(Form):
    """Another password."""

    password: Annotated[str, Field(max_length=PASSWORD_LENGTH_MAX)]


class CodeForm(Form):
    """The first code of new one-time codes."""

    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]


def show(visit: Visit) -> Page:
    """All that is theirs."""
    return _page(visit)


def again(visit: Visit, rejected: Rejected, **_: Any) -> Page:
    """The page with what was wrong."""
    return _page(visit, faults=dict(rejected.faults), message=rejected.message)


def make_passkey(visit: Visit) -> Page:
    """The page on which a passkey is made: who comes here proved a moment ago that it is them."""
    _site(visit)
    return Page("console/make_passkey.html")


def passkey_options(visit: Visit) -> Data:
    """What the browser makes a passkey by."""
    asked = passkeys.registration_options(
        visit.parts,
        _site(visit),
        visit.person,
        purpose=Purpose.register,
        owner=visit.signed_in.sign_in.id,
    )
    return Data(asked)


def add_passkey(visit: Visit, form: PasskeyForm) -> Redirect:
    """Keep a new passkey."""
    name = form.name or visit.signed_in.sign_in.device
    credentials.add_passkey(visit.parts, visit.signed_in, _site(visit), form.passkey, name=name)
    return Redirect(PATH, visit.words.gettext("The passkey is kept."))


def remove_passkey(visit: Visit, passkey: str) -> Redirect:
    """End a passkey."""
    credentials.remove_passkey(visit.parts, visit.signed_in, passkey)
    return Redirect(PATH, visit.words.gettext("The passkey is removed."))


def set_password(visit: Visit, form: PasswordForm) -> Redirect:
    """Another password."""
    credentials.set_password(visit.parts, visit.signed_in, form.password)
    return Redirect(
        PATH, visit.words.gettext("The password is changed, and you are signed out elsewhere.")
    )


def new_codes(visit: Visit) -> Page:
    """Begin new one-time codes: the key is shown this once."""
    made = people.enrol(
        visit.parts,
        visit.person.id,
        actor=visit.actor,
        livemode=visit.livemode,
        step_up=visit.step_up,
    )
    return Page("console/one_time_codes.html", {"secret": made.secret, "uri": made.uri})


def confirm_codes(visit: Visit, form: CodeForm) -> Redirect:
    """Put them in force by their first code."""
    people.confirm(
        visit.parts,
        visit.person.id,
        actor=visit.actor,
        livemode=visit.livemode,
        code=form.code,
    )
    return Redirect(PATH, visit.words.gettext("The new codes are in force."))


def new_recovery_codes(visit: Visit) -> Page:
    """Ten fresh recovery codes, shown this once."""
    codes = credentials.renew_recovery_codes(visit.parts, visit.signed_in)
    return Page("console/recovery_codes.html", {"codes": codes})


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


def _page(
    visit: Visit, *, faults: dict[str, str] | None = None, message: str | None = None
) -> Page:
    person = visit.person
    with visit.database.read() as connection:
        values = {
            "devices": store.live_of(connection, person.id, now=visit.now),
            "passkeys": passkey_store.of_person(connection, person.id),
            "recovery_codes": passkey_store.count_recovery_codes(connection, person.id),
            "has_site": visit.settings.site is not None,
            "faults": faults or {},
            "message": message,
        }
    return Page("console/security.html", values)


def _site(visit: Visit) -> Site:
    site = visit.settings.site
    if site is None:
        raise UnexpectedState("Passkeys can not be used at this address.")
    return site


SCREENS = (
    Screen("GET", PATH, show, OWN, menu=Menu(mark("Organisation"), mark("Your account"))),
    Screen("POST", f"{PATH}/passkeys/new", make_passkey, OWN, step_up=True),
    Screen("POST", f"{PATH}/passkeys/options", passkey_options, OWN, step_up=True),
    Screen("POST", f"{PATH}/passkeys", add_passkey, OWN, step_up=True, again=again),
    Screen(
        "POST",
        f"{PATH}/passkeys/{{passkey}}/remove",
        remove_passkey,
        OWN,
        step_up=True,
        again=again,
    ),
    Screen("POST", f"{PATH}/password", set_password, OWN, step_up=True, again=again),
    Screen("POST", f"{PATH}/codes/new", new_codes, OWN, step_up=True),
    Screen("POST", f"{PATH}/codes", confirm_codes, OWN, again=again),
    Screen("POST", f"{PATH}/recovery-codes", new_recovery_codes, OWN, step_up=True),
    Screen("POST", f"{PATH}/sign-out", sign_out, OWN),
    Screen("POST", f"{PATH}/sign-out/elsewhere", sign_out_elsewhere, OWN),
    Screen("POST", f"{PATH}/devices/{{sign_in}}/sign-out", sign_out_device, OWN),
)
