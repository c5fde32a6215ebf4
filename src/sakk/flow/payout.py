"""Payouts: request, hold, screen, approve, cancel, and what becomes of the hold.

The row is committed first, then the ledger reserves the money under an id that is a hash of the
row, so a request that is repeated after a crash reserves once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core import event, money
from sakk.core import payout as rules
from sakk.core.account import Payer
from sakk.core.errors import BalanceInsufficient, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.fee import FeeKind
from sakk.core.network import Asset
from sakk.core.payout import (
    BANK,
    HoldStatus,
    Payout,
    PayoutPurpose,
    PayoutRequest,
    PayoutStatus,
    Terms,
    delivered,
)
from sakk.core.payout_posting import hold_posting
from sakk.core.refund import Refund
from sakk.core.screening import Direction, ScreeningRequest
from sakk.flow import application_fee, bank_account, beneficiary, fee, quote
from sakk.flow.book import Outcome, PostingSet
from sakk.flow.context import Parts
from sakk.flow.idempotency import Steps
from sakk.flow.regime import in_force
from sakk.flow.stage import wake
from sakk.flow.travel_need import checked, judge
from sakk.ledger.types import CreateTransferStatus, TransferFlags
from sakk.store import account, address, network
from sakk.store import charge_refund as charge_refunds
from sakk.store import event as events
from sakk.store import payout as store
from sakk.store.database import update_records
from sakk.store.failpoint import failpoint
from sakk.store.lease import retry_delay


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be paid out in a mode, whoever asks: ``terms`` without fees, and all assets.

    ``travel_rule``: is a regime in force that may want to know who stands behind a payout?
    """

    terms: Terms
    assets: Sequence[Asset]
    travel_rule: bool = False


def create(
    parts: Parts,
    request: PayoutRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    request_id: str | None = None,
    offer: Offer | None = None,
    repeated: bool = True,
    instead_of: PostingSet | None = None,
) -> Steps[Payout, tuple[Payout, Outcome | None], Payout]:
    """The steps that commit a request and reserve its money; the same identifier is one payout.

    Raises ParameterInvalid, BalanceInsufficient (nothing is written then), or Unavailable when the
    ledger can not be asked. One whose row is there and whose hold is not goes on from there.
    ``offer``: what was read a moment ago. ``repeated``: may the row be there already?
    ``instead_of``: a hold on the same balance, which turns into this one with nobody in between.
    """
    now = parts.clock()
    checked(request.travel_rule, today=now.date())
    found = None
    with parts.database.read() as connection:
        if repeated:
            found = store.find(connection, identifier, account_id=account_id, livemode=livemode)
        if found is None:
            offer = offer or read_offer(connection, livemode=livemode)
            fresh = _draft(
                connection,
                request,
                offer,
                identifier=identifier,
                account_id=account_id,
                livemode=livemode,
                now=now,
            )
    if found is None:
        _require_balance(parts, fresh, instead_of)

    def look(connection: Connection) -> Payout:
        asked = offer is not None and offer.travel_rule and fresh.network != BANK
        return _looked_at(connection, parts, request, fresh, now=now) if asked else fresh

    def intend(connection: Connection) -> Payout:
        return found or _insert(connection, fresh, request_id, look=look, now=now)

    def act(payout: Payout) -> tuple[Payout, Outcome | None]:
        if payout.hold != HoldStatus.none or payout.status != PayoutStatus.requested:
            return payout, None
        failpoint("payout.hold.before")
        outcome = _reserve(parts, payout, instead_of)
        failpoint("payout.hold.after")
        return payout, outcome

    def record(
        connection: Connection, held: tuple[Payout, Outcome | None]
    ) -> Payout | BalanceInsufficient:
        payout, outcome = held
        current = None
        if outcome is not None and outcome.booked:
            wake(connection, _screened_by(payout))
            current = store.hold(connection, identifier)
        elif outcome is not None:
            record_holds(connection, [(payout, outcome)], now=parts.clock())
        if current is None:
            current = store.find(connection, identifier, account_id=account_id, livemode=livemode)
            assert current is not None
        return _insufficient(current) if current.hold == HoldStatus.refused else current

    return Steps(intend, act, record)


