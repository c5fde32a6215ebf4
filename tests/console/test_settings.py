"""Settings: networks and their nodes, coins, and the policy that two people change."""

import json
import re

import pytest
from sqlalchemy import text

from sakk.core.account import PayoutSettings
from sakk.store import account as accounts
from tests.console.desk import configure
from tests.console.objects import payout_of, policy_of
from tests.console.office import Office
from tests.flow.policing import NETWORK


@pytest.fixture(scope="module", autouse=True)
def configured(office: Office) -> None:
    with office.parts.database.begin() as connection:
        configure(connection)


def test_networks_and_coins_say_when_money_is_final_and_how_little_moves(office: Office) -> None:
    owner = office.browser(office.person("owner"))
    merchant = office.browser(office.person(alice=["viewer"]))
    for browser in (owner, merchant):
        listed = browser.get("/console/networks")
        assert ("Base Sepolia" in listed.text, "6 seconds" in listed.said) == (True, True)
        page = browser.get(f"/console/networks/{NETWORK}")
        assert ("USDC" in page.text, "127.0.0.1" in page.text) == (True, False)
        assert "USDC" in browser.get("/console/coins").text
        assert browser.get("/console/networks/eip155:1").status == 404
    # What is asked for gas, and the nodes, are the operator's.
    nodes = f"/console/networks/{NETWORK}/nodes"
    assert "Offered for gas at most" in owner.get(f"/console/networks/{NETWORK}").text
    assert "Offered for gas at most" not in merchant.get(f"/console/networks/{NETWORK}").text
    assert merchant.get(nodes).status == 404
    looked = owner.get(nodes)
    assert ("127.0.0.1:1" in looked.text, "No answer" in looked.text) == (True, True)
    assert "There is one node" in looked.text
    assert "<html" not in owner.get(nodes, **{"hx-request": "true"}).text


def test_one_proposes_a_policy_and_another_puts_it_in_force(office: Office) -> None:
    proposer = office.browser(office.person("finance"))
    approver = office.browser(office.person("approver"))
    row = payout_of(office, office.alice)
    page = proposer.get("/console/policies/new")
    assert page.status == 200
    rules = [{"name": "all of it", "action": "block"}]
    tried = proposer.post("/console/policies/try", {"rules": json.dumps(rules), "last": "50"})
    assert tried.status == 200, tried.text
    assert ("Does not go" in tried.text, row.id in tried.text) == (True, True)
    wrong = [{"name": "all of it", "action": "approve"}]
    got = proposer.post("/console/policies/new", {"rules": json.dumps(wrong)})
    assert got.status == 400
    assert "rules[0][approvals]: The action approve needs approvals: 1 to 16." in got.said
    assert proposer.post("/console/policies/new", {"rules": "{"}).status == 400
    made = proposer.post("/console/policies/new", {"rules": json.dumps(rules), "note": "stop"})
    assert made.status == 303, made.text
    own = proposer.get(made.location)
    assert ("another person confirms it" in own.text, "Put it in force" in own.text) == (
        True,
        False,
    )
    shown = approver.get(made.location)
    digest = re.findall(r'name="digest" value="(\w+)"', shown.text)[0]
    assert approver.post(f"{made.location}/approve", {"digest": "0" * 64}).status == 400
    office.unprove()
    assert approver.post(f"{made.location}/approve", {"digest": digest}).status == 403
    office.prove()
    approver.get(made.location)
    assert approver.post(f"{made.location}/approve", {"digest": digest}).status == 303
    listed = approver.get("/console/policies")
    assert ("is in force" in listed.text, "all of it" in listed.text) == (True, True)
    # What was written against the version before can not take its place unread.
    stale = policy_of(office)
    fresh = policy_of(office)
    page = approver.get(f"/console/policies/{stale}?last=10")
    assert "Sum within 1 day, per account" in page.said
    digest = re.findall(r'name="digest" value="(\w+)"', page.text)[0]
    assert approver.post(f"/console/policies/{stale}/approve", {"digest": digest}).status == 303
    got = approver.post(f"/console/policies/{fresh}/approve", {"digest": digest})
    assert (got.status, "another took effect since" in got.text) == (400, True)
    assert approver.post(f"/console/policies/{fresh}/reject").status == 303
    assert "Rejected" in approver.get(f"/console/policies/{fresh}").text


def test_an_account_pays_out_only_while_it_is_verified(office: Office) -> None:
    path = f"/console/accounts/{office.bob}"
    finance = office.browser(office.person("finance"))
    assert ("May pay out" in finance.get(path).said, "Save" in finance.get(path).said) == (
        True,
        False,
    )
    assert finance.post(path, {}).status == 403
    admin = office.browser(office.person("admin"))
    office.unprove()
    admin.get(path)
    form = {"verification": "required", "destinations": "address_book", "delay": "60"}
    form |= {"network_fee": "charge", "refund_fee": "payer", "fixed": "usdc 0.50"}
    assert admin.post(path, form).status == 403
    office.prove()
    admin.get(path)
    wrong = admin.post(path, form | {"fixed": "usdc half"})
    assert (wrong.status, 'id="fixed-fault"' in wrong.text) == (400, True)
    admin.get(path)
    assert admin.post(path, form).status == 303
    page = admin.get(path).said
    assert ("before its party is approved" in page, "Not verified" in page) == (True, True)
    with office.parts.database.read() as connection:
        found = accounts.payout_settings(connection, office.bob)
        told = connection.execute(
            text("SELECT body FROM events WHERE object_id = :id ORDER BY id DESC LIMIT 1"),
            {"id": office.bob},
        ).scalar_one()
    fixed = {"usdc": 500_000}
    assert found == PayoutSettings("address_book", 60, "charge", "required", "payer", fixed)
    assert "account.updated" in str(told)
    assert "Only while it is verified" in admin.get("/console/accounts").said
    assert "required,address_book" in admin.get("/console/accounts?format=csv").text
