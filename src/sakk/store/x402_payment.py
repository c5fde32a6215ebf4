"""x402 payments: rows and queries. One row for one authorization, whatever becomes of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.x402_payment import OPEN, PAID, Claim, X402Payment, X402Status
from sakk.store.database import fetch_all, fetch_one
from sakk.store.lease import lease_columns
from sakk.store.payin import payins
from sakk.store.schema import Timestamp, Units, metadata
from sakk.store.transaction import transactions

x402_payments = Table(
    "x402_payments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("verifier", Text, nullable=False),
    Column("payer", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("pay_to", Text, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("valid_after", Units, nullable=False),
    Column("valid_before", Units, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("by_key", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("resource", Text),
    Column("transaction", Text),
    Column("transaction_line", Integer),
    Column("tx_hash", Text),
    Column("block_number", BigInteger),
    Column("log_index", Integer),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("idempotency_key", Text),
    Column("waiting_until", Timestamp),
    Column("answered_at", Timestamp),
    Column("requested_at", Timestamp),
    Column("settled_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    # The payer's nonce is taken once, by whoever comes first with a good signature.
    Index("uq_x402_payments_nonce", "network", "verifier", "payer", "nonce", unique=True),
    Index("ix_x402_payments_account", "account_id", "livemode", "id"),
    Index("ix_x402_payments_transaction", "transaction"),
    Index("ix_x402_payments_tx_hash", "network", "tx_hash"),
    Index(
        "ix_x402_payments_work",
        "network",
        "id",
        postgresql_where=text("status = 'requested' and transaction is null"),
    ),
    Index(
        "ix_x402_payments_open",
        "payer",
        "asset",
        postgresql_where=text("status in ('reserved', 'requested', 'sent')"),
    ),
)

# An authorization may be good for ever; what was verified is settled at once, or never.
RESERVED_MAX = timedelta(days=1)
_OPEN = [each.value for each in OPEN]
_PAID = [each.value for each in PAID]


def reserve(connection: Connection, row: X402Payment) -> bool:
    """Take a payer's nonce for this payment; False when it is taken.

    One that failed before anything was sent may be tried again.
    """
    given = {name: getattr(row, name) for name in X402Payment.__slots__}
    statement = upsert(x402_payments).values(given)
    gone = (
        x402_payments.c.status == X402Status.failed.value,
        x402_payments.c.transaction.is_(None),
    )
    taken = statement.on_conflict_do_update(
        index_elements=["network", "verifier", "payer", "nonce"],
        set_={name: statement.excluded[name] for name in given},
        where=gone[0] & gone[1],
    ).returning(x402_payments.c.id)
    return connection.execute(taken).first() is not None


def release(connection: Connection, identifier: str) -> None:
    """Give a nonce back that was reserved and came to nothing."""
    connection.execute(
        delete(x402_payments).where(
            x402_payments.c.id == identifier, x402_payments.c.status == X402Status.reserved.value
        )
    )


def lock_claimed(connection: Connection, claim: Claim) -> X402Payment | None:
    """Who has a claim's nonce, locked."""
    statement = select(x402_payments).where(
        x402_payments.c.network == claim.network,
        x402_payments.c.verifier == claim.verifier,
        x402_payments.c.payer == claim.payer,
        x402_payments.c.nonce == claim.nonce,
    )
    return fetch_one(connection, statement.with_for_update(), X402Payment)


def lock_one(connection: Connection, identifier: str) -> X402Payment | None:
    statement = select(x402_payments).where(x402_payments.c.id == identifier)
    return fetch_one(connection, statement.with_for_update(), X402Payment)


def open_units(connection: Connection, *, payer: str, asset: str) -> int:
    """Atomic units that payments of a payer are about to take."""
    total = connection.execute(
        select(func.coalesce(func.sum(x402_payments.c.token_amount), 0)).where(
            x402_payments.c.payer == payer,
            x402_payments.c.asset == asset,
            x402_payments.c.status.in_(_OPEN),
            x402_payments.c.valid_before > func.extract("epoch", func.now()),
        )
    ).scalar_one()
    return int(total)


def of_transaction(
    connection: Connection, transaction: str, *, lock: bool = False
) -> list[X402Payment]:
    """What a transaction carries, in the order of its lines."""
    statement = (
        select(x402_payments)
        .where(x402_payments.c.transaction == transaction)
        .order_by(x402_payments.c.transaction_line)
    )
    return fetch_all(connection, statement.with_for_update() if lock else statement, X402Payment)


def change(connection: Connection, identifiers: Sequence[str], **values: Any) -> None:
    """Write the same to several."""
    if identifiers:
        connection.execute(
            update(x402_payments).where(x402_payments.c.id.in_(list(identifiers))).values(values)
        )


def hand_out(
    connection: Connection, identifiers: Sequence[str], *, now: datetime
) -> list[X402Payment]:
    """Those that came to an end and whose end was not told: it is told now, and once."""
    if not identifiers:
        return []
    told = (
        update(x402_payments)
        .where(
            x402_payments.c.id.in_(list(identifiers)),
            x402_payments.c.status.in_([*_PAID, X402Status.failed.value]),
            x402_payments.c.answered_at.is_(None),
        )
        .values(answered_at=now, waiting_until=None)
        .returning(x402_payments)
    )
    return fetch_all(connection, told, X402Payment)


def ended(connection: Connection, identifiers: Sequence[str]) -> list[X402Payment]:
    """Those that came to an end, told or not."""
    statement = select(x402_payments).where(
        x402_payments.c.id.in_(list(identifiers)),
        x402_payments.c.status.in_([*_PAID, X402Status.failed.value]),
    )
    return fetch_all(connection, statement, X402Payment) if identifiers else []


def take_back(connection: Connection, network: str, blocks: Sequence[str]) -> None:
    """What blocks that left the chain had settled waits for others."""
    connection.execute(
        update(x402_payments)
        .where(
            x402_payments.c.status == X402Status.settled.value,
            x402_payments.c.transaction == transactions.c.id,
            transactions.c.network == network,
            transactions.c.block_hash.in_(list(blocks)),
        )
        .values(status=X402Status.sent.value, block_number=None, log_index=None)
    )


def payins_of(connection: Connection, rows: Sequence[X402Payment]) -> dict[str, str]:
    """The pay-ins that payments became, by the payments' ids."""
    places = {(row.network, row.tx_hash, row.log_index): row.id for row in rows if row.tx_hash}
    if not places:
        return {}
    statement = select(payins.c.id, payins.c.network, payins.c.tx_hash, payins.c.log_index).where(
        payins.c.tx_hash.in_({place[1] for place in places}),
        payins.c.status.not_in(["orphaned", "reversed"]),
    )
    found = {}
    for row in connection.execute(statement):
        payment = places.get((row.network, row.tx_hash, row.log_index))
        if payment is not None:
            found[payment] = row.id
    return found


def forget_reserved(connection: Connection, *, now: datetime) -> int:
    """Delete what was reserved, never settled, and is not good any more or a day old."""
    statement = delete(x402_payments).where(
        x402_payments.c.status == X402Status.reserved.value,
        (x402_payments.c.valid_before < int(now.timestamp()))
        | (x402_payments.c.created < now - RESERVED_MAX),
    )
    return connection.execute(statement).rowcount