def check(
    parts: Parts, request: PayoutRequest, *, account_id: str, livemode: bool, offer: Offer
) -> None:
    """Raise what a request would be refused with now, balance and policy apart; write nothing."""
    with parts.database.read() as connection:
        _draft(
            connection,
            request,
            offer,
            identifier="",
            account_id=account_id,
            livemode=livemode,
            now=parts.clock(),
        )


def _draft(
    connection: Connection,
    request: PayoutRequest,
    offer: Offer,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Payout:
    payer = account.find_payer(connection, account_id)
    if request.destination.bank_account is not None:
        drafted = bank_account.draft_payout(
            connection,
            request,
            payer,
            identifier=identifier,
            account_id=account_id,
            livemode=livemode,
            now=now,
        )
        return application_fee.price_payout(connection, drafted, request.application, now=now)
    terms = read_terms(
        connection, account_id=account_id, livemode=livemode, now=now, offer=offer, payer=payer
    )
    [place] = beneficiary.resolve(
        connection,
        [request.destination],
        account_id=account_id,
        livemode=livemode,
        now=now,
        settings=payer.settings,
    )
    quotes = quote.named(connection, [request], account_id=account_id, livemode=livemode)
    drafted = rules.draft(
        request,
        place,
        rules.promised(terms, request, place, quotes, now=now),
        identifier=identifier,
        account_id=account_id,
        livemode=livemode,
        now=now,
    )
    return application_fee.price_payout(connection, drafted, request.application, now=now)


def cancel(
    parts: Parts,
    identifier: str,
    *,
    account_id: str,
    livemode: bool,
    request_id: str | None = None,
    by_operator: bool = False,
) -> Payout:
    """Call a payout off before a transaction carries it; its hold is released at once after.

    One that gives back a charge is the operator's to call off: its payee would have free what is
    held for the dispute.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        payout = store.find(
            connection, identifier, account_id=account_id, livemode=livemode, lock=True
        )
        if payout is None or payout.purpose != PayoutPurpose.payout:
            raise ResourceMissing(
                "No such payout: {identifier}.", param="id", identifier=repr(identifier)
            )
        if not by_operator and charge_refunds.is_carried_by(connection, payout.id):
            raise UnexpectedState(
                "This payout gives back a charge that was disputed: only the operator calls it off."
            )
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
    """UnexpectedState unless a payout is held, unsent and not being made into a transaction.

    One that is being screened may be called off: whoever screens it finds that its lease is over.
    """
    leased = payout.lease_until is not None and payout.lease_until > now
    is_built = leased and payout.status == PayoutStatus.approved
    if not rules.is_cancelable(payout) or is_built:
        raise UnexpectedState(
            "This payout is {status} and can not be canceled any more: its transaction "
            "is being prepared or is on its way.",
            status=payout.status,
        )


def reviewed(connection: Connection, payout: Payout, *, approve: bool, now: datetime) -> Payout:
    """What a case decided of a payout under review; one that is let go is the policy's next.

    The caller has locked the row, and has checked who speaks. A merchant reads no more of it than
    that it was not approved.
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
            failure_message="The payout was not approved.",
        )
        name = event.PAYOUT_REJECTED
    _write_status(connection, [decided])
    events.append(connection, [payout_event(decided, name, None)], now=now)
    wake(connection, "payout.decide", "payout.release", "refund.follow")
    return decided


def hold_set(payout: Payout) -> PostingSet:
    """The pending transfer that reserves a payout's money; its id never changes."""
    return PostingSet(payout.id, "hold", 0, [hold_posting(payout)], flags=TransferFlags.pending)


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


def read_offer(connection: Connection, *, livemode: bool) -> Offer:
    """The configuration that payouts of a mode are made of."""
    assets = network.list_assets(connection)
    found = network.list_networks(connection, livemode=livemode)
    payable: dict[tuple[str, str], Asset] = {}
    for asset in assets:
        if asset.payout_enabled and asset.contract:
            payable.setdefault((asset.network, asset.currency), asset)
    terms = Terms(
        networks={each.network: each for each in found if each.enabled},
        assets=payable,
        currencies={each.currency: each for each in network.list_currencies(connection)},
        contracts={
            place.network: frozenset(
                each.contract for each in assets if each.contract and each.network == place.network
            )
            for place in found
        },
        treasury=address.operators(connection),
    )
    return Offer(terms, assets, in_force(connection, livemode=livemode) is not None)


