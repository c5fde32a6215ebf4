"""Lists stay fast: with 20,000 rows of everything each of their questions uses an index."""

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Table, text

from sakk.bench.console_fill import insert, set_up
from sakk.bench.console_rows_operator import FILLED as OPERATORS
from sakk.core.mandate import document
from sakk.flow.context import Parts
from sakk.store.alias import aliases
from sakk.store.beneficiary import beneficiaries
from sakk.store.case import cases
from sakk.store.channel import channels
from sakk.store.checkout_session import checkout_sessions
from sakk.store.conversion import conversion_quotes, conversions
from sakk.store.customer import customers
from sakk.store.database import Database
from sakk.store.event import events
from sakk.store.fee import fees
from sakk.store.gift_card import gift_cards
from sakk.store.information_request import information_ends, information_requests
from sakk.store.ledger import ledger_account_names
from sakk.store.mandate import mandates
from sakk.store.money_request import bills, money_requests
from sakk.store.order import orders
from sakk.store.party import parties, party_hits
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
from tests.console.browser import Browser
from tests.console.desk import ASSET, configure
from tests.console.list_paths import PATHS
from tests.console.office import Office, make_office
from tests.core.test_mandate import TERMS

# Enough that to read all of them, or to sort them, is far from what an index costs.
ROWS = 20_000
# As many as one page may sort: what it found, and not what it searched.
SORTED_MAX = 2_000
# To read one of these tables from end to end costs many times as much.
GLANCE_COST_MAX = 100
ID = "lpad(i::text, 26, '0')"
MOMENT = "now() - (1000000 - i) * interval '1 second'"
# What a quote promises and a conversion carries out.
CONVERTED = {
    "source_currency": "'usdc'",
    "target_currency": "'usdt'",
    **dict.fromkeys(("source_decimals", "target_decimals"), "6"),
    **dict.fromkeys(("source_amount", "target_amount", "usd_cents"), "1000000 + i"),
    **dict.fromkeys(("spread", "service_fee"), "500"),
    "price": "1000000000000000000",
    "metadata": "'{}'",
}
# By table: what its rows have. One in a thousand is of another kind.
FILLED: dict[Table, dict[str, str]] = {
    customers: {
        "id": f"'cus_' || {ID}",
        "email": "'c' || i || '@example.com'",
        "metadata": "'{}'",
        "deleted": "false",
    },
    payment_intents: {
        "id": f"'pi_' || {ID}",
        "amount": "1000000 + i",
        "currency": "'usdc'",
        "decimals": "6",
        "status": "CASE WHEN i % 1000 = 0 THEN 'processing' ELSE 'succeeded' END",
        "amount_received": "i",
        "quotes": "'[]'",
        "networks": "'{}'",
        "address": "'0x' || i",
        "customer": f"'cus_' || {ID}",
        "metadata": "jsonb_build_object('order', i::text, 'shop', 'one')",
        "expires_at": MOMENT,
    },
    payins: {
        "id": f"'pin_' || {ID}",
        "network": "'eip155:84532'",
        "asset": "'a'",
        "currency": "'usdc'",
        "token_amount": "i",
        "address": "'0x' || i",
        "sender": "'0x' || i",
        "tx_hash": "'0x' || lpad(i::text, 64, '0')",
        "log_index": "0",
        "block_number": "i",
        "block_hash": "'0x' || i",
        "block_timestamp": "0",
        "status": "'posted'",
        "reason": "CASE WHEN i % 1000 = 0 THEN 'late' END",
        "payment_intent": f"'pi_' || {ID}",
        "counts": "true",
        "quarantined": "false",
        "reviewed": "false",
        "orphaned": "false",
    },
    payouts: {
        "id": f"'po_' || {ID}",
        "amount": "1000000 + i",
        "fee": "0",
        "currency": "'usdc'",
        "decimals": "6",
        "network": "'eip155:84532'",
        "asset": f"'{ASSET}'",
        "token_amount": "i",
        "destination": "'0x' || lpad((i % 1000)::text, 40, '0')",
        "fee_mode": "'sender'",
        "purpose": "'payout'",
        "source": "'balance'",
        "status": "CASE WHEN i % 1000 = 0 THEN 'screened' ELSE 'posted' END",
        "hold": "'posted'",
        "under_review": "i % 1000 = 1",
        "approvals_needed": "0",
        "reference": "'INV-' || i",
        "metadata": "'{}'",
    },
    refunds: {
        "id": f"'re_' || {ID}",
        "payment_intent": f"'pi_' || {ID}",
        "source": "'balance'",
        "amount": "i",
        "currency": "'usdc'",
        "decimals": "6",
        "coin": "'usdc'",
        "coin_amount": "i",
        "coin_decimals": "6",
        "status": "CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'succeeded' END",
        "hold": "'posted'",
        "metadata": "'{}'",
    },
    checkout_sessions: {
        "id": f"'cs_' || {ID}",
        "payment_intent": f"'pi_' || {ID}",
        "token_hash": "'h' || i",
        "lines": """'[{"name": "Tea", "amount": 1, "quantity": 1}]'""",
        "payment_link": f"'plink_' || {ID}",
        "metadata": "'{}'",
    },
    payment_links: {
        "id": f"'plink_' || {ID}",
        "token_hash": "'h' || i",
        "active": "i % 1000 <> 0",
        "currency": "'usdc'",
        "decimals": "6",
        "lines": """'[{"name": "Tea", "amount": 1, "quantity": 1}]'""",
        "amount": "i",
        "uses": "0",
        "metadata": "'{}'",
    },
    payout_batches: {
        "id": f"'pob_' || {ID}",
        "lines": "1",
        "digest": "'d' || i",
        "source": "'csv'",
        "metadata": "'{}'",
        "allow_duplicates": "false",
    },
    beneficiaries: {
        "id": f"'ben_' || {ID}",
        "name": "'Ann ' || i",
        "address": "'0x' || lpad(i::text, 40, '0')",
        "lookalike": "'l' || i",
        "networks": "'{}'",
        "usable_at": MOMENT,
        "metadata": "'{}'",
        "deleted": "false",
    },
    events: {
        "id": f"'evt_' || {ID}",
        "type": "CASE WHEN i % 1000 = 0 THEN 'customer.created' ELSE 'payin.posted' END",
        "audience": "'merchant'",
        "object_id": f"'pi_' || {ID}",
        "body": "'{}'",
    },
    requests: {
        "id": f"'req_' || {ID}",
        "key": "'key_1'",
        "method": "'GET'",
        "path": "'/v1/balance'",
        "status": "CASE WHEN i % 1000 = 0 THEN 500 ELSE 200 END",
        "milliseconds": "1",
    },
    cases: {
        "id": f"'case_' || {ID}",
        "kind": "'payin'",
        "subject": f"'pin_' || {ID}",
        "status": "CASE WHEN i % 1000 = 0 THEN 'open' ELSE 'closed' END",
        "priority": "i % 4",
        "reason": "'review'",
        "acts": "0",
        "due_at": MOMENT,
    },
    transactions: {
        "id": f"'tx_' || {ID}",
        "network": "'eip155:84532'",
        "purpose": "'payout'",
        "subject": f"'po_' || {ID}",
        "sender": "'0x' || i",
        "key_branch": "'treasury'",
        "key_index": "0",
        "nonce": "i",
        "asset": "'a'",
        "destination": "'0x' || i",
        "token_amount": "i",
        "gas_limit": "1",
        "max_fee_per_gas": "1",
        "max_priority_fee_per_gas": "1",
        "unsigned": "''",
        "since_block": "1",
        "hash": "'0x' || lpad(i::text, 64, '0')",
        "status": "CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'posted' END",
        "block_hash": "'0x' || i",
        "broadcasts": "1",
    },
    sweeps: {
        "id": f"'sw_' || {ID}",
        "network": "'eip155:84532'",
        "asset": "'a'",
        "address": "'0x' || i",
        "key_index": "0",
        "destination": "'0x1'",
        "token_amount": "i",
        "status": "CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'posted' END",
    },
    mandates: {
        "id": f"'mnd_' || {ID}",
        "owner_key": "'ok_1'",
        "agent": "'0x' || i",
        "currency": "'usdc'",
        "terms": f"'{json.dumps(document(TERMS))}'",
        "signed": "''",
        "digest": "sha256(i::text::bytea)",
        "signature": "''",
        "status": "CASE WHEN i % 1000 = 0 THEN 'active' ELSE 'revoked' END",
        "metadata": "'{}'",
        "starts_at": MOMENT,
        "expires_at": MOMENT,
    },
    channels: {
        "id": f"'ch_' || {ID}",
        "payee": "'acct_1'",
        "kind": "'balance'",
        "status": "CASE WHEN i % 1000 = 0 THEN 'open' ELSE 'closed' END",
        "currency": "'usdc'",
        "decimals": "6",
        "ceiling": "1",
        "funded": "1",
        "returned": "0",
        "spent": "0",
        "charges": "0",
        "head": "''",
        "head_ns": "0",
        "drains": "0",
        "expires_at": MOMENT,
        "used_at": MOMENT,
        "metadata": "'{}'",
    },
    travel_rules: {
        "id": f"'trv_' || {ID}",
        "direction": "'outgoing'",
        "subject": f"'po_' || {ID}",
        "status": "CASE WHEN i % 1000 = 0 THEN 'required' ELSE 'complete' END",
        "regime": "'eu'",
        "address": "'0x' || i",
        "amount": "i",
        "counterparty": "'unknown'",
        "vasp": f"'vasp_' || {ID}",
        "requirement": "'{}'",
        "missing": "'[]'",
        "exchange": "'none'",
        "request_identifier": "i::text",
    },
    gift_cards: {
        "id": f"'gc_' || {ID}",
        **dict.fromkeys(("amount", "balance"), "i"),
        "currency": "'usdc'",
        "decimals": "6",
        "status": "CASE WHEN i % 1000 = 0 THEN 'frozen' ELSE 'active' END",
        "redeemable": "'issuer'",
        "code_hash": "i::text",
        "batch": f"'gcb_' || {ID}",
        "hint": "lpad(i::text, 4, '0')",
        "metadata": "'{}'",
    },
    parties: {
        "id": f"'pty_' || {ID}",
        "role": "'related'",
        "kind": "'legal_entity'",
        "name": "'Quay ' || i",
        "customer_id": f"'cus_' || {ID}",
        "details": '\'{"legal_name": "Quay"}\'',
        "revision": "1",
        "status": "CASE WHEN i % 1000 = 0 THEN 'submitted' ELSE 'approved' END",
        "rating": "'low'",
        "open_hits": "CASE WHEN i % 1000 = 0 THEN 1 ELSE 0 END",
        "review_at": "now() + i * interval '1 hour'",
        "metadata": "'{}'",
    },
    party_hits: {
        "id": f"'phit_' || {ID}",
        "party_id": f"'pty_' || {ID}",
        "revision": "1",
        "entity_id": f"'ent_' || {ID}",
        "entry_version": "1",
        "list_name": "'ofac'",
        "list_version": "1",
        "name": "'Quay'",
        "matched": "'QUAY'",
        "score": "900",
        "evidence": "'{}'",
        "state": "CASE WHEN i % 1000 = 0 THEN 'open' ELSE 'false_positive' END",
    },
    bills: {
        "id": f"'bill_' || {ID}",
        **dict.fromkeys(("amount", "own_share"), "i"),
        "currency": "'usdc'",
        "decimals": "6",
        "metadata": "'{}'",
    },
    money_requests: {
        "id": f"'mreq_' || {ID}",
        "payer": "'acct_' || i % 50",
        **dict.fromkeys(("amount_paid", "released", "place", "reminders"), "0"),
        "amount": "i",
        "currency": "'usdc'",
        "decimals": "6",
        "status": "CASE WHEN i % 1000 = 0 THEN 'open' ELSE 'paid' END",
        "bill": f"'bill_' || {ID}",
        "expires_at": MOMENT,
        "metadata": "'{}'",
    },
    aliases: {
        "id": f"'als_' || {ID}",
        "kind": "'email'",
        "value": "'c' || i || '@example.com'",
        "status": "CASE WHEN i % 1000 = 0 THEN 'active' ELSE 'freed' END",
        "metadata": "'{}'",
    },
    information_requests: {
        "id": f"'irq_' || {ID}",
        "case_id": f"'case_' || {ID}",
        "about": "'{}'",
        "question": "'What was it paid for?'",
        "asked_by": "'per_1'",
        "due_at": MOMENT,
    },
    information_ends: {
        "request_id": f"'irq_' || {ID}",
        "status": "CASE WHEN i % 1000 = 0 THEN 'withdrawn' ELSE 'answered' END",
        "by": "'per_1'",
        "text": "'For coffee.'",
        "files": "'[]'",
    },
    settlements: {
        "id": f"'set_' || {ID}",
        "number": "i",
        "currency": "'usdc'",
        "decimals": "6",
        "status": "CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'paid' END",
        **dict.fromkeys(("from_ns", "to_ns", "lines", "opening", "debits", "fees"), "0"),
        **dict.fromkeys(("owed", "recovered", "reserved", "reserved_fixed", "attempt"), "0"),
        **dict.fromkeys(("first_line", "credits", "closing", "received", "payable"), "1"),
        "amount": "1",
        "failures": "0",
        "period_end": MOMENT,
        "pay_at": MOMENT,
        "released": "false",
        "payout": f"'po_' || {ID}",
        "terms": "'{\"destination\": null}'",
        "metadata": "'{}'",
    },
    conversion_quotes: {
        "id": f"'cq_' || {ID}",
        **CONVERTED,
        **dict.fromkeys(("bid", "ask"), "1000000000000000000"),
        "sources": "'[\"configured\"]'",
        "path": '\'["usdc", "usd", "usdt"]\'',
        **dict.fromkeys(("rated_at", "expires_at"), MOMENT),
    },
    conversions: {
        "id": f"'conv_' || {ID}",
        **CONVERTED,
        "quote": f"'cq_' || {ID}",
        "status": "CASE WHEN i % 1000 = 0 THEN 'rejected' ELSE 'posted' END",
    },
    orders: {
        "id": f"'ord_' || {ID}",
        "base": "'usdt'",
        "base_decimals": "6",
        "quote": "'usdc'",
        "quote_decimals": "6",
        "side": "'buy'",
        "units": "1000000 + i",
        "limit_price": "1000000000000000000",
        "usd_cents": "100 + i",
        "reason": "'hedge'",
        "status": "'done'",
        "approvals": "'[]'",
        "filled_units": "1000000 + i",
        "quote_units": "1000000 + i",
        "fee_units": "500",
    },
    fees: {
        "id": f"'fee_' || {ID}",
        "kind": "CASE WHEN i % 1000 = 0 THEN 'refund' ELSE 'payin' END",
        "reason": "'charged'",
        "source": f"'pin_' || {ID}",
        "currency": "'usdc'",
        "decimals": "6",
        "basis": "100",
        "amount": "1",
        "schedule": "'fsch_1'",
        "version": "1",
        "rule": "1",
        "parts": "'[]'",
    },
    webhook_deliveries: {
        "id": f"'whd_' || {ID}",
        "event_id": f"'evt_' || {ID}",
        "endpoint_id": "'we_1'",
        "status": "'succeeded'",
    },
}


