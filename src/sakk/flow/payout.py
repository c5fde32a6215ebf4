"""Payouts: request, hold, screen, approve, cancel, and what becomes of the hold.

The row is committed first, then the ledger reserves the money under an id that is a hash of the
row, so a request that is repeated after a crash reserves once.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event, money
from sakk.core import payout as rules
from sakk.core.errors import BalanceInsufficient, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.network import Asset
from sakk.core.payout import (
    HoldStatus,
    Payout,
    PayoutPurpose,
    PayoutRequest,
    PayoutStatus,
    Terms,
)
from sakk.core.screening import Direction, ScreeningRequest
from sakk.flow import beneficiary, quote
from sakk.flow.book import Outcome, PostingSet
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.ledger.types import TransferFlags
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import payout as store
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint


def create(
    parts: Parts,
    request: PayoutRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    request_id: str | None = None,
) -> Payout:
    """Commit the request, reserve its money, and give the row; repeat under the same identifier.

    Raises ParameterInvalid, BalanceInsufficient (nothing is reserved then), or Unavailable when
    the ledger could not be asked: the row stays, and the same call goes on from there.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        payout = store.find(connection, identifier, account_id=account_id, livemode=livemode)
        if payout is None:
            [place] = beneficiary.resolve(
                connection, [request.destination], account_id=account_id, livemode=livemode, now=now
            )
            terms = read_terms(connection, account_id=account_id, livemode=livemode, now=now)
            if request.quote is not None:
                terms = quote.promised(
                    connection,
                    terms,
                    request,
                    place,
                    account_id=account_id,
                    livemode=livemode,
                    now=now,
                )
            fresh = rules.draft(
                request,
                place,
                terms,
                identifier=identifier,
                account_id=account_id,
                livemode=livemode,
                now=now,
            )
    if payout is None:
        _require_balance(parts, fresh)
        payout = _insert(parts, fresh, request_id, now=now)
    if payout.hold == HoldStatus.none and payout.status == PayoutStatus.requested:
        failpoint("payout.hold.before")
        payout = hold(parts, payout)
    if payout.hold == HoldStatus.refused:
        raise _insufficient(payout)
    return payout


def cancel(
    parts: Parts,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    request_id: str | None = None,
) -> Payout:
    """Call a payout off before a transaction carries it; its hold is released at once after."""
    now = parts.clock()
    with parts.database.begin() as connection:
        payout = store.find(
            connection, identifier, account_id=account_id, livemode=livemode, lock=True
        )
        if payout is None or payout.purpose != PayoutPurpose.payout:
            raise ResourceMissing(f"No such payout: {identifier!r}.", param="id")
        return call_off(connection, payout, now=now, request_id=request_id)


def call_off(
    connection: Connection, payout: Payout, *, now: datetime, request_id: str | None = None
) -> Payout:
    """A locked payout is canceled; UnexpectedState where a transaction carries it already."""
    require_unsent(payout, now=now)
    canceled = replace(payout, status=PayoutStatus.canceled.value, canceled_at=now)
    _write_status(connection, [canceled])
    events.append(connection, [payout_event(canceled, event.PAYOUT_CANCELED, request_id)], now=now)
    wake(connection, "payout.release")
    return canceled


def require_unsent(payout: Payout, *, now: datetime) -> None:
    """UnexpectedState unless a payout is held, unsent and in no stage's hands."""
    leased = payout.lease_until is not None and payout.lease_until > now
    if not rules.is_cancelable(payout) or leased:
        raise UnexpectedState(
            f"This payout is {payout.status} and can not be canceled any more: its transaction "
            "is being prepared or is on its way."
        )


def reviewed(
    connection: Connection, payout: Payout, *, approve: bool, reason: str | None, now: datetime
) -> Payout:
    """The word of compliance on a payout under review; one that is let go is the policy's next.

    The caller has locked the row, and has checked who speaks.
    """
    if approve:
        decided = replace(payout, status=PayoutStatus.screened.value, under_review=False)
        name = event.PAYOUT_SCREENED
    else:
        decided = replace(
            payout,
            status=PayoutStatus.rejected.value,
            under_review=False,
            failure_code="rejected",
            failure_message=reason or "The payout was not approved.",
        )
        name = event.PAYOUT_REJECTED
    _write_status(connection, [decided])
    events.append(connection, [payout_event(decided, name, None)], now=now)
    wake(connection, "payout.decide", "payout.release", "refund.follow")
    return decided


def hold_set(payout: Payout) -> PostingSet:
    """The pending transfer that reserves a payout's money; its id never changes."""
    return PostingSet(
        payout.id, "hold", 0, [rules.hold_posting(payout)], flags=TransferFlags.pending
    )


