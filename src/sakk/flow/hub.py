"""Hubs: have a hub collect on a network, after asking it who it is; follow its treasury."""

import structlog

from sakk.core import evm
from sakk.core.errors import Misconfigured, ParameterInvalid
from sakk.core.hub import Alone, Hub
from sakk.core.network import Network
from sakk.flow.context import Parts
from sakk.rails.evm.hub import HubFacts, delegate_of, hub_facts, is_collector
from sakk.rails.evm.rail import EvmRail
from sakk.store import address, network
from sakk.store import hub as store

WAIT_SECONDS = 60
AGE_SECONDS_MAX = 7 * 86_400
COST_PERCENT_MAX = 5

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

    Misconfigured when it does not stand there, pays to an address that is not ours, or takes no
    call of the key that collects.
    """
    with parts.database.begin() as connection:
        found = network.find_network(connection, name)
        collector = address.list_treasury(connection)[:1]
    if found is None:
        raise ParameterInvalid(f"There is no network {name}.", param="network")
    try:
        place = evm.parse_address(hub_address)
    except ValueError as error:
        raise ParameterInvalid(str(error), param="address") from None
    rail = parts.rail_of(found)
    facts = hub_facts(rail.rpc, place)
    _require_ours(parts, place, facts)
    for each in collector:
        _require_collector(rail, place, each.address)
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
    """Where the hub pays to now, remembered when it has changed.

    Misconfigured when that is no address of ours: nothing may be collected then.
    """
    facts = hub_facts(parts.rail_of(found).rpc, hub.address)
    if facts.treasury == hub.treasury:
        return hub
    _require_ours(parts, hub.address, facts)
    log.warning("hub.treasury_changed", hub=hub.address, before=hub.treasury, now=facts.treasury)
    with parts.database.begin() as connection:
        store.set_treasury(connection, hub.network, facts.treasury)
        changed = store.find(connection, hub.network)
    assert changed is not None
    return changed


def _require_ours(parts: Parts, hub_address: str, facts: HubFacts) -> None:
    with parts.database.begin() as connection:
        known = address.find_address(connection, facts.treasury)
    if known is None or known.purpose in ("payment", "customer"):
        raise Misconfigured(
            f"The hub {evm.checksum_address(hub_address)} pays to "
            f"{evm.checksum_address(facts.treasury)}, which is no treasury of ours: nothing is "
            "collected. Have the cold key propose one that is.",
            param="address",
        )


def _require_collector(rail: EvmRail, hub_address: str, collector: str) -> None:
    if not is_collector(rail.rpc, hub_address, collector):
        raise Misconfigured(
            f"The hub takes no calls of {evm.checksum_address(collector)}, the key that collects: "
            "have the cold key call setCollector for it.",
            param="address",
        )
