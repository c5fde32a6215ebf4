"""Cards, requests, bills and names in the console: what each act does, and who may not."""

import csv
import io
import json
import re

import pytest
from sqlalchemy import text

from sakk.client.file_proof import check_file
from sakk.core import chart
from sakk.flow import alias as aliases
from sakk.store import gift_card as gift_cards
from sakk.store import gift_card_batch as batches
from sakk.store import gift_card_breakage as breakages
from sakk.store import money_request as requests
from sakk.store.identity import now
from tests.console.closed_loop import closed_loop_of
from tests.console.converting import earn
from tests.console.office import Meeting, Office


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


def balance(office: Office, account: str) -> int:
    unit = chart.currency_unit("usdc", livemode=False)
    return office.parts.books.balances([chart.merchant(account, "available", unit)])[0]


def test_many_cards_are_looked_at_issued_and_their_codes_taken_once(office: Office) -> None:
    closed_loop_of(office, office.alice, office.bob)
    before = balance(office, office.alice)
    earn(office, office.alice, 20_000_000)
    finance = office.browser(office.person(alice=["finance"]))
    finance.get("/console/gift_card_batches/new")
    form = {"currency": "usdc", "redeemable": "holder", "state": "active"}
    bad = ("cards.csv", b"amount;count\n5.00;2\n=1+1;1\n7;0\n")
    wrong = finance.upload("/console/gift_card_batches/preview", form, file=bad)
    assert (wrong.status, "2 things are wrong" in wrong.said) == (200, True)
    assert "Issue these cards" not in wrong.text
    lines = "amount,count\n5.00,2\n1.50,3"
    page = finance.post("/console/gift_card_batches/preview", {**form, "lines": lines})
    assert ("14.50" in page.text, "Issue these cards" in page.text) == (True, True)
    # Nothing is issued by looking, and nothing without a proof.
    assert balance(office, office.alice) == before + 20_000_000
    office.unprove()
    assert finance.post("/console/gift_card_batches", {**form, "lines": lines}).status == 403
    office.prove()
    page = finance.post("/console/gift_card_batches/preview", {**form, "lines": lines})
    made = finance.post("/console/gift_card_batches", {**form, "lines": lines})
    assert made.status == 303, made.text
    # The same form sent once more is the same batch.
    assert finance.post("/console/gift_card_batches", {**form, "lines": lines}).status == 303
    assert balance(office, office.alice) == before + 5_500_000
    page = finance.get(made.location)
    assert ("5 of 5 cards" in page.said, "Take the codes" in page.text) == (True, True)
    assert finance.get(f"{made.location}/proof").status == 400
    finance.get(made.location)
    file = finance.post(f"{made.location}/codes")
    assert file.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert sorted(row["amount"] for row in rows) == ["1.500000"] * 3 + ["5.000000"] * 2
    # Whoever is given the file holds it against what was signed, without us.
    proof = finance.get(f"{made.location}/proof")
    assert rows[0]["code"] not in proof.text
    assert check_file([file.body], json.loads(proof.text))
    with office.parts.database.begin() as connection:
        connection.execute(
            text("UPDATE gift_card_batches SET codes_taken_at = codes_taken_at - interval '1 hour'")
        )
    assert "Take the codes" not in finance.get(made.location).text
    finance.get("/console/gift_cards")
    assert finance.post(f"{made.location}/codes").status == 400
    [batch] = {made.location.rpartition("/")[2]}
    assert rows[0]["gift_card"] in finance.get(f"/console/gift_cards?q={batch}").text
    with office.parts.database.read() as connection:
        assert batches.count_requested(connection, batch) == 0
    # More than the balance has is refused whole.
    short = finance.post("/console/gift_card_batches", {**form, "lines": "amount,count\n9999,9"})
    assert (short.status, "does not cover" in short.text) == (400, True)

    # At the counter a code is looked at before it is taken, and taken with a proof.
    bob = office.browser(office.person(bob=["finance"]))
    bob.get("/console/gift_cards")
    held = balance(office, office.bob)
    typed = {"code": rows[0]["code"], "part": "0.50"}
    page = bob.post("/console/gift_cards/look", typed)
    assert ("Comes onto the balance" in page.text, "Alice" in page.text) == (True, True)
    assert balance(office, office.bob) == held
    assert bob.post("/console/gift_cards/redeem", typed).status == 303
    assert balance(office, office.bob) == held + 500_000
    page = bob.post("/console/gift_cards/look", {**typed, "part": "50"})
    assert "Nothing can be redeemed" in page.text


def test_a_long_file_is_issued_once_by_two_clicks_at_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed_loop_of(office, office.alice, office.bob)
    earn(office, office.alice, 20_000_000)
    before = balance(office, office.alice)
    finance = office.browser(office.person(alice=["finance"]))
    finance.get("/console/gift_card_batches/new")
    form = {"currency": "usdc", "redeemable": "holder", "state": "active"}
    lines = "".join(f'{number}.25,1,"{"for a shop " * 40}"\n' for number in range(1, 5))
    file = f"amount,count,whom\n{lines}{lines * 14}".replace("1.25", "0.01")
    rest = file.replace("2.25", "0.02").replace("3.25", "0.03").replace("4.25", "0.04").encode()
    assert len(rest) > 20_000
    page = finance.upload("/console/gift_card_batches/preview", form, file=("cards.csv", rest))
    [confirmed] = re.findall(r'name="lines"[^>]*>([^<]+)</textarea>', page.text)
    monkeypatch.setattr(batches, "insert", Meeting(batches.insert))
    sent = {**form, "lines": confirmed}
    got = finance.twice(lambda tab: tab.post("/console/gift_card_batches", sent))
    assert [each.status for each in got] == [303, 303], [each.text for each in got]
    assert len({each.location for each in got}) == 1
    assert before - balance(office, office.alice) == 15 * 100_000
    assert "60 of 60 cards" in finance.get(got[0].location).said


def test_breakage_takes_two_people_and_one_ends_it(office: Office) -> None:
    path = "/console/gift_card_breakages"
    one, other = (office.browser(office.person("finance")) for _ in range(2))
    one.get(path)
    refused = one.post(path, {"country": "US", "days": "30"})
    assert (refused.status, 'id="country-fault"' in refused.text) == (400, True)
    one.get(path)
    assert one.post(path, {"country": "AT", "days": "90", "note": "<b>why"}).status == 303
    page = one.get(path)
    [(made, digest)] = re.findall(
        r'breakages/(gbr_\w+)/confirm.*?name="digest" value="(\w{64})"',
        other.get(path).said.partition("Proposed for AT")[2],
        re.DOTALL,
    )[:1]
    assert ("&lt;b&gt;why" in page.text, f"{made}/confirm" in page.text) == (True, False)
    assert one.post(f"{path}/{made}/confirm", {"digest": digest}).status == 403
    assert other.post(f"{path}/{made}/confirm", {"digest": "0" * 64}).status == 400
    other.get(path)
    assert other.post(f"{path}/{made}/confirm", {"digest": digest}).status == 303
    states = []
    for _ in range(2):
        with office.parts.database.read() as connection:
            row = breakages.find(connection, made, livemode=False)
        assert row is not None
        states.append(row.state)
        one.get(path)
        one.post(f"{path}/{made}/end")
    assert states == ["active", "ended"]
    # Whoever stands in an account alone does not know of it.
    assert office.browser(office.person(alice=["owner"])).get(path).status == 404
