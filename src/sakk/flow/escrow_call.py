"""Calls of the escrow on their way: built into a transaction of ours, and ended by what it did."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from sakk.core import channel_event
from sakk.core.errors import SakkError, Unavailable
from sakk.core.escrow import ESCROW
from sakk.core.escrow_call import (
    CallKind,
    CallStatus,
    CarriedCall,
    EscrowCall,
    public_refund,
)
from sakk.core.escrow_channel import (
    ChannelStatus,
    EscrowChannel,
    gone_postings,
    taken_posting,
)
from sakk.core.event import NewEvent
from sakk.core.gas_price import FeesAboveCap
from sakk.core.posting import Posting
from sakk.core.transaction import ChainTransaction, Purpose
from sakk.flow import gas_price
from sakk.flow.book import PostingSet
from sakk.flow.build import Call, Waits, order_call
from sakk.flow.context import Parts
from sakk.flow.stage import REST_SECONDS, Stage, wake
from sakk.ledger.types import TransferFlags
from sakk.rails.evm.send import TransferWouldFail
from sakk.store import address, network
from sakk.store import escrow_channel as store
from sakk.store import event as events
from sakk.store.address import Address
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, retry_delay, settle

BATCH_MAX = 20
BUILD = "escrow_call.build"
RELEASE = "escrow_call.release"
# Whoever waits for calls to end.
ENDED = "escrow_call.ended"
WAIT_NETWORK = timedelta(seconds=2)
# A call that its trial refuses so often is given up: its authorization is over, or was used.
WOULD_FAIL_MAX = 3

log = structlog.get_logger(__name__)


_due = claimable(
    store.escrow_calls,
    EscrowCall,
    store.escrow_calls.c.status == CallStatus.requested.value,
    store.escrow_calls.c.transaction.is_(None),
    limit=BATCH_MAX,
)


def call_build_stage(parts: Parts) -> Stage:
    """The stage that gives requested calls of the escrow their transactions."""

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
        return sum(_attempt(parts, row, token=token) for row in rows)

    return Stage(BUILD, run, due=(_due,), rest_seconds=REST_SECONDS)


def choose_sender(connection: Connection, wanted: str | None = None) -> Address:
    """Who makes a call: the address that has to, or the first that captures. Raises Waits."""
    able: Sequence[Address] = (
        address.list_captors(connection) if wanted is None else address.list_treasury(connection)
    )
    for each in able:
        if wanted in (None, each.address):
            return each
    raise Waits(f"{wanted} is no address of the treasury", WAIT_NETWORK)


def authorizer(connection: Connection) -> str:
    """The address that channels name as their receiver's authorizer: the first that captures."""
    try:
        return choose_sender(connection).address
    except Waits as waiting:
        raise Unavailable("There is no treasury yet. Start the role worker first.") from waiting


def _attempt(parts: Parts, row: EscrowCall, *, token: str) -> int:
    """Build one call's transaction, or say why it waits; 1 if its status changed."""
    now = parts.clock()
    try:
        _build(parts, row, token=token)
        return 1
    except Waits as waiting:
        change: dict[str, Any] = {
            "retry_at": now + waiting.delay,
            "failures": row.failures,
            "waits_for": str(waiting),
        }
    except FeesAboveCap as error:
        change = {
            "retry_at": now + gas_price.WAIT_FEES,
            "failures": row.failures,
            "waits_for": error.message,
        }
    except SakkError as error:
        log.warning("escrow_call.failed", call=row.id, code=error.code, reason=error.message)
        change = {
            "retry_at": now + retry_delay(row.failures),
            "failures": row.failures + 1,
            "waits_for": error.message,
        }
        if isinstance(error, TransferWouldFail) and row.failures + 1 >= WOULD_FAIL_MAX:
            change |= {"status": row.failed_status.value, "failure": error.message}
    with parts.database.begin() as connection:
        settle(connection, store.escrow_calls, [{"id": row.id, **change}], token=token)
        if "status" in change:
            wake(connection, RELEASE, ENDED)
    return 0


