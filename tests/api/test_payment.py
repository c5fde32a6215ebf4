"""Payment intents over the wire, by the Stripe client. What arrives for them is the flow's."""

from typing import Any

import pytest
import stripe

from tests.api.world import USDC, Api


def test_a_request_to_be_paid(api: Api) -> None:
    params: Any = {
        "amount": 2_500,
        "currency": "usd",
        "payment_method_types": ["crypto"],
        "metadata": {"order": "7"},
        "payment_method_options": {
            "crypto": {"networks": ["eip155:84532"], "currencies": ["usdc"]}
        },
    }
    intent = api.stripe().v1.payment_intents.create(params)
    assert intent.status == "requires_action"
    assert intent.metadata.to_dict() == {"order": "7"}
    assert intent["amount_received"] == 0
    action: Any = intent.next_action
    assert action["type"] == "crypto_display_details"
    place = action["crypto_display_details"]["deposit_addresses"]["eip155:84532"]
    [token] = place["supported_tokens"]
    assert token["token_currency"] == "usdc"
    assert token["token_contract_address"].lower() == USDC
    assert token["amount"] == "25000000"
    assert token["uri"].startswith("ethereum:")


def test_every_intent_has_an_address_of_its_own(api: Api) -> None:
    client = api.stripe()
    places = []
    for _ in range(3):
        action: Any = client.v1.payment_intents.create({"amount": 1, "currency": "usd"}).next_action
        places.append(
            action["crypto_display_details"]["deposit_addresses"]["eip155:84532"]["address"]
        )
    assert len(set(places)) == 3


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"currency": "usd"}, "amount"),
        ({"amount": 1}, "currency"),
        ({"amount": 0, "currency": "usd"}, "amount"),
        ({"amount": 1 << 128, "currency": "usd"}, "amount"),
        ({"amount": 1, "currency": "xyz"}, "currency"),
        (
            {"amount": 1, "currency": "usd", "payment_method_types": ["card"]},
            "payment_method_types[0]",
        ),
        ({"amount": 1, "currency": "usd", "customer": "cus_nobody"}, "customer"),
        ({"amount": 1, "currency": "usd", "expires_at": 1}, "expires_at"),
        (
            {
                "amount": 1,
                "currency": "usd",
                "payment_method_options": {"crypto": {"networks": ["eip155:1"]}},
            },
            "payment_method_options[crypto][networks][0]",
        ),
        ({"amount": 1, "currency": "usd", "capture_method": "manual"}, "capture_method"),
    ],
)
def test_what_is_refused(api: Api, params: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.stripe().v1.payment_intents.create(params)  # type: ignore[arg-type]
    assert caught.value.param == param


def test_an_intent_is_changed_canceled_and_found(api: Api) -> None:
    client = api.stripe()
    intent = client.v1.payment_intents.create(
        {"amount": 1, "currency": "usd", "metadata": {"a": "1", "b": "2"}}
    )
    changed = client.v1.payment_intents.update(
        intent.id, {"description": "Tea", "metadata": {"a": "", "c": "3"}}
    )
    assert changed.description == "Tea"
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    canceled = client.v1.payment_intents.cancel(
        intent.id, {"cancellation_reason": "requested_by_customer"}
    )
    assert canceled.status == "canceled"
    assert canceled.cancellation_reason == "requested_by_customer"
    with pytest.raises(stripe.InvalidRequestError) as twice:
        client.v1.payment_intents.cancel(intent.id)
    assert twice.value.code == "unexpected_state"
    found = api.call("GET", "/v1/payment_intents?status=canceled&limit=100").json()["data"]
    assert intent.id in [each["id"] for each in found]


def test_payouts_beyond_the_balance_are_refused_at_once(api: Api) -> None:
    body = {
        "amount": 10**30,
        "currency": "usdc",
        "destination": {
            "network": "eip155:84532",
            "address": "0x00000000000000000000000000000000000000A1",
        },
    }
    answer = api.call("POST", "/v1/payouts", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "balance_insufficient"


@pytest.mark.parametrize(
    "address",
    ["0x1", "0x" + "0" * 40, USDC, "0x036CbD53842c5426634e7929541eC2318f3dCF7E", "nonsense"],
)
def test_bad_destinations_are_refused_at_once(api: Api, address: str) -> None:
    body = {
        "amount": 1,
        "currency": "usdc",
        "destination": {"network": "eip155:84532", "address": address},
    }
    answer = api.call("POST", "/v1/payouts", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "destination[address]"
