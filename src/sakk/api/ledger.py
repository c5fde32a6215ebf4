"""The operator's own ledger: accounts and transfers of any kind, beside those of the chart."""

from typing import Annotated, Literal

from pydantic import Field, RootModel, WithJsonSchema

from sakk.api.context import Context, Document
from sakk.api.ledger_body import (
    RECORDS,
    RESULTS,
    AnyId,
    LedgerAccountBatch,
    LedgerAccountCreate,
    LedgerTransferBatch,
    LedgerTransferCreate,
    read_id,
    show_id,
)
from sakk.api.parameters import Parameters
from sakk.api.route import InBinary, Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Shape
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.flow import ledger as flow
from sakk.ledger.record import ID_SIZE, check_count
from sakk.ledger.types import (
    BATCH_MAX,
    AccountFlags,
    CreateAccountStatus,
    CreateTransferStatus,
    TransferFlags,
    TransferResult,
)
from sakk.ledger.wire import ACCOUNTS, TRANSFERS, Noun

resource = Resource("ledger")

Timestamp = Annotated[
    int,
    Field(
        description="The ledger's time of it, in nanoseconds since 1970: of the first time, where"
        " the same was asked before."
    ),
]
Transient = Annotated[
    bool,
    Field(description="Whether the same may succeed later, under a new id, when accounts change."),
]
AccountStatusName = Annotated[
    str,
    WithJsonSchema({"type": "string", "enum": [each.name for each in CreateAccountStatus]}),
]
TransferStatusName = Annotated[
    str,
    WithJsonSchema({"type": "string", "enum": [each.name for each in CreateTransferStatus]}),
]


class LedgerAccountOutcome(Shape):
    """What became of one account of a batch."""

    status: AccountStatusName
    timestamp: Timestamp
    transient: Transient


class LedgerTransferOutcome(Shape):
    """What became of one transfer of a batch."""

    status: TransferStatusName
    timestamp: Timestamp
    transient: Transient


class LedgerAccountResult(LedgerAccountOutcome):
    """What became of an account."""

    id: str
    object: Literal["ledger.account_result"]
    livemode: Livemode


class LedgerTransferResult(LedgerTransferOutcome):
    """What became of a transfer."""

    id: str
    object: Literal["ledger.transfer_result"]
    livemode: Livemode


class LedgerAccountResults(Shape):
    """What became of each account, in the order of the request."""

    object: Literal["ledger.account_results"]
    livemode: Livemode
    results: list[LedgerAccountOutcome]


class LedgerTransferResults(Shape):
    """What became of each transfer, in the order of the request."""

    object: Literal["ledger.transfer_results"]
    livemode: Livemode
    results: list[LedgerTransferOutcome]


class LedgerAccountsPosted(RootModel[LedgerAccountResult | LedgerAccountResults]):
    """A result for one account, results for a batch."""


class LedgerTransfersPosted(RootModel[LedgerTransferResult | LedgerTransferResults]):
    """A result for one transfer, results for a batch."""


@resource.posting(
    "/v1/ledger/accounts",
    single=LedgerAccountCreate,
    batch=LedgerAccountBatch,
    returns=LedgerAccountsPosted,
    operation="create_ledger_accounts",
)
def create_accounts() -> Noun:
    """Open accounts in a ledger of your own.

    One account, or up to 8,192 under `accounts`. What the ledger refuses is a result with the
    first rule that is broken, not an error: only a body that can not be read is answered 400, and
    then nothing was done. The same id with the same fields is answered `exists`, so a request may
    be repeated; `Idempotency-Key` is accepted and not needed.
    """
    return ACCOUNTS


