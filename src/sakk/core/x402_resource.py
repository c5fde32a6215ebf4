"""What is sold by HTTP 402, for those who look for it: x402's discovery, told by the sellers.

A seller declares the extension ``bazaar`` on what it wants found. It is listed when the seller's
own key has a payment for it settled, since whoever pays could name anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from sakk.core.x402 import VERSION, Request

EXTENSION: Final = "bazaar"
LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
OFFSET_MAX: Final = 1_000_000
DECLARATION_ITEMS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class X402Resource:
    """One listed resource, as its newest settled payment described it."""

    resource: str
    account_id: str
    livemode: bool
    type: str
    description: str | None
    mime_type: str | None
    accepts: list[Any]
    extensions: dict[str, Any]
    updated: datetime


def listed(
    request: Request, *, account_id: str, livemode: bool, now: datetime
) -> X402Resource | None:
    """What a payment's message declares to be found; None if it declares nothing."""
    payment, wanted = request.payment_payload, request.payment_requirements
    declared = (payment.extensions or {}).get(EXTENSION)
    if not isinstance(declared, dict) or len(declared) > DECLARATION_ITEMS_MAX:
        return None
    resource = payment.resource
    if resource is None or not _is_url(resource.url):
        return None
    return X402Resource(
        resource=resource.url,
        account_id=account_id,
        livemode=livemode,
        type=_type(declared),
        description=resource.description,
        mime_type=resource.mime_type,
        accepts=[
            {
                "scheme": wanted.scheme,
                "network": wanted.network,
                "asset": wanted.asset,
                "amount": wanted.amount,
                "payTo": wanted.pay_to,
                "maxTimeoutSeconds": wanted.max_timeout_seconds,
                "extra": wanted.extra,
            }
        ],
        extensions={EXTENSION: declared},
        updated=now,
    )


def page(rows: Sequence[X402Resource], *, limit: int, offset: int, total: int) -> dict[str, Any]:
    """The answer of ``/discovery/resources``."""
    return {
        "x402Version": VERSION,
        "items": [_item(row) for row in rows],
        "pagination": {"limit": limit, "offset": offset, "total": total},
    }


def read_number(text: str | None, default: int, maximum: int) -> int:
    """A page's limit or offset, within its maximum; ValueError if it is no whole number."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ValueError("limit and offset are whole numbers")
    return min(int(text), maximum)


def _item(row: X402Resource) -> dict[str, Any]:
    item: dict[str, Any] = {
        "resource": row.resource,
        "type": row.type,
        "x402Version": VERSION,
        "accepts": row.accepts,
        "lastUpdated": row.updated.isoformat().replace("+00:00", "Z"),
        "extensions": row.extensions,
    }
    for name, value in (("description", row.description), ("mimeType", row.mime_type)):
        if value is not None:
            item[name] = value
    return item


def _type(declared: Mapping[str, Any]) -> str:
    info = declared.get("info")
    wanted = info.get("input") if isinstance(info, dict) else None
    return "mcp" if isinstance(wanted, dict) and wanted.get("type") == "mcp" else "http"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
