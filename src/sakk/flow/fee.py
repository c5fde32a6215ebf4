"""Fees: which schedule prices a movement, and what is written down of each fee that was booked.

A price is decided with what it is charged on, in the transaction that decides that: a pay-in's when
it is screened, a payout's or refund's when it is asked for. It is booked in the linked set of what
it is charged on, and a row of `fees` is written with the outcome. An account without a schedule
costs no query more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import fee as rules
from sakk.core.conversion import Conversion
from sakk.core.errors import (
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.fee import (
    Fee,
    FeeKind,
    FeeReason,
    FeeRule,
    FeeSchedule,
    FeeVersion,
    Movement,
    Price,
    Pricing,
)
from sakk.core.payin import OPERATORS, PayIn, credited_amount
from sakk.core.payout import MoneySource, Payout, PayoutPurpose, PayoutStatus
from sakk.core.refund import Refund
from sakk.flow import fee_return
from sakk.flow.mode import check_schedule
from sakk.store import account, network
from sakk.store import fee as store
from sakk.store import refund as refunds
from sakk.store.identity import new_id


def create_schedule(
    connection: Connection,
    *,
    identifier: str,
    name: str,
    written: Sequence[FeeRule],
    effective_at: datetime | None,
    metadata: dict[str, str],
    by: str | None,
    now: datetime,
) -> FeeSchedule:
    """A schedule with its first version; ParameterInvalid for rules that could not price."""
    schedule = FeeSchedule(identifier, name, metadata, now)
    store.insert_schedule(connection, schedule)
    _add(connection, identifier, written, effective_at, by=by, now=now)
    return schedule


def add_version(
    connection: Connection,
    identifier: str,
    written: Sequence[FeeRule],
    *,
    effective_at: datetime | None,
    livemode: bool,
    by: str | None,
    now: datetime,
) -> FeeSchedule:
    """The next version, in force from ``effective_at`` or now; those before it stay as they are.

    PermissionDenied for a word of test mode where it prices live money.
    """
    schedule = store.find_schedule(connection, identifier, lock=True)
    if schedule is None:
        raise ResourceMissing(
            "No such fee schedule: {schedule}.", param="id", schedule=repr(identifier)
        )
    check_schedule(connection, identifier, livemode=livemode)
    _add(connection, identifier, written, effective_at, by=by, now=now)
    return schedule


def _add(
    connection: Connection,
    schedule: str,
    written: Sequence[FeeRule],
    effective_at: datetime | None,
    *,
    by: str | None,
    now: datetime,
) -> None:
    if effective_at is not None and effective_at < now:
        raise ParameterInvalid(
            "effective_at is past, and what was charged stays charged. Leave it out for now.",
            param="effective_at",
        )
    decimals = {each.currency: each.decimals for each in network.list_currencies(connection)}
    rules.check_rules(written, decimals)
    number = store.next_version(connection, schedule)
    if number > rules.VERSIONS_MAX:
        raise UnexpectedState(
            "A schedule has at most {most} versions. Make another, and assign it.",
            most=rules.VERSIONS_MAX,
        )
    documents = [each.document() for each in written]
    version = FeeVersion(schedule, number, documents, effective_at or now, now, by)
    store.insert_version(connection, version)


def assigned(connection: Connection, schedule: str | None, *, by_operator: bool) -> str | None:
    """A schedule that an account may be given; the operator's to say."""
    if not by_operator:
        raise PermissionDenied(
            "fee_schedule is the operator's to change: ask whoever runs this Sakk.",
            param="fee_schedule",
        )
    if schedule is not None and store.find_schedule(connection, schedule) is None:
        raise ParameterInvalid(
            "There is no fee schedule {schedule}. GET /v1/fee_schedules lists them.",
            param="fee_schedule",
            schedule=repr(schedule),
        )
    return schedule


def simulate(
    connection: Connection,
    movement: Movement,
    *,
    schedule: str | None,
    written: Sequence[FeeRule] | None,
    at: datetime,
) -> Price | None:
    """What a movement would cost by a schedule as it is in force at a time, or by rules that are
    not in force anywhere. ParameterInvalid, ResourceMissing."""
    decimals = {each.currency: each.decimals for each in network.list_currencies(connection)}
    if movement.currency not in decimals:
        raise ParameterInvalid(
            "There is no currency {currency}. GET /v1/currencies lists them.",
            param="currency",
            currency=repr(movement.currency),
        )
    if (schedule is None) == (written is None):
        raise ParameterInvalid("Give fee_schedule or rules, one of them.", param="fee_schedule")
    if written is not None:
        rules.check_rules(written, decimals)
        documents = [each.document() for each in written]
        return rules.price(FeeVersion("", 0, documents, at, at, None), movement)
    assert schedule is not None
    if store.find_schedule(connection, schedule) is None:
        raise ResourceMissing(
            "No such fee schedule: {schedule}.", param="fee_schedule", schedule=repr(schedule)
        )
    version = rules.in_force(store.list_versions(connection, [schedule]).get(schedule, []), at)
    return None if version is None else rules.price(version, movement)


