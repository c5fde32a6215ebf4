"""Pay-ins: rows and queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
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

from sakk.core.payin import UNBOOKABLE, PayIn, PayInStatus
from sakk.store.database import (
    Due,
    among,
    as_json,
    due,
    fetch,
    fetch_all,
    fetch_one,
    given_among,
    insert_given,
    query,
    row_of,
)
from sakk.store.lease import lease_columns
from sakk.store.schema import Document, Timestamp, Units, metadata

payins = Table(
    "payins",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("contract", Text),
    Column("currency", Text),
    Column("decimals", Integer),
    Column("token_amount", Units, nullable=False),
    Column("amount", Units),
    Column("address", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("tx_hash", Text, nullable=False),
    Column("log_index", Integer, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("block_timestamp", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("role", Text),
    Column("counts", Boolean, nullable=False),
    Column("reason", Text),
    Column("payment_intent", Text),
    Column("customer", Text),
    Column("screening", Text),
    Column("credit_units", Units),
    Column("suspense_units", Units),
    Column("fee", Units, nullable=False, server_default="0"),
    Column("fee_terms", Document),
    Column("fee_given_back", Units),
    Column("fee_returned", Units, nullable=False, server_default="0"),
    Column("application_fee", Units, nullable=False, server_default="0"),
    Column("application_terms", Document),
    Column("quarantined", Boolean, nullable=False),
    Column("reviewed", Boolean, nullable=False),
    Column("orphaned", Boolean, nullable=False),
    Column("matched_at", Timestamp),
    Column("confirmed_at", Timestamp),
    Column("screened_at", Timestamp),
    Column("posted_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    # A block that was given up may come back: its pay-ins are then rows of their own again.
    Index(
        "uq_payins_log",
        "network",
        "block_hash",
        "tx_hash",
        "log_index",
        "address",
        unique=True,
        postgresql_where=text("status not in ('orphaned', 'reversed')"),
    ),
    Index("ix_payins_account", "account_id", "livemode", "id"),
    Index("ix_payins_payment_intent", "payment_intent", "id"),
    Index("ix_payins_tx_hash", "tx_hash"),
    Index("ix_payins_address", "address"),
    # What screening rules count in a window.
    Index("ix_payins_sender_created", "sender", "created"),
    Index("ix_payins_account_created", "account_id", "created"),
    Index(
        "ix_payins_work",
        "status",
        "network",
        "block_number",
        postgresql_where=text("status in ('seen', 'confirmed', 'screened', 'held')"),
    ),
    Index("ix_payins_block", "network", "block_number"),
    Index("ix_payins_orphaned", "status", postgresql_where=text("orphaned")),
)

_COUNTED = [
    PayInStatus.seen.value,
    PayInStatus.confirmed.value,
    PayInStatus.screened.value,
    PayInStatus.held.value,
    PayInStatus.posted.value,
    PayInStatus.released.value,
]


def insert_seen(connection: Connection, rows: Sequence[PayIn]) -> int:
    """Record transfers as seen; one that is recorded already is left alone."""
    if not rows:
        return 0
    statement = insert_given(payins, PayIn.__slots__).on_conflict_do_nothing(
        index_elements=["network", "block_hash", "tx_hash", "log_index", "address"],
        index_where=text("status not in ('orphaned', 'reversed')"),
    )
    given = {"rows": as_json(payins, [row_of(row) for row in rows])}
    return connection.execute(statement, given).rowcount


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> PayIn | None:
    """One pay-in of an account, or of any account for the operator (``account_id`` None)."""
    statement = select(payins).where(payins.c.id == identifier, payins.c.livemode == livemode)
    if account_id is not None:
        statement = statement.where(payins.c.account_id == account_id)
    if lock:
        statement = statement.with_for_update()
    return fetch_one(connection, statement, PayIn)


def find_intent(connection: Connection, identifier: str) -> str | None:
    """The payment intent of a pay-in."""
    return connection.execute(
        select(payins.c.payment_intent).where(payins.c.id == identifier)
    ).scalar_one_or_none()


def lock_one(connection: Connection, identifier: str) -> PayIn | None:
    """One pay-in by its id alone, locked; its payment intent is locked before."""
    statement = select(payins).where(payins.c.id == identifier).with_for_update()
    return fetch_one(connection, statement, PayIn)


def find_held(
    connection: Connection, *, address: str, asset: str, first: str | None = None
) -> PayIn | None:
    """The held pay-in of an asset on an address that is on the chain: ``first``, or the oldest."""
    statement = (
        select(payins)
        .where(
            payins.c.address == address,
            payins.c.asset == asset,
            payins.c.status == PayInStatus.held.value,
            ~payins.c.orphaned,
        )
        .order_by((payins.c.id != (first or "")).asc(), payins.c.id)
        .limit(1)
    )
    return fetch_one(connection, statement, PayIn)


def in_status(status: PayInStatus, *conditions: Any, limit: int) -> Due[PayIn]:
    """Lock rows that stand in a status, oldest first, skipping what another worker has."""
    wanted = select(payins).where(payins.c.status == status.value, *conditions)
    return due(wanted, PayIn, payins.c.id, limit=limit, lock=payins)


@dataclass(frozen=True, slots=True)
class Counted:
    """What an intent needs to know of a pay-in that counts towards it."""

    payment_intent: str
    asset: str
    token_amount: int
    status: str
    credit_units: int | None
    block_timestamp: int


def list_counted(connection: Connection, intents: Iterable[str]) -> dict[str, list[Counted]]:
    """Per intent, the pay-ins that count towards it and are on the chain, oldest first."""
    result: dict[str, list[Counted]] = {}
    for row in fetch(connection, _LIST_COUNTED, intents=list(intents)):
        result.setdefault(row.payment_intent, []).append(row)
    return result


_LIST_COUNTED = query(
    select(*(payins.c[name] for name in Counted.__slots__))
    .where(
        given_among(payins.c.payment_intent, "intents"),
        payins.c.counts,
        ~payins.c.orphaned,
        among(payins.c.status, _COUNTED),
    )
    .order_by(payins.c.id),
    Counted,
)


def list_credited(
    connection: Connection, *, payment_intent: str | None, payin: str | None
) -> list[PayIn]:
    """The pay-ins that were credited and stand, of a payment intent or of one by itself."""
    of_what = (
        payins.c.id == payin
        if payin is not None
        else (payins.c.payment_intent == payment_intent) & payins.c.counts
    )
    statement = (
        select(payins)
        .where(
            of_what,
            ~payins.c.orphaned,
            among(payins.c.status, [PayInStatus.posted.value, PayInStatus.released.value]),
        )
        .order_by(payins.c.id)
    )
    return fetch_all(connection, statement, PayIn)


def list_charged(
    connection: Connection, *, payment_intent: str | None, payin: str | None
) -> list[PayIn]:
    """The pay-ins whose fee is decided, of a payment intent or one by itself, undone ones too."""
    of_what = (
        payins.c.id == payin
        if payin is not None
        else (payins.c.payment_intent == payment_intent) & payins.c.counts
    )
    decided = [
        PayInStatus.screened.value,
        PayInStatus.posted.value,
        PayInStatus.released.value,
        PayInStatus.reversed.value,
    ]
    statement = select(payins).where(of_what, among(payins.c.status, decided))
    return fetch_all(connection, statement.order_by(payins.c.id), PayIn)


def taken_back(connection: Connection, intents: Iterable[str]) -> dict[tuple[str, str], int]:
    """What of each payment's fees its merchant gave back with pay-ins that the chain undid, less
    what it was given with others since; by payment and currency, none where nothing was undone."""
    c = payins.c
    undone = func.sum(func.coalesce(c.fee_given_back, 0) - c.fee_returned)
    statement = (
        select(c.payment_intent, c.currency, undone.label("units"))
        .where(among(c.payment_intent, intents), c.counts)
        .group_by(c.payment_intent, c.currency)
        .having(func.count(c.fee_given_back) > 0)
    )
    return {
        (row.payment_intent, row.currency): int(row.units) for row in connection.execute(statement)
    }


def list_over(connection: Connection, intent: str) -> list[PayIn]:
    """An intent's pay-ins of which a part was set apart for the payer, oldest first."""
    statement = select(payins).where(
        payins.c.payment_intent == intent,
        payins.c.reason == "over_refund_due",
        payins.c.suspense_units > 0,
        ~payins.c.orphaned,
    )
    return fetch_all(connection, statement.order_by(payins.c.id), PayIn)


