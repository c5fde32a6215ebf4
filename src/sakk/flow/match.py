"""Match: understand each transfer that was seen: whose it is, and what it pays.

Matching is by address alone, never by sender: an exchange pays from wherever it likes.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import payin as payins
from sakk.core.account import PaymentPolicy
from sakk.core.event import NewEvent
from sakk.core.money import UNITS_MAX
from sakk.core.network import Asset, Currency
from sakk.core.payin import Match, PayIn, PayInRole, PayInStatus, match_payment
from sakk.core.payment import PaymentIntent, quote_of
from sakk.flow import payment as payment_flow
from sakk.flow.context import Parts
from sakk.flow.stage import Stage, wake
from sakk.store import account as accounts
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import payin as store
from sakk.store import payment as payments
from sakk.store.address import Address
from sakk.store.database import update_records

BATCH_MAX = 500


def match_stage(parts: Parts) -> Stage:
    """The stage that gives every seen transfer its account, intent and role."""

    def run() -> int:
        with parts.database.begin() as connection:
            rows = store.lock_status(
                connection,
                PayInStatus.seen,
                store.payins.c.matched_at.is_(None),
                ~store.payins.c.orphaned,
                limit=BATCH_MAX,
            )
            if rows:
                match_rows(connection, rows, now=parts.clock())
            return len(rows)

    return Stage("payin.match", run)


def match_rows(connection: Connection, rows: list[PayIn], *, now: datetime) -> list[PayIn]:
    """Match pay-ins, bring their intents in line, and write and tell all of it."""
    ours = address.find_addresses(connection, list({row.address for row in rows}))
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
    wake(connection, "payin.finality")
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


def _matched(
    row: PayIn,
    found: Address,
    *,
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
        asset=asset,
        intent=intent,
        policies=policies,
        counted_before=counted_before,
    )
    return replace(
        row,
        account_id=found.account_id,
        currency=None if currency is None else currency.currency,
        decimals=None if currency is None else currency.decimals,
        amount=amount,
        role=match.role.value,
        counts=match.counts,
        reason=match.reason,
        payment_intent=found.payment_intent,
        customer=found.customer,
        matched_at=now,
    )


def _role(
    row: PayIn,
    found: Address,
    *,
    asset: Asset | None,
    intent: PaymentIntent | None,
    policies: dict[str, PaymentPolicy],
    counted_before: set[tuple[str, str]],
) -> Match:
    if asset is None:
        return Match(PayInRole.unlisted, False, "asset_not_listed")
    if row.token_amount > UNITS_MAX:
        return Match(PayInRole.excessive, False, "amount_exceeds_ledger")
    if found.purpose == "treasury":
        return Match(PayInRole.treasury, False, None)
    if intent is None:
        return Match(PayInRole.customer, False, None)
    return match_payment(
        asset=row.asset,
        block_timestamp=row.block_timestamp,
        intent=intent,
        quotes=[quote_of(document) for document in intent.quotes],
        policy=policies.get(intent.account_id, PaymentPolicy()),
        counted_before=(intent.id, row.tx_hash) in counted_before,
    )
