"""Two days of `docs/guides/console.md`, walked by its words alone, and what the other side saw."""

import re
import time
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from sakk.client.webhook import WebhookVerificationError, verify
from tests.browser.frame import PHONE, Browser, Page
from tests.browser.walk import PATIENCE_SECONDS, Walk, day_of
from tests.receiver import Answer, Receiver

TRADER, DEVELOPER = day_of("market trader"), day_of("developer")
HOME = "0x8ba1f109551bD432803012645Ac136ddd64DBA72"


def available(money: httpx2.Client) -> int:
    """The available USDC, in its smallest unit."""
    found = money.get("/v1/balance").json()["available"]
    return sum(int(each["amount"]) for each in found if each["currency"] == "usdc")


def sets_up(walk: Walk, phone: Page) -> str:
    """How pages look, a code for the counter, and a phone that is a till; the code's address."""
    desk = walk.page
    walk.opens("Branding")
    desk.call("fill", "[name=color]", "#0b5d4d")
    walk.presses("Save", "text=It is saved.")
    walk.opens("Payment links")
    walk.presses("New link", "[name=name]")
    desk.call("fill", "[name=name]", "Stall 9")
    desk.call("check", "[name=priced][value=payer]")
    walk.presses("Make the link", "text=The link can be paid now.")
    counter = walk.link("/pay/")
    walk.presses("Print its code", "svg.qr")
    desk.call("goBack")
    walk.opens("Tills")
    walk.presses("New till", "[name=currency]")
    desk.call("fill", "[name=name]", "Phone 9")
    desk.call("selectOption", "[name=currency]", "usd")
    walk.presses("Set it up", "text=Scan this code")
    phone.goto(walk.link("/pos/pair/"))
    for words in ("Use this phone", "Ask to be paid"):
        walk.reads(words)
    phone.call("click", "text=Use this phone")
    phone.awaits(".keys")
    return counter


def gives_back(walk: Walk, payer: Page) -> None:
    """A part of a sale goes where its payer says."""
    desk = walk.page
    walk.opens("Payments")
    desk.call("click", "main tbody tr:has-text('Phone 9') td:last-child a")
    walk.presses("Give money back", "[name=amount]")
    desk.call("fill", "[name=amount]", "2.5")
    walk.presses("Refund", "text=Send this link to the payer.")
    payer.goto(walk.link("/refund_claims/"))
    payer.call("fill", "#address", HOME)
    payer.call("click", "text=Continue")
    payer.awaits("text=Check every character")
    payer.call("click", "text=Send it to this address")
    payer.awaits("text=The refund is being sent to this address.")


def test_a_market_trader_sells_gives_back_and_is_paid_out(
    browser: Browser, sandbox: dict[str, Any], way_in: str, money: httpx2.Client
) -> None:
    before = available(money)
    port = urlsplit(sandbox["console"]).port
    with (
        browser.page(f"http://localhost:{port}") as desk,
        browser.page(sandbox["api"], size=PHONE, timezoneId="Asia/Riyadh") as phone,
        browser.page(sandbox["api"], size=PHONE) as payer,
    ):
        walk = Walk(desk, TRADER, sandbox, way_in)
        counter = sets_up(walk, phone)
        for key in "7.5":
            phone.call("click", f'[data-key="{key}"]')
        phone.call("click", "text=Ask to be paid")
        phone.awaits(".sale.awaiting")
        # The payer scans the code; what it says the trader finds under Checkout too.
        walk.opens("Checkout")
        desk.call("click", "main tbody tr:first-child td:last-child a")
        desk.awaits("text=What is bought")
        payer.goto(walk.link("/checkout/"))
        payer.call("click", "text=Pay with test wallet")
        phone.awaits(".sale.paid")
        walk.reads("Next")
        phone.call("click", "text=Next")
        phone.awaits(".sales .badge.good")
        assert re.search(r"Taken\s+7\.50 USD\s+Sales paid today\s+1 of 1", phone.text())
        phone.check()
        assert available(money) == before + 7_500_000

        payer.goto(counter)
        payer.call("fill", "#amount", "20")
        payer.call("click", "main form button")
        payer.awaits("text=Pay half")
        payer.call("click", "text=Pay half")
        payer.awaits(".ending.partial")
        walk.opens("Payments")
        desk.call("selectOption", "[name=amount]", "under")
        walk.presses("Show", "main td:has-text('Too little')")
        assert "Stall 9" in desk.text("main tbody tr")
        walk.opens("Exceptions")

        gives_back(walk, payer)
        walk.opens("Payouts")
        walk.presses("New payout", "[name=address]")
        desk.call("fill", "[name=amount]", "5")
        desk.call("fill", "[name=address]", HOME)
        walk.presses("Ask for the payout", "text=The payout is asked for.")
        assert available(money) == before + 7_500_000 + 10_000_000 - 2_500_000 - 5_000_000
        walk.opens("Statement")
        desk.awaits("main td:has-text('7.50 USDC')")
        desk.check()


