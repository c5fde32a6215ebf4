"""Exposures over HTTP: the operator's alone."""

import pytest

from sakk.store.network import list_assets
from tests.api.objects import NETWORK
from tests.api.world import Api

ADDRESS = "0x" + "5e" * 20


def path(api: Api, network: str = NETWORK, address: str = ADDRESS) -> str:
    with api.database.begin() as connection:
        listed = list_assets(connection, network=NETWORK)
    contract = next(each.contract for each in listed if each.contract)
    return f"/v1/exposures/{network}/{contract}/{address}"


def test_the_operator_asks_and_is_told_what_is_not_known(api: Api) -> None:
    assert api.call("GET", path(api)).status_code == 403
    operator = api.world.operator.key
    for method in ("walk", "haircut", "fifo"):
        query: dict[str, str | int] = {"method": method}
        answer = api.call("GET", path(api), key=operator, params=query)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["address"], found["method"]) == (ADDRESS, method)
        assert (found["total_amount"], found["parts"], found["unknown_amount"]) == ("0", [], "0")
        at = {"height": found["height"], "lists_version": found["lists_version"]}
        assert api.call("GET", path(api), key=operator, params=query | at).json() == found


@pytest.mark.parametrize(
    ("query", "changes", "param"),
    [
        ({}, {"address": "0x12"}, "address"),
        ({}, {"network": "eip155:404"}, "network"),
        ({"height": 0}, {}, "lists_version"),
        ({"lists_version": 0}, {}, "height"),
        ({"height": 10**9, "lists_version": 0}, {}, "height"),
        ({"method": "fifo", "since": 5}, {}, "method"),
        ({"method": "poison"}, {}, "method"),
    ],
)
def test_what_cannot_be_answered_names_its_parameter(
    api: Api, query: dict[str, str | int], changes: dict[str, str], param: str
) -> None:
    answer = api.call("GET", path(api, **changes), key=api.world.operator.key, params=query)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(("contract", "param"), [("0x12", "contract"), ("0x" + "12" * 20, "asset")])
def test_a_contract_is_one_that_is_listed(api: Api, contract: str, param: str) -> None:
    address = f"/v1/exposures/{NETWORK}/{contract}/{ADDRESS}"
    answer = api.call("GET", address, key=api.world.operator.key)
    assert answer.json()["error"]["param"] == param
