"""The treasury by tiers, for the operator: what stands where, and what should move."""

from typing import Literal

from sakk.api.context import Context, Document
from sakk.api.route import Resource
from sakk.api.shapes import Livemode, Shape
from sakk.flow import treasury as flow

resource = Resource("treasury")


class TierBalances(Shape):
    """Atomic units by tier."""

    hot: str
    warm: str
    cold: str


class VaultShape(Shape):
    """An address of the operator's own whose key is elsewhere."""

    address: str
    label: str | None
    tier: Literal["warm", "cold"]
    token_amount: str


class TargetShape(Shape):
    """The band for what stands hot, in atomic units."""

    low: str
    target: str
    high: str


class ProposalShape(Shape):
    """A movement that brings the hot part back to its target."""

    kind: Literal["withdraw", "supply"]
    token_amount: str
    source: str | None
    destination: str | None
    reason: str


class TreasuryAsset(Shape):
    """One asset of the treasury."""

    asset: str
    balances: TierBalances
    vaults: list[VaultShape]
    target: TargetShape | None
    proposals: list[ProposalShape]


class TreasuryShape(Shape):
    """What the operator holds, by asset and tier, by the books."""

    object: Literal["treasury"]
    livemode: Livemode
    assets: list[TreasuryAsset]


@resource.get(
    "/v1/treasury",
    returns=TreasuryShape,
    operation="retrieve_treasury",
    operator_only=True,
    asks_outside=True,
)
def retrieve(context: Context) -> Document:
    """Retrieve the treasury: balances by tier, targets, and what should move."""
    assets = flow.plan(context.parts, livemode=context.livemode)
    return {"object": "treasury", "livemode": context.livemode, "assets": assets}
