"""What reconciliation reads: custody by the projection, rows on their way, rows that disagree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from sakk.core import chart, ids
from sakk.core.ledger import account_id
from sakk.core.outflow import Outflow
from sakk.core.payin import PayIn
from sakk.core.transaction import ChainTransaction
from sakk.store.database import fetch_all
from sakk.store.outflow import outflows
from sakk.store.payin import payins
from sakk.store.transaction import transactions


@dataclass(frozen=True, slots=True)
class Position:
    """Where the journal ends and how far the projection has followed it."""

    journal_sequence: int
    projected_sequence: int


def position(connection: Connection) -> Position:
    row = connection.execute(
        text(
            "SELECT coalesce((SELECT max(sequence) FROM ledger_journal), 0) AS journal,"
            " coalesce((SELECT min(sequence) FROM ledger_cursors), 0) AS projected"
        )
    ).one()
    return Position(journal_sequence=row.journal, projected_sequence=row.projected)


def custody_units(connection: Connection, asset: str) -> int:
    """What the ledger says that we hold of an asset, in atomic units."""
    places: list[chart.Custody] = ["hot", "cold", "deposit"]
    wanted = [UUID(int=account_id(chart.custody(asset, place).name)) for place in places]
    total = connection.execute(
        text(
            "SELECT coalesce(sum(debits_posted - credits_posted), 0) FROM ledger_accounts"
            " WHERE id = ANY(:ids)"
        ),
        {"ids": wanted},
    ).scalar_one()
    return int(total)


def unsettled_payins(connection: Connection, network: str, *, block: int) -> list[PayIn]:
    """Pay-ins that the chain at the block and the ledger may show differently."""
    return fetch_all(
        connection,
        payins.select().where(
            payins.c.network == network,
            payins.c.status.not_in(["orphaned", "reversed"]),
            payins.c.orphaned
            | (payins.c.block_number > block)
            | payins.c.status.in_(["seen", "confirmed", "screened"])
            | ((payins.c.status == "held") & ~payins.c.quarantined),
        ),
        PayIn,
    )


def unsettled_outflows(connection: Connection, network: str, *, block: int) -> list[Outflow]:
    return fetch_all(
        connection,
        outflows.select().where(
            outflows.c.network == network,
            outflows.c.status.not_in(["orphaned", "reversed"]),
            outflows.c.orphaned | (outflows.c.block_number > block) | (outflows.c.status == "seen"),
        ),
        Outflow,
    )


def unsettled_transactions(
    connection: Connection, network: str, *, block: int
) -> list[ChainTransaction]:
    """Our own transactions that may be mined and not booked, or booked and above the block."""
    return fetch_all(
        connection,
        transactions.select().where(
            transactions.c.network == network,
            transactions.c.hash.is_not(None),
            transactions.c.status.in_(["signed", "broadcast", "unknown", "confirmed"])
            | (transactions.c.block_number > block),
        ),
        ChainTransaction,
    )


def booked_units(
    connection: Connection, rows: Sequence[str], assets: Sequence[str]
) -> dict[tuple[str, str], int]:
    """Per (row, asset), what the row's transfers did to our custody, in atomic units, signed."""
    if not rows:
        return {}
    custody = {
        account_id(chart.custody(asset, place).name): asset
        for asset in assets
        for place in ("hot", "cold", "deposit")
    }
    by_uuid = {ids.decode(row)[1]: row for row in rows}
    found = connection.execute(
        text(
            "SELECT user_data, debit_account_id, credit_account_id, sum(amount) AS units"
            " FROM ledger_transfers WHERE user_data = ANY(:rows) AND status = 'posted'"
            " GROUP BY user_data, debit_account_id, credit_account_id"
        ),
        {"rows": [UUID(int=value) for value in by_uuid]},
    )
    result: dict[tuple[str, str], int] = {}
    for each in found:
        row = by_uuid[each.user_data.int]
        for side, sign in ((each.debit_account_id.int, 1), (each.credit_account_id.int, -1)):
            asset = custody.get(side)
            if asset is not None:
                key = (row, asset)
                result[key] = result.get(key, 0) + sign * int(each.units)
    return result


def all_addresses(connection: Connection, family: str) -> list[str]:
    """Every address ever issued or held."""
    return list(
        connection.execute(
            text("SELECT address FROM addresses WHERE family = :family ORDER BY id"),
            {"family": family},
        ).scalars()
    )


def disagreeing_rows(connection: Connection, *, limit: int = 100) -> list[str]:
    """Rows that say another amount than the ledger's transfers which carry their id."""
    found: list[str] = []
    found += _payins_against_transfers(connection, limit)
    found += _payouts_against_transfers(connection, limit)
    found += _deposits_against_rows(connection, limit)
    return found


