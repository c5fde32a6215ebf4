"""What the signer and its clients say: length-prefixed MessagePack over a unix socket.

A frame is four bytes of big-endian length and one message. A connection carries one request and its
response at a time. There is no request that takes a hash: a signature is asked for by the unsigned
transaction itself and by what the caller says it does, and the signer reads the bytes for itself.

SakkError
└── SignerRefused          400  the signer read the request and said no; ``reason`` is stable
    └── SignerRefusedNow   400  the same request may pass later (velocity, freeze, time lock)
Unavailable
└── SignerUnavailable      503  no answer: whether it signed is not known; ask again, same intent
"""

import hashlib
import re
import socket
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from sakk.core import approval
from sakk.core.approval_batch import Membership, message_by
from sakk.core.errors import SakkError, Unavailable

# Hundreds of payments, each with its approvals and their paths in the batches that were approved.
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
LENGTH_BYTES: Final = 4
INTENT_ID = re.compile(r"[A-Za-z0-9_:.#/-]{1,128}")
REASON_CHARACTERS_MAX: Final = 200
APPROVALS_MAX: Final = 16


class Purpose(StrEnum):
    """Why a transaction is signed; each purpose has its own shape and its own limits."""

    payout = "payout"
    refund = "refund"
    sweep = "sweep"
    collect = "collect"
    topup = "topup"
    withdrawal = "withdrawal"
    recovery = "recovery"
    disperse = "disperse"
    allowance = "allowance"
    deploy = "deploy"
    capture = "capture"
    cancel = "cancel"
    rotation = "rotation"
    redemption = "redemption"
    escrow = "escrow"


class Branch(StrEnum):
    """Deposit keys stand at ``m/44'/60'/0'/0/i``, treasury keys at ``m/44'/60'/1'/0/i``."""

    deposit = "deposit"
    treasury = "treasury"


class Reason(StrEnum):
    """Why the signer refuses. Wire contract: never renamed."""

    malformed = "malformed"
    frozen = "frozen"
    policy_invalid = "policy_invalid"
    intent_conflict = "intent_conflict"
    network_not_allowed = "network_not_allowed"
    asset_not_allowed = "asset_not_allowed"
    chain_mismatch = "chain_mismatch"
    contract_creation = "contract_creation"
    access_list = "access_list"
    call_not_allowed = "call_not_allowed"
    claim_mismatch = "claim_mismatch"
    key_not_allowed = "key_not_allowed"
    destination_not_allowed = "destination_not_allowed"
    destination_time_locked = "destination_time_locked"
    gas_limit_above_cap = "gas_limit_above_cap"
    fee_above_cap = "fee_above_cap"
    over_limit = "over_limit"
    over_velocity = "over_velocity"
    approvals_required = "approvals_required"
    approval_invalid = "approval_invalid"
    rule_blocks = "rule_blocks"
    too_many_refusals = "too_many_refusals"
    keystore_unavailable = "keystore_unavailable"


TRANSIENT_REASONS: Final = frozenset(
    {
        Reason.frozen,
        Reason.policy_invalid,
        Reason.destination_time_locked,
        Reason.over_velocity,
        Reason.too_many_refusals,
        Reason.keystore_unavailable,
    }
)


