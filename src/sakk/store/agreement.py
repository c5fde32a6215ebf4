"""What is read to hold rows against the ledger: pages of rows, and what their transfers moved."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, select, text

from sakk.core import ids
from sakk.core.chart import AccountCode, TransferCode
from sakk.core.sweep import Sweep
from sakk.core.transaction import ChainTransaction
from sakk.store.database import fetch_all
from sakk.store.ledger import NO_USER_DATA
from sakk.store.sweep import sweeps
from sakk.store.transaction import transactions

ROWS_PER_PAGE = 2_000

T = TypeVar("T")

# The kinds of rows that a ledger transfer's user data may name, and their tables.
NAMED_TABLES = {
    "pin": "payins",
    "po": "payouts",
    "tx": "transactions",
    "out": "outflows",
    "ad": "adoptions",
    "tr": "transfers",
    # A refund's money is reserved under its payout's number before the payout's row is there.
    "re": "refunds",
    "rec": "recoveries",
    "ch": "channels",
    "cfd": "channel_fundings",
    "crf": "charge_refunds",
    "cdp": "channel_disputes",
    "mnd": "mandates",
    "ech": "escrow_channels",
    "ecl": "escrow_calls",
    "spn": "mandate_spends",
    "prk": "pool_movements",
    "set": "settlements",
    "conv": "conversions",
    "gcm": "gift_card_movements",
    "ordc": "child_orders",
    "ba": "bank_accounts",
    "bl": "bank_lines",
    "brk": "breaks",
    "afee": "application_fees",
}


def pages(
    connection: Connection, table: Table, kind: type[T], *conditions: ColumnElement[bool]
) -> Iterator[list[T]]:
    """All rows that fit, in pages by id."""
    last = ""
    while True:
        statement = (
            select(table)
            .where(table.c.id > last, *conditions)
            .order_by(table.c.id)
            .limit(ROWS_PER_PAGE)
        )
        rows = fetch_all(connection, statement, kind)
        if rows:
            yield rows
        if len(rows) < ROWS_PER_PAGE:
            return
        last = str(rows[-1].id)  # type: ignore[attr-defined]


def custody_moves(connection: Connection, rows: Sequence[str]) -> dict[str, dict[str, int]]:
    """Per row and asset, what the transfers that name it did to custody; zeros left out."""
    return _moves(connection, rows, (AccountCode.custody, AccountCode.gas_tank))


def escrow_moves(connection: Connection, rows: Sequence[str]) -> dict[str, dict[str, int]]:
    """The same of coins in the escrow."""
    return _moves(connection, rows, (AccountCode.escrow,))


def escrow_units(connection: Connection, identifiers: Sequence[str]) -> dict[str, int]:
    """What each of these transactions puts into the escrow by its call; below zero: takes out."""
    found = connection.execute(
        text(
            "SELECT transaction, CASE kind WHEN 'deposit' THEN token_amount"
            " WHEN 'relay' THEN 0 ELSE -token_amount END AS units"
            " FROM escrow_calls WHERE transaction = ANY(:wanted)"
        ),
        {"wanted": list(identifiers)},
    )
    return {row.transaction: int(row.units) for row in found}


def _moves(
    connection: Connection, rows: Sequence[str], codes: Sequence[AccountCode]
) -> dict[str, dict[str, int]]:
    found = connection.execute(
        text(
            "SELECT t.user_data, n.unit AS asset,"  # noqa: S608
            " sum(CASE WHEN n.id = t.debit_account_id THEN t.amount ELSE -t.amount END) AS units"
            " FROM ledger_transfers t"
            " JOIN ledger_account_names n ON n.id IN (t.debit_account_id, t.credit_account_id)"
            " AND n.code = ANY(:codes)"
            f" WHERE t.user_data = ANY(:rows) AND t.user_data <> {NO_USER_DATA}"
            " AND t.status = 'posted'"
            " GROUP BY t.user_data, n.unit"
        ),
        {"rows": _uuids(rows), "codes": [int(code) for code in codes]},
    )
    names = {ids.decode(row)[1]: row for row in rows}
    result: dict[str, dict[str, int]] = {row: {} for row in rows}
    for each in found:
        if each.units:
            result[names[each.user_data.int]][each.asset] = int(each.units)
    return result


def owner_moves(connection: Connection, rows: Sequence[str]) -> dict[str, int]:
    """Per row, what its entries gave to merchants' accounts (what they took: below zero)."""
    owned = [
        int(code)
        for code in (
            AccountCode.merchant_incoming,
            AccountCode.merchant_available,
            AccountCode.merchant_reserved,
            AccountCode.receivable,
        )
    ]
    found = connection.execute(
        text(
            "SELECT t.user_data,"  # noqa: S608
            " sum(e.amount) AS units FROM ledger_transfers t"
            " JOIN ledger_account_names n ON n.id IN (t.debit_account_id, t.credit_account_id)"
            " AND n.code = ANY(:owned)"
            " JOIN ledger_entries e ON e.account_id = n.id"
            " AND e.timestamp_ns = t.timestamp_ns AND e.shard = t.shard"
            f" WHERE t.user_data = ANY(:rows) AND t.user_data <> {NO_USER_DATA}"
            " GROUP BY t.user_data"
        ),
        {"rows": _uuids(rows), "owned": owned},
    )
    names = {ids.decode(row)[1]: row for row in rows}
    result = dict.fromkeys(rows, 0)
    for each in found:
        result[names[each.user_data.int]] = int(each.units)
    return result


