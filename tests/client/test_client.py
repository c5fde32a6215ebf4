"""Every resource against a real server: the path and body that go out, the object that comes in."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sakk.client import UNSET, ApiError, SakkClient
from sakk.client.objects import Resource

from . import banking, channel_calls, closed_loop, closing, escrow_calls, settling
from .conftest import Reply, Script
from .escrow_calls import shown as shown

ACCOUNT = shown("account", settings={"payments": {"late": "credit"}})
CUSTOMER = shown("customer", email="a@b.example", crypto_deposit_addresses={})
INTENT = shown(
    "payment_intent",
    amount=2500,
    currency="usd",
    status="requires_action",
    next_action={
        "type": "crypto_display_details",
        "crypto_display_details": {
            "deposit_addresses": {
                "eip155:84532": {
                    "address": "0xAb",
                    "supported_tokens": [
                        {
                            "token_currency": "usdc",
                            "token_contract_address": "0x03",
                            "amount": "25000000",
                            "uri": "ethereum:0x03@84532/transfer?address=0xAb&uint256=25000000",
                        }
                    ],
                }
            }
        },
    },
)
PAYIN = shown(
    "payin",
    network="eip155:84532",
    asset="eip155:84532/erc20:0x03",
    token_amount=str(2**256 - 1),
    address="0xAb",
    tx_hash="0x1",
    status="under_review",
    amount=2**127,
)
DESTINATION = {"network": "eip155:84532", "address": "0x1"}
BENEFICIARY = shown("beneficiary", name="A", address="0x1", networks=["eip155:1"])
PAYOUT = shown("payout", amount=5, currency="usdc", status="posted", destination=DESTINATION)
REFUND = shown("refund", amount=5, currency="usd", status="pending", destination=DESTINATION)
LINE = shown(
    "balance_transaction", amount=-5, currency="usdc", type="payout", net=-5, balance_after=0
)
EPOCH = shown(
    "liability_epoch",
    as_of=1,
    currency="usdc",
    epoch=3,
    journal_hash="05" * 32,
    journal_sequence=11,
    leaves=1,
    root="06" * 32,
    shard=0,
    total=str(2**128 - 1),
    unit="test/usdc",
)
PROOF = shown(
    "liability_proof",
    account="acct_1",
    balance="5",
    currency="usdc",
    epoch=3,
    leaves=[
        {
            "balance": "5",
            "index": 0,
            "ledger_account": "merchant:acct_1:available#test/usdc",
            "path": [{"hash": "07" * 32, "side": "left", "sum": "0"}],
            "salt": "08" * 32,
        }
    ],
    root="06" * 32,
    unit="test/usdc",
)
EVENT = shown("event", type="payout.posted", data={"object": PAYOUT})
ENDPOINT = shown("webhook_endpoint", url="https://a.example", status="enabled", secret="whsec_1")
DELIVERY = shown("webhook_delivery", event="evt_1", webhook_endpoint="we_1", status="delivered")
NETWORK = shown("network", network="eip155:84532", name="Base Sepolia", family="evm", tokens=[])
CURRENCY = shown("currency", name="USD Coin", kind="coin", decimals=6)
REASON = {
    "verdict": "block",
    "rule": "direct_sanctions",
    "side": "sender",
    "address": "0x1",
    "category": "sanctions",
    "list": "a list",
    "version": 3,
    "path": ["0x1"],
}
SCREENING = shown(
    "screening",
    subject="pin_1",
    verdict="block",
    network="eip155:84532",
    asset="eip155:84532/erc20:0x03",
    direction="incoming",
    sender="0x1",
    receiver="0x2",
    token_amount="5",
    reasons=[REASON],
)

LINE_ASKED = {
    "amount": 5,
    "currency": "usdc",
    "destination": {"network": "eip155:84532", "address": "0x1"},
    "reference": "INV-1",
}
RECEIVING = shown(
    "receiving_address", account="acct_1", address="0xab", network="eip155:1", supported_tokens=[]
)
QUOTE = shown(
    "quote",
    kind="payout",
    network="eip155:84532",
    asset="a",
    currency="usdc",
    fee=5,
    network_fee=5,
    expires_at=9,
)
BATCH = shown("payout_batch", status="processing", lines=1, totals=[])
SKIPPED_LINE = shown("payout_batch.skipped_line", payout_batch="pob_1", line=1, faults=[], said={})

Call = Callable[[SakkClient], Resource]

CALLS: list[tuple[Call, dict[str, Any], str, Any]] = [
    (
        lambda c: c.accounts.create(name="Shop", payments={"late": "credit"}),
        ACCOUNT,
        "POST /v1/accounts",
        {"business_profile": {"name": "Shop"}, "settings": {"payments": {"late": "credit"}}},
    ),
    (
        lambda c: c.accounts.update("acct_1", name=None, payments={"over": "accept"}),
        ACCOUNT,
        "POST /v1/accounts/acct_1",
        {"business_profile": {"name": None}, "settings": {"payments": {"over": "accept"}}},
    ),
    (lambda c: c.accounts.retrieve("acct_1"), ACCOUNT, "GET /v1/accounts/acct_1", None),
    (lambda c: c.accounts.retrieve_current(), ACCOUNT, "GET /v1/account", None),
    (
        lambda c: c.customers.create(email="a@b.example", metadata={"a": "b"}),
        CUSTOMER,
        "POST /v1/customers",
        {"email": "a@b.example", "metadata": {"a": "b"}},
    ),
    (
        lambda c: c.receiving_addresses.create(network="eip155:1"),
        RECEIVING,
        "POST /v1/receiving_addresses",
        {"network": "eip155:1"},
    ),
    (
        lambda c: c.customers.update("cus_1", email=None, metadata={"a": None}),
        CUSTOMER,
        "POST /v1/customers/cus_1",
        {"email": None, "metadata": {"a": None}},
    ),
    (lambda c: c.customers.update("cus_1", name=UNSET), CUSTOMER, "POST /v1/customers/cus_1", {}),
    (lambda c: c.customers.retrieve("cus_1"), CUSTOMER, "GET /v1/customers/cus_1", None),
    (
        lambda c: c.payment_intents.create(amount=2500, currency="usd", currencies=["usdc"]),
        INTENT,
        "POST /v1/payment_intents",
        {
            "amount": 2500,
            "currency": "usd",
            "payment_method_types": ["crypto"],
            "payment_method_options": {"crypto": {"currencies": ["usdc"]}},
        },
    ),
    (
        lambda c: c.payment_intents.update("pi_1", description="d"),
        INTENT,
        "POST /v1/payment_intents/pi_1",
        {"description": "d"},
    ),
    (
        lambda c: c.payment_intents.cancel("pi_1", cancellation_reason="abandoned"),
        INTENT,
        "POST /v1/payment_intents/pi_1/cancel",
        {"cancellation_reason": "abandoned"},
    ),
    (lambda c: c.payment_intents.retrieve("pi_1"), INTENT, "GET /v1/payment_intents/pi_1", None),
    (lambda c: c.payins.retrieve("pin_1"), PAYIN, "GET /v1/payins/pin_1", None),
    (lambda c: c.payins.release("pin_1"), PAYIN, "POST /v1/payins/pin_1/release", {}),
    (
        lambda c: c.beneficiaries.create(name="A", address="0x1", networks=["eip155:1"]),
        BENEFICIARY,
        "POST /v1/beneficiaries",
        {"name": "A", "address": "0x1", "networks": ["eip155:1"]},
    ),
    (
        lambda c: c.beneficiaries.update("ben_1", name="B", description=None),
        BENEFICIARY,
        "POST /v1/beneficiaries/ben_1",
        {"name": "B", "description": None},
    ),
    (lambda c: c.beneficiaries.retrieve("ben_1"), BENEFICIARY, "GET /v1/beneficiaries/ben_1", None),
    (lambda c: c.payouts.cancel("po_1"), PAYOUT, "POST /v1/payouts/po_1/cancel", {}),
    (lambda c: c.payouts.approve("po_1"), PAYOUT, "POST /v1/payouts/po_1/approve", {}),
    (
        lambda c: c.payouts.approve("po_1", digest="ab", code="123456"),
        PAYOUT,
        "POST /v1/payouts/po_1/approve",
        {"digest": "ab", "code": "123456"},
    ),
    (
        lambda c: c.payouts.reject("po_1", reason="no"),
        PAYOUT,
        "POST /v1/payouts/po_1/reject",
        {"reason": "no"},
    ),
    (lambda c: c.payouts.retrieve("po/1"), PAYOUT, "GET /v1/payouts/po%2F1", None),
    (
        lambda c: c.quotes.create(network="eip155:84532", currency="usdc"),
        QUOTE,
        "POST /v1/quotes",
        {"network": "eip155:84532", "currency": "usdc"},
    ),
    (lambda c: c.quotes.retrieve("qt_1"), QUOTE, "GET /v1/quotes/qt_1", None),
    (
        lambda c: c.payout_batches.create(lines=[LINE_ASKED], allow_duplicates=True),
        BATCH,
        "POST /v1/payout_batches",
        {"lines": [LINE_ASKED], "allow_duplicates": True},
    ),
    (
        lambda c: c.payout_batches.create(
            file=b"a,b", digest="ab", on_invalid="skip", quote="qt_1"
        ),
        BATCH,
        "POST /v1/payout_batches",
        {"file": "YSxi", "digest": "ab", "on_invalid": "skip", "quote": "qt_1"},
    ),
    (
        lambda c: c.payout_batches.cancel("pob_1"),
        BATCH,
        "POST /v1/payout_batches/pob_1/cancel",
        {},
    ),
    (
        lambda c: c.payout_batches.retrieve("pob_1"),
        BATCH,
        "GET /v1/payout_batches/pob_1",
        None,
    ),
    (
        lambda c: c.refunds.create(payment_intent="pi_1", amount=5),
        REFUND,
        "POST /v1/refunds",
        {"payment_intent": "pi_1", "amount": 5},
    ),
    (
        lambda c: c.refunds.create(
            payin="pin_1", reason="duplicate", network="eip155:84532", address="0x1"
        ),
        REFUND,
        "POST /v1/refunds",
        {"payin": "pin_1", "reason": "duplicate", "destination": DESTINATION},
    ),
    (
        lambda c: c.refunds.update("re_1", metadata=None),
        REFUND,
        "POST /v1/refunds/re_1",
        {"metadata": None},
    ),
    (lambda c: c.refunds.cancel("re_1"), REFUND, "POST /v1/refunds/re_1/cancel", {}),
    (
        lambda c: c.refunds.create_claim_link("re_1", claim_expires_at=9),
        REFUND,
        "POST /v1/refunds/re_1/claim_link",
        {"claim_expires_at": 9},
    ),
    (
        lambda c: c.refunds.redirect("re_1", **DESTINATION),
        REFUND,
        "POST /v1/refunds/re_1/redirect",
        {"destination": DESTINATION},
    ),
    (lambda c: c.refunds.retrieve("re_1"), REFUND, "GET /v1/refunds/re_1", None),
    *escrow_calls.CALLS,
    *channel_calls.CALLS,
    *settling.CALLS,
    *closing.CALLS,
    *banking.CALLS,
    (
        lambda c: c.balance_transactions.retrieve("txn_1"),
        LINE,
        "GET /v1/balance_transactions/txn_1",
        None,
    ),
    (
        lambda c: c.liability_epochs.retrieve("le_1"),
        EPOCH,
        "GET /v1/liability_epochs/le_1",
        None,
    ),
    (
        lambda c: c.liability_proofs.retrieve("le_1"),
        PROOF,
        "GET /v1/liability_proofs/le_1",
        None,
    ),
    (lambda c: c.events.retrieve("evt_1"), EVENT, "GET /v1/events/evt_1", None),
    (
        lambda c: c.webhook_endpoints.create(url="https://a.example"),
        ENDPOINT,
        "POST /v1/webhook_endpoints",
        {"url": "https://a.example", "enabled_events": ["*"]},
    ),
    (
        lambda c: c.webhook_endpoints.update("we_1", disabled=True, description=None),
        ENDPOINT,
        "POST /v1/webhook_endpoints/we_1",
        {"disabled": True, "description": None},
    ),
    (
        lambda c: c.webhook_endpoints.rotate_secret("we_1", overlap_seconds=0),
        ENDPOINT,
        "POST /v1/webhook_endpoints/we_1/rotate_secret",
        {"overlap_seconds": 0},
    ),
    (
        lambda c: c.webhook_endpoints.test("we_1"),
        DELIVERY,
        "POST /v1/webhook_endpoints/we_1/test",
        {},
    ),
    (
        lambda c: c.webhook_endpoints.redeliver("whd_1"),
        DELIVERY,
        "POST /v1/webhook_deliveries/whd_1/redeliver",
        {},
    ),
    (
        lambda c: c.webhook_endpoints.retrieve_delivery("whd_1"),
        {**DELIVERY, "attempts": [{"attempt": 1, "response_status": 200}]},
        "GET /v1/webhook_deliveries/whd_1",
        None,
    ),
    (
        lambda c: c.networks.retrieve("eip155:84532"),
        NETWORK,
        "GET /v1/networks/eip155%3A84532",
        None,
    ),
    (lambda c: c.currencies.retrieve("usdc"), CURRENCY, "GET /v1/currencies/usdc", None),
    (lambda c: c.screenings.retrieve("scr_1"), SCREENING, "GET /v1/screenings/scr_1", None),
]


@pytest.mark.parametrize(("call", "reply", "line", "body"), CALLS, ids=[c[2] for c in CALLS])
def test_a_method_calls_its_path_and_returns_its_object(
    client: SakkClient, script: Script, call: Call, reply: dict[str, Any], line: str, body: Any
) -> None:
    script.will(Reply(reply))
    found = call(client)
    (asked,) = script.asked
    assert f"{asked.method} {asked.path}" == line
    assert (asked.document if asked.body else None) == body
    assert (found.id, found.object, found.created) == ("x_1", reply["object"], 1)


LISTS: list[tuple[Callable[[SakkClient], Any], dict[str, Any], str]] = [
    (lambda c: c.accounts.list(), ACCOUNT, "/v1/accounts"),
    (lambda c: c.customers.list(), CUSTOMER, "/v1/customers"),
    (lambda c: c.payment_intents.list(), INTENT, "/v1/payment_intents"),
    (lambda c: c.payins.list(), PAYIN, "/v1/payins"),
    (lambda c: c.beneficiaries.list(), BENEFICIARY, "/v1/beneficiaries"),
    (lambda c: c.payouts.list(), PAYOUT, "/v1/payouts"),
    (lambda c: c.quotes.list(), QUOTE, "/v1/quotes"),
    (lambda c: c.receiving_addresses.list(), RECEIVING, "/v1/receiving_addresses"),
    (lambda c: c.payout_batches.list(), BATCH, "/v1/payout_batches"),
    (
        lambda c: c.payout_batches.payouts("pob_1"),
        PAYOUT,
        "/v1/payout_batches/pob_1/payouts",
    ),
    (
        lambda c: c.payout_batches.skipped_lines("pob_1"),
        SKIPPED_LINE,
        "/v1/payout_batches/pob_1/skipped_lines",
    ),
    (lambda c: c.refunds.list(), REFUND, "/v1/refunds"),
    *closed_loop.LISTS,
    *settling.LISTS,
    *closing.LISTS,
    *banking.LISTS,
    (lambda c: c.channels.list(), channel_calls.CHANNEL, "/v1/channels"),
    *escrow_calls.LISTS,
    (lambda c: c.balance_transactions.list(), LINE, "/v1/balance_transactions"),
    (lambda c: c.liability_epochs.list(), EPOCH, "/v1/liability_epochs"),
    (lambda c: c.events.list(), EVENT, "/v1/events"),
    (lambda c: c.webhook_endpoints.list(), ENDPOINT, "/v1/webhook_endpoints"),
    (
        lambda c: c.webhook_endpoints.deliveries("we_1"),
        DELIVERY,
        "/v1/webhook_endpoints/we_1/deliveries",
    ),
    (lambda c: c.networks.list(), NETWORK, "/v1/networks"),
    (lambda c: c.currencies.list(), CURRENCY, "/v1/currencies"),
    (lambda c: c.screenings.list(), SCREENING, "/v1/screenings"),
]


@pytest.mark.parametrize(("call", "item", "path"), LISTS, ids=[each[2] for each in LISTS])
def test_a_list_is_of_its_objects(
    client: SakkClient,
    script: Script,
    call: Callable[[SakkClient], Any],
    item: dict[str, Any],
    path: str,
) -> None:
    script.will(Reply({"object": "list", "url": path, "has_more": False, "data": [item]}))
    page = call(client)
    (asked,) = script.asked
    assert (asked.method, asked.path, asked.query) == ("GET", path, [])
    assert [found.object for found in page] == [item["object"]]
    assert (len(page), page.has_more, page.next_page()) == (1, False, None)


def pages(*groups: str) -> list[Reply]:
    """Lists of payouts whose ids are the letters of each group."""
    return [
        Reply(
            {
                "object": "list",
                "has_more": number < len(groups) - 1,
                "data": [{**PAYOUT, "id": letter} for letter in group],
            }
        )
        for number, group in enumerate(groups)
    ]


def test_paging_walks_to_the_end(client: SakkClient, script: Script) -> None:
    script.will(*pages("ed", "cb", "a"))
    found = client.payouts.list(limit=2, status="posted", created={"gte": 5, "lt": 9})
    assert [each.id for each in found.auto_paging_iter()] == list("edcba")
    same = [("status", "posted"), ("limit", "2"), ("created[gte]", "5"), ("created[lt]", "9")]
    assert [asked.query for asked in script.asked] == [
        same,
        [*same, ("starting_after", "d")],
        [*same, ("starting_after", "b")],
    ]


def test_paging_backwards_walks_to_the_newest(client: SakkClient, script: Script) -> None:
    script.will(*pages("cb", "ed"))
    found = client.payouts.list(ending_before="a")
    assert [each.id for each in found.auto_paging_iter()] == list("bcde")
    cursors = [dict(asked.query)["ending_before"] for asked in script.asked]
    assert cursors == ["a", "c"]


def test_a_page_that_promises_more_but_is_empty_ends_the_walk(
    client: SakkClient, script: Script
) -> None:
    script.will(Reply({"object": "list", "has_more": True, "data": []}))
    assert list(client.payouts.list().auto_paging_iter()) == []


def test_filters_go_out_as_given(client: SakkClient, script: Script) -> None:
    script.will(*pages("") * 2)
    client.payins.list(tx_hash="0x1", status="under_review")
    client.events.list(types=["payout.*", "payin.posted"])
    assert script.asked[0].query == [("tx_hash", "0x1"), ("status", "under_review")]
    assert script.asked[1].query == [("types[]", "payout.*"), ("types[]", "payin.posted")]


def test_a_replay_says_how_much_is_due(client: SakkClient, script: Script) -> None:
    script.will(Reply({"object": "webhook_replay", "webhook_endpoint": "we_1", "deliveries": 7}))
    assert client.webhook_endpoints.replay("we_1", since=5).deliveries == 7
    (asked,) = script.asked
    assert (asked.path, asked.document) == ("/v1/webhook_endpoints/we_1/replay", {"since": 5})


def test_amounts_are_exact(client: SakkClient, script: Script) -> None:
    script.will(Reply(PAYIN))
    found = client.payins.retrieve("pin_1")
    assert found.amount == 2**127
    assert int(found.token_amount) == 2**256 - 1


def test_an_intent_says_where_to_pay(client: SakkClient, script: Script) -> None:
    script.will(Reply(INTENT), Reply({**INTENT, "next_action": None}))
    where = client.payment_intents.retrieve("pi_1").deposit_addresses["eip155:84532"]
    assert where.address == "0xAb"
    assert where.supported_tokens[0].amount == "25000000"
    assert client.payment_intents.retrieve("pi_1").deposit_addresses == {}


def test_a_balance_is_read_by_currency(client: SakkClient, script: Script) -> None:
    script.will(
        Reply(
            {
                "object": "balance",
                "available": [{"currency": "usdc", "amount": 7, "amount_decimal": "0.000007"}],
                "pending": [{"currency": "usdt", "amount": 3}],
            }
        )
    )
    balance = client.balance.retrieve()
    assert (balance.available_units("usdc"), balance.available_units("usdt")) == (7, 0)
    assert (balance.pending_units("usdt"), balance.pending_units("usdc")) == (3, 0)


def test_expanding_and_what_is_expanded(client: SakkClient, script: Script) -> None:
    script.will(Reply({**INTENT, "customer": CUSTOMER}))
    found = client.payment_intents.retrieve("pi_1", expand=["customer"])
    assert script.asked[0].query == [("expand[]", "customer")]
    assert isinstance(found.customer, dict)
    assert found.customer["email"] == "a@b.example"


def test_an_empty_id_is_not_the_list(client: SakkClient) -> None:
    with pytest.raises(ValueError, match="id may not be empty"):
        client.payouts.retrieve("")


def test_any_path_can_be_called(client: SakkClient, script: Script) -> None:
    script.will(Reply({"id": "x"}), Reply({"id": "y"}), Reply([]), Reply(b"nonsense"))
    assert client.request("GET", "/v1/quotes", {"limit": 1}) == {"id": "x"}
    assert client.request("POST", "/v1/quotes", {"a": {"b": [1]}}) == {"id": "y"}
    assert script.asked[0].query == [("limit", "1")]
    assert script.asked[1].document == {"a": {"b": [1]}}
    with pytest.raises(ApiError, match="not an object"):
        client.request("DELETE", "/v1/quotes")
    with pytest.raises(ApiError, match="cannot be read"):
        client.request("GET", "/v1/quotes")


def test_the_client_needs_nothing_else_of_sakk() -> None:
    program = (
        "import sys, sakk.client, sakk.client.webhook;"
        "print([m for m in sys.modules if m.startswith('sakk.') and 'client' not in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
