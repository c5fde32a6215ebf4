"""Build: what payouts and sweeps share on their way to a transaction with a nonce.

The transaction is committed before any signing. A sender has at most one that has a nonce and no
signature, or a few that are plain payments (`sakk.core.sender.has_turn`). A refused one leaves its
nonce to the next; those behind it that are not signed are built again, so no gap stays that is of
our own making.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy import Connection, Table

from sakk.core import evm
from sakk.core.caip import chain_id, erc20_contract
from sakk.core.errors import SakkError
from sakk.core.gas_price import Fees, FeesAboveCap
from sakk.core.network import Network
from sakk.core.payout import Payout
from sakk.core.sender import IN_FLIGHT_MAX, has_turn
from sakk.core.sweep import Sweep
from sakk.core.transaction import PLAIN, ChainTransaction, Purpose, TransactionStatus
from sakk.core.withdrawal import Withdrawal
from sakk.flow import gas_price
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.rails.evm.balances import balances
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.send import (
    TransferWouldFail,
    build_transfer,
    estimate_call,
    estimate_transfer,
    nonces,
)
from sakk.store import address, network, transaction
from sakk.store import sender as senders
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import retry_delay, settle

BATCH_MAX = 20
WAIT_LIQUIDITY = timedelta(seconds=2)
WAIT_FROZEN = timedelta(minutes=1)
WAIT_TURN = timedelta(milliseconds=50)
WAIT_MINED = timedelta(seconds=1)
WOULD_FAIL_MAX = 5

# What is paid to others waits while much is on its way; what the house needs does not.
_PAYING = PLAIN | {Purpose.disperse}
# What empties a treasury address that is given up.
_GIVING_UP = (Purpose.rotation, Purpose.allowance)

log = structlog.get_logger(__name__)

Row = TypeVar("Row", Payout, Sweep, Withdrawal)


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


class NoTurn(Waits):
    """The sender takes no nonce before something of it was signed, or mined."""


@dataclass(frozen=True, slots=True)
class Habits(Generic[Row]):
    """What payouts and sweeps do differently while they are built.

    ``check`` tries the transfer out and raises ``TransferWouldFail``; ``give_up`` ends a row whose
    transfer would fail again and again; ``lacks_gas`` is told by how many wei the sender is short
    of what it needs.
    """

    table: Table
    check: Callable[[EvmRail, Order], None]
    give_up: Callable[[Connection, Row, str, str, datetime], None]
    lacks_gas: Callable[[Parts, Row, Network, int, int], None]


def attempt(
    parts: Parts, habits: Habits[Row], row: Row, order: Order, *, token: str
) -> NoTurn | None:
    """Build one row's transaction, or say why it waits; what its sender's other rows wait for."""
    now = parts.clock()
    no_turn = None
    try:
        built = _built(parts, habits, order, row)
        failpoint("transaction.build.before")
        with parts.database.begin() as connection:
            _insert(connection, habits.table, row, built, token=token)
        failpoint("transaction.build.after")
        return None
    except Waits as waiting:
        no_turn = waiting if isinstance(waiting, NoTurn) else None
        log.info("build.waits", subject=row.id, reason=str(waiting))
        change: dict[str, Any] = {
            "retry_at": now + waiting.delay,
            "failures": row.failures,
            "waits_for": str(waiting),
        }
    except FeesAboveCap as error:
        log.info("build.waits", subject=row.id, reason=error.message)
        change = {
            "retry_at": now + gas_price.WAIT_FEES,
            "failures": row.failures,
            "waits_for": error.message,
        }
    except TransferWouldFail as error:
        log.warning("build.would_fail", subject=row.id, reason=error.message)
        change = _again(row, error.message, now)
        if row.failures + 1 >= WOULD_FAIL_MAX:
            with parts.database.begin() as connection:
                habits.give_up(connection, row, error.message, token, now)
            return None
    except SakkError as error:
        log.warning("build.failed", subject=row.id, code=error.code, reason=error.message)
        change = _again(row, error.message, now)
    with parts.database.begin() as connection:
        settle(connection, habits.table, [{"id": row.id, **change}], token=token)
    return no_turn


@dataclass(frozen=True, slots=True)
class Standing:
    """What the database says of a sender before the chain is asked: what is promised already."""

    sender: str
    nonce: int | None
    taken_units: int
    taken_wei: int

    def next_nonce(self, rail: EvmRail) -> int:
        """The nonce to be taken; the chain knows the first."""
        return nonces(rail.rpc, self.sender).latest if self.nonce is None else self.nonce


def stand(
    connection: Connection, found: Network, sender: str, asset: str, *, purpose: Purpose
) -> Standing:
    """Read a sender's standing; ``Waits`` while it may not send, or another has the turn."""
    frozen = senders.frozen(connection, found.network)
    if sender in frozen:
        raise Waits(f"{sender} is frozen: {frozen[sender]}", WAIT_FROZEN)
    _require_turn(connection, found.network, sender, purpose)
    # Before the balance is asked for: what is mined in between is then taken off twice, never
    # not at all. The nonce says later whether anything was added to it.
    return Standing(
        sender=sender,
        nonce=transaction.next_nonce(connection, found.network, sender),
        taken_units=transaction.unmined_units(
            connection, network=found.network, sender=sender, asset=asset
        ),
        taken_wei=transaction.unmined_wei(
            connection, network=found.network, sender=sender, native=found.native_asset
        ),
    )


