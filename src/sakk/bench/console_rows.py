"""What merchants, their payers and their agents have, as rows by the thousand.

A column takes what its type allows unless something is said of it: pages open what stands here, so
statuses, kinds and documents are such as they know.
"""

from typing import Final

from sqlalchemy import Table

from sakk.bench.sql_words import (
    ACCOUNT,
    ADDRESS,
    ASSET,
    HASH,
    ID,
    MOMENT,
    NETWORK,
    UNITS,
    each,
    of,
    seldom,
)
from sakk.core.mandate import Terms, document
from sakk.store.alias import aliases
from sakk.store.beneficiary import beneficiaries
from sakk.store.case import cases
from sakk.store.channel import channels
from sakk.store.checkout_session import checkout_sessions
from sakk.store.conversion import conversion_quotes, conversions
from sakk.store.customer import customers
from sakk.store.event import events
from sakk.store.fee import fees
from sakk.store.gift_card import gift_cards
from sakk.store.information_request import information_requests
from sakk.store.mandate import mandates
from sakk.store.money_request import bills, money_requests
from sakk.store.order import orders
from sakk.store.payin import payins
from sakk.store.payment import payment_intents
from sakk.store.payment_link import payment_links
from sakk.store.payout import payouts
from sakk.store.payout_batch import payout_batches
from sakk.store.refund import refunds
from sakk.store.request_log import requests
from sakk.store.settlement import settlements
from sakk.store.sweep import sweeps
from sakk.store.transaction import transactions
from sakk.store.travel_rule import travel_rules
from sakk.store.webhook import webhook_deliveries

