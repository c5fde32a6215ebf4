"""Clones: have a factory's be collected on a network, after asking who it is; give them out.

What was given out once is collected by its own factory for ever, whatever is given out later.
"""

from dataclasses import replace
from datetime import datetime

import structlog

from sakk.core import event, evm
from sakk.core.breach import Guard
from sakk.core.clone import Factory, public
from sakk.core.errors import Misconfigured, ParameterInvalid, SakkError
from sakk.core.event import NewEvent
from sakk.core.network import DepositMethod, Network
from sakk.flow import breach
from sakk.flow.context import Parts
from sakk.flow.hub import (
    AGE_SECONDS_MAX,
    COST_PERCENT_MAX,
    LOOK_EVERY,
    WAIT_SECONDS,
    collector_among,
    require_ours,
)
from sakk.flow.stage import Stage
from sakk.rails.evm.clone import (
    FactoryFacts,
    factory_facts,
    require_our_addresses,
    require_our_code,
)
from sakk.store import address, network
from sakk.store import clone as store
from sakk.store import event as events

log = structlog.get_logger(__name__)


def put_factory(
    parts: Parts,
    name: str,
    factory_address: str,
    *,
    wait_seconds: int = WAIT_SECONDS,
    age_seconds_max: int = AGE_SECONDS_MAX,
    cost_percent_max: int = COST_PERCENT_MAX,
    enabled: bool = True,
) -> Factory:
    """Let a factory's clones be collected on a network, or change when they are.

    Misconfigured when it or its hub is not our code there, when it pays to or is recovered by an
    address that is not ours, takes no call of the key that collects, or where the chain would put
    clones elsewhere than we count.
    """
    with parts.database.begin() as connection:
        found = network.find_network(connection, name)
        collectors = address.list_gas_payers(connection)
    if found is None:
        raise ParameterInvalid(f"There is no network {name}.", param="network")
    try:
        place = evm.parse_address(factory_address)
    except ValueError as error:
        raise ParameterInvalid(str(error), param="address") from None
    rail = parts.rail_of(found)
    facts = factory_facts(rail.rpc, place)
    require_our_code(rail.rpc, "Hub", facts.hub_address)
    require_our_addresses(rail.rpc, place)
    _require_ours(parts, place, facts)
    if collectors:
        collector_among(rail, facts.hub_address, collectors)
    factory = Factory(
        network=name,
        address=place,
        hub=facts.hub_address,
        treasury=facts.hub.treasury,
        recoverer=facts.recoverer,
        wait_seconds=wait_seconds,
        age_seconds_max=age_seconds_max,
        cost_percent_max=cost_percent_max,
        enabled=enabled,
        proposed=facts.hub.proposed,
        proposed_recoverer=facts.proposed,
        created=parts.clock(),
    )
    with parts.database.begin() as connection:
        store.put(connection, factory)
    return factory


def set_deposits(
    parts: Parts, name: str, method: DepositMethod, factory_address: str | None = None
) -> Network:
    """Say which addresses are given out for a network from now on.

    ParameterInvalid without a factory for clones, or with one for keys; Misconfigured when what
    stands there is not what `put_factory` demands.
    """
    if (method is DepositMethod.clone) != (factory_address is not None):
        raise ParameterInvalid(
            "Clones are a factory's, so name it; addresses of keys need none.", param="factory"
        )
    place = None
    if factory_address is not None:
        try:
            place = evm.parse_address(factory_address)
        except ValueError as error:
            raise ParameterInvalid(str(error), param="factory") from None
        with parts.database.begin() as connection:
            known = store.find(connection, name, place)
        if known is None or not known.enabled:
            raise ParameterInvalid(
                f"No clones of {factory_address} are collected on {name}, so none are given out: "
                f"sakk sweeps factory {name} {factory_address}.",
                param="factory",
            )
        put_factory(
            parts,
            name,
            place,
            wait_seconds=known.wait_seconds,
            age_seconds_max=known.age_seconds_max,
            cost_percent_max=known.cost_percent_max,
        )
    with parts.database.begin() as connection:
        found = network.set_deposit_factory(connection, name, place)
    if found is None:
        raise ParameterInvalid(f"There is no network {name}.", param="network")
    return found


