"""What the operator has besides: banks, the books, what was closed, shops, the logs."""

from typing import Any, Final

from sqlalchemy import Table

from sakk.bench.sql_words import (
    ACCOUNT,
    ADDRESS,
    ASSET,
    HASH,
    ID,
    MERCHANT,
    MOMENT,
    NANOSECONDS,
    NETWORK,
    OPERATOR,
    UNIT,
    UNITS,
    each,
    of,
    seldom,
)
from sakk.store import audit, ledger
from sakk.store.application_fee import application_fees
from sakk.store.bank_file import bank_files
from sakk.store.bank_statement import bank_lines, bank_statements
from sakk.store.breach import breaches
from sakk.store.connected_account import connected_accounts
from sakk.store.day import days
from sakk.store.gift_card_batch import gift_card_batches
from sakk.store.ledger_break import breaks
from sakk.store.name import name_exemptions, name_screenings
from sakk.store.pos_device import pos_devices
from sakk.store.provider_order import provider_orders
from sakk.store.reconciliation import reconciliations
from sakk.store.report import reports
from sakk.store.shop import products, purchases, shops
from sakk.store.vasp import vasps
from sakk.store.x402_payment import x402_payments

_DAY: Final = {
    "accounts": [],
    "units": [],
    "entries": 1,
    "journal": [{"shard": 0, "sequence": 1, "hash": "00"}],
    "audit": {"block": 0, "hash": ""},
    "breaks": [],
    "accepted": [],
    "reconciliations": [],
}
_RUN: Final = {"ok": True, "journal_sequence": 1, "networks": [], "breaks": [], "suspense": []}
_NAME: Final[dict[str, Any]] = {
    "name": "Ann Example",
    "kind": "person",
    "born": None,
    "countries": [],
}
_SAID: Final = {
    "actor": "operator",
    "subject": "cus_1",
    "act": "update",
    "source": "customers",
    "at": "2026-01-01T00:00:00Z",
    "before": {"name": "Ann"},
    "after": {"name": "Ann Example"},
}


