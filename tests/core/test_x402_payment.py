"""Payments by ``exact``: what a request pays, and every reason why it does not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.core.x402ing import (
    KEY,
    NETWORK,
    NONCE,
    NOW,
    PAY_TO,
    PAYER,
    SOON,
    TOKEN,
    authorized,
    body,
    permitted,
    requirement,
    wrapped,
)
from x402.mechanisms.evm.erc6492 import parse_erc6492_signature

from sakk.core import eip3009, permit2
from sakk.core.eip3009 import domain_separator
from sakk.core.x402 import Invalid, Reason, read_request
from sakk.core.x402_payment import (
    Claim,
    Method,
    X402Payment,
    X402Status,
    bad_signature,
    check_domain,
    check_times,
    encode_call,
    is_signed,
    public,
    read_claim,
    settled,
    undeployed,
)

SEPARATOR = domain_separator("USDC", "2", 84532, TOKEN.lower())


def claim(payload: Any = None, **wanted: Any) -> Claim:
    return read_claim(read_request(body(payload, wanted=requirement(**wanted))))


def payment(**changes: Any) -> X402Payment:
    read = claim()
    fields: dict[str, Any] = {
        "id": "xp_1",
        "account_id": "acct_1",
        "livemode": False,
        "network": NETWORK,
        "asset": read.asset,
        "method": read.method.value,
        "verifier": read.verifier,
        "payer": read.payer,
        "nonce": read.nonce,
        "pay_to": read.pay_to,
        "token_amount": read.units,
        "valid_after": read.valid_after,
        "valid_before": read.valid_before,
        "signature": read.signature,
        "by_key": True,
        "status": X402Status.requested.value,
        "created": NOW,
    }
    return X402Payment(**fields | changes)


def test_both_kinds_are_read_and_signed() -> None:
    one, other = claim(), claim(permitted())
    assert (one.method, one.verifier) == (Method.eip3009, TOKEN.lower())
    assert one.key == (one.network, TOKEN.lower(), one.payer, one.nonce)
    assert (one.payer, one.pay_to, one.units, one.nonce) == (PAYER.lower(), PAY_TO, 1000, NONCE)
    assert (other.method, other.verifier) == (Method.permit2, permit2.PERMIT2)
    assert (other.nonce, other.valid_before) == (f"0x{7:064x}", SOON)
    assert is_signed(one, SEPARATOR)
    assert is_signed(other, b"")
    for each in (one, other):
        assert not is_signed(replace(each, units=1001), SEPARATOR)
        assert not is_signed(replace(each, payer=PAY_TO), SEPARATOR)
        assert not is_signed(replace(each, signature=bytes(65)), SEPARATOR)
        assert not is_signed(replace(each, signature=each.signature[:64]), SEPARATOR)
    assert encode_call(one) == (
        TOKEN.lower(),
        eip3009.encode_call(one.authorization, one.signature),
    )
    assert encode_call(other) == (
        permit2.EXACT_PROXY,
        permit2.encode_call(other.permit, other.signature),
    )
    assert payment().claim == one


OTHER = "0x" + "c3" * 20


@pytest.mark.parametrize(
    ("payload", "wanted", "reason"),
    [
        (None, {"scheme": "upto"}, Reason.unsupported_scheme),
        (None, {"asset": "USDC"}, Reason.asset_unknown),
        (None, {"network": "solana:x"}, Reason.asset_unknown),
        (None, {"payTo": OTHER}, Reason.recipient_mismatch),
        (None, {"payTo": "merchant"}, Reason.invalid_payload),
        (None, {"amount": "1001"}, Reason.value_mismatch),
        (None, {"amount": "0"}, Reason.invalid_requirements),
        (None, {"amount": "$1"}, Reason.invalid_requirements),
        (authorized(nonce="0x07" * 1 + "00"), {}, Reason.invalid_payload),
        (authorized() | {"signature": "zz"}, {}, Reason.invalid_payload),
        ({"authorization": authorized()["authorization"] | {"from": "me"}}, {}, "invalid_payload"),
        ({"authorization": authorized()["authorization"] | {"value": "x"}}, {}, "invalid_payload"),
        (permitted(spender=OTHER), {}, Reason.permit2_spender),
        (permitted(), {"payTo": OTHER}, Reason.permit2_recipient),
        (permitted(), {"amount": "1001"}, Reason.permit2_amount),
        (permitted(token=OTHER), {}, Reason.permit2_token),
    ],
)
def test_each_refusal_has_its_reason(payload: Any, wanted: dict[str, Any], reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        claim(payload, **wanted)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (timedelta(0), None),
        (timedelta(seconds=54), None),
        (timedelta(seconds=55), (Reason.expired, Reason.permit2_expired)),
        (timedelta(seconds=-11), (Reason.not_yet_valid, Reason.permit2_not_yet_valid)),
    ],
)
def test_it_is_good_in_its_time(after: timedelta, reason: tuple[Reason, Reason] | None) -> None:
    since = str(int(NOW.timestamp()) - 10)
    for place, each in enumerate((authorized(validAfter=since), permitted(validAfter=since))):
        if reason is None:
            check_times(claim(each), NOW + after)
            continue
        with pytest.raises(Invalid) as refused:
            check_times(claim(each), NOW + after)
        assert refused.value.reason is reason[place]


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"name": "USDC", "version": "2"}, None),
        ({}, Reason.missing_domain),
        ({"name": "USDC", "version": 2}, Reason.missing_domain),
        ({"name": "USD Coin", "version": "2"}, Reason.name_mismatch),
        ({"name": "USDC", "version": "1"}, Reason.version_mismatch),
    ],
)
def test_the_domain_is_the_tokens(extra: dict[str, Any], reason: Reason | None) -> None:
    wanted = read_request(body(wanted=requirement(extra=extra))).payment_requirements
    if reason is None:
        check_domain(wanted, name="USDC", version="2")
        return
    with pytest.raises(Invalid) as refused:
        check_domain(wanted, name="USDC", version="2")
    assert refused.value.reason is reason


def test_a_signature_is_read_out_of_what_would_create_its_wallet() -> None:
    """A wallet that stands is asked as if that were not there; for none that does not it counts."""
    plain = authorized()
    found = claim(plain | {"signature": wrapped(plain["signature"])})
    assert (found, found.creates) == (claim(plain), True), "it is the same payment"
    assert (
        parse_erc6492_signature(bytes.fromhex(wrapped(plain["signature"])[2:])).inner_signature
        == found.signature
    )
    assert undeployed(found).reason is Reason.factory_not_allowed
    assert undeployed(claim(plain)).reason is Reason.invalid_signature
    longer = claim(plain | {"signature": "0x" + "22" * 130})
    assert undeployed(longer).reason is Reason.undeployed_wallet
    good = wrapped(plain["signature"])
    for broken in ("0x" + "6492" * 16, "0x" + good[66:], good[:130] + "f" + good[131:]):
        with pytest.raises(Invalid) as refused:
            claim(plain | {"signature": broken})
        assert refused.value.reason is Reason.invalid_payload


def test_a_signature_that_is_nobodys_is_named_by_its_kind() -> None:
    assert bad_signature(claim()).reason is Reason.invalid_signature
    assert bad_signature(claim(permitted())).reason is Reason.permit2_signature


@pytest.mark.parametrize(
    ("changes", "success", "reason"),
    [
        ({"status": X402Status.settled.value, "tx_hash": "0xab"}, True, None),
        ({"status": X402Status.posted.value, "tx_hash": "0xab"}, True, None),
        ({"status": X402Status.sent.value, "tx_hash": "0xab"}, False, "settlement_pending"),
        ({"status": X402Status.requested.value}, False, "settlement_pending"),
        ({"status": X402Status.failed.value}, False, "transaction_failed"),
        (
            {"status": "failed", "failure_code": "declined", "failure_message": "no"},
            False,
            "declined",
        ),
    ],
)
def test_what_is_answered(changes: dict[str, Any], success: bool, reason: str | None) -> None:
    told = settled(payment(**changes))
    assert (told.success, told.error_reason) == (success, reason)
    assert told.transaction == changes.get("tx_hash", "")
    assert told.payer == PAYER
    assert told.amount == ("1000" if success else None)


def test_its_object() -> None:
    shown = public(payment(tx_hash="0xab"), payin="pin_1")
    assert (shown["payer"], shown["token_amount"], shown["payin"]) == (PAYER, "1000", "pin_1")
    assert KEY not in str(shown)
