"""The team and the audit log: two admins for the operator's people, a manager for an account's."""

import re

import pyotp
import pytest

from sakk.flow import audit
from sakk.store import membership as memberships
from sakk.store.identity import now
from tests.console.browser import Browser, Got
from tests.console.office import Office

TEAM = "/console/team"


def link_of(got: Got) -> str:
    assert got.status == 200
    found = re.search(r"http://localhost:8402(/console/welcome/[\w-]+)", got.text)
    assert found is not None
    return found[1]


def invite(browser: Browser, email: str, *roles: str) -> Got:
    browser.get(TEAM)
    return browser.post(TEAM, {"name": "Newcomer", "email": email, "roles": list(roles)})


def come_in(office: Office, path: str, code: str = "") -> Got:
    browser = office.browser()
    found = re.search(r'name="secret" value="([A-Z2-7]{32})"', browser.get(path).text)
    if found is None:
        return browser.get(path)
    form = {
        "password": "correct horse battery staple",
        "secret": found[1],
        "first_code": pyotp.TOTP(found[1]).now(),
        "code": code,
    }
    return browser.post(f"{path}/password", form)


def approve(browser: Browser, person: str) -> Got:
    """Approve what the page shows."""
    form = re.escape(f'action="{TEAM}/{person}/approve"')
    shown = re.search(form + r'.*?name="digest" value="(\w{64})"', browser.get(TEAM).text)
    assert shown is not None
    return browser.post(f"{TEAM}/{person}/approve", {"digest": shown[1]})


def test_one_admin_does_not_make_a_second_self(office: Office) -> None:
    """The link goes to one admin and the code to another, who approves: neither comes in alone."""
    one, other = office.browser(office.person("admin")), office.browser(office.person("admin"))
    path = link_of(invite(one, "new1@example.com", "finance", "approver"))
    assert come_in(office, path).status == 401
    page = other.get(TEAM)
    [person] = re.findall(r"/console/team/(per_\w+)/approve", page.text)
    assert approve(one, person).status == 403
    assert approve(other, person).status == 303
    assert one.post(f"{TEAM}/{person}/code").status == 403
    shown = other.post(f"{TEAM}/{person}/code")
    code = re.search(r"<bdi class=\"code\" dir=\"ltr\">([A-Z2-7]{8})</bdi>", shown.text)
    assert code is not None
    assert come_in(office, path).status == 400
    assert come_in(office, path, "AAAAAAAA").status == 400
    assert come_in(office, path, code[1].lower()).status == 200
    assert come_in(office, path, code[1]).status == 401
    other.get(TEAM)
    assert other.post(f"{TEAM}/{person}/suspend").status == 303


def test_a_code_is_not_guessed(office: Office) -> None:
    one, other = office.browser(office.person("admin")), office.browser(office.person("admin"))
    path = link_of(invite(one, "new2@example.com", "viewer"))
    [person] = re.findall(r"/console/team/(per_\w+)/approve", other.get(TEAM).text)
    assert approve(other, person).status == 303
    for _ in range(5):
        assert come_in(office, path, "AAAAAAAA").status in (400, 401)
    assert come_in(office, path, "AAAAAAAA").status == 401


def test_an_accounts_owner_manages_its_people_and_no_others(office: Office) -> None:
    owner = office.browser(office.person(alice=["owner"]))
    assert come_in(office, link_of(invite(owner, "new3@example.com", "finance"))).status == 200
    [person] = set(re.findall(r"/console/team/(per_\w+)/change", owner.get(TEAM).text))
    assert owner.post(f"{TEAM}/{person}/change", {"roles": ["support"]}).status == 303
    assert "support" in owner.get(TEAM).text
    stranger = office.browser(office.person(bob=["owner"]))
    stranger.get(TEAM)
    assert stranger.post(f"{TEAM}/{person}/change", {"roles": ["viewer"]}).status == 404
    assert stranger.post(f"{TEAM}/{person}/remove").status == 404
    for roles in (["compliance"], ["king"], []):
        assert invite(owner, "new4@example.com", *roles).status == 400
    admin = office.browser(office.person(alice=["admin"]))
    assert invite(admin, "new5@example.com", "owner").status == 403
    owner.get(TEAM)
    assert owner.post(f"{TEAM}/{person}/remove").status == 303
    assert person not in owner.get(TEAM).text


def test_nobody_gets_the_link_of_another_houses_newcomer(office: Office) -> None:
    """Who has a link comes in as its person, with all their roles, whoever made it."""
    owner = office.browser(office.person(alice=["owner"]))
    stranger = office.browser(office.person(bob=["owner"]))
    invite(owner, "new7@example.com", "finance")
    assert invite(stranger, "new7@example.com", "viewer").status == 400
    assert "new7@example.com" not in stranger.get(TEAM).text
    path = link_of(invite(owner, "new7@example.com", "finance"))
    assert come_in(office, path).status == 200
    assert invite(stranger, "new7@example.com", "viewer").status == 200


def test_a_merchant_does_not_come_in_as_the_operators_newcomer(office: Office) -> None:
    one, other = office.browser(office.person("admin")), office.browser(office.person("admin"))
    owner = office.browser(office.person(alice=["owner"]))
    path = link_of(invite(one, "new8@example.com", "admin"))
    assert invite(owner, "new8@example.com", "viewer").status == 400
    [person] = re.findall(r"/console/team/(per_\w+)/approve", other.get(TEAM).text)
    assert approve(other, person).status == 303
    assert invite(owner, "new8@example.com", "viewer").status == 400
    code = re.search(r">([A-Z2-7]{8})<", other.post(f"{TEAM}/{person}/code").text)
    assert code is not None
    assert come_in(office, path, code[1]).status == 200


def test_nobody_invites_themselves_to_other_roles(office: Office) -> None:
    person = office.person(alice=["admin"])
    admin = office.browser(person)
    assert invite(admin, person.email, "admin", "finance").status == 403
    with office.parts.database.read() as connection:
        assert [each.roles for each in memberships.of_person(connection, person.id)] == [["admin"]]


def test_what_was_done_is_in_the_log(office: Office) -> None:
    admin = office.person("admin")
    browser = office.browser(admin)
    invite(browser, "new6@example.com", "viewer")
    with office.parts.database.begin() as connection:
        audit.seal(connection, now=now())
    page = browser.get(f"/console/audit?by={admin.id}")
    assert page.status == 200
    assert "new6@example.com" in page.text
    assert (f"{admin.id}/sgn_" in page.text, admin.name in page.text) == (True, True)
    for query, is_there in {
        f"by={admin.name.replace(' ', '+')}&object=persons&act=insert": True,
        f"by={admin.email}&object=persons&act=delete": False,
        f"by={admin.email}&object=freezes": False,
        f"by={admin.id}&act=insert": True,
        "by=Nobody+at+all": False,
    }.items():
        found = browser.get(f"/console/audit?{query}").text
        assert ("new6@example.com" in found) == is_there, query
    exported = browser.get(f"/console/audit/export?about={admin.id}")
    assert exported.headers["content-disposition"].startswith("attachment")
    assert admin.id in exported.text
    assert "token_hash" not in page.text or "sha256" in page.text


@pytest.mark.parametrize("where", ["/console/audit", "/console/audit/export"])
def test_the_log_is_the_operators(office: Office, where: str) -> None:
    assert office.browser(office.person(alice=["owner"])).get(where).status == 404
    assert office.browser(office.person("developer")).get(where).status == 403
