"""A finance officer's day at the console: rates, orders and what goes by itself, banks."""

import re

import pytest
from sqlalchemy import update

from sakk.core import bank_assignment as assignment_rules
from sakk.core import bank_return as return_rules
from sakk.core.bank_account import Adapter, BankTerms, Profile
from sakk.core.bank_change import digest_of as change_digest_of
from sakk.core.bank_payment import compact
from sakk.core.hedge_policy import digest_of
from sakk.core.network import Currency
from sakk.core.person import Actor
from sakk.core.rate import SCALE, Observation
from sakk.flow import bank_change, bank_release
from sakk.flow.bank_account import AccountRequest
from sakk.store import bank_account as accounts
from sakk.store import bank_assignment as assignments
from sakk.store import bank_file as files
from sakk.store import bank_payment as payments
from sakk.store import bank_return as returns
from sakk.store import bank_statement as statements
from sakk.store import hedge_policy as policies
from sakk.store import order as orders
from sakk.store import payout as payouts
from sakk.store import person as persons
from sakk.store import provider_order as providers
from sakk.store import rate as rates
from sakk.store.database import update_records
from sakk.store.identity import new_id, now
from sakk.store.network import put_currency
from tests.api.ordering import put_order, put_rates
from tests.console.banking import put_lines
from tests.console.browser import Browser
from tests.console.converting import earn
from tests.console.office import VAULT, Office
from tests.console.test_conversion import said
from tests.rails.test_bank_files import IN, NS, camt, entry


@pytest.fixture(autouse=True)
def currencies(office: Office) -> None:
    with office.parts.database.begin() as connection:
        for name in ("usdc", "usdt"):
            put_currency(connection, Currency(name, name.upper(), "coin", 6, 1, 1, now()))


@pytest.mark.parametrize("language", ["en", "zh-Hans", "zh-Hant", "ar"])
def test_the_screens_of_orders_and_rates_are_there(office: Office, language: str) -> None:
    made = put_order(office.parts.database)
    source = put_rates(office.parts.database)
    browser = office.browser(office.person("viewer"))
    for path in (
        "orders",
        f"orders/{made['order']}",
        f"orders/{made['done_order']}",
        "hedge_policies",
        "rates",
        f"rates/sources/{source}?pair=usdt-usd",
    ):
        mark = "&" if "?" in path else "?"
        page = browser.get(f"/console/{path}{mark}lang={language}")
        assert (page.status, "<script>alert" in page.text) == (200, False), (path, page.text[:500])
    for path in (f"orders/{made['order']}", "hedge_policies", "rates"):
        text = browser.get(f"/console/{path}").text
        assert not {each for each in ("/approve", "/confirm", "/clear") if each in text}
    assert browser.get("/console/orders?format=csv").status == 200
    found = browser.get("/console/orders?status=done&base=usdt&since=2026-01-01").text
    assert (made["done_order"] in found, made["order"] in found) == (True, False)


def test_an_order_takes_two_people(office: Office) -> None:
    database = office.parts.database
    path = f"/console/orders/{put_order(database)['order']}"
    with database.begin() as connection:
        connection.execute(update(orders.orders).values(approvals=[]))
    ann, ben = (office.browser(office.person("finance")) for _ in range(2))
    office.unprove()
    assert ann.get(path).status == 200
    # Who did not prove to be there a moment ago is asked to.
    assert ann.post(f"{path}/approve", {}).status == 403
    office.prove()
    ann.get(path)
    assert ann.post(f"{path}/approve", {}).status == 303
    page = ann.get(path)
    assert ("/approve" in page.text, "/cancel" in page.text) == (False, True)
    again = ann.post(f"{path}/approve", {})
    assert (again.status, "another person has to" in again.text) == (403, True)
    ben.get(path)
    assert ben.post(f"{path}/approve", {}).status == 303
    assert "/approve" not in ben.get(path).text
    with database.read() as connection:
        row = orders.find(connection, path.rpartition("/")[2])
    assert row is not None
    assert (row.status, len(row.approvals)) == ("approved", 2)
    gone = ben.post(f"{path}/cancel", {})
    assert (gone.status, "This order is approved" in gone.text) == (400, True)


