"""The mall: rows of shops, products and purchases."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    null,
    select,
    text,
    update,
)

from sakk.core.shop import Product, Purchase, PurchaseStatus, Review, Shop
from sakk.store.database import among, fetch_all, fetch_one, insert_records, update_records
from sakk.store.freeze import account_may_pay
from sakk.store.schema import Bytes, Document, Timestamp, Units, metadata

shops = Table(
    "shops",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("handle", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("category", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("is_indexed", Boolean, nullable=False),
    Column("review", Text, nullable=False),
    Column("review_note", Text),
    Column("reviewed_by", Text),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_shops_account", "account_id", "livemode", "id"),
    Index("uq_shops_handle", "handle", unique=True),
    Index(
        "ix_shops_shown",
        "livemode",
        "id",
        postgresql_where=text("is_open and review = 'approved'"),
    ),
    Index("ix_shops_pending", "livemode", "id", postgresql_where=text("review = 'pending'")),
)

products = Table(
    "products",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("shop", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("tax_text", Text),
    Column("price", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("stock", Units),
    Column("picture", Bytes),
    Column("picture_hash", Text),
    Column("active", Boolean, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_products_account", "account_id", "livemode", "id"),
    Index("ix_products_shop", "shop", "id"),
    Index("ix_products_picture", "picture_hash", postgresql_where=text("picture is not null")),
)

purchases = Table(
    "purchases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("shop", Text, nullable=False),
    Column("buyer", Text),
    Column("checkout_session", Text, nullable=False),
    Column("payment_intent", Text, nullable=False),
    Column("lines", Document, nullable=False),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("is_short", Boolean, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("visitor", Text),
    Index("ix_purchases_account", "account_id", "livemode", "id"),
    Index("ix_purchases_shop", "shop", "id"),
    Index("uq_purchases_intent", "payment_intent", unique=True),
    Index("ix_purchases_open", "shop", postgresql_where=text("status = 'reserved'")),
    Index(
        "ix_purchases_unpaid",
        "visitor",
        "shop",
        "created",
        postgresql_where=text("status <> 'paid' AND visitor IS NOT NULL"),
    ),
)
_s, _p, _o = shops.c, products.c, purchases.c


def insert(connection: Connection, shop: Shop) -> None:
    insert_records(connection, shops, [shop])


def insert_product(connection: Connection, product: Product) -> None:
    insert_records(connection, products, [product])


def insert_purchase(connection: Connection, purchase: Purchase) -> None:
    insert_records(connection, purchases, [purchase])


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> Shop | None:
    """One shop of an account, or of any (None)."""
    statement = select(shops).where(_s.id == identifier, _s.livemode == livemode)
    if account_id is not None:
        statement = statement.where(_s.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Shop)


def find_shown(connection: Connection, handle: str) -> Shop | None:
    """The shop that people see at this address."""
    return fetch_one(connection, select(shops).where(_s.handle == handle, *_shown()), Shop)


def find_shown_by_id(connection: Connection, identifier: str, *, livemode: bool) -> Shop | None:
    """A shop in which anybody may buy."""
    statement = select(shops).where(_s.id == identifier, _s.livemode == livemode, *_shown())
    return fetch_one(connection, statement, Shop)


def list_shown(
    connection: Connection,
    modes: Sequence[bool],
    *,
    category: str | None,
    after: str | None,
    limit: int,
) -> list[Shop]:
    """The mall, newest first."""
    statement = select(shops).where(_s.livemode.in_(list(modes)), *_shown())
    if category is not None:
        statement = statement.where(_s.category == category)
    if after is not None:
        statement = statement.where(_s.id < after)
    return fetch_all(connection, statement.order_by(_s.id.desc()).limit(limit), Shop)


def has_handle(connection: Connection, handle: str, *, but: str) -> bool:
    """Is a place in the mall taken by another shop?"""
    statement = select(_s.id).where(_s.handle == handle, _s.id != but)
    return connection.execute(statement).first() is not None


def lock_handles(connection: Connection) -> None:
    """Until this transaction ends nobody else takes a place in the mall."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("mall handles"))))


def count(connection: Connection, account_id: str, *, livemode: bool) -> int:
    statement = select(func.count()).where(_s.account_id == account_id, _s.livemode == livemode)
    return int(connection.execute(statement).scalar_one())


def write(connection: Connection, shop: Shop) -> None:
    """Write what may change of a shop."""
    names = (
        *("id", "handle", "name", "description", "category", "is_open", "is_indexed"),
        *("review", "review_note", "reviewed_by", "metadata"),
    )
    update_records(connection, shops, [{name: getattr(shop, name) for name in names}])


