"""Book transfers: rows and queries."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    and_,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.transfer import BookTransfer, TransferStatus
from sakk.store.alias import aliases
from sakk.store.database import among, due, fetch, fetch_one, row_of
from sakk.store.freeze import account_may_pay
from sakk.store.lease import NOW, before
from sakk.store.schema import Document, Timestamp, Units, metadata

transfers = Table(
    "transfers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("destination", Text),
    Column("amount", Units, nullable=False),
    Column("currency", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure_code", Text),
    Column("description", Text),
    Column("metadata", Document, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("recipient", Text),
    Column("expires_at", Timestamp),
    Column("reason", Text),
    Column("initiator", Text),
    Column("initiator_person", Text),
    Column("fee", Units, nullable=False, server_default="0"),
    Column("fee_terms", Document),
    Index("ix_transfers_account", "account_id", "livemode", "id"),
    Index("ix_transfers_destination", "destination", "livemode", "id"),
    # Who paid whom, and who has asked how many that wait: both asked of every request.
    Index(
        "ix_transfers_between",
        "livemode",
        "account_id",
        "destination",
        postgresql_where=text("status = 'posted'"),
    ),
    Index(
        "ix_transfers_unclaimed",
        "account_id",
        "livemode",
        "status",
        "created",
        postgresql_where=text("destination is null"),
    ),
    Index("ix_transfers_reason", "reason", postgresql_where=text("reason is not null")),
    Index("ix_transfers_requested", "created", postgresql_where=text("status = 'requested'")),
    Index(
        "ix_transfers_waiting",
        "id",
        postgresql_where=text("status in ('pending', 'claiming', 'returning')"),
    ),
)


# A request moves its own transfer; only what is older was left behind by a crash.
LEFT_TO_REQUEST = timedelta(seconds=5)
_AT_A_STEP = (TransferStatus.claiming.value, TransferStatus.returning.value)


def insert(connection: Connection, transfer: BookTransfer) -> None:
    """Record a transfer; one that another request has recorded under the same id is left."""
    connection.execute(upsert(transfers).values(row_of(transfer)).on_conflict_do_nothing())


def find(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool, lock: bool = False
) -> BookTransfer | None:
    """A transfer that an account has sent."""
    statement = select(transfers).where(
        transfers.c.id == identifier,
        transfers.c.account_id == account_id,
        transfers.c.livemode == livemode,
    )
    return fetch_one(connection, statement.with_for_update() if lock else statement, BookTransfer)


def find_visible(
    connection: Connection, identifier: str, *, account_id: str, livemode: bool
) -> BookTransfer | None:
    """A transfer that an account has sent, or that brought it money."""
    c = transfers.c
    statement = select(transfers).where(
        c.id == identifier,
        c.livemode == livemode,
        or_(c.account_id == account_id, was_received_by(account_id)),
    )
    return fetch_one(connection, statement, BookTransfer)


def was_received_by(account_id: str) -> ColumnElement[bool]:
    """What came: a receiver does not see what was tried in vain."""
    return and_(
        transfers.c.destination == account_id,
        transfers.c.status == TransferStatus.posted.value,
    )


def count_pending(
    connection: Connection, *, account_id: str, livemode: bool, since: datetime
) -> int:
    """How many of an account's transfers wait for somebody, or came back and are as young."""
    c = transfers.c
    whose = (c.account_id == account_id, c.livemode == livemode, c.destination.is_(None))
    waiting = (TransferStatus.pending.value, TransferStatus.requested.value)
    came_back = (TransferStatus.returning.value, TransferStatus.returned.value)
    # Each of the two by the index; what came back in years is not read.
    statement = select(
        select(func.count()).where(*whose, c.status.in_(waiting)).scalar_subquery()
        + select(func.count())
        .where(*whose, c.status.in_(came_back), c.created > since)
        .scalar_subquery()
    )
    return int(connection.execute(statement).scalar_one())


# Transfers that were committed and never heard of again.
left_behind = due(
    select(transfers).where(
        transfers.c.status == "requested", transfers.c.created < before(LEFT_TO_REQUEST)
    ),
    BookTransfer,
    transfers.c.created,
)


@dataclass(frozen=True, slots=True)
class ToMove:
    """A transfer that waits no longer, and to which account it goes; None is back."""

    id: str
    account_id: str | None


# Those whose recipient has proved the e-mail address, or whose time is over; locked.
to_move = due(
    select(transfers.c.id, aliases.c.account_id)
    .select_from(
        transfers.outerjoin(
            aliases,
            and_(
                aliases.c.livemode == transfers.c.livemode,
                aliases.c.kind == "email",
                aliases.c.value == transfers.c.recipient,
                aliases.c.status == "active",
                account_may_pay(transfers.c.account_id),
            ),
        )
    )
    .where(
        transfers.c.status == TransferStatus.pending.value,
        or_(aliases.c.account_id.is_not(None), transfers.c.expires_at <= NOW),
    ),
    ToMove,
    transfers.c.id,
    lock=transfers,
)


def claim_due(connection: Connection, *, now: datetime, limit: int) -> int:
    """Move what waits on: to who has proved the e-mail address, or back when its time is over."""
    rows = fetch(connection, to_move, now=now, limit=limit)
    for row in rows:
        values = (
            {"status": TransferStatus.returning.value, "failure_code": "unclaimed"}
            if row.account_id is None
            else {"status": TransferStatus.claiming.value, "destination": row.account_id}
        )
        connection.execute(update(transfers).where(transfers.c.id == row.id).values(values))
    return len(rows)


# Those that the ledger is to be asked about.
at_a_step = due(
    select(transfers).where(among(transfers.c.status, _AT_A_STEP)),
    BookTransfer,
    transfers.c.id,
)


def call_off(connection: Connection, transfer: BookTransfer) -> None:
    """What is pending, and locked, goes back."""
    connection.execute(
        update(transfers)
        .where(transfers.c.id == transfer.id, transfers.c.status == TransferStatus.pending.value)
        .values(status=TransferStatus.returning.value, failure_code="canceled")
    )


def finish(connection: Connection, transfer: BookTransfer, *, before: str) -> bool:
    """Record how a step of a transfer ended; False if another process did so before."""
    result = connection.execute(
        update(transfers)
        .where(transfers.c.id == transfer.id, transfers.c.status == before)
        .values(status=transfer.status, failure_code=transfer.failure_code)
    )
    return result.rowcount == 1


def was_paid_before(connection: Connection, payer: str, payee: str, *, livemode: bool) -> bool:
    """Did one of two accounts ever pay the other? Then they know each other's names."""
    return any(
        _has_paid(connection, one, other, livemode=livemode)
        for one, other in ((payer, payee), (payee, payer))
    )


def _has_paid(connection: Connection, payer: str, payee: str, *, livemode: bool) -> bool:
    """Is the pair in the index? Asked for as the next one in its order, which nothing else gives:
    of two busy accounts that never met, the planner expects many transfers and would look for one.
    """
    c = transfers.c
    statement = (
        select(c.account_id, c.destination)
        .where(
            c.livemode == livemode,
            c.status == literal_column("'posted'"),
            tuple_(c.account_id, c.destination) >= tuple_(literal(payer), literal(payee)),
        )
        .order_by(c.account_id, c.destination)
        .limit(1)
    )
    return connection.execute(statement).first() == (payer, payee)
