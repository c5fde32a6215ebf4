"""Recoveries: offer what was found on a deposit address to its payer, and send it back.

What stands there is read by `sakk.flow.recovery_finding`; no more is offered. The destination
is screened before a transaction is made, and a transfer that screening holds leaves from its own
deposit address, so that it never mixes with the treasury.
"""

from dataclasses import replace
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import recovery as rules
from sakk.core.approval import is_enough
from sakk.core.caip import erc20_contract
from sakk.core.case import CaseKind, Opening, Priority
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.evm import parse_address
from sakk.core.payin import PayIn, PayInStatus
from sakk.core.payout import check_destination
from sakk.core.person import Actor
from sakk.core.policy import Action
from sakk.core.recovery import Recovery
from sakk.core.refund import FailureReason, RefundStatus
from sakk.core.screening import Direction, ScreeningRequest, Verdict
from sakk.core.sweep import SweepSource, deposit_units
from sakk.flow.case import open_cases
from sakk.flow.context import Parts
from sakk.flow.issuer import ask_issuers
from sakk.flow.payin import declined_events, payin_event
from sakk.flow.payment import follow
from sakk.flow.policy import judge_one
from sakk.flow.recovery_finding import Finding
from sakk.flow.refund_draft import claim_expiry
from sakk.flow.stage import Stage, wake
from sakk.flow.word import Word, approval_of, check_compliance, told_of, weighing
from sakk.store import address as addresses
from sakk.store import approval as approvals
from sakk.store import case as cases
from sakk.store import event as events
from sakk.store import network as networks
from sakk.store import payin as payins
from sakk.store import payment as payments
from sakk.store import policy as policies
from sakk.store import recovery as store
from sakk.store import sweep as sweeps
from sakk.store import transaction as transactions
from sakk.store.database import fetch, update_records
from sakk.store.screening import insert_screenings

BATCH_MAX = 100
_WRITTEN = (
    "id",
    "status",
    "destination",
    "screening",
    "under_review",
    "policy_version",
    "rule",
    "approvals_needed",
    "approver_role",
    "decided_at",
    "sweep",
    "tx_hash",
    "failure_reason",
    "claimed_at",
    "succeeded_at",
)


