"""What rules and people ask: of an address's money in a token, which part leads to whom.

Each process that asks keeps a graph of a token from the first question on (`exposure_graph` says
what it takes: about 56 bytes an address and 32 a transfer). Every question first reads two
numbers, the height of the token's batches and the lists version, and catches up: an answer holds
for exactly that height and that version, in every process, and `exposure_at` gives it again later.

Labels count for all of the past: the coins of a thief are stolen also when a list says so a year
later. So a change that touches an address of the graph counts the haircuts anew, at some ten
million transfers a second. Labels' validity dates play no part: where money came from is a
statement about the past. If the database cannot be read, `Unavailable` is raised and nothing is
guessed.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Final

from prometheus_client import Gauge
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sakk.core.behaviour import Peel
from sakk.core.errors import ParameterInvalid, ResourceMissing, Unavailable
from sakk.core.exposure import (
    PART_CATEGORIES,
    Exposure,
    Hop,
    Method,
    Path,
    Way,
    parts_of,
)
from sakk.core.exposure_batch import ROW_BYTES, TX_HASH_BYTES, TX_HASH_OFFSET, ends_and_units
from sakk.core.label import CATEGORY_ORDER, EVM, family_of_network, normalise_address
from sakk.core.network import Asset
from sakk.core.tracing import UNKNOWN, Move, fifo
from sakk.screening.exposure_graph import Held, Limits, Trace, grain_of
from sakk.screening.exposure_history import History, categories
from sakk.screening.peel import chain_of
from sakk.store import exposure as store
from sakk.store import label as label_store
from sakk.store.database import Database
from sakk.store.network import list_assets

LIMITS: Final = Limits()
# First in, first out follows every transfer of every address on the way: dearer than a walk.
FIFO_LIMITS: Final = Limits(edges_max=20_000)

_LABELS = ["network", "asset"]
height_gauge = Gauge(
    "sakk_exposure_height",
    "The last batch of transfers that this token's graph holds.",
    _LABELS,
    multiprocess_mode="mostrecent",
)
lag_gauge = Gauge(
    "sakk_exposure_lag_batches",
    "Batches that the graph was behind when it was last asked.",
    _LABELS,
    multiprocess_mode="mostrecent",
)
address_gauge = Gauge(
    "sakk_exposure_addresses", "Addresses in the graph.", _LABELS, multiprocess_mode="mostrecent"
)
transfer_gauge = Gauge(
    "sakk_exposure_transfers", "Transfers in the graph.", _LABELS, multiprocess_mode="mostrecent"
)
byte_gauge = Gauge(
    "sakk_exposure_bytes",
    "Memory of the graph in one process, by what it is for.",
    [*_LABELS, "kind"],
    multiprocess_mode="mostrecent",
)


class Exposures:
    """The graphs of one process. Safe to share between threads; each token has a lock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._histories: dict[str, tuple[threading.Lock, History]] = {}

    def exposure(
        self,
        network: str,
        asset: str,
        address: str,
        direction: Way = Way.source,
        *,
        since: int = 0,
        limits: Limits = LIMITS,
        connection: Connection | None = None,
    ) -> Exposure:
        """Walk from an address: all that it received (or sent) since a time, with the paths.

        ``since`` is in seconds since 1970. With ``connection`` the questions are asked there, so
        that lists which the caller holds are those that count. Raises ParameterInvalid for an
        address or asset that is none, and `Unavailable`.
        """
        with self._current(network, asset, connection) as (history, open_connection):
            return _walk(history, open_connection, address, direction, since, limits)

    def exposures(
        self,
        network: str,
        asset: str,
        asked: Collection[tuple[str, Way]],
        *,
        connection: Connection,
    ) -> dict[tuple[str, Way], Exposure]:
        """Walk from many addresses, all at one height and one lists version; as `exposure`."""
        with self._current(network, asset, connection) as (history, same):
            return {
                (address, way): _walk(history, same, address, way, 0, LIMITS)
                for address, way in set(asked)
            }

    def held(
        self, network: str, asset: str, address: str, *, connection: Connection | None = None
    ) -> Exposure:
        """The haircut of what stands on an address now: one row of the graph is read."""
        with self._current(network, asset, connection) as (history, _):
            return _held(history, address)

    def fifo(
        self, network: str, asset: str, address: str, *, connection: Connection | None = None
    ) -> Exposure:
        """What stands on an address now, by the rule that what came first leaves first.

        Follows every transfer of the addresses on the way from labels, within ``FIFO_LIMITS``; for
        opened cases, not for every payment.
        """
        with self._current(network, asset, connection) as (history, open_connection):
            return _fifo(history, open_connection, address)

    def chain(
        self,
        network: str,
        asset: str,
        address: str,
        *,
        hops_max: int,
        connection: Connection | None = None,
    ) -> tuple[Peel, ...]:
        """The way that most of an address's money came, and what each stop on it kept."""
        with self._current(network, asset, connection) as (history, open_connection):
            root = read_address(address)
            return chain_of(history, open_connection, root, hops_max=hops_max)

    def exposure_at(
        self,
        network: str,
        asset: str,
        address: str,
        direction: Way = Way.source,
        *,
        height: int,
        lists_version: int,
        since: int = 0,
        limits: Limits = LIMITS,
        method: Method = Method.walk,
    ) -> Exposure:
        """The same answer as at an earlier height and lists version.

        The graph is made for this question alone. ParameterInvalid for a height or version that
        there has not been.
        """
        with _reading(), self._database.begin() as connection:
            last = store.height_of(connection, network, asset)
            if not 0 <= height <= last:
                raise ParameterInvalid(
                    f"The height is 0 to {last}, of this asset's batches so far.", param="height"
                )
            newest = label_store.lists_version(connection)
            if not 0 <= lists_version <= newest:
                raise ParameterInvalid(
                    f"The lists version is 0 to {newest}.", param="lists_version"
                )
            history = History(listed_token(connection, network, asset))
            history.load(connection, height=height, lists_version=lists_version)
            if method is Method.haircut:
                return _held(history, address)
            if method is Method.fifo:
                return _fifo(history, connection, address)
            return _walk(history, connection, address, direction, since, limits)

    @contextmanager
    def _current(
        self, network: str, asset: str, connection: Connection | None
    ) -> Iterator[tuple[History, Connection]]:
        """The token's graph, caught up, while nobody else uses it."""
        opened = self._database.begin() if connection is None else nullcontext(connection)
        with _reading(), opened as mine:
            with self._lock:
                entry = self._histories.get(asset)
                if entry is None:
                    history = History(listed_token(mine, network, asset))
                    entry = self._histories[asset] = (threading.Lock(), history)
            if entry[1].asset.network != network:
                raise ParameterInvalid(
                    "{asset} is not on {network}.", param="asset", asset=asset, network=network
                )
            # Before the thread's lock: neither number may go back while others catch up further.
            version = label_store.lists_version(mine)
            height = store.height_of(mine, network, asset)
            with entry[0]:
                history = entry[1]
                behind = history.catch_up(mine, height=height, lists_version=version)
                if behind is not None:
                    _measure(history, behind)
                yield history, mine


