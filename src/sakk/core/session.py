"""Sessions: a key on a channel, by which each call is paid with one MAC.

What a payer signs once (open, voucher, query, close, revoke) is EIP-712 typed data of the domain
``{name: "Sakk sessions", version: "1"}``; what it sends with every call is HMAC-SHA256 under the
session's key. Every input begins with a name of its own and has fixed widths, numbers big-endian,
ids as the 16 bytes of their UUIDs. The whole scheme, with vectors, is written down in
docs/reference/session-scheme.md.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sakk.core import ids
from sakk.core.evm import keccak256

PREFIX: Final = "ses"
SCHEME: Final = "session"
NETWORK_PREFIX: Final = "sakk:"
KEY_BYTES: Final = 32
# 63 bits: a nonce is half of the id under which the ledger books its charge.
NONCE_MAX: Final = (1 << 63) - 1
HANDLE_BITS: Final = 62
# A signed request may be shown again until its deadline, and no deadline is further away.
DEADLINE_MAX: Final = timedelta(minutes=10)
# A process goes on admitting the sessions that it remembers for at most so long after it began to
# ask which of them were revoked. So long a revocation waits before it says that it is done.
ADMITTED_SECONDS: Final = 0.5

_REQUEST: Final = b"sakk.request.1"
_CALL: Final = b"sakk.call.1"
_RECEIPT: Final = b"sakk.receipt.1"
_HANDLE: Final = b"sakk.session.handle.1"
_CALL_BODY = struct.Struct(">11s16sQ16s16s32s")
_RECEIPT_BODY = struct.Struct(">14sB16sQ16sQ16s16sQ")
NO_BODY: Final = bytes(32)
REQUEST_ID_BYTES: Final = 16

_DOMAIN_TYPE: Final = "EIP712Domain(string name,string version)"
_OPEN_TYPE: Final = (
    "OpenSession(string network,address signer,string mandate,string channel,string payee,"
    "string currency,uint256 ceiling,bytes32 salt,uint64 deadline)"
)
_VOUCHER_TYPE: Final = (
    "Voucher(string network,string channel,uint256 ceiling,uint256 spent,uint64 charges,"
    "bytes32 head)"
)
_QUERY_TYPE: Final = "Query(string network,address signer,string channel,uint64 deadline)"
_CLOSE_TYPE: Final = (
    "Close(string network,string channel,uint256 spent,uint64 charges,bytes32 head,uint64 deadline)"
)
_REVOKE_TYPE: Final = "Revoke(string network,string session,uint64 deadline)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A row. The key is not in it: it follows from the vault's key and the id.

    ``handle``: 62 bits, half of the ids of its charges. ``salt``: by which its opening is the same
    when it is sent again. ``revoked_at``: from then on nothing is reserved by it.
    """

    id: str
    channel_id: str
    handle: int
    salt: bytes
    expires_at: datetime
    revoked_at: datetime | None = None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a payer signs to open a session.

    ``channel`` empty: a new channel. ``mandate`` empty: none. ``ceiling``: what may be charged on
    the channel altogether, in the currency's smallest unit; on an open channel nothing below what
    stands there changes it.
    """

    network: str
    signer: str
    mandate: str
    channel: str
    payee: str
    currency: str
    ceiling: int
    salt: bytes
    deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherBody:
    """What a payer signs to raise a channel's ceiling; with what it has seen of the charges."""

    network: str
    channel: str
    ceiling: int
    spent: int
    charges: int
    head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a payer signs to be told where a channel stands; ``channel`` empty: all of its own."""

    network: str
    signer: str
    channel: str
    deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What a payer signs to close a channel; with what it has seen of the charges."""

    network: str
    channel: str
    spent: int
    charges: int
    head: bytes
    deadline: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What a payer signs to end one session; its channel and the others on it go on."""

    network: str
    session: str
    deadline: int


def network_of(operator_account: str) -> str:
    """The name of this installation among networks (CAIP-2): it follows from its operator's id."""
    return NETWORK_PREFIX + operator_account.rpartition("_")[2]


def handle_of(identifier: str) -> int:
    """The 62 bits by which a session's charges stand in the ledger."""
    digest = hashlib.blake2b(_HANDLE + identifier.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - HANDLE_BITS)


def uuid_bytes(identifier: str) -> bytes:
    """The 16 bytes of an id; ValueError if it is none."""
    return ids.decode(identifier)[1].to_bytes(16, "big")