def find_product(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> Product | None:
    """One product of an account, or of any (None)."""
    statement = select(products).where(_p.id == identifier, _p.livemode == livemode)
    if account_id is not None:
        statement = statement.where(_p.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Product)


def list_products(connection: Connection, shop: str, *, active: bool, limit: int) -> list[Product]:
    """What a shop sells, oldest first, without the pictures: they are asked for by their hashes."""
    plain = [each for each in products.columns if each is not _p.picture]
    statement = select(*plain, null().label("picture")).where(_p.shop == shop)
    if active:
        statement = statement.where(_p.active)
    return fetch_all(connection, statement.order_by(_p.id).limit(limit), Product)


def count_products(connection: Connection, shop: str) -> int:
    statement = select(func.count()).where(_p.shop == shop)
    return int(connection.execute(statement).scalar_one())


def lock_products(
    connection: Connection, shop: str, identifiers: Iterable[str]
) -> dict[str, Product]:
    """Products of a shop, in the order of their ids, so that no two buyers wait for each other."""
    statement = (
        select(products)
        .where(_p.shop == shop, among(_p.id, identifiers))
        .order_by(_p.id)
        .with_for_update()
    )
    return {each.id: each for each in fetch_all(connection, statement, Product)}


def lock_stock(connection: Connection, identifiers: Collection[str]) -> None:
    """Lock products in the order in which who buys them does, before stock goes back."""
    if identifiers:
        statement = select(_p.id).where(among(_p.id, identifiers)).order_by(_p.id)
        connection.execute(statement.with_for_update())


def write_product(connection: Connection, product: Product) -> None:
    """Write what may change of a product, its stock aside."""
    connection.execute(
        update(products)
        .where(_p.id == product.id)
        .values(
            name=product.name,
            description=product.description,
            tax_text=product.tax_text,
            price=product.price,
            picture=product.picture,
            picture_hash=product.picture_hash,
            active=product.active,
            metadata=product.metadata,
        )
    )


def set_stock(connection: Connection, product: str, stock: int | None) -> None:
    connection.execute(update(products).where(_p.id == product).values(stock=stock))


def take_stock(connection: Connection, product: str, quantity: int) -> bool:
    """Take so many of a product; False when fewer are left. Of any number any number is taken."""
    result = connection.execute(
        update(products)
        .where(_p.id == product, (_p.stock.is_(None)) | (_p.stock >= quantity))
        .values(stock=_p.stock - quantity)
    )
    return result.rowcount == 1


def return_stock(connection: Connection, product: str, quantity: int) -> None:
    """Give so many back."""
    connection.execute(update(products).where(_p.id == product).values(stock=_p.stock + quantity))


def find_picture(connection: Connection, digest: str) -> bytes | None:
    """The picture with this hash."""
    statement = select(_p.picture).where(_p.picture_hash == digest, _p.picture.is_not(None))
    return connection.execute(statement.limit(1)).scalar_one_or_none()


def find_purchase(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Purchase | None:
    """A purchase at an account's shops or of an account that buys; any where None."""
    statement = select(purchases).where(_o.id == identifier, _o.livemode == livemode)
    if account_id is not None:
        statement = statement.where((_o.account_id == account_id) | (_o.buyer == account_id))
    return fetch_one(connection, statement, Purchase)


def list_purchases(connection: Connection, shop: str, *, limit: int) -> list[Purchase]:
    """A shop's purchases, newest first."""
    statement = select(purchases).where(_o.shop == shop).order_by(_o.id.desc()).limit(limit)
    return fetch_all(connection, statement, Purchase)


def count_open(connection: Connection, shop: str) -> tuple[int, int]:
    """How many purchases hold a shop's stock, and how many of these are of no account's."""
    statement = select(func.count(), func.count().filter(_o.buyer.is_(None))).where(
        _o.shop == shop, _o.status == PurchaseStatus.reserved.value
    )
    held, without_account = connection.execute(statement).one()
    return int(held), int(without_account)


def count_unpaid(connection: Connection, shop: str, visitor: str, *, since: datetime) -> int:
    """How many purchases a visitor began at a shop and has not paid. Who asks is the only one of
    this visitor until the transaction ends."""
    key = func.hashtextextended(f"purchases:{shop}:{visitor}", 0)
    connection.execute(select(func.pg_advisory_xact_lock(key)))
    statement = select(func.count()).where(
        _o.visitor == visitor,
        _o.shop == shop,
        _o.created > since,
        _o.status != PurchaseStatus.paid.value,
    )
    return int(connection.execute(statement).scalar_one())


def of_intents(connection: Connection, intents: Iterable[str]) -> list[Purchase]:
    """The purchases that these payments pay, locked, in the order of their ids."""
    statement = (
        select(purchases).where(among(_o.payment_intent, intents)).order_by(_o.id).with_for_update()
    )
    return fetch_all(connection, statement, Purchase)


def write_purchase(connection: Connection, purchase: Purchase) -> None:
    connection.execute(
        update(purchases)
        .where(_o.id == purchase.id)
        .values(status=purchase.status, is_short=purchase.is_short)
    )


def _shown() -> tuple[ColumnElement[bool], ...]:
    return (
        _s.is_open,
        _s.review == Review.approved.value,
        account_may_pay(_s.account_id),
    )
