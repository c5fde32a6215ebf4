from datetime import UTC, datetime

import pytest

from sakk.core.exposure import BatchKind, chain_hash
from sakk.core.exposure_batch import (
    ROW_BYTES,
    TX_HASH_BYTES,
    TX_HASH_OFFSET,
    Transfer,
    encode_transfers,
    head_bytes,
)
from sakk.store import exposure as store
from sakk.store.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NETWORK = "eip155:1"
ASSET = "eip155:1/erc20:0x" + "c0" * 20


def payload(*blocks: int) -> bytes:
    return encode_transfers(
        [Transfer(block, 0, 0, b"\1" * 20, b"\2" * 20, 5, bytes([block]) * 32) for block in blocks]
    )


def append(
    database: Database, kind: BatchKind, blocks: tuple[int, int], content: bytes = b""
) -> store.Graph:
    with database.begin() as connection:
        graph = store.lock_graph(connection, NETWORK, ASSET, now=NOW)
        return store.append_batch(
            connection, graph, kind=kind, blocks=blocks, count=1, payload=content, now=NOW
        )


def test_heights_rise_by_one_and_each_hash_holds_all_before_it(database: Database) -> None:
    with database.begin() as connection:
        assert store.height_of(connection, NETWORK, ASSET) == 0
        assert store.list_graphs(connection) == []
    first = append(database, BatchKind.followed, (1, 2), payload(1, 2))
    second = append(database, BatchKind.undone, (2, 1))
    assert (first.height, second.height) == (1, 2)
    assert (first.last_block, second.last_block) == (2, 1)
    assert second.hash == chain_hash(
        first.hash, height=2, kind=BatchKind.undone, blocks=(2, 1), count=1, payload=b""
    )
    with database.begin() as connection:
        assert store.list_graphs(connection) == [second]
        assert store.height_of(connection, NETWORK, ASSET) == 2
        heads = store.heads(connection, NETWORK, ASSET, height_max=9)
        assert [head.previous_hash for head in heads] == [store.GENESIS, first.hash]
        (after,) = store.heads_after(connection, NETWORK, ASSET, height=1, limit=5)
        assert after == (heads[1], b"")


def test_an_import_says_how_far_it_reached(database: Database) -> None:
    append(database, BatchKind.imported, (1, 9), payload(1, 9))
    graph = append(database, BatchKind.imported, (3, 4), payload(3, 4))
    assert graph.imported_to == 9
    assert graph.last_block == 9
    append(database, BatchKind.followed, (10, 12), payload(10, 12))
    with database.begin() as connection:
        assert store.graphs_above(connection, NETWORK, 11) == [ASSET]
        assert store.graphs_above(connection, NETWORK, 12) == []


def test_hashes_are_cut_out_of_payloads_in_the_order_asked(database: Database) -> None:
    content = payload(1, 2, 3)
    append(database, BatchKind.followed, (1, 3), content)
    append(database, BatchKind.followed, (4, 4), payload(4))
    start = head_bytes(content) + TX_HASH_OFFSET
    wanted = [(1, start + 2 * ROW_BYTES), (2, head_bytes(payload(4)) + TX_HASH_OFFSET), (1, start)]
    with database.begin() as connection:
        found = store.cut_out(connection, NETWORK, ASSET, wanted, length=TX_HASH_BYTES)
        assert store.cut_out(connection, NETWORK, ASSET, [], length=TX_HASH_BYTES) == []
        pages = list(store.payloads(connection, NETWORK, ASSET, [2, 1]))
    assert found == [b"\3" * 32, b"\4" * 32, b"\1" * 32]
    assert pages == [(2, payload(4)), (1, content)]


def test_a_file_is_imported_once(database: Database) -> None:
    row = store.Import(NETWORK, ASSET, "ab", "t.csv", 3, 2, 1, 0, 7, NOW)
    with database.begin() as connection:
        assert store.find_import(connection, NETWORK, ASSET, "ab") is None
        store.put_import(connection, row)
        assert store.find_import(connection, NETWORK, ASSET, "ab") == row


@pytest.mark.parametrize("kind", list(BatchKind))
def test_every_kind_has_its_own_hash(kind: BatchKind) -> None:
    others = [
        chain_hash(b"", height=1, kind=each, blocks=(1, 1), count=0, payload=b"")
        for each in BatchKind
        if each is not kind
    ]
    mine = chain_hash(b"", height=1, kind=kind, blocks=(1, 1), count=0, payload=b"")
    assert mine not in others
