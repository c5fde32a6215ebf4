"""Customers over the wire, by the Stripe client."""

import pytest
import stripe

from sakk.store.address import find_address
from sakk.store.network import set_deposit_factory
from tests.api.world import USDC, Api


def test_a_customer_has_an_address_of_its_own_for_ever(api: Api) -> None:
    client = api.stripe()
    made, other = (client.v1.customers.create({"name": name}) for name in ("Ada", "Bob"))
    places = made["crypto_deposit_addresses"]
    assert list(places.to_dict()) == ["eip155:84532"]
    place = places["eip155:84532"]
    assert place["address"].startswith("0x")
    assert place["address"] != place["address"].lower()
    assert place["supported_tokens"][0]["token_currency"] == "usdc"
    assert place["supported_tokens"][0]["token_contract_address"].lower() == USDC
    again = client.v1.customers.retrieve(made.id)
    assert again["crypto_deposit_addresses"] == places
    assert other["crypto_deposit_addresses"]["eip155:84532"]["address"] != place["address"]


def test_a_network_that_gives_out_clones_shows_them_and_who_did(api: Api) -> None:
    factory = "0x" + "fa" * 20
    client = api.stripe()
    before = client.v1.customers.create({"name": "Ada"})
    with api.database.begin() as connection:
        assert set_deposit_factory(connection, "eip155:84532", factory) is not None
    try:
        after = client.v1.customers.create({"name": "Bob"})
        shown = api.call("GET", "/v1/networks/eip155:84532", key=api.world.operator.key).json()
        merchants = api.call("GET", "/v1/networks/eip155:84532").json()
    finally:
        with api.database.begin() as connection:
            set_deposit_factory(connection, "eip155:84532", None)
    assert (shown["deposit_method"], shown["deposit_factory"].lower()) == ("clone", factory)
    assert (merchants["deposit_method"], merchants["deposit_factory"]) == (None, None)
    place = after["crypto_deposit_addresses"]["eip155:84532"]["address"].lower()
    with api.database.begin() as connection:
        found = find_address(connection, place)
    assert found is not None
    assert (found.factory, found.networks) == (factory, ["eip155:84532"])
    # What a customer was told stays, whatever is given out later.
    for made in (before, after):
        again = client.v1.customers.retrieve(made.id)
        assert again["crypto_deposit_addresses"] == made["crypto_deposit_addresses"]


def test_details_are_changed_unset_and_kept(api: Api) -> None:
    client = api.stripe()
    made = client.v1.customers.create(
        {"name": "Zoë", "email": "zoe@example.org", "metadata": {"a": "1", "b": "2"}}
    )
    changed = client.v1.customers.update(
        made.id, {"email": "", "description": "A payer", "metadata": {"a": "", "c": "3"}}
    )
    assert (changed.name, changed.email, changed.description) == ("Zoë", None, "A payer")
    assert changed["metadata"].to_dict() == {"b": "2", "c": "3"}
    assert client.v1.customers.update(made.id, {"metadata": ""})["metadata"].to_dict() == {}


def test_a_deleted_customer_says_only_that_it_is(api: Api) -> None:
    client = api.stripe()
    made = client.v1.customers.create({"name": "Gone", "email": "gone@example.org"})
    deleted = client.v1.customers.delete(made.id)
    assert deleted.deleted
    assert client.v1.customers.retrieve(made.id).to_dict() == {
        "id": made.id,
        "object": "customer",
        "deleted": True,
    }
    assert made.id not in [each.id for each in client.v1.customers.list({"limit": 100}).data]
    for again in (client.v1.customers.delete, client.v1.customers.update):
        with pytest.raises(stripe.InvalidRequestError) as missing:
            again(made.id)
        assert missing.value.http_status == 404
    with api.database.begin() as connection:
        row = connection.exec_driver_sql(
            "SELECT name, email FROM customers WHERE id = %s", (made.id,)
        ).one()
    assert tuple(row) == (None, None)


def test_customers_by_email(api: Api) -> None:
    client = api.stripe()
    made = client.v1.customers.create({"email": "only@example.org"})
    found = client.v1.customers.list({"email": "only@example.org"}).data
    assert [each.id for each in found] == [made.id]


def test_a_customer_stands_in_the_place_of_its_id(api: Api) -> None:
    client = api.stripe()
    made = client.v1.customers.create({"name": "Expanded"})
    intent = client.v1.payment_intents.create(
        {"amount": 100, "currency": "usd", "customer": made.id, "expand": ["customer"]}
    )
    assert intent.customer["name"] == "Expanded"  # type: ignore[index]
    assert client.v1.payment_intents.retrieve(intent.id).customer == made.id
    listed = client.v1.payment_intents.list({"customer": made.id, "expand": ["data.customer"]})
    assert [each.customer["name"] for each in listed.data] == ["Expanded"]  # type: ignore[index]
    # A key that may not read customers does not read them in another object either.
    wanted = {"kind": "restricted", "scopes": ["payment_intents:read"]}
    key = api.call("POST", "/v1/api_keys", json=wanted).json()["secret"]
    path = f"/v1/payment_intents/{intent.id}"
    assert api.call("GET", path, key=key).json()["customer"] == made.id
    for place in (f"{path}?expand[]=customer", "/v1/payment_intents?expand[]=data.customer"):
        assert api.call("GET", place, key=key).status_code == 403


def test_the_changes_are_events(api: Api) -> None:
    client = api.stripe()
    made = client.v1.customers.create({"name": "One"})
    client.v1.customers.update(made.id, {"name": "Two"})
    client.v1.customers.delete(made.id)
    events = api.call("GET", f"/v1/events?related_object={made.id}").json()["data"]
    assert [event["type"] for event in events] == [
        "customer.deleted",
        "customer.updated",
        "customer.created",
    ]
    assert events[1]["data"]["previous_attributes"] == {"name": "One"}
