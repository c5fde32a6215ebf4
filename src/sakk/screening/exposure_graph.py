"""One asset's transfers in memory: haircuts as they stream by, and walks over them.

Two make the same: plain Python (`screening.exposure_reference`, read as the specification) and
compiled code (`screening.compiled.graph`, used where it is built). A test holds them equal, to the
last unit.

**Grains.** Both count in 64-bit grains: an atomic unit of a token with up to six decimals, a
millionth of a whole token otherwise. What a transfer holds below a grain is left out on both
sides, so nothing is made or lost; a transfer of no whole grain moves nothing here. A transfer of
`GRAINS_MAX` or more (288 billion tokens) is no payment, and one that would fill its receiver past
64 bits is none either: both are skipped, and counted.

**Haircut.** As `core.tracing` has it, in grains: what leaves is divided among the parts and the
unknown by running quotients, so that their shares sum to it.

**Walk.** From an address hop by hop against the money (or with it), dividing by `core.exposure`'s
``carry``, newest transfer first. It stops at labels. A transfer that came after the one it is
asked about cannot be its source, so each address is read only up to the newest transfer by which
the walk reached it (forward: from the oldest on). What is unknown: an address to which nothing
came, more than ``hops_max`` transfers away, more than ``edges_max`` transfers read in all, or an
address without a label that has ``hub_edges_max`` transfers or more: a service that no list names.
"""

from typing import Final, Protocol

from sakk.screening.exposure_reference import Held, Limits, ReferenceGraph, Trace

try:
    from sakk.screening.compiled.graph import CompiledGraph

    IS_BUILT = True
except ImportError:
    IS_BUILT = False

__all__ = ["Graph", "Held", "Limits", "Trace", "grain_of", "make_graph"]

GRAIN_DECIMALS: Final = 6


class Graph(Protocol):
    """Transfers in order, by row from 0. Not safe to share between threads.

    Addresses are 20 raw bytes; the zero address is the issuer. ``append`` a payload, ``label`` the
    addresses that are new, and ``settle``.
    """

    @property
    def row_count(self) -> int:
        """Transfers that were appended, also those that move nothing here."""
        ...

    @property
    def edge_count(self) -> int: ...

    @property
    def address_count(self) -> int: ...

    @property
    def skipped(self) -> int:
        """Transfers that were too large, or would have overfilled their receiver."""
        ...

    @property
    def state_bytes(self) -> int:
        """What the streamed haircut takes: addresses, their index, what they hold."""
        ...

    @property
    def edge_bytes(self) -> int:
        """What the walks take besides: transfers, and where each address's begin."""
        ...

    def append(self, payload: bytes) -> bytes:
        """Add transfers later than all there are; returns the new addresses, end to end."""
        ...

    def label(self, address: bytes, place: int | None) -> bool:
        """Say what a known address counts as; False if it did already, or is not known."""
        ...

    def settle(self, *, undoable: bool = True) -> None:
        """Take the haircut up to the last transfer; from the first on where labels changed.

        What was settled with ``undoable`` can be truncated at once, as far as memory for that
        goes; what is older is reached by counting anew.
        """
        ...

    def truncate(self, row: int) -> None:
        """Take back the transfers from this row on, as if they had never been."""
        ...

    def held(self, address: bytes) -> Held | None:
        """What an address holds now; None for one that was never seen."""
        ...

    def walk(self, address: bytes, *, forward: bool, since: int, limits: Limits) -> Trace:
        """Divide what an address received (forward: sent) since a time by where it leads."""
        ...

    def transfers_of(
        self, address: bytes, *, leaving: bool, limit: int
    ) -> list[tuple[bytes, int, bool]]:
        """An address's newest transfers: the other side, the row, and whether that has a label."""
        ...


def make_graph(*, decimals: int) -> Graph:
    """An empty graph of a token with so many decimals."""
    kind = CompiledGraph if IS_BUILT else ReferenceGraph
    return kind(grain=grain_of(decimals))


def grain_of(decimals: int) -> int:
    """Atomic units in one grain."""
    grain: int = 10 ** max(0, decimals - GRAIN_DECIMALS)
    return grain
