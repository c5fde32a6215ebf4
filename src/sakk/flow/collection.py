"""Collections: what the hub's calls and the factories' share on their way to a transaction.

Many sweeps of a network become one call. Each ends by what the chain says of it alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from sakk.core import authorization as codec
from sakk.core import event, evm, hub
from sakk.core.authorization import SetCodeTransaction, SignedAuthorization
from sakk.core.caip import chain_id
from sakk.core.errors import SakkError
from sakk.core.gas_price import FeesAboveCap
from sakk.core.network import Network
from sakk.core.sweep import Sweep, SweepMethod, SweepStatus
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.flow import gas_price
from sakk.flow.build import WAIT_LIQUIDITY, WAIT_TURN, WOULD_FAIL_MAX, Waits
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.flow.sweep import sweep_event
from sakk.rails.evm.balances import balances
from sakk.rails.evm.hub import estimate_collect
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import TransferWouldFail, nonces
from sakk.store import address, transaction
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import sweep as sweeps
from sakk.store.address import Address
from sakk.store.database import Due
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, retry_delay, settle

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for a collection, and what the database says of it before the chain is asked."""

    network: Network
    sender: Address
    nonce: int | None
    taken_wei: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a contract: what it collects to which treasury, and what it carries."""

    to: str
    treasury: str
    sweeps: Sequence[Sweep]
    data: bytes
    authorizations: Sequence[SignedAuthorization] = ()
    gas_limit: int = 0


def due_sweeps(method: SweepMethod) -> Due[Sweep]:
    """Which sweeps of a method may become a call: they are in no transaction yet."""
    table = sweeps.sweeps
    return claimable(
        table,
        Sweep,
        table.c.status == SweepStatus.approved.value,
        table.c.method == method.value,
        table.c.transaction.is_(None),
        freezes.sweep_may_go(),
        limit=hub.ITEMS_MAX,
    )


def claim_sweeps(parts: Parts, due: Due[Sweep], *, token: str) -> list[Sweep]:
    """Lease them."""
    with parts.database.begin() as connection:
        return claim(connection, due, token=token, now=parts.clock())


def attempt_collection(
    parts: Parts,
    name: str,
    rows: Sequence[Sweep],
    build: Callable[[], None],
    *,
    token: str,
    instead: SweepMethod | None = None,
) -> None:
    """Build one call, or say why it waits.

    ``instead``: how its sweeps go when the contract refuses again and again, whatever is asked.
    """
    now = parts.clock()
    try:
        build()
        return
    except Waits as waiting:
        log.info("collect.waits", network=name, reason=str(waiting))
        change: dict[str, Any] = {"retry_at": now + waiting.delay, "waits_for": str(waiting)}
        failed = 0
    except FeesAboveCap as error:
        log.info("collect.waits", network=name, reason=error.message)
        change = {"retry_at": now + gas_price.WAIT_FEES, "waits_for": error.message}
        failed = 0
    except SakkError as error:
        log.warning("collect.failed", network=name, code=error.code, reason=error.message)
        change = {"retry_at": now + retry_delay(rows[0].failures), "waits_for": error.message}
        failed = 1
        would_fail = isinstance(error, TransferWouldFail)
        if would_fail and instead is not None and rows[0].failures + 1 >= WOULD_FAIL_MAX:
            change = {"method": instead.value}
            failed = 0
    changes = [{"id": row.id, "failures": row.failures + failed, **change} for row in rows]
    with parts.database.begin() as connection:
        settle(connection, sweeps.sweeps, changes, token=token)
        wake(connection, "sweep.build")


def without_held(parts: Parts, rows: Sequence[Sweep], *, token: str) -> list[Sweep]:
    """Those from whose addresses something may leave; the others are set aside."""
    with parts.database.begin() as connection:
        held = sweeps.with_held_money(connection, [row.address for row in rows])
        set_aside = [row for row in rows if row.address in held]
        _set_aside(connection, set_aside, token=token, now=parts.clock())
    return [row for row in rows if row.address not in held]


def caller_of(connection: Connection, found: Network, sender: Address) -> Caller:
    """Whether it is a sender's turn; ``Waits`` if not."""
    name = found.network
    if transaction.unsigned_of(connection, name, sender.address):
        raise Waits("another transaction of this sender is being signed", WAIT_TURN)
    return Caller(
        network=found,
        sender=sender,
        nonce=transaction.next_nonce(connection, name, sender.address),
        taken_wei=transaction.unmined_wei(
            connection, network=name, sender=sender.address, native=found.native_asset
        ),
    )


