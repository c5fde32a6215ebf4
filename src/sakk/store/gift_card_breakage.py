"""Breakage of gift cards: what was proposed, is in force and has ended; and which cards are due."""

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

from sakk.core.gift_card import GiftCard, GiftCardStatus
from sakk.core.gift_card_breakage import Breakage, BreakageState
from sakk.store.database import among, due, fetch_all, fetch_one, insert_records
from sakk.store.freeze import account_may_pay
from sakk.store.gift_card import gift_card_movements, gift_cards
from sakk.store.lease import NOW
from sakk.store.schema import Timestamp, metadata

gift_card_breakages = Table(
    "gift_card_breakages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("country", Text, nullable=False),
    Column("days", Integer, nullable=False),
    Column("note", Text),
    Column("state", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Timestamp),
    Index(
        "uq_gift_card_breakages_active",
        "livemode",
        "country",
        unique=True,
        postgresql_where=text("state = 'active'"),
    ),
)
_b, _c, _m = gift_card_breakages.c, gift_cards.c, gift_card_movements.c


def insert(connection: Connection, row: Breakage) -> None:
    insert_records(connection, gift_card_breakages, [row])


def find(
    connection: Connection, identifier: str, *, livemode: bool, lock: bool = False
) -> Breakage | None:
    statement = select(gift_card_breakages).where(_b.id == identifier, _b.livemode == livemode)
    return fetch_one(connection, statement.with_for_update() if lock else statement, Breakage)


def list_all(connection: Connection, *, livemode: bool) -> list[Breakage]:
    """All that stand or wait, and those that have ended, newest first."""
    statement = select(gift_card_breakages).where(_b.livemode == livemode)
    return fetch_all(connection, statement.order_by(_b.id.desc()).limit(200), Breakage)


def lock_country(connection: Connection, country: str) -> None:
    """Until this transaction ends nobody else changes what is done in a country."""
    key = func.hashtextextended(f"breakage:{country}", 0)
    connection.execute(select(func.pg_advisory_xact_lock(key)))


def end_active(connection: Connection, country: str, *, livemode: bool) -> bool:
    """End what is in force in a country; False where nothing is."""
    result = connection.execute(
        update(gift_card_breakages)
        .where(
            _b.country == country,
            _b.livemode == livemode,
            _b.state == BreakageState.active.value,
        )
        .values(state=BreakageState.ended.value)
    )
    return result.rowcount > 0


def decide(
    connection: Connection, identifier: str, state: BreakageState, *, by: str, now: datetime
) -> None:
    connection.execute(
        update(gift_card_breakages)
        .where(_b.id == identifier)
        .values(state=state.value, decided_by=by, decided_at=now)
    )


# Cards whose rest goes to their issuer by a policy in force, of issuers whom nothing stops.
lapsed = due(
    select(gift_cards)
    .join(
        gift_card_breakages,
        (_b.country == _c.country)
        & (_b.livemode == _c.livemode)
        & (_b.state == BreakageState.active.value),
    )
    .where(
        _c.balance > 0,
        among(_c.status, [GiftCardStatus.active.value, GiftCardStatus.inactive.value]),
        _c.expires_at + func.make_interval(0, 0, 0, _b.days) <= NOW,
        account_may_pay(_c.account_id),
        ~select(_m.id).where(_m.card == _c.id, among(_m.status, ["held", "requested"])).exists(),
    ),
    GiftCard,
    _c.id,
    lock=gift_cards,
)
