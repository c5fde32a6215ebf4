"""Reconciliation: what the ledger says is in custody equals what the chain says, to the unit.

Both sides are taken at one final block. What one side shows and the other not yet is in flight, and
is listed with the row that it belongs to; what is left after that is a break.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class InFlight:
    """A row whose effect the chain at the block and the ledger show differently, for now.

    ``units``: what the chain shows less what the ledger shows, in atomic units, signed.
    """

    row: str
    asset: str
    units: int
    why: str


@dataclass(frozen=True, slots=True)
class AssetProof:
    """One asset: the chain's total over every address of ours, the ledger's custody, the rest."""

    asset: str
    chain_units: int
    ledger_units: int
    in_flight: Sequence[InFlight] = ()

    @property
    def expected_units(self) -> int:
        return self.ledger_units + sum(each.units for each in self.in_flight)

    @property
    def difference(self) -> int:
        """Chain less expectation; zero is the proof."""
        return self.chain_units - self.expected_units

    def to_document(self) -> dict[str, Any]:
        return {
            "asset": self.asset,
            "chain_units": str(self.chain_units),
            "ledger_units": str(self.ledger_units),
            "in_flight": [
                {"row": each.row, "units": str(each.units), "why": each.why}
                for each in self.in_flight
            ],
            "difference": str(self.difference),
        }


@dataclass(frozen=True, slots=True)
class NetworkProof:
    """One network at one final block."""

    network: str
    block_number: int
    block_hash: str
    addresses: int
    assets: Sequence[AssetProof]

    def to_document(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "block_number": self.block_number,
            "block_hash": self.block_hash,
            "addresses": self.addresses,
            "assets": [each.to_document() for each in self.assets],
        }


@dataclass(frozen=True, slots=True)
class Proof:
    """The whole reconciliation. ``breaks`` say in words what does not hold; none means it holds."""

    networks: Sequence[NetworkProof]
    row_breaks: Sequence[str] = field(default=())
    journal_sequence: int = 0

    @property
    def breaks(self) -> list[str]:
        found = [
            f"{asset.asset}: the chain holds {asset.chain_units}, the ledger expects "
            f"{asset.expected_units}, difference {asset.difference}"
            for network in self.networks
            for asset in network.assets
            if asset.difference
        ]
        return [*found, *self.row_breaks]

    @property
    def ok(self) -> bool:
        return not self.breaks

    def to_document(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "journal_sequence": self.journal_sequence,
            "networks": [each.to_document() for each in self.networks],
            "breaks": self.breaks,
        }
