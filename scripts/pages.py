"""Open every screen of the console once in a real browser (``make pages``), and say what is wrong.

One of everything is in a database of its own, as the tests have it. Each GET screen of the table is
opened in English on a desk and in Arabic on a phone, and held against what every page must keep: no
error, no violation of its policy, no request that leaves the origin, no serious finding of
axe-core, nothing wider than a phone. Pictures of all stand in ``build/pages`` afterwards.
"""

import http.server
import re
import sys
import threading
from pathlib import Path

from tests.browser.frame import DESK, PHONE, Browser, Page, missing, visit
from tests.browser.test_desk import handler_of
from tests.console.desk import configure
from tests.console.objects import objects
from tests.console.office import Office, make_office
from tests.console.test_table import filled

from sakk.console.table import SCREENS
from sakk.core.network import Network
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.ledger.writer import open_ledger
from sakk.rails.evm.rail import EvmRail
from sakk.runtime.postgres import start_postgres
from sakk.runtime.wiring import make_rail
from sakk.store.database import open_database
from sakk.store.migrate import upgrade

PICTURES = Path(__file__).resolve().parents[1] / "build" / "pages"
WAYS = (("en", DESK), ("ar", PHONE))
# What is a file, asks for more than a path says, or is there in one browser alone.
LEFT_OUT = (
    *("/export", "/content", "/receipts", "/proofs", "/verify", "/report", "/file", "/exposures"),
    *("{attachment}", "/ledger/{account}", "/progress", "/proof"),
)


def main() -> None:
    """Start, open all, end; exits with the number of pages on which something is wrong."""
    reason = missing()
    if reason is not None:
        sys.exit(f"no pages: {reason}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with start_postgres(ephemeral=True) as postgres:
        upgrade(postgres.url())
        database = open_database(postgres.url())
        ledger = open_ledger(postgres.url())
        rails: dict[str, EvmRail] = {}

        def rail(network: Network) -> EvmRail:
            return rails.setdefault(network.network, make_rail(network))

        office = make_office(Parts(database, Books(database, ledger), rail=rail))
        browser = Browser()
        try:
            with database.begin() as connection:
                configure(connection)
            wrong = look(office, browser, sys.argv[1:])
        finally:
            browser.close()
            office.console.close()
            for each in rails.values():
                each.rpc.close()
            ledger.close()
            database.close()
    sys.stdout.write(f"{wrong} pages are wrong\n")
    sys.exit(min(wrong, 1))


def look(office: Office, browser: Browser, only: list[str]) -> int:
    """Every screen both ways, or those whose path has one of the words; how many are wrong."""
    ids = objects(office)
    paths = [
        filled(screen, ids)
        for screen in SCREENS
        if screen.method == "GET"
        and not screen.path.endswith(LEFT_OUT)
        and (not only or any(word in screen.path for word in only))
    ]
    wrong = 0
    for language, size in WAYS:
        reader = office.browser(office.person("owner", "compliance", "finance"))
        reader.get("/console/look")
        reader.post("/console/look", {"account": office.bob})
        server = http.server.HTTPServer(("127.0.0.1", 0), handler_of(reader))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            for path in paths:
                told = opened(
                    browser, f"http://127.0.0.1:{server.server_address[1]}", path, language, size
                )
                if told is not None:
                    wrong += 1
                    sys.stdout.write(f"{language} {path}: {told}\n")
                    sys.stdout.flush()
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
    return wrong


def opened(
    browser: Browser, base: str, path: str, language: str, size: dict[str, int]
) -> str | None:
    """What is wrong with a page, or None; its picture is taken either way."""
    try:
        with browser.page(base, size=size) as page:
            try:
                visit(page, path, language=language)
            finally:
                shoot(page, path, language)
    except Exception as error:
        return f"{type(error).__name__} {error}"[:2_000]
    return None


def shoot(page: Page, path: str, language: str) -> None:
    """The whole page, not its first screen alone."""
    told = re.sub(r"_[0-9a-z]{26}\b", "", path.removeprefix("/console"))
    name = re.sub(r"[^a-z0-9]+", "-", told).strip("-") or "home"
    where = PICTURES / f"{name}-{language}.png"
    options = {"path": str(where), "fullPage": True}
    page.call("screenshot", options)


if __name__ == "__main__":
    main()
