"""Contracts: have ours deployed, and the treasury's allowances given and taken back.

What a command orders is a transaction of the treasury like every other: the worker's stages have it
signed, send it and book its gas.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from sakk.core import evm
from sakk.core.contract import CONTRACTS, DISPERSE, Contract
from sakk.core.errors import ResourceMissing, Unavailable, UnexpectedState
from sakk.core.network import Asset, Network
from sakk.core.transaction import ChainTransaction, Purpose
from sakk.flow.build import Call, Waits, order_call
from sakk.flow.context import Parts
from sakk.flow.disperse import Group, order_allowance
from sakk.rails.evm.contract import SALT, creation_code
from sakk.rails.evm.disperse import allowed_units
from sakk.store import address, network, transaction
from sakk.store.address import Address

# How long a command waits for its turn among the treasury's transactions.
TURN_SECONDS_MAX = 30.0
TURN_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """A contract of ours on a network: does it stand there?"""

    contract: Contract
    network: str
    is_deployed: bool


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the disperse contract may take of a token from a treasury address, at its own call."""

    asset: Asset
    owner: str
    units: int


def places(parts: Parts) -> list[Place]:
    """Every contract of ours on every enabled network."""
    with parts.database.begin() as connection:
        found = [each for each in network.list_networks(connection) if each.enabled]
    return [
        Place(contract, each.network, _stands(parts, each, contract))
        for each in found
        for contract in CONTRACTS.values()
    ]


def deploy(parts: Parts, name: str, network_name: str) -> ChainTransaction:
    """Order the creation of a contract by the public deployer; anyone could, the address is ours.

    UnexpectedState when it stands already, or is on its way; Unavailable when it is not our turn
    for long.
    """
    contract = CONTRACTS.get(name)
    if contract is None:
        known = ", ".join(CONTRACTS)
        raise ResourceMissing(f"There is no contract {name!r}. Ours are: {known}.", param="name")
    found, sender = _sender(parts, network_name)
    if _stands(parts, found, contract):
        raise UnexpectedState(f"{name} stands at {contract.address} on {network_name} already.")
    with parts.database.begin() as connection:
        if transaction.is_under_way(connection, network_name, Purpose.deploy, contract.address):
            raise UnexpectedState(f"{name} is on its way to {network_name}.")
    call = Call(
        purpose=Purpose.deploy,
        to=evm.CREATE2_DEPLOYER,
        data=SALT + creation_code(contract.name),
        asset=found.native_asset,
        destination=contract.address,
        units=0,
    )
    return _at_our_turn(lambda: order_call(parts, found, sender, call))


def allowances(parts: Parts) -> list[Allowance]:
    """Of every token that is paid out on a network where the disperse contract stands."""
    with parts.database.begin() as connection:
        treasury = address.list_treasury(connection)
        found = {each.network: each for each in network.list_networks(connection) if each.enabled}
        listed = [each for each in network.list_assets(connection) if each.network in found]
    standing = {name for name, each in found.items() if _stands(parts, each, DISPERSE)}
    return [
        Allowance(each, owner.address, _allowed(parts, found[each.network], each, owner))
        for each in listed
        if each.contract is not None and each.payout_enabled and each.network in standing
        for owner in treasury
    ]


def disperse_from(parts: Parts, asset_name: str, minimum: int) -> Asset:
    """Say from how many payouts on a token's go together; 0: never. The next ones order it."""
    with parts.database.begin() as connection:
        asset = _asset(connection, asset_name)
        return network.set_disperse_min(connection, asset.asset, minimum)


def revoke(parts: Parts, asset_name: str) -> list[ChainTransaction]:
    """Pay a token out by single transfers from now on, and take its allowances back."""
    asset = disperse_from(parts, asset_name, 0)
    found, _ = _sender(parts, asset.network)
    with parts.database.begin() as connection:
        owners = address.list_treasury(connection)
    return [
        _take_back(parts, Group(found, asset, owner, ()))
        for owner in owners
        if _allowed(parts, found, asset, owner)
    ]


def _take_back(parts: Parts, group: Group) -> ChainTransaction:
    return _at_our_turn(lambda: order_allowance(parts, group, units=0))


def _asset(connection: Connection, name: str) -> Asset:
    found = network.find_asset(connection, name)
    if found is None or found.contract is None:
        raise ResourceMissing(f"There is no listed token {name!r}.", param="asset")
    return found


def _sender(parts: Parts, name: str) -> tuple[Network, Address]:
    with parts.database.begin() as connection:
        found = network.find_network(connection, name)
        treasury = address.list_payers(connection)
    if found is None:
        raise ResourceMissing(f"There is no network {name!r}.", param="network")
    if not treasury:
        raise Unavailable("There is no treasury address yet: start the signer.")
    return found, treasury[0]


def _stands(parts: Parts, found: Network, contract: Contract) -> bool:
    rpc = parts.rail_of(found).rpc
    return rpc.call("eth_getCode", [contract.address, "latest"], str) != "0x"


def _allowed(parts: Parts, found: Network, asset: Asset, owner: Address) -> int:
    assert asset.contract is not None
    return allowed_units(parts.rail_of(found).rpc, token=asset.contract, owner=owner.address)


def _at_our_turn(order: Callable[[], ChainTransaction]) -> ChainTransaction:
    """A sender has one unsigned transaction at a time: a command waits a little for its own."""
    deadline = time.monotonic() + TURN_SECONDS_MAX
    while True:
        try:
            return order()
        except Waits as waiting:
            if time.monotonic() > deadline:
                raise Unavailable(f"Not now, {waiting}: try again.") from waiting
            time.sleep(TURN_POLL_SECONDS)
