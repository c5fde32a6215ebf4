"""x402 payments: rows and queries. One row for one authorization, whatever becomes of it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
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
    extract,
    func,
    literal_column,
    select,
    text,
    update,
)

from sakk.core.x402_payment import OPEN, PAID, Claim, NonceKey, X402Payment, X402Status
from sakk.store.database import (
    among,
    as_json,
    fetch,
    fetch_all,
    fetch_one,
    given_rows,
    insert_given,
    query,
    row_of,
    run,
    text_of,
)
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


def reserve(connection: Connection, rows: Sequence[X402Payment]) -> set[str]:
    """Take payers' nonces for these payments, no two for one; the ids of those that got theirs.

    One that failed before anything was sent may be tried again.
    """
    if not rows:
        return set()
    # In one order, whoever does it: so of two that want the same nonces none waits for the other.
    given = [row_of(row) for row in sorted(rows, key=lambda row: row.claim.key)]
    taken = run(connection, _reserve(tuple(given[0])), {"rows": as_json(x402_payments, given)})
    return {row.id for row in taken}


@lru_cache(maxsize=1)
def _reserve(columns: tuple[str, ...]) -> str:
    statement = insert_given(x402_payments, columns)
    gone = (
        x402_payments.c.status == literal_column(f"'{X402Status.failed.value}'"),
        x402_payments.c.transaction.is_(None),
    )
    return text_of(
        statement.on_conflict_do_update(
            index_elements=["network", "verifier", "payer", "nonce"],
            set_={name: statement.excluded[name] for name in columns},
            where=gone[0] & gone[1],
        ).returning(x402_payments.c.id)
    )


def release(connection: Connection, identifiers: Sequence[str]) -> None:
    """Give nonces back that were reserved and came to nothing."""
    connection.execute(
        delete(x402_payments).where(
            among(x402_payments.c.id, identifiers),
            x402_payments.c.status == X402Status.reserved.value,
        )
    )


def claimed(connection: Connection, claims: Sequence[Claim]) -> dict[NonceKey, X402Payment]:
    """Who has the nonces of claims, as it was a moment ago."""
    rows = [dict(zip(_KEY, each.key, strict=True)) for each in claims]
    found = fetch(connection, _claimed, rows=as_json(x402_payments, rows))
    return {row.claim.key: row for row in found}


_KEY = ("network", "verifier", "payer", "nonce")
_given = given_rows(x402_payments, _KEY)
_claimed = query(
    select(x402_payments).where(*(x402_payments.c[name] == _given.c[name] for name in _KEY)),
    X402Payment,
)


def request(connection: Connection, rows: Sequence[dict[str, Any]]) -> set[str]:
    """Request payments that are reserved still; the ids of those that were.

    Rows with ``id`` and what is written.
    """
    if not rows:
        return set()
    given = sorted(rows, key=lambda row: str(row["id"]))
    done = run(connection, _request(tuple(given[0])), {"rows": as_json(x402_payments, given)})
    return {row.id for row in done}


@lru_cache(maxsize=1)
def _request(columns: tuple[str, ...]) -> str:
    given = given_rows(x402_payments, columns)
    written = {name: given.c[name] for name in columns if name != "id"}
    return text_of(
        update(x402_payments)
        .where(
            x402_payments.c.id == given.c.id,
            x402_payments.c.status == literal_column(f"'{X402Status.reserved.value}'"),
        )
        .values(written | {"status": literal_column(f"'{X402Status.requested.value}'")})
        .returning(x402_payments.c.id)
    )


def lock_claimed(connection: Connection, claim: Claim) -> X402Payment | None:
    """Who has a claim's nonce, locked."""
    statement = select(x402_payments).where(
        *(x402_payments.c[name] == value for name, value in zip(_KEY, claim.key, strict=True))
    )
    return fetch_one(connection, statement.with_for_update(), X402Payment)


def lock_one(connection: Connection, identifier: str) -> X402Payment | None:
    statement = select(x402_payments).where(x402_payments.c.id == identifier)
    return fetch_one(connection, statement.with_for_update(), X402Payment)


def open_units(
    connection: Connection, holders: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Atomic units that payments of payers are about to take, by (payer, asset)."""
    rows = [{"payer": payer, "asset": asset} for payer, asset in sorted(set(holders))]
    if not rows:
        return {}
    found = run(connection, _open_units(), {"rows": as_json(x402_payments, rows)})
    return {(row.payer, row.asset): int(row.units) for row in found}


@lru_cache(maxsize=1)
def _open_units() -> str:
    given = given_rows(x402_payments, ("payer", "asset"))
    holder = (x402_payments.c.payer, x402_payments.c.asset)
    return text_of(
        select(*holder, func.sum(x402_payments.c.token_amount).label("units"))
        .where(
            holder[0] == given.c.payer,
            holder[1] == given.c.asset,
            # As it stands in the index, which holds the few that are open.
            x402_payments.c.status.in_([literal_column(f"'{each}'") for each in _OPEN]),
            x402_payments.c.valid_before > extract("epoch", func.now()),
        )
        .group_by(*holder)
    )


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
            update(x402_payments).where(among(x402_payments.c.id, identifiers)).values(values)
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
            among(x402_payments.c.id, identifiers),
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
        among(x402_payments.c.id, identifiers),
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
