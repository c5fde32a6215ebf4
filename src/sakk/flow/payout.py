"""Payouts: request, hold, screen, approve, cancel, and what becomes of the hold.

The row is committed first, then the ledger reserves the money under an id that is a hash of the
row, so a request that is repeated after a crash reserves once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import event, money
from sakk.core import payout as rules
from sakk.core.errors import (
    BalanceInsufficient,
    InvalidRequest,
    ParameterInvalid,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.network import Asset, Currency
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.flow import beneficiary
from sakk.flow.beneficiary import Wanted
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.stage import wake
from sakk.ledger.types import TransferFlags
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import payout as store
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint

BATCH_MAX = 200
FEE_MODES = ("sender", "receiver")


@dataclass(frozen=True, slots=True)
class Initiator:
    """Who asks: an API key, and the person whose key it is."""

    key: str | None = None
    person: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutRequest:
    """What a merchant asks to be sent; ``amount`` in the currency's smallest unit."""

    amount: int
    currency: str
    destination: Wanted
    fee_mode: str = "sender"
    description: str | None = None
    metadata: dict[str, str] | None = None
    initiator: Initiator = Initiator()


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
            fresh = _new_payout(
                connection,
                request,
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
        if payout is None:
            raise ResourceMissing(f"No such payout: {identifier!r}.", param="id")
        leased = payout.lease_until is not None and payout.lease_until > now
        if not rules.is_cancelable(payout) or leased:
            raise UnexpectedState(
                f"This payout is {payout.status} and can not be canceled any more: its transaction "
                "is being prepared or is on its way."
            )
        canceled = replace(payout, status=PayoutStatus.canceled.value, canceled_at=now)
        _write_status(connection, [canceled])
        events.append(
            connection, [payout_event(canceled, event.PAYOUT_CANCELED, request_id)], now=now
        )
        wake(connection, "payout.release")
    return canceled


def review(
    parts: Parts, identifier: str, *, livemode: bool, approve: bool, reason: str | None
) -> Payout:
    """The word of compliance on a payout under review; one that is let go is the policy's next."""
    now = parts.clock()
    with parts.database.begin() as connection:
        payout = store.find(connection, identifier, account_id=None, livemode=livemode, lock=True)
        if payout is None:
            raise ResourceMissing(f"No such payout: {identifier!r}.", param="id")
        if not payout.under_review or payout.status != PayoutStatus.requested:
            raise UnexpectedState("This payout is not under review: nothing is to be decided.")
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
        wake(connection, "payout.decide", "payout.release")
    return decided


def hold_set(payout: Payout) -> PostingSet:
    """The pending transfer that reserves a payout's money; its id never changes."""
    return PostingSet(
        payout.id, "hold", 0, [rules.hold_posting(payout)], flags=TransferFlags.pending
    )


def payout_event(payout: Payout, name: str, request_id: str | None = None) -> NewEvent:
    """An event about a payout, as its audience may see it."""
    operator = event.event_type(name).audience == "operator"
    return NewEvent(
        account_id=payout.account_id,
        livemode=payout.livemode,
        type=name,
        object_id=payout.id,
        object=rules.public(payout, operator=operator),
        request_id=request_id,
    )


def check_destination(
    destination: str, *, assets: Sequence[Asset], treasury: Sequence[str]
) -> None:
    """Raise ParameterInvalid for an address, in lower case, where money would be lost or ours."""
    param = "destination[address]"
    if any(destination == asset.contract for asset in assets):
        raise ParameterInvalid(
            "This is a token's own contract: money sent there is lost. "
            "Give the beneficiary's address.",
            param=param,
        )
    if destination in treasury:
        raise ParameterInvalid(
            "This is this Sakk's own treasury. To pay another account here, use /v1/transfers.",
            param=param,
        )


def _new_payout(
    connection: Connection,
    request: PayoutRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Payout:
    [place] = beneficiary.resolve(
        connection, [request.destination], account_id=account_id, livemode=livemode, now=now
    )
    if isinstance(place, InvalidRequest):
        raise place
    found = network.find_network(connection, place.network)
    if found is None or not found.enabled or found.livemode != livemode:
        raise ParameterInvalid(
            f"{place.network!r} is not an enabled network. GET /v1/networks lists them.",
            param="destination[address]",
        )
    assets = network.list_assets(connection, network=place.network)
    treasury = [each.address for each in address.list_treasury(connection)]
    check_destination(place.address, assets=assets, treasury=treasury)
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    asset, currency = _payable(request, place.network, assets, currencies)
    payout = Payout(
        id=identifier,
        account_id=account_id,
        livemode=livemode,
        amount=request.amount,
        fee=0,
        currency=currency.currency,
        decimals=currency.decimals,
        network=found.network,
        asset=asset.asset,
        token_amount=0,
        destination=place.address,
        beneficiary=place.beneficiary,
        fee_mode=request.fee_mode,
        status=PayoutStatus.requested.value,
        hold=HoldStatus.none.value,
        initiator=request.initiator.key,
        initiator_person=request.initiator.person,
        description=request.description,
        metadata=request.metadata or {},
        created=now,
    )
    return replace(payout, token_amount=_token_amount(payout, asset))


def _payable(
    request: PayoutRequest, network_name: str, assets: list[Asset], currencies: dict[str, Currency]
) -> tuple[Asset, Currency]:
    for asset in assets:
        if asset.currency == request.currency and asset.payout_enabled and asset.contract:
            return asset, currencies[asset.currency]
    offered = sorted(
        {asset.currency for asset in assets if asset.payout_enabled and asset.contract}
    )
    raise ParameterInvalid(
        f"{request.currency!r} can not be paid out on {network_name}. "
        f"It offers: {', '.join(offered) or 'nothing'}.",
        param="currency",
    )


def _token_amount(payout: Payout, asset: Asset) -> int:
    """Atomic units for exactly the amount; a token too coarse for it is refused."""
    units, remainder = money.rescale(
        rules.delivered(payout), from_decimals=payout.decimals, to_decimals=asset.decimals
    )
    if remainder or units <= 0 or units > money.UNITS_MAX:
        raise ParameterInvalid(
            f"This amount can not be sent exactly in {asset.symbol}, which has {asset.decimals} "
            "decimal places.",
            param="amount",
        )
    return units


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
    outcome = parts.books.post([hold_set(payout)])[0]
    failpoint("payout.hold.after")
    now = parts.clock()
    with parts.database.begin() as connection:
        current = store.lock_one(connection, payout.id)
        assert current is not None
        if current.hold != HoldStatus.none:
            return current
        if outcome.booked:
            held = replace(current, hold=HoldStatus.held.value)
            update_records(connection, store.payouts, [_hold_fields(held)])
            wake(connection, "payout.screen", "payout.release")
            return held
        refused = replace(
            current,
            hold=HoldStatus.refused.value,
            status=PayoutStatus.rejected.value,
            failure_code="balance_insufficient",
            failure_message="The balance did not cover the payout.",
        )
        update_records(connection, store.payouts, [_hold_fields(refused)])
        events.append(connection, [payout_event(refused, event.PAYOUT_REJECTED)], now=now)
        return refused


def _hold_fields(payout: Payout) -> dict[str, Any]:
    fields = ("id", "hold", "status", "failure_code", "failure_message")
    return {**{name: getattr(payout, name) for name in fields}, "lease_until": None}


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
