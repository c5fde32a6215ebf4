"""Branding: how an account's pages look, and where its payers get help.

A logo is a PNG that is taken apart and put together again (W3C PNG, third edition): what is not a
picture does not survive, so that nobody's file runs in anybody's browser. A colour is used where
its letters can be read, black or white by contrast (WCAG 2.2, 1.4.3).
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from sakk.core.errors import ParameterInvalid

LOGO_BYTES_MAX: Final = 65_536
LOGO_SIDE_MAX: Final = 1_024
ORIGINS_MAX: Final = 20
# Of where payers get help, as regular expressions.
EMAIL: Final = r"^[^@\s<>\"]{1,64}@[^@\s<>\"]{1,255}$"
PHONE: Final = r"^\+?[0-9 ()-]{3,30}$"
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEPT: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# Samples of a pixel by colour type.
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_HEX: Final = frozenset("0123456789abcdef")
# Relative luminance at which black and white letters stand out equally.
_LUMINANCE_MIDDLE: Final = 0.179


@dataclass(frozen=True, slots=True)
class Branding:
    """What an account's pages show. ``color`` is six hexadecimal digits in lower case.

    ``logo``: a PNG of ours, ``logo_hash`` of it. ``origins``: sites that may show a checkout in a
    frame.
    """

    account_id: str
    logo: bytes | None
    logo_hash: str | None
    color: str | None
    support_email: str | None
    support_url: str | None
    support_phone: str | None
    origins: list[str]
    updated: datetime


def public(branding: Branding | None, *, public_url: str) -> dict[str, Any]:
    """The API's object ``branding``."""
    logo = None if branding is None else branding.logo_hash
    return {
        "object": "branding",
        "color": None if branding is None or branding.color is None else f"#{branding.color}",
        "embed_origins": [] if branding is None else branding.origins,
        "logo_url": None if logo is None else public_url + logo_path(logo),
        "support_email": None if branding is None else branding.support_email,
        "support_phone": None if branding is None else branding.support_phone,
        "support_url": None if branding is None else branding.support_url,
        "updated": None if branding is None else int(branding.updated.timestamp()),
    }


def logo_path(digest: str) -> str:
    """Where a logo is, below the server's public address."""
    return f"/brand/{digest}.png"


def color_path(color: str) -> str:
    """The style sheet of a colour, below the server's public address."""
    return f"/brand/{color}.css"


def read_color(text: str) -> str:
    """``#0B5D4D`` as ``0b5d4d``; ParameterInvalid for anything else."""
    digits = text.removeprefix("#").lower()
    if len(digits) != 6 or not _HEX.issuperset(digits):
        raise ParameterInvalid("A colour is written #rrggbb.", param="color")
    return digits


def style_of(color: str) -> str:
    """A style sheet that paints what is pressed in a colour, with letters that can be read."""
    ink = "000" if _luminance(color) > _LUMINANCE_MIDDLE else "fff"
    return f":root{{--brand:#{color};--brand-ink:#{ink}}}"


def read_origins(origins: Iterable[str]) -> list[str]:
    """Sites by scheme, host and port, as browsers write them; ParameterInvalid for others."""
    found = []
    for number, origin in enumerate(origins):
        param = f"embed_origins[{number}]"
        try:
            parts = urlsplit(origin)
            port = "" if parts.port is None else f":{parts.port}"
            host = parts.hostname or ""
        except ValueError:
            host = port = ""
        # Punctuation would be read as more of the policy that it is put into.
        named = host.replace("-", "").replace(".", "")
        is_name = host.isascii() and named.isalnum()
        if not is_name or origin.lower().rstrip("/") != f"{parts.scheme}://{host}{port}":
            raise ParameterInvalid(
                "{field} must be an origin: https://shop.example, without a path.",
                param=param,
                field=param,
            )
        is_local = host in ("localhost", "127.0.0.1")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
            raise ParameterInvalid("{field} must begin with https://.", param=param, field=param)
        found.append(f"{parts.scheme}://{host}{port}")
    return list(dict.fromkeys(found))


def clean_logo(content: bytes) -> bytes:
    """A PNG with its picture alone; ParameterInvalid for anything else, or for too large a one."""
    if len(content) > LOGO_BYTES_MAX:
        raise _no_logo(f"it is larger than {LOGO_BYTES_MAX} bytes")
    if not content.startswith(_SIGNATURE):
        raise _no_logo("it is not a PNG (an SVG can hold scripts, so it is never taken)")
    chunks = list(_chunks(content))
    kept = [(kind, body) for kind, body in chunks if kind in _KEPT]
    if not kept or kept[0][0] != b"IHDR" or kept[-1] != (b"IEND", b""):
        raise _no_logo("its parts are not in order")
    _check_picture(kept[0][1], b"".join(body for kind, body in kept if kind == b"IDAT"))
    return _SIGNATURE + b"".join(_chunk(kind, body) for kind, body in kept)


def _check_picture(header: bytes, packed: bytes) -> None:
    """Its size is what it says, and what is packed is exactly that many bytes."""
    if len(header) != 13:
        raise _no_logo("its header is damaged")
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if not (0 < width <= LOGO_SIDE_MAX and 0 < height <= LOGO_SIDE_MAX):
        raise _no_logo(f"its sides are more than {LOGO_SIDE_MAX} pixels")
    if kind not in _SAMPLES or depth not in (1, 2, 4, 8, 16) or interlaced:
        raise _no_logo("its colours are of no known kind, or it is interlaced: save it plain")
    size = height * (1 + (width * _SAMPLES[kind] * depth + 7) // 8)
    reader = zlib.decompressobj()
    try:
        # Never more than a byte beyond what the header promises, however well it was packed.
        picture = reader.decompress(packed, size + 1)
    except zlib.error:
        raise _no_logo("its picture is damaged") from None
    if len(picture) != size:
        raise _no_logo("its picture is not of the size that it says")


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(content):
        head = content[at : at + 8]
        if len(head) < 8:
            raise _no_logo("it is cut off")
        length, kind = struct.unpack(">I4s", head)
        body = content[at + 8 : at + 8 + length]
        sum_ = content[at + 8 + length : at + 12 + length]
        if len(sum_) < 4 or zlib.crc32(kind + body) != struct.unpack(">I", sum_)[0]:
            raise _no_logo("it is damaged")
        yield kind, body
        if kind == b"IEND":
            return
        at += 12 + length


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _no_logo(why: str) -> ParameterInvalid:
    return ParameterInvalid("This logo can not be used: {why}.", param="logo", why=why)


def _luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
