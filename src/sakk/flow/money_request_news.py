"""What becomes of a request for money when a transfer that names it arrives, and who is told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import closed_loop_event as event
from sakk.core import money_request as rules
from sakk.core.event import NewEvent
from sakk.core.money_request import MoneyRequest, MoneyRequestStatus
from sakk.core.transfer import BookTransfer
from sakk.store import alias as aliases
from sakk.store import event as events
from sakk.store import money_request as store


def note_payment(connection: Connection, transfer: BookTransfer, *, now: datetime) -> None:
    """Write down a payment, in the transaction that ends the transfer, once."""
    assert transfer.reason is not None
    request = store.lock(connection, transfer.reason)
    assert request is not None, f"{transfer.id} pays a request that is gone"
    paid, status = rules.after_payment(request, transfer.amount)
    # Who was asked by an e-mail address is known when they pay, and not when they try.
    values = {"payer": transfer.account_id, "amount_paid": paid, "status": status.value}
    after = replace(request, payer=transfer.account_id, amount_paid=paid, status=status.value)
    store.change(connection, request.id, values)
    is_whole = status is MoneyRequestStatus.paid
    name = event.MONEY_REQUEST_PAID if is_whole else event.MONEY_REQUEST_PARTIALLY_PAID
    tell(connection, [after], name, now=now)


def tell(
    connection: Connection, requests: Sequence[MoneyRequest], name: str, *, now: datetime
) -> None:
    """Tell who asked, and who is asked where an account is known to be."""
    told = []
    for request in requests:
        payer = request.payer
        if payer is None and request.recipient is not None:
            payer = aliases.account_of(
                connection, livemode=request.livemode, kind="email", value=request.recipient
            )
        told.append(_event(request, request.account_id, name, for_payer=False))
        if payer is not None and payer != request.account_id:
            told.append(_event(request, payer, name, for_payer=True))
    events.append(connection, told, now=now)


def _event(request: MoneyRequest, account_id: str, name: str, *, for_payer: bool) -> NewEvent:
    return NewEvent(
        account_id=account_id,
        livemode=request.livemode,
        type=name,
        object_id=request.id,
        object=rules.public(request, for_payer=for_payer),
    )
