"""The treasury: its vaults and targets, and what should move."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import chart, evm
from sakk.core import treasury as rules
from sakk.core.caip import asset_network
from sakk.core.errors import ParameterInvalid
from sakk.core.treasury import Holding, Target, Tier, Vault
from sakk.flow.context import Parts
from sakk.store import address, network
from sakk.store import treasury as store

LABEL_CHARACTERS_MAX = 100


def put_vault(
    connection: Connection, *, name: str, place: str, tier: Tier, label: str, now: datetime
) -> Vault:
    """Name an address of the operator's own as a vault, and watch it from now on.

    What stands there already is not counted: it is booked as it comes. ParameterInvalid for an
    address that deposits come to, or of the treasury.
    """
    found = network.find_network(connection, name)
    if found is None:
        raise ParameterInvalid(f"There is no network {name}.", param="network")
    try:
        parsed = evm.parse_address(place)
    except ValueError as error:
        raise ParameterInvalid(str(error), param="address") from None
    if tier is Tier.hot:
        raise ParameterInvalid("A vault is warm or cold.", param="tier")
    if not 0 < len(label) <= LABEL_CHARACTERS_MAX:
        raise ParameterInvalid(
            f"A label has 1 to {LABEL_CHARACTERS_MAX} characters.", param="label"
        )
    known = address.find_address(connection, parsed)
    if known is not None and known.purpose != address.VAULT:
        raise ParameterInvalid(
            f"{place} is already an address of this house, for {known.purpose}.", param="address"
        )
    address.put_vault(connection, parsed, livemode=found.livemode, now=now)
    vault = Vault(network=name, address=parsed, tier=tier.value, label=label, created=now)
    store.put_vault(connection, vault)
    return vault


def put_target(connection: Connection, target: Target) -> Target:
    """Say how much of an asset shall stand hot. ParameterInvalid unless low ≤ target ≤ high."""
    if network.find_asset(connection, target.asset) is None:
        raise ParameterInvalid(f"There is no listed asset {target.asset}.", param="asset")
    if not 0 <= target.low_units <= target.target_units <= target.high_units:
        raise ParameterInvalid("The band is low ≤ target ≤ high, from 0 on.", param="target")
    store.put_target(connection, target)
    return target


def plan(parts: Parts, *, livemode: bool) -> list[dict[str, Any]]:
    """Every asset's balances by tier, its target, and what should move, by the books."""
    with parts.database.begin() as connection:
        live = {
            each.network for each in network.list_networks(connection) if each.livemode is livemode
        }
        assets = [each.asset for each in network.list_assets(connection) if each.network in live]
        vaults = [each for each in store.list_vaults(connection) if each.network in live]
        units_at = store.vault_units(connection, [each.address for each in vaults])
        targets = store.list_targets(connection)
    hot = parts.books.balances([chart.custody(each, "hot") for each in assets])
    # Credits less debits: an account of coins held shows what it holds below zero.
    standing = [Holding(asset, Tier.hot, -units) for asset, units in zip(assets, hot, strict=True)]
    for vault in vaults:
        for asset in assets:
            if asset_network(asset) == vault.network:
                units = units_at.get((vault.address, asset), 0)
                standing.append(Holding(asset, Tier(vault.tier), units, vault.address, vault.label))
    return [rules.public_holding(name, targets.get(name), standing) for name in assets]