def decimals_of(connection: Connection, currency: str) -> int:
    """How many decimals a currency has; ParameterInvalid for one that there is not."""
    known = {each.currency: each.decimals for each in network.list_currencies(connection)}
    if currency not in known:
        raise ParameterInvalid(
            "There is no currency {currency}. GET /v1/currencies lists them.",
            param="currency",
            currency=repr(currency),
        )
    return known[currency]


def pricing(
    connection: Connection,
    schedule: str | None,
    *,
    account_id: str,
    livemode: bool,
    kind: FeeKind,
    currencies: Iterable[str],
    now: datetime,
) -> Pricing | None:
    """How an account's movements of a kind are priced now; no query where it has no schedule."""
    if schedule is None:
        return None
    version = rules.in_force(store.list_versions(connection, [schedule]).get(schedule, []), now)
    if version is None:
        return None
    volumes = {}
    if rules.has_tiers(version):
        volumes = {
            currency: store.read_volume(
                connection,
                account_id=account_id,
                livemode=livemode,
                kind=kind.value,
                currency=currency,
                month=rules.month_of(now),
            )
            for currency in currencies
        }
    return Pricing(kind, version, volumes)


def price_payins(
    connection: Connection,
    rows: Sequence[PayIn],
    schedules: Mapping[str, str],
    *,
    now: datetime,
) -> list[PayIn]:
    """Pay-ins as they were allocated, each with its fee; ``schedules`` by account.

    The month's volume is counted as each is priced, under the lock of its row; always in one order,
    so that no two batches wait for each other.
    """
    if not schedules:
        return list(rows)
    versions = store.list_versions(connection, set(schedules.values()))
    decimals = {each.asset: each.decimals for each in network.list_assets(connection)}
    priced: dict[str, PayIn] = {}
    for row in sorted(rows, key=lambda row: (row.account_id or "", row.currency or "", row.id)):
        schedule = schedules.get(row.account_id or "")
        version = rules.in_force(versions.get(schedule or "", []), now)
        if version is not None and row.role not in OPERATORS:
            priced[row.id] = _priced(connection, row, version, decimals[row.asset], now=now)
    return fee_return.give_at_once(connection, [priced.get(row.id, row) for row in rows])


def _priced(
    connection: Connection, row: PayIn, version: FeeVersion, asset_decimals: int, *, now: datetime
) -> PayIn:
    assert row.account_id is not None
    assert row.currency is not None
    assert row.decimals is not None
    amount, _ = credited_amount(
        row.credit_units or 0, asset_decimals=asset_decimals, currency_decimals=row.decimals
    )
    if not amount:
        return row
    movement = Movement(FeeKind.payin, row.currency, row.network, amount)
    if rules.price(version, movement) is None:
        return row
    volume = _count(connection, row, FeeKind.payin, row.currency, amount, now=now)
    found = rules.price(version, replace(movement, volume=volume))
    assert found is not None
    return replace(row, fee=found.fee, fee_terms=found.document())


def _count(
    connection: Connection,
    row: PayIn | Payout | Refund | Conversion,
    kind: FeeKind,
    currency: str,
    amount: int,
    *,
    now: datetime,
) -> int:
    assert row.account_id is not None
    return store.add_volume(
        connection,
        account_id=row.account_id,
        livemode=row.livemode,
        kind=kind.value,
        currency=currency,
        month=rules.month_of(now),
        units=amount,
    )


def count_payouts(connection: Connection, made: Sequence[Payout], *, now: datetime) -> None:
    """What was asked for by a schedule's price counts towards the month's volume."""
    sums: dict[tuple[str, str], tuple[Payout, int]] = {}
    for each in made:
        if each.fee_terms is not None:
            key = (each.account_id, each.currency)
            sums[key] = (each, sums.get(key, (each, 0))[1] + each.amount)
    for _, (each, units) in sorted(sums.items(), key=lambda item: item[0]):
        _count(connection, each, FeeKind.payout, each.currency, units, now=now)


def count_refund(connection: Connection, refund: Refund, *, now: datetime) -> None:
    """The same of a refund."""
    if refund.fee_terms is not None:
        _count(connection, refund, FeeKind.refund, refund.coin, refund.coin_amount, now=now)


def count_conversion(connection: Connection, conversion: Conversion, *, now: datetime) -> None:
    """The same of a conversion, in the currency that it takes."""
    if conversion.fee_terms is not None:
        units = conversion.source_amount
        _count(
            connection,
            conversion,
            FeeKind.conversion,
            conversion.source_currency,
            units,
            now=now,
        )


def uncount_conversion(connection: Connection, conversion: Conversion) -> None:
    """One that did not come about counts towards no volume: else asking would make it cheaper."""
    if conversion.fee_terms is not None:
        _count(
            connection,
            conversion,
            FeeKind.conversion,
            conversion.source_currency,
            -conversion.source_amount,
            now=conversion.created,
        )


