"""What a trader sells by: payment links, sessions under them, tills, and how the pages look."""

import re
import struct
import zlib
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import update

from sakk.core import ids
from sakk.core.pos_device import Takings
from sakk.flow import pos_device as tills
from sakk.flow.payment import read_catalogue
from sakk.store import pos_device as store
from sakk.store.identity import new_id
from sakk.store.payment import payment_intents
from tests.console.browser import Got
from tests.console.desk import configure
from tests.console.objects import HOSTILE, selling
from tests.console.office import Office


def _png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    picture = chunk(b"IDAT", zlib.compress(b"\0\x0b\x5d\x4d"))
    return b"\x89PNG\r\n\x1a\n" + head + picture + chunk(b"IEND", b"")


def test_a_link_is_made_once_paid_under_and_switched_off(office: Office) -> None:
    with office.parts.database.begin() as connection:
        configure(connection)
    browser = office.browser(office.person(alice=["support"]))
    page = browser.get("/console/links/new")
    assert (page.status, "Base Sepolia" in page.text) == (200, True)
    form = {"name": HOSTILE, "currency": "usdc", "amount": "1,250.5"}
    for wrong, said in (
        ({"amount": "1.2345678"}, "Write an amount, as 12.50."),
        ({"amount": ""}, "Write an amount, as 12.50."),
        ({"currency": "gold"}, "Choose one from the list."),
        ({"priced": "payer", "least": "5", "most": "2"}, "above the largest"),
        ({"success_url": "javascript:alert(1)"}, "must be a web address"),
        ({"networks": "eip155:7"}, "eip155:7"),
    ):
        got = browser.post("/console/links/new", {**form, **wrong})
        assert (got.status, said in got.text) == (400, True), (wrong, got.text)
        assert "<script>alert" not in got.text
    once = browser.page
    made = browser.post("/console/links/new", form)
    browser.page = once
    # A double click is one link.
    assert browser.post("/console/links/new", form).location == made.location
    page = browser.follow(made)
    assert "1,250.50" in page.text
    assert re.search(r"http://localhost:8402/pay/[\w-]{43}", page.text)
    assert '<svg class="qr"' in page.text
    assert ("<script>alert" in page.text, "\u202e" in page.text) == (False, False)
    changed = browser.post(made.location, {"uses_max": "3", "message": "Thank you"})
    assert changed.status == 303
    page = browser.get(made.location)
    assert ('value="3"' in page.text, "Thank you" in page.text) == (True, True)
    assert browser.post(f"{made.location}/switch", {"state": "inactive"}).status == 303
    assert "Switched off" in browser.get(made.location).text
    assert made.location in browser.get("/console/links?q=alert").text
    assert made.location in browser.get("/console/links?state=inactive").text
    assert made.location not in browser.get("/console/links?state=active").text


def test_a_session_is_shown_with_its_page_and_called_off(office: Office) -> None:
    with office.parts.database.begin() as connection:
        configure(connection)
    ids = selling(office, office.alice)
    browser = office.browser(office.person(alice=["support"]))
    path = f"/console/sessions/{ids['session']}"
    for asked in ("", f"?q={ids['link']}", f"?q={ids['session']}"):
        assert path in browser.get(f"/console/sessions{asked}").text
    assert path not in browser.get(f"/console/sessions?q={ids['till']}").text
    assert path in browser.get(f"/console/links/{ids['link']}").text
    page = browser.get(path)
    assert re.search(r"http://localhost:8402/checkout/[\w-]{43}", page.text)
    assert "1.25" in page.text
    assert browser.post(f"{path}/expire").status == 303
    page = browser.get(path)
    assert ("/checkout/" in page.text, "Canceled" in page.text) == (False, True)
    assert browser.post(f"{path}/expire").status == 400