_EUROS: Final = {"currency": "'eur'", "decimals": "2", "bank_account": "'ba_1'"}
# As `sakk.bench.console_rows` has them.
FILLED: Final[list[tuple[Table, str, int, dict[str, str]]]] = [
    (
        bank_files,
        "bf",
        1,
        {
            "bank_account": "'ba_1'",
            "way": "'in'",
            "kind": "'camt.053'",
            "sha256": "i::text",
            "status": "'read'",
        },
    ),
    (
        bank_statements,
        "bst",
        1,
        {
            **_EUROS,
            "file": f"'bf_' || {ID}",
            "kind": "'statement'",
            "number": "i",
            "reference": "'S-' || i",
            "lines": "100",
            "status": "'accepted'",
        },
    ),
    (
        bank_lines,
        "bl",
        100,
        {
            **_EUROS,
            "statement": "'bst_' || lpad((i / 100 + 1)::text, 26, '0')",
            "number": "i",
            "counterparty_name": "'Ann ' || i",
            "remittance": "'INV-' || i",
            "status": "'booked'",
            "outcome": seldom("payin", "suspense"),
            "account_id": ACCOUNT,
            "booked_at": MOMENT,
        },
    ),
    (
        provider_orders,
        "pvo",
        10,
        {
            **_EUROS,
            "payout": f"'po_' || {ID}",
            "payment": f"'bp_' || {ID}",
            "provider": "'sandbox'",
            "status": seldom("paid", "information_required"),
            "questions": "'[]'",
        },
    ),
    (
        breaks,
        "brk",
        1,
        {
            "key": "i::text",
            "scope": "'suspense'",
            "kind": "'suspense'",
            "status": seldom("resolved", "open"),
            "first_run": f"'recon_' || {ID}",
            "last_run": f"'recon_' || {ID}",
        },
    ),
    (
        reconciliations,
        "recon",
        1,
        {"status": "'balanced'", "document": of(_RUN), "breaks": "0", "sha256": "i::text"},
    ),
    (
        days,
        "day",
        1,
        {
            "number": "i",
            "date": "(DATE '2000-01-01' + i)::text",
            "timezone": "'UTC'",
            "cutoff": "'00:00'",
            "ends_at": "TIMESTAMPTZ '2000-01-02 00:00Z' + i * interval '1 day'",
            "report": of(_DAY),
        },
    ),
    (
        name_screenings,
        "nsc",
        100,
        {
            "subject": f"'po_' || {ID}",
            "query": of(_NAME),
            "verdict": seldom("pass", "review"),
            "hits": "'[]'",
        },
    ),
    (
        breaches,
        "brc",
        1,
        {
            "network": f"'{NETWORK}'",
            "kind": "'transfer'",
            "place": "'deposit'",
            **each(ADDRESS, "address", "other"),
            "tx_hash": HASH,
        },
    ),
    (
        pos_devices,
        "pos",
        1,
        {**UNITS, "active": "true", "name": "'Stall ' || i", "token_hash": "i::text"},
    ),
    (
        reports,
        "rpt",
        1,
        {
            "kind": "'fees'",
            "form": "'csv'",
            "status": "'canceled'",
            "parameters": """'{"start": 0, "end": 1, "account": null, "currency": null,
 "threshold": null, "tax_ppm": 0, "by_account": false}'""",
        },
    ),
    (
        shops,
        "shop",
        10,
        {
            **UNITS,
            "handle": "'shop-' || i",
            "name": "'Tea house ' || i",
            "category": "'food'",
            "is_open": "true",
            "review": "'approved'",
        },
    ),
    (
        products,
        "prod",
        100,
        {
            **UNITS,
            "shop": "'shop_' || lpad((i / 10 + 1)::text, 26, '0')",
            "name": "'Tea ' || i",
            "price": "1000000 + i",
            "active": "true",
        },
    ),
    (
        purchases,
        "pur",
        100,
        {
            **UNITS,
            "shop": "'shop_' || lpad((i / 10 + 1)::text, 26, '0')",
            "checkout_session": f"'cs_' || {ID}",
            "payment_intent": f"'pi_' || {ID}",
            "lines": "'[]'",
            "status": "'paid'",
        },
    ),
    (
        x402_payments,
        "x4",
        100,
        {
            "network": f"'{NETWORK}'",
            "asset": f"'{ASSET}'",
            "method": "'eip3009'",
            "verifier": ADDRESS,
            **each(ADDRESS, "payer", "pay_to"),
            "nonce": HASH,
            "status": "'posted'",
        },
    ),
    (
        audit.entries,
        "",
        100,
        {
            "source": "'customers'",
            "act": "'update'",
            "key": f"'cus_' || {ID}",
            "subject": f"'cus_' || {ID}",
            "actor": "'operator'",
            "body": of(_SAID),
        },
    ),
    (
        ledger.ledger_transfers,
        "",
        100,
        {
            "id": "md5('t' || i)::uuid",
            "shard": "0",
            **each(NANOSECONDS, "timestamp_ns", "effective_at_ns"),
            "debit_account_id": OPERATOR,
            "credit_account_id": MERCHANT,
            "unit": UNIT,
            "code": "100",
            **each("0", "flags", "timeout_seconds"),
            "user_data": "md5('u' || i)::uuid",
            "status": "'posted'",
        },
    ),
    (
        ledger.ledger_entries,
        "",
        100,
        {
            "account_id": MERCHANT,
            "shard": "0",
            **each(NANOSECONDS, "timestamp_ns", "effective_at_ns"),
        },
    ),
    (
        ledger.ledger_accounts,
        "",
        10,
        {
            "id": "md5('a' || i)::uuid",
            "unit": UNIT,
            "code": "21",
            **each("0", "shard", "flags", "debits_pending", "credits_pending"),
            "user_data": "md5('m' || i)::uuid",
            "timestamp_ns": NANOSECONDS,
        },
    ),
    (
        ledger.ledger_account_names,
        "",
        10,
        {
            "id": "md5('a' || i)::uuid",
            "name": "'merchant:acct_0' || i || ':available#test/usdc'",
            "unit": "'test/usdc'",
            "unit_id": UNIT,
            "code": "21",
        },
    ),
    (
        vasps,
        "vasp",
        10,
        {
            "name": "'Exchange ' || i",
            "addresses": "ARRAY['0x' || lpad(i::text, 40, '0')]",
            "status": seldom("active", "blocked"),
        },
    ),
    (
        name_exemptions,
        "nex",
        10,
        {
            "subject": "'an enquiry ' || i",
            "entity_id": f"'ent_' || {ID}",
            "entity_version": "i",
            "reason": "'another birth date'",
            "created_by": "'per_1'",
            "ended": f"CASE WHEN i % 1000 = 0 THEN {MOMENT} END",
        },
    ),
    (
        gift_card_batches,
        "gcb",
        10,
        {
            **each("i", "cards", "amount"),
            "rejected": "0",
            **UNITS,
            "active": "true",
            "status": "CASE WHEN i = 10000 THEN 'requested' ELSE 'posted' END",
        },
    ),
    (
        connected_accounts,
        "cac",
        10,
        {
            "platform": "'acct_' || i % 999",
            "status": seldom("ended", "active"),
            "permissions": "'{payments}'",
            "fee_ppm_max": "50000",
        },
    ),
    (
        application_fees,
        "afee",
        10,
        {
            "connected": "'acct_' || i % 50",
            "connected_account": f"'cac_' || {ID}",
            "kind": "'payin'",
            "reason": seldom("charged", "returned"),
            "status": "'posted'",
            "source": f"'pin_' || {ID}",
            "payment_intent": f"'pi_' || {ID}",
            **UNITS,
            "basis": "100",
            "amount": "1",
            "parts": "'[]'",
            **each("0", "attempt", "failures"),
        },
    ),
]
