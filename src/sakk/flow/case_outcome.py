"""Outcomes of cases: what a confirmed one does with the money, and when the case is closed by it.

What the database alone decides is done in the transaction that confirms it. What moves coins or
postings is written down there as intended, and carried out by stages, each under an id of its own:
a return by a recovery, a seizure by the stage below and, into a vault, by a sweep.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from sakk.core import case as rules
from sakk.core import event
from sakk.core.case import Act, Case, Outcome, Place
from sakk.core.errors import UnexpectedState
from sakk.core.payin import OPERATORS, PayIn, PayInStatus, seizure_postings
from sakk.core.refund import RefundStatus
from sakk.core.sweep import Sweep, SweepMethod, SweepSource, SweepStatus
from sakk.flow.book import Outcome as Booked
from sakk.flow.book import PostingSet
from sakk.flow.case import act_of, case_event
from sakk.flow.case_subject import Matter, find_matter
from sakk.flow.context import Parts
from sakk.flow.payin import declined_events, release_held
from sakk.flow.payment import follow
from sakk.flow.payout import reviewed
from sakk.flow.recovery import create_for_case
from sakk.flow.recovery_finding import Finding, examine
from sakk.flow.stage import Stage, wake
from sakk.flow.sweep import sweep_event
from sakk.store import address
from sakk.store import case as store
from sakk.store import event as events
from sakk.store import payin as payins
from sakk.store import payment as payments
from sakk.store import recovery as recoveries
from sakk.store import sweep as sweeps
from sakk.store.database import fetch
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, given_back_on_error, retry_delay, settle

BATCH_MAX = 50

Examined = Finding
log = structlog.get_logger(__name__)


def examine_return(parts: Parts, payin: PayIn) -> Finding:
    """What stands on the deposit address of a held pay-in, read from the node."""
    return examine(
        parts,
        network=payin.network,
        address=payin.address,
        asset=payin.asset,
        livemode=payin.livemode,
        payin=payin.id,
    )


def carry_out(
    connection: Connection, matter: Matter, examined: Finding | None, *, now: datetime
) -> Case:
    """Do what was confirmed, or write down that it is to be done; all rows are locked."""
    case = matter.case
    match Outcome(case.outcome or ""):
        case Outcome.release:
            if matter.payin is not None:
                release_held(connection, matter.payin, now=now)
            elif matter.payout is not None:
                reviewed(connection, matter.payout, approve=True, now=now)
        case Outcome.reject:
            if matter.payout is not None:
                reviewed(connection, matter.payout, approve=False, now=now)
        case Outcome.return_:
            return _return(connection, matter, examined, now=now)
        case Outcome.seize:
            return _seize(connection, matter, now=now)
        case Outcome.dismiss:
            pass
        case Outcome.file:
            raise AssertionError("a filed report ends no case")
    return close(connection, case, {}, now=now)


def _return(
    connection: Connection, matter: Matter, examined: Finding | None, *, now: datetime
) -> Case:
    case, payin = matter.case, matter.payin
    assert payin is not None
    assert case.proposal is not None
    if examined is None or examined.payin != payin.id:
        raise UnexpectedState("Another transfer of this address is to be sent first.")
    if examined.units < payin.token_amount:
        raise UnexpectedState("Less stands on the address than this transfer brought.")
    recovery = create_for_case(
        connection,
        examined,
        identifier=new_id("rec"),
        case_id=case.id,
        destination=case.proposal["destination"],
        livemode=case.livemode,
        now=now,
    )
    carried = replace(case, carrier=recovery.id)
    store.write(connection, [carried])
    return carried


def _seize(connection: Connection, matter: Matter, *, now: datetime) -> Case:
    """A held one is booked first, by the stage; what is seized already goes on from there."""
    assert matter.payin is not None
    if matter.payin.status == PayInStatus.seized:
        return _place(connection, matter.case, matter.payin, now=now)
    wake(connection, "case.seize")
    # What carried an outcome of before, a return that failed, carries nothing of this one.
    case = replace(matter.case, carrier=None)
    store.write(connection, [case])
    return case


def _place(connection: Connection, case: Case, payin: PayIn, *, now: datetime) -> Case:
    """Leave booked coins where they stand, or send them to the vault that was named."""
    assert case.proposal is not None
    if case.proposal["place"] == Place.left:
        return close(connection, case, {"place": Place.left.value}, now=now)
    found = address.find_address(connection, payin.address)
    assert found is not None
    sweep = Sweep(
        id=new_id("sw"),
        livemode=payin.livemode,
        network=payin.network,
        asset=payin.asset,
        address=payin.address,
        key_index=found.key_index,
        destination=case.proposal["destination"],
        token_amount=payin.token_amount,
        status=SweepStatus.approved.value,
        method=SweepMethod.seizure.value,
        source=SweepSource.seized.value,
        factory=found.factory,
        created=now,
    )
    sweeps.insert(connection, [sweep])
    events.append(connection, [sweep_event(sweep, event.SWEEP_CREATED)], now=now)
    wake(connection, "sweep.build", "clone.recover")
    carried = replace(case, carrier=sweep.id)
    store.write(connection, [carried])
    return carried


def close(connection: Connection, case: Case, detail: dict[str, Any], *, now: datetime) -> Case:
    """An outcome is carried out: the case is closed, and the operator told."""
    status = rules.after(case.status, Act.carried_out).value
    closed = replace(case, status=status, closed_at=now, acts=case.acts + 1)
    _write(connection, case, closed, Act.carried_out, detail, now=now)
    events.append(connection, [case_event(closed, event.CASE_CLOSED, now=now)], now=now)
    return closed


def _fail(connection: Connection, case: Case, why: str, *, now: datetime) -> None:
    """What was confirmed did not happen: the case is its officer's again."""
    failed = replace(
        case,
        status=rules.after(case.status, Act.failed).value,
        outcome=None,
        proposal=None,
        acts=case.acts + 1,
    )
    _write(connection, case, failed, Act.failed, {"why": why}, now=now)
    log.warning("case.failed", case=case.id, why=why)


