"""Shops of the mall: made and changed by their merchant, judged by the operator; what they sell."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.listing import ListQuery, created_within, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import shop as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.money import format_decimal
from sakk.core.search import SearchKind, like, read_search
from sakk.core.shop import Category, Product, PurchaseStatus, Review, Shop
from sakk.flow import shop as flow
from sakk.pages.amount import read_amount
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import shop as store
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/shops"
PRODUCTS: Final = f"{ROOT}/products"
PURCHASES_SHOWN: Final = 50
REVIEWS: Final[Mapping[str, str]] = {
    Review.pending.value: mark("Waits for the operator"),
    Review.approved.value: mark("Approved"),
    Review.refused.value: mark("Refused"),
}
PURCHASES: Final[Mapping[str, str]] = {
    PurchaseStatus.reserved.value: mark("Being paid"),
    PurchaseStatus.paid.value: mark("Paid"),
    PurchaseStatus.returned.value: mark("Not paid"),
}
CATEGORIES: Final[Mapping[str, str]] = {
    Category.food.value: mark("Food and drink"),
    Category.clothing.value: mark("Clothing"),
    Category.home.value: mark("Home and living"),
    Category.electronics.value: mark("Electronics"),
    Category.books.value: mark("Books"),
    Category.beauty.value: mark("Beauty"),
    Category.services.value: mark("Services"),
    Category.art.value: mark("Art"),
    Category.other.value: mark("Other"),
}
Name = Annotated[str, Field(max_length=rules.NAME_MAX)]
Text = Annotated[str, Field(max_length=rules.TEXT_MAX)]
TaxText = Annotated[str, Field(max_length=rules.TAX_TEXT_MAX)]
Stock = Annotated[int, Field(ge=0, le=rules.STOCK_MAX)]


class ShopQuery(ListQuery):
    """Which shops."""

    state: Literal["pending", "approved", "refused"] | None = None


class ChangeForm(Form):
    """What stands on a shop; other words wait for the operator."""

    name: Name
    handle: Annotated[str, Field(max_length=60)]
    category: Category = Category.other
    description: Text | None = None
    indexed: bool = False


class ShopForm(ChangeForm):
    """A new shop, and the currency of its prices."""

    currency: Annotated[str, Field(max_length=20)]


class StateForm(Form):
    """Opened, or closed."""

    state: Literal["open", "closed"]


class ReviewForm(Form):
    """What the operator says; ``note`` is what the merchant reads of a refusal. ``digest``: of the
    words that were shown."""

    said: Literal["approved", "refused"]
    digest: Annotated[str, Field(max_length=64)]
    note: Text | None = None


class ProductForm(Form):
    """What is sold; ``stock`` left empty: any number."""

    name: Name
    price: Annotated[str, Field(max_length=100)]
    description: Text | None = None
    tax_text: TaxText | None = None
    stock: Stock | None = None
    active: bool = False


def index(visit: Visit, query: ShopQuery) -> Page:
    """The shops, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
    return Page(
        "console/shops.html",
        {
            "list": listing(visit, query, window, window.rows),
            "reviews": REVIEWS,
            "may_create": visit.may("shops", "write") and visit.account_id is not None,
            "choices": {"state": options(visit, REVIEWS)},
        },
    )


