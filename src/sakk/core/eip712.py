"""Typed data that people and agents sign: its digest, and who signed (EIP-712).

The types are those that ``eth_signTypedData_v4`` takes, so that any wallet shows the same fields
that are hashed here. Values: ``string``, ``bool``, ``address``, ``bytes32``, ``uint…`` (whole
numbers, or decimal text as JSON carries them), structs, and arrays of these.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sakk.core.evm import digest_signer, keccak256

Types = Mapping[str, Sequence[Mapping[str, str]]]

WORD_BYTES: Final = 32
SIGNATURE_DIGITS: Final = 130
_UINT = re.compile(r"uint(\d{1,3})")
_DOMAIN: Final = "EIP712Domain"


def digest(typed_data: Mapping[str, Any]) -> bytes:
    """The 32 bytes that are signed of ``{types, primaryType, domain, message}``.

    ValueError where a value is missing, or does not fit its type.
    """
    types: Types = typed_data["types"]
    return keccak256(
        b"\x19\x01"
        + _struct(types, _DOMAIN, typed_data["domain"])
        + _struct(types, typed_data["primaryType"], typed_data["message"])
    )


def signer(typed_data: Mapping[str, Any], signature: str) -> str:
    """Whose key signed, in lower case; ``signature`` as wallets give it, 65 bytes of 0x-hex.

    ValueError for what is no signature.
    """
    return digest_signer(digest(typed_data), signature_bytes(signature))


def signature_bytes(text: str) -> bytes:
    """A signature's 65 bytes; ValueError says what is wrong with the text."""
    digits = text.removeprefix("0x")
    if len(digits) != SIGNATURE_DIGITS:
        raise ValueError(f"a signature is 65 bytes, {SIGNATURE_DIGITS} hexadecimal digits")
    return bytes.fromhex(digits)


def encode_type(types: Types, name: str) -> str:
    """A struct's type with all that it refers to, sorted (EIP-712, "Definition of encodeType")."""
    used = _used(types, name, set())
    ordered = [name, *sorted(used - {name})]
    return "".join(f"{each}({_fields(types, each)})" for each in ordered)


def _fields(types: Types, name: str) -> str:
    return ",".join(f"{field['type']} {field['name']}" for field in types[name])


def _used(types: Types, name: str, seen: set[str]) -> set[str]:
    if name in types and name not in seen:
        seen.add(name)
        for field in types[name]:
            _used(types, field["type"].removesuffix("[]"), seen)
    return seen


def _struct(types: Types, name: str, values: Mapping[str, Any]) -> bytes:
    words = [keccak256(encode_type(types, name).encode())]
    for field in types[name]:
        if field["name"] not in values:
            raise ValueError(f"{name} has no {field['name']}")
        words.append(_word(types, field["type"], values[field["name"]]))
    if len(values) != len(types[name]):
        raise ValueError(f"{name} has fields that its type does not name")
    return keccak256(b"".join(words))


def _word(types: Types, kind: str, value: Any) -> bytes:
    """One value as 32 bytes (EIP-712, "Definition of encodeData")."""
    if kind.endswith("[]"):
        return keccak256(b"".join(_word(types, kind[:-2], each) for each in value))
    if kind in types:
        return _struct(types, kind, value)
    if kind == "string":
        return keccak256(value.encode())
    if kind == "bool":
        return bytes(WORD_BYTES - 1) + (b"\x01" if value else b"\x00")
    if kind == "address":
        return _bytes(value, 20).rjust(WORD_BYTES, b"\x00")
    if kind == "bytes32":
        return _bytes(value, WORD_BYTES)
    bits = _UINT.fullmatch(kind)
    if bits is None:
        raise ValueError(f"values of the type {kind} are not signed here")
    number = int(value)
    if not 0 <= number < 1 << int(bits[1]):
        raise ValueError(f"{number} does not fit {kind}")
    return number.to_bytes(WORD_BYTES, "big")


def _bytes(value: str, length: int) -> bytes:
    raw = bytes.fromhex(value.removeprefix("0x"))
    if len(raw) != length:
        raise ValueError(f"{value!r} is not {length} bytes")
    return raw