def put_off(
    parts: Parts,
    table: Table,
    rows: Sequence[Row],
    *,
    token: str,
    delay: timedelta | None,
    reason: str | None,
) -> None:
    """Give rows back until later (``delay`` None: they are due at once), with the reason."""
    if not rows:
        return
    until = None if delay is None else parts.clock() + delay
    changes = [
        {"id": row.id, "retry_at": until, "failures": row.failures, "waits_for": reason}
        for row in rows
    ]
    with parts.database.begin() as connection:
        settle(connection, table, changes, token=token)


def put_off_failed(
    parts: Parts, table: Table, rows: Sequence[Row], error: SakkError, *, token: str
) -> None:
    """Give rows back after a failure, for longer each time."""
    now = parts.clock()
    changes = [{"id": row.id, **_again(row, error.message, now)} for row in rows]
    with parts.database.begin() as connection:
        settle(connection, table, changes, token=token)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a contract by the treasury that pays nobody; ``to`` is called with ``data``.

    ``subject``: the row that it carries out; None: it stands for itself.
    """

    purpose: Purpose
    to: str
    data: bytes
    asset: str
    destination: str
    units: int
    subject: str | None = None


def order_call(
    parts: Parts,
    found: Network,
    sender: address.Address,
    call: Call,
    also: Callable[[Connection, ChainTransaction], None] = lambda connection, built: None,
) -> ChainTransaction:
    """Prepare a treasury's call of a contract; it goes the way of every transaction from here.

    ``Waits`` while another one of the sender has the turn, or gas lacks. ``also`` is done in the
    commit that takes the nonce.
    """
    with parts.database.begin() as connection:
        standing = stand(connection, found, sender.address, call.asset, purpose=call.purpose)
    rail = parts.rail_of(found)
    head = rail.head().number
    price = gas_price.price(parts, found)
    limit = estimate_call(rail.rpc, sender=sender.address, to=call.to, value=0, data=call.data)
    holding = (sender.address, found.native_asset)
    spare_wei = balances(rail.rpc, [holding], head)[holding] - standing.taken_wei
    if spare_wei < limit * price.max_fee_per_gas:
        raise Waits("the sender has not enough native coin for gas", WAIT_LIQUIDITY)
    nonce = standing.next_nonce(rail)
    identifier = new_id("tx")
    unsigned = evm.Transaction(
        chain_id=chain_id(found.network),
        nonce=nonce,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        max_fee_per_gas=price.max_fee_per_gas,
        gas_limit=limit,
        to=call.to,
        value=0,
        data=call.data,
    )
    built = ChainTransaction(
        id=identifier,
        livemode=found.livemode,
        network=found.network,
        purpose=call.purpose.value,
        subject=call.subject or identifier,
        sender=sender.address,
        key_branch="treasury",
        key_index=sender.key_index,
        nonce=nonce,
        asset=call.asset,
        destination=call.destination,
        token_amount=call.units,
        gas_limit=limit,
        max_fee_per_gas=price.max_fee_per_gas,
        max_priority_fee_per_gas=price.max_priority_fee_per_gas,
        unsigned=evm.encode_unsigned(unsigned),
        since_block=head,
        status=TransactionStatus.built.value,
        created=parts.clock(),
    )
    failpoint("call.build.before")
    with parts.database.begin() as connection:
        take_turn(connection, built)
        also(connection, built)
        transaction.insert(connection, built)
        wake(connection, "transaction.sign")
    failpoint("call.build.after")
    return built


def take_turn(connection: Connection, built: ChainTransaction) -> None:
    """Lock the sender; ``Waits`` unless the nonce that was expected is still the next, and free."""
    if built.purpose not in _GIVING_UP and not address.may_send(connection, built.sender):
        raise Waits("the sender was given up while this was built", WAIT_TURN)
    nonce = transaction.lock_nonce(connection, built.network, built.sender, base=built.nonce)
    if nonce != built.nonce:
        raise Waits("another transaction of this sender came first", WAIT_TURN)
    _require_turn(connection, built.network, built.sender, Purpose(built.purpose))


def _require_turn(connection: Connection, name: str, sender: str, purpose: Purpose) -> None:
    if not has_turn(purpose, transaction.unsigned_of(connection, name, sender)):
        raise NoTurn("another transaction of this sender is being signed", WAIT_TURN)
    if (
        purpose in _PAYING
        and transaction.count_in_flight(connection, name, sender) >= IN_FLIGHT_MAX
    ):
        raise NoTurn("as many of this sender's transactions as may be are on their way", WAIT_MINED)


def _again(row: Payout | Sweep | Withdrawal, reason: str, now: datetime) -> dict[str, Any]:
    return {
        "retry_at": now + retry_delay(row.failures),
        "failures": row.failures + 1,
        "waits_for": reason,
    }


def _built(parts: Parts, habits: Habits[Row], order: Order, row: Row) -> ChainTransaction:
    """Price and check the transfer against the chain as it is now; no nonce yet."""
    with parts.database.begin() as connection:
        found = network.find_network(connection, order.network)
        if found is None or not found.enabled:
            raise Waits("the network is not enabled", WAIT_LIQUIDITY)
        standing = stand(connection, found, order.sender, order.asset, purpose=order.purpose)
    native = found.native_asset
    rail = parts.rail_of(found)
    head = rail.head()
    held = balances(rail.rpc, [(order.sender, order.asset), (order.sender, native)], head.number)
    if held[order.sender, order.asset] - standing.taken_units < order.units:
        raise Waits("the sender's coins do not cover it yet", WAIT_LIQUIDITY)
    contract = erc20_contract(order.asset)
    habits.check(rail, order)
    gas_limit = estimate_transfer(
        rail.rpc,
        sender=order.sender,
        receiver=order.destination,
        contract=contract,
        units=order.units,
    )
    price = gas_price.price(parts, found)
    gas_needed = gas_limit * price.max_fee_per_gas
    spare_wei = held[order.sender, native] - standing.taken_wei
    if order.asset == native:
        spare_wei -= order.units
    if spare_wei < gas_needed:
        habits.lacks_gas(parts, row, found, gas_needed, gas_needed - spare_wei)
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
        nonce=standing.next_nonce(rail),
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


def _insert(
    connection: Connection,
    table: Table,
    row: Row,
    built: ChainTransaction,
    *,
    token: str,
) -> None:
    take_turn(connection, built)
    final = with_nonce(built, built.nonce)
    # Guarded by the status too: what was called off in the meantime gets no transaction.
    settled = settle(
        connection,
        table,
        [{"id": row.id, "transaction": final.id, "status": row.status, "waits_for": None}],
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
