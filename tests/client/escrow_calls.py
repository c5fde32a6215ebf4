"""Calls of the client about channels in x402's escrow, for the tests of all resources."""

from collections.abc import Callable
from typing import Any

from sakk.client import SakkClient

COMMON = {"created": 1, "livemode": False, "metadata": {}}


def shown(noun: str, **fields: Any) -> dict[str, Any]:
    """An object as a server of a later version may show it."""
    return {"id": "x_1", "object": noun, **COMMON, "field_of_the_future": {"a": [1]}, **fields}


IN_ESCROW = {"currency": "usdc", "network": "eip155:84532"}
CHANNEL = shown("escrow_channel", channel="0x1", payer="0x2", status="open", **IN_ESCROW)
REFUND = shown("escrow_refund", amount=5, escrow_channel="ech_1", status="pending", **IN_ESCROW)

Act = Callable[[SakkClient], Any]
CALLS: list[tuple[Act, dict[str, Any], str, dict[str, Any] | None]] = [
    (
        lambda c: c.escrow_channels.retrieve("ech_1"),
        CHANNEL,
        "GET /v1/escrow_channels/ech_1",
        None,
    ),
    (
        lambda c: c.escrow_channels.refund("ech_1", amount=5),
        REFUND,
        "POST /v1/escrow_channels/ech_1/refunds",
        {"amount": 5},
    ),
]
LISTS: list[tuple[Act, dict[str, Any], str]] = [
    (lambda c: c.escrow_channels.list(), CHANNEL, "/v1/escrow_channels"),
    (lambda c: c.escrow_channels.refunds("ech_1"), REFUND, "/v1/escrow_channels/ech_1/refunds"),
]