def read_terms(
    connection: Connection,
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    offer: Offer | None = None,
    payer: Payer | None = None,
) -> Terms:
    """What an account's payouts may be made of now, and what they cost it."""
    offer = offer or read_offer(connection, livemode=livemode)
    payer = payer or account.find_payer(connection, account_id)
    fees = quote.fees_now(connection, payer, offer.assets, offer.terms.currencies, now=now)
    priced = fee.pricing(
        connection,
        payer.fee_schedule,
        account_id=account_id,
        livemode=livemode,
        kind=FeeKind.payout,
        currencies=offer.terms.currencies,
        now=now,
    )
    return replace(offer.terms, fees=fees, pricing=priced)


def _insert(
    connection: Connection,
    fresh: Payout,
    request_id: str | None,
    *,
    look: Callable[[Connection], Payout],
    now: datetime,
) -> Payout:
    """Write the request; of two at once under one identifier the first is the one.

    ``look`` says what the Travel Rule wants of the first.
    """
    if store.insert(connection, fresh):
        fresh = look(connection)
        fee.count_payouts(connection, [fresh], now=now)
        application_fee.count_payouts(connection, [fresh], now=now)
        created = payout_event(fresh, event.PAYOUT_CREATED, request_id)
        events.append(connection, [created], now=now)
        return fresh
    found = store.find(connection, fresh.id, account_id=fresh.account_id, livemode=fresh.livemode)
    assert found is not None
    return found


def _looked_at(
    connection: Connection, parts: Parts, request: PayoutRequest, fresh: Payout, *, now: datetime
) -> Payout:
    """A payout that was just recorded, with what the Travel Rule wants of it."""
    told = {} if request.travel_rule is None else {fresh.id: request.travel_rule}
    [judged] = judge(connection, parts.vault, [fresh], told, now=now)
    update_records(
        connection, store.payouts, [{"id": judged.id, "travel_rule": judged.travel_rule}]
    )
    return judged


def _reserve(parts: Parts, payout: Payout, instead_of: PostingSet | None) -> Outcome:
    [outcome] = parts.books.post([replace(hold_set(payout), instead_of=instead_of)])
    if not outcome.booked and instead_of is not None:
        # The stage may have made the hold meanwhile, beside the other one.
        [outcome] = parts.books.post([hold_set(payout)])
    return outcome


def _require_balance(parts: Parts, payout: Payout, instead_of: PostingSet | None) -> None:
    posting = hold_posting(payout)
    [available] = parts.books.balances([posting.debit])
    if instead_of is not None:
        available += instead_of.postings[0].amount
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
        "This payout needs {needed} {currency}{has}. Wait for pending payments or send less.",
        param="amount",
        needed=needed,
        currency=payout.currency,
        has=has,
    )


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
    # What was called off before its hold was known is given back at the next idle look.
    wake(connection, *{_screened_by(payout) for payout, _ in answered})


def _screened_by(payout: Payout) -> str:
    return "bank.screen" if payout.network == BANK else "payout.screen"


def voided(row: Payout | Refund, outcome: Outcome, *, now: datetime) -> dict[str, Any]:
    """What becomes of a row whose hold was to be voided; a void of before is as good as one now."""
    done = outcome.booked or (
        outcome.refusal is CreateTransferStatus.pending_transfer_already_voided
    )
    return {
        "id": row.id,
        "hold": HoldStatus.voided.value if done else row.hold,
        "attempt": row.attempt if done else row.attempt + 1,
        "failures": 0 if done else row.failures + 1,
        "retry_at": None if done else now + retry_delay(row.failures),
    }


def awaited_by(moved: Sequence[Payout]) -> list[str]:
    """The stages, besides the next, that wait for some of these as they stand now."""
    stages = []
    if any(row.status == PayoutStatus.rejected for row in moved):
        stages.append("payout.release")
    if any(row.purpose == PayoutPurpose.refund for row in moved):
        stages.append("refund.follow")
    return stages


def _write_status(connection: Connection, payouts: Sequence[Payout]) -> None:
    fields = ("id", "status", "under_review", "failure_code", "failure_message", "canceled_at")
    update_records(
        connection,
        store.payouts,
        # Whoever still holds a lease on it from before finds that its token counts no more.
        [
            {
                **{name: getattr(payout, name) for name in fields},
                "lease_token": None,
                "lease_until": None,
            }
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
        currency=row.currency,
        decimals=row.decimals,
        amount=delivered(row),
        beneficiary=row.beneficiary,
    )
