"""The gas station: how much native coin pays for gas, and an alarm before it runs out.

Coins for gas stand at the treasury; the station gives some to a deposit address that is swept by
its own key (`flow.sweep`). Nothing is lost when a tank is empty: what would be sent waits.
"""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from prometheus_client import Gauge
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.errors import SakkError
from sakk.core.network import Network
from sakk.core.sender import TreasuryRole
from sakk.core.tank import Filling, Tank, filling, is_beyond, is_low
from sakk.flow import gas_price
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import TOPUP_DAY, GasGift, send_gas, tank_event
from sakk.rails.evm.balances import balances
from sakk.store import address, network, transaction
from sakk.store import event as events
from sakk.store import tank as store
from sakk.store.identity import new_id

LOOK_EVERY = timedelta(seconds=15)
# One that was refused, or whose coins are used up already, is not given more at once.
FILL_AGAIN_AFTER = timedelta(minutes=10)

log = structlog.get_logger(__name__)

tank_wei = Gauge(
    "sakk_gas_tank_wei",
    "Native coin at the treasury's addresses, which pays for gas.",
    ["network"],
    multiprocess_mode="mostrecent",
)
tank_low = Gauge(
    "sakk_gas_tank_low",
    "1 while a network's tank covers too few transactions at its present fees.",
    ["network"],
    multiprocess_mode="mostrecent",
)


topped_up = Gauge(
    "sakk_gas_topped_up_wei",
    "Native coin that deposit addresses were given for gas in the last 24 hours.",
    ["network"],
    multiprocess_mode="mostrecent",
)
limited = Gauge(
    "sakk_gas_limited",
    "1 while a network's day's limit of gas for deposit addresses is reached.",
    ["network"],
    multiprocess_mode="mostrecent",
)


def gas_stage(parts: Parts) -> Stage:
    """The stage that looks at every network's tank, and tells when it runs low."""

    def run() -> int:
        now = parts.clock()
        with parts.database.read() as connection:
            looked = {each.network: each for each in store.list_tanks(connection)}
            due = [
                each
                for each in network.list_networks(connection)
                if each.enabled
                and (each.network not in looked or looked[each.network].checked <= now - LOOK_EVERY)
            ]
        for each in due:
            try:
                _look(parts, each, looked.get(each.network))
            except SakkError as error:
                log.info("gas.not_looked", network=each.network, code=error.code)
        return 0

    return Stage("gas.look", run, idle_seconds=LOOK_EVERY.total_seconds())


def _fill(parts: Parts, found: Network, wanted: Filling | None) -> None:
    """Order gas for a treasury address that has too little, from the one that has most."""
    if wanted is None:
        return
    with parts.database.begin() as connection:
        since = parts.clock() - FILL_AGAIN_AFTER
        if transaction.was_topped_up(connection, found.network, wanted.destination, since=since):
            return
        [sender] = [
            each for each in address.list_payers(connection) if each.address == wanted.source
        ]
    gift = GasGift(
        subject=new_id("gas"),
        destination=wanted.destination,
        destination_index=None,
        units=wanted.wei,
    )
    send_gas(parts, found, sender, gift)


def _look(parts: Parts, found: Network, before: Tank | None) -> None:
    rail = parts.rail_of(found)
    price = gas_price.price(parts, found)
    with parts.database.begin() as connection:
        senders = [*address.list_gas_payers(connection)]
        known = {each.address for each in senders}
        senders += [each for each in address.list_captors(connection) if each.address not in known]
        spent = transaction.topped_up_wei(
            connection, found.network, since=parts.clock() - TOPUP_DAY
        )
    holders = [each.address for each in senders]
    held = balances(rail.rpc, [(each, found.native_asset) for each in holders], rail.head().number)
    wei = sum(held.values())
    low = is_low(wei, price)
    tank_wei.labels(found.network).set(wei)
    tank_low.labels(found.network).set(low)
    topped_up.labels(found.network).set(spent)
    now = parts.clock()
    _fill(
        parts,
        found,
        filling(
            {holder: held[holder, found.native_asset] for holder in holders},
            price,
            gas_keys={
                each.address for each in senders if each.treasury_role is not TreasuryRole.pay
            },
        ),
    )
    after = Tank(network=found.network, wei=wei, low=low, checked=now)
    with parts.database.begin() as connection:
        store.put(connection, after)
        after = store.find(connection, found.network)
        limited.labels(found.network).set(_is_limited(connection, found, after, spent, now=now))
        if low == (before.low if before is not None else False):
            return
        name = event.GAS_LOW if low else event.GAS_RESTORED
        log.warning(name, network=found.network, wei=wei)
        events.append(connection, [tank_event(found, after, name)], now=now)


def _is_limited(
    connection: Connection, found: Network, after: Tank, spent: int, *, now: datetime
) -> bool:
    """Does the day's limit hold gas back still? Its end is told of, and wakes what waited."""
    if after.limited_wei is None:
        return False
    if is_beyond(spent, after.limited_wei, limit=found.topup_wei_per_day_max):
        return True
    store.let_go(connection, found.network)
    free = replace(after, limited_wei=None)
    log.info(event.GAS_UNLIMITED, network=found.network, spent=spent)
    events.append(connection, [tank_event(found, free, event.GAS_UNLIMITED)], now=now)
    wake(connection, "sweep.build")
    return False
