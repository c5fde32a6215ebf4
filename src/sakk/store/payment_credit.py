"""What pays payment intents without a chain: rows, locked by their intent's row."""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Index, Table, Text, func, select, update

from sakk.core.payment_credit import CreditKind, CreditStatus, PaymentCredit
from sakk.store.database import among, fetch_all, fetch_one, insert_records
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


def find(connection: Connection, identifier: str) -> PaymentCredit | None:
    """The part that a movement or transfer pays."""
    statement = select(payment_credits).where(_c.id == identifier)
    return fetch_one(connection, statement, PaymentCredit)


def gone_back(connection: Connection, intent: str) -> dict[str, int]:
    """What went back to cards while a payment was open: how much of each part."""
    m = gift_card_movements.c
    statement = (
        select(m.other, func.sum(-_c.value).label("value"))
        .join(gift_card_movements, m.id == _c.id)
        .where(
            _c.payment_intent == intent,
            _c.value < 0,
            _c.status != CreditStatus.returned.value,
        )
        .group_by(m.other)
    )
    return {row.other: int(row.value) for row in connection.execute(statement)}


def of_intent(connection: Connection, intent: str) -> list[PaymentCredit]:
    """What pays a payment, or was given back, oldest first."""
    statement = select(payment_credits).where(_c.payment_intent == intent).order_by(_c.id)
    return fetch_all(connection, statement, PaymentCredit)


def take(connection: Connection, intents: Sequence[str]) -> list[str]:
    """What gift cards hold for these payments is moved now; the movements' ids.

    Not where a transfer is on its way: it may not be covered, and then the rest has not come.
    """
    if not intents:
        return []
    statement = select(_c.payment_intent).where(
        among(_c.payment_intent, intents),
        _c.kind == CreditKind.transfer.value,
        _c.status == CreditStatus.requested.value,
    )
    waiting = set(connection.execute(statement).scalars())
    covered = [each for each in intents if each not in waiting]
    return _turn(connection, _c.payment_intent, covered, CreditStatus.requested, "requested")[0]


def release(connection: Connection, intents: Sequence[str]) -> dict[str, int]:
    """Give back what gift cards hold for these payments; how much it was of each."""
    return _turn(connection, _c.payment_intent, intents, CreditStatus.returned, "released")[1]


def release_these(connection: Connection, identifiers: Sequence[str]) -> dict[str, int]:
    """Give these reservations back, where they are some still; how much it was of each payment."""
    return _turn(connection, _c.id, identifiers, CreditStatus.returned, "released")[1]


def held_of(connection: Connection, card: str) -> dict[str, str]:
    """What payments reserve of a gift card: the payment of each movement."""
    m = gift_card_movements.c
    statement = (
        select(_c.id, _c.payment_intent)
        .join(gift_card_movements, m.id == _c.id)
        .where(m.card == card, m.status == CreditStatus.held.value)
    )
    return {row.id: row.payment_intent for row in connection.execute(statement)}


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
