"""Open every screen once in a real browser (``make pages``), and say what is wrong.

One of everything is in a database of its own, as the tests have it. Each GET screen of the console,
the sign-in, the mall, a shop, a checkout, a payment link and a till are opened in English on a desk
and in Arabic on a phone, or as ``make pages WAYS="zh-Hans/desk zh-Hant/phone"`` says, and held
against what every page must keep: no error, no violation of its policy, no request that leaves the
origin, no serious finding of axe-core, nothing wider than a phone. Pictures of all stand in
``build/pages`` afterwards.
``make pages ONLY="bills mall"`` opens those whose path has a word.
"""

import http.server
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from tests.api.checkout_objects import png
from tests.browser.frame import DESK, PHONE, Browser, Page, missing, visit
from tests.browser.test_desk import handler_of
from tests.checkout.test_door import make_device, make_link
from tests.checkout.test_mall import make_shop
from tests.checkout.till import Answer, Counter
from tests.console.desk import configure
from tests.console.objects import objects
from tests.console.office import Office, make_office
from tests.console.test_table import filled

from sakk.console.entrance import SIGN_IN
from sakk.console.table import SCREENS
from sakk.core.network import Network
from sakk.flow import pos_device as tills
from sakk.flow import shop as shops
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.flow.payment import read_catalogue
from sakk.ledger.writer import open_ledger
from sakk.rails.evm.rail import EvmRail
from sakk.runtime.postgres import Postgres, start_postgres
from sakk.runtime.wiring import make_rail
from sakk.store.database import open_database
from sakk.store.identity import new_id, now
from sakk.store.migrate import upgrade

PICTURES = Path(__file__).resolve().parents[1] / "build" / "pages"
SIZES = {"desk": DESK, "phone": PHONE}
WAYS = [way.split("/") for way in (os.environ.get("WAYS") or "en/desk ar/phone").split()]
# What is a file, asks for more than a path says, or is there in one browser alone.
LEFT_OUT = (
    *("/export", "/content", "/receipts", "/proofs", "/verify", "/report", "/file", "/exposures"),
    *("{attachment}", "{document}", "/ledger/{account}", "/progress", "/proof"),
)


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
        with served(handler_of(reader)) as base:
            wrong += sum(opened(browser, base, path, language, size) for path in paths)
        # The door itself, for whoever is not signed in.
        if not only or "sign-in" in only:
            with served(handler_of(office.browser())) as base:
                wrong += opened(browser, base, SIGN_IN, language, size)
    return wrong


def look_around(postgres: Postgres, browser: Browser, only: list[str]) -> int:
    """The pages that buyers see, both ways; how many are wrong."""
    database = open_database(postgres.url("mall"))
    counter = Counter(database, test_payer=lambda *_: None)
    try:
        shop, product = make_shop(counter)
        plain = {"name": "The open book", "description": "Books, bought and sold."}
        make_shop(counter, handle="open-book", category="books", **plain)
        with database.begin() as connection:
            for name, stock, picture in (("Oolong, 100 g", None, png()), ("Teapot", 0, None)):
                other = {"name": name, "stock": stock, "tax_text": None, "description": None}
                made = replace(product, id=new_id("prod"), **other)
                shops.add_product(connection, made, picture, public_url="")
        session, _ = counter.session()
        link, _ = make_link(counter)
        with database.begin() as connection:
            (_, phone), (_, unpaired) = [
                tills.create(
                    connection, read_catalogue(connection), make_device(counter, name), now=now()
                )
                for name in ("Stall 7", "Stall 8")
            ]
        paired = counter.ask("POST", f"/pos/pair/{phone}", {}, origin="http://pay.example")
        till = paired.cookies[0].partition(";")[0]
        sold = counter.ask("POST", "/pos", {"amount": "12.50"}, cookie=till)
        paths = (
            *("/mall", "/mall?category=art", f"/mall/{shop.handle}", session, link),
            *(link.replace("/pay/", "/shop/"), "/pos", f"/pos/pair/{unpaired}"),
            sold.headers["location"],
        )
        asked = [path for path in paths if not only or any(word in path for word in only)]
        wrong = 0
        buyer: Any = Buyer(counter, till)
        for language, size in WAYS:
            with served(handler_of(buyer)) as base:
                wrong += sum(opened(browser, base, path, language, size) for path in asked)
        return wrong
    finally:
        counter.close()
        database.close()


class Buyer:
    """Whoever comes to the checkout; what goes on while a page stands is not told."""

    def __init__(self, counter: Counter, till: str) -> None:
        self._counter, self._till = counter, till

    def send(self, method: str, path: str, *, headers: dict[str, str]) -> Answer:
        """One request."""
        if path.endswith("/events"):
            return Answer(204, {}, [], b"")
        return self._counter.ask(method, path, cookie=self._till, **headers)


@contextmanager
def served(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Where a handler answers, for as long as it is needed."""
    server = http.server.HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def opened(browser: Browser, base: str, path: str, language: str, size: str) -> bool:
    """Is something wrong with a page? It is told, and its picture is taken either way."""
    try:
        with browser.page(base, size=SIZES[size]) as page:
            try:
                visit(page, path, language=language)
            finally:
                shoot(page, path, f"{language}-{size}")
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
