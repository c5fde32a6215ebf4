"""Notices of providers: whose they are, and of when."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from sakk.core.provider_notice import AHEAD, WINDOW, NoticeRefused, verify_standard
from sakk.core.webhook import make_secret, sign

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
OLD, NEW = make_secret(bytes(32)), make_secret(bytes([1]) * 32)
BODY = b'{"key":"po_1"}'


def headers(at: datetime = NOW, *, secret: str = NEW, **more: str) -> dict[str, str]:
    signed = sign(BODY, event_id="evt_1", timestamp=int(at.timestamp()), secrets=[secret])
    return signed | {name.replace("_", "-"): value for name, value in more.items()}


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_either_secret_may_have_signed(secret: str) -> None:
    given = headers(secret=secret, webhook_signature="v1,AAAA v2,x é") | {
        "webhook-signature": "v1,AAAA " + headers(secret=secret)["webhook-signature"]
    }
    assert verify_standard(given, BODY, [NEW, OLD], NOW) == ("evt_1", NOW)


@pytest.mark.parametrize(
    ("given", "body", "secrets", "why"),
    [
        (headers(), BODY + b" ", [NEW], "is not the provider's"),
        (headers(secret=OLD), BODY, [NEW], "is not the provider's"),
        (headers(), BODY, [], "is not the provider's"),
        (headers(webhook_signature=""), BODY, [NEW], "is not the provider's"),
        (headers(webhook_signature="v1,é"), BODY, [NEW], "is not the provider's"),
        # What was signed is a number of the id and of the time too.
        (headers(webhook_id="evt_2"), BODY, [NEW], "is not the provider's"),
        (headers(webhook_id=""), BODY, [NEW], "no webhook-id"),
        (headers(webhook_id="x" * 201), BODY, [NEW], "no webhook-id"),
        (headers(webhook_id="é"), BODY, [NEW], "no webhook-id"),
        (headers(webhook_timestamp="soon"), BODY, [NEW], "no webhook-timestamp"),
        (headers(webhook_timestamp="9" * 13), BODY, [NEW], "no webhook-timestamp"),
        (headers(NOW - WINDOW - timedelta(seconds=1)), BODY, [NEW], "signed at"),
        (headers(NOW + AHEAD + timedelta(seconds=1)), BODY, [NEW], "signed at"),
        (headers(), BODY, ["whsec_é"], "no base64"),
        (headers(), BODY, ["whsec_" + base64.b64encode(b"x").decode()[:-1]], "no base64"),
    ],
)
def test_what_is_not_the_providers_or_not_of_now(
    given: dict[str, str], body: bytes, secrets: list[str], why: str
) -> None:
    with pytest.raises(NoticeRefused, match=why):
        verify_standard(given, body, secrets, NOW)
