"""Lists over the wire: newest first, both ways, bounded by time; read by the Stripe client."""

import pytest

from tests.api.world import Api


@pytest.fixture(scope="module")
def customers(api: Api) -> list[str]:
    """Twelve customers of Bob's, newest first; nobody else makes any for him."""
    client = api.stripe(api.world.bob.key)
    made = [client.v1.customers.create({"name": f"Customer {n}"}) for n in range(12)]
    return [customer.id for customer in reversed(made)]


def ids(api: Api, query: str) -> tuple[list[str], bool]:
    answer = api.call("GET", f"/v1/customers?{query}", key=api.world.bob.key)
    page = answer.json()
    assert page["object"] == "list"
    assert page["url"] == "/v1/customers"
    return [each["id"] for each in page["data"]], page["has_more"]


def test_ten_by_default_newest_first(api: Api, customers: list[str]) -> None:
    assert ids(api, "") == (customers[:10], True)
    assert ids(api, "limit=12") == (customers, False)
    assert ids(api, "limit=100") == (customers, False)


@pytest.mark.parametrize("size", [1, 5, 11])
def test_forward_and_back(api: Api, customers: list[str], size: int) -> None:
    seen: list[str] = []
    has_more = True
    while has_more:
        cursor = f"&starting_after={seen[-1]}" if seen else ""
        page, has_more = ids(api, f"limit={size}{cursor}")
        seen += page
    assert seen == customers
    back: list[str] = []
    has_more = True
    while has_more:
        before = back[0] if back else customers[-1]
        page, has_more = ids(api, f"limit={size}&ending_before={before}")
        back = page + back
    assert back == customers[:-1]


def test_the_ends(api: Api, customers: list[str]) -> None:
    assert ids(api, f"starting_after={customers[-1]}") == ([], False)
    assert ids(api, f"ending_before={customers[0]}") == ([], False)


def test_anothers_cursor_is_400(api: Api, customers: list[str]) -> None:
    for param in ("starting_after", "ending_before"):
        answer = api.call("GET", f"/v1/customers?{param}={customers[0]}")
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("resource_missing", param)


def test_bounds_of_time(api: Api, customers: list[str]) -> None:
    created = api.stripe(api.world.bob.key).v1.customers.retrieve(customers[0]).created
    assert ids(api, f"created[gt]={created}&limit=100") == ([], False)
    assert ids(api, f"created[lte]={created + 1}&limit=100") == (customers, False)
    assert ids(api, "created[lt]=1000&limit=100") == ([], False)
    assert ids(api, f"created[gte]={created - 3600}&limit=100")[0] == customers


def test_the_stripe_client_turns_the_pages_itself(api: Api, customers: list[str]) -> None:
    client = api.stripe(api.world.bob.key)
    pages = client.v1.customers.list({"limit": 5})
    assert [each.id for each in pages.auto_paging_iter()] == customers
    before = client.v1.customers.list({"limit": 5, "ending_before": customers[-1]})
    assert [each.id for each in before.auto_paging_iter()] == customers[:-1][::-1]


def test_lists_of_configuration_have_pages_too(api: Api) -> None:
    first = api.call("GET", "/v1/currencies?limit=1").json()
    assert first["has_more"]
    cursor = first["data"][0]["id"]
    second = api.call("GET", f"/v1/currencies?limit=1&starting_after={cursor}").json()
    assert second["data"][0]["id"] != cursor
    whole = api.call("GET", "/v1/currencies?limit=100").json()
    assert not whole["has_more"]
    assert whole["data"][:2] == first["data"] + second["data"]
    back = api.call("GET", f"/v1/currencies?limit=1&ending_before={second['data'][0]['id']}").json()
    assert back["data"] == first["data"]
    missing = api.call("GET", "/v1/currencies?starting_after=doge")
    assert missing.json()["error"]["param"] == "starting_after"
