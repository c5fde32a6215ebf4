"""The SDK against the server itself: what it sends is taken, and what comes back has its place."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from sakk.client import InvalidRequestError, ResourceMissingError, SakkClient
from sakk.client.endpoint import Retrievable
from tests.api import money_out
from tests.api.objects import ADDRESS, NETWORK, Objects, paid_intent
from tests.api.world import USDC, Api

# Every resource of the client, by the object of the tests that it has; the operator's are marked.
KINDS = {
    "accounts": "account",
    "aliases": "alias",
    "application_fees": "application_fee",
    "balance_transactions": "balance_transaction",
    "bank_accounts": "bank_account",
    "bank_files": "bank_file",
    "bank_lines": "bank_line",
    "bank_payments": "bank_payment",
    "bank_references": "bank_reference",
    "bank_returns": "bank_return",
    "bank_statements": "bank_statement",
    "beneficiaries": "beneficiary",
    "bills": "bill",
    "breaks": "ledger_break",
    "channels": "channel",
    "checkout_sessions": "checkout_session",
    "connected_accounts": "connected_account",
    "conversion_quotes": "conversion_quote",
    "conversions": "conversion",
    "currencies": "currency",
    "customers": "customer",
    "days": "day",
    "escrow_channels": "escrow_channel",
    "events": "event",
    "files": "file",
    "gift_card_batches": "gift_card_batch",
    "gift_card_movements": "gift_card_movement",
    "gift_cards": "gift_card",
    "hedge_policies": "hedge_policy",
    "liability_epochs": "liability_epoch",
    "mandates": "mandate",
    "information_requests": "information_request",
    "money_requests": "money_request",
    "networks": "network",
    "orders": "order",
    "owner_keys": "owner_key",
    "payins": "payin",
    "payment_intents": "payment_intent",
    "payment_links": "payment_link",
    "payout_batches": "payout_batch",
    "payouts": "payout",
    "pool_movements": "pool_movement",
    "products": "product",
    "purchases": "purchase",
    "quotes": "quote",
    "rates": "rate",
    "reconciliations": "reconciliation",
    "recoveries": "recovery",
    "provider_orders": "provider_order",
    "refills": "refill",
    "refunds": "refund",
    "reports": "report",
    "screenings": "screening",
    "shops": "shop",
    "transfers": "transfer",
    "webhook_endpoints": "webhook_endpoint",
}
OPERATORS = {
    *("accounts", "bank_files", "bank_returns", "bank_statements", "breaks", "days"),
    "provider_orders",
    *("hedge_policies", "orders"),
    *("reconciliations", "recoveries", "screenings"),
}
# What has no list, and what is one object alone: each has its own test.
APART = {"fees", "fee_schedules", "liability_proofs", "settlements"}


@pytest.fixture(scope="module")
def alice(api: Api) -> Iterator[SakkClient]:
    with SakkClient(api.world.alice.key, api.url) as client:
        yield client


@pytest.fixture(scope="module")
def operator(api: Api) -> Iterator[SakkClient]:
    with SakkClient(api.world.operator.key, api.url) as client:
        yield client


def test_every_resource_of_the_client_is_in_these_tests(alice: SakkClient) -> None:
    found = {name for name, each in vars(alice).items() if isinstance(each, Retrievable)}
    assert found == KINDS.keys() | APART


@pytest.mark.parametrize("resource", KINDS)
def test_it_is_retrieved_and_listed(
    alice: SakkClient, operator: SakkClient, objects: Objects, resource: str
) -> None:
    client = operator if resource in OPERATORS else alice
    endpoint: Any = getattr(client, resource)
    found = endpoint.retrieve(objects[KINDS[resource]])
    raw = client.request("GET", f"{endpoint.root}/{objects[KINDS[resource]]}")
    read = msgspec.to_builtins(found)
    for name in read.keys() & raw.keys():
        # The clock went on between the two, and with it the moment of a rate.
        if name == "age_seconds" or (name, resource) == ("created", "rates"):
            assert read[name] <= raw[name]
        elif not isinstance(raw[name], dict | list):
            assert read[name] == raw[name], name
    page = endpoint.list(limit=1)
    assert type(page.data[0]) is type(found)
    with pytest.raises(ResourceMissingError):
        endpoint.retrieve(f"none_{uuid4()}")


def test_an_address_to_receive_at_is_one_and_stands_in_the_list(
    alice: SakkClient, objects: Objects
) -> None:
    first, again = (alice.receiving_addresses.create(network=NETWORK) for _ in range(2))
    assert (first.id, first.address) == (again.id, again.address)
    assert [each.asset for each in first.supported_tokens] == [f"{NETWORK}/erc20:{USDC}"]
    assert list(alice.receiving_addresses.list(network=NETWORK)) == [first]


def test_a_recovery_is_approved_and_another_called_off(api: Api, operator: SakkClient) -> None:
    first, second = (money_out.recovery(api, f"{uuid4().hex}{'7c' * 4}") for _ in range(2))
    waiting = operator.recoveries.retrieve(first)
    assert (waiting.status, waiting.awaiting_approvals, waiting.approver_role) == (
        "pending",
        True,
        "operator",
    )
    assert (waiting.symbol, waiting.token_amount, waiting.source) == ("TKN", "7", "unbooked")
    listed = operator.recoveries.list(status="pending", limit=100)
    assert {first, second} <= {each.id for each in listed}
    explained = operator.request("GET", f"/v1/recoveries/{first}/explanation")
    with pytest.raises(InvalidRequestError) as stale:
        operator.recoveries.approve(first, digest="00" * 32)
    assert stale.value.code == "approval_stale"
    done = operator.recoveries.approve(first, digest=explained["digest"], comment="seen")
    assert not done.awaiting_approvals
    called_off = operator.recoveries.cancel(second)
    assert (called_off.id, called_off.status) == (second, "canceled")
    with pytest.raises(InvalidRequestError):
        operator.recoveries.cancel(second)


def test_a_recovery_is_of_what_is_there(operator: SakkClient) -> None:
    with pytest.raises(InvalidRequestError) as unknown:
        operator.recoveries.create(payin=f"pin_{uuid4()}")
    assert unknown.value.code == "resource_missing"
    with pytest.raises(InvalidRequestError) as caught:
        operator.recoveries.create(
            network=NETWORK, address="0x" + "99" * 20, asset=f"{NETWORK}/erc20:0x{'77' * 20}"
        )
    assert caught.value.param == "address"


def test_what_a_merchant_makes_and_changes(api: Api, alice: SakkClient, objects: Objects) -> None:
    customer = alice.customers.create(name="Dan", email="dan@example.com")
    assert alice.customers.update(customer.id, name="Dana").name == "Dana"
    assert [each.id for each in alice.customers.list(email="dan@example.com")] == [customer.id]
    assert alice.customers.delete(customer.id).deleted
    intent = alice.payment_intents.create(amount=2_500, currency="usd", description="a")
    assert alice.payment_intents.update(intent.id, description="b").description == "b"
    assert alice.payment_intents.cancel(intent.id).status == "canceled"
    entry = alice.beneficiaries.create(
        name="Eve", address=f"0x{uuid4().hex}e1e1e1e1", networks=[NETWORK]
    )
    assert alice.beneficiaries.update(entry.id, name="Eva").name == "Eva"
    assert alice.beneficiaries.delete(entry.id).deleted
    quote = alice.quotes.create(network=NETWORK, currency="usdc")
    assert quote.network_fee > 0
    api.call("POST", "/v1/probes/fund", json={"amount": 10_000_000})
    before = alice.balance.retrieve().available_units("usdc")
    payout = alice.payouts.create(
        amount=1_000, currency="usdc", quote=quote.id, network=NETWORK, address=ADDRESS
    )
    assert (payout.status, payout.quote) == ("requested", quote.id)
    assert alice.balance.retrieve().available_units("usdc") == before - 1_000
    assert payout.id in [each.id for each in alice.payouts.list(status="requested", limit=100)]
    assert alice.payouts.cancel(payout.id).status == "canceled"
    moved = alice.transfers.create(
        amount=5, currency="usdc", destination=api.world.operator.account
    )
    assert alice.transfers.retrieve(moved.id).amount == 5
    assert alice.accounts.retrieve_current().id == api.world.alice.account


def test_a_refund_on_its_way(api: Api, alice: SakkClient, objects: Objects) -> None:
    refund = alice.refunds.create(payment_intent=paid_intent(api), amount=100)
    assert refund.status == "requires_action"
    assert alice.refunds.update(refund.id, metadata={"why": "late"}).metadata == {"why": "late"}
    linked = alice.refunds.create_claim_link(refund.id)
    assert linked.id == refund.id
    assert alice.refunds.cancel(refund.id).status == "canceled"


def test_webhooks_are_managed(alice: SakkClient, objects: Objects) -> None:
    hooks = alice.webhook_endpoints
    made = hooks.create(url="http://127.0.0.1:9/client", enabled_events=["payout.*"])
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    assert hooks.update(made.id, disabled=True).status == "disabled"
    assert hooks.update(made.id, disabled=False).status == "enabled"
    assert hooks.rotate_secret(made.id, overlap_seconds=60).secret not in (None, made.secret)
    assert hooks.replay(made.id, since=0).deliveries >= 0
    tested = hooks.test(made.id)
    assert (tested.webhook_endpoint, tested.status) == (made.id, "pending")
    assert hooks.delete(made.id).deleted
    delivery = hooks.deliveries(objects["webhook_endpoint"]).data[0]
    assert hooks.retrieve_delivery(delivery.id).id == delivery.id
    assert hooks.redeliver(delivery.id).webhook_endpoint == objects["webhook_endpoint"]


def test_the_operator_s_accounts(operator: SakkClient) -> None:
    made = operator.accounts.create(name="Shop of the client")
    changed = operator.accounts.update(made.id, payments={"over": "refund_due"})
    assert changed.settings.payments.over == "refund_due"
    assert operator.for_account(made.id).balance.retrieve().available == []


def test_a_payout_that_waits_is_decided(api: Api, operator: SakkClient) -> None:
    """Approve and reject say so when nothing is to be decided."""
    with SakkClient(api.world.alice.key, api.url) as alice:
        payout = alice.payouts.create(
            amount=1_000, currency="usdc", network=NETWORK, address=ADDRESS
        )
    for decide in (operator.payouts.approve, operator.payouts.reject):
        with pytest.raises(InvalidRequestError) as caught:
            decide(payout.id)
        assert caught.value.code == "unexpected_state"
