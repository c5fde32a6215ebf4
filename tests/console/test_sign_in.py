"""Signing in: by passkeys, by password and code, by invitations; and what is no way in."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyotp
import pytest

from sakk.core.errors import StepUpRequired
from sakk.core.invitation import InvitationKind
from sakk.core.person import Person
from sakk.core.sign_in import TRIES_MAX
from sakk.core.site import Site
from sakk.flow import credential as credentials
from sakk.flow import password as passwords
from sakk.flow import proof
from sakk.flow import sign_in as sign_ins
from sakk.store import person as persons
from sakk.store.actor import acting
from tests.console.authenticator import PRESENT, Authenticator
from tests.console.browser import Browser, Got
from tests.console.office import Office

PASSWORD = "correct horse battery staple"
SIGN_IN = "/console/sign-in"
_SECRET = re.compile(r'name="secret" value="([A-Z2-7]{32})"')
_CODES = re.compile(r"<li><bdi class=\"code\" dir=\"ltr\">([A-Z2-7-]{19})</bdi></li>")


def welcomed(office: Office, person: Person) -> Any:
    """Who came in by password: their browser, their secret and their recovery codes."""
    browser = office.browser()
    path = f"/console/welcome/{office.link(person, InvitationKind.welcome)}"
    found = _SECRET.search(browser.get(path).text)
    assert found is not None
    secret = found[1]
    got = browser.post(
        f"{path}/password",
        {"password": PASSWORD, "secret": secret, "first_code": pyotp.TOTP(secret).now()},
    )
    assert got.status == 200
    return browser, secret, _CODES.findall(got.text)


def with_passkey(office: Office, person: Person, device: Authenticator) -> Browser:
    """Who came in by making a passkey."""
    browser = office.browser()
    path = f"/console/welcome/{office.link(person, InvitationKind.welcome)}"
    browser.get(path)
    options = json.loads(browser.post(f"{path}/options").body)
    got = browser.post(f"{path}/passkey", {"passkey": device.create(options)})
    assert got.status == 200
    assert len(_CODES.findall(got.text)) == 10
    return browser


def by_passkey(browser: Browser, device: Authenticator) -> Got:
    browser.get(SIGN_IN)
    options = json.loads(browser.post(f"{SIGN_IN}/options").body)
    return browser.post(f"{SIGN_IN}/passkey", {"passkey": device.get(options)})


def try_password(browser: Browser, email: str, password: str, code: str) -> Got:
    browser.get(SIGN_IN)
    return browser.post(
        SIGN_IN, {"email": email, "password": password, "code": code, "mode": "test"}
    )


def unlock(office: Office, person: Person) -> None:
    """As though the code of this half minute had not been used."""
    with office.parts.database.begin() as connection:
        persons.change(connection, person.id, {"totp_step": -1, "totp_failures": 0})


def test_a_passkey_signs_in(office: Office) -> None:
    person, device = office.person("viewer"), Authenticator()
    with_passkey(office, person, device)
    browser = office.browser()
    assert by_passkey(browser, device).location == "/console"
    assert person.name in browser.get("/console/security").text


def test_what_a_passkey_must_be(office: Office) -> None:
    """Another origin, nobody who proved who they are, a copy, a stranger's, an answer twice."""
    person, device = office.person("viewer"), Authenticator()
    with_passkey(office, person, device)
    browser = office.browser()
    for wrong in (
        replace(device, origin="https://evil.example"),
        replace(device, flags=PRESENT),
        Authenticator(),
        replace(device, key=Authenticator().key),
    ):
        assert by_passkey(browser, wrong).status == 401
    device.count = 7
    assert by_passkey(browser, device).status == 303
    assert by_passkey(office.browser(), replace(device, count=2)).status == 401
    again = office.browser()
    again.get(SIGN_IN)
    answer = device.get(json.loads(again.post(f"{SIGN_IN}/options").body))
    assert again.post(f"{SIGN_IN}/passkey", {"passkey": answer}).status == 303
    again.get(SIGN_IN)
    assert again.post(f"{SIGN_IN}/passkey", {"passkey": answer}).status == 401
    for nonsense in ("", "{}", "[]", '{"response": {"clientDataJSON": "e30"}}', "x" * 20_000):
        again.get(SIGN_IN)
        assert again.post(f"{SIGN_IN}/passkey", {"passkey": nonsense}).status == 401


