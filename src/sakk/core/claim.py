"""Claims: a link under which a payer says where money that is owed to them is to be sent.

The token in the link has 256 bits of randomness, like an API key's; only its SHA-256 is kept. It is
good for one address, until a time that the merchant sets, and a fresh link replaces it.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sakk.core.evm import checksum_address

TOKEN_RANDOM_BYTES = 32
TOKEN_LENGTH = 43
_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class ClaimStatus(StrEnum):
    """Where a claim stands, as its payer may know it."""

    open = "open"  # an address is awaited
    unconfirmed = "unconfirmed"  # one was looked at and is good; nothing is final
    given = "given"  # the money is on its way
    sent = "sent"  # it has arrived
    over = "over"  # too late, called off, or not possible


@dataclass(frozen=True, slots=True)
class ClaimNetwork:
    """A network on which the money can be sent: its CAIP-2 name, its own, and the token's."""

    network: str
    name: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What the holder of a link may know: how much, by whom, on which networks, and how far it is.

    ``address`` in lower case, once it is given or looked at; ``network_name`` is what people call
    the ``network`` that was given.
    """

    status: ClaimStatus
    merchant: str | None
    amount: int
    amount_decimal: str
    currency: str
    networks: Sequence[ClaimNetwork]
    network: str | None
    network_name: str | None
    address: str | None
    tx_hash: str | None
    expires_at: datetime | None
    livemode: bool


def make_token(random: bytes) -> str:
    """A token of 43 characters that need no escaping in a URL (base64url, RFC 4648 section 5)."""
    if len(random) != TOKEN_RANDOM_BYTES:
        raise ValueError(f"random must be {TOKEN_RANDOM_BYTES} bytes")
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def is_token(text: str) -> bool:
    """Could this be a token at all?"""
    return len(text) == TOKEN_LENGTH and _CHARACTERS.issuperset(text)


def token_hash(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def claim_path(token: str) -> str:
    """Where a claim is made, below the server's public address."""
    return f"/refund_claims/{token}"


def public(claim: Claim) -> dict[str, Any]:
    """The object ``refund_claim``, for who holds the link."""
    return {
        "object": "refund_claim",
        "amount": claim.amount,
        "amount_decimal": claim.amount_decimal,
        "currency": claim.currency,
        "destination": None
        if claim.address is None
        else {"network": claim.network, "address": checksum_address(claim.address)},
        "expires_at": None if claim.expires_at is None else int(claim.expires_at.timestamp()),
        "livemode": claim.livemode,
        "merchant": claim.merchant,
        "networks": [
            {"network": each.network, "name": each.name, "symbol": each.symbol}
            for each in claim.networks
        ],
        "status": claim.status.value,
        "tx_hash": claim.tx_hash,
    }
