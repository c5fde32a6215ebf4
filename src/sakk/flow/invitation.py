"""Invitations: links that are shown once, by which people come in."""

import base64
import hmac
import os
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core.errors import (
    AuthenticationFailed,
    ParameterInvalid,
    PermissionDenied,
    SamePerson,
    UnexpectedState,
)
from sakk.core.invitation import (
    CODE_BYTES,
    FAILURES_MAX,
    GOOD_FOR,
    PREFIX,
    Invitation,
    InvitationKind,
    is_open,
)
from sakk.core.passkey import Purpose
from sakk.core.person import Actor, Person, PersonState, totp_step
from sakk.core.sign_in import SignInMethod, check_password, token_hash
from sakk.core.site import Site
from sakk.flow import passkey as passkeys
from sakk.flow import password as passwords
from sakk.flow import sign_in as sign_ins
from sakk.flow.context import Parts
from sakk.flow.person import admin_of, locked_person
from sakk.flow.sign_in import Begun, Device, new_token
from sakk.store import invitation as store
from sakk.store import passkey as passkey_store
from sakk.store import person as persons
from sakk.store.actor import acting
from sakk.store.identity import new_id

MACHINE: Final = "machine"


@dataclass(frozen=True, slots=True)
class Welcomed:
    """Somebody came in: their sign-in, and the recovery codes that are shown this once."""

    begun: Begun
    recovery_codes: list[str]


def make(
    connection: Connection,
    *,
    person: str,
    livemode: bool,
    kind: InvitationKind,
    by: str,
    now: datetime,
    needs_code: bool = False,
) -> str:
    """The token of a new link of a person's, which ends those before."""
    store.revoke_of(connection, person, now=now)
    token = new_token()
    made = Invitation(
        id=new_id(PREFIX),
        livemode=livemode,
        person=person,
        kind=kind.value,
        token_hash=token_hash(token),
        created_by=by,
        created=now,
        expires_at=now + GOOD_FOR,
        needs_code=needs_code,
    )
    store.insert(connection, made)
    return token


