"""Refunds: request, cap, hold, claim, cancel, and what becomes of them.

The row is committed first, under the payment intent's lock, so that refunds asked for at once can
never exceed what arrived. Then the ledger reserves the money, under the id of the payout that will
carry the refund out; that payout's row is written when the money is held and the destination known.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import event, money
from sakk.core import payout as payout_rules
from sakk.core import refund as rules
from sakk.core.errors import (
    BalanceInsufficient,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.payin import PayIn
from sakk.core.payment import PaymentStatus
from sakk.core.payout import HoldStatus, Initiator, MoneySource, PayoutStatus
from sakk.core.refund import FailureReason, Refund, RefundStatus
from sakk.core.travel_rule import TravelRuleStatus
from sakk.flow import fee
from sakk.flow import payment as payment_flow
from sakk.flow.context import Parts
from sakk.flow.payout import call_off, hold_set, require_unsent
from sakk.flow.refund_draft import (
    STANDING,
    Place,
    RefundRequest,
    aim,
    claim_expiry,
    credited,
    draft_refund,
    lock_bounds,
)
from sakk.flow.regime import in_force
from sakk.flow.stage import wake
from sakk.store import event as events
from sakk.store import payin as payins
from sakk.store import payment as payments
from sakk.store import payout as payouts
from sakk.store import refund as store
from sakk.store import travel_rule as travel_rules
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint

_WRITTEN = (
    "id",
    "status",
    "hold",
    "network",
    "asset",
    "token_amount",
    "fee",
    "destination",
    "payout",
    "tx_hash",
    "failure_reason",
    "claim_hash",
    "claim_expires_at",
    "claimed_at",
    "canceled_at",
    "succeeded_at",
    "initiator",
    "initiator_person",
)


def create(
    parts: Parts,
    request: RefundRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    request_id: str | None = None,
) -> Refund:
    """Commit the refund, reserve its money, and give the row; repeat under the same identifier.

    Raises ParameterInvalid, ResourceMissing, UnexpectedState, BalanceInsufficient (nothing is
    reserved then), or Unavailable when the ledger could not be asked: the row stays, and the same
    call goes on from there.
    """
    now = parts.clock()

    def look(connection: Connection) -> tuple[Refund | None, Refund | None]:
        """What the identifier has already, or what it would be: what bounds it is locked first."""
        lock_bounds(connection, request)
        found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
        if found is not None:
            return found, None
        return None, draft_refund(connection, request, identifier, account_id, livemode, now)

    with parts.database.begin() as connection:
        refund, draft = look(connection)
    if draft is not None:
        _require_balance(parts, draft)
        with parts.database.begin() as connection:
            # Once more, under the lock: what another request took meanwhile is known now.
            refund, draft = look(connection)
            if draft is not None:
                refund = draft
                store.insert(connection, refund)
                count_refund(connection, refund, now=now)
                fee.count_refund(connection, refund, now=now)
                created = refund_event(refund, event.REFUND_CREATED, request_id)
                events.append(connection, [created], now=now)
    assert refund is not None
    if refund.hold == HoldStatus.none and refund.status in rules.LIVE:
        failpoint("refund.hold.before")
        refund = hold(parts, refund)
    if refund.hold == HoldStatus.refused:
        raise _insufficient(refund, None)
    return refund


def hold(parts: Parts, refund: Refund) -> Refund:
    """Reserve the money and record what the ledger said; repeated, it changes nothing more."""
    outcome = parts.books.post([hold_set(rules.carrier(refund))])[0]
    failpoint("refund.hold.after")
    now = parts.clock()
    with parts.database.begin() as connection:
        bounds = RefundRequest(payment_intent=refund.payment_intent, payin=refund.payin)
        lock_bounds(connection, bounds)
        current = lock_refund(connection, refund.id)
        if current.hold != HoldStatus.none:
            return current
        if outcome.booked:
            held = replace(current, hold=HoldStatus.held.value)
            if not _is_covered(connection, held):
                # The chain took the payment back when nothing was held yet that could be let go.
                failed = _ended(
                    connection, held, RefundStatus.failed, FailureReason.payment_reversed, now=now
                )
                write_refund(connection, failed)
                count_refund(connection, failed, now=now)
                events.append(connection, [refund_event(failed, event.REFUND_FAILED)], now=now)
                return failed
            if held.destination is not None:
                held = dispatch(connection, held)
            write_refund(connection, held)
            return held
        refused = replace(
            current,
            hold=HoldStatus.refused.value,
            status=RefundStatus.failed.value,
            failure_reason=FailureReason.insufficient_funds.value,
        )
        write_refund(connection, refused)
        count_refund(connection, refused, now=now)
        events.append(connection, [refund_event(refused, event.REFUND_FAILED)], now=now)
        return refused


def renew_claim(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    claim_hash: str,
    expires_at: datetime | None,
    now: datetime,
    initiator: Initiator,
) -> Refund:
    """Give a refund that waits for its payer a fresh link; the one before is worth nothing more.

    Who takes the link may say where to, so who asks for it is who asked for the payout.
    """
    refund = _found(connection, identifier, account_id=account_id, livemode=livemode)
    if refund.status != RefundStatus.requires_action:
        raise UnexpectedState(
            "This refund is {status}: only one that waits for its payer has a claim link.",
            status=refund.status,
        )
    renewed = replace(refund, claim_hash=claim_hash, claim_expires_at=claim_expiry(expires_at, now))
    renewed = _asked_by(renewed, initiator)
    write_refund(connection, renewed)
    return renewed


def change(
    connection: Connection,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    metadata: dict[str, str],
    now: datetime,
    request_id: str | None = None,
) -> Refund:
    """Change what is only the merchant's note."""
    refund = _found(connection, identifier, account_id=account_id, livemode=livemode)
    changed = replace(refund, metadata=metadata)
    update_records(connection, store.refunds, [{"id": refund.id, "metadata": metadata}])
    updated = refund_event(changed, event.REFUND_UPDATED, request_id)
    events.append(connection, [updated], now=now)
    return changed


