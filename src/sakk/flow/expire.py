"""Expire: end payment intents whose time is over."""

from dataclasses import replace
from datetime import timedelta

from sakk.core import event
from sakk.core.payment import PaymentStatus
from sakk.flow.checkout_news import ended_sessions
from sakk.flow.context import Parts
from sakk.flow.payment import given_back, payment_event, write_status
from sakk.flow.stage import Stage
from sakk.store import event as events
from sakk.store import network
from sakk.store import payment as payments
from sakk.store.database import fetch

# How long an expiry waits for a watcher that is behind: a payment in a block that nobody has read
# yet may have been in time.
EXPIRY_GRACE = timedelta(minutes=10)
EXPIRE_BATCH_MAX = 500


def expire_stage(parts: Parts) -> Stage:
    """Expire intents whose time is over, once the watchers have read the chains past it."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            due = fetch(connection, payments.expired, now=now, limit=EXPIRE_BATCH_MAX)
            if not due:
                return 0
            followed = network.followed(
                connection, {name for intent in due for name in intent.networks}
            )
            expired = [
                replace(intent, status=PaymentStatus.expired.value)
                for intent in due
                if now >= intent.expires_at + EXPIRY_GRACE
                or all(
                    name in followed and followed[name].is_past(intent.expires_at)
                    for name in intent.networks
                )
            ]
            expired = given_back(connection, expired)
            write_status(connection, expired)
            told = [payment_event(each, event.PAYMENT_INTENT_EXPIRED, None) for each in expired]
            events.append(connection, told + ended_sessions(connection, expired), now=now)
            return len(expired)

    return Stage("payment.expire", run, due=(payments.expired,))
