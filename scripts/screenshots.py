"""Take the pictures of pages in the documents (``make screenshots``), from a sandbox of its own."""

import json
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx2
from tests.api.checkout_objects import line, png
from tests.browser.frame import PHONE, Browser, missing

from sakk.runtime.process import Command, spawn

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
BYTES_MAX = 60_000
# How often it is looked whether a stage has done its work.
PAID_OUT = 12_000_000_000
TRIES_MAX = 60
PAYEE = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


def main() -> None:
    """Start, take, end; exits with what is missing."""
    reason = missing()
    if reason is not None:
        sys.exit(f"no pictures: {reason}")
    process = spawn(
        Command(
            argv=[sys.executable, "-m", "sakk.cli", "sandbox", "--json", "--networks", "1"],
            stdout=subprocess.PIPE,
        )
    )
    browser = Browser()
    try:
        assert process.popen.stdout is not None
        told = json.loads(next(each for each in process.popen.stdout if each.startswith(b"{")))
        take(browser, told)
    finally:
        browser.close()
        process.end()


def take(browser: Browser, sandbox: dict[str, Any]) -> None:
    """One after the other."""
    base = sandbox["api"]
    key = {"Authorization": f"Bearer {sandbox['secret_key']}"}
    with httpx2.Client(base_url=base, headers=key) as shop:
        logo = b64encode(png(48, 48)).decode()
        mail = "help@shop.example"
        shop.post("/v1/branding", json={"logo": logo, "color": "#0b5d4d", "support_email": mail})
        profile = {"name": "Lantern Tea House"}
        shop.post(f"/v1/accounts/{sandbox['account']}", json={"business_profile": profile})
        items = [line(2_500, name="Oolong tea, 2 × 100 g")]
        page = shop.post("/v1/checkout/sessions", json={"line_items": items}).json()["url"]
        device = shop.post("/v1/pos_devices", json={"name": "Stall 7", "currency": "usd"}).json()
        with browser.page(base, size=PHONE) as phone:
            phone.goto(page.removeprefix(base))
            shoot(phone, "checkout-phone")
            phone.goto(page.removeprefix(base), language="ar")
            shoot(phone, "checkout-phone-ar")
        with browser.page(base, size={"width": 680, "height": 600}) as desk:
            desk.goto(page.removeprefix(base))
            shoot(desk, "checkout-desk")
        with browser.page(base, size=PHONE) as phone:
            phone.goto(device["pairing_url"].removeprefix(base))
            phone.call("click", "text=Use this phone")
            phone.awaits(".keys")
            phone.call("fill", "#amount", "12.50")
            shoot(phone, "till")
            phone.call("click", "text=Ask to be paid")
            phone.awaits(".sale.awaiting")
            sale = shop.get("/v1/checkout/sessions").json()["data"][0]["url"]
            shop.post(f"{sale}/test", data={"part": "all"})
            phone.awaits(".sale.paid")
            shoot(phone, "till-paid")
        take_console(browser, shop, sandbox)


def take_console(browser: Browser, shop: httpx2.Client, sandbox: dict[str, Any]) -> None:
    """The console as its owner sees it: home, payments, and a payout that waits for approval."""
    page = shop.post("/v1/checkout/sessions", json={"line_items": [line(3_000_000, name="Tea")]})
    shop.post(f"{page.json()['url']}/test", data={"part": "all"})
    network = shop.get("/v1/networks").json()["data"][0]["id"]
    with browser.page(sandbox["api"], size={"width": 900, "height": 520}) as desk:
        desk.goto("/" + sandbox["console"].split("/", 3)[3])
        desk.call("click", "button.primary")
        desk.awaits("h1")
        desk.goto("/console/look")
        desk.call("click", f"form:has(input[value='{sandbox['account']}']) button")
        desk.awaits("h1")
        for _ in range(TRIES_MAX):
            have = shop.get("/v1/balance").json()["available"]
            if any(int(each["amount"]) > PAID_OUT for each in have):
                break
            time.sleep(0.5)
        for _ in range(TRIES_MAX):
            desk.goto("/console")
            if "Nothing has come" not in desk.text():
                break
            time.sleep(0.5)
        shoot(desk, "console-home")
        desk.goto("/console/payments")
        shoot(desk, "console-payments")
        # More than the sandbox's policy lets go without people.
        made = shop.post(
            "/v1/payouts",
            json={
                "amount": PAID_OUT,
                "currency": "usdc",
                "destination": {"network": network, "address": PAYEE},
            },
        ).json()
        path = f"/console/payouts/{made['id']}"
        for _ in range(TRIES_MAX):
            desk.goto(path)
            if "Waits for approval" in desk.text():
                break
            time.sleep(0.5)
        desk.call("setViewportSize", {"width": 700, "height": 400})
        for language, name in (("en", "console-approval"), ("ar", "console-approval-ar")):
            for _ in range(TRIES_MAX):
                desk.goto(path, language=language)
                desk.awaits("[data-load] .notice")
                # What came in is collected before it can be paid out.
                if desk.evaluate("!!document.querySelector('[data-load] .notice.good')"):
                    break
                time.sleep(1)
            desk.evaluate("document.querySelector('main h2').scrollIntoView()")
            shoot(desk, name)


def shoot(page: Any, name: str) -> None:
    """Write one picture; it has to be small, because every clone carries it."""
    path = IMAGES / f"{name}.png"
    page.call("screenshot", {"path": str(path)})
    if path.stat().st_size > BYTES_MAX:
        sys.exit(f"{path} is larger than {BYTES_MAX} bytes")


if __name__ == "__main__":
    main()