def cancel(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    now: datetime,
    request_id: str | None = None,
) -> Refund:
    """Call a refund off before a transaction carries it; its money is given back at once after."""
    refund = _found(connection, identifier, account_id=account_id, livemode=livemode)
    if refund.status not in (RefundStatus.requires_action, RefundStatus.pending):
        raise UnexpectedState(
            "This refund is {status} and can not be canceled any more.", status=refund.status
        )
    canceled = _ended(connection, refund, RefundStatus.canceled, None, now=now)
    canceled = replace(canceled, canceled_at=now)
    write_refund(connection, canceled)
    count_refund(connection, canceled, now=now)
    events.append(connection, [refund_event(canceled, event.REFUND_CANCELED, request_id)], now=now)
    return canceled


def redirect(
    connection: Connection,
    identifier: str,
    place: Place,
    *,
    livemode: bool,
    now: datetime,
    initiator: Initiator,
) -> Refund:
    """The operator changes where a refund goes, before a transaction carries it.

    Whatever was decided about the destination before, screening or approval, is decided again; and
    not by who names it, ``initiator``, who has asked for the payout from now on.
    """
    refund = _found(connection, identifier, account_id=None, livemode=livemode)
    if refund.status not in (RefundStatus.requires_action, RefundStatus.pending):
        raise UnexpectedState(f"This refund is {refund.status}: its destination is final.")
    if refund.hold != HoldStatus.held:
        raise UnexpectedState("This refund's money is just being reserved: try again in a moment.")
    aimed = _asked_by(aim(connection, refund, place, now=now), initiator)
    if refund.payout is None:
        aimed = replace(dispatch(connection, aimed), claimed_at=refund.claimed_at or now)
    else:
        payout = payouts.lock_one(connection, refund.payout)
        assert payout is not None
        require_unsent(payout, now=now)
        _readdress(connection, aimed)
    write_refund(connection, aimed)
    events.append(connection, [refund_event(aimed, event.REFUND_UPDATED)], now=now)
    return aimed


