"""Platforms over the wire: who may act for whom, in what, and until when."""

from base64 import b64encode
from functools import partial
from typing import Any

from tests.api.paying import call
from tests.api.world import ADDRESS, NETWORK, Api, Tenant

PAYMENT = {"amount": 2_500, "currency": "usd"}


def platform(
    api: Api, bob: Tenant, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    """What Alice is answered who acts for Bob."""
    sent = {"Stripe-Account": bob.account}
    sent |= {name.replace("_", "-"): each for name, each in headers.items()}
    options = {} if body is None else {"json": body}
    answer = api.call(method, path, headers=sent, **options)
    return answer.status_code, answer.json()


def takes_what_was_agreed(api: Api, bob: Tenant, asked: str) -> None:
    """A fee of payments and of checkouts, and of nobody's own."""
    alice = api.world.alice
    as_platform = partial(platform, api, bob)
    fee = {**PAYMENT, "application_fee_amount": 250}
    key = {"Idempotency_Key": f"one-{asked}"}
    status, made = as_platform("POST", "/v1/payment_intents", fee, **key)
    assert (status, made["application"], made["application_fee_amount"]) == (
        200,
        alice.account,
        250,
    )
    # It is Bob's, and his own keys of requests are apart from his platform's.
    assert call(api, bob, "GET", f"/v1/payment_intents/{made['id']}")["id"] == made["id"]
    again = api.call(
        "POST",
        "/v1/payment_intents",
        key=bob.key,
        json=PAYMENT,
        headers={"Idempotency-Key": key["Idempotency_Key"]},
    ).json()
    assert again["id"] != made["id"]
    assert (again["application"], again["application_fee_amount"]) == (None, None)
    session: dict[str, Any] = {
        "line_items": [
            {"price_data": {"currency": "usd", "unit_amount": 100, "product_data": {"name": "Tea"}}}
        ],
        "payment_intent_data": {"application_fee_amount": 11},
    }
    status, refused = as_platform("POST", "/v1/checkout/sessions", session)
    assert status == 400
    assert refused["error"]["param"] == "payment_intent_data[application_fee_amount]"
    session["payment_intent_data"] = {"application_fee_amount": 10}
    assert as_platform("POST", "/v1/checkout/sessions", session)[0] == 200
    # A link brings its part of each payment; of an amount that payers choose, of the least.
    link = {"line_items": session["line_items"], "application_fee_amount": 10}
    status, made = as_platform("POST", "/v1/payment_links", link)
    assert (status, made["application"], made["application_fee_amount"]) == (200, alice.account, 10)
    chosen = {"price_data": {**session["line_items"][0]["price_data"]}}
    del chosen["price_data"]["unit_amount"]
    for bounds, most in (({"enabled": True}, 0), ({"enabled": True, "minimum": 90}, 9)):
        chosen["price_data"]["custom_unit_amount"] = bounds
        link = {"line_items": [chosen], "application_fee_amount": most + 1}
        status, refused = as_platform("POST", "/v1/payment_links", link)
        assert (status, refused["error"]["param"]) == (400, "application_fee_amount")
    link["application_fee_amount"] = 9
    assert as_platform("POST", "/v1/payment_links", link)[0] == 200
    status, refused = as_platform(
        "POST", "/v1/payment_intents", {**fee, "application_fee_amount": 251}
    )
    assert (status, refused["error"]["param"]) == (400, "application_fee_amount")
    own = api.call("POST", "/v1/payment_intents", key=bob.key, json=fee)
    assert (own.status_code, own.json()["error"]["param"]) == (400, "application_fee_amount")


def test_a_platform_acts_as_far_as_agreed_and_no_longer(api: Api) -> None:
    alice, bob = api.world.alice, api.newcomer("bob")
    as_platform = partial(platform, api, bob)
    assert as_platform("GET", "/v1/payment_intents")[0] == 403
    asked = call(
        api,
        alice,
        "POST",
        "/v1/connected_accounts",
        {
            "account": bob.account,
            "permissions": ["payments"],
            "application_fee_ppm_max": 100_000,
            "application_fee_rules": [{"kind": "payin", "percent_ppm": 10_000}],
        },
    )
    path = f"/v1/connected_accounts/{asked['id']}"
    # To ask is not enough, nor may who asks agree.
    assert as_platform("GET", "/v1/payment_intents")[0] == 403
    assert api.call("POST", f"{path}/accept").status_code == 403
    accepted = call(api, bob, "POST", f"{path}/accept")
    assert (accepted["status"], accepted["platform"]) == ("active", alice.account)
    assert accepted["application_fee_rules"][0]["percent_ppm"] == 10_000

    takes_what_was_agreed(api, bob, asked["id"])
    # What was not agreed to is refused: money out, keys, and to agree in the account's name.
    payout = {
        "amount": 1,
        "currency": "usdc",
        "destination": {"network": NETWORK, "address": ADDRESS},
    }
    for method, where, body in (
        ("POST", "/v1/payouts", payout),
        ("GET", "/v1/payouts", None),
        ("POST", "/v1/payout_batches", {"lines": [payout]}),
        ("POST", "/v1/api_keys", {"kind": "secret"}),
        ("GET", "/v1/events", None),
        ("GET", "/v1/connected_accounts", None),
        ("POST", f"{path}/revoke", {}),
        ("GET", "/v1/account", None),
    ):
        status, refused = as_platform(method, where, body)
        assert (status, refused["error"]["code"]) == (403, "permission_denied"), where
    # The merchant ends it, and that counts at once.
    assert call(api, bob, "POST", f"{path}/revoke")["ended_by"] == bob.account
    assert as_platform("GET", "/v1/payment_intents")[0] == 403
    assert call(api, alice, "GET", path)["status"] == "ended"


def test_each_line_of_a_batch_has_its_platforms_part(api: Api) -> None:
    alice, bob = api.world.alice, api.newcomer("lines")
    terms = {"account": bob.account, "permissions": ["payouts"], "application_fee_ppm_max": 100_000}
    rules = [{"kind": "payout", "percent_ppm": 20_000}]
    asked = call(
        api, alice, "POST", "/v1/connected_accounts", {**terms, "application_fee_rules": rules}
    )
    call(api, bob, "POST", f"/v1/connected_accounts/{asked['id']}/accept")
    line: dict[str, Any] = {
        "amount": 10_000_000,
        "currency": "usdc",
        "destination": {"network": NETWORK, "address": ADDRESS},
    }
    lines = [
        {**line, "amount": line["amount"] + number, "application_fee_amount": units}
        for number, units in enumerate((1_000_000, 1_000_001))
    ]
    status, seen = platform(
        api,
        bob,
        "POST",
        "/v1/payout_batches/preview",
        {"lines": [*lines, {**line, "amount": 10_000_005}], "on_invalid": "skip"},
    )
    assert status == 200
    assert [(each["line"], each["param"]) for each in seen["faults"]] == [
        (2, "application_fee_amount")
    ]
    assert [(each["line"], each["application_fee_amount"]) for each in seen["lines"]] == [
        (1, 1_000_000),
        (3, 200_000),
    ]
    [total] = seen["totals"]
    assert total["debited"] - total["delivered"] == total["fee"] >= 1_200_000
    # A file's lines name none: they are priced by the rules.
    cells = f"{NETWORK},{ADDRESS},usdc,10"
    file = b64encode(f"network,address,currency,amount\n{cells}\n".encode()).decode()
    status, seen = platform(api, bob, "POST", "/v1/payout_batches/preview", {"file": file})
    assert (status, seen["lines"][0]["application_fee_amount"]) == (200, 200_000)
