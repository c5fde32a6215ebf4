"""Claim tokens: of one form, unguessable, and kept only as a hash."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sakk.core.claim import (
    TOKEN_LENGTH,
    Claim,
    ClaimNetwork,
    ClaimStatus,
    claim_path,
    is_token,
    make_token,
    public,
    token_hash,
)


def test_a_token_needs_no_escaping_and_carries_all_of_its_randomness() -> None:
    token = make_token(bytes(range(256 - 32, 256)))
    assert len(token) == TOKEN_LENGTH
    assert is_token(token)
    assert make_token(bytes(32)) != token
    assert claim_path(token).endswith(token)


def test_a_short_random_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        make_token(bytes(31))


@pytest.mark.parametrize("text", ["", "a" * 42, "a" * 44, "a" * 42 + "/", "a" * 42 + "\n"])
def test_what_is_no_token(text: str) -> None:
    assert not is_token(text)


def test_what_is_kept_is_not_the_token() -> None:
    token = make_token(bytes(32))
    assert token_hash(token) == token_hash(token)
    assert token not in token_hash(token)
    assert len(token_hash(token)) == 64


def test_what_the_holder_of_a_link_may_know() -> None:
    claim = Claim(
        status=ClaimStatus.open,
        merchant="Shop",
        amount=25_000_000,
        amount_decimal="25.000000",
        currency="usdc",
        networks=[ClaimNetwork("eip155:1", "Ethereum", "USDC")],
        network=None,
        network_name=None,
        address=None,
        tx_hash=None,
        expires_at=datetime(2026, 1, 2, tzinfo=UTC),
        livemode=True,
    )
    shown = public(claim)
    assert (shown["status"], shown["destination"], shown["expires_at"]) == (
        "open",
        None,
        1767312000,
    )
    assert shown["networks"] == [{"network": "eip155:1", "name": "Ethereum", "symbol": "USDC"}]
    given = replace(claim, network="eip155:1", address="0x" + "ab" * 20, expires_at=None)
    assert public(given)["destination"]["network"] == "eip155:1"
    assert public(given)["expires_at"] is None
