"""Check an export of a channel's receipts: does it add up, and did both sides sign it?

The chain of receipts needs Python alone and nothing of ours: copy this file, read it, run it
anywhere, offline::

    python -I receipt.py ch_….jsonl [--authority HEX]

``ch_….jsonl`` is what ``GET /v1/channels/{channel}/receipts`` answered. ``--authority`` is the
installation's public key as it was known before (``GET /x402/sessions``). The authority's signature
is checked where the package ``cryptography`` is installed, the payer's where ``eth-account`` is;
what could not be checked is said. The bytes that are hashed are described in
docs/reference/session-scheme.md.
"""

import argparse
import hashlib
import json
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LINE_BYTES_MAX = 1 << 16
BREAKS_SHOWN_MAX = 100
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VOUCHER = (
    b"Voucher(string network,string channel,uint256 ceiling,uint256 spent,uint64 charges,"
    b"bytes32 head)"
)


class ReceiptExportError(ValueError):
    """The file can not be read as an export of receipts."""


@dataclass
class Report:
    """What was found: ``breaks`` is what is wrong, ``unchecked`` what could not be looked at.

    ``countersigned``: how many charges, coming to how much, the payer's newest voucher says.
    """

    channel: str = ""
    charges: int = 0
    spent: int = 0
    head: str = ""
    countersigned: tuple[int, int] = (0, 0)
    breaks: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        if len(self.breaks) < BREAKS_SHOWN_MAX:
            self.breaks.append(text)


def check_export(lines: Iterable[str], *, authority: str | None = None) -> Report:
    """Check an export; ReceiptExportError where it is none.

    ``authority``: the installation's public key in hexadecimal, as it was known before.
    """
    report = Report()
    heads: dict[int, tuple[str, int]] = {}
    vouchers: list[Mapping[str, Any]] = []
    about: Mapping[str, Any] = {}
    ends: list[Mapping[str, Any]] = []
    head = b""
    calls: set[tuple[str, str]] = set()
    for number, line in enumerate(lines, 1):
        document = read_line(line, number)
        match document.get("kind"):
            case "channel" if number == 1:
                report.channel = text_of(document, "channel")
                about = document
                head = _start(document)
                heads[0] = (head.hex(), 0)
            case "receipt" if head:
                head = _link(head, document)
                if head.hex() != document.get("head"):
                    report.say(f"line {number}: the head does not follow from the receipt")
                call = (text_of(document, "session"), text_of(document, "nonce"))
                if call in calls:
                    report.say(f"line {number}: call {call[1]} of {call[0]} is charged twice")
                calls.add(call)
                report.charges += 1
                report.spent += whole_of(document, "amount")
                heads[report.charges] = (head.hex(), report.spent)
            case "voucher" if head:
                vouchers.append(document)
            case "head" if head:
                ends.append(document)
            case _:
                raise ReceiptExportError(f"line {number} is of no kind that stands here")
    if not head:
        raise ReceiptExportError("the export is empty")
    report.head = head.hex()
    _check_vouchers(report, heads, vouchers)
    _check_signatures(report, about, vouchers)
    _check_end(report, ends, authority)
    return report


def _check_vouchers(
    report: Report, heads: Mapping[int, tuple[str, int]], vouchers: Sequence[Mapping[str, Any]]
) -> None:
    """What the payer signed must be a place of the chain."""
    for each in vouchers:
        charges, spent = whole_of(each, "charges"), whole_of(each, "spent")
        if each.get("signature") is None:
            continue
        if charges in heads and (text_of(each, "head"), spent) == heads[charges]:
            report.countersigned = max(report.countersigned, (charges, spent))
        elif charges or spent:
            report.say(f"the payer signed {charges} charges of {spent}, which is not in the chain")


def _check_signatures(
    report: Report, about: Mapping[str, Any], vouchers: Sequence[Mapping[str, Any]]
) -> None:
    """Each voucher is the payer's own word (EIP-712, secp256k1), of this channel."""
    signed = [each for each in vouchers if each.get("signature") is not None]
    if not signed:
        return
    signer, network = about.get("signer"), about.get("network")
    if not isinstance(signer, str) or not isinstance(network, str):
        report.unchecked.append("the payer's signatures: the export names no signer and network")
        return
    try:
        from eth_account import Account
        from eth_utils.crypto import keccak
    except ImportError:
        report.unchecked.append("the payer's signatures: the package eth-account is not installed")
        return
    domain = keccak(
        keccak(b"EIP712Domain(string name,string version)")
        + keccak(b"Sakk sessions")
        + keccak(b"1")
    )
    for each in signed:
        charges, spent = whole_of(each, "charges"), whole_of(each, "spent")
        message = (
            keccak(_VOUCHER)
            + keccak(network.encode())
            + keccak(report.channel.encode())
            + whole_of(each, "ceiling").to_bytes(32, "big")
            + spent.to_bytes(32, "big")
            + charges.to_bytes(32, "big")
            + bytes.fromhex(text_of(each, "head"))
        )
        digest = keccak(b"\x19\x01" + domain + keccak(message))
        try:
            found = Account._recover_hash(
                digest, signature=bytes.fromhex(text_of(each, "signature"))
            )
        except Exception:  # of bytes that are no signature it raises what it likes
            found = ""
        if found.lower() == signer.lower():
            continue
        ceiling = whole_of(each, "ceiling")
        if charges or spent:
            report.say(f"the voucher of {ceiling} is not signed by {signer}")
        else:
            # The first was signed with the opening, whose salt and deadline are nobody's receipt.
            report.unchecked.append(f"the signature of the voucher of {ceiling}: of an opening")


