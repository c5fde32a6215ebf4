"""Check an export of the receipts of a channel in x402's escrow: what both sides signed of it.

``GET /v1/escrow_channels/{escrow_channel}/receipts`` answered the file::

    python -m sakk.client.escrow_receipt ech_….jsonl [--authority HEX]

The payer's word is its vouchers (EIP-712, as the contract takes them): each for a total. The
seller's, that of the installation that kept the channel, is the head of the chain of receipts.
Checked is that the chain adds up, that no voucher paid twice, that not more was taken than the
payer signed for but for what was given back, and both signatures. ``--authority`` is the
installation's public key as it was known before (``GET /x402/sessions``). The payer's part needs
``eth-account``, the authority's ``cryptography``; what could not be checked is said.
"""

import argparse
import hashlib
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sakk.client.receipt import (
    BREAKS_SHOWN_MAX,
    ReceiptExportError,
    read_line,
    text_of,
    uuid_of,
    whole_of,
)

ESCROW: Final = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003"
_CONFIG = (
    b"ChannelConfig(address payer,address payerAuthorizer,address receiver,"
    b"address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)"
)
_VOUCHER = b"Voucher(bytes32 channelId,uint128 maxClaimableAmount)"
_DOMAIN = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


@dataclass
class EscrowReport:
    """What was found. ``signed``: the highest total of the payer's; ``redeemed``: what was paid.

    ``refunded``: what of the charges is in the channel again.
    """

    channel: str = ""
    charges: int = 0
    spent: int = 0
    signed: int = 0
    redeemed: int = 0
    refunded: int = 0
    head: str = ""
    breaks: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        if len(self.breaks) < BREAKS_SHOWN_MAX:
            self.breaks.append(text)


def check_export(lines: Iterable[str], *, authority: str | None = None) -> EscrowReport:
    """Check an export; ReceiptExportError where it is none."""
    report = EscrowReport()
    about: Mapping[str, Any] = {}
    vouchers: list[Mapping[str, Any]] = []
    ends: list[Mapping[str, Any]] = []
    charges: set[str] = set()
    taken: list[tuple[int, int]] = []
    refunds: list[Mapping[str, Any]] = []
    head = b""
    for number, line in enumerate(lines, 1):
        document = read_line(line, number)
        match document.get("kind"):
            case "escrow_channel" if number == 1:
                about = document
                report.channel = text_of(document, "channel")
                head = _start(document)
            case "receipt" if head:
                head = _link(head, document)
                if head.hex() != document.get("head"):
                    report.say(f"line {number}: the head does not follow from the receipt")
                charge = text_of(document, "charge")
                if charge in charges:
                    report.say(f"line {number}: {charge} is charged twice")
                charges.add(charge)
                taken.append((whole_of(document, "ceiling"), whole_of(document, "amount")))
                report.charges += 1
                report.spent += whole_of(document, "amount")
            case "voucher" if head:
                vouchers.append(document)
            case "redemption" if head:
                _redeem(report, document)
            case "refund" if head:
                refunds.append(document)
            case "head" if head:
                ends.append(document)
            case _:
                raise ReceiptExportError(f"line {number} is of no kind that stands here")
    if not head or len(ends) != 1:
        raise ReceiptExportError("an export begins with its channel and ends with one head")
    report.head = head.hex()
    _check_vouchers(report, about, vouchers)
    _check_refunds(report, taken, refunds)
    _check_sums(report, [ceiling for ceiling, _ in taken])
    _check_end(report, ends[0], authority)
    return report


def _redeem(report: EscrowReport, document: Mapping[str, Any]) -> None:
    """What was claimed goes on from what was claimed before, and is within its voucher."""
    begin, end = whole_of(document, "from"), whole_of(document, "to")
    if begin != report.redeemed or not begin <= end <= whole_of(document, "ceiling"):
        report.say(f"a redemption of {begin} to {end} does not follow from {report.redeemed}")
    report.redeemed = max(report.redeemed, end)


def _check_sums(report: EscrowReport, ceilings: Sequence[int]) -> None:
    known = [each for each in ceilings if each]
    if len(set(known)) != len(known):
        report.say("a voucher paid for two calls")
    spent = report.spent - report.refunded
    if spent > report.signed:
        report.say(f"{spent} was charged, and {report.signed} signed for")
    if max(known, default=0) > report.signed:
        report.say(f"a call was paid by a voucher of {max(known)}, which is not there")
    if report.redeemed > spent:
        report.say(f"{report.redeemed} was claimed, and {spent} charged")


def _check_refunds(
    report: EscrowReport,
    taken: Sequence[tuple[int, int]],
    refunds: Sequence[Mapping[str, Any]],
) -> None:
    """Of no charge more was given back than it cost; what went into the channel is spent again."""
    left = dict(taken)
    for each in refunds:
        ceiling, units = whole_of(each, "ceiling"), whole_of(each, "amount")
        left[ceiling] = left.get(ceiling, 0) - units
        if left[ceiling] < 0:
            report.say(f"more was given back than the voucher of {ceiling} paid")
        if text_of(each, "to") == "channel":
            report.refunded += units


