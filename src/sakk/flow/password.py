"""Passwords (argon2id, RFC 9106) and recovery codes: what is kept of them, and how they are held.

A password alone signs nobody in: a one-time code or a recovery code comes with it.
"""

import base64
import hmac
import os
import threading
from datetime import datetime
from functools import cache
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection

from sakk.core.passkey import RECOVERY_CODE_BYTES, RECOVERY_CODES, RecoveryCode
from sakk.flow.context import Parts
from sakk.store import passkey as store

# Each takes 64 MiB and a core for a moment: more at once would starve who does other work.
HASHES_AT_ONCE_MAX: Final = 2
GROUP: Final = 4

_hasher = PasswordHasher()
_turn = threading.BoundedSemaphore(HASHES_AT_ONCE_MAX)


def hash_password(password: str) -> str:
    """What is stored of a password."""
    with _turn:
        return _hasher.hash(password)


def holds(password_hash: str | None, password: str) -> bool:
    """Is it the password? Nobody's takes as long as anybody's."""
    with _turn:
        try:
            _hasher.verify(password_hash or _nobodys(), password)
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Was it made with less than is taken now?"""
    return _hasher.check_needs_rehash(password_hash)


def new_recovery_codes(
    parts: Parts, connection: Connection, person: str, *, now: datetime
) -> list[str]:
    """Ten codes for a person's drawer, in place of those before; they are shown this once."""
    codes = [_grouped(os.urandom(RECOVERY_CODE_BYTES)) for _ in range(RECOVERY_CODES)]
    rows = [
        RecoveryCode(person, number, _digest(parts, person, code), now)
        for number, code in enumerate(codes, 1)
    ]
    store.put_recovery_codes(connection, person, rows)
    return codes


def use_recovery_code(
    parts: Parts, connection: Connection, person: str, code: str, *, now: datetime
) -> bool:
    """Use a recovery code up; False for one that is none, or was used."""
    return store.use_recovery_code(connection, person, _digest(parts, person, code), now=now)


def _digest(parts: Parts, person: str, code: str) -> bytes:
    plain = "".join(code.split()).replace("-", "").upper()
    key = parts.secrets_vault().derive(f"recovery\x1f{person}")
    return hmac.digest(key, plain.encode(), "sha256")


def _grouped(random: bytes) -> str:
    text = base64.b32encode(random).decode()
    return "-".join(text[at : at + GROUP] for at in range(0, len(text), GROUP))


@cache
def _nobodys() -> str:
    return _hasher.hash(os.urandom(16).hex())
