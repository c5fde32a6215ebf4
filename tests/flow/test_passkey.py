"""What a passkey answers, held against the specification's own vectors.

``passkey_vectors.json``: section 16 of Web Authentication Level 3 (W3C, editor's draft of
2026-07-30): registration and assertion by ES256, RS256 and Ed25519, at https://example.org.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.console.authenticator import PRESENT, VERIFIED, Authenticator
from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import bytes_to_base64url

from sakk.core.errors import StepUpFailed
from sakk.core.passkey import Passkey
from sakk.core.site import Site
from sakk.flow.passkey import check_assertion, check_registration

VECTORS: dict[str, dict[str, dict[str, str]]] = json.loads(
    Path(__file__).with_name("passkey_vectors.json").read_text()
)
SITE = Site("example.org", ("https://example.org",))
ELIGIBLE, BACKED_UP = 0x08, 0x10
# Of the vectors that say that a person proved who they are, both times.
WHOLE = "packed-es256"


def document_of(name: str, part: str) -> tuple[dict[str, Any], bytes]:
    """What the browser would send, and what it was asked."""
    given = VECTORS[name][part]
    shown = bytes_to_base64url(bytes.fromhex(VECTORS[name]["registration"]["credential_id"]))
    response = {
        field: bytes_to_base64url(bytes.fromhex(given[field]))
        for field in ("clientDataJSON", "attestationObject", "authenticatorData", "signature")
        if field in given
    }
    document = {"id": shown, "rawId": shown, "type": "public-key", "response": response}
    return document, bytes.fromhex(given["challenge"])


def flags_of(name: str, part: str) -> int:
    """The flags of the authenticator's data: they follow the hash of the site's name."""
    data = VECTORS[name][part]
    whole = bytes.fromhex(data.get("authenticatorData") or data["attestationObject"])
    # The hash of "example.org".
    return whole[whole.index(bytes.fromhex("bfabc37432958b06")) + 32]


def is_framed(name: str, part: str) -> bool:
    said = json.loads(bytes.fromhex(VECTORS[name][part]["clientDataJSON"]))
    return bool(said.get("crossOrigin") or said.get("topOrigin"))


def kept(name: str, **changes: Any) -> Passkey:
    """The passkey of a vector as it is kept; its own registration may not be let in."""
    document, challenge = document_of(name, "registration")
    made = verify_registration_response(
        credential=document,
        expected_challenge=challenge,
        expected_rp_id=SITE.name,
        expected_origin=list(SITE.origins),
        require_user_verification=False,
    )
    passkey = Passkey(
        id="pky_1",
        person="per_1",
        livemode=False,
        name="A key",
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        transports=[],
        backed_up=bool(flags_of(name, "registration") & ELIGIBLE),
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return replace(passkey, **changes)


@pytest.mark.parametrize("name", VECTORS)
def test_registration(name: str) -> None:
    """Who proved who they are, on a page of ours, is let in; the key is that of the vector."""
    document, challenge = document_of(name, "registration")
    if flags_of(name, "registration") & VERIFIED and not is_framed(name, "registration"):
        made = check_registration(SITE, document, challenge)
        assert made.credential_id.hex() == VECTORS[name]["registration"]["credential_id"]
        assert made.credential_public_key == kept(name).public_key
        assert made.credential_backed_up == bool(flags_of(name, "registration") & BACKED_UP)
    else:
        with pytest.raises(StepUpFailed):
            check_registration(SITE, document, challenge)


@pytest.mark.parametrize("name", VECTORS)
def test_assertion(name: str) -> None:
    """The same; what is not let in is signed well, so that nothing else is the reason."""
    document, challenge = document_of(name, "authentication")
    passkey = kept(name)
    signed = verify_authentication_response(
        credential=document,
        expected_challenge=challenge,
        expected_rp_id=SITE.name,
        expected_origin=list(SITE.origins),
        credential_public_key=passkey.public_key,
        credential_current_sign_count=0,
        require_user_verification=False,
    )
    assert signed.new_sign_count == 0
    if flags_of(name, "authentication") & VERIFIED and not is_framed(name, "authentication"):
        assert check_assertion(SITE, document, challenge, passkey) == 0
    else:
        with pytest.raises(StepUpFailed):
            check_assertion(SITE, document, challenge, passkey)


def test_the_vectors_have_all_that_is_told_apart() -> None:
    """Keys of three kinds; proved and not, in a frame and not, shared and not."""
    assert {kind for name in VECTORS for kind in name.split("-")} >= {"es256", "rs256", "eddsa"}
    for flag in (VERIFIED, ELIGIBLE, BACKED_UP):
        seen = {bool(flags_of(name, "registration") & flag) for name in VECTORS}
        assert seen == {True, False}
    assert {is_framed(name, "registration") for name in VECTORS} == {True, False}


@pytest.mark.parametrize(
    "site",
    [
        Site("example.com", SITE.origins),
        Site("org", SITE.origins),
        Site("example.org", ("http://example.org",)),
        Site("example.org", ("https://example.org:8443",)),
        Site("example.org", ("https://pay.example.org",)),
        Site("example.org", ("https://example.org.evil.example",)),
    ],
)
def test_of_another_site_nothing_holds(site: Site) -> None:
    document, challenge = document_of(WHOLE, "registration")
    with pytest.raises(StepUpFailed):
        check_registration(site, document, challenge)
    document, challenge = document_of(WHOLE, "authentication")
    with pytest.raises(StepUpFailed):
        check_assertion(site, document, challenge, kept(WHOLE))


def _broken(part: str, **changes: str) -> dict[str, Any]:
    document, _ = document_of(WHOLE, part)
    return {**document, "response": {**document["response"], **changes}}


def test_what_was_not_asked_or_not_signed_does_not_hold() -> None:
    document, challenge = document_of(WHOLE, "authentication")
    registered, asked = document_of(WHOLE, "registration")
    other = document_of("packed-self-es256", "authentication")[0]["response"]
    wrong = [
        (document, asked, kept(WHOLE)),
        (document, challenge, kept("packed-self-es256")),
        # A counter that does not grow: the device was copied.
        (document, challenge, kept(WHOLE, sign_count=1)),
        # One that may be copied is not one that may not.
        (document, challenge, kept(WHOLE, backed_up=False)),
        # What a page was told as a passkey was made serves no signing in.
        (
            _broken("authentication", clientDataJSON=registered["response"]["clientDataJSON"]),
            asked,
            kept(WHOLE),
        ),
        (_broken("authentication", signature=other["signature"]), challenge, kept(WHOLE)),
        (
            _broken("authentication", authenticatorData=other["authenticatorData"]),
            challenge,
            kept(WHOLE),
        ),
        (_broken("authentication", authenticatorData="AAAA"), challenge, kept(WHOLE)),
        (_broken("authentication", clientDataJSON="e30"), challenge, kept(WHOLE)),
        ({"id": document["id"], "response": {}}, challenge, kept(WHOLE)),
    ]
    for sent, challenged, passkey in wrong:
        with pytest.raises(StepUpFailed):
            check_assertion(SITE, sent, challenged, passkey)
    for sent, challenged in (
        (registered, challenge),
        (_broken("registration", clientDataJSON=document["response"]["clientDataJSON"]), challenge),
        (_broken("registration", attestationObject="oA"), asked),
        ({**registered, "rawId": "AAAA"}, asked),
    ):
        with pytest.raises(StepUpFailed):
            check_registration(SITE, sent, challenged)


@pytest.mark.parametrize(
    ("flags", "holds"),
    [
        (PRESENT | VERIFIED, True),
        (PRESENT | VERIFIED | ELIGIBLE, True),
        (PRESENT | VERIFIED | ELIGIBLE | BACKED_UP, True),
        (PRESENT, False),
        (VERIFIED, False),
        # A copy of what may not be copied.
        (PRESENT | VERIFIED | BACKED_UP, False),
    ],
)
def test_flags(flags: int, holds: bool) -> None:
    device = Authenticator(origin="https://example.org", flags=flags)
    challenge = bytes(32)
    options = {"rp": {"id": SITE.name}, "challenge": bytes_to_base64url(challenge)}
    answer = json.loads(device.create(options))
    if holds:
        made = check_registration(SITE, answer, challenge)
        assert made.credential_backed_up == bool(flags & BACKED_UP)
    else:
        with pytest.raises(StepUpFailed):
            check_registration(SITE, answer, challenge)
