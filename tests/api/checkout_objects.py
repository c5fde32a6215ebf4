"""A checkout session, a payment link, a till, and a picture for a logo."""

import struct
import zlib
from typing import Any

from tests.api.world import Api


def line(amount: int = 2_500, *, name: str = "A lamp", currency: str = "usd") -> dict[str, Any]:
    """One line of a fixed price."""
    about = {"currency": currency, "unit_amount": amount, "product_data": {"name": name}}
    return {"price_data": about, "quantity": 1}


def open_line(name: str = "A gift", **bounds: int | bool) -> dict[str, Any]:
    """One line whose payer chooses."""
    custom = {"enabled": True, **bounds}
    about = {"currency": "usd", "custom_unit_amount": custom, "product_data": {"name": name}}
    return {"price_data": about}


def create_checkout_objects(api: Api) -> dict[str, str]:
    """One of each, of Alice's."""
    return {
        "checkout_session": _made(api, "/v1/checkout/sessions", {"line_items": [line()]}),
        "payment_link": _made(api, "/v1/payment_links", {"line_items": [line()]}),
        "pos_device": _made(api, "/v1/pos_devices", {"name": "Stall", "currency": "usd"}),
    }


def png(width: int = 2, height: int = 2, *, kind: int = 2, extra: bytes = b"") -> bytes:
    """A picture; ``extra`` is put into it as a text."""
    samples = {0: 1, 2: 3, 6: 4}[kind]
    rows = (b"\0" + bytes([11, 93, 77, 255][:samples]) * width) * height
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    if extra:
        parts.append((b"tEXt", extra))
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG with its sum."""
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum


def _made(api: Api, path: str, body: dict[str, Any]) -> str:
    answer = api.call("POST", path, json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])
