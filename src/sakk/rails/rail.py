"""What every rail can do, and the words in which it speaks: blocks, transfers, heads.

A rail watches a chain, builds and broadcasts transactions, and says what became of them. It holds
no key, no database and no policy: it is handed addresses, signed bytes and limits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

Direction = Literal["in", "out", "within"]

# Reads the hash that we stored for a block number; None when we stored none.
KnownHash = Callable[[int], str | None]


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block of a chain. ``timestamp`` is the block's own, in seconds since 1970."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class TransferSeen:
    """One transfer that touches an address of ours, as one block holds it.

    ``units`` are atomic and above zero; addresses and the contract are lower-case hex on EVM.
    ``(network, tx_hash, log_index)`` names it; after a reorg the same name may stand in another
    block. A native coin's transfer has no log: its ``log_index`` is
    ``-1 - transaction_index`` and its ``contract`` is empty.
    """

    network: str
    asset: str
    contract: str
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    sender: str
    receiver: str
    units: int
    direction: Direction


@dataclass(frozen=True, slots=True)
class ActSeen:
    """What a block shows done with the rights of ``address``, which is ours, besides transfers.

    ``transaction``: it sent one, to ``other``. ``approval``: it lets ``other`` spend ``units`` of
    ``asset``; ``operator``: everything of it. ``delegation``: it signed that it runs ``other``'s
    code (EIP-7702). ``(network, tx_hash, kind, place)`` names it; ``place`` is the log's index, or
    its place in the transaction's list, or 0.
    """

    network: str
    kind: Literal["transaction", "approval", "operator", "delegation"]
    address: str
    other: str
    asset: str | None
    units: int | None
    tx_hash: str
    place: int
    block_number: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class BlockSeen:
    """One block, the transfers in it that touch us, in the block's order, and what ours did.

    ``flows``: of each asset that was asked for, all its transfers between whomever, as rows of
    ``core.exposure_batch``.
    """

    ref: BlockRef
    transfers: tuple[TransferSeen, ...]
    flows: tuple[tuple[str, bytes], ...] = ()
    acts: tuple[ActSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class Reorg:
    """The chain no longer holds blocks that we followed.

    ``orphaned`` are the numbers of our blocks that it dropped, ascending. Following goes on from
    ``ancestor``; None when nothing that we know is left, so it begins again at ``orphaned[0]``.
    """

    orphaned: tuple[int, ...]
    ancestor: BlockRef | None


@dataclass(frozen=True, slots=True)
class Follow:
    """One step along a chain: new blocks, or a reorg, or neither (the node has nothing new).

    ``blocks`` follow the cursor without a gap, each the child of the one before it.
    """

    blocks: tuple[BlockSeen, ...] = ()
    reorg: Reorg | None = None


Intent_contra = TypeVar("Intent_contra", contravariant=True)
Unsigned_co = TypeVar("Unsigned_co", covariant=True)
Reference_contra = TypeVar("Reference_contra", contravariant=True)
Outcome_co = TypeVar("Outcome_co", covariant=True)
Status_co = TypeVar("Status_co", covariant=True)


class Rail(Protocol[Intent_contra, Unsigned_co, Reference_contra, Outcome_co, Status_co]):
    """The small protocol that each family of chains implements for one network.

    Every method may raise ``Unavailable`` (transient): the outcome is then unknown, never failed.
    """

    @property
    def network(self) -> str:
        """CAIP-2."""
        ...

    def head(self) -> BlockRef:
        """The newest block that the node knows."""
        ...

    def watch(
        self,
        cursor: BlockRef | None,
        *,
        until: int,
        blocks_max: int,
        known_hash: KnownHash,
        start: int | None = None,
    ) -> Follow:
        """Blocks after the cursor, up to number ``until``, or the reorg that ended its branch.

        Without a cursor it begins with block ``start`` (``until`` when not given).
        """
        ...

    def address(self, xpub: str, index: int) -> str:
        """The deposit address at an index below an account's extended public key."""
        ...

    def build(self, intent: Intent_contra) -> Unsigned_co:
        """What the signer is asked to sign."""
        ...

    def broadcast(self, signed: bytes) -> Outcome_co:
        """Hand signed bytes to the chain; the same bytes may be sent any number of times."""
        ...

    def status(self, reference: Reference_contra) -> Status_co:
        """What the chain says has become of a transaction."""
        ...
