"""Mandates in the SDK: each method's path, parameters and fields are the server's."""

import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sakk.client import SakkClient
from sakk.client import mandate as objects
from sakk.client.endpoint import ListOptions
from sakk.client.objects import PaymentIntent

from .conftest import Reply, Script
from .test_agreement import route_of
from .test_client import shown

PAYEE = {"account": "acct_2"}
KEY = shown("owner_key", address="0x1")
MANDATE = shown(
    "mandate", agent="0x1", status="active", currency="usdc", terms={}, statement="The agent …"
)
SPEND = shown(
    "mandate_spend",
    mandate="mnd_1",
    reference="7",
    amount=5,
    currency="usdc",
    status="posted",
    payee=PAYEE,
)
MOVED = shown("pool_movement", direction="park", amount=5, currency="usdc", status="posted")
RULE = shown("refill", channel="ch_1", mandate="mnd_1", below=1, up_to=2, status="active")
INVOICE = shown("payment_intent", amount=5, currency="usdc", status="requires_action")
SPENDS = "/v1/mandates/mnd_1/spends"

Call = Callable[[SakkClient], Any]
CALLS: list[tuple[Call, dict[str, Any], str, dict[str, Any] | None]] = [
    (
        lambda c: c.owner_keys.create(address="0x1", signature="0x2", name="A"),
        KEY,
        "POST /v1/owner_keys",
        {"address": "0x1", "signature": "0x2", "name": "A"},
    ),
    (lambda c: c.owner_keys.retrieve("ok_1"), KEY, "GET /v1/owner_keys/ok_1", None),
    (lambda c: c.owner_keys.revoke("ok_1"), KEY, "POST /v1/owner_keys/ok_1/revoke", {}),
    (
        lambda c: c.mandates.create(terms={"total": 1}, signature="0x2", description="d"),
        MANDATE,
        "POST /v1/mandates",
        {"terms": {"total": 1}, "signature": "0x2", "description": "d"},
    ),
    (lambda c: c.mandates.retrieve("mnd_1"), MANDATE, "GET /v1/mandates/mnd_1", None),
    (lambda c: c.mandates.revoke("mnd_1"), MANDATE, "POST /v1/mandates/mnd_1/revoke", {}),
    (
        lambda c: c.mandates.spend(
            "mnd_1", reference="7", amount=5, payee=PAYEE, scheme="transfer"
        ),
        SPEND,
        f"POST {SPENDS}",
        {"reference": "7", "amount": 5, "payee": PAYEE, "scheme": "transfer"},
    ),
    (lambda c: c.mandates.retrieve_spend("mnd_1", "spn_1"), SPEND, f"GET {SPENDS}/spn_1", None),
    (
        lambda c: c.mandates.approve("mnd_1", "spn_1", owner_signature="0x2"),
        SPEND,
        f"POST {SPENDS}/spn_1/approve",
        {"owner_signature": "0x2"},
    ),
    (
        lambda c: c.mandates.approve("mnd_1", "spn_1", digest="a", code="1", comment="c"),
        SPEND,
        f"POST {SPENDS}/spn_1/approve",
        {"digest": "a", "code": "1", "comment": "c"},
    ),
    (
        lambda c: c.mandates.reject("mnd_1", "spn_1", comment="no"),
        SPEND,
        f"POST {SPENDS}/spn_1/reject",
        {"comment": "no"},
    ),
    (
        lambda c: c.mandates.release("mnd_1", "spn_1"),
        SPEND,
        f"POST {SPENDS}/spn_1/release",
        {},
    ),
    (
        lambda c: c.mandates.park("mnd_1", reference="7", amount=5),
        MOVED,
        "POST /v1/mandates/mnd_1/park",
        {"reference": "7", "amount": 5},
    ),
    (
        lambda c: c.mandates.unpark("mnd_1", reference="7", amount=5),
        MOVED,
        "POST /v1/mandates/mnd_1/unpark",
        {"reference": "7", "amount": 5},
    ),
    (
        lambda c: c.mandates.invoice("mnd_1", reference="7", amount=5, networks=["eip155:1"]),
        INVOICE,
        "POST /v1/mandates/mnd_1/invoices",
        {"reference": "7", "amount": 5, "networks": ["eip155:1"]},
    ),
    (
        lambda c: c.mandates.retrieve_invoice("mnd_1", "pi_1"),
        INVOICE,
        "GET /v1/mandates/mnd_1/invoices/pi_1",
        None,
    ),
    (
        lambda c: c.pool_movements.create(direction="park", amount=5, currency="usdc"),
        MOVED,
        "POST /v1/pool_movements",
        {"direction": "park", "amount": 5, "currency": "usdc"},
    ),
    (lambda c: c.pool_movements.retrieve("prk_1"), MOVED, "GET /v1/pool_movements/prk_1", None),
    (
        lambda c: c.refills.create(channel="ch_1", below=1, up_to=2),
        RULE,
        "POST /v1/refills",
        {"channel": "ch_1", "below": 1, "up_to": 2},
    ),
    (lambda c: c.refills.retrieve("rfl_1"), RULE, "GET /v1/refills/rfl_1", None),
    (lambda c: c.refills.end("rfl_1"), RULE, "POST /v1/refills/rfl_1/end", {}),
]
LISTS: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (lambda c, **o: c.owner_keys.list(**o), KEY, "/v1/owner_keys"),
    (lambda c, **o: c.mandates.list(**o), MANDATE, "/v1/mandates"),
    (lambda c, **o: c.mandates.spends("mnd_1", **o), SPEND, SPENDS),
    (lambda c, **o: c.pool_movements.list(**o), MOVED, "/v1/pool_movements"),
    (lambda c, **o: c.refills.list(**o), RULE, "/v1/refills"),
]
FILTERS: dict[str, Any] = {
    "/v1/owner_keys": objects.OwnerKeys.list,
    "/v1/mandates": objects.Mandates.list,
    SPENDS: objects.Mandates.spends,
    "/v1/pool_movements": objects.PoolMovements.list,
    "/v1/refills": objects.Refills.list,
}
KINDS: dict[str, Any] = {
    "owner_key": objects.OwnerKey,
    "payment_intent": PaymentIntent,
    "mandate": objects.Mandate,
    "mandate_spend": objects.MandateSpend,
    "pool_movement": objects.PoolMovement,
    "refill": objects.Refill,
}


