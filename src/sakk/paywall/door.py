"""The seller's door: ASGI middleware that has a request paid before the application sees it.

    app = Paywall(app, routes=[Route("GET /weather/{city}", "$0.001")], offers=[...])

What is not priced, websockets and everything else of ASGI pass by. A paid request reaches the
application once its payment is taken; its answer goes to the client as the application produces it,
with ``PAYMENT-RESPONSE`` in its head. What is answered with an error (a status from 400), not at
all, or to a client that has gone, is not charged.
"""

import asyncio
import inspect
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from sakk.client.x402 import HEADER_BYTES_MAX, Requirement, Resource
from sakk.paywall import escrow, quote
from sakk.paywall.answer import Receive, Send, answer_to, send_answered, send_refusal
from sakk.paywall.challenge import answer_of, challenge_of, is_browser, language_of
from sakk.paywall.charge import AuthorityAway
from sakk.paywall.errors import (
    AMBIGUOUS,
    AUTHORITY_AWAY,
    NO_SUCH_OFFER,
    UNREADABLE,
    PaywallAway,
    PaywallError,
    Refusal,
)
from sakk.paywall.escrow import Escrow
from sakk.paywall.payment import Answered, Clock, Offer, Payment, Sent, Taken, Terms
from sakk.paywall.route import (
    AmbiguousPath,
    Asked,
    Found,
    Pricing,
    Route,
    Routes,
    describe,
    is_preflight,
)
from sakk.paywall.session import Answering, Call, Calling, Session, away, decoded, read_call
from sakk.paywall.terms import corrected, is_same, terms_of

if TYPE_CHECKING:
    from sakk.paywall.compiled.call import VoucherCall

log = logging.getLogger("sakk.paywall")

Scope = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]
HEADER: Final = b"payment-signature"
OFFERS_MAX: Final = 64
# What payers accept is remembered in so many spellings, of so many bytes each.
ACCEPTED_MAX: Final = 256
ACCEPTED_BYTES_MAX: Final = 4_096


class Source(Protocol):
    """Where the ways to be paid are asked for when the application starts."""

    async def offers(self) -> Sequence[Offer]:
        """All of them."""
        ...


@dataclass(frozen=True, slots=True)
class _Priced:
    """What one request costs, in every way that it may be paid."""

    terms: tuple[Terms, ...]
    price: str
    # The first way that is a session, for the short way.
    session: tuple[Terms, Session] | None
    # Prices of a function are marked, so that they can be held.
    moves: bool
    # Whether it may be paid by voucher the short way, and what payers were seen to accept, byte for
    # byte.
    is_quick: bool
    accepted: dict[bytes, Terms]


class Outcome(StrEnum):
    """What became of a priced request."""

    unpaid = "unpaid"
    refused = "refused"
    # Answered 503: whether it was settled, or reserved, is not known.
    unclear = "unclear"
    served = "served"
    # Paid for, and answered with an error: not charged, or good again.
    failed = "failed"


Observe = Callable[[Outcome, Payment | None], None]


def _ignore(outcome: Outcome, payment: Payment | None) -> None:
    """Nobody counts."""


