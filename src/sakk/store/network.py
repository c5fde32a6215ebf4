"""Networks, assets and currencies: configuration that lives in the database, and chain cursors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
    case,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.core.chart import currency_unit
from sakk.core.gas_price import MAX_FEE_CAP_WEI, PRIORITY_FEE_CAP_WEI, REPLACE_AFTER_SECONDS
from sakk.core.network import Asset, Currency, Followed, Network
from sakk.core.transaction import GasCoin
from sakk.store.database import fetch, fetch_all, fetch_one, query
from sakk.store.schema import Timestamp, Units, metadata

currencies = Table(
    "currencies",
    metadata,
    Column("currency", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("usd_numerator", Units),
    Column("usd_denominator", Units),
    Column("updated", Timestamp, nullable=False),
)

networks = Table(
    "networks",
    metadata,
    Column("network", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("livemode", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("rpc_urls", ARRAY(Text), nullable=False),
    Column("confirmations", Integer, nullable=False),
    Column("block_seconds", Integer, nullable=False),
    Column("poll_milliseconds", Integer, nullable=False),
    Column("start_block", BigInteger),
    Column("native_asset", Text, nullable=False),
    Column("bloom", Text, nullable=False),
    Column("created", Timestamp, nullable=False),
    Column("max_fee_per_gas_max", Units, nullable=False, server_default=str(MAX_FEE_CAP_WEI)),
    Column(
        "max_priority_fee_per_gas_max",
        Units,
        nullable=False,
        server_default=str(PRIORITY_FEE_CAP_WEI),
    ),
    Column(
        "replace_after_seconds",
        Integer,
        nullable=False,
        server_default=str(REPLACE_AFTER_SECONDS),
    ),
    Column("exposure", Boolean, nullable=False, server_default="false"),
    Column("topup_wei_per_day_max", Units),
    Column("deposit_factory", Text),
)

assets = Table(
    "assets",
    metadata,
    Column("asset", Text, primary_key=True),
    Column("network", Text, nullable=False),
    Column("contract", Text),
    Column("currency", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
    Column("quirks", ARRAY(Text), nullable=False),
    Column("payin_enabled", Boolean, nullable=False),
    Column("payout_enabled", Boolean, nullable=False),
    Column("sweep_minimum", Units, nullable=False),
    Column("eip712_name", Text),
    Column("eip712_version", Text),
    Column("created", Timestamp, nullable=False),
    Column("compare_above", Units),
    Column("payout_minimum", Units, nullable=False, server_default="0"),
    Column("disperse_min", Integer, nullable=False, server_default="2"),
)

cursors = Table(
    "network_cursors",
    metadata,
    Column("network", Text, primary_key=True),
    Column("block_number", BigInteger),
    Column("block_hash", Text),
    Column("parent_hash", Text),
    Column("block_timestamp", BigInteger),
    Column("head_number", BigInteger),
    Column("head_timestamp", BigInteger),
    Column("checked", Timestamp),
    Column("lease_token", Text),
    Column("lease_until", Timestamp),
)

blocks = Table(
    "blocks",
    metadata,
    Column("network", Text, primary_key=True),
    Column("hash", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("parent_hash", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("canonical", Boolean, nullable=False),
    Index("ix_blocks_canonical", "network", "number", unique=True, postgresql_where="canonical"),
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a network has been followed; the next block's parent is ``block_hash``."""

    network: str
    block_number: int | None
    block_hash: str | None
    parent_hash: str | None
    block_timestamp: int | None
    head_number: int | None
    head_timestamp: int | None
    checked: datetime | None
    lease_token: str | None
    lease_until: datetime | None


@dataclass(frozen=True, slots=True)
class Block:
    """A block that was followed; orphaned ones stay, no longer canonical."""

    network: str
    hash: str
    number: int
    parent_hash: str
    timestamp: int
    canonical: bool


def list_currencies(connection: Connection) -> list[Currency]:
    return fetch(connection, _LIST_CURRENCIES)


_LIST_CURRENCIES = query(select(currencies).order_by(currencies.c.currency), Currency)


def list_networks(connection: Connection, *, livemode: bool | None = None) -> list[Network]:
    statement = select(networks).order_by(networks.c.created, networks.c.network)
    if livemode is not None:
        statement = statement.where(networks.c.livemode == livemode)
    return fetch_all(connection, statement, Network)


def find_network(connection: Connection, network: str) -> Network | None:
    return fetch_one(connection, select(networks).where(networks.c.network == network), Network)