def _check_end(report: Report, ends: Sequence[Mapping[str, Any]], authority: str | None) -> None:
    """The authority's word must be of just this chain."""
    if len(ends) != 1:
        raise ReceiptExportError("an export ends with one head")
    [end] = ends
    said = (whole_of(end, "charges"), whole_of(end, "spent"), text_of(end, "head"))
    if said != (report.charges, report.spent, report.head):
        report.say(f"the authority signed {said}, and the receipts come to something else")
    if authority is not None and text_of(end, "authority") != authority.lower():
        report.say("the head is signed by another key than the authority's")
    words = b"sakk.receipt.head.1" + struct.pack(
        ">16sQ16s16s32sQ",
        uuid_of(report.channel),
        whole_of(end, "charges"),
        whole_of(end, "spent").to_bytes(16, "big"),
        whole_of(end, "ceiling").to_bytes(16, "big"),
        bytes.fromhex(text_of(end, "head")),
        whole_of(end, "timestamp"),
    )
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        report.unchecked.append("the authority's signature: install 'cryptography'")
        return
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(text_of(end, "authority")))
        key.verify(bytes.fromhex(text_of(end, "signature")), words)
    except (InvalidSignature, ValueError):
        report.say("the authority's signature of the head does not hold")


def _start(document: Mapping[str, Any]) -> bytes:
    currency = text_of(document, "currency").encode().ljust(16, b"\0")
    return hashlib.sha256(
        b"sakk.receipts.1"
        + uuid_of(text_of(document, "channel"))
        + uuid_of(text_of(document, "payee"))
        + currency
    ).digest()


def _link(head: bytes, document: Mapping[str, Any]) -> bytes:
    try:
        body = struct.pack(
            ">32s16sQ16sQ16sQ",
            head,
            uuid_of(text_of(document, "session")),
            whole_of(document, "nonce"),
            whole_of(document, "amount").to_bytes(16, "big"),
            whole_of(document, "units"),
            bytes.fromhex(text_of(document, "request")),
            whole_of(document, "timestamp"),
        )
    except (struct.error, OverflowError, ValueError) as error:
        raise ReceiptExportError(f"a receipt's field does not fit: {error}") from None
    return hashlib.sha256(b"sakk.receipt.link.1" + body).digest()


def uuid_of(identifier: str) -> bytes:
    body = identifier.rpartition("_")[2]
    if len(body) != 26 or not set(body) <= set(_ALPHABET):
        raise ReceiptExportError(f"not an identifier: {identifier!r}")
    value = 0
    for character in body:
        value = value << 5 | _ALPHABET.index(character)
    if value >> 128:
        raise ReceiptExportError(f"not an identifier: {identifier!r}")
    return value.to_bytes(16, "big")


def read_line(line: str, number: int) -> Mapping[str, Any]:
    if len(line) > LINE_BYTES_MAX:
        raise ReceiptExportError(f"line {number} is too long")
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise ReceiptExportError(f"line {number} is not JSON") from None
    if not isinstance(document, dict):
        raise ReceiptExportError(f"line {number} is not an object")
    return document


def text_of(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise ReceiptExportError(f"{name} is not there, or no text")
    return value


def whole_of(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 40:
        value = int(value)
    if type(value) is not int or not 0 <= value < 1 << 128:
        raise ReceiptExportError(f"{name} is not there, or no whole number")
    return value


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 where everything holds."""
    parser = argparse.ArgumentParser(description="Check an export of a channel's receipts.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--authority", help="the installation's public key, hexadecimal")
    options = parser.parse_args(arguments)
    try:
        with options.export.open(encoding="utf-8") as lines:
            report = check_export(lines, authority=options.authority)
    except (OSError, UnicodeDecodeError, ReceiptExportError) as error:
        _say(f"NO (format): {error}")
        return 1
    for each in report.unchecked:
        _say(f"not checked: {each}")
    for each in report.breaks:
        _say(f"NO: {each}")
    if report.breaks:
        return 1
    charges, spent = report.countersigned
    _say(
        f"YES: {report.charges} charges of {report.channel} come to {report.spent};"
        f" of {charges} that come to {spent} the payer signed too"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