def _asked_by(refund: Refund, initiator: Initiator) -> Refund:
    return replace(refund, initiator=initiator.key, initiator_person=initiator.person)


def fail_uncovered(connection: Connection, rows: Iterable[PayIn], *, now: datetime) -> None:
    """After a reorganisation took pay-ins back: refunds that nothing covers any more end.

    The newest first, and only those that no transaction carries: what was sent was sent.
    """
    reversed_rows = list(rows)
    intents = {row.payment_intent for row in reversed_rows if row.counts and row.payment_intent}
    locked = payments.lock_many(connection, intents)
    alone = {row.id for row in reversed_rows if row.suspense_units or row.payment_intent is None}
    store.lock_live(connection, intents=set(locked), payins=alone)
    for intent in locked.values():
        received, _ = credited(connection, intent)
        live = store.list_live(connection, payment_intent=intent.id)
        above = sum(each.amount for each in live) - received
        _fail_above(connection, live, above, now=now)
    for row in reversed_rows:
        if row.id in alone:
            live = store.list_live(connection, payin=row.id)
            _fail_above(connection, live, sum(each.amount for each in live), now=now)
    _recount(connection, list(locked), now=now)


def _is_covered(connection: Connection, refund: Refund) -> bool:
    """Does what it gives back stand still? What bounds it is locked."""
    if refund.payin is not None:
        payin = payins.find(
            connection, refund.payin, account_id=refund.account_id, livemode=refund.livemode
        )
        return payin is not None and payin.status in STANDING
    assert refund.payment_intent is not None
    [intent] = payments.lock_many(connection, [refund.payment_intent]).values()
    received, _ = credited(connection, intent)
    live = store.list_live(connection, payment_intent=intent.id)
    return sum(each.amount for each in live) <= received


def _fail_above(
    connection: Connection, live: Sequence[Refund], above: int, *, now: datetime
) -> None:
    for each in live:
        if above <= 0:
            return
        current = store.lock_one(connection, each.id)
        assert current is not None
        if current.status not in (RefundStatus.requires_action, RefundStatus.pending):
            continue
        try:
            failed = _ended(
                connection, current, RefundStatus.failed, FailureReason.payment_reversed, now=now
            )
        except UnexpectedState:
            # A transaction of it is being prepared or is on its way: it runs its course.
            continue
        above -= each.amount
        write_refund(connection, failed)
        events.append(connection, [refund_event(failed, event.REFUND_FAILED)], now=now)


def _ended(
    connection: Connection,
    refund: Refund,
    status: RefundStatus,
    why: FailureReason | None,
    *,
    now: datetime,
) -> Refund:
    """A refund that no transaction carries yet comes to an end; UnexpectedState if one does."""
    if refund.payout is not None:
        payout = payouts.lock_one(connection, refund.payout)
        assert payout is not None
        call_off(connection, payout, now=now)
    elif refund.hold != HoldStatus.held:
        raise UnexpectedState("This refund's money is just being reserved: try again in a moment.")
    wake(connection, "refund.release")
    reason = None if why is None else why.value
    return replace(refund, status=status.value, failure_reason=reason)


def dispatch(connection: Connection, refund: Refund) -> Refund:
    """Money held and destination known: the payout that carries the refund out is written."""
    payout = replace(rules.carrier(refund), travel_rule=_first_look(connection, refund))
    first = payouts.insert(connection, payout)
    assert first, f"{payout.id} was there before"
    wake(connection, "payout.screen", "payout.travel_rule")
    return replace(refund, status=RefundStatus.pending.value, payout=payout.id)


def _first_look(connection: Connection, refund: Refund) -> str:
    """A refund's payout waits until a stage has looked what the Travel Rule wants of it."""
    regime = in_force(connection, livemode=refund.livemode)
    status = TravelRuleStatus.not_required if regime is None else TravelRuleStatus.required
    return status.value