def listed_token(connection: Connection, network: str, asset: str) -> Asset:
    """The asset as the operator listed it; its decimals say what a grain is."""
    if family_of_network(network) != EVM:
        raise ParameterInvalid(
            "Exposure is known on EVM networks (eip155:…), not on {network}.",
            param="network",
            network=network[:80],
        )
    for each in list_assets(connection, network=network):
        if each.asset == asset and each.contract is not None:
            return each
    raise ResourceMissing(
        "No such token: {asset} on {network}; see `sakk assets list`.",
        param="asset",
        asset=repr(asset[:200]),
        network=network[:80],
    )


def _walk(
    history: History,
    connection: Connection,
    address: str,
    direction: Way,
    since: int,
    limits: Limits,
) -> Exposure:
    trace = history.graph.walk(
        read_address(address), forward=direction is Way.destination, since=since, limits=limits
    )
    grain = grain_of(history.asset.decimals)
    return Exposure(
        network=history.asset.network,
        asset=history.asset.asset,
        address=address.lower(),
        direction=direction,
        total_units=trace.total * grain,
        parts=parts_of(
            {PART_CATEGORIES[place]: units * grain for place, units, _ in trace.parts},
            {PART_CATEGORIES[place]: direct * grain for place, _, direct in trace.parts},
        ),
        unknown_units=trace.unknown * grain,
        height=history.height,
        paths=_paths(history, connection, trace, grain),
        lists_version=history.lists_version,
        method=Method.walk,
        is_cut=trace.is_cut,
    )


