"""Recover from clones: what is nobody's payment leaves at the call of the factory's recoverer.

A clone has no key, so a treasury address signs for it: the one that the factory obeys. All else is
as with a recovery from an address that has one.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, or_

from sakk.core import clone, event, evm
from sakk.core.caip import chain_id, erc20_contract
from sakk.core.clone import Recover
from sakk.core.errors import SakkError
from sakk.core.gas_price import FeesAboveCap
from sakk.core.network import Network, Quirk
from sakk.core.sweep import Sweep, SweepMethod, SweepStatus, deposit_units
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.flow import gas_price
from sakk.flow.build import (
    BATCH_MAX,
    WAIT_LIQUIDITY,
    WAIT_TURN,
    WOULD_FAIL_MAX,
    Waits,
    stand,
    take_turn,
)
from sakk.flow.clone import follow_factory
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import SWEEP_AGAIN_AFTER, sweep_event
from sakk.flow.trial import require_exact
from sakk.rails.evm.balances import balances
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import TransferWouldFail, estimate_call
from sakk.store import address, network, transaction
from sakk.store import clone as factories
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import sweep as sweeps
from sakk.store.address import Address
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, retry_delay, settle

METHODS = (SweepMethod.recovery, SweepMethod.seizure)

log = structlog.get_logger(__name__)


_due = claimable(
    sweeps.sweeps,
    Sweep,
    sweeps.sweeps.c.status == SweepStatus.approved.value,
    or_(*(sweeps.sweeps.c.method == each.value for each in METHODS)),
    sweeps.sweeps.c.factory.is_not(None),
    sweeps.sweeps.c.transaction.is_(None),
    freezes.sweep_may_go(),
    limit=BATCH_MAX,
)


def clone_recover_stage(parts: Parts) -> Stage:
    """The stage that has factories send back, or to a vault, what their clones hold."""

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
        for row in rows:
            _attempt(parts, row, token=token)
        return len(rows)

    return Stage("clone.recover", run, due=(_due,))


def _attempt(parts: Parts, row: Sweep, *, token: str) -> None:
    """Build one row's transaction, or say why it waits."""
    now = parts.clock()
    try:
        built = _built(parts, row)
        failpoint("clone.recover.before")
        with parts.database.begin() as connection:
            _insert(connection, row, built, token=token)
        failpoint("clone.recover.after")
        return
    except Waits as waiting:
        change: dict[str, Any] = {"retry_at": now + waiting.delay, "waits_for": str(waiting)}
        failed = 0
    except FeesAboveCap as error:
        change = {"retry_at": now + gas_price.WAIT_FEES, "waits_for": error.message}
        failed = 0
    except SakkError as error:
        change = {"retry_at": now + retry_delay(row.failures), "waits_for": error.message}
        failed = 1
        if isinstance(error, TransferWouldFail) and row.failures + 1 >= WOULD_FAIL_MAX:
            with parts.database.begin() as connection:
                _fail(connection, row, error.message, token=token, now=now)
            return
    log.info("clone.recover_waits", sweep=row.id, reason=change["waits_for"])
    with parts.database.begin() as connection:
        kept = {"id": row.id, "failures": row.failures + failed}
        settle(connection, sweeps.sweeps, [kept | change], token=token)


def _built(parts: Parts, row: Sweep) -> ChainTransaction:
    """Price and check the call against the chain as it is now; its nonce is a guess."""
    found, sender, call = _known(parts, row)
    with parts.database.begin() as connection:
        standing = stand(
            connection, found, sender.address, found.native_asset, purpose=Purpose.recovery
        )
    rail = parts.rail_of(found)
    head = rail.head()
    native = (sender.address, found.native_asset)
    holding = (row.address, row.asset)
    held = balances(rail.rpc, [native, holding], head.number)
    if held[holding] < row.token_amount:
        raise Waits("the clone's coins do not cover it", WAIT_LIQUIDITY)
    assert row.factory is not None
    data = clone.encode_recover(call)
    _check(parts, rail, row, sender.address, data)
    gas_limit = estimate_call(rail.rpc, sender=sender.address, to=row.factory, value=0, data=data)
    price = gas_price.price(parts, found)
    if held[native] - standing.taken_wei < gas_limit * price.max_fee_per_gas:
        raise Waits("the treasury has not enough native coin for gas", WAIT_LIQUIDITY)
    unsigned = evm.Transaction(
        chain_id=chain_id(found.network),
        nonce=standing.next_nonce(rail),
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        max_fee_per_gas=price.max_fee_per_gas,
        gas_limit=gas_limit,
        to=row.factory,
        value=0,
        data=data,
    )
    return _row(row, sender, unsigned, since_block=head.number, now=parts.clock())


