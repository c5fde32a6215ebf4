"""Settlements and fees in the console: periods, statements, schedules, simulations."""

import json
from dataclasses import replace

import pytest

from sakk.core import chart
from sakk.core.chart import TransferCode
from sakk.core.posting import Posting
from sakk.flow.book import PostingSet
from sakk.ledger.projection import catch_up
from sakk.store import account as accounts
from sakk.store import settlement as store
from sakk.store.beneficiary import beneficiaries
from sakk.store.identity import new_id
from tests.console.browser import Browser
from tests.console.desk import configure
from tests.console.objects import HOSTILE, beneficiary_of, fee_schedule_of, settlement_of
from tests.console.office import Office
from tests.flow.policing import NETWORK

TERMS = {
    "interval": "weekly",
    "cutoff": "17:30",
    "timezone": "Europe/Berlin",
    "weekday": "4",
    "calendar": "ecb",
    "delay_days": "1",
    "minimum": "USDC 10.00\n",
    "reserve_percent": "2,5",
    "reserve_days": "30",
    "network": NETWORK,
}


@pytest.fixture(scope="module", autouse=True)
def configured(office: Office) -> None:
    with office.parts.database.begin() as connection:
        configure(connection)


@pytest.fixture(scope="module")
def owner(office: Office) -> Browser:
    return office.browser(office.person("owner"))


def earn(office: Office, account: str, *units: int) -> None:
    """Lines of an account's statement."""
    unit = chart.currency_unit("usdc", livemode=False)
    for each in units:
        leg = Posting(
            chart.equity_operator(unit),
            chart.merchant(account, "available", unit),
            each,
            TransferCode.payin,
        )
        [outcome] = office.parts.books.post([PostingSet(new_id("pin"), "post", 0, [leg])])
        assert outcome.booked
    catch_up(office.parts.database.url)


def test_a_schedule_is_written_held_and_let_go(office: Office, owner: Browser) -> None:
    path = f"/console/settlement_schedules/{office.alice}"
    assert "has no settlement schedule" in owner.get(path).text
    form = {**TERMS, "beneficiary": beneficiary_of(office, office.alice)}
    for wrong, field in (
        ({"minimum": "10"}, "This is not so: 10"),
        ({"threshold": "USDC 5"}, "threshold goes with the interval"),
        ({"reserve_percent": "101"}, "Write a percentage"),
        ({"reserve_percent": "9e9999999"}, "Write a percentage"),
        ({"timezone": "Mars/Base"}, "There is no time zone"),
        ({"calendar": "XX"}, "There is no calendar"),
        ({"beneficiary": "ben_none"}, "There is no beneficiary"),
    ):
        got = owner.post(path, {**form, **wrong})
        assert (got.status, field in got.said) == (400, True), (wrong, got.said)
        # What was written stands in the form again.
        assert 'value="Europe/Berlin"' in got.text or "timezone" in wrong
    assert owner.post(path, form).status == 303
    page = owner.get(path)
    for told in ("Every week", "Friday", "17:30", "ECB", "USDC 10.00", "2.5 %", "for 30 days"):
        assert told in page.said, told
    assert owner.post(f"{path}/hold", {"state": "hold"}).status == 303
    assert "It is held" in owner.get(path).text
    # Changing terms lets nothing go.
    assert owner.post(path, {**form, "interval": "daily"}).status == 303
    with office.parts.database.read() as connection:
        row = store.find_schedule(connection, account_id=office.alice, livemode=False)
    assert row is not None
    assert (row.held, row.terms["reserve_ppm"], row.terms["interval"]) == (True, 25_000, "daily")
    assert owner.post(f"{path}/hold", {"state": "release"}).status == 303
    assert "Paid as due" in owner.get("/console/settlement_schedules").text
    # A place whose entry has gone stays what is chosen: saving the form as it is drops nothing.
    entry = form["beneficiary"]
    with office.parts.database.begin() as connection:
        gone = beneficiaries.c.id == entry
        connection.execute(beneficiaries.update().where(gone).values(deleted=True))
    assert f'<option value="{entry}" selected>' in owner.get(path).text
    # The merchant reads theirs, and changes nothing.
    merchant = office.browser(office.person(alice=["owner"]))
    theirs = merchant.get("/console/settlement_schedules")
    assert (
        "17:30" in theirs.text,
        '<form method="post" action="/console/settle' in theirs.text,
    ) == (
        True,
        False,
    )
    assert merchant.post(path, form).status == 404


def test_a_period_is_ended_and_its_statement_is_whole(office: Office, owner: Browser) -> None:
    settlement_of(office, office.bob, number=1, currency="usd", decimals=2)
    earn(office, office.bob, 25_000_000, 7)
    merchant = office.browser(office.person(bob=["finance"]))
    assert "End a period now" in merchant.get("/console/settlements").text
    assert merchant.post("/console/settlements", {"currency": "usd"}).status == 400
    made = merchant.post("/console/settlements", {"currency": "usdc"})
    assert made.status == 303, made.text
    page = merchant.get(made.location)
    assert ("25.000007" in page.text, "Closed" in page.text) == (True, True)
    printed = merchant.get(f"{made.location}/statement?lang=ar")
    assert printed.status == 200
    assert (printed.text.count("<tr>") > 4, "25.000007" in printed.text) == (True, True)
    assert "الكشف" in printed.said
    became = {"amount": 24_900_001, "conversion": "conv_1", "currency": "usdt", "decimals": 6}
    with office.parts.database.begin() as connection:
        table = store.settlements
        this = table.c.id == made.location.rpartition("/")[2]
        exchange = became | {"price": "0.996", "spread": 0}
        connection.execute(table.update().where(this).values(exchange=exchange))
    for where in (made.location, f"{made.location}/statement"):
        said = merchant.get(where).said
        assert ("Converted at 0.996" in said, "24.900001" in said) == (True, True)
    file = merchant.get(f"{made.location}/statement?format=csv").body.decode()
    assert file.splitlines()[0] == "number,id,time,type,amount,balance,currency,source"
    read = json.loads(merchant.get(f"{made.location}/statement?format=json").body)
    assert [line["number"] for line in read["data"]] == [1, 2]
    line = read["data"][0]["id"]
    rest = merchant.get(f"{made.location}?after={line}")
    assert ("0.000007" in rest.text, "25.000000" in rest.text) == (True, False)
    assert merchant.get(f"{made.location}?after=nonsense").status == 404
    # Lists: the merchant's own, everybody's, and a file without formulas.
    assert made.location in merchant.get("/console/settlements?status=closed").text
    assert "Nothing fits." in owner.get("/console/settlements?status=failed&until=9999-12-31").text
    rows = owner.get("/console/settlements?format=csv").body.decode().splitlines()
    assert rows[0].startswith("\ufeffid,number,account_id")
    assert len(rows) >= 2