def create(
    parts: Parts,
    finding: Finding,
    *,
    identifier: str,
    livemode: bool,
    claim_hash: str,
    claim_expires_at: datetime | None,
    actor: Actor,
) -> Recovery:
    """Offer what was found to its payer, under a claim link; repeat under the same identifier.

    What screening holds goes back by its case alone, which two people decide: UnexpectedState.
    ``actor`` offers it, and is not who approves it.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        before = store.find(connection, identifier)
        if before is not None:
            return before
        if finding.payin is not None:
            payins.lock_one(connection, finding.payin)
            is_held = finding.source is SweepSource.quarantine
            if is_held or cases.is_live(connection, finding.payin):
                raise UnexpectedState(
                    "Screening holds this payin: two people return it by its case"
                    f" (POST /v1/cases/{finding.payin}/propose)."
                )
        offered = _drafted(connection, finding, identifier=identifier, livemode=livemode, now=now)
        recovery = replace(
            offered,
            claim_hash=claim_hash,
            claim_expires_at=claim_expiry(claim_expires_at, now),
            initiator=actor.key,
            initiator_person=actor.person,
        )
        store.insert(connection, recovery)
        _tell(connection, recovery, event.RECOVERY_CREATED, now)
    return recovery


def create_for_case(
    connection: Connection,
    finding: Finding,
    *,
    identifier: str,
    case_id: str,
    destination: str,
    livemode: bool,
    now: datetime,
) -> Recovery:
    """Two people decided that a held pay-in, which is locked, goes back to a named address.

    The destination is screened next, and nobody lets it pass alone where it is not clear.
    """
    drafted = _drafted(connection, finding, identifier=identifier, livemode=livemode, now=now)
    recovery = replace(drafted, case_id=case_id)
    store.insert(connection, recovery)
    _tell(connection, recovery, event.RECOVERY_CREATED, now)
    aimed = aim(connection, recovery, network=finding.network, address=destination)
    return claim(connection, aimed, now=now)


def _drafted(
    connection: Connection, finding: Finding, *, identifier: str, livemode: bool, now: datetime
) -> Recovery:
    """A recovery of what was found, as long as no other claims it; UnexpectedState."""
    if finding.source is None:
        raise UnexpectedState(finding.why or "This is not to be recovered.")
    if store.find_live(connection, address=finding.address, asset=finding.asset) is not None:
        raise UnexpectedState("A recovery of this is under way already.")
    return Recovery(
        id=identifier,
        livemode=livemode,
        network=finding.network,
        asset=finding.asset,
        address=finding.address,
        key_index=finding.key_index,
        token_amount=finding.units,
        symbol=finding.symbol,
        decimals=finding.decimals,
        source=finding.source.value,
        account_id=finding.account_id,
        payment_intent=finding.payment_intent,
        payin=finding.payin,
        status=RefundStatus.requires_action.value,
        created=now,
    )


def aim(connection: Connection, recovery: Recovery, *, network: str, address: str) -> Recovery:
    """A recovery with a destination that was checked; ParameterInvalid says what is wrong."""
    if network != recovery.network:
        raise ParameterInvalid(
            "These coins are on {network} and can only be sent there.",
            param="destination[network]",
            network=recovery.network,
        )
    parsed = check_address(connection, network=network, asset=recovery.asset, address=address)
    return replace(recovery, destination=parsed)


def check_address(connection: Connection, *, network: str, asset: str, address: str) -> str:
    """An address that coins may go back to, as it is stored; ParameterInvalid."""
    try:
        parsed = parse_address(address)
    except ValueError as error:
        raise ParameterInvalid("{error}.", param="destination[address]", error=error) from error
    listed = networks.list_assets(connection, network=network)
    contracts = {each.contract for each in listed if each.contract is not None}
    own = erc20_contract(asset)
    check_destination(
        parsed,
        contracts=frozenset(contracts if own is None else {*contracts, own}),
        treasury=frozenset(each.address for each in addresses.list_treasury(connection)),
    )
    if addresses.find_address(connection, parsed) is not None:
        raise ParameterInvalid(
            "This is one of this Sakk's own deposit addresses. Give an address of your own wallet.",
            param="destination[address]",
        )
    return parsed


def claim(connection: Connection, aimed: Recovery, *, now: datetime) -> Recovery:
    """The payer's word is final: the destination is screened next."""
    claimed = replace(aimed, status=RefundStatus.pending.value, claimed_at=now)
    _write(connection, claimed)
    _tell(connection, claimed, event.RECOVERY_UPDATED, now)
    wake(connection, "recovery.screen")
    return claimed


