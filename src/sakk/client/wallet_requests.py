"""The wallet under requests (pip install requests), which is only imported here.

session = requests.Session()
session.mount("https://", WalletAdapter(wallet))
"""

import threading
from collections import defaultdict
from typing import Any

import requests
from requests.adapters import HTTPAdapter

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


class WalletAdapter(HTTPAdapter):
    """An adapter that pays; arguments beside the wallet are HTTPAdapter's."""

    def __init__(self, wallet: Payer, *arguments: Any, **options: Any) -> None:
        self._wallet = wallet
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        super().__init__(*arguments, **options)

    def send(
        self, request: requests.PreparedRequest, *arguments: Any, **options: Any
    ) -> requests.Response:
        trip = _Trip(request, arguments, options)
        flow = self._wallet.flow(_ask(request))
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
            assert trip.response is not None
            trip.response.sakk_receipt = end.value  # type: ignore[attr-defined]
            return trip.response
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
                    trip.response = super().send(
                        trip.request_of(ask, is_callers), *trip.arguments, **trip.options
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
                    return trip.response.content
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


class _Trip:
    def __init__(
        self, request: requests.PreparedRequest, arguments: Any, options: dict[str, Any]
    ) -> None:
        self.request = request
        self.arguments = arguments
        self.options = options
        self.response: requests.Response | None = None
        self.held: set[str] = set()
        self.is_plain = True

    def request_of(self, ask: Ask, is_callers: bool) -> requests.PreparedRequest:
        if is_callers:
            again = self.request.copy()
            again.headers.update(ask.headers)
            return again
        return requests.Request(
            ask.method, ask.url, headers=dict(ask.headers), data=ask.body
        ).prepare()


def _ask(request: requests.PreparedRequest) -> Ask:
    body = request.body
    if isinstance(body, str):
        body = body.encode()
    in_memory = body if body is None or isinstance(body, bytes) else None
    streams = body is not None and in_memory is None
    return Ask(
        request.method or "GET",
        request.url or "",
        {name: str(value) for name, value in request.headers.items()},
        None if streams else in_memory or b"",
    )


def _answer(response: requests.Response) -> Answer:
    return Answer(
        response.status_code,
        {name.lower(): value for name, value in response.headers.items()},
    )
