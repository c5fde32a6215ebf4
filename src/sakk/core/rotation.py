"""Rotations: a treasury key is given up for another, and all that its address holds moves there.

``announced → moving → retired``, or ``aborted`` before any money moved. While it is ``moving`` the
successor pays, and the old address only gives: its tokens first, what it allowed taken back, and
its native coin last, for that pays for the rest. A retired address is watched for ever; coins that
come to it later set it ``moving`` again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart
from sakk.core.approval import rotation_message
from sakk.core.caip import native_asset
from sakk.core.chart import TransferCode
from sakk.core.evm import checksum_address
from sakk.core.posting import Posting
from sakk.core.transaction import ChainTransaction

PREFIX: Final = "kr"
# What so many transfers may cost stays with the old address: a stuck one is offered for more, and
# what comes later needs gas to leave.
TRANSFERS_KEPT: Final = 3
# Native coin is moved when there is so much more than is kept: the price of gas goes up and down,
# and each time a little would be worth a transaction.
NATIVE_WORTH: Final = 4


class RotationStatus(StrEnum):
    announced = "announced"
    moving = "moving"
    retired = "retired"
    aborted = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """One rotation; addresses in lower-case hex.

    ``approvals``: what approvers signed of it, public key and signature in hexadecimal.
    ``target_role``: what the successor was before, None if it is new. ``left``: assets that a
    person said may stay, for they can not be moved. ``retired_at``: when the old key was marked
    for the first time.
    """

    id: str
    status: str
    source: str
    source_index: int
    target: str
    target_index: int
    reason: str
    approvals: list[dict[str, str]]
    target_role: str | None = None
    left: list[str] = field(default_factory=list)
    moving_at: datetime | None = None
    retired_at: datetime | None = None
    aborted_at: datetime | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the old address still has on one network, as the chain shows it at its head.

    ``units`` of each listed asset, less what transactions of ours are about to take, and less what
    was said to stay.
    ``allowed``: tokens of which a contract of ours may take some. ``in_flight``: its transactions
    that have not come to their end. ``kept_wei``: what stays for gas. ``hub_pays_it``: the hub of
    the network still pays to it. ``factory_obeys_it``: a factory still has it recover from clones.
    """

    network: str
    units: Mapping[str, int]
    allowed: Sequence[str]
    in_flight: int
    kept_wei: int
    hub_pays_it: bool = False
    factory_obeys_it: bool = False

    @property
    def tokens(self) -> dict[str, int]:
        """The tokens that are to be moved."""
        native = native_asset(self.network)
        return {name: units for name, units in self.units.items() if units > 0 and name != native}

    @property
    def native_units(self) -> int:
        """Native coin beyond what stays for gas, where there is enough of it to be worth that."""
        held = self.units.get(native_asset(self.network), 0)
        return held - self.kept_wei if held >= NATIVE_WORTH * self.kept_wei else 0

    @property
    def is_empty(self) -> bool:
        """Is nothing left to be moved, taken back, or awaited?"""
        return not (self.tokens or self.allowed or self.in_flight or self.native_units)


class StepKind(StrEnum):
    """What can be done with an old address on one network."""

    move = "move"
    take_back = "take_back"


@dataclass(frozen=True, slots=True)
class Step:
    """So many units of an asset move, or an allowance of it is taken back."""

    kind: StepKind
    asset: str
    units: int = 0


def steps(held: Holdings) -> list[Step]:
    """What can be done next, in its order: whatever can not be is tried again later.

    Tokens first, then allowances, and the native coin when nothing else needs it for gas.
    """
    found = [Step(StepKind.move, name, units) for name, units in sorted(held.tokens.items())]
    found += [Step(StepKind.take_back, name) for name in sorted(held.allowed)]
    if not found and not held.in_flight and held.native_units:
        found.append(Step(StepKind.move, native_asset(held.network), held.native_units))
    return found


def is_new(rotation: Rotation) -> bool:
    """Was the successor made for this rotation?"""
    return rotation.target_role is None


def postings(transaction: ChainTransaction) -> list[Posting]:
    """Hot stays hot; what a token kept for itself on the way is a loss."""
    lost = transaction.token_amount - (transaction.arrived_units or 0)
    if lost <= 0:
        return []
    hot = chart.custody(transaction.asset, "hot")
    return [
        Posting(chart.loss("transfer_fee", transaction.asset), hot, lost, TransferCode.sweep_loss)
    ]


def public(
    rotation: Rotation, *, held: Sequence[Holdings] = (), moved: Sequence[ChainTransaction] = ()
) -> dict[str, Any]:
    """The operator's object ``key_rotation``. ``message``: what an approver signs, as UTF-8."""
    message = rotation_message(source=rotation.source, target=rotation.target)
    return {
        "id": rotation.id,
        "object": "key_rotation",
        "aborted_at": _seconds(rotation.aborted_at),
        "approvals": [each["public_key"] for each in rotation.approvals],
        "created": int(rotation.created.timestamp()),
        "message": message.decode(),
        "metadata": {},
        "left": rotation.left,
        "moving_at": _seconds(rotation.moving_at),
        "networks": [_public_holdings(each) for each in held],
        "reason": rotation.reason,
        "retired_at": _seconds(rotation.retired_at),
        "source": checksum_address(rotation.source),
        "source_index": rotation.source_index,
        "status": rotation.status,
        "target": checksum_address(rotation.target),
        "target_index": rotation.target_index,
        "transactions": [
            {
                "id": each.id,
                "asset": each.asset,
                "error": each.error,
                "hash": each.hash,
                "network": each.network,
                "purpose": each.purpose,
                "status": each.status,
                "token_amount": str(each.token_amount),
            }
            for each in moved
        ],
    }


def _public_holdings(held: Holdings) -> dict[str, Any]:
    return {
        "network": held.network,
        "empty": held.is_empty,
        "factory_obeys_it": held.factory_obeys_it,
        "hub_pays_it": held.hub_pays_it,
        "in_flight": held.in_flight,
        "allowances": sorted(held.allowed),
        "units": {name: str(units) for name, units in sorted(held.units.items()) if units},
    }


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
