"""Beneficiaries: an account's address book."""

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, StringConstraints

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import (
    Identifier,
    ListParameters,
    LongText,
    Metadata,
    Parameters,
    ShortText,
    Strict,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.api.travel_rule import TravelRuleParameters
from sakk.core.beneficiary import NETWORKS_MAX, PREFIX
from sakk.flow import beneficiary as flow
from sakk.flow.travel_rule import refresh
from sakk.store import beneficiary as store

resource = Resource("beneficiaries")

SIGNATURE_LENGTH = 132


class OwnershipParameters(Strict):
    """How it is known whose address it is.

    ``eip191``: the owner's ``signature`` over the entry's ``ownership_message``, as wallets sign it
    (65 bytes in hexadecimal); ``eip712``: over its ``ownership_typed_data``. A false one fails.
    ``declaration``: somebody's ``statement``. A test transfer is asked for with ``wallet_proofs``.
    """

    type: Literal["eip191", "eip712", "declaration"]
    signature: Annotated[str, StringConstraints(max_length=SIGNATURE_LENGTH)] | None = None
    statement: LongText | None = None


class BookedTravelRule(TravelRuleParameters):
    """Who stands behind the address: told with every payout there, which may say otherwise."""

    type: Literal["natural", "legal"]
    name: ShortText
    wallet: Literal["hosted", "self_hosted"]


class BeneficiaryCreate(Parameters):
    """A new entry. Its address and networks never change."""

    name: ShortText
    address: Identifier
    networks: Annotated[list[Identifier], Field(min_length=1, max_length=NETWORKS_MAX)]
    ownership: OwnershipParameters | None = None
    travel_rule: BookedTravelRule | None = None
    confirmed_unlike: Annotated[
        Identifier | None,
        Field(description="The known address that this one looks like, when it is really meant."),
    ] = None
    description: LongText | None = None
    metadata: Metadata | None = None


class BeneficiaryUpdate(Parameters):
    """What may change: nothing that decides where money goes."""

    name: ShortText | None = None
    ownership: OwnershipParameters | None = None
    travel_rule: BookedTravelRule | None = None
    description: LongText | None = None
    metadata: Metadata | None = None


class BeneficiaryListParameters(ListParameters):
    """Which entries."""

    address: Identifier | None = None
    name: ShortText | None = None


class BeneficiaryShape(Shape):
    """One entry; ``waiting`` until ``usable_at``, when it may be paid."""

    id: str
    object: Literal["beneficiary"]
    name: str
    address: str
    networks: list[str]
    status: Literal["active", "waiting"]
    usable_at: int
    ownership: dict[str, Any] | None
    ownership_message: str
    ownership_typed_data: dict[str, Any]
    travel_rule: dict[str, Any] | None
    confirmed_unlike: str | None
    description: str | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


class DeletedBeneficiary(Shape):
    """What is left of a deleted entry."""

    id: str
    object: Literal["beneficiary"]
    deleted: Literal[True]


class AnyBeneficiary(RootModel[BeneficiaryShape | DeletedBeneficiary]):
    """An entry, or what is left of it."""


@resource.post("/v1/beneficiaries", returns=BeneficiaryShape, operation="create_beneficiary")
def create(context: Context, body: BeneficiaryCreate) -> Document:
    """Add an address to the address book.

    A new entry waits before it may be paid, as long as the operator set for the account. An address
    that looks like a known one (address poisoning) is refused unless ``confirmed_unlike`` names it.
    """
    entry = flow.create(
        context.connection,
        identifier=context.object_id(PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        details=body.model_dump(exclude={"expand"}),
        vault=context.parts.vault,
        request_id=context.request_id,
    )
    return flow.show(entry, now=context.now, vault=context.parts.vault)


@resource.get("/v1/beneficiaries", returns=Page[BeneficiaryShape], operation="list_beneficiaries")
def list_beneficiaries(context: Context, query: BeneficiaryListParameters) -> Listing:
    """List the address book, newest first; deleted entries are left out."""
    columns = store.beneficiaries.c
    filters = []
    if query.address is not None:
        filters.append(columns.address == query.address.lower())
    if query.name is not None:
        filters.append(columns.name == query.name)
    rows, has_more = store.list_entries(
        context.connection,
        query.page(),
        account_id=context.account_id,
        livemode=context.livemode,
        filters=filters,
    )
    return Listing(
        data=[flow.show(row, now=context.now, vault=context.parts.vault) for row in rows],
        has_more=has_more,
    )


@resource.get(
    "/v1/beneficiaries/{beneficiary}", returns=AnyBeneficiary, operation="retrieve_beneficiary"
)
def retrieve(context: Context, beneficiary: str) -> Document:
    """Retrieve an entry; a deleted one says only that it is."""
    found = store.find(
        context.connection, beneficiary, account_id=context.account_id, livemode=context.livemode
    )
    if found is None:
        raise flow.missing(beneficiary)
    return flow.show(found, now=context.now, vault=context.parts.vault)


@resource.post(
    "/v1/beneficiaries/{beneficiary}", returns=BeneficiaryShape, operation="update_beneficiary"
)
def update(context: Context, beneficiary: str, body: BeneficiaryUpdate) -> Document:
    """Change an entry's name, proof or travel rule data; what is not sent stays."""
    changes = body.model_dump(exclude={"expand"}, exclude_unset=True)
    entry = flow.update(
        context.connection,
        beneficiary,
        changes,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        vault=context.parts.vault,
        request_id=context.request_id,
    )
    if context.parts.vault is not None and {"ownership", "travel_rule"} & changes.keys():
        # What waited for that goes on.
        refresh(
            context.connection,
            context.parts.vault,
            account_id=context.account_id,
            livemode=context.livemode,
            now=context.now,
            address=entry.address,
        )
    return flow.show(entry, now=context.now, vault=context.parts.vault)


@resource.delete(
    "/v1/beneficiaries/{beneficiary}", returns=DeletedBeneficiary, operation="delete_beneficiary"
)
def delete(context: Context, beneficiary: str) -> Document:
    """Take an entry out of the address book; payouts on their way to it go on."""
    return flow.delete(
        context.connection,
        beneficiary,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )
