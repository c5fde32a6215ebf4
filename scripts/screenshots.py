"""Take the pictures of pages in the documents (``make screenshots``), from a sandbox of its own."""

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx2
from tests.api.checkout_objects import line, png
from tests.browser.frame import PHONE, Browser, missing

from sakk.runtime.process import Command, spawn

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
BYTES_MAX = 60_000


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
        with browser.page(base, size={"width": 720, "height": 640}) as desk:
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


def shoot(page: Any, name: str) -> None:
    """Write one picture; it has to be small, because every clone carries it."""
    path = IMAGES / f"{name}.png"
    page.call("screenshot", {"path": str(path)})
    if path.stat().st_size > BYTES_MAX:
        sys.exit(f"{path} is larger than {BYTES_MAX} bytes")


if __name__ == "__main__":
    main()
