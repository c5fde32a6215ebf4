"""Purchases: a cart becomes a checkout session, and holds its stock until that is paid or ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import closed_loop_event as event
from sakk.core import shop as rules
from sakk.core.checkout_session import Line, total_of
from sakk.core.errors import RateLimited, UnexpectedState
from sakk.core.shop import Purchase, PurchaseStatus, Shop
from sakk.flow import checkout_session
from sakk.flow.checkout_session import SessionRequest
from sakk.flow.payment import Catalogue, PaymentRequest
from sakk.flow.purchase_news import tell
from sakk.store import shop as store
from sakk.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Basket:
    """What somebody wants of a shop: (product, quantity) each, and who asks if an account does.

    ``visitor``: whose unpaid purchases are counted together; None where nobody's are.
    """

    wanted: Sequence[tuple[str, int]]
    buyer: str | None = None
    visitor: str | None = None
    locale: str | None = None
    metadata: dict[str, str] | None = None


def begin(
    connection: Connection,
    catalogue: Catalogue,
    vault: Vault,
    shop: Shop,
    basket: Basket,
    *,
    identifier: str,
    session_id: str,
    intent_id: str,
    now: datetime,
    request_id: str | None = None,
) -> tuple[Purchase, str]:
    """Take the stock and begin a session; the purchase, and the token of its page.

    ``shop`` is one that people see. ParameterInvalid names the line; UnexpectedState for what is
    sold out meanwhile, and for a shop where too many purchases wait; RateLimited for who begins
    again and again and pays nothing.
    """
    known = store.lock_products(connection, shop.id, [each for each, _ in basket.wanted])
    cart = rules.read_cart(known, basket.wanted)
    _check_visitor(connection, shop, basket.visitor, most=rules.unpaid_max(cart), now=now)
    held, without_account = store.count_open(connection, shop.id)
    is_full = basket.buyer is None and without_account >= rules.ANONYMOUS_MAX
    if is_full or held >= rules.OPEN_PURCHASES_MAX:
        raise UnexpectedState("Too many people are buying here. Try again in a few minutes.")
    lines = rules.lines_of(cart)
    for product, quantity in cart:
        taken = store.take_stock(connection, product.id, quantity)
        assert taken, "locked, and looked at"
    session, intent = checkout_session.create(
        connection,
        catalogue,
        vault,
        _session(shop, basket, lines, identifier, now=now),
        identifier=session_id,
        intent_id=intent_id,
        account_id=shop.account_id,
        livemode=shop.livemode,
        now=now,
        request_id=request_id,
    )
    purchase = Purchase(
        id=identifier,
        account_id=shop.account_id,
        livemode=shop.livemode,
        shop=shop.id,
        buyer=basket.buyer,
        checkout_session=session.id,
        payment_intent=intent.id,
        lines=rules.documents_of(cart),
        amount=intent.amount,
        currency=intent.currency,
        decimals=intent.decimals,
        status=PurchaseStatus.reserved.value,
        is_short=False,
        metadata=basket.metadata or {},
        created=now,
        visitor=basket.visitor,
    )
    store.insert_purchase(connection, purchase)
    tell(connection, purchase, event.PURCHASE_CREATED, now=now)
    return purchase, checkout_session.token_of(vault, session.id)


def _session(
    shop: Shop, basket: Basket, lines: list[Line], identifier: str, *, now: datetime
) -> SessionRequest:
    return SessionRequest(
        payment=PaymentRequest(
            amount=total_of(lines),
            currency=shop.currency,
            description=shop.name,
            metadata={"purchase": identifier},
            expires_at=now + rules.PURCHASE_LIFE,
        ),
        lines=lines,
        client_reference_id=identifier,
        locale=basket.locale,
        metadata={"purchase": identifier},
    )


def _check_visitor(
    connection: Connection, shop: Shop, visitor: str | None, *, most: int, now: datetime
) -> None:
    if visitor is None:
        return
    since = now - rules.UNPAID_WITHIN
    if store.count_unpaid(connection, shop.id, visitor, since=since) >= most:
        raise RateLimited(
            "Too many purchases were begun here and not paid. Pay one of them, or come back later.",
            retry_after_seconds=int(rules.PURCHASE_LIFE.total_seconds()),
        )
