"""Build collections: many sweeps of a network become one call of its hub.

What the hub can not collect for now is sent back alone, and goes by its own key and a top-up: an
address whose authorisation is missing or spent, or the only one of its batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from sakk.core import authorization as codec
from sakk.core import evm, hub
from sakk.core.authorization import SignedAuthorization
from sakk.core.caip import erc20_contract
from sakk.core.hub import Alone, Hub, Item
from sakk.core.network import Network
from sakk.core.sweep import Sweep, SweepMethod
from sakk.flow.build import WAIT_LIQUIDITY, Waits
from sakk.flow.collection import (
    Call,
    Caller,
    attempt_collection,
    built_call,
    caller_of,
    claim_sweeps,
    due_sweeps,
    fitting_call,
    give_rest_back,
    insert_call,
    without_held,
)
from sakk.flow.context import Parts
from sakk.flow.hub import collector_among, follow_treasury
from sakk.flow.stage import Stage, wake
from sakk.rails.evm.hub import Standing, standings
from sakk.store import address, authorization, network
from sakk.store import hub as hubs
from sakk.store import sweep as sweeps
from sakk.store.address import Address
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import settle


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says of a batch before the chain is asked."""

    caller: Caller
    hub: Hub
    signed: dict[str, SignedAuthorization]
    addresses: dict[str, Address]


_due = due_sweeps(SweepMethod.hub)


def collect_build_stage(parts: Parts) -> Stage:
    """The stage that makes one call of the hub of many approved sweeps."""

    def run() -> int:
        token = new_id("lease")
        rows = claim_sweeps(parts, _due, token=token)
        for name in sorted({row.network for row in rows}):
            batch = [row for row in rows if row.network == name]
            build = partial(_build, parts, name, batch, token=token)
            # Where the hub itself refuses, each goes by its own key.
            attempt_collection(parts, name, batch, build, token=token, instead=SweepMethod.key)
        return len(rows)

    return Stage("collect.build", run, due=(_due,))


def _build(parts: Parts, name: str, rows: list[Sweep], *, token: str) -> None:
    rows = without_held(parts, rows, token=token)
    if not rows:
        return
    found, named, sender = _collector(parts, name)
    with parts.database.begin() as connection:
        known = _known(connection, caller_of(connection, found, sender), named, rows)
    rail = parts.rail_of(found)
    known = replace(known, hub=follow_treasury(parts, known.hub, found))
    standing = standings(rail.rpc, [row.address for row in rows], delegate=known.hub.delegate)
    by_hub = [row for row in rows if _goes_by_hub(row, rows, known, standing[row.address])]
    by_key = [row for row in rows if row not in by_hub]
    if by_key:
        with parts.database.begin() as connection:
            _send_by_key(connection, by_key, token=token)
    if not by_hub:
        return
    call = fitting_call(rail, known.caller, by_hub, partial(_call, known, standing))
    built = built_call(parts, rail, known.caller, call)
    failpoint("collect.build.before")
    with parts.database.begin() as connection:
        insert_call(connection, built, call.sweeps, token=token)
        give_rest_back(connection, by_hub, call.sweeps, token=token)
        wake(connection, "collect.build")
    failpoint("collect.build.after")


def _collector(parts: Parts, name: str) -> tuple[Network, Hub, Address]:
    """The network, its hub, and the first of our addresses whose calls the hub takes."""
    with parts.database.begin() as connection:
        found = network.find_network(connection, name)
        named = hubs.find(connection, name)
        candidates = address.list_gas_payers(connection)
    if found is None or not found.enabled:
        raise Waits("the network is not enabled", WAIT_LIQUIDITY)
    if named is None:
        raise Waits("the network has no hub", WAIT_LIQUIDITY)
    if len(candidates) == 1:
        return found, named, candidates[0]
    return found, named, collector_among(parts.rail_of(found), named.address, candidates)


def _known(connection: Connection, caller: Caller, named: Hub, rows: Sequence[Sweep]) -> Known:
    deposited = [row.address for row in rows]
    return Known(
        caller=caller,
        hub=named,
        signed={
            each.address: SignedAuthorization(
                codec.for_delegate(each.delegate), evm.parse_signature(each.signature)
            )
            for each in authorization.find(connection, named.delegate, deposited).values()
        },
        addresses=address.find_addresses(connection, deposited),
    )


def _goes_by_hub(row: Sweep, rows: Sequence[Sweep], known: Known, standing: Standing) -> bool:
    if not known.hub.enabled:
        return False
    match standing:
        case Standing.ready:
            return True
        case Standing.spent:
            return False
        case Standing.can_be_delegated:
            if row.address not in known.signed:
                return False
    # A payment's address is rarely used again, so what is dearer now is not made good later.
    is_alone = all(each.address == row.address for each in rows)
    once = known.addresses[row.address].purpose == "payment"
    return not (is_alone and once and known.hub.alone == Alone.key)


def _call(known: Known, standing: dict[str, Standing], rows: Sequence[Sweep]) -> Call:
    fresh = sorted(
        {row.address for row in rows if standing[row.address] is Standing.can_be_delegated}
    )
    return Call(
        to=known.hub.address,
        treasury=known.hub.treasury,
        sweeps=rows,
        data=hub.encode_sweep([_item(each) for each in rows]),
        authorizations=[known.signed[each] for each in fresh],
    )


def _send_by_key(connection: Connection, rows: Sequence[Sweep], *, token: str) -> None:
    """These go by a top-up and their own keys."""
    changes = [{"id": row.id, "method": SweepMethod.key.value} for row in rows]
    settle(connection, sweeps.sweeps, changes, token=token)
    wake(connection, "sweep.build")


def _item(row: Sweep) -> Item:
    token = erc20_contract(row.asset)
    assert token is not None, "the hub's sweeps are of tokens"
    return Item(deposit=row.address, token=token, units=row.token_amount)
