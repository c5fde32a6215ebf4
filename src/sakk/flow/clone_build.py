"""Build collections from clones: many sweeps of a network become one call of their factory.

A clone has no key, so there is no other way: what a factory can not collect for now waits. An item
names its clone by the salt, and the factory creates what is missing, so nothing has to be known of
the chain, and the same bytes are right after a reorganisation.
"""

from collections.abc import Sequence
from functools import partial

from sakk.core import clone
from sakk.core.caip import erc20_contract
from sakk.core.clone import Factory
from sakk.core.hd import Seed
from sakk.core.network import Network
from sakk.core.sweep import Sweep, SweepMethod
from sakk.flow.build import WAIT_LIQUIDITY, Waits
from sakk.flow.clone import follow_factory
from sakk.flow.collection import (
    Call,
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
from sakk.flow.hub import collector_among
from sakk.flow.stage import Stage, wake
from sakk.store import address, network
from sakk.store import clone as factories
from sakk.store.address import Address
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id

_due = due_sweeps(SweepMethod.clone)


def clone_build_stage(parts: Parts) -> Stage:
    """The stage that makes one call of a factory of many approved sweeps of its clones."""

    def run() -> int:
        token = new_id("lease")
        rows = claim_sweeps(parts, _due, token=token)
        for name, place in sorted({(row.network, row.factory or "") for row in rows}):
            batch = [row for row in rows if (row.network, row.factory) == (name, place)]
            build = partial(_build, parts, name, place, batch, token=token)
            attempt_collection(parts, name, batch, build, token=token)
        return len(rows)

    return Stage("clone.build", run, due=(_due,))


def _build(parts: Parts, name: str, place: str, rows: list[Sweep], *, token: str) -> None:
    rows = without_held(parts, rows, token=token)
    if not rows:
        return
    found, named, candidates, seeds = _known(parts, name, place)
    rail = parts.rail_of(found)
    factory = follow_factory(parts, named, found)
    sender = collector_among(rail, factory.hub, candidates)
    with parts.database.begin() as connection:
        caller = caller_of(connection, found, sender)
    call = fitting_call(rail, caller, rows, partial(_call, factory, seeds))
    built = built_call(parts, rail, caller, call)
    failpoint("clone.build.before")
    with parts.database.begin() as connection:
        insert_call(connection, built, call.sweeps, token=token)
        give_rest_back(connection, rows, call.sweeps, token=token)
        wake(connection, "clone.build")
    failpoint("clone.build.after")


def _known(
    parts: Parts, name: str, place: str
) -> tuple[Network, Factory, Sequence[Address], Sequence[Seed]]:
    """The network, its factory, who may ask that, and the keys that the salts follow from."""
    with parts.database.begin() as connection:
        found = network.find_network(connection, name)
        named = factories.find(connection, name, place)
        candidates = address.list_gas_payers(connection)
        seeds = address.find_seeds(connection)
    if found is None or not found.enabled:
        raise Waits("the network is not enabled", WAIT_LIQUIDITY)
    if named is None or not named.enabled:
        raise Waits("the factory of these clones is not enabled", WAIT_LIQUIDITY)
    return found, named, candidates, seeds


def _call(factory: Factory, seeds: Sequence[Seed], rows: Sequence[Sweep]) -> Call:
    return Call(
        to=factory.address,
        treasury=factory.treasury,
        sweeps=rows,
        data=clone.encode_sweep([_item(each, seeds) for each in rows]),
    )


def _item(row: Sweep, seeds: Sequence[Seed]) -> clone.Item:
    token = erc20_contract(row.asset)
    assert token is not None, "what is collected from clones is tokens"
    salt = clone.salt_at(seeds, row.key_index)
    return clone.Item(salt=salt, token=token, units=row.token_amount)
