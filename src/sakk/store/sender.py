"""Addresses of ours that send: which are frozen, and what each has on its way."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.sender import has_turn
from sakk.core.transaction import TAKES_NOTHING, Purpose, TransactionStatus
from sakk.store.database import among, fetch_all
from sakk.store.transaction import nonces, transactions, unmined


def freeze(
    connection: Connection, network: str, sender: str, *, base: int, reason: str, now: datetime
) -> bool:
    """Send nothing from an address any more; False if it was frozen before."""
    connection.execute(
        upsert(nonces).values(network=network, sender=sender, base=base).on_conflict_do_nothing()
    )
    newly = update(nonces).where(
        nonces.c.network == network, nonces.c.sender == sender, nonces.c.frozen_at.is_(None)
    )
    return connection.execute(newly.values(frozen_at=now, frozen_reason=reason)).rowcount == 1


def frozen(connection: Connection, network: str) -> dict[str, str]:
    """The addresses from which nothing may be sent on a network, each with the reason."""
    rows = connection.execute(
        select(nonces.c.sender, nonces.c.frozen_reason).where(
            nonces.c.network == network, nonces.c.frozen_at.is_not(None)
        )
    )
    return {row.sender: row.frozen_reason for row in rows}


def unfreeze(connection: Connection, network: str, sender: str, *, base: int) -> None:
    """Send from an address again, from the nonce ``base`` on at least."""
    connection.execute(
        update(nonces)
        .where(nonces.c.network == network, nonces.c.sender == sender)
        .values(frozen_at=None, frozen_reason=None, base=func.greatest(nonces.c.base, base))
    )


@dataclass(frozen=True, slots=True)
class Queue:
    """What transactions of an address are about to take, per asset, and in gas at the most."""

    in_flight: int = 0
    is_busy: bool = False
    gas_wei: int = 0
    units: Mapping[str, int] = field(default_factory=dict)


def queues(connection: Connection, network: str, senders: Sequence[str]) -> dict[str, Queue]:
    """The queue of every address that has one."""
    taken = unmined(network, transactions.c.sender)
    rows = connection.execute(
        select(
            transactions.c.sender,
            transactions.c.asset,
            func.count().label("waiting"),
            func.bool_or(transactions.c.status == TransactionStatus.built.value).label("busy"),
            func.coalesce(
                func.sum(transactions.c.token_amount).filter(
                    transactions.c.purpose.not_in(TAKES_NOTHING)
                ),
                0,
            ).label("units"),
            func.sum(transactions.c.gas_limit * transactions.c.max_fee_per_gas).label("gas"),
        )
        .where(*taken, among(transactions.c.sender, senders))
        .group_by(transactions.c.sender, transactions.c.asset)
    )
    found: dict[str, Queue] = {}
    for row in rows:
        before = found.get(row.sender, Queue())
        found[row.sender] = Queue(
            in_flight=before.in_flight + row.waiting,
            is_busy=before.is_busy or row.busy,
            gas_wei=before.gas_wei + int(row.gas),
            units={**before.units, row.asset: int(row.units)},
        )
    return found


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sender, the first of its nonces that was sent and is not mined, and since when it waits."""

    network: str
    sender: str
    key_branch: str
    key_index: int
    nonce: int
    since: datetime


def waiting(connection: Connection, *, before: datetime) -> list[Waiting]:
    """The senders of which something was sent before this moment, and is in no block."""
    key = (
        transactions.c.network,
        transactions.c.sender,
        transactions.c.key_branch,
        transactions.c.key_index,
    )
    statement = (
        select(
            *key,
            func.min(transactions.c.nonce).label("nonce"),
            func.min(transactions.c.broadcast_at).label("since"),
        )
        .where(
            transactions.c.block_hash.is_(None),
            transactions.c.status.in_(
                [TransactionStatus.broadcast.value, TransactionStatus.unknown.value]
            )
            | transactions.c.orphaned,
            transactions.c.broadcast_at < before,
        )
        .group_by(*key)
    )
    return fetch_all(connection, statement, Waiting)


def busy_networks(connection: Connection, senders: Sequence[str]) -> set[str]:
    """The networks where none of these may take a nonce before something was signed."""
    found = connection.execute(
        select(
            transactions.c.network,
            transactions.c.sender,
            func.array_agg(transactions.c.purpose),
        )
        .where(
            transactions.c.status == TransactionStatus.built.value,
            among(transactions.c.sender, senders),
        )
        .group_by(transactions.c.network, transactions.c.sender)
    )
    busy = Counter(
        str(name)
        for name, _, purposes in found
        if not has_turn(Purpose.payout, [str(each) for each in purposes])
    )
    return {name for name, count in busy.items() if count >= len(senders)}