def _readdress(connection: Connection, refund: Refund) -> None:
    """The payout of a refund gets another destination, and begins anew."""
    update_records(
        connection,
        payouts.payouts,
        [
            {
                "id": rules.payout_id(refund),
                "network": refund.network,
                "asset": refund.asset,
                "token_amount": refund.token_amount,
                "fee": refund.fee or 0,
                "destination": refund.destination,
                "initiator": refund.initiator,
                "initiator_person": refund.initiator_person,
                "status": PayoutStatus.requested.value,
                "screening": None,
                "screened_at": None,
                "under_review": False,
                "decided_at": None,
                "policy_version": None,
                "rule": None,
                "approvals_needed": 0,
                "approver_role": None,
                "travel_rule": _first_look(connection, refund),
                "alone": False,
                "waits_for": None,
                "failures": 0,
                "retry_at": None,
                "lease_token": None,
                "lease_until": None,
            }
        ],
    )
    # Of another destination another record is made.
    travel_rules.drop_subject(connection, rules.payout_id(refund))
    wake(connection, "payout.screen", "payout.travel_rule")


def _require_balance(parts: Parts, refund: Refund) -> None:
    if refund.source == MoneySource.suspense:
        return
    posting = hold_set(rules.carrier(refund)).postings[0]
    [available] = parts.books.balances([posting.debit])
    if available < posting.amount:
        raise _insufficient(refund, available)


def _insufficient(refund: Refund, available: int | None) -> BalanceInsufficient:
    debited = payout_rules.debited(rules.carrier(refund))
    needed = money.format_decimal(debited, refund.coin_decimals)
    has = (
        ""
        if available is None
        else f" and {money.format_decimal(max(0, available), refund.coin_decimals)} is available"
    )
    return BalanceInsufficient(
        "This refund needs {needed} {coin}{has}. Wait for pending payments, refund less, "
        "or in another currency of the balance.",
        param="amount",
        needed=needed,
        coin=refund.coin,
        has=has,
    )


def _found(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> Refund:
    """A refund with its payment intent, both locked; ResourceMissing if it is not there."""
    refund = store.find(connection, identifier, account_id=account_id, livemode=livemode)
    if refund is None:
        raise ResourceMissing(
            "No such refund: {identifier}.", param="id", identifier=repr(identifier)
        )
    return lock_refund(connection, refund.id)


def lock_refund(connection: Connection, identifier: str) -> Refund:
    """Intents before refunds, as every other step does."""
    intent = store.find_intent(connection, identifier)
    if intent is not None:
        payments.lock_many(connection, [intent])
    refund = store.lock_one(connection, identifier)
    assert refund is not None
    return refund


def count_refund(connection: Connection, refund: Refund, *, now: datetime) -> None:
    """Bring the payment of a refund, which is locked, in line with what goes back of it."""
    if refund.payment_intent is not None:
        _recount(connection, [refund.payment_intent], now=now)


def _recount(connection: Connection, intents: Sequence[str], *, now: datetime) -> None:
    """What goes back does not pay: a payment that is open may be paid again by what does not."""
    if not intents:
        return
    store.count_refunded(connection, intents)
    unpaid = {
        each.id: each
        for each in payments.lock_many(connection, intents).values()
        if each.status not in (PaymentStatus.succeeded, PaymentStatus.canceled)
    }
    if unpaid:
        counted = payins.list_counted(connection, unpaid)
        told = payment_flow.follow(connection, unpaid, counted, now=now)
        events.append(connection, told, now=now)


def write_refund(connection: Connection, refund: Refund) -> None:
    row: dict[str, Any] = {name: getattr(refund, name) for name in _WRITTEN}
    # Whoever still holds a lease on it from before finds that its token counts no more.
    row |= {"lease_token": None, "lease_until": None}
    update_records(connection, store.refunds, [row])


def refund_event(refund: Refund, name: str, request_id: str | None = None) -> NewEvent:
    """An event about a refund, as its merchant may see it; the claim link is never in it."""
    return NewEvent(
        account_id=refund.account_id,
        livemode=refund.livemode,
        type=name,
        object_id=refund.id,
        object=rules.public(refund, operator=False),
        request_id=request_id,
    )