def follow_factory(parts: Parts, factory: Factory, found: Network) -> Factory:
    """The factory with the treasury that it pays to, and the recoverer that it obeys, now.

    Misconfigured when one of them is no address of ours: nothing may be collected then.
    """
    facts = factory_facts(parts.rail_of(found).rpc, factory.address)
    _require_ours(parts, factory.address, facts)
    return _seen(factory, facts)


def clone_look_stage(parts: Parts, *, guard: Guard = Guard.off) -> Stage:
    """The stage that asks every factory what is proposed to it and its hub, and tells."""
    looked: dict[tuple[str, str], datetime] = {}

    def run() -> int:
        now = parts.clock()
        with parts.database.read() as connection:
            networks = {each.network: each for each in network.list_networks(connection)}
            due = [
                each
                for each in store.list_factories(connection)
                if looked.get((each.network, each.address), now - LOOK_EVERY) <= now - LOOK_EVERY
            ]
        for each in due:
            looked[each.network, each.address] = now
            try:
                _look(parts, each, networks[each.network], guard=guard)
            except SakkError as error:
                log.info("clone.not_looked", network=each.network, code=error.code)
        return 0

    return Stage("clone.look", run, idle_seconds=LOOK_EVERY.total_seconds())


def _look(parts: Parts, before: Factory, found: Network, *, guard: Guard) -> None:
    facts = factory_facts(parts.rail_of(found).rpc, before.address)
    after = _seen(before, facts)
    if after == before:
        return
    is_changed = (after.treasury, after.recoverer) != (before.treasury, before.recoverer)
    is_proposed = {after.proposed, after.proposed_recoverer} != {None}
    name = event.FACTORY_CANCELED
    if is_changed or is_proposed:
        name = event.FACTORY_CHANGED if is_changed else event.FACTORY_PROPOSED
    log.warning(name, network=found.network, factory=before.address)
    told = NewEvent(
        account_id=None,
        livemode=found.livemode,
        type=name,
        object_id=before.address,
        object=public(
            after,
            executable_at=facts.executable_at,
            treasury_executable_at=facts.hub.executable_at,
        ),
    )
    now = parts.clock()
    with parts.database.begin() as connection:
        store.set_seen(connection, after)
        events.append(connection, [told], now=now)
        ours = address.operators(connection)
        rows = [
            make(found, place, stranger, now=now)
            for make, place, named in (
                (breach.of_hub, after.hub, (after.treasury, after.proposed)),
                (breach.of_factory, after.address, (after.recoverer, after.proposed_recoverer)),
            )
            for stranger in named
            if stranger is not None and stranger not in ours
        ]
        breach.tell(connection, rows, guard=guard, now=now)


def _seen(factory: Factory, facts: FactoryFacts) -> Factory:
    return replace(
        factory,
        treasury=facts.hub.treasury,
        recoverer=facts.recoverer,
        proposed=facts.hub.proposed,
        proposed_recoverer=facts.proposed,
    )


def _require_ours(parts: Parts, place: str, facts: FactoryFacts) -> None:
    require_ours(parts, facts.hub_address, facts.hub)
    if facts.recoverer is None:
        return
    with parts.database.begin() as connection:
        known = address.find_address(connection, facts.recoverer)
    if known is None or known.purpose != address.TREASURY:
        raise Misconfigured(
            f"The factory {evm.checksum_address(place)} lets "
            f"{evm.checksum_address(facts.recoverer)}, which is no treasury of ours, send what its "
            "clones hold. Have the cold key dismiss it.",
            param="address",
        )
