"""An account's own address, over the wire."""

from concurrent.futures import ThreadPoolExecutor

from tests.api.world import USDC, Api

NETWORK = "eip155:84532"
PATH = "/v1/receiving_addresses"


def test_it_is_given_once_for_ever(api: Api) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(
            threads.map(
                lambda _: api.call("POST", PATH, json={"network": NETWORK}).json(), range(4)
            )
        )
    [made] = {each["id"]: each for each in answers}.values()
    assert {each["address"] for each in answers} == {made["address"]}
    assert (made["object"], made["network"]) == ("receiving_address", NETWORK)
    assert made["address"] != made["address"].lower()
    assert made["supported_tokens"][0]["token_contract_address"].lower() == USDC
    assert [each["id"] for each in api.call("GET", PATH).json()["data"]] == [made["id"]]
    named = api.call("GET", f"{PATH}?network=eip155:1").json()["data"]
    assert named == []


def test_a_network_that_is_not_there_is_named(api: Api) -> None:
    refused = api.call("POST", PATH, json={"network": "eip155:1"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "network")
