"""Checkout sessions, payment links, tills and branding, over the API."""

import base64
from typing import Any

import pytest
import stripe

from tests.api.checkout_objects import line, open_line, png
from tests.api.world import NETWORK, Api


def test_stripes_client_makes_lists_and_calls_off_sessions(api: Api) -> None:
    client = api.stripe()
    session = client.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "line_items": [
                {
                    "price_data": {
                        "currency": "usd",
                        "unit_amount": 1_250,
                        "product_data": {"name": "<b>Lamp</b>"},
                    },
                    "quantity": 2,
                }
            ],
            "success_url": "https://shop.example/thanks?id={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://shop.example/cart",
            "client_reference_id": "order 7",
            "metadata": {"order": "7"},
        }
    )
    assert session.id.startswith("cs_")
    assert (session.object, session.status, session.payment_status) == (
        "checkout.session",
        "open",
        "unpaid",
    )
    assert session.amount_total == 2_500
    assert session.url is not None
    assert session.url.startswith("/checkout/")
    # The address can not be had from the id, and the row holds no more than its hash.
    assert session.id.partition("_")[2] not in session.url
    again = client.v1.checkout.sessions.retrieve(session.id)
    assert again.url == session.url
    intent = client.v1.payment_intents.retrieve(str(session.payment_intent))
    assert (intent.amount, intent.status) == (2_500, "requires_action")
    [item] = client.v1.checkout.sessions.line_items.list(session.id).data
    assert (item.description, item.quantity, item.amount_total) == ("<b>Lamp</b>", 2, 2_500)
    listed = client.v1.checkout.sessions.list({"payment_intent": intent.id})
    assert [each.id for each in listed.data] == [session.id]
    changed = client.v1.checkout.sessions.update(session.id, {"metadata": {"order": "8"}})
    assert changed.metadata is not None
    assert changed.metadata["order"] == "8"
    ended = client.v1.checkout.sessions.expire(session.id)
    assert (ended.status, ended.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError, match="only an open one"):
        client.v1.checkout.sessions.expire(session.id)
    events = client.v1.events.list({"type": "checkout.session.expired"}).data
    assert session.id in [each.data.object["id"] for each in events]


def test_stripes_client_makes_and_changes_links(api: Api) -> None:
    client = api.stripe()
    link = client.v1.payment_links.create(
        {
            "line_items": [
                {
                    "price_data": {
                        "currency": "usd",
                        "unit_amount": 900,
                        "product_data": {"name": "Tea"},
                    },
                    "quantity": 1,
                }
            ],
            "restrictions": {"completed_sessions": {"limit": 3}},
            "after_completion": {
                "type": "redirect",
                "redirect": {"url": "https://shop.example/"},
            },
        }
    )
    assert link.id.startswith("plink_")
    assert link.active
    assert link.url.startswith("/pay/")
    assert link.restrictions is not None
    assert (link.restrictions.completed_sessions.limit, link.after_completion.type) == (
        3,
        "redirect",
    )
    off = client.v1.payment_links.update(link.id, {"active": False})
    assert not off.active
    assert off.url == link.url
    assert client.v1.payment_links.retrieve(link.id).active is False
    [item] = client.v1.payment_links.line_items.list(link.id).data
    assert item.description == "Tea"
    active = client.v1.payment_links.list({"active": True, "limit": 100}).data
    assert link.id not in [each.id for each in active]