def test_a_challenge_serves_what_it_was_made_for(office: Office) -> None:
    person, device = office.person("owner"), Authenticator()
    browser = with_passkey(office, person, device)
    browser.get("/console/security")
    options = json.loads(browser.post("/console/step-up/options").body)
    other = office.browser()
    other.get(SIGN_IN)
    assert other.post(f"{SIGN_IN}/passkey", {"passkey": device.get(options)}).status == 401


def test_a_password_needs_a_code_besides(office: Office) -> None:
    person = office.person("viewer")
    _, secret, codes = welcomed(office, person)
    unlock(office, person)
    code = pyotp.TOTP(secret).now()
    browser = office.browser(address="198.51.100.1")
    told = try_password(browser, person.email, PASSWORD, "000000")
    assert told.status == 401
    assert try_password(browser, person.email, "wrong password", code).status == 401
    assert try_password(browser, person.email.upper(), PASSWORD, code).status == 303
    # Each code once.
    assert try_password(office.browser(), person.email, PASSWORD, code).status == 401
    assert try_password(office.browser(), person.email, PASSWORD, codes[0].lower()).status == 303
    assert try_password(office.browser(), person.email, PASSWORD, codes[0]).status == 401
    assert try_password(office.browser(), person.email, PASSWORD, codes[1]).status == 303


def test_who_is_not_there_is_told_the_same(office: Office) -> None:
    person = office.person("viewer")
    welcomed(office, person)
    bare = office.person("viewer")
    texts = set()
    for email in (person.email, bare.email, "nobody@example.com"):
        got = try_password(office.browser(address="192.0.2.1"), email, "wrong password", "123456")
        texts.add((got.status, re.sub(r'value="[^"]*"', "", got.text)))
    assert len(texts) == 1


def test_guessing_locks_the_guesser_out_and_nobody_else(office: Office) -> None:
    person = office.person("viewer")
    _, secret, _ = welcomed(office, person)
    unlock(office, person)
    guesser = office.browser(address="192.0.2.77")
    for _ in range(TRIES_MAX):
        assert try_password(guesser, person.email, "wrong password", "123456").status == 401
    code = pyotp.TOTP(secret).now()
    assert try_password(guesser, person.email, PASSWORD, code).status == 429
    neighbour = office.browser(address="192.0.2.78")
    assert try_password(neighbour, person.email, PASSWORD, code).status == 429
    assert try_password(office.browser(), person.email, PASSWORD, code).status == 303


def test_an_invitation_opens_once(office: Office) -> None:
    person = office.person("viewer")
    path = f"/console/welcome/{office.link(person, InvitationKind.welcome)}"
    browser = office.browser()
    assert browser.get(path).status == 200
    weak = {"password": "short", "secret": "A" * 32, "first_code": "000000"}
    assert "12 to 256" in browser.post(f"{path}/password", weak).text
    # A fresh link ends the one before, and neither is a sandbox's.
    office.link(person, InvitationKind.welcome)
    assert browser.get(path).status == 401
    assert office.browser().get("/console/welcome/made-up").status == 401
    welcomed(office, person)


def test_step_up_keeps_the_form_and_gives_another_token(office: Office) -> None:
    """Session theft: a token that was seen before the proof is worth nothing after it."""
    person, device = office.person("owner"), Authenticator()
    browser = with_passkey(office, person, device)
    browser.get("/console/security")
    stolen = browser.cookies["sakk"]
    asked = browser.post("/console/security/recovery-codes", {"kept": "as it was"})
    assert asked.status == 403
    assert 'name="kept" value="as it was"' in asked.text
    options = json.loads(browser.post("/console/step-up/options").body)
    answer = device.get(options)
    done = browser.post("/console/security/recovery-codes", {"_passkey": answer})
    assert done.status == 200
    assert len(_CODES.findall(done.text)) == 10
    assert browser.cookies["sakk"] != stolen
    assert sign_ins.find(office.parts, stolen) is None
    # Good for a while, and in this sign-in alone.
    browser.get("/console/security")
    assert browser.post("/console/security/recovery-codes").status == 200
    other = office.browser()
    by_passkey(other, device)
    other.get("/console/security")
    assert other.post("/console/security/recovery-codes").status == 403
    assert other.post("/console/security/recovery-codes", {"_passkey": answer}).status == 403


