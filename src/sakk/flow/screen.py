"""Screen: judge final pay-ins before any credit, and decide how each is booked.

Fail closed: while the lists can not be read nothing is screened, and so nothing is credited. A
held pay-in's money goes to quarantine, and its merchant is told no more than ``under_review``.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event
from sakk.core.account import PaymentPolicy
from sakk.core.event import NewEvent
from sakk.core.payin import PayIn, PayInRole, PayInStatus, allocate
from sakk.core.payment import PaymentIntent, quote_of
from sakk.core.screening import Direction, Screening, ScreeningRequest, Verdict
from sakk.flow.context import Parts
from sakk.flow.match import payin_event
from sakk.flow.stage import Stage, wake
from sakk.store import account as accounts
from sakk.store import event as events
from sakk.store import payin as store
from sakk.store import payment as payments
from sakk.store.database import update_records
from sakk.store.screening import insert_screenings

BATCH_MAX = 500


def screen_stage(parts: Parts) -> Stage:
    """The stage that turns confirmed pay-ins into screened or held ones."""
    engine = parts.screening_engine()

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = store.lock_status(
                connection, PayInStatus.confirmed, ~store.payins.c.orphaned, limit=BATCH_MAX
            )
            if not rows:
                return 0
            verdicts = engine.screen([_request(row) for row in rows], connection=connection)
            insert_screenings(connection, verdicts)
            held, clear = _part(rows, verdicts)
            allocated = allocate_rows(connection, clear, now=now)
            _write(connection, held + allocated)
            events.append(connection, _news(held, allocated), now=now)
            wake(connection, "payin.post")
            return len(rows)

    return Stage("payin.screen", run)


def allocate_rows(connection: Connection, rows: Sequence[PayIn], *, now: datetime) -> list[PayIn]:
    """Decide, with the intents locked, how much of each pay-in is credited and how much waits."""
    intents = payments.lock_many(
        connection, {row.payment_intent for row in rows if row.payment_intent is not None}
    )
    counted = store.list_counted(connection, intents)
    policies = accounts.policy(connection, {row.account_id for row in rows if row.account_id})
    result: list[PayIn] = []
    decided: dict[str, list[tuple[str, int]]] = {
        intent: [(row.asset, row.token_amount) for row in members if row.credit_units is not None]
        for intent, members in counted.items()
    }
    for row in rows:
        intent = intents.get(row.payment_intent) if row.payment_intent is not None else None
        before = decided.setdefault(row.payment_intent, []) if row.payment_intent else []
        result.append(_allocated(row, intent, before, policies, now=now))
        if row.counts:
            before.append((row.asset, row.token_amount))
    return result


def _allocated(
    row: PayIn,
    intent: PaymentIntent | None,
    before: list[tuple[str, int]],
    policies: dict[str, PaymentPolicy],
    *,
    now: datetime,
) -> PayIn:
    allocation = allocate(
        row,
        policy=policies.get(row.account_id or "", PaymentPolicy()),
        intent=intent,
        quotes=[] if intent is None else [quote_of(document) for document in intent.quotes],
        paid_before=before,
    )
    return replace(
        row,
        status=PayInStatus.screened.value,
        credit_units=allocation.credit_units,
        suspense_units=allocation.suspense_units,
        reason=allocation.reason,
        screened_at=now,
    )


def _request(row: PayIn) -> ScreeningRequest:
    return ScreeningRequest(
        subject=row.id,
        account_id=row.account_id,
        livemode=row.livemode,
        network=row.network,
        asset=row.asset,
        direction=Direction.incoming,
        sender=row.sender,
        receiver=row.address,
        token_units=row.token_amount,
    )


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
