"""Post: move a screened pay-in's money in the ledger, then say so in its row.

The ledger is outside the database: lease and commit, post under ids that are a hash of the row, and
record where the lease still holds. A crash anywhere between is repaired by doing it again.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from sqlalchemy import Connection, and_, or_

from sakk.core import event
from sakk.core.network import Asset, Currency
from sakk.core.payin import OPERATORS, UNBOOKABLE, PayIn, PayInStatus, postings, quarantine_postings
from sakk.flow import application_fee, fee
from sakk.flow import payment as payment_flow
from sakk.flow.book import Outcome, PostingSet
from sakk.flow.context import Parts
from sakk.flow.payin import payin_event
from sakk.flow.stage import PAYIN_LANE, Stage, wake
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import payin as store
from sakk.store import payment as payments
from sakk.store.database import among
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import (
    claim,
    claimable,
    given_back_on_error,
    retry_delay,
    settle,
)

BATCH_MAX = 50

log = structlog.get_logger(__name__)

_due = claimable(
    store.payins,
    PayIn,
    or_(
        store.payins.c.status == PayInStatus.screened.value,
        and_(
            store.payins.c.status == PayInStatus.held.value,
            ~store.payins.c.quarantined,
            ~among(store.payins.c.role, UNBOOKABLE),
        ),
    ),
    limit=BATCH_MAX,
)


def post_stage(parts: Parts) -> Stage:
    """The stage that books screened pay-ins, and quarantines held ones."""

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
            if not rows:
                return 0
            assets = {each.asset: each for each in network.list_assets(connection)}
            currencies = {each.currency: each for each in network.list_currencies(connection)}
        ids = [row.id for row in rows]
        with given_back_on_error(parts.database, store.payins, ids, token=token):
            failpoint("payin.post.before")
            outcomes = parts.books.post([posting_set(row, assets, currencies) for row in rows])
            failpoint("payin.post.after")
        now = parts.clock()
        with parts.database.begin() as connection:
            _record(connection, rows, outcomes, token=token, now=now)
        return len(rows)

    return Stage("payin.post", run, due=(_due,), lane=PAYIN_LANE, many=BATCH_MAX)


def posting_set(
    row: PayIn, assets: dict[str, Asset], currencies: dict[str, Currency]
) -> PostingSet:
    """The ledger's side of a pay-in in its present status."""
    if row.status == PayInStatus.held:
        return PostingSet(row.id, "quarantine", row.attempt, quarantine_postings(row))
    asset = assets[row.asset]
    return PostingSet(
        row.id,
        "release" if row.quarantined else "post",
        row.attempt,
        postings(
            row,
            asset_decimals=asset.decimals,
            currency_decimals=currencies[asset.currency].decimals,
            source="quarantine" if row.quarantined else "custody",
        ),
    )


def _record(
    connection: Connection,
    rows: Sequence[PayIn],
    outcomes: Sequence[Outcome],
    *,
    token: str,
    now: datetime,
) -> None:
    # Intents before pay-ins, as every other step does, so that no two steps wait for each other.
    intents = payments.lock_many(
        connection, {row.payment_intent for row in rows if row.counts and row.payment_intent}
    )
    booked: list[PayIn] = []
    refused: list[PayIn] = []
    for row, outcome in zip(rows, outcomes, strict=True):
        if outcome.booked:
            booked.append(_booked(row, now))
            continue
        log.error("payin.refused", payin=row.id, refusal=str(outcome.refusal))
        refused.append(
            replace(
                row,
                attempt=row.attempt + 1,
                failures=row.failures + 1,
                retry_at=now + retry_delay(row.failures),
            )
        )
    still_ours = _settle(connection, booked + refused, token=token)
    if any(row.status == PayInStatus.held and row.screening is None for row in booked):
        wake(connection, "payin.rejudge")
    posted = [
        row
        for row in booked
        if row.id in still_ours and row.status in (PayInStatus.posted, PayInStatus.released)
    ]
    fresh = [row for row in booked if row.id in still_ours and not _was_in_custody(row)]
    address.add_deposits(
        connection,
        [(row.address, row.asset, row.token_amount) for row in fresh if row.role not in OPERATORS],
    )
    fee.book_payins(connection, posted, now=now)
    application_fee.book_payins(connection, posted, now=now)
    happened = [
        payin_event(row, event.PAYIN_POSTED) for row in posted if row.account_id is not None
    ]
    happened += [
        payin_event(row, event.PAYIN_RELEASED)
        for row in posted
        if row.status == PayInStatus.released
    ]
    happened += [payin_event(row, event.PAYIN_SUSPENSE) for row in posted if row.suspense_units]
    happened += payment_flow.follow(
        connection, intents, store.list_counted(connection, intents), now=now
    )
    events.append(connection, happened, now=now)
    if any(row.orphaned for row in booked):
        wake(connection, "payin.reverse")


def _booked(row: PayIn, now: datetime) -> PayIn:
    if row.status == PayInStatus.held:
        return replace(row, quarantined=True, attempt=0, failures=0, retry_at=None)
    status = PayInStatus.released if row.reviewed else PayInStatus.posted
    return replace(row, status=status.value, posted_at=now, failures=0, retry_at=None)


def _was_in_custody(row: PayIn) -> bool:
    """Was this pay-in's money in quarantine, and so counted on its address, before this step?"""
    return row.status != PayInStatus.held and row.quarantined


def _settle(connection: Connection, rows: Sequence[PayIn], *, token: str) -> set[str]:
    """Record the outcomes of the rows whose lease is still ours; returns their ids."""
    held = set(
        connection.execute(
            store.payins.select()
            .with_only_columns(store.payins.c.id)
            .where(
                among(store.payins.c.id, [row.id for row in rows]),
                store.payins.c.lease_token == token,
            )
            .order_by(store.payins.c.id)
            .with_for_update()
        ).scalars()
    )
    fields = ("id", "status", "quarantined", "attempt", "failures", "retry_at", "posted_at")
    settle(
        connection,
        store.payins,
        [{name: getattr(row, name) for name in fields} for row in rows if row.id in held],
        token=token,
    )
    return held
