"""Rotations of treasury keys: announce, move, retire, abort, and what an old address still has.

What each command does is one transaction here; the signer's own files are changed by who owns them
(`sakk.cli.rotation`) and asked about over its socket. Every command may be repeated.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from sakk.core import event, evm
from sakk.core.contract import DISPERSE
from sakk.core.errors import (
    Misconfigured,
    ParameterInvalid,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.network import Network
from sakk.core.rotation import TRANSFERS_KEPT, Holdings, Rotation, RotationStatus, is_new, public
from sakk.core.sender import TreasuryRole
from sakk.core.tank import GAS_EACH
from sakk.flow import gas_price
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.rails.evm.balances import balances
from sakk.rails.evm.disperse import allowed_units
from sakk.rails.evm.rail import EvmRail
from sakk.signing.protocol import Approval, Successor
from sakk.store import address, network, transaction
from sakk.store import clone as clones
from sakk.store import event as events
from sakk.store import hub as hubs
from sakk.store import rotation as store

REASON_CHARACTERS_MAX = 200

log = structlog.get_logger(__name__)


def announce(
    parts: Parts, *, source_index: int, target_index: int, reason: str, identifier: str
) -> Rotation:
    """Say that a treasury key is given up for another, which the signer's policy names for it.

    Both addresses are watched from now on. The same again is the same rotation; UnexpectedState
    when the key goes to another one already.
    """
    if not 0 < len(reason.strip()) <= REASON_CHARACTERS_MAX:
        raise ParameterInvalid(
            f"Say why, in 1 to {REASON_CHARACTERS_MAX} characters.", param="reason"
        )
    pair = successor(parts, source_index)
    if pair.target_index != target_index:
        raise Misconfigured(
            f"The signer's policy has key {source_index} succeeded by {pair.target_index}, not by"
            f" {target_index}: correct its rotations."
        )
    now = parts.clock()
    with parts.database.begin() as connection:
        store.lock(connection)
        before = store.find_of(connection, pair.source)
        if before is not None:
            if before.target != pair.target:
                raise UnexpectedState(
                    f"{before.id} gives {evm.checksum_address(pair.source)} up for"
                    f" {evm.checksum_address(before.target)}: end that first."
                )
            return before
        target = address.find_address(connection, pair.target)
        idle = (TreasuryRole.retired, TreasuryRole.unused)
        known = target is not None and target.treasury_role not in idle
        rotation = Rotation(
            id=identifier,
            status=RotationStatus.announced.value,
            source=pair.source,
            source_index=source_index,
            target=pair.target,
            target_index=target_index,
            reason=reason.strip(),
            approvals=[],
            target_role=target.treasury_role.value if known and target is not None else None,
            created=now,
        )
        for index, place in ((source_index, pair.source), (target_index, pair.target)):
            address.put_treasury(connection, {index: place}, livemode=False, now=now)
        if is_new(rotation):
            address.set_role(connection, pair.target, TreasuryRole.successor)
        store.insert(connection, rotation)
        _tell(connection, rotation, event.KEY_ROTATION_ANNOUNCED, now=now)
    return rotation


def approve(parts: Parts, identifier: str, *, public_key: str, signature: str) -> Rotation:
    """Add what an approver signed; the signer checks it. The same key again replaces it."""
    with parts.database.begin() as connection:
        store.lock(connection)
        rotation = found(connection, identifier)
        others = [each for each in rotation.approvals if each["public_key"] != public_key]
        given = {"public_key": public_key, "signature": signature}
        rotation = replace(rotation, approvals=[*others, given])
        store.change(connection, rotation, "approvals")
        wake(connection, "rotation.build")
    return rotation


def begin(parts: Parts, identifier: str) -> Rotation:
    """Let the successor pay, and have what the old address holds move to it.

    From this commit on nothing new is sent from the old address but what empties it. Again, and for
    a retired one to which coins came: what is there moves. UnexpectedState without the approvals
    that the signer's policy asks for.
    """
    with parts.database.begin() as connection:
        rotation = found(connection, identifier)
    needed = successor(parts, rotation.source_index).approvals
    if len(rotation.approvals) < needed:
        raise UnexpectedState(
            f"{identifier} asks for {needed} approvals, {len(rotation.approvals)} are given:"
            " `sakk keys rotate --approve KEYFILE`."
        )
    now = parts.clock()
    with parts.database.begin() as connection:
        store.lock(connection)
        rotation = found(connection, identifier)
        match RotationStatus(rotation.status):
            case RotationStatus.moving:
                return rotation
            case RotationStatus.aborted:
                raise UnexpectedState(f"{identifier} was aborted: announce another one.")
            case RotationStatus.announced | RotationStatus.retired:
                pass
        role = _role_of(connection, rotation.source)
        if is_new(rotation):
            # It does what the old one did.
            unpaying = (TreasuryRole.gas, TreasuryRole.capture)
            succeeds = role if role in unpaying else TreasuryRole.pay
            if rotation.status == RotationStatus.announced:
                address.set_role(connection, rotation.target, succeeds)
        address.set_role(connection, rotation.source, TreasuryRole.leaving)
        rotation = replace(rotation, status=RotationStatus.moving.value, moving_at=now)
        store.change(connection, rotation, "status", "moving_at")
        _tell(connection, rotation, event.KEY_ROTATION_MOVING, now=now)
        wake(connection, "rotation.build", "payout.build", "collect.build")
    return rotation


def leave(parts: Parts, identifier: str, assets: Collection[str]) -> Rotation:
    """Let these assets stay: a token that can not be moved does not hold up the rest."""
    with parts.database.begin() as connection:
        store.lock(connection)
        rotation = found(connection, identifier)
        for name in assets:
            if network.find_asset(connection, name) is None:
                raise ParameterInvalid(f"There is no listed asset {name}.", param="leave")
        rotation = replace(rotation, left=sorted({*rotation.left, *assets}))
        store.change(connection, rotation, "left")
    return rotation


def retire(parts: Parts, identifier: str) -> Rotation:
    """End a rotation whose old address is empty, and whose key the signer pays with no more.

    The address stays in the address book, watched and reconciled. UnexpectedState says what is
    still there, or which file names the key.
    """
    with parts.database.begin() as connection:
        rotation = found(connection, identifier)
    if rotation.status == RotationStatus.retired:
        return rotation
    require_empty(parts, rotation)
    public_keys = parts.signer_client().public()
    if rotation.source in {
        *public_keys.treasury_addresses.values(),
        *public_keys.gas_addresses.values(),
    }:
        raise UnexpectedState(
            f"The signer's policy still pays with key {rotation.source_index}: take it out of"
            " treasury_indexes (or gas_indexes), and leave its rotation there."
        )
    now = parts.clock()
    with parts.database.begin() as connection:
        store.lock(connection)
        rotation = found(connection, identifier)
        if rotation.status != RotationStatus.moving:
            return rotation
        address.set_role(connection, rotation.source, TreasuryRole.retired)
        first = rotation.retired_at or now
        rotation = replace(rotation, status=RotationStatus.retired.value, retired_at=first)
        store.change(connection, rotation, "status", "retired_at")
        _tell(connection, rotation, event.KEY_ROTATION_RETIRED, now=now)
    return rotation


def require_empty(parts: Parts, rotation: Rotation) -> None:
    """UnexpectedState names what an old address still has, or who still pays to it."""
    if rotation.status != RotationStatus.moving:
        raise UnexpectedState(f"{rotation.id} is {rotation.status}: nothing moves yet.")
    for held in holdings(parts, rotation):
        if held.hub_pays_it:
            raise UnexpectedState(
                f"The hub on {held.network} still pays to the old address: have the cold key"
                " propose the successor, and execute that after its delay (`sakk sweeps rotation`)."
            )
        if held.factory_obeys_it:
            raise UnexpectedState(
                f"A factory on {held.network} still has the old address recover from its clones: "
                "have the cold key propose the successor, and execute that after its delay "
                "(`sakk sweeps recoverer`)."
            )
        if not held.is_empty:
            raise UnexpectedState(
                f"On {held.network} the old address is not empty yet: {dict(held.units)} units,"
                f" {len(held.allowed)} allowances, {held.in_flight} transactions under way."
            )


def abort(parts: Parts, identifier: str) -> Rotation:
    """Call a rotation off before money moved; both addresses do what they did.

    UnexpectedState once something of it was signed, or is being signed now. Again: the same.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        store.lock(connection)
        rotation = found(connection, identifier)
        if rotation.status == RotationStatus.aborted:
            return rotation
        if rotation.status == RotationStatus.retired or store.may_have_moved(
            connection, rotation, now=now
        ):
            raise UnexpectedState(
                "Money has moved, or is being signed for: let it go on, and rotate back if you must"
            )
        store.call_off(connection, rotation)
        was = TreasuryRole(rotation.target_role or TreasuryRole.unused)
        if is_new(rotation) and store.was_retired(connection, rotation.target):
            was = TreasuryRole.retired
        address.set_role(connection, rotation.target, was)
        if rotation.status == RotationStatus.moving:
            address.set_role(connection, rotation.source, TreasuryRole.pay)
        rotation = replace(rotation, status=RotationStatus.aborted.value, aborted_at=now)
        store.change(connection, rotation, "status", "aborted_at")
        _tell(connection, rotation, event.KEY_ROTATION_ABORTED, now=now)
        wake(connection, "payout.build", "transaction.sign")
    return rotation


