"""Policies at the door: who may ask, and what the simulator answers."""

from typing import Any

import pytest

from sakk.store.seed import seed_policy
from tests.api.objects import ADDRESS, NETWORK
from tests.api.world import Api

REQUEST = {
    "amount": 5_000_000,
    "currency": "usdc",
    "destination": {"network": NETWORK, "address": ADDRESS},
}


@pytest.fixture(autouse=True, scope="module")
def _seeded(api: Api) -> None:
    with api.database.begin() as connection:
        seed_policy(connection)


def ask(api: Api, body: dict[str, Any], **options: Any) -> dict[str, Any]:
    answer = api.call(
        "POST", "/v1/policies/simulate", key=api.world.operator.key, json=body, **options
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_version_in_force(api: Api) -> None:
    for name in ("active", "1"):
        answer = api.call("GET", f"/v1/policies/{name}", key=api.world.operator.key)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["number"], answer.json()["state"]) == (1, "active")
    listed = api.call("GET", "/v1/policies", key=api.world.operator.key).json()["data"]
    assert [each["number"] for each in listed][-1:] == [1]
    assert api.call("GET", "/v1/policies/active").status_code == 403


def test_what_would_happen_to_a_payout(api: Api) -> None:
    acting = {"Stripe-Account": api.world.alice.account}
    found = ask(api, {"request": REQUEST}, headers=acting)
    assert (found["number"], found["decision"]["rule"]) == (1, "up to 10,000")
    rules = [
        {"name": "small", "action": "allow", "currencies": ["usdc"], "amount": {"up_to": 1_000}},
        {"name": "day", "action": "approve", "approvals": 1, "role": "approver"},
    ]
    found = ask(api, {"request": REQUEST, "rules": rules}, headers=acting)
    assert found["policy"] is None
    assert found["decision"]["rule"] == "day"
    assert found["decision"]["passed"] == [
        {"rule": "small", "reason": "amount 5000000 is above 1000"}
    ]
    made = api.call("POST", "/v1/probes/fund", json={"amount": 5_000_000})
    assert made.status_code == 200
    payout = api.call("POST", "/v1/payouts", json=REQUEST).json()["id"]
    assert ask(api, {"payout": payout})["decision"]["action"] == "allow"


def test_what_would_have_happened_to_the_last_ones(api: Api) -> None:
    found = ask(api, {"last": 10, "rules": [{"name": "none", "action": "block"}]})
    assert found["compared"] == len(found["differences"]) <= 10
    assert all(each["would_be"]["action"] == "block" for each in found["differences"])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "payout"),
        ({"last": 5, "payout": "po_1"}, "payout"),
        ({"last": 5, "policy": "1", "rules": []}, "rules"),
        ({"last": 5, "policy": "77"}, "policy"),
        ({"payout": "po_nobody"}, "payout"),
        ({"last": 5, "rules": [{"name": "a", "action": "maybe"}]}, "rules[0][action]"),
        ({"last": 5, "rules": [{"name": "a", "action": "approve"}]}, "rules[0][approvals]"),
        (
            {"last": 5, "rules": [{"name": "a", "action": "allow", "amount": {"up_to": 5}}]},
            "rules[0][amount][unit]",
        ),
    ],
)
def test_what_can_not_be_asked(api: Api, body: dict[str, Any], param: str) -> None:
    answer = api.call("POST", "/v1/policies/simulate", key=api.world.operator.key, json=body)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["error"]["param"] == param


def test_a_key_that_is_nobodys_changes_no_policy(api: Api) -> None:
    answer = api.call(
        "POST",
        "/v1/policies",
        key=api.world.operator.key,
        json={"rules": [{"name": "all", "action": "allow"}]},
    )
    assert answer.status_code == 403
    assert "Only a person may do this" in answer.text
