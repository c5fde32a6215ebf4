"""The Travel Rule Protocol of OpenVASP, version 3: addresses, messages and headers.

The originating institution posts an inquiry (asset, amount, IVMS101, a callback) to the travel
address that the beneficiary handed out. The answer is a resolution: at once in the response, or
later at the callback. What is approved names where the originator confirms the transaction, or
that there will be none. A travel address is ``ta`` and Base58Check, without a version byte, of a
URL without its scheme, which is https, with ``t=i`` in its query.

https://gitlab.com/OpenVASP/travel-rule-protocol/-/blob/master/core/specification.md
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from sakk.core.errors import InvalidRequest, ParameterInvalid
from sakk.core.ivms101 import IdentityPayload, read

API_VERSION: Final = "3.2.1"
VERSION_HEADER: Final = "api-version"
REQUEST_HEADER: Final = "request-identifier"
ADDRESS_LENGTH_MAX: Final = 1_000
URL_LENGTH_MAX: Final = 2_000
BODY_BYTES_MAX: Final = 64 << 10
DEPTH_MAX: Final = 16
COMMENT_LENGTH_MAX: Final = 500
IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_TA: Final = "ta"
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_CHECKSUM: Final = 4
# An amount as JSON writes one; no exponent makes it longer than what can be paid.
_AMOUNT = re.compile(r"[0-9]{1,60}(\.[0-9]{1,30})?")
_ATOM = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What an originating institution asks: may this much of an asset, of these parties, come?

    ``amount`` is a decimal number of whole units; ``asset`` is what the message names it by.
    """

    asset: dict[str, Any]
    amount: Decimal
    callback: str
    payload: IdentityPayload


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer: ``approved`` with an address and a callback, ``rejected`` with a comment, or
    neither, when it comes later."""

    address: str | None = None
    callback: str | None = None
    rejected: str | None = None

    @property
    def is_final(self) -> bool:
        return self.address is not None or self.rejected is not None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The transaction that carries the transfer, or why there is none."""

    txid: str | None = None
    canceled: str | None = None


