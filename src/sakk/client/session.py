"""The session scheme's bytes, on the payer's side and the seller's: hashes, MACs, what is signed.

The same as the authority computes; docs/reference/session-scheme.md describes all of it. Ids are
given as text (``ses_…``), binary values as bytes, times as the ledger's nanoseconds.
"""

import hashlib
import hmac
import struct
from typing import Any

try:
    from sha3 import keccak_256 as _keccak_256

    def _keccak256(data: bytes) -> bytes:
        digest: bytes = _keccak_256(data).digest()
        return digest

except ImportError:  # no C compiler at installation: slower, the same digest
    from eth_hash.auto import keccak

    def _keccak256(data: bytes) -> bytes:
        return bytes(keccak(data))


SCHEME = "session"
NONCE_MAX = (1 << 63) - 1
NO_BODY = bytes(32)
DOMAIN = {"name": "Sakk sessions", "version": "1"}
TYPES: dict[str, list[tuple[str, str]]] = {
    "OpenSession": [
        ("network", "string"),
        ("signer", "address"),
        ("mandate", "string"),
        ("channel", "string"),
        ("payee", "string"),
        ("currency", "string"),
        ("ceiling", "uint256"),
        ("salt", "bytes32"),
        ("deadline", "uint64"),
    ],
    "Voucher": [
        ("network", "string"),
        ("channel", "string"),
        ("ceiling", "uint256"),
        ("spent", "uint256"),
        ("charges", "uint64"),
        ("head", "bytes32"),
    ],
    "Query": [
        ("network", "string"),
        ("signer", "address"),
        ("channel", "string"),
        ("deadline", "uint64"),
    ],
    "Close": [
        ("network", "string"),
        ("channel", "string"),
        ("spent", "uint256"),
        ("charges", "uint64"),
        ("head", "bytes32"),
        ("deadline", "uint64"),
    ],
    "Revoke": [
        ("network", "string"),
        ("session", "string"),
        ("deadline", "uint64"),
    ],
}
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TO_PYTHON = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")


def uuid_bytes(identifier: str) -> bytes:
    """The 16 bytes of an id such as ``ses_…``; ValueError if it is none."""
    prefix, separator, body = identifier.rpartition("_")
    if not separator or not prefix or len(body) != 26 or not set(body) <= set(_ALPHABET):
        raise ValueError(f"not an identifier: {identifier!r}")
    value = int(body.translate(_TO_PYTHON), 32)
    if value >> 128:
        raise ValueError(f"not an identifier: {identifier!r}")
    return value.to_bytes(16, "big")


def request_hash(method: str, target: str, body_hash: bytes = NO_BODY) -> bytes:
    """What a call pays for: method, path and query as they stand in the request line, body.

    ``body_hash``: SHA-256 of the body, or zeros where the payer does not bind it.
    """
    verb, path = method.upper().encode(), target.encode("latin-1")
    head = struct.pack(">H", len(verb)) + verb + struct.pack(">I", len(path)) + path
    return hashlib.sha256(b"sakk.request.1" + head + body_hash).digest()


def call_mac(
    key: bytes, session: str, *, nonce: int, amount: int, payee: str, request: bytes
) -> bytes:
    """The payer's word for one call; ``request`` is its hash."""
    body = struct.pack(
        ">11s16sQ16s16s32s",
        b"sakk.call.1",
        uuid_bytes(session),
        nonce,
        amount.to_bytes(16, "big"),
        uuid_bytes(payee),
        request,
    )
    return hmac.digest(key, body, "sha256")


def receipt_mac(
    key: bytes,
    session: str,
    *,
    step: int,
    nonce: int,
    amount: int,
    units: int,
    payee: str,
    request: bytes,
    timestamp: int,
) -> bytes:
    """The authority's word for one call; ``step``: 1 reserved, 2 committed.

    ``request``: its hash, of which the first 16 bytes are in the receipt.
    """
    body = struct.pack(
        ">14sB16sQ16sQ16s16sQ",
        b"sakk.receipt.1",
        step,
        uuid_bytes(session),
        nonce,
        amount.to_bytes(16, "big"),
        units,
        uuid_bytes(payee),
        request[:16],
        timestamp,
    )
    return hmac.digest(key, body, "sha256")


def digest(kind: str, message: dict[str, Any]) -> bytes:
    """The 32 bytes that a payer signs (EIP-712); ``kind`` is one of ``TYPES``.

    Addresses are 0x-hex, ``bytes32`` are bytes, numbers are int.
    """
    fields = TYPES[kind]
    named = f"{kind}({','.join(f'{type_} {name}' for name, type_ in fields)})"
    words = b"".join(_word(type_, message[name]) for name, type_ in fields)
    return _keccak256(b"\x19\x01" + _DOMAIN_HASH + _keccak256(_text(named) + words))


def typed_data(kind: str, message: dict[str, Any]) -> dict[str, Any]:
    """The same as the document that wallets sign (``eth_signTypedData_v4``)."""
    return {
        "domain": dict(DOMAIN),
        "primaryType": kind,
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
            ],
            kind: [{"name": name, "type": type_} for name, type_ in TYPES[kind]],
        },
        "message": message,
    }


def _text(value: str) -> bytes:
    return _keccak256(value.encode())


def _word(type_: str, value: Any) -> bytes:
    match type_:
        case "string":
            return _text(value)
        case "address":
            return bytes(12) + bytes.fromhex(value[2:])
        case "bytes32":
            return bytes(value)
        case _:
            return int(value).to_bytes(32, "big")


_DOMAIN_HASH = _keccak256(
    _text("EIP712Domain(string name,string version)")
    + _text(DOMAIN["name"])
    + _text(DOMAIN["version"])
)
