"""API keys: high-entropy tokens that stand for an account in one mode.

``sk_test_…`` and ``sk_live_…`` may do everything the account may; ``rk_…`` only what its scopes
name. Only the SHA-256 of a token is kept: a token has 256 bits of randomness, so a slow hash would
add cost and no safety.
"""

import hashlib
import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sakk.core import ids
from sakk.core.errors import ApiKeyExpired, AuthenticationFailed, ParameterInvalid

PREFIX = "key"
TOKEN_RANDOM_BYTES = 32
TOKEN_LENGTH_MAX = 128
ADDRESSES_MAX = 50
SHOWN_CHARACTERS = 4


class KeyKind(StrEnum):
    secret = "secret"  # noqa: S105 - the name of a kind
    restricted = "restricted"


_LETTERS = {KeyKind.secret: "sk", KeyKind.restricted: "rk"}
TOKEN_PREFIXES = tuple(
    f"{letters}_{mode}_" for letters in _LETTERS.values() for mode in ("test", "live")
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A stored key. ``scopes`` are empty for a secret key, which has them all.

    ``person``: whose it is, for a key of the operator's people. ``mandate``: under which alone it
    may spend, for an agent's key.
    """

    id: str
    account_id: str
    livemode: bool
    kind: str
    name: str | None
    token_hash: bytes
    prefix: str
    last4: str
    scopes: list[str]
    allowed_addresses: list[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    created: datetime
    person: str | None = None
    mandate: str | None = None


def token_prefix(kind: KeyKind, *, livemode: bool) -> str:
    """How a token of this kind begins: ``sk_test_``."""
    return f"{_LETTERS[kind]}_{'live' if livemode else 'test'}_"


def format_token(kind: KeyKind, *, livemode: bool, random: bytes) -> str:
    """Write a token: the prefix and 52 base32 characters of 32 random bytes."""
    if len(random) != TOKEN_RANDOM_BYTES:
        raise ValueError(f"a token takes {TOKEN_RANDOM_BYTES} random bytes")
    value = int.from_bytes(random, "big")
    body = "".join(ids.ALPHABET[(value >> shift) & 31] for shift in range(255, -5, -5))
    return token_prefix(kind, livemode=livemode) + body


def token_hash(token: str) -> bytes:
    """What is stored of a token and looked up."""
    return hashlib.sha256(token.encode()).digest()


def is_token(text: str) -> bool:
    """Could this be one of our tokens? Says nothing about whether it exists."""
    if len(text) > TOKEN_LENGTH_MAX or not text.startswith(TOKEN_PREFIXES):
        return False
    body = text.rpartition("_")[2]
    return body.isascii() and body.isalnum()


def masked(prefix: str, last4: str) -> str:
    """A token as it may be shown again."""
    return f"{prefix}…{last4}"


def check_usable(key: ApiKey, *, now: datetime, address: str | None) -> None:
    """Raise AuthenticationFailed for a key that is revoked, expired or used from elsewhere."""
    shown = masked(key.prefix, key.last4)
    if key.revoked_at is not None and key.revoked_at <= now:
        raise AuthenticationFailed(f"The API key {shown} was revoked. Use another key.")
    if key.expires_at is not None and key.expires_at <= now:
        raise ApiKeyExpired(f"The API key {shown} has expired. Create a new one.")
    if key.allowed_addresses and not address_allowed(address, key.allowed_addresses):
        raise AuthenticationFailed(
            f"The API key {shown} may not be used from this IP address."
            " Use it from an address in its allow-list, or change the list."
        )


def address_allowed(address: str | None, allowed: Sequence[str]) -> bool:
    """Is an IP address in one of the networks? An address that is not known is not."""
    if address is None:
        return False
    try:
        candidate = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(candidate, "ipv4_mapped", None)
    if mapped is not None:
        candidate = mapped
    return any(candidate in ipaddress.ip_network(entry) for entry in allowed)


def read_addresses(entries: Sequence[str]) -> list[str]:
    """Check an allow-list of IP addresses and networks, in canonical form."""
    if len(entries) > ADDRESSES_MAX:
        raise ParameterInvalid(
            "allowed_addresses has at most {addresses_max} entries.",
            param="allowed_addresses",
            addresses_max=ADDRESSES_MAX,
        )
    canonical = []
    for index, entry in enumerate(entries):
        try:
            canonical.append(str(ipaddress.ip_network(entry)))
        except ValueError as error:
            raise ParameterInvalid(
                "{entry} is not an IP address or network (like 203.0.113.7 or 10.0.0.0/8).",
                param=f"allowed_addresses[{index}]",
                entry=repr(entry),
            ) from error
    return canonical


def allows(key: ApiKey, scope: str) -> bool:
    """May this key do what the scope names? ``…:write`` does not include ``…:read``."""
    return key.kind == KeyKind.secret or scope in key.scopes


def read_scopes(scopes: Sequence[str], known: Collection[str]) -> list[str]:
    """Check scopes against those that exist; sorted, each once."""
    for index, scope in enumerate(scopes):
        if scope not in known:
            raise ParameterInvalid(
                "There is no scope {scope}; scopes look like 'payment_intents:write'.",
                param=f"scopes[{index}]",
                scope=repr(scope),
            )
    return sorted(set(scopes))


def public_api_key(key: ApiKey, *, secret: str | None = None) -> dict[str, Any]:
    """The API's object ``api_key``; ``secret`` is there in the answer to its creation only."""
    return {
        "id": key.id,
        "object": "api_key",
        "account": key.account_id,
        "kind": key.kind,
        "name": key.name,
        "prefix": key.prefix,
        "last4": key.last4,
        "secret": secret,
        "scopes": key.scopes,
        "allowed_addresses": key.allowed_addresses,
        "expires_at": None if key.expires_at is None else int(key.expires_at.timestamp()),
        "revoked_at": None if key.revoked_at is None else int(key.revoked_at.timestamp()),
        "person": key.person,
        "mandate": key.mandate,
        "metadata": {},
        "created": int(key.created.timestamp()),
        "livemode": key.livemode,
    }
