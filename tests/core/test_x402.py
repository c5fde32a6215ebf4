"""The wire of x402: read strictly, written as the official parts read it."""

import json

import msgspec
import pytest
from tests.core.x402ing import authorized, body, permitted, requirement
from x402.schemas import SettleResponse, VerifyResponse

from sakk.core.x402 import (
    Invalid,
    Reason,
    Settled,
    Verified,
    check_terms,
    place_of,
    read_exact,
    read_hex,
    read_request,
    read_units,
)


def test_a_request_reads_whatever_else_it_holds() -> None:
    request = read_request(
        body(resource={"url": "https://api", "serviceName": "x"}, extensions={"bazaar": {}})
    )
    check_terms(request)
    assert request.payment_requirements.pay_to == requirement()["payTo"]
    assert request.payment_payload.resource is not None
    assert request.payment_payload.resource.url == "https://api"
    assert read_exact(request.payment_payload).authorization is not None
    by_permit = read_request(body(permitted()))
    assert read_exact(by_permit.payment_payload).permit2_authorization is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        body(wanted=requirement(amount=1000)),
        body(wanted=requirement(payTo="x" * 3_000)),
        body(wanted=requirement(maxTimeoutSeconds=-1)),
    ],
)
def test_what_is_no_request_is_said(content: bytes) -> None:
    with pytest.raises(ValueError):
        read_request(content)


def test_the_scheme_is_known_before_its_payload_is() -> None:
    assert place_of(body(wanted=requirement(scheme="upto"))) == ("upto", "eip155:84532")
    assert place_of(b'{"paymentRequirements":{"scheme":"exact"}}') == ("exact", "")
    assert place_of(b"{}") == ("", "")
    assert place_of(b"{") == ("", "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (body(version=1), Reason.invalid_version),
        (body(x402Version=1), Reason.invalid_version),
        (body(wanted=requirement(scheme="upto")), Reason.unsupported_scheme),
        (body(accepted=requirement(scheme="upto")), Reason.unsupported_scheme),
        (body(accepted=requirement(network="eip155:1")), Reason.network_mismatch),
    ],
)
def test_the_halves_are_of_one_kind(content: bytes, reason: Reason) -> None:
    with pytest.raises(Invalid) as refused:
        check_terms(read_request(content))
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    "payload",
    [{}, {"authorization": 7}, authorized() | permitted(), {"signature": "0x"}],
)
def test_a_payload_is_one_authorization(payload: object) -> None:
    with pytest.raises(Invalid) as refused:
        read_exact(read_request(body(payload)).payment_payload)
    assert refused.value.reason is Reason.invalid_payload


def test_numbers_and_bytes_are_read_strictly() -> None:
    assert read_units("0012", "value") == 12
    assert read_hex("0xAb", "nonce") == b"\xab"
    for text in ("", "-1", "1.0", "1e3", "٣", " 1", "9" * 78, "1" * 79):
        with pytest.raises(Invalid):
            read_units(text, "value")
    for text, length in (("ab", None), ("0xa", None), ("0xgg", None), ("0xab", 2)):
        with pytest.raises(Invalid):
            read_hex(text, "nonce", length=length)


def test_answers_are_read_by_the_official_models() -> None:
    bad = Verified(is_valid=False, payer="0x1", invalid_reason=Reason.expired)
    read = VerifyResponse.model_validate(json.loads(msgspec.json.encode(bad)))
    assert (read.is_valid, read.invalid_reason) == (False, Reason.expired.value)
    assert json.loads(msgspec.json.encode(Verified(is_valid=True))) == {"isValid": True}
    good = Settled(success=True, transaction="0xab", network="eip155:1", payer="0x1", amount="7")
    told = SettleResponse.model_validate(json.loads(msgspec.json.encode(good)))
    assert (told.success, told.transaction, told.amount) == (True, "0xab", "7")
