"""Split bills: each share is a request for money; what is left of one is openly reassigned."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import bill as rules
from sakk.core import closed_loop_event as event
from sakk.core.alias import check_note
from sakk.core.bill import Bill, Share
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.money_request import MoneyRequestStatus, left
from sakk.flow.money_request import Asked, create, decimals_of, own
from sakk.store import event as events
from sakk.store import money_request as store

# The id of the n-th share that a request makes.
ShareId = Callable[[int], str]


def split(
    connection: Connection,
    bill: Bill,
    shares: Sequence[Share],
    *,
    own_amount: int | None,
    own_weight: int,
    expires_at: datetime | None,
    share_id: ShareId,
) -> dict[str, Any]:
    """Split a bill; ``own_share`` of it is decided here. The API's object ``bill``."""
    own_share, owed = rules.shares_of(
        bill.amount, shares, own_amount=own_amount, own_weight=own_weight
    )
    bill = Bill(
        id=bill.id,
        account_id=bill.account_id,
        livemode=bill.livemode,
        amount=bill.amount,
        own_share=own_share,
        currency=bill.currency,
        decimals=decimals_of(connection, bill.currency),
        note=None if bill.note is None else check_note(bill.note),
        metadata=bill.metadata,
        created=bill.created,
    )
    store.insert_bill(connection, bill)
    for place, (share, amount) in enumerate(zip(shares, owed, strict=True)):
        create(
            connection,
            Asked(share.payer, amount, bill.currency, bill.note, expires_at),
            identifier=share_id(place),
            account_id=bill.account_id,
            livemode=bill.livemode,
            now=bill.created,
            bill=bill.id,
            place=place,
            param=f"shares[{place}][payer]",
        )
    return _told(connection, bill, event.BILL_CREATED, now=bill.created)


def reassign(
    connection: Connection,
    identifier: str,
    share: str,
    payer: str | None,
    *,
    share_id: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> dict[str, Any]:
    """Give what is left of a share to somebody else, or take it on (``payer`` None).

    Nothing of it happens by itself: who declines or forgets leaves the share open.
    """
    bill = store.find_bill(
        connection, identifier, account_id=account_id, livemode=livemode, lock=True
    )
    if bill is None:
        raise ResourceMissing("No such bill: {identifier}", param="id", identifier=repr(identifier))
    request = own(connection, share, account_id=account_id, livemode=livemode)
    if request.bill != bill.id:
        raise ParameterInvalid("This is no share of the bill.", param="money_request")
    # What is on its way counts as paid, so that nobody pays a part twice.
    units = left(request, store.promised(connection, request.id))
    if not units:
        raise UnexpectedState("Nothing is left of this share: it is paid, or somebody else's.")
    values: dict[str, Any] = {"released": request.released + units}
    if request.status == MoneyRequestStatus.open:
        values["status"] = MoneyRequestStatus.canceled.value
    store.change(connection, request.id, values)
    if payer is None:
        store.take_on(connection, bill, units)
    else:
        place = len(store.shares_of(connection, [bill.id])[bill.id])
        if place >= rules.SHARES_EVER_MAX:
            raise UnexpectedState("The shares of this bill went round too often: take this one on.")
        create(
            connection,
            Asked(payer, units, bill.currency, bill.note),
            identifier=share_id,
            account_id=account_id,
            livemode=livemode,
            now=now,
            bill=bill.id,
            place=place,
        )
    after = store.find_bill(connection, identifier, account_id=account_id, livemode=livemode)
    assert after is not None
    return _told(connection, after, event.BILL_REASSIGNED, now=now)


def shown(connection: Connection, bills: Sequence[Bill]) -> list[dict[str, Any]]:
    """The API's objects ``bill``."""
    shares = store.shares_of(connection, [each.id for each in bills])
    return [rules.public(each, shares[each.id]) for each in bills]


def _told(connection: Connection, bill: Bill, name: str, *, now: datetime) -> dict[str, Any]:
    [document] = shown(connection, [bill])
    told = NewEvent(
        account_id=bill.account_id,
        livemode=bill.livemode,
        type=name,
        object_id=bill.id,
        object=document,
    )
    events.append(connection, [told], now=now)
    return document
