"""The ledger's door: from a request to records for the ledger, and from its results to an answer.

``Postings`` knows one route, whichever server carries it, and so does ``sakk.api.charge``:
``HotDoor`` is that server's ASGI beside the framework in the API's processes,
``sakk.api.ledger_door`` the ledger's own. One event
loop reads the body, hands its records to the ledger, and words the results; no thread and no query
stands between. Idempotency is by the ids in the body, so an ``Idempotency-Key`` needs no storage.
The rate limit of a key does not count here: what holds this door back is the ledger's own queue.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

from sakk.api.answer import SECURITY_HEADERS, refusal
from sakk.api.answer import headers as answer_headers
from sakk.api.authentication import Authenticator
from sakk.api.context import Caller
from sakk.api.dependencies import ApiSettings
from sakk.api.ledger_body import (
    BODY_BYTES_MAX,
    RESULTS,
    Form,
    Posting,
    read_at_once,
    read_the_long_way,
)
from sakk.api.observation import Observe
from sakk.api.pipeline import check_permitted
from sakk.api.route import Route
from sakk.core.errors import BodyTooLarge, InvalidRequest, ParameterUnknown
from sakk.core.peer import client_address
from sakk.ledger.calls import Op
from sakk.ledger.line import Line
from sakk.ledger.wire import ACCOUNTS, TRANSFERS, Noun
from sakk.store.identity import new_id
from sakk.store.identity import now as wall_clock

# A longer body that must be read the long way is read in a thread.
INLINE_BYTES_MAX = 16 << 10
BODY_SECONDS_MAX = 30.0
JSON = b"application/json"
OPS = {"accounts": Op.create_accounts, "transfers": Op.create_transfers}

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class Head(NamedTuple):
    """What stands before a body. Header names are in lower case."""

    headers: dict[bytes, bytes]
    query: bytes
    peer: str | None

    def text(self, name: bytes) -> str | None:
        """A header's value."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Question(NamedTuple):
    """What a body asks of the ledger, and how its results are worded: media type and body."""

    op: Op
    records: bytes
    answer: Callable[[bytes], tuple[bytes, bytes] | None]
    # Vouchers that are kept before the records are asked.
    vouchers: bytes = b""
    # What is done where it will not be answered, and where ``answer`` says None.
    failed: Callable[[], None] | None = None
    go_on: Callable[[], Awaitable[tuple[bytes, bytes]]] | None = None

    def fail(self) -> None:
        """It was not asked, or what became of it is not known."""
        if self.failed is not None:
            self.failed()


class Admission:
    """One hot route: who may use it. What a body says is a subclass's to read.

    Each question has a short way, which answers at once or None, and a long one. All raise what
    the caller is told.
    """

    def __init__(
        self,
        route: Route,
        authenticator: Authenticator,
        settings: ApiSettings,
        in_thread: InThread,
    ) -> None:
        self.route = route
        self.settings = settings
        self.authenticator = authenticator
        self.in_thread = in_thread

    def admit_at_once(self, head: Head) -> Caller | None:
        """Who posts, where that is remembered."""
        caller = None
        if b"stripe-account" not in head.headers:
            caller = self.authenticator.caller_at_once(
                authorization=head.text(b"authorization"),
                address=self._address(head),
                now=wall_clock(),
            )
        return None if caller is None else self._permitted(head, caller)

    async def admit(self, head: Head) -> Caller:
        """Who posts, by the database."""
        caller = await self.in_thread(
            lambda: self.authenticator.caller(
                authorization=head.text(b"authorization"),
                stripe_account=head.text(b"stripe-account"),
                address=self._address(head),
                now=wall_clock(),
            )
        )
        assert isinstance(caller, Caller)
        return self._permitted(head, caller)

    def read_at_once(self, head: Head, body: bytes, caller: Caller) -> Question | None:
        """What a body asks, where that can be said at once."""
        raise NotImplementedError

    async def read(self, head: Head, body: bytes, caller: Caller) -> Question:
        """What any body asks."""
        raise NotImplementedError

    def _address(self, head: Head) -> str | None:
        return client_address(
            head.peer, head.text(b"x-forwarded-for"), self.settings.trusted_proxies
        )

    def _permitted(self, head: Head, caller: Caller) -> Caller:
        check_permitted(self.route, caller)
        if head.query:
            raise ParameterUnknown(
                "This endpoint has no parameters in its URL. Send them in the body.",
                param=head.query.partition(b"=")[0].decode("latin-1"),
            )
        return caller


