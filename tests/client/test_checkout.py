"""The client's checkout and the server agree, and what is sent is what is meant."""

from typing import Any

import msgspec
import pytest

from sakk.api.app import ROUTES
from sakk.client import SakkClient, checkout

from .conftest import Reply, Script
from .test_client import shown

LINES = [
    {"price_data": {"currency": "usd", "unit_amount": 5, "product_data": {"name": "A"}}},
]
SESSION = shown(
    "checkout.session", amount_total=5, currency="usd", status="open", payment_intent="pi_1"
)
LINK = shown("payment_link", active=True, currency="usd", url="/pay/x")
DEVICE = shown("pos_device", active=True, currency="usd", name="Stall")
BRANDING = {"object": "branding", "color": "#aabbcc"}

CALLS: list[tuple[Any, dict[str, Any], str, dict[str, Any] | None]] = [
    (
        lambda c: c.checkout_sessions.create(line_items=LINES, success_url="https://a.example"),
        SESSION,
        "POST /v1/checkout/sessions",
        {"line_items": LINES, "success_url": "https://a.example"},
    ),
    (
        lambda c: c.checkout_sessions.retrieve("cs_1"),
        SESSION,
        "GET /v1/checkout/sessions/cs_1",
        None,
    ),
    (
        lambda c: c.checkout_sessions.expire("cs_1"),
        SESSION,
        "POST /v1/checkout/sessions/cs_1/expire",
        {},
    ),
    (
        lambda c: c.payment_links.create(line_items=LINES, metadata={"a": "b"}),
        LINK,
        "POST /v1/payment_links",
        {"line_items": LINES, "metadata": {"a": "b"}},
    ),
    (
        lambda c: c.payment_links.update("plink_1", active=False),
        LINK,
        "POST /v1/payment_links/plink_1",
        {"active": False},
    ),
    (
        lambda c: c.pos_devices.create(name="Stall", currency="usd"),
        DEVICE,
        "POST /v1/pos_devices",
        {"name": "Stall", "currency": "usd"},
    ),
    (
        lambda c: c.pos_devices.update("pos_1", pair=True),
        DEVICE,
        "POST /v1/pos_devices/pos_1",
        {"pair": True},
    ),
    (lambda c: c.branding.retrieve(), BRANDING, "GET /v1/branding", None),
    (
        lambda c: c.branding.update(color="#aabbcc", embed_origins=["https://a.example"]),
        BRANDING,
        "POST /v1/branding",
        {"color": "#aabbcc", "embed_origins": ["https://a.example"]},
    ),
]


@pytest.mark.parametrize(("call", "reply", "line", "body"), CALLS, ids=[each[2] for each in CALLS])
def test_a_call_says_what_is_meant(
    client: SakkClient,
    script: Script,
    call: Any,
    reply: dict[str, Any],
    line: str,
    body: dict[str, Any] | None,
) -> None:
    script.will(Reply(reply))
    found = call(client)
    (asked,) = script.asked
    assert f"{asked.method} {asked.path}" == line
    assert (asked.document if asked.body else None) == body
    assert found.object == reply["object"]


@pytest.mark.parametrize("name", ["checkout_sessions", "payment_links", "pos_devices"])
def test_lists_have_their_objects(client: SakkClient, script: Script, name: str) -> None:
    item = {"checkout_sessions": SESSION, "payment_links": LINK, "pos_devices": DEVICE}[name]
    script.will(Reply({"object": "list", "url": "/", "has_more": False, "data": [item]}))
    assert [each.id for each in getattr(client, name).list()] == ["x_1"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/checkout/sessions/{checkout_session}", checkout.CheckoutSession),
        ("/v1/payment_links/{payment_link}", checkout.PaymentLink),
        ("/v1/pos_devices/{pos_device}", checkout.PosDevice),
        ("/v1/branding", checkout.Branding),
    ],
)
def test_every_field_of_the_server_has_its_place(path: str, kind: Any) -> None:
    [route] = [each for each in ROUTES if (each.method, each.path) == ("GET", path)]
    fields = {field.name for field in msgspec.structs.fields(kind)}
    assert set(route.returns.model_fields) == fields