def find_transactions(
    connection: Connection, identifiers: Sequence[str]
) -> dict[str, ChainTransaction]:
    """Transactions by their ids."""
    statement = select(transactions).where(transactions.c.id.in_(list(identifiers)))
    return {row.id: row for row in fetch_all(connection, statement, ChainTransaction)}


def returned_by_banks(connection: Connection, identifiers: Sequence[str]) -> set[str]:
    """Those payouts that a bank's statement says came back, booked or not yet."""
    found = connection.execute(
        text(
            "SELECT payout FROM bank_payments WHERE payout = ANY(:wanted) AND status = 'returned'"
        ),
        {"wanted": list(identifiers)},
    )
    return set(found.scalars())


def carried_sweeps(connection: Connection, identifiers: Sequence[str]) -> dict[str, list[Sweep]]:
    """The sweeps of each transaction that carries many, in the order of its bytes."""
    statement = (
        select(sweeps).where(sweeps.c.transaction.in_(list(identifiers))).order_by(sweeps.c.id)
    )
    found: dict[str, list[Sweep]] = {}
    for row in fetch_all(connection, statement, Sweep) if identifiers else ():
        found.setdefault(row.transaction or "", []).append(row)
    return found


def unnamed_transfers(connection: Connection, *, limit: int) -> Iterator[str]:
    """Transfers on the chart's accounts whose row is gone."""
    shards = connection.execute(text("SELECT shard FROM ledger_cursors ORDER BY shard")).scalars()
    for shard in list(shards):
        last = -1
        while True:
            found = connection.execute(
                text(
                    "SELECT t.timestamp_ns, t.user_data, t.amount, n.name"
                    " FROM ledger_transfers t"
                    " JOIN ledger_account_names n ON n.id = t.debit_account_id"
                    # A charge names the call that it pays for; `miscounted_channels` counts it.
                    " WHERE t.shard = :shard AND t.timestamp_ns > :last AND t.code <> :charge"
                    " ORDER BY t.timestamp_ns LIMIT :page"
                ),
                {
                    "shard": shard,
                    "last": last,
                    "page": ROWS_PER_PAGE,
                    "charge": int(TransferCode.channel_charge),
                },
            ).all()
            known = _existing(connection, {each.user_data.int for each in found})
            for each in found:
                if each.user_data.int not in known and limit > 0:
                    limit -= 1
                    yield (
                        f"a transfer of {each.amount} on {each.name} names a row that is gone:"
                        f" {ids.encode('…', each.user_data.int)}"
                    )
            if len(found) < ROWS_PER_PAGE:
                break
            last = found[-1].timestamp_ns


def _existing(connection: Connection, values: set[int]) -> set[int]:
    """Which of these numbers are the id of a row of some kind."""
    known: set[int] = set()
    for prefix, table in NAMED_TABLES.items():
        wanted = [ids.encode(prefix, value) for value in values - known]
        if wanted:
            found = connection.execute(
                text(f"SELECT id FROM {table} WHERE id = ANY(:wanted)"),  # noqa: S608
                {"wanted": wanted},
            )
            known |= {ids.decode(identifier)[1] for identifier in found.scalars()}
    return known


