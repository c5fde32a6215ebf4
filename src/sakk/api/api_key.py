"""API keys: an account makes keys for itself; the operator for any account."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document, Listing, ShownOnce
from sakk.api.parameters import (
    Identifier,
    ListParameters,
    Parameters,
    ShortText,
    Timestamp,
    moment,
)
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core.agent import SCOPES
from sakk.core.api_key import PREFIX, KeyKind, public_api_key, read_scopes
from sakk.core.errors import ParameterInvalid, ParameterMissing, ResourceMissing
from sakk.core.role import RESOURCES, check_gift
from sakk.flow import api_key as flow
from sakk.flow.mandate import find
from sakk.store import api_key as store

resource = Resource("api_keys")

SCOPES_MAX = 200


class ApiKeyCreate(Parameters):
    """A new key. A restricted one needs ``scopes``; a secret one may do everything.

    ``mandate`` makes it an agent's: it can do nothing but spend under that mandate.
    """

    kind: Literal["secret", "restricted"] = "restricted"
    name: ShortText | None = None
    scopes: Annotated[list[Identifier], Field(max_length=SCOPES_MAX)] | None = None
    allowed_addresses: Annotated[list[Identifier], Field(max_length=50)] | None = None
    expires_at: Timestamp | None = None
    mandate: Identifier | None = None


class ApiKeyShape(Shape):
    """A key. ``secret`` is the token, in the answer to its creation only."""

    id: str
    object: Literal["api_key"]
    account: str
    kind: Literal["secret", "restricted"]
    name: str | None
    prefix: str
    last4: str
    secret: str | None
    scopes: list[str]
    allowed_addresses: list[str]
    expires_at: int | None
    revoked_at: int | None
    person: str | None
    mandate: str | None
    metadata: ObjectMetadata
    created: Created
    livemode: Livemode


@resource.post(
    "/v1/api_keys", returns=ApiKeyShape, operation="create_api_key", secret_key_only=True
)
def create(context: Context, body: ApiKeyCreate) -> ShownOnce:
    """Make a key for the account, in the mode of the key that asks.

    The token is in this answer and nowhere else; a replay under the same Idempotency-Key does not
    show it again. Restricted keys make no keys.
    """
    caller = context.caller
    kind = KeyKind(body.kind)
    scopes = _scopes(context, kind, body)
    is_own = context.account_id == caller.key.account_id
    if caller.roles is not None and not is_own:
        known = [each for each in context.scopes if each.partition(":")[0] in RESOURCES]
        check_gift(caller.roles, scopes or known)
    key, token = flow.create(
        context.connection,
        key_id=context.object_id(PREFIX),
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
        kind=kind,
        name=body.name,
        scopes=scopes,
        allowed_addresses=body.allowed_addresses or (),
        expires_at=moment(body.expires_at),
        # A key that a person makes for the operator's account is their own: nobody makes one
        # that acts as nobody, or as another. One for another account is nobody's, and may no more
        # than its maker.
        mandate=body.mandate,
        person=caller.key.person if is_own else None,
    )
    return ShownOnce(document=public_api_key(key, secret=token), stored=public_api_key(key))


@resource.get("/v1/api_keys", returns=Page[ApiKeyShape], operation="list_api_keys")
def list_api_keys(context: Context, query: ListParameters) -> Listing:
    """List the account's keys, revoked ones too."""
    rows, has_more = store.list_api_keys(
        context.connection,
        query.page(),
        account_id=context.account_id,
        livemode=context.livemode,
    )
    return Listing(data=[public_api_key(row) for row in rows], has_more=has_more)


@resource.get("/v1/api_keys/{api_key}", returns=ApiKeyShape, operation="retrieve_api_key")
def retrieve(context: Context, api_key: str) -> Document:
    """Retrieve a key, without its token."""
    found = store.find_api_key(
        context.connection, api_key, account_id=context.account_id, livemode=context.livemode
    )
    if found is None:
        raise ResourceMissing(f"No such API key: {api_key!r}", param="api_key")
    return public_api_key(found)


@resource.post("/v1/api_keys/{api_key}/revoke", returns=ApiKeyShape, operation="revoke_api_key")
def revoke(context: Context, api_key: str) -> Document:
    """Revoke a key for ever. Every process refuses it within a second."""
    return public_api_key(
        flow.revoke(
            context.connection,
            api_key,
            account_id=context.account_id,
            livemode=context.livemode,
            now=context.now,
        )
    )


def _scopes(context: Context, kind: KeyKind, body: ApiKeyCreate) -> list[str]:
    wanted = body.scopes
    if body.mandate is not None:
        return _agents_scopes(context, kind, body.mandate, wanted)
    match kind:
        case KeyKind.secret:
            if wanted:
                raise ParameterInvalid(
                    "A secret key has every scope. Leave scopes out, or set kind to restricted.",
                    param="scopes",
                )
            return []
        case KeyKind.restricted:
            if not wanted:
                raise ParameterMissing(
                    "Missing required parameter: scopes. Name what the key may do, like"
                    " 'payment_intents:write'.",
                    param="scopes",
                )
            return read_scopes(wanted, context.scopes)


def _agents_scopes(
    context: Context, kind: KeyKind, mandate: str, wanted: list[str] | None
) -> list[str]:
    """What a key may do that is bound to a mandate: at most what the agent's own key may."""
    if kind is not KeyKind.restricted:
        raise ParameterInvalid(
            "A key that is bound to a mandate is a restricted one.", param="kind"
        )
    find(context.connection, mandate, account_id=context.account_id, livemode=context.livemode)
    return list(SCOPES) if wanted is None else read_scopes(wanted, SCOPES)
