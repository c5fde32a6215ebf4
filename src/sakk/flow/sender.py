"""Senders: how each treasury address stands on a network, and which one pays next.

What is read here chooses; it promises nothing. The nonce's lock at the end of a build does: whoever
comes second there builds again, so two workers never spend the same coins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from sakk.core.errors import ResourceMissing
from sakk.core.network import Network
from sakk.core.sender import Standing, choose
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.rails.evm.balances import balances
from sakk.rails.evm.send import nonces
from sakk.store import address, network
from sakk.store import sender as store
from sakk.store.address import Address

log = structlog.get_logger(__name__)


class Senders:
    """The treasury as one batch of payouts sees it: what it has given away counts at once."""

    def __init__(self, parts: Parts, treasury: Sequence[Address]) -> None:
        self._parts = parts
        self._treasury = {each.address: each for each in treasury}
        self._standings: dict[tuple[str, str], list[Standing]] = {}

    def choose(self, network_name: str, asset: str, *, units: int) -> Address:
        """The address that pays so many units; where there is one alone nobody is asked."""
        if len(self._treasury) == 1:
            return next(iter(self._treasury.values()))
        standings = self._known(network_name, asset)
        chosen = choose(standings, units=units)
        if chosen is None:
            return next(iter(self._treasury.values()))
        self._standings[network_name, asset] = [
            _after(each, units) if each.address == chosen.address else each for each in standings
        ]
        return self._treasury[chosen.address]

    def _known(self, network_name: str, asset: str) -> list[Standing]:
        if (network_name, asset) not in self._standings:
            with self._parts.database.begin() as connection:
                found = network.find_network(connection, network_name)
            read = [] if found is None else standings(self._parts, found, [asset])[asset]
            paying = [each for each in read if each.address in self._treasury]
            self._standings[network_name, asset] = paying
        return self._standings[network_name, asset]


def standings(parts: Parts, found: Network, assets: Sequence[str]) -> Mapping[str, list[Standing]]:
    """How each treasury address stands, per asset, in the order of their key indexes.

    The database is read before the chain: what is mined in between counts twice, never not at all.
    """
    native = found.native_asset
    with parts.database.begin() as connection:
        treasury = address.list_treasury(connection)
        frozen = store.frozen(connection, found.network)
        queues = store.queues(connection, found.network, [each.address for each in treasury])
    rail = parts.rail_of(found)
    wanted = [(each.address, asset) for each in treasury for asset in {native, *assets}]
    held = balances(rail.rpc, wanted, rail.head().number)
    result: dict[str, list[Standing]] = {asset: [] for asset in assets}
    for each in treasury:
        queue = queues.get(each.address, store.Queue())
        taken_wei = queue.units.get(native, 0) + queue.gas_wei
        for asset in assets:
            taken = taken_wei if asset == native else queue.units.get(asset, 0)
            result[asset].append(
                Standing(
                    address=each.address,
                    key_index=each.key_index,
                    spare_units=held[each.address, asset] - taken,
                    spare_wei=held[each.address, native] - taken_wei,
                    in_flight=queue.in_flight,
                    is_busy=queue.is_busy,
                    frozen_reason=frozen.get(each.address),
                    role=each.treasury_role.value,
                )
            )
    return result


def unfreeze(parts: Parts, network_name: str, sender: str) -> int:
    """Send from an address again; its next nonce is what the chain says. Again changes nothing.

    Returns that nonce. ResourceMissing for an address that is not frozen there.
    """
    with parts.database.begin() as connection:
        found = network.find_network(connection, network_name)
        frozen = store.frozen(connection, network_name)
    if found is None or sender not in frozen:
        raise ResourceMissing(f"{sender} is not frozen on {network_name}.", param="address")
    used = nonces(parts.rail_of(found).rpc, sender).latest
    with parts.database.begin() as connection:
        store.unfreeze(connection, network_name, sender, base=used)
        wake(connection, "payout.build", "sweep.build")
    log.warning("sender.unfrozen", network=network_name, sender=sender, nonce=used)
    return used


def _after(standing: Standing, units: int) -> Standing:
    return replace(
        standing,
        spare_units=standing.spare_units - units,
        in_flight=standing.in_flight + 1,
        is_busy=True,
    )
