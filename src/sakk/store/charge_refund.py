"""Refunds of charges: rows and queries. A charge itself is no row: it stands in the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.charge_refund import OVER, ChargeRefund, ChargeRefundStatus
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.store.database import among, due, fetch, fetch_all, fetch_one, row_of, run
from sakk.store.lease import before
from sakk.store.payout import payouts
from sakk.store.schema import Timestamp, Units, metadata

charge_refunds = Table(
    "charge_refunds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("to_payer", Boolean, nullable=False),
    Column("dispute", Text),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("payout", Text),
    Index("ix_charge_refunds_charge", "session_id", "nonce"),
    Index("ix_charge_refunds_channel", "channel_id", "id"),
    Index("ix_charge_refunds_requested", "created", postgresql_where=text("status = 'requested'")),
    Index("ix_charge_refunds_payout", "payout", postgresql_where=text("payout IS NOT NULL")),
    Index("ix_charge_refunds_sent", "payout", postgresql_where=text("status = 'sent'")),
)

# Those that are on their way, in the words of their index, which serves by them alone.
is_sent: ColumnElement[bool] = literal_column("charge_refunds.status = 'sent'", Boolean)


class GivenBack(NamedTuple):
    """Refunds into a channel in escrow: how many, and what of them is not in the ledger yet."""

    number: int
    not_booked: int


NOTHING: Final = GivenBack(0, 0)
_NOT_MADE: Final = (
    PayoutStatus.rejected.value,
    PayoutStatus.failed.value,
    PayoutStatus.canceled.value,
)

# A request moves its own refund; only what is older was left behind by a crash.
LEFT_TO_REQUEST = timedelta(seconds=5)


def insert(connection: Connection, refund: ChargeRefund) -> None:
    """Record a refund; one that another request has recorded under the same id is left."""
    connection.execute(upsert(charge_refunds).values(row_of(refund)).on_conflict_do_nothing())


def find(connection: Connection, refund_id: str) -> ChargeRefund | None:
    table = charge_refunds
    return fetch_one(connection, select(table).where(table.c.id == refund_id), ChargeRefund)


def refunded(
    connection: Connection, session_id: str, nonce: int, *, besides: str | None = None
) -> int:
    """What of a charge was given back, is about to be, or is held for a dispute but this one."""
    rows = run(
        connection,
        _REFUNDED,
        {"session": session_id, "nonce": nonce, "besides": besides or ""},
    )
    return sum(int(row.units) for row in rows)


_REFUNDED = (
    "SELECT coalesce(sum(amount), 0) AS units FROM charge_refunds"
    " WHERE session_id = %(session)s AND nonce = %(nonce)s AND status NOT IN ('rejected', 'failed')"
    " UNION ALL SELECT coalesce(sum(amount), 0) FROM channel_disputes"
    " WHERE session_id = %(session)s AND nonce = %(nonce)s AND status IN ('requested', 'open')"
    " AND id <> %(besides)s"
)


def given_back(connection: Connection, channels: Sequence[str]) -> dict[str, GivenBack]:
    """What is given back of charges on these channels and into them, by channel."""
    table = charge_refunds
    is_open = table.c.status == ChargeRefundStatus.requested
    rows = connection.execute(
        select(
            table.c.channel_id,
            func.count().label("number"),
            func.coalesce(func.sum(table.c.amount).filter(is_open), 0).label("units"),
        )
        .where(
            among(table.c.channel_id, channels),
            table.c.to_payer.is_(False),
            table.c.status.not_in(OVER),
        )
        .group_by(table.c.channel_id)
    )
    return {row.channel_id: GivenBack(row.number, int(row.units)) for row in rows}


def list_posted(connection: Connection, channel_id: str) -> list[ChargeRefund]:
    """What was given back of a channel's charges, the oldest first."""
    table = charge_refunds
    statement = (
        select(table)
        .where(table.c.channel_id == channel_id, table.c.status == ChargeRefundStatus.posted.value)
        .order_by(table.c.id)
    )
    return fetch_all(connection, statement, ChargeRefund)


