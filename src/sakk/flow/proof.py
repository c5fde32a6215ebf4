"""Proofs: how a person shows who they are, or that they are still there.

Whoever is not let in is told the same, after the same work: whether there is such a person, whether
they have a password, and which of what was sent was wrong, is nobody's business.
"""

from dataclasses import dataclass, replace

from sakk.core.errors import (
    AuthenticationFailed,
    PermissionDenied,
    RateLimited,
    StepUpFailed,
    StepUpRequired,
)
from sakk.core.passkey import Purpose
from sakk.core.person import CODE_DIGITS, Actor, Person, PersonState
from sakk.core.sign_in import SignInMethod, counted, is_locked, tries_name
from sakk.core.site import Site
from sakk.flow import passkey as passkeys
from sakk.flow import password as passwords
from sakk.flow import sign_in as sign_ins
from sakk.flow.context import Parts
from sakk.flow.sign_in import Begun, Device, SignedIn
from sakk.flow.step_up import StepUp, check, count_try
from sakk.store import passkey as passkey_store
from sakk.store import person as persons
from sakk.store import sign_in as store
from sakk.store.actor import acting


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is typed where one signs in. ``code``: one-time, or one of the recovery codes."""

    email: str
    password: str
    code: str
    livemode: bool


def by_password(parts: Parts, given: Credentials, device: Device, *, replaces: str | None) -> Begun:
    """Sign in by password and code; AuthenticationFailed, RateLimited."""
    name = tries_name(given.email, device.address, livemode=given.livemode)
    _count(parts, name)
    with parts.database.read() as connection:
        person = persons.by_email(connection, given.email, livemode=given.livemode)
    is_right = passwords.holds(None if person is None else person.password_hash, given.password)
    if person is None or not is_right or person.state != PersonState.active:
        raise _not_let_in()
    try:
        return _with_code(parts, person, given, device, name=name, replaces=replaces)
    except (StepUpFailed, StepUpRequired, RateLimited, PermissionDenied):
        raise _not_let_in() from None


def by_passkey(
    parts: Parts, site: Site, answer: str, device: Device, *, replaces: str | None
) -> Begun:
    """Sign in by what a passkey answered; StepUpFailed."""
    now = parts.clock()
    with parts.database.begin() as connection:
        passkey = passkeys.authenticate(
            parts,
            connection,
            site,
            answer,
            purpose=Purpose.sign_in,
            owner=passkeys.ANYBODY,
            now=now,
        )
    with acting(f"{passkey.person}/{passkey.id}", ""), parts.database.begin() as connection:
        person = persons.find(connection, passkey.person, livemode=passkey.livemode, lock=True)
        assert person is not None
        # All that they sign in by may have ended since it answered.
        if passkey.id not in {each.id for each in passkey_store.of_person(connection, person.id)}:
            raise passkeys.unknown()
        return sign_ins.begin(
            connection, person, SignInMethod.passkey, device, now=now, replaces=replaces
        )


def step_up(
    parts: Parts,
    signed_in: SignedIn,
    *,
    site: Site | None,
    code: str | None,
    passkey: str | None,
) -> tuple[SignedIn, str]:
    """The sign-in of who proved to be there, and its new token; StepUpFailed, RateLimited.

    What proved it is used up, and the token that was there before is worth nothing.
    """
    sign_in, person = signed_in.sign_in, signed_in.person
    given = StepUp(code=code)
    if passkey is None:
        count_try(parts, Actor(sign_in.id, person.id), given, livemode=person.livemode)
    now = parts.clock()
    method = SignInMethod.code if passkey is None else SignInMethod.passkey
    with parts.database.begin() as connection:
        locked = persons.find(connection, person.id, livemode=person.livemode, lock=True)
        assert locked is not None
        if passkey is None:
            check(parts, connection, locked, given, message=None, now=now)
        else:
            if site is None:
                raise StepUpFailed("Passkeys can not be used at this address.")
            found = passkeys.authenticate(
                parts,
                connection,
                site,
                passkey,
                purpose=Purpose.step_up,
                owner=sign_in.id,
                now=now,
            )
            if found.person != person.id:
                raise StepUpFailed("This passkey is not yours.")
        proved = {"stepped_up_at": now, "step_up_method": method.value}
        store.change(connection, sign_in.id, proved)
        token = sign_ins.rotate(connection, sign_in)
    stepped_up = replace(sign_in, stepped_up_at=now, step_up_method=method.value)
    return replace(signed_in, sign_in=stepped_up), token


def _with_code(
    parts: Parts,
    person: Person,
    given: Credentials,
    device: Device,
    *,
    name: str,
    replaces: str | None,
) -> Begun:
    """Who has the password is asked for the code as well."""
    is_code = len(given.code) == CODE_DIGITS and given.code.isdigit()
    step = StepUp(code=given.code)
    if is_code:
        # Counted by the person alone: only who has the password comes here.
        count_try(parts, Actor("", person.id), step, livemode=person.livemode)
    now = parts.clock()
    with acting(person.id, ""), parts.database.begin() as connection:
        locked = persons.find(connection, person.id, livemode=person.livemode, lock=True)
        assert locked is not None
        # Another password may be in its place since it was looked at.
        if locked.password_hash != person.password_hash and not passwords.holds(
            locked.password_hash, given.password
        ):
            raise StepUpFailed("This is no code.")
        if is_code:
            check(parts, connection, locked, step, message=None, now=now)
            method = SignInMethod.password
        elif passwords.use_recovery_code(parts, connection, person.id, given.code, now=now):
            method = SignInMethod.recovery_code
        else:
            raise StepUpFailed("This is no code.")
        store.clear_tries(connection, name)
        if locked.password_hash is not None and passwords.is_outdated(locked.password_hash):
            fresh = passwords.hash_password(given.password)
            persons.change(connection, person.id, {"password_hash": fresh})
        return sign_ins.begin(connection, locked, method, device, now=now, replaces=replaces)


def _count(parts: Parts, name: str) -> None:
    """Count a try before it is looked at, so that a thousand at once are a thousand."""
    now = parts.clock()
    with parts.database.begin() as connection:
        tries = store.tries(connection, name)
        if is_locked(tries, now):
            assert tries is not None
            assert tries.locked_until is not None
            raise RateLimited(
                "Too many wrong tries from here. Wait a few minutes.",
                retry_after_seconds=1 + int((tries.locked_until - now).total_seconds()),
            )
        store.put_tries(connection, counted(tries, name, now))


def _not_let_in() -> AuthenticationFailed:
    return AuthenticationFailed(
        "That was not right. Check the e-mail address, the password and the code; after several"
        " wrong ones wait a few minutes."
    )