def payout_event(payout: Payout, name: str, request_id: str | None = None) -> NewEvent:
    """An event about a payout, as its audience may see it.

    Of one that carries a refund out the operator alone is told; its merchant is told of the refund.
    """
    if payout.purpose == PayoutPurpose.refund:
        name = event.PAYOUT_MOVED
    operator = event.event_type(name).audience == "operator"
    return NewEvent(
        account_id=payout.account_id,
        livemode=payout.livemode,
        type=name,
        object_id=payout.id,
        object=rules.public(payout, operator=operator),
        request_id=request_id,
    )


def read_terms(connection: Connection, *, account_id: str, livemode: bool, now: datetime) -> Terms:
    """What an account's payouts may be made of now, and what they cost it."""
    assets = network.list_assets(connection)
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    found = network.list_networks(connection, livemode=livemode)
    payable: dict[tuple[str, str], Asset] = {}
    for asset in assets:
        if asset.payout_enabled and asset.contract:
            payable.setdefault((asset.network, asset.currency), asset)
    return Terms(
        networks={each.network: each for each in found if each.enabled},
        assets=payable,
        currencies=currencies,
        contracts={
            place.network: frozenset(
                each.contract for each in assets if each.contract and each.network == place.network
            )
            for place in found
        },
        treasury=address.operators(connection),
        fees=quote.fees_now(connection, account_id, assets, currencies, now=now),
    )


def _insert(parts: Parts, fresh: Payout, request_id: str | None, *, now: datetime) -> Payout:
    """Commit the request; of two at once under one identifier the first is the one."""
    with parts.database.begin() as connection:
        if store.insert(connection, fresh):
            created = payout_event(fresh, event.PAYOUT_CREATED, request_id)
            events.append(connection, [created], now=now)
            return fresh
        held = store.find(
            connection, fresh.id, account_id=fresh.account_id, livemode=fresh.livemode
        )
    assert held is not None
    return held


def _require_balance(parts: Parts, payout: Payout) -> None:
    posting = rules.hold_posting(payout)
    [available] = parts.books.balances([posting.debit])
    if available < posting.amount:
        raise _insufficient(payout, available)


def _insufficient(payout: Payout, available: int | None = None) -> BalanceInsufficient:
    needed = money.format_decimal(rules.debited(payout), payout.decimals)
    has = (
        ""
        if available is None
        else f" and {money.format_decimal(max(0, available), payout.decimals)} is available"
    )
    return BalanceInsufficient(
        f"This payout needs {needed} {payout.currency}{has}. "
        "Wait for pending payments or send less.",
        param="amount",
    )


def hold(parts: Parts, payout: Payout) -> Payout:
    """Reserve the money and record what the ledger said; repeated, it changes nothing more."""
    [outcome] = parts.books.post([hold_set(payout)])
    failpoint("payout.hold.after")
    with parts.database.begin() as connection:
        record_holds(connection, [(payout, outcome)], now=parts.clock())
        current = store.find(
            connection, payout.id, account_id=payout.account_id, livemode=payout.livemode
        )
    assert current is not None
    return current


def record_holds(
    connection: Connection, answered: Sequence[tuple[Payout, Outcome]], *, now: datetime
) -> None:
    """Write what the ledger said of holds, where it does not stand yet.

    Two statements for any number of them; whoever repeats a hold is told the same, so the first
    to write is right.
    """
    held = [payout.id for payout, outcome in answered if outcome.booked]
    refused = [
        replace(
            payout,
            hold=HoldStatus.refused.value,
            status=PayoutStatus.rejected.value,
            failure_code=BalanceInsufficient.code,
            failure_message="The balance did not cover the payout.",
        )
        for payout, outcome in answered
        if not outcome.booked
    ]
    store.mark_held(connection, held)
    written = store.mark_refused(connection, refused)
    events.append(
        connection,
        [payout_event(each, event.PAYOUT_REJECTED) for each in refused if each.id in written],
        now=now,
    )
    wake(connection, "payout.screen", "payout.release")


def _write_status(connection: Connection, payouts: Sequence[Payout]) -> None:
    fields = ("id", "status", "under_review", "failure_code", "failure_message", "canceled_at")
    update_records(
        connection,
        store.payouts,
        # Whoever still holds a lease on it from before finds that its token counts no more.
        [
            {**{name: getattr(payout, name) for name in fields}, "lease_token": None}
            for payout in payouts
        ],
    )


def screening_request(row: Payout, sender: str) -> ScreeningRequest:
    """What is judged of a payout; ``sender`` is a treasury address."""
    return ScreeningRequest(
        subject=row.id,
        account_id=row.account_id,
        livemode=row.livemode,
        network=row.network,
        asset=row.asset,
        direction=Direction.outgoing,
        sender=sender,
        receiver=row.destination,
        token_units=row.token_amount,
    )
