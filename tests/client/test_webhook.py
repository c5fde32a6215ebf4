"""The receiver's side of webhooks: what it accepts and what it refuses."""

import base64
import json

import pytest

from sakk.client.webhook import WebhookVerificationError, verify
from sakk.core import webhook

NOW = 1_800_000_000
OLD, NEW = webhook.make_secret(bytes(32)), webhook.make_secret(bytes(range(32)))
BODY = json.dumps({"id": "evt_1", "object": "event"}).encode()


def signed(*secrets: str, body: bytes = BODY, timestamp: int = NOW) -> dict[str, str]:
    return webhook.sign(body, event_id="evt_1", timestamp=timestamp, secrets=secrets)


def stripe_only(headers: dict[str, str]) -> dict[str, str]:
    return {"Stripe-Signature": headers["Stripe-Signature"]}


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_either_scheme_and_either_secret_while_rotating(secret: str) -> None:
    headers = signed(NEW, OLD)
    assert verify(headers, BODY, secret, now=NOW)["id"] == "evt_1"
    assert verify(stripe_only(headers), BODY, secret, now=NOW)["id"] == "evt_1"
    upper = {name.upper(): value for name, value in headers.items()}
    assert verify(upper, BODY, secret, now=NOW)["id"] == "evt_1"


@pytest.mark.parametrize("timestamp", [NOW - 301, NOW + 301])
def test_too_old_and_too_new_are_refused(timestamp: int) -> None:
    headers = signed(OLD, timestamp=timestamp)
    for chosen in (headers, stripe_only(headers)):
        with pytest.raises(WebhookVerificationError, match="timestamp is more than"):
            verify(chosen, BODY, OLD, now=NOW)
        assert verify(chosen, BODY, OLD, now=NOW, tolerance_seconds=301)


def test_now_is_the_clocks_by_default() -> None:
    with pytest.raises(WebhookVerificationError, match="timestamp is more than"):
        verify(signed(OLD, timestamp=1), BODY, OLD)


def test_a_changed_body_id_or_time_is_refused() -> None:
    headers = signed(OLD)
    for chosen, body in [
        (headers, BODY + b" "),
        (stripe_only(headers), BODY + b" "),
        (headers | {"webhook-id": "evt_2"}, BODY),
        (headers | {"webhook-timestamp": str(NOW + 1)}, BODY),
        (stripe_only(signed(NEW)), BODY),
        (signed(NEW), BODY),
        (headers | {"webhook-signature": ""}, BODY),
        (headers | {"webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")}, BODY),
        (headers | {"webhook-signature": "v1,\ud800"}, BODY),
        ({"stripe-signature": f"t={NOW}"}, BODY),
    ]:
        with pytest.raises(WebhookVerificationError, match="no signature matches"):
            verify(chosen, body, OLD, now=NOW)


def test_a_signature_behind_many_others_is_not_looked_for_without_end() -> None:
    headers = signed(OLD)
    padded = " ".join(["v1,AAAA"] * 100 + [headers["webhook-signature"]])
    with pytest.raises(WebhookVerificationError, match="no signature matches"):
        verify(headers | {"webhook-signature": padded}, BODY, OLD, now=NOW)


@pytest.mark.parametrize(
    ("headers", "secret", "reason"),
    [
        ({}, OLD, "no signature"),
        ({"webhook-signature": "v1,x"}, OLD, "timestamp is missing"),
        ({"webhook-signature": "v1,x", "webhook-timestamp": "9" * 99}, OLD, "timestamp is missing"),
        ({"stripe-signature": "v1=x"}, OLD, "timestamp is missing"),
        ({"stripe-signature": "t=-5,v1=x"}, OLD, "timestamp is missing"),
        ({"stripe-signature": "t=5,v1=x"}, "whsec_", "secret is empty"),
        ({"webhook-signature": "v1,x", "webhook-timestamp": "5"}, "whsec_", "secret is empty"),
        ({"webhook-signature": "v1,x", "webhook-timestamp": "5"}, "whsec_?", "base64"),
    ],
)
def test_what_is_missing_is_named(headers: dict[str, str], secret: str, reason: str) -> None:
    with pytest.raises(WebhookVerificationError, match=reason):
        verify(headers, BODY, secret, now=NOW)


@pytest.mark.parametrize(("body", "reason"), [(b"{", "not JSON"), (b"[]", "not an event")])
def test_a_signed_body_must_be_an_event(body: bytes, reason: str) -> None:
    with pytest.raises(WebhookVerificationError, match=reason):
        verify(signed(OLD, body=body), body, OLD, now=NOW)


def test_a_secret_without_its_prefix_serves_standard_webhooks() -> None:
    bare = OLD.removeprefix("whsec_")
    assert base64.b64decode(bare) == bytes(32)
    assert verify(signed(OLD), BODY, bare, now=NOW)["id"] == "evt_1"
