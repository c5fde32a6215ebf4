"""Both sides compute the same bytes."""

import hashlib

import pytest
from tests.core.test_session import (
    CHANNEL,
    CLOSING,
    KEY,
    OPENING,
    PAYEE,
    QUERY,
    REVOCATION,
    SESSION,
    VOUCHER,
)

from sakk.client import session as client
from sakk.core import session as core


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/", core.NO_BODY),
        ("POST", "/a/%C3%A9?b=1&c=%20", hashlib.sha256(b"x").digest()),
        ("DELETE", "/" + "x" * 4_000, core.NO_BODY),
    ],
)
def test_requests_are_hashed_alike(method: str, target: str, body: bytes) -> None:
    ours = core.request_hash(method.encode(), target.encode(), body)
    assert client.request_hash(method.lower(), target, body) == ours


@pytest.mark.parametrize("nonce", [0, 7, core.NONCE_MAX])
@pytest.mark.parametrize("amount", [1, (1 << 128) - 2])
def test_macs_are_alike(nonce: int, amount: int) -> None:
    request = core.request_hash(b"GET", b"/")
    session, payee = core.uuid_bytes(SESSION), core.uuid_bytes(PAYEE)
    assert client.call_mac(
        KEY, SESSION, nonce=nonce, amount=amount, payee=PAYEE, request=request
    ) == core.call_mac(KEY, session, nonce=nonce, amount=amount, payee=payee, request=request)
    for step in (1, 2):
        assert client.receipt_mac(
            KEY,
            SESSION,
            step=step,
            nonce=nonce,
            amount=amount,
            units=3,
            payee=PAYEE,
            request=request,
            timestamp=9,
        ) == core.receipt_mac(
            KEY,
            session,
            step=step,
            nonce=nonce,
            amount=amount,
            units=3,
            payee=payee,
            request=request,
            timestamp=9,
        )


def _message(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in type(record).__slots__}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "record", "ours"),
    [
        ("OpenSession", OPENING, core.open_digest(OPENING)),
        ("Voucher", VOUCHER, core.voucher_digest(VOUCHER)),
        ("Query", QUERY, core.query_digest(QUERY)),
        ("Close", CLOSING, core.close_digest(CLOSING)),
        ("Revoke", REVOCATION, core.revoke_digest(REVOCATION)),
    ],
)
def test_what_is_signed_is_alike(kind: str, record: object, ours: bytes) -> None:
    message = _message(record)
    assert client.digest(kind, message) == ours
    assert client.typed_data(kind, message)["message"] == message


@pytest.mark.parametrize(
    "identifier", ["", "ses_", "ses_u" + "0" * 25, "ses_" + "z" * 26, SESSION[4:]]
)
def test_what_is_no_id(identifier: str) -> None:
    for uuid_bytes in (client.uuid_bytes, core.uuid_bytes):
        with pytest.raises(ValueError, match="not an identifier"):
            uuid_bytes(identifier)
    assert client.uuid_bytes(CHANNEL) == core.uuid_bytes(CHANNEL)
