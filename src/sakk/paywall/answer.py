"""The answer to a paid request on its way to the client: what is charged follows from it.

Nothing is buffered: a chunk is sent on before the application is asked for the next one. Only where
a payment is settled after the handler is the answer held, up to a size, until it is settled.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import msgspec

from sakk.paywall.errors import Refusal
from sakk.paywall.payment import Answered, Taken

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
# A status from here on is an error: it is not charged, as x402's own servers do not.
FAILED_STATUS: Final = 400
USAGE: Final = b"sakk-usage"
# What caches of many obey before Cache-Control (RFC 9213 has the form; nginx and Akamai their own).
_OF_MANY: Final = frozenset({b"surrogate-control", b"x-accel-expires", b"edge-control"})
# More of an answer than this is not held: it is settled then, and the rest streams.
HELD_BYTES_MAX: Final = 8 << 20


class ReservationOver(Exception):
    """A metered answer is ended, and what it used so far is charged."""


class Answer:
    """One answer, of a payment that is taken."""

    __slots__ = ("_began", "_is_gone", "_receive", "_refused", "_send", "_taken", "_until")

    def __init__(self, taken: Taken, receive: Receive, send: Send) -> None:
        self._taken = taken
        self._until = taken.until
        self._receive = receive
        self._send = send
        self._began = False
        self._is_gone = False
        self._refused: Refusal | None = None

    async def receive(self) -> Any:
        """The application's ``receive``: it is noticed when the client goes."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._is_gone = True
        return message

    def send(self, message: Any) -> Awaitable[None]:
        """The application's ``send``. What needs nothing of us is the server's to send."""
        is_head = message["type"] == "http.response.start" and not self._began
        if is_head or self._until is not None:
            return self._sent(message, is_head=is_head)
        return self._send(message)

    async def _sent(self, message: Any, *, is_head: bool) -> None:
        if not is_head:
            if self._until is not None and time.monotonic() > self._until:
                raise ReservationOver("the answer took longer than what was reserved for it stands")
            await self._send(message)
            return
        taken = self._taken
        response = taken.response
        assert response is not None
        is_good = message["status"] < FAILED_STATUS
        told = response if is_good or taken.stands else None
        message["headers"] = _dressed(message.get("headers", ()), told, taken)
        await self._send(message)
        if is_good and not self._is_gone:
            self._began = True
            taken.began()

    @property
    def is_good(self) -> bool:
        """Was it served, and is it charged?"""
        return self._began

    def close(self) -> Refusal | None:
        """The application is done; a refusal where 402 is to be answered instead of nothing."""
        if self._began:
            self._taken.ended()
        else:
            self._taken.failed()
        return None


class BoundAnswer(Answer):
    """One answer to a request whose body the payer bound: another body is not served."""

    __slots__ = ("_body", "_kept")

    def __init__(self, taken: Taken, receive: Receive, send: Send) -> None:
        super().__init__(taken, receive, send)
        self._body = hashlib.sha256()
        self._kept: Any = None

    async def receive(self) -> Any:
        """The application's ``receive``: the last part of another body never arrives.

        A server may say only after the last byte that it was the last, and who knows the body's
        length does not wait for that: each part is kept until the next, or the end, is there.
        """
        while True:
            if self._kept is None:
                self._kept = await self._heard()
            kept = self._kept
            if not kept.get("more_body", False):
                self._kept = None
                return kept
            following = await self._heard()
            if following["type"] == "http.request" and not following.get("body"):
                self._kept = {**kept, "more_body": following.get("more_body", False)}
                continue
            if following["type"] == "http.request":
                self._kept = following
                return kept
            self._kept = None
            return following

    async def _heard(self) -> Any:
        message = await super().receive()
        if message["type"] == "http.request":
            self._body.update(message.get("body", b""))
            if not message.get("more_body", False) and self._body.digest() != self._taken.body_hash:
                self._is_gone = True
                self._refused = Refusal("body_mismatch", "The body is not the one that was paid.")
                return {"type": "http.disconnect"}
        return message

    async def send(self, message: Any) -> None:
        """The application's ``send``: nobody is told what was made of another body."""
        if self._refused is None:
            await super().send(message)

    def close(self) -> Refusal | None:
        """The application is done."""
        super().close()
        return None if self._began else self._refused


