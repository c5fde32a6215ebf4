"""Transfers of tokens as they were read or imported: append-only batches, one chain an asset.

Every batch has a height, one more than the one before it, and a hash over that one's hash and all
it holds, so a height names exactly one set of transfers. A reorganisation appends a batch that
undoes; nothing is changed or deleted. Appending locks the asset's row, so heights commit in order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    DDL,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    bindparam,
    cast,
    event,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from sakk.core.exposure import BatchKind, chain_hash
from sakk.store.database import fetch_all, fetch_one, run, text_of
from sakk.store.network import assets, networks
from sakk.store.schema import Timestamp, metadata

GENESIS = bytes(32)
PAGE_BATCHES = 64

exposure_graphs = Table(
    "exposure_graphs",
    metadata,
    Column("network", Text, primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("height", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("transfer_count", BigInteger, nullable=False),
    # The newest block of any import: what is followed up to there may be known already.
    Column("imported_to", BigInteger),
    Column("last_block", BigInteger),
    Column("updated", Timestamp, nullable=False),
)

exposure_batches = Table(
    "exposure_batches",
    metadata,
    Column("network", Text, primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("height", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("first_block", BigInteger, nullable=False),
    Column("last_block", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("created", Timestamp, nullable=False),
    Index("ix_exposure_batches_blocks", "network", "asset", "last_block"),
)
# Compressing hashes and addresses costs more than writing them, and rows are cut out by place.
event.listen(
    exposure_batches,
    "after_create",
    DDL("ALTER TABLE exposure_batches ALTER COLUMN payload SET STORAGE EXTERNAL"),  # type: ignore[no-untyped-call]
)

exposure_imports = Table(
    "exposure_imports",
    metadata,
    Column("network", Text, primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("added", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("imported", Timestamp, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Graph:
    """One asset's transfers as a whole: the height and hash of its last batch."""

    network: str
    asset: str
    height: int
    hash: bytes
    transfer_count: int
    imported_to: int | None
    last_block: int | None
    updated: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """A batch without its payload. An undo takes followed blocks above ``last_block`` back."""

    height: int
    kind: str
    first_block: int
    last_block: int
    count: int
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Import:
    """A file that was imported: how many rows it had, and what became of them."""

    network: str
    asset: str
    sha256: str
    name: str
    row_count: int
    added: int
    duplicates: int
    skipped: int
    height: int
    imported: datetime


def list_graphs(connection: Connection) -> list[Graph]:
    statement = select(exposure_graphs).order_by(exposure_graphs.c.network, exposure_graphs.c.asset)
    return fetch_all(connection, statement, Graph)


def height_of(connection: Connection, network: str, asset: str) -> int:
    """The height of the asset's last batch; 0 before the first."""
    found = run(connection, _HEIGHT, {"network": network, "asset": asset}).scalar_one_or_none()
    return found or 0


# Asked with every batch that is judged.
_HEIGHT = text_of(
    select(exposure_graphs.c.height).where(
        exposure_graphs.c.network == bindparam("network"),
        exposure_graphs.c.asset == bindparam("asset"),
    )
)


def followed_tokens(connection: Connection, network: str) -> dict[str, str]:
    """Contract to asset, of the tokens whose transfers are kept on this network."""
    rows = connection.execute(
        select(assets.c.contract, assets.c.asset)
        .join(networks, networks.c.network == assets.c.network)
        .where(
            assets.c.network == network,
            networks.c.exposure.is_(True),
            assets.c.contract.is_not(None),
        )
    )
    return dict(rows.all())


def lock_graph(connection: Connection, network: str, asset: str, *, now: datetime) -> Graph:
    """The asset's graph, made where there was none, locked until the transaction ends."""
    connection.execute(
        insert(exposure_graphs)
        .values(network=network, asset=asset, height=0, hash=GENESIS, transfer_count=0, updated=now)
        .on_conflict_do_nothing()
    )
    statement = select(exposure_graphs).where(*_is(network, asset)).with_for_update()
    found = fetch_one(connection, statement, Graph)
    assert found is not None
    return found


