"""The treasury's tiers: vaults and targets."""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Table, Text, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from sakk.core.treasury import Target, Vault
from sakk.store.database import fetch_all, fetch_one
from sakk.store.schema import Timestamp, Units, metadata

vaults = Table(
    "vaults",
    metadata,
    Column("network", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("tier", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
)

treasury_targets = Table(
    "treasury_targets",
    metadata,
    Column("asset", Text, primary_key=True),
    Column("low_units", Units, nullable=False),
    Column("target_units", Units, nullable=False),
    Column("high_units", Units, nullable=False),
)


def put_vault(connection: Connection, vault: Vault) -> None:
    """Name a vault, or change its tier and label."""
    row = {name: getattr(vault, name) for name in Vault.__slots__}
    statement = upsert(vaults).values(row)
    changed = {name: statement.excluded[name] for name in ("tier", "label")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["network", "address"], set_=changed)
    )


def find_vault(connection: Connection, network: str, address: str) -> Vault | None:
    statement = select(vaults).where(vaults.c.network == network, vaults.c.address == address)
    return fetch_one(connection, statement, Vault)


def list_vaults(connection: Connection) -> list[Vault]:
    statement = select(vaults).order_by(vaults.c.network, vaults.c.created, vaults.c.address)
    return fetch_all(connection, statement, Vault)


def put_target(connection: Connection, target: Target) -> None:
    row = {name: getattr(target, name) for name in Target.__slots__}
    statement = upsert(treasury_targets).values(row)
    changed = {name: statement.excluded[name] for name in row if name != "asset"}
    connection.execute(statement.on_conflict_do_update(index_elements=["asset"], set_=changed))


def list_targets(connection: Connection) -> dict[str, Target]:
    statement = select(treasury_targets).order_by(treasury_targets.c.asset)
    return {row.asset: row for row in fetch_all(connection, statement, Target)}


def vault_units(connection: Connection, addresses: Sequence[str]) -> dict[tuple[str, str], int]:
    """Per (address, asset), what stands in vaults by what is booked: came in, less what left."""
    rows = connection.execute(
        text(
            "SELECT address, asset, sum(units) AS units FROM ("
            " SELECT address, asset, token_amount AS units FROM payins"
            " WHERE address = ANY(:wanted) AND status IN ('posted', 'released')"
            " UNION ALL SELECT sender, asset, -token_amount FROM payins"
            " WHERE sender = ANY(:wanted) AND status IN ('posted', 'released')"
            " AND reason LIKE 'moved_from_%'"
            " UNION ALL SELECT destination, asset, token_amount FROM withdrawals"
            " WHERE destination = ANY(:wanted) AND status = 'posted'"
            " UNION ALL SELECT address, asset, -token_amount FROM outflows"
            " WHERE address = ANY(:wanted) AND status = 'posted') moved"
            " GROUP BY address, asset"
        ),
        {"wanted": list(addresses)},
    )
    return {(row.address, row.asset): int(row.units) for row in rows}
