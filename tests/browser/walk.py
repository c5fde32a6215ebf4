"""People in a browser who know their day of `docs/guides/console.md`, and no words but its own."""

import re
import time
from typing import Any

from tests.browser.frame import ROOT, Page

PATIENCE_SECONDS = 60.0


def day_of(who: str) -> str:
    """What the guide tells of somebody's day."""
    guide = (ROOT / "docs/guides/console.md").read_text()
    return guide.partition(f"## A day of a {who}")[2].partition("\n## ")[0]


class Walk:
    """A person who knows one day of the guide: what they press stands there, word by word."""

    def __init__(self, page: Page, guide: str, sandbox: dict[str, Any], way_in: str) -> None:
        self.page, self._guide, self._account = page, guide, sandbox["account"]
        page.goto(way_in)
        page.call("click", "main button")
        page.call("waitForURL", "**/console")
        page.goto("/console/look")
        page.call("click", f"form:has(input[value='{self._account}']) button")
        page.call("waitForURL", "**/console")

    def opens(self, menu: str) -> None:
        """Go to a place of the menu."""
        assert menu in self._guide, f"the guide does not say {menu!r}"
        self.page.call("click", f"nav a:text-is('{menu}')")
        self.page.awaits(f"nav a[aria-current]:text-is('{menu}')")

    def presses(self, words: str, arrives: str, *, within: str = "main") -> None:
        """Press what is called so, and see what follows."""
        self.reads(words)
        named = ("button", "a", "summary")
        where = ", ".join(f"{within} {each}:text-is('{words}')" for each in named)
        open_ = "[...document.querySelectorAll('main details[open] > summary')]"
        # What a list that is empty has open already.
        if words not in self.page.evaluate(f"{open_}.map((each) => each.textContent.trim())"):
            self.page.call("click", where)
        self.page.awaits(arrives)

    def reads(self, words: str) -> None:
        """The guide has the very words."""
        assert f"*{words}*" in self._guide, f"the guide does not say *{words}*"

    def answers(self, card: str, count: int) -> None:
        """Home, as soon as so many of something wait there, and where that leads."""
        self.reads(card)
        until = time.monotonic() + PATIENCE_SECONDS
        where = f"a.card:has(.figure:text-is('{count}')):has-text('{card}')"
        self.opens("Home")
        while not self.page.call("isVisible", where):
            assert time.monotonic() < until, self.page.text()
            time.sleep(0.1)
            self.page.goto("/console")
        self.page.call("click", where)
        self.page.awaits("main h1:not(:text-is('Home'))")

    def file(self, words: str) -> str:
        """What the file has that a link is called so."""
        self.reads(words)
        link = f"[...document.querySelectorAll('main a')].find(a => a.textContent === '{words}')"
        return str(self.page.evaluate(f"fetch({link}.href).then((got) => got.text())"))

    def link(self, pattern: str) -> str:
        """A link that the page tells in its text."""
        found = re.search(rf"http://[^\s/]+({pattern}\S+)", self.page.text("body"))
        assert found is not None, self.page.text("body")
        return found[1]