def _payins_against_transfers(connection: Connection, limit: int) -> list[str]:
    rows = connection.execute(
        text(
            "SELECT p.id, p.asset, p.token_amount, p.credit_units, p.suspense_units, p.status"
            " FROM payins p WHERE p.status IN ('posted', 'released', 'reversed')"
            " OR (p.status = 'held' AND p.quarantined)"
        )
    )
    ids_of = {row.id: row for row in rows}
    booked = _custody_by_row(connection, list(ids_of))
    breaks: list[str] = []
    for identifier, row in ids_of.items():
        expected = 0 if row.status == "reversed" else int(row.token_amount)
        actual = booked.get(identifier, 0)
        if actual != expected:
            breaks.append(
                f"{identifier}: the row says {expected} units of {row.asset},"
                f" its transfers {actual}"
            )
        if len(breaks) >= limit:
            break
    return breaks


def _custody_by_row(connection: Connection, rows: Sequence[str]) -> dict[str, int]:
    """Per row, the net of its transfers on custody accounts of its own kind."""
    if not rows:
        return {}
    by_uuid = {ids.decode(row)[1]: row for row in rows}
    found = connection.execute(
        text(
            "SELECT t.user_data, sum(t.amount * ((d.name LIKE 'custody:%')::int"
            " - (c.name LIKE 'custody:%')::int)) AS units"
            " FROM ledger_transfers t"
            " JOIN ledger_account_names d ON d.id = t.debit_account_id"
            " JOIN ledger_account_names c ON c.id = t.credit_account_id"
            " WHERE t.user_data = ANY(:rows) AND t.status = 'posted' GROUP BY t.user_data"
        ),
        {"rows": [UUID(int=value) for value in by_uuid]},
    )
    return {by_uuid[each.user_data.int]: int(each.units) for each in found}


def _payouts_against_transfers(connection: Connection, limit: int) -> list[str]:
    rows: Any = connection.execute(
        text(
            "SELECT id, transaction, token_amount, amount, fee, fee_mode, account_id"
            " FROM payouts WHERE status = 'posted'"
        )
    ).all()
    owed = {
        row.id: int(row.amount) + (int(row.fee) if row.fee_mode == "sender" else 0) for row in rows
    }
    taken = _merchant_by_row(connection, list(owed))
    breaks = [
        f"{identifier}: the row says {amount} was debited, its transfers {taken.get(identifier, 0)}"
        for identifier, amount in owed.items()
        if taken.get(identifier, 0) != amount
    ]
    return breaks[:limit]


def _merchant_by_row(connection: Connection, rows: Sequence[str]) -> dict[str, int]:
    """Per row, what its entries took from merchants' balances."""
    if not rows:
        return {}
    by_uuid = {ids.decode(row)[1]: row for row in rows}
    found = connection.execute(
        text(
            "SELECT t.user_data, sum(e.amount * (CASE e.direction WHEN 'debit' THEN 1 ELSE -1 END))"
            " AS units FROM ledger_transfers t JOIN ledger_entries e ON e.transfer_id = t.id"
            " JOIN ledger_account_names n ON n.id = e.account_id AND n.name LIKE 'merchant:%'"
            " WHERE t.user_data = ANY(:rows) GROUP BY t.user_data"
        ),
        {"rows": [UUID(int=value) for value in by_uuid]},
    )
    return {by_uuid[each.user_data.int]: int(each.units) for each in found}


def _deposits_against_rows(connection: Connection, limit: int) -> list[str]:
    """What stands on deposit addresses by our count, against the rows that put and took it."""
    rows = connection.execute(
        text(
            "WITH moved AS ("
            " SELECT p.address, p.asset, p.token_amount AS units FROM payins p"
            " JOIN addresses a ON a.address = p.address AND a.purpose <> 'treasury'"
            " WHERE p.status IN ('posted', 'released') OR (p.status = 'held' AND p.quarantined)"
            " UNION ALL SELECT address, asset, -token_amount FROM sweeps"
            " WHERE status NOT IN ('failed', 'canceled', 'rejected')"
            " UNION ALL SELECT address, asset, -token_amount FROM outflows"
            " WHERE status = 'posted' AND place = 'deposit'),"
            " counted AS (SELECT address, asset, sum(units) AS units FROM moved"
            " GROUP BY address, asset)"
            " SELECT address, asset, coalesce(c.units, 0) AS counted, coalesce(d.units, 0) AS held"
            " FROM counted c FULL JOIN deposits d USING (address, asset)"
            " WHERE coalesce(c.units, 0) <> coalesce(d.units, 0) LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [
        f"deposit {row.address} {row.asset}: the count says {row.held}, its rows {row.counted}"
        for row in rows
    ]