def counted_hashes(connection: Connection, intents: Iterable[str]) -> set[tuple[str, str]]:
    """(intent, transaction hash) of pay-ins that counted until a reorganisation took them away."""
    rows = connection.execute(
        select(payins.c.payment_intent, payins.c.tx_hash).where(
            among(payins.c.payment_intent, intents), payins.c.counts, payins.c.orphaned
        )
    )
    return {(row.payment_intent, row.tx_hash) for row in rows}


def mark_orphaned(connection: Connection, network: str, hashes: Sequence[str]) -> int:
    """Flag the pay-ins of blocks that left the chain; stages then take them back."""
    if not hashes:
        return 0
    return connection.execute(
        update(payins)
        .where(payins.c.network == network, payins.c.block_hash.in_(hashes), ~payins.c.orphaned)
        .values(orphaned=True)
    ).rowcount


def revive(connection: Connection, network: str, hashes: Sequence[str]) -> None:
    """A block came back before its pay-ins were given up: they stand again.

    Only those that nothing was booked for. A reversal of the others may be under way or half known,
    so it is finished first, and the transfer is then seen anew (see ``flow.reverse``).
    """
    if hashes:
        connection.execute(
            update(payins)
            .where(
                payins.c.network == network,
                payins.c.block_hash.in_(hashes),
                payins.c.orphaned,
                payins.c.status.in_([PayInStatus.seen.value, PayInStatus.confirmed.value])
                | ((payins.c.status == PayInStatus.held.value) & payins.c.role.in_(UNBOOKABLE)),
            )
            .values(orphaned=False)
        )


def pending_totals(connection: Connection, *, account_id: str, livemode: bool) -> dict[str, int]:
    """Per currency, what is on its way to an account and not credited yet."""
    rows = connection.execute(
        select(payins.c.currency, func.sum(payins.c.amount).label("total"))
        .where(
            payins.c.account_id == account_id,
            payins.c.livemode == livemode,
            payins.c.status.in_(
                [
                    PayInStatus.seen.value,
                    PayInStatus.confirmed.value,
                    PayInStatus.screened.value,
                    PayInStatus.held.value,
                ]
            ),
            ~payins.c.orphaned,
            payins.c.currency.is_not(None),
        )
        .group_by(payins.c.currency)
    )
    return {row.currency: int(row.total) for row in rows}
