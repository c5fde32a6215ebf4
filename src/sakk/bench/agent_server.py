"""What ``sakk bench agent`` calls: one small answer, paid at one path and free at another.

Both pass the same middleware, in the same server and process, and so do the two that have no
framework under them: ``/bare`` is the least that an ASGI application can be, the other is a route
of FastAPI, as services are written. Where it is sold, and for whom, is in the environment.
"""

import os
from typing import Any

from fastapi import FastAPI

from sakk.paywall import Charges, Paywall, Route, Session
from sakk.paywall.sakk import Sakk

PAID, FREE = "/paid", "/free"
BARE = "/bare"
WEATHER: dict[str, Any] = {"weather": "fine", "temperature": 21}
BODY = b'{"weather":"fine","temperature":21}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]

service = FastAPI()


@service.get(PAID)
@service.get(FREE)
async def weather() -> dict[str, Any]:
    """A route as services have them."""
    return WEATHER


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The service, and beside it an answer that costs nothing to make."""
    if scope["type"] != "http" or not scope["path"].startswith(BARE):
        await service(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def make() -> Paywall:
    """The application behind its paywall."""
    environment = os.environ
    session = Session(
        Charges(environment["SAKK_BENCH_CHARGES_URL"], environment["SAKK_BENCH_KEY"]),
        network=environment["SAKK_BENCH_NETWORK"],
        account=environment["SAKK_BENCH_PAYEE"],
        currency="usdc",
        decimals=6,
        authority=environment["SAKK_BENCH_URL"],
    )
    return Paywall(application, routes=_routes(), offers=[session])


def make_vouchers() -> Paywall:
    """The application behind a paywall that takes vouchers of channels in the escrow."""
    environment = os.environ
    source = Sakk(
        environment["SAKK_BENCH_URL"],
        environment["SAKK_BENCH_KEY"],
        networks=[environment["SAKK_BENCH_NETWORK"]],
        schemes=["batch-settlement"],
        charges_url=environment["SAKK_BENCH_CHARGES_URL"],
    )
    return Paywall(application, routes=_routes(), offers=source)


def _routes() -> list[Route]:
    price = os.environ["SAKK_BENCH_PRICE"]
    return [Route(f"GET {path}", price) for path in (PAID, BARE + PAID)]