def _build(parts: Parts, row: EscrowCall, *, token: str) -> None:
    with parts.database.begin() as connection:
        found = network.find_network(connection, row.network)
        sender = choose_sender(connection, row.sender)
    if found is None or not found.enabled:
        raise Waits("the network is not enabled", WAIT_NETWORK)
    is_redemption = row.kind == CallKind.redemption
    call = Call(
        purpose=Purpose.redemption if is_redemption else Purpose.escrow,
        to=ESCROW,
        data=row.data,
        asset=row.asset,
        destination=row.destination if is_redemption else ESCROW,
        units=0,
        subject=row.id,
    )

    def take(connection: Connection, built: ChainTransaction) -> None:
        change = {
            "id": row.id,
            "transaction": built.id,
            "status": CallStatus.sent.value,
            "waits_for": None,
        }
        if not settle(connection, store.escrow_calls, [change], token=token):
            raise Waits("the lease was lost", WAIT_NETWORK)

    order_call(parts, found, sender, call, take)


def fail_call(connection: Connection, row: ChainTransaction, reason: str) -> None:
    """A call whose transaction will never be: what it held is given back."""
    call = store.find_call(connection, row.subject)
    if call is not None:
        store.change_call(connection, call.id, status=call.failed_status.value, failure=reason)
        wake(connection, RELEASE, ENDED)


def finish_call(
    connection: Connection, row: ChainTransaction, before: ChainTransaction | None, *, now: datetime
) -> None:
    """End what a booked transaction carried; ``before``: as it was booked before a reorganisation.

    The books have followed already: here the rows do.
    """
    done = store.carried_by(connection, row)
    if done is None:
        return
    succeeded = bool(row.succeeded)
    store.change_call(
        connection,
        done.call.id,
        status=(CallStatus.posted if succeeded else done.call.failed_status).value,
        failure=None if succeeded else row.error or "The transaction reverted on the chain.",
        posted_at=now,
    )
    match CallKind(done.call.kind):
        case CallKind.deposit:
            assert done.channel is not None
            if succeeded and done.channel.status == ChannelStatus.opening:
                store.change_channel(connection, done.channel.id, status=ChannelStatus.open.value)
        case CallKind.redemption:
            was = 0 if before is None else (before.arrived_units or 0) * bool(before.succeeded)
            came = (row.arrived_units or 0) * succeeded
            if came != was:
                deposit = (row.destination, row.asset, came - was)
                address.add_deposits(connection, [deposit])
            for redemption, _ in done.redemptions:
                total = redemption.claimed_to if succeeded else redemption.claimed_from
                store.change_channel(connection, redemption.channel_id, redeemed=total)
            wake(connection, "sweep.collect")
        case CallKind.refund:
            if succeeded and done.call.status != CallStatus.posted:
                assert done.channel is not None
                posted = replace(done.call, status=CallStatus.posted.value)
                tell_refund(connection, posted, done.channel, now=now, tx_hash=row.hash)
        case CallKind.relay:
            pass
    wake(connection, ENDED)
    if not succeeded:
        wake(connection, RELEASE)


def tell_refund(
    connection: Connection,
    call: EscrowCall,
    channel: EscrowChannel,
    *,
    now: datetime,
    tx_hash: str | None = None,
) -> None:
    """Tell the payee how a refund of its channel ended."""
    done = call.status == CallStatus.posted
    told = NewEvent(
        account_id=channel.account_id,
        livemode=channel.livemode,
        type=channel_event.ESCROW_REFUND_SUCCEEDED if done else channel_event.ESCROW_REFUND_FAILED,
        object_id=call.id,
        object=public_refund(call, currency=channel.currency, tx_hash=tx_hash),
    )
    events.append(connection, [told], now=now)


def undo_deposit(
    parts: Parts, row: ChainTransaction, carried: CarriedCall, step: str
) -> list[Posting]:
    """A final deposit left the chain, and its bytes can do nothing any more: what is to be booked.

    What is not signed for is taken back at once, as much as there is; the rest is the payee's loss.
    """
    channel = carried.channel
    assert channel is not None
    units = carried.call.token_amount
    back = [taken_posting(channel.deposit_account, channel, units)]
    take = PostingSet(row.id, f"{step}:take", 0, back, TransferFlags.balancing_debit)
    booked = parts.books.post([take])[0].booked
    taken = parts.books.amount_moved(take.transfer_id(0)) if booked else 0
    log.error("escrow_call.deposit_gone", channel=channel.id, units=units, lost=units - taken)
    with parts.database.begin() as connection:
        store.note_lost(connection, carried.call, units - taken)
    return gone_postings(channel, units, taken=taken)
