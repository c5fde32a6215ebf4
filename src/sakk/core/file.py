"""Files: bytes that the installation made and vouches for.

A file is signed by the installation's own key (Ed25519, RFC 8032; the one that signs receipts), so
that whoever is given it later, an auditor say, can tell offline that not a byte of it was changed.
What is signed, big-endian, ids as 16 bytes:

=====  =============================================================================================
words  ``sakk.file.1`` · file 16 · account 16 · kind 32 (ASCII, filled with zeros) · size u64 ·
       created u64 (s) · SHA-256 of the bytes 32
=====  =============================================================================================
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sakk.core import ids

PREFIX: Final = "file"
WORDS: Final = b"sakk.file.1"
# What one file may come to, and how long it is kept; then it is made again, or was saved.
BYTES_MAX: Final = 4 * 1024**3
KEPT_FOR: Final = timedelta(days=90)
# What all files of one account may come to.
ACCOUNT_BYTES_MAX: Final = 20 * 1024**3
# A file is kept, and goes out, in pieces of this size; the last may be smaller.
CHUNK_BYTES: Final = 512 * 1024
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "beancount": "text/plain; charset=utf-8",
}
_WORDS = struct.Struct(">16s16s32sQQ32s")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that is complete. ``kind``: what it says; ``form``: how, as its name ends."""

    id: str
    account_id: str
    livemode: bool
    kind: str
    form: str
    name: str
    size: int
    rows: int
    sha256: bytes
    signature: bytes
    authority: bytes
    expires_at: datetime
    created: datetime


def words(
    identifier: str, account_id: str, kind: str, *, size: int, created: datetime, sha256: bytes
) -> bytes:
    """What the installation signs of a file."""
    body = _WORDS.pack(
        _bytes(identifier),
        _bytes(account_id),
        kind.encode().ljust(32, b"\0"),
        size,
        int(created.timestamp()),
        sha256,
    )
    return WORDS + body


def public(file: StoredFile, *, public_url: str | None) -> dict[str, Any]:
    """The API's object ``file``, in Stripe's shape, with the proof of its bytes."""
    path = f"/v1/files/{file.id}/contents"
    return {
        "id": file.id,
        "object": "file",
        "account": file.account_id,
        "authority": file.authority.hex(),
        "created": int(file.created.timestamp()),
        "expires_at": int(file.expires_at.timestamp()),
        "filename": file.name,
        "kind": file.kind,
        "livemode": file.livemode,
        "metadata": {},
        "purpose": "report",
        "rows": file.rows,
        "sha256": file.sha256.hex(),
        "signature": file.signature.hex(),
        "size": file.size,
        "title": None,
        "type": file.form,
        "url": path if public_url is None else f"{public_url}{path}",
    }


def _bytes(identifier: str) -> bytes:
    return ids.decode(identifier)[1].to_bytes(16, "big")
