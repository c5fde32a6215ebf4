"""Disputes: both sides' records are put side by side, and the disputed part is held meanwhile."""

from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import channel_event, ids
from sakk.core import charge_refund as refunds
from sakk.core import dispute as rules
from sakk.core.channel import Channel
from sakk.core.charge_refund import ChargeRefund, ChargeRefundStatus
from sakk.core.dispute import Dispute, DisputeStatus, Outcome
from sakk.core.errors import ResourceMissing, SakkError, UnexpectedState
from sakk.core.escrow_channel import EscrowChannel
from sakk.core.escrow_receipt import EscrowHead
from sakk.core.event import NewEvent
from sakk.flow import charge_refund, escrow_receipt, receipt
from sakk.flow.charge_refund import Paid, held
from sakk.flow.context import Parts
from sakk.flow.stage import Stage
from sakk.ledger.voucher import kept_vouchers
from sakk.store import channel as channels
from sakk.store import dispute as store
from sakk.store import escrow_channel as escrows
from sakk.store import event as events
from sakk.store.charge_refund import arrive, arrived, list_arrived, refunded
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint

BATCH_MAX: Final = 100


def create(
    parts: Parts,
    channel: Channel,
    session_id: str,
    nonce: int,
    *,
    identifier: str,
    reason: str,
    amount: int | None = None,
) -> Dispute:
    """Write down what is disputed and what both sides have of it, and hold it on the payee.

    Repeat under the same identifier. ResourceMissing where nothing was charged, UnexpectedState
    where the charge is disputed already.
    """
    with parts.database.begin() as connection:
        found = store.find(connection, identifier)
    if found is None:
        found = _new(parts, channel, session_id, nonce, identifier, reason=reason, amount=amount)
    return _hold(parts, channel, found) if found.status == DisputeStatus.requested else found


def create_of_voucher(
    parts: Parts,
    channel: EscrowChannel,
    charge: str,
    *,
    identifier: str,
    payer: str,
    reason: str,
    amount: int | None,
    signed: dict[str, Any],
) -> Dispute:
    """The same of a charge by voucher, by its payer's signed word, which is kept with the rest."""
    charged = charge_refund.charged_by_voucher(parts, channel, charge)
    head = escrow_receipt.carry_on(parts.database, channel)
    kept = kept_vouchers(parts.books.ledger, parts.database, [channel.id]).get(channel.id)
    with parts.database.begin() as connection:
        escrows.lock_channels(connection, [channel.id])
        found = store.find(connection, identifier)
        if found is None:
            _check_undisputed(connection, charge, 0, param="charge")
            before = refunded(connection, charge, 0)
            found = Dispute(
                id=identifier,
                account_id=None,
                payer=payer,
                payee=channel.account_id,
                livemode=channel.livemode,
                channel_id=channel.id,
                session_id=charge,
                nonce=0,
                amount=refunds.amount_of(amount, charged=charged, refunded=before),
                currency=channel.currency,
                decimals=charge_refund.decimals_of(connection, channel.currency),
                reason=reason,
                records=_voucher_records(parts, charge, charged, head, kept) | {"dispute": signed},
                is_held=False,
                status=DisputeStatus.requested.value,
                outcome=None,
                note=None,
                created=parts.clock(),
                ended_at=None,
            )
            store.insert(connection, found)
    return _hold(parts, channel, found) if found.status == DisputeStatus.requested else found


def resolve(
    parts: Parts, channel: Paid, dispute_id: str, outcome: Outcome, *, note: str | None
) -> Dispute:
    """Decide, then carry it out; the same outcome again is answered as the first time.

    BalanceInsufficient where nothing was held and the payee has not as much: it stays open.
    """
    with parts.database.begin() as connection:
        dispute = _locked(connection, dispute_id)
        if dispute.status == rules.status_after(outcome):
            return dispute
        if dispute.outcome != outcome:
            rules.check_open(dispute)
            store.change(connection, dispute.id, {"outcome": outcome.value, "note": note})
            dispute = replace(dispute, outcome=outcome.value, note=note)
    return _carry_out(parts, channel, dispute)