def _write(
    connection: Connection,
    before: Case,
    after: Case,
    act: Act,
    detail: dict[str, Any],
    *,
    now: datetime,
) -> None:
    store.write(connection, [after])
    store.insert_acts(connection, [act_of(before, after, act, detail=detail, now=now)])


_decided = (
    store.cases.select()
    .with_only_columns(store.cases.c.subject)
    .where(
        store.cases.c.status == rules.CaseStatus.carrying_out.value,
        store.cases.c.outcome == Outcome.seize.value,
    )
)
_to_seize = claimable(
    payins.payins,
    PayIn,
    payins.payins.c.id.in_(_decided),
    payins.payins.c.status == PayInStatus.held.value,
    payins.payins.c.quarantined,
    ~payins.payins.c.orphaned,
    limit=BATCH_MAX,
)


def seize_stage(parts: Parts) -> Stage:
    """The stage that books what two people decided to seize, out of quarantine."""
    table = payins.payins

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _to_seize, token=token, now=parts.clock())
        if not rows:
            return 0
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            failpoint("case.seize.before")
            sets = [PostingSet(row.id, "seize", row.attempt, seizure_postings(row)) for row in rows]
            booked = parts.books.post(sets)
            failpoint("case.seize.after")
        with parts.database.begin() as connection:
            _record(connection, rows, booked, token=token, now=parts.clock())
        return len(rows)

    return Stage("case.seize", run, due=(_to_seize,))


def _record(
    connection: Connection,
    rows: Sequence[PayIn],
    booked: Sequence[Booked],
    *,
    token: str,
    now: datetime,
) -> None:
    # Intents before pay-ins, as every other step does.
    intents = payments.lock_many(
        connection, {row.payment_intent for row in rows if row.counts and row.payment_intent}
    )
    for row, outcome in zip(rows, booked, strict=True):
        if not outcome.booked:
            log.error("case.seize_refused", payin=row.id, refusal=str(outcome.refusal))
            again = {
                "id": row.id,
                "attempt": row.attempt + 1,
                "failures": row.failures + 1,
                "retry_at": now + retry_delay(row.failures),
            }
            settle(connection, payins.payins, [again], token=token)
            continue
        seized = replace(row, status=PayInStatus.seized.value)
        change = {"id": seized.id, "status": seized.status, "attempt": 0}
        if not settle(connection, payins.payins, [change], token=token):
            continue
        if row.role not in OPERATORS:
            # No sweep counts them any more: they are an authority's, not a deposit.
            address.add_deposits(connection, [(row.address, row.asset, -row.token_amount)])
        events.append(connection, declined_events(seized, event.PAYIN_SEIZED), now=now)
        [case] = store.lock_of_subjects(connection, [row.id])
        _place(connection, case, seized, now=now)
    told = follow(connection, intents, payins.list_counted(connection, intents), now=now)
    events.append(connection, told, now=now)


def follow_stage(parts: Parts) -> Stage:
    """The stage that closes cases whose outcome is done, and gives back those that failed."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            waiting = fetch(connection, store.carried, limit=BATCH_MAX)
        return sum(_follow(parts, each, now=now) for each in waiting)

    return Stage("case.follow", run, due=(store.carried,))


def _follow(parts: Parts, waiting: Case, *, now: datetime) -> bool:
    with parts.database.begin() as connection:
        matter = find_matter(connection, waiting.id, livemode=waiting.livemode, lock=True)
        case = matter.case
        if case.status != rules.CaseStatus.carrying_out or matter.payin is None:
            return False
        if case.outcome == Outcome.return_:
            done, why = _of_recovery(connection, case)
        elif case.carrier is None:
            # Booking waits for its stage, unless the chain took the transfer back.
            gone = matter.payin.status not in (PayInStatus.held, PayInStatus.seized)
            done, why = False, "the transfer left the chain" if gone else None
        else:
            done, why = _of_sweep(connection, case)
        if done:
            close(connection, case, {"carrier": case.carrier}, now=now)
        elif why is not None:
            _fail(connection, case, why, now=now)
        return done or why is not None


def _of_recovery(connection: Connection, case: Case) -> tuple[bool, str | None]:
    found = recoveries.find(connection, case.carrier or "")
    assert found is not None
    match RefundStatus(found.status):
        case RefundStatus.succeeded:
            return True, None
        case RefundStatus.failed | RefundStatus.canceled:
            return False, f"{found.id} {found.status}: {found.failure_reason or 'called off'}"
        case RefundStatus.requires_action | RefundStatus.pending:
            return False, None


def _of_sweep(connection: Connection, case: Case) -> tuple[bool, str | None]:
    found = sweeps.find(connection, case.carrier or "")
    assert found is not None
    match SweepStatus(found.status):
        case SweepStatus.posted:
            return True, None
        case SweepStatus.failed | SweepStatus.rejected | SweepStatus.canceled:
            return False, f"{found.id} {found.status}: {found.failure_code or 'called off'}"
        case (
            SweepStatus.requested
            | SweepStatus.screened
            | SweepStatus.approved
            | SweepStatus.signed
            | SweepStatus.broadcast
            | SweepStatus.unknown
            | SweepStatus.confirmed
        ):
            return False, None
