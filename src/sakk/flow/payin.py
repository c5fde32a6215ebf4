"""Pay-ins: what the steps share: understanding one, dividing it, telling of it, releasing it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import payin as payins
from sakk.core.account import PaymentPolicy
from sakk.core.application_fee import Application, Span, read_application
from sakk.core.errors import UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.money import UNITS_MAX
from sakk.core.network import Asset, Currency
from sakk.core.payin import Match, PayIn, PayInRole, PayInStatus, allocate, match_payment
from sakk.core.payment import PaymentIntent, quotes_of
from sakk.core.screening import Direction, ScreeningRequest
from sakk.flow import application_fee, fee
from sakk.flow import payment as payment_flow
from sakk.flow.stage import wake
from sakk.store import account as accounts
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import payin as store
from sakk.store import payment as payments
from sakk.store import recovery as recoveries
from sakk.store import refund as refunds
from sakk.store.address import OPERATORS, RECEIVING, VAULT, Address
from sakk.store.database import update_records


def match_rows(connection: Connection, rows: list[PayIn], *, now: datetime) -> list[PayIn]:
    """Match pay-ins, bring their intents in line, and write and tell all of it."""
    ends = {end for row in rows for end in (row.address, row.sender)}
    ours = address.find_addresses(connection, list(ends))
    assets = {each.asset: each for each in network.list_assets(connection)}
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    wanted = {found.payment_intent for found in ours.values() if found.payment_intent is not None}
    intents = payments.lock_many(connection, wanted)
    counted_before = store.counted_hashes(connection, intents)
    policies = accounts.policy(connection, {intent.account_id for intent in intents.values()})
    matched = [
        _matched(
            row,
            ours[row.address],
            sender=ours.get(row.sender),
            asset=assets.get(row.asset),
            currencies=currencies,
            intents=intents,
            policies=policies,
            counted_before=counted_before,
            now=now,
        )
        for row in rows
    ]
    write_matches(connection, matched)
    happened = [
        payin_event(row, event.PAYIN_SEEN)
        for row in matched
        if row.account_id is not None and row.status == PayInStatus.seen
    ]
    touched = {
        row.payment_intent: intents[row.payment_intent]
        for row in matched
        if row.counts and row.payment_intent is not None
    }
    contributions = store.list_counted(connection, touched)
    happened += payment_flow.follow(connection, touched, contributions, now=now)
    events.append(connection, happened, now=now)
    wake(connection, "payin.finality", "payin.compare")
    return matched


def write_matches(connection: Connection, rows: Iterable[PayIn]) -> None:
    """Write what matching decides."""
    fields = (
        "id",
        "account_id",
        "currency",
        "decimals",
        "amount",
        "role",
        "counts",
        "reason",
        "payment_intent",
        "customer",
        "matched_at",
    )
    update_records(
        connection,
        store.payins,
        [{name: getattr(row, name) for name in fields} for row in rows],
    )


def payin_event(row: PayIn, name: str) -> NewEvent:
    """An event about a pay-in, as its audience may see it."""
    operator = event.event_type(name).audience == "operator"
    return NewEvent(
        account_id=row.account_id,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=payins.public(row, operator=operator),
    )


def declined_events(row: PayIn, name: str) -> list[NewEvent]:
    """What is told of one that was returned or seized: to its merchant that it was declined."""
    told = [payin_event(row, name)]
    if row.account_id is not None:
        told.append(payin_event(row, event.PAYIN_DECLINED))
    return told


def _matched(
    row: PayIn,
    found: Address,
    *,
    sender: Address | None,
    asset: Asset | None,
    currencies: dict[str, Currency],
    intents: dict[str, PaymentIntent],
    policies: dict[str, PaymentPolicy],
    counted_before: set[tuple[str, str]],
    now: datetime,
) -> PayIn:
    currency = currencies[asset.currency] if asset is not None else None
    intent = intents.get(found.payment_intent) if found.payment_intent is not None else None
    amount: int | None = None
    if asset is not None and currency is not None and row.token_amount <= UNITS_MAX:
        amount, _ = payins.credited_amount(
            row.token_amount, asset_decimals=asset.decimals, currency_decimals=currency.decimals
        )
    match = _role(
        row,
        found,
        sender=sender,
        asset=asset,
        amount=amount,
        intent=intent,
        policies=policies,
        counted_before=counted_before,
    )
    return replace(
        row,
        account_id=found.account_id,
        currency=None if currency is None else currency.currency,
        decimals=None if currency is None else currency.decimals,
        amount=None if match.role is PayInRole.excessive else amount,
        role=match.role.value,
        counts=match.counts,
        reason=match.reason,
        payment_intent=found.payment_intent,
        customer=found.customer,
        matched_at=now,
    )


def _moved_from(sender: Address | None) -> str | None:
    """The reason of what only moved between the treasury and vaults."""
    if sender is None or sender.purpose not in OPERATORS:
        return None
    return f"{payins.MOVED_FROM}{'cold' if sender.purpose == VAULT else 'hot'}"


def _role(
    row: PayIn,
    found: Address,
    *,
    sender: Address | None,
    asset: Asset | None,
    amount: int | None,
    intent: PaymentIntent | None,
    policies: dict[str, PaymentPolicy],
    counted_before: set[tuple[str, str]],
) -> Match:
    if asset is None:
        return Match(PayInRole.unlisted, False, "asset_not_listed")
    if row.token_amount > UNITS_MAX or amount is None or amount > UNITS_MAX:
        return Match(PayInRole.excessive, False, "amount_exceeds_ledger")
    if found.purpose in OPERATORS:
        role = PayInRole.vault if found.purpose == VAULT else PayInRole.treasury
        return Match(role, False, _moved_from(sender))
    if found.purpose == "lost":
        return Match(PayInRole.lost, False, "address_lost")
    if intent is None:
        is_own = found.purpose == RECEIVING
        return Match(PayInRole.receiving if is_own else PayInRole.customer, False, None)
    return match_payment(
        asset=row.asset,
        block_timestamp=row.block_timestamp,
        intent=intent,
        quotes=quotes_of(intent, {row.asset}),
        policy=policies.get(intent.account_id, PaymentPolicy()),
        counted_before=(intent.id, row.tx_hash) in counted_before,
    )


def screening_request(row: PayIn) -> ScreeningRequest:
    """What is judged of a pay-in."""
    return ScreeningRequest(
        subject=row.id,
        account_id=row.account_id,
        livemode=row.livemode,
        network=row.network,
        asset=row.asset,
        direction=Direction.incoming,
        sender=row.sender,
        receiver=row.address,
        token_units=row.token_amount,
        currency=row.currency,
        decimals=row.decimals,
        amount=row.amount,
    )


def allocate_rows(connection: Connection, rows: Sequence[PayIn], *, now: datetime) -> list[PayIn]:
    """Decide, with the intents locked, how much of each pay-in is credited and how much waits."""
    intents = payments.lock_many(
        connection, {row.payment_intent for row in rows if row.payment_intent is not None}
    )
    counted = store.list_counted(connection, intents)
    terms = accounts.terms(connection, {row.account_id for row in rows if row.account_id})
    result: list[PayIn] = []
    taken: dict[str, tuple[Application, Span]] = {}
    decided: dict[str, list[tuple[str, int]]] = {
        intent: [(row.asset, row.credit_units) for row in members if row.credit_units is not None]
        for intent, members in counted.items()
    }
    refunded = {
        intent.id: refunds.sum_live(connection, intent.id)
        for intent in intents.values()
        if intent.amount_refunded
    }
    for row in rows:
        intent = intents.get(row.payment_intent) if row.payment_intent is not None else None
        before = decided.setdefault(row.payment_intent, []) if row.payment_intent else []
        bound = terms.get(row.account_id or "")
        policy = PaymentPolicy() if bound is None else bound.policy
        back = refunded.get(row.payment_intent or "", 0)
        allocated = _allocated(row, intent, before, policy, refunded=back, now=now)
        result.append(allocated)
        application = None if intent is None else read_application(intent.application)
        span = application_fee.span_of(row, intent, before)
        if application is not None and span is not None:
            taken[row.id] = (application, span)
        if row.counts:
            before.append((row.asset, allocated.credit_units or 0))
    schedules = {who: each.fee_schedule for who, each in terms.items() if each.fee_schedule}
    priced = fee.price_payins(connection, result, schedules, now=now)
    return application_fee.price_payins(connection, priced, taken, now=now)


def _allocated(
    row: PayIn,
    intent: PaymentIntent | None,
    before: list[tuple[str, int]],
    policy: PaymentPolicy,
    *,
    refunded: int,
    now: datetime,
) -> PayIn:
    allocation = allocate(
        row,
        policy=policy,
        intent=intent,
        quotes=[]
        if intent is None
        else quotes_of(intent, {row.asset, *(asset for asset, _ in before)}),
        paid_before=before,
        refunded=refunded,
    )
    return replace(
        row,
        status=PayInStatus.screened.value,
        credit_units=allocation.credit_units,
        suspense_units=allocation.suspense_units,
        reason=allocation.reason,
        screened_at=now,
    )


def release_held(connection: Connection, row: PayIn, *, now: datetime) -> PayIn:
    """A locked, held pay-in goes on to where it would have gone; booked by the post stage.

    One whose token was on no list needs the token listed first: UnexpectedState.
    """
    if row.status != PayInStatus.held or row.orphaned:
        raise UnexpectedState(
            "This payin is {status}, not held: nothing is to release.", status=row.status
        )
    if row.screening is None:
        raise UnexpectedState(
            "This payin could not be judged yet: it is, by itself, when screening is back."
        )
    if recoveries.is_payin_claimed(connection, row.id):
        raise UnexpectedState("A recovery is sending this payin back: cancel that first.")
    if row.role == PayInRole.unlisted:
        if network.find_asset(connection, row.asset) is None:
            raise UnexpectedState(
                "List the asset first: sakk assets add {asset}. Then release the payin.",
                asset=row.asset,
            )
        [row] = match_rows(connection, [row], now=now)
    elif row.role != PayInRole.excessive and not row.quarantined:
        raise UnexpectedState("This payin is just being quarantined: try again in a moment.")
    if row.role == PayInRole.excessive:
        raise UnexpectedState("This payin is larger than a ledger account can hold.")
    if row.payment_intent is not None:
        payments.lock_many(connection, [row.payment_intent])
    # Why it was held is the operator's to know, and would stay with it for its merchant to read.
    if payins.is_screened_reason(row.reason):
        row = replace(row, reason=None)
    [released] = allocate_rows(connection, [row], now=now)
    released = replace(released, reviewed=True)
    fields = (
        "id",
        "status",
        "credit_units",
        "suspense_units",
        "fee",
        "fee_terms",
        "fee_returned",
        "application_fee",
        "application_terms",
        "reason",
        "screened_at",
    )
    update_records(connection, store.payins, [{name: getattr(released, name) for name in fields}])
    wake(connection, "payin.post")
    return released
