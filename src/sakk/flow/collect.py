"""Collect: decide which deposits are swept to the treasury, and how they travel."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from sakk.core import event
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
from sakk.flow import fee
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import sweep_event
from sakk.store import address, authorization, network
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
    """A network on which something may be collected: its hub, and the least units per asset."""

    network: str
    hub: Hub | None
    thresholds: dict[str, int]


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
        ground = _survey(parts, name)
    except SakkError as error:
        # Nothing is lost by waiting: the coins are credited, and safe where they are.
        log.info("collect.waits", network=name, code=error.code)
        return 0
    now = parts.clock()
    age_seconds_max = AGE_SECONDS_MAX if ground.hub is None else ground.hub.age_seconds_max
    with parts.database.begin() as connection:
        due = store.lock_collectable(
            connection,
            name,
            thresholds=ground.thresholds,
            aged_before=now - timedelta(seconds=age_seconds_max),
            now=now,
            limit=ITEMS_MAX,
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
        wake(connection, "sweep.build", "collect.build")
    return len(rows)


def _survey(parts: Parts, name: str) -> Ground:
    """What a deposit must be worth on this network, by what gas costs there now."""
    with parts.database.begin() as connection:
        found = network.find_network(connection, name)
        assert found is not None
        hub = hubs.find(connection, name)
        assets = network.list_assets(connection, network=name)
        currencies = {each.currency: each for each in network.list_currencies(connection)}
    hub = hub if hub is not None and hub.enabled else None
    price = fee.price(parts, found)
    gas = GAS_BY_KEY if hub is None else GAS_BY_HUB
    cost_wei = gas * (price.base_fee_per_gas + price.max_priority_fee_per_gas)
    native = next((each for each in assets if each.is_native), None)
    percent_max = COST_PERCENT_MAX if hub is None else hub.cost_percent_max
    thresholds = {
        each.asset: max(each.sweep_minimum, _worth(each, native, currencies, cost_wei, percent_max))
        for each in assets
        if not each.is_native
    }
    return Ground(name, hub, thresholds)


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
    hub = ground.hub
    if hub is None or not due:
        return [(each, SweepMethod.key) for each in due]
    addresses = [each.address for each in due]
    authorised = authorization.find(connection, hub.delegate, addresses)
    by_key = [each for each in due if each.address not in authorised]
    # An address whose key is at work would spend the nonce that its authorisation is good for.
    busy = store.under_way(connection, hub.network, addresses)
    by_hub = [each for each in due if each.address in authorised and each.address not in busy]
    assets = {each.asset for each in by_hub}
    goes = (
        len(by_hub) >= COMPANY
        or any(each.since <= now - timedelta(seconds=hub.wait_seconds) for each in by_hub)
        or store.is_liquidity_wanted(connection, assets)
    )
    chosen = [(each, SweepMethod.key) for each in by_key]
    return [*chosen, *((each, SweepMethod.hub) for each in by_hub if goes)]


def _sweep(
    each: Collectable, method: SweepMethod, ground: Ground, treasury: str, now: datetime
) -> Sweep:
    by_hub = method is SweepMethod.hub and ground.hub is not None
    return Sweep(
        id=new_id("sw"),
        livemode=each.livemode,
        network=each.network,
        asset=each.asset,
        address=each.address,
        key_index=each.key_index,
        destination=ground.hub.treasury if by_hub and ground.hub else treasury,
        token_amount=each.units,
        status=SweepStatus.approved.value,
        method=method.value,
        created=now,
    )
