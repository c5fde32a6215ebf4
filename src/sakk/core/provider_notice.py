"""Notices of providers: a webhook that says that there is news of an order, and nothing else.

A notice is a hint and never the fact: whatever it says, the provider is asked. So all that is read
of it is who sent it, when, under which name it is told once, and which order it is about.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sakk.core.webhook import SIGNING_PREFIX

PATH: Final = "/providers/{bank_account}/notices"
BODY_BYTES_MAX: Final = 64 * 1024
ID_LENGTH_MAX: Final = 200
# A signature is not believed for longer, nor from so far ahead: clocks differ.
WINDOW: Final = timedelta(minutes=5)
AHEAD: Final = timedelta(minutes=5)
# No connector believes one for longer; what was told is remembered as long, so that it counts once.
WINDOW_MAX: Final = timedelta(days=15)
SIGNATURES_MAX: Final = 8


class NoticeRefused(Exception):
    """It is not the provider's, or not of now. The text is for the operator's log alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """``id``: by which it is told once. ``key``: ours of the order, ``reference``: the provider's
    own; None of both: of some order of the account."""

    id: str
    sent_at: datetime
    key: str | None = None
    reference: str | None = None


def check_time(sent_at: datetime, now: datetime, window: timedelta = WINDOW) -> datetime:
    """The time that a notice was signed at; NoticeRefused outside of the window."""
    if not -AHEAD <= now - sent_at <= window:
        raise NoticeRefused(f"it was signed at {sent_at.isoformat()}")
    return sent_at


def verify_standard(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
) -> tuple[str, datetime]:
    """The id and the time of a notice that is signed as Standard Webhooks are; NoticeRefused.

    ``webhook-signature`` has one or more of ``v1,`` and base64 of HMAC-SHA256 over
    ``id.timestamp.body``, as it came. ``secrets``: those of which either may have signed.
    """
    identifier = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    if not 0 < len(identifier) <= ID_LENGTH_MAX or not identifier.isascii():
        raise NoticeRefused("it has no webhook-id")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise NoticeRefused("it has no webhook-timestamp")
    content = f"{identifier}.{stamp}.".encode() + body
    given = headers.get("webhook-signature", "").split(" ")[:SIGNATURES_MAX]
    made = [
        f"v1,{base64.b64encode(hmac.digest(key, content, 'sha256')).decode()}"
        for key in map(_key, secrets)
    ]
    # Each against each, all of them, whatever was found: the time tells nothing.
    found = [
        hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))
        for one in made
        for other in given
    ]
    if not any(found):
        raise NoticeRefused("its signature is not the provider's")
    return identifier, check_time(datetime.fromtimestamp(int(stamp), UTC), now)


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SIGNING_PREFIX), validate=True)
    except ValueError:
        raise NoticeRefused("the secret is no base64") from None