def test_step_up_by_code(office: Office) -> None:
    person = office.person("owner")
    browser, secret, _ = welcomed(office, person)
    unlock(office, person)
    browser.get("/console/security")
    path = "/console/security/password"
    wrong = browser.post(path, {"password": PASSWORD + "!", "_code": "000000"})
    assert (wrong.status, "That was not right" in wrong.text) == (403, True)
    code = pyotp.TOTP(secret).at(datetime.now(UTC))
    assert browser.post(path, {"password": PASSWORD + "!", "_code": code}).status == 303
    page = browser.get("/console/security")
    assert "signed out elsewhere" in page.text
    too_short = browser.post(path, {"password": "short"})
    assert (too_short.status, "12 to 256" in too_short.text) == (400, True)


def test_ones_own_passkeys(office: Office) -> None:
    person, device = office.person("owner"), Authenticator()
    browser = with_passkey(office, person, device)
    browser.get("/console/security")
    options = json.loads(browser.post("/console/step-up/options").body)
    proved = browser.post("/console/security/passkeys/new", {"_passkey": device.get(options)})
    assert "Make a passkey" in proved.text
    second = Authenticator()
    options = json.loads(browser.post("/console/security/passkeys/options").body)
    assert options["excludeCredentials"]
    form = {"passkey": second.create(options), "name": "<b>Second</b>"}
    assert browser.post("/console/security/passkeys", form).status == 303
    page = browser.get("/console/security")
    assert "&lt;b&gt;Second&lt;/b&gt;" in page.text
    ids = re.findall(r"/console/security/passkeys/(pky_\w+)/remove", page.text)
    assert len(ids) == 2
    assert browser.post(f"/console/security/passkeys/{ids[0]}/remove").status == 303
    assert by_passkey(office.browser(), device).status == 401
    last = browser.post(f"/console/security/passkeys/{ids[1]}/remove")
    assert (last.status, "add another way first" in last.text) == (400, True)
    stranger = office.browser(office.person("owner"))
    assert stranger.post(f"/console/security/passkeys/{ids[1]}/remove").status == 404
    assert by_passkey(office.browser(), second).status == 303


def test_nothing_of_before_a_reset_outlives_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was under way when all that a person signs in by was ended comes too late."""
    person, device = office.person("owner"), Authenticator()
    browser = with_passkey(office, person, device)
    browser.get("/console/security")
    options = json.loads(browser.post("/console/step-up/options").body)
    proved = browser.post("/console/security/passkeys/new", {"_passkey": device.get(options)})
    assert proved.status == 200
    options = json.loads(browser.post("/console/security/passkeys/options").body)
    found = sign_ins.find(office.parts, browser.cookies["sakk"])
    assert found is not None

    def end() -> None:
        with office.parts.database.begin() as connection:
            credentials.end_credentials(connection, person.id, now=office.parts.clock())

    def late(*given: Any) -> Any:
        end()
        return acting(*given)

    # Between the answer of the passkey and the sign-in that it begins.
    monkeypatch.setattr(proof, "acting", late)
    assert by_passkey(office.browser(), device).status == 401
    site = Site("localhost", ("http://localhost:8402",))
    answer = Authenticator().create(options)
    with pytest.raises(StepUpRequired):
        credentials.add_passkey(office.parts, found, site, answer, name="Thief")
    with pytest.raises(StepUpRequired):
        credentials.renew_recovery_codes(office.parts, found)


def test_a_password_that_was_changed_meanwhile_is_none(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = office.person("viewer")
    _, _, codes = welcomed(office, person)

    def late(*given: Any) -> Any:
        hashed = passwords.hash_password(PASSWORD + "!")
        with office.parts.database.begin() as connection:
            persons.change(connection, person.id, {"password_hash": hashed})
        return acting(*given)

    monkeypatch.setattr(proof, "acting", late)
    assert try_password(office.browser(), person.email, PASSWORD, codes[0]).status == 401
