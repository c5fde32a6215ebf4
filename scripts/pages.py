"""Open every screen once in a real browser (``make pages``), and say what is wrong.

One of everything is in a database of its own, as the tests have it. Each GET screen of the console,
the sign-in, the mall, a shop, a checkout, a payment link and a till are opened in English on a desk
and in Arabic on a phone, or as ``make pages WAYS="zh-Hans/desk zh-Hant/phone"`` says, and held
against what every page must keep: no error, no violation of its policy, no request that leaves the
origin, no serious finding of axe-core, nothing wider than a phone. Pictures of all stand in
``build/pages`` afterwards.
``make pages ONLY="bills mall"`` opens those whose path has a word.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

import psycopg
from tests.browser.frame import DESK, PHONE, Browser, Page, missing, visit
from tests.browser.screens import Buyer, console_paths, entrance_paths, served
from tests.browser.test_desk import handler_of
from tests.checkout.objects import pages_of
from tests.checkout.till import Counter
from tests.console.desk import configure
from tests.console.objects import objects
from tests.console.office import Office, make_office

from sakk.core.network import Network
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.ledger.writer import open_ledger
from sakk.rails.evm.rail import EvmRail
from sakk.runtime.postgres import Postgres, start_postgres
from sakk.runtime.wiring import make_rail
from sakk.store.database import open_database
from sakk.store.migrate import upgrade

PICTURES = Path(__file__).resolve().parents[1] / "build" / "pages"
SIZES = {"desk": DESK, "phone": PHONE}
WAYS = [way.split("/") for way in (os.environ.get("WAYS") or "en/desk ar/phone").split()]
# What a page says that is none any more.
STATUSES = {"link-off": 410}


def main() -> None:
    """Start, open all, end; exits with the number of pages on which something is wrong."""
    reason = missing()
    if reason is not None:
        sys.exit(f"no pages: {reason}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with start_postgres(ephemeral=True) as postgres:
        upgrade(postgres.url())
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE mall TEMPLATE sakk")
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
            wrong += look_around(postgres, browser, sys.argv[1:])
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
    paths = chosen(console_paths(objects(office)), only)
    doors = chosen(entrance_paths(office), only)
    wrong = 0
    for language, size in WAYS:
        reader = office.browser(office.person("owner", "compliance", "finance"))
        reader.get("/console/look")
        reader.post("/console/look", {"account": office.bob})
        with served(handler_of(reader)) as base:
            wrong += sum(opened(browser, base, path, language, size) for path in paths)
        with served(handler_of(office.browser())) as base:
            wrong += sum(opened(browser, base, path, language, size) for path in doors)
    return wrong


def look_around(postgres: Postgres, browser: Browser, only: list[str]) -> int:
    """The pages that payers see, both ways; how many are wrong."""
    database = open_database(postgres.url("mall"))
    counter = Counter(database, test_payer=lambda *_: None)
    try:
        every = pages_of(counter)
        buyer: Any = Buyer(counter, every.cookie)
        wrong = 0
        for language, size in WAYS:
            with served(handler_of(buyer)) as base:
                for name, path in every.pages.items():
                    if chosen([f"{path} {name}"], only):
                        wrong += opened(browser, base, path, language, size, name)
        return wrong
    finally:
        counter.close()
        database.close()


def chosen(paths: list[str], only: list[str]) -> list[str]:
    """Those that have one of the words; all where there are none."""
    return [path for path in paths if not only or any(word in path for word in only)]


def opened(
    browser: Browser, base: str, path: str, language: str, size: str, name: str | None = None
) -> bool:
    """Is something wrong with a page? It is told, and its picture is taken either way."""
    try:
        with browser.page(base, size=SIZES[size]) as page:
            try:
                visit(page, path, language=language, status=STATUSES.get(name or "", 200))
            finally:
                shoot(page, name or path, f"{language}-{size}")
    except Exception as error:
        told = f"{type(error).__name__} {error}"[:2_000]
        sys.stdout.write(f"{language} {path}: {told}\n")
        sys.stdout.flush()
        return True
    return False


def shoot(page: Page, path: str, way: str) -> None:
    """The whole page, not its first screen alone."""
    told = re.sub(r"_[0-9a-z]{26}\b", "", path.removeprefix("/console"))
    told = re.sub(r"/[A-Za-z0-9_-]{43}\b", "", told)
    name = re.sub(r"[^a-z0-9]+", "-", told).strip("-") or "home"
    where = PICTURES / f"{name}-{way}.png"
    options = {"path": str(where), "fullPage": True}
    page.call("screenshot", options)


if __name__ == "__main__":
    main()
