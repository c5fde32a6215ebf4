"""What the ledger owes, as trees: computed from a machine, and computed again by ``verify``.

A leaf is a ledger account, not a merchant: the machine knows accounts, and so the whole set of
leaves follows from the journal by the codes and units of accounts alone. A table of names can not
hide one. Nothing is netted, neither between merchants nor with what a merchant owes
(``receivable``). A balance is what was posted: a hold is owed until it is posted.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from sakk.core import chart, liability
from sakk.core.errors import UnexpectedState
from sakk.core.ids import digest128
from sakk.core.ledger import OPERATOR_BIT, ledger_of_unit, unit_id
from sakk.core.liability import OWED, LiabilityEpoch, Subject, Tree, build
from sakk.ledger.group import Kind, Outcome, Request
from sakk.ledger.journal import Group
from sakk.ledger.machine import Machine
from sakk.ledger.record import (
    ACCOUNT,
    ID_SIZE,
    decode_id,
    decode_results,
    decode_root,
    encode_id,
    split,
)
from sakk.ledger.types import LiabilityRoot
from sakk.store import liability as store
from sakk.store.identity import new_id, now
from sakk.store.journal import JournalRow

CODE = slice(112, 114)
HELD_SIZE = 32
NANOSECONDS = 1_000_000_000
_OWED_CODES = frozenset(code.to_bytes(2, "little") for code in OWED)


def owed(records: Iterable[bytes]) -> dict[int, bytearray]:
    """By unit, the id and balance (16 bytes each) of every account that holds money owed.

    UnexpectedState for an account that is overdrawn: it would lower what is owed to others.
    """
    found: dict[int, bytearray] = {}
    for record in records:
        if record[CODE] not in _OWED_CODES:
            continue
        identifier, _, debits, _, credits, _, unit, *_ = ACCOUNT.unpack(record)
        if ledger_of_unit(unit) is not None:
            continue  # an account of the operator's own, whose codes are its own too
        balance = int.from_bytes(credits, "little") - int.from_bytes(debits, "little")
        if balance < 0:
            raise UnexpectedState(
                f"Ledger account {UUID(bytes=identifier)} holds money owed and is overdrawn by"
                f" {-balance}: post what is missing to it, then make the epoch again."
            )
        found.setdefault(unit, bytearray()).extend(identifier + balance.to_bytes(16, "big"))
    return found


def tree_of(secret: bytes, held: bytearray) -> Tree:
    """The tree over what ``owed`` found of one unit."""
    return build(secret, _pairs(held))


def root_id(epoch: int, unit: int, *, shard: int) -> bytes:
    """The id under which the root of an epoch and unit is journalled: so it is journalled once."""
    return encode_id(digest128("liability-root", shard, unit, epoch) & ~OPERATOR_BIT)


def compute(
    machine: Machine, head: JournalRow, *, epoch: int, names: Iterable[str]
) -> Iterator[tuple[LiabilityEpoch, Tree]]:
    """The tree of every unit in which money is owed, after the row ``head``.

    ``names``: of the units, from the chart; UnexpectedState where one is missing.
    """
    named = {unit_id(name): name for name in names}
    found, created = owed(machine.account_records()), now()
    for unit in sorted(found):
        if unit not in named:
            raise UnexpectedState(
                f"Money is owed in unit {unit}, which ledger_account_names does not name: restore"
                " that table, then make the epoch again."
            )
        name = named[unit]
        subject = Subject(unit, epoch, head.sequence, head.hash)
        secret = os.urandom(liability.SECRET_BYTES)
        tree = tree_of(secret, found.pop(unit))
        yield (
            LiabilityEpoch(
                id=new_id(liability.PREFIX),
                livemode=chart.currency_of_unit(name)[1],
                shard=head.shard,
                epoch=epoch,
                unit=name,
                unit_id=unit,
                sequence=head.sequence,
                journal_hash=head.hash,
                as_of=datetime.fromtimestamp(head.timestamp_ns // NANOSECONDS, UTC),
                root_id=root_id(epoch, unit, shard=head.shard),
                root=tree.root(subject),
                total=tree.total,
                leaves=tree.leaves,
                secret=secret,
                tops=tree.tops,
                created=created,
            ),
            tree,
        )


def root_of(epoch: LiabilityEpoch) -> LiabilityRoot:
    """What is journalled of an epoch."""
    return LiabilityRoot(
        id=decode_id(epoch.root_id),
        root=epoch.root,
        total=epoch.total,
        epoch=epoch.epoch,
        leaves=epoch.leaves,
        unit=epoch.unit_id,
        sequence=epoch.sequence,
    )


class Recount:
    """The check of every epoch while a journal is replayed.

    ``check`` is given every row. It computes the trees of the epochs that speak of the row, by
    their stored secrets, and compares roots in the journal with what was computed before; ``rest``
    comes last. Both say what is wrong, and where.
    """

    def __init__(self, connection: psycopg.Connection[Any], shard: int) -> None:
        self.roots = 0
        self.recomputed = 0
        self._connection = connection
        self._shard = shard
        self._epochs: dict[int, list[LiabilityEpoch]] = {}
        for epoch in store.all_epochs(connection, shard):
            self._epochs.setdefault(epoch.sequence, []).append(epoch)
        # What the replayed machine came to, by the root's id, until the journal names it.
        self._expected: dict[bytes, tuple[LiabilityEpoch, LiabilityRoot]] = {}

    def check(self, machine: Machine, row: JournalRow, group: Group) -> Iterator[tuple[str, str]]:
        """Of one row, after the machine applied it: its roots, then the epochs that speak of it."""
        for request, outcome in zip(group.requests, group.outcomes, strict=True):
            if request.kind is Kind.create_roots:
                yield from self._compare(row, request, outcome)
        epochs = self._epochs.pop(row.sequence, [])
        if not epochs:
            return
        try:
            found = owed(machine.account_records())
        except UnexpectedState as error:
            yield _place(epochs[0]), error.message
            return
        for epoch in epochs:
            yield from self._recompute(epoch, row, found.get(epoch.unit_id))

    def _recompute(
        self, epoch: LiabilityEpoch, row: JournalRow, held: bytearray | None
    ) -> Iterator[tuple[str, str]]:
        """What an epoch must be, kept for its root, and its stored parts held against it."""
        place = _place(epoch)
        if held is None or len(epoch.secret) != liability.SECRET_BYTES:
            yield place, "nothing was owed in its unit, or its secret is not whole"
            return
        tree = tree_of(epoch.secret, held)
        root = tree.root(Subject(epoch.unit_id, epoch.epoch, row.sequence, row.hash))
        self.recomputed += 1
        if (epoch.root, epoch.total, epoch.leaves, epoch.journal_hash) != (
            root, tree.total, tree.leaves, row.hash,
        ):  # fmt: skip
            yield place, "its root, total, leaves or journal hash is not the journal's"
        stored = list(store.epoch_tiles(self._connection, epoch.id))
        if epoch.tops != tree.tops or stored != tree.tiles:
            yield place, "its stored leaves are not the journal's: its proofs would not hold"
        identifier = root_id(epoch.epoch, epoch.unit_id, shard=self._shard)
        expected = LiabilityRoot(
            id=decode_id(identifier),
            root=root,
            total=tree.total,
            epoch=epoch.epoch,
            leaves=tree.leaves,
            unit=epoch.unit_id,
            sequence=row.sequence,
        )
        self._expected[identifier] = (epoch, expected)

    def _compare(
        self, row: JournalRow, request: Request, outcome: Outcome
    ) -> Iterator[tuple[str, str]]:
        """The roots that a row of the journal holds, with what was computed."""
        _, statuses = decode_results(outcome.results)
        for record, status in zip(split(request.records), statuses, strict=True):
            if status:
                continue
            self.roots += 1
            root = decode_root(record)
            place = f"root of epoch {root.epoch}, unit {root.unit}, in journal row {row.sequence}"
            if root.sequence >= row.sequence:
                yield place, "speaks of a row that was not written yet"
            computed = self._expected.pop(record[:ID_SIZE], None)
            if computed is not None and computed[1] != root:
                yield place, "is not what the journal comes to at its row"

    def rest(self) -> Iterator[tuple[str, str]]:
        """What is left at the end: epochs that are shown without a root in the journal."""
        for epochs in self._epochs.values():
            for epoch in epochs:
                yield _place(epoch), f"speaks of row {epoch.sequence}, which is not there"
        for epoch, _ in self._expected.values():
            if epoch.journalled is not None:
                yield _place(epoch), "is shown, and its root is not in the journal"


def _place(epoch: LiabilityEpoch) -> str:
    return f"liability_epochs {epoch.id} (epoch {epoch.epoch} of {epoch.unit})"


def _pairs(held: bytearray) -> Iterator[tuple[bytes, int]]:
    for start in range(0, len(held), HELD_SIZE):
        yield (
            bytes(held[start : start + ID_SIZE]),
            int.from_bytes(held[start + ID_SIZE : start + HELD_SIZE], "big"),
        )
