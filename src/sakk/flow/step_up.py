"""Step-up: a person proves to be there, at the moment of the decision, besides showing a key.

A try is counted before the code is looked at, in a transaction of its own, so that a thousand tries
at once are a thousand tries. A right code clears the count in the transaction of what it was for.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection

from sakk.core.approval import Method
from sakk.core.errors import (
    PermissionDenied,
    RateLimited,
    StepUpFailed,
    StepUpRequired,
)
from sakk.core.person import Actor, Person, PersonState, counted, is_locked, totp_step
from sakk.core.role import Role
from sakk.core.sign_in import SignInMethod, is_live, is_stepped_up
from sakk.flow.context import Parts
from sakk.store import person as persons
from sakk.store import sign_in as sign_ins

SIGNATURE_DIGITS: Final = 128


@dataclass(frozen=True, slots=True)
class StepUp:
    """What the person gave: a one-time code, or an Ed25519 signature (hexadecimal).

    ``sign_in``: the sign-in at the console in which they proved to be there a moment ago.
    """

    code: str | None = None
    signature: str | None = None
    sign_in: str | None = None


def count_try(parts: Parts, actor: Actor, step_up: StepUp, *, livemode: bool) -> None:
    """Count a try with a code before it is looked at; RateLimited while there were too many."""
    if actor.person is None or step_up.code is None:
        return
    now = parts.clock()
    with parts.database.begin() as connection:
        person = persons.find(connection, actor.person, livemode=livemode, lock=True)
        if person is None:
            return
        if is_locked(person, now):
            assert person.totp_locked_until is not None
            raise RateLimited(
                "Too many wrong codes. Wait a few minutes, and check your device's clock.",
                retry_after_seconds=1 + int((person.totp_locked_until - now).total_seconds()),
            )
        failures, locked_until = counted(person, now)
        persons.change(
            connection,
            person.id,
            {"totp_failures": failures, "totp_locked_until": locked_until},
        )


def acting_person(connection: Connection, actor: Actor, *, livemode: bool) -> Person:
    """The person who acts, locked, with the roles of this moment; PermissionDenied for a key."""
    person = (
        None
        if actor.person is None
        else persons.find(connection, actor.person, livemode=livemode, lock=True)
    )
    if person is None or person.state != PersonState.active:
        raise PermissionDenied(
            "Only a person may do this: use an API key that belongs to one (/v1/persons)."
        )
    return person


def person_with(
    connection: Connection, actor: Actor, roles: frozenset[Role], *, livemode: bool
) -> Person:
    """The person who acts, where one of their roles lets them; PermissionDenied."""
    person = acting_person(connection, actor, livemode=livemode)
    if roles.isdisjoint(person.powers):
        raise PermissionDenied(
            "Only a person with a role of {roles} may.", roles=", ".join(sorted(roles))
        )
    return person


def check(
    parts: Parts,
    connection: Connection,
    person: Person,
    step_up: StepUp,
    *,
    message: bytes | None,
    now: datetime,
) -> tuple[Method, bytes | None]:
    """Hold what was given against what the person has; the method, and the signature if any.

    ``message``: what a signature is over; None where only a code will do. ``person`` is locked.
    Raises StepUpRequired and StepUpFailed.
    """
    if step_up.signature is not None and message is not None:
        return Method.signature, _check_signature(person, step_up.signature, message)
    if step_up.sign_in is not None:
        return _check_sign_in(connection, person, step_up.sign_in, now=now), None
    if step_up.code is None:
        raise StepUpRequired("Send code, the one-time code that your device shows now.")
    if person.totp_secret is None or not person.totp_confirmed:
        raise StepUpRequired(
            "Set up a second factor first: POST /v1/persons/{id}/second_factor.", id=person.id
        )
    secret = parts.secrets_vault().open(bytes(person.totp_secret), person.id)
    step = totp_step(secret, step_up.code, now=now, used=person.totp_step)
    if step is None:
        raise StepUpFailed(
            "This code is wrong, or was used before. Wait for the next one and send that."
        )
    persons.change(
        connection,
        person.id,
        {"totp_step": step, "totp_failures": 0, "totp_locked_until": None},
    )
    return Method.totp, None


def _check_sign_in(
    connection: Connection, person: Person, identifier: str, *, now: datetime
) -> Method:
    """How the person proved to be there in a sign-in; StepUpRequired where it was too long ago."""
    found = sign_ins.find(connection, identifier)
    if (
        found is None
        or found.person != person.id
        or not is_live(found, now)
        or not is_stepped_up(found, now)
    ):
        raise StepUpRequired("Prove that it is you: by your passkey, or by a fresh code.")
    return Method.passkey if found.step_up_method == SignInMethod.passkey else Method.totp


def _check_signature(person: Person, signature: str, message: bytes) -> bytes:
    if person.public_key is None:
        raise StepUpRequired(
            "There is no public key of yours: POST /v1/persons/{id}/public_key.", id=person.id
        )
    try:
        if len(signature) != SIGNATURE_DIGITS:
            raise ValueError
        signed = bytes.fromhex(signature)
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(person.public_key))
        key.verify(signed, message)
    except (ValueError, InvalidSignature):
        raise StepUpFailed(
            "This is no signature of your key over this payout. Sign what its explanation's"
            " message says, byte for byte."
        ) from None
    return signed
