"""The wallet under an HTTP client: httpx and httpx2, sync and async, and requests.

    httpx2.Client(transport=WalletTransport(wallet, httpx2.HTTPTransport()))

A transport sees each request as it goes out, after redirects and authentication, so what is paid
for is what was asked for. It works by the shape that httpx and httpx2 share and imports neither.
The receipt of a paid request stands in ``response.extensions["sakk.receipt"]`` (requests:
``response.sakk_receipt``). ``extensions={"sakk.value_max": 5_000}`` bounds what one request may
cost, in millionths of a dollar.
"""

import asyncio
import threading
from collections import defaultdict
from typing import Any, Final

from sakk.client.wallet_step import (
    Answer,
    Ask,
    Enter,
    Leave,
    NoAnswer,
    Payer,
    Read,
    Send,
    Step,
    is_plain,
    no_answer,
)

RECEIPT: Final = "sakk.receipt"
VALUE_MAX: Final = "sakk.value_max"


class WalletTransport:
    """A transport of httpx or httpx2 that pays; ``inner`` is the one that sends."""

    def __init__(self, wallet: Payer, inner: Any) -> None:
        self._wallet = wallet
        self._inner = inner
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def __enter__(self) -> "WalletTransport":
        self._inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._inner.__exit__(*error)

    def close(self) -> None:
        self._inner.close()

    def handle_request(self, request: Any) -> Any:
        flow = self._wallet.flow(_ask(request))
        trip = _Trip(request)
        try:
            step = next(flow)
            while True:
                try:
                    came = self._take(step, trip)
                except NoAnswer as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(came)
        except StopIteration as end:
            return trip.ended(end.value)
        except BaseException:
            if trip.response is not None:
                trip.response.close()
            raise
        finally:
            for name in trip.held:
                self._locks[name].release()

    def _take(self, step: Step, trip: "_Trip") -> Any:
        match step:
            case Send(ask, is_callers):
                if trip.response is not None:
                    trip.response.close()
                trip.is_plain = is_plain(step)
                try:
                    trip.response = self._inner.handle_request(trip.request_of(ask, is_callers))
                except Exception as error:
                    # Before anything is paid the error is the caller's own, as without a wallet.
                    if trip.is_plain:
                        raise
                    raise no_answer(error) from error
                return _answer(trip.response)
            case Read():
                assert trip.response is not None
                try:
                    return trip.response.read()
                except Exception as error:
                    # Before anything is paid the error is the caller's own, as without a wallet.
                    if trip.is_plain:
                        raise
                    raise no_answer(error) from error
            case Enter(name):
                self._locks[name].acquire()
                trip.held.add(name)
                return None
            case Leave(name):
                trip.held.remove(name)
                self._locks[name].release()
                return None


class AsyncWalletTransport:
    """The same for an event loop; one per loop, as the client that it serves."""

    def __init__(self, wallet: Payer, inner: Any) -> None:
        self._wallet = wallet
        self._inner = inner
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> "AsyncWalletTransport":
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._inner.__aexit__(*error)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: Any) -> Any:
        flow = self._wallet.flow(_ask(request))
        trip = _Trip(request)
        try:
            step = next(flow)
            while True:
                try:
                    came = await self._take(step, trip)
                except NoAnswer as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(came)
        except StopIteration as end:
            return trip.ended(end.value)
        except BaseException:
            if trip.response is not None:
                await trip.response.aclose()
            raise
        finally:
            # Also where the task was cancelled, and the flow can say no more.
            for name in trip.held:
                self._locks[name].release()

    async def _take(self, step: Step, trip: "_Trip") -> Any:
        match step:
            case Send(ask, is_callers):
                if trip.response is not None:
                    await trip.response.aclose()
                trip.is_plain = is_plain(step)
                try:
                    trip.response = await self._inner.handle_async_request(
                        trip.request_of(ask, is_callers)
                    )
                except Exception as error:
                    # Before anything is paid the error is the caller's own, as without a wallet.
                    if trip.is_plain:
                        raise
                    raise no_answer(error) from error
                return _answer(trip.response)
            case Read():
                assert trip.response is not None
                try:
                    return await trip.response.aread()
                except Exception as error:
                    # Before anything is paid the error is the caller's own, as without a wallet.
                    if trip.is_plain:
                        raise
                    raise no_answer(error) from error
            case Enter(name):
                await self._locks[name].acquire()
                trip.held.add(name)
                return None
            case Leave(name):
                trip.held.remove(name)
                self._locks[name].release()
                return None


class _Trip:
    """One request of the caller's, on its way through the wallet."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.response: Any = None
        self.held: set[str] = set()
        self.is_plain = True

    def request_of(self, ask: Ask, is_callers: bool) -> Any:
        extensions = dict(self.request.extensions) if is_callers else _timeouts(self.request)
        url = self.request.url if is_callers else ask.url
        made: Any = type(self.request)
        if ask.body is None:
            return made(
                ask.method,
                url,
                headers=ask.headers,
                stream=self.request.stream,
                extensions=extensions,
            )
        return made(ask.method, url, headers=ask.headers, content=ask.body, extensions=extensions)

    def ended(self, receipt: Any) -> Any:
        if receipt is not None:
            self.response.extensions[RECEIPT] = receipt
        return self.response


def _timeouts(request: Any) -> dict[str, Any]:
    timeout = request.extensions.get("timeout")
    return {} if timeout is None else {"timeout": timeout}


def _ask(request: Any) -> Ask:
    """The request as the wallet reads it; a body that is not in memory streams."""
    try:
        body = request.content
    except Exception:
        body = None
    return Ask(
        request.method,
        str(request.url),
        dict(request.headers),
        body,
        request.extensions.get(VALUE_MAX),
    )


def _answer(response: Any) -> Answer:
    return Answer(
        response.status_code,
        {name.lower(): value for name, value in response.headers.items()},
    )
