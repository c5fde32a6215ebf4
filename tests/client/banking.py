"""The client's calls about money at banks, and what is answered to them."""

from collections.abc import Callable
from typing import Any

from sakk.client import SakkClient
from sakk.client.objects import Resource

from .escrow_calls import shown

Call = Callable[[SakkClient], Resource]

ACCOUNT = shown("bank_account", holder="Anna", currency="eur", terms={"folder": "acme"})
REFERENCE = shown("bank_reference", reference="RF18539007547034")
FILE = shown("bank_file", kind="camt.053", status="read", way="in")
MONEY = {"amount": 5, "currency": "eur"}
PAYMENT = shown("bank_payment", payout="po_1", status="booked", **MONEY)
STATEMENT = shown("bank_statement", currency="eur", status="accepted")
ASKED = {"id": "purpose", "text": "Why?"}
PROVIDED = shown(
    "provider_order", payout="po_1", status="information_required", questions=[ASKED], **MONEY
)
LINE = shown("bank_line", status="booked", **MONEY)

CALLS: list[tuple[Call, dict[str, Any], str, Any]] = [
    (lambda c: c.bank_accounts.retrieve("ba_1"), ACCOUNT, "GET /v1/bank_accounts/ba_1", None),
    (
        lambda c: c.bank_accounts.create(holder="Anna", currency="eur", iban="DE89"),
        ACCOUNT,
        "POST /v1/bank_accounts",
        {"holder": "Anna", "currency": "eur", "iban": "DE89"},
    ),
    (
        lambda c: c.bank_references.retrieve("bref_1"),
        REFERENCE,
        "GET /v1/bank_references/bref_1",
        None,
    ),
    (
        lambda c: c.bank_references.create(currency="eur"),
        REFERENCE,
        "POST /v1/bank_references",
        {"currency": "eur"},
    ),
    (lambda c: c.bank_files.retrieve("bf_1"), FILE, "GET /v1/bank_files/bf_1", None),
    (
        lambda c: c.bank_files.create(file=b"<a/>", name="a.xml"),
        FILE,
        "POST /v1/bank_files",
        {"file": "PGEvPg==", "name": "a.xml"},
    ),
    (lambda c: c.bank_payments.retrieve("bp_1"), PAYMENT, "GET /v1/bank_payments/bp_1", None),
    (
        lambda c: c.bank_statements.retrieve("bst_1"),
        STATEMENT,
        "GET /v1/bank_statements/bst_1",
        None,
    ),
    (
        lambda c: c.provider_orders.retrieve("pvo_1"),
        PROVIDED,
        "GET /v1/provider_orders/pvo_1",
        None,
    ),
    (
        lambda c: c.provider_orders.answer("pvo_1", question="purpose", text="Rent", file=b"%"),
        PROVIDED,
        "POST /v1/provider_orders/pvo_1/answer",
        {"question": "purpose", "text": "Rent", "file": "JQ=="},
    ),
    (lambda c: c.bank_lines.retrieve("bl_1"), LINE, "GET /v1/bank_lines/bl_1", None),
    (
        lambda c: c.bank_lines.assign("bl_1", account="acct_1"),
        LINE,
        "POST /v1/bank_lines/bl_1/assign",
        {"account": "acct_1"},
    ),
    (
        lambda c: c.bank_lines.confirm("bl_1", digest="00", code="123456"),
        LINE,
        "POST /v1/bank_lines/bl_1/confirm",
        {"digest": "00", "code": "123456"},
    ),
    (lambda c: c.bank_lines.decline("bl_1"), LINE, "POST /v1/bank_lines/bl_1/decline", {}),
]

LISTS: list[tuple[Callable[[SakkClient], Any], dict[str, Any], str]] = [
    (lambda c: c.bank_accounts.list(), ACCOUNT, "/v1/bank_accounts"),
    (lambda c: c.bank_references.list(), REFERENCE, "/v1/bank_references"),
    (lambda c: c.bank_files.list(), FILE, "/v1/bank_files"),
    (lambda c: c.bank_payments.list(), PAYMENT, "/v1/bank_payments"),
    (lambda c: c.bank_statements.list(), STATEMENT, "/v1/bank_statements"),
    (lambda c: c.provider_orders.list(), PROVIDED, "/v1/provider_orders"),
    (lambda c: c.bank_lines.list(), LINE, "/v1/bank_lines"),
]