def test_a_till_is_set_up_paired_renamed_and_switched_off(office: Office) -> None:
    with office.parts.database.begin() as connection:
        configure(connection)
    browser = office.browser(office.person(alice=["support"]))
    browser.get("/console/tills")
    assert browser.post("/console/tills", {"name": "x", "currency": "gold"}).status == 400
    once = browser.page
    page = browser.post("/console/tills", {"name": "Market stall", "currency": "usdc"})
    [first] = set(re.findall(r"http://localhost:8402/pos/pair/([\w-]{43})", page.text))
    [path] = re.findall(r'href="(/console/tills/pos_\w+)"', page.text)
    browser.page = once
    again = browser.post("/console/tills", {"name": "Market stall", "currency": "usdc"})
    assert (again.status, again.location) == (303, path)
    page = browser.get(path)
    assert ("Waits for a phone" in page.text, first in page.text) == (True, False)
    page = browser.post(f"{path}/pair")
    [second] = set(re.findall(r"http://localhost:8402/pos/pair/([\w-]{43})", page.text))
    assert second != first
    browser.get(path)
    assert browser.post(path, {"name": HOSTILE}).status == 303
    browser.get(path)
    assert browser.post(path, {"name": ""}).status == 422
    assert browser.post(f"{path}/switch", {"state": "inactive"}).status == 303
    page = browser.get(path)
    assert ("Switched off" in page.text, "<script>alert" in page.text) == (True, False)
    assert path in browser.get("/console/tills?q=script").text


def _sold(office: Office, till: str, amount: int, at: datetime, **came: Any) -> None:
    """A sale of that time, and what came of it."""
    number = int(at.timestamp() * 1_000)
    session = ids.encode("cs", ids.uuid7(now_ms=number, random=amount.to_bytes(10, "big")))
    with office.parts.database.begin() as connection:
        _, intent = tills.sell(
            connection,
            read_catalogue(connection),
            office.parts.secrets_vault(),
            tills.require(connection, till, account_id=office.alice, livemode=False),
            amount,
            identifier=session,
            intent_id=new_id("pi"),
            now=at,
        )
        row = payment_intents.c.id == intent.id
        connection.execute(update(payment_intents).where(row).values(came or {"amount": amount}))


def test_takings_are_by_the_day_of_the_sale_in_a_time_zone(office: Office) -> None:
    with office.parts.database.begin() as connection:
        configure(connection)
    made = selling(office, office.alice)
    other = selling(office, office.alice)["till"]
    late = datetime(2026, 5, 4, 22, 30, tzinfo=UTC)
    noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
    paid = {"succeeded_at": noon}
    _sold(office, made["till"], 5_000_000, noon, amount_received=5_000_000, **paid)
    _sold(office, made["till"], 7_000_000, noon, amount_received=3_000_000)
    _sold(
        office,
        made["till"],
        9_000_000,
        late,
        # What a gift card has paid is received, too: `test_gift_card_payment` in tests/flow.
        amount_received=9_000_000,
        amount_credited=1_000_000,
        amount_refunded=2_500_000,
        **paid,
    )
    _sold(office, made["till"], 1_000_000, datetime(2026, 5, 3, 23, 59, tzinfo=UTC))
    _sold(office, other, 40_000_000, noon, amount_received=40_000_000, **paid)
    begins = datetime(2026, 5, 4, tzinfo=UTC)
    with office.parts.database.begin() as connection:
        till = tills.require(connection, made["till"], account_id=office.alice, livemode=False)
        in_utc = store.takings(connection, till, since=begins, zone="UTC")
        in_riyadh = store.takings(connection, till, since=begins, zone="Asia/Riyadh")
    assert in_utc == [Takings(date(2026, 5, 4), 3, 2, 17_000_000, 2_500_000)]
    assert sorted(in_riyadh, key=lambda each: each.day) == [
        Takings(date(2026, 5, 4), 2, 1, 8_000_000, 0),
        Takings(date(2026, 5, 5), 1, 1, 9_000_000, 2_500_000),
    ]


def test_a_traders_page_of_a_till_tells_what_was_taken_today(office: Office) -> None:
    with office.parts.database.begin() as connection:
        configure(connection)
    made = selling(office, office.alice)
    today = datetime.now(UTC)
    _sold(office, made["till"], 7_250_000, today, amount_received=7_250_000, succeeded_at=today)
    _sold(office, made["till"], 1_000_000, today)
    page = office.browser(office.person(alice=["support"])).get(f"/console/tills/{made['till']}")
    told = re.sub(r"<[^>]+>|\s+|[\u2066-\u2069]", " ", page.text)
    assert re.search(r"Today\s+7\.25", told)
    assert re.search(r"Sales paid today\s+1\s+of\s+2", told)


