"""Sign-ins: a person at a browser, for a while.

A sign-in is a random token in a cookie; the table has its hash. It ends when it is not used for
``IDLE_MAX``, or ``SIGN_IN_MAX`` after it began whatever is done. It gets another token when the
person proves to be there again, so that a token that was seen before is worth nothing after.

Wrong passwords and codes count by person and by where they come from together: a stranger who
guesses locks themselves out, and never the person.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sakk.core.errors import ParameterInvalid
from sakk.core.peer import network_of

PREFIX: Final = "sgn"
TOKEN_BYTES: Final = 32
IDLE_MAX: Final = timedelta(hours=1)
SIGN_IN_MAX: Final = timedelta(hours=12)
# A fresh passkey or code is good for this long, and for this sign-in alone.
STEP_UP_FOR: Final = timedelta(minutes=5)
# How often the table is told that a sign-in is used.
SEEN_EVERY: Final = timedelta(minutes=1)
KEPT_FOR: Final = timedelta(days=90)
TRIES_MAX: Final = 5
LOCKED_FOR: Final = timedelta(minutes=5)
LOCKED_FOR_MAX: Final = timedelta(hours=4)
TRIES_KEPT_FOR: Final = timedelta(days=1)
USER_AGENT_LENGTH_MAX: Final = 300
PASSWORD_LENGTH_MIN: Final = 12
PASSWORD_LENGTH_MAX: Final = 256
PASSWORD_DISTINCT_MIN: Final = 5

_BROWSERS: Final = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


class SignInMethod(StrEnum):
    """How a person proved who they are."""

    passkey = "passkey"
    password = "password"  # noqa: S105 - the name of a method
    code = "code"
    recovery_code = "recovery_code"
    link = "link"


@dataclass(frozen=True, slots=True)
class SignIn:
    """A row. ``account_id``: whose rows are looked at, None for everybody's.

    ``flash``: what the next page tells. ``stepped_up_at``: when the person last proved to be there.
    """

    id: str
    person: str
    livemode: bool
    token_hash: bytes
    method: str
    user_agent: str
    address: str | None
    account_id: str | None
    created: datetime
    seen_at: datetime
    expires_at: datetime
    stepped_up_at: datetime | None = None
    step_up_method: str | None = None
    ended_at: datetime | None = None
    flash: dict[str, Any] | None = None

    @property
    def device(self) -> str:
        """The browser and the system, as far as they say so."""
        return device(self.user_agent)


@dataclass(frozen=True, slots=True)
class Tries:
    """Wrong passwords and codes for one person from one network. ``name`` is a hash of both."""

    name: str
    failures: int
    locked_until: datetime | None
    changed: datetime


def token_hash(token: str) -> bytes:
    """What is stored of a token: it has 256 random bits, so a fast hash does."""
    return hashlib.sha256(token.encode()).digest()


def csrf_token(token: str) -> str:
    """What forms carry: it follows from the cookie's token, which no other site can read."""
    return hmac.digest(token.encode(), b"csrf", "sha256").hex()


def is_live(sign_in: SignIn, now: datetime) -> bool:
    """May it still be used?"""
    return (
        sign_in.ended_at is None and now < sign_in.expires_at and now - sign_in.seen_at < IDLE_MAX
    )


def is_stepped_up(sign_in: SignIn, now: datetime) -> bool:
    """Did the person prove to be there a moment ago? By a sandbox's link they did for good."""
    if sign_in.method == SignInMethod.link:
        return True
    return sign_in.stepped_up_at is not None and now - sign_in.stepped_up_at < STEP_UP_FOR


def tries_name(who: str, address: str | None, *, livemode: bool) -> str:
    """Under which tries are counted: who was named, known or not, and from where."""
    parts = f"{livemode}\x1f{who.strip().casefold()}\x1f{network_of(address)}"
    return hashlib.sha256(parts.encode()).hexdigest()


def is_locked(tries: Tries | None, now: datetime) -> bool:
    """Were there too many, a moment ago?"""
    return tries is not None and tries.locked_until is not None and now < tries.locked_until


def counted(tries: Tries | None, name: str, now: datetime) -> Tries:
    """After one more try, which counts as a failure until it succeeds.

    From the fifth on each locks for twice as long as the one before.
    """
    if tries is None or now - tries.changed > TRIES_KEPT_FOR:
        return Tries(name, 1, None, now)
    failures = tries.failures + 1
    over = failures - TRIES_MAX
    if over < 0:
        return Tries(name, failures, None, now)
    locked = min(LOCKED_FOR_MAX, LOCKED_FOR * 2 ** min(over, 16))
    return Tries(name, failures, now + locked, now)


def check_password(password: str, person: str) -> None:
    """Long enough, not all the same, and not the name of who has it (NIST SP 800-63B, 3.1.1.2)."""
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise ParameterInvalid(
            "A password has {password_length_min} to {password_length_max} characters.",
            param="password",
            password_length_min=PASSWORD_LENGTH_MIN,
            password_length_max=PASSWORD_LENGTH_MAX,
        )
    if len(set(password)) < PASSWORD_DISTINCT_MIN or password.casefold() in person.casefold():
        raise ParameterInvalid("This password is too easy to guess.", param="password")


def clean_user_agent(given: str | None) -> str:
    """As it is kept: printable and short."""
    return _UNPRINTABLE.sub("", given or "")[:USER_AGENT_LENGTH_MAX]


def device(user_agent: str) -> str:
    """``Firefox, Linux``; what says neither is as it names itself."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), None)
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), None)
    if browser is None and system is None:
        return user_agent.partition("/")[0][:40] or "?"
    return ", ".join(each for each in (browser, system) if each is not None)