def list_assets(connection: Connection, *, network: str | None = None) -> list[Asset]:
    if network is None:
        return fetch(connection, _LIST_ASSETS)
    statement = _ASSETS.where(assets.c.network == network)
    return fetch_all(connection, statement, Asset)


_ASSETS = select(assets).order_by(assets.c.created, assets.c.asset)
_LIST_ASSETS = query(_ASSETS, Asset)


def gas_coins(connection: Connection) -> dict[str, GasCoin]:
    """Per network, the coin that it takes for gas, and the unit in which its cost is counted."""
    rows = connection.execute(
        select(
            networks.c.network,
            networks.c.livemode,
            networks.c.native_asset,
            assets.c.currency,
            assets.c.decimals,
            currencies.c.decimals.label("currency_decimals"),
        )
        .outerjoin(assets, assets.c.asset == networks.c.native_asset)
        .outerjoin(currencies, currencies.c.currency == assets.c.currency)
    )
    return {
        row.network: GasCoin(
            asset=row.native_asset,
            unit=row.native_asset
            if row.currency is None
            else currency_unit(row.currency, livemode=row.livemode),
            decimals=row.decimals or 0,
            unit_decimals=row.currency_decimals or 0,
        )
        for row in rows
    }


def unit_decimals(connection: Connection) -> dict[str, int]:
    """The scale of every unit of the ledger's chart: currencies in both modes, and assets."""
    of_currencies = connection.execute(select(currencies.c.currency, currencies.c.decimals)).all()
    of_assets = connection.execute(select(assets.c.asset, assets.c.decimals)).all()
    return (
        {row.asset: row.decimals for row in of_assets}
        | {row.currency: row.decimals for row in of_currencies}
        | {currency_unit(row.currency, livemode=False): row.decimals for row in of_currencies}
    )


def find_asset(connection: Connection, asset: str) -> Asset | None:
    return fetch_one(connection, select(assets).where(assets.c.asset == asset), Asset)


def lock_asset(connection: Connection, asset: str) -> None:
    """Until the transaction ends nobody else decides anything about this asset."""
    connection.execute(select(assets.c.asset).where(assets.c.asset == asset).with_for_update())


def put_currency(connection: Connection, currency: Currency) -> None:
    """Add a currency, or set its name and price; decimals never change once money exists."""
    row = {name: getattr(currency, name) for name in Currency.__slots__}
    statement = insert(currencies).values(row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["currency"],
            set_={
                name: statement.excluded[name]
                for name in ("name", "usd_numerator", "usd_denominator", "updated")
            },
        )
    )


def put_network(connection: Connection, network: Network) -> None:
    """Add a network or change its settings."""
    row = {name: getattr(network, name) for name in Network.__slots__}
    statement = insert(networks).values(row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["network"],
            set_={name: statement.excluded[name] for name in row if name not in _NETWORK_FIXED},
        )
    )
    connection.execute(insert(cursors).values(network=network.network).on_conflict_do_nothing())


_NETWORK_FIXED = {"network", "family", "native_asset", "created"}


_ASSET_SETTINGS = (
    "quirks",
    "payin_enabled",
    "payout_enabled",
    "sweep_minimum",
    "compare_above",
    "payout_minimum",
    "disperse_min",
)


def put_asset(connection: Connection, asset: Asset) -> None:
    """List a token or change its settings; contract, currency and decimals are fixed."""
    row = {name: getattr(asset, name) for name in Asset.__slots__}
    statement = insert(assets).values(row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["asset"],
            set_={name: statement.excluded[name] for name in _ASSET_SETTINGS},
        )
    )


def set_deposit_factory(connection: Connection, name: str, factory: str | None) -> Network | None:
    """Say whose clones are given out for a network from now on; None: the addresses of keys."""
    statement = update(networks).where(networks.c.network == name)
    changed = statement.values(deposit_factory=factory).returning(networks)
    return fetch_one(connection, changed, Network)


def set_disperse_min(connection: Connection, name: str, minimum: int) -> Asset:
    """Change from how many payouts on a token's share a transaction."""
    statement = update(assets).where(assets.c.asset == name).values(disperse_min=minimum)
    found = fetch_one(connection, statement.returning(assets), Asset)
    assert found is not None
    return found


def find_cursor(connection: Connection, network: str) -> Cursor | None:
    return fetch_one(connection, select(cursors).where(cursors.c.network == network), Cursor)


def list_cursors(connection: Connection) -> list[Cursor]:
    return fetch_all(connection, select(cursors).order_by(cursors.c.network), Cursor)


