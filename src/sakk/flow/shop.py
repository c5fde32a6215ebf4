"""Shops and products: made and changed by their merchant, approved or refused by the operator."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import closed_loop_event as event
from sakk.core import shop as rules
from sakk.core.branding import clean_logo
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    ParameterMissing,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.shop import Product, Review, Shop
from sakk.flow.money_request import decimals_of
from sakk.store import event as events
from sakk.store import shop as store

DIGEST_LENGTH = 32


def create(connection: Connection, shop: Shop, *, public_url: str) -> Shop:
    """Make a shop, which nobody sees before the operator approves it. ``decimals`` is filled in.

    ParameterInvalid for a handle that is taken, and for a shop too many.
    """
    store.lock_handles(connection)
    known = store.count(connection, shop.account_id, livemode=shop.livemode)
    if known >= rules.SHOPS_MAX:
        raise ParameterInvalid(
            "An account has at most {most} shops.", param="handle", most=rules.SHOPS_MAX
        )
    made = replace(
        shop,
        handle=rules.read_handle(shop.handle),
        decimals=decimals_of(connection, shop.currency),
        review=Review.pending.value,
    )
    _check_free(connection, made)
    store.insert(connection, made)
    _tell(connection, made, event.SHOP_CREATED, public_url=public_url, now=shop.created)
    return made


def change(
    connection: Connection,
    identifier: str,
    changes: Mapping[str, Any],
    *,
    account_id: str | None,
    livemode: bool,
    public_url: str,
    now: datetime,
) -> Shop:
    """Change a shop by its merchant; other words than were approved wait for the operator."""
    if "handle" in changes:
        store.lock_handles(connection)
        changes = {**changes, "handle": rules.read_handle(changes["handle"])}
    shop = _found(connection, identifier, account_id=account_id, livemode=livemode)
    after = rules.after_change(shop, replace(shop, **changes))
    _check_free(connection, after)
    store.write(connection, after)
    _tell(connection, after, event.SHOP_UPDATED, public_url=public_url, now=now)
    return after


def review(
    connection: Connection,
    identifier: str,
    said: Review,
    note: str | None,
    *,
    by: str | None,
    livemode: bool,
    public_url: str,
    now: datetime,
    digest: str | None,
) -> Shop:
    """The operator lets a shop be seen, or refuses it and says why.

    ``digest``: of the words that were shown; None refuses whatever stands there. ApprovalStale when
    there are others by now.
    """
    shop = _found(connection, identifier, account_id=None, livemode=livemode)
    if digest is None and said is not Review.refused:
        raise ParameterMissing("Say what was looked at: the shop's digest.", param="digest")
    if digest not in (None, rules.digest_of(shop)):
        raise ApprovalStale("This is not what you were shown: look at the shop again.")
    after = rules.judged(shop, said, note, by)
    store.write(connection, after)
    _tell(connection, after, event.SHOP_REVIEWED, public_url=public_url, now=now)
    return after


def add_product(
    connection: Connection, product: Product, picture: bytes | None, *, public_url: str
) -> Product:
    """Put something into a shop; its currency is the shop's, its picture is taken apart."""
    shop = _found(
        connection, product.shop, account_id=product.account_id, livemode=product.livemode
    )
    if store.count_products(connection, shop.id) >= rules.PRODUCTS_MAX:
        raise UnexpectedState(
            "A shop has at most {most} products, those taken off among them.",
            most=rules.PRODUCTS_MAX,
        )
    made = replace(product, currency=shop.currency, decimals=shop.decimals, **_picture(picture))
    store.insert_product(connection, made)
    _tell_product(connection, made, event.PRODUCT_CREATED, public_url=public_url, now=made.created)
    return made


def change_product(
    connection: Connection,
    identifier: str,
    changes: Mapping[str, Any],
    *,
    account_id: str | None,
    livemode: bool,
    public_url: str,
    now: datetime,
) -> Product:
    """Change a product; ``stock`` is what is there besides what open purchases hold."""
    product = store.find_product(
        connection, identifier, account_id=account_id, livemode=livemode, lock=True
    )
    if product is None:
        raise ResourceMissing(
            "No such product: {identifier}", param="id", identifier=repr(identifier)
        )
    given = dict(changes)
    if "picture" in given:
        given |= _picture(given["picture"])
    after = replace(product, **given)
    store.write_product(connection, after)
    if "stock" in given:
        store.set_stock(connection, product.id, after.stock)
    _tell_product(connection, after, event.PRODUCT_UPDATED, public_url=public_url, now=now)
    return after


def missing(identifier: str) -> ResourceMissing:
    """The error for a shop that is not there, or that nobody sees."""
    return ResourceMissing("No such shop: {identifier}", param="id", identifier=repr(identifier))


def _found(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Shop:
    found = store.find(connection, identifier, account_id=account_id, livemode=livemode, lock=True)
    if found is None:
        raise missing(identifier)
    return found


def _check_free(connection: Connection, shop: Shop) -> None:
    if store.has_handle(connection, shop.handle, but=shop.id):
        raise ParameterInvalid("Another shop has this handle.", param="handle")


def _picture(content: bytes | None) -> dict[str, Any]:
    if content is None:
        return {"picture": None, "picture_hash": None}
    try:
        clean = clean_logo(content)
    except ParameterInvalid as error:
        raise ParameterInvalid(str(error), param="picture") from None
    return {
        "picture": clean,
        "picture_hash": hashlib.sha256(clean).hexdigest()[:DIGEST_LENGTH],
    }


def _tell(connection: Connection, shop: Shop, name: str, *, public_url: str, now: datetime) -> None:
    told = NewEvent(
        account_id=shop.account_id,
        livemode=shop.livemode,
        type=name,
        object_id=shop.id,
        object=rules.public(shop, public_url=public_url),
    )
    events.append(connection, [told], now=now)


def _tell_product(
    connection: Connection, product: Product, name: str, *, public_url: str, now: datetime
) -> None:
    told = NewEvent(
        account_id=product.account_id,
        livemode=product.livemode,
        type=name,
        object_id=product.id,
        object=rules.public_product(product, public_url=public_url),
    )
    events.append(connection, [told], now=now)
