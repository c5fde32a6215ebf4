"""Refunds of charges: written down, moved in the ledger at once, and finished when nobody did.

A charge by voucher that is not claimed on the chain yet is given back into its channel, where its
payer may spend it again or have it refunded. What is claimed already, or is of a channel whose
payer is leaving, goes past it: by a payout to the payer's address.
"""

from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from sakk.core import channel_event
from sakk.core import charge_refund as rules
from sakk.core.beneficiary import Wanted
from sakk.core.channel import Channel, ChannelKind
from sakk.core.charge import Step, charge_id
from sakk.core.charge_refund import ChargeRefund, ChargeRefundStatus
from sakk.core.dispute import STEP_HOLD, Dispute, DisputeStatus, Outcome
from sakk.core.errors import (
    BalanceInsufficient,
    ResourceMissing,
    SakkError,
    Unavailable,
    UnexpectedState,
)
from sakk.core.escrow_channel import (
    ATTEMPTS_MAX,
    ChannelStatus,
    EscrowChannel,
    charge_name,
    disputed_posting,
    parse_charge_name,
    uncharging_postings,
    unclaimed,
)
from sakk.core.escrow_channel import (
    PREFIX as ESCROW_PREFIX,
)
from sakk.core.escrow_channel import charge_id as voucher_charge_id
from sakk.core.event import NewEvent
from sakk.core.payout import PayoutRequest
from sakk.flow import payout
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.mandate import FROZEN
from sakk.flow.stage import Stage
from sakk.flow.voucher import Vouchers
from sakk.ledger.types import TransferFlags
from sakk.store import channel as channels
from sakk.store import charge_refund as store
from sakk.store import dispute as disputes
from sakk.store import escrow_channel as escrows
from sakk.store import event as events
from sakk.store import session as sessions
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint
from sakk.store.network import list_currencies

BATCH_MAX: Final = 100

# What a charge was paid by.
Paid = Channel | EscrowChannel


def create(
    parts: Parts,
    channel: Channel,
    session_id: str,
    nonce: int,
    *,
    identifier: str,
    amount: int | None = None,
    dispute: Dispute | None = None,
) -> ChargeRefund:
    """Give back all or part of a charge; repeat under the same identifier.

    ResourceMissing where nothing was charged, ParameterInvalid above what was, BalanceInsufficient
    where the payee has not as much, Unavailable where the dispute was decided on anew.
    """
    if channel.kind != ChannelKind.balance:
        raise UnexpectedState("What an escrow paid is refunded on its chain.", param="channel")
    charged = charged_amount(parts, channel, session_id, nonce)
    with parts.database.begin() as connection:
        refund = store.find(connection, identifier)
        if dispute is not None and (refund is None or refund.status in rules.OVER):
            _check_stands(connection, dispute)
        disputed = None if dispute is None else dispute.id
        if refund is None:
            # Of two refunds of one channel the second sees what the first gives back.
            locked = channels.lock(connection, channel.id)
            assert locked is not None
            before = store.refunded(connection, session_id, nonce, besides=disputed)
            refund = ChargeRefund(
                id=identifier,
                account_id=channel.payee,
                livemode=channel.livemode,
                channel_id=channel.id,
                session_id=session_id,
                nonce=nonce,
                amount=rules.amount_of(amount, charged=charged, refunded=before),
                currency=channel.currency,
                decimals=channel.decimals,
                to_payer=rules.goes_to_payer(locked),
                dispute=disputed,
                status=ChargeRefundStatus.requested.value,
                attempt=0,
                created=parts.clock(),
            )
            store.insert(connection, refund)
        elif dispute is not None:
            refund = store.try_again(connection, identifier)
    return _finish(parts, channel, refund)


def charged_amount(parts: Parts, channel: Channel, session_id: str, nonce: int) -> int:
    """What a call of a channel was charged, by the ledger; ResourceMissing where it was not."""
    with parts.database.begin() as connection:
        session = sessions.find(connection, session_id)
    charged = 0
    if session is not None and session.channel_id == channel.id:
        [charged] = parts.books.amounts_moved([charge_id(session.handle, nonce, Step.committed)])
    if not charged:
        raise ResourceMissing(
            f"Nothing was charged for call {nonce} of {session_id!r} on this channel.",
            param="nonce",
        )
    return charged


