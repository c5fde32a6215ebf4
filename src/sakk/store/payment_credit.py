"""What pays payment intents without a chain: rows, locked by their intent's row."""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Index, Table, Text, select, update

from sakk.core.payment_credit import CreditStatus, PaymentCredit
from sakk.store.database import among, fetch_all, insert_records
from sakk.store.gift_card import gift_card_movements
from sakk.store.schema import Timestamp, Units, metadata

payment_credits = Table(
    "payment_credits",
    metadata,
    Column("id", Text, primary_key=True),
    Column("payment_intent", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Units, nullable=False),
    Column("status", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_payment_credits_intent", "payment_intent", "id"),
)
_c = payment_credits.c


def insert(connection: Connection, credit: PaymentCredit) -> None:
    insert_records(connection, payment_credits, [credit])


def find_intent(connection: Connection, identifier: str) -> str | None:
    """Which payment a movement or transfer pays."""
    statement = select(_c.payment_intent).where(_c.id == identifier)
    return connection.execute(statement).scalar_one_or_none()


def of_intent(connection: Connection, intent: str) -> list[PaymentCredit]:
    """What pays a payment, or was given back, oldest first."""
    statement = select(payment_credits).where(_c.payment_intent == intent).order_by(_c.id)
    return fetch_all(connection, statement, PaymentCredit)


def take(connection: Connection, intents: Sequence[str]) -> list[str]:
    """What gift cards hold for these payments is moved now; the movements' ids."""
    return _turn(connection, _c.payment_intent, intents, CreditStatus.requested, "requested")[0]


def release(connection: Connection, intents: Sequence[str]) -> dict[str, int]:
    """Give back what gift cards hold for these payments; how much it was of each."""
    return _turn(connection, _c.payment_intent, intents, CreditStatus.returned, "released")[1]


def release_one(connection: Connection, identifier: str) -> int:
    """Give one reservation back; zero where nothing is reserved under this id any more."""
    given = _turn(connection, _c.id, [identifier], CreditStatus.returned, "released")[1]
    return sum(given.values())


def finish(connection: Connection, identifier: str, status: CreditStatus) -> int:
    """Record how what was on its way ended: what it is worth, or zero if it was told before."""
    statement = (
        update(payment_credits)
        .where(_c.id == identifier, _c.status == CreditStatus.requested.value)
        .values(status=status.value)
        .returning(_c.value)
    )
    return int(connection.execute(statement).scalar_one_or_none() or 0)


def _turn(
    connection: Connection,
    column: Column[str],
    values: Sequence[str],
    status: CreditStatus,
    movement: str,
) -> tuple[list[str], dict[str, int]]:
    if not values:
        return [], {}
    statement = (
        update(payment_credits)
        .where(among(column, values), _c.status == CreditStatus.held.value)
        .values(status=status.value)
        .returning(_c.id, _c.payment_intent, _c.value)
    )
    rows = connection.execute(statement).all()
    if not rows:
        return [], {}
    moved = [row.id for row in rows]
    connection.execute(
        update(gift_card_movements)
        .where(among(gift_card_movements.c.id, moved))
        .values(status=movement)
    )
    worth: dict[str, int] = {}
    for row in rows:
        worth[row.payment_intent] = worth.get(row.payment_intent, 0) + int(row.value)
    return moved, worth
