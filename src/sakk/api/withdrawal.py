"""Withdrawals: the operator sends coins of the hot treasury to a vault."""

from typing import Literal

from sakk.api.context import Context, Document, Listing
from sakk.api.parameters import Identifier, ListParameters, Parameters, TokenUnits
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import withdrawal as rules
from sakk.core.errors import ResourceMissing
from sakk.flow import withdrawal as flow
from sakk.store import withdrawal as store
from sakk.store.page import fetch_page

resource = Resource("withdrawals")


class WithdrawalCreate(Parameters):
    """How many atomic units of an asset (CAIP-19) go to which vault of its network."""

    asset: Identifier
    token_amount: TokenUnits
    destination: Identifier


class WithdrawalListParameters(ListParameters):
    """Which withdrawals."""

    status: rules.WithdrawalStatus | None = None


class WithdrawalShape(Shape):
    """A transfer to a vault. ``token_amount`` in atomic units, ``amount`` in the currency's."""

    id: str
    object: Literal["withdrawal"]
    amount: int
    amount_decimal: str
    approvals_needed: int
    approver_role: str | None
    asset: str
    awaiting_approvals: bool
    created: Created
    currency: str
    destination: str
    failure_code: str | None
    livemode: Livemode
    metadata: ObjectMetadata
    network: str
    rule: str | None
    status: rules.WithdrawalStatus
    token_amount: str
    tx_hash: str | None
    waits_for: str | None


@resource.post(
    "/v1/withdrawals",
    returns=WithdrawalShape,
    operation="create_withdrawal",
    operator_only=True,
    two_steps=True,
)
def create(context: Context, body: WithdrawalCreate) -> Document:
    """Ask for coins of the hot treasury to go to a vault.

    The policy says whether they go, wait for approvals, or stay; whoever asks does not approve.
    """
    row = flow.withdraw(
        context.parts,
        asset_name=body.asset,
        units=int(body.token_amount),
        destination=body.destination,
        actor=context.actor,
        livemode=context.livemode,
        identifier=context.object_id("wd"),
    )
    return rules.public(row)


@resource.get(
    "/v1/withdrawals",
    returns=Page[WithdrawalShape],
    operation="list_withdrawals",
    operator_only=True,
)
def list_withdrawals(context: Context, query: WithdrawalListParameters) -> Listing:
    """List the withdrawals, newest first."""
    columns = store.withdrawals.c
    rows, has_more = fetch_page(
        context.connection,
        store.withdrawals,
        rules.Withdrawal,
        account_id=None,
        livemode=context.livemode,
        page=query.page(),
        filters=[] if query.status is None else [columns.status == query.status.value],
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/withdrawals/{withdrawal}",
    returns=WithdrawalShape,
    operation="retrieve_withdrawal",
    operator_only=True,
)
def retrieve(context: Context, withdrawal: str) -> Document:
    """Retrieve a withdrawal."""
    found = store.find(context.connection, withdrawal)
    if found is None or found.livemode is not context.livemode:
        raise ResourceMissing(f"No such withdrawal: {withdrawal!r}", param="id")
    return rules.public(found)
