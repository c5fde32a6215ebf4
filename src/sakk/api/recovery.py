"""Recoveries: the operator sends coins that are nobody's payment back to who sent them."""

import os
from typing import Literal

from sakk.api.context import Context, Document, Listing, ShownOnce
from sakk.api.parameters import Identifier, ListParameters, Parameters, Timestamp, moment
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import claim
from sakk.core import recovery as rules
from sakk.core.errors import ParameterMissing, ResourceMissing
from sakk.core.refund import FailureReason, RefundStatus
from sakk.core.sweep import SweepSource
from sakk.flow import recovery as flow
from sakk.flow.recovery_finding import examine
from sakk.store import payin as payins
from sakk.store import recovery as store
from sakk.store.page import fetch_page

resource = Resource("recoveries")


class RecoveryCreate(Parameters):
    """What to recover: a held ``payin``, or an ``asset`` on an ``address`` of a ``network``."""

    payin: Identifier | None = None
    network: Identifier | None = None
    address: Identifier | None = None
    asset: Identifier | None = None
    claim_expires_at: Timestamp | None = None


class RecoveryListParameters(ListParameters):
    """Which recoveries."""

    status: RefundStatus | None = None
    payin: Identifier | None = None


class RecoveryShape(Shape):
    """Coins that go back from a deposit address. ``token_amount`` in atomic units."""

    id: str
    object: Literal["recovery"]
    account: str | None
    address: str
    amount_decimal: str
    approvals_needed: int
    approver_role: str | None
    asset: str
    awaiting_approvals: bool
    claim_expires_at: int | None
    claim_url: str | None
    created: Created
    destination: str | None
    failure_reason: FailureReason | None
    livemode: Livemode
    metadata: ObjectMetadata
    network: str
    payin: str | None
    payment_intent: str | None
    rule: str | None
    screening: str | None
    source: SweepSource
    status: RefundStatus
    sweep: str | None
    symbol: str
    token_amount: str
    tx_hash: str | None
    under_review: bool


@resource.post(
    "/v1/recoveries",
    returns=RecoveryShape,
    operation="create_recovery",
    operator_only=True,
    two_steps=True,
)
def create(context: Context, body: RecoveryCreate) -> Document | ShownOnce:
    """Offer coins on a deposit address to whoever paid them, under a claim link.

    A token that is on no list, a transfer that is held, or native coin in suspense; the amount is
    read from the node. The link is in this answer and nowhere else.
    """
    network, address, asset = _place(context, body)
    finding = examine(
        context.parts,
        network=network,
        address=address,
        asset=asset,
        livemode=context.livemode,
        payin=body.payin,
    )
    token = claim.make_token(os.urandom(claim.TOKEN_RANDOM_BYTES))
    recovery = flow.create(
        context.parts,
        finding,
        identifier=context.object_id("rec"),
        livemode=context.livemode,
        claim_hash=claim.token_hash(token),
        claim_expires_at=moment(body.claim_expires_at),
        actor=context.actor,
    )
    if recovery.claim_hash != claim.token_hash(token):
        return rules.public(recovery)
    url = context.settings.public_url + claim.claim_path(token)
    return ShownOnce(document=rules.public(recovery, claim_url=url), stored=rules.public(recovery))


@resource.get(
    "/v1/recoveries",
    returns=Page[RecoveryShape],
    operation="list_recoveries",
    operator_only=True,
)
def list_recoveries(context: Context, query: RecoveryListParameters) -> Listing:
    """List the recoveries, newest first."""
    columns = store.recoveries.c
    filters = []
    if query.status is not None:
        filters.append(columns.status == query.status.value)
    if query.payin is not None:
        filters.append(columns.payin == query.payin)
    rows, has_more = fetch_page(
        context.connection,
        store.recoveries,
        rules.Recovery,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
        filters=filters,
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/recoveries/{recovery}",
    returns=RecoveryShape,
    operation="retrieve_recovery",
    operator_only=True,
)
def retrieve(context: Context, recovery: str) -> Document:
    """Retrieve a recovery."""
    found = store.find(context.connection, recovery)
    if found is None or found.livemode != context.livemode:
        raise ResourceMissing(f"No such recovery: {recovery!r}", param="id")
    return rules.public(found)


@resource.post(
    "/v1/recoveries/{recovery}/cancel",
    returns=RecoveryShape,
    operation="cancel_recovery",
    operator_only=True,
)
def cancel(context: Context, recovery: str) -> Document:
    """Call a recovery off, before it is being sent; the coins stay where they are."""
    canceled = flow.cancel(context.connection, recovery, livemode=context.livemode, now=context.now)
    return rules.public(canceled)


def _place(context: Context, body: RecoveryCreate) -> tuple[str, str, str]:
    """The network, address and asset that are meant, by a pay-in or by name."""
    if body.payin is not None:
        with context.database.begin() as connection:
            found = payins.find(connection, body.payin, account_id=None, livemode=context.livemode)
        if found is None:
            raise ResourceMissing(f"No such payin: {body.payin!r}", param="payin")
        return found.network, found.address, found.asset
    for name in ("network", "address", "asset"):
        if getattr(body, name) is None:
            raise ParameterMissing(
                f"Missing required parameter: {name}. Or name a payin.", param=name
            )
    assert body.network is not None
    assert body.address is not None
    assert body.asset is not None
    return body.network, body.address, body.asset