@resource.posting(
    "/v1/ledger/transfers",
    single=LedgerTransferCreate,
    batch=LedgerTransferBatch,
    returns=LedgerTransfersPosted,
    operation="create_ledger_transfers",
)
def create_transfers() -> Noun:
    """Move money between accounts of a ledger of your own, durable before it is answered.

    One transfer, or up to 8,192 under `transfers`. What the ledger refuses is a result with the
    first rule that is broken, not an error, also for one transfer: look at `status`. Only a body
    that can not be read is answered 400, and then nothing was done. The same id with the same
    fields is answered `exists`, and a refusal is remembered, so a request whose answer did not come
    (503 `outcome_unknown`) is sent again as it was; `Idempotency-Key` is accepted and not needed.
    """
    return TRANSFERS


Units = Annotated[int, Field(ge=0, description="Smallest units, up to 128 bits.")]
Moment = Annotated[int, Field(description="The ledger's time of it, in nanoseconds since 1970.")]
LedgerName = Annotated[
    int | None, Field(description="Your ledger's number; null for an account of the chart.")
]
AccountFlagShown = Annotated[
    str, WithJsonSchema({"type": "string", "enum": [each.name for each in AccountFlags]})
]
TransferFlagShown = Annotated[
    str, WithJsonSchema({"type": "string", "enum": [each.name for each in TransferFlags]})
]


class LedgerAccountShape(Shape):
    """An account and its four totals."""

    id: str
    object: Literal["ledger.account"]
    code: int
    created: Created
    credits_pending: Units
    credits_posted: Units
    debits_pending: Units
    debits_posted: Units
    flags: list[AccountFlagShown]
    ledger: LedgerName
    livemode: Livemode
    metadata: ObjectMetadata
    name: Annotated[str | None, Field(description="The chart's name; null for one of your own.")]
    timestamp: Moment
    user_data: str | None


class LedgerTransferShape(Shape):
    """A transfer as it took effect."""

    id: str
    object: Literal["ledger.transfer"]
    amount: Annotated[int, Field(ge=0, description="What was moved, or is held.")]
    code: int
    created: Created
    credit_account_id: str
    debit_account_id: str
    effective_at: Annotated[
        int, Field(description="Your time of it, or the ledger's; nanoseconds since 1970.")
    ]
    flags: list[TransferFlagShown]
    ledger: LedgerName
    livemode: Livemode
    metadata: ObjectMetadata
    pending_id: str | None
    timeout_seconds: int
    timestamp: Moment
    user_data: str | None


class LedgerAccountsFound(Shape):
    """Accounts in the order of the ids; null where there is none."""

    object: Literal["ledger.accounts"]
    livemode: Livemode
    data: list[LedgerAccountShape | None]


class LedgerTransfersFound(Shape):
    """Transfers in the order of the ids; null where there is none."""

    object: Literal["ledger.transfers"]
    livemode: Livemode
    data: list[LedgerTransferShape | None]


class LedgerResultsFound(Shape):
    """What became of each id, in their order; null for an id that was never seen."""

    object: Literal["ledger.transfer_results"]
    livemode: Livemode
    results: list[LedgerTransferOutcome | None]


class LedgerLookup(Parameters):
    """Which, by id."""

    ids: Annotated[list[AnyId], Field(min_length=1, max_length=BATCH_MAX)]


@resource.get(
    "/v1/ledger/accounts/{ledger_account}",
    returns=LedgerAccountShape,
    operation="retrieve_ledger_account",
    operator_only=True,
    asks_outside=True,
)
def retrieve_account(context: Context, ledger_account: str) -> Document:
    """Retrieve an account as it is now: one of your own, or one of the chart."""
    ids = [number(ledger_account)]
    [found] = flow.find_accounts(context.parts, ids, livemode=context.livemode)
    return there(found, "account", ledger_account)


@resource.get(
    "/v1/ledger/transfers/{ledger_transfer}",
    returns=LedgerTransferShape,
    operation="retrieve_ledger_transfer",
    operator_only=True,
    asks_outside=True,
)
def retrieve_transfer(context: Context, ledger_transfer: str) -> Document:
    """Retrieve a transfer as it took effect; a refused one has a result and is no transfer."""
    ids = [number(ledger_transfer)]
    [found] = flow.find_transfers(context.parts, ids, livemode=context.livemode)
    return there(found, "transfer", ledger_transfer)


