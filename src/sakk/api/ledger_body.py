"""Bodies of the ledger's door: what accounts and transfers may say, and how they become records.

The models here are the contract, and the long way. JSON in the usual spelling takes the short one,
compiled (``sakk.ledger.wire``), which reads nothing that the models would not read.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from sakk.api.body import read_body
from sakk.api.parameters import Parameters, Strict, validate
from sakk.core.errors import ParameterInvalid
from sakk.core.ledger import LEDGER_MAX, is_uuid
from sakk.ledger.record import (
    ACCOUNT,
    ID_ZERO,
    RECORD_SIZE,
    RESERVED,
    TRANSFER,
    check_count,
    encode_id,
)
from sakk.ledger.types import AMOUNT_MAX, BATCH_MAX, AccountFlags, TransferFlags
from sakk.ledger.wire import Noun, placed

RECORDS = "application/vnd.sakk.ledger-records"
RESULTS = "application/vnd.sakk.ledger-results"
IDS = "application/vnd.sakk.ledger-ids"
BODY_BYTES_MAX = BATCH_MAX * 512
FLAGS_MAX = 8
NANOSECONDS_MAX = (1 << 63) - 1

_HEX = re.compile(
    "[0-9a-fA-F]{32}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
)
_WHOLE = re.compile("0|[1-9][0-9]{0,38}")


def read_id(value: str) -> int | None:
    """The number behind 32 hexadecimal digits, with a UUID's hyphens or without; else None."""
    return int(value.replace("-", ""), 16) if _HEX.fullmatch(value) else None


def show_id(identifier: int) -> str:
    """A 128-bit number as a UUID is written."""
    text = f"{identifier:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _number(value: Any) -> int:
    number = read_id(value) if isinstance(value, str) else None
    if number is None:
        raise PydanticCustomError("digits", "must be 32 hexadecimal digits, or a UUID")
    return number


def _uuid(value: Any) -> int:
    number = read_id(value) if isinstance(value, str) else None
    if number is None or not is_uuid(number):
        raise PydanticCustomError(
            "uuid",
            "must be a UUID (RFC 9562): 32 hexadecimal digits, the 17th of them 8, 9, a or b",
        )
    return number


def _whole(value: Any) -> Any:
    whole = int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value
    if isinstance(whole, int) and whole > AMOUNT_MAX:
        raise PydanticCustomError("bits", "must fit in 128 bits")
    return whole


def _schema(description: str, **schema: Any) -> WithJsonSchema:
    return WithJsonSchema({**schema, "description": description})


_DIGITS = "[0-9a-fA-F]"
_UUID_PATTERN = (
    f"^({_DIGITS}{{16}}[89abAB]{_DIGITS}{{15}}"
    f"|{_DIGITS}{{8}}-({_DIGITS}{{4}}-){{2}}[89abAB]{_DIGITS}{{3}}-{_DIGITS}{{12}})$"
)
_HEX_PATTERN = f"^({_DIGITS}{{32}}|{_DIGITS}{{8}}-({_DIGITS}{{4}}-){{3}}{_DIGITS}{{12}})$"


def _whole_schema(maximum: int, description: str) -> WithJsonSchema:
    return _schema(
        description,
        anyOf=[
            {"type": "integer", "minimum": 0, "maximum": maximum},
            {"type": "string", "pattern": "^(0|[1-9][0-9]{0,38})$"},
        ],
    )


Uuid = Annotated[int, BeforeValidator(_uuid), _schema("", type="string", pattern=_UUID_PATTERN)]
UserData = Annotated[
    int,
    BeforeValidator(_number),
    _schema("128 bits of yours, to search by.", type="string", pattern=_HEX_PATTERN),
]
AnyId = Annotated[
    int,
    BeforeValidator(_number),
    _schema("A UUID of yours, or an id of the chart.", type="string", pattern=_HEX_PATTERN),
]
LedgerNumber = Annotated[
    int,
    Field(
        ge=1,
        le=LEDGER_MAX,
        description="Which of your ledgers: a number that you choose for each unit of account."
        " Money moves within one.",
    ),
]
Code = Annotated[int, Field(ge=1, le=0xFFFF, description="A number of yours: what kind.")]
LedgerAmount = Annotated[
    int,
    BeforeValidator(_whole),
    Field(ge=0, le=AMOUNT_MAX),
    _whole_schema(
        AMOUNT_MAX,
        "The smallest units to move, up to 128 bits. A `post_pending` without it posts the whole.",
    ),
]
Nanoseconds = Annotated[
    int,
    BeforeValidator(_whole),
    Field(ge=0, le=NANOSECONDS_MAX),
    _whole_schema(NANOSECONDS_MAX, "Your time of it, in nanoseconds since 1970."),
]
TimeoutSeconds = Annotated[
    int, Field(ge=0, le=0xFFFFFFFF, description="When a pending transfer runs out; 0: never.")
]


