"""Refunds over the wire, by the Stripe client's typed methods. What follows them is the flow's."""

from typing import Any

import pytest
import stripe

from tests.api.objects import ADDRESS, NETWORK, paid_intent
from tests.api.world import USDC, Api

PAYER = "0x8ba1f109551bd432803012645ac136ddd64dba72"
PLACE = {"network": NETWORK, "address": PAYER}


@pytest.fixture(scope="module")
def funded(api: Api) -> Api:
    """Alice has a balance, as if her payments had brought it."""
    answer = api.call("POST", "/v1/probes/fund", json={"amount": 10_000_000_000})
    assert answer.status_code == 200, answer.text
    return api


def create(api: Api, **parameters: Any) -> Any:
    params: Any = parameters
    return api.stripe().v1.refunds.create(params)


def test_a_refund_in_parts_by_the_typed_methods(funded: Api) -> None:
    client = funded.stripe()
    intent = paid_intent(funded)
    part = create(
        funded,
        payment_intent=intent,
        amount=1_000,
        reason="requested_by_customer",
        metadata={"order": "7"},
        destination=PLACE,
    )
    assert (part.object, part.status, part.amount, part.currency) == (
        "refund",
        "pending",
        1_000,
        "usd",
    )
    assert (part.payment_intent, part.reason, part.charge) == (
        intent,
        "requested_by_customer",
        None,
    )
    assert (part["sent_currency"], part["sent_amount"]) == ("usdc", 10_000_000)
    rest = create(funded, payment_intent=intent, destination=PLACE)
    assert rest.amount == 1_500
    found = client.v1.refunds.list({"payment_intent": intent})
    assert [each.id for each in found.data] == [rest.id, part.id]
    changed = client.v1.refunds.update(part.id, {"metadata": {"order": "8"}})
    assert changed.metadata is not None
    assert changed.metadata["order"] == "8"
    again = client.v1.refunds.retrieve(part.id, {"expand": ["payment_intent"]})
    expanded: Any = again.payment_intent
    assert (expanded["id"], expanded["amount_refunded"]) == (intent, 2_500)
    assert client.v1.refunds.cancel(rest.id).status == "canceled"
    # The payouts that carry them are not the merchant's to see.
    listed = funded.call("GET", "/v1/payouts?limit=100").json()["data"]
    assert not {part.id[3:], rest.id[3:]} & {each["id"][3:] for each in listed}
    assert funded.call("GET", f"/v1/payouts/po_{part.id[3:]}").status_code == 404
    assert funded.call("POST", f"/v1/payouts/po_{part.id[3:]}/cancel").status_code == 404


def test_the_claim_link_is_shown_once(funded: Api) -> None:
    intent = paid_intent(funded)
    options: Any = {"idempotency_key": f"refund-{intent}"}
    params: Any = {"payment_intent": intent}
    first: Any = funded.stripe().v1.refunds.create(params, options)
    assert first.status == "requires_action"
    action = first["next_action"]
    assert action["type"] == "claim"
    assert "/refund_claims/" in action["claim"]["url"]
    replayed: Any = funded.stripe().v1.refunds.create(params, options)
    assert (replayed.id, replayed["next_action"]["claim"]["url"]) == (first.id, None)
    retrieved: Any = funded.stripe().v1.refunds.retrieve(first.id)
    assert retrieved["next_action"]["claim"]["url"] is None
    fresh = funded.call("POST", f"/v1/refunds/{first.id}/claim_link", json={}).json()
    assert fresh["next_action"]["claim"]["url"] not in (None, action["claim"]["url"])
    token = action["claim"]["url"].rpartition("/")[2]
    with funded.database.begin() as connection:
        rows = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM refunds r WHERE r::text LIKE %(t)s)"
            " + (SELECT count(*) FROM events e WHERE e::text LIKE %(t)s)"
            " + (SELECT count(*) FROM idempotency_keys i WHERE i::text LIKE %(t)s)",
            {"t": f"%{token}%"},
        )
        assert rows.scalar_one() == 0


@pytest.mark.parametrize(
    ("parameters", "param", "code"),
    [
        ({}, "payment_intent", "parameter_invalid"),
        ({"payment_intent": "pi_nobody"}, "payment_intent", "resource_missing"),
        ({"payin": "pin_nobody"}, "payin", "resource_missing"),
        ({"amount": 2_501}, "amount", "parameter_invalid"),
        ({"amount": 0}, "amount", "parameter_invalid"),
        ({"currency": "doge"}, "currency", "parameter_invalid"),
        ({"reason": "because"}, "reason", "parameter_invalid"),
        ({"charge": "ch_1"}, "charge", "parameter_unknown"),
        ({"claim_expires_at": 1}, "claim_expires_at", "parameter_invalid"),
        (
            {"destination": {"network": NETWORK, "address": USDC}},
            "destination[address]",
            "parameter_invalid",
        ),
        (
            {"destination": {"network": "eip155:1", "address": ADDRESS}},
            "destination[network]",
            "parameter_invalid",
        ),
    ],
)
def test_what_can_not_be_refunded(
    funded: Api, parameters: dict[str, Any], param: str, code: str
) -> None:
    if parameters and "payin" not in parameters and "payment_intent" not in parameters:
        parameters = {"payment_intent": paid_intent(funded), **parameters}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        create(funded, **parameters)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_a_held_payin_is_the_operators_matter(funded: Api, objects: dict[str, str]) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        create(funded, payin=objects["payin"])
    assert caught.value.code == "unexpected_state"
    assert "held" not in str(caught.value)


def test_another_account_sees_and_does_nothing(funded: Api) -> None:
    mine = create(funded, payment_intent=paid_intent(funded))
    bob: Any = funded.stripe(funded.world.bob.key).v1.refunds
    for call in (bob.retrieve, bob.cancel):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            call(mine.id)
        assert caught.value.code == "resource_missing"
    assert mine.id not in {each.id for each in bob.list().data}


def test_only_the_operator_redirects(funded: Api) -> None:
    mine = create(funded, payment_intent=paid_intent(funded))
    path, body = f"/v1/refunds/{mine.id}/redirect", {"destination": PLACE}
    assert funded.call("POST", path, json=body).status_code == 403
    answer = funded.call("POST", path, key=funded.world.operator.key, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "pending"
    assert answer.json()["payout"] == f"po_{mine.id[3:]}"
