"""Refunds of escrow channels: what is not charged goes back to the payer, who asks, or the payee.

What it takes is set aside in the ledger first, so that no call is charged against it; what was
charged is claimed before it goes. A refund that the chain proves to have done nothing has failed:
what was set aside is in the channel again, its payee is told, and whoever asks again makes another
one. What only waits, for gas or for its turn, has not failed.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from sakk.core.errors import BalanceInsufficient, UnexpectedState
from sakk.core.escrow import encode_refund, is_signed
from sakk.core.escrow_call import PREFIX as CALL_PREFIX
from sakk.core.escrow_call import SIGNED_MEANWHILE, CallKind, CallStatus, EscrowCall
from sakk.core.escrow_channel import (
    ChannelStatus,
    EscrowChannel,
    Refusal,
    leaving_posting,
    staying_posting,
    unsigning_postings,
)
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.escrow_call import BUILD, ENDED, RELEASE, tell_refund
from sakk.flow.escrow_channel import Refused
from sakk.flow.stage import REST_SECONDS, Stage, wake
from sakk.flow.voucher import Vouchers
from sakk.ledger.types import TransferFlags
from sakk.store import escrow_channel as store
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import before, claim, claimable, settle

BATCH_MAX: Final = 20
# A request that did not come to its end in this time has died.
LEFT_BEHIND_AFTER: Final = timedelta(seconds=10)
# After so many that failed the same question is asked no more: the channel stands otherwise first.
FAILED_MAX: Final = 100
REFUND_FAILED: Final = "invalid_batch_settlement_evm_refund_transaction_failed"


def order_refund(
    parts: Parts,
    vouchers: Vouchers,
    channel: EscrowChannel,
    *,
    ceiling: int,
    signature: bytes,
    amount: int | None,
) -> EscrowCall:
    """Give a payer back what was not charged, or so much of it. Raises Refused.

    The payer proves itself by a voucher for exactly what was charged, with what is being served or
    without. What calls hold that are being served, or that died with their door, is not waited for:
    it stays in the channel until they end, for another refund. The same question about the same
    standing is the same refund, or another one where that has failed.
    """
    totals = vouchers.totals(channel)
    name = bytes.fromhex(channel.channel[2:])
    signer = channel.config.voucher_signer
    if not is_signed(name, ceiling, signature, chain_id=channel.chain_id, signer=signer):
        raise Refused(Refusal.signature, f"The voucher is not signed by {signer}.")
    if not totals.charged <= ceiling <= totals.charged + totals.reserved:
        raise Refused(Refusal.amount_mismatch, f"{totals.charged} has been charged.")
    if channel.status != ChannelStatus.open:
        raise Refused(Refusal.busy, "The channel's payer is withdrawing from it.")
    if totals.free == 0 or (amount is not None and amount > totals.free):
        raise Refused(Refusal.no_balance, f"{totals.free} may go back.")
    if amount is not None and amount <= 0:
        raise Refused(Refusal.refund_amount, "The amount is a positive integer.")
    units = totals.free if amount is None else amount
    key = f"refund:{channel.id}:{totals.charged}:{totals.balance}:{totals.base}:{units}"
    for _ in range(FAILED_MAX):
        call = _ask(parts, channel, units, identifier=new_id(CALL_PREFIX), key=key)
        if call.status != CallStatus.failed:
            return call
        # What follows a failed one is named after it, so that of two that ask again one is made.
        key = f"{key.partition('|')[0]}|{call.id}"
    raise Refused(Refusal.busy, "This refund has failed too often.")


def give_back(
    parts: Parts,
    vouchers: Vouchers,
    channel: EscrowChannel,
    *,
    identifier: str,
    amount: int | None,
) -> EscrowCall:
    """The payee gives back what is not charged, or so much of it; again it is the same refund.

    UnexpectedState while the channel's payer is on its own way out, BalanceInsufficient where
    nothing, or not as much, is free.
    """
    with parts.database.begin() as connection:
        known = store.find_call(connection, identifier)
    if known is None:
        totals = vouchers.totals(channel)
        if channel.status != ChannelStatus.open:
            raise UnexpectedState(
                "The channel's payer is withdrawing from it, or its deposit is not final yet.",
                param="escrow_channel",
            )
        if totals.free == 0 or (amount or 0) > totals.free:
            raise BalanceInsufficient(
                f"{totals.free} is neither charged nor held by a call.", param="amount"
            )
        units = totals.free if amount is None else amount
        key = f"refund:{identifier}"
        known = _ask(parts, channel, units, identifier=identifier, key=key)
    return _set_aside(parts, known, channel) if known.status == CallStatus.asked else known


def _ask(
    parts: Parts, channel: EscrowChannel, units: int, *, identifier: str, key: str
) -> EscrowCall:
    """The refund of a key: a new one, with its money set aside, or the one that is there."""
    call = EscrowCall(
        id=identifier,
        kind=CallKind.refund.value,
        livemode=channel.livemode,
        network=channel.network,
        asset=channel.asset,
        channel_id=channel.id,
        account_id=channel.account_id,
        key=key,
        sender=channel.receiver_authorizer,
        destination=channel.payer,
        token_amount=units,
        data=encode_refund(channel.config, units),
        status=CallStatus.asked.value,
        created=parts.clock(),
    )
    with parts.database.begin() as connection:
        if not store.insert_call(connection, call):
            known = store.call_by_key(connection, key)
            assert known is not None
            return known
    return _set_aside(parts, call, channel)


def _set_aside(parts: Parts, call: EscrowCall, channel: EscrowChannel) -> EscrowCall:
    """Take what a refund gives back out of what may be signed for; safe to repeat.

    First as much as there is of what was signed for, and is neither charged nor being served.
    """
    back = unsigning_postings(channel, call.token_amount)
    balancing = TransferFlags.balancing_debit
    leaving = [leaving_posting(channel, call.token_amount)]
    failpoint("escrow_refund.set_aside.before")
    parts.books.post([PostingSet(call.id, "unsign", 0, back, balancing)])
    [outcome] = parts.books.post([PostingSet(call.id, "leave", 0, leaving)])
    failpoint("escrow_refund.set_aside.after")
    status = CallStatus.requested if outcome.booked else CallStatus.failed
    failure = None if outcome.booked else SIGNED_MEANWHILE
    ended = replace(call, status=status.value, failure=failure)
    with parts.database.begin() as connection:
        change = {"status": status.value, "failure": failure, "lease_until": None}
        if not store.end_asked(connection, call.id, **change):
            # The stage, or the request, was first; it may have been sent by now.
            return store.find_call(connection, call.id) or ended
        if not outcome.booked:
            tell_refund(connection, ended, channel, now=parts.clock())
        wake(connection, BUILD if outcome.booked else ENDED)
    return ended


_due = claimable(
    store.escrow_calls,
    EscrowCall,
    (store.escrow_calls.c.status == CallStatus.failing.value)
    | (
        (store.escrow_calls.c.status == CallStatus.asked.value)
        & (store.escrow_calls.c.created < before(LEFT_BEHIND_AFTER))
    ),
    limit=BATCH_MAX,
)


def refund_stage(parts: Parts) -> Stage:
    """The stage that finishes refunds a request left behind, and gives back what failed."""
    table = store.escrow_calls

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
            if not rows:
                return 0
            channels = {
                each.id: each
                for each in store.lock_channels(connection, [row.channel_id or "" for row in rows])
            }
        for row in rows:
            channel = channels[row.channel_id or ""]
            if row.status == CallStatus.asked:
                _set_aside(parts, row, channel)
                continue
            staying = [staying_posting(channel, row.token_amount)]
            [outcome] = parts.books.post([PostingSet(row.id, "stay", row.attempt, staying)])
            change: dict[str, Any] = {"id": row.id, "attempt": row.attempt + 1}
            if outcome.booked:
                change = {"id": row.id, "status": CallStatus.failed.value}
            with parts.database.begin() as connection:
                if settle(connection, table, [change], token=token) and outcome.booked:
                    failed = replace(row, status=CallStatus.failed.value)
                    tell_refund(connection, failed, channel, now=parts.clock())
                wake(connection, ENDED)
        return len(rows)

    return Stage(RELEASE, run, due=(_due,), rest_seconds=REST_SECONDS)
