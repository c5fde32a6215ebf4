"""Of a logo a picture is left, a colour can be read on, and a frame is of a site that was named."""

import struct
import zlib
from datetime import UTC, datetime

import pytest
from tests.api.checkout_objects import chunk, png

from sakk.core import branding as rules
from sakk.core.branding import Branding
from sakk.core.errors import ParameterInvalid

BRANDING = Branding(
    account_id="acct_1",
    logo=None,
    logo_hash="ab",
    color="0b5d4d",
    support_email=None,
    support_url=None,
    support_phone=None,
    origins=[],
    updated=datetime(2026, 5, 4, tzinfo=UTC),
)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _made(header: bytes, picture: bytes) -> bytes:
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", picture) + chunk(b"IEND", b"")
    return SIGNATURE + parts


def _header(width: int = 1, height: int = 1, depth: int = 8, kind: int = 2, lace: int = 0) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, lace)


@pytest.mark.parametrize("kind", [0, 2, 6])
def test_a_picture_stays_and_what_else_is_in_the_file_goes(kind: int) -> None:
    plain = png(3, 2, kind=kind)
    assert rules.clean_logo(plain) == plain
    dirty = png(3, 2, kind=kind, extra=b"Comment\0<?php system($_GET[0]) ?>")
    assert rules.clean_logo(dirty + b"<script>alert(1)</script>") == plain


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"GIF89a",
        png()[:-3],
        png()[:20],
        png().replace(b"IHDR", b"IHDX"),
        SIGNATURE,
        SIGNATURE + chunk(b"IHDR", _header()) + b"\0\0",
        SIGNATURE + chunk(b"IDAT", b"") + chunk(b"IEND", b""),
        SIGNATURE + chunk(b"IHDR", _header()),
        _made(b"short", zlib.compress(b"\0" * 4)),
        _made(_header(width=0), zlib.compress(b"")),
        _made(_header(width=9_999), zlib.compress(b"")),
        _made(_header(height=9_999), zlib.compress(b"")),
        _made(_header(depth=3), zlib.compress(b"\0" * 4)),
        _made(_header(kind=5), zlib.compress(b"\0" * 4)),
        _made(_header(lace=1), zlib.compress(b"\0" * 4)),
        _made(_header(), b"not packed"),
        _made(_header(), zlib.compress(b"\0" * 3)),
        # A small file that would fill the memory.
        _made(_header(), zlib.compress(bytes(1 << 24))),
        bytes(rules.LOGO_BYTES_MAX + 1),
    ],
)
def test_what_is_no_small_picture_is_refused(content: bytes) -> None:
    with pytest.raises(ParameterInvalid, match="logo can not be used"):
        rules.clean_logo(content)


@pytest.mark.parametrize(
    ("color", "ink"), [("000000", "fff"), ("ffffff", "000"), ("0b5d4d", "fff"), ("ffd700", "000")]
)
def test_letters_on_a_colour_can_be_read(color: str, ink: str) -> None:
    assert rules.style_of(color) == f":root{{--brand:#{color};--brand-ink:#{ink}}}"


@pytest.mark.parametrize("text", ["red", "#12345", "#gggggg", "#0b5d4d;}"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(ParameterInvalid):
        rules.read_color(text)


def test_a_colour_is_kept_without_its_mark() -> None:
    assert rules.read_color("#0B5D4D") == "0b5d4d"


def test_origins_are_written_as_browsers_do() -> None:
    given = ["https://Shop.example/", "https://shop.example", "http://127.0.0.1:8000"]
    assert rules.read_origins(given) == ["https://shop.example", "http://127.0.0.1:8000"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example/path",
        "https://a.example;",
        "https://a.example *",
        "https://*.example",
        "https://a@b.example",
        "https://a.example:99999",
        "http://a.example",
        "ftp://localhost",
        "'self'",
        "*",
        "",
    ],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ParameterInvalid):
        rules.read_origins([origin])


def test_what_is_shown() -> None:
    shown = rules.public(BRANDING, public_url="https://pay.example")
    assert (shown["color"], shown["logo_url"]) == ("#0b5d4d", "https://pay.example/brand/ab.png")
    assert rules.public(None, public_url="")["updated"] is None
    assert rules.color_path("0b5d4d") == "/brand/0b5d4d.css"
