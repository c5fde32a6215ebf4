"""Reverse: take back what a reorganisation took off the chain.

Before its money was posted a pay-in is ``orphaned``, nothing more. After, it is ``reversed`` by new
transfers that name it: what the merchant still has is taken back, the rest is owed to us as a
receivable, and no limit of the merchant's account can stop it. ``screened`` is the point of no
return: a post may be under way, so such a row is posted first and reversed then.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, and_, or_

from sakk.core import chart, event
from sakk.core import payin as rules
from sakk.core.chart import TransferCode
from sakk.core.network import Asset, Currency
from sakk.core.payin import OPERATORS, UNBOOKABLE, PayIn, PayInStatus
from sakk.core.posting import Posting, reversed_postings
from sakk.flow import application_fee, fee, fee_return
from sakk.flow import payment as payment_flow
from sakk.flow import refund as refund_flow
from sakk.flow.book import Books, PostingSet
from sakk.flow.context import Parts
from sakk.flow.payin import payin_event
from sakk.flow.stage import Stage, wake
from sakk.ledger.types import TransferFlags
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import payin as store
from sakk.store import payment as payments
from sakk.store.database import Database, among, fetch, update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, given_back_on_error, retry_delay, settle

BATCH_MAX = 500

_orphaned = store.payins.c.orphaned
_unposted = (
    store.in_status(PayInStatus.seen, _orphaned, limit=BATCH_MAX),
    store.in_status(PayInStatus.confirmed, _orphaned, limit=BATCH_MAX),
    store.in_status(
        PayInStatus.held, _orphaned, among(store.payins.c.role, UNBOOKABLE), limit=BATCH_MAX
    ),
)


def orphan_stage(parts: Parts) -> Stage:
    """The stage that closes pay-ins which left the chain before anything was booked."""

    def run() -> int:
        now = parts.clock()
        with parts.database.begin() as connection:
            rows = [row for each in _unposted for row in fetch(connection, each)]
            if not rows:
                return 0
            closed = [replace(row, status=PayInStatus.orphaned.value) for row in rows]
            update_records(
                connection,
                store.payins,
                [{"id": row.id, "status": row.status} for row in closed],
            )
            happened = [
                payin_event(row, event.PAYIN_ORPHANED)
                for row in closed
                if row.account_id is not None
            ]
            happened += _follow_intents(connection, closed, now)
            events.append(connection, happened, now=now)
            return len(rows)

    return Stage("payin.orphan", run, due=_unposted)


_booked_and_gone = claimable(
    store.payins,
    PayIn,
    store.payins.c.orphaned,
    or_(
        among(
            store.payins.c.status,
            [PayInStatus.posted.value, PayInStatus.released.value, PayInStatus.seized.value],
        ),
        and_(store.payins.c.status == PayInStatus.held.value, store.payins.c.quarantined),
    ),
)


def reverse_stage(parts: Parts) -> Stage:
    """The stage that undoes in the ledger what the chain has undone."""

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _booked_and_gone, token=token, now=parts.clock())
            if not rows:
                return 0
            assets = {each.asset: each for each in network.list_assets(connection)}
            currencies = {each.currency: each for each in network.list_currencies(connection)}
        ids = [row.id for row in rows]
        with given_back_on_error(parts.database, store.payins, ids, token=token):
            rows = _weighed(parts.database, rows, token=token)
            failpoint("payin.reverse.before")
            undone = [reverse_in_ledger(parts.books, row, assets, currencies) for row in rows]
            failpoint("payin.reverse.after")
        now = parts.clock()
        with parts.database.begin() as connection:
            _record(connection, rows, undone, token=token, now=now)
        return len(rows)

    return Stage("payin.reverse", run, due=(_booked_and_gone,))


def _weighed(database: Database, rows: list[PayIn], *, token: str) -> list[PayIn]:
    """With what refunds had given back of their fees, written down before the ledger is asked, so
    that whoever repeats it asks for the same."""
    if not any(row.fee and row.fee_given_back is None for row in rows):
        return rows
    with database.begin() as connection:
        payments.lock_many(
            connection, {row.payment_intent for row in rows if row.counts and row.payment_intent}
        )
        weighed = fee_return.weigh_undone(connection, rows)
        changes = [
            {"id": row.id, "fee_given_back": row.fee_given_back, "lease_token": token}
            for row, before in zip(weighed, rows, strict=True)
            if row != before
        ]
        # Of whoever was away too long another has weighed it, and may have asked the ledger.
        if update_records(connection, store.payins, changes, "lease_token") != len(changes):
            raise RuntimeError("a lease was lost before fees were weighed; it is repeated")
    return weighed


def reverse_in_ledger(
    books: Books, row: PayIn, assets: dict[str, Asset], currencies: dict[str, Currency]
) -> bool:
    """Book the reversal; False if the ledger refused. Safe to repeat under the same attempt."""
    if row.status in (PayInStatus.held, PayInStatus.seized):
        made = rules.quarantine_postings(row)
        seizure = PostingSet(row.id, "seize", row.attempt, rules.seizure_postings(row))
        # Whoever seized it may have died with the ledger's answer.
        if row.status == PayInStatus.seized or books.amount_moved(seizure.transfer_id(0)):
            made += seizure.postings
        undo = reversed_postings(made, TransferCode.payin_reversed)
        return books.post([PostingSet(row.id, "reverse", row.attempt, undo)])[0].booked
    asset = assets[row.asset]
    booked = rules.postings(
        replace(row, fee_returned=0),
        asset_decimals=asset.decimals,
        currency_decimals=currencies[asset.currency].decimals,
    )
    undo = rules.reversal_postings(booked, fee_given_back=row.fee_given_back or 0)
    owed = [posting for posting in undo if posting.debit.owner is not None]
    rest = [posting for posting in undo if posting.debit.owner is None]
    for step, posting in enumerate(owed):
        # As much as the balance gives; the ledger decides how much that is, once, for this id.
        take = PostingSet(
            row.id,
            # Of the merchant alone under this name, whoever else has a part.
            "reverse.take" if posting.debit.owner == row.account_id else f"reverse.take.{step}",
            row.attempt,
            [posting],
            TransferFlags.balancing_debit,
        )
        booked_take = books.post([take])[0].booked
        taken = books.amount_moved(take.transfer_id(0)) if booked_take else 0
        if taken < posting.amount:
            assert posting.debit.owner is not None
            rest.append(
                Posting(
                    chart.receivable(posting.debit.owner, posting.debit.unit),
                    posting.credit,
                    posting.amount - taken,
                    TransferCode.payin_reversed,
                )
            )
    return books.post([PostingSet(row.id, "reverse", row.attempt, rest)])[0].booked


def _record(
    connection: Connection,
    rows: Sequence[PayIn],
    undone: Sequence[bool],
    *,
    token: str,
    now: datetime,
) -> None:
    seized = {row.id for row in rows if row.status == PayInStatus.seized}
    closed = [
        replace(row, status=PayInStatus.reversed.value)
        for row, done in zip(rows, undone, strict=True)
        if done
    ]
    waiting = [
        {
            "id": row.id,
            "status": row.status,
            "failures": row.failures + 1,
            "retry_at": now + retry_delay(row.failures),
        }
        for row, done in zip(rows, undone, strict=True)
        if not done
    ]
    # Before all else, so that no block can come back unnoticed between here and the commit.
    standing = network.lock_canonical(connection, {(row.network, row.block_hash) for row in closed})
    _lock_intents(connection, closed)
    settled = settle(
        connection,
        store.payins,
        [{"id": row.id, "status": row.status} for row in closed],
        token=token,
    )
    settle(connection, store.payins, waiting, token=token)
    if settled != len(closed):
        raise RuntimeError("a lease was lost between reversal and record; it is repeated")
    returned = [row for row in closed if row.block_hash in standing]
    if returned:
        store.insert_seen(connection, [_seen_again(row, now) for row in returned])
        wake(connection, "payin.match")
    address.add_deposits(
        connection,
        [
            (row.address, row.asset, -row.token_amount)
            for row in closed
            # What was seized is not counted among deposits any more.
            if row.role not in OPERATORS and row.id not in seized
        ],
    )
    was_credited = (PayInStatus.posted, PayInStatus.released)
    taken_back = [
        row for row, done in zip(rows, undone, strict=True) if done and row.status in was_credited
    ]
    fee.book_payins(connection, taken_back, undone=True, now=now)
    happened = [
        payin_event(row, event.PAYIN_REVERSED) for row in closed if row.account_id is not None
    ]
    happened += _follow_intents(connection, closed, now)
    events.append(connection, happened, now=now)
    refund_flow.fail_uncovered(connection, closed, now=now)
    # After the payouts of refunds are locked, as where those are booked: else each waits for the
    # other.
    application_fee.book_payins(connection, taken_back, undone=True, now=now)


def _seen_again(row: PayIn, now: datetime) -> PayIn:
    """The transfer of a block that came back while its pay-in was being taken back."""
    return PayIn(
        id=new_id("pin"),
        livemode=row.livemode,
        network=row.network,
        asset=row.asset,
        contract=row.contract,
        token_amount=row.token_amount,
        address=row.address,
        sender=row.sender,
        tx_hash=row.tx_hash,
        log_index=row.log_index,
        block_number=row.block_number,
        block_hash=row.block_hash,
        block_timestamp=row.block_timestamp,
        status=PayInStatus.seen.value,
        created=now,
    )


def _lock_intents(connection: Connection, rows: Sequence[PayIn]) -> dict[str, object]:
    return dict(
        payments.lock_many(
            connection, {row.payment_intent for row in rows if row.counts and row.payment_intent}
        )
    )


def _follow_intents(
    connection: Connection, rows: Sequence[PayIn], now: datetime
) -> list[event.NewEvent]:
    intents = payments.lock_many(
        connection, {row.payment_intent for row in rows if row.counts and row.payment_intent}
    )
    counted = store.list_counted(connection, intents)
    return payment_flow.follow(connection, intents, counted, now=now)