def makes_a_key(walk: Walk) -> dict[str, str]:
    """A key that may ask to be paid and nothing else; the head of its requests."""
    page = walk.page
    walk.opens("API keys")
    walk.presses("New key", "[name=name]")
    page.call("fill", "[name=name]", "Shop 9")
    page.call("check", "input[value='payment_intents:write']")
    walk.presses("Make the key", "text=the only time that the key is shown")
    key = re.findall(r"rk_test_\w+", page.text())[0]
    return {"Authorization": f"Bearer {key}"}


def test_a_developer_sees_why_a_request_failed_and_what_a_server_answered(
    browser: Browser, sandbox: dict[str, Any], way_in: str
) -> None:
    port = urlsplit(sandbox["console"]).port
    with (
        Receiver() as server,
        browser.page(f"http://localhost:{port}") as page,
        httpx2.Client(base_url=sandbox["api"]) as program,
    ):
        server.answers["/hook"] = Answer(status=500, body=b"no such table: orders")
        walk = Walk(page, DEVELOPER, sandbox, way_in)
        head = makes_a_key(walk)
        wrong = program.post("/v1/payment_intents", headers=head, data={"currency": "gold"})
        asked = {"amount": "100", "currency": "gold"}
        refused = program.post("/v1/payment_intents", headers=head, data=asked)
        assert (wrong.status_code, refused.json()["error"]["param"]) == (400, "currency")
        assert program.get("/v1/payouts", headers=head).status_code == 403

        walk.opens("Webhooks")
        walk.presses("New endpoint", "[name=url]")
        page.call("fill", "[name=url]", f"{server.url}/hook")
        page.call("click", "summary:text-is('Only some events')")
        page.call("check", "input[value='payment_intent.created']")
        walk.presses("Create", "text=the only time that the secret is shown")
        [secret] = re.findall(r"whsec_\S+", page.text())
        walk.presses("Back to the endpoint", "h1:text-is('Webhook endpoint')")
        # Sent whatever it asked for, and its answer is shown without another look.
        walk.presses("Send a test", "td:has-text('no such table: orders')")
        [sent] = server.wait("/hook", 1)
        event = verify(sent.headers, sent.body, secret)
        assert (event["type"], event["data"]["object"]["url"]) == (
            "webhook_endpoint.test",
            f"{server.url}/hook",
        )
        page.awaits("h1 .badge.bad")
        server.answers.clear()
        walk.presses("Send again", "text=Delivered")
        assert [each.body for each in server.wait("/hook", 2)] == [sent.body] * 2
        page.check()

        page.call("click", "a:text-is('Webhook endpoint')")
        walk.presses("New secret", "text=the secret before it signs too")
        [new] = re.findall(r"whsec_\S+", page.text())
        asked["currency"] = "usdc"
        made = program.post("/v1/payment_intents", headers=head, data=asked).json()
        told = server.wait("/hook", 3)[2]
        for each in (new, secret):
            assert verify(told.headers, told.body, each)["data"]["object"]["id"] == made["id"]
        with pytest.raises(WebhookVerificationError):
            verify(sent.headers, sent.body, new)
        walk.opens("Events")
        page.call("fill", "[name=q]", made["id"])
        walk.presses("Show", "main tbody tr:has-text('payment_intent.created')")
        page.call("click", "main tr:has-text('payment_intent.created') td:last-child a")
        walk.reads("What was told")
        page.awaits("h2:text-is('What was told')")

        # The log is written within a second or so.
        walk.opens("Requests")
        page.call("fill", "[name=q]", refused.headers["request-id"])
        walk.presses("Show", "main tbody td:has-text('parameter_invalid')")
        assert "currency" in page.text("main tbody")
        walk.opens("API keys")
        page.call("click", "main tr:has-text('Shop 9') button:text-is('Revoke')")
        walk.reads("Revoke")
        page.awaits("text=The key is revoked.")
        until = time.monotonic() + PATIENCE_SECONDS
        while program.get("/v1/payment_intents", headers=head).status_code != 401:
            assert time.monotonic() < until
            time.sleep(0.1)
