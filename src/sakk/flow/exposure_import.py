"""Importing transfers: a file's rows become batches, each transfer once, whatever is repeated.

The whole file is read and checked before anything is kept. What counts already, by transaction and
log, is left out, so a file that overlaps another, or what was followed, or that was broken off, is
imported again without harm. Batches commit one by one, in the order of their blocks: the watcher
never waits for more than one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from sakk.core.exposure import BatchKind
from sakk.core.exposure_batch import UNCOUNTED, Transfer, encode_transfers
from sakk.flow.exposure import known_keys
from sakk.screening.exposure import listed_token
from sakk.screening.exposure_file import (
    Token,
    TransferMapping,
    is_parquet,
    read_transfers,
)
from sakk.screening.source import Source
from sakk.store import exposure as store
from sakk.store import exposure_stage, network
from sakk.store.database import Database

BATCH_ROWS = 50_000
PROGRESS_ROWS = 50_000

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class TransfersImported:
    """What an import did. ``is_repeated``: this very file was imported before, nothing was done."""

    height: int
    rows: int
    added: int
    duplicates: int
    skipped: dict[str, int]
    is_repeated: bool = False


def import_transfers(
    database: Database,
    path: Path,
    *,
    network_name: str,
    asset: str,
    mapping: TransferMapping,
    now: datetime,
    progress: Progress = lambda _: None,
) -> TransfersImported:
    """Import a file of an asset's transfers; ParameterInvalid names file, line and remedy.

    On a network that is followed, later blocks than its cursor's are left to the watcher.
    """
    skipped: Counter[str] = Counter()
    with Source(path) as source, database.begin() as connection:
        exposure_stage.lock_imports(connection)
        listed = listed_token(connection, network_name, asset)
        token = Token(listed.contract or "", listed.decimals)
        followed_to = _followed_to(connection, network_name)
        seen = _Seen(progress)
        rows = read_transfers(source, token, mapping, skipped)
        count = exposure_stage.stage(connection, seen.count(rows))
        sha256 = source.sha256_of_bytes() if is_parquet(source) else source.sha256()
        before = store.find_import(connection, network_name, asset, sha256)
        if before is not None:
            return TransfersImported(before.height, before.row_count, 0, before.row_count, {}, True)
        twice = exposure_stage.contradiction(connection)
        if twice is not None:
            raise source.refusal(f"says two things of one log of transaction {twice}")
        above = exposure_stage.count_above(connection, followed_to)
        if above:
            skipped["not_followed_yet"] = above
        added = _append_unknown(
            database,
            connection,
            network_name,
            asset,
            last_block=followed_to,
            by_transaction=seen.is_uncounted,
            now=now,
        )
    with database.begin() as connection:
        height = store.height_of(connection, network_name, asset)
        store.put_import(
            connection,
            store.Import(
                network=network_name,
                asset=asset,
                sha256=sha256,
                name=path.name,
                row_count=count,
                added=added,
                duplicates=count - added - above,
                skipped=sum(skipped.values()),
                height=height,
                imported=now,
            ),
        )
    return TransfersImported(height, count, added, count - added - above, dict(skipped))


class _Seen:
    """Counts what streams by, tells of it, and notes whether logs are numbered."""

    def __init__(self, progress: Progress) -> None:
        self.is_uncounted = False
        self._progress = progress

    def count(self, transfers: Iterable[Transfer]) -> Iterator[Transfer]:
        for number, transfer in enumerate(transfers, start=1):
            if number % PROGRESS_ROWS == 0:
                self._progress(number)
            if transfer.log_index >= UNCOUNTED:
                self.is_uncounted = True
            yield transfer


def _followed_to(connection: Connection, name: str) -> int | None:
    """The newest block that the watcher has kept; None where it keeps nothing."""
    found = network.find_network(connection, name)
    if found is None or not found.exposure or not found.enabled:
        return None
    cursors = {each.network: each for each in network.list_cursors(connection)}
    return cursors[name].block_number if name in cursors else None


def _append_unknown(
    database: Database,
    staging: Connection,
    name: str,
    asset: str,
    *,
    last_block: int | None,
    by_transaction: bool,
    now: datetime,
) -> int:
    """Keep what is not known, a batch a transaction; returns how many transfers."""
    blocks = exposure_stage.staged_blocks(staging)
    if blocks is None:
        return 0
    known = known_keys(staging, name, asset, first=blocks[0], last=blocks[1])
    exposure_stage.stage_known(staging, known)
    added = 0
    fresh = exposure_stage.unknown_transfers(
        staging, last_block=last_block, by_transaction=by_transaction
    )
    for batch in _batches(fresh):
        with database.begin() as connection:
            graph = store.lock_graph(connection, name, asset, now=now)
            store.append_batch(
                connection,
                graph,
                kind=BatchKind.imported,
                blocks=(batch[0].block_number, batch[-1].block_number),
                count=len(batch),
                payload=encode_transfers(batch),
                now=now,
            )
        added += len(batch)
    return added


def _batches(transfers: Iterable[Transfer]) -> Iterator[list[Transfer]]:
    """Cut into batches, never within a block: batches that share none are not merged later."""
    batch: list[Transfer] = []
    for transfer in transfers:
        if len(batch) >= BATCH_ROWS and transfer.block_number != batch[-1].block_number:
            yield batch
            batch = []
        batch.append(transfer)
    if batch:
        yield batch
