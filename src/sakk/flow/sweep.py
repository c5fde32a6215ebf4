"""Sweeps: decide what is collected from deposit addresses, and order the gas that it needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from sakk.core import event, evm
from sakk.core import sweep as rules
from sakk.core.caip import chain_id
from sakk.core.event import NewEvent
from sakk.core.gas_price import Fees
from sakk.core.network import Network
from sakk.core.sweep import Sweep, SweepStatus
from sakk.core.tank import Tank, is_beyond
from sakk.core.tank import public as public_tank
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.flow import gas_price
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.rails.evm.balances import balances
from sakk.rails.evm.send import build_transfer, estimate_transfer, nonces
from sakk.store import address, tank, transaction
from sakk.store import event as events
from sakk.store import sweep as store
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id

# Coins that could not be collected stay where they are; they are tried again after this.
SWEEP_AGAIN_AFTER = timedelta(hours=1)
SWEEP_AGAIN_AFTER_MAX = timedelta(days=7)
# A refused top-up is asked for again, by when the signer's policy or its day may allow it.
TOPUP_AGAIN_AFTER = timedelta(minutes=1)
TOPUP_DAY = timedelta(hours=24)
# Fees may rise until the top-up is final: what is too much stays for the next sweep.
TOPUP_MARGIN_PERCENT = 50

log = structlog.get_logger(__name__)


def sweep_event(row: Sweep, name: str) -> NewEvent:
    """An event about a sweep; the operator's alone."""
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public(row),
    )


def order_topup(parts: Parts, row: Sweep, found: Network, *, needed: int, lacking: int) -> None:
    """Prepare a native transfer from the treasury to a deposit address that lacks gas.

    At most one is under way for a sweep. It waits its turn for the treasury's nonce like any other.
    ``needed``: the most wei that the sweep may cost; ``lacking``: what the address has too little.
    """
    with parts.database.begin() as connection:
        if row.topup is not None and _is_under_way(parts, connection, row.topup):
            return
        sender = address.list_gas_payers(connection)[0]
    gift = GasGift(
        subject=row.id,
        destination=row.address,
        destination_index=row.key_index,
        units=lacking + needed * TOPUP_MARGIN_PERCENT // 100,
    )

    def remember(connection: Connection, topup: ChainTransaction) -> None:
        update_records(connection, store.sweeps, [{"id": row.id, "topup": topup.id}])

    send_gas(parts, found, sender, gift, remember=remember)


@dataclass(frozen=True, slots=True)
class GasGift:
    """Native coin for gas: to a deposit address by its index, or (None) to a treasury address."""

    subject: str
    destination: str
    destination_index: int | None
    units: int


def send_gas(
    parts: Parts,
    found: Network,
    sender: address.Address,
    gift: GasGift,
    *,
    remember: Callable[[Connection, ChainTransaction], None] = lambda *_: None,
) -> None:
    """Prepare a native transfer from a treasury address to another address of ours.

    Nothing is done when it is not the sender's turn, or when it has too little itself: whoever
    needs it asks again. ``remember`` writes in the commit that takes the nonce.
    """
    native, name = found.native_asset, found.network
    if gift.destination_index is not None and _is_beyond(parts, found, gift):
        return
    with parts.database.begin() as connection:
        if transaction.unsigned_of(connection, name, sender.address):
            return
        expected = transaction.next_nonce(connection, name, sender.address)
        taken = transaction.unmined_wei(
            connection, network=name, sender=sender.address, native=native
        )
    rail = parts.rail_of(found)
    head = rail.head()
    price = gas_price.price(parts, found)
    held = balances(rail.rpc, [(sender.address, native)], head.number)[sender.address, native]
    if held - taken <= gift.units:
        log.warning("topup.no_native_coin", network=name, treasury=sender.address)
        return
    gas_limit = estimate_transfer(
        rail.rpc,
        sender=sender.address,
        receiver=gift.destination,
        contract=None,
        units=gift.units,
    )
    if held - taken < gift.units + gas_limit * price.max_fee_per_gas:
        log.warning("topup.no_native_coin", network=name, treasury=sender.address)
        return
    if expected is None:
        expected = nonces(rail.rpc, sender.address).latest
    with parts.database.begin() as connection:
        nonce = transaction.lock_nonce(connection, name, sender.address, base=expected)
        if nonce != expected:
            return
        if transaction.unsigned_of(connection, name, sender.address):
            return
        # Under the sender's lock: two sweeps at once can not pass the day's limit together.
        if gift.destination_index is not None and _used(connection, found, gift, parts.clock()):
            return
        topup = _topup(
            found,
            gift,
            sender,
            nonce=nonce,
            price=price,
            gas_limit=gas_limit,
            since_block=head.number,
            now=parts.clock(),
        )
        transaction.insert(connection, topup)
        remember(connection, topup)
        wake(connection, "transaction.sign")
        failpoint("topup.build.before")
    failpoint("topup.build.after")