def approve(
    parts: Parts, identifier: str, word: Word, *, approval_id: str, livemode: bool
) -> Recovery:
    """One more approval of a recovery that waits; with enough of them it is sent.

    One under review is let go by compliance, and is the policy's next. Raises what
    `sakk.flow.approval.approve` does.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        row = _undecided(connection, identifier, livemode=livemode)
        given = approvals.of_subjects(connection, [row.id])
        if any(each.id == approval_id for each in given):
            return row
        if row.under_review:
            check_compliance(connection, word.actor, livemode=livemode)
            return _judge(connection, replace(row, under_review=False), now=now)
        if not rules.is_awaiting_approvals(row):
            raise UnexpectedState("This recovery waits for nobody's approval.")
        active = policies.find_active(connection, livemode=livemode)
        if row.policy_version != (None if active is None else active.id):
            row = _judge(connection, row, now=now)
            if not rules.is_awaiting_approvals(row):
                return row
        subject = rules.approvable(row)
        approval = approval_of(parts, connection, subject, word, given, approval_id, now=now)
        approvals.insert(connection, [approval])
        events.append(connection, [told_of(approval)], now=now)
        if is_enough(subject, [*given, approval]):
            return _dispatch(connection, row, now=now)
        return row


def cancel(connection: Connection, identifier: str, *, livemode: bool, now: datetime) -> Recovery:
    """Call off a recovery that is not being sent; the coins stay where they are."""
    row = _undecided(connection, identifier, livemode=livemode)
    return _end(connection, row, RefundStatus.canceled, None, now=now)


def _undecided(connection: Connection, identifier: str, *, livemode: bool) -> Recovery:
    """A recovery of a mode, locked, that is not being sent yet."""
    recovery = store.find(connection, identifier, lock=True)
    if recovery is None or recovery.livemode != livemode:
        raise ResourceMissing(f"No such recovery: {identifier!r}.", param="id")
    if recovery.status not in rules.LIVE or recovery.sweep is not None:
        raise UnexpectedState(
            f"This recovery is {recovery.status}: nothing is to be decided any more."
        )
    return recovery


def recovery_screen_stage(parts: Parts) -> Stage:
    """The stage that screens where recoveries go; one that is clear gets its sweep."""
    engine = parts.screening_engine()

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            found = fetch(connection, store.unscreened, limit=BATCH_MAX)
            if not found:
                return 0
            wanted = engine.issuer_wanted(connection, [_request(row) for row in found])
        asking = ask_issuers(parts, wanted)
        with parts.database.begin() as connection:
            found = fetch(connection, store.unscreened, limit=BATCH_MAX)
            rows = [row for row in found if asking.is_answered(_request(row))]
            if not rows:
                return 0
            verdicts = engine.screen(
                [_request(row) for row in rows],
                connection=connection,
                at=now,
                issuer=asking.answers,
            )
            insert_screenings(connection, verdicts)
            for row, screening in zip(rows, verdicts, strict=True):
                judged = replace(row, screening=screening.id)
                match Verdict(screening.verdict):
                    case Verdict.clear:
                        _judge(connection, judged, now=now)
                    case Verdict.review if row.case_id is None:
                        _write(connection, replace(judged, under_review=True))
                    case Verdict.review | Verdict.block:
                        why = FailureReason.declined
                        _end(connection, judged, RefundStatus.failed, why, now=now)
            return len(rows)

    return Stage("recovery.screen", run, due=(store.unscreened,))


def recovery_follow_stage(parts: Parts) -> Stage:
    """The stage that brings recoveries in line with the sweeps that carry them out."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = fetch(connection, store.moved, limit=BATCH_MAX)
            for row in rows:
                _follow(connection, row, now=now)
            return len(rows)

    return Stage("recovery.follow", run, due=(store.moved,))


def follow_again(connection: Connection, sweep: str, *, now: datetime) -> None:
    """The chain decided on a sweep once more: what it carried out is what it became.

    It does not wait in between: another recovery of the same coins may be offered by then.
    """
    row = store.lock_ended(connection, sweep)
    if row is not None:
        _follow(connection, row, now=now)


def _follow(connection: Connection, row: Recovery, *, now: datetime) -> None:
    assert row.sweep is not None
    sweep = sweeps.find(connection, row.sweep)
    assert sweep is not None
    sent = None if sweep.transaction is None else transactions.find(connection, sweep.transaction)
    status, why = rules.outcome(sweep, moved=sent is not None and bool(sent.arrived_units))
    row = replace(row, tx_hash=sweep.tx_hash)
    if status is RefundStatus.pending:
        _write(connection, row)
        _tell(connection, row, event.RECOVERY_UPDATED, now)
        return
    _end(connection, row, status, why, now=now)
    if row.payin is not None:
        _follow_payin(connection, row, is_back=status is RefundStatus.succeeded, now=now)


def _follow_payin(connection: Connection, row: Recovery, *, is_back: bool, now: datetime) -> None:
    """Its pay-in went back; or it stands there again, where the chain undid that."""
    assert row.payin is not None
    # Intents before pay-ins, as every other step does.
    paid = payins.find_intent(connection, row.payin)
    intents = payments.lock_many(connection, [] if paid is None else [paid])
    payin = payins.lock_one(connection, row.payin)
    assert payin is not None
    before, after = PayInStatus.held, PayInStatus.returned
    if not is_back:
        before, after = after, before
    if payin.status != before:
        return
    moved = replace(payin, status=after.value)
    update_records(connection, payins.payins, [{"id": moved.id, "status": moved.status}])
    if is_back:
        told = declined_events(moved, event.PAYIN_RETURNED)
    else:
        told = [payin_event(moved, event.PAYIN_HELD)]
        if row.case_id is not None:
            _reopen_case(connection, row, moved, now=now)
    told += follow(connection, intents, payins.list_counted(connection, intents), now=now)
    events.append(connection, told, now=now)


