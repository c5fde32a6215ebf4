"""Persons: the operator's people, what each of them may do, and how one proves to be there.

A person has roles. Whose API key acts is who acts: two keys of one person are one person. What adds
to anybody's power (a new person, a role, a new key) is proposed by one admin and approved by
another. Nobody but the person ever has the key: only its hash is proposed.

One-time codes are RFC 6238's with its defaults: SHA-1, 6 digits, 30 seconds. One step early or late
is accepted, and each step's code once.
"""

import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import pyotp

from sakk.core.errors import ParameterInvalid
from sakk.core.proposal import digest_words
from sakk.core.role import powers

PREFIX: Final = "per"
# A rule of a policy that asks for it is satisfied by the operator's key without a person too.
OPERATOR: Final = "operator"
BOOTSTRAP_ADMINS: Final = 2
# Who a sandbox's own person was introduced by; they are none of the first two.
SANDBOX: Final = "sandbox"
STEP_SECONDS: Final = 30
STEPS_AWAY_MAX: Final = 1
CODE_DIGITS: Final = 6
SECRET_BYTES: Final = 20
ISSUER: Final = "Sakk"
# Of a million codes three are right at any time: this makes a guess take years.
FAILURES_MAX: Final = 5
LOCKED_FOR: Final = timedelta(minutes=5)
NAME_LENGTH_MAX: Final = 100
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,180}")
_HASH = re.compile(r"[0-9a-f]{64}")


class PersonState(StrEnum):
    """A proposed one may do nothing until another admin approves; a suspended one never again."""

    proposed = "proposed"
    active = "active"
    suspended = "suspended"


@dataclass(frozen=True, slots=True)
class Person:
    """One of the operator's people, or of some accounts', in one mode.

    ``roles`` are held everywhere; who has none may have some in accounts (`sakk.core.membership`).
    ``proposal``: what another admin has to approve, and who asked for it. ``totp_secret`` is
    sealed; ``totp_step`` the last step whose code was used. ``public_key``: Ed25519, hexadecimal.
    """

    id: str
    livemode: bool
    name: str
    email: str
    roles: list[str]
    state: str
    proposal: dict[str, Any] | None
    public_key: str | None
    totp_secret: bytes | None
    totp_confirmed: bool
    totp_step: int
    totp_failures: int
    totp_locked_until: datetime | None
    proposed_by: str | None
    approved_by: str | None
    created: datetime
    # Of the password, if there is one: see `sakk.core.sign_in`.
    password_hash: str | None = None
    # As they want pages to speak, to tell the time and to look; None: as the browser does.
    language: str | None = None
    time_zone: str | None = None
    theme: str | None = None

    @property
    def powers(self) -> frozenset[str]:
        """The roles in which they may act everywhere; none for who stands in accounts alone."""
        return powers(self.roles)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: by which key, and the person whose key it is.

    ``key``: the id of an API key, or of the sign-in by which a person acts at the console.
    """

    key: str
    person: str | None = None

    @property
    def name(self) -> str:
        """Two keys of a person are one; the operator's keys without a person are one too."""
        return self.person or OPERATOR

    @property
    def signature(self) -> str:
        """As the audit log names it: the key, after the person whose key it is."""
        return self.key if self.person is None else f"{self.person}/{self.key}"


def check_details(name: str, email: str) -> None:
    """A name that can be shown on one line, and an address that can be one."""
    if not (1 <= len(name) <= NAME_LENGTH_MAX and name.isprintable()):
        raise ParameterInvalid(
            "A name has 1 to {name_length_max} printable characters.",
            param="name",
            name_length_max=NAME_LENGTH_MAX,
        )
    if _EMAIL.fullmatch(email) is None:
        raise ParameterInvalid(
            "{email} is not an e-mail address.", param="email", email=repr(email)
        )


def check_key_hash(text: str) -> str:
    """SHA-256 of the token that the person made and keeps, in hexadecimal."""
    if _HASH.fullmatch(text) is None:
        raise ParameterInvalid(
            "key_hash is the SHA-256 of the person's own token in 64 lower-case hexadecimal"
            " digits; `sakk persons token` makes both.",
            param="key_hash",
        )
    return text


def check_public_key(text: str) -> str:
    """An Ed25519 public key as the signer's policy file names it."""
    if _HASH.fullmatch(text) is None:
        raise ParameterInvalid(
            "public_key is an Ed25519 public key in 64 lower-case hexadecimal digits;"
            " `sakk keys approver` makes one.",
            param="public_key",
        )
    return text


def totp_uri(secret: str, email: str) -> str:
    """What an authenticator app reads, mostly as a QR code."""
    return str(pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER))


def totp_step(secret: str, code: str, *, now: datetime, used: int) -> int | None:
    """The step whose code this is, later than the last that was ``used``; None for a wrong code."""
    current = int(now.timestamp()) // STEP_SECONDS
    codes = pyotp.TOTP(secret, digits=CODE_DIGITS, interval=STEP_SECONDS)
    found = None
    for step in range(current - STEPS_AWAY_MAX, current + STEPS_AWAY_MAX + 1):
        is_right = hmac.compare_digest(codes.generate_otp(step).encode(), code.encode())
        if is_right and step > used:
            found = step
    return found


def is_locked(person: Person, now: datetime) -> bool:
    """Were there too many wrong codes, a moment ago?"""
    return person.totp_locked_until is not None and now < person.totp_locked_until


def counted(person: Person, now: datetime) -> tuple[int, datetime | None]:
    """Failures and lock after one more try, which counts as a failure until it succeeds."""
    failures = person.totp_failures + 1
    if failures < FAILURES_MAX:
        return failures, None
    return 0, now + LOCKED_FOR


def proposal_digest(person: Person) -> str | None:
    """What another admin approves, by SHA-256; None where nothing is proposed."""
    proposal = person.proposal
    if proposal is None:
        return None
    return digest_words(
        (
            "person.1",
            person.id,
            proposal["by"],
            proposal["key_hash"] or "",
            proposal.get("public_key") or "",
            "resets" if proposal.get("resets") else "",
            *proposal["roles"],
        )
    )


def public_person(person: Person) -> dict[str, Any]:
    """The API's object ``person``: never the secret, nor the hash of a key."""
    proposal = person.proposal
    return {
        "id": person.id,
        "object": "person",
        "name": person.name,
        "email": person.email,
        "roles": person.roles,
        "state": person.state,
        "proposal": None
        if proposal is None
        else {
            "by": proposal["by"],
            "roles": proposal["roles"],
            "new_key": proposal["key_hash"] is not None,
            "public_key": proposal.get("public_key"),
            "resets": bool(proposal.get("resets")),
            "digest": proposal_digest(person),
        },
        "public_key": person.public_key,
        "second_factor": person.totp_confirmed,
        "proposed_by": person.proposed_by,
        "approved_by": person.approved_by,
        "metadata": {},
        "created": int(person.created.timestamp()),
        "livemode": person.livemode,
    }
