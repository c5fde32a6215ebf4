"""Build: an approved payout or sweep gets a transaction with a nonce, committed before any signing.

A sender has at most one transaction that has a nonce and no signature. A refused one leaves its
nonce to the next, so a sequence never has a gap.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Table

from sakk.core import event, evm
from sakk.core.caip import chain_id, erc20_contract
from sakk.core.errors import SakkError
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.core.sweep import Sweep, SweepStatus
from sakk.core.transaction import ChainTransaction, Purpose, TransactionStatus
from sakk.flow.context import Parts
from sakk.flow.payout import payout_event
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import SWEEP_AGAIN_AFTER, order_topup, sweep_event
from sakk.rails.evm.balances import balances
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import (
    Fees,
    TransferWouldFail,
    build_transfer,
    estimate_transfer,
    fees,
    nonces,
    simulate,
)
from sakk.store import address, network, transaction
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import sweep as sweeps
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, give_back, retry_delay, settle

BATCH_MAX = 20
WAIT_LIQUIDITY = timedelta(seconds=2)
WAIT_TURN = timedelta(milliseconds=50)
WOULD_FAIL_MAX = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent: one transfer from a key of ours."""

    livemode: bool
    network: str
    purpose: Purpose
    subject: str
    account_id: str | None
    sender: str
    key_branch: str
    key_index: int
    asset: str
    destination: str
    units: int
    destination_index: int | None = None


class Waits(Exception):
    """Not now: liquidity, a nonce's turn, or gas is awaited. Nothing has failed."""

    def __init__(self, reason: str, delay: timedelta) -> None:
        super().__init__(reason)
        self.delay = delay


def payout_build_stage(parts: Parts) -> Stage:
    """The stage that prepares the transactions of approved payouts."""
    table = payouts.payouts

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(
                connection,
                table,
                Payout,
                table.c.status == PayoutStatus.approved.value,
                table.c.hold == HoldStatus.held.value,
                table.c.transaction.is_(None),
                token=token,
                now=parts.clock(),
                limit=BATCH_MAX,
            )
            treasury = address.list_treasury(connection)
        if not rows:
            return 0
        if not treasury:
            with parts.database.begin() as connection:
                give_back(connection, table, [row.id for row in rows], token=token)
            raise SakkError("No treasury address yet: start the signer.")
        sender = treasury[0]
        for row in rows:
            order = Order(
                livemode=row.livemode,
                network=row.network,
                purpose=Purpose.payout,
                subject=row.id,
                account_id=row.account_id,
                sender=sender.address,
                key_branch="treasury",
                key_index=sender.key_index,
                asset=row.asset,
                destination=row.destination,
                units=row.token_amount,
            )
            _attempt(parts, table, row, order, token=token, give_up=_fail_payout)
        return len(rows)

    return Stage("payout.build", run)


def sweep_build_stage(parts: Parts) -> Stage:
    """The stage that prepares sweeps, and orders the gas that a deposit address lacks."""
    table = sweeps.sweeps

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(
                connection,
                table,
                Sweep,
                table.c.status == SweepStatus.approved.value,
                table.c.transaction.is_(None),
                token=token,
                now=parts.clock(),
                limit=BATCH_MAX,
            )
        for row in rows:
            order = Order(
                livemode=row.livemode,
                network=row.network,
                purpose=Purpose.sweep,
                subject=row.id,
                account_id=None,
                sender=row.address,
                key_branch="deposit",
                key_index=row.key_index,
                asset=row.asset,
                destination=row.destination,
                units=row.token_amount,
            )
            _attempt(parts, table, row, order, token=token, give_up=_fail_sweep)
        return len(rows)

    return Stage("sweep.build", run)


def _attempt(
    parts: Parts,
    table: Table,
    row: Payout | Sweep,
    order: Order,
    *,
    token: str,
    give_up: Callable[[Connection, Any, str, str, datetime], None],
) -> None:
    """Build one row's transaction, or say why it waits."""
    now = parts.clock()
    try:
        built = _built(parts, order, row)
        failpoint("transaction.build.before")
        with parts.database.begin() as connection:
            _insert(connection, parts, table, row, built, token=token)
        failpoint("transaction.build.after")
        return
    except Waits as waiting:
        log.info("build.waits", subject=row.id, reason=str(waiting))
        change: dict[str, Any] = {"retry_at": now + waiting.delay, "failures": row.failures}
    except TransferWouldFail as error:
        log.warning("build.would_fail", subject=row.id, reason=error.message)
        change = {"retry_at": now + retry_delay(row.failures), "failures": row.failures + 1}
        if row.failures + 1 >= WOULD_FAIL_MAX:
            with parts.database.begin() as connection:
                give_up(connection, row, error.message, token, now)
            return
    except SakkError as error:
        log.warning("build.failed", subject=row.id, code=error.code, reason=error.message)
        change = {"retry_at": now + retry_delay(row.failures), "failures": row.failures + 1}
    with parts.database.begin() as connection:
        settle(connection, table, [{"id": row.id, **change}], token=token)


