"""Charges as a door asks for them: bodies of records or of JSON, and how results are worded."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from pydantic import Field, StringConstraints

from sakk.api.body import read_body
from sakk.api.parameters import CurrencyCode, Identifier, Parameters, Strict, validate
from sakk.api.posting import JSON
from sakk.api.shapes import Livemode, Shape
from sakk.core import ids
from sakk.core.charge import (
    AMOUNT_WHOLE,
    OPERATION,
    OPERATIONS_MAX,
    TIMEOUT_SECONDS_DEFAULT,
    TIMEOUT_SECONDS_MAX,
    Op,
    Operation,
    Reason,
    Result,
    encode_result,
    read_operations,
)
from sakk.core.errors import ParameterInvalid
from sakk.core.escrow_channel import Refusal, parse_charge_name
from sakk.core.escrow_wire import Payload, read_amount
from sakk.core.evm import checksum_address
from sakk.core.session import uuid_bytes
from sakk.core.voucher import VoucherOp
from sakk.core.x402 import Invalid, read_hex
from sakk.flow.voucher import Answer, Presented

OPERATIONS: Final = "application/vnd.sakk.charges"
RESULTS: Final = "application/vnd.sakk.charge-results"

Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Whole = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,38})$")]
Status = Literal["reserved", "committed", "released", "refused"]


class ChargeOperation(Strict):
    """One step of one charge. What a step does not need is left out.

    A call of a session is named by `session` and `nonce`. What is paid by a voucher of
    `batch-settlement` is reserved by `op` `voucher`, and named by the `charge` that is answered.
    """

    op: Literal["reserve", "voucher", "commit", "release"]
    session: Identifier | None = None
    nonce: Whole | None = None
    charge: Annotated[
        str | None, Field(description="The charge by voucher that is ended.", max_length=120)
    ] = None
    network: Annotated[str | None, Field(max_length=64)] = None
    asset: Annotated[
        str | None, Field(description="The token in which the price is.", max_length=64)
    ] = None
    payload: Annotated[
        dict[str, Any] | None, Field(description="Of x402's `batch-settlement`, as it came.")
    ] = None
    amount: Annotated[
        Whole | None,
        Field(description="Of a reservation what is paid, of a commit what was used: the whole."),
    ] = None
    currency: CurrencyCode | None = None
    request_hash: Hex64 | None = None
    mac: Hex64 | None = None
    timeout_seconds: Annotated[int | None, Field(ge=1, le=TIMEOUT_SECONDS_MAX)] = None
    units: Annotated[Whole | None, Field(description="What was used, for the receipt.")] = None


class ChargeParameters(Parameters):
    """Steps of charges, in any mix and order."""

    operations: Annotated[list[ChargeOperation], Field(min_length=1, max_length=OPERATIONS_MAX)]


class ChargeOutcome(Shape):
    """What became of one operation. ``reason`` says why it was refused."""

    status: Status
    amount: str
    channel: str | None
    payer: str | None
    reason: str | None
    receipt: str | None
    timestamp: str
    charge: Annotated[
        str | None, Field(description="By what a charge by voucher is committed or released.")
    ]
    extra: Annotated[
        dict[str, Any] | None,
        Field(description="Of a voucher: `channelState`, `voucherState` and `chargedAmount`."),
    ]


class ChargeOutcomes(Shape):
    """What became of each operation, in the order of the request."""

    object: Literal["charges"]
    livemode: Livemode
    results: list[ChargeOutcome]


class EndCharge(NamedTuple):
    """The end of a charge by voucher. ``amount`` None takes all that was reserved, 0 nothing."""

    charge: str
    amount: int | None


# What is done about a voucher; an answer where it is refused as it stands.
VoucherStep = Presented | EndCharge | Answer
Step = Operation | VoucherStep


def of_records(body: bytes) -> list[Operation]:
    """The operations of sessions in a body of records; ParameterInvalid."""
    try:
        return read_operations(body)
    except ValueError as error:
        raise ParameterInvalid(f"The {error}. Send whole records.") from None


def has_vouchers(body: bytes) -> bool:
    """Is there a record of a voucher among those of a body?"""
    return max(body[:: OPERATION.size], default=0) >= VoucherOp.reserve


def split_records(body: bytes) -> list[bytes]:
    """The records of a body of both kinds; ParameterInvalid if it is not whole or too long."""
    count, rest = divmod(len(body), OPERATION.size)
    if rest or count > OPERATIONS_MAX:
        raise ParameterInvalid(
            f"A body is 1 to {OPERATIONS_MAX} operations of {OPERATION.size} bytes each, not"
            f" {len(body)} bytes. Send whole records."
        )
    return [body[at : at + OPERATION.size] for at in range(0, len(body), OPERATION.size)]


def is_voucher(record: bytes) -> bool:
    """Is it one of a voucher?"""
    return VoucherOp.reserve <= record[0] <= VoucherOp.release


def read_steps(body: bytes, media_type: str | None) -> list[Step]:
    """The operations in a body of JSON or a form; ParameterInvalid names what does not fit."""
    tree, typed = read_body(body, media_type)
    parameters = validate(ChargeParameters, tree, strict=typed)
    if parameters.expand:
        raise ParameterInvalid("Nothing can be expanded here. Remove it.", param="expand[0]")
    return [_step(each, f"operations[{at}]") for at, each in enumerate(parameters.operations)]


def _step(given: ChargeOperation, place: str) -> Step:
    if given.op == "voucher":
        return _presented(given, place)
    if given.charge is None:
        return _operation(given, place)
    if given.op == "reserve" or given.session is not None or given.nonce is not None:
        param = f"{place}[charge]"
        raise ParameterInvalid("A charge by voucher is ended by its name alone.", param=param)
    if given.op == "release":
        return EndCharge(given.charge, 0)
    return EndCharge(given.charge, None if given.amount is None else int(given.amount))


def _presented(given: ChargeOperation, place: str) -> VoucherStep:
    """A voucher; what is wrong with the payer's part of it is a refusal."""
    _require(given, place, "network", "asset", "amount", "payload")
    assert given.network is not None
    assert given.asset is not None
    try:
        payload = msgspec.convert(given.payload, Payload)
        voucher = payload.voucher
        if payload.type != "voucher" or voucher is None:
            return Answer(Refusal.payload_type)
        return Presented(
            network=given.network,
            asset=f"{given.network}/erc20:{given.asset.lower()}",
            channel=voucher.channel_id.lower(),
            ceiling=read_amount(voucher.max_claimable_amount, "maxClaimableAmount"),
            signature=read_hex(voucher.signature, "signature"),
            amount=int(given.amount or 0),
            timeout_seconds=given.timeout_seconds or TIMEOUT_SECONDS_DEFAULT,
        )
    except (msgspec.ValidationError, Invalid, ValueError):
        return Answer(Refusal.payload)


