"""A real browser for the tests: Debian's Chromium, driven by playwright-core in a process of Node.

Playwright's Python package carries a Node and a protocol of its own; a page of ``driver.mjs`` says
the same to the Node that is here anyway, in lines of JSON, and costs nothing while nobody asks. One
Chromium serves a whole run: each page has a context of its own, so no test sees another's cookies.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from sakk.pages.language import LANGUAGES

ROOT = Path(__file__).resolve().parents[2]
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}
NARROWEST = 360
# Said by Chromium itself about answers that are meant: a page that is a 4xx.
EXPECTED = ("console: Failed to load resource: the server responded with a status of 4",)


def missing() -> str | None:
    """Why there is no browser here, or None."""
    if shutil.which("node") is None:
        return "there is no Node.js"
    if shutil.which("chromium") is None:
        return "there is no Chromium (Debian: apt install chromium)"
    if not (ROOT / "node_modules/playwright-core").is_dir():
        return "playwright-core is not installed (make setup)"
    return None


class BrowserError(Exception):
    """What the browser was asked for could not be done."""


class Browser:
    """One Chromium; ``page`` opens pages of it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(ROOT / "tests/browser/driver.mjs"), str(shutil.which("chromium"))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._numbers = count(1)

    @contextmanager
    def page(
        self, base: str, *, size: dict[str, int] | None = None, script: bool = True, **options: Any
    ) -> Iterator["Page"]:
        """A page that may ask ``base`` alone. ``options`` are those of a context."""
        key = str(next(self._numbers))
        given = {"viewport": size or DESK, "javaScriptEnabled": script, **options}
        self.ask("open", key=key, origin=base, options=given)
        page = Page(self, key, base)
        try:
            yield page
            faults = page.faults()
            assert faults == [], faults
        finally:
            self.ask("close", key=key)

    def sweep(
        self,
        base: str,
        paths: Sequence[str],
        *,
        judged_every: int = 1,
        colours_every: int = 1,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """What stands on many pages on a phone, and what is wrong there; on a desk, turned round.

        axe-core judges each so many, of which the menu, and colours, which are all of one style
        sheet, on each so many.
        """
        asked = [
            {
                "path": path,
                "judged": None
                if place % judged_every
                else "rest"
                if place % colours_every
                else "colours",
            }
            for place, path in enumerate(paths)
        ]
        given = {"viewport": PHONE, **options}
        told: list[dict[str, Any]] = self.ask("sweep", origin=base, options=given, asked=asked)
        return told

    def ask(self, act: str, **given: Any) -> Any:
        """One step; BrowserError with what Playwright said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"act": act, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BrowserError("the browser has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise BrowserError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        """End Chromium and its driver."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()


class Page:
    """A page, by the names of Playwright's own methods: ``page.call("click", "text=Pay")``."""

    def __init__(self, browser: Browser, key: str, base: str) -> None:
        self._browser = browser
        self._key = key
        self.base = base

    def call(self, method: str, *arguments: Any) -> Any:
        """A method of Playwright's ``Page`` (``click``, ``fill``, ``keyboard.press``, …)."""
        return self._browser.ask("call", key=self._key, method=method, args=list(arguments))

    def goto(self, path: str, *, language: str = "en") -> int:
        """Go there as a person whose browser prefers this language; the answer's status."""
        self.call("setExtraHTTPHeaders", {"accept-language": language})
        status: int = self._browser.ask("goto", key=self._key, url=self.base + path)
        return status

    def text(self, selector: str = "main") -> str:
        """What is to be read there, without the marks that isolate names and amounts."""
        found = str(self.call("innerText", selector))
        return found.translate(dict.fromkeys((0x2068, 0x2069))).replace("\u00a0", " ")

    def awaits(self, selector: str) -> None:
        """Wait until something is there and to be seen."""
        self.call("waitForSelector", selector)

    def evaluate(self, expression: str) -> Any:
        """What a script says there."""
        return self.call("evaluate", expression)

    def faults(self) -> list[str]:
        """What went wrong since it was last asked: errors, violations, requests elsewhere."""
        found: list[str] = self._browser.ask("faults", key=self._key)
        return [each for each in found if not each.startswith(EXPECTED)]

    def add_authenticator(self) -> None:
        """From now on the device keeps passkeys, and whoever holds it says yes."""
        self._browser.ask("authenticator", key=self._key)

    def bytes_loaded(self) -> int:
        """How many bytes came over the wire, headers included."""
        loaded: int = self._browser.ask("bytes", key=self._key)
        return loaded

    def check(self) -> None:
        """Nothing went wrong, people who can not see or point can use it, and it fits a phone."""
        faults = self.faults()
        assert faults == [], faults
        findings = self._browser.ask("axe", key=self._key)
        assert findings == [], findings
        size = self.evaluate("({width: innerWidth, height: innerHeight})")
        self.call("setViewportSize", {"width": NARROWEST, "height": PHONE["height"]})
        wide = self._browser.ask("wide", key=self._key)
        self.call("setViewportSize", size)
        assert wide == [], wide


def visit(page: Page, path: str, *, language: str = "en", status: int = 200) -> None:
    """Go to a page and hold it against all that every page must keep."""
    assert page.goto(path, language=language) == status
    direction = "rtl" if language == "ar" else "ltr"
    said = page.evaluate("[document.documentElement.lang, document.documentElement.dir]")
    assert said == [language, direction]
    page.check()


def visit_in_all(page: Page, path: str, *, status: int = 200) -> None:
    """The same in each language."""
    for language in LANGUAGES:
        visit(page, path, language=language, status=status)
