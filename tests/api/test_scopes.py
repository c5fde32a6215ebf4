"""Every route: who may ask it, and what another account meets in it.

All of it is made from the table of routes, in one database: a new route is swept without a word
here. One whose object can not be made, whose field names an object that no body of
`tests.api.theirs` reaches, or whose noun has no row in `sakk.core.role`, fails until it is there.
"""

from typing import Any

import pytest

from sakk.api.app import ROUTES
from sakk.api.route import Route, scopes
from sakk.core.role import RESOURCES, Role, may
from tests.api.objects import Objects
from tests.api.sweep import Place, another, ask, changed, filled, nobodys, places, put, rows
from tests.api.theirs import (
    BODIES,
    NAMED,
    NO_ONES,
    PAID,
    PUBLIC,
    REFERENCES,
    keys_of_roles,
    make_theirs,
)
from tests.api.world import Api

# What belongs to no account: every key of the mode may read it.
SHARED = {"currencies", "liability_epochs", "networks", "rates"}
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
CURSORS = ("starting_after", "ending_before")


def test_another_accounts_objects_are_not_there(api: Api, objects: Objects) -> None:
    """An id of Alice's answers Bob as one that nobody has, whatever is asked; nothing changes."""
    wrong, before = [], rows(api)
    for route in OF_ACCOUNTS:
        body = BODIES.get(route.operation)
        nowhere = {name: another(identifier) for name, identifier in objects.items()}
        met = ask(api, route, filled(route.path, objects), api.world.bob.key, body)
        missed = ask(api, route, filled(route.path, nowhere), api.world.bob.key, body)
        expected = (403, "permission_denied") if route.operator_only else (404, "resource_missing")
        # Epochs are everybody's: who has no proof in one that is there is told so.
        same = route.resource == "liability_proofs" or (
            met.without(objects) == missed.without(nowhere)
        )
        if (met.status, met.code) != expected or not same:
            wrong.append((route.operation, met, missed))
    assert not wrong, "\n".join(map(str, wrong))
    assert not changed(before, rows(api))


def test_the_other_modes_objects_are_not_there(api: Api, objects: Objects) -> None:
    wrong, before = [], rows(api)
    for route in OF_MODES:
        path = filled(route.path, objects)
        met = ask(api, route, path, api.world.live_key, BODIES.get(route.operation))
        if met.status != (403 if route.operator_only else 404):
            wrong.append((route.operation, met))
    assert not wrong, "\n".join(map(str, wrong))
    assert not changed(before, rows(api))


def test_the_operator_who_acts_for_one_account_meets_no_other(api: Api, objects: Objects) -> None:
    """Of what is the account's: what is the operator's own is so for whomever it acts."""
    wrong, before = [], rows(api)
    for route in OF_MODES:
        if route.operator_only:
            continue
        path, body = filled(route.path, objects), BODIES.get(route.operation)
        acting = {"Stripe-Account": api.world.bob.account}
        met = ask(api, route, path, api.world.operator.key, body, **acting)
        if met.status != 404:
            wrong.append((route.operation, met))
    assert not wrong, "\n".join(map(str, wrong))
    assert not changed(before, rows(api))


def test_an_agent_meets_nothing_but_its_mandate(api: Api, objects: Objects) -> None:
    """A key of Alice's that is bound to a mandate finds nothing else of hers."""
    bound = {"kind": "restricted", "mandate": objects["mandate"]}
    key = api.call("POST", "/v1/api_keys", json=bound).json()["secret"]
    wrong, before = [], rows(api)
    theirs = objects | {"mandate": another(objects["mandate"])}
    for route in ROUTES:
        met = ask(api, route, filled(route.path, theirs), key, BODIES.get(route.operation))
        if met.status not in (403, 404):
            wrong.append((route.operation, met))
    assert not wrong, "\n".join(map(str, wrong))
    assert not changed(before, rows(api))


def test_what_fields_name_of_another_account_is_not_there(api: Api, objects: Objects) -> None:
    """The same of ids in a body and a query, which are found by their type in the models."""
    theirs = make_theirs(api)
    wrong, before = [], rows(api)
    for route, place in _references(objects):
        own = theirs | ({"channel": theirs[PAID]} if route.operation == PAID else {})
        path = filled(route.path, own)
        name = NAMED.get(place[-1], place[-1])
        answers = []
        for identifier in (objects[name], another(objects[name])):
            if route.method == "POST":
                body = put(REFERENCES[route.operation, ".".join(place)], place, identifier)
                got = ask(api, route, path, api.world.bob.key, body)
            else:
                query = f"?{place[0]}={identifier}"
                got = ask(api, route, path + query, api.world.bob.key)
            reached = got.status == 200 or identifier in got.text or got.names(place[-1])
            answers.append(got.without({name: identifier}))
        if answers[0] != answers[1] or not reached:
            wrong.append((route.operation, place, *answers))
    assert not wrong, "\n".join(map(str, wrong))
    assert not changed(before, rows(api))