REFUSED = [
    ({"line_items": []}, "line_items"),
    ({"line_items": [open_line()]}, "line_items[0][price_data][unit_amount]"),
    (
        {"line_items": [line(), line(currency="usdc")]},
        "line_items[1][price_data][currency]",
    ),
    ({"line_items": [line()], "success_url": "javascript:alert(1)"}, "success_url"),
    ({"line_items": [line()], "success_url": "https://a@b.example/"}, "success_url"),
    ({"line_items": [line()], "cancel_url": "https://b.example/\u202e"}, "cancel_url"),
    ({"line_items": [line()], "cancel_url": "//b.example/"}, "cancel_url"),
    ({"line_items": [line()], "locale": "fr"}, "locale"),
    ({"line_items": [line()], "mode": "subscription"}, "mode"),
    ({"line_items": [line(currency="xyz")]}, "currency"),
    ({"line_items": [line()], "amount": 5}, "amount"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED)
def test_what_is_wrong_with_a_session_is_named(api: Api, body: dict[str, Any], param: str) -> None:
    answer = api.call("POST", "/v1/checkout/sessions", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"line_items": [open_line(), line()]}, "line_items"),
        (
            {"line_items": [open_line(enabled=False)]},
            "line_items[0][price_data][custom_unit_amount][enabled]",
        ),
        (
            {"line_items": [open_line(minimum=10, maximum=5)]},
            "line_items[0][price_data][custom_unit_amount][minimum]",
        ),
        (
            {"line_items": [open_line(minimum=10, preset=5)]},
            "line_items[0][price_data][custom_unit_amount][preset]",
        ),
        (
            {"line_items": [line()], "after_completion": {"type": "redirect"}},
            "after_completion[redirect][url]",
        ),
        (
            {
                "line_items": [line()],
                "payment_method_options": {"crypto": {"networks": ["eip155:1"]}},
            },
            "payment_method_options[crypto][networks][0]",
        ),
    ],
)
def test_what_is_wrong_with_a_link_is_named(api: Api, body: dict[str, Any], param: str) -> None:
    answer = api.call("POST", "/v1/payment_links", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_a_payer_may_choose_where_a_form_says_so(api: Api) -> None:
    place = "line_items[0][price_data]"
    answer = api.call(
        "POST",
        "/v1/payment_links",
        data={
            f"{place}[currency]": "usd",
            f"{place}[product_data][name]": "Gift",
            f"{place}[custom_unit_amount][enabled]": "true",
            f"{place}[custom_unit_amount][minimum]": "100",
        },
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["custom_unit_amount"]["minimum"] == 100


def test_a_tills_link_is_told_once_and_its_key_never(api: Api) -> None:
    made = api.call(
        "POST",
        "/v1/pos_devices",
        json={
            "name": "Stall",
            "currency": "usd",
            "payment_method_options": {"crypto": {"networks": [NETWORK], "currencies": ["USDC"]}},
        },
    ).json()
    assert made["pairing_url"].startswith("/pos/pair/")
    assert made["payment_method_options"]["crypto"]["currencies"] == ["usdc"]
    seen = api.call("GET", f"/v1/pos_devices/{made['id']}")
    assert seen.json()["pairing_url"] is None
    token = made["pairing_url"].rpartition("/")[2]
    assert token not in seen.text
    anew = api.call("POST", f"/v1/pos_devices/{made['id']}", json={"pair": True, "name": "B"})
    assert anew.json()["name"] == "B"
    assert anew.json()["pairing_url"] not in (None, made["pairing_url"])
    off = api.call("POST", f"/v1/pos_devices/{made['id']}", json={"active": False})
    assert (off.json()["active"], off.json()["pairing_url"]) == (False, None)


def test_branding_keeps_a_picture_and_nothing_else_of_a_logo(api: Api) -> None:
    key = api.world.bob.key
    assert api.call("GET", "/v1/branding", key=key).json()["color"] is None
    dirty = png(extra=b"Comment\0<script>alert(1)</script>")
    answer = api.call(
        "POST",
        "/v1/branding",
        key=key,
        json={
            "logo": base64.b64encode(dirty).decode(),
            "color": "#0B5D4D",
            "support_email": "help@shop.example",
            "embed_origins": ["https://shop.example/", "http://localhost:3000"],
        },
    )
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown["color"] == "#0b5d4d"
    assert shown["embed_origins"] == ["https://shop.example", "http://localhost:3000"]
    assert shown["logo_url"].startswith("/brand/")
    cleared = api.call("POST", "/v1/branding", key=key, json={"logo": None, "color": None}).json()
    assert (cleared["logo_url"], cleared["color"]) == (None, None)
    assert cleared["support_email"] == "help@shop.example"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"logo": base64.b64encode(b"<svg onload=alert(1)>").decode()}, "logo"),
        ({"logo": "not base64"}, "logo"),
        ({"color": "red"}, "color"),
        ({"support_url": "javascript:alert(1)"}, "support_url"),
        ({"support_email": 'a"b@c'}, "support_email"),
        ({"embed_origins": ["https://a.example/path"]}, "embed_origins[0]"),
        ({"embed_origins": ["https://a.example; script-src *"]}, "embed_origins[0]"),
        ({"embed_origins": ["http://a.example"]}, "embed_origins[0]"),
    ],
)
def test_what_is_wrong_with_branding_is_named(api: Api, change: dict[str, Any], param: str) -> None:
    answer = api.call("POST", "/v1/branding", json=change)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_a_gift_card_and_an_account_here_pay_a_session(api: Api) -> None:
    """A card a part, Bob the rest; his key does not touch the session of Alice's."""
    bob = api.newcomer("payer").key
    for key in (api.world.alice.key, bob):
        api.call("POST", "/v1/probes/fund", json={"amount": 2_000_000}, key=key)
    card = api.call("POST", "/v1/gift_cards", json={"amount": 1_000_000, "currency": "usdc"}).json()
    session = api.call("POST", "/v1/checkout/sessions", json={"line_items": [line(300)]}).json()
    path = f"/v1/checkout/sessions/{session['id']}/gift_cards"
    assert api.call("POST", path, json={"code": card["code"]}, key=bob).status_code == 404
    held = api.call("POST", path, json={"code": card["code"]}).json()
    assert (held["status"], held["amount"]) == ("held", 1_000_000)
    assert api.call("POST", f"{path}/{held['id']}/remove", json={}).status_code == 200
    assert api.call("POST", f"{path}/{held['id']}/remove", json={}).status_code == 400
    assert api.call("POST", path, json={"code": card["code"]}).json()["status"] == "held"
    paid = {"session": f"https://pay.example{session['url']}", "currency": "usdc"}
    moved = api.call("POST", "/v1/checkout_payments", json=paid, key=bob).json()
    assert (moved["status"], moved["amount"]) == ("posted", 2_000_000)
    intent = api.call("GET", f"/v1/payment_intents/{session['payment_intent']}").json()
    assert moved["reason"] == intent["id"]
    assert intent["amount_credited"] >= 200
    gone = api.call("POST", "/v1/checkout_payments", json={"session": "nothing"}, key=bob)
    assert gone.json()["error"]["param"] == "session"
