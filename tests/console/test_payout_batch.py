"""Payout batches in the console: a file is looked at, confirmed as it was, and approved whole."""

import re

import pytest

from sakk.core.policy import Action, Amount, Rule, seed_rules
from sakk.store import payout as payouts
from sakk.store import payout_batch as store
from tests.console.browser import Browser, Got
from tests.console.objects import HOSTILE
from tests.console.office import Office
from tests.flow.policing import ACME, NETWORK, Desk
from tests.flow.test_approval_batch import batch_of, listed

HEADER = "network,address,currency,amount,reference,description\n"
OTHER = "0x" + "4e" * 20


def _preview(browser: Browser, text: str, **more: str) -> Got:
    browser.get("/console/payout_batches/new")
    return browser.upload("/console/payout_batches/preview", more, file=("may.csv", text.encode()))


def _carried(page: Got) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="(content|digest)" value="([^"]*)">', page.text)
    return dict(found)


def _count(office: Office) -> int:
    with office.parts.database.read() as connection:
        return len(connection.execute(store.payout_batches.select()).all())


def test_a_file_is_looked_at_mended_and_confirmed_once(office: Office) -> None:
    listed(Desk(office.parts.database, office.alice))
    browser = office.browser(office.person(alice=["finance"]))
    office.prove()
    before = _count(office)
    text = (
        f"{HEADER}{NETWORK},{ACME},usdc,1250.00,A-1,{HOSTILE}\n"
        f'{NETWORK},{ACME},usdc,"1,250",A-2,x\n{NETWORK},{OTHER},usdc,2,A-1,y\n'
        f"{NETWORK},0x12,usdc,3,A-4,z\n"
    )
    page = _preview(browser, text)
    assert page.status == 200
    for said in ("Nothing can be paid as it is.", "3 things are wrong", ">1,250<", ">0x12<", "A-1"):
        assert said in page.said, said
    assert ("<script>alert" in page.text, "Ask for these payouts" in page.text) == (False, False)
    carried = _carried(page)
    page = browser.post(
        "/console/payout_batches/preview", {"content": carried["content"], "on_invalid": "skip"}
    )
    for said in ("Nothing is paid yet", "1 payout<", "1,250.00", "Ask for these payouts"):
        assert said in page.said, said
    assert _count(office) == before
    confirmed = {**_carried(page), "on_invalid": "skip", "description": "Salaries of May"}
    # What was not looked at is not paid: of another digest nothing is made.
    stale = browser.post("/console/payout_batches", {**confirmed, "digest": "0" * 64})
    assert (stale.status, _count(office)) == (400, before)
    once = browser.page
    made = browser.post("/console/payout_batches", confirmed)
    assert made.status == 303, made.text
    browser.page = once
    assert browser.post("/console/payout_batches", confirmed).location == made.location
    assert _count(office) == before + 1
    page = browser.get(made.location)
    for said in (
        "The balance did not cover",
        "Salaries of May",
        "1,250.00",
        "Left out, and not paid",
        ">0x12<",
    ):
        assert said in page.said, said
    assert made.location in browser.get("/console/payout_batches?q=may").text
    file = browser.get(f"{made.location}/file")
    assert file.body.startswith(b"\xef\xbb\xbfline,id,status")
    assert (file.text.count("skipped"), file.text.count("1250.000000")) == (3, 1)
    with office.parts.database.begin() as connection:
        # As if there were money for it: Alice has none.
        batch = made.location.rpartition("/")[2]
        held = payouts.payouts.update().where(payouts.payouts.c.batch == batch)
        connection.execute(held.values(hold="held", status="screened"))
    browser.get(made.location)
    assert browser.post(f"{made.location}/cancel").status == 303
    page = browser.get(f"{made.location}?status=canceled")
    assert page.text.count('href="/console/payouts/po_') == 1
    assert 'href="/console/payouts/po_' not in browser.get(f"{made.location}?status=posted").text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The file is empty."),
        ("PK\x03\x04", "workbook"),
        ("network,price\n", "There is no column"),
    ],
)
def test_what_is_no_file_of_payouts_says_why(office: Office, text: str, said: str) -> None:
    browser = office.browser(office.person(alice=["finance"]))
    page = _preview(browser, text)
    assert (page.status, said in page.said) == (200, True), page.said
    assert "Leave these lines out" not in page.text
    assert browser.post("/console/payout_batches/preview").status == 400
    assert browser.post("/console/payout_batches/preview", {"content": "%"}).status == 400


