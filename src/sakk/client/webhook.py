"""Verify a webhook that Sakk sent. Only the standard library is needed.

    event = verify(request.headers, request.body, "whsec_…")

Pass the body's bytes as they arrived: parsing and writing them again changes them. The same
event may arrive more than once (``event["id"]``, also the header ``webhook-id``): handle each id
once.
"""

import base64
import binascii
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

TOLERANCE_SECONDS: Final = 300
_PREFIX: Final = "whsec_"
_SIGNATURES_MAX: Final = 16


class WebhookVerificationError(ValueError):
    """The request was not sent by who holds the secret, was changed, or is too old."""


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    *,
    tolerance_seconds: int = TOLERANCE_SECONDS,
    now: float | None = None,
) -> dict[str, Any]:
    """Check the signature and the time of a webhook, and return its event.

    Reads Standard Webhooks' headers, or ``Stripe-Signature`` where a proxy has dropped those.
    ``now`` is seconds since 1970, by default the clock's. Raises WebhookVerificationError.
    """
    found = {name.lower(): value for name, value in headers.items()}
    seconds = time.time() if now is None else now
    if "webhook-signature" in found:
        timestamp, expected, signatures = _standard(found, body, secret)
    elif "stripe-signature" in found:
        timestamp, expected, signatures = _stripe(found["stripe-signature"], body, secret)
    else:
        raise WebhookVerificationError("the request carries no signature")
    # Compare with every one: the time it takes says nothing about which of them matched.
    matches = [hmac.compare_digest(expected, signature) for signature in signatures]
    if not any(matches):
        raise WebhookVerificationError("no signature matches; check the secret and the raw body")
    if abs(seconds - timestamp) > tolerance_seconds:
        raise WebhookVerificationError(
            f"the timestamp is more than {tolerance_seconds} s away; check this machine's clock"
        )
    try:
        event = json.loads(body)
    except ValueError as error:
        raise WebhookVerificationError("the body is not JSON") from error
    if not isinstance(event, dict):
        raise WebhookVerificationError("the body is not an event")
    return event


def _standard(
    headers: Mapping[str, str], body: bytes, secret: str
) -> tuple[int, bytes, list[bytes]]:
    """Standard Webhooks: base64 of HMAC-SHA256 over ``id.timestamp.body``."""
    identifier = headers.get("webhook-id", "")
    timestamp = _timestamp(headers.get("webhook-timestamp", ""))
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise WebhookVerificationError("the secret is not whsec_ and base64") from error
    if not key:
        raise WebhookVerificationError("the secret is empty")
    content = f"{identifier}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, content, "sha256"))
    entries = headers["webhook-signature"].split(" ")
    return timestamp, expected, _values(entry.partition(",") for entry in entries)


def _stripe(header: str, body: bytes, secret: str) -> tuple[int, bytes, list[bytes]]:
    """Stripe: hex of HMAC-SHA256 over ``timestamp.body``, keyed by the whole secret."""
    if not secret.removeprefix(_PREFIX):
        raise WebhookVerificationError("the secret is empty")
    pairs = [entry.strip().partition("=") for entry in header.split(",")]
    written = next((value for name, _, value in pairs if name == "t"), "")
    timestamp = _timestamp(written)
    digest = hmac.digest(secret.encode(), f"{written}.".encode() + body, "sha256")
    return timestamp, digest.hex().encode(), _values(pairs)


def _timestamp(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 12):
        raise WebhookVerificationError("the timestamp is missing or malformed")
    return int(value)


def _values(entries: Iterable[tuple[str, str, str]]) -> list[bytes]:
    """The signatures of version 1, a bounded number of them."""
    values = [value.encode(errors="replace") for version, _, value in entries if version == "v1"]
    return values[:_SIGNATURES_MAX]