def request_hash(method: bytes, target: bytes, body_hash: bytes = NO_BODY) -> bytes:
    """What a call pays for: method and target as they stand in the request line, and the body.

    ``body_hash``: SHA-256 of the body, or zeros where the payer does not bind it.
    """
    head = struct.pack(">H", len(method)) + method + struct.pack(">I", len(target)) + target
    return hashlib.sha256(_REQUEST + head + body_hash).digest()


def call_mac(
    key: bytes, session: bytes, *, nonce: int, amount: int, payee: bytes, request: bytes
) -> bytes:
    """The payer's word for one call. ``session`` and ``payee``: 16 bytes, ``request``: its hash."""
    body = _CALL_BODY.pack(_CALL, session, nonce, amount.to_bytes(16, "big"), payee, request)
    return hmac.digest(key, body, "sha256")


def receipt_mac(
    key: bytes,
    session: bytes,
    *,
    step: int,
    nonce: int,
    amount: int,
    units: int,
    payee: bytes,
    request: bytes,
    timestamp: int,
) -> bytes:
    """The authority's word for one call; ``step``: 1 reserved, 2 committed.

    ``request``: the first 16 bytes of its hash. ``timestamp``: the ledger's, in ns.
    """
    body = _RECEIPT_BODY.pack(
        _RECEIPT,
        step,
        session,
        nonce,
        amount.to_bytes(16, "big"),
        units,
        payee,
        request[:REQUEST_ID_BYTES],
        timestamp,
    )
    return hmac.digest(key, body, "sha256")


def open_digest(opening: Opening) -> bytes:
    """The 32 bytes that a payer signs to open a session."""
    return _digest(
        _OPEN_TYPE,
        _text(opening.network),
        bytes(12) + bytes.fromhex(opening.signer[2:]),
        _text(opening.mandate),
        _text(opening.channel),
        _text(opening.payee),
        _text(opening.currency),
        _number(opening.ceiling),
        opening.salt,
        _number(opening.deadline),
    )


def voucher_digest(voucher: VoucherBody) -> bytes:
    """The 32 bytes that a payer signs to raise a ceiling."""
    return _digest(
        _VOUCHER_TYPE,
        _text(voucher.network),
        _text(voucher.channel),
        _number(voucher.ceiling),
        _number(voucher.spent),
        _number(voucher.charges),
        voucher.head,
    )


def query_digest(query: Query) -> bytes:
    """The 32 bytes that a payer signs to be told where it stands."""
    return _digest(
        _QUERY_TYPE,
        _text(query.network),
        bytes(12) + bytes.fromhex(query.signer[2:]),
        _text(query.channel),
        _number(query.deadline),
    )


def close_digest(closing: Closing) -> bytes:
    """The 32 bytes that a payer signs to close a channel."""
    return _digest(
        _CLOSE_TYPE,
        _text(closing.network),
        _text(closing.channel),
        _number(closing.spent),
        _number(closing.charges),
        closing.head,
        _number(closing.deadline),
    )


def revoke_digest(revocation: Revocation) -> bytes:
    """The 32 bytes that a payer signs to end a session."""
    return _digest(
        _REVOKE_TYPE,
        _text(revocation.network),
        _text(revocation.session),
        _number(revocation.deadline),
    )


def deadline_fault(deadline: int, now: datetime) -> str | None:
    """What is wrong with a signed request's time, for the caller; None if nothing."""
    left = deadline - now.timestamp()
    if left < 0:
        return "The deadline has passed. Sign the request again, and check the clock."
    if left > DEADLINE_MAX.total_seconds():
        minutes = int(DEADLINE_MAX.total_seconds()) // 60
        return f"The deadline is more than {minutes} minutes away. Sign a nearer one."
    return None


def public_session(session: Session, *, livemode: bool) -> dict[str, Any]:
    """The API's object ``session``, without its key."""
    return {
        "id": session.id,
        "object": "session",
        "channel": session.channel_id,
        "created": int(session.created.timestamp()),
        "expires_at": int(session.expires_at.timestamp()),
        "livemode": livemode,
        "metadata": {},
        "revoked_at": None if session.revoked_at is None else int(session.revoked_at.timestamp()),
    }


def _text(value: str) -> bytes:
    return keccak256(value.encode())


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _digest(kind: str, *words: bytes) -> bytes:
    return keccak256(b"\x19\x01" + _DOMAIN + keccak256(_text(kind) + b"".join(words)))


_DOMAIN: Final = keccak256(_text(_DOMAIN_TYPE) + _text("Sakk sessions") + _text("1"))
