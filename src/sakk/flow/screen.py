"""Screen: judge final pay-ins before any credit, and payouts before the policy does.

Fail closed: while the lists can not be read nothing is screened, and so nothing is credited. A
held pay-in's money goes to quarantine, and its merchant is told no more than ``under_review``.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event
from sakk.core.case import CaseKind, Opening, opening_of
from sakk.core.event import NewEvent
from sakk.core.payin import PayIn, PayInRole, PayInStatus
from sakk.core.payout import HoldStatus, Payout, PayoutPurpose, PayoutStatus
from sakk.core.screening import Screening, Verdict
from sakk.flow.case import open_cases
from sakk.flow.context import Parts
from sakk.flow.payin import allocate_rows, payin_event
from sakk.flow.payin import screening_request as payin_request
from sakk.flow.payout import awaited_by, payout_event
from sakk.flow.payout import screening_request as payout_request
from sakk.flow.stage import PAYIN_LANE, PAYOUT_LANE, REST_SECONDS, Stage, wake
from sakk.store import address
from sakk.store import event as events
from sakk.store import payin as store
from sakk.store import payout as payouts
from sakk.store.database import fetch, update_records
from sakk.store.identity import new_id
from sakk.store.lease import claim, settle
from sakk.store.screening import insert_screenings

# Small: what came first is told before what came last is begun.
BATCH_MAX = 50
PAYOUT_BATCH_MAX = 200


def screen_stage(parts: Parts) -> Stage:
    """The stage that turns confirmed pay-ins into screened or held ones."""
    engine = parts.screening_engine()
    due = store.in_status(PayInStatus.confirmed, ~store.payins.c.orphaned, limit=BATCH_MAX)

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = fetch(connection, due)
            if not rows:
                return 0
            verdicts = engine.screen([payin_request(row) for row in rows], connection=connection)
            insert_screenings(connection, verdicts)
            held, clear = _part(rows, verdicts)
            allocated = allocate_rows(connection, clear, now=now)
            _write(connection, held + allocated)
            events.append(connection, _news(held, allocated), now=now)
            findings = [each for each in verdicts if each.verdict != Verdict.clear]
            openings = [opening_of(each, CaseKind.payin) for each in findings]
            open_cases(connection, openings, now=now)
            wake(connection, "payin.post")
            return len(rows)

    return Stage("payin.screen", run, lane=PAYIN_LANE)


def _part(rows: Sequence[PayIn], verdicts: Sequence[Screening]) -> tuple[list[PayIn], list[PayIn]]:
    """Held ones and clear ones. What is on no list of ours is held whatever its sender."""
    held: list[PayIn] = []
    clear: list[PayIn] = []
    for row, screening in zip(rows, verdicts, strict=True):
        judged = replace(row, screening=screening.id)
        unbookable = row.role in (PayInRole.unlisted, PayInRole.excessive)
        if screening.verdict == Verdict.clear and not unbookable:
            clear.append(judged)
            continue
        reason = row.reason if unbookable else f"screening_{screening.verdict}"
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


def payout_screen_stage(parts: Parts) -> Stage:
    """The stage that screens held payouts; one that is not clear waits for a person."""
    engine = parts.screening_engine()
    table = payouts.payouts

    def run() -> int:
        now = parts.clock()
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(
                connection,
                table,
                Payout,
                (table.c.status == PayoutStatus.requested.value) | payouts.is_stale(now),
                table.c.hold == HoldStatus.held.value,
                ~table.c.under_review,
                token=token,
                now=now,
                limit=PAYOUT_BATCH_MAX,
            )
            if not rows:
                return 0
            treasury = address.list_payers(connection)
            sender = treasury[0].address if treasury else rows[0].destination
            verdicts = engine.screen(
                [payout_request(row, sender) for row in rows], connection=connection
            )
            insert_screenings(connection, verdicts)
            happened: list[NewEvent] = []
            judged: list[Payout] = []
            openings: list[Opening] = []
            for row, screening in zip(rows, verdicts, strict=True):
                after = _judged(row, screening.id, screening.verdict, now=now)
                judged.append(after)
                if after.under_review:
                    openings.append(opening_of(screening, _kind(after)))
                if after.status == PayoutStatus.rejected:
                    happened.append(payout_event(after, event.PAYOUT_REJECTED))
                # One that was screened before its time, and is clear at it too, is where it was.
                elif not after.under_review and row.screened_at is None:
                    happened.append(payout_event(after, event.PAYOUT_SCREENED))
            settle(
                connection,
                table,
                [
                    {
                        "id": row.id,
                        "status": row.status,
                        "screening": row.screening,
                        "screened_at": row.screened_at,
                        "screening_stale": False,
                        "under_review": row.under_review,
                        "decided_at": row.decided_at,
                        "failure_code": row.failure_code,
                        "failure_message": row.failure_message,
                    }
                    for row in judged
                ],
                token=token,
            )
            events.append(connection, happened, now=now)
            open_cases(connection, openings, now=now)
            wake(connection, "payout.decide", *awaited_by(judged))
            return len(rows)

    return Stage("payout.screen", run, lane=PAYOUT_LANE, rest_seconds=REST_SECONDS)


def _kind(row: Payout) -> CaseKind:
    return CaseKind.refund if row.purpose == PayoutPurpose.refund else CaseKind.payout


def _judged(row: Payout, screening: str, verdict: str, *, now: datetime) -> Payout:
    """What a verdict makes of it.

    A scheduled one that is clear again stays as approved as it was; one that is not needs a person
    and then the policy anew, whatever was approved before.
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
