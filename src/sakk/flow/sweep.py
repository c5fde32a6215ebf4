"""Sweeps: decide what is collected from deposit addresses, and order the gas that it needs."""

from datetime import timedelta

import structlog

from sakk.core import evm
from sakk.core import sweep as rules
from sakk.core.caip import chain_id
from sakk.core.event import NewEvent
from sakk.core.network import Network
from sakk.core.sweep import Sweep
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.rails.evm.balances import balances
from sakk.rails.evm.send import build_transfer, estimate_transfer, fees, nonces
from sakk.store import address, transaction
from sakk.store import sweep as store
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id

BATCH_MAX = 100
IDLE = timedelta(seconds=2)
# A top-up that is on its way or was spent is not ordered twice for one sweep.
_DONE = (TransactionStatus.posted.value, TransactionStatus.failed.value)

log = structlog.get_logger(__name__)


def sweep_event(row: Sweep, name: str) -> NewEvent:
    """An event about a sweep; the operator's alone."""
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public(row),
    )


def order_topup(parts: Parts, row: Sweep, found: Network, *, lacking: int) -> None:
    """Prepare a native transfer from the treasury to a deposit address that lacks gas.

    At most one is under way for a sweep. It waits its turn for the treasury's nonce like any other.
    """
    with parts.database.begin() as connection:
        if row.topup is not None:
            earlier = transaction.find(connection, row.topup)
            if earlier is not None and earlier.status not in _DONE:
                return
        sender = address.list_treasury(connection)[0]
        if transaction.unsigned_of(connection, row.network, sender.address) is not None:
            return
        known = transaction.has_nonce_base(connection, row.network, sender.address)
    rail = parts.rail_of(found)
    head = rail.head()
    price = fees(rail.rpc)
    gas_limit = estimate_transfer(
        rail.rpc, sender=sender.address, receiver=row.address, contract=None, units=lacking
    )
    held = balances(rail.rpc, [(sender.address, found.native_asset)], head.number)
    if held[sender.address, found.native_asset] < lacking + gas_limit * price.max_fee_per_gas:
        log.warning("topup.no_native_coin", network=row.network, treasury=sender.address)
        return
    base = 0 if known else nonces(rail.rpc, sender.address).latest
    with parts.database.begin() as connection:
        nonce = transaction.lock_nonce(connection, row.network, sender.address, base=base)
        if transaction.unsigned_of(connection, row.network, sender.address) is not None:
            return
        unsigned = build_transfer(
            chain_id=chain_id(row.network),
            nonce=nonce,
            fees=price,
            gas_limit=gas_limit,
            receiver=row.address,
            contract=None,
            units=lacking,
        )
        topup = ChainTransaction(
            id=new_id("tx"),
            livemode=row.livemode,
            network=row.network,
            purpose=Purpose.topup.value,
            subject=row.id,
            sender=sender.address,
            key_branch="treasury",
            key_index=sender.key_index,
            nonce=nonce,
            asset=found.native_asset,
            destination=row.address,
            destination_index=row.key_index,
            token_amount=lacking,
            gas_limit=gas_limit,
            max_fee_per_gas=price.max_fee_per_gas,
            max_priority_fee_per_gas=price.max_priority_fee_per_gas,
            unsigned=evm.encode_unsigned(unsigned),
            since_block=head.number,
            status=TransactionStatus.built.value,
            created=parts.clock(),
        )
        transaction.insert(connection, topup)
        update_records(connection, store.sweeps, [{"id": row.id, "topup": topup.id}])
        wake(connection, "transaction.sign")
    failpoint("topup.build.after")
