"""Screening rules at the door: who may ask, and how a wrong rule is refused."""

from typing import Any

from tests.api.objects import ADDRESS, NETWORK
from tests.api.world import Api

RULE: dict[str, Any] = {
    "kind": "direct",
    "name": "no exchange",
    "verdict": "review",
    "categories": ["exchange"],
}


def test_what_came_with_the_house_is_in_force(api: Api) -> None:
    operator = api.world.operator.key
    for name in ("in_force", "0"):
        shown = api.call("GET", f"/v1/screening_rules/{name}", key=operator)
        assert shown.status_code == 200, shown.text
        assert (shown.json()["number"], shown.json()["state"]) == (0, "in_force")
    listed = api.call("GET", "/v1/screening_rules", key=operator).json()["data"]
    assert "in_force" not in [each["state"] for each in listed]
    assert api.call("GET", "/v1/screening_rules/7", key=operator).status_code == 404


def test_a_merchant_never_sees_the_rules(api: Api) -> None:
    assert api.call("GET", "/v1/screening_rules/in_force").status_code == 403
    assert api.call("GET", "/v1/screening_rules").status_code == 403
    assert api.call("POST", "/v1/screening_rules", json={"rules": [RULE]}).status_code == 403


def test_only_a_person_proposes_and_a_wrong_rule_is_named(api: Api) -> None:
    operator = api.world.operator.key
    refused = api.call("POST", "/v1/screening_rules", key=operator, json={"rules": [RULE]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
    wrong = [RULE | {"categories": ["exchanges"]}]
    refused = api.call("POST", "/v1/screening_rules", key=operator, json={"rules": wrong})
    assert (refused.status_code, refused.json()["error"]["param"]) == (
        400,
        "rules[0][categories][0]",
    )


def test_what_rules_would_have_done(api: Api) -> None:
    operator = api.world.operator.key
    found = api.call("POST", "/v1/screening_rules/test", key=operator, json={"rules": [RULE]})
    assert found.status_code == 200, found.text
    assert found.json()["object"] == "screening_rules_test"
    assert [each["verdict"] for each in found.json()["verdicts"]] == ["clear", "review", "block"]
    again = {"version": "in_force", "last": 5}
    found = api.call("POST", "/v1/screening_rules/test", key=operator, json=again)
    assert found.json()["changed"] == 0
    for body in ({}, {"rules": [RULE], "version": "0"}):
        refused = api.call("POST", "/v1/screening_rules/test", key=operator, json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "rules")
    refused = api.call("POST", "/v1/screening_rules/test", json={"rules": [RULE]})
    assert refused.status_code == 403


def test_a_check_is_the_operators_alone(api: Api) -> None:
    operator = api.world.operator.key
    asked = {"address": ADDRESS, "networks": [NETWORK]}
    found = api.call("POST", "/v1/screenings/check", key=operator, json=asked)
    assert found.status_code == 200, found.text
    assert (found.json()["object"], found.json()["verdict"]) == ("screening_check", "clear")
    recorded = found.json()["screenings"][0]
    assert recorded["subject"] == "check"
    shown = api.call("GET", f"/v1/screenings/{recorded['id']}", key=operator)
    assert shown.json() == recorded
    assert api.call("POST", "/v1/screenings/check", json=asked).status_code == 403
    refused = api.call("POST", "/v1/screenings/check", key=operator, json={"address": ADDRESS})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "networks")
