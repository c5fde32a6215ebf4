"""The rules of API keys."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sakk.core.api_key import (
    ADDRESSES_MAX,
    ApiKey,
    KeyKind,
    address_allowed,
    allows,
    check_usable,
    format_token,
    is_token,
    masked,
    public_api_key,
    read_addresses,
    read_scopes,
    token_hash,
)
from sakk.core.errors import ApiKeyExpired, AuthenticationFailed, ParameterInvalid

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TOKEN = format_token(KeyKind.secret, livemode=False, random=bytes(range(32)))
KEY = ApiKey(
    id="key_1",
    account_id="acct_1",
    livemode=False,
    kind=KeyKind.secret,
    name=None,
    token_hash=token_hash(TOKEN),
    prefix="sk_test_",
    last4=TOKEN[-4:],
    scopes=[],
    allowed_addresses=[],
    expires_at=None,
    revoked_at=None,
    created=NOW,
)


@pytest.mark.parametrize(
    ("kind", "livemode", "prefix"),
    [
        (KeyKind.secret, False, "sk_test_"),
        (KeyKind.secret, True, "sk_live_"),
        (KeyKind.restricted, False, "rk_test_"),
        (KeyKind.restricted, True, "rk_live_"),
    ],
)
def test_tokens(kind: KeyKind, livemode: bool, prefix: str) -> None:
    token = format_token(kind, livemode=livemode, random=b"\xff" * 32)
    assert token.startswith(prefix)
    assert len(token) == len(prefix) + 52
    assert is_token(token)


def test_a_token_keeps_every_random_bit() -> None:
    tokens = {
        format_token(KeyKind.secret, livemode=False, random=(1 << bit).to_bytes(32, "big"))
        for bit in range(256)
    }
    assert len(tokens) == 256


def test_a_token_needs_its_randomness() -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        format_token(KeyKind.secret, livemode=False, random=b"short")


@pytest.mark.parametrize(
    "text", ["", "sk_test_", "pk_test_abc", "sk_test_a b", "sk_test_é", "sk_test_" + "a" * 200]
)
def test_what_is_no_token(text: str) -> None:
    assert not is_token(text)


def test_a_usable_key() -> None:
    check_usable(KEY, now=NOW, address=None)
    check_usable(replace(KEY, expires_at=NOW + timedelta(seconds=1)), now=NOW, address=None)
    check_usable(replace(KEY, allowed_addresses=["10.0.0.0/8"]), now=NOW, address="10.1.2.3")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"revoked_at": NOW}, AuthenticationFailed),
        ({"expires_at": NOW}, ApiKeyExpired),
        ({"allowed_addresses": ["10.0.0.0/8"]}, AuthenticationFailed),
    ],
)
def test_a_key_that_is_not_usable(changes: dict[str, object], error: type[Exception]) -> None:
    key = replace(KEY, **changes)  # type: ignore[arg-type]
    with pytest.raises(error) as caught:
        check_usable(key, now=NOW, address="192.0.2.1")
    assert TOKEN not in str(caught.value)
    assert masked(KEY.prefix, KEY.last4) in str(caught.value)


@pytest.mark.parametrize(
    ("address", "allowed", "expected"),
    [
        ("10.0.0.1", ["10.0.0.0/8"], True),
        ("11.0.0.1", ["10.0.0.0/8", "11.0.0.1/32"], True),
        ("12.0.0.1", ["10.0.0.0/8", "11.0.0.1/32"], False),
        ("::ffff:10.0.0.1", ["10.0.0.0/8"], True),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("2001:db8::1", ["10.0.0.0/8"], False),
        ("nonsense", ["0.0.0.0/0"], False),
        (None, ["0.0.0.0/0"], False),
    ],
)
def test_allow_lists(address: str | None, allowed: list[str], expected: bool) -> None:
    assert address_allowed(address, allowed) is expected


def test_reading_allow_lists() -> None:
    assert read_addresses(["192.0.2.7", "10.0.0.0/8"]) == ["192.0.2.7/32", "10.0.0.0/8"]
    with pytest.raises(ParameterInvalid) as caught:
        read_addresses(["192.0.2.7", "10.0.0.1/8"])
    assert caught.value.param == "allowed_addresses[1]"
    with pytest.raises(ParameterInvalid):
        read_addresses(["10.0.0.1"] * (ADDRESSES_MAX + 1))


def test_scopes() -> None:
    restricted = replace(KEY, kind=KeyKind.restricted, scopes=["payouts:read"])
    assert allows(KEY, "payouts:write")
    assert allows(restricted, "payouts:read")
    assert not allows(restricted, "payouts:write")
    assert read_scopes(["b", "a", "b"], {"a", "b"}) == ["a", "b"]
    with pytest.raises(ParameterInvalid) as caught:
        read_scopes(["a", "c"], {"a", "b"})
    assert caught.value.param == "scopes[1]"


def test_a_key_is_shown_without_its_token_or_hash() -> None:
    shown = public_api_key(replace(KEY, expires_at=NOW, revoked_at=NOW))
    assert shown["secret"] is None
    assert shown["expires_at"] == shown["revoked_at"] == int(NOW.timestamp())
    assert TOKEN not in repr(shown)
    assert "token_hash" not in shown
    assert public_api_key(KEY, secret=TOKEN)["secret"] == TOKEN