class Postings(Admission):
    """One route of postings of the operator's own ledger."""

    def __init__(
        self,
        route: Route,
        authenticator: Authenticator,
        settings: ApiSettings,
        in_thread: InThread,
    ) -> None:
        super().__init__(route, authenticator, settings, in_thread)
        noun: Any = route.handler()
        assert isinstance(noun, Noun), "a posting's handler says which noun it is"
        self._noun = noun
        self._op = OPS[noun.name]

    def read_at_once(self, head: Head, body: bytes, caller: Caller) -> Question | None:
        """A body of records or of JSON in the usual spelling, or one that is short."""
        media_type, livemode = head.text(b"content-type"), caller.key.livemode
        found = read_at_once(self._noun, body, media_type, livemode=livemode)
        if found is None and len(body) <= INLINE_BYTES_MAX:
            found = read_the_long_way(self._noun, body, media_type, livemode=livemode)
        return None if found is None else self._question(found, livemode=livemode)

    async def read(self, head: Head, body: bytes, caller: Caller) -> Question:
        """Any body."""
        media_type, livemode = head.text(b"content-type"), caller.key.livemode
        found = await self.in_thread(
            lambda: read_the_long_way(self._noun, body, media_type, livemode=livemode)
        )
        assert isinstance(found, Posting)
        return self._question(found, livemode=livemode)

    def _question(self, posting: Posting, *, livemode: bool) -> Question:
        return Question(self._op, posting.records, partial(worded, posting, livemode=livemode))


class HotDoor:
    """One hot route, as an ASGI application that needs no envelope around it."""

    def __init__(self, admission: Admission, line: Line, observe: Observe) -> None:
        self._admission = admission
        self._line = line
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        identifier = new_id("req")
        status = 200
        try:
            media_type, body = await self._answer(scope, receive)
            headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
        except Exception as error:
            public_url = self._admission.settings.public_url
            answer = refusal(error, request_id=identifier, public_url=public_url)
            status, headers, body = answer.status, answer_headers(answer), answer.body
        headers.append((b"request-id", identifier.encode()))
        headers.extend(SECURITY_HEADERS)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._observe(time.perf_counter() - began, status)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[bytes, bytes]:
        """The answer's media type and body; raises what the caller is told."""
        admission = self._admission
        client = scope["client"]
        head = Head(dict(scope["headers"]), scope["query_string"], client[0] if client else None)
        caller = admission.admit_at_once(head) or await admission.admit(head)
        body = await read_whole(receive, head.headers.get(b"content-length"))
        asked = admission.read_at_once(head, body, caller)
        if asked is None:
            asked = await admission.read(head, body, caller)
        try:
            if asked.vouchers:
                # First, and only then the rest: two questions of a line may fail each for itself.
                await self._line.ask(Op.keep_vouchers, asked.vouchers)
            results = await self._line.ask(asked.op, asked.records) if asked.records else b""
        except BaseException:
            asked.fail()
            raise
        told = asked.answer(results)
        if told is None:
            assert asked.go_on is not None
            told = await asked.go_on()
        return told


def worded(posting: Posting, results: bytes, *, livemode: bool) -> tuple[bytes, bytes]:
    """The media type and the body of what the ledger said."""
    if posting.form is Form.records:
        return RESULTS.encode(), results
    around = _AROUND[posting.noun.name, livemode]
    if posting.form is Form.one:
        return JSON, posting.noun.write.one(posting.records, results, around.one)
    return JSON, b"%b%b}" % (around.batch, posting.noun.write(results))


class _Around(NamedTuple):
    """What stands before results in JSON: between an id and its result, and before a list."""

    one: bytes
    batch: bytes


def _around(noun: str, mode: str) -> _Around:
    said = f'"object":"ledger.{noun}_result%s","livemode":{mode},'
    return _Around(f'",{said % ""}'.encode(), f'{{{said % "s"}"results":'.encode())


_AROUND = {
    (noun.name, livemode): _around(noun.name.removesuffix("s"), "true" if livemode else "false")
    for noun in (ACCOUNTS, TRANSFERS)
    for livemode in (False, True)
}


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
