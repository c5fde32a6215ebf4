"""The treasury in tiers: how much stands hot, warm and cold, and what should move where.

Hot is what this house's signer can spend. Warm and cold are vaults, addresses of the operator's own
whose keys are elsewhere: a withdrawal goes to one of them and nowhere else, and what comes back is
signed by people, elsewhere, and only seen here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sakk.core.evm import checksum_address


class Tier(StrEnum):
    """Where coins stand, by how soon they can be spent."""

    hot = "hot"
    warm = "warm"
    cold = "cold"


@dataclass(frozen=True, slots=True)
class Vault:
    """An address of the operator's own whose key is not here; lower-case hex."""

    network: str
    address: str
    tier: str
    label: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """How much of an asset shall stand hot, in atomic units: a band, and where to return to."""

    asset: str
    low_units: int
    target_units: int
    high_units: int


@dataclass(frozen=True, slots=True)
class Holding:
    """What stands of an asset in one tier: of the hot one ``address`` is None."""

    asset: str
    tier: Tier
    units: int
    address: str | None = None
    label: str | None = None


class ProposalKind(StrEnum):
    """``withdraw`` is done here; ``supply`` is signed by people who hold the vault's key."""

    withdraw = "withdraw"
    supply = "supply"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A movement that brings an asset's hot part back to its target."""

    kind: ProposalKind
    asset: str
    units: int
    source: str | None
    destination: str | None
    reason: str


def propose(target: Target, holdings: Sequence[Holding]) -> list[Proposal]:
    """What should move so that the hot part of the target's asset is in its band again.

    What is too much goes to the first cold vault, or to a warm one where there is none. What is
    lacking is asked of warm vaults first and then of cold ones, as far as they hold it.
    """
    ours = [each for each in holdings if each.asset == target.asset]
    hot = sum(each.units for each in ours if each.tier is Tier.hot)
    warm = [each for each in ours if each.tier is Tier.warm]
    cold = [each for each in ours if each.tier is Tier.cold]
    if hot > target.high_units:
        vault = next(iter([*cold, *warm]), None)
        return [
            Proposal(
                kind=ProposalKind.withdraw,
                asset=target.asset,
                units=hot - target.target_units,
                source=None,
                destination=None if vault is None else vault.address,
                reason=f"{hot} are hot, above {target.high_units}",
            )
        ]
    if hot >= target.low_units:
        return []
    lacking = target.target_units - hot
    reason = f"{hot} are hot, below {target.low_units}"
    found = []
    for vault in [*warm, *cold]:
        units = min(lacking, vault.units)
        if units > 0:
            lacking -= units
            found.append(
                Proposal(ProposalKind.supply, target.asset, units, vault.address, None, reason)
            )
    if lacking:
        reason = f"{reason}, and the vaults do not hold it"
        found.append(Proposal(ProposalKind.supply, target.asset, lacking, None, None, reason))
    return found


def public_holding(
    asset: str, target: Target | None, holdings: Sequence[Holding]
) -> dict[str, Any]:
    """One asset of the operator's object ``treasury``."""
    ours = [each for each in holdings if each.asset == asset]
    proposals = [] if target is None else propose(target, holdings)
    return {
        "asset": asset,
        "balances": {
            tier.value: str(sum(each.units for each in ours if each.tier is tier)) for tier in Tier
        },
        "vaults": [
            {
                "address": checksum_address(each.address),
                "label": each.label,
                "tier": each.tier.value,
                "token_amount": str(each.units),
            }
            for each in ours
            if each.address is not None
        ],
        "target": None
        if target is None
        else {
            "low": str(target.low_units),
            "target": str(target.target_units),
            "high": str(target.high_units),
        },
        "proposals": [
            {
                "kind": each.kind.value,
                "token_amount": str(each.units),
                "source": None if each.source is None else checksum_address(each.source),
                "destination": None
                if each.destination is None
                else checksum_address(each.destination),
                "reason": each.reason,
            }
            for each in proposals
        ],
    }
