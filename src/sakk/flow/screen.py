"""Screen: judge final pay-ins before any credit, and payouts before the policy does.

Fail closed: what can not be judged (lists, rules or graph out of reach, or a node that should say
whom a token's issuer denies) is not passed. A pay-in's coins go to quarantine after a while, a
payout waits, and both go on by themselves. A held pay-in's merchant is told no more than
``under_review``.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, Text, bindparam, select

from sakk.core import event
from sakk.core.case import CaseKind, Opening, opening_of
from sakk.core.errors import Unavailable
from sakk.core.event import NewEvent
from sakk.core.payin import SCREENED, UNBOOKABLE, PayIn, PayInStatus
from sakk.core.payout import BANK, HoldStatus, Payout, PayoutPurpose, PayoutStatus
from sakk.core.screening import Screening, ScreeningRequest, Verdict, is_nothing_new
from sakk.flow.case import open_cases
from sakk.flow.context import Parts
from sakk.flow.issuer import Asking, ask_issuers
from sakk.flow.payin import allocate_rows, payin_event
from sakk.flow.payin import screening_request as payin_request
from sakk.flow.payout import awaited_by, payout_event
from sakk.flow.payout import screening_request as payout_request
from sakk.flow.stage import PAYIN_LANE, PAYOUT_LANE, REST_SECONDS, Stage, wake
from sakk.flow.travel_income import hold_untold
from sakk.screening.engine import Engine
from sakk.screening.facts import IssuerUnread
from sakk.store import address
from sakk.store import event as events
from sakk.store import payin as store
from sakk.store import payout as payouts
from sakk.store import recovery as recoveries
from sakk.store.database import Due, fetch, given_among, query, update_records
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, give_back, given_back_on_error, settle
from sakk.store.screening import insert_screenings, list_by_ids

# Small: what came first is told before what came last is begun.
BATCH_MAX = 50
PAYOUT_BATCH_MAX = 200
# How long a final pay-in waits for a verdict that can not be had, before its coins are booked to
# quarantine without one.
UNJUDGED_MAX = timedelta(seconds=60)
# The reason of those; the operator's alone.
UNJUDGED = f"{SCREENED}unavailable"
# A node that did not answer is asked again for the same payouts after so long.
ISSUER_AGAIN_AFTER = timedelta(seconds=5)

log = structlog.get_logger(__name__)

_confirmed = store.in_status(PayInStatus.confirmed, ~store.payins.c.orphaned, limit=BATCH_MAX)
_unjudged = store.in_status(
    PayInStatus.held,
    store.payins.c.reason == UNJUDGED,
    store.payins.c.screening.is_(None),
    store.payins.c.quarantined,
    ~store.payins.c.orphaned,
    ~recoveries.is_returning(store.payins.c.id),
    limit=BATCH_MAX,
)


def screen_stage(parts: Parts) -> Stage:
    """The stage that turns confirmed pay-ins into screened or held ones.

    What can not be judged for `UNJUDGED_MAX` is held without a verdict, so that its coins stand in
    quarantine; `rejudge_stage` judges it when that can be done again.
    """
    engine = parts.screening_engine()

    def run() -> int:
        now = parts.clock()
        try:
            return _judge_payins(parts, engine, _confirmed, now=now)
        except Unavailable:
            _hold_unjudged(parts, now=now)
            raise

    return Stage("payin.screen", run, due=(_confirmed,), lane=PAYIN_LANE, many=BATCH_MAX)


def rejudge_stage(parts: Parts) -> Stage:
    """The stage that judges what was held because it could not be judged; clear goes on."""
    engine = parts.screening_engine()

    def run() -> int:
        return _judge_payins(parts, engine, _unjudged, now=parts.clock())

    return Stage("payin.rejudge", run, due=(_unjudged,))


def _judge_payins(parts: Parts, engine: Engine, due: Due[PayIn], *, now: datetime) -> int:
    """Judge a batch in one transaction; where issuers are to be asked, after that was done."""
    asking = Asking()
    with parts.database.begin() as connection:
        rows = fetch(connection, due)
        if not rows:
            return 0
        wanted = engine.issuer_wanted(connection, [payin_request(row) for row in rows])
        if not wanted:
            return _judge_locked(connection, engine, rows, asking, now=now)
    asking = ask_issuers(parts, wanted)
    with parts.database.begin() as connection:
        rows = fetch(connection, due)
        answered = [row for row in rows if asking.is_answered(payin_request(row))]
        done = _judge_locked(connection, engine, answered, asking, now=now) if answered else 0
    if len(answered) < len(rows):
        raise IssuerUnread("A network's node does not say whom the issuer denies.")
    return done


def _judge_locked(
    connection: Connection,
    engine: Engine,
    rows: Sequence[PayIn],
    asking: Asking,
    *,
    now: datetime,
) -> int:
    requests = [payin_request(row) for row in rows]
    verdicts = engine.screen(requests, connection=connection, at=now, issuer=asking.answers)
    insert_screenings(connection, verdicts)
    held, clear = _part(rows, verdicts)
    untold, clear, cases = hold_untold(connection, clear, now=now)
    held += untold
    allocated = allocate_rows(connection, clear, now=now)
    _write(connection, held + allocated)
    events.append(connection, _news(held, allocated), now=now)
    findings = [each for each in verdicts if each.verdict != Verdict.clear]
    cases += [opening_of(each, CaseKind.payin) for each in findings]
    open_cases(connection, cases, now=now)
    return len(rows)


def _hold_unjudged(parts: Parts, *, now: datetime) -> None:
    """Hold without a verdict what has waited for one too long: its coins go to quarantine."""
    with parts.database.begin() as connection:
        rows = [
            row
            for row in fetch(connection, _confirmed)
            if row.confirmed_at is not None
            and row.confirmed_at <= now - UNJUDGED_MAX
            # What the ledger has no account for is held as a row alone, with its verdict.
            and row.role not in UNBOOKABLE
        ]
        held = [
            replace(row, status=PayInStatus.held.value, reviewed=True, reason=UNJUDGED)
            for row in rows
        ]
        if held:
            log.error("screening.unjudged", payins=len(held))
            _write(connection, held)
            events.append(connection, _news(held, ()), now=now)


def _part(rows: Sequence[PayIn], verdicts: Sequence[Screening]) -> tuple[list[PayIn], list[PayIn]]:
    """Held ones and clear ones. What is on no list of ours is held whatever its sender."""
    held: list[PayIn] = []
    clear: list[PayIn] = []
    for row, screening in zip(rows, verdicts, strict=True):
        judged = replace(row, screening=screening.id)
        unbookable = row.role in UNBOOKABLE
        if screening.verdict == Verdict.clear and not unbookable:
            clear.append(judged)
            continue
        reason = row.reason if unbookable else f"{SCREENED}{screening.verdict}"
        held.append(replace(judged, status=PayInStatus.held.value, reviewed=True, reason=reason))
    return held, clear


def _write(connection: Connection, rows: Sequence[PayIn]) -> None:
    fields = (
        "id",
        "status",
        "screening",
        "reviewed",
        "reason",
        "credit_units",
        "suspense_units",
        "fee",
        "fee_terms",
        "fee_returned",
        "application_fee",
        "application_terms",
        "screened_at",
    )
    update_records(
        connection, store.payins, [{name: getattr(row, name) for name in fields} for row in rows]
    )


def _news(held: Sequence[PayIn], clear: Sequence[PayIn]) -> list[NewEvent]:
    happened = [payin_event(row, event.PAYIN_SCREENED) for row in clear]
    for row in held:
        happened.append(payin_event(row, event.PAYIN_HELD))
        if row.account_id is not None:
            happened.append(payin_event(row, event.PAYIN_UNDER_REVIEW))
    return happened


_payouts = payouts.payouts
_to_screen = (
    (_payouts.c.status == PayoutStatus.requested.value) | payouts.is_stale(),
    _payouts.c.hold == HoldStatus.held.value,
    ~_payouts.c.under_review,
    # Whom a bank pays is a name: `sakk.flow.bank_screen`.
    _payouts.c.network != BANK,
)
_due_payouts = claimable(_payouts, Payout, *_to_screen, limit=PAYOUT_BATCH_MAX)
# Of those, whom nobody called off while nodes were asked.
_still_due = query(
    select(_payouts)
    .where(
        given_among(_payouts.c.id, "ids"),
        _payouts.c.lease_token == bindparam("token", type_=Text),
        *_to_screen,
    )
    .order_by(_payouts.c.id)
    .with_for_update(),
    Payout,
)


def payout_screen_stage(parts: Parts) -> Stage:
    """The stage that screens held payouts; one that is not clear waits for a person."""
    engine = parts.screening_engine()

    def run() -> int:
        now = parts.clock()
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due_payouts, token=token, now=now)
            if not rows:
                return 0
            requests = _payout_requests(connection, rows)
            wanted = engine.issuer_wanted(connection, requests)
            if not wanted:
                _judge_payouts(connection, engine, rows, Asking(), token=token, now=now)
                return len(rows)
        # No transaction is open while nodes are asked.
        with given_back_on_error(parts.database, _payouts, [row.id for row in rows], token=token):
            asking = ask_issuers(parts, wanted)
            return _judge_answered(parts, engine, rows, asking, token=token, now=now)

    return Stage(
        "payout.screen", run, due=(_due_payouts,), lane=PAYOUT_LANE, rest_seconds=REST_SECONDS
    )


def _judge_answered(
    parts: Parts,
    engine: Engine,
    rows: Sequence[Payout],
    asking: Asking,
    *,
    token: str,
    now: datetime,
) -> int:
    """Judge those whose issuers were asked and that nobody called off meanwhile."""
    with parts.database.begin() as connection:
        ids = [row.id for row in rows]
        still = fetch(connection, _still_due, ids=ids, token=token, now=now)
        answered = [
            row
            for row, request in zip(still, _payout_requests(connection, still), strict=True)
            if asking.is_answered(request)
        ]
        if answered:
            _judge_payouts(connection, engine, answered, asking, token=token, now=now)
        left = sorted({row.id for row in rows} - {row.id for row in answered})
        give_back(connection, _payouts, left, token=token, until=now + ISSUER_AGAIN_AFTER)
    return len(answered)


def _payout_requests(connection: Connection, rows: Sequence[Payout]) -> list[ScreeningRequest]:
    treasury = address.list_payers(connection)
    return [
        payout_request(row, treasury[0].address if treasury else row.destination) for row in rows
    ]


def _judge_payouts(
    connection: Connection,
    engine: Engine,
    rows: Sequence[Payout],
    asking: Asking,
    *,
    token: str,
    now: datetime,
) -> None:
    requests = _payout_requests(connection, rows)
    verdicts = engine.screen(requests, connection=connection, at=now, issuer=asking.answers)
    insert_screenings(connection, verdicts)
    happened: list[NewEvent] = []
    judged: list[Payout] = []
    openings: list[Opening] = []
    let_go = {
        each.id: each
        for each in list_by_ids(connection, [row.screening for row in rows if row.screening])
        if each.verdict != Verdict.clear
    }
    for row, screening in zip(rows, verdicts, strict=True):
        looked_at = let_go.get(row.screening or "")
        # Somebody let it go for what was found: only what is new stops it again.
        is_known = looked_at is not None and is_nothing_new(looked_at, screening)
        verdict = Verdict.clear.value if is_known else screening.verdict
        after = _judged(row, screening.id, verdict, now=now)
        judged.append(after)
        if after.under_review:
            openings.append(opening_of(screening, _kind(after)))
        if after.status == PayoutStatus.rejected:
            happened.append(payout_event(after, event.PAYOUT_REJECTED))
        # One that was screened before its time, and is clear at it too, is where it was.
        elif not after.under_review and row.screened_at is None:
            happened.append(payout_event(after, event.PAYOUT_SCREENED))
    fields = (
        "id",
        "status",
        "screening",
        "screened_at",
        "under_review",
        "decided_at",
        "failure_code",
        "failure_message",
    )
    changes = [
        {"screening_stale": False, **{name: getattr(row, name) for name in fields}}
        for row in judged
    ]
    settle(connection, payouts.payouts, changes, token=token)
    events.append(connection, happened, now=now)
    open_cases(connection, openings, now=now)
    wake(connection, "payout.decide", *awaited_by(judged))


def _kind(row: Payout) -> CaseKind:
    return CaseKind.refund if row.purpose == PayoutPurpose.refund else CaseKind.payout


def _judged(row: Payout, screening: str, verdict: str, *, now: datetime) -> Payout:
    """What a verdict makes of it.

    A scheduled one that is clear again stays as approved as it was; one that is not needs a person
    and then the policy anew, which counts what was approved of the same content.
    """
    judged = replace(row, screening=screening, screened_at=now)
    match Verdict(verdict):
        case Verdict.clear if row.status == PayoutStatus.requested:
            return replace(judged, status=PayoutStatus.screened.value)
        case Verdict.clear:
            return judged
        case Verdict.block if row.purpose == PayoutPurpose.refund:
            # An address that its payer gave gets no second look: it is not accepted, and no more
            # is said. The money is back where it was, and the merchant may ask again.
            return replace(
                judged,
                status=PayoutStatus.rejected.value,
                failure_code="declined",
                failure_message="The destination was not accepted.",
            )
        case Verdict.review | Verdict.block:
            return replace(
                judged, status=PayoutStatus.requested.value, under_review=True, decided_at=None
            )