def _references(objects: Objects) -> list[tuple[Route, Place]]:
    """Every field that names an object of somebody's, where Bob may ask."""
    found = []
    for route in ROUTES:
        for place in () if route.operator_only else places(route.parameters):
            name = place[-1]
            if name in NO_ONES or name in CURSORS:
                continue
            where = (route.operation, ".".join(place))
            if where in PUBLIC:
                continue
            assert NAMED.get(name, name) in objects, f"of what is {where}? tests/api/theirs.py"
            assert route.method == "GET" or where in REFERENCES, f"no body for {where}"
            found.append((route, place))
    return found


def test_cursors_of_another_account_are_none(api: Api, objects: Objects) -> None:
    wrong = []
    for route in LISTS:
        [theirs, *_] = sorted(_ids(api, route, api.world.alice.key))
        for name in CURSORS:
            answers = [
                ask(api, route, f"{route.path}?{name}={each}", api.world.bob.key).without(
                    {"": each}
                )
                for each in (theirs, another(theirs))
            ]
            if answers[0] != answers[1] or answers[0].status != 400:
                wrong.append((route.operation, *answers))
    assert not wrong, "\n".join(map(str, wrong))


def test_lists_show_nothing_of_another_account(api: Api, objects: Objects) -> None:
    for route in LISTS:
        alice = _ids(api, route, api.world.alice.key)
        assert alice, f"nothing was made for {route.operation}"
        bob = _ids(api, route, api.world.bob.key)
        for shared in alice.keys() & bob.keys():
            one, other = alice[shared], bob[shared]
            match route.operation:
                case "list_connected_accounts":
                    # A connection is of both sides, and names them.
                    assert one["account"] == api.world.bob.account
                case "list_balance_transactions":
                    # What one gave the other is a line of both.
                    assert one["amount"] == -other["amount"] != 0
                case other_lists:
                    pytest.fail(other_lists)


def _ids(api: Api, route: Route, key: str) -> dict[str, dict[str, Any]]:
    data = api.call("GET", f"{route.path}?limit=100", key=key).json()["data"]
    return {each["id"]: each for each in data}


def test_ones_own_objects_are_there(api: Api, objects: Objects) -> None:
    """Without this the sweeps above would pass on ids that are nobody's."""
    for route in ROUTES:
        if route.path_parameters and route.method == "GET":
            key = api.world.operator.key if route.operator_only else api.world.alice.key
            got = ask(api, route, filled(route.path, objects), key)
            assert got.status == 200, (route.operation, got)


@pytest.fixture(scope="module")
def people(api: Api) -> dict[Role, str]:
    """A key of somebody of each role."""
    return keys_of_roles(api)


def test_nobody_makes_a_key_that_may_more_than_they(api: Api, people: dict[Role, str]) -> None:
    """A key for an account is nobody's: what its maker may not, it would let them do."""
    statuses = {}
    for body in (
        {"kind": "secret"},
        {"kind": "restricted", "scopes": ["customers:write", "payouts:write"]},
        {"kind": "restricted", "scopes": ["customers:write"]},
    ):
        for role in (Role.developer, Role.admin):
            answer = api.call(
                "POST",
                "/v1/api_keys",
                key=people[role],
                headers={"Stripe-Account": api.world.alice.account},
                json=body,
            )
            statuses[role, str(body.get("scopes"))] = answer.status_code
    assert list(statuses.values()) == [403, 200, 403, 200, 200, 200]


def test_each_role_may_what_the_table_says(api: Api, people: dict[Role, str]) -> None:
    """Somebody of each role, at every route: allowed or not as the table says, and no fault."""
    wrong = []
    for route in ROUTES:
        assert route.resource in RESOURCES, f"{route.resource} has no row in sakk.core.role"
        for role, key in people.items():
            got = ask(api, route, nobodys(route.path), key)
            refused = f"Your roles ({role}) do not include {route.scope}."
            if may([role], route.resource, route.access):
                is_right = got.status in (200, 400, 403, 404) and "Your roles" not in got.text
            else:
                is_right = got.status == 403 and refused in got.text
            if not is_right:
                wrong.append((route.operation, role, got))
    assert not wrong, "\n".join(map(str, wrong))


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


def test_a_restricted_key_may_do_what_its_scopes_name(api: Api, restricted: dict[str, str]) -> None:
    for route in ROUTES:
        path = nobodys(route.path)
        got = ask(api, route, path, restricted[route.scope])
        # Something else may be asked for: a person, or live mode for what both modes share.
        if route.secret_key_only:
            assert got.status == 403, (route.operation, got)
        elif got.status not in (200, 400, 404):
            assert (got.status, route.scope in got.text) == (403, False), (route.operation, got)
        got = ask(api, route, path, restricted[f"not {route.scope}"])
        assert got.status == 403, (route.operation, got)
        assert route.scope in got.text, (route.operation, got)


def test_what_is_the_operators_alone(api: Api) -> None:
    for route in ROUTES:
        if route.operator_only:
            got = ask(api, route, nobodys(route.path), api.world.alice.key)
            assert (got.status, got.code) == (403, "permission_denied"), (route.operation, got)


def test_nothing_is_done_without_a_key(api: Api) -> None:
    for route in ROUTES:
        answer = api.call(route.method, nobodys(route.path), headers={"Authorization": ""})
        assert answer.status_code == 401, route.operation