def test_more_by_itself_takes_two_people(office: Office) -> None:
    database, path = office.parts.database, "/console/hedge_policies"
    put_order(database)
    ann, ben = (office.browser(office.person("finance")) for _ in range(2))
    office.prove()
    ann.get(path)
    wish = {"currency": "usdt", "against": "usdc", "threshold": "10.001", "auto": "250.50"}
    wrong = ann.post(path, wish)
    assert (wrong.status, "two decimal places" in wrong.text) == (400, True)
    ann.get(path)
    assert ann.post(path, wish | {"threshold": "10"}).status == 303
    with database.read() as connection:
        stands = policies.find(connection, "usdt", livemode=False)
        waits = policies.find_proposal(connection, "usdt", livemode=False)
    assert stands is not None
    # 250.50 is less than the 500.00 that stood: one person's word is enough.
    assert stands.auto_usd_cents == 25_050
    assert waits is not None
    page = ann.get(path)
    assert digest_of(waits, stands) in page.text
    ann.post(path, wish | {"threshold": "10", "auto": "900"})
    assert "another person confirms" in ann.get(path).text
    stale = ben.get(path)
    assert ben.post(f"{path}/usdt/confirm", {"digest": digest_of(waits, stands)}).status == 400
    with database.read() as connection:
        waits = policies.find_proposal(connection, "usdt", livemode=False)
    assert waits is not None
    assert digest_of(waits, stands) in stale.text
    ben.get(path)
    assert ben.post(f"{path}/usdt/confirm", {"digest": digest_of(waits, stands)}).status == 303
    with database.read() as connection:
        stands = policies.find(connection, "usdt", livemode=False)
    assert stands is not None
    assert stands.auto_usd_cents == 90_000


