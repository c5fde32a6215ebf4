"""Exposure: transfers as the watcher reads them and as files tell them become batches.

The watcher keeps what it read in the transaction that moves its cursor, so no block is kept twice
or left out. What a file says of blocks that were followed already is known by transaction and log.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core.errors import ParameterInvalid
from sakk.core.exposure import BatchKind
from sakk.core.exposure_batch import (
    ROW_BYTES,
    Block,
    cut,
    decode,
    encode,
    is_known,
    live,
    names_known,
    rows_of,
)
from sakk.rails.rail import BlockSeen
from sakk.store import exposure as store
from sakk.store import network

_EVERY = (1 << 63) - 1


def keep(connection: Connection, name: str, blocks: Sequence[BlockSeen], *, now: datetime) -> None:
    """Append what blocks hold of each asset, a batch for each; needs the network's lease."""
    found: dict[str, list[Block]] = {}
    for block in blocks:
        for asset, rows in block.flows:
            found.setdefault(asset, []).append(Block(block.ref.number, block.ref.timestamp, rows))
    for asset in sorted(found):
        graph = store.lock_graph(connection, name, asset, now=now)
        kept = found[asset]
        if graph.imported_to is not None and kept[0].number <= graph.imported_to:
            kept = _unknown(connection, graph, kept)
        count = sum(len(block.rows) // ROW_BYTES for block in kept)
        if count:
            store.append_batch(
                connection,
                graph,
                kind=BatchKind.followed,
                blocks=(kept[0].number, kept[-1].number),
                count=count,
                payload=encode(kept),
                now=now,
            )


def take_back(connection: Connection, name: str, *, above: int, now: datetime) -> None:
    """Append that a reorganisation took the blocks above one, where any of them was kept."""
    for asset in store.graphs_above(connection, name, above):
        graph = store.lock_graph(connection, name, asset, now=now)
        store.append_batch(
            connection,
            graph,
            kind=BatchKind.undone,
            blocks=(above + 1, above),
            count=0,
            payload=b"",
            now=now,
        )


def switch(connection: Connection, name: str, *, is_on: bool) -> None:
    """Say whether a network's transfers are kept; ParameterInvalid where there is none."""
    found = network.find_network(connection, name)
    if found is None:
        raise ParameterInvalid(f"There is no network {name[:80]}.", param="network")
    network.put_network(connection, replace(found, exposure=is_on))


def tell(connection: Connection) -> list[dict[str, Any]]:
    """Each token that has transfers or whose network keeps them, and how far it is."""
    graphs = {graph.asset: graph for graph in store.list_graphs(connection)}
    keeping = {each.network for each in network.list_networks(connection) if each.exposure}
    followed = {each.network: each.block_number for each in network.list_cursors(connection)}
    rows = []
    for asset in network.list_assets(connection):
        graph = graphs.get(asset.asset)
        if graph is None and (asset.network not in keeping or asset.contract is None):
            continue
        rows.append(
            {
                "network": asset.network,
                "asset": asset.asset,
                "symbol": asset.symbol,
                "is_kept": asset.network in keeping,
                "height": 0 if graph is None else graph.height,
                "transfers": 0 if graph is None else graph.transfer_count,
                "last_block": None if graph is None else graph.last_block,
                "followed_to": followed.get(asset.network),
            }
        )
    return rows


def known_keys(
    connection: Connection, name: str, asset: str, *, first: int, last: int
) -> set[bytes]:
    """What names every transfer of these blocks that counts already (``names_known``)."""
    batches = store.heads(connection, name, asset, height_max=_EVERY)
    segments = [
        segment
        for group in live(batches)
        for segment in group
        if segment.first_block <= last and segment.last_block >= first
    ]
    heights = [segment.height for segment in segments]
    payloads = store.payloads(connection, name, asset, heights)
    return names_known(
        key
        for segment, (_, payload) in zip(segments, payloads, strict=True)
        for block in decode(cut(payload, segment.last_block))
        for key, _ in rows_of(block.rows)
    )


def _unknown(connection: Connection, graph: store.Graph, blocks: Iterable[Block]) -> list[Block]:
    """The same blocks without what was imported before they were followed."""
    blocks = list(blocks)
    known = known_keys(
        connection,
        graph.network,
        graph.asset,
        first=blocks[0].number,
        last=blocks[-1].number,
    )
    left = [
        Block(
            block.number,
            block.timestamp,
            b"".join(row for key, row in rows_of(block.rows) if not is_known(key, known)),
        )
        for block in blocks
    ]
    return [block for block in left if block.rows]
