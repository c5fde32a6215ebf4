"""Attachments: files that people put to a case, and how they are kept from harming who opens them.

Whoever sent a file may have written anything into it and its name. A file has one of a few media
types, which its first bytes bear out, and is only ever served as a download.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from sakk.core.errors import ParameterInvalid, UnexpectedState

PREFIX: Final = "catt"
SIZE_BYTES_MAX: Final = 10 * 1024 * 1024
ATTACHMENTS_MAX: Final = 100
NAME_LENGTH_MAX: Final = 120
REPORT_MEDIA_TYPE: Final = "application/xml"
# What people may attach, with how such a file begins (text begins with anything).
MEDIA_TYPES: Final[dict[str, tuple[bytes, ...]]] = {
    "application/pdf": (b"%PDF-",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "text/plain": (b"",),
    "text/csv": (b"",),
    "application/json": (b"{", b"["),
}
# By the end of a file's name, for who sends no media type beside it.
ENDINGS: Final[dict[str, str]] = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".txt": "text/plain",
    ".csv": "text/csv",
    ".json": "application/json",
}
_TEXTS: Final = frozenset({"text/plain", "text/csv", "application/json"})
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f"*/:<>?\\|]')
# Names that Windows takes for devices.
_DEVICE: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A row without its content. ``sha256`` in hexadecimal, over the content's bytes."""

    id: str
    case_id: str
    livemode: bool
    author: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    created: datetime


def safe_name(name: str) -> str:
    """A file's name without a path, control characters, or marks that turn text around.

    What is left is at most 120 characters, and never empty or hidden.
    """
    folded = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    kept = "".join(
        each for each in folded if unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    kept = " ".join(_UNSAFE.sub("_", kept).split()).strip(". ")
    if not kept or _DEVICE.match(kept):
        kept = f"file_{kept}".rstrip("_")
    if len(kept) > NAME_LENGTH_MAX:
        stem, dot, ending = kept.rpartition(".")
        ending = f".{ending}" if dot and len(ending) <= 10 else ""
        kept = (stem if ending else kept)[: NAME_LENGTH_MAX - len(ending)] + ending
    return kept


def media_type_of(name: str) -> str | None:
    """The media type that a file's name tells, of those that are kept; its bytes bear it out."""
    _, dot, ending = name.lower().rpartition(".")
    return ENDINGS.get(dot + ending)


def saved_as(name: str, media_type: str) -> str:
    """A name to save a file by: safe, and ending as what it is, whatever its sender called it."""
    kept = safe_name(name)
    ending = next((each for each, known in ENDINGS.items() if known == media_type), "")
    return kept if media_type_of(kept) == media_type else kept + ending


def disposition(name: str) -> str:
    """``Content-Disposition`` (RFC 6266): a download, with its name in ASCII and in UTF-8."""
    plain = "".join(each if " " <= each <= "~" else "_" for each in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def check_content(content: bytes, media_type: str) -> str:
    """The SHA-256 of a file that may be attached; ParameterInvalid says why it may not."""
    if media_type not in MEDIA_TYPES:
        raise ParameterInvalid(
            "Files of type {media_type} are not kept: send one of {media_types}.",
            param="media_type",
            media_type=repr(media_type),
            media_types=", ".join(MEDIA_TYPES),
        )
    if not 0 < len(content) <= SIZE_BYTES_MAX:
        raise ParameterInvalid(
            "A file has 1 to {size_bytes_max} bytes, this one has {count}.",
            param="file",
            size_bytes_max=SIZE_BYTES_MAX,
            count=len(content),
        )
    if not content.startswith(MEDIA_TYPES[media_type]):
        raise ParameterInvalid(
            "This file does not begin like {media_type}.", param="file", media_type=media_type
        )
    if media_type in _TEXTS:
        try:
            if "\x00" in content.decode("utf-8"):
                raise ValueError
        except ValueError:
            raise ParameterInvalid("This file is not text in UTF-8.", param="file") from None
    return hashlib.sha256(content).hexdigest()


def check_count(count: int) -> None:
    """UnexpectedState when a case has as many files as it may."""
    if count >= ATTACHMENTS_MAX:
        raise UnexpectedState(
            "A case has at most {attachments_max} attachments.", attachments_max=ATTACHMENTS_MAX
        )


def public(attachment: Attachment) -> dict[str, Any]:
    """One file of a case, without its content."""
    return {
        "id": attachment.id,
        "object": "case_attachment",
        "case": attachment.case_id,
        "author": attachment.author,
        "name": attachment.name,
        "media_type": attachment.media_type,
        "size_bytes": attachment.size_bytes,
        "sha256": attachment.sha256,
        "metadata": {},
        "created": int(attachment.created.timestamp()),
        "livemode": attachment.livemode,
    }
