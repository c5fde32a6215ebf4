"""All pages that people see: their addresses, where they answer, and what each must keep."""

import http.server
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from babel.messages.catalog import Catalog

from sakk.console.entrance import SIGN_IN
from sakk.console.table import SCREENS
from sakk.pages.language import RIGHT_TO_LEFT, catalogue_paths, merged, read_catalogue
from tests.browser.frame import EXPECTED
from tests.checkout.till import Answer, Counter
from tests.console.office import Office
from tests.console.test_table import filled

# What is a file or a part of a page, or asks for more than a path says.
LEFT_OUT = (
    *("/export", "/content", "/receipts", "/proofs", "/verify", "/report", "/file", "/exposures"),
    *("{attachment}", "{document}", "/ledger/{account}", "/progress", "/tries", "/proof", "/code"),
)
# What a program lets through where a person is to read something.
SLIPS = (
    (re.compile(r"\bNone\b|\bundefined\b|\[object "), "a value of a program"),
    (re.compile(r"\{[A-Za-z_]*\}|%\([a-z]+\)s|\x04"), "a message that was not filled in"),
)
# A code that stands among words as if it were one.
RAW = re.compile(r"(?<![/\w.=-])[a-z0-9]+(?:_[a-z0-9]+)+(?![/\w=-])")
# Three words of English in a row are a sentence; fewer may be the name of a standard.
ENGLISH = re.compile(r"\b[A-Za-z][a-z']+(?: [A-Za-z]?[a-z']+){2,}")
ISOLATED = re.compile("\u2068[^\u2068\u2069]*\u2069")


def console_paths(ids: dict[str, str]) -> list[str]:
    """Each screen of the console, with an object of each kind in its address."""
    return [
        filled(screen, ids)
        for screen in SCREENS
        if screen.method == "GET" and not screen.path.endswith(LEFT_OUT)
    ]


def entrance_paths(office: Office) -> list[str]:
    """The pages of who is not signed in."""
    return [SIGN_IN, f"/console/enter/{office.link(office.person('viewer'))}"]


class Buyer:
    """Whoever comes to the checkout; what goes on while a page stands is not told."""

    def __init__(self, counter: Counter, till: str) -> None:
        self._counter, self._till = counter, till

    def send(self, method: str, path: str, *, headers: dict[str, str]) -> Answer:
        """One request."""
        if path.endswith("/events"):
            return Answer(204, {}, [], b"")
        language = headers["accept-language"]
        return self._counter.ask(method, path, cookie=self._till, accept_language=language)


@contextmanager
def served(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Where a handler answers, for as long as it is needed."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wrong_with(told: dict[str, Any], language: str) -> list[str]:
    """What a page of a sweep does not keep; nothing where all is well."""
    found = [each for each in told["faults"] if not each.startswith(EXPECTED)]
    found += [*told["wide"], *told["findings"]]
    if told["status"] not in (200, 410):
        found.append(f"status {told['status']}")
    direction = "rtl" if language in RIGHT_TO_LEFT else "ltr"
    if (told["lang"], told["dir"]) != (language, direction):
        found.append(f"not {language} from {direction}")
    found += [
        f"{name}: {slip[0]!r}" for each, name in SLIPS if (slip := each.search(told["whole"]))
    ]
    found += [f"not said in {language}: {each!r}" for each in _foreign(told["own"], language)]
    return found


def _foreign(said: Sequence[str], language: str) -> Iterator[str]:
    """What of a page's own words is a code, or not in its language."""
    translated = _translated(language)
    for each in said:
        # What is filled in keeps to itself, and is a name.
        rest = each
        while (shorter := ISOLATED.sub("", rest)) != rest:
            rest = shorter
        if each in translated or RAW.search(rest) or (translated and ENGLISH.search(rest)):
            yield each


@cache
def _translated(language: str) -> frozenset[str]:
    """Messages that a page in this language says in other words."""
    whole: Catalog = merged(language, map(read_catalogue, catalogue_paths(language)))
    return frozenset(
        message.id
        for message in whole
        if isinstance(message.id, str) and message.id not in ("", message.string)
    )
