"""Reconciliation: what the ledger says is in custody equals what the chain says, to the unit.

Both sides are taken at one final block. What one side shows and the other not yet is in flight, and
is listed with the row that it belongs to; what is left after that is a break.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sakk.core.escrow_channel import EscrowChannel


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
class ChannelProof:
    """One escrow channel: what was deposited and has not gone back, by the contract and the books.

    ``in_flight_units``: what one side shows and the other will. What the contract holds beyond that
    was deposited by somebody else's transaction: its payer's, which may take it back, and no break.
    """

    channel: str
    chain_units: int
    ledger_units: int
    in_flight_units: int = 0

    @property
    def foreign_units(self) -> int:
        return max(0, self._beyond)

    @property
    def difference(self) -> int:
        """What is missing in the contract, below zero; zero is the proof."""
        return min(0, self._beyond)

    @property
    def _beyond(self) -> int:
        return self.chain_units - self.ledger_units - self.in_flight_units

    def to_document(self) -> dict[str, Any]:
        return {
            "channel": self.channel,
            "chain_units": str(self.chain_units),
            "ledger_units": str(self.ledger_units),
            "in_flight_units": str(self.in_flight_units),
            "foreign_units": str(self.foreign_units),
            "difference": str(self.difference),
        }


@dataclass(frozen=True, slots=True)
class EscrowProof:
    """One asset's coins in the escrow of x402: ``escrow:<asset>``, and the contract's channels.

    ``chain_units``: what the contract holds for channels kept here, with what others deposited in
    them. ``channels``: those of which the two sides differ.
    """

    asset: str
    chain_units: int
    ledger_units: int
    in_flight: Sequence[InFlight] = ()
    channels: Sequence[ChannelProof] = ()

    @property
    def expected_units(self) -> int:
        return self.ledger_units + sum(each.units for each in self.in_flight)

    @property
    def foreign_units(self) -> int:
        return sum(each.foreign_units for each in self.channels)

    @property
    def difference(self) -> int:
        return self.chain_units - self.foreign_units - self.expected_units

    @property
    def breaks(self) -> list[str]:
        found = [
            f"{each.channel}: the escrow holds {each.chain_units}, the books expect "
            f"{each.ledger_units + each.in_flight_units}, difference {each.difference}"
            for each in self.channels
            if each.difference
        ]
        if self.difference:
            found.append(
                f"{self.asset} in escrow: the contract holds {self.chain_units}, the ledger expects"
                f" {self.expected_units + self.foreign_units}, difference {self.difference}"
            )
        return found

    def to_document(self) -> dict[str, Any]:
        return {
            "asset": self.asset,
            "chain_units": str(self.chain_units),
            "ledger_units": str(self.ledger_units),
            "in_flight": [
                {"row": each.row, "units": str(each.units), "why": each.why}
                for each in self.in_flight
            ],
            "foreign_units": str(self.foreign_units),
            "channels": [each.to_document() for each in self.channels],
            "difference": str(self.difference),
        }


def about_to_follow(channel: EscrowChannel, difference: int, *, undone: bool) -> int:
    """How much of a channel's difference the books are about to follow, contract less books.

    What its payer is taking, or has taken, by its own way out; all of it where a deposit's block is
    gone (``undone``).
    """
    taken = channel.gone_units or channel.withdraw_units
    return difference if undone or -taken <= difference < 0 else 0


@dataclass(frozen=True, slots=True)
class NetworkProof:
    """One network at one final block."""

    network: str
    block_number: int
    block_hash: str
    addresses: int
    assets: Sequence[AssetProof]
    escrows: Sequence[EscrowProof] = ()

    def to_document(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "block_number": self.block_number,
            "block_hash": self.block_hash,
            "addresses": self.addresses,
            "assets": [each.to_document() for each in self.assets],
            "escrows": [each.to_document() for each in self.escrows],
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
        for network in self.networks:
            for escrow in network.escrows:
                found += escrow.breaks
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
