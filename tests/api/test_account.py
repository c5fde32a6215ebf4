"""Accounts over the wire."""

from typing import Any

import pytest
import stripe

from tests.api.world import Api


def test_the_operator_opens_changes_and_lists_accounts(api: Api) -> None:
    client = api.stripe(api.world.operator.key)
    made = client.v1.accounts.create(
        {"business_profile": {"name": "Shop"}, "email": "a@b.c", "metadata": {"tier": "1"}}
    )
    assert made.id.startswith("acct_")
    assert made["kind"] == "merchant"
    assert made["settings"]["payments"]["late"] == "accept"
    changed = client.v1.accounts.update(made.id, {"metadata": {"tier": "", "new": "x"}})
    assert changed["metadata"].to_dict() == {"new": "x"}
    assert changed.email == "a@b.c"
    assert client.v1.accounts.list({"limit": 1}).data[0].id == made.id
    assert client.v1.accounts.retrieve(made.id).business_profile.name == "Shop"  # type: ignore[union-attr]


def test_a_policy_is_changed_a_part_at_a_time(api: Api) -> None:
    path = f"/v1/accounts/{api.world.bob.account}"
    for policy in ({"late": "suspense"}, {"over": "refund_due", "tolerance_percent_bps": 50}):
        answer = api.call(
            "POST", path, key=api.world.bob.key, json={"settings": {"payments": policy}}
        )
        assert answer.status_code == 200, answer.text
    payments = api.call("GET", "/v1/account", key=api.world.bob.key).json()["settings"]["payments"]
    assert payments == {
        "late": "suspense",
        "over": "refund_due",
        "wrong_asset": "credit",
        "finished": "credit",
        "tolerance_under_units": 0,
        "tolerance_percent_bps": 50,
    }


@pytest.mark.parametrize(
    ("policy", "param"),
    [
        ({"late": "never"}, "settings[payments][late]"),
        ({"over": "suspense"}, "settings[payments][over]"),
        ({"tolerance_percent_bps": 10_001}, "settings[payments][tolerance_percent_bps]"),
        ({"other": 1}, "settings[payments][other]"),
    ],
)
def test_policies_that_are_refused(api: Api, policy: dict[str, Any], param: str) -> None:
    answer = api.call(
        "POST",
        f"/v1/accounts/{api.world.bob.account}",
        key=api.world.bob.key,
        json={"settings": {"payments": policy}},
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_merchant_sees_and_opens_no_other_accounts(api: Api) -> None:
    client = api.stripe()
    assert client.v1.accounts.retrieve(api.world.alice.account).id == api.world.alice.account
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.accounts.retrieve(api.world.bob.account)
    assert missing.value.http_status == 404
    with pytest.raises(stripe.PermissionError):
        client.v1.accounts.create({})


def test_the_changes_are_events(api: Api) -> None:
    client = api.stripe(api.world.operator.key)
    made = client.v1.accounts.create({"email": "x@y.z"})
    client.v1.accounts.update(made.id, {"email": "new@y.z"})
    client.v1.accounts.update(made.id, {"email": "new@y.z"})
    events = api.call(
        "GET", f"/v1/events?related_object={made.id}", key=api.world.operator.key
    ).json()["data"]
    assert [event["type"] for event in events] == ["account.updated", "account.created"]
    assert events[0]["data"]["previous_attributes"] == {"email": "x@y.z"}
    assert events[0]["request"]["id"].startswith("req_")


def test_a_test_key_changes_nothing_that_live_money_goes_by(api: Api) -> None:
    """An account is for both modes: how much of real money is enough is no test key's word."""
    shop = api.newcomer("two modes")
    path = f"/v1/accounts/{shop.account}"
    generous = {"settings": {"payments": {"tolerance_percent_bps": 10_000}}}
    framed = {"embed_origins": ["https://elsewhere.example"]}
    assert api.call("POST", path, key=shop.key, json=generous).status_code == 200
    house = api.world.operator.key
    priced = {"name": "Dear", "rules": [{"percent_ppm": 10_000}]}
    schedule = api.call("POST", "/v1/fee_schedules", key=house, json=priced).json()["id"]
    given = {"fee_schedule": schedule}
    assert api.call("POST", path, key=house, json=given).status_code == 200
    live = api.live(shop)
    strict = {"settings": {"payments": {"tolerance_percent_bps": 0}}}
    assert api.call("POST", path, key=live, json=strict).status_code == 200
    for key in (shop.key, house):
        answer = api.call("POST", path, key=key, json=generous)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")
    assert api.call("POST", "/v1/branding", key=shop.key, json=framed).status_code == 403
    cheaper = {"rules": [{"percent_ppm": 1}]}
    answer = api.call("POST", f"/v1/fee_schedules/{schedule}", key=house, json=cheaper)
    assert answer.status_code == 403
    found = api.call("GET", "/v1/account", key=live).json()
    assert found["settings"]["payments"]["tolerance_percent_bps"] == 0
    assert api.call("GET", "/v1/branding", key=live).json()["embed_origins"] == []