def price_refund(
    connection: Connection, refund: Refund, *, place: str | None, now: datetime
) -> Refund:
    """A refund with what its account's schedule charges for it, and with how much of the payment's
    own fee goes back. ``place``: on which network it goes, None while the payer has yet to say; a
    rule of one network does not fit it then. What stands in suspense was charged nothing.

    The caller has locked what bounds the refund, so that no two share out the same fee.
    """
    if refund.source == MoneySource.suspense:
        return refund
    found = pricing(
        connection,
        account.find_payer(connection, refund.account_id).fee_schedule,
        account_id=refund.account_id,
        livemode=refund.livemode,
        kind=FeeKind.refund,
        currencies=[refund.coin],
        now=now,
    )
    if found is not None:
        priced = found.price(refund.coin_amount, currency=refund.coin, network=place)
        if priced is not None:
            refund = replace(refund, service_fee=priced.fee, fee_terms=priced.document())
    return replace(refund, fee_returned=fee_return.price(connection, refund))


def book_payins(
    connection: Connection, rows: Sequence[PayIn], *, undone: bool = False, now: datetime
) -> None:
    """Write down the fees of pay-ins that were booked, or undone; what is undone counts towards its
    month's volume no more."""
    reason = FeeReason.reversed if undone else FeeReason.charged
    made = []
    for row in sorted(rows, key=lambda row: (row.account_id or "", row.currency or "", row.id)):
        if undone and row.fee_terms is not None and row.currency is not None:
            counted = -int(row.fee_terms["basis"])
            at = row.screened_at or now
            _count(connection, row, FeeKind.payin, row.currency, counted, now=at)
        if row.fee and row.fee_terms is not None:
            amount = (row.fee_given_back or 0) - row.fee if undone else row.fee
            made.append(_fee(row, FeeKind.payin, row.id, reason, amount, row.fee_terms, now=now))
        if row.fee_returned and row.fee_terms is not None and not undone:
            amount, back = -row.fee_returned, FeeReason.returned
            made.append(_fee(row, FeeKind.payin, row.id, back, amount, row.fee_terms, now=now))
    store.insert_fees(connection, made)


def book_conversion(connection: Connection, row: Conversion, *, now: datetime) -> None:
    """Write down the fee of a conversion that was booked."""
    if row.service_fee and row.fee_terms is not None:
        made = Fee(
            id=new_id(rules.PREFIX),
            account_id=row.account_id,
            livemode=row.livemode,
            kind=FeeKind.conversion.value,
            reason=FeeReason.charged.value,
            source=row.id,
            currency=row.source_currency,
            decimals=row.source_decimals,
            basis=row.fee_terms["basis"],
            amount=row.service_fee,
            schedule=row.fee_terms["schedule"],
            version=row.fee_terms["version"],
            rule=row.fee_terms["rule"],
            parts=row.fee_terms["parts"],
            created=now,
        )
        store.insert_fees(connection, [made])


def book_payouts(
    connection: Connection, rows: Sequence[Payout], *, again: bool, now: datetime
) -> None:
    """Write down the fees of payouts that came to their end.

    ``again``: they had another end before, which a reorganisation took.
    """
    made: list[Fee] = []
    for row in rows:
        paid = row.status == PayoutStatus.posted
        if not paid and not again:
            continue
        is_refund = row.purpose == PayoutPurpose.refund
        kind = FeeKind.refund if is_refund else FeeKind.payout
        if row.service_fee and row.fee_terms is not None:
            reason = FeeReason.charged if paid else FeeReason.reversed
            amount = row.service_fee if paid else -row.service_fee
            made.append(_fee(row, kind, row.id, reason, amount, row.fee_terms, now=now))
        if is_refund:
            amount = -row.fee_returned if paid else row.fee_returned
            reason = FeeReason.returned if paid else FeeReason.reversed
            made += _shared(connection, row, reason, amount, now=now)
    store.insert_fees(connection, made)


def _shared(
    connection: Connection, row: Payout, reason: FeeReason, amount: int, *, now: datetime
) -> list[Fee]:
    """What went back, of each pay-in's fee its part, 0 too: by the rules that had charged them."""
    refund = refunds.find_by_payout(connection, row.id)
    if refund is None or refund.source == MoneySource.suspense:
        return []
    charged = fee_return.charged_of(connection, refund)
    if not charged:
        return []
    sign = 1 if amount > 0 else -1
    shares = rules.allocate(abs(amount), [each.fee for each in charged])
    return [
        _fee(row, FeeKind.payin, refund.id, reason, sign * share, each.fee_terms or {}, now=now)
        for each, share in zip(charged, shares, strict=True)
    ]


def _fee(
    row: PayIn | Payout,
    kind: FeeKind,
    source: str,
    reason: FeeReason,
    amount: int,
    terms: Mapping[str, Any],
    *,
    now: datetime,
) -> Fee:
    assert row.account_id is not None
    assert row.currency is not None
    assert row.decimals is not None
    return Fee(
        id=new_id(rules.PREFIX),
        account_id=row.account_id,
        livemode=row.livemode,
        kind=kind.value,
        reason=reason.value,
        source=source,
        currency=row.currency,
        decimals=row.decimals,
        basis=terms["basis"],
        amount=amount,
        schedule=terms["schedule"],
        version=terms["version"],
        rule=terms["rule"],
        parts=terms["parts"] if reason is not FeeReason.returned else [],
        created=now,
    )
