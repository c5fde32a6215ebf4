"""Agreement: hold every row that moved money against the ledger, page by page."""

from collections.abc import Iterator
from itertools import islice

from sqlalchemy import Connection

from sakk.core import agreement as rules
from sakk.core.payin import PayIn, PayInStatus
from sakk.core.payout import Payout, PayoutStatus, debited
from sakk.core.sweep import Sweep
from sakk.core.transaction import ChainTransaction, Purpose
from sakk.store import agreement as store
from sakk.store import network
from sakk.store.payin import payins
from sakk.store.payout import payouts
from sakk.store.sweep import sweeps
from sakk.store.transaction import transactions

BREAKS_MAX = 100


def disagreements(connection: Connection) -> list[str]:
    """What does not agree, at most ``BREAKS_MAX`` of each kind.

    The connection sees one moment at which the projection has followed the journal.
    """
    kinds = (
        _payins(connection),
        _payouts(connection),
        _sweeps(connection),
        _transactions(connection),
        store.unnamed_transfers(connection, limit=BREAKS_MAX),
        iter(store.miscounted_deposits(connection, limit=BREAKS_MAX)),
        iter(store.miscounted_refunds(connection, limit=BREAKS_MAX)),
        iter(store.miscounted_credits(connection, limit=BREAKS_MAX)),
        iter(store.miscounted_channels(connection, limit=BREAKS_MAX)),
        iter(store.lost_addresses(connection, limit=BREAKS_MAX)),
        iter(store.unbalanced_units(connection)),
        _bridges(connection),
    )
    return [found for kind in kinds for found in islice(kind, BREAKS_MAX)]


def _payins(connection: Connection) -> Iterator[str]:
    """Those booked; one that the chain undid is in between until it is reversed."""
    currencies = {each.currency: each.decimals for each in network.list_currencies(connection)}
    decimals = {
        each.asset: (each.decimals, currencies[each.currency])
        for each in network.list_assets(connection)
    }
    booked = payins.c.status.in_(
        [
            PayInStatus.posted.value,
            PayInStatus.released.value,
            PayInStatus.reversed.value,
            PayInStatus.held.value,
        ]
    )
    settled = ~payins.c.orphaned | (payins.c.status == PayInStatus.reversed.value)
    quiet = (payins.c.status != PayInStatus.held.value) | payins.c.quarantined
    for page in store.pages(connection, payins, PayIn, booked, settled, quiet):
        custody = store.custody_moves(connection, [row.id for row in page])
        owned = store.owner_moves(connection, [row.id for row in page])
        for row in page:
            if row.asset not in decimals:
                yield f"{row.id}: it is booked in {row.asset}, which is on no list"
                continue
            found = rules.payin_break(
                row,
                custody=custody[row.id],
                credited=owned[row.id],
                asset_decimals=decimals[row.asset][0],
                currency_decimals=decimals[row.asset][1],
            )
            if found is not None:
                yield found


def _payouts(connection: Connection) -> Iterator[str]:
    """All; one whose transaction is settled and whose row is not yet is in between."""
    for page in store.pages(connection, payouts, Payout):
        taken = store.owner_moves(connection, [row.id for row in page])
        sent = store.find_transactions(
            connection, [row.transaction for row in page if row.transaction is not None]
        )
        returned = store.returned_by_banks(connection, [row.id for row in page])
        for row in page:
            transaction = sent.get(row.transaction or "")
            between = (
                row.status == PayoutStatus.confirmed
                or (transaction is not None and transaction.orphaned)
                or (row.status == PayoutStatus.posted and row.id in returned)
            )
            expected = debited(row) if row.status == PayoutStatus.posted else 0
            found = rules.payout_break(
                row, transaction, taken=expected if between else -taken[row.id]
            )
            if found is not None:
                yield found


def _sweeps(connection: Connection) -> Iterator[str]:
    for page in store.pages(connection, sweeps, Sweep, sweeps.c.transaction.is_not(None)):
        sent = store.find_transactions(connection, [row.transaction or "" for row in page])
        for row in page:
            found = rules.sweep_break(row, sent.get(row.transaction or ""))
            if found is not None:
                yield found


def _transactions(connection: Connection) -> Iterator[str]:
    natives = {each.network: each.native_asset for each in network.list_networks(connection)}
    for page in store.pages(connection, transactions, ChainTransaction):
        custody = store.custody_moves(connection, [row.id for row in page])
        carried = store.carried_sweeps(
            connection, [row.id for row in page if row.purpose == Purpose.collect]
        )
        called = [row.id for row in page if row.purpose in (Purpose.escrow, Purpose.redemption)]
        escrowed = store.escrow_moves(connection, called)
        units = store.escrow_units(connection, called)
        for row in page:
            found = rules.transaction_break(
                row,
                custody=custody[row.id],
                native_asset=natives[row.network],
                sweeps=carried.get(row.id, ()),
                escrowed=escrowed.get(row.id),
                escrow_units=units.get(row.id, 0),
            )
            if found is not None:
                yield found


def _bridges(connection: Connection) -> Iterator[str]:
    currencies = {each.currency: each.decimals for each in network.list_currencies(connection)}
    listed = {each.asset: each for each in network.list_assets(connection)}
    for asset, totals in store.bridge_totals(connection).items():
        if asset not in listed:
            continue
        units = totals.pop(asset, 0)
        owed = -sum(totals.values())
        found = rules.bridge_break(
            asset,
            units=units,
            asset_decimals=listed[asset].decimals,
            owed=owed,
            currency_decimals=currencies[listed[asset].currency],
        )
        if found is not None:
            yield found