def create_of_voucher(
    parts: Parts,
    channel: EscrowChannel,
    charge: str,
    *,
    identifier: str,
    amount: int,
    dispute: Dispute,
) -> ChargeRefund:
    """Give back all or part of a charge by voucher; repeat under the same identifier.

    Raises as `create` does, what a payout raises that can not be made, and Unavailable where
    another refund of the channel came between: ask again.
    """
    charged = charged_by_voucher(parts, channel, charge)
    with parts.database.begin() as connection:
        refund = store.find(connection, identifier)
        given = store.given_back(connection, [channel.id]).get(channel.id, store.NOTHING)
    if refund is None or refund.status in rules.OVER:
        totals = Vouchers(parts).totals(channel)
        with parts.database.begin() as connection:
            # Locked, so that nothing is claimed of what is about to be given back.
            [locked] = escrows.lock_channels(connection, [channel.id])
            _check_stands(connection, dispute)
            if store.given_back(connection, [channel.id]).get(channel.id, store.NOTHING) != given:
                raise Unavailable("Another refund of this channel came between. Send it again.")
            before = store.refunded(connection, charge, 0, besides=dispute.id)
            units = rules.amount_of(amount, charged=charged, refunded=before)
            claimed = max(locked.redeemed, escrows.claimed_to(connection, channel.id))
            free = unclaimed(totals, giving_back=given.not_booked, claimed=claimed)
            fresh = ChargeRefund(
                id=identifier,
                account_id=channel.account_id,
                livemode=channel.livemode,
                channel_id=channel.id,
                session_id=charge,
                nonce=0,
                amount=units,
                currency=channel.currency,
                decimals=decimals_of(connection, channel.currency),
                to_payer=units > free or locked.status != ChannelStatus.open,
                dispute=dispute.id,
                status=ChargeRefundStatus.requested.value,
                attempt=0,
                created=parts.clock(),
            )
            store.insert(connection, fresh)
            # What was asked for before goes the way that is right now.
            refund = store.try_again(connection, identifier, to_payer=fresh.to_payer)
    return _finish(parts, channel, refund)


def _check_stands(connection: Connection, dispute: Dispute) -> None:
    """Who was slow gives nothing back for a dispute that has opened again, or ended, since then."""
    now = disputes.find(connection, dispute.id)
    decided = (DisputeStatus.open, Outcome.refund, dispute.attempt)
    if now is None or (now.status, now.outcome, now.attempt) != decided:
        raise Unavailable("Somebody else went on with this dispute meanwhile. Send it again.")


def held(channel: Paid, dispute: Dispute) -> PostingSet:
    """What is disputed, taken off the payee's balance, pending until somebody decides.

    Of a session's charge it is the refund itself; a voucher's goes back its own way.
    """
    if isinstance(channel, Channel):
        money = rules.posting(channel, dispute.amount, to_payer=True)
    else:
        money = disputed_posting(channel, dispute.amount)
    flags = TransferFlags.pending
    return PostingSet(dispute.id, STEP_HOLD, dispute.attempt, [money], flags=flags)


def charged_by_voucher(parts: Parts, channel: EscrowChannel, charge: str) -> int:
    """What a voucher was charged, by the ledger; ResourceMissing where it was not."""
    try:
        identifier, ceiling, attempt = parse_charge_name(charge)
    except ValueError:
        identifier, ceiling, attempt = "", 0, 0
    charged = 0
    if identifier == channel.id:
        number = voucher_charge_id(channel, ceiling, attempt, "commit")
        [charged] = parts.books.amounts_moved([number])
    if not charged:
        raise ResourceMissing(f"Nothing was charged as {charge!r} on this channel.", param="charge")
    return charged


def charge_named(parts: Parts, channel: EscrowChannel, ceiling: int) -> str:
    """The name of the charge that the voucher of a total paid; ResourceMissing where none did."""
    attempts = range(ATTEMPTS_MAX)
    wanted = [voucher_charge_id(channel, ceiling, each, "commit") for each in attempts]
    for attempt, units in zip(attempts, parts.books.amounts_moved(wanted), strict=True):
        if units:
            return charge_name(channel, ceiling, attempt)
    raise ResourceMissing(f"The voucher of {ceiling} paid for nothing here.", param="ceiling")


def find_paid(connection: Connection, identifier: str) -> Paid | None:
    """The channel of an id, of whichever kind."""
    if identifier.startswith(f"{ESCROW_PREFIX}_"):
        return escrows.find_channel(connection, identifier)
    return channels.find(connection, identifier)


def decimals_of(connection: Connection, currency: str) -> int:
    """How a currency's smallest unit is written."""
    return next(each.decimals for each in list_currencies(connection) if each.currency == currency)


def is_away(error: SakkError) -> bool:
    """Was it not decided, so that the same is asked again? A balance may grow; that is decided."""
    return error.transient and not isinstance(error, BalanceInsufficient)