def _check_vouchers(
    report: EscrowReport, about: Mapping[str, Any], vouchers: Sequence[Mapping[str, Any]]
) -> None:
    """The channel is the one of its configuration, and each voucher its payer's own word."""
    report.signed = max((whole_of(each, "ceiling") for each in vouchers), default=0)
    try:
        from eth_account import Account
        from eth_utils.crypto import keccak
    except ImportError:
        report.unchecked.append("the payer's signatures: the package eth-account is not installed")
        return
    config = about.get("config")
    if not isinstance(config, dict):
        raise ReceiptExportError("config is not there")
    domain = keccak(
        keccak(_DOMAIN)
        + keccak(b"x402 Batch Settlement")
        + keccak(b"1")
        + whole_of(about, "chain_id").to_bytes(32, "big")
        + _address(ESCROW)
    )
    words = keccak(_CONFIG)
    for name in ("payer", "payerAuthorizer", "receiver", "receiverAuthorizer", "token"):
        words += _address(text_of(config, name))
    words += whole_of(config, "withdrawDelay").to_bytes(32, "big") + _bytes(config, "salt")
    channel = keccak(b"\x19\x01" + domain + keccak(words))
    if "0x" + channel.hex() != report.channel:
        report.say("the channel's name is not that of its configuration")
    payer, authorizer = text_of(config, "payer"), text_of(config, "payerAuthorizer")
    signer = authorizer if int(authorizer, 16) else payer
    for each in vouchers:
        ceiling = whole_of(each, "ceiling")
        body = keccak(_VOUCHER) + channel + ceiling.to_bytes(32, "big")
        digest = keccak(b"\x19\x01" + domain + keccak(body))
        try:
            found = Account._recover_hash(digest, signature=_bytes(each, "signature"))
        except Exception:  # of bytes that are no signature it raises what it likes
            found = ""
        if found.lower() != signer.lower():
            report.say(f"the voucher of {ceiling} is not signed by {signer}")


def _check_end(report: EscrowReport, end: Mapping[str, Any], authority: str | None) -> None:
    """The authority's word must be of just this chain."""
    said = (whole_of(end, "charges"), whole_of(end, "spent"), text_of(end, "head"))
    if said != (report.charges, report.spent, report.head):
        report.say(f"the authority signed {said}, and the receipts come to something else")
    if whole_of(end, "ceiling") != report.signed:
        report.say("the authority signed another highest voucher")
    if authority is not None and text_of(end, "authority") != authority.lower():
        report.say("the head is signed by another key than the authority's")
    words = b"sakk.escrow.receipt.head.1" + struct.pack(
        ">32sQ16s16s32sQ",
        bytes.fromhex(report.channel[2:]),
        said[0],
        said[1].to_bytes(16, "big"),
        whole_of(end, "ceiling").to_bytes(16, "big"),
        _bytes(end, "head"),
        whole_of(end, "timestamp"),
    )
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        report.unchecked.append("the authority's signature: install 'cryptography'")
        return
    try:
        key = Ed25519PublicKey.from_public_bytes(_bytes(end, "authority"))
        key.verify(_bytes(end, "signature"), words)
    except (InvalidSignature, ValueError):
        report.say("the authority's signature of the head does not hold")


def _start(document: Mapping[str, Any]) -> bytes:
    channel, payee = _bytes(document, "channel"), uuid_of(text_of(document, "payee"))
    return hashlib.sha256(b"sakk.escrow.receipts.1" + channel + payee).digest()


def _link(head: bytes, document: Mapping[str, Any]) -> bytes:
    body = struct.pack(
        ">32s16s16s16sQ",
        head,
        _bytes(document, "charge"),
        whole_of(document, "ceiling").to_bytes(16, "big"),
        whole_of(document, "amount").to_bytes(16, "big"),
        whole_of(document, "timestamp"),
    )
    return hashlib.sha256(b"sakk.escrow.receipt.link.1" + body).digest()


def _bytes(document: Mapping[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(text_of(document, name).removeprefix("0x"))
    except ValueError:
        raise ReceiptExportError(f"{name} is no hexadecimal") from None


def _address(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x")).rjust(32, b"\0")
    except ValueError:
        raise ReceiptExportError(f"not an address: {text!r}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 where everything holds."""
    parser = argparse.ArgumentParser(description="Check receipts of a channel in x402's escrow.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--authority", help="the installation's public key, hexadecimal")
    options = parser.parse_args(arguments)
    try:
        with options.export.open(encoding="utf-8") as lines:
            report = check_export(lines, authority=options.authority)
    except (OSError, UnicodeDecodeError, ReceiptExportError, struct.error) as error:
        sys.stdout.write(f"NO (format): {error}\n")
        return 1
    for each in report.unchecked:
        sys.stdout.write(f"not checked: {each}\n")
    for each in report.breaks:
        sys.stdout.write(f"NO: {each}\n")
    if report.breaks:
        return 1
    sys.stdout.write(
        f"YES: {report.charges} charges of {report.channel} come to {report.spent}, of"
        f" {report.signed} that the payer signed; {report.redeemed} is redeemed\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