_TERMS: Final = Terms(
    account_id="acct_" + "0" * 26,
    livemode=False,
    owner="0x" + "11" * 20,
    agent="0x" + "22" * 20,
    currency="usdc",
    decimals=6,
    total=50_000_000,
    starts_at=1_700_000_000,
    expires_at=1_800_000_000,
    salt="0x" + "07" * 32,
)
_LINES: Final = """'[{"name": "Tea", "amount": 1, "quantity": 1}]'"""
_CONVERTED: Final = {
    "source_currency": "'usdc'",
    "target_currency": "'usdt'",
    "price": "1000000000000000000",
}
# By noun: its prefix, how many of them there are for a hundred payments, and what they have.
FILLED: Final[list[tuple[Table, str, int, dict[str, str]]]] = [
    (customers, "cus", 10, {"email": "'c' || i || '@example.com'", "name": "'Ann ' || i"}),
    (
        payment_intents,
        "pi",
        100,
        {
            **UNITS,
            "amount": "1000000 + i",
            "status": seldom("succeeded", "processing"),
            "amount_received": "1000000 + i",
            "quotes": "'[]'",
            "address": ADDRESS,
            "customer": "'cus_' || lpad((i / 10 + 1)::text, 26, '0')",
            "description": "'Order ' || i",
            "metadata": "jsonb_build_object('order', i::text)",
        },
    ),
    (
        payins,
        "pin",
        100,
        {
            **UNITS,
            "network": f"'{NETWORK}'",
            "asset": f"'{ASSET}'",
            **each("1000000 + i", "amount", "token_amount"),
            **each(ADDRESS, "address", "sender"),
            **each(HASH, "tx_hash", "block_hash"),
            "status": "'posted'",
            "role": "'payment'",
            "counts": "true",
            "reason": "CASE WHEN i % 1000 = 0 THEN 'late' END",
            "payment_intent": f"'pi_' || {ID}",
            "posted_at": MOMENT,
        },
    ),
    (
        payouts,
        "po",
        100,
        {
            **UNITS,
            "network": f"'{NETWORK}'",
            "asset": f"'{ASSET}'",
            "destination": ADDRESS,
            "fee": "0",
            "fee_mode": "'sender'",
            "purpose": "'payout'",
            "source": "'balance'",
            "status": seldom("posted", "screened"),
            "hold": "'posted'",
            "approvals_needed": "0",
            "reference": "'INV-' || i",
        },
    ),
    (
        refunds,
        "re",
        10,
        {
            **UNITS,
            "payment_intent": f"'pi_' || {ID}",
            "source": "'balance'",
            "coin": "'usdc'",
            "coin_decimals": "6",
            "status": seldom("succeeded", "failed"),
            "hold": "'posted'",
        },
    ),
    (
        checkout_sessions,
        "cs",
        100,
        {
            "payment_intent": f"'pi_' || {ID}",
            "token_hash": "'h' || i",
            "lines": _LINES,
            "payment_link": "'plink_' || lpad((i % 100 + 1)::text, 26, '0')",
        },
    ),
    (
        payment_links,
        "plink",
        10,
        {**UNITS, "active": "true", "lines": _LINES, "token_hash": "'h' || i", "uses": "0"},
    ),
    (payout_batches, "pob", 1, {"digest": "'d' || i", "source": "'csv'", "lines": "1"}),
    (
        beneficiaries,
        "ben",
        10,
        {
            "name": "'Ann ' || i",
            "address": ADDRESS,
            "lookalike": "'l' || i",
            "networks": f"'{{{NETWORK}}}'",
        },
    ),
    (
        events,
        "evt",
        100,
        {
            "type": seldom("payin.posted", "customer.created"),
            "audience": "'merchant'",
            "object_id": f"'pi_' || {ID}",
            "body": "'{}'",
        },
    ),
    (
        webhook_deliveries,
        "whd",
        100,
        {"event_id": f"'evt_' || {ID}", "endpoint_id": "'we_1'", "status": "'succeeded'"},
    ),
    (
        requests,
        "req",
        100,
        {"key": "'key_1'", "method": "'GET'", "path": "'/v1/balance'", "status": "200"},
    ),
    (
        cases,
        "case",
        10,
        {
            "kind": "'payin'",
            "subject": f"'pin_' || {ID}",
            "status": seldom("closed", "open"),
            "priority": "i % 4",
            "reason": "'review'",
            "acts": "0",
        },
    ),
    (
        transactions,
        "tx",
        100,
        {
            "network": f"'{NETWORK}'",
            "purpose": "'payout'",
            "subject": f"'po_' || {ID}",
            **each(ADDRESS, "sender", "destination"),
            "key_branch": "'treasury'",
            "key_index": "0",
            "asset": f"'{ASSET}'",
            "unsigned": "''",
            **each(HASH, "hash", "block_hash"),
            "status": seldom("posted", "failed"),
            "broadcasts": "1",
        },
    ),
    (
        sweeps,
        "sw",
        100,
        {
            "network": f"'{NETWORK}'",
            "asset": f"'{ASSET}'",
            **each(ADDRESS, "address", "destination"),
            "status": seldom("posted", "failed"),
        },
    ),
    (
        mandates,
        "mnd",
        1,
        {
            "owner_key": "'ok_1'",
            "agent": ADDRESS,
            "currency": "'usdc'",
            "terms": of(document(_TERMS)),
            "digest": "sha256(i::text::bytea)",
            "status": seldom("active", "revoked"),
        },
    ),
    (
        channels,
        "ch",
        10,
        {
            **UNITS,
            "payee": ACCOUNT,
            "kind": "'balance'",
            "status": seldom("closed", "open"),
            **each("1", "ceiling", "funded"),
            **each("0", "returned", "spent", "charges", "head_ns", "drains"),
        },
    ),
    (
        travel_rules,
        "trv",
        10,
        {
            "direction": "'outgoing'",
            "subject": f"'po_' || {ID}",
            "status": seldom("complete", "required"),
            "regime": "'eu'",
            "address": ADDRESS,
            "counterparty": "'unknown'",
            "missing": "'[]'",
            "exchange": "'none'",
            "request_identifier": "i::text",
        },
    ),
    (
        gift_cards,
        "gc",
        10,
        {
            **UNITS,
            "status": seldom("active", "frozen"),
            "redeemable": "'issuer'",
            "code_hash": "i::text",
            "hint": "lpad((i % 10000)::text, 4, '0')",
        },
    ),
    (bills, "bill", 10, dict(UNITS)),
    (
        money_requests,
        "mreq",
        10,
        {
            **UNITS,
            "payer": "'acct_' || i % 50",
            "amount": "i",
            **each("0", "amount_paid", "released", "place", "reminders"),
            "status": seldom("paid", "open"),
            "bill": f"'bill_' || {ID}",
        },
    ),
    (
        aliases,
        "als",
        1,
        {"kind": "'email'", "value": "'c' || i || '@example.com'", "status": "'active'"},
    ),
    (
        information_requests,
        "irq",
        1,
        {
            "case_id": f"'case_' || {ID}",
            "question": "'What was it paid for?'",
            "asked_by": "'per_1'",
        },
    ),
    (
        settlements,
        "set",
        1,
        {
            **UNITS,
            "number": "i",
            "status": "'paid'",
            **each("1", "first_line", "credits", "closing", "received", "payable", "amount"),
            **each("0", "from_ns", "to_ns", "lines", "opening", "debits", "fees", "owed"),
            **each("0", "recovered", "reserved", "reserved_fixed", "attempt", "failures"),
            "terms": "'{\"destination\": null}'",
            "payout": f"'po_' || {ID}",
        },
    ),
    (
        conversion_quotes,
        "cq",
        10,
        {
            **_CONVERTED,
            **each("6", "source_decimals", "target_decimals"),
            "sources": "'[\"configured\"]'",
            "path": '\'["usdc", "usd", "usdt"]\'',
        },
    ),
    (
        conversions,
        "conv",
        10,
        {
            **_CONVERTED,
            **each("6", "source_decimals", "target_decimals"),
            "quote": f"'cq_' || {ID}",
            "status": seldom("posted", "rejected"),
        },
    ),
    (
        orders,
        "ord",
        10,
        {
            "base": "'usdt'",
            "quote": "'usdc'",
            **each("6", "base_decimals", "quote_decimals"),
            "side": "'buy'",
            "limit_price": "1000000000000000000",
            "reason": "'hedge'",
            "status": "'done'",
            "approvals": "'[]'",
        },
    ),
    (
        fees,
        "fee",
        100,
        {
            **UNITS,
            "kind": seldom("payin", "refund"),
            "reason": "'charged'",
            "source": f"'pin_' || {ID}",
            "schedule": "'fsch_1'",
            "version": "1",
            "rule": "1",
            "parts": "'[]'",
        },
    ),
]
