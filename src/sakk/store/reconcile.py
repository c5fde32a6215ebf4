"""What reconciliation reads: custody by the projection, rows on their way, rows that disagree."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from sakk.core import chart, ids
from sakk.core.adoption import Adoption
from sakk.core.caip import asset_network
from sakk.core.ledger import account_id
from sakk.core.outflow import Outflow
from sakk.core.payin import PayIn
from sakk.core.transaction import ChainTransaction
from sakk.store.address import VAULT
from sakk.store.adoption import adoptions
from sakk.store.database import fetch_all
from sakk.store.ledger import NO_USER_DATA
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
    wanted = [UUID(int=account_id(account.name)) for account in holdings(asset)]
    total = connection.execute(
        text(
            "SELECT coalesce(sum(debits_posted - credits_posted), 0) FROM ledger_accounts"
            " WHERE id = ANY(:ids)"
        ),
        {"ids": wanted},
    ).scalar_one()
    return int(total)


def holdings(asset: str) -> list[chart.LedgerAccount]:
    """The accounts of coins that stand on addresses whose keys are here: all but the vaults."""
    places: list[chart.Custody] = ["hot", "deposit"]
    tank = chart.gas_tank(asset_network(asset), asset)
    return [*(chart.custody(asset, place) for place in places), tank]


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


def unsettled_adoptions(connection: Connection, network: str, *, block: int) -> list[Adoption]:
    return fetch_all(
        connection,
        adoptions.select().where(
            adoptions.c.network == network,
            (adoptions.c.block_number > block) | (adoptions.c.status == "requested"),
        ),
        Adoption,
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
            | transactions.c.orphaned
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
    custody = {account_id(each.name): asset for asset in assets for each in holdings(asset)}
    by_uuid = {ids.decode(row)[1]: row for row in rows}
    found = connection.execute(
        text(
            "SELECT user_data, debit_account_id, credit_account_id, sum(amount) AS units"  # noqa: S608
            " FROM ledger_transfers WHERE user_data = ANY(:rows)"
            f" AND user_data <> {NO_USER_DATA} AND status = 'posted'"
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
    """Every address ever issued or held whose key is here."""
    return list(
        connection.execute(
            text(
                "SELECT address FROM addresses WHERE family = :family AND purpose <> :vault"
                " ORDER BY id"
            ),
            {"family": family, "vault": VAULT},
        ).scalars()
    )
