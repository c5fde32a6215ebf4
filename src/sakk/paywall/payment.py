"""A payment as the handler of the paid request sees it, and as the door ends it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sakk.client.x402 import Requirement, encode_header
from sakk.paywall.errors import Refusal


class Payment:
    """Who paid for this request, and how much of it is charged.

    In the scope as ``sakk.payment``, and in ``request.state.payment`` where a framework has that.
    ``amount`` is what was paid, or reserved where the price is metered, in the smallest unit of
    ``currency``.
    """

    __slots__ = (
        "amount",
        "currency",
        "network",
        "payer",
        "scheme",
        "transaction",
        "units_max",
        "units_used",
    )

    def __init__(
        self,
        scheme: str,
        network: str,
        currency: str,
        amount: int,
        payer: str,
        transaction: str,
        units_max: int | None,
    ) -> None:
        self.scheme = scheme
        self.network = network
        self.currency = currency
        self.amount = amount
        self.payer = payer
        self.transaction = transaction
        self.units_max = units_max
        self.units_used: int | None = None

    def use(self, units: int) -> int:
        """Count units of a metered call; answers how many are left of those that were reserved.

        Never more than those are charged, so a handler stops when none is left.
        """
        if units < 0:
            raise ValueError("units must not be negative")
        if self.units_max is None:
            raise ValueError("this route is not metered: its price is fixed")
        self.units_used = min(self.units_max, (self.units_used or 0) + units)
        return self.units_max - self.units_used

    def __repr__(self) -> str:
        return (
            f"Payment({self.scheme!r}, {self.network!r}, {self.amount} {self.currency},"
            f" payer={self.payer!r})"
        )


@dataclass(frozen=True, slots=True)
class Meter:
    """The exact price of a unit: ``numerator/denominator`` atomic units; at most ``units_max``."""

    numerator: int
    denominator: int
    units_max: int
    unit: str

    def amount(self, units: int) -> int:
        """What so many units cost: a fraction of the smallest unit counts as a whole one."""
        return -(-min(units, self.units_max) * self.numerator // self.denominator)


@dataclass(frozen=True, slots=True)
class Terms:
    """One way to pay for one route: what is asked, in the offer's coin."""

    offer: "Offer"
    requirement: Requirement
    units: int
    meter: Meter | None = None


class Taken(Protocol):
    """A payment that one request holds; the door calls it as the answer goes."""

    payment: Payment
    # The value of PAYMENT-RESPONSE; None while it is settled by `settle`, before the answer goes.
    response: bytes | None
    # Is it told in an answer that is an error, too? Then it is paid, and good for another answer.
    stands: bool
    # SHA-256 of the body that was paid for, where the payer bound it.
    body_hash: bytes | None
    # When what is reserved for a metered call runs out, by `time.monotonic`.
    until: float | None

    async def settle(self, *, is_whole: bool) -> bytes | Refusal:
        """Settle now that there is an answer; gives the value of PAYMENT-RESPONSE.

        ``is_whole``: nothing more of the answer is to come.
        """
        ...

    def began(self) -> None:
        """A good answer's head is on its way."""
        ...

    def ended(self) -> None:
        """The application is done with a good answer."""
        ...

    def failed(self) -> None:
        """Nothing was served."""
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """What was asked is done, and nothing is to be served: the door answers by itself.

    ``body`` is JSON, ``response`` the value of PAYMENT-RESPONSE.
    """

    body: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """What the payer sent: ``document`` is the whole header, ``payload`` the scheme's proof.

    ``target`` is path and query as they stood in the request line.
    """

    document: dict[str, Any]
    payload: dict[str, Any]
    method: str
    target: bytes


class Offer(Protocol):
    """One coin on one network by one scheme, which a route may be paid with."""

    scheme: str
    network: str
    asset: str
    currency: str
    decimals: int
    pay_to: str
    is_metered: bool

    def requirement(self, units: int) -> Requirement:
        """What is asked of the payer."""
        ...

    async def take(self, sent: Sent, terms: Terms) -> Taken | Answered | Refusal:
        """Take a payment for one request, or say why not."""
        ...

    async def close(self) -> None:
        """End what is under way, and close connections."""
        ...


def failed_response(network: str, payer: str | None, reason: str, message: str) -> bytes:
    """The value of PAYMENT-RESPONSE where nothing was settled.

    With each field that x402's clients ask for, though it says nothing.
    """
    told = {"success": False, "transaction": "", "network": network, "errorReason": reason}
    if payer is not None:
        told["payer"] = payer
    return encode_header({**told, "errorMessage": message}).encode()


Clock = Callable[[], float]
