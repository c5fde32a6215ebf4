"""A payer pays on a local chain and sees it: a part, all, too much, too late. So does a till."""

import re
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.api.checkout_objects import line, open_line, png
from tests.browser.frame import PHONE, Browser, Page, visit, visit_in_all

BYTES_MAX = 100_000
HOSTILE = '<script>alert(1)</script>"\u202egnp.exe ' + "W" * 200
# What a wallet in the browser announces (EIP-6963); it notes what it is asked.
WALLET = """
window.asked = [];
const provider = { request: async ({ method, params }) => {
  window.asked.push([method, params]);
  if (method === "eth_requestAccounts") return ["0x00000000000000000000000000000000000000c5"];
  if (method === "wallet_switchEthereumChain") window.chain = params[0].chainId;
  return method === "eth_chainId" ? (window.chain ?? "0x1") : null;
} };
const info = { uuid: "1", name: "Fox <b>", icon: "", rdns: "x" };
const detail = Object.freeze({ info, provider });
const announce = () => dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
addEventListener("eip6963:requestProvider", announce);
"""
# A line on which a page comes so slowly that the end was told before it is there.
SLOW_LINE = """
let paid;
const end = new Promise((resolve) => { paid = resolve; });
const Source = EventSource;
window.EventSource = class extends Source {
  constructor(url) {
    super(url);
    this.addEventListener("message", (event) => event.data.startsWith("paid") && paid());
  }
};
const load = fetch;
window.fetch = async (...asked) => {
  const answer = await load(...asked);
  if (window.isSlow) await end;
  return answer;
};
"""


class Shop:
    """A merchant that asks over the API."""

    def __init__(self, sandbox: dict[str, Any]) -> None:
        self.base: str = sandbox["api"]
        self._http = httpx2.Client(
            base_url=self.base, headers={"Authorization": f"Bearer {sandbox['secret_key']}"}
        )
        self.account: str = sandbox["account"]

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self._http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def get(self, path: str) -> dict[str, Any]:
        told: dict[str, Any] = self._http.get(path).json()
        return told

    def close(self) -> None:
        self._http.close()

    def session(self, *, name: str = "Tea", **more: Any) -> str:
        """The path of a new session's page."""
        made = self.post("/v1/checkout/sessions", line_items=[line(2_500, name=name)], **more)
        return self.path(made["url"])

    def path(self, url: str) -> str:
        assert url.startswith(self.base)
        return url.removeprefix(self.base)

    def pays(self, page: str, part: str = "all") -> None:
        """A payer's wallet sends coins, wherever the payer is."""
        answer = httpx2.post(f"{self.base}{page}/test", data={"part": part})
        assert answer.status_code == 303, answer.text


@pytest.fixture(scope="module")
def shop(sandbox: dict[str, Any]) -> Iterator[Shop]:
    made = Shop(sandbox)
    try:
        yield made
    finally:
        made.close()


def test_a_part_is_seen_and_then_the_rest_by_keyboard_alone(browser: Browser, shop: Shop) -> None:
    path = shop.session(success_url="https://shop.example/?s={CHECKOUT_SESSION_ID}")
    with browser.page(shop.base) as page:
        visit(page, path)
        assert page.bytes_loaded() < BYTES_MAX
        _press(page, "Pay half")
        page.awaits(".ending.confirming")
        assert re.search(r"[012] of 2 confirmations", page.text(".ending"))
        page.awaits(".ending.partial")
        assert "Still due: 12.50 USD" in page.text(".ending")
        # The exact amount is now the rest.
        assert "12.50 USDC" in page.text(".exact-amount")
        _press(page, "Pay with test wallet")
        page.awaits(".ending.paid")
        assert "Paid. Thank you." in page.text(".ending")
        back = page.call("getAttribute", "text=Back to the merchant", "href")
        assert re.fullmatch(r"https://shop\.example/\?s=cs_[0-9a-z]{26}", back)
        page.check()
        _press(page, "Receipt")
        page.awaits(".receipt")
        page.call("emulateMedia", {"media": "print"})
        assert "25.00 USD" in page.text()
        assert not page.call("isVisible", "text=Back to the payment")


