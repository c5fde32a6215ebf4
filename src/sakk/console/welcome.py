"""Coming in by an invitation: one chooses what one signs in by, and keeps ten recovery codes."""

import base64
import os
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from sakk.console.entrance import Arrival, Entrance, SignedInNow
from sakk.console.route import ROOT
from sakk.console.visit import Data, Page
from sakk.core.errors import AuthenticationFailed, SakkError
from sakk.core.passkey import NAME_LENGTH_MAX, Purpose
from sakk.core.person import SECRET_BYTES, totp_uri
from sakk.core.sign_in import PASSWORD_LENGTH_MAX, device
from sakk.flow import invitation as flow
from sakk.flow import passkey as passkeys
from sakk.flow.invitation import Welcomed
from sakk.pages.form import Faulty, Form, validate

PATH: Final = f"{ROOT}/welcome/{{token}}"
Secret = Annotated[str, StringConstraints(pattern=r"^[A-Z2-7]{32}$")]
Word = Annotated[str, Field(max_length=20)]


class WelcomePasskeyForm(Form):
    """What the browser made; ``code``: of the other admin, where one is needed."""

    passkey: str
    code: Word | None = None


class WelcomePasswordForm(Form):
    """A password, and the first code by the secret that the page showed."""

    password: Annotated[str, Field(max_length=PASSWORD_LENGTH_MAX)]
    secret: Secret
    first_code: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
    code: Word | None = None


def show(arrival: Arrival, token: str) -> Page:
    """Who is invited, and how they may come in."""
    return _page(arrival, token)


def options(arrival: Arrival, token: str) -> Data:
    """What the browser makes a passkey by."""
    site = arrival.settings.site
    if site is None:
        return Data({}, status=404)
    invitation, person = flow.look(arrival.parts, token)
    asked = passkeys.registration_options(
        arrival.parts, site, person, purpose=Purpose.welcome, owner=invitation.id
    )
    return Data(asked)


def with_passkey(arrival: Arrival, token: str) -> Page | SignedInNow:
    """Come in with a passkey."""
    site = arrival.settings.site
    try:
        form = validate(WelcomePasskeyForm, arrival.form, arrival.words)
        if site is None:
            raise AuthenticationFailed("Passkeys can not be used at this address.")
        welcomed = flow.accept_passkey(
            arrival.parts,
            token,
            site,
            form.passkey,
            arrival.device,
            name=device(arrival.device.user_agent or "")[:NAME_LENGTH_MAX],
            code=form.code,
        )
    except Faulty as error:
        return _page(arrival, token, faults=error.faults, status=422)
    except AuthenticationFailed:
        raise
    except SakkError as error:
        return _page(arrival, token, faults=_told(arrival, error, "passkey"), status=400)
    return _welcomed(welcomed)


def with_password(arrival: Arrival, token: str) -> Page | SignedInNow:
    """Come in with a password and one-time codes."""
    secret = arrival.form.get("secret")
    kept = secret if isinstance(secret, str) else None
    try:
        form = validate(WelcomePasswordForm, arrival.form, arrival.words)
        welcomed = flow.accept_password(
            arrival.parts,
            token,
            arrival.device,
            password=form.password,
            secret=form.secret,
            first_code=form.first_code,
            code=form.code,
        )
    except Faulty as error:
        return _page(arrival, token, faults=error.faults, secret=kept, status=422)
    except AuthenticationFailed:
        raise
    except SakkError as error:
        faults = _told(arrival, error, "password")
        return _page(arrival, token, faults=faults, secret=kept, status=400)
    return _welcomed(welcomed)


def _told(arrival: Arrival, error: SakkError, otherwise: str) -> dict[str, str]:
    """What was wrong, at the field that it is about."""
    return {error.param or otherwise: arrival.words.error(error)}


def _welcomed(welcomed: Welcomed) -> SignedInNow:
    page = Page("console/recovery_codes.html", {"codes": welcomed.recovery_codes})
    return SignedInNow(welcomed.begun, ROOT, page=page)


def _page(
    arrival: Arrival,
    token: str,
    *,
    faults: dict[str, str] | None = None,
    secret: str | None = None,
    status: int = 200,
) -> Page:
    invitation, person = flow.look(arrival.parts, token)
    if secret is None or len(secret) != SECRET_BYTES * 8 // 5:
        secret = base64.b32encode(os.urandom(SECRET_BYTES)).decode()
    values = {
        "person": person,
        "needs_code": invitation.needs_code,
        "has_site": arrival.settings.site is not None,
        "action": PATH.format(token=token),
        "secret": secret,
        "uri": totp_uri(secret, person.email),
        "faults": faults or {},
    }
    return Page("console/welcome.html", values, status=status)


ENTRANCES = (
    Entrance("GET", PATH, show),
    Entrance("POST", f"{PATH}/options", options),
    Entrance("POST", f"{PATH}/passkey", with_passkey),
    Entrance("POST", f"{PATH}/password", with_password),
)
