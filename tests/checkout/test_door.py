"""Pages of payers, links and tills: who sees what, how often, and what is never said."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sakk.checkout import live
from sakk.checkout.live import Live
from sakk.core.claim import token_hash
from sakk.core.gift_card import WRONG_MAX, GiftCard, hash_code, hint_of, write_code
from sakk.core.payin import PayIn, PayInStatus
from sakk.core.payment import PaymentIntent, quote_of
from sakk.core.payment_link import PaymentLink
from sakk.core.pos_device import PosDevice
from sakk.flow import branding, checkout_session, payment_link, pos_device
from sakk.flow.checkout_news import ended_sessions
from sakk.flow.payment import read_catalogue
from sakk.pages.limit import TokenBuckets
from sakk.store import gift_card
from sakk.store.checkout_session import find, find_by_token
from sakk.store.database import Database, update_records
from sakk.store.identity import new_id, now
from sakk.store.payin import insert_seen
from sakk.store.payment import payment_intents
from sakk.store.payment_link import payment_links
from tests.checkout.till import VAULT, Counter


@pytest.fixture
def counter(database: Database) -> Iterator[Counter]:
    made = Counter(database)
    try:
        yield made
    finally:
        made.close()


def arrived(counter: Counter, intent: PaymentIntent, **changes: Any) -> None:
    quote = quote_of(intent.quotes[0])
    payin = PayIn(
        id=new_id("pin"),
        account_id=intent.account_id,
        livemode=False,
        network=quote.network,
        asset=quote.asset,
        contract=quote.contract,
        currency="usdc",
        decimals=6,
        token_amount=quote.token_amount,
        amount=quote.token_amount,
        address=quote.address or "",
        sender="0x" + "c5" * 20,
        tx_hash="0x" + "ab" * 32,
        log_index=0,
        block_number=10,
        block_hash="0x" + "cd" * 32,
        block_timestamp=int(now().timestamp()),
        status=PayInStatus.seen.value,
        role="payment",
        counts=True,
        payment_intent=intent.id,
        matched_at=now(),
        created=now(),
    )
    with counter.database.begin() as connection:
        insert_seen(connection, [replace(payin, **changes)])


def make_link(counter: Counter, **changes: Any) -> tuple[str, PaymentLink]:
    moment = now()
    link = PaymentLink(
        id=new_id("plink"),
        account_id=counter.world.alice.account,
        livemode=False,
        token_hash="",
        active=True,
        currency="usd",
        decimals=2,
        lines=[{"name": "Tea", "amount": 900, "quantity": 1}],
        amount=900,
        amount_min=None,
        amount_max=None,
        amount_preset=None,
        networks=None,
        currencies=None,
        uses_max=None,
        uses=0,
        success_url=None,
        message=None,
        inactive_message=None,
        metadata={},
        created=moment,
    )
    with counter.database.begin() as connection:
        made = payment_link.create(
            connection,
            read_catalogue(connection),
            VAULT,
            replace(link, **changes),
            public_url="",
            now=moment,
        )
    return payment_link.url_of(VAULT, made, ""), made


def test_the_page_says_how_to_pay_and_names_no_id(counter: Counter) -> None:
    path, intent = counter.session()
    seen = counter.ask("GET", path)
    assert seen.status == 200
    assert seen.headers["x-robots-tag"] == "noindex, nofollow"
    assert seen.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in seen.headers["content-security-policy"]
    assert quote_of(intent.quotes[0]).uri.replace("&", "&amp;") in seen.text
    assert "Pay with test wallet" not in seen.text
    # All that it loads is its own.
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", seen.text)
    for private in (intent.id, intent.account_id, counter.world.alice.key):
        assert private not in seen.text
    told = counter.ask("GET", f"{path}/status")
    assert '"stand": "awaiting"' in told.text
    assert intent.id not in told.text


@pytest.mark.parametrize(
    "path",
    [
        "/checkout/" + "x" * 43,
        "/checkout/short",
        "/checkout/" + "x" * 43 + "/receipt",
        "/checkout/" + "x" * 43 + "/status",
        "/checkout/" + "x" * 43 + "/refund",
        "/pay/" + "x" * 43,
        "/shop/" + "x" * 43,
        "/pos/pair/" + "x" * 43,
        "/pos",
        "/pos/sales/cs_" + "0" * 26,
        "/brand/" + "0" * 32 + ".png",
        "/brand/../x",
    ],
)
def test_what_is_nobodys_is_not_there(counter: Counter, path: str) -> None:
    assert counter.ask("GET", path).status == 404


def test_methods_and_bodies_have_bounds(counter: Counter) -> None:
    path, _ = counter.session()
    assert counter.ask("DELETE", path).status == 405
    assert counter.ask("POST", f"{path}/test", {"part": "all"}).status == 404
    assert counter.ask("POST", "/pay/" + "x" * 43, {"amount": "9" * 9_000}).status == 413
    assert counter.ask("GET", f"{path}?lang=%ff").status == 400
    assert counter.ask("HEAD", path).text == ""


def test_a_payment_that_is_looked_at_is_not_told_why(counter: Counter) -> None:
    path, intent = counter.session()
    arrived(counter, intent, status="held", reason="screening_sanctions", screening="scr_1")
    seen = counter.ask("GET", path)
    assert "is being processed" in seen.text
    for word in ("review", "held", "screen", "sanction", "quarantine", "compliance"):
        assert word not in seen.text.lower()


def test_a_coin_that_was_not_asked_for_is_told_apart(counter: Counter) -> None:
    path, intent = counter.session()
    arrived(counter, intent, counts=False, role="wrong_asset", asset="eip155:84532/erc20:0x1")
    seen = counter.ask("GET", path)
    assert "A coin arrived that was not asked for" in seen.text
    assert "Waiting for your payment" in seen.text


def test_a_receipt_is_there_when_it_is_paid(counter: Counter) -> None:
    path, intent = counter.session()
    assert counter.ask("GET", f"{path}/receipt").headers["location"] == path
    with counter.database.begin() as connection:
        update_records(
            connection,
            payment_intents,
            [{"id": intent.id, "status": "succeeded", "amount_received": 2_500}],
        )
    assert counter.ask("GET", f"{path}/receipt").status == 200
    assert counter.ask("GET", f"{path}/refund").headers["location"] == path
    assert counter.ask("POST", f"{path}/difference").headers["location"] == f"{path}/refund"


def test_the_language_is_kept_and_the_sites_that_may_frame_it_are_named(counter: Counter) -> None:
    path, _ = counter.session()
    with counter.database.begin() as connection:
        branding.change(
            connection,
            counter.world.alice.account,
            {"origins": ["https://shop.example"], "color": "#0b5d8d"},
            livemode=True,
            now=now(),
        )
    seen = counter.ask("GET", f"{path}?lang=ar")
    assert '<html lang="ar" dir="rtl">' in seen.text
    [kept] = seen.cookies
    assert kept.startswith("sakk_language=ar; Path=/;")
    policy = seen.headers["content-security-policy"]
    assert "frame-ancestors https://shop.example" in policy
    again = counter.ask("GET", path, cookie="sakk_language=ar")
    assert 'dir="rtl"' in again.text
    style = counter.ask("GET", "/brand/0b5d8d.css")
    assert "--brand-ink:#fff" in style.text
    assert "immutable" in style.headers["cache-control"]


def test_looking_and_beginning_are_limited_by_address(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = make_link(counter)
    monkeypatch.setattr(counter.app, "_begins", TokenBuckets(rate=0.001, burst=2))
    given = [counter.ask("POST", path, {}).status for _ in range(3)]
    assert given == [303, 303, 429]
    assert counter.ask("POST", path, {}, address="198.51.100.9").status == 303
    assert counter.ask("GET", path).status == 200
    monkeypatch.setattr(counter.app, "_looks", TokenBuckets(rate=0.001, burst=1))
    assert [counter.ask("GET", path).status for _ in range(2)] == [200, 429]


def test_a_link_asks_for_its_amount_and_is_used_as_often_as_it_may_be(counter: Counter) -> None:
    path, link = make_link(counter, amount=None, amount_min=100, amount_max=5_000, uses_max=1)
    assert 'inputmode="decimal"' in counter.ask("GET", path).text
    for wrong in ("", "0", "0.99", "50.01", "1,000", "x"):
        refused = counter.ask("POST", path, {"amount": wrong})
        assert refused.status == 400
        assert 'role="alert"' in refused.text or 'class="fault"' in refused.text
    begun = counter.ask("POST", path, {"amount": "7,5"})
    assert begun.status == 303
    assert "7.50" in counter.ask("GET", begun.headers["location"]).text
    with counter.database.begin() as connection:
        update_records(connection, payment_links, [{"id": link.id, "uses": 1}])
    assert counter.ask("GET", path).status == 410
    assert counter.ask("POST", path, {"amount": "7"}).status == 410
    assert "/pay/" in counter.ask("GET", path.replace("/pay/", "/shop/")).text


def test_a_completed_session_counts_as_a_use(counter: Counter) -> None:
    path, link = make_link(counter)
    begun = counter.ask("POST", path, {}).headers["location"]
    with counter.database.begin() as connection:
        found = checkout_session.look(connection, token_hash(begun.rpartition("/")[2]))
        assert found.session.payment_link == link.id
        paid = replace(found.intent, status="succeeded")
        [told] = ended_sessions(connection, [paid])
        assert told.type == "checkout.session.completed"
        assert told.object["url"] is None
        uses = connection.execute(payment_links.select()).mappings().one()["uses"]
    assert uses == 1


def test_a_till_is_paired_once_and_sees_its_own_sales_alone(counter: Counter) -> None:
    moment = now()
    with counter.database.begin() as connection:
        devices = [
            pos_device.create(
                connection, read_catalogue(connection), make_device(counter, name), now=moment
            )
            for name in ("One", "Two")
        ]
    cookies = []
    for _, token in devices:
        path = f"/pos/pair/{token}"
        assert counter.ask("GET", path).status == 200
        assert counter.ask("POST", path, {}, sec_fetch_site="cross-site").status == 403
        paired = counter.ask("POST", path, {}, origin="http://pay.example")
        assert paired.headers["location"] == "/pos"
        [cookie] = paired.cookies
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert counter.ask("POST", path, {}).status == 404
        cookies.append(cookie.partition(";")[0])
    sold = counter.ask("POST", "/pos", {"amount": "12.50"}, cookie=cookies[0])
    assert sold.status == 303
    sale = sold.headers["location"]
    assert counter.ask("GET", sale, cookie=cookies[0]).status == 200
    keypad = counter.ask("GET", "/pos", cookie=cookies[0]).text
    assert "12.50" in keypad
    # Who taps twice asks once; what the phone says of another time is not believed.
    [once] = re.findall(r'name="_once" value="(\w+)"', keypad)
    for seed, is_same in ((once, True), (f"{'0' * 8}{once[8:]}", False)):
        asked = {"amount": "7", "_once": seed}
        places = {
            counter.ask("POST", "/pos", asked, cookie=cookies[0]).headers["location"]
            for _ in range(2)
        }
        assert (len(places) == 1) is is_same
    # Today is where the phone is, and what was asked today is counted.
    where = f"{cookies[0]}; sakk_zone=Asia/Riyadh"
    for cookie, zone in (
        (where, "Asia/Riyadh"),
        (cookies[0], "UTC"),
        (f"{cookies[0]}; sakk_zone=Europe", "UTC"),
    ):
        page = counter.ask("GET", "/pos", cookie=cookie).text
        assert f'data-zone="{zone}"' in page
        told = re.sub(r"<[^>]+>|\s+|[\u2066-\u2069]", " ", page)
        assert re.search(r"Sales paid today\s+0\s+of\s+4", told), told
    # A keypad that the browser kept asks anew: another amount, and the same when it was paid.
    asked = {"amount": "7", "_once": once}
    first = counter.ask("POST", "/pos", asked, cookie=cookies[0]).headers["location"]
    other = counter.ask("POST", "/pos", {**asked, "amount": "8"}, cookie=cookies[0])
    assert "8.00" in counter.ask("GET", other.headers["location"], cookie=cookies[0]).text
    with counter.database.begin() as connection:
        session = find(connection, first.rpartition("/")[2], account_id=None, livemode=False)
        assert session is not None
        paid = {"id": session.payment_intent, "status": "succeeded", "amount_received": 700}
        update_records(connection, payment_intents, [paid])
    assert counter.ask("POST", "/pos", asked, cookie=cookies[0]).headers["location"] != first
    assert counter.ask("GET", sale, cookie=cookies[1]).status == 404
    assert counter.ask("GET", sale).status == 404
    assert counter.ask("POST", "/pos", {"amount": "x"}, cookie=cookies[0]).status == 400
    assert counter.ask("POST", "/pos", {"amount": "9" * 20}, cookie=cookies[0]).status in (303, 400)
    with counter.database.begin() as connection:
        device = pos_device.find_paired(connection, cookies[0].partition("=")[2])
        pos_device.change(
            connection, device, active=False, name=None, metadata=None, pair=False, now=moment
        )
    assert counter.ask("GET", "/pos", cookie=cookies[0]).status == 404


def make_device(counter: Counter, name: str) -> PosDevice:
    return PosDevice(
        id=new_id("pos"),
        account_id=counter.world.alice.account,
        livemode=False,
        name=name,
        active=True,
        currency="usd",
        decimals=0,
        networks=None,
        currencies=None,
        pairing_hash=None,
        pairing_until=None,
        token_hash=None,
        paired_at=None,
        metadata={},
        created=now(),
    )


async def _watch(counter: Counter, path: str, count: int) -> tuple[list[bool], str]:
    told = Live(counter.database)
    with counter.database.begin() as connection:
        session = find_by_token(connection, token_hash(path.rpartition("/")[2]))
    assert session is not None
    try:
        watchers = [told.watch(session, "203.0.113.0/24") for _ in range(count)]
        there = [each is not None for each in watchers]
        assert watchers[0] is not None
        version = await asyncio.wait_for(watchers[0].told.get(), 60)
        for each in watchers:
            if each is not None:
                told.leave(each)
        assert len(told) == 0
        assert told.watch(session, "203.0.113.0/24") is not None
    finally:
        await asyncio.get_running_loop().run_in_executor(None, told.close)
    return there, version


def test_pages_that_are_told_are_bounded_by_address(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WATCHERS_OF_ONE_MAX", 2)
    path, _ = counter.session()
    there, version = asyncio.run(_watch(counter, path, 3))
    assert there == [True, True, False]
    assert version == "awaiting-2500-0-"
    assert f'data-version="{version}"' in counter.ask("GET", path).text


def make_card(counter: Counter, units: int, code: str) -> None:
    """A card of the shop's that is worth so much."""
    card = GiftCard(
        id=new_id("gc"),
        account_id=counter.world.alice.account,
        livemode=False,
        amount=units,
        balance=units,
        currency="usdc",
        decimals=6,
        status="active",
        redeemable="issuer",
        country=None,
        expires_at=None,
        code_hash=hash_code(code),
        hint=hint_of(code),
        replaces=None,
        metadata={},
        created=now(),
    )
    with counter.database.begin() as connection:
        gift_card.insert(connection, card)


