"""Application fees: decided with what they are taken of, booked in its linked set, and given back.

What is taken is decided where the operator's fee is, and moves in the same set: the merchant is
never credited without it. What goes back with a refund is a row whose money leaves the platform's
balance as soon as that covers it, and keeps no refund waiting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from sakk.core import application_fee as rules
from sakk.core import chart
from sakk.core import connected_account_event as news
from sakk.core.application_fee import (
    Application,
    ApplicationFee,
    ApplicationFeeReason,
    ApplicationFeeStatus,
    Span,
)
from sakk.core.chart import TransferCode
from sakk.core.connected_account import MILLION
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.event import NewEvent
from sakk.core.fee import (
    FeeKind,
    FeeVersion,
    Movement,
    has_tiers,
    month_of,
    price,
)
from sakk.core.payin import PayIn, credited_amount
from sakk.core.payment import PaymentIntent, quotes_of, value_of
from sakk.core.payout import Payout, PayoutPurpose, PayoutStatus
from sakk.core.posting import Posting
from sakk.flow import application_fee_return as returns
from sakk.flow.book import PostingSet
from sakk.flow.connected_account import rules_in_force
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.store import application_fee as store
from sakk.store import connected_account as connections
from sakk.store import event as events
from sakk.store import fee as fees
from sakk.store import network
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, given_back_on_error, retry_delay, settle

BATCH_MAX = 100

log = structlog.get_logger(__name__)


def span_of(
    row: PayIn, intent: PaymentIntent | None, before: Sequence[tuple[str, int]]
) -> Span | None:
    """What part of a platform's payment a pay-in is; None of what no platform asked for."""
    if intent is None or intent.application is None or not row.counts:
        return None
    own = (row.asset, row.token_amount)
    quotes = quotes_of(intent, {row.asset, *(asset for asset, _ in before)})
    return Span(
        asked=intent.amount,
        before=value_of(quotes, before, amount=intent.amount) if before else 0,
        after=value_of(quotes, [*before, own], amount=intent.amount),
        value=value_of(quotes, [own], amount=intent.amount),
    )


def price_payins(
    connection: Connection,
    rows: Sequence[PayIn],
    parts: Mapping[str, tuple[Application, Span]],
    *,
    now: datetime,
) -> list[PayIn]:
    """Pay-ins with what their platforms take; ``parts`` by pay-in. Volumes are counted under the
    locks of their rows, always in one order."""
    if not parts:
        return list(rows)
    by_rules = {each.connected_account for each, _ in parts.values() if each.amount is None}
    versions = rules_in_force(connection, sorted(by_rules), now=now)
    decimals = {each.asset: each.decimals for each in network.list_assets(connection)}
    priced: dict[str, PayIn] = {}
    ordered = sorted(
        (row for row in rows if row.id in parts),
        key=lambda row: (parts[row.id][0].connected_account, row.currency or "", row.id),
    )
    for row in ordered:
        application, span = parts[row.id]
        version = versions.get(application.connected_account)
        priced[row.id] = _priced(
            connection, row, application, span, version, decimals[row.asset], now=now
        )
    return [priced.get(row.id, row) for row in rows]


def _priced(
    connection: Connection,
    row: PayIn,
    application: Application,
    span: Span,
    version: FeeVersion | None,
    asset_decimals: int,
    *,
    now: datetime,
) -> PayIn:
    assert row.currency is not None
    assert row.decimals is not None
    arrived, credited = (
        credited_amount(units, asset_decimals=asset_decimals, currency_decimals=row.decimals)[0]
        for units in (row.token_amount, row.credit_units or 0)
    )
    volume = 0
    movement = Movement(FeeKind.payin, row.currency, row.network, credited)
    # What no rule prices counts towards nothing.
    if (
        application.amount is None
        and version is not None
        and credited
        and price(version, movement) is not None
    ):
        counted_by = application.connected_account
        volume = _add(connection, counted_by, row, FeeKind.payin, credited, now=now)
    taken = rules.of_payin(
        application,
        span,
        kind=FeeKind.payin,
        currency=row.currency,
        network=row.network,
        arrived=arrived,
        credited=credited,
        left=credited - row.fee,
        version=version,
        volume=volume,
    )
    if taken is None:
        return row
    return replace(row, application_fee=taken[0], application_terms=taken[1])


def price_payout(
    connection: Connection, payout: Payout, application: Application | None, *, now: datetime
) -> Payout:
    """A payout with what its platform takes for it, on top."""
    [priced] = price_payouts(connection, [(payout, application)], now=now)
    return priced


