"""Bank accounts and references: whom a bank pays, and by what money for an account is known."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sakk.api.context import Context, Document, Download, Listing
from sakk.api.parameters import (
    CurrencyCode,
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    ShortText,
    Strict,
)
from sakk.api.proposal import Confirmation, yes_to
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import bank_account as rules
from sakk.core import bank_change as change_rules
from sakk.core import bank_reference as reference_rules
from sakk.core.bank_account import (
    FEE_FLOOR,
    FEE_FLOOR_MAX,
    FEE_PPM_MAX,
    Adapter,
    BankAccount,
    BankRole,
    BankTerms,
    OrderFormat,
    Profile,
    StatementFormat,
)
from sakk.core.bank_reference import BankReference
from sakk.core.errors import ParameterInvalid, PermissionDenied, ResourceMissing
from sakk.core.money import UNITS_MAX
from sakk.flow import bank_account as flow
from sakk.flow import bank_change as changing
from sakk.pages.bank_code import bank_code
from sakk.store import bank_account as store
from sakk.store import bank_change as changes
from sakk.store.page import fetch_page

resource = Resource("bank_accounts")
references = Resource("bank_references")

Balance = Annotated[int, Field(ge=-UNITS_MAX, le=UNITS_MAX)]


FeePpm = Annotated[int, Field(ge=0, le=1_000_000)]
FeeFloor = Annotated[int, Field(ge=0, le=FEE_FLOOR_MAX)]


class BankTermsParameters(Strict):
    """How the operator's own account is worked with; see the guide."""

    folder: ShortText
    adapter: Literal["folder", "sftp", "http", "provider", "sandbox"] = "folder"
    profile: Literal["sepa", "generic"] = "sepa"
    format: Literal["pain.001.001.03", "pain.001.001.09"] = "pain.001.001.09"
    calendar: Identifier | None = "ECB"
    cutoff: Annotated[str, StringConstraints(pattern=r"^[0-2][0-9]:[0-5][0-9]$")] = "16:00"
    timezone: ShortText = "Europe/Berlin"
    batch_minutes: Annotated[int, Field(ge=0, le=1_440)] = 0
    address: ShortText | None = None
    trust: LongText | None = None
    statements: Literal["camt.053", "mt940"] = "camt.053"
    provider: ShortText | None = None
    provider_account: ShortText | None = None
    fee_ppm_max: FeePpm = FEE_PPM_MAX
    fee_floor: FeeFloor = FEE_FLOOR


class BankAccountCreate(Parameters):
    """An account: by IBAN, or by number and bank as its country has them.

    With ``terms`` it is the operator's own, and ``opening`` is what stands there before the first
    statement.
    """

    holder: LongText
    currency: CurrencyCode
    iban: Identifier | None = None
    bic: Identifier | None = None
    country: Identifier | None = None
    number: Identifier | None = None
    bank_code: Identifier | None = None
    description: LongText | None = None
    metadata: Metadata | None = None
    terms: BankTermsParameters | None = None
    opening: Balance = 0


class BankAccountConnect(Parameters):
    """What is to change of how the bank's server is gone to; the rest stays."""

    address: ShortText | None = None
    trust: LongText | None = None
    secret: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None
    new_key: bool = False
    fee_ppm_max: FeePpm | None = None
    fee_floor: FeeFloor | None = None


class BankAccountClose(Parameters):
    """Nothing is told besides."""


class BankAccountListParameters(ListParameters):
    """Which accounts."""

    role: Literal["own", "payee"] | None = None


class BankReferenceCreate(Parameters):
    """A reference at one of the operator's accounts: the first in the currency, or this one."""

    currency: CurrencyCode
    bank_account: Identifier | None = None
    metadata: Metadata | None = None


class BankReferenceListParameters(ListParameters):
    """Which references."""


class BankCodeParameters(Parameters):
    """How much the code asks for, in cents; the payer says it where it is left out."""

    amount: Annotated[int, Field(ge=1, le=reference_rules.EPC_CENTS_MAX)] | None = None


class BankTermsShape(Shape):
    """How the operator's own account is worked with."""

    adapter: Adapter
    address: Annotated[str | None, Field(description="Of the bank's server (sftp, http).")]
    batch_minutes: int
    calendar: str | None
    cutoff: str
    fee_floor: Annotated[
        int, Field(description="What a provider may take for a payout of any amount.")
    ]
    fee_ppm_max: Annotated[
        int, Field(description="What it may take of the amount, in millionths, if that is more.")
    ]
    folder: str
    format: OrderFormat
    key_number: Annotated[int, Field(description="Which of our keys the server knows.")]
    profile: Profile
    provider: str | None
    provider_account: Annotated[
        str | None, Field(description="By what the provider knows the account.")
    ]
    statements: Annotated[
        StatementFormat, Field(description="Of the sandbox's bank; others leave what they have.")
    ]
    timezone: str
    trust: Annotated[str | None, Field(description="By what the server is known.")]


