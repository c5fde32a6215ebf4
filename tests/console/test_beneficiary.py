"""The address book in the console: an entry is added, told whose it is, changed, and taken out."""

import re

from sakk.store import beneficiary as store
from tests.console.objects import HOSTILE
from tests.console.office import Office
from tests.flow.policing import ACME, NETWORK, Desk
from tests.flow.test_approval_batch import listed


def test_an_entry_is_added_told_of_changed_and_taken_out(office: Office) -> None:
    listed(Desk(office.parts.database, office.alice))
    browser = office.browser(office.person(alice=["finance"]))
    office.prove()
    browser.get("/console/beneficiaries/new")
    form = {"name": HOSTILE, "address": ACME, "networks": NETWORK, "statement": "On the telephone"}
    holder = {"holder_type": "natural", "holder_name": "Miller", "wallet": "self_hosted"}
    for wrong, said in (
        ({"address": "0x12"}, "not an EVM address"),
        ({"networks": ""}, "Choose at least one network."),
        ({"holder_name": "Miller"}, "Say what kind they are"),
        ({"networks": "eip155:7"}, "is not an enabled network"),
        ({"confirmed_unlike": ACME}, "looks like no other"),
    ):
        got = browser.post("/console/beneficiaries/new", {**form, **wrong})
        assert (got.status, said in got.text) == (400, True), (wrong, got.text)
        assert "<script>alert" not in got.text
    assert (
        browser.post("/console/beneficiaries/new", {**form, "holder_country": "xx"}).status == 422
    )
    once = browser.page
    made = browser.post("/console/beneficiaries/new", form | holder)
    assert made.status == 303, made.text
    browser.page = once
    assert browser.post("/console/beneficiaries/new", form | holder).location == made.location
    page = browser.get(made.location)
    for said in ("Miller", "A person", "On the telephone"):
        assert said in page.text, said
    assert "<script>alert" not in page.text
    # Who stands behind it is sealed where it is kept.
    with office.parts.database.read() as connection:
        entry = store.find(
            connection, made.location.rpartition("/")[2], account_id=None, livemode=False
        )
    assert entry is not None
    assert "Miller" not in str(entry.travel_rule)
    assert "\u202e" not in browser.get("/console/beneficiaries").text
    for asked in ("", f"?q={ACME}", "?q=alert", f"?q={entry.id}"):
        assert made.location in browser.get(f"/console/beneficiaries{asked}").text, asked
    assert made.location not in browser.get("/console/beneficiaries?q=nobody").text
    assert ACME[:8] in browser.get("/console/beneficiaries?format=csv").text.lower()
    # One that looks like it is refused until it is said to be another.
    twin = ACME[:8] + "00" * 14 + ACME[-6:]
    browser.get("/console/beneficiaries/new")
    got = browser.post("/console/beneficiaries/new", {**form, "address": twin})
    assert (got.status, 'name="confirmed_unlike"' in got.text) == (400, True), got.text
    got = browser.post(
        "/console/beneficiaries/new", {**form, "address": twin, "confirmed_unlike": ACME}
    )
    assert "Confirmed to be another" in browser.follow(got).text
    browser.get(made.location)
    assert browser.post(made.location, {"name": "Acme", "description": "Rent"}).status == 303
    page = browser.get(made.location)
    assert re.search(r"<h1>.*Acme", page.text)
    assert "Miller" in page.text
    browser.get(made.location)
    assert browser.post(f"{made.location}/remove").status == 303
    assert browser.get(made.location).status == 404


def test_who_is_paid_is_nobodys_to_say_without_a_proof(office: Office) -> None:
    listed(Desk(office.parts.database, office.alice))
    browser = office.browser(office.person(alice=["finance"]))
    browser.get("/console/beneficiaries/new")
    office.unprove()
    form = {"name": "A", "address": ACME, "networks": NETWORK}
    assert browser.post("/console/beneficiaries/new", form).status == 403
    assert (
        office.browser(office.person(alice=["support"])).get("/console/beneficiaries/new").status
        == 403
    )
