"""Outflows: coins that left an address of ours by a transaction that is not ours.

A token's issuer may burn or seize; a key may be stolen. The coins are gone from custody, so the
ledger says so at finality, against suspense: a balance there is someone's work.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sakk.core import chart
from sakk.core.chart import Custody, TransferCode
from sakk.core.evm import checksum_address
from sakk.core.posting import Posting, reversed_postings


class OutflowStatus(StrEnum):
    seen = "seen"
    posted = "posted"
    orphaned = "orphaned"
    reversed = "reversed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outflow:
    """One transfer out of an address of ours; ``place`` is the custody that it left.

    ``tx_hash`` is empty, ``log_index`` -1 and ``receiver`` the zero address where no transaction
    tells of it: the balance is short, and the operator has written the difference off.
    """

    id: str
    livemode: bool
    network: str
    asset: str
    token_amount: int
    address: str
    place: str
    receiver: str
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    status: str
    orphaned: bool = False
    attempt: int = 0
    retry_at: datetime | None = None
    failures: int = 0
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime


def postings(outflow: Outflow) -> list[Posting]:
    place: Custody = "hot"
    if outflow.place in ("deposit", "cold"):
        place = "deposit" if outflow.place == "deposit" else "cold"
    return [
        Posting(
            chart.suspense(outflow.asset),
            chart.custody(outflow.asset, place),
            outflow.token_amount,
            TransferCode.outflow,
        )
    ]


def reversal(outflow: Outflow) -> list[Posting]:
    """Undo the postings of an outflow that the chain has undone."""
    return reversed_postings(postings(outflow), TransferCode.outflow_reversed)


def public(outflow: Outflow) -> dict[str, Any]:
    """The operator's object ``outflow``."""
    return {
        "id": outflow.id,
        "object": "outflow",
        "address": checksum_address(outflow.address),
        "asset": outflow.asset,
        "block_number": outflow.block_number,
        "created": int(outflow.created.timestamp()),
        "livemode": outflow.livemode,
        "metadata": {},
        "network": outflow.network,
        "receiver": checksum_address(outflow.receiver),
        "status": outflow.status,
        "token_amount": str(outflow.token_amount),
        "tx_hash": outflow.tx_hash or None,
    }