def _paths(history: History, connection: Connection, trace: Trace, grain: int) -> tuple[Path, ...]:
    """The evidence in words: hashes out of the batches, entities out of the lists."""
    if not trace.paths:
        return ()
    rows = [row for _, hops, _ in trace.paths for _, row in hops]
    places = [(height, offset + TX_HASH_OFFSET) for height, offset in history.places_of(rows)]
    hashes = dict(
        zip(
            rows,
            store.cut_out(
                connection,
                history.asset.network,
                history.asset.asset,
                places,
                length=TX_HASH_BYTES,
            ),
            strict=True,
        )
    )
    ends = [_text(hops[-1][0]) for _, hops, _ in trace.paths]
    said = _said(connection, history.lists_version, ends)
    return tuple(
        Path(
            category=PART_CATEGORIES[place],
            entity=said.get(end, (None, None))[0],
            list=said.get(end, (None, None))[1],
            hops=tuple(Hop(_text(address), "0x" + hashes[row].hex()) for address, row in hops),
            units=units * grain,
        )
        for (place, hops, units), end in zip(trace.paths, ends, strict=True)
    )


def _said(
    connection: Connection, version: int, addresses: Sequence[str]
) -> dict[str, tuple[str | None, str | None]]:
    """Of each address, the entity and the list's name of the worst label."""
    names = label_store.list_versions_at(connection, version=version)
    found: dict[str, tuple[str | None, str | None]] = {}
    labels = label_store.labels_at(
        connection, version=version, addresses=[(EVM, each) for each in set(addresses)]
    )
    order = [category.value for category in CATEGORY_ORDER]
    for label in sorted(labels, key=lambda label: order.index(label.category)):
        name = names.get(label.list_id)
        found.setdefault(label.address, (label.entity, None if name is None else name[0]))
    return found


def _held(history: History, address: str, *, method: Method = Method.haircut) -> Exposure:
    held = history.graph.held(read_address(address)) or Held(0, ())
    grain = grain_of(history.asset.decimals)
    units = {PART_CATEGORIES[place]: grains * grain for place, grains in held.parts}
    return _standing(history, address, units, total=held.grains * grain, method=method)


def _fifo(history: History, connection: Connection, address: str) -> Exposure:
    root = read_address(address)
    rows, is_cut = history.rows_behind(root, FIFO_LIMITS)
    content = store.cut_out(
        connection,
        history.asset.network,
        history.asset.asset,
        history.places_of(rows),
        length=ROW_BYTES,
    )
    moves = [
        Move(_text(sender), _text(receiver), units)
        for sender, receiver, units in map(ends_and_units, content)
    ]
    ends = {end for move in moves for end in (move.sender, move.receiver)}
    labels = {
        end: category
        for end, category in categories(connection, history.lists_version, ends).items()
        if category is not None
    }
    if _text(root) in labels:
        # It is a source itself: all that it holds is of its own category.
        return _held(history, address, method=Method.fifo)
    units: dict[str, int] = {}
    for category, piece in fifo(moves, labels).get(_text(root), []):
        units[category] = units.get(category, 0) + piece
    total = sum(units.values())
    units.pop(UNKNOWN, None)
    return _standing(history, address, units, total=total, method=Method.fifo, is_cut=is_cut)


def _standing(
    history: History,
    address: str,
    units: dict[str, int],
    *,
    total: int,
    method: Method,
    is_cut: bool = False,
) -> Exposure:
    """What stands on an address now, of which source."""
    return Exposure(
        network=history.asset.network,
        asset=history.asset.asset,
        address=address.lower(),
        direction=Way.source,
        total_units=total,
        parts=parts_of(units),
        unknown_units=total - sum(units.values()),
        height=history.height,
        lists_version=history.lists_version,
        method=method,
        is_cut=is_cut,
    )


def read_address(text: str) -> bytes:
    """An EVM address as its 20 bytes; ParameterInvalid for what is none."""
    try:
        return bytes.fromhex(normalise_address(EVM, text)[2:])
    except ValueError as error:
        raise ParameterInvalid(str(error), param="address") from None


def _text(address: bytes) -> str:
    return "0x" + address.hex()


def _measure(history: History, behind: int) -> None:
    graph, named = history.graph, (history.asset.network, history.asset.asset)
    height_gauge.labels(*named).set(history.height)
    lag_gauge.labels(*named).set(behind)
    address_gauge.labels(*named).set(graph.address_count)
    transfer_gauge.labels(*named).set(graph.row_count)
    byte_gauge.labels(*named, "state").set(graph.state_bytes)
    byte_gauge.labels(*named, "transfers").set(graph.edge_bytes)


@contextmanager
def _reading() -> Iterator[None]:
    """Fail closed: whatever keeps transfers or labels from being read is `Unavailable`."""
    try:
        yield
    except SQLAlchemyError as error:
        raise Unavailable(
            "Transfers cannot be read, so nothing is said of where money came from"
            " ({name}). Is the database up?",
            name=type(error).__name__,
        ) from error
    except MemoryError as error:
        raise Unavailable(
            "There is no memory for this token's transfers; give the process more, or switch"
            " exposure off for the network."
        ) from error