@pytest.mark.parametrize(("call", "reply", "line", "body"), CALLS, ids=[c[2] for c in CALLS])
def test_a_method_calls_its_path(
    client: SakkClient, script: Script, call: Call, reply: dict[str, Any], line: str, body: Any
) -> None:
    script.will(Reply(reply))
    found = call(client)
    (asked,) = script.asked
    assert f"{asked.method} {asked.path}" == line
    assert (asked.document if asked.body else None) == body
    assert (found.id, found.object) == ("x_1", reply["object"])
    route = route_of(*line.split(" "))
    assert set(body or ()) <= set(route.parameters.model_fields)
    fields = {each.name for each in msgspec.structs.fields(KINDS[reply["object"]])}
    assert set(route.returns.model_fields) <= fields


@pytest.mark.parametrize(("call", "item", "path"), LISTS, ids=[each[2] for each in LISTS])
def test_a_list_is_of_its_objects(
    client: SakkClient, script: Script, call: Any, item: dict[str, Any], path: str
) -> None:
    script.will(Reply({"object": "list", "url": path, "has_more": False, "data": [item]}))
    [found] = call(client)
    assert (script.asked[0].path, found.object) == (path, item["object"])
    names = {
        name
        for name, each in inspect.signature(FILTERS[path]).parameters.items()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }
    fields = set(route_of("GET", path).parameters.model_fields)
    assert names | set(ListOptions.__annotations__) == fields


def test_a_draft_of_ap2(client: SakkClient, script: Script) -> None:
    reply = {"terms": {}, "statement": "s", "typed_data": {}, "digest": "0x", "unenforced": ["a"]}
    script.will(Reply({"object": "mandate_draft", **reply}))
    draft = client.mandates.draft_ap2({"vct": "x"}, owner="0x1", agent="0x2", currency="usdc")
    assert draft.unenforced == ["a"]
    (asked,) = script.asked
    assert asked.document == {
        "mandate": {"vct": "x"},
        "owner": "0x1",
        "agent": "0x2",
        "currency": "usdc",
    }