class BankChangeShape(Shape):
    """What was last proposed of one of the operator's own: `digest` to approve with."""

    address: str | None
    at: int
    by: str
    decided_at: int | None
    decided_by: str | None
    digest: str | None
    fee_floor: int
    fee_ppm_max: int
    has_secret: Annotated[bool, Field(description="Another secret is told with it.")]
    key_number: int
    kind: change_rules.ChangeKind
    status: change_rules.ChangeStatus
    trust: str | None


class BankAccountShape(Shape):
    """An account at a bank. Of the operator's own, terms and opening are the operator's to see."""

    id: str
    object: Literal["bank_account"]
    account: str | None
    bank_code: str | None
    bic: str | None
    change: Annotated[
        BankChangeShape | None, Field(description="The operator's own: another person approves it.")
    ]
    country: str
    created: Created
    currency: str
    description: str | None
    holder: str
    iban: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    number: str | None
    opening: int | None
    opening_decimal: str | None
    role: rules.BankRole
    status: Literal["active", "waiting", "closed"]
    terms: BankTermsShape | None
    usable_at: Annotated[int, Field(description="It is not paid before.")]


class DeletedBankAccountShape(Shape):
    """An account that was taken out of the book."""

    id: str
    object: Literal["bank_account"]
    deleted: Literal[True]


class BankReferenceShape(Shape):
    """By what money for an account is known: payers write it in their transfer (ISO 11649)."""

    id: str
    object: Literal["bank_reference"]
    account: str
    bank_account: str
    bic: str | None
    created: Created
    holder: str
    iban: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    reference: str
    reference_printed: str


