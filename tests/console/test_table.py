"""Sweeps over the one table of screens: every role, and every screen from another tenant's side.

Both are made from the table: a screen that comes later is swept without a word here. A path with a
parameter needs an object of Bob's in `objects`, or the sweep fails.
"""

import re
from typing import Any, Literal, get_args, get_origin

import pytest
from sqlalchemy import text

from sakk.console.route import Screen
from sakk.console.table import ENTRANCES, SCREENS
from sakk.core.role import ACCOUNT_ROLES, RESOURCES, Role, may
from sakk.pages.limit import TokenBuckets
from tests.console.browser import ORIGIN, Browser
from tests.console.objects import objects
from tests.console.office import Office

# What a form needs where no number will do.
EXAMPLES = {
    "path": "/console/payments",
    "screen": "/console/payments",
    "email": "a@example.com",
    "roles": "viewer",
}


@pytest.fixture(scope="module")
def browsers(office: Office) -> dict[str, Browser]:
    """Somebody of each role: everywhere, and in Alice's account alone (``alice:owner``).

    They ask for every screen at once, which the door would not have of people.
    """
    door = office.console.door
    door._persons = TokenBuckets(rate=1_000_000.0, burst=1_000_000.0)
    everywhere = {role.value: office.browser(office.person(role)) for role in Role}
    there = {
        f"alice:{role}": office.browser(office.person(alice=[role.value])) for role in ACCOUNT_ROLES
    }
    return everywhere | there


def asked(browser: Browser, screen: Screen, path: str, *, is_filled: bool = False) -> int:
    """The status of a screen. An empty form mostly asks for more; a filled one meets the object."""
    fields = {} if browser.page is None else browser.page.fields()
    if screen.method == "GET":
        return browser.send("GET", path).status
    if is_filled and screen.form is not None:
        for name, each in screen.form.model_fields.items():
            if get_origin(each.annotation) is Literal:
                fields[name] = get_args(each.annotation)[0]
            elif each.is_required() or name in EXAMPLES:
                fields[name] = EXAMPLES.get(name, "1")
    headers = {"origin": "http://localhost:8402"}
    return browser.send("POST", path, form=fields, headers=headers).status


def filled(screen: Screen, ids: dict[str, str]) -> str:
    missing = set(screen.path_parameters) - set(ids)
    assert not missing, f"tests/console/objects.py has no {sorted(missing)} for {screen.path}"
    return re.sub(r"{(\w+)}", lambda found: ids[found[1]], screen.path)


def signs_out(screen: Screen) -> bool:
    """Would it end the sweep?"""
    return screen.path.endswith("/sign-out") and not screen.path_parameters


@pytest.mark.parametrize("who", [*Role, *(f"alice:{role}" for role in ACCOUNT_ROLES)])
def test_each_role_sees_what_the_table_says(
    office: Office, browsers: dict[str, Browser], who: str
) -> None:
    browser = browsers[str(who)]
    place, _, role = str(who).rpartition(":")
    ids: dict[str, Any] = {name: "made_up" for screen in SCREENS for name in screen.path_parameters}
    for screen in SCREENS:
        if signs_out(screen):
            continue
        is_theirs = may([role], screen.resource, screen.access, everywhere=not place)
        if place and screen.operator_only:
            is_theirs = False
        status = asked(browser, screen, filled(screen, ids))
        refused = 404 if place and screen.operator_only else 403
        if is_theirs:
            assert status in {200, 303, 400, 404, 422}, (screen.method, screen.path, status)
        else:
            assert status == refused, (screen.method, screen.path, status)


def test_nothing_of_another_tenants_is_there(office: Office, browsers: dict[str, Browser]) -> None:
    """Whoever stands in Alice's account meets nothing of Bob's, whatever they may do in hers."""
    theirs = objects(office)
    for screen in SCREENS:
        if not screen.path_parameters:
            continue
        path = filled(screen, theirs)
        for role in ACCOUNT_ROLES:
            status = asked(browsers[f"alice:{role}"], screen, path, is_filled=True)
            # Networks are nobody's: whoever may read them reads all.
            if screen.path == "/console/networks/{network}":
                assert status == 200, (role, status)
                continue
            # What removes nothing says that it is gone: below it is looked at whether it is.
            harmless = (403, 404, 303) if "{view}" in screen.path else (403, 404)
            assert status in harmless, (screen.method, path, status)
    with office.parts.database.read() as connection:
        left = connection.execute(
            text("SELECT count(*) FROM saved_views WHERE id = :id"), {"id": theirs["view"]}
        ).scalar_one()
    assert left == 1


def test_roles_in_an_account_do_not_reach_the_operators_own(office: Office) -> None:
    """Whoever owns an account may give roles in it to one of the operator's people."""
    browser = office.browser(office.person("viewer", alice=["owner"]))
    browser.post("/console/look", {"account": office.alice})
    assert browser.get("/console/customers/new").status == 200
    for screen in SCREENS:
        if screen.operator_only and screen.access == "write":
            path = re.sub(r"{\w+}", "made_up", screen.path)
            assert asked(browser, screen, path) == 403, (screen.method, screen.path)


def test_nothing_is_open_to_who_is_not_signed_in(office: Office) -> None:
    stranger = office.browser()
    stranger.get("/console/sign-in")
    # A large file is read of who is signed in alone.
    for browser, is_read in ((stranger, False), (office.browser(office.person("viewer")), True)):
        headers = {"origin": ORIGIN, "content-type": "application/octet-stream"}
        got = browser.send_bytes("POST", "/console/lists", bytes(2 << 20), headers)
        assert (got.status != 413) is is_read
    for screen in SCREENS:
        path = re.sub(r"{\w+}", "made_up", screen.path)
        got = stranger.send(screen.method, path, headers={"origin": "http://localhost:8402"})
        assert (got.status, got.location.partition("?")[0]) == (303, "/console/sign-in"), path


def test_the_table_is_sound() -> None:
    seen = [(screen.method, screen.path) for screen in SCREENS]
    seen += [(entrance.method, entrance.path) for entrance in ENTRANCES]
    assert len(seen) == len(set(seen))
    assert {screen.resource for screen in SCREENS} <= RESOURCES
    for screen in SCREENS:
        assert screen.menu is None or not screen.path_parameters
