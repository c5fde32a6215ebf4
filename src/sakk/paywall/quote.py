"""A price that moves, held for as long as it was promised.

Where a function says the price, what was asked in an answer 402 stands for ``maxTimeoutSeconds``:
the answer carries a mark of ours over what was asked and when (HMAC-SHA256), the payer's client
sends back what it accepted, and the mark proves that we asked it. Nothing is kept.
"""

import hashlib
import hmac
from typing import Any, Final

import msgspec

from sakk.client.x402 import Requirement

FIELD: Final = "quote"
SECRET_BYTES_MIN: Final = 16


def mark(secret: bytes, requirement: Requirement, *, resource: str, now: int) -> Requirement:
    """The requirement with our mark in it."""
    made = f"{now}.{_code(secret, requirement, resource, now)}"
    return msgspec.structs.replace(requirement, extra={**requirement.extra, FIELD: made})


def is_standing(
    secret: bytes,
    ours: Requirement,
    accepted: dict[str, Any],
    *,
    resource: str,
    now: int,
) -> Requirement | None:
    """What we asked before, where ``accepted`` is that and its time is not over."""
    extra, amount = accepted.get("extra"), accepted.get("amount")
    written = extra.get(FIELD) if isinstance(extra, dict) else None
    if not isinstance(written, str) or not isinstance(amount, str) or len(written) > 128:
        return None
    issued, _, code = written.partition(".")
    if not issued.isascii() or not issued.isdigit() or len(issued) > 15:
        return None
    then = int(issued)
    if not then <= now + 1 or now > then + ours.max_timeout_seconds:
        return None
    asked = msgspec.structs.replace(ours, amount=amount)
    if not hmac.compare_digest(code.encode(), _code(secret, asked, resource, then).encode()):
        return None
    return msgspec.structs.replace(asked, extra={**asked.extra, FIELD: written})


def _code(secret: bytes, requirement: Requirement, resource: str, now: int) -> str:
    said = msgspec.json.encode(
        [
            now,
            resource,
            requirement.scheme,
            requirement.network,
            requirement.asset,
            requirement.amount,
            requirement.pay_to,
        ]
    )
    return hmac.new(secret, said, hashlib.sha256).hexdigest()[:32]
