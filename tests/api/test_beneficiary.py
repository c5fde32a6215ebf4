"""The address book over the wire, by our own client, and payouts that name it."""

from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from sakk.client import (
    InvalidRequestError,
    ResourceMissingError,
    SakkClient,
)
from sakk.core.evm import checksum_address
from tests.api.world import Api, Tenant

NETWORK = "eip155:84532"


CLIENTS: dict[str, SakkClient] = {}


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    for client in CLIENTS.values():
        client.close()
    CLIENTS.clear()


def client_of(api: Api, tenant: Tenant | None = None) -> SakkClient:
    key = (tenant or api.world.alice).key
    return CLIENTS.setdefault(key, SakkClient(key, api.url))


def add(api: Api, address: str, **details: Any) -> Any:
    return client_of(api).beneficiaries.create(
        **{"name": "Acme", "networks": [NETWORK], "address": address, **details}
    )


def fund(api: Api) -> None:
    answer = api.call("POST", "/v1/probes/fund", json={"amount": 10_000_000})
    assert answer.status_code == 200


def test_an_entry_is_kept_shown_and_told(api: Api) -> None:
    address = "0x" + "c1" * 20
    made = add(
        api,
        address,
        travel_rule={"type": "legal", "name": "Acme Ltd", "wallet": "hosted", "country": "AT"},
        metadata={"vendor": "7"},
    )
    assert (made.address, made.status) == (checksum_address(address), "active")
    assert made.travel_rule["name"] == "Acme Ltd"
    held = client_of(api).beneficiaries.retrieve(made.id)
    assert held == made
    assert [each.id for each in client_of(api).beneficiaries.list(address=made.address)] == [
        made.id
    ]
    told = api.call("GET", f"/v1/events?related_object={made.id}").json()["data"]
    assert [each["type"] for each in told] == ["beneficiary.created"]
    with pytest.raises(ResourceMissingError):
        client_of(api, api.world.bob).beneficiaries.retrieve(made.id)