def finish(
    connection: Connection,
    refund: ChargeRefund,
    status: ChargeRefundStatus,
    *,
    payout: str | None = None,
) -> bool:
    """Record what the ledger said of an attempt; False if another process did so before."""
    table = charge_refunds
    result = connection.execute(
        update(table)
        .where(
            table.c.id == refund.id,
            table.c.status == ChargeRefundStatus.requested,
            table.c.attempt == refund.attempt,
        )
        .values(status=status.value, payout=payout)
    )
    return result.rowcount == 1


def try_again(
    connection: Connection, refund_id: str, *, to_payer: bool | None = None
) -> ChargeRefund:
    """A refund as it stands; one that moved nothing is asked for by another attempt.

    ``to_payer``: which way that goes, where it is not the one of before.
    """
    table = charge_refunds
    connection.execute(
        update(table)
        .where(table.c.id == refund_id, table.c.status.in_(OVER))
        .values(
            status=ChargeRefundStatus.requested.value,
            attempt=table.c.attempt + 1,
            to_payer=table.c.to_payer if to_payer is None else to_payer,
            payout=None,
        )
    )
    found = find(connection, refund_id)
    assert found is not None
    return found


@dataclass(frozen=True, slots=True)
class Arrived:
    """A refund and the payout that carries it."""

    id: str
    payout: str


# Refunds on their way whose payout came to its end; both are locked. One that did not happen is at
# its end when its money is back on the balance.
arrived = due(
    select(charge_refunds.c.id, charge_refunds.c.payout)
    .join(payouts, payouts.c.id == charge_refunds.c.payout)
    .where(
        is_sent,
        or_(
            payouts.c.status == PayoutStatus.posted.value,
            among(payouts.c.status, _NOT_MADE) & (payouts.c.hold != HoldStatus.held.value),
        ),
    ),
    Arrived,
    charge_refunds.c.payout,
    lock=[charge_refunds, payouts],
)


def list_arrived(connection: Connection, *, limit: int) -> list[tuple[ChargeRefund, Payout]]:
    """Refunds on their way whose payout came to its end, with the payout; both are locked."""
    table = charge_refunds
    found = fetch(connection, arrived, limit=limit)
    if not found:
        return []
    rows = fetch_all(
        connection,
        select(table).where(among(table.c.id, [each.id for each in found])),
        ChargeRefund,
    )
    made = fetch_all(
        connection,
        select(payouts).where(among(payouts.c.id, [each.payout for each in found])),
        Payout,
    )
    by_id = {each.id: each for each in made}
    return [(row, by_id[row.payout or ""]) for row in rows]


def is_carried_by(connection: Connection, payout: str) -> bool:
    """Does a payout give back a charge?"""
    statement = select(charge_refunds.c.id).where(charge_refunds.c.payout == payout)
    return connection.execute(statement.limit(1)).first() is not None


def reopen(connection: Connection, payout: str) -> None:
    """The chain decided on a payout once more: the refund that it carries is looked at again."""
    table = charge_refunds
    ended = [ChargeRefundStatus.posted.value, ChargeRefundStatus.failed.value]
    connection.execute(
        update(table)
        .where(table.c.payout == payout, table.c.status.in_(ended))
        .values(status=ChargeRefundStatus.sent.value)
    )


def arrive(connection: Connection, refund: ChargeRefund) -> None:
    """Record what became of a refund that was on its way; its row is locked."""
    table = charge_refunds
    connection.execute(update(table).where(table.c.id == refund.id).values(status=refund.status))


def turn_to_payer(connection: Connection, refund: ChargeRefund) -> None:
    """The channel was closed meanwhile: another attempt goes past it."""
    table = charge_refunds
    connection.execute(
        update(table)
        .where(table.c.id == refund.id, table.c.attempt == refund.attempt)
        .values(to_payer=True, attempt=refund.attempt + 1)
    )


# Refunds that were committed and never heard of again.
left_behind = due(
    select(charge_refunds).where(
        charge_refunds.c.status == ChargeRefundStatus.requested.value,
        charge_refunds.c.created < before(LEFT_TO_REQUEST),
    ),
    ChargeRefund,
    charge_refunds.c.created,
)