def test_a_schedule_of_fees_is_tried_assigned_and_changed(office: Office, owner: Browser) -> None:
    got = owner.post(
        "/console/fee_schedules", {"name": HOSTILE, "rules": '[{"percent_ppm": 2000000}]'}
    )
    assert (got.status, "at most 1000000" in got.said) == (400, True)
    rules = [{"kind": "payin", "currency": "usdc", "percent_ppm": 10_000, "fixed": 100_000}]
    got = owner.post("/console/fee_schedules", {"name": "Tea", "rules": json.dumps(rules)})
    assert got.status == 303, got.text
    path = got.location
    tried = owner.get(f"{path}?kind=payin&amount=25.00&currency=usdc")
    for told in ("0.35", "24.65", "1 %", "rule 1 of version 1"):
        assert told in tried.said, told
    assert "Write an amount" in owner.get(f"{path}?amount=x&currency=usdc").text
    assert owner.post(f"{path}/assign", {"account": "acct_none"}).status == 404
    assert owner.post(f"{path}/assign", {"account": office.alice}).status == 303
    assert "Alice" in owner.get(path).text
    # Whom it prices is of the account: who may not write that changes no such thing.
    finance = office.browser(office.person("finance"))
    assert f"{path}/unassign" not in finance.get(path).text
    assert finance.post(f"{path}/unassign", {"account": office.alice}).status == 403
    for said, told in (
        ('[{"fixed": 5}]', "rules[0][currency]"),
        (r'["\ud800"]', "can not be read"),
    ):
        wrong = owner.post(path, {"rules": said})
        assert (wrong.status, told in wrong.said) == (400, True)
    assert owner.post(path, {"rules": '[{"percent_ppm": 7500}]'}).status == 303
    page = owner.get(path)
    assert ("0.75 %" in page.said, "Replaced" in page.text) == (True, True)
    assert owner.post(f"{path}/unassign", {"account": office.alice}).status == 303
    with office.parts.database.read() as connection:
        account = accounts.find_account(connection, office.alice)
    assert account is not None
    assert account.fee_schedule is None


def test_what_was_charged_is_told_with_its_rule(office: Office, owner: Browser) -> None:
    schedule = fee_schedule_of(office, office.bob)
    listed = owner.get(f"/console/fees?q={schedule}&kind=payin")
    assert ("0.35" in listed.text, "rule 1 of version 1" in listed.said) == (True, True)
    assert "<script>alert" not in owner.get(f"/console/fee_schedules/{schedule}").text
    merchant = office.browser(office.person(bob=["viewer"]))
    theirs = merchant.get("/console/fees")
    assert ("0.35" in theirs.text, "/console/fee_schedules/" in theirs.text) == (True, False)
    assert merchant.get(f"/console/fee_schedules/{schedule}").status == 404
    other = office.browser(office.person(alice=["viewer"]))
    assert "Nothing was charged yet." in other.get("/console/fees").text
    rows = owner.get("/console/fees?format=csv").body.decode().splitlines()
    assert any(",25.000000,0.350000,usdc," in row for row in rows)


def test_a_schedule_that_pays_a_bank_in_another_coin_is_shown_and_kept(office: Office) -> None:
    settlement_of(office, office.bob)
    with office.parts.database.begin() as connection:
        schedule = store.find_schedule(connection, account_id=office.bob, livemode=False)
        assert schedule is not None
        place = {"bank_account": "ba_of_bob", "currency": "eur"}
        terms = {**schedule.terms, "destination": place, "currency": "eur"}
        store.put_schedule(connection, replace(schedule, terms=terms))
    path = f"/console/settlement_schedules/{office.bob}"
    owner = office.browser(office.person("owner"))
    page = owner.get(path)
    assert (page.status, page.text.count("ba_of_bob")) == (200, 2)
    assert "EUR" in page.text
    # What the form says of the place is what counts: a bank account that is none is told there.
    refused = owner.post(path, {**TERMS, "bank_account": "ba_nobody", "currency": "usdc"})
    assert (refused.status, 'id="bank_account-fault"' in refused.text) == (400, True)
    with office.parts.database.read() as connection:
        kept = store.find_schedule(connection, account_id=office.bob, livemode=False)
    assert kept is not None
    assert kept.terms["destination"] == place


def test_a_statement_in_a_coin_is_no_banks(office: Office) -> None:
    settlement = settlement_of(office, office.bob)
    owner = office.browser(office.person("owner"))
    assert "camt.053" not in owner.get(f"/console/settlements/{settlement}").text
    refused = owner.get(f"/console/settlements/{settlement}/statement?format=camt053")
    assert (refused.status, "form csv" in refused.text) == (400, True)