def _press(page: Page, label: str) -> None:
    """Go there by the tabulator and press the key: no pointer is needed for anything."""
    page.evaluate("document.activeElement.blur()")
    for _ in range(60):
        page.call("keyboard.press", "Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == label:
            page.call("keyboard.press", "Enter")
            return
    raise AssertionError(f"{label!r} can not be reached by the keyboard")


def test_what_was_too_much_goes_back_to_where_the_payer_says(browser: Browser, shop: Shop) -> None:
    shop.post(f"/v1/accounts/{shop.account}", settings={"payments": {"over": "refund_due"}})
    path = shop.session()
    with browser.page(shop.base, size=PHONE) as page:
        page.goto(path)
        page.call("click", "text=Pay twice as much")
        page.awaits(".ending.over")
        assert "25.00 USD more than was asked" in page.text(".ending")
        page.check()
        page.call("click", "text=Get the difference back")
        page.awaits("#address")
        page.call("fill", "#address", "0x123")
        page.call("click", "text=Continue")
        page.awaits(".fault")
        page.call("fill", "#address", "0x8ba1f109551bD432803012645Ac136ddd64DBA72")
        page.call("click", "text=Continue")
        page.awaits("text=Check every character")
        page.call("click", "text=Send it to this address")
        page.awaits("text=The refund is being sent to this address.")
        page.goto(path)
        page.awaits(".ending.over")
        assert not page.call("isVisible", "text=Get the difference back")


def test_who_pays_late_is_told_that_it_was_accepted(browser: Browser, shop: Shop) -> None:
    path = shop.session(expires_at=int(time.time()) + 3)
    with browser.page(shop.base) as page:
        page.call("addInitScript", {"content": SLOW_LINE})
        page.goto(path)
        page.awaits(".ending.expired")
        assert "Do not send anything now" in page.text(".ending")
        assert not page.call("isVisible", "text=How do you want to pay?")
        page.check()
        page.evaluate("window.isSlow = true")
        shop.pays(path)
        page.awaits(".ending.paid_late")


def test_hostile_names_stay_text_in_every_language_and_at_any_size(
    browser: Browser, shop: Shop
) -> None:
    shop.post(
        "/v1/branding",
        logo=b64encode(png(40, 16)).decode(),
        color="#ffd700",
        support_email="help@shop.example",
        embed_origins=["https://shop.example"],
    )
    shop.post(f"/v1/accounts/{shop.account}", business_profile={"name": HOSTILE[:255]})
    path = shop.session(name=HOSTILE[:255])
    link = shop.post("/v1/payment_links", line_items=[open_line(HOSTILE[:255], minimum=100)])
    try:
        with browser.page(shop.base) as page:
            visit_in_all(page, path)
            assert "<script>alert(1)</script>" in page.text()
            assert "\u202e" not in page.text()
            page.call("setViewportSize", {"width": 640, "height": 400})
            page.evaluate("document.documentElement.style.fontSize = '200%'")
            page.check()
            visit(page, shop.path(link["url"]), language="ar")
            page.call("fill", "#amount", "0.50")
            page.call("click", "button")
            page.awaits(".fault")
            page.call("fill", "#amount", "٧٫٥")
            page.call("click", "button")
            page.awaits("#live")
            assert "7.50" in page.text("h1")
            visit(page, shop.path(link["url"]).replace("/pay/", "/shop/"), language="zh-Hans")
    finally:
        shop.post(f"/v1/accounts/{shop.account}", business_profile={"name": "Tea shop"})


def test_a_wallet_in_the_browser_is_offered_and_fills_the_transfer(
    browser: Browser, shop: Shop
) -> None:
    path = shop.session()
    with browser.page(shop.base) as page:
        page.call("addInitScript", {"content": WALLET})
        page.goto(path)
        page.call("click", "text=Pay with Fox <b>")
        page.awaits("text=Sent. Waiting for the network.")
        asked = dict(page.evaluate("asked"))
        assert asked["wallet_switchEthereumChain"] == [{"chainId": "0x14a34"}]
        [sent] = asked["eth_sendTransaction"]
        address = str(page.call("innerText", ".address")).replace("\n", "").lower()
        assert sent["to"].lower() == "0x036cbd53842c5426634e7929541ec2318f3dcf7e"
        assert sent["data"] == (f"0xa9059cbb{address.removeprefix('0x'):0>64}{25_000_000:064x}")


def test_the_page_works_without_a_script(browser: Browser, shop: Shop) -> None:
    path = shop.session()
    with browser.page(shop.base, script=False) as page:
        page.goto(path)
        assert not page.call("isVisible", "[data-copy]")
        page.call("click", "text=Pay with test wallet")
        deadline = time.monotonic() + 60
        while httpx2.get(f"{shop.base}{path}/status").json()["status"] != "complete":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        page.goto(path)
        assert "Paid. Thank you." in page.text(".ending")


def test_a_phone_becomes_a_till_and_shows_that_it_was_paid(browser: Browser, shop: Shop) -> None:
    device = shop.post("/v1/pos_devices", name="Stall 7", currency="usd")
    with browser.page(shop.base, size=PHONE) as page:
        page.goto(shop.path(device["pairing_url"]))
        page.call("click", "text=Use this phone")
        page.awaits(".keys")
        page.check()
        for key in "7.5":
            page.call("click", f'[data-key="{key}"]')
        page.call("click", "text=Ask to be paid")
        page.awaits(".sale.awaiting")
        page.check()
        [sale] = [
            each
            for each in shop.get("/v1/checkout/sessions")["data"]
            if each["pos_device"] == device["id"]
        ]
        shop.pays(shop.path(sale["url"]))
        page.awaits(".sale.paid")
        page.check()
        page.call("click", "text=Next")
        page.awaits(".badge.good")
    with browser.page(shop.base, size=PHONE) as page:
        # The link was used; another phone is no till.
        assert page.goto(shop.path(device["pairing_url"])) == 404
        assert page.goto("/pos") == 404
