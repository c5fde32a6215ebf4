"""What checkout sessions tell when their payment ends, in the transaction that ends it."""

from collections.abc import Sequence

from sqlalchemy import Connection

from sakk.core import checkout_event
from sakk.core import checkout_session as rules
from sakk.core.checkout_session import CheckoutSession
from sakk.core.event import NewEvent
from sakk.core.payment import PaymentIntent
from sakk.flow.purchase_news import end_purchases
from sakk.flow.stage import wake
from sakk.store import checkout_session as store
from sakk.store import payment_link as links

# Who waits for the end of sessions: pages that are open.
ENDED = "checkout.ended"


def ended_sessions(connection: Connection, intents: Sequence[PaymentIntent]) -> list[NewEvent]:
    """The events of the sessions of intents that were just paid, called off or out of time."""
    if not intents:
        return []
    by_id = {intent.id: intent for intent in intents}
    sessions = store.of_intents(connection, by_id)
    if sessions:
        wake(connection, ENDED)
    completed = [
        each for each in sessions if rules.status_of(by_id[each.payment_intent]) == "complete"
    ]
    links.count_uses(connection, [each.payment_link for each in completed if each.payment_link])
    told = [_told(each, by_id[each.payment_intent]) for each in sessions]
    return told + (end_purchases(connection, by_id) if sessions else [])


def _told(session: CheckoutSession, intent: PaymentIntent) -> NewEvent:
    is_paid = rules.status_of(intent) == "complete"
    return NewEvent(
        account_id=session.account_id,
        livemode=session.livemode,
        type=checkout_event.CHECKOUT_SESSION_COMPLETED
        if is_paid
        else checkout_event.CHECKOUT_SESSION_EXPIRED,
        object_id=session.id,
        object=rules.public(session, intent, url=None),
        previous_attributes=None,
        request_id=None,
    )
