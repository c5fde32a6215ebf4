"""Gift cards, what was moved onto them and off them, and who tried codes that are none."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    case,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.gift_card import (
    WRONG_MAX,
    WRONG_WINDOW_SECONDS,
    GiftCard,
    GiftCardMovement,
    MovementKind,
)
from sakk.store.database import among, due, fetch_all, fetch_one, row_of
from sakk.store.lease import before
from sakk.store.schema import Document, Timestamp, Units, metadata

gift_cards = Table(
    "gift_cards",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("amount", Units, nullable=False),
    Column("balance", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("redeemable", Text, nullable=False),
    Column("country", Text),
    Column("expires_at", Timestamp),
    Column("code_hash", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("replaces", Text),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("batch", Text),
    Index("ix_gift_cards_batch", "batch", "id", postgresql_where=text("batch is not null")),
    Index("ix_gift_cards_account", "account_id", "livemode", "id"),
    Index("uq_gift_cards_code", "code_hash", "livemode", unique=True),
)

gift_card_movements = Table(
    "gift_card_movements",
    metadata,
    Column("id", Text, primary_key=True),
    Column("card", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("other", Text),
    Column("status", Text, nullable=False),
    Column("failure_code", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("destination", Text),
    Column("payment_intent", Text),
    Column("batch", Text),
    Column("initiator", Text),
    Column("initiator_person", Text),
    Column("fee", Units, nullable=False, server_default="0"),
    Column("fee_terms", Document),
    Column("fee_returned", Units, nullable=False, server_default="0"),
    Index("ix_gift_card_movements_account", "account_id", "livemode", "id"),
    Index(
        "ix_gift_card_movements_destination",
        "destination",
        "id",
        postgresql_where=text("destination is not null"),
    ),
    Index("ix_gift_card_movements_card", "card", "id"),
    Index(
        "ix_gift_card_movements_batch",
        "batch",
        "id",
        postgresql_where=text("batch is not null"),
    ),
    Index("ix_gift_card_movements_other", "other", postgresql_where=text("other is not null")),
    Index(
        "ix_gift_card_movements_requested",
        "created",
        postgresql_where=text("status = 'requested'"),
    ),
)

gift_card_tries = Table(
    "gift_card_tries",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("began", Timestamp, nullable=False),
    Column("wrong", Integer, nullable=False),
)

# A request moves its own; only what is older was left behind by a crash.
LEFT_TO_REQUEST = timedelta(seconds=5)
# What takes money off a card.
_OFF = [MovementKind.redeem.value, MovementKind.replacement.value, MovementKind.lapse.value]
_c, _m = gift_cards.c, gift_card_movements.c


class Outstanding(NamedTuple):
    """What an issuer's cards of one currency are still worth."""

    currency: str
    decimals: int
    cards: int
    outstanding: int
    expired: int


def insert(connection: Connection, card: GiftCard) -> None:
    """Record a card; one that another request has recorded under the same id is left."""
    connection.execute(upsert(gift_cards).values(row_of(card)).on_conflict_do_nothing())