@pytest.fixture(scope="module")
def office(module_database: Database) -> Iterator[Office]:
    """Many rows of Alice's, and the statistics of them."""
    made = make_office(Parts(module_database))
    with module_database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        set_up(connection, made.alice)
        configure(connection)
        for table, prefix, _, told in OPERATORS:
            # Of these a page may look at as many as there are of others.
            rows = 3 * ROWS if table is ledger_account_names else ROWS
            insert(connection, table, prefix, told, made.alice, rows)
        for table, columns in FILLED.items():
            given = {"account_id": f"'{made.alice}'", "livemode": "false", "created": MOMENT}
            values = {name: value for name, value in given.items() if name in table.c} | columns
            connection.execute(
                text(
                    f"INSERT INTO {table.name} ({', '.join(values)})"
                    f" SELECT {', '.join(values.values())} FROM generate_series(1, {ROWS}) AS i"
                )
            )
    with module_database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
    yield made
    made.console.close()


@pytest.mark.parametrize("whose", ["alice", "everybody"])
def test_every_question_of_every_list_uses_an_index(
    office: Office, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    browser = office.browser(office.person("owner"))
    browser.get("/console/look")
    browser.post("/console/look", {"account": office.alice} if whose == "alice" else {})
    asked = _asked(browser, monkeypatch)
    names = {table.name for table in (*FILLED, *(each[0] for each in OPERATORS))}
    seen = {
        name for name in names for _, statement, _ in asked if re.search(rf"\b{name}\b", statement)
    }
    assert seen == names
    assert _slow(office.parts.database, asked, names) == []


def test_the_test_sees_what_it_says(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = office.browser(office.person("owner"))
    browser.get("/console/look")
    browser.post("/console/look", {"account": office.alice})
    asked = _asked(browser, monkeypatch, ("/console/customers?q=c10000%40example.com",))
    database = office.parts.database
    with database.begin() as connection:
        connection.execute(text("DROP INDEX ix_customers_email"))
    assert _slow(database, asked, {"customers"}) != []


def _asked(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, paths: tuple[str, ...] = PATHS
) -> list[tuple[str, str, Any]]:
    """Every statement that the pages ask, with the page."""
    asked: list[tuple[str, str, Any]] = []
    execute = psycopg.Cursor.execute
    where = ""

    def remember(cursor: Any, statement: Any, parameters: Any = None, **options: Any) -> Any:
        if isinstance(statement, str) and statement.lstrip().upper().startswith(("SELECT", "WITH")):
            asked.append((where, statement, parameters))
        return execute(cursor, statement, parameters, **options)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", remember)
        for where in paths:
            got = browser.get(where)
            assert got.status == 200, (where, got.text)
    return asked


def _slow(
    database: Database, asked: list[tuple[str, str, Any]], names: set[str]
) -> list[tuple[str, str]]:
    """Pages that read a table from end to end, or sort more than they show."""
    found = []
    done: set[str] = set()
    with database.engine.connect() as connection:
        for where, statement, parameters in asked:
            key = f"{where} {statement}"
            if key in done or not any(re.search(rf"\b{name}\b", statement) for name in names):
                continue
            done.add(key)
            plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            for node in _nodes(plan.scalar_one()[0]["Plan"]):
                if node["Node Type"] == "Seq Scan" and node["Relation Name"] in names:
                    found.append((where, f"reads {node['Relation Name']}"))
                if node["Node Type"] == "Sort" and node["Plan Rows"] > SORTED_MAX:
                    found.append((where, f"sorts {node['Plan Rows']} rows"))
    return found


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a plan, but for what is expected to end after a glance."""
    yield plan
    if plan["Node Type"] == "Limit" and plan["Total Cost"] < GLANCE_COST_MAX:
        return
    for child in plan.get("Plans", []):
        yield from _nodes(child)
