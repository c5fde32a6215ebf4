from asyncio import Future
from collections.abc import Awaitable
from typing import Any

from sakk.paywall.answer import Receive, Send
from sakk.paywall.errors import Refusal
from sakk.paywall.payment import Payment

class Answered:
    asked: Future[bytes]
    payment: Payment
    is_good: bool
    def answer(self, receive: Receive, send: Send) -> Answered: ...
    async def receive(self) -> Any: ...
    def send(self, message: Any) -> Awaitable[None]: ...
    def close(self) -> Refusal | None: ...

class Call(Answered):
    def __init__(
        self,
        offer: Any,
        units: int,
        session: Any,
        nonce: int,
        amount: int,
        request: bytes,
        asked: Future[bytes],
    ) -> None: ...
    def hear(self, result: bytes) -> Refusal | None: ...

class VoucherCall(Answered):
    def __init__(self, offer: Any, units: int, record: bytes, asked: Future[bytes]) -> None: ...
    def is_reserved(self, result: bytes) -> bool: ...