def insert_movement(connection: Connection, movement: GiftCardMovement) -> None:
    statement = upsert(gift_card_movements).values(row_of(movement)).on_conflict_do_nothing()
    connection.execute(statement)


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> GiftCard | None:
    """A card of an issuer's; of any where ``account_id`` is None."""
    statement = select(gift_cards).where(_c.id == identifier, _c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(_c.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, GiftCard)


def find_code(
    connection: Connection, code_hash: str, *, livemode: bool, lock: bool = False
) -> GiftCard | None:
    statement = select(gift_cards).where(_c.code_hash == code_hash, _c.livemode == livemode)
    return fetch_one(connection, statement.with_for_update() if lock else statement, GiftCard)


def find_movement(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> GiftCardMovement | None:
    """A movement to or from an account's balance."""
    statement = select(gift_card_movements).where(_m.id == identifier, _m.livemode == livemode)
    if account_id is not None:
        statement = statement.where(_m.account_id == account_id)
    return fetch_one(connection, statement, GiftCardMovement)


def hint_of_movement(connection: Connection, identifier: str) -> str:
    """By which the holder knows the card that a movement is of."""
    statement = select(_c.hint).join(gift_card_movements, _m.card == _c.id)
    return str(connection.execute(statement.where(_m.id == identifier)).scalar_one())


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(gift_cards).where(_c.id == identifier).values(dict(values)))


def on_its_way(connection: Connection, card: str) -> int:
    """What was promised off a card and has not ended; ask under the card's lock."""
    statement = select(func.coalesce(func.sum(_m.amount), 0)).where(
        _m.card == card,
        _m.status.in_(("held", "requested")),
        _m.kind.in_(_OFF),
    )
    return int(connection.execute(statement).scalar_one())


def is_moving(connection: Connection, card: str) -> bool:
    """Is anything of a card on its way?"""
    under_way = _m.status.in_(("held", "requested"))
    statement = select(_m.id).where(_m.card == card, under_way).limit(1)
    return connection.execute(statement).first() is not None


def given_back(connection: Connection, redemption: str) -> int:
    """What of a redemption was refunded, or is being; ask under the card's lock."""
    statement = select(func.coalesce(func.sum(_m.amount), 0)).where(
        _m.other == redemption,
        _m.kind == MovementKind.refund.value,
        _m.status.in_(("requested", "posted")),
    )
    return int(connection.execute(statement).scalar_one())


def fee_returned(connection: Connection, redemption: str) -> int:
    """What of a redemption's fee its refunds gave back, or are giving; under the card's lock."""
    statement = select(func.coalesce(func.sum(_m.fee_returned), 0)).where(
        _m.other == redemption,
        _m.kind == MovementKind.refund.value,
        _m.status.in_(("requested", "posted")),
    )
    return int(connection.execute(statement).scalar_one())


def list_movements_by_ids(
    connection: Connection, identifiers: Sequence[str]
) -> list[GiftCardMovement]:
    """Movements by their ids."""
    statement = select(gift_card_movements).where(among(_m.id, identifiers)).order_by(_m.id)
    return fetch_all(connection, statement, GiftCardMovement)


def finish(connection: Connection, movement: GiftCardMovement) -> bool:
    """Record how a requested movement ended; False if another process did so before."""
    result = connection.execute(
        update(gift_card_movements)
        .where(_m.id == movement.id, _m.status == "requested")
        .values(status=movement.status, failure_code=movement.failure_code)
    )
    return result.rowcount == 1


# Movements that were committed and never heard of again.
left_behind = due(
    select(gift_card_movements).where(
        _m.status == "requested",
        # A batch's are its own stage's.
        _m.batch.is_(None),
        # What a payment's rest has set going is no request's to move.
        or_(_m.created < before(LEFT_TO_REQUEST), _m.payment_intent.is_not(None)),
    ),
    GiftCardMovement,
    _m.created,
)


def outstanding(
    connection: Connection, *, account_id: str | None, livemode: bool, now: datetime
) -> Sequence[Outstanding]:
    """What cards are still worth, by currency, those that have expired among them."""
    statement = (
        select(
            _c.currency,
            func.max(_c.decimals),
            func.count(),
            func.sum(_c.balance),
            func.coalesce(func.sum(_c.balance).filter(_c.expires_at <= now), 0),
        )
        .where(_c.livemode == livemode, _c.balance > 0)
        .group_by(_c.currency)
        .order_by(_c.currency)
    )
    if account_id is not None:
        statement = statement.where(_c.account_id == account_id)
    return [
        Outstanding(currency, int(decimals), int(cards), int(units), int(expired))
        for currency, decimals, cards, units, expired in connection.execute(statement)
    ]


def may_try(connection: Connection, account_id: str, *, now: datetime) -> bool:
    """Has an account not tried too many codes that are none?"""
    t = gift_card_tries.c
    statement = select(t.wrong).where(
        t.account_id == account_id, t.began > now - timedelta(seconds=WRONG_WINDOW_SECONDS)
    )
    wrong = connection.execute(statement).scalar_one_or_none()
    return wrong is None or wrong < WRONG_MAX


def count_wrong(connection: Connection, account_id: str, *, now: datetime) -> None:
    """An account tried a code that is none; after a while it begins anew."""
    t = gift_card_tries.c
    is_over = t.began <= now - timedelta(seconds=WRONG_WINDOW_SECONDS)
    statement = upsert(gift_card_tries).values(account_id=account_id, began=now, wrong=1)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[t.account_id],
            set_={
                "began": case((is_over, now), else_=t.began),
                "wrong": case((is_over, 1), else_=t.wrong + 1),
            },
        )
    )


def forget_tries(connection: Connection, *, now: datetime, limit: int) -> int:
    """Drop wrong codes that count no more; how many rows. Who tries again begins anew anyway."""
    t = gift_card_tries.c
    over = (
        select(t.account_id)
        .where(t.began <= now - timedelta(seconds=WRONG_WINDOW_SECONDS))
        .order_by(t.account_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(delete(gift_card_tries).where(t.account_id.in_(over))).rowcount


def movements_of(connection: Connection, card: str, *, limit: int) -> list[GiftCardMovement]:
    """What was moved onto a card and off it, newest first, whoever did it."""
    c = gift_card_movements.c
    statement = select(gift_card_movements).where(c.card == card).order_by(c.id.desc())
    return fetch_all(connection, statement.limit(limit), GiftCardMovement)