def price_payouts(
    connection: Connection,
    drafted: Sequence[tuple[Payout, Application | None]],
    *,
    now: datetime,
) -> list[Payout]:
    """The same of many of one account, all at the month's volume before them."""
    by_rules = {
        each.connected_account for _, each in drafted if each is not None and each.amount is None
    }
    versions = rules_in_force(connection, sorted(by_rules), now=now) if by_rules else {}
    volumes: dict[tuple[str, str], int] = {}
    priced = []
    for payout, application in drafted:
        if application is None:
            priced.append(payout)
            continue
        version, volume = versions.get(application.connected_account), 0
        if application.amount is None and version is not None and has_tiers(version):
            key = (application.connected_account, payout.currency)
            if key not in volumes:
                volumes[key] = fees.read_volume(
                    connection,
                    account_id=application.connected_account,
                    livemode=payout.livemode,
                    kind=FeeKind.payout.value,
                    currency=payout.currency,
                    month=month_of(now),
                )
            volume = volumes[key]
        taken = rules.of_payout(
            application,
            amount=payout.amount,
            currency=payout.currency,
            network=payout.network,
            version=version,
            volume=volume,
        )
        if taken is not None:
            payout = replace(payout, application_fee=taken[0], application_terms=taken[1])
        priced.append(payout)
    return priced


def count_payouts(connection: Connection, made: Sequence[Payout], *, now: datetime) -> None:
    """What a platform's rules priced counts towards its month; always in one order."""
    sums: dict[tuple[str, str], tuple[Payout, int]] = {}
    for each in made:
        terms = each.application_terms
        if terms is not None and terms["version"] is not None:
            key = (terms["connected_account"], each.currency)
            sums[key] = (each, sums.get(key, (each, 0))[1] + each.amount)
    for (connected, _), (each, units) in sorted(sums.items(), key=lambda item: item[0]):
        _add(connection, connected, each, FeeKind.payout, units, now=now)


def _add(
    connection: Connection,
    connected_account: str,
    row: PayIn | Payout,
    kind: FeeKind,
    units: int,
    *,
    now: datetime,
) -> int:
    assert row.currency is not None
    return fees.add_volume(
        connection,
        account_id=connected_account,
        livemode=row.livemode,
        kind=kind.value,
        currency=row.currency,
        month=month_of(now),
        units=units,
    )


def simulate(
    connection: Connection,
    movement: Movement,
    fee: int,
    *,
    amount: int | None,
    connected_account: str | None,
    livemode: bool,
    now: datetime,
) -> tuple[int, list[dict[str, Any]]]:
    """What a platform would take of a movement that the operator charges ``fee`` for, and its
    parts. ParameterInvalid for more than was agreed; ResourceMissing."""
    if not movement.amount or (amount is None and connected_account is None):
        return 0, []
    application: Application | None = Application("", "", MILLION, amount)
    version = None
    if connected_account is not None:
        found = connections.find(connection, connected_account, account_id=None, livemode=livemode)
        if found is None:
            raise ResourceMissing(
                f"No such connected_account: {connected_account!r}.", param="connected_account"
            )
        application = rules.applied(
            found, amount, of=movement.amount, param="application_fee_amount"
        )
        version = rules_in_force(connection, [found.id], now=now).get(found.id)
    assert application is not None
    if movement.kind is FeeKind.payin:
        taken = rules.of_payin(
            application,
            Span(movement.amount, 0, movement.amount, movement.amount),
            kind=movement.kind,
            currency=movement.currency,
            network=movement.network,
            arrived=movement.amount,
            credited=movement.amount,
            left=movement.amount - fee,
            version=version,
            volume=movement.volume,
        )
    elif movement.kind is FeeKind.payout:
        taken = rules.of_payout(
            application,
            amount=movement.amount,
            currency=movement.currency,
            network=movement.network,
            version=version,
            volume=movement.volume,
        )
    else:
        raise ParameterInvalid(
            "A platform takes a fee of a payin or for a payout.", param="application_fee_amount"
        )
    return (0, []) if taken is None else (taken[0], taken[1]["parts"])


def book_payins(
    connection: Connection, rows: Sequence[PayIn], *, undone: bool = False, now: datetime
) -> None:
    """Write down what was taken of pay-ins that were booked, or undone; what is undone counts
    towards its month no more."""
    # In the order of `price_payins`, so that neither waits for the other.
    counted = [
        (terms["connected_account"], row, int(terms["basis"]))
        for row in rows
        if undone and (terms := row.application_terms) is not None and terms["version"] is not None
    ]
    for connected, row, units in sorted(
        counted, key=lambda each: (each[0], each[1].currency or "", each[1].id)
    ):
        _add(connection, connected, row, FeeKind.payin, -units, now=row.screened_at or now)
    reason = ApplicationFeeReason.reversed if undone else ApplicationFeeReason.charged
    made = [
        returns.fee_row(
            row, FeeKind.payin, row.id, reason, -row.application_fee, row.payment_intent, now=now
        )
        if undone
        else returns.fee_row(
            row, FeeKind.payin, row.id, reason, row.application_fee, row.payment_intent, now=now
        )
        for row in rows
        if row.application_fee
    ]
    again = returns.taken_back if undone else returns.given_again
    made += again(connection, rows, now=now)
    _insert(connection, made, now=now)