def _require(given: ChargeOperation, place: str, *names: str) -> None:
    for name in names:
        if getattr(given, name) is None:
            param = f"{place}[{name}]"
            raise ParameterInvalid(f"{given.op!r} needs {param}.", param=param)


def _operation(given: ChargeOperation, place: str) -> Operation:
    _require(given, place, "session", "nonce")
    if given.op == "reserve":
        _require(given, place, "amount", "currency", "request_hash", "mac")
    try:
        session = uuid_bytes(given.session or "")
    except ValueError:
        raise ParameterInvalid("That is not a session's id.", param=f"{place}[session]") from None
    units = int(given.units or 0)
    if units >> 64:
        raise ParameterInvalid("Units fit in 64 bits.", param=f"{place}[units]")
    amount = AMOUNT_WHOLE if given.amount is None else min(int(given.amount), AMOUNT_WHOLE)
    return Operation(
        Op[given.op],
        session,
        int(given.nonce or 0),
        amount,
        given.timeout_seconds or TIMEOUT_SECONDS_DEFAULT,
        bytes.fromhex(given.request_hash or "") or bytes(32),
        bytes.fromhex(given.mac or "") or bytes(32),
        (given.currency or "").lower().encode().ljust(16, b"\0"),
        units,
    )


def in_records(results: list[Result]) -> tuple[bytes, bytes]:
    """Results of sessions, as records."""
    return RESULTS.encode(), b"".join([encode_result(each) for each in results])


def in_mixed_records(
    vouchers: Sequence[bytes | None], results: list[Result]
) -> tuple[bytes, bytes]:
    """Results as records, in the order of the request: None stands for one of a session."""
    rest = iter(results)
    found = [encode_result(next(rest)) if each is None else each for each in vouchers]
    return RESULTS.encode(), b"".join(found)


def in_json(
    steps: Sequence[Step], answers: Sequence[Answer], livemode: bool, results: list[Result]
) -> tuple[bytes, bytes]:
    """Results as JSON, in the order of the request."""
    of_sessions, of_vouchers = iter(results), iter(answers)
    outcomes = [
        _outcome(each, next(of_sessions))
        if isinstance(each, Operation)
        else _voucher_outcome(each, next(of_vouchers))
        for each in steps
    ]
    document = {"object": "charges", "livemode": livemode, "results": outcomes}
    return JSON, msgspec.json.encode(document)


def _outcome(operation: Operation, result: Result) -> dict[str, Any]:
    refused = result.reason != Reason.done
    reserved = not refused and operation.op == Op.reserve
    channel = ids.encode("ch", int.from_bytes(result.channel, "big"))
    return {
        "status": "refused" if refused else _STATUSES[operation.op],
        "amount": str(result.amount),
        "channel": None if refused else channel,
        "payer": checksum_address("0x" + result.payer.hex()) if any(result.payer) else None,
        "reason": Reason(result.reason).name if refused else None,
        "receipt": result.receipt.hex() if reserved else None,
        "timestamp": str(result.timestamp),
        "charge": None,
        "extra": None,
    }


def _voucher_outcome(step: VoucherStep, answer: Answer) -> dict[str, Any]:
    status: Status = "refused"
    if answer.charge is not None and answer.refusal is None:
        if isinstance(step, EndCharge):
            status = "committed" if answer.amount else "released"
        else:
            status = "reserved"
    channel = None if answer.charge is None else parse_charge_name(answer.charge)[0]
    return {
        "status": status,
        "amount": str(answer.amount),
        "channel": channel,
        "payer": None if answer.payer is None else checksum_address(answer.payer),
        "reason": None if answer.refusal is None else answer.refusal.value,
        "receipt": None,
        "timestamp": "0",
        "charge": answer.charge,
        "extra": answer.extra or None,
    }


_STATUSES: dict[int, Status] = {
    Op.reserve: "reserved",
    Op.commit: "committed",
    Op.release: "released",
}