def draft(visit: Visit) -> Page:
    """An empty form."""
    return _form(visit, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The form as it was sent, with what is wrong with it."""
    return _form(visit, rejected)


def create(visit: Visit, form: ShopForm) -> Redirect:
    """Make a shop."""
    account_id = visit.account()
    identifier = visit.object_id(rules.PREFIX)
    with visit.database.begin() as connection:
        whose: dict[str, Any] = {"account_id": account_id, "livemode": visit.livemode}
        if store.find(connection, identifier, **whose) is None:
            blank = Shop(
                id=identifier,
                **whose,
                handle=form.handle,
                name=form.name,
                description=form.description,
                category=form.category.value,
                currency=form.currency,
                decimals=0,
                is_open=True,
                is_indexed=form.indexed,
                review=Review.pending.value,
                review_note=None,
                reviewed_by=None,
                metadata={},
                created=visit.now,
            )
            flow.create(connection, blank, public_url=visit.settings.public_url)
    told = visit.words.gettext("The shop is made. People see it when the operator approves it.")
    return Redirect(f"{PATH}/{identifier}", told)


def show(visit: Visit, shop: str) -> Page:
    """One shop: what stands on it, what it sells, and its purchases."""
    return _detail(visit, shop, None)


def again(visit: Visit, rejected: Rejected, shop: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, shop, rejected)


def change(visit: Visit, shop: str, form: ChangeForm) -> Redirect:
    """Change what stands on a shop."""
    changes = {
        "name": form.name,
        "handle": form.handle,
        "category": form.category.value,
        "description": form.description,
        "is_indexed": form.indexed,
    }
    return _changed(visit, shop, changes)


def switch(visit: Visit, shop: str, form: StateForm) -> Redirect:
    """Open a shop, or close it; purchases that are being paid go on."""
    return _changed(visit, shop, {"is_open": form.state == "open"})


def review(visit: Visit, shop: str, form: ReviewForm) -> Redirect:
    """Let people see a shop, or refuse it."""
    if form.said == "refused" and not form.note:
        raise ParameterInvalid(visit.words.gettext("Say why: the merchant reads it."), param="note")
    with visit.database.begin() as connection:
        flow.review(
            connection,
            shop,
            Review(form.said),
            form.note if form.said == "refused" else None,
            by=visit.person.id,
            livemode=visit.livemode,
            public_url=visit.settings.public_url,
            now=visit.now,
            digest=form.digest,
        )
    return Redirect(f"{PATH}/{shop}", visit.words.gettext("It is saved."))


def product_draft(visit: Visit, shop: str) -> Page:
    """An empty form for something to sell."""
    return _product_form(visit, shop, None)


def product_draft_again(visit: Visit, rejected: Rejected, shop: str) -> Page:
    """The form as it was sent."""
    return _product_form(visit, shop, rejected)


def create_product(visit: Visit, shop: str, form: ProductForm) -> Redirect:
    """Put something into a shop."""
    identifier = visit.object_id(rules.PRODUCT_PREFIX)
    with visit.database.begin() as connection:
        found = _found(connection, visit, shop)
        whose: dict[str, Any] = {"account_id": found.account_id, "livemode": visit.livemode}
        if store.find_product(connection, identifier, **whose) is None:
            made = Product(
                id=identifier,
                **whose,
                shop=found.id,
                currency=found.currency,
                decimals=found.decimals,
                picture=None,
                picture_hash=None,
                metadata={},
                created=visit.now,
                stock=form.stock,
                **_said(visit, form, found.decimals),
            )
            flow.add_product(connection, made, None, public_url=visit.settings.public_url)
    return Redirect(f"{PATH}/{shop}", visit.words.gettext("It is saved."))


def show_product(visit: Visit, product: str) -> Page:
    """One product, to be changed."""
    return _product(visit, product, None)


def product_again(visit: Visit, rejected: Rejected, product: str) -> Page:
    """The form as it was sent."""
    return _product(visit, product, rejected)


def change_product(visit: Visit, product: str, form: ProductForm) -> Redirect:
    """Change a product, or take it off the shelf."""
    with visit.database.begin() as connection:
        found = _found_product(connection, visit, product)
        changes = _said(visit, form, found.decimals)
        if form.stock != found.stock:
            changes["stock"] = form.stock
        flow.change_product(
            connection,
            found.id,
            changes,
            account_id=found.account_id,
            livemode=visit.livemode,
            public_url=visit.settings.public_url,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{found.shop}", visit.words.gettext("It is saved."))


def _said(visit: Visit, form: ProductForm, decimals: int) -> dict[str, Any]:
    try:
        price = read_amount(form.price, decimals)
    except ValueError:
        told = visit.words.gettext("Write an amount, as 12.50.")
        raise ParameterInvalid(told, param="price") from None
    return {
        "name": form.name,
        "description": form.description,
        "tax_text": form.tax_text,
        "price": price,
        "active": form.active,
    }


def _changed(visit: Visit, shop: str, changes: Mapping[str, Any]) -> Redirect:
    with visit.database.begin() as connection:
        found = _found(connection, visit, shop)
        flow.change(
            connection,
            found.id,
            changes,
            account_id=found.account_id,
            livemode=visit.livemode,
            public_url=visit.settings.public_url,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{shop}", visit.words.gettext("It is saved."))


def _window(connection: Connection, visit: Visit, query: ShopQuery) -> Window[Shop]:
    c = store.shops.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [mode] if visit.account_id is None else []
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append(c.id == search.value)
    elif search is not None:
        filters.append(c.name.ilike(like(query.q or "")))
    if query.state is not None:
        filters.append(c.review == query.state)
    filters += created_within(visit, query, store.shops)
    return fetch_window(
        connection,
        store.shops,
        Shop,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        shop = _found(connection, visit, identifier)
        products = store.list_products(connection, shop.id, active=False, limit=rules.PRODUCTS_MAX)
        purchases = store.list_purchases(connection, shop.id, limit=PURCHASES_SHOWN)
    return Page(
        "console/shop.html",
        {
            "shop": shop,
            "url": visit.settings.public_url + rules.page_path(shop.handle),
            "is_shown": rules.is_shown(shop),
            "digest": rules.digest_of(shop),
            "products": products,
            "purchases": purchases,
            "purchase_words": PURCHASES,
            "reviews": REVIEWS,
            "category": CATEGORIES[shop.category],
            "categories": options(visit, CATEGORIES),
            "may_change": visit.may("shops", "write"),
            "may_judge": visit.is_operator and visit.may("shops", "write"),
            "rejected": rejected,
        },
    )


def _form(visit: Visit, rejected: Rejected | None) -> Page:
    visit.account()
    with visit.database.read() as connection:
        currencies = networks.list_currencies(connection)
    return Page(
        "console/shop_new.html",
        {
            "currencies": [(each.currency, each.currency.upper()) for each in currencies],
            "categories": options(visit, CATEGORIES),
            "rejected": rejected,
        },
    )


def _product_form(visit: Visit, shop: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = _found(connection, visit, shop)
    return Page(
        "console/product.html",
        {
            "shop": found,
            "product": None,
            "action": f"{PATH}/{found.id}/products",
            "sent": rejected.values if rejected is not None else {"active": True},
            "rejected": rejected,
            "may_change": visit.may("shops", "write"),
        },
    )


def _product(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        product = _found_product(connection, visit, identifier)
        shop = _found(connection, visit, product.shop)
    stands = {
        "name": product.name,
        "price": format_decimal(product.price, product.decimals),
        "description": product.description,
        "tax_text": product.tax_text,
        "stock": product.stock,
        "active": product.active,
    }
    return Page(
        "console/product.html",
        {
            "shop": shop,
            "product": product,
            "action": f"{PRODUCTS}/{product.id}",
            "sent": rejected.values if rejected is not None else stands,
            "rejected": rejected,
            "may_change": visit.may("shops", "write"),
        },
    )


def _found(connection: Connection, visit: Visit, identifier: str) -> Shop:
    found = store.find(connection, identifier, account_id=visit.account_id, livemode=visit.livemode)
    if found is None:
        raise flow.missing(identifier)
    return found


def _found_product(connection: Connection, visit: Visit, identifier: str) -> Product:
    found = store.find_product(
        connection, identifier, account_id=visit.account_id, livemode=visit.livemode
    )
    if found is None:
        raise ResourceMissing(
            "No such product: {identifier}", param="id", identifier=repr(identifier)
        )
    return found


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "shops", menu=Menu("Payments", mark("Shops"))),
    Screen("GET", f"{PATH}/new", draft, "shops", "write"),
    Screen("POST", f"{PATH}/new", create, "shops", again=draft_again),
    Screen("GET", PATH + "/{shop}", show, "shops"),
    Screen("POST", PATH + "/{shop}", change, "shops", again=again),
    Screen("POST", PATH + "/{shop}/switch", switch, "shops", again=again),
    Screen("POST", PATH + "/{shop}/review", review, "shops", operator_only=True, again=again),
    Screen("GET", PATH + "/{shop}/products", product_draft, "shops", "write"),
    Screen("POST", PATH + "/{shop}/products", create_product, "shops", again=product_draft_again),
    Screen("GET", PRODUCTS + "/{product}", show_product, "shops"),
    Screen("POST", PRODUCTS + "/{product}", change_product, "shops", again=product_again),
)