def encode_travel_address(url: str) -> str:
    """The travel address of an https URL, with ``t=i`` added where it is missing."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc:
        raise ValueError(f"a travel address is made of an https URL, not {url!r}")
    query = parts.query
    if ("t", "i") not in parse_qsl(query):
        query = f"{query}&t=i" if query else "t=i"
    bare = f"{parts.netloc}{parts.path}?{query}".encode()
    return _TA + _base58(bare + _checksum(bare))


def decode_travel_address(text: str, *, param: str = "travel_address") -> str:
    """The https URL that a travel address stands for; ParameterInvalid says what is wrong."""
    if not text.startswith(_TA) or len(text) > ADDRESS_LENGTH_MAX:
        raise ParameterInvalid("A travel address begins with ta.", param=param)
    raw = _bytes(text.removeprefix(_TA))
    if raw is None or len(raw) <= _CHECKSUM or _checksum(raw[:-_CHECKSUM]) != raw[-_CHECKSUM:]:
        raise ParameterInvalid(
            "This travel address was mistyped: its checksum is wrong. Copy it again.", param=param
        )
    try:
        bare = raw[:-_CHECKSUM].decode("ascii")
        parts = urlsplit(f"https://{bare}")
        good = "://" not in bare and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or ("t", "i") not in parse_qsl(parts.query):
        raise ParameterInvalid(
            "This travel address stands for no URL to which an inquiry can be sent.", param=param
        )
    return f"https://{bare}"


def inquiry_body(
    asset: Mapping[str, str], amount: str, callback: str, document: Mapping[str, Any]
) -> bytes:
    """The body of an inquiry; ``amount`` is a decimal number, and no float on its way there."""
    body = {"asset": asset, "amount": "@amount@", "callback": callback, "IVMS101": document}
    return _dump(body).replace(b'"@amount@"', amount.encode(), 1)


def resolution_body(resolution: Resolution) -> bytes:
    """The body of a resolution; of one that comes later it names our version."""
    if resolution.rejected is not None:
        return _dump({"rejected": resolution.rejected})
    if resolution.address is None:
        return _dump({"version": API_VERSION})
    return _dump({"approved": {"address": resolution.address, "callback": resolution.callback}})


def confirmation_body(confirmation: Confirmation) -> bytes:
    """The body of a confirmation."""
    if confirmation.txid is not None:
        return _dump({"txid": confirmation.txid})
    return _dump({"canceled": confirmation.canceled})


def read_inquiry(body: bytes) -> Inquiry:
    """The inquiry that a body holds; InvalidRequest or ParameterInvalid names what is wrong."""
    tree = read_message(body)
    asset = tree.get("asset")
    if not isinstance(asset, dict) or not asset:
        raise ParameterInvalid("An inquiry names its asset.", param="asset")
    amount = tree.get("amount")
    if not isinstance(amount, str) or not _AMOUNT.fullmatch(amount) or not Decimal(amount):
        raise ParameterInvalid(
            "The amount is a decimal number above zero, without an exponent.", param="amount"
        )
    if tree.get("IVMS101") is None:
        raise ParameterInvalid("An inquiry holds IVMS101.", param="IVMS101")
    payload = read(IdentityPayload, tree["IVMS101"], param="IVMS101")
    return Inquiry(asset, Decimal(amount), _url(tree.get("callback"), "callback"), payload)


def read_resolution(body: bytes) -> Resolution:
    """The resolution that a body holds."""
    tree = read_message(body)
    approved, rejected = tree.get("approved"), tree.get("rejected")
    if approved is not None and rejected is not None:
        raise ParameterInvalid("It is approved or rejected, not both.", param="rejected")
    if rejected is not None:
        return Resolution(rejected=_text(rejected, "rejected"))
    if approved is None:
        return Resolution()
    if not isinstance(approved, dict):
        raise ParameterInvalid("approved holds an address and a callback.", param="approved")
    return Resolution(
        address=_text(approved.get("address"), "approved[address]"),
        callback=_url(approved.get("callback"), "approved[callback]"),
    )


def read_confirmation(body: bytes) -> Confirmation:
    """The confirmation that a body holds: one of its two fields."""
    tree = read_message(body)
    txid, canceled = tree.get("txid"), tree.get("canceled")
    if (txid is None) == (canceled is None):
        raise ParameterInvalid("A confirmation holds txid or canceled, one of them.", param="txid")
    if txid is not None:
        return Confirmation(txid=_text(txid, "txid"))
    return Confirmation(canceled=_text(canceled, "canceled"))


def read_message(body: bytes) -> dict[str, Any]:
    """A JSON object of limited size and depth; numbers stay the text that they were."""
    if len(body) > BODY_BYTES_MAX:
        raise InvalidRequest(f"A message is at most {BODY_BYTES_MAX} bytes.")
    try:
        text = body.decode("utf-8")
        if _depth(text) > DEPTH_MAX:
            raise InvalidRequest(f"A message is at most {DEPTH_MAX} levels deep.")
        tree = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=str,
            parse_int=_whole,
        )
    except ValueError as error:
        raise InvalidRequest(f"The message is no JSON: {error}.") from None
    if not isinstance(tree, dict):
        raise InvalidRequest("The message is a JSON object.")
    if isinstance(tree.get("amount"), int):
        tree["amount"] = str(tree["amount"])
    return tree


def _whole(text: str) -> int:
    if len(text) > 60:
        raise ValueError("a number is too long")
    return int(text)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    if any("\0" in name or (isinstance(value, str) and "\0" in value) for name, value in pairs):
        raise ValueError("it holds a NUL")
    return found


def _depth(text: str) -> int:
    deepest = level = 0
    for character in _ATOM.sub("", text):
        level += (character in "[{") - (character in "]}")
        deepest = max(deepest, level)
    return deepest


def _text(value: Any, param: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > COMMENT_LENGTH_MAX:
        raise ParameterInvalid(
            f"{param} is a text of at most {COMMENT_LENGTH_MAX} characters.", param=param
        )
    return value.strip()


def _url(value: Any, param: str) -> str:
    if not isinstance(value, str) or len(value) > URL_LENGTH_MAX or not value.isascii():
        raise ParameterInvalid(f"{param} is an https URL.", param=param)
    return value


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()[:_CHECKSUM]


def _base58(data: bytes) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return digits


def _bytes(text: str) -> bytes | None:
    number = 0
    for character in text:
        value = _VALUES.get(character)
        if value is None:
            return None
        number = number * 58 + value
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
