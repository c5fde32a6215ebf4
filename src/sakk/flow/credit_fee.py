"""Fees of what pays a payment without a chain: gift cards, and balances of accounts here.

Priced as a pay-in of no network, by the schedule of who is paid: a card's part when it is set
going, an account's when it is asked for, and booked in the set that pays. What goes back onto a
card takes its share of the fee along, where the rule says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import fee as rules
from sakk.core.fee import Fee, FeeKind, FeeReason, Movement
from sakk.core.gift_card import GiftCardMovement, MovementKind
from sakk.core.transfer import BookTransfer
from sakk.store import account
from sakk.store import fee as store
from sakk.store import gift_card as cards
from sakk.store import transfer as transfers
from sakk.store.database import update_records
from sakk.store.identity import new_id


def price_cards(connection: Connection, movements: Sequence[str], *, now: datetime) -> None:
    """Write down what each of these redemptions costs who is paid; their payments are locked."""
    changes = []
    found = cards.list_movements_by_ids(connection, movements)
    for row in sorted(found, key=lambda row: (row.account_id, row.currency, row.id)):
        priced = _price(connection, row, row.account_id, now=now)
        if priced is not None:
            changes.append({"id": row.id, "fee": priced[0], "fee_terms": priced[1]})
    update_records(connection, cards.gift_card_movements, changes)


def price_transfer(
    connection: Connection, transfer: BookTransfer, *, now: datetime
) -> BookTransfer:
    """A transfer that was just asked for, with what it costs who is paid."""
    assert transfer.destination is not None
    priced = _price(connection, transfer, transfer.destination, now=now)
    if priced is None or transfer.fee_terms is not None:
        return transfer
    change = {"id": transfer.id, "fee": priced[0], "fee_terms": priced[1]}
    update_records(connection, transfers.transfers, [change])
    return replace(transfer, fee=priced[0], fee_terms=priced[1])


def returned(connection: Connection, taken: GiftCardMovement, *, before: int, giving: int) -> int:
    """What of a redemption's fee goes back with a part of it; its card is locked."""
    terms = taken.fee_terms
    if terms is None or terms["on_refund"] != rules.OnRefund.returned:
        return 0
    return rules.returned(
        charged=taken.fee,
        received=taken.amount,
        given=before,
        giving=giving,
        returned_before=cards.fee_returned(connection, taken.id),
    )


def book_card(connection: Connection, row: GiftCardMovement, *, now: datetime) -> None:
    """Write down the fee of a movement that has ended, or what went back of one."""
    terms, reason, amount = row.fee_terms, FeeReason.charged, row.fee
    if row.kind == MovementKind.refund and row.other is not None and row.status == "posted":
        [taken] = cards.list_movements_by_ids(connection, [row.other])
        terms, reason, amount = taken.fee_terms, FeeReason.returned, -row.fee_returned
        if terms is not None and terms["on_refund"] != rules.OnRefund.returned:
            return
    if terms is not None:
        _book(connection, row, row.account_id, terms, reason, amount, now=now)


def book_transfer(connection: Connection, row: BookTransfer, *, now: datetime) -> None:
    """The same of a transfer."""
    if row.fee_terms is not None and row.destination is not None:
        charged = FeeReason.charged
        _book(connection, row, row.destination, row.fee_terms, charged, row.fee, now=now)


def _price(
    connection: Connection, row: GiftCardMovement | BookTransfer, payee: str, *, now: datetime
) -> tuple[int, dict[str, Any]] | None:
    schedule = account.find_payer(connection, payee).fee_schedule
    if schedule is None:
        return None
    version = rules.in_force(store.list_versions(connection, [schedule]).get(schedule, []), now)
    movement = Movement(FeeKind.payin, row.currency, None, row.amount)
    if version is None or rules.price(version, movement) is None:
        return None
    volume = _count(connection, row, payee, row.amount, now=now)
    found = rules.price(version, replace(movement, volume=volume))
    assert found is not None
    return found.fee, found.document()


def _count(
    connection: Connection,
    row: GiftCardMovement | BookTransfer,
    payee: str,
    units: int,
    *,
    now: datetime,
) -> int:
    return store.add_volume(
        connection,
        account_id=payee,
        livemode=row.livemode,
        kind=FeeKind.payin.value,
        currency=row.currency,
        month=rules.month_of(now),
        units=units,
    )


def _book(
    connection: Connection,
    row: GiftCardMovement | BookTransfer,
    payee: str,
    terms: dict[str, Any],
    reason: FeeReason,
    amount: int,
    *,
    now: datetime,
) -> None:
    if row.status != "posted":
        # It did not come about, and makes no later one cheaper.
        _count(connection, row, payee, -row.amount, now=row.created)
        return
    made = Fee(
        id=new_id(rules.PREFIX),
        account_id=payee,
        livemode=row.livemode,
        kind=FeeKind.payin.value,
        reason=reason.value,
        source=row.id,
        currency=row.currency,
        decimals=row.decimals,
        basis=terms["basis"],
        amount=amount,
        schedule=terms["schedule"],
        version=terms["version"],
        rule=terms["rule"],
        parts=terms["parts"] if reason is FeeReason.charged else [],
        created=now,
    )
    if amount or reason is FeeReason.returned:
        store.insert_fees(connection, [made])
