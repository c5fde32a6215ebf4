"""Claims: a link under which a payer says where money that is owed to them is to be sent.

The token in the link has 256 bits of randomness, like an API key's; only its SHA-256 is kept. It is
good for one address, until a time that the merchant sets, and a fresh link replaces it.
"""

import base64
import hashlib

TOKEN_RANDOM_BYTES = 32
TOKEN_LENGTH = 43
_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


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
