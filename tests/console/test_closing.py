"""Runs, breaks and days at the console: found, explained, corrected by two, and shown to print."""

import pytest

from sakk.console.reconciliation import KINDS, STANDS, why_of
from sakk.core.chart import equity_operator
from sakk.core.ledger_break import digest_of
from sakk.core.network import Currency, CurrencyKind
from sakk.core.outflow import OutflowStatus
from sakk.core.payin import PayInStatus
from sakk.core.transaction import Purpose, TransactionStatus
from sakk.pages.language import words
from sakk.store.identity import now
from sakk.store.ledger_break import find
from sakk.store.network import put_currency
from tests.api.closing import put_closing
from tests.console.office import Office


@pytest.mark.parametrize("language", ["en", "zh-Hans", "zh-Hant", "ar"])
def test_the_screens_of_closing_are_there_in_every_language(office: Office, language: str) -> None:
    made = put_closing(office.parts.database)
    browser = office.browser(office.person("viewer"))
    for path in (
        "reconciliations",
        f"reconciliations/{made['reconciliation']}",
        "breaks",
        f"breaks/{made['ledger_break']}",
        "days",
        f"days/{made['day']}",
    ):
        page = browser.get(f"/console/{path}?lang={language}")
        assert (page.status, "<script>alert" in page.text) == (200, False), (path, page.text[:500])
    assert "/propose" not in browser.get(f"/console/breaks/{made['ledger_break']}").text
    assert browser.get(f"/console/days/{made['day']}/file").status == 200
    for name in ("reconciliations", "breaks", "days"):
        assert browser.get(f"/console/{name}?format=csv").status == 200
        assert browser.get(f"/console/{name}?q=nothing&since=2026-01-01").status == 200


def test_whatever_is_on_its_way_is_said_in_words() -> None:
    stands = {*TransactionStatus, *PayInStatus, *OutflowStatus} - {"refused", "built", "signed"}
    assert {str(each) for each in stands} <= {*STANDS}
    assert {str(each) for each in Purpose} <= {*KINDS}
    told = [why_of(words("zh-Hans"), each) for each in ("payin seen", "payout orphaned", "x y")]
    assert told == ["入款 · 已发现", "出款 · 被网络撤回", "x y"]


def test_a_break_is_explained_and_corrected_by_two(office: Office) -> None:
    made = put_closing(office.parts.database)
    with office.parts.database.begin() as connection:
        put_currency(connection, Currency("usdc", "USDC", CurrencyKind.coin.value, 6, 1, 1, now()))
    path = f"/console/breaks/{made['ledger_break']}"
    ann, ben = (office.browser(office.person("finance")) for _ in range(2))
    office.prove()
    assert ann.get(path).status == 200
    assert ann.post(f"{path}/take", {}).status == 303
    ann.get(path)
    assert ann.post(f"{path}/note", {"text": "known"}).status == 303
    assert "known" in ann.get(path).text
    own = equity_operator("test/usdc").name
    wrong = {"debit": "quarantine:x#x", "credit": own, "units": "5"}
    page = ann.post(f"{path}/propose", wrong)
    assert (page.status, "No correction is booked" in page.text) == (400, True)
    ann.get(path)
    right = {"debit": "loss:spread#test/usdc", "credit": own, "units": "5", "note": "counted"}
    page = ann.post(f"{path}/propose", right)
    assert page.status == 303, page.said
    page = ann.get(path)
    assert ("/confirm" in page.text, "another person confirms" in page.text) == (False, True)
    with office.parts.database.read() as connection:
        row = find(connection, made["ledger_break"], livemode=False)
    assert row is not None
    page = ben.get(path)
    assert digest_of(row) in page.text
    page = ben.post(f"{path}/confirm", {"digest": digest_of(row)})
    assert page.status == 303, page.text
    assert "Being booked" in ben.get(path).text
    page = ben.get("/console/days")
    assert page.status == 200
    assert "/console/days/close" not in page.text
