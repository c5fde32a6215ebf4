"""The console as an attacker meets it: forged forms, floods, codes guessed from a stolen sign-in.

Forgeries are tried against every address of the tables, whatever it does.
"""

import re

import pytest

from sakk.console.door import ENTRANCES_BURST
from sakk.console.request import is_ours
from sakk.console.table import ENTRANCES, SCREENS
from tests.console.browser import HOST, ORIGIN
from tests.console.office import Office
from tests.console.test_sign_in import welcomed

POSTS = [each.path for each in SCREENS if each.method == "POST"]
POSTS += [each.path for each in ENTRANCES if each.method == "POST"]
FORGED: tuple[dict[str, str], ...] = (
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"sec-fetch-site": "cross-site"},
    {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    {},
)


def test_no_form_of_another_site_does_anything(office: Office) -> None:
    """With the person's cookies and even with the page's token: where it comes from decides."""
    for number, path in enumerate(POSTS):
        if number % 10 == 0:
            # Each person and each network asks no more than limits allow.
            browser = office.browser(office.person("owner"))
            assert browser.page is not None
            fields = browser.page.fields()
        where = re.sub(r"{\w+}", "made_up", path)
        for headers in FORGED:
            assert browser.send("POST", where, form=fields, headers=headers).status == 403, path
        bare = {**fields, "_csrf": ""}
        for form in (bare, {**fields, "_csrf": "é"}, {**fields, "_csrf": ["a", "b"]}):
            got = browser.send("POST", where, form=form, headers={"origin": ORIGIN})
            assert got.status == 403, path
    assert browser.get("/console/security").status == 200


@pytest.mark.parametrize(
    ("headers", "is_secure", "ours"),
    [
        ({"origin": f"https://{HOST}"}, True, True),
        # The same name without TLS is whoever sits on the line.
        ({"origin": f"http://{HOST}"}, True, False),
        ({"origin": f"http://{HOST}"}, False, True),
        ({"origin": f"https://{HOST}@evil.example"}, True, False),
        ({"origin": f"https://{HOST}.evil.example"}, True, False),
        ({"origin": "https://localhost:1"}, True, False),
        ({"origin": ""}, True, False),
        ({"sec-fetch-site": "same-origin"}, True, True),
        ({"sec-fetch-site": "none"}, True, False),
        ({"sec-fetch-site": "same-origin", "origin": "https://evil.example"}, True, False),
    ],
)
def test_where_a_form_comes_from(headers: dict[str, str], is_secure: bool, ours: bool) -> None:
    assert is_ours({"host": HOST, **headers}, is_secure=is_secure) is ours


def test_who_has_a_network_of_addresses_is_one(office: Office) -> None:
    """By version 6 each try can come from another address; the next network is let in."""
    flood = [
        office.browser(address=f"2001:db8:7:23{number % 256:02x}::{number:x}")
        for number in range(int(ENTRANCES_BURST) + 20)
    ]
    assert {each.get("/console/sign-in").status for each in flood} == {200, 429}
    refused = flood[-1].get("/console/sign-in")
    assert (refused.status, "Wait a minute" in refused.text) == (429, True)
    assert office.browser(address="2001:db8:7:2400::1").get("/console/sign-in").status == 200


def test_a_stolen_sign_in_guesses_no_code(office: Office) -> None:
    """Codes lock after a few, whatever comes then, and the sign-in stays where it was."""
    person = office.person("owner")
    browser, _, _ = welcomed(office, person)
    office.unprove()
    browser.get("/console/security")
    for number in range(12):
        guess = browser.post("/console/security/recovery-codes", {"_code": f"{number:06}"})
        assert guess.status in (403, 429)
    assert not re.search(r"[A-Z0-9]{4}-[A-Z0-9]{4}", guess.text)
    assert browser.get("/console/security").status == 200
