"""Customers: a payer that comes back, with a permanent deposit address on every network."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PREFIX = "cus"


@dataclass(frozen=True, slots=True)
class Customer:
    """An account's customer; a deleted one keeps its row, because its addresses are watched."""

    id: str
    account_id: str
    livemode: bool
    name: str | None
    email: str | None
    description: str | None
    metadata: dict[str, str]
    deleted: bool
    created: datetime


def public_customer(customer: Customer, addresses: Mapping[str, Any]) -> dict[str, Any]:
    """The API's object ``customer``; ``addresses`` by CAIP-2 network."""
    if customer.deleted:
        return {"id": customer.id, "object": "customer", "deleted": True}
    return {
        "id": customer.id,
        "object": "customer",
        "name": customer.name,
        "email": customer.email,
        "description": customer.description,
        "crypto_deposit_addresses": dict(addresses),
        "metadata": customer.metadata,
        "created": int(customer.created.timestamp()),
        "livemode": customer.livemode,
    }
