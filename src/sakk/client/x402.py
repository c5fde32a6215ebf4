"""What HTTP 402 carries: the wire of x402 version 2, for those who pay and those who sell.

Follows x402's specification v2 (github.com/coinbase/x402, ``specs/x402-specification-v2.md`` and
``specs/transports-v2``): three headers with JSON in base64. Field names are camel case there and
snake case here. What a reader does not know is kept (``extra``, ``extensions``) or passed over,
never refused, so that a newer peer can be read.
"""

import binascii
from base64 import b64decode, b64encode
from typing import Any, Final, TypeVar

import msgspec

from sakk.client.decoding import decoder

VERSION: Final = 2
PAYMENT_REQUIRED: Final = "PAYMENT-REQUIRED"
PAYMENT_SIGNATURE: Final = "PAYMENT-SIGNATURE"
PAYMENT_RESPONSE: Final = "PAYMENT-RESPONSE"
# A header larger than most servers take is not read.
HEADER_BYTES_MAX: Final = 64 << 10
ACCEPTS_MAX: Final = 64
# uint256: no token can move more.
AMOUNT_MAX: Final = (1 << 256) - 1
_AMOUNT_DIGITS_MAX: Final = 78

T = TypeVar("T")


class X402Error(ValueError):
    """What a peer sent is not x402 version 2; the message says where."""


class Resource(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is sold."""

    url: str = ""
    description: str | None = None
    mime_type: str | None = None


class Requirement(msgspec.Struct, frozen=True, rename="camel"):
    """One way to pay (``PaymentRequirements``).

    ``network`` is CAIP-2; ``amount`` is a whole number of the asset's smallest unit, as a string;
    ``extra`` belongs to the scheme.
    """

    scheme: str
    network: str
    asset: str
    amount: str
    pay_to: str
    max_timeout_seconds: int
    extra: dict[str, Any] = {}

    @property
    def units(self) -> int:
        """The amount as a number; raises X402Error where it is none."""
        return units_of(self.amount)


class Challenge(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The answer 402 (``PaymentRequired``): every way to pay, and why it was not enough."""

    x402_version: int
    accepts: list[Requirement]
    error: str | None = None
    resource: Resource | None = None
    extensions: dict[str, Any] | None = None


class Payment(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the payer sends (``PaymentPayload``): the way it took, and the scheme's own proof."""

    x402_version: int
    payload: dict[str, Any]
    accepted: Requirement
    resource: Resource | None = None
    extensions: dict[str, Any] | None = None


class Settlement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What became of a payment (``SettleResponse``): ``transaction`` is a hash, or the scheme's."""

    success: bool
    transaction: str = ""
    network: str = ""
    payer: str | None = None
    amount: str | None = None
    error_reason: str | None = None
    error_message: str | None = None
    extensions: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None


def units_of(amount: str) -> int:
    """Atomic units from their decimal digits: no sign, no point, no exponent."""
    if not amount.isascii() or not amount.isdigit() or len(amount) > _AMOUNT_DIGITS_MAX:
        raise X402Error(f"an amount must be a whole number in digits, not {amount[:80]!r}")
    units = int(amount)
    if units > AMOUNT_MAX:
        raise X402Error("an amount must fit 256 bits")
    return units


def encode_header(document: Any) -> str:
    """A header's value: JSON in base64 (RFC 4648 section 4, with padding)."""
    return b64encode(msgspec.json.encode(document)).decode()


def decode_header(value: str | bytes, kind: type[T]) -> T:
    """Read a header's value; X402Error where it is none."""
    if len(value) > HEADER_BYTES_MAX:
        raise X402Error(f"the header is longer than {HEADER_BYTES_MAX} bytes")
    try:
        return decoder(kind).decode(b64decode(value, validate=True))
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise X402Error(
            f"the header is not JSON in base64 of the form it must have: {error}"
        ) from (error)


def read_challenge(header: str | None, body: bytes) -> Challenge:
    """The challenge of an answer 402, from its header, or from its body where a proxy cut it off.

    Raises X402Error where neither is x402 version 2.
    """
    if header is not None:
        challenge = decode_header(header, Challenge)
    else:
        try:
            challenge = decoder(Challenge).decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise X402Error(f"the answer 402 does not say how to pay: {error}") from error
    if challenge.x402_version != VERSION:
        raise X402Error(f"x402 version {challenge.x402_version} is not spoken here, only {VERSION}")
    if len(challenge.accepts) > ACCEPTS_MAX:
        raise X402Error(f"more than {ACCEPTS_MAX} ways to pay are offered")
    return challenge
