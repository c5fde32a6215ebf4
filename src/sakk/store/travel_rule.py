"""Travel Rule records: who stands behind transfers, sealed, and messages to other institutions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zlib import crc32

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    LargeBinary,
    Table,
    Text,
    exists,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.case import CaseStatus
from sakk.core.payin import PayInStatus
from sakk.core.payout import Payout, PayoutStatus
from sakk.core.travel_rule import (
    UNTOLD,
    Exchange,
    TransferDirection,
    TravelRule,
    TravelRuleStatus,
)
from sakk.store.case import cases
from sakk.store.database import among, due, fetch_all, fetch_one, insert_records, row_of
from sakk.store.lease import NOW, lease_columns
from sakk.store.payin import payins
from sakk.store.payout import payouts
from sakk.store.schema import Document, Timestamp, Units, metadata

LINKED_LOCKS: Final = 64

travel_rules = Table(
    "travel_rules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("direction", Text, nullable=False),
    Column("subject", Text),
    Column("status", Text, nullable=False),
    Column("regime", Text, nullable=False),
    Column("network", Text),
    Column("address", Text, nullable=False),
    Column("currency", Text),
    Column("amount", Units, nullable=False),
    Column("counterparty", Text, nullable=False),
    Column("vasp", Text),
    Column("requirement", Document, nullable=False),
    Column("missing", Document, nullable=False),
    Column("ownership", Text),
    Column("exchange", Text, nullable=False),
    Column("request_identifier", Text, nullable=False),
    Column("token_hash", Text, unique=True),
    Column("peer_callback", Text),
    Column("tx_hash", Text),
    Column("payload", LargeBinary),
    Column("deadline_at", Timestamp),
    Column("completed_at", Timestamp),
    Column("ended_at", Timestamp),
    Column("decided_by", Text),
    Column("reason", Text),
    Column("legal_hold", Boolean, nullable=False, server_default=text("false")),
    Column("created", Timestamp, nullable=False),
    Index("ix_travel_rules_account", "account_id", "livemode", "id"),
    Index(
        "uq_travel_rules_subject",
        "subject",
        unique=True,
        postgresql_where=text("subject is not null"),
    ),
    # An inquiry that is sent again is the same one.
    Index(
        "uq_travel_rules_inquiry",
        "request_identifier",
        "address",
        unique=True,
        postgresql_where=text("direction = 'incoming'"),
    ),
    Index("ix_travel_rules_vasp", "vasp", "id", postgresql_where=text("vasp is not null")),
    Index("ix_travel_rules_address", "address", postgresql_where=text("subject is null")),
    Index(
        "ix_travel_rules_open", "status", "deadline_at", postgresql_where=text("ended_at is null")
    ),
    Index(
        "ix_travel_rules_kept",
        "created",
        postgresql_where=text("payload is not null and not legal_hold"),
    ),
)

# Messages that are to be sent; the row is written with what it tells of.
travel_messages = Table(
    "travel_messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("record", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("request_identifier", Text, nullable=False),
    Column("detail", Document, nullable=False),
    Column("status", Text, nullable=False),
    Column("answer", Text),
    Column("give_up_at", Timestamp, nullable=False),
    Column("sent_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("uq_travel_messages_kind", "record", "kind", unique=True),
    Index("ix_travel_messages_due", "id", postgresql_where=text("status = 'queued'")),
)

# Who an account is, as its transfers tell others.
travel_parties = Table(
    "travel_parties",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("livemode", Boolean, primary_key=True),
    Column("person", LargeBinary, nullable=False),
    Column("updated", Timestamp, nullable=False),
)

# Travel addresses that were handed out: by the hash of the secret in each.
travel_addresses = Table(
    "travel_addresses",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("created", Timestamp, nullable=False),
)

_COUNTED = [
    each.value
    for each in PayoutStatus
    if each not in (PayoutStatus.rejected, PayoutStatus.canceled, PayoutStatus.failed)
]
_OPEN = [TravelRuleStatus.required.value, TravelRuleStatus.pending.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class TravelMessage:
    """A message to another institution; not tried after ``give_up_at``.

    ``detail`` is what it says, without anybody's data: an inquiry's comes from its sealed record.
    """

    id: str
    record: str
    livemode: bool
    kind: str
    url: str
    request_identifier: str
    detail: dict[str, Any]
    status: str
    answer: str | None = None
    give_up_at: datetime
    sent_at: datetime | None = None
    created: datetime
    attempt: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class TravelAddress:
    """Where an inquiry about money to one of our addresses is sent."""

    token_hash: str
    account_id: str
    livemode: bool
    network: str
    address: str
    expires_at: datetime
    created: datetime


def insert_many(connection: Connection, rows: Sequence[TravelRule]) -> None:
    """Record what was found of transfers that are recorded in this transaction."""
    insert_records(connection, travel_rules, rows)


def insert_inquiry(connection: Connection, row: TravelRule) -> bool:
    """Record an inquiry; False when it came before."""
    statement = upsert(travel_rules).values(row_of(row)).on_conflict_do_nothing()
    found = connection.execute(statement.returning(travel_rules.c.id)).scalar_one_or_none()
    return found is not None


def find(
    connection: Connection,
    *conditions: ColumnElement[bool],
    account_id: str | None = None,
    lock: bool = False,
) -> TravelRule | None:
    """One record; of an account, or of any (None)."""
    statement = select(travel_rules).where(*conditions)
    if account_id is not None:
        statement = statement.where(travel_rules.c.account_id == account_id)
    return fetch_one(connection, statement.with_for_update() if lock else statement, TravelRule)


def announced(connection: Connection, addresses: Collection[str]) -> list[TravelRule]:
    """What was agreed to and has not come to these addresses, oldest first, locked."""
    statement = (
        select(travel_rules)
        .where(
            among(travel_rules.c.address, addresses),
            travel_rules.c.subject.is_(None),
            travel_rules.c.direction == TransferDirection.incoming.value,
            travel_rules.c.status == TravelRuleStatus.complete.value,
            travel_rules.c.ended_at.is_(None),
        )
        .order_by(travel_rules.c.id)
        .with_for_update()
    )
    return fetch_all(connection, statement, TravelRule)


# Pay-ins that waited for their merchant to say who sent them, and of which it is said. One that has
# a case by now is for the people who work on it.
told_payins = due(
    select(payins.c.id)
    .join(travel_rules, travel_rules.c.subject == payins.c.id)
    .where(
        payins.c.status == PayInStatus.held.value,
        payins.c.reason == UNTOLD,
        payins.c.quarantined,
        ~payins.c.orphaned,
        travel_rules.c.status == TravelRuleStatus.complete.value,
        travel_rules.c.exchange == Exchange.none.value,
        travel_rules.c.decided_by.is_(None),
        travel_rules.c.ended_at.is_(None),
        ~exists().where(cases.c.subject == payins.c.id, cases.c.status != CaseStatus.closed.value),
    ),
    str,
    payins.c.id,
)


def count_announced(connection: Connection, address: str) -> int:
    """How many inquiries about an address are open: what they announce has not come."""
    return int(
        connection.execute(
            select(func.count())
            .select_from(travel_rules)
            .where(
                travel_rules.c.address == address,
                travel_rules.c.subject.is_(None),
                travel_rules.c.direction == TransferDirection.incoming.value,
                travel_rules.c.ended_at.is_(None),
            )
        ).scalar_one()
    )


def find_subject(connection: Connection, subject: str, *, lock: bool = False) -> TravelRule | None:
    """The record of a payout or a pay-in."""
    return find(connection, travel_rules.c.subject == subject, lock=lock)


def drop_subject(connection: Connection, subject: str) -> None:
    """A transfer begins anew with another destination: its record is of nothing any more."""
    connection.execute(
        update(travel_rules)
        .where(travel_rules.c.subject == subject)
        .values(subject=None, ended_at=func.now())
    )


def change(connection: Connection, identifier: str, values: Mapping[str, Any]) -> None:
    connection.execute(
        update(travel_rules).where(travel_rules.c.id == identifier).values(dict(values))
    )


def lock_linked(connection: Connection, account_id: str, destinations: Collection[str]) -> None:
    """Until the end of this transaction nobody else counts this account's payments to these.

    Few locks for any number of destinations: now and then two share one, and wait.
    """
    buckets = {crc32(each.encode()) % LINKED_LOCKS for each in destinations}
    for bucket in sorted(buckets):
        key = func.hashtextextended(f"travel:{account_id}:{bucket}", 0)
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def linked_units(
    connection: Connection,
    account_id: str,
    destinations: Collection[str],
    *,
    livemode: bool,
    since: datetime,
    but: Collection[str] = (),
) -> dict[tuple[str, str], int]:
    """What went from an account to destinations since then, by destination and currency."""
    statement = (
        select(payouts.c.destination, payouts.c.currency, func.sum(payouts.c.amount))
        .where(
            payouts.c.account_id == account_id,
            payouts.c.livemode == livemode,
            among(payouts.c.destination, destinations),
            payouts.c.created >= since,
            payouts.c.status.in_(_COUNTED),
            ~among(payouts.c.id, but),
        )
        .group_by(payouts.c.destination, payouts.c.currency)
    )
    return {
        (destination, currency): int(units)
        for destination, currency, units in connection.execute(statement)
    }


# Payouts that wait and of which nobody has looked yet what they need, locked.
unjudged = due(
    select(payouts)
    .join(travel_rules, travel_rules.c.subject == payouts.c.id, isouter=True)
    .where(
        payouts.c.travel_rule == TravelRuleStatus.required.value,
        among(payouts.c.status, [PayoutStatus.requested.value, PayoutStatus.screened.value]),
        travel_rules.c.id.is_(None),
    ),
    Payout,
    payouts.c.id,
    lock=payouts,
)


def waiting(
    connection: Connection,
    *,
    account_id: str,
    livemode: bool,
    address: str | None,
    limit: int,
) -> list[str]:
    """Records of an account's payouts that wait for something to be told, by their ids."""
    statement = select(travel_rules.c.id).where(
        travel_rules.c.account_id == account_id,
        travel_rules.c.livemode == livemode,
        travel_rules.c.direction == TransferDirection.outgoing.value,
        travel_rules.c.status == TravelRuleStatus.required.value,
        travel_rules.c.ended_at.is_(None),
    )
    if address is not None:
        statement = statement.where(travel_rules.c.address == address)
    found = connection.execute(statement.order_by(travel_rules.c.id).limit(limit))
    return list(found.scalars())


