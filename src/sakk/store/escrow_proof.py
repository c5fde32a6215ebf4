"""What is read to hold the escrow's contract against the books, and what was proved before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Index, Table, Text, delete, select, text

from sakk.core import chart, ids
from sakk.core.escrow_channel import EscrowChannel, gone_step
from sakk.core.ledger import account_id, transfer_id
from sakk.store.database import among, as_json, fetch_all, insert_given, row_of
from sakk.store.ledger import NO_USER_DATA
from sakk.store.schema import Timestamp, Units, metadata

CHANNELS_PER_PAGE = 500

# Channels of which the contract held nothing any more at a final block, and the books said so too.
escrow_proofs = Table(
    "escrow_proofs",
    metadata,
    Column("channel_id", Text, primary_key=True),
    Column("network", Text, nullable=False),
    Column("units", Units, nullable=False),
    Column("block_number", BigInteger, nullable=False),
    Column("proved_at", Timestamp, nullable=False),
    Index("ix_escrow_proofs_network", "network", "proved_at"),
)


@dataclass(frozen=True, slots=True)
class Emptied:
    """``units``: what was ever deposited and not given back, all of it claimed and paid."""

    channel_id: str
    network: str
    units: int
    block_number: int
    proved_at: datetime


def emptied(connection: Connection, network: str) -> list[Emptied]:
    """Channels that were proved empty, the one that was looked at longest ago first."""
    statement = (
        select(escrow_proofs)
        .where(escrow_proofs.c.network == network)
        .order_by(escrow_proofs.c.proved_at, escrow_proofs.c.channel_id)
    )
    return fetch_all(connection, statement, Emptied)


def keep_emptied(connection: Connection, rows: Sequence[Emptied], gone: Sequence[str]) -> None:
    """Remember channels that were proved empty, and forget those that are not any more."""
    if gone:
        connection.execute(delete(escrow_proofs).where(among(escrow_proofs.c.channel_id, gone)))
    if rows:
        statement = insert_given(escrow_proofs, Emptied.__slots__)
        said = statement.excluded
        changed = {name: said[name] for name in ("units", "block_number", "proved_at")}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["channel_id"], set_=changed),
            {"rows": as_json(escrow_proofs, [row_of(each) for each in rows])},
        )


def coins(connection: Connection, asset: str) -> int:
    """What the ledger says that stands in the escrow of an asset, in atomic units."""
    number = account_id(chart.escrow(asset).name)
    debits, credits = _totals(connection, [number]).get(number, (0, 0))
    return debits - credits


def standing_units(connection: Connection, channels: Sequence[EscrowChannel]) -> dict[str, int]:
    """Per channel, what was deposited and has not gone back; what was charged is a part of it."""
    found = {}
    for place in range(0, len(channels), CHANNELS_PER_PAGE):
        page = channels[place : place + CHANNELS_PER_PAGE]
        numbers = {each.id: _numbers(each) for each in page}
        totals = _totals(connection, [number for each in numbers.values() for number in each])
        for each in page:
            signed, unsigned, refunded, deposit, leaving = (
                totals.get(number, (0, 0)) for number in numbers[each.id]
            )
            # What was charged has left the account of what is signed for, and not the escrow.
            signed_for = signed[1] - unsigned[1] - refunded[1]
            units = signed_for + deposit[1] - deposit[0] + leaving[1] - leaving[0]
            found[each.id] = units - each.lost
    return found


def booked_units(
    connection: Connection, rows: Sequence[str], assets: Sequence[str]
) -> dict[tuple[str, str], int]:
    """Per (row, asset), what the row's transfers did to our coins in the escrow, signed."""
    accounts = {account_id(chart.escrow(asset).name): asset for asset in assets}
    by_number = {ids.decode(row)[1]: row for row in rows}
    found = connection.execute(
        text(
            "SELECT user_data, debit_account_id, credit_account_id, sum(amount) AS units"  # noqa: S608
            " FROM ledger_transfers WHERE user_data = ANY(:rows)"
            f" AND user_data <> {NO_USER_DATA} AND status = 'posted'"
            " GROUP BY user_data, debit_account_id, credit_account_id"
        ),
        {"rows": [UUID(int=number) for number in by_number]},
    )
    result: dict[tuple[str, str], int] = {}
    for each in found:
        for account, sign in ((each.debit_account_id, 1), (each.credit_account_id, -1)):
            if account.int in accounts:
                key = (by_number[each.user_data.int], accounts[account.int])
                result[key] = result.get(key, 0) + sign * int(each.units)
    return result


def followed(connection: Connection, channels: Sequence[EscrowChannel]) -> set[str]:
    """Those channels of which the loss that their row tells of is in the ledger by now."""
    wanted = {transfer_id(each.id, gone_step(each), leg=0, attempt=0): each for each in channels}
    found = connection.execute(
        text(
            "SELECT id FROM ledger_transfers WHERE user_data = ANY(:channels)"  # noqa: S608
            f" AND user_data <> {NO_USER_DATA} AND id = ANY(:wanted) AND status = 'posted'"
        ),
        {
            "channels": [UUID(int=each.number) for each in channels],
            "wanted": [UUID(int=number) for number in wanted],
        },
    )
    return {wanted[number.int].id for number in found.scalars()}


def _numbers(channel: EscrowChannel) -> tuple[int, ...]:
    named = (
        channel.signed_account,
        channel.unsigned_account,
        channel.refunded_account,
        channel.deposit_account,
        channel.leaving_account,
    )
    return tuple(account_id(each.name) for each in named)


def _totals(connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Debits and credits that are posted, by account; one that was never used is left out."""
    rows = connection.execute(
        text("SELECT id, debits_posted, credits_posted FROM ledger_accounts WHERE id = ANY(:ids)"),
        {"ids": [UUID(int=number) for number in numbers]},
    )
    return {row.id.int: (int(row.debits_posted), int(row.credits_posted)) for row in rows}
