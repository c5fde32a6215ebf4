"""Build rotations: what an old treasury address has becomes transactions to its successor.

The chain says what is there, and the nonce's lock that nobody takes it twice; the rows of what was
sent are the transactions. They go the way of every transaction from here.
"""

from datetime import datetime

import structlog

from sakk.core.caip import erc20_contract, native_asset
from sakk.core.errors import SakkError
from sakk.core.gas_price import FeesAboveCap
from sakk.core.network import Network, Quirk
from sakk.core.rotation import Holdings, Rotation, RotationStatus, Step, StepKind, steps
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.flow import gas_price
from sakk.flow.build import Waits, stand, take_turn, with_nonce
from sakk.flow.context import Parts
from sakk.flow.disperse import Group, order_allowance
from sakk.flow.rotation import holdings_on
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import TOPUP_AGAIN_AFTER, GasGift, send_gas
from sakk.flow.trial import require_exact_transfer
from sakk.rails.evm.send import estimate_transfer
from sakk.store import address, network, transaction
from sakk.store import rotation as store
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import retry_delay

IDLE_SECONDS = 2.0
# What did not go is tried again after seconds, then minutes.
FAILURES_FIRST = 3

log = structlog.get_logger(__name__)


def rotation_build_stage(parts: Parts) -> Stage:
    """The stage that empties the treasury addresses that are given up."""

    def run() -> int:
        with parts.database.read() as connection:
            moving = store.list_rotations(connection, [RotationStatus.moving])
            enabled = [each for each in network.list_networks(connection) if each.enabled]
        return sum(_attempt(parts, rotation, each) for rotation in moving for each in enabled)

    return Stage("rotation.build", run, idle_seconds=IDLE_SECONDS)


def _attempt(parts: Parts, rotation: Rotation, on: Network) -> int:
    """Order the first thing that can be done on a network; 1 if something was."""
    try:
        held = holdings_on(parts, rotation, on)
    except SakkError as error:
        log.info("rotation.waits", rotation=rotation.id, network=on.network, code=error.code)
        return 0
    for step in steps(held):
        if _is_too_soon(parts, rotation, step, now=parts.clock()):
            continue
        try:
            _order(parts, rotation, on, held, step)
        except Waits as waiting:
            log.info("rotation.waits", rotation=rotation.id, reason=str(waiting))
            return 0
        except FeesAboveCap as error:
            log.info("rotation.waits", rotation=rotation.id, reason=error.message)
            return 0
        except SakkError as error:
            # A paused token does not hold up the others.
            log.warning("rotation.not_moved", asset=step.asset, reason=error.message)
            continue
        return 1
    return 0


def _is_too_soon(parts: Parts, rotation: Rotation, step: Step, *, now: datetime) -> bool:
    """Did the same fail, or was it refused, a moment ago?"""
    with parts.database.begin() as connection:
        sent = [
            each
            for each in store.transactions_of(connection, rotation)
            if each.asset == step.asset and each.purpose == Purpose.rotation
        ]
    in_vain = 0
    for each in reversed(sent):
        if each.status not in (TransactionStatus.failed, TransactionStatus.refused):
            break
        in_vain += 1
    return in_vain > 0 and now < sent[-1].created + retry_delay(FAILURES_FIRST + in_vain)


def _order(parts: Parts, rotation: Rotation, on: Network, held: Holdings, step: Step) -> None:
    match step.kind:
        case StepKind.take_back:
            _take_back(parts, rotation, on, held, step)
        case StepKind.move:
            _move(parts, rotation, on, held, step)


def _take_back(parts: Parts, rotation: Rotation, on: Network, held: Holdings, step: Step) -> None:
    """What the contract `Disperse` might take is taken back, as `sakk contracts revoke` does."""
    with parts.database.begin() as connection:
        asset = network.find_asset(connection, step.asset)
        owner = address.find_address(connection, rotation.source)
    assert asset is not None, "what may be taken is of a listed token"
    assert owner is not None, "a rotation's addresses are in the address book"
    _lend_gas(parts, rotation, on, held)
    order_allowance(parts, Group(on, asset, owner, ()), units=0)


def _move(parts: Parts, rotation: Rotation, on: Network, held: Holdings, step: Step) -> None:
    """One transfer of all that is there of an asset, tried out before it gets a nonce."""
    with parts.database.begin() as connection:
        standing = stand(connection, on, rotation.source, step.asset, purpose=Purpose.rotation)
        asset = network.find_asset(connection, step.asset)
    rail = parts.rail_of(on)
    contract = erc20_contract(step.asset)
    if contract is not None:
        _lend_gas(parts, rotation, on, held)
    require_exact_transfer(
        parts,
        rail,
        sender=rotation.source,
        receiver=rotation.target,
        contract=contract,
        units=step.units,
        takes_fee=asset is None or Quirk.fee_on_transfer in asset.quirks,
    )
    price = gas_price.price(parts, on)
    built = ChainTransaction(
        id=new_id("tx"),
        livemode=on.livemode,
        network=on.network,
        purpose=Purpose.rotation.value,
        subject=rotation.id,
        sender=rotation.source,
        key_branch="treasury",
        key_index=rotation.source_index,
        nonce=standing.next_nonce(rail),
        asset=step.asset,
        destination=rotation.target,
        token_amount=step.units,
        gas_limit=estimate_transfer(
            rail.rpc,
            sender=rotation.source,
            receiver=rotation.target,
            contract=contract,
            units=step.units,
        ),
        max_fee_per_gas=price.max_fee_per_gas,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        unsigned=b"",
        since_block=rail.head().number,
        status=TransactionStatus.built.value,
        created=parts.clock(),
    )
    failpoint("rotation.build.before")
    with parts.database.begin() as connection:
        store.lock(connection)
        current = store.find(connection, rotation.id)
        if current is None or current.status != RotationStatus.moving:
            return
        take_turn(connection, built)
        transaction.insert(connection, with_nonce(built, built.nonce))
        wake(connection, "transaction.sign")
    failpoint("rotation.build.after")


def _lend_gas(parts: Parts, rotation: Rotation, on: Network, held: Holdings) -> None:
    """An old address that has no native coin left is given what its transactions need.

    ``Waits`` until it is there.
    """
    native = native_asset(on.network)
    # Three transfers' worth are kept, and one has to be there.
    needed = held.kept_wei // 3
    spare = held.units.get(native, 0)
    if spare >= needed:
        return
    with parts.database.begin() as connection:
        since = parts.clock() - TOPUP_AGAIN_AFTER
        ordered = transaction.was_topped_up(connection, on.network, rotation.source, since=since)
        giver = address.list_gas_payers(connection)[0]
    if not ordered:
        gift = GasGift(
            subject=rotation.id,
            destination=rotation.source,
            destination_index=None,
            units=held.kept_wei - spare,
        )
        send_gas(parts, on, giver, gift)
    raise Waits(
        "the old address has no native coin for gas: some is on its way", gas_price.WAIT_FEES
    )
