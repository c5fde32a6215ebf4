"""Officers' and operators' pages in a real browser: every language, both directions, a phone."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.ledger.writer import open_ledger
from sakk.store.database import Database
from tests.browser.frame import PHONE, Browser, visit, visit_in_all
from tests.browser.test_desk import handler_of
from tests.console.agents import agents_of
from tests.console.desk import configure
from tests.console.objects import payout_of, under_review
from tests.console.office import Office, make_office
from tests.console.risk import Outgoing, case_of, exemption_of, outgoing, party_of, vasp_of


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


@pytest.fixture(scope="module")
def origin(office: Office) -> Iterator[str]:
    """The console for an officer who runs the treasury too."""
    reader = office.browser(office.person("owner", "compliance", "finance"))
    server = http.server.HTTPServer(("127.0.0.1", 0), handler_of(reader))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_case_is_read_in_four_languages(browser: Browser, origin: str, case: str) -> None:
    with browser.page(origin) as page:
        visit_in_all(page, f"/console/cases/{case}")


@pytest.mark.parametrize("language", ["en", "ar"])
def test_what_is_watched_fits_a_phone(
    browser: Browser, office: Office, origin: str, case: str, sent: Outgoing, language: str
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
            visit(page, path, language=language)
