"""What happened to a payment intent: its pay-ins, refunds, deliveries and ledger entries, by index.

Each question is bounded: a payer who sends a thousand transfers to one address slows nobody down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from sakk.core import ids
from sakk.core.payin import PayIn
from sakk.core.payment import PaymentIntent
from sakk.core.refund import Refund
from sakk.core.webhook import DeliveryStatus
from sakk.store.address import addresses
from sakk.store.database import among, fetch_all
from sakk.store.event import events
from sakk.store.ledger import NO_USER_DATA, ledger_account_names, ledger_transfers
from sakk.store.payin import payins
from sakk.store.payment import payment_intents
from sakk.store.refund import refunds
from sakk.store.sweep import sweeps
from sakk.store.webhook import webhook_deliveries, webhook_endpoints

ROWS_MAX: Final = 100
SHOWN_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Told:
    """An event on its way to one endpoint, or (``delivery`` None) an event that nobody wanted."""

    event: str
    type: str
    created: datetime
    delivery: str | None
    endpoint: str | None
    url: str | None
    status: str | None
    attempt_count: int | None
    response_status: int | None
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class Booked:
    """One transfer of the ledger: the chart's names of both sides, and the amount in a unit."""

    timestamp_ns: int
    code: int
    debit: str | None
    credit: str | None
    unit: str | None
    amount: int
    status: str


def list_payins(connection: Connection, payment_intent: str) -> list[PayIn]:
    """What came for a payment intent, oldest first."""
    statement = (
        select(payins)
        .where(payins.c.payment_intent == payment_intent)
        .order_by(payins.c.id)
        .limit(ROWS_MAX)
    )
    return fetch_all(connection, statement, PayIn)


def list_of_customer(connection: Connection, customer: str) -> list[PaymentIntent]:
    """A customer's newest payments."""
    statement = (
        select(payment_intents)
        .where(payment_intents.c.customer == customer)
        .order_by(payment_intents.c.id.desc())
        .limit(SHOWN_MAX)
    )
    return fetch_all(connection, statement, PaymentIntent)


def list_payins_of_customer(connection: Connection, customer: str) -> list[PayIn]:
    """What came to a customer's own addresses, newest first."""
    own = select(addresses.c.address).where(addresses.c.customer == customer)
    statement = (
        select(payins)
        .where(payins.c.address.in_(own), payins.c.customer == customer)
        .order_by(payins.c.id.desc())
        .limit(SHOWN_MAX)
    )
    return fetch_all(connection, statement, PayIn)


def list_refunds(
    connection: Connection, *, payment_intent: str | None = None, payin: str | None = None
) -> list[Refund]:
    """What was given back of a payment intent or of a pay-in, newest first."""
    what = (
        refunds.c.payment_intent == payment_intent
        if payment_intent is not None
        else refunds.c.payin == payin
    )
    statement = select(refunds).where(what).order_by(refunds.c.id.desc()).limit(ROWS_MAX)
    return fetch_all(connection, statement, Refund)


def list_told(connection: Connection, objects: Sequence[str]) -> list[Told]:
    """The merchant's events of some objects with their deliveries, oldest first."""
    some = (
        select(events.c.id, events.c.type, events.c.created)
        .where(among(events.c.object_id, objects), events.c.audience == "merchant")
        .order_by(events.c.id)
        .limit(ROWS_MAX)
        .subquery()
    )
    statement = (
        select(
            some.c.id.label("event"),
            some.c.type,
            some.c.created,
            webhook_deliveries.c.id.label("delivery"),
            webhook_deliveries.c.endpoint_id.label("endpoint"),
            webhook_endpoints.c.url,
            webhook_deliveries.c.status,
            webhook_deliveries.c.attempt_count,
            webhook_deliveries.c.response_status,
            webhook_deliveries.c.next_attempt_at,
        )
        .outerjoin(webhook_deliveries, webhook_deliveries.c.event_id == some.c.id)
        .outerjoin(webhook_endpoints, webhook_endpoints.c.id == webhook_deliveries.c.endpoint_id)
        .order_by(some.c.id)
        .limit(ROWS_MAX)
    )
    return fetch_all(connection, statement, Told)


def delivered_at(connection: Connection, deliveries: Sequence[str]) -> datetime | None:
    """When the last of some deliveries that succeeded was taken."""
    found: datetime | None = connection.execute(
        text(
            "SELECT max(a.started_at) FROM webhook_attempts a JOIN webhook_deliveries d"
            " ON d.id = a.delivery_id AND d.attempt_count = a.attempt"
            " WHERE d.id = ANY(:ids) AND d.status = :status"
        ),
        {"ids": list(deliveries), "status": DeliveryStatus.succeeded.value},
    ).scalar()
    return found


def swept_at(connection: Connection, payin: PayIn) -> datetime | None:
    """When the coins of a pay-in were collected: by the first sweep of its address after it."""
    found: datetime | None = connection.execute(
        select(func.min(sweeps.c.posted_at)).where(
            sweeps.c.address == payin.address,
            sweeps.c.asset == payin.asset,
            sweeps.c.posted_at.is_not(None),
            sweeps.c.created >= payin.created,
        )
    ).scalar()
    return found


def list_booked(connection: Connection, rows: Sequence[str]) -> list[Booked]:
    """The ledger's transfers of some rows (pay-ins, payouts, …), oldest first."""
    debit = ledger_account_names.alias("debit")
    credit = ledger_account_names.alias("credit")
    wanted = [UUID(int=ids.decode(each)[1]) for each in rows]
    found = connection.execute(
        select(
            ledger_transfers.c.timestamp_ns,
            ledger_transfers.c.code,
            debit.c.name.label("debit"),
            credit.c.name.label("credit"),
            debit.c.unit,
            ledger_transfers.c.amount,
            ledger_transfers.c.status,
        )
        .outerjoin(debit, debit.c.id == ledger_transfers.c.debit_account_id)
        .outerjoin(credit, credit.c.id == ledger_transfers.c.credit_account_id)
        .where(
            ledger_transfers.c.user_data.in_(wanted),
            ledger_transfers.c.user_data != text(NO_USER_DATA),
        )
        .order_by(ledger_transfers.c.timestamp_ns)
        .limit(ROWS_MAX)
    )
    return [
        Booked(
            row.timestamp_ns, row.code, row.debit, row.credit, row.unit, int(row.amount), row.status
        )
        for row in found
    ]
