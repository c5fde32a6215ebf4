"""One token's graph and the batches behind it: loaded, caught up, and taken back where undone.

The graph holds the transfers of all batches that count, in the order of their blocks, so it is a
function of the height and the lists version alone. What follows the newest block is appended; a
reorganisation of what was followed is truncated; whatever else comes, such as an import of older
blocks, loads all again.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from sakk.core.exposure import BatchKind, category_of_labels, place_of
from sakk.core.exposure_batch import (
    ROW_BYTES,
    Segment,
    Transfer,
    cut,
    encode_transfers,
    head_bytes,
    live,
    transfers,
)
from sakk.core.label import EVM
from sakk.core.network import Asset
from sakk.screening.exposure_graph import Graph, Limits, make_graph
from sakk.store import exposure as store
from sakk.store import label as label_store

ADDRESS_BYTES: Final = 20
PAGE_BATCHES: Final = 64
# Beyond this many, every label is read in one stream instead of by address.
ADDRESSES_ASKED_MAX: Final = 20_000
CHANGES_MAX: Final = 200_000

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of the graph that stand together in batches.

    Of one batch they begin at byte ``start`` of it. Rows of several that overlap are merged, and
    ``places`` says where each stands.
    """

    first_row: int
    row_count: int
    height: int
    start: int
    first_block: int
    last_block: int
    is_followed: bool
    places: tuple[Place, ...] | None = None