def _known(parts: Parts, row: Sweep) -> tuple[Network, Address, Recover]:
    """The network, the address of ours that the factory obeys, and what it is asked; ``Waits``."""
    assert row.factory is not None
    with parts.database.begin() as connection:
        found = network.find_network(connection, row.network)
        named = factories.find(connection, row.network, row.factory)
        seeds = address.find_seeds(connection)
    if found is None or not found.enabled:
        raise Waits("the network is not enabled", WAIT_LIQUIDITY)
    if named is None:
        raise Waits("the factory of this clone is not known on this network", WAIT_LIQUIDITY)
    factory = follow_factory(parts, named, found)
    if factory.recoverer is None:
        raise Waits("the factory obeys no recoverer: the cold key names one", WAIT_LIQUIDITY)
    with parts.database.begin() as connection:
        sender = address.find_address(connection, factory.recoverer)
    assert sender is not None, "follow_factory looked"
    call = Recover(
        salt=clone.salt_at(seeds, row.key_index),
        token=erc20_contract(row.asset),
        to=row.destination,
        units=row.token_amount,
    )
    return found, sender, call


def _check(parts: Parts, rail: EvmRail, row: Sweep, sender: str, data: bytes) -> None:
    """All of it leaves the clone and arrives, less what the token keeps if it is listed so."""
    assert row.factory is not None
    with parts.database.begin() as connection:
        listed = network.find_asset(connection, row.asset)
    takes_fee = listed is None or Quirk.fee_on_transfer in listed.quirks
    contract = erc20_contract(row.asset)
    exact = contract is None or not takes_fee
    require_exact(
        parts,
        rail,
        sender=sender,
        to=row.factory,
        value=0,
        data=data,
        expected={
            (row.address, contract): -row.token_amount,
            (row.destination, contract): row.token_amount if exact else None,
        },
    )


def _row(
    row: Sweep, sender: Address, unsigned: evm.Transaction, *, since_block: int, now: datetime
) -> ChainTransaction:
    return ChainTransaction(
        id=new_id("tx"),
        livemode=row.livemode,
        network=row.network,
        purpose=Purpose.recovery.value,
        subject=row.id,
        sender=sender.address,
        key_branch="treasury",
        key_index=sender.key_index,
        nonce=unsigned.nonce,
        asset=row.asset,
        destination=row.destination,
        token_amount=row.token_amount,
        gas_limit=unsigned.gas_limit,
        max_fee_per_gas=unsigned.max_fee_per_gas,
        max_priority_fee_per_gas=unsigned.max_priority_fee_per_gas,
        unsigned=evm.encode_unsigned(unsigned),
        since_block=since_block,
        status=TransactionStatus.built.value,
        created=now,
    )


def _insert(connection: Connection, row: Sweep, built: ChainTransaction, *, token: str) -> None:
    take_turn(connection, built)
    change = {"id": row.id, "transaction": built.id, "status": row.status, "waits_for": None}
    if settle(connection, sweeps.sweeps, [change], token=token, guards=("status",)) != 1:
        raise Waits("the lease was lost", WAIT_TURN)
    transaction.insert(connection, built)
    wake(connection, "transaction.sign")


def _fail(connection: Connection, row: Sweep, reason: str, *, token: str, now: datetime) -> None:
    """The coins stay where they are, and the recovery ends."""
    failed = replace(row, status=SweepStatus.failed.value, failure_code="transfer_would_fail")
    change = {name: getattr(failed, name) for name in ("id", "status", "failure_code")}
    if settle(connection, sweeps.sweeps, [change], token=token):
        log.warning("sweep.given_up", sweep=row.id, reason=reason)
        address.add_deposits(connection, deposit_units(row))
        sweeps.postpone(
            connection, address=row.address, asset=row.asset, until=now + SWEEP_AGAIN_AFTER
        )
        events.append(connection, [sweep_event(failed, event.SWEEP_FAILED)], now=now)
        wake(connection, "recovery.follow", "case.follow")
