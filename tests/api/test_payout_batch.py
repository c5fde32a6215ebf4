"""Batches of payouts over HTTP: one key, one batch, whatever is sent at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from eth_utils.crypto import keccak

from tests.api.objects import NETWORK
from tests.api.world import Api

PARALLEL = 50


def line(number: int, **changes: Any) -> dict[str, Any]:
    address = "0x" + keccak(text=f"line {number} {uuid4()}")[-20:].hex()
    return {
        "amount": 1_000,
        "currency": "usdc",
        "destination": {"network": NETWORK, "address": address},
        **changes,
    }


def fund(api: Api, amount: int, key: str) -> None:
    answer = api.call("POST", "/v1/probes/fund", key=key, json={"amount": amount})
    assert answer.status_code == 200, answer.text


def available(api: Api, key: str) -> int:
    found = api.call("GET", "/v1/balance", key=key).json()["available"]
    return next((int(each["amount"]) for each in found if each["currency"] == "usdc"), 0)


def test_fifty_at_once_under_one_key_are_one_batch(api: Api) -> None:
    key = api.world.alice.key
    fund(api, 1_000_000, key)
    before = available(api, key)
    body = {"lines": [line(number) for number in range(20)]}
    headers = {"Idempotency-Key": f"batch-{uuid4()}"}

    def ask(_: int) -> tuple[int, str | None]:
        answer = api.call("POST", "/v1/payout_batches", json=body, headers=headers)
        return answer.status_code, answer.json().get("id")

    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(ask, range(PARALLEL)))
    assert {status for status, _ in found} <= {200, 409}
    [batch] = {identifier for status, identifier in found if status == 200}
    assert ask(0) == (200, batch)
    assert available(api, key) == before - 20_000
    shown = api.call("GET", f"/v1/payout_batches/{batch}").json()
    assert [(each["status"], each["count"]) for each in shown["totals"]] == [("requested", 20)]


def test_parallel_payouts_and_batches_never_overdraw(api: Api) -> None:
    operator = api.world.operator.key
    account = api.call("POST", "/v1/accounts", key=operator, json={}).json()["id"]
    acting: dict[str, Any] = {"key": operator, "headers": {"Stripe-Account": account}}
    api.call("POST", "/v1/probes/fund", json={"amount": 10_500}, **acting)

    def ask(number: int) -> int:
        if number % 2:
            return int(api.call("POST", "/v1/payouts", json=line(number), **acting).is_success)
        body = {"lines": [line(number) for _ in range(3)]}
        answer = api.call("POST", "/v1/payout_batches", json=body, **acting)
        assert answer.status_code == 200, answer.text
        return sum(
            each["count"] for each in answer.json()["totals"] if each["status"] == "requested"
        )

    with ThreadPoolExecutor(12) as pool:
        granted = sum(pool.map(ask, range(24)))
    assert granted == 10
    assert api.call("GET", "/v1/balance", **acting).json()["available"][0]["amount"] == 500


def test_a_batch_is_told_line_by_line_in_order(api: Api) -> None:
    fund(api, 100_000, api.world.alice.key)
    lines = [line(number, reference=f"R-{uuid4()}") for number in range(5)]
    lines[1]["scheduled_at"] = 4_000_000_000
    body: dict[str, Any] = {"lines": lines, "description": "Salaries", "metadata": {"run": "7"}}
    wrong = api.call("POST", "/v1/payout_batches", json=body).json()["error"]
    assert (wrong["code"], wrong["param"]) == ("parameter_invalid", "lines[1][scheduled_at]")
    del lines[1]["scheduled_at"]
    made = api.call("POST", "/v1/payout_batches", json=body).json()
    assert (made["object"], made["lines"], made["source"]) == ("payout_batch", 5, "json")
    assert (made["description"], made["metadata"]) == ("Salaries", {"run": "7"})
    path = f"/v1/payout_batches/{made['id']}/payouts"
    first = api.call("GET", path, params={"limit": 3}).json()
    assert [each["line"] for each in first["data"]] == [1, 2, 3]
    assert [each["reference"] for each in first["data"]] == [
        each["reference"] for each in lines[:3]
    ]
    assert first["has_more"]
    rest = api.call("GET", path, params={"starting_after": first["data"][-1]["id"]}).json()
    assert ([each["line"] for each in rest["data"]], rest["has_more"]) == ([4, 5], False)
    back = api.call("GET", path, params={"ending_before": rest["data"][0]["id"], "limit": 2}).json()
    assert ([each["line"] for each in back["data"]], back["has_more"]) == ([2, 3], True)
    listed = api.call("GET", "/v1/payout_batches", params={"limit": 1}).json()["data"]
    assert [each["id"] for each in listed] == [made["id"]]
    twice = api.call("POST", "/v1/payout_batches", json=body)
    assert (twice.status_code, twice.json()["error"]["code"]) == (400, "payout_duplicate")
    canceled = api.call("POST", f"/v1/payout_batches/{made['id']}/cancel").json()
    assert [(each["status"], each["count"]) for each in canceled["totals"]] == [("canceled", 5)]
    assert canceled["status"] == "completed"
    none = api.call("GET", path, params={"status": "requested"}).json()
    assert none["data"] == []


def test_a_body_is_as_large_as_ten_thousand_lines_and_no_larger(api: Api) -> None:
    lines = [line(number, description="x" * 100) for number in range(10_001)]
    answer = api.call("POST", "/v1/payout_batches", json={"lines": lines})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "lines"
    padded = {"lines": lines[:1], "description": "x" * (8 << 20)}
    assert api.call("POST", "/v1/payout_batches", json=padded).status_code == 413
