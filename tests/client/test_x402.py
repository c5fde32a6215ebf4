"""The wire of HTTP 402 as a payer and a seller read it: what passes, and what is refused."""

import base64
import json
from typing import Any

import pytest

from sakk.client.x402 import (
    AMOUNT_MAX,
    VERSION,
    Challenge,
    Payment,
    Requirement,
    Resource,
    Settlement,
    X402Error,
    decode_header,
    encode_header,
    read_challenge,
    units_of,
)

# As the specification's example writes it, with fields that this version does not know.
ACCEPTS: dict[str, Any] = {
    "scheme": "exact",
    "network": "eip155:84532",
    "amount": "10000",
    "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
    "maxTimeoutSeconds": 60,
    "extra": {"name": "USDC", "version": "2"},
    "newer": True,
}
REQUIRED: dict[str, Any] = {
    "x402Version": 2,
    "error": "PAYMENT-SIGNATURE header is required",
    "resource": {"url": "https://api.example/premium", "mimeType": "application/json"},
    "accepts": [ACCEPTS],
    "extensions": {"bazaar": {"info": {}}},
}


def header(document: Any) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def test_a_challenge_is_read_from_its_header_or_its_body() -> None:
    for challenge in (
        read_challenge(header(REQUIRED), b"<html>"),
        read_challenge(None, json.dumps(REQUIRED).encode()),
    ):
        assert challenge.resource == Resource(
            "https://api.example/premium", None, "application/json"
        )
        [offer] = challenge.accepts
        assert (offer.pay_to, offer.units, offer.max_timeout_seconds) == (
            ACCEPTS["payTo"],
            10_000,
            60,
        )
        assert offer.extra == {"name": "USDC", "version": "2"}
        assert challenge.extensions == {"bazaar": {"info": {}}}


def test_what_is_written_is_camel_case_and_leaves_out_what_is_absent() -> None:
    offer = Requirement("exact", "eip155:1", "0xA", "1", "0xB", 60)
    payment = Payment(VERSION, {"signature": "0x"}, offer)
    assert (
        json.loads(base64.b64decode(encode_header(payment)))
        == {
            "x402Version": 2,
            "payload": {"signature": "0x"},
            "accepted": {
                "scheme": "exact",
                "network": "eip155:1",
                "asset": "0xA",
                "amount": "1",
                "payTo": "0xB",
                "maxTimeoutSeconds": 60,
                "extra": {},
            },
        }
        | {}
    )
    assert decode_header(encode_header(payment), Payment) == payment
    settled = Settlement(success=True, transaction="0x01", network="eip155:1")
    assert json.loads(base64.b64decode(encode_header(settled))) == {
        "success": True,
        "transaction": "0x01",
        "network": "eip155:1",
    }


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no base64!", "JSON in base64"),
        (base64.b64encode(b"{").decode(), "JSON in base64"),
        (header([]), "JSON in base64"),
        (header({"x402Version": 2}), "accepts"),
        (header(REQUIRED | {"x402Version": 1}), "version 1 is not spoken"),
        (header(REQUIRED | {"accepts": [ACCEPTS] * 65}), "more than 64 ways"),
        (header(REQUIRED | {"accepts": [ACCEPTS | {"amount": 10}]}), "amount"),
        ("A" * 70_000, "longer than 65536"),
    ],
)
def test_what_is_no_challenge_is_refused(value: str, said: str) -> None:
    with pytest.raises(X402Error, match=said):
        read_challenge(value, b"")


def test_a_body_that_is_no_challenge_is_refused() -> None:
    with pytest.raises(X402Error, match="does not say how to pay"):
        read_challenge(None, b"<html>Payment required</html>")


@pytest.mark.parametrize(
    "amount", ["", "-1", "+1", "1.0", "1e3", " 1", "١", "9" * 79, str(AMOUNT_MAX + 1)]
)
def test_an_amount_is_digits_that_fit_256_bits(amount: str) -> None:
    with pytest.raises(X402Error, match="amount"):
        units_of(amount)


def test_the_largest_and_the_smallest_amount() -> None:
    assert (units_of("0"), units_of(str(AMOUNT_MAX))) == (0, AMOUNT_MAX)
    assert Challenge(VERSION, []).accepts == []