def record(parts: Parts, connection: Connection, channel: Channel, refund: ChargeRefund) -> None:
    """Write down a refund that was booked as the hold of a dispute."""
    store.insert(connection, refund)
    tell(parts, connection, channel, refund)


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes refunds whose request did not live to see the ledger's answer."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.left_behind, now=parts.clock(), limit=BATCH_MAX)
            found = {each.id: find_paid(connection, each.channel_id) for each in rows}
        away = None
        for row in rows:
            channel = found[row.id]
            assert channel is not None
            try:
                _finish(parts, channel, row)
            except SakkError as error:
                # Refused is an outcome too, and stands in the row. What waits holds up no other.
                if is_away(error):
                    away = error
        if away is not None:
            raise away
        return len(rows)

    return Stage("charge_refund.post", run, idle_seconds=5.0, due=(store.left_behind,))


def _finish(parts: Parts, channel: Paid, refund: ChargeRefund) -> ChargeRefund:
    if refund.status == ChargeRefundStatus.requested:
        if isinstance(channel, Channel):
            refund = _post(parts, channel, refund)
        elif refund.to_payer:
            refund = _pay_out(parts, channel, refund)
        else:
            back = uncharging_postings(channel, refund.amount)
            failpoint("charge_refund.post.before")
            [outcome] = parts.books.post([PostingSet(refund.id, rules.STEP, refund.attempt, back)])
            failpoint("charge_refund.post.after")
            refund = _ended(parts, channel, refund, booked=outcome.booked)
    if refund.status == ChargeRefundStatus.rejected:
        raise BalanceInsufficient(
            "The payee's available balance does not cover the refund.", param="amount"
        )
    return refund


def _post(parts: Parts, channel: Channel, refund: ChargeRefund) -> ChargeRefund:
    money = rules.posting(channel, refund.amount, to_payer=refund.to_payer)
    failpoint("charge_refund.post.before")
    [outcome] = parts.books.post([PostingSet(refund.id, rules.STEP, refund.attempt, [money])])
    failpoint("charge_refund.post.after")
    if outcome.refusal in FROZEN and not refund.to_payer:
        # The channel was closed since: another attempt goes past it.
        with parts.database.begin() as connection:
            store.turn_to_payer(connection, refund)
        return _post(parts, channel, replace(refund, to_payer=True, attempt=refund.attempt + 1))
    return _ended(parts, channel, refund, booked=outcome.booked)


def _pay_out(parts: Parts, channel: EscrowChannel, refund: ChargeRefund) -> ChargeRefund:
    """Send it to the payer's address; the payout has the refund's number.

    What is held for the dispute turns into what is held for the payout: it is free at no time.
    """
    with parts.database.begin() as connection:
        dispute = disputes.find(connection, refund.dispute or "")
    request = PayoutRequest(
        amount=refund.amount,
        currency=refund.currency,
        destination=Wanted(address=channel.payer, network=channel.network),
        fee_mode="receiver",
        description="A charge given back",
        metadata={"charge_refund": refund.id},
    )
    try:
        payout.create(
            parts,
            request,
            identifier=rules.payout_id(refund),
            account_id=channel.account_id,
            livemode=channel.livemode,
            instead_of=held(channel, dispute) if dispute is not None and dispute.is_held else None,
        ).run(parts.database)
    except SakkError as error:
        if is_away(error):
            raise
        _ended(parts, channel, refund, booked=False)
        raise
    return _ended(parts, channel, refund, booked=True)


def _ended(parts: Parts, channel: Paid, refund: ChargeRefund, *, booked: bool) -> ChargeRefund:
    status = ChargeRefundStatus.posted if booked else ChargeRefundStatus.rejected
    payout_id = None
    if booked and refund.to_payer and not isinstance(channel, Channel):
        status, payout_id = ChargeRefundStatus.sent, rules.payout_id(refund)
    done = replace(refund, status=status.value, payout=payout_id)
    with parts.database.begin() as connection:
        is_first = store.finish(connection, refund, status, payout=payout_id)
        if is_first and status is ChargeRefundStatus.posted:
            tell(parts, connection, channel, done)
    return done


def tell(parts: Parts, connection: Connection, channel: Paid, refund: ChargeRefund) -> None:
    """Both sides are told how a refund ended; a payer in escrow has no account, and asks."""
    is_posted = refund.status == ChargeRefundStatus.posted
    payer = channel.account_id if isinstance(channel, Channel) else None
    events.append(
        connection,
        [
            NewEvent(
                account_id=who,
                livemode=refund.livemode,
                type=channel_event.CHARGE_REFUNDED
                if is_posted
                else channel_event.CHARGE_REFUND_FAILED,
                object_id=refund.id,
                object=rules.public_charge_refund(refund),
            )
            for who in (payer, refund.account_id)
            if who is not None
        ],
        now=parts.clock(),
    )
