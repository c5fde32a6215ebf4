"""Sign: the signer reads the bytes for itself and signs, or says why not.

The same intent gives the same bytes, so a crash after the signer's answer changes nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from sakk.core import event
from sakk.core import recovery as recovery_rules
from sakk.core import withdrawal as withdrawal_rules
from sakk.core.event import NewEvent
from sakk.core.payout import Payout, PayoutStatus, approved_content
from sakk.core.restore import Head
from sakk.core.rotation import RotationStatus
from sakk.core.sweep import Sweep, SweepStatus, deposit_units
from sakk.core.transaction import PLAIN, ChainTransaction, Purpose, TransactionStatus
from sakk.core.withdrawal import Withdrawal, WithdrawalStatus
from sakk.core.x402_payment import X402Status
from sakk.flow.context import Parts
from sakk.flow.escrow_call import fail_call
from sakk.flow.payout import payout_event
from sakk.flow.rotation import signed_approvals
from sakk.flow.sign_request import deposit_indexes, sign_request
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import (
    abandon_collected,
    advance_collected,
    release_collected,
    sweep_event,
)
from sakk.flow.transaction import first_attempt, move_payouts
from sakk.flow.withdrawal import advance_withdrawal, refuse_withdrawal
from sakk.flow.word import signatures
from sakk.flow.x402_payment import BUILD as CAPTURE_BUILD
from sakk.flow.x402_payment import let_go, note_signed, refuse_captured
from sakk.signing.protocol import Approval, Reason, Signed, SignerRefused
from sakk.store import address
from sakk.store import event as events
from sakk.store import freeze as freezes
from sakk.store import payout as payouts
from sakk.store import recovery as recoveries
from sakk.store import restore as restores
from sakk.store import rotation as rotations
from sakk.store import sweep as sweeps
from sakk.store import transaction as store
from sakk.store import withdrawal as withdrawals
from sakk.store import x402_payment as x402_payments
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, give_back, given_back_on_error, retry_delay, settle

BATCH_MAX = 50
# Refusals for now that say nothing against what else the sender has to send.
_ONLY_THIS_ONE = (Reason.destination_time_locked, Reason.over_velocity)
STEP_BACK_MIN = timedelta(seconds=5)
STEP_BACK_MAX = timedelta(minutes=10)
COLLECT_STEP_BACK = timedelta(minutes=1)

log = structlog.get_logger(__name__)

_due = claimable(
    store.transactions,
    ChainTransaction,
    store.transactions.c.status == TransactionStatus.built.value,
    freezes.sender_may_go(),
    limit=BATCH_MAX,
)


def sign_stage(parts: Parts) -> Stage:
    """The stage that has built transactions signed."""
    table = store.transactions

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            for row in rows:
                _sign(parts, row, token=token)
        return len(rows)

    return Stage("transaction.sign", run, due=(_due,))


def _sign(parts: Parts, row: ChainTransaction, *, token: str) -> None:
    now = parts.clock()
    with parts.database.begin() as connection:
        carried = payouts.lock_carried(connection, row.id) if row.carries_payouts else []
        if not _is_wanted(connection, row, carried):
            nothing = SignerRefused(Reason.claim_mismatch, "what it was for was called off")
            _refuse(connection, row, nothing, token=token, now=now, called_off=True)
            return
        if row.purpose in PLAIN and store.is_behind_a_gap(connection, row):
            # One before it was refused: it is built again with a nonce that will be mined.
            free = SignerRefused(Reason.claim_mismatch, "a nonce before this one is free")
            if _close_refused(connection, row, free, token=token):
                _let_go(connection, carried, later=False, reason=None, now=now)
                wake(connection, "payout.build")
            return
        if any(payouts.is_too_old(payout, now) for payout in carried):
            # What was found of a destination changed since it was built, or is from long ago.
            again = SignerRefused(Reason.claim_mismatch, "it is screened again first")
            if _close_refused(connection, row, again, token=token):
                _let_go(connection, carried, later=False, reason=None, now=now)
                wake(connection, "payout.screen", "payout.build")
            return
    if _is_stopped(parts, row, token=token):
        return
    with parts.database.begin() as connection:
        approvals = _signatures(connection, row, carried)
        if row.purpose == Purpose.rotation:
            approvals[row.subject] = tuple(signed_approvals(connection, row.subject))
    failpoint("transaction.sign.before")
    try:
        deposits = deposit_indexes(parts, row)
        wanted = sign_request(row, carried=carried, approvals=approvals, deposits=deposits)
        signed = parts.signer_client().sign(wanted)
    except SignerRefused as refusal:
        log.error("sign.refused", transaction=row.id, reason=refusal.reason.value)
        with parts.database.begin() as connection:
            if refusal.intents:
                _part(connection, row, refusal, token=token, now=now)
            elif refusal.reason in _ONLY_THIS_ONE or _may_be_signed(row, refusal):
                _step_back(connection, row, refusal, token=token, now=now)
            elif refusal.transient:
                _wait(connection, row, refusal.message, token=token, now=now)
            else:
                _refuse(connection, row, refusal, token=token, now=now)
        return
    failpoint("transaction.sign.after")
    with parts.database.begin() as connection:
        _record(connection, row, signed, token=token, now=parts.clock())


def _signatures(
    connection: Connection, row: ChainTransaction, carried: Sequence[Payout]
) -> dict[str, tuple[Approval, ...]]:
    """What approvers signed, by the id that the signer knows it under."""
    match Purpose(row.purpose):
        case Purpose.withdrawal:
            withdrawal = withdrawals.find(connection, row.subject)
            assert withdrawal is not None
            content = withdrawal_rules.approvable(withdrawal).content
            return signatures(connection, {row.subject: content})
        case Purpose.recovery:
            recovery = recoveries.find(connection, recovery_rules.recovery_id(row.subject))
            if recovery is None:
                return {}
            content = recovery_rules.approvable(recovery).content
            found = signatures(connection, {recovery.id: content})
            return {row.subject: found.get(recovery.id, ())}
        case _:
            return signatures(
                connection, {payout.id: approved_content(payout) for payout in carried}
            )


def _is_stopped(parts: Parts, row: ChainTransaction, *, token: str) -> bool:
    """Is it frozen now? With its whole network it waits; alone it lets its sender go on."""
    with parts.database.begin() as connection:
        frozen = freezes.stopping(connection, row)
        if frozen is None:
            return False
        if frozen.is_whole:
            give_back(connection, store.transactions, [row.id], token=token)
        else:
            held = SignerRefused(Reason.frozen, f"{frozen.id}: {frozen.reason}")
            _step_back(connection, row, held, token=token, now=parts.clock())
    log.warning("sign.frozen", transaction=row.id, freeze=frozen.id)
    return True


def _is_wanted(connection: Connection, row: ChainTransaction, carried: Sequence[Payout]) -> bool:
    """Do the payouts or the sweep still stand, with this transaction and no other?"""
    match Purpose(row.purpose):
        case Purpose.payout | Purpose.refund | Purpose.disperse:
            return {payout.status for payout in carried} == {PayoutStatus.approved.value}
        case Purpose.sweep | Purpose.recovery:
            sweep = sweeps.find(connection, row.subject)
            return (
                sweep is not None
                and sweep.status == SweepStatus.approved
                and sweep.transaction == row.id
            )
        case Purpose.collect:
            collected = sweeps.lock_of_transaction(connection, row.id)
            held = sweeps.with_held_money(connection, [each.address for each in collected])
            return not held and all(each.status == SweepStatus.approved for each in collected)
        case Purpose.withdrawal:
            withdrawal = withdrawals.lock_one(connection, row.subject)
            return (
                withdrawal is not None
                and withdrawal.status == WithdrawalStatus.approved
                and withdrawal.transaction == row.id
            )
        case Purpose.rotation:
            rotation = rotations.find(connection, row.subject)
            return rotation is not None and rotation.status == RotationStatus.moving
        case Purpose.capture:
            carried_x402 = x402_payments.of_transaction(connection, row.id, lock=True)
            return bool(carried_x402) and all(
                each.status == X402Status.requested for each in carried_x402
            )
        case (
            Purpose.topup
            | Purpose.cancel
            | Purpose.allowance
            | Purpose.deploy
            | Purpose.redemption
            | Purpose.escrow
            | Purpose.forgotten
        ):
            return True


def _may_be_signed(row: ChainTransaction, refusal: SignerRefused) -> bool:
    """Does the signer remember a payout that our rows have forgotten?

    It may have been paid, so its money is not given back: it waits for the operator.
    """
    return row.carries_payouts and refusal.reason is Reason.intent_conflict


def _record(
    connection: Connection, row: ChainTransaction, signed: Signed, *, token: str, now: datetime
) -> None:
    settled = settle(
        connection,
        store.transactions,
        [
            {
                "id": row.id,
                "status": TransactionStatus.signed.value,
                "raw": signed.raw,
                "hash": signed.hash,
                "explanation": signed.explanation,
                "signed_at": now,
            }
        ],
        token=token,
    )
    restores.put_anchor(connection, Head(signed.sequence, signed.line_hash))
    if settled:
        store.insert_attempt(connection, first_attempt(row, signed, now=now))
        _advance_subject(connection, row, signed.hash, now=now)
        wake(connection, "transaction.broadcast", "payout.build", "sweep.build", CAPTURE_BUILD)


def _advance_subject(
    connection: Connection, row: ChainTransaction, tx_hash: str, *, now: datetime
) -> None:
    happened: list[NewEvent] = []
    match Purpose(row.purpose):
        case Purpose.payout | Purpose.refund | Purpose.disperse:
            happened += move_payouts(
                connection, row, PayoutStatus.signed, event.PAYOUT_SIGNED, tx_hash=tx_hash
            )
        case Purpose.sweep | Purpose.recovery:
            sweep = sweeps.lock_one(connection, row.subject)
            assert sweep is not None
            collected = replace(sweep, status=SweepStatus.signed.value, tx_hash=tx_hash)
            update_records(
                connection,
                sweeps.sweeps,
                [{"id": collected.id, "status": collected.status, "tx_hash": tx_hash}],
            )
            happened.append(sweep_event(collected, event.SWEEP_SIGNED))
        case Purpose.collect:
            happened += advance_collected(
                connection, row.id, SweepStatus.signed, event.SWEEP_SIGNED, tx_hash=tx_hash
            )
        case Purpose.withdrawal:
            happened += advance_withdrawal(
                connection, row.subject, WithdrawalStatus.signed, tx_hash=tx_hash
            )
        case Purpose.capture:
            note_signed(connection, row, tx_hash)
        case (
            Purpose.topup
            | Purpose.cancel
            | Purpose.allowance
            | Purpose.deploy
            | Purpose.rotation
            | Purpose.redemption
            | Purpose.escrow
            | Purpose.forgotten
        ):
            pass
    events.append(connection, happened, now=now)


def _wait(
    connection: Connection, row: ChainTransaction, reason: str, *, token: str, now: datetime
) -> None:
    settle(
        connection,
        store.transactions,
        [
            {
                "id": row.id,
                "error": reason,
                "failures": row.failures + 1,
                "retry_at": now + retry_delay(row.failures),
            }
        ],
        token=token,
    )


def _step_back(
    connection: Connection,
    row: ChainTransaction,
    refusal: SignerRefused,
    *,
    token: str,
    now: datetime,
) -> None:
    """Refused for now: the nonce goes to the next in line, and this one is built again later.

    The longer it has waited the rarer it asks: a time lock may last a day.
    """
    if not _close_refused(connection, row, refusal, token=token):
        return
    if row.carries_payouts:
        carried = payouts.lock_carried(connection, row.id)
        _let_go(connection, carried, later=True, reason=refusal.message, now=now)
    elif row.purpose in (Purpose.sweep, Purpose.recovery):
        sweep = sweeps.lock_one(connection, row.subject)
        assert sweep is not None
        again = _again(sweep, now=now)
        change = {"id": sweep.id, "transaction": None, "retry_at": again}
        update_records(connection, sweeps.sweeps, [change])
    elif row.purpose == Purpose.withdrawal:
        withdrawal = withdrawals.lock_one(connection, row.subject)
        assert withdrawal is not None
        again = _again(withdrawal, now=now)
        change = {"id": withdrawal.id, "transaction": None, "retry_at": again}
        update_records(connection, withdrawals.withdrawals, [change])
    elif row.purpose == Purpose.collect:
        release_collected(connection, row.id, retry_at=now + COLLECT_STEP_BACK)
    elif row.purpose == Purpose.capture:
        let_go(connection, row.id, retry_at=now + STEP_BACK_MIN)
    wake(connection, "payout.build", "sweep.build")


def _again(subject: Payout | Sweep | Withdrawal, *, now: datetime) -> datetime:
    waited = now - subject.created
    return now + min(max(waited / 4, STEP_BACK_MIN), STEP_BACK_MAX)


def _let_go(
    connection: Connection,
    carried: Sequence[Payout],
    *,
    later: bool,
    reason: str | None,
    now: datetime,
    alone: bool = False,
) -> None:
    """Payouts of a transaction that was not signed are built again: with others, or alone."""
    update_records(
        connection,
        payouts.payouts,
        [
            {
                "id": payout.id,
                "transaction": None,
                "transaction_line": None,
                "retry_at": _again(payout, now=now) if later else None,
                "waits_for": reason,
                "alone": payout.alone or alone,
            }
            for payout in carried
        ],
    )


def _part(
    connection: Connection,
    row: ChainTransaction,
    refusal: SignerRefused,
    *,
    token: str,
    now: datetime,
) -> None:
    """Some payments of a dispersal are refused: they wait or end, and the others go on at once."""
    if not _close_refused(connection, row, refusal, token=token):
        return
    carried = payouts.lock_carried(connection, row.id)
    named = [payout for payout in carried if payout.id in refusal.intents]
    others = [payout for payout in carried if payout.id not in refusal.intents]
    _let_go(connection, others, later=False, reason=None, now=now)
    if refusal.transient or _may_be_signed(row, refusal):
        _let_go(connection, named, later=True, reason=refusal.message, now=now)
    else:
        _reject(connection, named, refusal, now=now)
    wake(connection, "payout.build")


def _close_refused(
    connection: Connection, row: ChainTransaction, refusal: SignerRefused, *, token: str
) -> bool:
    return bool(
        settle(
            connection,
            store.transactions,
            [
                {
                    "id": row.id,
                    "status": TransactionStatus.refused.value,
                    "error": f"{refusal.reason.value}: {refusal.message}",
                }
            ],
            token=token,
        )
    )


def _refuse(
    connection: Connection,
    row: ChainTransaction,
    refusal: SignerRefused,
    *,
    token: str,
    now: datetime,
    called_off: bool = False,
) -> None:
    """Nothing was signed: the nonce is free again, and whatever it was for ends here.

    A call of the hub that is not wanted as it is goes on without whom it may not touch any more.
    """
    if not _close_refused(connection, row, refusal, token=token):
        return
    match Purpose(row.purpose):
        case Purpose.payout | Purpose.refund:
            carried = payouts.lock_carried(connection, row.id)
            standing = [each for each in carried if each.status == PayoutStatus.approved]
            _reject(connection, standing, refusal, now=now)
        case Purpose.disperse:
            # It is the whole that is refused, which says nothing against any one of them.
            carried = payouts.lock_carried(connection, row.id)
            standing = [each for each in carried if each.status == PayoutStatus.approved]
            _let_go(connection, standing, later=False, reason=None, now=now, alone=True)
        case Purpose.sweep | Purpose.recovery:
            _abandon_sweep(connection, row, refusal, now=now)
            wake(connection, "recovery.follow")
        case Purpose.collect if called_off:
            release_collected(connection, row.id)
        case Purpose.collect:
            code = f"signer_{refusal.reason.value}"
            until = now + retry_delay(20)
            abandon_collected(connection, row.id, code, until=until, now=now)
        case Purpose.withdrawal:
            code = f"signer_{refusal.reason.value}"
            refuse_withdrawal(connection, row.subject, code, now=now)
        case Purpose.capture if called_off:
            let_go(connection, row.id, retry_at=None)
        case Purpose.capture:
            refuse_captured(connection, row.id)
        case Purpose.redemption | Purpose.escrow:
            fail_call(connection, row, f"the signer refused it: {refusal.message}")
        case (
            Purpose.topup
            | Purpose.cancel
            | Purpose.allowance
            | Purpose.deploy
            | Purpose.rotation
            | Purpose.forgotten
        ):
            pass
    wake(connection, "payout.build")


def _reject(
    connection: Connection, carried: Sequence[Payout], refusal: SignerRefused, *, now: datetime
) -> None:
    rejected = [
        replace(
            payout,
            status=PayoutStatus.rejected.value,
            failure_code=f"signer_{refusal.reason.value}",
            failure_message=refusal.message,
        )
        for payout in carried
    ]
    fields = ("id", "status", "failure_code", "failure_message")
    update_records(
        connection,
        payouts.payouts,
        [{field: getattr(payout, field) for field in fields} for payout in rejected],
    )
    happened = [payout_event(payout, event.PAYOUT_REJECTED) for payout in rejected]
    events.append(connection, happened, now=now)
    wake(connection, "payout.release")


def _abandon_sweep(
    connection: Connection, row: ChainTransaction, refusal: SignerRefused, *, now: datetime
) -> None:
    sweep = sweeps.lock_one(connection, row.subject)
    assert sweep is not None
    if sweep.status != SweepStatus.approved or sweep.transaction != row.id:
        return
    failed = replace(
        sweep, status=SweepStatus.failed.value, failure_code=f"signer_{refusal.reason.value}"
    )
    update_records(
        connection,
        sweeps.sweeps,
        [{"id": failed.id, "status": failed.status, "failure_code": failed.failure_code}],
    )
    address.add_deposits(connection, deposit_units(sweep))
    sweeps.postpone(
        connection, address=sweep.address, asset=sweep.asset, until=now + retry_delay(20)
    )
    events.append(connection, [sweep_event(failed, event.SWEEP_FAILED)], now=now)
