"""Shops as rules: addresses, the operator's word, carts, and what is shown of them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sakk.core.checkout_session import LINES_MAX, Line
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.shop import (
    QUANTITY_MAX,
    SCARCE_BELOW,
    UNPAID_MAX,
    UNPAID_OF_PLENTY_MAX,
    Product,
    Purchase,
    Review,
    Shop,
    after_change,
    digest_of,
    documents_of,
    is_shown,
    judged,
    lines_of,
    public,
    public_product,
    public_purchase,
    read_cart,
    read_handle,
    unpaid_max,
)

NOW = datetime(2026, 2, 3, tzinfo=UTC)
SHOP = Shop(
    id="shop_1",
    account_id="acct_1",
    livemode=False,
    handle="tea-house",
    name="Tea house",
    description=None,
    category="food",
    currency="usd",
    decimals=2,
    is_open=True,
    is_indexed=False,
    review="pending",
    review_note=None,
    reviewed_by=None,
    metadata={},
    created=NOW,
)
TEA = Product(
    id="prod_1",
    account_id="acct_1",
    livemode=False,
    shop="shop_1",
    name="Oolong",
    description=None,
    tax_text="No tax",
    price=1_250,
    currency="usd",
    decimals=2,
    stock=3,
    picture=None,
    picture_hash=None,
    active=True,
    metadata={},
    created=NOW,
)
SHELF = {"prod_1": TEA, "prod_2": replace(TEA, id="prod_2", name="Cup", price=500, stock=None)}


@pytest.mark.parametrize(
    "text", ["", "ab", "-tea", "tea-", "tea--house", "tea house", "té", "a" * 41, "../etc"]
)
def test_a_handle_stands_in_an_address(text: str) -> None:
    assert read_handle(" Tea-House ") == "tea-house"
    assert read_handle("a" * 40) == "a" * 40
    with pytest.raises(ParameterInvalid) as refused:
        read_handle(text)
    assert refused.value.param == "handle"


def test_other_words_than_were_approved_wait_again() -> None:
    approved = judged(SHOP, Review.approved, None, "per_1")
    assert (is_shown(approved), is_shown(SHOP)) == (True, False)
    assert not is_shown(replace(approved, is_open=False))
    assert after_change(approved, replace(approved, is_open=False)).review == "approved"
    for words in ({"name": "Bank"}, {"description": "…"}, {"handle": "x-y"}, {"category": "art"}):
        assert after_change(approved, replace(approved, **words)).review == "pending"  # type: ignore[arg-type]
    refused = judged(approved, Review.refused, "It is no shop.", "per_1")
    assert (is_shown(refused), refused.review_note) == (False, "It is no shop.")


@pytest.mark.parametrize(
    "changes", [{"name": "x"}, {"description": "x"}, {"handle": "x"}, {"category": "x"}]
)
def test_what_is_approved_is_the_words_that_were_read(changes: dict[str, Any]) -> None:
    assert digest_of(replace(SHOP, **changes)) != digest_of(SHOP)
    assert digest_of(replace(SHOP, is_open=not SHOP.is_open)) == digest_of(SHOP)


def test_a_cart_is_priced_by_the_shelf() -> None:
    cart = read_cart(SHELF, [("prod_1", 3), ("prod_2", QUANTITY_MAX)])
    assert lines_of(cart) == [Line("Oolong", 1_250, 3), Line("Cup", 500, QUANTITY_MAX)]
    assert documents_of(cart)[0] == {
        "product": "prod_1",
        "name": "Oolong",
        "amount": 1_250,
        "quantity": 3,
    }
    with pytest.raises(UnexpectedState, match="fewer are left"):
        read_cart(SHELF, [("prod_1", 4)])


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ([], "line_items"),
        ([("prod_1", 1)] * (LINES_MAX + 1), "line_items"),
        ([("prod_9", 1)], "line_items[0][product]"),
        ([("prod_1", 1), ("prod_1", 1)], "line_items[1][product]"),
        ([("prod_3", 1)], "line_items[0][product]"),
        ([("prod_1", 0)], "line_items[0][quantity]"),
        ([("prod_2", QUANTITY_MAX + 1)], "line_items[0][quantity]"),
    ],
)
def test_what_is_no_cart_is_named(wanted: list[tuple[str, int]], param: str) -> None:
    shelf = {**SHELF, "prod_3": replace(TEA, id="prod_3", active=False)}
    with pytest.raises(ParameterInvalid) as refused:
        read_cart(shelf, wanted)
    assert refused.value.param == param


def test_what_is_shown() -> None:
    assert public(SHOP, public_url="https://x")["url"] == "https://x/mall/tea-house"
    pictured = replace(TEA, picture=b"", picture_hash="ab" * 16)
    assert public_product(TEA, public_url="")["picture_url"] is None
    assert (
        public_product(pictured, public_url="")["picture_url"] == f"/mall/pictures/{'ab' * 16}.png"
    )
    purchase = Purchase(
        id="pur_1",
        account_id="acct_1",
        livemode=False,
        shop="shop_1",
        buyer=None,
        checkout_session="cs_1",
        payment_intent="pi_1",
        lines=documents_of([(TEA, 1)]),
        amount=1_250,
        currency="usd",
        decimals=2,
        status="reserved",
        is_short=False,
        metadata={},
        created=NOW,
    )
    assert public_purchase(purchase, url="/checkout/x")["url"] == "/checkout/x"
    assert public_purchase(purchase)["amount_decimal"] == "12.50"


def test_few_unpaid_purchases_hold_the_last_pieces() -> None:
    # All that one visitor may begin leaves some of what there is plenty of.
    plenty = replace(TEA, stock=SCARCE_BELOW + 2 * UNPAID_OF_PLENTY_MAX)
    assert unpaid_max([(plenty, 2), (replace(TEA, stock=None), 9)]) == UNPAID_OF_PLENTY_MAX
    assert unpaid_max([(plenty, 2), (plenty, 3)]) == UNPAID_MAX
