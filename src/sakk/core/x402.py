"""x402 version 2 on the wire, as a facilitator reads and writes it.

Specification: https://github.com/coinbase/x402 (specs/x402-specification-v2.md, and
specs/schemes/exact). Amounts are whole atomic units in decimal strings, networks are CAIP-2 names,
bytes 0x-hex. What is not known is passed over: the protocol grows. The reasons are those of the
specification's section 9 and of the official implementations, which clients know by name.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from sakk.core.evm import UINT256_MAX

VERSION: Final = 2
EXACT: Final = "exact"
BODY_BYTES_MAX: Final = 64 * 1024
TEXT_CHARACTERS_MAX: Final = 2_048
SIGNATURE_BYTES_MAX: Final = 8 * 1024

_UNITS = re.compile(r"[0-9]{1,78}")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")

Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARACTERS_MAX)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)]
Hex = Annotated[str, msgspec.Meta(max_length=2 + 2 * SIGNATURE_BYTES_MAX)]


class Reason(StrEnum):
    """Why a payment is refused. Wire contract: never renamed."""

    invalid_version = "invalid_x402_version"
    invalid_payload = "invalid_payload"
    unsupported_scheme = "unsupported_scheme"
    invalid_network = "invalid_network"
    network_mismatch = "network_mismatch"
    invalid_requirements = "invalid_payment_requirements"
    asset_unknown = "invalid_exact_evm_failed_to_get_asset_info"
    missing_domain = "missing_eip712_domain"
    name_mismatch = "invalid_exact_evm_token_name_mismatch"
    version_mismatch = "invalid_exact_evm_token_version_mismatch"
    not_supported = "invalid_exact_evm_eip3009_not_supported"
    recipient_mismatch = "invalid_exact_evm_payload_recipient_mismatch"
    value_mismatch = "invalid_exact_evm_payload_authorization_value_mismatch"
    expired = "invalid_exact_evm_payload_authorization_valid_before"
    not_yet_valid = "invalid_exact_evm_payload_authorization_valid_after"
    invalid_signature = "invalid_exact_evm_payload_signature"
    undeployed_wallet = "invalid_exact_evm_payload_undeployed_smart_wallet"
    factory_not_allowed = "eip6492_factory_not_allowed"
    nonce_used = "invalid_exact_evm_nonce_already_used"
    insufficient_balance = "invalid_exact_evm_insufficient_balance"
    simulation_failed = "invalid_exact_evm_transaction_simulation_failed"
    permit2_spender = "invalid_permit2_spender"
    permit2_recipient = "invalid_permit2_recipient_mismatch"
    permit2_expired = "permit2_deadline_expired"
    permit2_not_yet_valid = "permit2_not_yet_valid"
    permit2_amount = "permit2_amount_mismatch"
    permit2_token = "permit2_token_mismatch"  # noqa: S105
    permit2_signature = "invalid_permit2_signature"
    permit2_allowance = "permit2_allowance_required"
    declined = "declined"
    unavailable_verify = "unexpected_verify_error"
    unavailable_settle = "unexpected_settle_error"
    pending = "settlement_pending"
    failed = "transaction_failed"


class Invalid(Exception):
    """The payment is refused: with a reason for programs, and words for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Resource(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """What is paid for."""

    url: Text = ""
    description: Text | None = None
    mime_type: Text | None = None


class Requirement(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """How one may pay: an entry of ``accepts``."""

    scheme: Text
    network: Text
    asset: Text
    amount: Text
    pay_to: Text
    max_timeout_seconds: Seconds
    extra: dict[str, Any] = {}


class Eip3009Authorization(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The content of a signed ``TransferWithAuthorization`` (EIP-3009)."""

    from_: Text = msgspec.field(name="from")
    to: Text
    value: Text
    valid_after: Text
    valid_before: Text
    nonce: Text


class Permitted(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Permit2: how much of which token may be taken."""

    token: Text
    amount: Text


class Witness(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Permit2: what the payer signed of where the coins go, and from when on."""

    to: Text
    valid_after: Text


class Permit2Authorization(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The content of a signed ``PermitWitnessTransferFrom`` (Permit2)."""

    from_: Text = msgspec.field(name="from")
    permitted: Permitted
    spender: Text
    nonce: Text
    deadline: Text
    witness: Witness


class ExactPayload(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The scheme's own part: one of the two authorizations, and its signature."""

    authorization: Eip3009Authorization | None = None
    permit2_authorization: Permit2Authorization | None = None
    signature: Hex = ""


class Payment(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """What a payer sends; ``payload`` is the scheme's to read."""

    x402_version: int = msgspec.field(name="x402Version")
    accepted: Requirement
    payload: msgspec.Raw
    resource: Resource | None = None
    extensions: dict[str, Any] | None = None


class Request(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The body of ``verify`` and ``settle``."""

    x402_version: int = msgspec.field(name="x402Version")
    payment_payload: Payment
    payment_requirements: Requirement


class Verified(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """The answer of ``verify``."""

    is_valid: bool
    payer: str | None = None
    invalid_reason: str | None = None
    invalid_message: str | None = None
    extra: dict[str, Any] | None = None


class Settled(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """The answer of ``settle``. ``transaction``: the hash, or empty when nothing was sent."""

    success: bool
    transaction: str
    network: str
    payer: str | None = None
    amount: str | None = None
    error_reason: str | None = None
    error_message: str | None = None
    extra: dict[str, Any] | None = None


_request = msgspec.json.Decoder(Request)
_exact = msgspec.json.Decoder(ExactPayload)


def read_request(body: bytes) -> Request:
    """Read a body; ValueError says what is wrong with it."""
    try:
        return _request.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def place_of(body: bytes) -> tuple[str, str]:
    """Scheme and network that a body is for, however its payload looks; empty where it is mute."""
    try:
        wanted = _outline.decode(body).payment_requirements
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    return wanted.scheme, wanted.network


class _Place(msgspec.Struct):
    scheme: str = ""
    network: str = ""


class _Outline(msgspec.Struct, rename="camel"):
    payment_requirements: _Place = msgspec.field(default_factory=_Place)


_outline = msgspec.json.Decoder(_Outline)


def read_exact(payment: Payment) -> ExactPayload:
    """The payload of a payment by ``exact``; Invalid unless it is one authorization, signed."""
    try:
        payload = _exact.decode(payment.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(Reason.invalid_payload, f"The payload can not be read: {error}.") from None
    if (payload.authorization is None) == (payload.permit2_authorization is None):
        raise Invalid(
            Reason.invalid_payload,
            "The payload holds an authorization (EIP-3009) or a permit2Authorization, one of them.",
        )
    return payload


def check_terms(request: Request, *, scheme: str = EXACT) -> None:
    """Invalid unless versions, scheme and network of the two halves are one, and ours."""
    payment, wanted = request.payment_payload, request.payment_requirements
    if request.x402_version != VERSION or payment.x402_version != VERSION:
        raise Invalid(Reason.invalid_version, f"Only x402 version {VERSION} is taken.")
    if wanted.scheme != scheme or payment.accepted.scheme != scheme:
        raise Invalid(Reason.unsupported_scheme, f"The scheme here is {scheme!r}.")
    if payment.accepted.network != wanted.network:
        raise Invalid(
            Reason.network_mismatch,
            f"Paid on {payment.accepted.network!r}, wanted on {wanted.network!r}.",
        )


def read_units(text: str, name: str, reason: Reason = Reason.invalid_payload) -> int:
    """A whole number of 256 bits in decimal digits; Invalid names the field."""
    if _UNITS.fullmatch(text) is None or int(text) > UINT256_MAX:
        raise Invalid(reason, f"{name} is a whole number in decimal digits, not {text[:80]!r}.")
    return int(text)


def read_hex(text: str, name: str, *, length: int | None = None) -> bytes:
    """Bytes of 0x-hex; Invalid names the field."""
    if _HEX.fullmatch(text) is None or (length is not None and len(text) != 2 + 2 * length):
        wanted = "bytes" if length is None else f"{length} bytes"
        raise Invalid(Reason.invalid_payload, f"{name} is {wanted} as 0x and hexadecimal digits.")
    return bytes.fromhex(text[2:])