@resource.post("/v1/bank_accounts", returns=BankAccountShape, operation="create_bank_account")
def create(context: Context, body: BankAccountCreate) -> Document:
    """Write down whose account is to be paid; it is usable after the account's delay.

    The operator's own accounts have terms, and are used when another person has approved them.
    """
    if body.terms is None and body.opening:
        raise ParameterInvalid("Only the operator's own account has an opening.", param="opening")
    if body.terms is not None and not context.is_operator:
        raise PermissionDenied("Only the operator has accounts with terms.", param="terms")
    request = flow.AccountRequest(
        holder=body.holder,
        currency=body.currency.lower(),
        iban=body.iban,
        bic=body.bic,
        country=body.country,
        number=body.number,
        bank_code=body.bank_code,
        description=body.description,
        metadata=body.metadata,
        terms=None if body.terms is None else _terms(body.terms),
        opening_units=body.opening,
    )
    if body.terms is not None:
        made, change = changing.open_account(
            context.connection,
            request,
            identifier=context.object_id(rules.PREFIX),
            actor=context.actor,
            livemode=context.livemode,
            now=context.now,
        )
        return _shown(context, made, change_rules.public(change, made))
    made = flow.create(
        context.connection,
        request,
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return _shown(context, made)


@resource.post(
    "/v1/bank_accounts/{bank_account}/connect",
    returns=BankAccountShape,
    operation="connect_bank_account",
    operator_only=True,
)
def connect(context: Context, bank_account: str, body: BankAccountConnect) -> Document:
    """Propose how a bank's server is gone to; it is so when another person has approved it."""
    found, change = changing.connect(
        context.connection,
        bank_account,
        address=body.address,
        trust=body.trust,
        secret=body.secret,
        new_key=body.new_key,
        fee_ppm_max=body.fee_ppm_max,
        fee_floor=body.fee_floor,
        actor=context.actor,
        livemode=context.livemode,
        vault=context.parts.secrets_vault(),
        now=context.now,
    )
    return _shown(context, found, change_rules.public(change, found))


@resource.post(
    "/v1/bank_accounts/{bank_account}/close",
    returns=BankAccountShape,
    operation="close_bank_account",
    operator_only=True,
)
def close(context: Context, bank_account: str, body: BankAccountClose) -> Document:
    """Propose that one of the operator's own accounts is used no more: it is empty, and nothing is
    on its way. Another person confirms it; its books stay."""
    found, change = changing.close(
        context.connection,
        bank_account,
        actor=context.actor,
        livemode=context.livemode,
        now=context.now,
    )
    return _shown(context, found, change_rules.public(change, found))


@resource.post(
    "/v1/bank_accounts/{bank_account}/confirm",
    returns=BankAccountShape,
    operation="confirm_bank_account",
    operator_only=True,
    two_steps=True,
)
def confirm(context: Context, bank_account: str, body: Confirmation) -> Document:
    """Approve what another person proposed of one of the operator's own accounts."""
    after = changing.confirm(
        context.parts, bank_account, yes_to(context, body), livemode=context.livemode
    )
    return _after(context, after)


@resource.post(
    "/v1/bank_accounts/{bank_account}/decline",
    returns=BankAccountShape,
    operation="decline_bank_account",
    operator_only=True,
    two_steps=True,
)
def decline(context: Context, bank_account: str) -> Document:
    """Refuse what was proposed, or take it back; an account that was never approved is gone."""
    gone = changing.decline(
        context.parts, bank_account, actor=context.actor, livemode=context.livemode
    )
    return _after(context, gone)


def _after(context: Context, account: BankAccount) -> Document:
    with context.database.begin() as connection:
        change = changes.of_accounts(connection, [account.id])[account.id]
    return _shown(context, account, change_rules.public(change, account))


def _terms(told: BankTermsParameters) -> BankTerms:
    return rules.read_terms(told.model_dump())


@resource.get("/v1/bank_accounts", returns=Page[BankAccountShape], operation="list_bank_accounts")
def list_bank_accounts(context: Context, query: BankAccountListParameters) -> Listing:
    """List the accounts that may be paid, newest first; the operator's key: all, and its own."""
    filters = [~store.bank_accounts.c.deleted]
    if query.role is not None:
        filters.append(store.bank_accounts.c.role == query.role)
    rows, has_more = fetch_page(
        context.connection,
        store.bank_accounts,
        BankAccount,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=_with_changes(context, rows), has_more=has_more)


@resource.get(
    "/v1/bank_accounts/{bank_account}",
    returns=BankAccountShape,
    operation="retrieve_bank_account",
)
def retrieve(context: Context, bank_account: str) -> Document:
    """Retrieve an account."""
    found = flow.find(
        context.connection,
        bank_account,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    [shown] = _with_changes(context, [found])
    return shown


@resource.delete(
    "/v1/bank_accounts/{bank_account}",
    returns=DeletedBankAccountShape,
    operation="delete_bank_account",
)
def delete(context: Context, bank_account: str) -> Document:
    """Take an account out of the book; payouts on their way to it go on."""
    return flow.delete(
        context.connection,
        bank_account,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )


@references.post(
    "/v1/bank_references", returns=BankReferenceShape, operation="create_bank_reference"
)
def create_reference(context: Context, body: BankReferenceCreate) -> Document:
    """Make a reference: money that a bank's statement shows with it is on the balance."""
    made, own = flow.create_reference(
        context.connection,
        identifier=context.object_id(reference_rules.PREFIX),
        bank_account=body.bank_account,
        currency=body.currency.lower(),
        account_id=context.account_id,
        livemode=context.livemode,
        metadata=body.metadata,
        now=context.now,
    )
    return _shown_reference(made, own)


@references.get(
    "/v1/bank_references", returns=Page[BankReferenceShape], operation="list_bank_references"
)
def list_bank_references(context: Context, query: BankReferenceListParameters) -> Listing:
    """List the references, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.bank_references,
        BankReference,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    own = store.list_by_ids(context.connection, [row.bank_account for row in rows])
    data: list[dict[str, Any]] = [_shown_reference(row, own[row.bank_account]) for row in rows]
    return Listing(data=data, has_more=has_more)


@references.get(
    "/v1/bank_references/{bank_reference}",
    returns=BankReferenceShape,
    operation="retrieve_bank_reference",
)
def retrieve_reference(context: Context, bank_reference: str) -> Document:
    """Retrieve a reference."""
    return _shown_reference(*_found(context, bank_reference))


@references.get(
    "/v1/bank_references/{bank_reference}/code",
    returns=BankReferenceShape,
    operation="download_bank_reference_code",
    is_download=True,
)
def download_code(context: Context, bank_reference: str, query: BankCodeParameters) -> Download:
    """Download the code that a payer's bank reads (EPC069-12, euro alone), as SVG."""
    row, own = _found(context, bank_reference)
    drawn = bank_code(own, row, cents=query.amount)
    return Download(drawn, f'attachment; filename="{row.reference}.svg"')


def _found(context: Context, identifier: str) -> tuple[BankReference, BankAccount]:
    found = store.find_reference(
        context.connection,
        identifier,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such reference: {identifier!r}", param="id")
    return found, store.list_by_ids(context.connection, [found.bank_account])[found.bank_account]


def _with_changes(context: Context, rows: Sequence[BankAccount]) -> list[Document]:
    """Accounts, for the operator with what is proposed of its own."""
    own = [row.id for row in rows if row.role == BankRole.own] if context.is_operator else []
    said = changes.of_accounts(context.connection, own)
    return [
        _shown(context, row, change_rules.public(said[row.id], row) if row.id in said else None)
        for row in rows
    ]


def _shown(
    context: Context, account: BankAccount, change: dict[str, Any] | None = None
) -> Document:
    return rules.public(account, now=context.now, operator=context.is_operator, change=change)


def _shown_reference(row: BankReference, own: BankAccount) -> Document:
    return reference_rules.public(row, holder=own.holder, iban=own.iban, bic=own.bic)
