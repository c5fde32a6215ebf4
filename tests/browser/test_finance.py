"""A finance officer's day of `docs/guides/console.md`: two people, a bank, and the day's end.

The bank is a folder here, to which nobody answers: its statement is brought by hand. What it would
have answered, and days that are over, `tests/flow` has.
"""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from sakk.store.identity import now
from tests.browser.frame import Browser
from tests.browser.walk import PATIENCE_SECONDS, Walk, day_of
from tests.rails.test_bank_files import IBAN, IN, camt, entry

FINANCE = day_of("finance officer")
PAYEE = "ES9121000418450200051332"


def reached(is_so: Callable[[], bool]) -> None:
    """Wait for what a worker does."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.1)


def euros(money: httpx2.Client) -> int:
    """The available cents."""
    found = money.get("/v1/balance").json()["available"]
    return sum(int(each["amount"]) for each in found if each["currency"] == "eur")


def fills(walk: Walk, **fields: str) -> None:
    """Write into a form."""
    for name, value in fields.items():
        walk.page.call("fill", f"main [name={name}]", value)


def opens_an_account(fin: Walk, other: Walk) -> str:
    """Opened by one, approved by the other; the reference by which the merchant is paid there."""
    page = fin.page
    fin.opens("Banks")
    fin.presses("Open an account", "[name=holder]")
    page.check()
    fills(fin, holder="Sakk Operator", iban=IBAN, folder="house")
    page.call("selectOption", "[name=currency]", "eur")
    page.call("click", "summary:text-is('Orders and days')")
    fills(fin, calendar="")
    fin.presses("Propose the account", "text=Written down: another person approves it.")
    other.answers("Accounts at banks to approve", 1)
    other.page.call("click", "main td a:has-text('Sakk Operator')")
    other.page.awaits("h2:text-is('It is to be used')")
    other.page.check()
    other.presses("Approve", "text=Approved: it is used as it was shown.")
    fin.opens("Balances")
    fin.presses("References for banks", "button:text-is('Make a reference')")
    fin.presses("Make a reference", "[data-copy^='RF']")
    return str(page.evaluate("document.querySelector(\"[data-copy^='RF']\").dataset.copy"))


def brings_a_statement(fin: Walk, other: Walk, path: Path) -> None:
    """Brought by one, released by the other, who sees what is in it."""
    fin.opens("Banks")
    fin.presses("Files", "h1:text-is('Bank files')")
    fin.presses("Bring a file", "[name=file]")
    fin.page.call("setInputFiles", "[name=file]", str(path))
    fin.presses("Bring it", "text=The file is here: another person releases it.")
    other.answers("Files of banks to release", 1)
    other.page.call("click", "main tbody td:last-child a")
    other.page.awaits("h3:text-is('Payments in it')")
    other.page.check()
    for told in ("15,019.00", "15,000.00", "12.00", "7.00", "FR76 … 0189"):
        assert told in other.page.text()
    other.presses("Release", "text=Released: it is being read.")


def sees_to_what_nobody_expected(fin: Walk, other: Walk, account: str) -> None:
    """Twelve are given to the merchant, seven go back; each said by one, confirmed by the other."""
    waits = "Lines of bank statements that wait for a person"
    fin.answers(waits, 2)
    fin.page.call("click", "main tr:has-text('12.00') td:last-child a")
    fin.reads("Say whose it is")
    fills(fin, account=account)
    fin.presses("Propose", "text=Proposed: another person confirms it.")
    fin.opens("Bank lines")
    fin.page.call("click", "main tr:has-text('7.00') td:last-child a")
    fin.reads("Send it back to its sender")
    back = "section:has(h2:text-is('Send it back to its sender'))"
    fin.presses("Propose", "text=Proposed: another person confirms it.", within=back)
    for amount, told in (("12.00", "it is being booked"), ("7.00", "it is screened")):
        other.opens("Bank lines")
        other.page.call("click", f"main tr:has-text('{amount}') td:last-child a")
        other.presses("Confirm", f"text=Confirmed: {told}")
    other.page.check()


def pays_a_payee(fin: Walk, other: Walk) -> str:
    """Somebody is written down and paid more than goes by itself; the payout."""
    page = fin.page
    fin.opens("Address book")
    fin.presses("Payees at banks", "h1:text-is('Payees at banks')")
    fin.presses("New payee", "[name=iban]")
    fills(fin, holder="Élodie Roux", iban=PAYEE)
    page.call("selectOption", "[name=currency]", "eur")
    fin.presses("Add it", "text=The account is written down.")
    payee = str(page.evaluate("location.pathname")).rpartition("/")[2]
    fin.opens("Payouts")
    fin.presses("New payout", "[name=amount]")
    page.call("selectOption", "[name=route]", "bank eur")
    page.call("selectOption", "[name=beneficiary]", payee)
    fills(fin, amount="12000", description="June")
    fin.presses("Ask for the payout", "text=The payout is asked for.")
    other.answers("Payouts to approve", 1)
    other.page.call("click", "main tr:has-text('12,000.00') td:last-child a")
    other.page.awaits("h2:text-is('What the bank will be asked')")
    for told in (PAYEE, "never paid before"):
        assert told in other.page.text()
    other.presses("Approve", "text=Your approval counts.")
    return str(page.evaluate("location.pathname")).rpartition("/")[2]


def ends_a_period(fin: Walk) -> None:
    """Periods end when somebody says so, and one does."""
    page = fin.page
    fin.opens("Settlement schedule")
    fin.presses("Write a schedule", "[name=interval]")
    page.call("selectOption", "[name=interval]", "manual")
    fin.presses("Save", "text=It is saved.")
    fin.opens("Settlements")
    fin.presses("End a period now", "form[method=post] [name=currency]")
    page.check()
    page.call("selectOption", "form[method=post] [name=currency]", "eur")
    fin.presses("End the period", "text=The period is ended.")
    # What no statement has booked is no line of it yet.
    for told in ("15,000.00", "12.00", "15,012.00"):
        assert told in page.text()
    page.check()
    assert "BkToCstmrStmt>" in fin.file("camt.053")


def ends_the_day(fin: Walk) -> None:
    """What there was at its end, whether it agrees, and what stands in its way."""
    fin.opens("Balances")
    fills(fin, at=f"{now():%Y-%m-%d}")
    fin.presses("Show", "main td:has-text('15,012.00')")
    # The payout's money is set aside until a statement shows it gone.
    assert "3,012.00" in fin.page.text()
    fin.opens("Reconciliations")
    fin.presses("Reconcile now", "h1:text-is('Reconciliation')")
    fin.page.check()
    fin.opens("Banks")
    fin.reads("They agree")
    fin.page.awaits(".badge:text-is('They agree')")
    fin.opens("Days")
    fin.page.awaits("h2:has-text('Next:')")


def test_a_finance_officer_is_paid_by_bank_pays_and_ends_the_day(
    browser: Browser,
    sandbox: dict[str, Any],
    way_in: str,
    finance_way_in: str,
    money: httpx2.Client,
    tmp_path: Path,
) -> None:
    base = f"http://localhost:{urlsplit(sandbox['console']).port}"
    with browser.page(base, timezoneId="UTC") as page, browser.page(base) as second:
        fin = Walk(page, FINANCE, sandbox, finance_way_in)
        other = Walk(second, FINANCE, sandbox, way_in)
        reference = opens_an_account(fin, other)
        strange = IN.replace("RF18539007547034", "NONE")
        lines = entry("15000.00", "CRDT", IN.replace("RF18539007547034", reference))
        lines += entry("12.00", "CRDT", strange) + entry("7.00", "CRDT", strange)
        path = tmp_path / "statement.xml"
        path.write_text(camt(lines, opening="0.00", closing="15019.00"))
        brings_a_statement(fin, other, path)
        sees_to_what_nobody_expected(fin, other, sandbox["account"])
        reached(lambda: euros(money) == 1_501_200)

        payout = pays_a_payee(fin, other)
        reached(lambda: money.get(f"/v1/payouts/{payout}").json()["status"] == "broadcast")
        assert euros(money) == 301_200
        ends_a_period(fin)
        ends_the_day(fin)

        fin.opens("Bank lines")
        page.call("selectOption", "[name=outcome]", "all")
        fin.presses("Show", "main td:has-text('15,000.00')")
        found = csv.DictReader(fin.file("Download CSV").splitlines())
        assert {each["amount"]: each["outcome"] for each in found} == {
            "15000.00": "payin",
            "12.00": "assigned",
            "7.00": "sent_back",
        }