@resource.get(
    "/v1/ledger/transfers/{ledger_transfer}/result",
    returns=LedgerTransferResult,
    operation="retrieve_ledger_transfer_result",
    operator_only=True,
    asks_outside=True,
)
def retrieve_result(context: Context, ledger_transfer: str) -> Document:
    """Retrieve what became of a transfer's id: created, or the refusal that it got.

    404 where the ledger never saw the id: a request whose outcome is not known was not carried
    out, and may be sent.
    """
    identifier = number(ledger_transfer)
    [found] = flow.find_results(context.parts, [identifier], livemode=context.livemode)
    head = {
        "id": show_id(identifier),
        "object": "ledger.transfer_result",
        "livemode": context.livemode,
    }
    return head | there(_outcome(found), "transfer", ledger_transfer)


@resource.lookup(
    "/v1/ledger/accounts/lookup",
    returns=LedgerAccountsFound,
    operation="look_up_ledger_accounts",
    operator_only=True,
    in_binary=InBinary(lambda context, ids: _in_binary(context, "accounts", ids), RECORDS),
)
def look_up_accounts(context: Context, body: LedgerLookup) -> Document:
    """Retrieve up to 8,192 accounts, as of one moment."""
    found = flow.find_accounts(context.parts, body.ids, livemode=context.livemode)
    return {"object": "ledger.accounts", "livemode": context.livemode, "data": found}


@resource.lookup(
    "/v1/ledger/transfers/lookup",
    returns=LedgerTransfersFound,
    operation="look_up_ledger_transfers",
    operator_only=True,
    in_binary=InBinary(lambda context, ids: _in_binary(context, "transfers", ids), RECORDS),
)
def look_up_transfers(context: Context, body: LedgerLookup) -> Document:
    """Retrieve up to 8,192 transfers."""
    found = flow.find_transfers(context.parts, body.ids, livemode=context.livemode)
    return {"object": "ledger.transfers", "livemode": context.livemode, "data": found}


@resource.lookup(
    "/v1/ledger/transfers/results",
    returns=LedgerResultsFound,
    operation="look_up_ledger_transfer_results",
    operator_only=True,
    in_binary=InBinary(lambda context, ids: _in_binary(context, "results", ids), RESULTS),
)
def look_up_results(context: Context, body: LedgerLookup) -> Document:
    """Retrieve what became of up to 8,192 ids of transfers."""
    found = flow.find_results(context.parts, body.ids, livemode=context.livemode)
    return {
        "object": "ledger.transfer_results",
        "livemode": context.livemode,
        "results": [_outcome(each) for each in found],
    }


def _in_binary(
    context: Context, what: Literal["accounts", "transfers", "results"], ids: bytes
) -> bytes:
    """What is found under ids of the caller's own, as records, or as results of transfers."""
    if not ids or len(ids) % ID_SIZE:
        raise ParameterInvalid(
            f"The body has {len(ids)} bytes. Send {ID_SIZE} for each id, and at least one id."
        )
    check_count(len(ids) // ID_SIZE)
    placed = TRANSFERS.place_ids(ids, not context.livemode)
    found = context.parts.books.ledger.lookup_encoded(what, placed)
    match what:
        case "accounts":
            return ACCOUNTS.show(found)
        case "transfers":
            return TRANSFERS.show(found)
        case "results":
            return found


def number(text: str) -> int:
    """The 128 bits behind an id in a path; 0, which nothing has, if it is none."""
    return read_id(text) or 0


def there(found: Document | None, noun: str, identifier: str) -> Document:
    """What was found, or ResourceMissing."""
    if found is None:
        raise ResourceMissing(f"No such {noun} of the ledger: {identifier!r}", param="id")
    return found


def _outcome(result: TransferResult | None) -> Document | None:
    if result is None:
        return None
    return {
        "status": result.status.name,
        "timestamp": result.timestamp,
        "transient": result.status.transient,
    }