def miscounted_deposits(connection: Connection, *, limit: int) -> list[str]:
    """What stands on deposit addresses by our count, against the rows that put and took it."""
    rows = connection.execute(
        text(
            "WITH moved AS ("
            " SELECT p.address, p.asset, p.token_amount AS units FROM payins p"
            " LEFT JOIN addresses a ON a.address = p.address"
            " WHERE coalesce(a.purpose, '') NOT IN ('treasury', 'vault') AND"
            " (p.status IN ('posted', 'released') OR (p.status IN ('held', 'screened', 'returned')"
            " AND p.quarantined))"
            " UNION ALL SELECT address, asset, -token_amount FROM sweeps"
            " WHERE status NOT IN ('failed', 'canceled', 'rejected')"
            " AND source NOT IN ('unbooked', 'adopted', 'seized')"
            " UNION ALL SELECT address, asset, -token_amount FROM outflows"
            " WHERE status = 'posted' AND place = 'deposit'"
            " UNION ALL SELECT destination, asset, arrived_units FROM transactions"
            " WHERE purpose = 'redemption' AND status = 'posted'),"
            " counted AS (SELECT address, asset, sum(units) AS units FROM moved"
            " GROUP BY address, asset)"
            " SELECT address, asset, coalesce(c.units, 0) AS counted, coalesce(d.units, 0) AS held"
            " FROM counted c FULL JOIN deposits d USING (address, asset)"
            " WHERE coalesce(c.units, 0) <> coalesce(d.units, 0)"
            " ORDER BY address, asset LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [
        f"deposit {row.address} {row.asset}: the count says {row.held}, its rows {row.counted}"
        for row in rows
    ]


def miscounted_refunds(connection: Connection, *, limit: int) -> list[str]:
    """Refunds whose payout sends something else, and payments that count them otherwise."""
    other = connection.execute(
        text(
            "SELECT r.id, r.payout FROM refunds r LEFT JOIN payouts p ON p.id = r.payout"
            " WHERE r.payout IS NOT NULL AND (p.purpose, p.source, p.account_id, p.amount,"
            " p.currency, p.fee, p.network, p.asset, p.token_amount, p.destination)"
            " IS DISTINCT FROM ('refund', r.source, r.account_id, r.coin_amount,"
            " r.coin, r.fee, r.network, r.asset, r.token_amount, r.destination)"
            " ORDER BY r.id LIMIT :limit"
        ),
        {"limit": limit},
    )
    found = [f"{row.id}: its payout {row.payout} sends something else" for row in other]
    counted = connection.execute(
        text(
            "SELECT i.id, i.amount_refunded AS shown, coalesce(r.total, 0) AS total"
            " FROM payment_intents i LEFT JOIN ("
            " SELECT r.payment_intent, sum(r.amount) AS total FROM refunds r"
            " LEFT JOIN payins p ON p.id = r.payin"
            " WHERE r.status IN ('requires_action', 'pending', 'succeeded')"
            " AND (r.payin IS NULL OR p.counts) GROUP BY r.payment_intent) r"
            " ON r.payment_intent = i.id"
            " WHERE i.amount_refunded <> coalesce(r.total, 0) ORDER BY i.id LIMIT :limit"
        ),
        {"limit": limit},
    )
    return found + [
        f"{row.id}: it shows {row.shown} as refunded, its refunds are {row.total}"
        for row in counted
    ]


def miscounted_credits(connection: Connection, *, limit: int) -> list[str]:
    """Payments that count otherwise what gift cards and accounts here pay or hold for them."""
    rows = connection.execute(
        text(
            "SELECT i.id FROM payment_intents i LEFT JOIN (SELECT payment_intent,"
            " sum(value) FILTER (WHERE status = 'posted') AS paid,"
            " sum(value) FILTER (WHERE status IN ('held', 'requested')) AS held"
            " FROM payment_credits GROUP BY payment_intent) c ON c.payment_intent = i.id"
            " WHERE (i.amount_credited, i.amount_held)"
            " <> (coalesce(c.paid, 0), coalesce(c.held, 0)) ORDER BY i.id LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [
        f"{row.id}: what gift cards and transfers pay for it is counted otherwise" for row in rows
    ]


def miscounted_channels(connection: Connection, *, limit: int) -> list[str]:
    """Channels whose ledger account had other money put in than their rows say, or holds a rest
    after their end. One with a step under way is in between."""
    rows = connection.execute(
        text(
            "SELECT c.id, c.status, coalesce(a.credits_posted, 0) AS credited,"
            " coalesce(a.debits_posted, 0) AS debited, c.funded + coalesce(r.total, 0) AS wanted"
            " FROM channels c"
            " LEFT JOIN ledger_account_names n ON n.name = 'channel:' || c.id || '#'"
            " || CASE WHEN c.livemode THEN '' ELSE 'test/' END || c.currency"
            " LEFT JOIN ledger_accounts a ON a.id = n.id"
            " LEFT JOIN (SELECT channel_id, sum(amount) AS total FROM charge_refunds"
            " WHERE status = 'posted' AND NOT to_payer GROUP BY channel_id) r"
            " ON r.channel_id = c.id"
            " WHERE c.kind = 'balance'"
            " AND NOT EXISTS (SELECT FROM channel_fundings f"
            " WHERE f.channel_id = c.id AND f.status = 'requested')"
            " AND NOT EXISTS (SELECT FROM charge_refunds f"
            " WHERE f.channel_id = c.id AND f.status = 'requested')"
            " AND (coalesce(a.credits_posted, 0) <> c.funded + coalesce(r.total, 0)"
            " OR c.status = 'closed' AND a.credits_posted <> a.debits_posted)"
            " ORDER BY c.id LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [
        f"{row.id} ({row.status}): rows put in {row.wanted}, the ledger {row.credited}, of which"
        f" {row.debited} left"
        for row in rows
    ]


def lost_addresses(connection: Connection, *, limit: int) -> list[str]:
    """Addresses that were given out or used, and that the address book does not hold any more."""
    rows = connection.execute(
        text(
            "SELECT used.address, min(used.what) AS what FROM ("
            " SELECT address, id AS what FROM payment_intents"
            " UNION ALL SELECT address, id FROM payins"
            " UNION ALL SELECT address, id FROM sweeps"
            " UNION ALL SELECT address, id FROM outflows"
            " UNION ALL SELECT sender, id FROM transactions) used"
            " WHERE NOT EXISTS (SELECT FROM addresses a WHERE a.address = used.address)"
            " GROUP BY used.address ORDER BY used.address LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [
        f"address {row.address}, which {row.what} names, is not in the address book" for row in rows
    ]


def unbalanced_units(connection: Connection) -> list[str]:
    """Units whose debits and credits do not add up to the same, over all accounts."""
    rows = connection.execute(
        text(
            "SELECT unit, sum(debits_posted) AS debits, sum(credits_posted) AS credits,"
            " sum(debits_pending) AS held, sum(credits_pending) AS awaited"
            " FROM ledger_accounts GROUP BY unit"
            " HAVING sum(debits_posted) <> sum(credits_posted)"
            " OR sum(debits_pending) <> sum(credits_pending) ORDER BY unit"
        )
    )
    return [
        f"ledger unit {row.unit}: debits {row.debits} (pending {row.held}),"
        f" credits {row.credits} (pending {row.awaited})"
        for row in rows
    ]


def bridge_totals(connection: Connection) -> dict[str, dict[str, int]]:
    """Per asset, its conversion accounts' credits less debits, by unit."""
    rows: Any = connection.execute(
        text(
            "SELECT n.name, n.unit, a.credits_posted - a.debits_posted AS total"
            " FROM ledger_account_names n JOIN ledger_accounts a ON a.id = n.id"
            " WHERE n.code = :code"
        ),
        {"code": int(AccountCode.conversion)},
    )
    totals: dict[str, dict[str, int]] = {}
    for row in rows:
        asset = row.name.partition(":")[2].rpartition("#")[0]
        totals.setdefault(asset, {})[row.unit] = int(row.total)
    return totals


def _uuids(rows: Sequence[str]) -> list[UUID]:
    return [UUID(int=ids.decode(row)[1]) for row in rows]
