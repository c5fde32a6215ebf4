"""Purchases: stock is taken once, given back when nobody pays, and paid over a chain or without."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import credit

from sakk.core import shop as rules
from sakk.core.claim import token_hash
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    ParameterMissing,
    RateLimited,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.shop import (
    PURCHASE_LIFE,
    UNPAID_MAX,
    UNPAID_WITHIN,
    Product,
    Purchase,
    Review,
    Shop,
    digest_of,
)
from sakk.flow import account_payment, checkout_session
from sakk.flow import purchase as flow
from sakk.flow import shop as shops
from sakk.flow.payment import read_catalogue
from sakk.store import payment as payments
from sakk.store import shop as store
from sakk.store.identity import new_id
from sakk.store.vault import KEY_BYTES, Vault

URL = "http://pay.example"


@pytest.fixture(autouse=True)
def vault(world: World) -> None:
    world.parts = replace(world.parts, vault=Vault(bytes(KEY_BYTES)))


def opened(world: World, handle: str = "tea-house", *, approved: bool = True) -> Shop:
    with world.database.begin() as connection:
        made = shops.create(
            connection,
            Shop(
                id=new_id("shop"),
                account_id=world.account,
                livemode=False,
                handle=handle,
                name="Tea house",
                description=None,
                category="food",
                currency="usd",
                decimals=0,
                is_open=True,
                is_indexed=False,
                review="approved",
                review_note=None,
                reviewed_by=None,
                metadata={},
                created=world.clock(),
            ),
            public_url=URL,
        )
        assert made.review == "pending"
        assert store.find_shown(connection, handle) is None
        if approved:
            made = shops.review(
                connection,
                made.id,
                Review.approved,
                None,
                by="per_1",
                livemode=False,
                public_url=URL,
                now=world.clock(),
                digest=digest_of(made),
            )
    return made


def shelved(world: World, shop: Shop, price: int = 500, stock: int | None = 3) -> Product:
    with world.database.begin() as connection:
        return shops.add_product(
            connection,
            Product(
                id=new_id("prod"),
                account_id=world.account,
                livemode=False,
                shop=shop.id,
                name="Oolong",
                description=None,
                tax_text=None,
                price=price,
                currency="",
                decimals=0,
                stock=stock,
                picture=None,
                picture_hash=None,
                active=True,
                metadata={},
                created=world.clock(),
            ),
            None,
            public_url=URL,
        )


def begin(
    world: World,
    shop: Shop,
    wanted: Sequence[tuple[str, int]],
    visitor: str | None = None,
    buyer: str | None = None,
) -> tuple[Purchase, str]:
    with world.database.begin() as connection:
        return flow.begin(
            connection,
            read_catalogue(connection, now=world.clock()),
            world.parts.secrets_vault(),
            shop,
            flow.Basket(wanted=wanted, visitor=visitor, buyer=buyer),
            identifier=new_id("pur"),
            session_id=new_id("cs"),
            intent_id=new_id("pi"),
            now=world.clock(),
        )


def stand(world: World, purchase: Purchase, product: Product) -> tuple[str, bool, int | None]:
    with world.database.begin() as connection:
        now = store.find_purchase(connection, purchase.id, account_id=None, livemode=False)
        shelf = store.find_product(connection, product.id, account_id=None, livemode=False)
    assert now is not None
    assert shelf is not None
    return now.status, now.is_short, None if shelf.stock is None else int(shelf.stock)


def test_many_buyers_at_once_take_what_is_there_and_no_more(world: World) -> None:
    shop = opened(world)
    tea, cup = shelved(world, shop, stock=3), shelved(world, shop, stock=None)

    def attempt(turn: int) -> int:
        wanted = [(tea.id, 1), (cup.id, 2)]
        try:
            begin(world, shop, wanted if turn % 2 else wanted[::-1])
        except UnexpectedState:
            return 0
        return 1

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 3
    with pytest.raises(ParameterInvalid):
        begin(world, shop, [(shelved(world, opened(world, "other-shop")).id, 1)])


def test_stock_goes_back_when_nobody_pays_and_is_taken_by_who_pays_late(world: World) -> None:
    world.set_policy(late="accept")
    shop = opened(world)
    tea = shelved(world, shop, stock=2)
    first, _ = begin(world, shop, [(tea.id, 2)])
    assert stand(world, first, tea) == ("reserved", False, 0)
    with world.database.begin() as connection:
        intent = payments.find(connection, first.payment_intent, account_id=None, livemode=False)
    assert intent is not None
    world.advance(PURCHASE_LIFE + timedelta(minutes=11))
    world.mine(3)
    world.run()
    assert stand(world, first, tea) == ("returned", False, 2)
    second, _ = begin(world, shop, [(tea.id, 1)])
    world.pay(intent)
    world.finalize()
    assert stand(world, first, tea) == ("paid", True, 1)
    types = world.event_types(about=first.id)
    assert types == ["purchase.created", "purchase.returned", "purchase.paid"]
    assert stand(world, second, tea)[0] == "reserved"
    world.check()


def test_a_visitor_who_pays_nothing_holds_stock_no_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, other = opened(world), opened(world, "other-shop")
    tea = shelved(world, shop, stock=9)
    one = [(tea.id, 1)]
    begun = [begin(world, shop, one, "page:a")[0] for _ in range(UNPAID_MAX)]
    with pytest.raises(RateLimited):
        begin(world, shop, one, "page:a")
    # Others buy, and at other shops it does too.
    begin(world, shop, one, "page:b")
    begin(world, shop, one)
    begin(world, other, [(shelved(world, other).id, 1)], "page:a")
    # What is called off has its stock back at once, and counts for as long as any other.
    with world.database.begin() as connection:
        checkout_session.expire(
            connection,
            begun[0].checkout_session,
            account_id=world.account,
            livemode=False,
            now=world.clock(),
        )
    assert stand(world, begun[0], tea) == ("returned", False, 9 - UNPAID_MAX - 1)
    with pytest.raises(RateLimited):
        begin(world, shop, one, "page:a")
    # One that is paid for counts no more.
    with world.database.begin() as connection:
        intent = payments.find(connection, begun[1].payment_intent, account_id=None, livemode=False)
    assert intent is not None
    world.pay(intent)
    world.finalize()
    begin(world, shop, one, "page:a")
    with pytest.raises(RateLimited):
        begin(world, shop, one, "page:a")
    # Where there is plenty, nobody is in the way of others behind the same address.
    plenty = [(shelved(world, shop, stock=None).id, 1)]
    begin(world, shop, plenty, "page:a")
    world.advance(UNPAID_WITHIN)
    begin(world, shop, one, "page:a")
    # And however many addresses somebody has, a part of the shop is for accounts.
    monkeypatch.setattr(rules, "ANONYMOUS_MAX", 1)
    with pytest.raises(UnexpectedState, match="Too many people"):
        begin(world, shop, plenty, "page:c")
    begin(world, shop, plenty, world.account, buyer=world.account)


def test_an_account_here_buys_at_once(world: World) -> None:
    ann = world.merchant("Ann")
    credit(world, 20, account=ann)
    shop = opened(world)
    tea = shelved(world, shop, price=700)
    purchase, token = begin(world, shop, [(tea.id, 2)])
    paid = account_payment.pay(
        world.parts,
        token_hash(token),
        "usdc",
        transfer_id=new_id("tr"),
        account_id=ann,
        livemode=False,
    )
    assert (paid.status, paid.amount) == ("posted", 14 * WHOLE_TOKEN)
    assert stand(world, purchase, tea) == ("paid", False, 1)
    assert world.balance() == 14 * WHOLE_TOKEN
    world.check()


def test_a_shop_is_its_merchants_and_changes_wait_for_the_operator(world: World) -> None:
    shop = opened(world)
    other = world.merchant("Eve")

    def change(account: str, **changes: Any) -> Shop:
        with world.database.begin() as connection:
            return shops.change(
                connection,
                shop.id,
                changes,
                account_id=account,
                livemode=False,
                public_url=URL,
                now=world.clock(),
            )

    with pytest.raises(ResourceMissing):
        change(other, name="Eve's")
    assert change(world.account, is_open=False).review == "approved"
    assert change(world.account, is_open=True, name="A bank").review == "pending"
    # What was looked at before it was changed is not approved.
    for digest, error in ((digest_of(shop), ApprovalStale), (None, ParameterMissing)):
        with world.database.begin() as connection, pytest.raises(error):
            shops.review(
                connection,
                shop.id,
                Review.approved,
                None,
                by="per_1",
                livemode=False,
                public_url=URL,
                now=world.clock(),
                digest=digest,
            )
    with world.database.begin() as connection:
        assert store.find_shown(connection, "tea-house") is None
        with pytest.raises(ParameterInvalid, match="Another shop"):
            shops.create(
                connection,
                replace(shop, id=new_id("shop"), account_id=other),
                public_url=URL,
            )
