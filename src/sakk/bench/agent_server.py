"""What ``sakk bench agent`` calls: one small answer, paid at one path and free at another.

Both paths pass the same middleware, in the same server and process. Where it is sold, and whom the
money is for, is in the environment.
"""

import os
from typing import Any

from sakk.paywall import Charges, Paywall, Route, Session

PAID, FREE = "/paid", "/free"
BODY = b'{"weather":"fine","temperature":21}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """The application: it answers everything alike."""
    assert scope["type"] == "http"
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
    return Paywall(
        answer, routes=[Route(f"GET {PAID}", environment["SAKK_BENCH_PRICE"])], offers=[session]
    )
