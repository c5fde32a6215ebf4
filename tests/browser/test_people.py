"""People in a real browser: a passkey is made and signed in by, and their screens are looked at."""

from typing import Any
from urllib.parse import urlsplit

from tests.browser.frame import Browser, Page, visit

SCREENS = (
    "/console/security",
    "/console/team",
    "/console/audit",
    "/console/payouts",
)


def _submits(page: Page, selector: str, arrives: str) -> None:
    """Press a button, and be elsewhere afterwards."""
    page.call("click", selector)
    page.call("waitForURL", f"**{arrives}")


def test_a_passkey_is_made_and_signed_in_by(
    browser: Browser, sandbox: dict[str, Any], way_in: str
) -> None:
    port = urlsplit(sandbox["console"]).port
    # Passkeys belong to a name, and this machine has one.
    with browser.page(f"http://localhost:{port}") as page:
        page.add_authenticator()
        visit(page, way_in)
        _submits(page, "main button", "/console")
        for path in SCREENS:
            visit(page, path, language="zh-Hant")
        # One account asks for a payout, so one is looked at.
        page.goto("/console/look")
        page.check()
        _submits(page, f"form:has(input[value='{sandbox['account']}']) button", "/console")
        visit(page, "/console/payouts/new", language="zh-Hant")
        visit(page, "/console/security")
        _submits(page, "form[action='/console/security/passkeys/new'] button", "/passkeys/new")
        page.check()
        _submits(page, "form[data-passkey] button", "/console/security")
        assert "The passkey is kept." in page.text("body")
        _submits(page, "form[action='/console/security/sign-out'] button", "/console/sign-in")
        visit(page, "/console/sign-in")
        _submits(page, "form[data-passkey] button", "/console")
        visit(page, "/console/security")
        assert "This device" in page.text()
