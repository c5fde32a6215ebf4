"""Adoptions: native coin that came to an address of ours without a transaction that names it.

A contract's inner call, a block's reward or a self-destruction moves native coin and leaves no log
and no transaction to the address, so no watcher sees it. Reconciliation does; an operator then has
it booked into suspense, where it waits for its owner to be found.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sakk.core import chart
from sakk.core.chart import Custody, TransferCode
from sakk.core.evm import checksum_address
from sakk.core.posting import Posting


class AdoptionStatus(StrEnum):
    requested = "requested"
    posted = "posted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What an address held beyond its rows at a final block, in the native coin's atomic units."""

    id: str
    livemode: bool
    network: str
    asset: str
    address: str
    place: str
    token_amount: int
    block_number: int
    block_hash: str
    status: str
    attempt: int = 0
    posted_at: datetime | None = None
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


def differences(held: Mapping[str, int], expected: Mapping[str, int]) -> dict[str, int]:
    """Per address, what the chain holds beyond what the rows explain; equal ones are left out."""
    found = {address: units - expected.get(address, 0) for address, units in held.items()}
    return {address: units for address, units in found.items() if units}


def postings(adoption: Adoption) -> list[Posting]:
    place: Custody = "deposit" if adoption.place == "deposit" else "hot"
    return [
        Posting(
            chart.custody(adoption.asset, place),
            chart.suspense(adoption.asset),
            adoption.token_amount,
            TransferCode.adopted,
        )
    ]


def public(adoption: Adoption) -> dict[str, Any]:
    """The operator's object ``adoption``."""
    return {
        "id": adoption.id,
        "object": "adoption",
        "address": checksum_address(adoption.address),
        "asset": adoption.asset,
        "block_hash": adoption.block_hash,
        "block_number": adoption.block_number,
        "created": int(adoption.created.timestamp()),
        "livemode": adoption.livemode,
        "metadata": {},
        "network": adoption.network,
        "status": adoption.status,
        "token_amount": str(adoption.token_amount),
    }
