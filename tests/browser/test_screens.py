"""Every page there is, once: in Arabic on a phone at night, and turned round on a desk.

Arabic is read from right to left, and in no Latin letters: a word that was left in English is seen.
A screen that comes later is swept without a word here. `make pages` opens them in each language.
"""

import http.server
from collections.abc import Sequence
from typing import Any

from sakk.pages import page as pages
from sakk.pages.limit import TokenBuckets
from sakk.store.database import Database
from tests.browser.frame import Browser
from tests.browser.screens import Buyer, console_paths, entrance_paths, served, wrong_with
from tests.browser.test_desk import handler_of
from tests.checkout.objects import pages_of
from tests.checkout.till import Counter
from tests.console.conftest import office as office
from tests.console.desk import configure
from tests.console.objects import objects
from tests.console.office import Office

FRAME = (
    '<!doctype html><html lang="ar" dir="rtl"><title>متجر</title>'
    '<link rel="icon" href="data:,"><main><h1>متجر</h1>{}</main></html>'
)
# What may be wrong with a page, and how that is told; with the first of them nothing is.
BROKEN: dict[str, str | None] = {
    "": None,
    "<p>None</p>": "a value of a program: 'None'",
    "<p><bdi>{name}</bdi></p>": "a message that was not filled in: '{name}'",
    "<p>payin_fee</p>": "not said in ar: 'payin_fee'",
    "<p>Copied</p>": "not said in ar: 'Copied'",
    "<p>Nobody translated this.</p>": "not said in ar: 'Nobody translated this.'",
    '<p aria-label="Nobody translated this.">متجر</p>': "not said in ar",
    "<script>1</script>": "console: policy: script-src",
    '<script src="/throw.js"></script>': "error: thrown",
    '<script src="/warn.js"></script>': "console: said",
    '<img src="http://127.0.0.1:1/x.png" alt="">': "console: policy: img-src",
    '<svg width="900" height="9"></svg>': "the page is wide",
    "<input>": "label: <input>",
    "<!--open-->": "left the origin: http://127.0.0.1:1/y.png",
    "<!--gone-->": "status 404",
    "<!--turned-->": "not ar from rtl",
}
# On how many of the pages that are judged colours are compared: `make pages` does on all.
COLOURS_EVERY = 8
# On how many pages of the console axe-core runs: it takes longer than all the rest of a page.
JUDGED_EVERY = 8
SCRIPTS = {"/throw.js": b"throw new Error('thrown')", "/warn.js": b"console.warn('said')"}


class _Broken(http.server.BaseHTTPRequestHandler):
    """A page for each thing that can be wrong, by its place."""

    def do_GET(self) -> None:
        script = SCRIPTS.get(self.path)
        headers = {"content-type": "text/javascript"} if script else pages.headers("ar")
        part = "" if script else list(BROKEN)[int(self.path[1:])]
        page = FRAME.format(part)
        if part == "<!--open-->":
            headers = {"content-type": "text/html; charset=utf-8"}
            page = page.replace(part, '<img src="http://127.0.0.1:1/y.png" alt="">')
        if part == "<!--turned-->":
            page = page.replace('"rtl"', '"ltr"')
        self.send_response(404 if part == "<!--gone-->" else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(script or page.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def swept(browser: Browser, base: str, paths: Sequence[str], *, judged_every: int = 1) -> list[str]:
    """What is wrong on pages."""
    options = {"colorScheme": "dark", "extraHTTPHeaders": {"accept-language": "ar"}}
    every = browser.sweep(
        base, paths, judged_every=judged_every, colours_every=COLOURS_EVERY, **options
    )
    return [f"{told['path']}: {each}" for told in every for each in wrong_with(told, "ar")]


def test_every_screen_of_the_console(browser: Browser, office: Office) -> None:
    # They ask for every screen at once, which the door would not have of people.
    door = office.console.door
    door._persons = door._addresses = TokenBuckets(rate=1_000_000.0, burst=1_000_000.0)
    with office.parts.database.begin() as connection:
        configure(connection)
    paths = console_paths(objects(office))
    reader = office.browser(office.person("owner", "compliance", "finance"))
    reader.get("/console/look")
    reader.post("/console/look", {"account": office.bob})
    with served(handler_of(reader)) as base:
        found = swept(browser, base, paths, judged_every=JUDGED_EVERY)
    with served(handler_of(office.browser())) as base:
        found += swept(browser, base, entrance_paths(office))
    assert found == [], "\n".join(found)


def test_every_page_of_payers_and_tills(browser: Browser, database: Database) -> None:
    counter = Counter(database, test_payer=lambda *_: None)
    try:
        opened = pages_of(counter)
        buyer: Any = Buyer(counter, opened.cookie)
        with served(handler_of(buyer)) as base:
            found = swept(browser, base, opened.paths)
    finally:
        counter.close()
    assert found == [], "\n".join(found)


def test_each_thing_that_is_wrong_is_found(browser: Browser) -> None:
    with served(_Broken) as base:
        paths = [f"/{place}" for place in range(len(BROKEN))]
        every = browser.sweep(base, paths, colours_every=len(BROKEN))
    for told, expected in zip(every, BROKEN.values(), strict=True):
        found = wrong_with(told, "ar")
        if expected is None:
            assert found == []
        else:
            assert any(each.startswith(expected) for each in found), (expected, found)
