"""Passkeys: a key pair that a person's device keeps, by which they sign in (WebAuthn level 3).

What is kept of one is its public half. A counter that does not grow says that the device was
copied; devices that share a passkey send zero, which says nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

PREFIX: Final = "pky"
PASSKEYS_MAX: Final = 20
NAME_LENGTH_MAX: Final = 60
CHALLENGE_GOOD_FOR: Final = timedelta(minutes=5)
RECOVERY_CODES: Final = 10
RECOVERY_CODE_BYTES: Final = 10


class Purpose(StrEnum):
    """What a challenge was made for; an answer to one serves no other."""

    register = "register"
    sign_in = "sign_in"
    step_up = "step_up"
    welcome = "welcome"


@dataclass(frozen=True, slots=True)
class Passkey:
    """A row. ``backed_up``: its provider keeps a copy, so that a lost device loses nothing."""

    id: str
    person: str
    livemode: bool
    name: str
    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: list[str]
    backed_up: bool
    created: datetime
    used_at: datetime | None = None
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecoveryCode:
    """One of ten that a person keeps on paper. ``digest``: under the vault's key."""

    person: str
    number: int
    digest: bytes
    created: datetime
    used_at: datetime | None = None
