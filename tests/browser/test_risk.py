"""Officers' and operators' pages in a real browser: every language, both directions, a phone."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sakk.core.attachment import REPORT_MEDIA_TYPE
from sakk.flow import rule as rules
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.ledger.writer import open_ledger
from sakk.store import case as cases
from sakk.store import label as labels
from sakk.store import payout as payouts
from sakk.store.database import Database
from tests.browser.frame import PHONE, Browser, Page, visit, visit_in_all
from tests.browser.test_desk import handler_of
from tests.console.agents import agents_of
from tests.console.desk import configure
from tests.console.objects import payout_of, under_review
from tests.console.office import Office, make_office
from tests.console.risk import Outgoing, case_of, exemption_of, outgoing, party_of, vasp_of
from tests.console.test_compliance import ENTITY
from tests.flow.policing import Desk
from tests.flow.test_approval_batch import listed


@pytest.fixture(scope="module")
def office(module_database: Database) -> Iterator[Office]:
    ledger = open_ledger(module_database.url)
    made = make_office(Parts(module_database, Books(module_database, ledger)))
    with module_database.begin() as connection:
        configure(connection)
    yield made
    made.console.close()
    ledger.close()


@pytest.fixture(scope="module")
def case(office: Office) -> str:
    return case_of(office, under_review(office, office.alice))


@pytest.fixture(scope="module")
def sent(office: Office) -> Outgoing:
    return outgoing(office, payout_of(office, office.alice))


@contextmanager
def console_of(office: Office, *roles: str) -> Iterator[str]:
    """The console for somebody with these roles, who proved to be there a moment ago."""
    server = http.server.HTTPServer(
        ("127.0.0.1", 0), handler_of(office.browser(office.person(*roles)))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    office.prove()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def origin(office: Office) -> Iterator[str]:
    """The console for an officer who runs the treasury too."""
    with console_of(office, "owner", "compliance", "finance") as made:
        yield made


def test_a_case_is_read_in_four_languages(browser: Browser, origin: str, case: str) -> None:
    with browser.page(origin) as page:
        visit_in_all(page, f"/console/cases/{case}")


def test_what_is_watched_fits_a_phone(
    browser: Browser, office: Office, origin: str, case: str, sent: Outgoing
) -> None:
    agents = agents_of(office, office.alice)
    known = party_of(office, office.alice)
    vasp, exemption = vasp_of(office), exemption_of(office)
    with browser.page(origin, size=PHONE) as page:
        for path in (
            "/console/cases",
            "/console/treasury",
            f"/console/transactions/{sent.transaction}",
            f"/console/freezes/{sent.freeze}",
            f"/console/travel_rules/{sent.travel_rule}",
            "/console/rules/in_force",
            "/console/rules/new",
            f"/console/parties/{known['party']}",
            f"/console/vasps/{vasp}",
            f"/console/exemptions/{exemption}",
            f"/console/mandates/{agents.mandate}",
        ):
            visit(page, path)


def test_two_officers_do_their_day(browser: Browser, office: Office, tmp_path: Path) -> None:
    """By the buttons' words as docs/guides/compliance.md has them: a list, a case that is asked
    about, reported and ended by two, a rule that is tried and put in force by the other."""
    desk = Desk(office.parts.database, office.alice)
    listed(desk)
    payout = under_review(office, office.alice)
    case = case_of(office, payout)
    file = tmp_path / "today.csv"
    file.write_text(f"address,category\n{payout.destination},mixer\n")
    with (
        console_of(office, "compliance") as mine,
        console_of(office, "compliance") as theirs,
        browser.page(mine) as first,
        browser.page(theirs, script=False) as second,
    ):
        set_up(first, file)
        end_a_case(first, second, case)
        change_a_rule(first, second)
        assert first.goto("/console/audit") == 200
    with office.parts.database.read() as connection:
        ended = payouts.find(connection, payout.id, account_id=None, livemode=False)
        kept = cases.list_attachments(connection, case)
        in_force = rules.find_version(connection, rules.IN_FORCE, livemode=False)
        [own] = [each for each in labels.list_lists(connection) if each.name == "own mixers"]
    assert ended is not None
    assert ended.status == "rejected"
    assert [each.media_type for each in kept] == [REPORT_MEDIA_TYPE]
    assert in_force is not None
    [changed] = [each for each in in_force.rules if each["name"] == "unknown_origin"]
    assert (changed["share_min_ppm"], changed["amount"]) == (625_000, {"whole": "25000"})
    assert (own.row_count, own.kind) == (1, "operator")


def type_into(page: Page, within: str = "main", **fields: str) -> None:
    """Fill fields by their names."""
    for name, text in fields.items():
        page.call("fill", f"{within} [name={name}]:visible", text)


def press(page: Page, label: str, told: str) -> None:
    """Press a button and wait until the page says something."""
    page.call("click", f"main button:visible:text-is('{label}') >> nth=0")
    page.awaits(f"main:has-text('{told}')")


def set_up(first: Page, file: Path) -> None:
    """Today's list, and who reports."""
    first.goto("/console/lists")
    type_into(first, name="own mixers")
    first.call("selectOption", "[name=kind]", "operator")
    first.call("setInputFiles", "[name=file]", str(file))
    press(first, "Import it", "What they touch is judged again.")

    first.goto("/console/reporting_entity")
    type_into(first, **ENTITY)
    press(first, "Save", "It is saved.")


