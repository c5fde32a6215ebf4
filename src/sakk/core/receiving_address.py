"""Receiving addresses: an account's own permanent address on a network, to be paid at any time.

What others' programs sell for an account is paid there: it is the ``payTo`` of HTTP 402.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sakk.core.evm import checksum_address
from sakk.core.network import Asset

PREFIX = "ra"


@dataclass(frozen=True, slots=True)
class ReceivingAddress:
    """An account's address on one network; the address is the same on all of one family."""

    id: str
    account_id: str
    livemode: bool
    network: str
    address: str
    created: datetime


def public(found: ReceivingAddress, assets: Sequence[Asset]) -> dict[str, Any]:
    """The API's object ``receiving_address``; ``assets``: those that are credited there."""
    return {
        "id": found.id,
        "object": "receiving_address",
        "account": found.account_id,
        "address": checksum_address(found.address),
        "created": int(found.created.timestamp()),
        "livemode": found.livemode,
        "metadata": {},
        "network": found.network,
        "supported_tokens": [
            {
                "token_currency": asset.currency,
                "token_contract_address": checksum_address(asset.contract),
                "asset": asset.asset,
                "decimals": asset.decimals,
                "eip712": None
                if asset.eip712_name is None
                else {"name": asset.eip712_name, "version": asset.eip712_version or ""},
            }
            for asset in assets
            if asset.contract is not None
        ],
    }
