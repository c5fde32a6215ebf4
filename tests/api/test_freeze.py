"""Freezes over HTTP: the operator's alone, seen at /readyz, and lifted by two persons."""

from typing import Any

from sakk.flow import person as persons
from sakk.flow.context import Parts
from sakk.flow.freeze import lift
from sakk.store.identity import new_id, now
from sakk.store.vault import KEY_BYTES, Vault
from tests.api.test_approval import Colleague
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
    # A payout is accepted and waits; the operator's key without a person lifts nothing.
    path = f"/v1/freezes/{frozen['id']}/lift"
    assert api.call("POST", path, key=operator, json={"reason": "x"}).status_code == 403
    assert api.call("POST", path, json={"reason": "x"}).status_code == 403
    assert api.call("GET", path, key=operator).status_code == 404
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


def _live_admin(api: Api, name: str) -> Colleague:
    """One of live mode's first two, with a device. A freeze is of both modes."""
    parts = Parts(api.database, vault=Vault(bytes(KEY_BYTES)))
    email = f"{new_id(name)}@example.com"
    made, token = persons.bootstrap(parts, name=name, email=email, livemode=True)
    found = Colleague(made.person.id, token, made.secret)
    enrolled = f"/v1/persons/{found.id}/second_factor/confirm"
    answer = api.call("POST", enrolled, key=token, json={"code": found.code()})
    assert answer.status_code == 200, answer.text
    return found


def test_one_person_proposes_to_lift_and_another_confirms(api: Api) -> None:
    operator = api.world.operator.key
    body = {"reason": "drill", "account": api.world.alice.account}
    frozen = api.call("POST", "/v1/freeze", key=operator, json=body).json()["id"]
    path = f"/v1/freezes/{frozen}/lift"
    ann, ben = (_live_admin(api, name) for name in ("ann", "ben"))
    proposed = api.call("POST", path, key=ann.key, json={"reason": "looked at"})
    assert proposed.status_code == 200, proposed.text
    shown = api.call("GET", path, key=operator).json()
    assert (shown["status"], shown["digest"]) == ("proposed", proposed.json()["digest"])
    for who, word, code in (
        (ann, {"digest": shown["digest"], "code": "000000"}, "same_person"),
        (ben, {"digest": "0" * 64, "code": "000000"}, "approval_stale"),
        (ben, {"digest": shown["digest"]}, "step_up_required"),
    ):
        answer = api.call("POST", f"{path}/confirm", key=who.key, json=word)
        assert answer.json()["error"]["code"] == code, answer.text
    word = {"digest": shown["digest"], "code": ben.code()}
    done = api.call("POST", f"{path}/confirm", key=ben.key, json=word)
    assert (done.status_code, done.json()["status"]) == (200, "confirmed")
    [lifted] = [each for each in listed(api, "lifted") if each["id"] == frozen]
    assert lifted["lift_reason"] == "looked at"
    assert api.call("POST", f"{path}/reject", key=ben.key, json={}).status_code == 404
