"""Every route: what another account sees of one's objects, and what a restricted key may do.

Both are made from the table of routes: a new route is swept without a word here, and one whose
object cannot be made here fails until it can.
"""

import re
from typing import Any

import pytest

from sakk.api.app import ROUTES
from sakk.api.route import Route, scopes
from sakk.store.identity import new_id
from tests.api.objects import Objects
from tests.api.world import Api

# What belongs to no account: every key of the mode may read it.
SHARED = {"currencies", "liability_epochs", "networks"}
OF_ACCOUNTS = [route for route in ROUTES if route.path_parameters and route.resource not in SHARED]
# An account itself stands in both modes.
OF_MODES = [route for route in OF_ACCOUNTS if route.resource != "accounts"]
LISTS = [
    route
    for route in ROUTES
    if route.is_list
    and not route.path_parameters
    and not route.operator_only
    and route.resource not in SHARED
]


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def _path(route: Route, objects: Objects) -> str:
    return re.sub(r"{(\w+)}", lambda match: objects[match[1]], route.path)


# Bodies that are complete, where a route looks at them before it looks for the object.
BODIES: dict[str, dict[str, Any]] = {
    "replay_webhooks": {"since": 0},
    "top_up_channel": {"amount": 1},
    "create_mandate_spend": {"reference": "1", "amount": 1, "payee": {}},
    "park_under_mandate": {"reference": "1", "amount": 1},
    "unpark_under_mandate": {"reference": "1", "amount": 1},
    "create_charge_refund": {"session": "ses_1", "nonce": "1"},
    "create_channel_dispute": {"session": "ses_1", "nonce": "1", "reason": "empty"},
    "resolve_channel_dispute": {"outcome": "withdraw"},
    "create_party_link": {"party": "pty_none", "relation": "director"},
    "create_party_document": {
        "kind": "other",
        "name": "a.pdf",
        "media_type": "application/pdf",
        "content": "JVBERi0=",
    },
}


def _body(route: Route) -> dict[str, Any]:
    return BODIES.get(route.operation, {})


@pytest.mark.parametrize("route", OF_ACCOUNTS, ids=_name)
def test_another_accounts_objects_are_not_there(api: Api, objects: Objects, route: Route) -> None:
    answer = api.call(
        route.method,
        _path(route, objects),
        key=api.world.bob.key,
        **({"json": _body(route)} if route.method == "POST" else {}),
    )
    if route.operator_only:
        assert answer.status_code == 403
        return
    assert answer.status_code == 404, answer.text
    assert answer.json()["error"]["code"] == "resource_missing"


@pytest.mark.parametrize("route", OF_MODES, ids=_name)
def test_the_other_modes_objects_are_not_there(api: Api, objects: Objects, route: Route) -> None:
    answer = api.call(
        route.method,
        _path(route, objects),
        key=api.world.live_key,
        **({"json": _body(route)} if route.method == "POST" else {}),
    )
    assert answer.status_code == (403 if route.operator_only else 404), answer.text


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.path_parameters and route.method == "GET"],
    ids=_name,
)
def test_ones_own_objects_are_there(api: Api, objects: Objects, route: Route) -> None:
    """Without this the two sweeps above would pass on ids that are nobody's."""
    key = api.world.operator.key if route.operator_only else api.world.alice.key
    answer = api.call("GET", _path(route, objects), key=key)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("route", LISTS, ids=_name)
def test_lists_show_nothing_of_another_account(api: Api, objects: Objects, route: Route) -> None:
    alice = _ids(api, route, api.world.alice.key)
    assert alice, "nothing was made of this kind"
    assert not alice & _ids(api, route, api.world.bob.key)


def _ids(api: Api, route: Route, key: str) -> set[str]:
    data = api.call("GET", f"{route.path}?limit=100", key=key).json()["data"]
    return {each["id"] for each in data}


@pytest.fixture(scope="module")
def restricted(api: Api) -> dict[str, str]:
    """A key of the operator's for every scope, and one that has all others: scope to token."""
    known = scopes(ROUTES)
    keys = {}
    for scope in known:
        for name, granted in ((scope, [scope]), (f"not {scope}", sorted({*known} - {scope}))):
            made = api.call(
                "POST",
                "/v1/api_keys",
                key=api.world.operator.key,
                json={"kind": "restricted", "scopes": granted},
            )
            assert made.status_code == 200, made.text
            keys[name] = made.json()["secret"]
    return keys


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_a_restricted_key_may_do_what_its_scopes_name(
    api: Api, restricted: dict[str, str], route: Route
) -> None:
    path = re.sub(r"{\w+}", "nobody", route.path)

    def ask(key: str) -> tuple[int, str]:
        answer = api.call(route.method, path, key=key, headers={"Idempotency-Key": new_id("key")})
        return answer.status_code, answer.text

    status, text = ask(restricted[route.scope])
    if route.secret_key_only:
        assert status == 403
    else:
        assert status in (200, 400, 404), text
    status, text = ask(restricted[f"not {route.scope}"])
    assert status == 403
    assert route.scope in text


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.operator_only],
    ids=_name,
)
def test_what_is_the_operators_alone(api: Api, route: Route) -> None:
    path = re.sub(r"{\w+}", "nobody", route.path)
    answer = api.call(route.method, path, key=api.world.alice.key)
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "permission_error"


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_nothing_is_done_without_a_key(api: Api, route: Route) -> None:
    path = re.sub(r"{\w+}", "nobody", route.path)
    answer = api.call(route.method, path, headers={"Authorization": ""})
    assert answer.status_code == 401