def test_a_gift_card_pays_a_part_and_is_taken_off_again(counter: Counter) -> None:
    home, _ = counter.session(1_000)
    code = write_code(7)
    make_card(counter, 4_000_000, code)
    wrong = counter.ask("POST", f"{home}/gift_card", {"code": write_code(8)})
    assert (wrong.status, "There is no gift card with this code." in wrong.text) == (400, True)
    assert counter.ask("POST", f"{home}/gift_card", {"code": code}).status == 303
    shown = counter.ask("GET", home).text
    assert code[-4:] in shown
    assert "6.00" in shown
    held = re.search(r'name="card" value="(gcm_[0-9a-z]{26})"', shown)
    assert held is not None
    for status in (303, 404):
        gone = counter.ask("POST", f"{home}/gift_card/remove", {"card": held[1]})
        assert gone.status == status
    assert "10.00" in counter.ask("GET", home).text
    for number in range(WRONG_MAX - 1):
        counter.ask("POST", f"{home}/gift_card", {"code": write_code(100 + number)})
    assert counter.ask("POST", f"{home}/gift_card", {"code": code}).status == 429
    # Another network of addresses guesses on at another page alone.
    other = counter.ask("POST", f"{home}/gift_card", {"code": code}, address="198.51.100.9")
    assert other.status == 429