def _reopen_case(connection: Connection, row: Recovery, payin: PayIn, *, now: datetime) -> None:
    opening = Opening(
        subject=payin.id,
        kind=CaseKind.payin,
        account_id=payin.account_id,
        livemode=payin.livemode,
        screening_id=None,
        reason=f"{row.id} had returned it, and left the chain.",
        priority=Priority.high,
    )
    open_cases(connection, [opening], now=now)


def _judge(connection: Connection, row: Recovery, *, now: datetime) -> Recovery:
    """The destination is clear: the policy says whether it goes, waits for people, or ends."""
    listed = networks.find_asset(connection, row.asset)
    currencies = {each.currency: each for each in networks.list_currencies(connection)}
    currency = None if listed is None else currencies[listed.currency]
    version, decision = judge_one(
        connection,
        partial(rules.facts_of, row, currency),
        subject=row.id,
        person=row.initiator_person,
        livemode=row.livemode,
        now=now,
    )
    number = None if version is None else version.id
    row = rules.decided(row, decision, version=number, now=now)
    match decision.action:
        case Action.allow:
            return _dispatch(connection, row, now=now)
        case Action.approve:
            _write(connection, row)
            _tell(connection, row, event.RECOVERY_AWAITING_APPROVALS, now)
            return row
        case Action.block:
            return _end(connection, row, RefundStatus.failed, FailureReason.declined, now=now)


def _dispatch(connection: Connection, row: Recovery, *, now: datetime) -> Recovery:
    """It may go: the sweep that carries it out is written, if all still stands."""
    if row.payin is not None:
        payin = payins.lock_one(connection, row.payin)
        if payin is None or payin.status != PayInStatus.held or payin.orphaned:
            gone = FailureReason.payment_reversed
            return _end(connection, row, RefundStatus.failed, gone, now=now)
        if row.case_id is None and cases.is_live(connection, payin.id):
            # It was offered before its sender was listed: two people decide by now.
            why = FailureReason.declined
            return _end(connection, row, RefundStatus.failed, why, now=now)
    found = addresses.find_address(connection, row.address)
    sweep = rules.carrier(row, factory=None if found is None else found.factory, now=now)
    sweeps.insert(connection, [sweep])
    taken = [(held, asset, -units) for held, asset, units in deposit_units(sweep)]
    addresses.add_deposits(connection, taken)
    sent = replace(row, sweep=sweep.id)
    _write(connection, sent)
    wake(connection, "sweep.build", "clone.recover")
    return sent


def _end(
    connection: Connection,
    row: Recovery,
    status: RefundStatus,
    why: FailureReason | None,
    *,
    now: datetime,
) -> Recovery:
    ended = replace(
        row,
        status=status.value,
        failure_reason=None if why is None else why.value,
        under_review=False,
        succeeded_at=now if status is RefundStatus.succeeded else None,
    )
    names = {
        RefundStatus.succeeded: event.RECOVERY_SUCCEEDED,
        RefundStatus.canceled: event.RECOVERY_CANCELED,
    }
    _write(connection, ended)
    _tell(connection, ended, names.get(status, event.RECOVERY_FAILED), now)
    wake(connection, "case.follow")
    return ended


def _write(connection: Connection, row: Recovery) -> None:
    update_records(connection, store.recoveries, [{name: getattr(row, name) for name in _WRITTEN}])


def _tell(connection: Connection, row: Recovery, name: str, now: datetime) -> None:
    told = NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public(row),
    )
    events.append(connection, [told], now=now)


def _request(row: Recovery) -> ScreeningRequest:
    assert row.destination is not None
    return ScreeningRequest(
        subject=row.id,
        account_id=row.account_id,
        livemode=row.livemode,
        network=row.network,
        asset=row.asset,
        direction=Direction.outgoing,
        sender=row.address,
        receiver=row.destination,
        token_units=row.token_amount,
    )
