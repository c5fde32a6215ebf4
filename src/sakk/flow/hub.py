"""Hubs: have a hub collect on a network, after asking it who it is; follow its treasury."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from sakk.core import event, evm
from sakk.core.breach import Guard
from sakk.core.errors import Misconfigured, ParameterInvalid, SakkError
from sakk.core.event import NewEvent
from sakk.core.hub import Alone, Hub, public
from sakk.core.network import Network
from sakk.flow import breach
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.rails.evm.hub import (
    HubFacts,
    delegate_of,
    hub_facts,
    is_collector,
    knows_delegation,
)
from sakk.rails.evm.rail import EvmRail
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import hub as store
from sakk.store.address import Address

WAIT_SECONDS = 60
AGE_SECONDS_MAX = 7 * 86_400
COST_PERCENT_MAX = 5
LOOK_EVERY = timedelta(seconds=30)

log = structlog.get_logger(__name__)


def put_hub(
    parts: Parts,
    name: str,
    hub_address: str,
    *,
    wait_seconds: int = WAIT_SECONDS,
    age_seconds_max: int = AGE_SECONDS_MAX,
    cost_percent_max: int = COST_PERCENT_MAX,
    alone: Alone = Alone.key,
    enabled: bool = True,
) -> Hub:
    """Let a hub collect on a network, or change when it does.

    Misconfigured when it does not stand there, on a network without EIP-7702, when it pays to an
    address that is not ours, or takes no call of the key that collects.
    """
    with parts.database.begin() as connection:
        found = network.find_network(connection, name)
        collectors = address.list_gas_payers(connection)
    if found is None:
        raise ParameterInvalid(f"There is no network {name}.", param="network")
    try:
        place = evm.parse_address(hub_address)
    except ValueError as error:
        raise ParameterInvalid(str(error), param="address") from None
    rail = parts.rail_of(found)
    facts = hub_facts(rail.rpc, place)
    if not knows_delegation(rail.rpc):
        raise Misconfigured(
            f"{name} does not carry EIP-7702's authorisations: its deposits are swept by their own "
            "keys, with gas from the treasury, or are clones (`sakk sweeps factory`).",
            param="network",
        )
    require_ours(parts, place, facts)
    if collectors:
        collector_among(rail, place, collectors)
    hub = Hub(
        network=name,
        address=place,
        delegate=delegate_of(place),
        treasury=facts.treasury,
        wait_seconds=wait_seconds,
        age_seconds_max=age_seconds_max,
        cost_percent_max=cost_percent_max,
        alone=alone.value,
        enabled=enabled,
        created=parts.clock(),
    )
    with parts.database.begin() as connection:
        store.put(connection, hub)
    return hub


def follow_treasury(parts: Parts, hub: Hub, found: Network) -> Hub:
    """The hub with the treasury that it pays to now.

    Misconfigured when that is no address of ours: nothing may be collected then.
    """
    facts = hub_facts(parts.rail_of(found).rpc, hub.address)
    require_ours(parts, hub.address, facts)
    return replace(hub, treasury=facts.treasury)


def hub_stage(parts: Parts, *, guard: Guard = Guard.off) -> Stage:
    """The stage that asks every hub what is proposed to it, and tells: that is what a delay is for.

    A proposal that nobody here knows of is to be cancelled with the cold key before it is due.
    """
    looked: dict[str, datetime] = {}

    def run() -> int:
        now = parts.clock()
        with parts.database.read() as connection:
            networks = {each.network: each for each in network.list_networks(connection)}
            due = [
                each
                for each in store.list_hubs(connection)
                if looked.get(each.network, now - LOOK_EVERY) <= now - LOOK_EVERY
            ]
        for each in due:
            looked[each.network] = now
            try:
                _look(parts, each, networks[each.network], guard=guard)
            except SakkError as error:
                log.info("hub.not_looked", network=each.network, code=error.code)
        return 0

    return Stage("hub.look", run, idle_seconds=LOOK_EVERY.total_seconds())


def _look(parts: Parts, before: Hub, found: Network, *, guard: Guard) -> None:
    facts = hub_facts(parts.rail_of(found).rpc, before.address)
    after = replace(before, proposed=facts.proposed, treasury=facts.treasury)
    if after == before:
        return
    if facts.treasury != before.treasury:
        name = event.HUB_CHANGED
    else:
        name = event.HUB_CANCELED if facts.proposed is None else event.HUB_PROPOSED
    log.warning(name, network=found.network, treasury=facts.treasury, proposed=facts.proposed)
    told = NewEvent(
        account_id=None,
        livemode=found.livemode,
        type=name,
        object_id=found.network,
        object=public(after, executable_at=facts.executable_at),
    )
    with parts.database.begin() as connection:
        store.set_proposed(connection, found.network, facts.proposed)
        store.set_treasury(connection, found.network, facts.treasury)
        events.append(connection, [told], now=parts.clock())
        strange = _strangers(connection, after)
        now = parts.clock()
        rows = [breach.of_hub(found, after.address, each, now=now) for each in strange]
        breach.tell(connection, rows, guard=guard, now=now)


def _strangers(connection: Connection, hub: Hub) -> list[str]:
    """Where a hub pays, or is to pay, that is no address of the treasury or a vault."""
    places = [each for each in (hub.treasury, hub.proposed) if each is not None]
    return [each for each in places if each not in address.operators(connection)]


def require_ours(parts: Parts, hub_address: str, facts: HubFacts) -> None:
    """Misconfigured where a hub pays to an address that is no treasury or vault of ours."""
    with parts.database.begin() as connection:
        known = address.find_address(connection, facts.treasury)
    if known is None or known.purpose in address.DEPOSITS:
        raise Misconfigured(
            f"The hub {evm.checksum_address(hub_address)} pays to "
            f"{evm.checksum_address(facts.treasury)}, which is no treasury of ours: nothing is "
            "collected. Have the cold key propose one that is.",
            param="address",
        )


def collector_among(rail: EvmRail, hub_address: str, candidates: Sequence[Address]) -> Address:
    """The first of these addresses whose calls the hub takes; Misconfigured if it takes none's."""
    for each in candidates:
        if is_collector(rail.rpc, hub_address, each.address):
            return each
    named = evm.checksum_address(candidates[0].address)
    raise Misconfigured(
        f"The hub takes no calls of {named}, the key that collects: have the cold key call "
        "setCollector for it.",
        param="address",
    )
