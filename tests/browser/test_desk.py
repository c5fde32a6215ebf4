"""The desk in a real browser: every language and direction, a phone's width, a reader's ears."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.ledger.writer import open_ledger
from sakk.pages import static_files
from sakk.store.database import Database
from tests.browser.frame import PHONE, Browser, visit, visit_in_all
from tests.console.browser import ORIGIN
from tests.console.browser import Browser as Reader
from tests.console.desk import Desk, make_desk
from tests.console.office import Office, make_office


def handler_of(reader: Reader) -> type[http.server.BaseHTTPRequestHandler]:
    """Everybody who asks here is the one who is signed in."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/static/"):
                _, _, digest, name = self.path.split("/", 3)
                given = static_files.answer(digest, name)
                self._send(given.status, given.headers, given.body)
                return
            language = self.headers["accept-language"] or "en"
            sent = {"accept-language": language}
            if self.headers["hx-request"] is not None:
                sent["hx-request"] = self.headers["hx-request"]
            got = reader.send("GET", self.path, headers=sent)
            self._send(got.status, got.headers, got.body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            sent = {"content-type": self.headers["content-type"], "origin": ORIGIN}
            got = reader.send_bytes("POST", self.path, body, sent)
            self._send(got.status, got.headers, got.body)

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture(scope="module")
def office(module_database: Database) -> Iterator[Office]:
    ledger = open_ledger(module_database.url)
    made = make_office(Parts(module_database, Books(module_database, ledger)))
    yield made
    made.console.close()
    ledger.close()


@pytest.fixture(scope="module")
def desk(office: Office) -> Desk:
    return make_desk(office)


@pytest.fixture(scope="module")
def origin(office: Office, desk: Desk) -> Iterator[str]:
    """The console for one of the operator's people, who looks at Alice."""
    reader = office.browser(office.person("owner"))
    reader.get("/console/look")
    reader.post("/console/look", {"account": office.alice})
    server = http.server.HTTPServer(("127.0.0.1", 0), handler_of(reader))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_main_pages_speak_four_languages(browser: Browser, origin: str, desk: Desk) -> None:
    with browser.page(origin) as page:
        for path in ("/console", f"/console/payments/{desk.paid}"):
            visit_in_all(page, path)


@pytest.mark.parametrize("language", ["en", "ar"])
def test_lists_fit_a_phone(browser: Browser, origin: str, desk: Desk, language: str) -> None:
    with browser.page(origin, size=PHONE) as page:
        for path in ("/console/payments?status=succeeded", "/console/exceptions", "/console/keys"):
            visit(page, path, language=language)
        # A row is a card there, whose lines say what they are, and still a row to who hears it.
        page.goto("/console/payments", language=language)
        head = page.evaluate("document.querySelector('.labelled th').textContent")
        said = "getComputedStyle(document.querySelector('.labelled td'), '::before').content"
        assert page.evaluate(said).strip('"') == head
        assert page.evaluate("document.querySelector('.labelled tr').role") == "row"


def test_every_other_page_is_for_everybody(browser: Browser, origin: str, desk: Desk) -> None:
    with browser.page(origin) as page:
        for path in (
            f"/console/payins/{desk.late}",
            f"/console/customers/{desk.customer}",
            f"/console/webhooks/{desk.endpoint}",
            f"/console/events/{desk.event}",
            "/console/requests",
            "/console/balances?at=2026-01-01",
            "/console/statement",
            "/console/ledger",
            "/console/journal",
        ):
            visit(page, path)


def test_a_payment_is_found_by_keyboard_without_script(
    browser: Browser, origin: str, desk: Desk
) -> None:
    with browser.page(origin, script=False) as page:
        assert page.goto("/console/payments") == 200
        page.call("focus", "#q")
        page.call("keyboard.type", "order=77")
        page.call("keyboard.press", "Enter")
        page.awaits(f"a[href='/console/payments/{desk.paid}']")