def status(parts: Parts, rotation: Rotation) -> dict[str, Any]:
    """A rotation with what the old address has on each chain, and what was sent for it."""
    with parts.database.begin() as connection:
        moved = store.transactions_of(connection, rotation)
    return public(rotation, held=holdings(parts, rotation), moved=moved)


def holdings(parts: Parts, rotation: Rotation) -> list[Holdings]:
    """What the old address has on every enabled network; a network that is away is an error."""
    with parts.database.begin() as connection:
        enabled = [each for each in network.list_networks(connection) if each.enabled]
    return [holdings_on(parts, rotation, each) for each in enabled]


def holdings_on(parts: Parts, rotation: Rotation, on: Network) -> Holdings:
    """What the old address has on one network, less what transactions are about to take.

    The database is read before the chain: what is mined in between counts twice, never not at all.
    """
    source, native = rotation.source, on.native_asset
    with parts.database.begin() as connection:
        listed = [
            each
            for each in network.list_assets(connection)
            if each.network == on.network and each.asset not in rotation.left
        ]
        taken = {
            each.asset: transaction.unmined_units(
                connection, network=on.network, sender=source, asset=each.asset
            )
            for each in listed
        }
        taken[native] = transaction.unmined_wei(
            connection, network=on.network, sender=source, native=native
        )
        in_flight = store.in_flight(connection, on.network, source)
        hub = hubs.find(connection, on.network)
        makers = [each for each in clones.list_factories(connection, on.network) if each.enabled]
        # What was kept when fees were high is not too much because they fell.
        before = store.highest_price(connection, rotation, on.network)
        taking_back = {
            each.asset
            for each in listed
            if store.is_taken_back(connection, each.asset, owner=source)
        }
    rail = parts.rail_of(on)
    price = gas_price.price(parts, on)
    held = balances(rail.rpc, [(source, name) for name in taken], rail.head().number)
    tokens = {
        each.asset: each.contract
        for each in listed
        if each.contract is not None and each.asset not in taking_back
    }
    return Holdings(
        network=on.network,
        units={name: max(0, held[source, name] - taken[name]) for name in taken},
        allowed=_allowed(rail, source, tokens),
        in_flight=in_flight,
        kept_wei=TRANSFERS_KEPT * GAS_EACH * max(before, price.max_fee_per_gas),
        hub_pays_it=(hub is not None and hub.enabled and hub.treasury == source)
        or any(each.treasury == source for each in makers),
        factory_obeys_it=any(each.recoverer == source for each in makers),
    )