def test_money_is_not_asked_for_without_a_proof(office: Office) -> None:
    listed(Desk(office.parts.database, office.alice))
    browser = office.browser(office.person(alice=["finance"]))
    page = _preview(browser, f"{HEADER}{NETWORK},{ACME},usdc,7.5,B-1,x\n")
    office.unprove()
    before = _count(office)
    assert browser.post("/console/payout_batches", _carried(page)).status == 403
    assert _count(office) == before


def test_another_person_approves_all_that_was_shown(office: Office) -> None:
    desk = Desk(office.parts.database, office.alice)
    listed(desk)
    desk.enact(
        Rule(
            name="large",
            action=Action.approve,
            approvals=1,
            role="admin",
            amount=Amount("1000", unit="whole"),
            currencies=("usdc",),
        ),
        *seed_rules(),
    )
    maker, other = office.person("admin"), office.person("admin")
    batch = batch_of(desk, [1500, 2500], initiator_person=maker.id)
    path = f"/console/payout_batches/{batch}"
    first, second = office.browser(maker), office.browser(other)
    office.prove()
    assert "Nothing of it waits for your approval." in first.get(f"{path}/review").text
    page = second.get(path)
    assert (page.status, "2 payouts wait for approval." in page.said) == (200, True)
    page = second.get(f"{path}/review")
    for said in (
        "One payment above",
        "1000 USDC",
        "4,000.00",
        "1,500.00",
        "New: never paid before",
    ):
        assert said in page.said, said
    [digest] = re.findall(r'name="digest" value="(\w+)"', page.text)
    with office.parts.database.read() as connection:
        [left, gone] = payouts.list_batch(connection, batch)
    finance = office.browser(office.person(alice=["finance"]))
    finance.get(f"/console/payouts/{gone.id}")
    assert finance.post(f"/console/payouts/{gone.id}/cancel").status == 303
    # What was shown is not there any more: nothing is approved.
    stale = second.post(f"{path}/approve", {"digest": digest})
    assert (stale.status, _status(office, left.id)) == (400, "screened")
    page = second.get(f"{path}/review")
    [digest] = re.findall(r'name="digest" value="(\w+)"', page.text)
    office.unprove()
    assert second.post(f"{path}/approve", {"digest": digest}).status == 403
    office.prove()
    second.get(f"{path}/review")
    got = second.post(f"{path}/approve", {"digest": digest, "comment": "Seen"})
    assert (got.status, got.location) == (303, path), got.text
    assert (_status(office, left.id), _status(office, gone.id)) == ("approved", "canceled")


def _status(office: Office, identifier: str) -> str:
    with office.parts.database.read() as connection:
        found = payouts.find(connection, identifier, account_id=None, livemode=False)
    assert found is not None
    return found.status


def test_what_is_wrong_with_a_line_is_told_in_the_persons_language(office: Office) -> None:
    browser = office.browser(office.person(alice=["finance"]))
    browser.get("/console/payout_batches/new")
    text = f'{HEADER}{NETWORK},{ACME},usdc,"1,250",A-2,x\n'
    file = ("may.csv", text.encode())
    page = browser.upload("/console/payout_batches/preview?lang=zh-Hans", {}, file=file)
    assert "'1,250' 含逗号，可有两种读法。请写 1250 或 1.250。" in page.said.replace("&#39;", "'")