def end_a_case(first: Page, second: Page, case: str) -> None:
    """It is taken, asked about, reported and rejected; what ends it, the other confirms."""
    first.goto("/console")
    first.call("click", "main >> text=Open cases")
    first.call("click", f"a[href='/console/cases/{case}'] >> nth=0")
    press(first, "Take it", "The case is yours.")
    assert "Money from or to a mixer" in first.text()
    type_into(first, text="The invoice is asked for.")
    press(first, "Write it down", "Written down.")
    type_into(first, question="What was this payment for?")
    press(first, "Ask", "Asked: the case waits for the answer.")
    first.call("click", "text=It was answered by letter or by telephone")
    type_into(first, text="For two sacks of coffee.")
    press(first, "Send the answer", "Thank you")
    first.goto(f"/console/cases/{case}")
    first.call("click", "text=Report to the authority (goAML)")
    type_into(first, "details[open]", reason="A mixer.", action="Held.", indicators="SAN")
    press(first, "Keep it and propose to file it", "Proposed: another person confirms it.")
    second.goto("/console")
    second.call("click", "main >> text=Outcomes of cases to confirm")
    second.call("click", f"a[href='/console/cases/{case}'] >> nth=0")
    press(second, "Confirm", "Confirmed: it is being carried out.")
    first.goto(f"/console/cases/{case}")
    first.call("selectOption", "#outcome", "reject")
    type_into(first, note="The letter bears nothing out.")
    press(first, "Propose", "Proposed: another person confirms it.")
    second.goto(f"/console/cases/{case}")
    press(second, "Confirm", "Confirmed: it is being carried out.")


def change_a_rule(first: Page, second: Page) -> None:
    """By its fields, tried and proposed; the other reads what it changes."""
    first.goto("/console/rules")
    first.call("click", "text=Propose another version")
    first.call("click", "[aria-label='Change: A large amount of unknown origin']")
    type_into(first, share_min_ppm="62.5", amount_whole="25000")
    press(first, "Keep it", "Changed")
    assert "62.5 % instead of 50.0001 %" in first.text()
    press(first, "Try", "judged again")
    type_into(first, note="Fewer of what is nothing.")
    press(first, "Propose", "Proposed: another person puts it in force.")
    second.goto("/console")
    second.call("click", "main >> text=Screening rules to put in force")
    second.call("click", "td a >> nth=0")
    assert "62.5 % instead of 50.0001 %" in second.text()
    press(second, "Put it in force", "These rules judge from now on.")