class HeldAnswer(Answer):
    """One answer that waits until its payment is settled."""

    __slots__ = ("_held", "_held_bytes", "_is_open", "_status")

    def __init__(self, taken: Taken, receive: Receive, send: Send) -> None:
        super().__init__(taken, receive, send)
        self._held: list[Any] = []
        self._held_bytes = 0
        self._status: int | None = None
        self._is_open = False

    async def send(self, message: Any) -> None:
        """The application's ``send``."""
        if self._until is not None and time.monotonic() > self._until:
            raise ReservationOver("the answer took longer than what was reserved for it stands")
        if self._is_open:
            await self._send(message)
            return
        if self._refused is not None:
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._status >= FAILED_STATUS:
                # Not charged: nothing to wait for.
                self._is_open = True
                await self._send(message)
                return
        self._held.append(message)
        self._held_bytes += len(message.get("body", b""))
        is_last = message["type"] != "http.response.start" and not message.get("more_body", False)
        if is_last or self._held_bytes > HELD_BYTES_MAX:
            await self._release(is_whole=is_last)

    async def _release(self, *, is_whole: bool) -> None:
        if self._is_gone:
            # Nobody is there to be served: nothing is settled.
            return
        # What it used is in its head, where it is not counted by the handler.
        _count_in(self._taken, self._held[0].get("headers", ()))
        outcome = await self._taken.settle(is_whole=is_whole)
        if isinstance(outcome, Refusal):
            self._refused = outcome
            return
        held, self._held = self._held, []
        held[0]["headers"] = _dressed(held[0].get("headers", ()), outcome, self._taken)
        self._is_open = self._began = True
        self._taken.began()
        for message in held:
            await self._send(message)

    def close(self) -> Refusal | None:
        """The application is done."""
        if self._refused is not None:
            return self._refused
        return super().close()


def answer_to(taken: Taken, receive: Receive, send: Send) -> Answer:
    """The answer that fits a payment."""
    if taken.response is None:
        return HeldAnswer(taken, receive, send)
    if taken.body_hash is not None:
        return BoundAnswer(taken, receive, send)
    return Answer(taken, receive, send)


def _dressed(
    given: Iterable[tuple[bytes, bytes]], response: bytes | None, taken: Taken
) -> list[tuple[bytes, bytes]]:
    """The head's fields with the receipt, without the meter's, and never for shared caches."""
    headers: list[tuple[bytes, bytes]] = []
    is_private = False
    for pair in given:
        name = pair[0].lower()
        if name == b"cache-control":
            is_private = True
            if not is_kept_from_many(pair[1]):
                pair = (name, privately(pair[1]))
        elif is_of_many(name):
            continue
        elif name == USAGE:
            _count(taken, pair[1])
            continue
        headers.append((pair[0], pair[1]))
    if not is_private:
        headers.append((b"cache-control", b"private"))
    if response is not None:
        headers.append((b"payment-response", response))
    return headers


def is_of_many(name: bytes) -> bool:
    """Is it a field, in small letters, for caches of many alone?"""
    return name in _OF_MANY or name.endswith(b"cdn-cache-control")


def is_kept_from_many(value: bytes) -> bool:
    """Only the bare directives do that: ``private="x"`` is about the field x alone."""
    return any(each.strip().lower() in (b"private", b"no-store") for each in value.split(b","))


def privately(value: bytes) -> bytes:
    """A cache of many people's must not sell it again (RFC 9111, section 5.2.2.7)."""
    directives = [each.strip() for each in value.split(b",")]
    kept = [
        each
        for each in directives
        if each.lower() != b"public" and not each.lower().startswith(b"s-maxage")
    ]
    return b", ".join([b"private", *filter(None, kept)])


def _count_in(taken: Taken, headers: Iterable[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        if name.lower() == USAGE:
            _count(taken, value)


def _count(taken: Taken, value: bytes) -> None:
    """What the handler says it used; nonsense is as if it had said nothing."""
    payment = taken.payment
    if payment.units_max is not None and value.isdigit() and len(value) <= 19:
        payment.units_used = min(payment.units_max, int(value))


async def send_answered(send: Send, answered: Answered) -> None:
    """What the payer asked of the door itself is done."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(answered.body)),
        (b"cache-control", b"no-store"),
        (b"payment-response", answered.response),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answered.body})


async def send_refusal(send: Send, refusal: Refusal) -> None:
    """It is not the payment's fault: the same payment may be sent again."""
    body = msgspec.json.encode({"error": refusal.code, "message": refusal.message})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if refusal.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % refusal.retry_after_seconds))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
