"""Freezes over HTTP: the operator's alone, seen at /readyz, and lifted by no request."""

from typing import Any

from sakk.flow.freeze import lift
from sakk.store.identity import now
from tests.api.world import Api, http


def listed(api: Api, status: str) -> list[dict[str, Any]]:
    query = {"status": status, "limit": 100}
    answer = api.call("GET", "/v1/freeze", key=api.world.operator.key, params=query)
    return list(answer.json()["data"])


def test_the_operator_freezes_and_everybody_sees_that_it_is_frozen(api: Api) -> None:
    operator = api.world.operator.key
    body = {"reason": "payout to an unknown address", "account": api.world.alice.account}
    assert api.call("POST", "/v1/freeze", json=body).status_code == 403
    made = api.call("POST", "/v1/freeze", key=operator, json=body)
    assert made.status_code == 200, made.text
    frozen = made.json()
    assert (frozen["status"], frozen["scope"]) == (
        "in_force",
        f"account {api.world.alice.account}",
    )
    # The server is shared: another test may have frozen something else.
    assert listed(api, "in_force")[0] == frozen
    ready = http().get(f"{api.url}/readyz")
    assert ready.status_code == 200
    assert "account" in ready.json()["frozen"]
    # A payout is accepted and waits; a lift over HTTP does not exist.
    assert api.call("POST", "/v1/freeze/lift", key=operator, json={}).status_code == 404
    with api.database.begin() as connection:
        lift(connection, frozen["id"], reason="drill over", now=now())
    assert frozen["id"] not in [each["id"] for each in listed(api, "in_force")]
    [lifted] = [each for each in listed(api, "lifted") if each["id"] == frozen["id"]]
    assert lifted["lift_reason"] == "drill over"


def test_a_misspelt_scope_is_refused(api: Api) -> None:
    for name in ("network", "asset", "account"):
        answer = api.call(
            "POST",
            "/v1/freeze",
            key=api.world.operator.key,
            json={"reason": "drill", name: "misspelt"},
        )
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)
