"""What goes back of application fees: with refunds, and where the chain undoes a pay-in.

Rows whose money `sakk.flow.application_fee.return_stage` moves, decided under one lock a payment,
each counting those before it.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, func, select

from sakk.core import application_fee as rules
from sakk.core.application_fee import (
    ApplicationFee,
    ApplicationFeeReason,
    ApplicationFeeStatus,
)
from sakk.core.fee import FeeKind, OnRefund, due_back, returned
from sakk.core.payin import PayIn, credited_amount
from sakk.core.payout import MoneySource, Payout
from sakk.store import application_fee as store
from sakk.store import network
from sakk.store import payin as payins
from sakk.store import refund as refunds
from sakk.store.identity import new_id


def given_back(
    connection: Connection, carrier: Payout, *, paid: bool, now: datetime
) -> list[ApplicationFee]:
    """What of a payment's application fee goes back with a refund, or does not any more."""
    refund = refunds.find_by_payout(connection, carrier.id)
    if refund is None or refund.payment_intent is None or refund.refund_application_fee is False:
        return []
    if refund.source == MoneySource.suspense:
        # No fee was taken of what was paid over.
        return []
    in_coin = [
        each
        for each in payins.list_credited(
            connection, payment_intent=refund.payment_intent, payin=refund.payin
        )
        if each.currency == refund.coin
    ]
    charged = [each for each in in_coin if _goes_back(each, refund.refund_application_fee)]
    if not any(each.application_fee for each in charged):
        return []
    _lock(connection, refund.payment_intent)
    before = store.list_returned(
        connection, payment_intent=refund.payment_intent, currency=refund.coin
    )
    given = rules.given(before)
    if paid:
        amount = -returned(
            charged=sum(each.application_fee for each in charged),
            received=_received(connection, in_coin),
            given=sum(given.values()),
            giving=refund.coin_amount,
            returned_before=-sum(each.amount for each in before),
        )
    elif given.get(refund.id):
        amount = -sum(each.amount for each in before if each.source == refund.id)
    else:
        return []
    reason = ApplicationFeeReason.returned if paid else ApplicationFeeReason.reversed
    made = fee_row(
        charged[0], FeeKind.refund, refund.id, reason, amount, refund.payment_intent, now=now
    )
    return [_of_refund(made, basis=refund.coin_amount)]


def _of_refund(row: ApplicationFee, *, basis: int) -> ApplicationFee:
    """A row of a refund, which moves by itself; one of 0 has nothing to wait for."""
    status = ApplicationFeeStatus.pending if row.amount else ApplicationFeeStatus.posted
    return replace(row, status=status.value, basis=basis, parts=[])


def _lock(connection: Connection, payment_intent: str) -> None:
    """What goes back of one payment's fees is decided one after another, each counting those
    before it."""
    key = func.hashtextextended(f"application_fees:{payment_intent}", 0)
    connection.execute(select(func.pg_advisory_xact_lock(key)))


def _received(connection: Connection, rows: Sequence[PayIn]) -> int:
    """What was credited of pay-ins, in their coin's unit."""
    decimals = {each.asset: each.decimals for each in network.list_assets(connection)}
    return sum(
        credited_amount(
            row.credit_units or 0,
            asset_decimals=decimals[row.asset],
            currency_decimals=row.decimals or 0,
        )[0]
        for row in rows
    )


def taken_back(
    connection: Connection, rows: Sequence[PayIn], *, now: datetime
) -> list[ApplicationFee]:
    """After pay-ins were undone: what refunds had given back of their fees, which went back with
    them too, is the platform's again. It leaves the merchant's balance as soon as that covers it.
    """
    made: list[ApplicationFee] = []
    for payment_intent, currency in _touched(rows):
        before, due = _weighed(connection, payment_intent, currency)
        made += [
            _moved_again(before, ApplicationFeeReason.reversed, refund, units, now=now)
            for refund, units in rules.undone(before, due=due)
        ]
    return made


def given_again(
    connection: Connection, rows: Sequence[PayIn], *, now: datetime
) -> list[ApplicationFee]:
    """After pay-ins were made again that the chain had undone: what refunds before them have due of
    their fees."""
    touched = store.any_undone(connection, [intent for intent, _ in _touched(rows)])
    made: list[ApplicationFee] = []
    for payment_intent, currency in _touched(rows):
        if payment_intent not in touched:
            continue
        before, due = _weighed(connection, payment_intent, currency)
        units = due + sum(each.amount for each in before)
        if units > 0:
            refund, reason = before[-1].source, ApplicationFeeReason.returned
            made.append(_moved_again(before, reason, refund, -units, now=now))
    return made


def _touched(rows: Sequence[PayIn]) -> list[tuple[str, str]]:
    """The payments, and coins, of pay-ins of which a platform took something."""
    return sorted(
        {
            (row.payment_intent, row.currency)
            for row in rows
            if row.application_fee and row.payment_intent is not None and row.currency is not None
        }
    )


def _weighed(
    connection: Connection, payment_intent: str, currency: str
) -> tuple[list[ApplicationFee], int]:
    """What went back of a payment's fees, and what has to be back of what stands."""
    _lock(connection, payment_intent)
    before = store.list_returned(connection, payment_intent=payment_intent, currency=currency)
    if not before:
        return [], 0
    asked = refunds.any_with_application_fee(connection, [each.source for each in before])
    standing = [
        each
        for each in payins.list_credited(connection, payment_intent=payment_intent, payin=None)
        if each.currency == currency
    ]
    return before, due_back(
        charged=sum(each.application_fee for each in standing if _goes_back(each, asked)),
        received=_received(connection, standing),
        given=sum(rules.given(before).values()),
    )


def _moved_again(
    before: Sequence[ApplicationFee],
    reason: ApplicationFeeReason,
    refund: str,
    units: int,
    *,
    now: datetime,
) -> ApplicationFee:
    made = replace(
        before[-1],
        id=new_id(rules.PREFIX),
        reason=reason.value,
        source=refund,
        amount=units,
        attempt=0,
        retry_at=None,
        failures=0,
        lease_token=None,
        lease_until=None,
        created=now,
    )
    return _of_refund(made, basis=0)


def _goes_back(row: PayIn, asked: bool | None) -> bool:
    """Does a refund give a share of a pay-in's fee back? ``asked``: does it say so itself?"""
    terms = row.application_terms
    return terms is not None and (bool(asked) or terms["on_refund"] == OnRefund.returned)


def fee_row(
    row: PayIn | Payout,
    kind: FeeKind,
    source: str,
    reason: ApplicationFeeReason,
    amount: int,
    payment_intent: str | None,
    *,
    now: datetime,
) -> ApplicationFee:
    terms = row.application_terms
    assert terms is not None
    assert row.account_id is not None
    assert row.currency is not None
    assert row.decimals is not None
    return ApplicationFee(
        id=new_id(rules.PREFIX),
        account_id=terms["platform"],
        connected=row.account_id,
        livemode=row.livemode,
        connected_account=terms["connected_account"],
        kind=kind.value,
        reason=reason.value,
        status=ApplicationFeeStatus.posted.value,
        source=source,
        payment_intent=payment_intent,
        currency=row.currency,
        decimals=row.decimals,
        basis=terms["basis"],
        amount=amount,
        version=terms["version"],
        rule=terms["rule"],
        parts=terms["parts"],
        created=now,
    )