def _used(connection: Connection, found: Network, gift: GasGift, now: datetime) -> bool:
    """Is too little of the network's day's limit left for this?"""
    spent = transaction.topped_up_wei(connection, found.network, since=now - TOPUP_DAY)
    return is_beyond(spent, gift.units, limit=found.topup_wei_per_day_max)


def _is_beyond(parts: Parts, found: Network, gift: GasGift) -> bool:
    """Would it pass the day's limit? Then that is told once, and the sweep asks again."""
    now = parts.clock()
    with parts.database.begin() as connection:
        if not _used(connection, found, gift, now):
            return False
        if tank.hold_back(connection, found.network, gift.units):
            log.warning(event.GAS_LIMITED, network=found.network, wei=gift.units)
            known = tank.find(connection, found.network)
            events.append(connection, [tank_event(found, known, event.GAS_LIMITED)], now=now)
    return True


def tank_event(found: Network, known: Tank, name: str) -> NewEvent:
    """An event about a network's gas; the operator's alone."""
    return NewEvent(
        account_id=None,
        livemode=found.livemode,
        type=name,
        object_id=found.network,
        object=public_tank(known),
    )


def _topup(
    found: Network,
    gift: GasGift,
    sender: address.Address,
    *,
    nonce: int,
    price: Fees,
    gas_limit: int,
    since_block: int,
    now: datetime,
) -> ChainTransaction:
    unsigned = build_transfer(
        chain_id=chain_id(found.network),
        nonce=nonce,
        fees=price,
        gas_limit=gas_limit,
        receiver=gift.destination,
        contract=None,
        units=gift.units,
    )
    return ChainTransaction(
        id=new_id("tx"),
        livemode=found.livemode,
        network=found.network,
        purpose=Purpose.topup.value,
        subject=gift.subject,
        sender=sender.address,
        key_branch="treasury",
        key_index=sender.key_index,
        nonce=nonce,
        asset=found.native_asset,
        destination=gift.destination,
        destination_index=gift.destination_index,
        token_amount=gift.units,
        gas_limit=gas_limit,
        max_fee_per_gas=price.max_fee_per_gas,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        unsigned=evm.encode_unsigned(unsigned),
        since_block=since_block,
        status=TransactionStatus.built.value,
        created=now,
    )


def _is_under_way(parts: Parts, connection: Connection, identifier: str) -> bool:
    """Is an earlier top-up still to arrive, or was it refused so lately that asking is idle?"""
    earlier = transaction.find(connection, identifier)
    if earlier is None:
        return False
    match TransactionStatus(earlier.status):
        case TransactionStatus.posted | TransactionStatus.failed:
            return earlier.orphaned
        case TransactionStatus.refused:
            return earlier.created > parts.clock() - TOPUP_AGAIN_AFTER
        case (
            TransactionStatus.built
            | TransactionStatus.signed
            | TransactionStatus.broadcast
            | TransactionStatus.unknown
            | TransactionStatus.confirmed
        ):
            return True


def advance_collected(
    connection: Connection,
    identifier: str,
    status: SweepStatus,
    name: str,
    *,
    tx_hash: str | None = None,
) -> list[NewEvent]:
    """Every sweep of one call of the hub takes a status of its transaction."""
    rows = [
        replace(row, status=status.value, tx_hash=tx_hash or row.tx_hash)
        for row in store.lock_of_transaction(connection, identifier)
    ]
    _write(connection, rows, "status", "tx_hash")
    return [sweep_event(row, name) for row in rows]


