"""What stands on a deposit address that is no payment, read from the node, and whose it may be."""

import re
from dataclasses import dataclass

from sqlalchemy import Connection

from sakk.core import clone
from sakk.core.caip import asset_network, erc20_contract
from sakk.core.clone import Factory, Recover
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.evm import parse_address
from sakk.core.network import Network
from sakk.core.payin import UNBOOKABLE, PayIn
from sakk.core.sweep import SweepSource
from sakk.flow.context import Parts
from sakk.flow.gas_price import price
from sakk.rails.evm.balances import balances, token_facts
from sakk.rails.evm.send import TransferWouldFail, estimate_call, estimate_transfer
from sakk.store import address as addresses
from sakk.store import clone as clones
from sakk.store import network as networks
from sakk.store import payin as payins
from sakk.store import recovery as store

NATIVE_DECIMALS = 18
_SYMBOL = re.compile(r"[A-Za-z0-9$-]{1,12}")
# To whom a transfer is tried out before its destination is known; it is never sent there.
_NOBODY = "0x000000000000000000000000000000000000dead"


@dataclass(frozen=True, slots=True)
class Finding:
    """What stands on a deposit address in one asset, whose it may be, and what sending it costs.

    ``units``: read from the node. ``source``: where it stands in the ledger, None where it is not
    to be recovered, and ``why`` says what to do instead. ``gas_wei``: the most that the transfer
    costs at today's fees; None where the token refuses the transfer.
    """

    network: str
    asset: str
    address: str
    key_index: int
    symbol: str
    decimals: int
    units: int
    source: SweepSource | None
    why: str | None
    gas_wei: int | None
    account_id: str | None
    payment_intent: str | None
    payin: str | None


def examine(
    parts: Parts,
    *,
    network: str,
    address: str,
    asset: str,
    livemode: bool,
    payin: str | None = None,
) -> Finding:
    """Look at one asset on one deposit address; ParameterInvalid, ResourceMissing, Unavailable.

    ``payin``: which of several held ones is meant; else the oldest.
    """
    with parts.database.begin() as connection:
        found = _network(connection, network, asset, livemode=livemode)
        ours = _deposit(connection, address)
        held = payins.find_held(connection, address=ours.address, asset=asset, first=payin)
        listed = networks.find_asset(connection, asset) is not None
        waiting = store.in_suspense(connection, address=ours.address, asset=asset)
        factory = None if ours.factory is None else clones.find(connection, network, ours.factory)
        seeds = addresses.find_seeds(connection)
    rail = parts.rail_of(found)
    contract = erc20_contract(asset)
    units = balances(rail.rpc, [(ours.address, asset)], rail.head().number)[ours.address, asset]
    symbol, decimals = found.native_asset.partition("/")[2], NATIVE_DECIMALS
    if contract is not None:
        facts = token_facts(rail.rpc, contract)
        symbol, decimals = _named(facts.symbol, contract), facts.decimals
    source, most, why = _source(contract, held, waiting, units, listed=listed)
    units = min(units, most)
    if ours.factory is not None and (factory is None or factory.recoverer is None):
        source, why = None, _why_stuck(factory, network)
    gas_wei = None
    if units and ours.factory is None:
        gas_wei = _gas(parts, found, ours.address, contract, units)
    elif units and factory is not None:
        salt = clone.salt_at(seeds, ours.key_index)
        gas_wei = _gas_of_clone(parts, found, factory, Recover(salt, contract, _NOBODY, units))
    return Finding(
        network=found.network,
        asset=asset,
        address=ours.address,
        key_index=ours.key_index,
        symbol=symbol,
        decimals=decimals,
        units=units,
        source=source if units else None,
        why=why if units else "Nothing of it is there.",
        gas_wei=gas_wei,
        account_id=ours.account_id,
        payment_intent=ours.payment_intent,
        payin=None if held is None else held.id,
    )


def _network(connection: Connection, name: str, asset: str, *, livemode: bool) -> Network:
    found = networks.find_network(connection, name)
    if found is None or found.livemode != livemode:
        raise ParameterInvalid(
            "{name} is not a network here. Add it first: sakk networks add {name_2}.",
            param="network",
            name=repr(name),
            name_2=name,
        )
    try:
        on_it = asset_network(asset) == name
    except ValueError as error:
        raise ParameterInvalid("{error}.", param="asset", error=error) from error
    if not on_it:
        raise ParameterInvalid("{asset} is not on {name}.", param="asset", asset=asset, name=name)
    return found


def _deposit(connection: Connection, text: str) -> addresses.Address:
    try:
        parsed = parse_address(text)
    except ValueError as error:
        raise ParameterInvalid("{error}.", param="address", error=error) from error
    found = addresses.find_address(connection, parsed)
    if found is None or found.purpose in addresses.OPERATORS:
        raise ResourceMissing(
            "This is not a deposit address of this Sakk: only such can be recovered from.",
            param="address",
        )
    return found


def _named(symbol: str, contract: str) -> str:
    """What a token calls itself, if that is a name; whoever made it may have written anything."""
    return symbol if _SYMBOL.fullmatch(symbol) else contract


def _source(
    contract: str | None,
    held: PayIn | None,
    waiting: dict[SweepSource, int],
    units: int,
    *,
    listed: bool,
) -> tuple[SweepSource | None, int, str | None]:
    """Where the coins stand, how many of them may go, and if none, what to do instead."""
    if contract is None:
        for source, most in waiting.items():
            if most > 0:
                return source, most, None
        return None, units, "Have this native coin booked first: sakk reconcile --adopt."
    if held is not None and held.quarantined:
        return SweepSource.quarantine, held.token_amount, None
    if held is not None and held.role not in UNBOOKABLE:
        return None, units, "This pay-in is just being quarantined: try again in a moment."
    if not listed:
        # Each payer gets what that payer sent, where it was seen who sent what.
        return SweepSource.unbooked, units if held is None else held.token_amount, None
    return (
        None,
        units,
        "This token is listed here: its pay-ins are credited, or refunded by POST /v1/refunds.",
    )


def _gas(parts: Parts, found: Network, sender: str, contract: str | None, units: int) -> int | None:
    """What sending it costs at most at today's fees; None where the token refuses to be sent."""
    rail = parts.rail_of(found)
    try:
        gas = estimate_transfer(
            rail.rpc, sender=sender, receiver=_NOBODY, contract=contract, units=units
        )
    except TransferWouldFail:
        return None
    return gas * price(parts, found).max_fee_per_gas


def _why_stuck(factory: Factory | None, network: str) -> str:
    """Why nothing can be sent from a clone for now, and what to do."""
    if factory is not None:
        return (
            "Its factory obeys no recoverer: the cold key proposes one (docs/operating/treasury)."
        )
    return (
        f"It is a clone whose factory is not known on {network}: create hub and factory there with "
        "the calls of `sakk sweeps deployment`, the same as elsewhere, then `sakk sweeps factory`."
    )


def _gas_of_clone(parts: Parts, found: Network, factory: Factory, call: Recover) -> int | None:
    """The same for a clone, which its factory's recoverer has send something."""
    if factory.recoverer is None:
        return None
    rail, data = parts.rail_of(found), clone.encode_recover(call)
    try:
        gas = estimate_call(
            rail.rpc, sender=factory.recoverer, to=factory.address, value=0, data=data
        )
    except TransferWouldFail:
        return None
    return gas * price(parts, found).max_fee_per_gas
