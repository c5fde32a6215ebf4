"""The state machine of one shard, whichever serves: the compiled one, or the reference.

Both are pure functions of (state, group of requests, journal time): no clock, no I/O, no
randomness in what they answer. The same journal gives the same state, the same results and the
same bytes. ``sakk.ledger.reference`` is read as the specification; ``sakk.ledger.compiled`` is
used when it is built (``make setup``).
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Protocol

from sakk.core.errors import Misconfigured
from sakk.ledger.frozen import Frozen, cut_state
from sakk.ledger.group import GroupOutcome, Request
from sakk.ledger.reference import ReferenceMachine
from sakk.ledger.state import ReferenceLoader

try:
    from sakk.ledger.compiled.machine import CompiledMachine
    from sakk.ledger.compiled.machine import Loader as CompiledLoader

    IS_BUILT = True
except ImportError:
    IS_BUILT = False

NOT_BUILT = "the compiled machine is not built: run `make setup`"


class Make(StrEnum):
    """Which machine."""

    compiled = "compiled"
    reference = "reference"


class Machine(Protocol):
    """All accounts, transfers, holds and refusals of one shard.

    Not safe to share between threads: the writer's thread owns it.
    """

    @property
    def timestamp(self) -> int:
        """The journal time of the last group (ns)."""
        ...

    @property
    def account_count(self) -> int: ...

    @property
    def transfer_count(self) -> int:
        """Created transfers; refusals do not count."""
        ...

    @property
    def last_epoch(self) -> int:
        """The highest epoch of any root of the proof of liabilities, 0 before the first."""
        ...

    def apply(self, requests: Sequence[Request], timestamp: int) -> GroupOutcome:
        """Apply a group at a journal time later than every time before it.

        ``timestamp`` is the time of the group's last event; the events before it stand one
        nanosecond apart. Before the first event, holds whose time is over are released, at most
        ``EXPIRED_MAX``. ValueError where time does not advance: nothing was applied then.
        """
        ...

    def next_expiry(self) -> int | None:
        """When the next open hold runs out (ns), or None."""
        ...

    def lookup_account(self, identifier: bytes) -> bytes:
        """The account's record now, or no bytes."""
        ...

    def lookup_transfer(self, identifier: bytes) -> bytes:
        """The transfer's record as it took effect, or no bytes."""
        ...

    def lookup_result(self, identifier: bytes) -> tuple[int, int] | None:
        """The first outcome under a transfer's id as (status, timestamp); None if never seen."""
        ...

    def lookup_accounts(self, ids: bytes) -> bytes:
        """A record for each of the concatenated ids; zeros where there is none."""
        ...

    def lookup_transfers(self, ids: bytes) -> bytes:
        """A record as it took effect for each of the concatenated ids; zeros where none is."""
        ...

    def lookup_results(self, ids: bytes) -> bytes:
        """``encode_results`` over the ids' first outcomes; status ``NEVER_SEEN`` for the rest."""
        ...

    def account_records(self) -> Iterator[bytes]:
        """Every account's record now, in the order of creation."""
        ...

    def transfer_records(self) -> Iterator[bytes]:
        """Every created transfer's record as it took effect, in the order of creation."""
        ...

    def freeze(self) -> Frozen:
        """The state now, to be read at leisure; ValueError while an earlier one is open."""
        ...

    def dump(self) -> list[bytes]:
        """The parts of the state now, all at once."""
        ...


class Loader(Protocol):
    """Makes a machine from the parts of a state, one after the other."""

    def add(self, part: bytes) -> None:
        """The next part; ValueError where it cannot be one."""
        ...

    def finish(self) -> Machine:
        """The machine; ValueError where the parts were no state."""
        ...


def serving() -> Make:
    """Which machine serves where nobody asks for one."""
    return Make.compiled if IS_BUILT else Make.reference


def new_machine(make: Make | None = None) -> Machine:
    """An empty machine: the compiled one when it is built, or the one asked for."""
    if (make or serving()) is Make.reference:
        return ReferenceMachine()
    if not IS_BUILT:
        raise Misconfigured(NOT_BUILT)
    return CompiledMachine()


def new_loader(make: Make | None = None) -> Loader:
    """For a machine as it was when its state was frozen."""
    if (make or serving()) is Make.reference:
        return ReferenceLoader(ReferenceMachine())
    if not IS_BUILT:
        raise Misconfigured(NOT_BUILT)
    return CompiledLoader()


def load_machine(state: bytes, make: Make | None = None) -> Machine:
    """A machine from the bytes of its state; ValueError where they are none."""
    loader = new_loader(make)
    for part in cut_state(state):
        loader.add(part)
    return loader.finish()
