"""Collect: decide which deposits are swept to the treasury, and how they travel."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.clone import GAS_BY_CLONE, Factory
from sakk.core.errors import SakkError
from sakk.core.hub import ITEMS_MAX, Hub
from sakk.core.network import Asset, Currency
from sakk.core.sweep import (
    AGE_SECONDS_MAX,
    COST_PERCENT_MAX,
    GAS_BY_HUB,
    GAS_BY_KEY,
    Sweep,
    SweepMethod,
    SweepStatus,
    units_worth_collecting,
)
from sakk.flow import gas_price
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import sweep_event
from sakk.store import address, authorization, network
from sakk.store import clone as clones
from sakk.store import event as events
from sakk.store import hub as hubs
from sakk.store import sweep as store
from sakk.store.identity import new_id
from sakk.store.sweep import Collectable

IDLE = timedelta(seconds=2)
# So many deposits wait for no more: the share of each in what all have in common is small.
COMPANY = 100

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    """A network on which something may be collected, and the least units per asset.

    ``by``: the contract that collects, None where each address's own key does. A hub's addresses
    have keys too; a factory's are its clones, and no others.
    """

    network: str
    by: Hub | Factory | None
    thresholds: dict[str, int]

    @property
    def factory(self) -> str | None:
        return self.by.address if isinstance(self.by, Factory) else None


def collect_stage(parts: Parts) -> Stage:
    """The stage that turns clean deposits that are worth their gas into sweeps."""

    def run() -> int:
        with parts.database.begin() as connection:
            if not address.list_payers(connection):
                return 0
            store.note_since(connection, now=parts.clock())
            waiting = store.networks_to_collect(connection, now=parts.clock())
        return sum(_collect(parts, name) for name in waiting)

    return Stage("sweep.collect", run, idle_seconds=IDLE.total_seconds(), gives_way=True)


def hurry(parts: Parts, *, below: int) -> int:
    """Have everything on deposit addresses below an index collected now, at any cost; how many.

    The most valuable first, by the coins' prices: for a seed that is in other hands. What is less
    than its asset's minimum stays.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        found = store.worth(connection, below=below)
        hubs_age = [each.age_seconds_max for each in hubs.list_hubs(connection)]
        aged = now - timedelta(seconds=max([AGE_SECONDS_MAX, *hubs_age]))
        # Deposits are taken in the order of their waiting, so the dearest has waited longest.
        for place, (address_of, asset) in enumerate(reversed(found)):
            since = aged - timedelta(seconds=place)
            store.put_since(connection, address=address_of, asset=asset, since=since)
        wake(connection, "sweep.collect")
    log.warning("collect.hurried", below=below, deposits=len(found))
    return len(found)


def _collect(parts: Parts, name: str) -> int:
    try:
        grounds = _survey(parts, name)
    except SakkError as error:
        # Nothing is lost by waiting: the coins are credited, and safe where they are.
        log.info("collect.waits", network=name, code=error.code)
        return 0
    return sum(_collect_on(parts, ground) for ground in grounds)


def _collect_on(parts: Parts, ground: Ground) -> int:
    now = parts.clock()
    age_seconds_max = AGE_SECONDS_MAX if ground.by is None else ground.by.age_seconds_max
    with parts.database.begin() as connection:
        due = store.lock_collectable(
            connection,
            ground.network,
            thresholds=ground.thresholds,
            aged_before=now - timedelta(seconds=age_seconds_max),
            now=now,
            limit=ITEMS_MAX,
            factory=ground.factory,
        )
        chosen = _chosen(connection, ground, due, now=now)
        if not chosen:
            return 0
        treasury = address.list_payers(connection)[0].address
        rows = [_sweep(each, method, ground, treasury, now) for each, method in chosen]
        store.insert(connection, rows)
        store.forget_since(connection, [(row.address, row.asset) for row in rows])
        address.add_deposits(
            connection, [(row.address, row.asset, -row.token_amount) for row in rows]
        )
        events.append(connection, [sweep_event(row, event.SWEEP_CREATED) for row in rows], now=now)
        wake(connection, "sweep.build", "collect.build", "clone.build")
    return len(rows)


