"""Check a proof of liabilities: does what we are owed stand under the root that was published?

This file needs Python alone and nothing of ours: copy it, read it, run it anywhere, offline::

    python liability.py proof.json epoch.json --account acct_… [--balance 1250000]

``proof.json`` is the operator's answer to ``GET /v1/liability_proofs/{liability_epoch}``;
``epoch.json`` is what the operator published for everybody. Fetch it where others fetch theirs: a
root that is shown to one customer alone proves nothing. The tree is described byte by byte in
docs/concepts/proof-of-liabilities.md.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUM_MAX = (1 << 128) - 1
NUMBER_MAX = (1 << 64) - 1
# A merchant's balances of one currency, its pool, what waits for others, and its channels.
LEAVES_MAX = 100
FILE_BYTES_MAX = 1 << 20
BALANCES = ("incoming", "available", "reserved")
BESIDE = ("pool", "unclaimed")


class LiabilityProofError(ValueError):
    """The proof does not hold. ``check`` names the first check that failed.

    ``format`` (a field is missing or malformed), ``epoch`` (the proof is of another epoch, unit or
    root), ``account`` (a leaf is not this account's, or is shown twice), ``index``, ``path`` (the
    way to the root has another length), ``side``, ``sum`` (below zero, or beyond 128 bits),
    ``total``, ``root``, ``balance`` (the leaves come to another amount than was said or expected).
    """

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


@dataclass(frozen=True)
class _Epoch:
    epoch: int
    unit: str
    shard: int
    sequence: int
    journal_hash: bytes
    root: bytes
    leaves: int
    total: int


def verify(
    proof: Mapping[str, Any],
    epoch: Mapping[str, Any],
    *,
    account: str,
    balance: int | None = None,
    channels: Collection[str] = (),
) -> int:
    """Check a proof against the published epoch; what is proved to be owed, in smallest units.

    ``account``: who we are (``acct_…``). ``balance``: what we expect to be owed, by our own books.
    ``channels``: the ids (``ch_…``) of those that we pay for; a leaf of any other is refused, for
    its name does not say whose it is, and it could be shown to somebody else too.
    Raises LiabilityProofError.
    """
    published = _read_epoch(epoch)
    _check_epoch(proof, epoch, published)
    if _text(proof, "account") != account:
        raise LiabilityProofError("account", f"the proof is of another account than {account}")
    leaves = _list(proof, "leaves")
    if not 1 <= len(leaves) <= LEAVES_MAX:
        raise LiabilityProofError("format", f"leaves must hold 1 to {LEAVES_MAX}")
    names = [_text(leaf, "ledger_account") for leaf in leaves]
    ours = {f"merchant:{account}:{each}#{published.unit}" for each in BALANCES}
    ours |= {f"{each}:{account}#{published.unit}" for each in BESIDE}
    ours |= {f"channel:{each}#{published.unit}" for each in channels}
    for name in names:
        if name not in ours:
            raise LiabilityProofError("account", f"{name} is not an account of {account}")
        if names.count(name) > 1:
            raise LiabilityProofError("account", f"{name} is shown twice")
    found = sum(_check_leaf(leaf, published) for leaf in leaves)
    if found != _decimal(proof, "balance", SUM_MAX):
        raise LiabilityProofError("balance", f"the leaves come to {found}, not to what is said")
    if balance is not None and found != balance:
        raise LiabilityProofError("balance", f"{found} is proved, {balance} is expected")
    return found


def _read_epoch(document: Mapping[str, Any]) -> _Epoch:
    if not isinstance(document, Mapping) or document.get("object") != "liability_epoch":
        raise LiabilityProofError("format", "the published file is not a liability_epoch")
    return _Epoch(
        epoch=_number(document, "epoch"),
        unit=_text(document, "unit"),
        shard=_number(document, "shard"),
        sequence=_number(document, "journal_sequence"),
        journal_hash=_bytes(document, "journal_hash"),
        root=_bytes(document, "root"),
        leaves=_number(document, "leaves"),
        total=_decimal(document, "total", SUM_MAX),
    )


def _check_epoch(proof: Mapping[str, Any], epoch: Mapping[str, Any], published: _Epoch) -> None:
    if not isinstance(proof, Mapping) or proof.get("object") != "liability_proof":
        raise LiabilityProofError("format", "the proof is not a liability_proof")
    for name in ("epoch", "unit", "root"):
        if proof.get(name) != epoch[name]:
            raise LiabilityProofError("epoch", f"the proof and the epoch have another {name}")


def _check_leaf(leaf: Mapping[str, Any], epoch: _Epoch) -> int:
    """Walk from one leaf to the root; its balance."""
    name = _text(leaf, "ledger_account")
    index, total = _number(leaf, "index"), _decimal(leaf, "balance", SUM_MAX)
    path = _list(leaf, "path")
    if index >= epoch.leaves:
        raise LiabilityProofError("index", f"there are {epoch.leaves} leaves and no {index}")
    digest = _hash(b"leaf", _bytes(leaf, "salt"), _account_id(epoch.shard, name), _u128(total))
    balance, position, width, used = total, index, epoch.leaves, 0
    while width > 1:
        side = "left" if position % 2 else "right"
        # The last node of an odd level has no sibling, and goes up as it is.
        if side == "left" or position + 1 < width:
            if used == len(path):
                raise LiabilityProofError("path", f"the path of leaf {index} is too short")
            step = path[used]
            used += 1
            if _text(step, "side") != side:
                raise LiabilityProofError("side", f"step {used} of leaf {index} stands {side}")
            other, amount = _bytes(step, "hash"), _decimal(step, "sum", SUM_MAX)
            parts = (digest, _u128(total), other, _u128(amount))
            digest = _hash(b"node", *(parts if side == "right" else parts[2:] + parts[:2]))
            total += amount
            if total > SUM_MAX:
                raise LiabilityProofError("sum", f"step {used} of leaf {index} passes 128 bits")
        position, width = position // 2, (width + 1) // 2
    if used != len(path):
        raise LiabilityProofError("path", f"the path of leaf {index} is too long")
    if total != epoch.total:
        raise LiabilityProofError("total", f"leaf {index} leads to a total of {total}")
    root = _hash(
        b"root",
        _u64(_unit_id(epoch.unit)),
        _u64(epoch.epoch),
        _u64(epoch.sequence),
        epoch.journal_hash,
        _u64(epoch.leaves),
        _u128(epoch.total),
        digest,
    )
    if root != epoch.root:
        raise LiabilityProofError("root", f"leaf {index} leads to another root")
    return balance


def _hash(kind: bytes, *parts: bytes) -> bytes:
    return hashlib.sha256(b"sakk.liability." + kind + b".1" + b"".join(parts)).digest()


def _unit_id(unit: str) -> int:
    """The ledger's number of a unit: 63 bits of BLAKE2b of its name."""
    digest = hashlib.blake2b(unit.encode()).digest()
    return (int.from_bytes(digest[:8], "big") & ((1 << 63) - 1)) or 1