def test_what_decides_where_money_goes_does_not_change(api: Api) -> None:
    made = add(api, "0x" + "c2" * 20)
    changed = client_of(api).beneficiaries.update(made.id, name="Other", description="d")
    assert (changed.name, changed.description) == ("Other", "d")
    for field in ("address", "networks", "usable_at", "confirmed_unlike"):
        answer = api.call("POST", f"/v1/beneficiaries/{made.id}", json={field: "x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "parameter_unknown")
    answer = api.call("POST", f"/v1/beneficiaries/{made.id}", json={"name": None})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "name")


def test_one_address_has_one_living_entry(api: Api) -> None:
    address = "0x" + "c3" * 20
    made = add(api, address)
    with pytest.raises(InvalidRequestError, match="already"):
        add(api, address)
    assert client_of(api).beneficiaries.delete(made.id).deleted
    assert client_of(api).beneficiaries.retrieve(made.id).deleted
    assert add(api, address).id != made.id
    with pytest.raises(ResourceMissingError):
        client_of(api).beneficiaries.delete(made.id)


@pytest.mark.parametrize(
    ("details", "param"),
    [
        ({"address": "0x" + "00" * 20}, "address"),
        ({"address": "0x70997970C51812dc3A010C7d01b50e0d17dc79c8"}, "address"),
        ({"address": "0x" + "c4" * 20, "networks": ["eip155:1"]}, "networks[0]"),
        ({"address": "0x" + "c4" * 20, "networks": [NETWORK, "eip155:8453"]}, "networks[1]"),
        ({"address": "0x" + "c4" * 20, "confirmed_unlike": "0x" + "c1" * 20}, "confirmed_unlike"),
        ({"address": "0x" + "c4" * 20, "confirmed_unlike": "x"}, "confirmed_unlike"),
    ],
)
def test_entries_that_can_not_be(api: Api, details: dict[str, Any], param: str) -> None:
    body = {"name": "Acme", "networks": [NETWORK], **details}
    answer = api.call("POST", "/v1/beneficiaries", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_the_owner_proves_the_address_by_a_signature(api: Api) -> None:
    owner = Account.from_key("0x" + "5a" * 32)
    made = add(api, owner.address)
    signed = owner.sign_message(encode_defunct(text=made.ownership_message)).signature
    proof = {"type": "eip191", "signature": "0x" + bytes(signed).hex()}
    proved = client_of(api).beneficiaries.update(made.id, ownership=proof)
    assert proved.ownership is not None
    assert proved.ownership["type"] == "eip191"
    other = add(api, "0x" + "c5" * 20)
    with pytest.raises(InvalidRequestError, match="is the signature of"):
        client_of(api).beneficiaries.update(other.id, ownership=proof)


def test_an_address_that_looks_like_a_known_one_needs_it_written_out(api: Api) -> None:
    known, twin = "0xd1d2" + "0" * 32 + "d3d4", "0xd1d2" + "9" * 32 + "d3d4"
    entry = add(api, known)
    fund(api)
    body = {
        "amount": 1_000_000,
        "currency": "usdc",
        "destination": {"network": NETWORK, "address": twin},
    }
    answer = api.call("POST", "/v1/payouts", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "destination[address]")
    assert entry.id in error["message"]
    assert checksum_address(known) in error["message"]
    with pytest.raises(InvalidRequestError, match="poisoning"):
        add(api, twin)
    with pytest.raises(InvalidRequestError, match="poisoning"):
        add(api, twin, confirmed_unlike=twin)
    meant = add(api, twin, confirmed_unlike=checksum_address(known))
    assert meant.confirmed_unlike == checksum_address(known)
    payout = client_of(api).payouts.create(
        amount=1_000_000, currency="usdc", network=NETWORK, address=twin
    )
    assert payout.destination.beneficiary == meant.id


def test_a_payout_names_its_beneficiary(api: Api) -> None:
    made = add(api, "0x" + "c6" * 20)
    fund(api)
    paid = client_of(api).payouts.create(amount=1_000_000, currency="usdc", beneficiary=made.id)
    assert paid.destination.address == made.address
    assert (paid.destination.network, paid.destination.beneficiary) == (NETWORK, made.id)
    short = api.call(
        "POST", "/v1/payouts", json={"amount": 1, "currency": "usdc", "destination": made.id}
    )
    assert short.json()["destination"]["beneficiary"] == made.id
    listed = client_of(api).payouts.list(beneficiary=made.id)
    assert [each.id for each in listed] == [short.json()["id"], paid.id]


@pytest.mark.parametrize(
    ("destination", "param"),
    [
        ("ben_nobody", "destination[beneficiary]"),
        ({"beneficiary": "ben_nobody"}, "destination[beneficiary]"),
        ({"network": NETWORK}, "destination[address]"),
        ({"address": "0x" + "c6" * 20}, "destination[network]"),
        ({}, "destination[address]"),
        (
            {"beneficiary": "ben_x", "network": NETWORK, "address": "0x" + "c6" * 20},
            "destination[beneficiary]",
        ),
        ({"network": "eip155:1", "address": "0x" + "c7" * 20}, "destination[address]"),
    ],
)
def test_destinations_that_can_not_be(api: Api, destination: Any, param: str) -> None:
    body = {"amount": 1, "currency": "usdc", "destination": destination}
    answer = api.call("POST", "/v1/payouts", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_new_entry_waits_and_only_the_book_is_paid(api: Api) -> None:
    operator = client_of(api, api.world.operator)
    account = operator.accounts.create(name="Careful").id
    sakk = operator.for_account(account)
    acting = {"Stripe-Account": account}

    def settle(**payouts: Any) -> None:
        body = {"settings": {"payouts": payouts}}
        path = f"/v1/accounts/{account}"
        answer = api.call("POST", path, key=api.world.operator.key, json=body)
        assert answer.json()["settings"]["payouts"].items() >= payouts.items()

    settle(destinations="address_book", beneficiary_delay_seconds=0)
    fund = {"amount": 10_000_000}
    api.call("POST", "/v1/probes/fund", key=api.world.operator.key, headers=acting, json=fund)
    first = sakk.beneficiaries.create(name="A", address="0x" + "c8" * 20, networks=[NETWORK])
    stranger = "0x" + "ca" * 20
    with pytest.raises(InvalidRequestError, match="only the beneficiaries"):
        sakk.payouts.create(amount=1, currency="usdc", network=NETWORK, address=stranger)
    paid = sakk.payouts.create(amount=1, currency="usdc", network=NETWORK, address=first.address)
    assert paid.destination.beneficiary == first.id
    settle(beneficiary_delay_seconds=3_600)
    second = sakk.beneficiaries.create(name="B", address="0x" + "c9" * 20, networks=[NETWORK])
    assert (second.status, second.usable_at) == ("waiting", second.created + 3_600)
    for destination in (
        {"beneficiary": second.id},
        {"network": NETWORK, "address": second.address},
    ):
        with pytest.raises(InvalidRequestError, match="may be paid from"):
            sakk.payouts.create(amount=1, currency="usdc", **destination)


def test_a_merchant_does_not_shorten_its_own_wait(api: Api) -> None:
    body = {"settings": {"payouts": {"beneficiary_delay_seconds": 0}}}
    answer = api.call("POST", f"/v1/accounts/{api.world.alice.account}", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (403, "settings[payouts]")
