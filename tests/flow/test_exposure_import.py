"""Imports of transfers: each once, in the chain's order, whatever is repeated or broken off."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from tests.screening.exposing import ASSET, CONTRACT, NETWORK, NOW, Token, text, transfer, tx

from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.exposure_batch import Transfer, pack_row
from sakk.flow import exposure as flow
from sakk.flow import exposure_import
from sakk.flow.exposure_import import TransfersImported, import_transfers
from sakk.rails.rail import BlockRef, BlockSeen
from sakk.screening.exposure import Exposures
from sakk.screening.exposure_file import TransferMapping
from sakk.store import exposure as store
from sakk.store import network
from sakk.store.database import Database

HEADER = "tx_hash,log_index,block_number,timestamp,from,to,value,contract_address\n"
HISTORY = [
    transfer(1, 1, 2, 10),
    transfer(1, 1, 3, 20, log_index=1),
    transfer(2, 2, 3, 10),
    transfer(4, 3, 4, 30),
]


@pytest.fixture
def token(database: Database) -> Token:
    return Token(database)


def write(path: Path, rows: Sequence[Transfer]) -> Path:
    path.write_text(
        HEADER
        + "".join(
            f"0x{row.tx_hash.hex()},{row.log_index},{row.block_number},{row.timestamp},"
            f"0x{row.sender.hex()},0x{row.receiver.hex()},{row.units},{CONTRACT}\n"
            for row in rows
        )
    )
    return path


def bring(
    token: Token, path: Path, mapping: TransferMapping = TransferMapping()
) -> TransfersImported:
    return import_transfers(
        token.database, path, network_name=NETWORK, asset=ASSET, mapping=mapping, now=NOW
    )


def follow(token: Token, rows: Sequence[Transfer]) -> None:
    """As the watcher does: keep blocks, and move the cursor."""
    by_block: dict[int, bytes] = {}
    for row in rows:
        by_block[row.block_number] = by_block.get(row.block_number, b"") + pack_row(row)
    blocks = [
        BlockSeen(BlockRef(number, f"0x{number:064x}", "", number * 12), (), ((ASSET, packed),))
        for number, packed in by_block.items()
    ]
    with token.database.begin() as connection:
        flow.keep(connection, NETWORK, blocks, now=NOW)
        move_cursor(token, max(by_block))


def move_cursor(token: Token, block: int) -> None:
    with token.database.begin() as connection:
        connection.execute(
            update(network.cursors)
            .where(network.cursors.c.network == NETWORK)
            .values(block_number=block)
        )


def received(token: Token, number: int) -> int:
    return Exposures(token.database).exposure(NETWORK, ASSET, text(number)).total_units


def test_a_file_is_kept_once_in_any_order_and_in_pieces(token: Token, tmp_path: Path) -> None:
    first = bring(token, write(tmp_path / "a.csv", [HISTORY[2], HISTORY[0], HISTORY[0]]))
    assert (first.rows, first.added, first.duplicates) == (3, 2, 1)
    again = bring(token, tmp_path / "a.csv")
    assert again.is_repeated
    assert again.height == first.height
    more = bring(token, write(tmp_path / "b.csv", HISTORY))
    assert (more.added, more.duplicates) == (2, 2)
    assert received(token, 3) == 30
    token.label(1, "theft")
    found = Exposures(token.database).exposure(NETWORK, ASSET, text(4))
    assert [(part.category, part.units) for part in found.parts] == [("theft", 30)]
    assert found.paths[0].hops[-1].tx_hash == tx(1, 1)


def test_batches_end_with_their_blocks(
    token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposure_import, "BATCH_ROWS", 1)
    assert bring(token, write(tmp_path / "a.csv", HISTORY)).height == 3


def test_an_import_that_broke_off_is_finished_by_the_next(
    token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.csv", HISTORY)
    honest = store.append_batch
    kept: list[object] = []

    def breaking(*arguments: Any, **named: Any) -> store.Graph:
        if kept:
            raise ConnectionError("the machine went away")
        kept.append(arguments)
        return honest(*arguments, **named)

    monkeypatch.setattr(exposure_import, "BATCH_ROWS", 1)
    monkeypatch.setattr(store, "append_batch", breaking)
    with pytest.raises(ConnectionError):
        bring(token, path)
    monkeypatch.setattr(store, "append_batch", honest)
    finished = bring(token, path)
    assert (finished.added, finished.duplicates) == (2, 2)
    assert received(token, 4) == 30


def test_what_was_followed_is_known_and_what_is_to_follow_is_left(
    token: Token, tmp_path: Path
) -> None:
    follow(token, HISTORY[2:3])
    late = transfer(9, 4, 5, 7)
    report = bring(token, write(tmp_path / "a.csv", [*HISTORY[:3], late]))
    assert (report.added, report.duplicates) == (2, 1)
    assert report.skipped == {"not_followed_yet": 1}
    follow(token, [late])
    assert received(token, 5) == 7


def test_what_was_imported_is_not_followed_again(token: Token, tmp_path: Path) -> None:
    move_cursor(token, 4)
    bring(token, write(tmp_path / "a.csv", HISTORY))
    follow(token, [HISTORY[3], transfer(5, 4, 5, 1)])
    assert received(token, 4) == 30
    follow(token, [HISTORY[3]])
    assert received(token, 4) == 30
    with token.database.begin() as connection:
        (row,) = flow.tell(connection)
    assert (row["height"], row["transfers"], row["last_block"]) == (2, 5, 5)


def test_a_file_without_log_numbers_is_known_by_its_transactions(
    token: Token, tmp_path: Path
) -> None:
    move_cursor(token, 4)
    path = write(tmp_path / "a.csv", HISTORY)
    path.write_text(path.read_text().replace("log_index", "unnamed"))
    assert bring(token, path).added == 4
    assert bring(token, write(tmp_path / "b.csv", HISTORY)).added == 0
    follow(token, HISTORY[3:])
    assert received(token, 4) == 30
    path.write_text(path.read_text() + "\n")
    assert bring(token, path).added == 0


def test_an_import_after_a_reorganisation_brings_what_was_taken_back(
    token: Token, tmp_path: Path
) -> None:
    follow(token, HISTORY)
    with token.database.begin() as connection:
        flow.take_back(connection, NETWORK, above=2, now=NOW)
        flow.take_back(connection, NETWORK, above=4, now=NOW)
    assert received(token, 4) == 0
    assert bring(token, write(tmp_path / "a.csv", HISTORY)).added == 1
    assert received(token, 4) == 30


def test_contradictions_and_unknown_tokens_are_refused(token: Token, tmp_path: Path) -> None:
    twice = [HISTORY[0], transfer(1, 1, 2, 11)]
    with pytest.raises(ParameterInvalid, match=f"says two things of one log of .* {tx(1)}"):
        bring(token, write(tmp_path / "a.csv", twice))
    with pytest.raises(ResourceMissing, match="No such token"):
        import_transfers(
            token.database,
            tmp_path / "a.csv",
            network_name=NETWORK,
            asset=ASSET + "0",
            mapping=TransferMapping(),
            now=NOW,
        )
    other = write(tmp_path / "b.csv", HISTORY)
    other.write_text(other.read_text().replace(CONTRACT, "0x" + "dd" * 20))
    report = bring(token, other)
    assert (report.added, report.skipped) == (0, {"other_contract": 4})


def test_keeping_is_switched_for_a_network(token: Token) -> None:
    with token.database.begin() as connection:
        flow.switch(connection, NETWORK, is_on=False)
        assert flow.tell(connection) == []
        flow.switch(connection, NETWORK, is_on=True)
        assert [row["height"] for row in flow.tell(connection)] == [0]
        with pytest.raises(ParameterInvalid, match="no network"):
            flow.switch(connection, "eip155:5", is_on=True)