def _account_id(shard: int, name: str) -> bytes:
    """The ledger's id of an account of the chart: BLAKE2b of its name, so nobody can share one.

    The bit that marks the operator's own accounts is cleared.
    """
    text = f"ledger-account\x1f{shard}\x1f{name}"
    digest = bytearray(hashlib.blake2b(text.encode(), digest_size=16).digest())
    digest[8] &= 0x7F
    return bytes(digest)


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _u128(value: int) -> bytes:
    return value.to_bytes(16, "big")


def _field(document: Any, name: str) -> Any:
    if not isinstance(document, Mapping) or name not in document:
        raise LiabilityProofError("format", f"{name} is missing")
    return document[name]


def _text(document: Any, name: str) -> str:
    value = _field(document, name)
    if not isinstance(value, str):
        raise LiabilityProofError("format", f"{name} must be text")
    return value


def _list(document: Any, name: str) -> Sequence[Any]:
    value = _field(document, name)
    if not isinstance(value, list):
        raise LiabilityProofError("format", f"{name} must be a list")
    return value


def _number(document: Any, name: str) -> int:
    value = _field(document, name)
    if type(value) is not int or not 0 <= value <= NUMBER_MAX:
        raise LiabilityProofError("format", f"{name} must be a whole number of 64 bits")
    return value


def _decimal(document: Any, name: str, maximum: int) -> int:
    """A whole number as text: JSON's own numbers are floats in many readers."""
    text = _text(document, name)
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 40):
        raise LiabilityProofError("format", f"{name} must be a whole number, as text")
    value = int(text)
    if not 0 <= value <= maximum or text != str(value):
        raise LiabilityProofError("sum", f"{name} must be from 0 to {maximum}, not {text}")
    return value


def _bytes(document: Any, name: str) -> bytes:
    text = _text(document, name)
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise LiabilityProofError("format", f"{name} must be 32 bytes in lower-case hexadecimal")
    return bytes.fromhex(text)


def read(path: str) -> Any:
    """A JSON document in a file; LiabilityProofError if it is none, or too long."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise LiabilityProofError("format", f"{path} is longer than {FILE_BYTES_MAX} bytes")
        return json.loads(content)
    except (OSError, RecursionError, ValueError) as error:
        if isinstance(error, LiabilityProofError):
            raise
        raise LiabilityProofError("format", f"{path} cannot be read: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 and what is proved, or 1 and the check that failed."""
    parser = argparse.ArgumentParser(description="Check a proof of liabilities.")
    parser.add_argument("proof", help="the operator's answer to us (JSON)")
    parser.add_argument("epoch", help="what was published for everybody (JSON)")
    parser.add_argument("--account", required=True, help="who we are: acct_…")
    parser.add_argument("--balance", type=int, help="what we expect, in smallest units")
    parser.add_argument(
        "--channel", action="append", default=[], help="one that we pay for: ch_… (repeat)"
    )
    given = parser.parse_args(arguments)
    try:
        epoch = read(given.epoch)
        proved = verify(
            read(given.proof),
            epoch,
            account=given.account,
            balance=given.balance,
            channels=given.channel,
        )
    except LiabilityProofError as error:
        sys.stdout.write(f"NO ({error.check}): {error}\n")
        return 1
    sys.stdout.write(
        f"YES: {proved} smallest units of {epoch['unit']} owed to {given.account} stand in the "
        f"total of {epoch['total']} under root {epoch['root']} (epoch {epoch['epoch']}, journal "
        f"row {epoch['journal_sequence']})\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