def _built(parts: Parts, order: Order, row: Payout | Sweep) -> ChainTransaction:
    """Price and check the transfer against the chain as it is now; no nonce yet."""
    with parts.database.begin() as connection:
        found = network.find_network(connection, order.network)
        if found is None or not found.enabled:
            raise Waits("the network is not enabled", WAIT_LIQUIDITY)
        if transaction.unsigned_of(connection, order.network, order.sender) is not None:
            raise Waits("another transaction of this sender is being signed", WAIT_TURN)
        # Before the balance is asked for: what is mined in between is then taken off twice, never
        # not at all. The nonce says later whether anything was added to it.
        nonce = transaction.next_nonce(connection, order.network, order.sender)
        taken = transaction.unmined_units(
            connection, network=order.network, sender=order.sender, asset=order.asset
        )
        native = found.native_asset
        taken_wei = transaction.unmined_wei(
            connection, network=order.network, sender=order.sender, native=native
        )
    rail = parts.rail_of(found)
    head = rail.head()
    held = balances(rail.rpc, [(order.sender, order.asset), (order.sender, native)], head.number)
    if held[order.sender, order.asset] - taken < order.units:
        raise Waits("the sender's coins do not cover it yet", WAIT_LIQUIDITY)
    contract = erc20_contract(order.asset)
    _require_exact(rail, order, contract)
    gas_limit = estimate_transfer(
        rail.rpc,
        sender=order.sender,
        receiver=order.destination,
        contract=contract,
        units=order.units,
    )
    price = fees(rail.rpc)
    gas_needed = gas_limit * price.max_fee_per_gas
    spare_wei = held[order.sender, native] - taken_wei
    if spare_wei < gas_needed:
        if isinstance(row, Sweep):
            order_topup(parts, row, found, needed=gas_needed, lacking=gas_needed - spare_wei)
        raise Waits("the sender has not enough native coin for gas", WAIT_LIQUIDITY)
    return ChainTransaction(
        id=new_id("tx"),
        livemode=order.livemode,
        network=order.network,
        purpose=order.purpose.value,
        subject=order.subject,
        account_id=order.account_id,
        sender=order.sender,
        key_branch=order.key_branch,
        key_index=order.key_index,
        nonce=nonces(rail.rpc, order.sender).latest if nonce is None else nonce,
        asset=order.asset,
        destination=order.destination,
        destination_index=order.destination_index,
        token_amount=order.units,
        gas_limit=gas_limit,
        max_fee_per_gas=price.max_fee_per_gas,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        unsigned=b"",
        since_block=head.number,
        status=TransactionStatus.built.value,
        created=parts.clock(),
    )


def _require_exact(rail: EvmRail, order: Order, contract: str | None) -> None:
    """Try a payout on the newest state: exactly the amount must leave and arrive, nothing else."""
    if order.purpose is not Purpose.payout:
        return
    seen = simulate(
        rail.rpc,
        sender=order.sender,
        receiver=order.destination,
        contract=contract,
        units=order.units,
    )
    if not seen.succeeds:
        raise TransferWouldFail(f"the transfer would fail: {seen.reason}")
    if seen.approvals:
        raise TransferWouldFail("the transfer would also grant an approval")
    if seen.spent_units is not None and (
        seen.spent_units != order.units or seen.received_units != order.units
    ):
        raise TransferWouldFail(
            f"{order.units} would be sent, {seen.spent_units} would leave and "
            f"{seen.received_units} would arrive"
        )


def _insert(
    connection: Connection,
    parts: Parts,
    table: Table,
    row: Payout | Sweep,
    built: ChainTransaction,
    *,
    token: str,
) -> None:
    nonce = transaction.lock_nonce(connection, built.network, built.sender, base=built.nonce)
    if nonce != built.nonce:
        raise Waits("another transaction of this sender came first", WAIT_TURN)
    if transaction.unsigned_of(connection, built.network, built.sender) is not None:
        raise Waits("another transaction of this sender is being signed", WAIT_TURN)
    final = with_nonce(built, nonce)
    # Guarded by the status too: what was called off in the meantime gets no transaction.
    settled = settle(
        connection,
        table,
        [{"id": row.id, "transaction": final.id, "status": row.status}],
        token=token,
        guards=("status",),
    )
    if settled != 1:
        raise Waits("the lease was lost", WAIT_TURN)
    transaction.insert(connection, final)
    wake(connection, "transaction.sign")


def with_nonce(built: ChainTransaction, nonce: int) -> ChainTransaction:
    """Give a priced transaction its nonce, and with it the bytes that are to be signed."""
    found = build_transfer(
        chain_id=chain_id(built.network),
        nonce=nonce,
        fees=Fees(
            max_fee_per_gas=built.max_fee_per_gas,
            max_priority_fee_per_gas=built.max_priority_fee_per_gas,
            base_fee_per_gas=0,
        ),
        gas_limit=built.gas_limit,
        receiver=built.destination,
        contract=erc20_contract(built.asset),
        units=built.token_amount,
    )
    return replace(built, nonce=nonce, unsigned=evm.encode_unsigned(found))


def _fail_payout(
    connection: Connection, row: Payout, reason: str, token: str, now: datetime
) -> None:
    """Nothing was signed, so it is certain that nothing was sent: the hold goes back."""
    failed = replace(
        row,
        status=PayoutStatus.failed.value,
        failure_code="transfer_would_fail",
        failure_message=reason,
    )
    fields = ("id", "status", "failure_code", "failure_message")
    change = {name: getattr(failed, name) for name in fields}
    if settle(connection, payouts.payouts, [change], token=token):
        events.append(connection, [payout_event(failed, event.PAYOUT_FAILED)], now=now)
        wake(connection, "payout.release")


def _fail_sweep(connection: Connection, row: Sweep, reason: str, token: str, now: datetime) -> None:
    """The coins stay where they are, and are tried again much later."""
    failed = replace(row, status=SweepStatus.failed.value, failure_code="transfer_would_fail")
    change = {name: getattr(failed, name) for name in ("id", "status", "failure_code")}
    if settle(connection, sweeps.sweeps, [change], token=token):
        log.warning("sweep.given_up", sweep=row.id, reason=reason)
        address.add_deposits(connection, [(row.address, row.asset, row.token_amount)])
        sweeps.postpone(
            connection, address=row.address, asset=row.asset, until=now + SWEEP_AGAIN_AFTER
        )
        events.append(connection, [sweep_event(failed, event.SWEEP_FAILED)], now=now)
