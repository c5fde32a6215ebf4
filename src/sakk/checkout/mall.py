"""The mall's pages: all shops, one shop with what it sells, and a cart that becomes a session.

A cart is one form: nothing is kept of who looks around. A shop's page may be listed by search
engines where its merchant says so; the mall's own never is.
"""

import re
from typing import Any, Final

from sakk.checkout.session import UNKNOWN_HELP
from sakk.checkout.visit import Response, Visit, message, page, redirect
from sakk.core import branding as brand_rules
from sakk.core import checkout_session
from sakk.core import shop as rules
from sakk.core.errors import ParameterInvalid, RateLimited, UnexpectedState
from sakk.core.peer import network_of
from sakk.core.shop import Category, Product, Shop
from sakk.flow import purchase
from sakk.flow.payment import read_catalogue
from sakk.pages.language import mark, words
from sakk.pages.static_files import FOREVER
from sakk.store import account as accounts
from sakk.store import branding as brandings
from sakk.store import shop as store
from sakk.store.identity import new_id

ROOT: Final = "/mall"
SHOPS_SHOWN: Final = 24
NO_SHOP: Final = mark("There is no such shop, or it is closed.")
EMPTY: Final = mark("Choose how many of something you want.")
SOLD_OUT: Final = mark("Of something in your cart fewer are left. Look again.")
UNPAID: Final = mark(
    "Several purchases were begun here and not paid. Pay one of them, or come back later."
)
CATEGORIES: Final = {
    Category.food: mark("Food and drink"),
    Category.clothing: mark("Clothing"),
    Category.home: mark("Home and living"),
    Category.electronics: mark("Electronics"),
    Category.books: mark("Books"),
    Category.beauty: mark("Beauty"),
    Category.services: mark("Services"),
    Category.art: mark("Art"),
    Category.other: mark("Other"),
}
_FIELD: Final = re.compile(r"q_(prod_[0-9a-z]{26})")
_ID: Final = re.compile(r"shop_[0-9a-z]{26}")
_SEALED: Final = {
    "cache-control": FOREVER,
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
}


def index(visit: Visit) -> Response:
    """All shops that are open, newest first; in the sandbox those of test money too."""
    language = visit.language()
    category = visit.one("category") or ""
    chosen = category if category in set(Category) else None
    after = visit.one("after") or ""
    with visit.parts.database.begin() as connection:
        found = store.list_shown(
            connection,
            (True,) if visit.settings.test_payer is None else (True, False),
            category=chosen,
            after=after if _ID.fullmatch(after) else None,
            limit=SHOPS_SHOWN + 1,
        )
        logos = brandings.find_logos(connection, {each.account_id for each in found})
    shown = found[:SHOPS_SHOWN]
    say = words(language).gettext
    return page(
        visit,
        "mall.html",
        language=language,
        shops=shown,
        logos={who: brand_rules.logo_path(each) for who, each in logos.items()},
        names={each.value: say(name) for each, name in CATEGORIES.items()},
        category=chosen,
        older=shown[-1].id if len(found) > SHOPS_SHOWN else None,
    )


def show(visit: Visit) -> Response:
    """One shop, with how many there are of what it sells."""
    shop = _found(visit)
    return _closed(visit) if shop is None else _page(visit, shop)


def buy(visit: Visit) -> Response:
    """The cart becomes a checkout session, whose page is next."""
    shop = _found(visit)
    if shop is None:
        return _closed(visit)
    wanted = _wanted(visit)
    if not wanted:
        return _page(visit, shop, fault=EMPTY)
    try:
        with visit.parts.database.begin() as connection:
            _, token = purchase.begin(
                connection,
                read_catalogue(connection),
                visit.parts.secrets_vault(),
                shop,
                purchase.Basket(wanted=wanted, visitor=_visitor(visit), locale=None),
                identifier=new_id(rules.PURCHASE_PREFIX),
                session_id=new_id(checkout_session.PREFIX),
                intent_id=new_id("pi"),
                now=visit.now,
            )
    except RateLimited:
        return _page(visit, shop, fault=UNPAID, sent=dict(wanted))
    except (ParameterInvalid, UnexpectedState):
        return _page(visit, shop, fault=SOLD_OUT, sent=dict(wanted))
    return redirect(checkout_session.page_path(token))


def picture(visit: Visit) -> Response:
    """A product's picture, named by its hash."""
    with visit.parts.database.begin() as connection:
        found = store.find_picture(connection, visit.token)
    if found is None:
        return Response(404, {"cache-control": "no-store"})
    return Response(200, {"content-type": "image/png", **_SEALED}, found)


def _visitor(visit: Visit) -> str:
    """Where somebody comes from, as a word that only this installation can make."""
    word = visit.parts.secrets_vault().derive(f"visitor {network_of(visit.address)}")
    return f"page:{word[:16].hex()}"


def _wanted(visit: Visit) -> list[tuple[str, int]]:
    """What the form says, in the order in which it stands there; what is no number is none."""
    wanted = []
    for name in visit.form:
        named = _FIELD.fullmatch(name)
        count = visit.field(name).strip()
        if named is not None and count.isascii() and count.isdigit() and int(count[:9]) > 0:
            wanted.append((named[1], int(count[:9])))
    return wanted


def _found(visit: Visit) -> Shop | None:
    with visit.parts.database.begin() as connection:
        return store.find_shown(connection, visit.token)


def _page(
    visit: Visit, shop: Shop, *, fault: str = "", sent: dict[str, int] | None = None
) -> Response:
    language = visit.language()
    say = words(language).gettext
    with visit.parts.database.begin() as connection:
        account = accounts.find_account(connection, shop.account_id)
        brand = brandings.find(connection, shop.account_id)
        products = store.list_products(connection, shop.id, active=True, limit=rules.PRODUCTS_MAX)
    response = page(
        visit,
        "mall_shop.html",
        language=language,
        status=400 if fault else 200,
        shop=shop,
        merchant=None if account is None else account.name,
        products=[_shown(each) for each in products],
        category=say(CATEGORIES[Category(shop.category)]),
        fault=say(fault) if fault else "",
        sent=sent or {},
        brand=brand,
        most=rules.QUANTITY_MAX,
        style=None if brand is None or brand.color is None else brand_rules.color_path(brand.color),
        logo=None
        if brand is None or brand.logo_hash is None
        else brand_rules.logo_path(brand.logo_hash),
    )
    if shop.is_indexed:
        del response.headers["x-robots-tag"]
    return response


def _shown(product: Product) -> dict[str, Any]:
    digest = product.picture_hash
    return {
        "row": product,
        "picture": None if digest is None else rules.picture_path(digest),
        "most": rules.QUANTITY_MAX
        if product.stock is None
        else min(product.stock, rules.QUANTITY_MAX),
    }


def _closed(visit: Visit) -> Response:
    return message(visit, NO_SHOP, status=404, more=UNKNOWN_HELP)
