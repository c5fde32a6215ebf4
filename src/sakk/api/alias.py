"""Aliases: the names by which an account is paid, whom a name stands for, and codes to scan."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing, ShownOnce
from sakk.api.parameters import (
    Amount,
    CurrencyCode,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    ShortText,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import alias as rules
from sakk.core.alias import AliasKind, AliasStatus
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.metadata import merge
from sakk.flow import alias as flow
from sakk.pages.qr import qr
from sakk.store import alias as store
from sakk.store.page import fetch_page

resource = Resource("aliases")
CODE_LABEL = "A code by which this account is paid"
CODE_STORED = "not shown again: ask for another"


class AliasCreate(Parameters):
    """A name to be paid by: an ``email`` address, or a ``handle``."""

    kind: Literal["email", "handle"]
    value: ShortText
    metadata: Metadata | None = None


class AliasListParameters(ListParameters):
    """Which aliases."""

    status: AliasStatus | None = None


class AliasVerify(Parameters):
    """The code that came to the e-mail address."""

    code: ShortText


class RecipientParameters(Parameters):
    """Who is to be paid, as it was written down or scanned."""

    to: LongText


class ReceiveCodeParameters(Parameters):
    """What a payer who scans the code is asked for; without an amount they choose one."""

    amount: Amount | None = None
    currency: CurrencyCode | None = None
    note: Annotated[str, Field(min_length=1, max_length=rules.NOTE_LENGTH_MAX)] | None = None


class AliasShape(Shape):
    """A name by which an account is paid."""

    id: str
    object: Literal["alias"]
    account: str
    activated_at: int | None
    created: Created
    kind: Literal["email", "handle"]
    livemode: Livemode
    metadata: ObjectMetadata
    status: Literal["pending", "active", "released", "freed"]
    value: str


class AliasCodeShape(Shape):
    """What proves an e-mail address: the operator's mailer sends it there."""

    id: str
    object: Literal["alias_code"]
    alias: str
    code: str
    created: Created
    livemode: Livemode
    metadata: ObjectMetadata
    value: str


class RecipientShape(Shape):
    """Who would be paid, shown before anything is sent."""

    object: Literal["recipient"]
    amount: Annotated[int | None, Field(description="What a scanned code asks for.")]
    currency: str | None
    kind: Literal["account", "email", "handle"]
    livemode: Livemode
    name: Annotated[
        str | None,
        Field(
            description="Most of it hidden, or whole between accounts that have paid each other; "
            "of a stranger's e-mail address nothing."
        ),
    ]
    note: str | None
    to: str


class ReceiveCodeShape(Shape):
    """What to print or show, so that others pay this account by scanning it."""

    object: Literal["receive_code"]
    livemode: Livemode
    svg: Annotated[str, Field(description="The QR code, as an image.")]
    uri: Annotated[str, Field(description="What it holds: `sakk:pay?to=…`.")]


@resource.post("/v1/aliases", returns=AliasShape, operation="create_alias")
def create(context: Context, body: AliasCreate) -> Document:
    """Ask for a name: a handle counts at once, an e-mail address when it is proved."""
    made = flow.create(
        context.connection,
        identifier=context.object_id(rules.PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        kind=AliasKind(body.kind),
        value=body.value,
        metadata=merge({}, body.metadata or {}),
        now=context.now,
    )
    return rules.public(made)


@resource.get("/v1/aliases", returns=Page[AliasShape], operation="list_aliases")
def list_aliases(context: Context, query: AliasListParameters) -> Listing:
    """List the account's names, newest first."""
    filters: list[Any] = []
    if query.status is not None:
        filters.append(store.aliases.c.status == query.status.value)
    rows, has_more = fetch_page(
        context.connection,
        store.aliases,
        rules.Alias,
        account_id=context.visible_account_id,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get("/v1/aliases/{alias}", returns=AliasShape, operation="retrieve_alias")
def retrieve(context: Context, alias: str) -> Document:
    """Retrieve a name of the account."""
    found = store.find(
        context.connection,
        alias,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such alias: {alias!r}", param="id")
    return rules.public(found)


@resource.post(
    "/v1/aliases/{alias}/code",
    returns=AliasCodeShape,
    operation="create_alias_code",
    operator_only=True,
)
def create_code(context: Context, alias: str) -> ShownOnce:
    """Make the code that proves an e-mail address, to be sent there; shown once."""
    found, code = flow.issue_code(
        context.connection, alias, livemode=context.livemode, now=context.now
    )
    shown = {
        "id": found.id,
        "object": "alias_code",
        "alias": found.id,
        "code": code,
        "created": int(context.now.timestamp()),
        "livemode": found.livemode,
        "metadata": {},
        "value": found.value,
    }
    return ShownOnce(document=shown, stored={**shown, "code": CODE_STORED})


@resource.post("/v1/aliases/{alias}/verify", returns=AliasShape, operation="verify_alias")
def verify(context: Context, alias: str, body: AliasVerify) -> Document:
    """Prove an e-mail address by the code that came there; what waits for it is claimed."""
    proved = flow.verify(
        context.connection,
        alias,
        body.code,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return rules.public(proved)


@resource.post("/v1/aliases/{alias}/release", returns=AliasShape, operation="release_alias")
def release(context: Context, alias: str) -> Document:
    """Give a name up: nobody is paid by it, and nobody else gets it until the operator says so."""
    given_up = flow.release(
        context.connection,
        alias,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return rules.public(given_up)


@resource.post(
    "/v1/aliases/{alias}/free",
    returns=AliasShape,
    operation="free_alias",
    operator_only=True,
)
def free(context: Context, alias: str) -> Document:
    """Let another account ask for a name that was given up."""
    freed = flow.free(context.connection, alias, livemode=context.livemode, now=context.now)
    return rules.public(freed)


# In a body, so that no log of addresses holds whom people look for.
@resource.lookup("/v1/recipients/lookup", returns=RecipientShape, operation="look_up_recipient")
def recipient(context: Context, body: RecipientParameters) -> Document:
    """Say who would be paid, before anything is sent."""
    to = rules.read_recipient(body.to, param="to")
    with context.database.begin() as connection:
        name = flow.known_name(
            connection,
            to,
            payer=context.account_id,
            livemode=context.livemode,
            param="to",
        )
    return rules.public_recipient(to, name, livemode=context.livemode)


@resource.get("/v1/receive_code", returns=ReceiveCodeShape, operation="retrieve_receive_code")
def receive_code(context: Context, query: ReceiveCodeParameters) -> Document:
    """Make a code by which others pay this account."""
    if (query.amount is None) != (query.currency is None):
        raise ParameterInvalid("amount and currency go together.", param="currency")
    handle = store.first_handle(
        context.connection, account_id=context.account_id, livemode=context.livemode
    )
    uri = rules.pay_code(
        context.account_id if handle is None else f"@{handle}",
        amount=query.amount,
        currency=None if query.currency is None else query.currency.lower(),
        note=None if query.note is None else rules.check_note(query.note),
    )
    return {
        "object": "receive_code",
        "livemode": context.livemode,
        "svg": str(qr(uri, label=CODE_LABEL)),
        "uri": uri,
    }
