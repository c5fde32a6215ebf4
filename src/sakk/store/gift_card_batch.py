"""Gift cards that were issued together: the batch's row, and its cards and movements in bulk."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    select,
    text,
    update,
)

from sakk.core.gift_card import GiftCard, GiftCardMovement, GiftCardStatus
from sakk.core.gift_card_batch import GiftCardBatch
from sakk.store.database import among, due, fetch_all, fetch_one, insert_records
from sakk.store.gift_card import LEFT_TO_REQUEST, gift_card_movements, gift_cards
from sakk.store.lease import before
from sakk.store.schema import Document, Timestamp, Units, metadata

gift_card_batches = Table(
    "gift_card_batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("cards", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("codes_taken_at", Timestamp),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_gift_card_batches_account", "account_id", "livemode", "id"),
    Index(
        "ix_gift_card_batches_requested",
        "created",
        postgresql_where=text("status = 'requested'"),
    ),
)
_b, _c, _m = gift_card_batches.c, gift_cards.c, gift_card_movements.c


def insert(
    connection: Connection,
    batch: GiftCardBatch,
    cards: Sequence[GiftCard],
    movements: Sequence[GiftCardMovement],
) -> None:
    """Write a batch with all that it is of."""
    insert_records(connection, gift_card_batches, [batch])
    insert_records(connection, gift_cards, cards)
    insert_records(connection, gift_card_movements, movements)


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> GiftCardBatch | None:
    """A batch of an issuer's; of any where ``account_id`` is None."""
    statement = select(gift_card_batches).where(_b.id == identifier, _b.livemode == livemode)
    if account_id is not None:
        statement = statement.where(_b.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, GiftCardBatch)


# A batch whose request did not live to see all of it issued.
left_behind = due(
    select(gift_card_batches).where(
        _b.status == "requested", _b.created < before(2 * LEFT_TO_REQUEST)
    ),
    GiftCardBatch,
    _b.created,
    limit=1,
)


def list_requested(connection: Connection, batch: str, *, limit: int) -> list[GiftCardMovement]:
    """Movements of a batch that have not ended."""
    statement = (
        select(gift_card_movements)
        .where(_m.batch == batch, _m.status == "requested")
        .order_by(_m.id)
        .limit(limit)
    )
    return fetch_all(connection, statement, GiftCardMovement)


def count_requested(connection: Connection, batch: str) -> int:
    """How many of a batch's cards are not paid for yet."""
    statement = select(func.count()).where(_m.batch == batch, _m.status == "requested")
    return int(connection.execute(statement).scalar_one())


def list_issued(connection: Connection, batch: str) -> list[GiftCard]:
    """The cards of a batch that were paid for, and none that took the place of one later."""
    statement = select(gift_cards).where(
        _c.batch == batch, _c.replaces.is_(None), _c.status != GiftCardStatus.rejected.value
    )
    return fetch_all(connection, statement.order_by(_c.id), GiftCard)


def finish(
    connection: Connection,
    movements: Sequence[str],
    *,
    status: str,
    card_status: str,
    failure_code: str | None,
) -> None:
    """Record how movements of a batch ended, of those that nobody has told of, and their cards."""
    ended = (
        connection.execute(
            update(gift_card_movements)
            .where(among(_m.id, movements), _m.status == "requested")
            .values(status=status, failure_code=failure_code)
            .returning(_m.card)
        )
        .scalars()
        .all()
    )
    balance = _c.amount if status == "posted" else _c.balance
    connection.execute(
        update(gift_cards).where(among(_c.id, ended)).values(status=card_status, balance=balance)
    )


def close(connection: Connection, batch: str) -> bool:
    """All of a batch has ended: False if another told so before."""
    rejected = select(func.count()).where(
        _c.batch == batch, _c.status == GiftCardStatus.rejected.value
    )
    result = connection.execute(
        update(gift_card_batches)
        .where(_b.id == batch, _b.status == "requested")
        .values(status="posted", rejected=rejected.scalar_subquery())
    )
    return result.rowcount == 1


def take_codes(connection: Connection, batch: str, *, now: datetime) -> None:
    """Remember when the codes were first handed out."""
    connection.execute(
        update(gift_card_batches)
        .where(_b.id == batch, _b.codes_taken_at.is_(None))
        .values(codes_taken_at=now)
    )