def _allowed(rail: EvmRail, owner: str, tokens: dict[str, str]) -> list[str]:
    """Tokens of which the contract `Disperse` may take some from the owner."""
    if rail.rpc.call("eth_getCode", [DISPERSE.address, "latest"], str) == "0x":
        return []
    return [
        name
        for name, contract in tokens.items()
        if allowed_units(rail.rpc, token=contract, owner=owner)
    ]


def successor(parts: Parts, source_index: int) -> Successor:
    """Whom the signer's policy names for a key; Misconfigured if nobody."""
    named = parts.signer_client().public().successors
    for each in named:
        if each.source_index == source_index:
            return each
    raise Misconfigured(
        f"The signer's policy names no successor of treasury key {source_index}: add one to its"
        " rotations (`sakk keys rotate` on the signer's machine writes it)."
    )


def signed_approvals(connection: Connection, identifier: str) -> list[Approval]:
    """What people signed of a rotation, for the signer."""
    rotation = found(connection, identifier)
    return [
        Approval(bytes.fromhex(each["public_key"]), bytes.fromhex(each["signature"]))
        for each in rotation.approvals
    ]


def found(connection: Connection, identifier: str) -> Rotation:
    """A rotation by its id; ResourceMissing."""
    rotation = store.find(connection, identifier)
    if rotation is None:
        raise ResourceMissing(f"No such rotation: {identifier!r}", param="rotation")
    return rotation


def _role_of(connection: Connection, place: str) -> TreasuryRole:
    known = address.find_address(connection, place)
    assert known is not None, "a rotation's addresses are in the address book"
    return known.treasury_role


def _tell(connection: Connection, rotation: Rotation, name: str, *, now: datetime) -> None:
    """A key is of both modes, so both modes' lists have it."""
    log.warning(name, rotation=rotation.id, source=rotation.source, target=rotation.target)
    shown = public(rotation)
    events.append(
        connection,
        [
            NewEvent(None, livemode, name, rotation.id, {**shown, "livemode": livemode})
            for livemode in (False, True)
        ],
        now=now,
    )
