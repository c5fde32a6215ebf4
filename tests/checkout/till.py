"""The checkout in this process, asked without a browser, over a world of its own."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from sakk.checkout.app import Checkout
from sakk.checkout.visit import CheckoutSettings
from sakk.core.checkout_session import Line
from sakk.core.payment import PaymentIntent, quote_of
from sakk.flow import checkout_session as sessions
from sakk.flow.checkout_session import SessionRequest
from sakk.flow.context import Parts
from sakk.flow.payment import PaymentRequest, read_catalogue
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.vault import KEY_BYTES, Vault
from tests.api.world import World, create_world

VAULT = Vault(bytes(KEY_BYTES))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as a page."""
        return self.body.decode("utf-8", "replace")


class Counter:
    """A checkout and whoever stands before it."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.database = database
        self.world: World = create_world(database)
        self.parts = Parts(database=database, vault=VAULT)
        self.app = Checkout(
            self.parts, CheckoutSettings(public_url="http://pay.example", **settings)
        )

    def ask(
        self,
        method: str,
        path: str,
        form: dict[str, str] | None = None,
        *,
        address: str = "203.0.113.7",
        **headers: str,
    ) -> Answer:
        """One request, from one address."""
        return asyncio.run(self._ask(method, path, form, address, headers))

    async def _ask(
        self,
        method: str,
        path: str,
        form: dict[str, str] | None,
        address: str,
        headers: dict[str, str],
    ) -> Answer:
        path, _, query = path.partition("?")
        given = {
            "host": "pay.example",
            **{name.replace("_", "-"): v for name, v in headers.items()},
        }
        body = urlencode(form or {}).encode()
        if form is not None:
            given["content-type"] = "application/x-www-form-urlencoded"
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(n.encode(), v.encode()) for n, v in given.items()],
            "client": (address, 1),
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        raw = [(n.decode(), v.decode()) for n, v in sent[0]["headers"]]
        return Answer(
            status=sent[0]["status"],
            headers=dict(raw),
            cookies=[value for name, value in raw if name == "set-cookie"],
            body=sent[1]["body"],
        )

    def session(self, amount: int = 2_500) -> tuple[str, PaymentIntent]:
        """A new session's page, of Alice's, and its payment."""
        identifier = new_id("cs")
        with self.database.begin() as connection:
            _, intent = sessions.create(
                connection,
                read_catalogue(connection),
                VAULT,
                SessionRequest(
                    payment=PaymentRequest(amount=amount, currency="usd"),
                    lines=[Line("Tea", amount, 1)],
                ),
                identifier=identifier,
                intent_id=new_id("pi"),
                account_id=self.world.alice.account,
                livemode=False,
                now=datetime.now(UTC),
            )
        assert quote_of(intent.quotes[0]).address is not None
        return f"/checkout/{sessions.token_of(VAULT, identifier)}", intent

    def close(self) -> None:
        self.app.close()