def lease_cursor(
    connection: Connection, network: str, *, token: str, now: datetime, until: datetime
) -> Cursor | None:
    """Take or renew the right to follow a network; None while another watcher holds it."""
    statement = (
        update(cursors)
        .where(
            cursors.c.network == network,
            (cursors.c.lease_token == token)
            | (cursors.c.lease_until.is_(None))
            | (cursors.c.lease_until < now),
        )
        .values(lease_token=token, lease_until=until)
        .returning(cursors)
    )
    return fetch_one(connection, statement, Cursor)


def advance_cursor(connection: Connection, cursor: Cursor, *, token: str) -> bool:
    """Write a cursor's place where the lease still holds; False when it was lost."""
    place = (
        "block_number",
        "block_hash",
        "parent_hash",
        "block_timestamp",
        "head_number",
        "head_timestamp",
        "checked",
    )
    result = connection.execute(
        update(cursors)
        .where(cursors.c.network == cursor.network, cursors.c.lease_token == token)
        .values({name: getattr(cursor, name) for name in place})
    )
    return result.rowcount == 1


def insert_blocks(connection: Connection, rows: Sequence[Block]) -> None:
    """Record followed blocks; one that was orphaned and came back is canonical again."""
    if rows:
        statement = insert(blocks)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["network", "hash"], set_={"canonical": True}
            ),
            [{name: getattr(row, name) for name in Block.__slots__} for row in rows],
        )


def known_hash(connection: Connection, network: str, number: int) -> str | None:
    """The hash that we hold for a block number on the chain as we follow it."""
    return connection.execute(
        select(blocks.c.hash).where(
            blocks.c.network == network, blocks.c.number == number, blocks.c.canonical
        )
    ).scalar_one_or_none()


def orphan_blocks(connection: Connection, network: str, *, above: int) -> list[str]:
    """Mark every block above a number as no longer on the chain; returns their hashes."""
    return list(
        connection.execute(
            update(blocks)
            .where(blocks.c.network == network, blocks.c.number > above, blocks.c.canonical)
            .values(canonical=False)
            .returning(blocks.c.hash)
        ).scalars()
    )


def find_block(connection: Connection, network: str, number: int) -> Block | None:
    return fetch_one(
        connection,
        select(blocks).where(
            blocks.c.network == network, blocks.c.number == number, blocks.c.canonical
        ),
        Block,
    )


def lock_followed(connection: Connection, network: str, number: int, hash: str) -> bool:
    """Is a block on the chain as it has been followed? One that is older than what is kept is, and
    every one of a network that is disabled, which nobody follows.

    The network's watcher does not move on until the caller's transaction ends, so whoever writes
    the block down before is told when it is lost.
    """
    followed, enabled = connection.execute(
        select(cursors.c.block_number, networks.c.enabled)
        .select_from(networks.join(cursors, cursors.c.network == networks.c.network))
        .where(networks.c.network == network)
        .with_for_update(read=True, of=cursors)
    ).one()
    kept = find_block(connection, network, number)
    if kept is not None:
        return bool(kept.hash == hash)
    return not enabled or (followed is not None and number <= followed)


def lock_canonical(connection: Connection, places: Iterable[tuple[str, str]]) -> set[str]:
    """Which blocks, given as (network, hash), are on the chain as it has been followed.

    No watcher moves these networks on until the caller's transaction ends.
    """
    wanted = sorted(set(places))
    if not wanted:
        return set()
    connection.execute(
        select(cursors.c.network)
        .where(cursors.c.network.in_({name for name, _ in wanted}))
        .order_by(cursors.c.network)
        .with_for_update(read=True)
    )
    return set(
        connection.execute(
            select(blocks.c.hash).where(
                tuple_(blocks.c.network, blocks.c.hash).in_(wanted), blocks.c.canonical
            )
        ).scalars()
    )


def prune_blocks(connection: Connection, network: str, *, below: int) -> int:
    """Forget headers far below any reorganisation."""
    return connection.execute(
        blocks.delete().where(blocks.c.network == network, blocks.c.number < below)
    ).rowcount


def followed(connection: Connection, network_names: Iterable[str]) -> dict[str, Followed]:
    """How far networks were read; without those of which no block was."""
    is_read = cursors.c.block_number >= func.coalesce(cursors.c.head_number, 0)
    rows = connection.execute(
        select(
            cursors.c.network,
            func.coalesce(cursors.c.block_timestamp, 0).label("block_timestamp"),
            case((is_read, cursors.c.checked)).label("looked"),
        ).where(cursors.c.network.in_(list(network_names)), cursors.c.block_number.is_not(None))
    )
    return {row.network: Followed(row.block_timestamp, row.looked) for row in rows}