@dataclass(frozen=True, slots=True)
class Overdue:
    """An open record whose time is over."""

    id: str
    livemode: bool


# Open records whose time is over, by id and mode.
overdue = due(
    select(travel_rules.c.id, travel_rules.c.livemode).where(
        among(travel_rules.c.status, _OPEN),
        travel_rules.c.ended_at.is_(None),
        travel_rules.c.deadline_at < NOW,
    ),
    Overdue,
    travel_rules.c.id,
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A record whose payout came to its end, and how: its status, and in which transaction."""

    id: str
    end: str
    tx_hash: str | None


# Records whose payout came to its end, locked.
ended = due(
    select(travel_rules.c.id, payouts.c.status.label("end"), payouts.c.tx_hash)
    .join(payouts, payouts.c.id == travel_rules.c.subject)
    .where(
        travel_rules.c.ended_at.is_(None),
        among(
            payouts.c.status,
            [
                PayoutStatus.posted.value,
                PayoutStatus.rejected.value,
                PayoutStatus.canceled.value,
                PayoutStatus.failed.value,
            ],
        ),
    ),
    Ended,
    travel_rules.c.id,
    lock=travel_rules,
)


def put_message(connection: Connection, message: TravelMessage) -> None:
    """Queue a message; a record sends one of each kind."""
    connection.execute(upsert(travel_messages).values(row_of(message)).on_conflict_do_nothing())


def list_messages(connection: Connection, record: str) -> list[TravelMessage]:
    """What was sent to the other institution of a record, or is to be, oldest first."""
    statement = select(travel_messages).where(travel_messages.c.record == record)
    return fetch_all(connection, statement.order_by(travel_messages.c.id), TravelMessage)


def put_party(
    connection: Connection, account_id: str, person: bytes, *, livemode: bool, now: datetime
) -> None:
    """Write who an account is."""
    values = {"person": person, "updated": now}
    connection.execute(
        upsert(travel_parties)
        .values(account_id=account_id, livemode=livemode, **values)
        .on_conflict_do_update(index_elements=["account_id", "livemode"], set_=values)
    )


def find_party(connection: Connection, account_id: str, *, livemode: bool) -> bytes | None:
    """Who an account is, sealed."""
    statement = select(travel_parties.c.person).where(
        travel_parties.c.account_id == account_id, travel_parties.c.livemode == livemode
    )
    found = connection.execute(statement).scalar_one_or_none()
    return None if found is None else bytes(found)


def put_address(connection: Connection, row: TravelAddress) -> None:
    """Record a travel address; asked for again, it is good for longer."""
    statement = upsert(travel_addresses).values(row_of(row))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["token_hash"], set_={"expires_at": row.expires_at}
        )
    )


def find_address(connection: Connection, token_hash: str) -> TravelAddress | None:
    statement = select(travel_addresses).where(travel_addresses.c.token_hash == token_hash)
    return fetch_one(connection, statement, TravelAddress)


def forget(connection: Connection, *, before: datetime, limit: int) -> int:
    """Delete the personal data of records that are older, except under a legal hold."""
    over = func.coalesce(travel_rules.c.ended_at, travel_rules.c.created)
    due = (
        select(travel_rules.c.id)
        .where(
            travel_rules.c.created < before,
            travel_rules.c.payload.is_not(None),
            ~travel_rules.c.legal_hold,
            over < before,
        )
        .limit(limit)
    )
    changed = connection.execute(
        update(travel_rules)
        .where(travel_rules.c.id.in_(due))
        .values(payload=None, peer_callback=None)
    )
    connection.execute(
        travel_messages.delete().where(
            travel_messages.c.created < before - timedelta(days=1),
            travel_messages.c.record.in_(
                select(travel_rules.c.id).where(travel_rules.c.payload.is_(None))
            ),
        )
    )
    return changed.rowcount
