"""What each network asked for gas when it was last priced, and since when that is too much."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Connection, Table, Text, select
from sqlalchemy.dialects.postgresql import insert

from sakk.core.gas_price import Fees
from sakk.store.database import fetch_all
from sakk.store.schema import Timestamp, Units, metadata

network_fees = Table(
    "network_fees",
    metadata,
    Column("network", Text, primary_key=True),
    Column("max_fee_per_gas", Units),
    Column("max_priority_fee_per_gas", Units),
    Column("base_fee_per_gas", Units),
    Column("above_cap_since", Timestamp),
    Column("sampled", Timestamp, nullable=False),
)


@dataclass(frozen=True, slots=True)
class NetworkFees:
    """The last quote within the caps, in wei per gas, and since when there is none."""

    network: str
    max_fee_per_gas: int | None
    max_priority_fee_per_gas: int | None
    base_fee_per_gas: int | None
    above_cap_since: datetime | None
    sampled: datetime


def list_fees(connection: Connection) -> dict[str, NetworkFees]:
    """The last quote of every network that was ever priced."""
    rows = fetch_all(connection, select(network_fees), NetworkFees)
    return {row.network: row for row in rows}


def record(connection: Connection, network: str, quoted: Fees | None, *, now: datetime) -> bool:
    """Keep a quote, or None: above the cap. True if that is a change from the quote before."""
    connection.execute(
        insert(network_fees).values(network=network, sampled=now).on_conflict_do_nothing()
    )
    above_before = connection.execute(
        select(network_fees.c.above_cap_since)
        .where(network_fees.c.network == network)
        .with_for_update()
    ).scalar_one()
    statement = network_fees.update().where(network_fees.c.network == network)
    if quoted is None:
        connection.execute(statement.values(sampled=now, above_cap_since=above_before or now))
        return above_before is None
    connection.execute(
        statement.values(
            max_fee_per_gas=quoted.max_fee_per_gas,
            max_priority_fee_per_gas=quoted.max_priority_fee_per_gas,
            base_fee_per_gas=quoted.base_fee_per_gas,
            above_cap_since=None,
            sampled=now,
        )
    )
    return above_before is not None