class History:
    """One token's graph, of a height and a lists version. Needs a lock around it."""

    def __init__(self, asset: Asset) -> None:
        self.asset = asset
        self.graph: Graph = make_graph(decimals=asset.decimals)
        self.height = 0
        self.lists_version = 0
        self._stretches: list[Stretch] = []
        self._is_whole = False

    def catch_up(self, connection: Connection, *, height: int, lists_version: int) -> int | None:
        """Bring the graph to a height and version; how many batches it lacked, None if nothing."""
        behind = height - self.height
        if self._is_whole and not behind and lists_version == self.lists_version:
            return None
        is_near = self._is_whole and behind >= 0 and lists_version >= self.lists_version
        # Until all is applied the graph is of no height: a failure here loads anew next time.
        self._is_whole = False
        if not (
            is_near
            and self._relabel(connection, lists_version)
            and self._extend(connection, height)
        ):
            self.load(connection, height=height, lists_version=lists_version)
            return max(behind, 0)
        self.graph.settle()
        self._is_whole = True
        return behind

    def load(self, connection: Connection, *, height: int, lists_version: int) -> None:
        """Read everything up to a height, with the labels of a version."""
        self._is_whole = False
        self.graph = make_graph(decimals=self.asset.decimals)
        self._stretches = []
        self.lists_version = lists_version
        batches = store.heads(connection, self.asset.network, self.asset.asset, height_max=height)
        kinds = {head.height: head.kind for head in batches}
        lone: list[Segment] = []
        for group in live(batches):
            if len(group) == 1:
                lone.extend(group)
                if len(lone) == PAGE_BATCHES:
                    self._read(connection, lone, kinds)
                    lone = []
                continue
            self._read(connection, lone, kinds)
            lone = []
            self._merge(connection, group)
        self._read(connection, lone, kinds)
        self._label_all(connection)
        self.graph.settle(undoable=False)
        self.height = height
        self._is_whole = True

    def places_of(self, rows: Sequence[int]) -> list[Place]:
        """Where rows of the graph stand: (height of the batch, byte in its payload)."""
        firsts = [stretch.first_row for stretch in self._stretches]
        places = []
        for row in rows:
            stretch = self._stretches[bisect_right(firsts, row) - 1]
            within = row - stretch.first_row
            if stretch.places is not None:
                places.append(stretch.places[within])
            else:
                places.append((stretch.height, stretch.start + within * ROW_BYTES))
        return places

    def rows_behind(self, address: bytes, limits: Limits) -> tuple[list[int], bool]:
        """Every transfer of an address and of those before it, up to labels; was it cut short?"""
        rows: set[int] = set()
        seen = frontier = {address}
        left = limits.edges_max
        for _ in range(limits.hops_max):
            further: set[bytes] = set()
            for each in sorted(frontier):
                for leaving in (False, True):
                    found = self.graph.transfers_of(each, leaving=leaving, limit=left + 1)
                    if len(found) > left:
                        return sorted(rows), True
                    left -= len(found)
                    rows.update(row for _, row, _ in found)
                    if not leaving:
                        further.update(other for other, _, is_end in found if not is_end)
            frontier = further - seen
            seen = seen | frontier
        return sorted(rows), False

    def _extend(self, connection: Connection, height: int) -> bool:
        """Append what followed; False where that cannot be, and all is to be loaded."""
        while self.height < height:
            page = store.heads_after(
                connection,
                self.asset.network,
                self.asset.asset,
                height=self.height,
                limit=min(PAGE_BATCHES, height - self.height),
            )
            for head, payload in page:
                if head.kind == BatchKind.undone:
                    if not self._undo(connection, head.last_block):
                        return False
                elif head.count and head.first_block <= self._last_block:
                    return False
                elif head.count:
                    self._label_new(
                        connection, self._take(payload, self._stretch(head, head.kind, payload))
                    )
                self.height = head.height
        return True

    @property
    def _last_block(self) -> int:
        return self._stretches[-1].last_block if self._stretches else -1

    def _stretch(self, batch: Segment | store.Head, kind: str, payload: bytes) -> Stretch:
        """A batch's place in the graph, which ends where it begins until it is taken."""
        return Stretch(
            first_row=self.graph.row_count,
            row_count=0,
            height=batch.height,
            start=head_bytes(payload),
            first_block=batch.first_block,
            last_block=batch.last_block,
            is_followed=kind == BatchKind.followed,
        )

    def _take(self, payload: bytes, stretch: Stretch) -> bytes:
        new = self.graph.append(payload)
        self._stretches.append(replace(stretch, row_count=self.graph.row_count - stretch.first_row))
        return new

    def _undo(self, connection: Connection, last_block: int) -> bool:
        """Take followed blocks above one back; False where imports lie among them."""
        row = self.graph.row_count
        while self._stretches and self._stretches[-1].last_block > last_block:
            stretch = self._stretches[-1]
            if not stretch.is_followed:
                return False
            self._stretches.pop()
            row = stretch.first_row
            if stretch.first_block <= last_block:
                kept = cut(self._payload(connection, stretch.height), last_block)
                count = (len(kept) - head_bytes(kept)) // ROW_BYTES
                self._stretches.append(replace(stretch, row_count=count, last_block=last_block))
                row += count
        self.graph.truncate(row)
        return True

    def _payload(self, connection: Connection, height: int) -> bytes:
        pages = store.payloads(connection, self.asset.network, self.asset.asset, [height])
        return next(payload for _, payload in pages)

    def _read(
        self, connection: Connection, segments: Sequence[Segment], kinds: dict[int, str]
    ) -> None:
        """Append batches that overlap no other."""
        pages = store.payloads(
            connection,
            self.asset.network,
            self.asset.asset,
            [segment.height for segment in segments],
        )
        for segment, (_, payload) in zip(segments, pages, strict=True):
            stretch = self._stretch(segment, kinds[segment.height], payload)
            self._take(cut(payload, segment.last_block), stretch)

    def _merge(self, connection: Connection, group: Sequence[Segment]) -> None:
        """Append batches whose blocks overlap, their transfers in one order."""
        rows: list[tuple[Transfer, Place]] = []
        for segment in group:
            payload = self._payload(connection, segment.height)
            start = head_bytes(payload)
            kept = cut(payload, segment.last_block)
            rows.extend(
                (transfer, (segment.height, start + number * ROW_BYTES))
                for number, transfer in enumerate(transfers(kept))
            )
        rows.sort(key=lambda row: (row[0].block_number, row[0].log_index, row[1]))
        stretch = Stretch(
            first_row=self.graph.row_count,
            row_count=0,
            height=group[0].height,
            start=0,
            first_block=min(segment.first_block for segment in group),
            last_block=max(segment.last_block for segment in group),
            is_followed=False,
            places=tuple(place for _, place in rows),
        )
        self._take(encode_transfers([transfer for transfer, _ in rows]), stretch)

    def _label_new(self, connection: Connection, keys: bytes) -> None:
        """Label addresses that the graph has just met."""
        texts = ["0x" + key.hex() for key in _cut_keys(keys)]
        for start in range(0, len(texts), ADDRESSES_ASKED_MAX):
            self._label(
                categories(
                    connection, self.lists_version, texts[start : start + ADDRESSES_ASKED_MAX]
                )
            )

    def _label_all(self, connection: Connection) -> None:
        """Label every address of the graph, reading all labels in one stream."""
        worst: dict[str, str | None] = {}
        for row in label_store.scan_labels(connection, version=self.lists_version):
            if row.family != EVM or self.graph.held(_key(row.address)) is None:
                continue
            known = worst.get(row.address)
            found = [row.category] if known is None else [row.category, known]
            worst[row.address] = category_of_labels(found)
        self._label(worst)

    def _relabel(self, connection: Connection, version: int) -> bool:
        """Bring labels to a version; False where so many changed that loading anew is cheaper."""
        if version == self.lists_version:
            return True
        if label_store.count_changes(connection, after=self.lists_version) > CHANGES_MAX:
            return False
        closed, opened = label_store.scan_changes(
            connection, after=self.lists_version, version=version
        )
        changed = {
            row.address
            for row in (*closed, *opened)
            if row.family == EVM and self.graph.held(_key(row.address)) is not None
        }
        self.lists_version = version
        self._label({**dict.fromkeys(changed), **categories(connection, version, sorted(changed))})
        return True

    def _label(self, found: dict[str, str | None]) -> None:
        for address, category in found.items():
            self.graph.label(_key(address), None if category is None else place_of(category))


def categories(
    connection: Connection, version: int, addresses: Iterable[str]
) -> dict[str, str | None]:
    """As what each of these counts that has a label at a version."""
    said: dict[str, list[str]] = {}
    wanted = [(EVM, address) for address in addresses]
    for label in label_store.labels_at(connection, version=version, addresses=wanted):
        said.setdefault(label.address, []).append(label.category)
    return {address: category_of_labels(words) for address, words in said.items()}


def _key(address: str) -> bytes:
    return bytes.fromhex(address[2:])


def _cut_keys(keys: bytes) -> Iterator[bytes]:
    pieces = iter(keys)
    while key := bytes(islice(pieces, ADDRESS_BYTES)):
        yield key