class Paywall:
    """An ASGI application around another one. See the module.

    ``public_url`` is the address that clients know, where it is not what ``Host`` says. ``secret``
    marks prices that a function says, and must be the same in all processes of a service.
    ``observe`` is told what became of each priced request.
    """

    def __init__(
        self,
        app: Application,
        *,
        routes: Iterable[Route],
        offers: Sequence[Offer] | Source,
        public_url: str | None = None,
        secret: bytes | None = None,
        observe: Observe = _ignore,
        clock: Clock = time.time,
    ) -> None:
        if secret is not None and len(secret) < quote.SECRET_BYTES_MIN:
            raise PaywallError(f"secret: must be at least {quote.SECRET_BYTES_MIN} bytes.")
        self._app = app
        self._routes = Routes(list(routes))
        self._public_url = None if public_url is None else public_url.rstrip("/")
        self._secret = secret or secrets.token_bytes(32)
        self._observe = observe
        self._clock = clock
        self._source: Source | None = None
        self._offers: Sequence[Offer] = ()
        self._fixed: list[_Priced | None] = []
        self._is_ready = False
        self._starting: asyncio.Lock | None = None
        if isinstance(offers, Sequence):
            self._use(offers)
        else:
            self._source = offers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = _host(scope) if self._routes.by_host else None
            try:
                found = self._routes.find(
                    scope["method"], scope["path"], host, scope.get("raw_path")
                )
            except AmbiguousPath:
                await send_refusal(send, AMBIGUOUS)
                return
            if found is None:
                await self._app(scope, receive, send)
                return
            scope["sakk.route"] = found.index
            if found.route.price is None:
                await self._app(scope, receive, send)
                return
            header = None
            for name, value in scope["headers"]:
                if name == HEADER:
                    header = value
                    break
            priced = self._fixed[found.index] if self._is_ready else None
            asked: Calling | Refusal | None = None
            if header is not None and priced is not None and priced.session is not None:
                asked = self._call(header, priced, scope)
                if asked is not None and not isinstance(asked, Refusal):
                    await self._serve_call(asked, found, priced, scope, receive, send)
                    return
            if header is not None and asked is None and priced is not None and priced.is_quick:
                voucher = self._voucher(header, priced)
                if voucher is not None:
                    await self._serve_voucher(voucher, found, header, priced, scope, receive, send)
                    return
            await self._serve(found, header, priced, asked, scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def start(self) -> None:
        """Ask for the ways to be paid, where they are asked for. Done by lifespan, or by itself."""
        if self._is_ready or self._source is None:
            return
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if not self._is_ready:
                self._use(await self._source.offers())

    async def _start_or_say(self) -> None:
        """Start with who says how to be paid, or without: what is free is served meanwhile, and
        each priced request asks again."""
        try:
            await self.start()
        except PaywallAway as error:
            log.warning("%s Priced requests are answered 503 until then.", error)

    async def close(self) -> None:
        """End what is under way. Done by lifespan where the server and the application have it."""
        for offer in self._offers:
            await offer.close()

    # A priced request

    async def _serve_call(
        self,
        call: Calling,
        found: Found,
        priced: _Priced,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Serve a session's call that is asked for, when it is reserved."""
        try:
            refusal = call.hear(await call.asked)
        except AuthorityAway as error:
            refusal = away(error)
        if refusal is None:
            refusal = await self._pass(call.payment, call.answer(receive, send), scope)
        if refusal is not None:
            await self._turn_away(found, priced, scope, send, refusal)

    async def _serve_voucher(
        self,
        call: "VoucherCall",
        found: Found,
        header: bytes,
        priced: _Priced,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Serve a call by voucher when it is reserved; the way at length says why it is not."""
        try:
            if not call.is_reserved(await call.asked):
                await self._serve(found, header, priced, None, scope, receive, send)
                return
        except AuthorityAway as error:
            await self._turn_away(found, priced, scope, send, escrow.away(error))
            return
        await self._pass(call.payment, call.answer(receive, send), scope)

    async def _serve(
        self,
        found: Found,
        header: bytes | None,
        fixed: _Priced | None,
        asked: Calling | Refusal | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Serve what is no session's call at a fixed price, or was refused as one."""
        if not self._is_ready:
            try:
                await self.start()
            except PaywallError as error:
                log.error("%s", error)
                message = "How this is paid for is not known at the moment. Try again."
                await send_refusal(send, Refusal(AUTHORITY_AWAY, message, 503, 5))
                return
        priced = fixed or self._fixed[found.index] or await self._price(found, scope)
        if priced is None or (header is None and is_preflight(scope["method"], scope["headers"])):
            await self._app(scope, receive, send)
            return
        if header is None:
            self._observe(Outcome.unpaid, None)
            await self._challenge(found, priced, scope, send, None)
            return
        if fixed is None and priced.session is not None:
            asked = self._call(header, priced, scope)
        if asked is not None and not isinstance(asked, Refusal):
            await self._serve_call(asked, found, priced, scope, receive, send)
            return
        taken = asked or await self._take(header, priced, scope)
        if isinstance(taken, Answered):
            await send_answered(send, taken)
            return
        if isinstance(taken, Refusal):
            refusal: Refusal | None = taken
        else:
            refusal = await self._pass(taken.payment, answer_to(taken, receive, send), scope)
        if refusal is not None:
            await self._turn_away(found, priced, scope, send, refusal)

    async def _turn_away(
        self, found: Found, priced: _Priced, scope: Scope, send: Send, refusal: Refusal
    ) -> None:
        self._observe(Outcome.refused if refusal.status == 402 else Outcome.unclear, None)
        await self._challenge(found, priced, scope, send, refusal)

    async def _pass(self, payment: Payment, answer: Answering, scope: Scope) -> Refusal | None:
        """Have the application answer; a refusal where nothing was sent and 402 is the answer."""
        scope["sakk.payment"] = payment
        scope["state"] = {**(scope.get("state") or {}), "payment": payment}
        try:
            await self._app(scope, answer.receive, answer.send)
        except BaseException:
            # What held it back from the client may be the reason.
            refusal = answer.close()
            if refusal is None:
                self._observe(Outcome.failed, payment)
                raise
            return refusal
        refusal = answer.close()
        if refusal is None:
            self._observe(Outcome.served if answer.is_good else Outcome.failed, payment)
        return refusal

    def _call(self, header: bytes, priced: _Priced, scope: Scope) -> Calling | Refusal | None:
        """The short way of a session's call, read in one pass; None where it is none."""
        try:
            call = read_call(_decoded(header))
            if priced.moves and call.accepted is not None:
                # What was accepted may be a price that still stands: the long way looks.
                return None
            chosen = _session_of(call, priced)
            if chosen is None:
                return _NOT_OFFERED
            terms, session = chosen
            return session.call(call.payload, terms, scope["method"], target_of(scope))
        except msgspec.ValidationError:
            return None
        except ValueError as error:
            return _unreadable(error)

    def _voucher(self, header: bytes, priced: _Priced) -> "VoucherCall | None":
        """The short way of a call by voucher at a fixed price; None where it is none."""
        try:
            sent = escrow.read_quick(_decoded(header))
            terms = priced.accepted.get(accepted := bytes(sent.accepted))
            if terms is None:
                terms = _accepted(accepted, priced)
            if terms is None or not isinstance(terms.offer, Escrow):
                return None
            return terms.offer.call(sent.payload.voucher, terms)
        except (ValueError, OverflowError, RecursionError):
            # Also a price that a record has no room for: the way at length asks at length.
            return None

    async def _take(
        self, header: bytes, priced: _Priced, scope: Scope
    ) -> Taken | Answered | Refusal:
        try:
            sent = _read(_decoded(header), scope)
            found = self._choose(sent, priced, scope)
            return _NOT_OFFERED if found is None else await found.offer.take(sent, found)
        except (ValueError, RecursionError) as error:
            return _unreadable(error)

    def _choose(self, sent: Sent, priced: _Priced, scope: Scope) -> Terms | None:
        """What of ours the payer accepted, at the price that it was asked."""
        accepted = sent.document.get("accepted")
        if not isinstance(accepted, dict):
            raise ValueError("'accepted' is missing")
        for terms in priced.terms:
            ours = terms.requirement
            if not is_same(accepted, ours):
                continue
            if accepted.get("amount") == ours.amount:
                return terms
            # What a unit cost before is not known: a metered price that moved is asked anew.
            if priced.moves and terms.meter is None:
                asked = quote.is_standing(
                    self._secret,
                    ours,
                    accepted,
                    resource=_resource(scope),
                    now=int(self._clock()),
                )
                if asked is not None:
                    return Terms(terms.offer, asked, int(asked.amount))
        return None

    # Prices

    def _use(self, offers: Sequence[Offer]) -> None:
        if not 0 < len(offers) <= OFFERS_MAX:
            raise PaywallError(f"offers: must be 1 to {OFFERS_MAX} ways to be paid.")
        self._offers = offers
        self._fixed = [
            None
            if found.route.price is None or callable(found.route.price)
            else _priced(found.route, found.route.price, offers, moves=False)
            for found in self._routes.compiled
        ]
        self._is_ready = True

    async def _price(self, found: Found, scope: Scope) -> _Priced | None:
        """What the route's function says; None: free."""
        function = found.route.price
        assert callable(function)
        said = function(
            Asked(
                method=scope["method"],
                path=scope["path"],
                parameters=self._routes.parameters(found, scope["path"], scope.get("raw_path")),
                query=scope.get("query_string", b""),
                headers=scope["headers"],
            )
        )
        pricing = await said if inspect.isawaitable(said) else said
        if pricing is None:
            return None
        return _priced(found.route, pricing, self._offers, moves=True)

    async def _challenge(
        self, found: Found, priced: _Priced, scope: Scope, send: Send, refusal: Refusal | None
    ) -> None:
        if refusal is not None and refusal.status != 402:
            await send_refusal(send, refusal)
            return
        requirements: list[Requirement] = [each.requirement for each in priced.terms]
        if refusal is not None and refusal.corrected is not None:
            requirements = corrected(requirements, refusal.corrected)
        if priced.moves:
            now, resource = int(self._clock()), _resource(scope)
            requirements = [
                quote.mark(self._secret, each, resource=resource, now=now) for each in requirements
            ]
        challenge = challenge_of(
            requirements,
            Resource(
                url=self._url(scope),
                description=found.route.description,
                mime_type=found.route.mime_type,
            ),
            refusal,
        )
        sent = scope["headers"]
        page = language_of(sent) if refusal is None and is_browser(sent) else None
        headers, body = answer_of(challenge, price=priced.price, page=page)
        if refusal is not None and refusal.settlement is not None:
            headers.append((b"payment-response", refusal.settlement))
        await send({"type": "http.response.start", "status": 402, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _url(self, scope: Scope) -> str:
        base = self._public_url
        if base is None:
            host = _host(scope) or "localhost"
            base = f"{scope.get('scheme', 'http')}://{host}"
        return base + target_of(scope).decode("latin-1")

    # Lifespan

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start before the application does, and end after it; also for one without lifespan."""
        started = ended = False

        async def heard() -> Any:
            nonlocal started
            message = await receive()
            if message["type"] == "lifespan.startup":
                started = True
                await self._start_or_say()
            return message

        async def told(message: Any) -> None:
            nonlocal ended
            if message["type"].startswith("lifespan.shutdown"):
                ended = True
                await self.close()
            await send(message)

        try:
            await self._app(scope, heard, told)
        except Exception:
            if started:
                raise
            await self._live_alone(receive, send)
            return
        if not ended:
            await self.close()

    async def _live_alone(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start_or_say()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def target_of(scope: Scope) -> bytes:
    """Path and query as they stood in the request line."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return path + b"?" + query if query else path


def _resource(scope: Scope) -> str:
    return f"{scope['method']} {target_of(scope).decode('latin-1')}"


def _host(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"host":
            return str(value.decode("latin-1"))
    return None


def _priced(route: Route, pricing: Pricing, offers: Sequence[Offer], *, moves: bool) -> _Priced:
    terms = tuple(terms_of(pricing, offers, route.currencies))
    if not terms:
        raise PaywallError(
            f"{route.pattern!r} can not be paid: no offer is of its price's currency and as fine as"
            " the price (and for a metered price, of a scheme that can be metered)."
        )
    session = next(((each, each.offer) for each in terms if isinstance(each.offer, Session)), None)
    is_quick = escrow.IS_QUICK and any(isinstance(each.offer, Escrow) for each in terms)
    return _Priced(terms, describe(pricing), session, moves, is_quick and not moves, {})


_NOT_OFFERED = Refusal(NO_SUCH_OFFER, "What was accepted is not offered (any more).")


def _accepted(sent: bytes, priced: _Priced) -> Terms | None:
    """What of ours was accepted, at its price; known from here on by its bytes."""
    accepted = msgspec.json.decode(sent)
    for terms in priced.terms if isinstance(accepted, dict) else ():
        ours = terms.requirement
        if is_same(accepted, ours) and accepted.get("amount") == ours.amount:
            if terms.meter is not None:
                return None
            if len(sent) <= ACCEPTED_BYTES_MAX:
                if len(priced.accepted) >= ACCEPTED_MAX:
                    priced.accepted.clear()
                priced.accepted[sent] = terms
            return terms
    return None


def _unreadable(error: Exception) -> Refusal:
    return Refusal(UNREADABLE, f"PAYMENT-SIGNATURE can not be read: {error}")


def _session_of(call: Call, priced: _Priced) -> tuple[Terms, Session] | None:
    """Which coin of which Sakk a call is of."""
    first = priced.session
    if first is not None:
        ours, accepted = first[1], call.accepted
        if accepted is None:
            if call.network in ("", ours.network):
                return first
        elif call.network == ours.network and accepted.asset == ours.asset:
            return first
    for terms in priced.terms:
        offer = terms.offer
        if (
            isinstance(offer, Session)
            and offer.network == call.network
            and (call.accepted is None or call.accepted.asset.lower() == offer.asset)
        ):
            return terms, offer
    return None


def _decoded(header: bytes) -> bytes:
    if len(header) > HEADER_BYTES_MAX:
        raise ValueError(f"it is longer than {HEADER_BYTES_MAX} bytes")
    return decoded(header)


def _read(raw: bytes, scope: Scope) -> Sent:
    """The payment of a header; ValueError (msgspec's, binascii's) where it is none."""
    document = msgspec.json.decode(raw)
    if not isinstance(document, dict) or not isinstance(document.get("payload"), dict):
        raise ValueError("it is no object with a payload")
    if document.get("x402Version") != 2:
        raise ValueError("x402Version must be 2")
    return Sent(document, document["payload"], scope["method"], target_of(scope))
