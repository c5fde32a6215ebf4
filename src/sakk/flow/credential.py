"""What a person signs in by: passkeys, a password, recovery codes; theirs to change and nobody's.

The console asks for a fresh proof before any of it changes.
"""

from datetime import datetime

from sqlalchemy import Connection

from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.passkey import Passkey, Purpose
from sakk.core.person import Actor, Person
from sakk.core.sign_in import check_password
from sakk.core.site import Site
from sakk.flow import passkey as passkeys
from sakk.flow import password as passwords
from sakk.flow.context import Parts
from sakk.flow.sign_in import SignedIn
from sakk.flow.step_up import StepUp, acting_person, check
from sakk.store import passkey as store
from sakk.store import person as persons
from sakk.store import sign_in as sign_ins


def add_passkey(
    parts: Parts, signed_in: SignedIn, site: Site, answer: str, *, name: str
) -> Passkey:
    """Keep a new passkey of a person's; StepUpFailed for an answer that does not hold."""
    now = parts.clock()
    with parts.database.begin() as connection:
        person = _locked(parts, connection, signed_in, now=now)
        return passkeys.register(
            parts,
            connection,
            site,
            person,
            answer,
            purpose=Purpose.register,
            owner=signed_in.sign_in.id,
            name=name,
            now=now,
        )


def remove_passkey(parts: Parts, signed_in: SignedIn, identifier: str) -> None:
    """End a passkey; the last one only where a password is left to sign in by."""
    now = parts.clock()
    with parts.database.begin() as connection:
        person = _locked(parts, connection, signed_in, now=now)
        own = store.of_person(connection, person.id)
        if identifier not in {each.id for each in own}:
            raise ResourceMissing(
                "No such passkey: {identifier}", param="passkey", identifier=repr(identifier)
            )
        if len(own) == 1 and not _has_password(person):
            raise UnexpectedState("This is all that you sign in by: add another way first.")
        store.change(connection, identifier, {"removed_at": now})


def set_password(parts: Parts, signed_in: SignedIn, password: str) -> None:
    """Another password; signs out everywhere else, where somebody might sit who had the old one."""
    person = signed_in.person
    check_password(password, f"{person.name} {person.email}")
    hashed = passwords.hash_password(password)
    now = parts.clock()
    with parts.database.begin() as connection:
        locked = _locked(parts, connection, signed_in, now=now)
        if not locked.totp_confirmed:
            raise UnexpectedState("Set up one-time codes first: a password needs them besides.")
        persons.change(connection, locked.id, {"password_hash": hashed})
        sign_ins.end_of(connection, locked.id, now=now, but=signed_in.sign_in.id)


def renew_recovery_codes(parts: Parts, signed_in: SignedIn) -> list[str]:
    """Ten fresh recovery codes; those before are worth nothing."""
    now = parts.clock()
    with parts.database.begin() as connection:
        person = _locked(parts, connection, signed_in, now=now)
        return passwords.new_recovery_codes(parts, connection, person.id, now=now)


def end_credentials(connection: Connection, person: str, *, now: datetime) -> None:
    """End all that a person signs in by, and wherever they are signed in."""
    store.remove_of(connection, person, now=now)
    store.put_recovery_codes(connection, person, [])
    sign_ins.end_of(connection, person, now=now)
    persons.change(
        connection,
        person,
        {"password_hash": None, "totp_secret": None, "totp_confirmed": False},
    )


def _has_password(person: Person) -> bool:
    return person.password_hash is not None and person.totp_confirmed


def _locked(parts: Parts, connection: Connection, signed_in: SignedIn, *, now: datetime) -> Person:
    """The person, locked; StepUpRequired where their sign-in has ended since it was found.

    Whoever ends all that a person signs in by holds the same lock: nothing is added after that.
    """
    by = Actor(signed_in.sign_in.id, signed_in.person.id)
    person = acting_person(connection, by, livemode=signed_in.person.livemode)
    check(parts, connection, person, StepUp(sign_in=by.key), message=None, now=now)
    return person