def fitting_call(
    rail: EvmRail, caller: Caller, rows: Sequence[Sweep], make: Callable[[Sequence[Sweep]], Call]
) -> Call:
    """The call of as many sweeps as one transaction's gas allows; TransferWouldFail."""
    count = len(rows)
    while True:
        call = make(rows[:count])
        gas_limit = estimate_collect(
            rail.rpc,
            sender=caller.sender.address,
            to=call.to,
            data=call.data,
            authorizations=call.authorizations,
        )
        if gas_limit <= hub.TRANSACTION_GAS_MAX or count == 1:
            return replace(call, gas_limit=gas_limit)
        count = max(1, count * hub.TRANSACTION_GAS_MAX // (gas_limit + 1))


def built_call(parts: Parts, rail: EvmRail, caller: Caller, call: Call) -> ChainTransaction:
    """Price the call against the chain as it is now; its nonce is a guess.

    Type 4 with the authorizations of addresses that pay to the hub for the first time.
    """
    found, sender = caller.network, caller.sender
    price = gas_price.price(parts, found)
    head = rail.head()
    native = found.native_asset
    held = balances(rail.rpc, [(sender.address, native)], head.number)[sender.address, native]
    if held - caller.taken_wei < call.gas_limit * price.max_fee_per_gas:
        raise Waits("the treasury has not enough native coin for gas", WAIT_LIQUIDITY)
    nonce = nonces(rail.rpc, sender.address).latest if caller.nonce is None else caller.nonce
    unsigned = evm.Transaction(
        chain_id=chain_id(found.network),
        nonce=nonce,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        max_fee_per_gas=price.max_fee_per_gas,
        gas_limit=call.gas_limit,
        to=call.to,
        value=0,
        data=call.data,
    )
    identifier = new_id("tx")
    return ChainTransaction(
        id=identifier,
        livemode=found.livemode,
        network=found.network,
        purpose=Purpose.collect.value,
        subject=identifier,
        sender=sender.address,
        key_branch="treasury",
        key_index=sender.key_index,
        nonce=nonce,
        asset=native,
        destination=call.treasury,
        token_amount=0,
        gas_limit=call.gas_limit,
        max_fee_per_gas=price.max_fee_per_gas,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        unsigned=codec.encode_unsigned(SetCodeTransaction(unsigned, tuple(call.authorizations)))
        if call.authorizations
        else evm.encode_unsigned(unsigned),
        since_block=head.number,
        status=TransactionStatus.built.value,
        created=parts.clock(),
    )


def insert_call(
    connection: Connection, built: ChainTransaction, rows: Sequence[Sweep], *, token: str
) -> None:
    """Take the nonce, and tie the sweeps to their transaction; ``Waits`` if it is too late."""
    nonce = transaction.lock_nonce(connection, built.network, built.sender, base=built.nonce)
    if nonce != built.nonce:
        raise Waits("another transaction of this sender came first", WAIT_TURN)
    if transaction.unsigned_of(connection, built.network, built.sender):
        raise Waits("another transaction of this sender is being signed", WAIT_TURN)
    changes = [
        {
            "id": row.id,
            "transaction": built.id,
            "status": row.status,
            "destination": built.destination,
            "waits_for": None,
        }
        for row in rows
    ]
    if settle(connection, sweeps.sweeps, changes, token=token, guards=("status",)) != len(rows):
        raise Waits("the lease was lost", WAIT_TURN)
    transaction.insert(connection, built)
    wake(connection, "transaction.sign")


def give_rest_back(
    connection: Connection, rows: Sequence[Sweep], taken: Sequence[Sweep], *, token: str
) -> None:
    """What one transaction's gas does not allow goes with the next."""
    rest = [{"id": row.id} for row in rows if row not in taken]
    settle(connection, sweeps.sweeps, rest, token=token)


def _set_aside(connection: Connection, rows: Sequence[Sweep], *, token: str, now: datetime) -> None:
    """Money came to these addresses that screening holds: they are not touched until it is free."""
    for row in rows:
        failed = replace(row, status=SweepStatus.failed.value, failure_code="address_held")
        change = {name: getattr(failed, name) for name in ("id", "status", "failure_code")}
        if settle(connection, sweeps.sweeps, [change], token=token):
            address.add_deposits(connection, [(row.address, row.asset, row.token_amount)])
            events.append(connection, [sweep_event(failed, event.SWEEP_FAILED)], now=now)
