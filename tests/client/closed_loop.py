"""The client's calls about money between accounts, and what is answered to them."""

from collections.abc import Callable
from typing import Any

from sakk.client import SakkClient
from sakk.client.information_request import AnswerFile
from sakk.client.objects import Resource

from .escrow_calls import shown

Call = Callable[[SakkClient], Resource]

ALIAS = shown("alias", kind="handle", value="ann", status="active")
ALIAS_CODE = shown("alias_code", alias="als_1", code="c", value="ann@example.com")
TRANSFER = shown("transfer", amount=5, currency="usdc", destination="acct_2")

MONEY_REQUEST = shown("money_request", account="acct_1", currency="usdc", status="open", amount=5)
SHARE = {"money_request": "mreq_1", "status": "open", "amount": 5}
BILL = shown("bill", account="acct_1", amount=10, currency="usdc", own_share=5, shares=[SHARE])

GIFT_CARD = shown(
    "gift_card", account="acct_1", amount=5, balance=5, currency="usdc", status="active"
)
GIFT_CARD_MOVEMENT = shown(
    "gift_card_movement",
    account="acct_1",
    amount=5,
    currency="usdc",
    gift_card="gc_1",
    kind="redeem",
    status="posted",
)

QUESTION = shown("information_request", account="acct_1", question="Why?", status="open", due_at=1)
ANSWERED = {"text": "So.", "by": "key_1", "created": 2, "files": []}

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
    (
        lambda c: c.money_requests.retrieve("mreq_1"),
        MONEY_REQUEST,
        "GET /v1/money_requests/mreq_1",
        None,
    ),
    (
        lambda c: c.money_requests.create(payer="@ann", currency="usdc", amount=5),
        MONEY_REQUEST,
        "POST /v1/money_requests",
        {"payer": "@ann", "currency": "usdc", "amount": 5},
    ),
    (
        lambda c: c.money_requests.pay("mreq_1", amount=2),
        MONEY_REQUEST,
        "POST /v1/money_requests/mreq_1/pay",
        {"amount": 2},
    ),
    *(
        (
            lambda c, verb=verb: getattr(c.money_requests, verb)("mreq_1"),
            MONEY_REQUEST,
            f"POST /v1/money_requests/mreq_1/{verb}",
            {},
        )
        for verb in ("decline", "cancel", "remind")
    ),
    (lambda c: c.bills.retrieve("bill_1"), BILL, "GET /v1/bills/bill_1", None),
    (
        lambda c: c.bills.create(amount=10, currency="usdc", shares=[{"payer": "@ann"}]),
        BILL,
        "POST /v1/bills",
        {"amount": 10, "currency": "usdc", "shares": [{"payer": "@ann"}]},
    ),
    (
        lambda c: c.bills.reassign("bill_1", money_request="mreq_1", payer="@bob"),
        BILL,
        "POST /v1/bills/bill_1/reassign",
        {"money_request": "mreq_1", "payer": "@bob"},
    ),
    (
        lambda c: c.information_requests.retrieve("irq_1"),
        {**QUESTION, "answer": ANSWERED},
        "GET /v1/information_requests/irq_1",
        None,
    ),
    (
        lambda c: c.information_requests.answer(
            "irq_1", text="So.", files=[AnswerFile("a.txt", "text/plain", b"hi")]
        ),
        QUESTION,
        "POST /v1/information_requests/irq_1/answer",
        {
            "text": "So.",
            "files": [{"file": "aGk=", "name": "a.txt", "media_type": "text/plain"}],
        },
    ),
    (lambda c: c.gift_cards.retrieve("gc_1"), GIFT_CARD, "GET /v1/gift_cards/gc_1", None),
    (
        lambda c: c.gift_cards.create(amount=5, currency="usdc", active=False),
        GIFT_CARD,
        "POST /v1/gift_cards",
        {"amount": 5, "currency": "usdc", "active": False},
    ),
    *(
        (
            lambda c, verb=verb: getattr(c.gift_cards, verb)("gc_1"),
            GIFT_CARD,
            f"POST /v1/gift_cards/gc_1/{verb}",
            {},
        )
        for verb in ("activate", "freeze", "unfreeze", "replace")
    ),
    (
        lambda c: c.gift_cards.redeem(code="c", amount=2),
        GIFT_CARD_MOVEMENT,
        "POST /v1/gift_cards/redeem",
        {"code": "c", "amount": 2},
    ),
    (
        lambda c: c.gift_card_movements.retrieve("gcm_1"),
        GIFT_CARD_MOVEMENT,
        "GET /v1/gift_card_movements/gcm_1",
        None,
    ),
    (
        lambda c: c.gift_card_movements.refund("gcm_1", amount=2),
        GIFT_CARD_MOVEMENT,
        "POST /v1/gift_card_movements/gcm_1/refund",
        {"amount": 2},
    ),
    (lambda c: c.transfers.cancel("tr_1"), TRANSFER, "POST /v1/transfers/tr_1/cancel", {}),
]

LISTS: list[tuple[Callable[[SakkClient], Any], dict[str, Any], str]] = [
    (lambda c: c.transfers.list(), TRANSFER, "/v1/transfers"),
    (lambda c: c.money_requests.list(), MONEY_REQUEST, "/v1/money_requests"),
    (lambda c: c.information_requests.list(), QUESTION, "/v1/information_requests"),
    (lambda c: c.bills.list(), BILL, "/v1/bills"),
    (lambda c: c.gift_cards.list(), GIFT_CARD, "/v1/gift_cards"),
    (
        lambda c: c.gift_card_movements.list(),
        GIFT_CARD_MOVEMENT,
        "/v1/gift_card_movements",
    ),
    (lambda c: c.aliases.list(), ALIAS, "/v1/aliases"),
]