def confirm_collected(
    connection: Connection, identifier: str, arrived: Mapping[str, int]
) -> list[NewEvent]:
    """A call of the hub is final: what each sweep brought, by its id; those of nothing failed."""
    rows = [
        replace(
            row,
            arrived_units=arrived.get(row.id, 0),
            status=SweepStatus.confirmed.value if arrived.get(row.id) else row.status,
        )
        for row in store.lock_of_transaction(connection, identifier)
    ]
    _write(connection, rows, "status", "arrived_units")
    return [sweep_event(row, event.SWEEP_CONFIRMED) for row in rows if row.arrived_units]


def note_arrived(connection: Connection, identifier: str, arrived: Mapping[str, int]) -> None:
    """A call of the hub was mined again: what each sweep brought this time, by its id."""
    rows = [
        replace(row, arrived_units=arrived.get(row.id, 0))
        for row in store.lock_of_transaction(connection, identifier)
    ]
    _write(connection, rows, "arrived_units")


def finish_collected(
    connection: Connection, identifier: str, *, succeeded: bool, now: datetime
) -> list[NewEvent]:
    """Bring the sweeps of a booked call of the hub to their ends, each to its own.

    After a reorganisation the same call may end otherwise for some: only these change.
    """
    done: list[Sweep] = []
    for row in store.lock_of_transaction(connection, identifier):
        if succeeded and row.arrived_units:
            if row.status == SweepStatus.posted:
                continue
            if row.status == SweepStatus.failed:
                # Given up before and collected after all: what was put back is gone again.
                moved = [(row.address, row.asset, -row.token_amount)]
                address.add_deposits(connection, moved)
            ended = replace(row, status=SweepStatus.posted.value, posted_at=now, failure_code=None)
            done.append(ended)
        elif row.status != SweepStatus.failed:
            code = "not_collected" if succeeded else "transaction_failed"
            done.append(_failed(connection, row, code, until=_postponed(connection, row, now)))
    _write(connection, done, "status", "posted_at", "failure_code")
    if done:
        wake(connection, "payout.build")
    return [
        sweep_event(
            row, event.SWEEP_POSTED if row.status == SweepStatus.posted else event.SWEEP_FAILED
        )
        for row in done
    ]


def release_collected(
    connection: Connection, identifier: str, *, retry_at: datetime | None = None
) -> None:
    """Nothing of a call of the hub was signed: its sweeps are built again."""
    rows = store.lock_of_transaction(connection, identifier)
    changes = [
        {"id": row.id, "transaction": None, "retry_at": retry_at}
        for row in rows
        if row.status == SweepStatus.approved
    ]
    update_records(connection, store.sweeps, changes)
    wake(connection, "collect.build", "clone.build")


def abandon_collected(
    connection: Connection, identifier: str, code: str, *, until: datetime, now: datetime
) -> None:
    """The signer refused a call of the hub for good: the coins stay, and are tried again later."""
    rows = [
        _failed(connection, row, code, until=until)
        for row in store.lock_of_transaction(connection, identifier)
        if row.status == SweepStatus.approved
    ]
    _write(connection, rows, "status", "failure_code")
    happened = [sweep_event(row, event.SWEEP_FAILED) for row in rows]
    events.append(connection, happened, now=now)


def _failed(connection: Connection, row: Sweep, code: str, *, until: datetime) -> Sweep:
    """The coins stand on their deposit address still, and are left alone for a while."""
    address.add_deposits(connection, [(row.address, row.asset, row.token_amount)])
    store.postpone(connection, address=row.address, asset=row.asset, until=until)
    return replace(row, status=SweepStatus.failed.value, failure_code=code)


def _postponed(connection: Connection, row: Sweep, now: datetime) -> datetime:
    """An hour, doubled with every failure in a row up to a week: each costs gas in vain."""
    failures = store.failures_in_a_row(connection, address=row.address, asset=row.asset)
    doubled: timedelta = SWEEP_AGAIN_AFTER * (2 ** min(failures, 10))
    return now + min(doubled, SWEEP_AGAIN_AFTER_MAX)


def _write(connection: Connection, rows: Sequence[Sweep], *fields: str) -> None:
    changes = [{name: getattr(row, name) for name in ("id", *fields)} for row in rows]
    update_records(connection, store.sweeps, changes)
