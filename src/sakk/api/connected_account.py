"""Connected accounts: platforms that act for merchants, by the word of both."""

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import or_

from sakk.api.context import Context, Document, Listing
from sakk.api.fee import FeeRuleParameters, read_fee_rules
from sakk.api.parameters import Identifier, ListParameters, Metadata, Parameters
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import connected_account as rules
from sakk.core.connected_account import ConnectedAccount, ConnectionStatus
from sakk.core.errors import ResourceMissing
from sakk.core.fee import RULES_MAX
from sakk.core.metadata import merge
from sakk.flow import connected_account as flow
from sakk.store import connected_account as store
from sakk.store.page import fetch_page

resource = Resource("connected_accounts")

ApplicationFeeRules = Annotated[
    list[FeeRuleParameters],
    Field(
        max_length=RULES_MAX,
        description="What the platform takes where no amount is named; as those of a fee schedule.",
    ),
]


class ConnectedAccountCreate(Parameters):
    """A platform asks an account to act for it."""

    account: Identifier
    permissions: Annotated[list[Literal["payments", "payouts"]], Field(min_length=1, max_length=2)]
    application_fee_ppm_max: Annotated[
        int,
        Field(ge=0, le=rules.MILLION, description="The most that it takes, in parts per million."),
    ]
    application_fee_rules: ApplicationFeeRules | None = None
    metadata: Metadata | None = None


class ConnectedAccountUpdate(Parameters):
    """The platform's next rules."""

    application_fee_rules: ApplicationFeeRules


class ConnectedAccountListParameters(ListParameters):
    """Which connections."""

    status: ConnectionStatus | None = None


class ConnectedAccountShape(Shape):
    """A platform that acts for an account, or asks to."""

    id: str
    object: Literal["connected_account"]
    accepted_at: int | None
    account: Annotated[str, Field(description="For whom the platform acts.")]
    application_fee_ppm_max: int
    application_fee_rules: Annotated[
        list[dict[str, Any]], Field(description="In force now; empty: only amounts that it names.")
    ]
    created: Created
    ended_at: int | None
    ended_by: Annotated[str | None, Field(description="The account that ended it.")]
    livemode: Livemode
    metadata: ObjectMetadata
    permissions: list[Literal["payments", "payouts"]]
    platform: str
    status: ConnectionStatus


@resource.post(
    "/v1/connected_accounts", returns=ConnectedAccountShape, operation="create_connected_account"
)
def create(context: Context, body: ConnectedAccountCreate) -> Document:
    """Ask an account to act for it, as its platform. Nothing counts before the account agrees."""
    made = flow.create(
        context.connection,
        identifier=context.object_id(rules.PREFIX),
        platform=context.account_id,
        account_id=body.account,
        livemode=context.livemode,
        permissions=list(body.permissions),
        fee_ppm_max=body.application_fee_ppm_max,
        written=read_fee_rules(body.application_fee_rules or []),
        metadata=merge({}, body.metadata or {}),
        by=context.actor.person or context.actor.key,
        now=context.now,
    )
    return _shown(context, made)


@resource.get(
    "/v1/connected_accounts",
    returns=Page[ConnectedAccountShape],
    operation="list_connected_accounts",
)
def list_connected_accounts(context: Context, query: ConnectedAccountListParameters) -> Listing:
    """List the connections that the account is a side of, newest first; the operator's key: all."""
    c = store.connected_accounts.c
    filters: list[Any] = [] if query.status is None else [c.status == query.status.value]
    visible = context.visible_account_id
    if visible is not None:
        filters.append(or_(c.account_id == visible, c.platform == visible))
    rows, has_more = fetch_page(
        context.connection,
        store.connected_accounts,
        ConnectedAccount,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    current = flow.rules_in_force(context.connection, [row.id for row in rows], now=context.now)
    shown = [rules.public(row, current[row.id].rules if row.id in current else ()) for row in rows]
    return Listing(data=shown, has_more=has_more)


@resource.get(
    "/v1/connected_accounts/{connected_account}",
    returns=ConnectedAccountShape,
    operation="retrieve_connected_account",
)
def retrieve(context: Context, connected_account: str) -> Document:
    """Retrieve a connection."""
    found = store.find(
        context.connection,
        connected_account,
        account_id=context.visible_account_id,
        livemode=context.livemode,
    )
    if found is None:
        raise ResourceMissing(f"No such connected_account: {connected_account!r}.", param="id")
    return _shown(context, found)


@resource.post(
    "/v1/connected_accounts/{connected_account}",
    returns=ConnectedAccountShape,
    operation="update_connected_account",
)
def update(context: Context, connected_account: str, body: ConnectedAccountUpdate) -> Document:
    """Change by which rules the platform takes its fee; what was taken stays taken."""
    changed = flow.set_rules(
        context.connection,
        connected_account,
        read_fee_rules(body.application_fee_rules),
        platform=context.account_id,
        livemode=context.livemode,
        by=context.actor.person or context.actor.key,
        now=context.now,
    )
    return _shown(context, changed)


@resource.post(
    "/v1/connected_accounts/{connected_account}/accept",
    returns=ConnectedAccountShape,
    operation="accept_connected_account",
)
def accept(context: Context, connected_account: str) -> Document:
    """Agree, as the account that is asked: from now on the platform acts for it."""
    accepted = flow.accept(
        context.connection,
        connected_account,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return _shown(context, accepted)


@resource.post(
    "/v1/connected_accounts/{connected_account}/revoke",
    returns=ConnectedAccountShape,
    operation="revoke_connected_account",
)
def revoke(context: Context, connected_account: str) -> Document:
    """End it, as either side: at once, and for good. What was asked for before stays as it was."""
    ended = flow.revoke(
        context.connection,
        connected_account,
        account_id=context.account_id,
        livemode=context.livemode,
        now=context.now,
    )
    return _shown(context, ended)


def _shown(context: Context, connected: ConnectedAccount) -> Document:
    found = flow.rules_in_force(context.connection, [connected.id], now=context.now)
    version = found.get(connected.id)
    return rules.public(connected, () if version is None else version.rules)