class SignerRefused(SakkError):
    """The signer refused. ``reason`` says which rule; the message says what was seen.

    ``intents``: the payments of a dispersal that the refusal is about; without any, about it all.
    """

    code = "signer_refused"
    status = 400

    def __init__(self, reason: Reason, message: str, intents: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.intents = tuple(intents)


class SignerRefusedNow(SignerRefused):
    """Refused for now: the same request may pass later, or after an operator has acted."""

    transient = True


class SignerUnavailable(Unavailable):
    """No answer from the signer. Asking again under the same intent gives the same bytes."""

    code = "signer_unavailable"


def refusal(reason: Reason, message: str, intents: Sequence[str] = ()) -> SignerRefused:
    """The exception for a reason: transient or not."""
    kind = SignerRefusedNow if reason in TRANSIENT_REASONS else SignerRefused
    return kind(reason, message, intents)


class KeyReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which of the signer's keys: a branch and an index from 0."""

    branch: Branch
    index: int


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An approver's Ed25519 public key (32 bytes), and its signature over `approval_message`.

    With ``member`` over `approved_together`: of a batch, of which this payment is one.
    """

    public_key: bytes
    signature: bytes
    member: Membership | None = None


class Payment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a dispersal: a payout or refund, as it would be asked for alone."""

    intent_id: str
    destination: str
    token_amount: str
    purpose: Purpose = Purpose.payout
    approvals: tuple[Approval, ...] = ()


class SignRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sign"):
    """An unsigned transaction, and what the caller says it does.

    ``intent_id`` is the payout's, refund's or sweep's own id. An intent is signed once: the same
    request gives the same bytes for ever. A higher ``attempt`` of it replaces the one before: the
    same key, nonce, asset, destination and amount with other fees, so that at most one is mined.
    ``token_amount`` is in atomic units, written as decimal digits (MessagePack's integers end at 64
    bits). ``destination_index`` names the deposit address that a top-up goes to.

    A dispersal pays ``payments``, in the order of its bytes; its own intent is the transaction's
    id, its destination the contract and its amount their sum. Each payment's intent is signed once
    for ever too, here or alone. An allowance's destination is who may spend so much; a deployment's
    is where the contract will stand, and its amount is 0. A capture moves payers' coins by what
    they signed: its destination is the contract that is called, its amount their sum, and
    ``deposits`` are the indexes of the deposit addresses that they go to. A rotation moves coins to
    the successor of its key. A collection's destination is the treasury that its hub pays to, its
    amount 0, and ``deposits`` are the indexes of the deposit addresses that it collects from, in
    the order of its bytes; a recovery by a factory names the one that its clone stands for. A
    cancel sends nothing to the sender itself, and its intent is
    ``core.transaction.cancel_intent``: one nonce of one key.
    """

    intent_id: str
    purpose: Purpose
    network: str
    key: KeyReference
    unsigned: bytes
    asset: str
    destination: str
    token_amount: str
    attempt: int = 0
    destination_index: int | None = None
    approvals: tuple[Approval, ...] = ()
    payments: tuple[Payment, ...] = ()
    deposits: tuple[int, ...] = ()


class PublicRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="public"):
    """Ask for what may be known by everyone."""


class StatusRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="status"):
    """Ask how the signer is."""


class FindRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="find"):
    """Ask for what was signed for an intent: for a caller that died before it wrote that down."""

    intent_id: str
    attempt: int = 0


class LineRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="line"):
    """Ask for the hash of a line of the log: whoever kept it sees whether it is the same log."""

    sequence: int


class FreezeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="freeze"):
    """Stop signing: all of it, or what fits the network and the asset that are named.

    No request undoes it: that is done at the signer's own files. ``freeze`` names it (``frz_…``):
    the same one again changes nothing, nor does one that was lifted meanwhile.
    """

    reason: str
    freeze: str = ""
    network: str | None = None
    asset: str | None = None


class UnfreezeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="unfreeze"):
    """End one freeze, where the policy file's ``lift_approvals`` lets approvers do that.

    They signed `sakk.core.freeze.lift_message`. One that is over stays over.
    """

    freeze: str
    reason: str
    approvals: tuple[Approval, ...]


class Signed(msgspec.Struct, frozen=True, tag="signed"):
    """Signed bytes for ``eth_sendRawTransaction``, their hash, and what they do in words."""

    raw: bytes
    hash: str
    explanation: str
    # Where the signer's log has it, and that line's hash: the database keeps the newest of them.
    sequence: int = 0
    line_hash: str = ""


class NotSigned(msgspec.Struct, frozen=True, tag="not_signed"):
    """Nothing was signed for that intent and attempt."""


class Line(msgspec.Struct, frozen=True, tag="line"):
    """A line's hash, None if the log ends before it."""

    sequence: int
    hash: str | None


class Successor(msgspec.Struct, frozen=True):
    """The coins of a treasury key may go to another's address, after so many approvals."""

    source_index: int
    source: str
    target_index: int
    target: str
    approvals: int


class Public(msgspec.Struct, frozen=True, tag="public"):
    """The deposit account's xpub (``m/44'/60'/0'``) and the treasury's addresses, by index.

    ``gas_addresses``: of keys that pay for gas alone, ``capture_addresses``: of those that capture
    alone. ``successors``: keys whose coins may go to
    another; one that pays no more is in ``treasury_addresses`` no longer. ``later_xpubs``: of the
    seeds that came after the first, by the index that each begins at.
    """

    xpub: str
    treasury_addresses: dict[int, str]
    gas_addresses: dict[int, str] = {}
    successors: tuple[Successor, ...] = ()
    later_xpubs: dict[int, str] = {}
    capture_addresses: dict[int, str] = {}