def test_a_logo_and_a_colour_are_kept_or_refused(office: Office) -> None:
    browser = office.browser(office.person(alice=["admin"]))
    browser.get("/console/branding")
    form = {
        "color": "#0B5D4D",
        "support_email": "help@shop.example",
        "origins": "https://a.example",
    }
    got = browser.upload("/console/branding", form, logo=("a.png", _png()))
    assert got.status == 303, got.text
    page = browser.get("/console/branding")
    assert re.search(r'<img class="logo" src="/brand/[0-9a-f]{32}\.png"', page.text)
    assert '<link rel="stylesheet" href="/brand/0b5d4d.css">' in page.text
    assert "help@shop.example" in page.text
    for wrong, said in (
        ({"color": "red"}, "#rrggbb"),
        ({"support_url": "javascript:1"}, "must be a web address"),
        ({"origins": "https://a.example/path"}, "must be an origin"),
    ):
        got = browser.upload("/console/branding", {**form, **wrong})
        assert (got.status, said in got.text) == (400, True), got.text
    refused = browser.upload("/console/branding", form, logo=("a.svg", b"<svg onload='x'/>"))
    assert (refused.status, "it is not a PNG" in refused.text) == (400, True)
    browser.get("/console/branding")
    # Without a file the logo stays; with the tick it goes, and so does what is left empty.
    assert browser.upload("/console/branding", form).status == 303
    assert "/brand/0b5d4d.css" in browser.get("/console/branding").text
    assert '<img class="logo"' in browser.get("/console/branding").text
    assert browser.upload("/console/branding", {"remove_logo": "true"}).status == 303
    page = browser.get("/console/branding")
    assert ('<img class="logo"' in page.text, "help@shop" in page.text) == (False, False)


@pytest.mark.parametrize("path", ["/console/branding", "/console/links/new"])
def test_who_looks_at_everybody_chooses_an_account_first(office: Office, path: str) -> None:
    browser = office.browser(office.person("owner"))
    got = browser.get(path)
    assert (got.status, "Choose an account first" in got.text) == (400, True)


def test_a_shop_is_made_judged_by_the_operator_and_sells(office: Office) -> None:
    with office.parts.database.begin() as connection:
        configure(connection)
    merchant = office.browser(office.person(alice=["support"]))
    merchant.get("/console/shops/new")
    form = {"name": HOSTILE, "handle": "Tea-House", "currency": "usdc", "category": "food"}
    for wrong, said in (({"handle": "tea house"}, "3 to 40"), ({"currency": "gold"}, "gold")):
        got = merchant.post("/console/shops/new", {**form, **wrong})
        assert (got.status, said in got.text) == (400, True), got.text
    once = merchant.page
    made = merchant.post("/console/shops/new", form)
    merchant.page = once
    assert merchant.post("/console/shops/new", form).location == made.location
    page = merchant.follow(made)
    assert ("Waits for the operator" in page.text, "Your word on it" in page.text) == (True, False)
    assert ("<script>alert" in page.text, "\u202e" in page.text) == (False, False)
    assert merchant.post(f"{made.location}/review", {"said": "approved"}).status == 404
    merchant.get(f"{made.location}/products")
    tea = {"name": "Oolong", "price": "12.5", "stock": "3", "active": "true"}
    assert merchant.post(f"{made.location}/products", {**tea, "price": "x"}).status == 400
    assert merchant.post(f"{made.location}/products", tea).status == 303
    page = merchant.get(made.location)
    [product] = set(re.findall(r"/console/products/prod_\w+", page.text))
    assert "12.50" in page.text
    merchant.get(product)
    assert merchant.post(product, {**tea, "stock": "", "active": ""}).status == 303
    assert "Taken off" in merchant.get(made.location).text
    operator = office.browser(office.person("admin"))

    def judge(said: str) -> Got:
        [digest] = re.findall(r'name="digest" value="(\w+)"', shown.text)
        return operator.post(f"{made.location}/review", {"said": said, "digest": digest})

    shown = operator.get(made.location)
    assert judge("refused").status == 400
    # Other words than the operator reads are not approved.
    merchant.get(made.location)
    words = {"name": "A bank", "handle": "bank", "category": "food"}
    assert merchant.post(made.location, words).status == 303
    assert "look at the shop again" in judge("approved").text
    shown = operator.get(made.location)
    assert judge("approved").status == 303
    merchant.get(made.location)
    assert merchant.post(f"{made.location}/switch", {"state": "closed"}).status == 303
    page = merchant.get(made.location)
    assert ("Approved" in page.text, "Open the shop" in page.text) == (True, True)
    stranger = office.browser(office.person(bob=["support"]))
    assert stranger.get(made.location).status == 404
    assert stranger.get(product).status == 404
    assert made.location not in stranger.get("/console/shops").text