def left_behind_stage(parts: Parts) -> Stage:
    """The stage that finishes holds and outcomes whose request did not live to see them."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = fetch(connection, store.left_behind, now=parts.clock(), limit=BATCH_MAX)
            found = {each.id: charge_refund.find_paid(connection, each.channel_id) for each in rows}
        away = None
        for row in rows:
            channel = found[row.id]
            assert channel is not None
            if row.status == DisputeStatus.requested:
                row = _hold(parts, channel, row)
            if row.outcome is not None:
                try:
                    _carry_out(parts, channel, row)
                except SakkError as error:
                    # What can not be given back is open again. What waits holds up no other.
                    if charge_refund.is_away(error):
                        away = error
        if away is not None:
            raise away
        return len(rows)

    return Stage("dispute.settle", run, idle_seconds=5.0, due=(store.left_behind,))


def follow_stage(parts: Parts) -> Stage:
    """The stage that brings refunds in line with the payouts that carry them past their channel.

    One that did not arrive opens its dispute again: the payer has nothing yet. One that arrived
    after all, because the chain decided anew, ends the dispute that had opened again.
    """

    def run() -> int:
        with parts.database.begin() as connection:
            moved = list_arrived(connection, limit=BATCH_MAX)
            for refund, payout in moved:
                ended = replace(refund, status=refunds.status_by(payout).value)
                arrive(connection, ended)
                channel = charge_refund.find_paid(connection, ended.channel_id)
                assert channel is not None
                charge_refund.tell(parts, connection, channel, ended)
                if ended.dispute is not None:
                    _follow(connection, ended, ended.dispute)
        return len(moved)

    return Stage("charge_refund.follow", run, idle_seconds=5.0, due=(arrived,))


def _follow(connection: Connection, refund: ChargeRefund, dispute_id: str) -> None:
    """It is opened again, and held anew by the stage, or has ended.

    One of which nobody has decided since it was opened again is open, with its own hold; what was
    held for one that was decided is held no more, also where its end was not written down yet.
    """
    dispute = _locked(connection, dispute_id)
    if refund.status != ChargeRefundStatus.failed:
        if dispute.outcome is None:
            store.change(connection, dispute.id, {"outcome": Outcome.refund.value})
        return
    if dispute.outcome != Outcome.refund:
        return
    values = {
        "status": DisputeStatus.requested.value,
        "outcome": None,
        "note": None,
        "ended_at": None,
        "is_held": False,
        "attempt": dispute.attempt + 1,
    }
    store.change(connection, dispute.id, values)


def _new(
    parts: Parts,
    channel: Channel,
    session_id: str,
    nonce: int,
    identifier: str,
    *,
    reason: str,
    amount: int | None,
) -> Dispute:
    assert channel.account_id is not None
    charged = charge_refund.charged_amount(parts, channel, session_id, nonce)
    # Before the lock, so that a long chain keeps no other waiting.
    receipt.carried_on(parts.database, channel.id)
    with parts.database.begin() as connection:
        locked = channels.lock(connection, channel.id)
        assert locked is not None
        _check_undisputed(connection, session_id, nonce, param="nonce")
        before = refunded(connection, session_id, nonce)
        dispute = Dispute(
            id=identifier,
            account_id=channel.account_id,
            payee=channel.payee,
            livemode=channel.livemode,
            channel_id=channel.id,
            session_id=session_id,
            nonce=nonce,
            amount=refunds.amount_of(amount, charged=charged, refunded=before),
            currency=channel.currency,
            decimals=channel.decimals,
            reason=reason,
            records=_records(parts, connection, locked, session_id, nonce, charged),
            is_held=False,
            status=DisputeStatus.requested.value,
            outcome=None,
            note=None,
            created=parts.clock(),
            ended_at=None,
        )
        store.insert(connection, dispute)
    return dispute


def _check_undisputed(connection: Connection, session_id: str, nonce: int, *, param: str) -> None:
    """Under the channel's lock, so that of two at once the second sees the first."""
    if store.is_disputed(connection, session_id, nonce):
        raise UnexpectedState("This charge is disputed already.", param=param)


def _records(
    parts: Parts,
    connection: Connection,
    channel: Channel,
    session_id: str,
    nonce: int,
    charged: int,
) -> dict[str, Any]:
    """What the authority has, and what the payer signed: heads, sums, and the charge itself."""
    current = receipt.carry_on(connection, channel)
    voucher = channels.last_countersigned(connection, channel.id)
    return {
        "charge": {"session": session_id, "nonce": str(nonce), "amount": str(charged)},
        "authority": receipt.sign(parts.secrets_vault(), current).document(),
        "payer": None
        if voucher is None or voucher.signature is None
        else {
            "charges": voucher.charges,
            "spent": str(voucher.spent),
            "head": voucher.head.hex(),
            "ceiling": str(voucher.ceiling),
            "signature": voucher.signature.hex(),
        },
    }


