"""What becomes of purchases when their payments end, in the transaction that ends them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import closed_loop_event as event
from sakk.core import shop as rules
from sakk.core.event import NewEvent
from sakk.core.payment import PaymentIntent, PaymentStatus
from sakk.core.shop import Purchase, PurchaseStatus
from sakk.store import event as events
from sakk.store import shop as store


def end_purchases(connection: Connection, intents: Mapping[str, PaymentIntent]) -> list[NewEvent]:
    """Purchases of locked payments that ended: paid, or given back with their stock; their events.

    One that is paid after its stock was given back takes it again, or says that it is short.
    """
    told = []
    ended = store.of_intents(connection, intents)
    store.lock_stock(connection, {line["product"] for each in ended for line in each.lines})
    for purchase in ended:
        is_paid = intents[purchase.payment_intent].status == PaymentStatus.succeeded
        match PurchaseStatus(purchase.status):
            case PurchaseStatus.reserved if is_paid:
                after = replace(purchase, status=PurchaseStatus.paid.value)
            case PurchaseStatus.reserved:
                for line in purchase.lines:
                    store.return_stock(connection, line["product"], line["quantity"])
                after = replace(purchase, status=PurchaseStatus.returned.value)
            case PurchaseStatus.returned if is_paid:
                taken = [
                    store.take_stock(connection, line["product"], line["quantity"])
                    for line in purchase.lines
                ]
                after = replace(purchase, status=PurchaseStatus.paid.value, is_short=not all(taken))
            case PurchaseStatus.returned | PurchaseStatus.paid:
                continue
        store.write_purchase(connection, after)
        name = event.PURCHASE_PAID if is_paid else event.PURCHASE_RETURNED
        told.append(_event(after, name))
    return told


def tell(connection: Connection, purchase: Purchase, name: str, *, now: datetime) -> None:
    """Tell a purchase's merchant."""
    events.append(connection, [_event(purchase, name)], now=now)


def _event(purchase: Purchase, name: str) -> NewEvent:
    return NewEvent(
        account_id=purchase.account_id,
        livemode=purchase.livemode,
        type=name,
        object_id=purchase.id,
        object=rules.public_purchase(purchase),
    )