def book_payouts(
    connection: Connection, rows: Sequence[Payout], *, again: bool, now: datetime
) -> None:
    """The same of payouts that came to their end, and what goes back with refunds.

    ``again``: they had another end before, which a reorganisation took.
    """
    made: list[ApplicationFee] = []
    for row in rows:
        paid = row.status == PayoutStatus.posted
        if not paid and not again:
            continue
        if row.purpose == PayoutPurpose.refund:
            made += returns.given_back(connection, row, paid=paid, now=now)
        elif row.application_fee:
            reason = ApplicationFeeReason.charged if paid else ApplicationFeeReason.reversed
            amount = row.application_fee if paid else -row.application_fee
            made.append(returns.fee_row(row, FeeKind.payout, row.id, reason, amount, None, now=now))
    _insert(connection, made, now=now)


def _insert(connection: Connection, made: Sequence[ApplicationFee], *, now: datetime) -> None:
    if not made:
        return
    store.insert(connection, made)
    posted = [each for each in made if each.status == ApplicationFeeStatus.posted]
    of_refunds = [each for each in posted if each.kind == FeeKind.refund]
    rest = [each for each in posted if each.kind != FeeKind.refund]
    _tell(connection, rest, news.APPLICATION_FEE_CREATED, now=now)
    _tell(connection, of_refunds, news.APPLICATION_FEE_REFUNDED, now=now)
    if len(posted) < len(made):
        wake(connection, "application_fee.return")


def _tell(
    connection: Connection, rows: Sequence[ApplicationFee], name: str, *, now: datetime
) -> None:
    """Both sides are told."""
    told = [
        NewEvent(
            account_id=whose,
            livemode=row.livemode,
            type=name,
            object_id=row.id,
            object=rules.public(row),
        )
        for row in rows
        for whose in (row.account_id, row.connected)
    ]
    events.append(connection, told, now=now)


_due_back = claimable(
    store.application_fees,
    ApplicationFee,
    store.application_fees.c.status == ApplicationFeeStatus.pending.value,
    limit=BATCH_MAX,
)


def return_stage(parts: Parts) -> Stage:
    """The stage that gives fees back, each as soon as the balance that it leaves covers it."""
    table = store.application_fees

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due_back, token=token, now=parts.clock())
        if not rows:
            return 0
        with given_back_on_error(parts.database, table, [row.id for row in rows], token=token):
            failpoint("application_fee.return.before")
            outcomes = parts.books.post([_return_set(row) for row in rows])
            failpoint("application_fee.return.after")
        now = parts.clock()
        with parts.database.begin() as connection:
            for row, outcome in zip(rows, outcomes, strict=True):
                if not outcome.booked:
                    _put_off(connection, row, token=token, now=now)
                    continue
                done = replace(row, status=ApplicationFeeStatus.posted.value)
                change = {"id": row.id, "status": done.status}
                if settle(connection, table, [change], token=token):
                    _tell(connection, [done], news.APPLICATION_FEE_REFUNDED, now=now)
        return len(rows)

    return Stage("application_fee.return", run, due=(_due_back,))


def _return_set(row: ApplicationFee) -> PostingSet:
    unit = chart.currency_unit(row.currency, livemode=row.livemode)
    platform = chart.merchant(row.account_id, "available", unit)
    merchant = chart.merchant(row.connected, "available", unit)
    gives, has = (platform, merchant) if row.amount < 0 else (merchant, platform)
    posting = Posting(gives, has, abs(row.amount), TransferCode.application_fee_refunded)
    return PostingSet(row.id, "return", row.attempt, [posting])


def _put_off(connection: Connection, row: ApplicationFee, *, token: str, now: datetime) -> None:
    """The balance does not cover it yet. Refused in the journal: the next attempt has new ids."""
    log.warning("application_fee.waits", application_fee=row.id)
    change = {
        "id": row.id,
        "attempt": row.attempt + 1,
        "failures": row.failures + 1,
        "retry_at": now + retry_delay(row.failures),
    }
    settle(connection, store.application_fees, [change], token=token)