def _survey(parts: Parts, name: str) -> list[Ground]:
    """What a deposit must be worth on this network, by what gas costs there now."""
    with parts.database.begin() as connection:
        found = network.find_network(connection, name)
        assert found is not None
        hub = hubs.find(connection, name)
        factories = clones.list_factories(connection, name)
        assets = network.list_assets(connection, network=name)
        currencies = {each.currency: each for each in network.list_currencies(connection)}
    price = gas_price.price(parts, found)
    native = next((each for each in assets if each.is_native), None)
    ways: list[tuple[Hub | Factory | None, int, int]] = [
        (None, GAS_BY_KEY, COST_PERCENT_MAX)
        if hub is None or not hub.enabled
        else (hub, GAS_BY_HUB, hub.cost_percent_max)
    ]
    ways += [(each, GAS_BY_CLONE, each.cost_percent_max) for each in factories if each.enabled]
    grounds = []
    for by, gas, percent_max in ways:
        cost_wei = gas * (price.base_fee_per_gas + price.max_priority_fee_per_gas)
        thresholds = {
            each.asset: max(
                each.sweep_minimum, _worth(each, native, currencies, cost_wei, percent_max)
            )
            for each in assets
            if not each.is_native
        }
        grounds.append(Ground(name, by, thresholds))
    return grounds


def _worth(
    asset: Asset,
    native: Asset | None,
    currencies: dict[str, Currency],
    cost_wei: int,
    percent_max: int,
) -> int:
    if native is None:
        return 0
    return units_worth_collecting(
        currencies[asset.currency],
        currencies[native.currency],
        decimals=asset.decimals,
        native_decimals=native.decimals,
        cost_wei=cost_wei,
        percent_max=percent_max,
    )


def _chosen(
    connection: Connection, ground: Ground, due: Sequence[Collectable], *, now: datetime
) -> list[tuple[Collectable, SweepMethod]]:
    """Those that go now. By the hub go addresses that are authorised for it, and in company."""
    hub = ground.by
    if hub is None or not due:
        return [(each, SweepMethod.key) for each in due]
    if isinstance(hub, Factory):
        goes = _goes(connection, due, hub.wait_seconds, now=now)
        return [(each, SweepMethod.clone) for each in due if goes]
    addresses = [each.address for each in due]
    authorised = authorization.find(connection, hub.delegate, addresses)
    by_key = [each for each in due if each.address not in authorised]
    # An address whose key is at work would spend the nonce that its authorisation is good for.
    busy = store.under_way(connection, hub.network, addresses)
    by_hub = [each for each in due if each.address in authorised and each.address not in busy]
    goes = _goes(connection, by_hub, hub.wait_seconds, now=now)
    chosen = [(each, SweepMethod.key) for each in by_key]
    return [*chosen, *((each, SweepMethod.hub) for each in by_hub if goes)]


def _goes(
    connection: Connection, together: Sequence[Collectable], wait_seconds: int, *, now: datetime
) -> bool:
    """Are they many, did one wait long enough, or does a payout want them?"""
    return (
        len(together) >= COMPANY
        or any(each.since <= now - timedelta(seconds=wait_seconds) for each in together)
        or store.is_liquidity_wanted(connection, {each.asset for each in together})
    )


def _sweep(
    each: Collectable, method: SweepMethod, ground: Ground, treasury: str, now: datetime
) -> Sweep:
    by = None if method is SweepMethod.key else ground.by
    return Sweep(
        id=new_id("sw"),
        livemode=each.livemode,
        network=each.network,
        asset=each.asset,
        address=each.address,
        key_index=each.key_index,
        destination=treasury if by is None else by.treasury,
        token_amount=each.units,
        status=SweepStatus.approved.value,
        method=method.value,
        factory=ground.factory,
        created=now,
    )
