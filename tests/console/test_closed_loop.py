"""Cards, requests, bills and names in the console: what each act does, and who may not."""

import re

from sqlalchemy import text

from sakk.flow import alias as aliases
from sakk.store import gift_card as gift_cards
from sakk.store import money_request as requests
from sakk.store.identity import now
from tests.console.closed_loop import closed_loop_of
from tests.console.office import Office


def test_a_card_is_frozen_and_found_and_its_law_is_kept(office: Office) -> None:
    ids = closed_loop_of(office, office.alice, office.bob)
    path = f"/console/gift_cards/{ids['gift_card']}"
    finance = office.browser(office.person(alice=["finance"]))
    assert ids["gift_card"] in finance.get("/console/gift_cards?q=7k3m").text
    page = finance.get(path)
    for fact in ("37.500001", "50.00", "12.499999", "7k3m", "Give it back"):
        assert fact in page.text, fact
    for act, status in (("freeze", "frozen"), ("unfreeze", "active")):
        finance.get(path)
        assert finance.post(f"{path}/{act}").status == 303
        with office.parts.database.read() as connection:
            card = gift_cards.find(connection, ids["gift_card"], account_id=None, livemode=False)
        assert card is not None
        assert card.status == status
    # Money moves only for who has just proved to be there.
    office.unprove()
    finance.get(path)
    [movement] = set(re.findall(r'name="movement" value="(gcm_\w+)"', finance.get(path).text))
    assert finance.post(f"{path}/refund", {"movement": movement}).status == 403
    office.prove()
    form = {"amount": "5", "currency": "usdc", "country": "DE", "expires": "2027-01-01"}
    finance.get("/console/gift_cards")
    refused = finance.post("/console/gift_cards", form)
    assert (refused.status, "BGB" in refused.text) == (400, True)
    support = office.browser(office.person(alice=["support"]))
    assert "/freeze" not in support.get(path).text
    assert support.post(f"{path}/freeze").status == 403
    assert office.browser(office.person(bob=["owner"])).get(path).status == 404


def test_money_is_asked_for_declined_and_called_off(office: Office) -> None:
    ids = closed_loop_of(office, office.alice, office.bob)
    alice = office.browser(office.person(alice=["finance"]))
    bob = office.browser(office.person(bob=["finance"]))
    path = f"/console/money_requests/{ids['money_request']}"
    assert "5.000001" in bob.get("/console/money_requests?direction=incoming").text
    assert f"{path}/pay" in bob.get(path).text
    assert f"{path}/pay" not in alice.get(path).text
    for act in ("cancel", "remind"):
        assert bob.post(f"{path}/{act}").status == 404
    bob.get(path)
    assert bob.post(f"{path}/decline").status == 303
    assert "Declined" in alice.get(path).text
    alice.get("/console/money_requests")
    wrong = {"payer": "@nobody", "currency": "usdc", "amount": "1,000"}
    refused = alice.post("/console/money_requests", wrong)
    assert (refused.status, "@nobody" in refused.text) == (404, True)
    alice.get("/console/money_requests")
    asked = alice.post(
        "/console/money_requests",
        {"payer": office.bob, "currency": "usdc", "amount": "12.5", "note": "Tea"},
    )
    assert asked.status == 303, asked.text
    page = alice.get(asked.location)
    assert ("12.50" in page.text, "Tea" in page.text) == (True, True)
    assert alice.post(f"{asked.location}/cancel").status == 303
    assert "Called off" in alice.get(asked.location).text


def test_a_bill_is_split_to_the_last_unit_and_a_share_taken_on(office: Office) -> None:
    closed_loop_of(office, office.alice, office.bob)
    alice = office.browser(office.person(alice=["finance"]))
    alice.get("/console/bills")
    form = {"amount": "10", "currency": "usdc", "shares": f"{office.bob}\nann@example.com 2.5"}
    made = alice.post("/console/bills", form)
    assert made.status == 303, made.text
    bill = made.location.rpartition("/")[2]
    with office.parts.database.read() as connection:
        shares = requests.shares_of(connection, [bill])[bill]
        own = requests.find_bill(connection, bill, account_id=office.alice, livemode=False)
    assert own is not None
    assert (own.own_share, [each.amount for each in shares]) == (3_750_000, [3_750_000, 2_500_000])
    alice.get(made.location)
    assert alice.post(f"{made.location}/reassign", {"share": shares[1].id}).status == 303
    with office.parts.database.read() as connection:
        after = requests.find_bill(connection, bill, account_id=office.alice, livemode=False)
    assert after is not None
    assert after.own_share == 6_250_000
    alice.get("/console/bills")
    assert alice.post("/console/bills", {**form, "shares": "a b c"}).status == 400


def test_an_address_is_proved_and_a_name_given_up(office: Office) -> None:
    ids = closed_loop_of(office, office.alice, office.bob)
    alice = office.browser(office.person(alice=["finance"]))
    path = f"/console/aliases/{ids['alias']}"
    with office.parts.database.begin() as connection:
        _, code = aliases.issue_code(connection, ids["alias"], livemode=False, now=now())
    alice.get(path)
    assert alice.post(f"{path}/verify", {"code": "guess"}).status == 400
    alice.get(path)
    assert alice.post(f"{path}/verify", {"code": code}).status == 303
    alice.get(path)
    assert alice.post(f"{path}/release").status == 303
    # That others may have it is the operator's word alone.
    alice.get(path)
    assert alice.post(f"{path}/free").status == 404
    operator = office.browser(office.person("owner"))
    operator.get(path)
    assert operator.post(f"{path}/free").status == 303
    with office.parts.database.read() as connection:
        statement = text("SELECT status FROM aliases WHERE id = :id")
        assert connection.execute(statement, {"id": ids["alias"]}).scalar_one() == "freed"