def append_batch(
    connection: Connection,
    graph: Graph,
    *,
    kind: BatchKind,
    blocks: tuple[int, int],
    count: int,
    payload: bytes,
    now: datetime,
) -> Graph:
    """Append to a graph that `lock_graph` locked; the graph as it stands then.

    ``blocks`` are the first and last that the batch speaks of. ``transfer_count`` counts what was
    appended, also what is undone later.
    """
    height = graph.height + 1
    first, last = blocks
    digest = chain_hash(
        graph.hash, height=height, kind=kind, blocks=blocks, count=count, payload=payload
    )
    connection.execute(
        insert(exposure_batches).values(
            network=graph.network,
            asset=graph.asset,
            height=height,
            kind=kind.value,
            first_block=first,
            last_block=last,
            count=count,
            previous_hash=graph.hash,
            hash=digest,
            payload=payload,
            created=now,
        )
    )
    imported = graph.imported_to
    if kind is BatchKind.imported:
        imported = last if imported is None else max(imported, last)
    after = Graph(
        network=graph.network,
        asset=graph.asset,
        height=height,
        hash=digest,
        transfer_count=graph.transfer_count + count,
        imported_to=imported,
        last_block=last if kind is BatchKind.undone else max(last, graph.last_block or 0),
        updated=now,
    )
    connection.execute(
        update(exposure_graphs)
        .where(*_is(graph.network, graph.asset))
        .values(
            height=after.height,
            hash=after.hash,
            transfer_count=after.transfer_count,
            imported_to=after.imported_to,
            last_block=after.last_block,
            updated=now,
        )
    )
    return after


def graphs_above(connection: Connection, network: str, block: int) -> list[str]:
    """Assets of which a followed batch speaks of a block above this one."""
    rows = connection.execute(
        select(exposure_batches.c.asset)
        .where(
            exposure_batches.c.network == network,
            exposure_batches.c.kind == BatchKind.followed.value,
            exposure_batches.c.last_block > block,
        )
        .distinct()
        .order_by(exposure_batches.c.asset)
    )
    return list(rows.scalars())


def heads(connection: Connection, network: str, asset: str, *, height_max: int) -> list[Head]:
    """Every batch up to a height, in order, without its payload."""
    statement = (
        select(*_HEAD)
        .where(*_holds(network, asset), exposure_batches.c.height <= height_max)
        .order_by(exposure_batches.c.height)
    )
    return fetch_all(connection, statement, Head)


def heads_after(
    connection: Connection, network: str, asset: str, *, height: int, limit: int
) -> list[tuple[Head, bytes]]:
    """At most ``limit`` batches after a height, with their payloads, in order."""
    rows = connection.execute(
        select(*_HEAD, exposure_batches.c.payload)
        .where(*_holds(network, asset), exposure_batches.c.height > height)
        .order_by(exposure_batches.c.height)
        .limit(limit)
    )
    return [(Head(*row[:-1]), row[-1]) for row in rows]


_HEAD = [exposure_batches.c[name] for name in Head.__slots__]


def payloads(
    connection: Connection, network: str, asset: str, heights: Sequence[int]
) -> Iterator[tuple[int, bytes]]:
    """Payloads of these batches, in the order given, a page at a time."""
    for start in range(0, len(heights), PAGE_BATCHES):
        page = heights[start : start + PAGE_BATCHES]
        found = dict(
            connection.execute(
                select(exposure_batches.c.height, exposure_batches.c.payload).where(
                    *_holds(network, asset), exposure_batches.c.height.in_(page)
                )
            ).all()
        )
        for height in page:
            yield height, found[height]


def cut_out(
    connection: Connection,
    network: str,
    asset: str,
    places: Sequence[tuple[int, int]],
    *,
    length: int,
) -> list[bytes]:
    """Bytes out of payloads: for each (height, offset from 0), ``length`` of them."""
    if not places:
        return []
    wanted = (
        func.unnest(
            literal([height for height, _ in places], ARRAY(BigInteger)),
            literal([offset + 1 for _, offset in places], ARRAY(Integer)),
        )
        .table_valued("height", "start", with_ordinality="place")
        .render_derived()
    )
    rows = connection.execute(
        select(func.substring(exposure_batches.c.payload, wanted.c.start, cast(length, Integer)))
        .select_from(exposure_batches.join(wanted, wanted.c.height == exposure_batches.c.height))
        .where(*_holds(network, asset))
        .order_by(wanted.c.place)
    )
    return [bytes(value) for value in rows.scalars()]


def find_import(connection: Connection, network: str, asset: str, sha256: str) -> Import | None:
    statement = select(exposure_imports).where(
        exposure_imports.c.network == network,
        exposure_imports.c.asset == asset,
        exposure_imports.c.sha256 == sha256,
    )
    return fetch_one(connection, statement, Import)


def put_import(connection: Connection, row: Import) -> None:
    values = {name: getattr(row, name) for name in Import.__slots__}
    connection.execute(insert(exposure_imports).values(values))


def _is(network: str, asset: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return exposure_graphs.c.network == network, exposure_graphs.c.asset == asset


def _holds(network: str, asset: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return exposure_batches.c.network == network, exposure_batches.c.asset == asset
