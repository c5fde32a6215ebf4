"""Sweeps: rows and queries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Index,
    Table,
    Text,
    and_,
    cast,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)

from sakk.core.payin import PayInStatus
from sakk.core.payout import PayoutStatus
from sakk.core.sweep import Sweep, SweepMethod, SweepStatus
from sakk.store.address import DEPOSITS, addresses, deposits
from sakk.store.case import cases
from sakk.store.database import among, fetch_all, fetch_one, insert_records
from sakk.store.lease import lease_columns
from sakk.store.network import assets, currencies, networks
from sakk.store.payin import payins
from sakk.store.payout import payouts
from sakk.store.schema import Timestamp, Units, metadata

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("livemode", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Column("asset", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("key_index", BigInteger, nullable=False),
    Column("destination", Text, nullable=False),
    Column("token_amount", Units, nullable=False),
    Column("status", Text, nullable=False),
    Column("method", Text, nullable=False, server_default="key"),
    Column("source", Text, nullable=False, server_default="deposit"),
    Column("factory", Text),
    Column("arrived_units", Units),
    Column("topup", Text),
    Column("transaction", Text),
    Column("tx_hash", Text),
    Column("waits_for", Text),
    Column("failure_code", Text),
    Column("posted_at", Timestamp),
    Column("created", Timestamp, nullable=False),
    *lease_columns(),
    Index("ix_sweeps_address", "address", "asset"),
    Index("ix_sweeps_transaction", "transaction"),
    Index(
        "ix_sweeps_work",
        "status",
        postgresql_where=text("status not in ('posted', 'rejected', 'canceled', 'failed')"),
    ),
)

_UNDER_WAY = ["requested", "screened", "approved", "signed", "broadcast", "unknown", "confirmed"]


@dataclass(frozen=True, slots=True)
class Collectable:
    """Coins that stand on a deposit address and may be swept."""

    livemode: bool
    network: str
    asset: str
    address: str
    key_index: int
    units: int
    since: datetime


def insert(connection: Connection, rows: list[Sweep]) -> None:
    insert_records(connection, sweeps, rows)


def find(connection: Connection, identifier: str) -> Sweep | None:
    return fetch_one(connection, select(sweeps).where(sweeps.c.id == identifier), Sweep)


def lock_one(connection: Connection, identifier: str) -> Sweep | None:
    statement = select(sweeps).where(sweeps.c.id == identifier).with_for_update()
    return fetch_one(connection, statement, Sweep)


def lock_unsent(connection: Connection, *, address: str, asset: str, units: int) -> Sweep | None:
    """An approved sweep of so many units that no transaction carries, locked."""
    statement = select(sweeps).where(
        sweeps.c.address == address,
        sweeps.c.asset == asset,
        sweeps.c.token_amount == units,
        sweeps.c.status == SweepStatus.approved.value,
        sweeps.c.transaction.is_(None),
    )
    return fetch_one(connection, statement.limit(1).with_for_update(), Sweep)


def note_since(connection: Connection, *, now: datetime) -> None:
    """Remember of each deposit that is new here since when it waits to be collected."""
    connection.execute(
        update(deposits).where(deposits.c.units > 0, deposits.c.since.is_(None)).values(since=now)
    )


def worth(connection: Connection, *, below: int) -> list[tuple[str, str]]:
    """Deposits (address, asset) of keys of indices below one, the most valuable first.

    A coin without a price comes last. Clones have no keys.
    """
    value = (
        deposits.c.units
        * func.coalesce(currencies.c.usd_numerator, 0)
        / func.coalesce(currencies.c.usd_denominator, 1)
        / func.power(cast(10, Units), assets.c.decimals)
    )
    statement = (
        select(deposits.c.address, deposits.c.asset)
        .join(assets, assets.c.asset == deposits.c.asset)
        .join(currencies, currencies.c.currency == assets.c.currency)
        .join(addresses, addresses.c.address == deposits.c.address)
        .where(
            deposits.c.units > 0,
            addresses.c.key_index < below,
            addresses.c.purpose.in_(DEPOSITS),
            addresses.c.factory.is_(None),
        )
        .order_by(value.desc(), deposits.c.address, deposits.c.asset)
    )
    return [(row.address, row.asset) for row in connection.execute(statement)]


def put_since(connection: Connection, *, address: str, asset: str, since: datetime) -> None:
    """Say since when a deposit waits, and have it looked at now."""
    connection.execute(
        update(deposits)
        .where(deposits.c.address == address, deposits.c.asset == asset)
        .values(since=since, retry_at=None)
    )


def forget_since(connection: Connection, deposited: Sequence[tuple[str, str]]) -> None:
    """What comes to these deposits (address, asset) from now on waits anew."""
    connection.execute(
        update(deposits)
        .where(tuple_(deposits.c.address, deposits.c.asset).in_(list(deposited)))
        .values(since=None)
    )


def networks_to_collect(connection: Connection, *, now: datetime) -> list[str]:
    """Networks with a deposit at or above its asset's minimum that may be looked at now."""
    statement = (
        select(networks.c.network)
        .where(networks.c.enabled)
        .where(
            exists().where(
                assets.c.network == networks.c.network,
                assets.c.contract.is_not(None),
                deposits.c.asset == assets.c.asset,
                deposits.c.units > 0,
                deposits.c.units >= assets.c.sweep_minimum,
                deposits.c.retry_at.is_(None) | (deposits.c.retry_at <= now),
            )
        )
        .order_by(networks.c.network)
    )
    return list(connection.execute(statement).scalars())


