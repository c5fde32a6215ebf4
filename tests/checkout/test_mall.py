"""The mall's pages: who is seen, what is escaped, and what a cart becomes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sakk.core.freeze import Freeze
from sakk.core.shop import UNPAID_MAX, Product, Review, Shop, digest_of
from sakk.flow import shop as flow
from sakk.store import freeze
from sakk.store import shop as store
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from tests.api.checkout_objects import png
from tests.checkout.till import Counter

HOSTILE = '<script>alert(1)</script>"\u202e'


@pytest.fixture
def counter(database: Database) -> Iterator[Counter]:
    made = Counter(database, test_payer=lambda *_: None)
    try:
        yield made
    finally:
        made.close()


def make_shop(counter: Counter, *, approved: bool = True, **changes: Any) -> tuple[Shop, Product]:
    account = counter.world.alice.account
    shop = Shop(
        id=new_id("shop"),
        account_id=account,
        livemode=False,
        handle="tea-house",
        name=HOSTILE,
        description=HOSTILE,
        category="food",
        currency="usd",
        decimals=0,
        is_open=True,
        is_indexed=False,
        review="",
        review_note=None,
        reviewed_by=None,
        metadata={},
        created=now(),
    )
    said: dict[str, Any] = {"livemode": False, "public_url": "", "now": now()}
    with counter.database.begin() as connection:
        shop = flow.create(connection, replace(shop, **changes), public_url="")
        product = flow.add_product(
            connection,
            Product(
                id=new_id("prod"),
                account_id=account,
                livemode=False,
                shop=shop.id,
                name=HOSTILE,
                description=HOSTILE,
                tax_text=HOSTILE,
                price=1_250,
                currency="",
                decimals=0,
                stock=2,
                picture=None,
                picture_hash=None,
                active=True,
                metadata={},
                created=now(),
            ),
            png(),
            public_url="",
        )
        if approved:
            seen = {"digest": digest_of(shop), **said}
            shop = flow.review(connection, shop.id, Review.approved, None, by="per_1", **seen)
    return shop, product


def test_only_what_the_operator_approved_is_seen(counter: Counter) -> None:
    shop, _ = make_shop(counter, approved=False)
    home = f"/mall/{shop.handle}"
    assert (counter.ask("GET", home).status, shop.handle in counter.ask("GET", "/mall").text) == (
        404,
        False,
    )
    with counter.database.begin() as connection:
        store.write(connection, replace(shop, review="approved"))
    assert counter.ask("GET", home).status == 200
    assert shop.handle in counter.ask("GET", "/mall?category=food").text
    assert shop.handle not in counter.ask("GET", "/mall?category=art").text
    stop = Freeze(
        id=new_id("frz"),
        account_id=shop.account_id,
        reason="drill",
        origin="cli",
        created=now(),
    )
    with counter.database.begin() as connection:
        freeze.insert(connection, stop)
    assert counter.ask("GET", home).status == 404
    assert counter.ask("POST", home, {}).status == 404


def test_what_merchants_write_is_text_and_nothing_else(counter: Counter) -> None:
    shop, product = make_shop(counter)
    for path in ("/mall", f"/mall/{shop.handle}", f"/mall/{shop.handle}?lang=ar"):
        shown = counter.ask("GET", path)
        assert "<script>alert" not in shown.text
        assert "\u202e" not in shown.text
        assert "script-src 'self'" in shown.headers["content-security-policy"]
        assert "unsafe" not in shown.headers["content-security-policy"]
    assert 'dir="rtl"' in shown.text
    picture = counter.ask("GET", f"/mall/pictures/{product.picture_hash}.png")
    assert (picture.status, picture.headers["content-type"]) == (200, "image/png")
    assert counter.ask("GET", f"/mall/pictures/{'0' * 32}.png").status == 404


def test_a_shop_is_listed_by_search_engines_where_it_wants(counter: Counter) -> None:
    make_shop(counter)
    make_shop(counter, handle="open-book", is_indexed=True)
    hidden, listed = (counter.ask("GET", f"/mall/{name}") for name in ("tea-house", "open-book"))
    assert hidden.headers["x-robots-tag"] == "noindex, nofollow"
    assert 'name="robots"' in hidden.text
    assert "x-robots-tag" not in listed.headers
    assert 'name="robots"' not in listed.text


def test_a_cart_becomes_a_checkout(counter: Counter) -> None:
    shop, product = make_shop(counter)
    home, field = f"/mall/{shop.handle}", f"q_{product.id}"
    for nothing in ({}, {field: "0"}, {field: "-1"}, {field: "x"}, {"q_prod_1": "1"}):
        assert counter.ask("POST", home, nothing).status == 400
    assert counter.ask("POST", home, {field: "3"}).status == 400
    bought = counter.ask("POST", home, {field: "2"})
    assert bought.status == 303
    paying = counter.ask("GET", bought.headers["location"])
    assert "25.00" in paying.text
    with counter.database.begin() as connection:
        [purchase] = store.list_purchases(connection, shop.id, limit=10)
    assert (purchase.amount, purchase.status, purchase.buyer) == (2_500, "reserved", None)
    assert counter.ask("POST", home, {field: "1"}).status == 400
    assert counter.ask("GET", home).text.count("Sold out") == 1
    # Somebody who begins again and again and pays nothing is told so.
    _, other = make_shop(counter, handle="full-house")
    field = f"q_{other.id}"
    with counter.database.begin() as connection:
        store.set_stock(connection, other.id, 12)
    said = [counter.ask("POST", "/mall/full-house", {field: "1"}) for _ in range(UNPAID_MAX + 1)]
    assert [each.status for each in said] == [303] * UNPAID_MAX + [400]
    assert "begun here and not paid" in said[-1].text
