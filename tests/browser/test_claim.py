"""The frame finds what it is for, and the claim page keeps all of it."""

from collections.abc import Iterator

import pytest

from sakk.api import claim_page
from sakk.core.claim import Claim, ClaimNetwork, ClaimStatus
from sakk.pages import page as pages
from sakk.pages import static_files
from tests.browser.frame import Browser, visit, visit_in_all
from tests.serving import Handler, served

HOSTILE = '<script>alert(1)</script>"\u202egnp.exe ' + "W" * 500
BAD = b"""<!doctype html><html lang="en" dir="ltr"><title>x</title><main><img src="http://127.0.0.1:1/x">
<script>throw 1</script><input><p>wide</p></main></html>"""
WIDE = b"""<!doctype html><html lang="en" dir="ltr"><title>x</title><link rel="icon" href="data:,">
<style>p{width:900px}</style><main><h1>x</h1><p>wide</p></main></html>"""


class _Handler(Handler):
    def do_GET(self) -> None:
        headers = {"content-type": "text/html"}
        if self.path.startswith("/static/"):
            _, _, digest, name = self.path.split("/", 3)
            given = static_files.answer(digest, name)
            body, headers = given.body, given.headers
        elif self.path == "/bad":
            body, headers = BAD, pages.headers("en")
        elif self.path == "/wide":
            body = WIDE
        else:
            language = self.headers["accept-language"]
            claim = _claim(ClaimStatus(self.path.rpartition("/")[2]))
            body = claim_page.render(claim, language=language, path="/refund_claims/x")
            headers = pages.headers(language)
        self.say(200, body, headers)


def _claim(status: ClaimStatus) -> Claim:
    is_placed = status is not ClaimStatus.open
    return Claim(
        status=status,
        merchant=HOSTILE,
        amount=25_000_000,
        amount_decimal="25.000000",
        currency="usdc",
        networks=[]
        if status is ClaimStatus.sent
        else [ClaimNetwork("eip155:84532", HOSTILE, "USDC")],
        network="eip155:84532" if is_placed else None,
        network_name=HOSTILE if status is ClaimStatus.sent else None,
        address="0x" + "5b" * 20 if is_placed else None,
        tx_hash=HOSTILE if status is ClaimStatus.sent else None,
        expires_at=None,
        livemode=False,
    )


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with served(_Handler) as url:
        yield url


def test_the_claim_page_is_good_in_every_language(browser: Browser, base: str) -> None:
    with browser.page(base) as page:
        for step in ("open", "unconfirmed", "sent"):
            visit_in_all(page, f"/claim/{step}")
            assert "<script>alert(1)</script>" in page.text()
            assert "25.00 USDC" in page.text()


def test_what_leaves_the_origin_and_what_is_blocked_is_found(browser: Browser, base: str) -> None:
    with browser.page(base) as page:
        page.goto("/bad")
        faults = "\n".join(page.faults())
        assert "left the origin" in faults or "img-src" in faults
        assert "script-src" in faults
        with pytest.raises(AssertionError, match="label: <input>"):
            page.check()


def test_what_is_wider_than_a_phone_is_found(browser: Browser, base: str) -> None:
    with browser.page(base) as page, pytest.raises(AssertionError, match="wide"):
        visit(page, "/wide")
