"""Owner keys: the keys whose holders sign mandates for the account."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters, ShortText
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.owner_key import PREFIX, OwnerKey, public_owner_key, typed_data
from sakk.flow import owner_key as flow
from sakk.store import owner_key as store
from sakk.store.page import fetch_page

resource = Resource("owner_keys")


class OwnerKeyDraft(Parameters):
    """Whose key: its EVM address."""

    address: Identifier


class OwnerKeyCreate(Parameters):
    """A key, and the proof that it is held."""

    address: Identifier
    signature: Annotated[
        str,
        Field(max_length=200, description="The key's own, over the draft's `typed_data`."),
    ]
    name: ShortText | None = None


class OwnerKeyDraftShape(Shape):
    """What the key's holder signs with `eth_signTypedData_v4` (EIP-712)."""

    object: Literal["owner_key_draft"]
    address: str
    typed_data: dict[str, Any]


class OwnerKeyShape(Shape):
    """A key that may sign mandates, until it is revoked."""

    id: str
    object: Literal["owner_key"]
    account: str
    address: str
    name: str | None
    revoked_at: int | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.lookup("/v1/owner_keys/draft", returns=OwnerKeyDraftShape, operation="draft_owner_key")
def draft(context: Context, body: OwnerKeyDraft) -> Document:
    """What the holder of a key signs to register it for the account."""
    typed = typed_data(context.account_id, flow.read_address(body.address))
    return {
        "object": "owner_key_draft",
        "address": typed["message"]["key"],
        "typed_data": typed,
    }


@resource.post(
    "/v1/owner_keys", returns=OwnerKeyShape, operation="create_owner_key", secret_key_only=True
)
def create(context: Context, body: OwnerKeyCreate) -> Document:
    """Register a key that may sign mandates. Only who holds it can.

    It may let agents spend the account's money, so a restricted API key registers none.
    """
    key = flow.register(
        context.connection,
        body.address,
        body.signature,
        name=body.name,
        identifier=context.object_id(PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        request_id=context.request_id,
    )
    return public_owner_key(key)


@resource.get("/v1/owner_keys", returns=Page[OwnerKeyShape], operation="list_owner_keys")
def list_owner_keys(context: Context, query: ListParameters) -> Listing:
    """List the account's owner keys, revoked ones too."""
    rows, has_more = fetch_page(
        context.connection,
        store.owner_keys,
        OwnerKey,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[public_owner_key(row) for row in rows], has_more=has_more)


@resource.get("/v1/owner_keys/{owner_key}", returns=OwnerKeyShape, operation="retrieve_owner_key")
def retrieve(context: Context, owner_key: str) -> Document:
    """Retrieve an owner key."""
    return public_owner_key(
        flow.find(
            context.connection,
            owner_key,
            account_id=context.account_id,
            livemode=context.livemode,
        )
    )


@resource.post(
    "/v1/owner_keys/{owner_key}/revoke",
    returns=OwnerKeyShape,
    operation="revoke_owner_key",
    two_steps=True,
)
def revoke(context: Context, owner_key: str) -> Document:
    """End a key for ever, and every mandate that it signed, at once."""
    return public_owner_key(
        flow.revoke(
            context.parts,
            owner_key,
            by=context.actor.signature,
            account_id=context.account_id,
            livemode=context.livemode,
        )
    )
