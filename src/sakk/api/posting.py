"""The ledger's door: plain ASGI beside the framework, from a request's body to the ledger and back.

One event loop reads the body, hands its records to the ledger's line, and words the results; no
thread and no query stands between. What arrives in one turn of the loop reaches the ledger in one
frame. Idempotency is by the ids in the body, so an ``Idempotency-Key`` needs no storage. The rate
limit of a key does not count here: what holds this door back is the ledger's own queue.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from sakk.api.answer import headers as answer_headers
from sakk.api.answer import refusal
from sakk.api.authentication import client_address
from sakk.api.context import Caller
from sakk.api.ledger_body import (
    BODY_BYTES_MAX,
    RESULTS,
    Form,
    Posting,
    read_at_once,
    read_the_long_way,
    show_id,
)
from sakk.api.pipeline import Pipeline, check_permitted
from sakk.api.route import Route
from sakk.core.errors import BodyTooLarge, InvalidRequest, ParameterUnknown
from sakk.core.ledger import shown_id
from sakk.ledger.calls import Op
from sakk.ledger.line import Line
from sakk.ledger.record import ID_SIZE, decode_id
from sakk.ledger.wire import Noun
from sakk.store.identity import new_id
from sakk.store.identity import now as wall_clock

# A longer body that must be read the long way is read in a thread.
INLINE_BYTES_MAX = 16 << 10
BODY_SECONDS_MAX = 30.0
OPS = {"accounts": Op.create_accounts, "transfers": Op.create_transfers}

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
# Seconds and status of each answer.
Observe = Callable[[float, int], None]


class PostingDoor:
    """One route of postings, as an ASGI application that needs no envelope around it.

    ``headers``: what stands on every answer besides its own.
    """

    def __init__(
        self,
        route: Route,
        pipeline: Pipeline,
        line: Line,
        in_thread: InThread,
        observe: Observe,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        self._route = route
        noun: Any = route.handler()
        assert isinstance(noun, Noun), "a posting's handler says which noun it is"
        self._noun = noun
        self._authenticator = pipeline.authenticator
        self._settings = pipeline.dependencies.settings
        self._line = line
        self._in_thread = in_thread
        self._observe = observe
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        identifier = new_id("req")
        status = 200
        try:
            media_type, body = await self._answer(scope, receive)
            headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
        except Exception as error:
            answer = refusal(error, request_id=identifier, public_url=self._settings.public_url)
            status, headers, body = answer.status, answer_headers(answer), answer.body
        headers.append((b"request-id", identifier.encode()))
        headers.extend(self._headers)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._observe(time.perf_counter() - began, status)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[bytes, bytes]:
        """The answer's media type and body; raises what the caller is told."""
        headers = dict(scope["headers"])
        caller = await self._caller(scope, headers)
        check_permitted(self._route, caller)
        if scope["query_string"]:
            raise ParameterUnknown(
                "This endpoint has no parameters in its URL. Send them in the body.",
                param=scope["query_string"].partition(b"=")[0].decode("latin-1"),
            )
        body = await read_whole(receive, headers.get(b"content-length"))
        livemode = caller.key.livemode
        posting = await self._read(body, _text(headers, b"content-type"), livemode=livemode)
        results = await self._line.ask(OPS[posting.noun.name], posting.records)
        return worded(posting, results, livemode=livemode)

    async def _read(self, body: bytes, media_type: str | None, *, livemode: bool) -> Posting:
        found = read_at_once(self._noun, body, media_type, livemode=livemode)
        if found is None and len(body) <= INLINE_BYTES_MAX:
            found = read_the_long_way(self._noun, body, media_type, livemode=livemode)
        elif found is None:
            found = await self._in_thread(
                lambda: read_the_long_way(self._noun, body, media_type, livemode=livemode)
            )
        assert isinstance(found, Posting)
        return found

    async def _caller(self, scope: Scope, headers: dict[bytes, bytes]) -> Caller:
        now = wall_clock()
        client = scope["client"]
        address = client_address(
            client[0] if client else None,
            _text(headers, b"x-forwarded-for"),
            self._settings.trusted_proxies,
        )
        authorization = _text(headers, b"authorization")
        stripe_account = _text(headers, b"stripe-account")
        if stripe_account is None:
            known = self._authenticator.caller_at_once(
                authorization=authorization, address=address, now=now
            )
            if known is not None:
                return known
        caller = await self._in_thread(
            lambda: self._authenticator.caller(
                authorization=authorization,
                stripe_account=stripe_account,
                address=address,
                now=now,
            )
        )
        assert isinstance(caller, Caller)
        return caller


def worded(posting: Posting, results: bytes, *, livemode: bool) -> tuple[bytes, bytes]:
    """The media type and the body of what the ledger said."""
    if posting.form is Form.records:
        return RESULTS.encode(), results
    noun = posting.noun.name[:-1].encode()
    mode = b"true" if livemode else b"false"
    written = posting.noun.write(results)
    if posting.form is Form.batch:
        body = b'{"object":"ledger.%b_results","livemode":%b,"results":%b}' % (noun, mode, written)
    else:
        identifier = show_id(shown_id(decode_id(posting.records[:ID_SIZE]))).encode()
        head = b'{"id":"%b","object":"ledger.%b_result","livemode":%b,' % (identifier, noun, mode)
        # The one result's own braces and brackets end it.
        body = head + written[2:-1]
    return b"application/json", body


async def read_whole(receive: Receive, content_length: bytes | None) -> bytes:
    """The body, up to a size and a time; BodyTooLarge, InvalidRequest."""
    if content_length is not None and (
        not content_length.isdigit() or int(content_length) > BODY_BYTES_MAX
    ):
        raise _too_large()
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while more and size <= BODY_BYTES_MAX:
                chunk, more = await _chunk(receive)
                size += len(chunk)
                chunks.append(chunk)
    except TimeoutError:
        raise InvalidRequest("The body took too long to arrive. Send it again.") from None
    if size > BODY_BYTES_MAX:
        raise _too_large()
    return b"".join(chunks)


async def _chunk(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] != "http.request":
        raise InvalidRequest("The connection ended before the body did.")
    return message.get("body", b""), message.get("more_body", False)


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {BODY_BYTES_MAX} bytes. Send less at once.")


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