AccountFlagName = Literal[
    "linked",
    "debits_must_not_exceed_credits",
    "credits_must_not_exceed_debits",
    "history",
    "frozen",
]
TransferFlagName = Literal[
    "linked",
    "pending",
    "post_pending",
    "void_pending",
    "balancing_debit",
    "balancing_credit",
    "closing_debit",
    "closing_credit",
]


class LedgerAccountEvent(Strict):
    """An account to open."""

    id: Uuid
    ledger: LedgerNumber
    code: Code
    flags: Annotated[list[AccountFlagName], Field(max_length=FLAGS_MAX)] | None = None
    user_data: UserData | None = None


class LedgerTransferEvent(Strict):
    """A transfer to make. A post or void names its hold in `pending_id` and inherits the rest."""

    id: Uuid
    debit_account_id: Uuid | None = None
    credit_account_id: Uuid | None = None
    amount: LedgerAmount | None = None
    ledger: LedgerNumber | None = None
    code: Code | None = None
    flags: Annotated[list[TransferFlagName], Field(max_length=FLAGS_MAX)] | None = None
    pending_id: Uuid | None = None
    user_data: UserData | None = None
    timeout_seconds: TimeoutSeconds | None = None
    effective_at: Nanoseconds | None = None


class LedgerAccountCreate(Parameters, LedgerAccountEvent):
    """One account."""


class LedgerTransferCreate(Parameters, LedgerTransferEvent):
    """One transfer."""


class LedgerAccountBatch(Parameters):
    """Many accounts, in order."""

    accounts: Annotated[list[LedgerAccountEvent], Field(min_length=1, max_length=BATCH_MAX)]


class LedgerTransferBatch(Parameters):
    """Many transfers, in order. Those that are `linked` happen together or not at all."""

    transfers: Annotated[list[LedgerTransferEvent], Field(min_length=1, max_length=BATCH_MAX)]


class Form(StrEnum):
    """How a body says it, and so how it is answered."""

    one = "one"
    batch = "batch"
    records = "records"


class Posting(NamedTuple):
    """A body, read: what is given to the ledger, and how the answer is written."""

    noun: Noun
    records: bytes
    form: Form


def read_at_once(
    noun: Noun, body: bytes, media_type: str | None, *, livemode: bool
) -> Posting | None:
    """A body of records, or JSON that takes the short way; None for the long way's."""
    match media_type:
        case "application/vnd.sakk.ledger-records":
            if not body:
                raise ParameterInvalid("The body is empty. Send at least one record.")
            check_count(len(body) // RECORD_SIZE)
            return Posting(noun, placed(noun, body, livemode=livemode), Form.records)
        case "application/json":
            short = noun.read_json(body, not livemode)
            if short is not None:
                return Posting(noun, short[0], Form.one if short[1] else Form.batch)
    return None


def read_the_long_way(
    noun: Noun, body: bytes, media_type: str | None, *, livemode: bool
) -> Posting:
    """JSON or a form, by the models; raises InvalidRequest and what is below it."""
    tree, typed = read_body(body, media_type)
    single, batch, write = _MODELS[noun.name]
    model = batch if noun.name in tree else single
    parameters = validate(model, tree, strict=typed)
    if parameters.expand:
        raise ParameterInvalid("Nothing can be expanded here. Remove it.", param="expand[0]")
    events = getattr(parameters, noun.name) if model is batch else [parameters]
    records = placed(noun, b"".join([write(event) for event in events]), livemode=livemode)
    return Posting(noun, records, Form.batch if model is batch else Form.one)


def _account_record(event: LedgerAccountEvent) -> bytes:
    return ACCOUNT.pack(
        encode_id(event.id),
        *[ID_ZERO] * 4,
        encode_id(event.user_data or 0),
        event.ledger,
        0,
        event.code,
        sum({AccountFlags[name] for name in event.flags or ()}),
        RESERVED,
    )


def _transfer_record(event: LedgerTransferEvent) -> bytes:
    flags = sum({TransferFlags[name] for name in event.flags or ()})
    amount = event.amount
    if amount is None:
        amount = AMOUNT_MAX if flags & TransferFlags.post_pending else 0
    return TRANSFER.pack(
        encode_id(event.id),
        encode_id(event.debit_account_id or 0),
        encode_id(event.credit_account_id or 0),
        amount.to_bytes(16, "little"),
        encode_id(event.pending_id or 0),
        encode_id(event.user_data or 0),
        event.ledger or 0,
        event.effective_at or 0,
        0,
        event.timeout_seconds or 0,
        event.code or 0,
        flags,
    )


_MODELS: dict[str, tuple[type[Parameters], type[Parameters], Callable[[Any], bytes]]] = {
    "accounts": (LedgerAccountCreate, LedgerAccountBatch, _account_record),
    "transfers": (LedgerTransferCreate, LedgerTransferBatch, _transfer_record),
}
