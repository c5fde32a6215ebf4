"""Check a file that an installation signed: is it, to the byte, what was signed, and by whom?

Needs Python and, for the signature, the package ``cryptography``, and nothing of ours: copy this
file, read it, run it anywhere, offline::

    python -I file_proof.py FILE [--proof FILE.proof.json] [--authority HEX]

The proof is the API's object of the file (``GET /v1/files/{file}``), as it was saved beside it.
``--authority`` is the installation's public key as it was known before: without it the check says
by which key it was signed, and whether that is theirs is for you to know. What is signed,
big-endian, ids as 16 bytes: ``sakk.file.1`` · file · account · kind 32 (ASCII, filled with zeros) ·
size u64 · created u64 · SHA-256 of the bytes.
"""

import argparse
import hashlib
import json
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

PIECE_BYTES = 1 << 20
PROOF_BYTES_MAX = 1 << 16
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_WORDS = struct.Struct(">16s16s32sQQ32s")


class FileProofError(ValueError):
    """The file is not what was signed, or the proof is none; the text says which."""


def check_file(
    pieces: Iterable[bytes], proof: Mapping[str, Any], *, authority: str | None = None
) -> str:
    """Check a file's bytes against its proof; the key that signed it, in hexadecimal.

    Raises FileProofError, and ImportError where ``cryptography`` is not installed.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    if size != proof.get("size") or digest.hexdigest() != proof.get("sha256"):
        raise FileProofError("the bytes are not those that the proof is of")
    try:
        words = _words(proof, digest.digest())
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(proof["authority"]))
        signature = bytes.fromhex(proof["signature"])
    except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise FileProofError(f"the proof can not be read: {error!r}") from error
    try:
        key.verify(signature, words)
    except InvalidSignature:
        raise FileProofError("the signature does not hold") from None
    signed_by = key.public_bytes_raw().hex()
    if authority is not None and authority.lower() != signed_by:
        raise FileProofError(f"it is signed by another key, {signed_by}")
    return signed_by


def read_proof(path: Path) -> dict[str, Any]:
    """A saved proof; FileProofError."""
    try:
        with path.open("rb") as file:
            content = file.read(PROOF_BYTES_MAX + 1)
        document = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise FileProofError(f"{path} can not be read as a proof: {error}") from error
    if not isinstance(document, dict) or len(content) > PROOF_BYTES_MAX:
        raise FileProofError(f"{path} is no proof")
    return document


def proof_path(path: Path) -> Path:
    """Where a file's proof is saved: beside it."""
    return path.with_name(f"{path.name}.proof.json")


def pieces_of(path: Path) -> Iterable[bytes]:
    """A file's bytes, a piece at a time."""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _words(proof: Mapping[str, Any], digest: bytes) -> bytes:
    kind = str(proof["kind"]).encode()
    if len(kind) > 32:
        raise ValueError("its kind is too long")
    return b"sakk.file.1" + _WORDS.pack(
        _id_bytes(proof["id"]),
        _id_bytes(proof["account"]),
        kind.ljust(32, b"\0"),
        proof["size"],
        proof["created"],
        digest,
    )


def _id_bytes(identifier: str) -> bytes:
    value = 0
    for letter in identifier.rpartition("_")[2]:
        value = value * 32 + _ALPHABET.index(letter)
    return value.to_bytes(16, "big")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check a file that an installation signed.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--proof", type=Path, help="FILE.proof.json when left out")
    parser.add_argument("--authority", help="the installation's public key, hexadecimal")
    options = parser.parse_args(arguments)
    try:
        proof = read_proof(options.proof or proof_path(options.file))
        key = check_file(pieces_of(options.file), proof, authority=options.authority)
    except (FileProofError, OverflowError, OSError) as error:
        sys.stderr.write(f"{options.file}: {error}\n")
        return 1
    said = f"{proof['kind']} of {proof['account']}"
    sys.stdout.write(f"{options.file} is what {key} signed: {said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