def lock_collectable(
    connection: Connection,
    network: str,
    *,
    thresholds: dict[str, int],
    aged_before: datetime,
    now: datetime,
    limit: int,
    factory: str | None = None,
) -> list[Collectable]:
    """Deposits of a network to be collected, longest waiting first: clean, no sweep under way.

    Those of a factory's clones, or (None) those that have keys.
    Worth their gas by ``thresholds`` (atomic units by asset), or above their asset's minimum and
    waiting since before ``aged_before``.
    """
    held = exists().where(payins.c.address == deposits.c.address, _is_kept_apart())
    busy = exists().where(
        sweeps.c.address == deposits.c.address,
        sweeps.c.network == assets.c.network,
        (sweeps.c.asset == deposits.c.asset) | (sweeps.c.method == SweepMethod.hub.value),
        sweeps.c.status.in_(_UNDER_WAY),
    )
    worth = [
        and_(deposits.c.asset == asset, deposits.c.units >= units)
        for asset, units in sorted(thresholds.items())
    ]
    aged = and_(
        deposits.c.since <= aged_before,
        deposits.c.asset.in_(sorted(thresholds)),
        deposits.c.units >= assets.c.sweep_minimum,
    )
    statement = (
        select(
            networks.c.livemode,
            assets.c.network,
            deposits.c.asset,
            deposits.c.address,
            addresses.c.key_index,
            deposits.c.units,
            deposits.c.since,
        )
        .join(assets, assets.c.asset == deposits.c.asset)
        .join(networks, networks.c.network == assets.c.network)
        .join(addresses, addresses.c.address == deposits.c.address)
        .where(
            assets.c.network == network,
            deposits.c.units > 0,
            deposits.c.since.is_not(None),
            or_(aged, *worth),
            addresses.c.purpose.in_(DEPOSITS),
            addresses.c.factory.is_not_distinct_from(factory),
            deposits.c.retry_at.is_(None) | (deposits.c.retry_at <= now),
            ~held,
            ~busy,
        )
        .order_by(deposits.c.since, deposits.c.address, deposits.c.asset)
        .limit(limit)
        .with_for_update(of=deposits, skip_locked=True)
    )
    return fetch_all(connection, statement, Collectable)


def under_way(connection: Connection, network: str, wanted: Sequence[str]) -> set[str]:
    """Those of the addresses that a sweep is about to leave."""
    statement = select(sweeps.c.address).where(
        sweeps.c.network == network,
        sweeps.c.status.in_(_UNDER_WAY),
        among(sweeps.c.address, wanted),
    )
    return set(connection.execute(statement).scalars())


def with_held_money(connection: Connection, wanted: Sequence[str]) -> set[str]:
    """Those of the addresses with a pay-in that is held, or seized and still there."""
    statement = select(payins.c.address).where(_is_kept_apart(), among(payins.c.address, wanted))
    return set(connection.execute(statement).scalars())


def _is_kept_apart() -> ColumnElement[bool]:
    """Does a pay-in stand on its address that no sweep may mix with anything?"""
    moved = exists().where(
        cases.c.subject == payins.c.id,
        cases.c.carrier == sweeps.c.id,
        sweeps.c.status == SweepStatus.posted.value,
    )
    seized = and_(payins.c.status == PayInStatus.seized.value, ~moved)
    return or_(payins.c.status == PayInStatus.held.value, seized)


def is_liquidity_wanted(connection: Connection, wanted: Iterable[str]) -> bool:
    """Does a payout in one of these assets wait for a transaction?"""
    waiting = exists().where(
        payouts.c.status == PayoutStatus.approved.value,
        payouts.c.transaction.is_(None),
        among(payouts.c.asset, wanted),
    )
    return bool(connection.execute(select(waiting)).scalar_one())


def of_transaction(connection: Connection, identifier: str) -> list[Sweep]:
    """The sweeps that one transaction carries out, in the order of its bytes."""
    statement = select(sweeps).where(sweeps.c.transaction == identifier).order_by(sweeps.c.id)
    return fetch_all(connection, statement, Sweep)


def lock_of_transaction(connection: Connection, identifier: str) -> list[Sweep]:
    statement = (
        select(sweeps)
        .where(sweeps.c.transaction == identifier)
        .order_by(sweeps.c.id)
        .with_for_update()
    )
    return fetch_all(connection, statement, Sweep)


def failures_in_a_row(connection: Connection, *, address: str, asset: str) -> int:
    """How many sweeps of a deposit failed since the last that did not."""
    of_deposit = (sweeps.c.address == address, sweeps.c.asset == asset)
    last_good = (
        select(func.coalesce(func.max(sweeps.c.id), ""))
        .where(*of_deposit, sweeps.c.status == SweepStatus.posted.value)
        .scalar_subquery()
    )
    statement = select(func.count()).where(
        *of_deposit, sweeps.c.status == SweepStatus.failed.value, sweeps.c.id > last_good
    )
    return int(connection.execute(statement).scalar_one())


def postpone(connection: Connection, *, address: str, asset: str, until: datetime) -> None:
    """Leave a deposit alone for a while after a failed collection."""
    connection.execute(
        update(deposits)
        .where(deposits.c.address == address, deposits.c.asset == asset)
        .values(retry_at=until)
    )