def invite_from_machine(parts: Parts, person: str, *, livemode: bool) -> str:
    """The token of a link for one of the first two admins, made by who has the machine.

    PermissionDenied for everybody else, and for who signs in already: that takes two admins.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        found = locked_person(connection, person, livemode=livemode)
        is_first = found.proposed_by is None and found.state == PersonState.active
        if not is_first or passkey_store.of_person(connection, found.id) or found.password_hash:
            raise PermissionDenied(
                "This machine invites the first two admins alone, and each once: for others one"
                " admin proposes and another approves."
            )
        return make(
            connection,
            person=found.id,
            livemode=livemode,
            kind=InvitationKind.welcome,
            by=MACHINE,
            now=now,
        )


def give_code(parts: Parts, person: str, *, actor: Actor, livemode: bool) -> str:
    """A code that goes with a person's link, for an admin who did not make the link.

    SamePerson for who did; UnexpectedState where no link waits for one. The last one holds.
    """
    now = parts.clock()
    code = base64.b32encode(os.urandom(CODE_BYTES)).decode()
    with parts.database.begin() as connection:
        by = admin_of(connection, actor, livemode=livemode)
        locked_person(connection, person, livemode=livemode)
        found = store.open_of(connection, person, now=now)
        if found is None or not found.needs_code:
            raise UnexpectedState("No link of theirs waits for a code.")
        if by.id in (found.created_by, person):
            raise SamePerson("You made the link: another admin gives the code.")
        store.change(connection, found.id, {"code_digest": _digest(parts, found.id, code)})
    return code


def look(parts: Parts, token: str) -> tuple[Invitation, Person]:
    """Whom a link is for; AuthenticationFailed where it opens nothing, or nothing yet."""
    with parts.database.read() as connection:
        return _found(connection, token, now=parts.clock())


def signs_in(connection: Connection, person: Person) -> bool:
    """Do they sign in by something already?"""
    has_password = person.password_hash is not None and person.totp_confirmed
    return has_password or bool(passkey_store.of_person(connection, person.id))


def accept_passkey(
    parts: Parts,
    token: str,
    site: Site,
    answer: str,
    device: Device,
    *,
    name: str,
    code: str | None,
) -> Welcomed:
    """Come in with a passkey that the browser made; ``code``: of the other admin."""
    invitation, person = look(parts, token)
    _check_code(parts, invitation, code)
    now = parts.clock()
    with acting(f"{person.id}/{invitation.id}", ""), parts.database.begin() as connection:
        person = _take(connection, token, now=now)
        passkeys.register(
            parts,
            connection,
            site,
            person,
            answer,
            purpose=Purpose.welcome,
            owner=invitation.id,
            name=name,
            now=now,
        )
        return _welcomed(parts, connection, person, SignInMethod.passkey, device, now=now)


def accept_password(
    parts: Parts,
    token: str,
    device: Device,
    *,
    password: str,
    secret: str,
    first_code: str,
    code: str | None,
) -> Welcomed:
    """Come in with a password, and one-time codes by a secret that the page showed."""
    invitation, person = look(parts, token)
    _check_code(parts, invitation, code)
    check_password(password, f"{person.name} {person.email}")
    hashed = passwords.hash_password(password)
    now = parts.clock()
    with acting(f"{person.id}/{invitation.id}", ""), parts.database.begin() as connection:
        person = _take(connection, token, now=now)
        step = totp_step(secret, first_code, now=now, used=-1)
        if step is None:
            raise ParameterInvalid(
                "This code is wrong. Send the one that your device shows now.", param="first_code"
            )
        values: dict[str, Any] = {
            "password_hash": hashed,
            "totp_secret": parts.secrets_vault().seal(secret, person.id),
            "totp_confirmed": True,
            "totp_step": step,
        }
        persons.change(connection, person.id, values)
        person = replace(person, **values)
        return _welcomed(parts, connection, person, SignInMethod.password, device, now=now)


def _welcomed(
    parts: Parts,
    connection: Connection,
    person: Person,
    method: SignInMethod,
    device: Device,
    *,
    now: datetime,
) -> Welcomed:
    codes = passwords.new_recovery_codes(parts, connection, person.id, now=now)
    return Welcomed(sign_ins.begin(connection, person, method, device, now=now), codes)


def _take(connection: Connection, token: str, *, now: datetime) -> Person:
    """Use a link up, locked: of two who open it at once one comes in."""
    found = store.by_token(connection, token_hash(token), lock=True)
    if found is None or not is_open(found, now):
        raise _opens_nothing()
    invitation, person = _found(connection, token, now=now)
    store.change(connection, invitation.id, {"used_at": now})
    return person


def _found(connection: Connection, token: str, *, now: datetime) -> tuple[Invitation, Person]:
    invitation = store.by_token(connection, token_hash(token))
    if (
        invitation is None
        or invitation.kind != InvitationKind.welcome
        or not is_open(invitation, now)
    ):
        raise _opens_nothing()
    person = persons.find(connection, invitation.person, livemode=invitation.livemode)
    if person is None or person.state == PersonState.suspended:
        raise _opens_nothing()
    if person.state != PersonState.active or _waits_for_approval(person, invitation):
        raise AuthenticationFailed(
            "Another admin has to approve you first. Open this link again when they have."
        )
    return invitation, person


def _waits_for_approval(person: Person, invitation: Invitation) -> bool:
    """Was this link made with a change that nobody approved yet?"""
    return invitation.needs_code and person.proposal is not None


def _check_code(parts: Parts, invitation: Invitation, code: str | None) -> None:
    """Hold a code against the one that the other admin was given; a wrong one is counted first."""
    if not invitation.needs_code:
        return
    with parts.database.begin() as connection:
        found = store.find(connection, invitation.id, lock=True)
        assert found is not None
        values: dict[str, Any] = {"failures": found.failures + 1}
        if found.failures + 1 >= FAILURES_MAX:
            values["revoked_at"] = parts.clock()
        store.change(connection, found.id, values)
    given = _digest(parts, invitation.id, code or "")
    if found.code_digest is None or not hmac.compare_digest(bytes(found.code_digest), given):
        raise ParameterInvalid(
            "This is not the code that the other admin was given. Ask them for it.", param="code"
        )


def _digest(parts: Parts, invitation: str, code: str) -> bytes:
    key = parts.secrets_vault().derive(f"invitation\x1f{invitation}")
    return hmac.digest(key, code.strip().upper().encode(), "sha256")


def _opens_nothing() -> AuthenticationFailed:
    return AuthenticationFailed("This link was used before, or is too old. Ask for another.")