class FreezeState(msgspec.Struct, frozen=True):
    """A freeze that is in force in the signer."""

    freeze: str
    reason: str
    network: str | None = None
    asset: str | None = None


class Status(msgspec.Struct, frozen=True, tag="status"):
    """How the signer is. ``log_head`` is worth keeping elsewhere: it pins the whole log.

    ``same_uid``: the caller runs under the signer's own user id, so files do not part them.
    ``spent`` is what each asset (and ``<network>/fees``) used of its last 24 hours.
    """

    frozen: bool
    frozen_reason: str | None
    policy_error: str | None
    policy_digest: str
    log_sequence: int
    log_head: str
    signed_total: int
    refused_total: int
    uid: int
    same_uid: bool
    spent: dict[str, str]
    freezes: tuple[FreezeState, ...] = ()


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The signer's no. ``intents``: the payments of a dispersal that it is about, if not all."""

    reason: Reason
    message: str
    intents: tuple[str, ...] = ()


Request = (
    SignRequest
    | FindRequest
    | PublicRequest
    | StatusRequest
    | FreezeRequest
    | UnfreezeRequest
    | LineRequest
)
Response = Signed | NotSigned | Public | Status | Refused | Line

_request_decoder = msgspec.msgpack.Decoder(Request)
_response_decoder = msgspec.msgpack.Decoder(Response)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Request | Response) -> bytes:
    """One frame. ValueError if the message is larger than a frame may be."""
    body = _encoder.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise ValueError(f"a frame has at most {FRAME_BYTES_MAX} bytes, this one {len(body)}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def decode_request(body: bytes) -> Request:
    """Read a request strictly; ValueError says where it is malformed."""
    try:
        request: Request = _request_decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a request: {error}") from error
    return request


def decode_response(body: bytes) -> Response:
    """Read a response; ValueError if it is malformed."""
    try:
        response: Response = _response_decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a response: {error}") from error
    return response


def read_frame(connection: socket.socket) -> bytes | None:
    """Read one frame's body; None at a clean end; ValueError if cut off or too long."""
    head = _read_exactly(connection, LENGTH_BYTES)
    if not head:
        return None
    length = int.from_bytes(head, "big")
    if len(head) < LENGTH_BYTES or length > FRAME_BYTES_MAX:
        raise ValueError(f"not a frame of at most {FRAME_BYTES_MAX} bytes")
    body = _read_exactly(connection, length)
    if len(body) < length:
        raise ValueError("the frame is cut off")
    return body


def request_digest(request: SignRequest) -> str:
    """What makes two requests for one intent the same: all of it except the approvals."""
    payments = tuple(msgspec.structs.replace(each, approvals=()) for each in request.payments)
    bare = msgspec.structs.replace(request, approvals=(), payments=payments)
    content = msgspec.to_builtins(bare, builtin_types=(bytes,))
    if not payments:
        # As it was before there were payments: what was signed then stays the same request.
        del content["payments"]
    if not request.deposits:
        del content["deposits"]
    return hashlib.sha256(_encoder.encode(content)).hexdigest()


def payment_request(request: SignRequest, payment: Payment) -> SignRequest:
    """One payment of a dispersal as a request of its own: what is approved and limited."""
    return msgspec.structs.replace(
        request,
        intent_id=payment.intent_id,
        purpose=payment.purpose,
        destination=payment.destination,
        token_amount=payment.token_amount,
        approvals=payment.approvals,
        payments=(),
    )


def approval_message(request: SignRequest) -> bytes:
    """What an approver signs of this request; see `sakk.core.approval`."""
    return approval.approval_message(
        intent_id=request.intent_id,
        purpose=request.purpose.value,
        network=request.network,
        asset=request.asset,
        destination=request.destination,
        token_amount=request.token_amount,
    )


def approved_together(request: SignRequest, member: Membership) -> bytes:
    """What an approver signs of a batch that this request is of; see `core.approval_batch`.

    ValueError for a membership that leads nowhere.
    """
    return message_by(approval_message(request), member)


def _read_exactly(connection: socket.socket, length: int) -> bytes:
    """Up to ``length`` bytes: fewer only when the other side has closed."""
    data = bytearray()
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            break
        data += part
    return bytes(data)
