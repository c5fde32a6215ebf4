"""A finance officer's day at the console: rates, orders and what goes by itself, banks."""

import pytest
from sqlalchemy import update

from sakk.core import bank_assignment as assignment_rules
from sakk.core import bank_return as return_rules
from sakk.core.bank_account import Adapter, BankTerms, Profile
from sakk.core.bank_change import digest_of as change_digest_of
from sakk.core.hedge_policy import digest_of
from sakk.core.network import Currency
from sakk.core.person import Actor
from sakk.core.rate import SCALE, Observation
from sakk.flow import bank_change, bank_release
from sakk.flow.bank_account import AccountRequest
from sakk.store import bank_assignment as assignments
from sakk.store import bank_file as files
from sakk.store import bank_return as returns
from sakk.store import bank_statement as statements
from sakk.store import hedge_policy as policies
from sakk.store import order as orders
from sakk.store import rate as rates
from sakk.store.identity import new_id, now
from sakk.store.network import put_currency
from tests.api.ordering import put_order, put_rates
from tests.console.banking import put_lines
from tests.console.office import Office
from tests.rails.test_bank_files import camt, entry


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
    for name in ("bank_files", "bank_statements", "bank_lines"):
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
    told = camt(entry("5.00", "CRDT"), closing="77.00")
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
    assert his.post(f"{path}/release", {"sha256": "0" * 64}).status == 400
    his.get(path)
    assert his.post(f"{path}/release", {"sha256": row.sha256}).status == 303
    assert "/release" not in his.get(path).text
    assert his.post(f"{path}/refuse", {}).status == 400
