"""Signing in: by a passkey, or by password and code."""

from typing import Annotated, Final, Literal

from pydantic import Field

from sakk.console.entrance import SIGN_IN, Arrival, Entrance, SignedInNow
from sakk.console.route import ROOT
from sakk.console.visit import Data, Page
from sakk.core.errors import AuthenticationFailed, RateLimited, SakkError, StepUpFailed
from sakk.core.passkey import Purpose
from sakk.core.sign_in import PASSWORD_LENGTH_MAX
from sakk.flow import passkey as passkeys
from sakk.flow import proof as flow
from sakk.flow.proof import Credentials
from sakk.pages.form import Faulty, Form, validate

OPTIONS: Final = f"{SIGN_IN}/options"
PASSKEY: Final = f"{SIGN_IN}/passkey"
CODE_LENGTH_MAX: Final = 40


class PasswordForm(Form):
    """What is typed. ``code``: one-time, or one of the recovery codes."""

    email: Annotated[str, Field(max_length=255)]
    password: Annotated[str, Field(max_length=PASSWORD_LENGTH_MAX)]
    code: Annotated[str, Field(max_length=CODE_LENGTH_MAX)]
    mode: Literal["live", "test"] = "live"
    next: str | None = None


class PasskeyForm(Form):
    """What a passkey answered."""

    passkey: str
    next: str | None = None


def show(arrival: Arrival) -> Page:
    """The page where one signs in."""
    asked = arrival.query.get("next")
    return _page(arrival, next_path=asked if isinstance(asked, str) else None)


def by_password(arrival: Arrival) -> Page | SignedInNow:
    """Sign in by password and code; whatever was wrong, the same page again."""
    try:
        form = validate(PasswordForm, arrival.form, arrival.words)
    except Faulty:
        return _page(arrival, fault=_wrong(arrival), status=401)
    given = Credentials(form.email, form.password, form.code, livemode=form.mode == "live")
    try:
        begun = flow.by_password(arrival.parts, given, arrival.device, replaces=arrival.token)
    except (AuthenticationFailed, RateLimited) as error:
        fault = _wrong(arrival)
        if isinstance(error, RateLimited):
            fault = arrival.words.gettext("Too many wrong tries from here. Wait a few minutes.")
        return _page(
            arrival,
            next_path=form.next,
            fault=fault,
            email=form.email,
            mode=form.mode,
            status=error.status,
        )
    return SignedInNow(begun, _path(form.next))


def options(arrival: Arrival) -> Data:
    """What the browser asks its passkeys by, whoever they are of."""
    site = arrival.settings.site
    if site is None:
        return Data({}, status=404)
    asked = passkeys.authentication_options(
        arrival.parts, site, purpose=Purpose.sign_in, owner=passkeys.ANYBODY
    )
    return Data(asked)


def by_passkey(arrival: Arrival) -> Page | SignedInNow:
    """Sign in by what a passkey answered."""
    site = arrival.settings.site
    try:
        form = validate(PasskeyForm, arrival.form, arrival.words)
        if site is None:
            raise StepUpFailed("")
        begun = flow.by_passkey(
            arrival.parts, site, form.passkey, arrival.device, replaces=arrival.token
        )
    except (Faulty, SakkError):
        fault = arrival.words.gettext("This passkey is not known here, or was removed.")
        return _page(arrival, fault=fault, status=401)
    return SignedInNow(begun, _path(form.next))


def _page(
    arrival: Arrival,
    *,
    next_path: str | None = None,
    fault: str | None = None,
    email: str = "",
    mode: str = "live",
    status: int = 200,
) -> Page:
    values = {
        "has_site": arrival.settings.site is not None,
        "next": "" if next_path is None else _path(next_path),
        "fault": fault,
        "email": email,
        "mode": "test" if arrival.settings.sandbox else mode,
    }
    return Page("console/sign_in.html", values, status=status)


def _wrong(arrival: Arrival) -> str:
    return arrival.words.gettext(
        "That was not right. Check the e-mail address, the password and the code; after several"
        " wrong ones wait a few minutes."
    )


def _path(asked: str | None) -> str:
    """Where one wanted to go, within the console."""
    return asked if asked is not None and asked.startswith((f"{ROOT}/", f"{ROOT}?")) else ROOT


ENTRANCES = (
    Entrance("GET", SIGN_IN, show),
    Entrance("POST", SIGN_IN, by_password),
    Entrance("POST", OPTIONS, options),
    Entrance("POST", PASSKEY, by_passkey),
)