def test_a_coin_is_let_go_when_it_is_back(office: Office) -> None:
    database, path = office.parts.database, "/console/rates"
    put_rates(database)

    def say(bid: int) -> None:
        said = [
            Observation(name, "usdt", "usd", bid, bid + 1, now(), now())
            for name in ("desk", "house", "far")
        ]
        with database.begin() as connection:
            rates.insert_observations(connection, said)

    ann = office.browser(office.person("finance"))
    office.prove()
    say(SCALE * 93 // 100)
    page = ann.get(path)
    assert ("/usdt/clear" in page.text, "stop again at once" in page.text) == (False, True)
    refused = ann.post(f"{path}/usdt/clear", {})
    assert (refused.status, "beyond its bound" in refused.text) == (400, True)
    say(SCALE * 9_999 // 10_000)
    ann.get(path)
    assert ann.post(f"{path}/usdt/clear", {}).status == 303
    with database.read() as connection:
        assert rates.list_pegs(connection)[0].stopped_at is not None
    # Another person lets it go.
    bob = office.browser(office.person("finance"))
    shown = said(bob.get(path).text)
    assert bob.post(f"{path}/usdt/confirm", {"digest": shown}).status == 303
    with database.read() as connection:
        assert rates.list_pegs(connection)[0].stopped_at is None
    ann.get(path)
    assert ann.post(f"{path}/usdt/stop", {}).status == 303
    with database.read() as connection:
        [peg] = rates.list_pegs(connection)
    assert (peg.stopped_at is not None, peg.manual) == (True, True)


@pytest.mark.parametrize("language", ["en", "zh-Hans", "zh-Hant", "ar"])
def test_the_screens_of_banks_are_there(office: Office, language: str) -> None:
    made = put_lines(office.parts.database, office.alice)
    browser = office.browser(office.person("viewer"))
    for path in (
        "banks",
        "bank_files",
        f"bank_files/{made['bank_file']}",
        f"bank_files/{made['came_file']}",
        "bank_statements",
        f"bank_statements/{made['bank_statement']}",
        "bank_lines",
        f"bank_lines/{made['bank_line']}",
        "provider_orders",
        f"provider_orders/{made['provider_order']}",
        "payees",
        f"payees/{made['payee']}",
        "bank_references",
    ):
        page = browser.get(f"/console/{path}?lang={language}")
        assert (page.status, "<script>alert" in page.text) == (200, False), (path, page.text[:500])
    gone = files.bank_files.c
    with office.parts.database.begin() as connection:
        statement = update(files.bank_files).where(gone.id == made["bank_file"])
        connection.execute(statement.values(status="withdrawn"))
    for path in (f"bank_files/{made['bank_file']}", "bank_files?status=withdrawn"):
        assert browser.get(f"/console/{path}").status == 200
    assert "/assign" not in browser.get(f"/console/bank_lines/{made['bank_line']}").text
    assert made["bank_line"] in browser.get("/console/bank_lines").text
    assert made["bank_line"] not in browser.get("/console/bank_lines?outcome=payin").text
    for name in ("bank_files", "bank_statements", "bank_lines", "provider_orders", "payees"):
        assert browser.get(f"/console/{name}?format=csv").status == 200
    assert browser.get(f"/console/bank_files/{made['bank_file']}/content").status == 200


def test_a_line_in_suspense_is_given_to_an_account_by_two(office: Office) -> None:
    database = office.parts.database
    line = put_lines(database, office.alice)["bank_line"]
    path = f"/console/bank_lines/{line}"
    ann, ben = (office.browser(office.person("finance")) for _ in range(2))
    office.prove()
    ann.get(path)
    wrong = ann.post(f"{path}/assign", {"account": "acct_none"})
    assert (wrong.status, "No such account" in wrong.text) == (400, True)
    ann.get(path)
    assert ann.post(f"{path}/assign", {"account": office.alice, "note": "asked"}).status == 303
    page = ann.get(path)
    assert ("/confirm" in page.text, "another person confirms" in page.text) == (False, True)
    with database.read() as connection:
        row = statements.find_line(connection, line, livemode=False)
        said = assignments.of_lines(connection, [line])[line]
    assert row is not None
    digest = assignment_rules.digest_of(said, row)
    assert digest in ben.get(path).text
    assert ben.post(f"{path}/confirm", {"digest": digest}).status == 303
    with database.read() as connection:
        row = statements.find_line(connection, line, livemode=False)
    assert row is not None
    assert (row.outcome, row.account_id, row.status) == ("assigned", office.alice, "matched")


def test_a_line_in_suspense_goes_back_to_its_sender_by_two(office: Office) -> None:
    database = office.parts.database
    line = put_lines(database, office.alice)["bank_line"]
    path = f"/console/bank_lines/{line}"
    ann, ben = (office.browser(office.person("finance")) for _ in range(2))
    office.prove()
    ann.get(path)
    # The line names no account: it is said, and everybody sees that it is.
    assert ann.post(f"{path}/send_back", {"note": "stray", "fee_max": "a"}).status == 400
    ann.get(path)
    assert ann.post(f"{path}/send_back", {"note": "stray", "fee_max": "0"}).status == 400
    ann.get(path)
    told = {"fee_max": "0.20", "iban": "FR7630006000011234567890189", "holder": "Petra"}
    assert ann.post(f"{path}/send_back", told).status == 303
    page = ann.get(path)
    assert ("/confirm_return" in page.text, "names none" in page.text) == (False, True)
    assert "/send_back" not in page.text
    with database.read() as connection:
        back = returns.newest_of(connection, [line])[line]
    digest = return_rules.digest_of(back)
    page = ben.get(path)
    assert (back.fee_max, digest in page.text) == (20, True)
    # Where it goes is shown whole: an account's number alone says nothing of its bank.
    assert back.bic is not None
    assert back.bic in page.text
    assert "Awaits a second person" in ben.get("/console/bank_lines").text
    assert ben.post(f"{path}/confirm_return", {"digest": digest}).status == 303
    with database.read() as connection:
        row = statements.find_line(connection, line, livemode=False)
        back = returns.newest_of(connection, [line])[line]
    assert row is not None
    assert (row.outcome, back.status) == ("sent_back", "confirmed")
    assert "/assign" not in ben.get(path).text


def test_an_account_at_a_bank_is_used_when_another_person_approved_it(office: Office) -> None:
    put_lines(office.parts.database, office.alice)
    ann, ben = office.person("finance"), office.person("finance")
    with office.parts.database.begin() as connection:
        own, change = bank_change.open_account(
            connection,
            AccountRequest(
                holder="Sakk",
                currency="eur",
                iban="FR7630006000011234567890189",
                terms=BankTerms("later", calendar=None),
            ),
            identifier=new_id("ba"),
            actor=Actor("key_1", ann.id),
            livemode=False,
            now=now(),
        )
        terms = BankTerms(
            "wise",
            adapter=Adapter.provider,
            profile=Profile.generic,
            calendar=None,
            address="http://127.0.0.1:1",
            provider="wise",
            provider_account="7654321",
        )
        other, _ = bank_change.open_account(
            connection,
            AccountRequest(holder="Sakk", currency="eur", iban="NL91ABNA0417164300", terms=terms),
            identifier=new_id("ba"),
            actor=Actor("key_1", ann.id),
            livemode=False,
            now=now(),
        )
    path = f"/console/banks/{own.id}"
    hers, his = office.browser(ann), office.browser(ben)
    office.prove()
    assert "7654321" in his.get(f"/console/banks/{other.id}").text
    digest = change_digest_of(change, own)
    assert "/approve" not in hers.get(path).text
    assert digest in his.get(path).text
    assert his.post(f"{path}/approve", {"digest": "0" * 64}).status == 400
    his.get(path)
    assert his.post(f"{path}/approve", {"digest": digest}).status == 303
    assert "In use" in his.get(path).text
    assert his.post(f"{path}/decline", {}).status == 400


def test_a_file_that_is_brought_is_released_by_another_person(office: Office) -> None:
    put_lines(office.parts.database, office.alice)
    ann, ben = office.person("finance"), office.person("finance")
    # One account has balances in two currencies, which are not counted alike.
    yen = camt(opening="7700", closing="7700").replace("EUR", "JPY")
    also = yen[yen.index("<Stmt>") : yen.index("</BkToCstmrStmt>")]
    told = camt(entry("5.00", "CRDT", IN), closing="77.00")
    with office.parts.database.begin() as connection:
        row = bank_release.bring(
            connection,
            told.replace("</BkToCstmrStmt>", f"{also}</BkToCstmrStmt>").encode(),
            name="theirs.xml",
            actor=Actor("key_1", ann.id),
            livemode=False,
            now=now(),
        )
    path = f"/console/bank_files/{row.id}"
    hers, his = office.browser(ann), office.browser(ben)
    office.prove()
    assert "/release" not in hers.get(path).text
    page = his.get(path).text
    assert ("/release" in page, "77.00" in page) == (True, True)
    # Each payment, and what they come to; no more of an account than tells it from others.
    for told_of in ("Анна", "Comes in", "5.00", "FR76 … 0189"):
        assert told_of in page, told_of
    assert "FR7630006000011234567890189" not in page
    assert his.post(f"{path}/release", {"sha256": "0" * 64}).status == 400
    his.get(path)
    assert his.post(f"{path}/release", {"sha256": row.sha256}).status == 303
    assert "/release" not in his.get(path).text
    assert his.post(f"{path}/refuse", {}).status == 400


def test_what_a_provider_asks_is_answered_with_a_fresh_proof(office: Office) -> None:
    database = office.parts.database
    order = put_lines(database, office.alice)["provider_order"]
    path = f"/console/provider_orders/{order}"
    person = office.person("finance")
    with database.begin() as connection:
        persons.change(connection, person.id, {"totp_confirmed": True})
    ann = office.browser(person)
    office.prove()
    home = ann.get("/console").said
    assert "Questions of providers about payouts" in home
    assert order in ann.get("/console/provider_orders?status=information_required").text
    ann.get(path)
    bare = ann.upload(f"{path}/answer", {"question": "invoice", "text": "Here."})
    assert (bare.status, "attach it" in bare.said) == (400, True)
    # The proof is asked for in between, and neither words nor file are lost by it.
    office.unprove()
    ann.get(path)
    file = ("../invoice.pdf", b"%PDF-1.7 \x00")
    asked = ann.upload(f"{path}/answer", {"question": "invoice", "text": "Here."}, file=file)
    assert asked.status == 403
    kept = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', asked.text))
    assert kept["text"] == "Here."
    office.prove()
    assert ann.post(f"{path}/answer", kept).status == 303
    # Twice the same form is one answer.
    assert ann.post(f"{path}/answer", kept).status == 303
    with database.read() as connection:
        [given] = providers.answers_of(connection, order)
    assert (given.question, given.text, given.file_name) == ("invoice", "Here.", "../invoice.pdf")
    assert given.sealed is not None
    assert VAULT.open_bytes(given.sealed, given.id) == b"%PDF-1.7 \x00"
    page = ann.get(path).said
    assert ("Being sent" in page, "Waits for an answer" in page) == (True, True)
    other = ann.post(f"{path}/answer", {"question": "invoice", "text": "Again."})
    assert (other.status, "answered already" in other.said) == (400, True)


def test_an_account_at_a_bank_is_paid_and_approved_by_clicking(office: Office) -> None:
    database = office.parts.database
    put_lines(database, office.bob)
    earn(office, office.bob, 5_000, "eur")
    maker, ann = (office.browser(office.person(*roles)) for roles in (["admin"], ["finance"]))
    maker.get("/console/look")
    maker.post("/console/look", {"account": office.bob})
    office.prove()
    maker.get("/console/payees/new")
    payee = {"holder": "Élodie Roux", "currency": "eur", "iban": "DE89370400440532013001"}
    wrong = maker.post("/console/payees/new", payee)
    assert (wrong.status, "This is no IBAN" in wrong.said) == (400, True)
    made = maker.post("/console/payees/new", payee | {"iban": "ES9121000418450200051332"})
    place = made.location.rpartition("/")[2]
    assert "ES9121000418450200051332" in maker.follow(made).text
    assert "ES91 … 1332" in maker.get("/console/payees").text
    assert "Élodie Roux · EUR · ES91 … 1332" in maker.get("/console/payouts/new").said
    form = {"route": "bank eur", "amount": "12.34", "beneficiary": place, "description": "June"}
    unfit = maker.post("/console/payouts/new", form | {"address": "0x12"})
    assert (unfit.status, "Give an address, or choose" in unfit.said) == (400, True)
    unfit = maker.post("/console/payouts/new", {**form, "beneficiary": "ben_1"})
    assert (unfit.status, "paid by bank, and an address" in unfit.said) == (400, True)
    path = maker.post("/console/payouts/new", form).location
    payout = path.rpartition("/")[2]
    waits = {"status": "screened", "decided_at": now(), "approvals_needed": 1}
    with database.begin() as connection:
        wish = {"id": payout, **waits, "approver_role": "finance"}
        update_records(connection, payouts.payouts, [wish])
    listed = maker.get("/console/payouts").said
    assert ("Élodie Roux" in listed, "ES91 … 1332" in listed) == (True, True)
    assert f",{place}," in maker.get("/console/payouts?format=csv&network=bank").text
    page = ann.get(path).said
    for told in ("What the bank will be asked", "Élodie Roux", "ES9121000418450200051332", "June"):
        assert told in page, told
    [digest] = re.findall(r'name="digest" value="(\w+)"', page)
    assert ann.post(f"{path}/approve", {"digest": digest}).status == 303
    with database.read() as connection:
        row = payouts.find(connection, payout, account_id=office.bob, livemode=False)
    assert row is not None
    assert (row.status, row.network, row.amount, row.destination) == (
        *("approved", "bank", 1_234, place),
    )
    maker.get(f"/console/payees/{place}")
    assert maker.post(f"/console/payees/{place}/remove", {}).status == 303
    assert place not in maker.get("/console/payees").text
    maker.get("/console/bank_references")
    assert maker.post("/console/bank_references", {"currency": "eur"}).status == 303
    assert maker.get("/console/bank_references").text.count('data-copy="RF') == 2


def test_who_releases_an_answer_of_a_bank_sees_whose_money_it_gives_back(office: Office) -> None:
    database = office.parts.database
    made = put_lines(database, office.alice)
    with database.begin() as connection:
        rows = payments.of_file(connection, made["bank_file"])
        update_records(
            connection, payments.bank_payments, [{"id": each.id, "status": "sent"} for each in rows]
        )
        told = (
            f"<Document xmlns='{NS}pain.002.001.03'><CstmrPmtStsRpt><OrgnlGrpInfAndSts><OrgnlMsgId>"
            f"{compact(made['bank_file'])}</OrgnlMsgId><GrpSts>RJCT</GrpSts></OrgnlGrpInfAndSts>"
            "</CstmrPmtStsRpt></Document>"
        )
        row = bank_release.bring(
            connection,
            told.encode(),
            name="no.xml",
            actor=Actor("key_1", office.person("finance").id),
            livemode=False,
            now=now(),
        )
    page = office.browser(office.person("finance")).get(f"/console/bank_files/{row.id}").said
    assert page.count("Refused by the bank") == len(rows) + 1
    for payment in rows:
        assert f"/console/payouts/{payment.payout}" in page
    assert "5.00" in page


def test_an_account_is_opened_connected_and_closed_at_the_console(office: Office) -> None:
    put_lines(office.parts.database, office.alice)
    hers, his = (office.browser(office.person("finance")) for _ in range(2))
    office.prove()
    hers.get("/console/banks/new")
    form = {"holder": "Sakk", "currency": "eur", "iban": "BE68539007547034"}
    form |= {"adapter": "http", "folder": "house", "opening": "0", "calendar": "ECB"}
    wrong = hers.post("/console/banks/new", form | {"address": "http://bank.example"})
    assert (wrong.status, 'id="address-fault"' in wrong.text) == (400, True)
    made = hers.post("/console/banks/new", form | {"address": "https://bank.example/v1"})
    assert made.status == 303, made.said[-6000:]
    path = made.location
    account = path.rpartition("/")[2]
    assert "another person approves it" in hers.get(path).said
    _approve(his, path)
    hers.get(path)
    assert hers.post(f"{path}/connect", {}).status == 400
    hers.get(path)
    assert hers.post(f"{path}/connect", {"secret": "t-1"}).status == 303
    page = his.get(path).said
    assert ("Another one" in page, "t-1" in page) == (True, False)
    _approve(his, path)
    with office.parts.database.read() as connection:
        row = accounts.find(connection, account, account_id=None, livemode=False)
    assert row is not None
    assert row.secret is not None
    assert VAULT.open(row.secret, f"bank secret {account}") == "t-1"
    hers.get(path)
    assert hers.post(f"{path}/close", {}).status == 303
    assert "It is to be closed" in his.get(path).said
    _approve(his, path)
    assert "Closed" in hers.get(path).said
    assert account in hers.get("/console/banks").text
    with office.parts.database.read() as connection:
        assert account not in {each.id for each in accounts.list_own(connection)}


def _approve(browser: Browser, path: str) -> None:
    """Approve what is proposed of an account, as its page shows it."""
    [digest] = re.findall(r'name="digest" value="(\w+)"', browser.get(path).text)
    assert browser.post(f"{path}/approve", {"digest": digest}).status == 303
