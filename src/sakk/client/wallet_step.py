"""What a wallet asks of the HTTP client that it stands under, one step at a time.

A flow is a generator: it gives a `Step`, is sent what came of it, and ends with the receipt of what
was paid, if anything was.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sakk.client.wallet_log import Receipt
from sakk.client.x402 import PAYMENT_SIGNATURE


@dataclass(frozen=True, slots=True)
class Ask:
    """A request; ``body`` is None where it streams, and can be sent only once.

    ``value_max``: what it may cost, in millionths of a dollar, where the caller says so.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = b""
    value_max: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's head; header names are in lower case."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and give its `Answer`; raise NoAnswer in the coroutine where none came.

    ``is_callers``: it is the caller's own, whose last answer the caller is given.
    """

    ask: Ask
    is_callers: bool = True


@dataclass(frozen=True, slots=True)
class Read:
    """Give the body of the last answer, which is not the caller's then; NoAnswer as for `Send`."""


@dataclass(frozen=True, slots=True)
class Enter:
    """Go on when nobody else is between Enter and Leave of the same name."""

    name: str


@dataclass(frozen=True, slots=True)
class Leave:
    name: str


Step = Send | Read | Enter | Leave
Flow = Generator[Step, Any, Receipt | None]


class NoAnswer(Exception):
    """No answer came; whether the request arrived is not known."""


def is_plain(step: Send) -> bool:
    """Is it the caller's own request, without a payment?"""
    return step.is_callers and PAYMENT_SIGNATURE not in step.ask.headers


def no_answer(error: Exception) -> NoAnswer:
    """The error of an HTTP client, as a flow knows it."""
    return NoAnswer(f"{type(error).__name__}: {error}")


class Payer(Protocol):
    """Who has flows: a wallet."""

    def flow(self, ask: Ask) -> Flow: ...
