"""Screen payees of banks: the name of an account's holder is held against the lists of names.

A payout to a bank has no address that a graph knows: who it goes to is a name and a country. One
that is not clear waits for people, in a case, as every payout that screening stopped.
"""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event
from sakk.core.bank_account import BankAccount
from sakk.core.case import CaseKind, Opening, Priority
from sakk.core.country import is_country
from sakk.core.name_screening import NameScreening, read_query
from sakk.core.payout import BANK, HoldStatus, Payout, PayoutStatus
from sakk.core.screening import Verdict
from sakk.flow.case import open_cases
from sakk.flow.context import Parts
from sakk.flow.name import NameRequest, screen_names
from sakk.flow.payout import payout_event
from sakk.flow.stage import REST_SECONDS, Stage, wake
from sakk.screening.name import NameIndex
from sakk.store import bank_account as bank_accounts
from sakk.store import event as events
from sakk.store import name as names
from sakk.store import payout as payouts
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, settle

# A name takes milliseconds, and nobody imports a list while a batch is compared.
BATCH_MAX = 50

_due = claimable(
    payouts.payouts,
    Payout,
    payouts.payouts.c.network == BANK,
    (payouts.payouts.c.status == PayoutStatus.requested.value) | payouts.is_stale(),
    payouts.payouts.c.hold == HoldStatus.held.value,
    ~payouts.payouts.c.under_review,
    limit=BATCH_MAX,
)


def bank_screen_stage(parts: Parts) -> Stage:
    """The stage that compares the names of payees at banks with the lists."""
    index = NameIndex(parts.database)

    def run() -> int:
        now = parts.clock()
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=now)
            places = bank_accounts.list_by_ids(connection, [row.destination for row in rows])
            for row in rows:
                _judge(connection, index, row, places[row.destination], token=token, now=now)
        return len(rows)

    return Stage("bank.screen", run, due=(_due,), rest_seconds=REST_SECONDS)


def _judge(
    connection: Connection,
    index: NameIndex,
    row: Payout,
    place: BankAccount,
    *,
    token: str,
    now: datetime,
) -> None:
    # By the account's id, so that what a person exempted stays so for the next payout.
    # IBANs know places that no list names a country by (XK): of those the name alone is compared.
    countries = [place.country] if is_country(place.country) else []
    query = read_query(place.holder, countries=countries)
    asked = NameRequest(place.id, query, row.account_id, row.livemode)
    [found] = screen_names(connection, index, [asked], now=now)
    judged = replace(row, screening=found.id, screened_at=now)
    clear = found.verdict == Verdict.clear or _is_known(connection, row, found)
    if clear and row.status == PayoutStatus.requested:
        judged = replace(judged, status=PayoutStatus.screened.value)
    elif not clear:
        waits = PayoutStatus.requested.value
        judged = replace(judged, status=waits, under_review=True, decided_at=None)
    fields = ("id", "status", "screening", "screened_at", "under_review", "decided_at")
    change = {name: getattr(judged, name) for name in fields}
    settle(connection, payouts.payouts, [{"screening_stale": False, **change}], token=token)
    if not clear:
        open_cases(connection, [_opening(row, found)], now=now)
    elif row.screened_at is None:
        events.append(connection, [payout_event(judged, event.PAYOUT_SCREENED)], now=now)
    wake(connection, "payout.decide", "bank.order")


def _is_known(connection: Connection, row: Payout, found: NameScreening) -> bool:
    """Somebody let it go for what was found then: only what is new stops it again."""
    if row.screening is None:
        return False
    before = names.find_name_screening(connection, row.screening, livemode=row.livemode)
    if before is None or before.verdict == Verdict.clear:
        return False
    seen = {(hit.entity_id, hit.entity_version) for hit in before.hits}
    return {(hit.entity_id, hit.entity_version) for hit in found.hits} <= seen


def _opening(row: Payout, found: NameScreening) -> Opening:
    first = max(found.hits, key=lambda hit: hit.score)
    return Opening(
        subject=row.id,
        kind=CaseKind.payout,
        account_id=row.account_id,
        livemode=row.livemode,
        screening_id=None,
        reason=(
            f"The holder {found.query.name} is like {first.matched} of {first.list_name}"
            f" ({first.score} of 1,000), {found.id}."
        ),
        priority=Priority.high if found.verdict == Verdict.block else Priority.normal,
    )
