"""The client's calls about money between accounts, and what is answered to them."""

from collections.abc import Callable
from typing import Any

from sakk.client import SakkClient
from sakk.client.objects import Resource

from .escrow_calls import shown

Call = Callable[[SakkClient], Resource]

ALIAS = shown("alias", kind="handle", value="ann", status="active")
ALIAS_CODE = shown("alias_code", alias="als_1", code="c", value="ann@example.com")
TRANSFER = shown("transfer", amount=5, currency="usdc", destination="acct_2")

CALLS: list[tuple[Call, dict[str, Any], str, Any]] = [
    (lambda c: c.aliases.retrieve("als_1"), ALIAS, "GET /v1/aliases/als_1", None),
    (
        lambda c: c.aliases.create(kind="handle", value="ann"),
        ALIAS,
        "POST /v1/aliases",
        {"kind": "handle", "value": "ann"},
    ),
    (lambda c: c.aliases.code("als_1"), ALIAS_CODE, "POST /v1/aliases/als_1/code", {}),
    (
        lambda c: c.aliases.verify("als_1", code="c"),
        ALIAS,
        "POST /v1/aliases/als_1/verify",
        {"code": "c"},
    ),
    (lambda c: c.aliases.release("als_1"), ALIAS, "POST /v1/aliases/als_1/release", {}),
    (lambda c: c.aliases.free("als_1"), ALIAS, "POST /v1/aliases/als_1/free", {}),
    (lambda c: c.transfers.retrieve("tr_1"), TRANSFER, "GET /v1/transfers/tr_1", None),
    (
        lambda c: c.transfers.create(amount=5, currency="usdc", destination="acct_2"),
        TRANSFER,
        "POST /v1/transfers",
        {"amount": 5, "currency": "usdc", "destination": "acct_2"},
    ),
    (lambda c: c.transfers.cancel("tr_1"), TRANSFER, "POST /v1/transfers/tr_1/cancel", {}),
]

LISTS: list[tuple[Callable[[SakkClient], Any], dict[str, Any], str]] = [
    (lambda c: c.transfers.list(), TRANSFER, "/v1/transfers"),
    (lambda c: c.aliases.list(), ALIAS, "/v1/aliases"),
]