def _voucher_records(
    parts: Parts,
    charge: str,
    charged: int,
    head: EscrowHead,
    kept: tuple[int, bytes] | None,
) -> dict[str, Any]:
    """The same of a charge by voucher."""
    vault = parts.secrets_vault()
    return {
        "charge": {"charge": charge, "amount": str(charged)},
        "authority": escrow_receipt.statement(vault, head, ceiling=kept[0] if kept else 0),
        "payer": None if kept is None else {"ceiling": str(kept[0]), "signature": kept[1].hex()},
    }


def _hold(parts: Parts, channel: Paid, dispute: Dispute) -> Dispute:
    failpoint("dispute.hold.before")
    [outcome] = parts.books.post([held(channel, dispute)])
    failpoint("dispute.hold.after")
    with parts.database.begin() as connection:
        locked = _locked(connection, dispute.id)
        if locked.status != DisputeStatus.requested or locked.attempt != dispute.attempt:
            return locked
        values = {"status": DisputeStatus.open.value, "is_held": outcome.booked}
        store.change(connection, dispute.id, values)
        opened = _locked(connection, dispute.id)
        _tell(parts, connection, opened, channel_event.CHANNEL_DISPUTE_OPENED)
    return opened


def _carry_out(parts: Parts, channel: Paid, dispute: Dispute) -> Dispute:
    assert dispute.outcome is not None
    outcome = Outcome(dispute.outcome)
    gives_back = outcome is Outcome.refund
    is_posted = gives_back and dispute.is_held and isinstance(channel, Channel)
    if gives_back and not is_posted:
        # First, so that what is held is let go of by what takes its place, or not at all.
        _refund(parts, channel, dispute)
    if dispute.is_held:
        hold, attempt = held(channel, dispute), dispute.attempt
        failpoint("dispute.settle.before")
        parts.books.settle_hold(hold, step=rules.STEP_SETTLE, attempt=attempt, void=not is_posted)
        failpoint("dispute.settle.after")
    with parts.database.begin() as connection:
        locked = _locked(connection, dispute.id)
        if locked.status != DisputeStatus.open or locked.attempt != dispute.attempt:
            return locked
        values = {"status": rules.status_after(outcome).value, "ended_at": parts.clock()}
        store.change(connection, dispute.id, values)
        ended = _locked(connection, dispute.id)
        if is_posted and isinstance(channel, Channel):
            charge_refund.record(parts, connection, channel, _as_refund(parts, ended))
        _tell(parts, connection, ended, channel_event.CHANNEL_DISPUTE_ENDED)
    return ended


def _refund(parts: Parts, channel: Paid, dispute: Dispute) -> None:
    """Give back what no hold gives back; where that can not be, the dispute is open again."""
    identifier, units = _refund_id(dispute), dispute.amount
    try:
        if isinstance(channel, Channel):
            charge_refund.create(
                parts,
                channel,
                dispute.session_id,
                dispute.nonce,
                identifier=identifier,
                amount=units,
                dispute=dispute,
            )
        else:
            charge_refund.create_of_voucher(
                parts,
                channel,
                dispute.session_id,
                identifier=identifier,
                amount=units,
                dispute=dispute,
            )
    except SakkError as error:
        if charge_refund.is_away(error):
            raise
        with parts.database.begin() as connection:
            store.undecide(connection, dispute)
        raise


def _as_refund(parts: Parts, dispute: Dispute) -> ChargeRefund:
    """The posted hold, as a refund among the others of its charge."""
    return ChargeRefund(
        id=_refund_id(dispute),
        account_id=dispute.payee,
        livemode=dispute.livemode,
        channel_id=dispute.channel_id,
        session_id=dispute.session_id,
        nonce=dispute.nonce,
        amount=dispute.amount,
        currency=dispute.currency,
        decimals=dispute.decimals,
        to_payer=True,
        dispute=dispute.id,
        status="posted",
        attempt=0,
        created=parts.clock(),
    )


def _refund_id(dispute: Dispute) -> str:
    return ids.encode(refunds.PREFIX, ids.decode(dispute.id)[1])


def _locked(connection: Connection, dispute_id: str) -> Dispute:
    dispute = store.lock(connection, dispute_id)
    if dispute is None:
        raise ResourceMissing(f"No such dispute: {dispute_id!r}", param="channel_dispute")
    return dispute


def _tell(parts: Parts, connection: Connection, dispute: Dispute, type: str) -> None:
    events.append(
        connection,
        [
            NewEvent(
                account_id=who,
                livemode=dispute.livemode,
                type=type,
                object_id=dispute.id,
                object=rules.public_dispute(dispute),
            )
            for who in (dispute.account_id, dispute.payee)
            if who is not None
        ],
        now=parts.clock(),
    )
