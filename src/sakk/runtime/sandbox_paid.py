"""``/sandbox/paid``: what the sandbox sells over HTTP 402, to whoever tries how that is.

It is a shop like any other: the seller's door, by the sandbox merchant's key, in front of an
application. That it stands in the API's process is so that one address is enough.
"""

import json
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from sakk.paywall import Paywall, Route
from sakk.paywall.sakk import Sakk

PATH: Final = "/sandbox/paid"
PRICE: Final = "$0.001"
KEY_NAME: Final = "sandbox_key"
USED_NAME: Final = "sandbox_used.sqlite"


class SandboxPaid:
    """The API, and beside it one thing that costs something."""

    def __init__(self, app: ASGIApp, *, url: str, charges_url: str, folder: Path) -> None:
        self._app = app
        key = (folder / KEY_NAME).read_text()
        self._shop = Paywall(
            sold,
            routes=[
                Route(f"GET|POST {PATH}", PRICE, description="What the sandbox sells"),
            ],
            # Asked at the first request: before that this very server does not answer.
            offers=Sakk(url, key, charges_url=charges_url, used_file=folder / USED_NAME),
            public_url=url,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH:
            await self._shop(scope, receive, send)
            return
        await self._app(scope, receive, send)
        if scope["type"] == "lifespan":
            await self._shop.close()


async def sold(scope: Scope, receive: Receive, send: Send) -> None:
    """Who paid how much, which is all there is to buy."""
    payment = scope.get("sakk.payment")
    told: dict[str, Any] = {"paid": payment is not None}
    if payment is not None:
        told["payer"] = payment.payer
        told["amount"] = str(payment.amount)
        told["currency"] = payment.currency
        told["network"] = payment.network
        told["scheme"] = payment.scheme
    body = json.dumps(told).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    status = 200 if payment is not None else 405
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
