"""What must be so: told by the rows that became durable, in their order, and by nothing else.

The oracle has a machine of its own and applies each row when the server has it in both places. A
read that is under way may be answered from any state between its question and its answer; a
write's answer must stand in a durable row.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sakk.ledger.calls import Op
from sakk.ledger.group import Kind
from sakk.ledger.journal import decode_group
from sakk.ledger.machine import Make, new_machine
from sakk.ledger.record import TRANSFER, decode_results
from sakk.ledger.replay import apply_row, check_link, genesis
from sakk.ledger.types import CreateTransferStatus as S
from sakk.ledger.types import TransferFlags
from sakk.ledger.writer import answer_read
from sakk.store.journal import JournalRow
from tests.sim.postgres import State
from tests.sim.projection import number

LINKED, PENDING = TransferFlags.linked, TransferFlags.pending
POST, VOID = TransferFlags.post_pending, TransferFlags.void_pending


class Violated(AssertionError):
    """Something that must always be so is not."""


def demand(condition: object, what: str) -> None:
    if not condition:
        raise Violated(what)


@dataclass(eq=False, slots=True)
class Read:
    """A question under way, and every answer that it may get."""

    op: Op
    body: bytes
    answers: set[bytes]


@dataclass
class Oracle:
    """Follows the durable rows of a shard."""

    head: JournalRow = field(default_factory=lambda: genesis(0))
    durable: set[tuple[int, bytes, bytes]] = field(default_factory=set)
    reads: list[Read] = field(default_factory=list)
    # The first results of each batch of transfers, for comparing repeats.
    first: dict[bytes, bytes] = field(default_factory=dict)
    acknowledged: int = 0
    answered_reads: int = 0

    def __post_init__(self) -> None:
        self.machine = new_machine(Make.reference)

    # On the way

    def on_durable(self, row: JournalRow) -> None:
        """A row stands in both places: it follows the last one, and gives what it says."""
        for wrong in (check_link(self.head, row), apply_row(self.machine, row)):
            demand(wrong is None, f"row {row.sequence} {wrong}")
        self.head = row
        group = decode_group(row.payload)
        for request, outcome in zip(group.requests, group.outcomes, strict=True):
            self.durable.add((request.kind.value, request.records, outcome.results))
            if request.kind is Kind.create_transfers:
                first = self.first.setdefault(request.records, outcome.results)
                again = first is not outcome.results
                demand(
                    not again or _agree(first, outcome.results),
                    "a repeat gets another answer than the first",
                )
        for read in self.reads:
            read.answers.add(answer_read(self.machine, read.op, read.body))

    def ask(self, op: Op, body: bytes) -> Read:
        """A client asks now."""
        read = Read(op, body, {answer_read(self.machine, op, body)})
        self.reads.append(read)
        return read

    def forget(self, read: Read) -> None:
        """Nobody waits for the answer any more."""
        self.reads.remove(read)

    def answered_read(self, read: Read, answer: bytes) -> None:
        """The writer lets an answer go."""
        self.answered_reads += 1
        demand(answer in read.answers, f"{read.op.name} shows what is not durable, or what was")

    def answered_write(self, op: Op, body: bytes, answer: bytes) -> None:
        """The writer lets an acknowledgement go: what it says is durable."""
        self.acknowledged += 1
        demand((op.value, body, answer) in self.durable, "an acknowledged batch is not durable")

    # At the end

    def check(self, state: State) -> None:
        """Everything that is so when all is quiet."""
        demand(
            [row for _, row in sorted(state.journal.items())][-1:] in ([], [self.head]),
            "the journal ends elsewhere than what became durable",
        )
        count = Count()
        for sequence in range(1, len(state.journal) + 1):
            count.add(state.journal[sequence])
        count.check()
        for identifier, account in count.accounts.items():
            record = self.machine.lookup_account(identifier)
            ours = tuple(int.from_bytes(record[k : k + 16], "little") for k in (16, 32, 48, 64))
            demand(ours == tuple(account), f"account {identifier.hex()} is not its transfers' sum")
        count.check_projection(state)

    def digest(self) -> str:
        """The whole history as one value."""
        digest = hashlib.sha256(self.head.hash)
        for part in self.machine.dump():
            digest.update(part)
        return digest.hexdigest()


def _agree(first: bytes, later: bytes) -> bool:
    """May ``later`` be the answer to the repeat of what got ``first``?"""
    for at, status, later_at, later_status in zip(
        *decode_results(first), *decode_results(later), strict=True
    ):
        # A body that is not the one under its id was never an outcome of its own.
        if (
            S.exists < status <= S.exists_with_different_effective_at
            or status == S.id_already_failed
        ):
            continue
        if later_status != (S.exists if status == S.created else status) or later_at != at:
            return False
    return True


@dataclass
class Count:
    """A ledger that believes the recorded results, and only adds."""

    accounts: dict[bytes, list[int]] = field(default_factory=dict)
    # id -> debit, credit, amount, is it a hold that is open
    transfers: dict[bytes, tuple[bytes, bytes, int, bool]] = field(default_factory=dict)
    statuses: dict[bytes, str] = field(default_factory=dict)
    entries: list[tuple[bytes, int, int]] = field(default_factory=list)

    def add(self, row: JournalRow) -> None:
        group = decode_group(row.payload)
        for identifier in group.expired:
            self._release(identifier, "expired")
        for request, outcome in zip(group.requests, group.outcomes, strict=True):
            _, statuses = decode_results(outcome.results)
            if request.kind is Kind.create_accounts:
                for index, status in enumerate(statuses):
                    if status == S.created:
                        start = index * 128
                        self.accounts[request.records[start : start + 16]] = [0, 0, 0, 0]
                continue
            self._check_chains(request.records, statuses)
            timestamps, _ = decode_results(outcome.results)
            moved = dict(_resolved(outcome.resolved))
            for index, fields in enumerate(TRANSFER.iter_unpack(request.records)):
                if statuses[index] == S.created:
                    amount = moved.get(index, int.from_bytes(fields[3], "little"))
                    self._move(fields, amount, timestamps[index])

    def _move(self, fields: tuple[Any, ...], amount: int, at: int) -> None:
        identifier, debit, credit, _, pending, *_, flags = fields
        demand(identifier not in self.transfers, f"transfer {identifier.hex()} is there twice")
        status = "pending" if flags & PENDING else "voided" if flags & VOID else "posted"
        if flags & (POST | VOID):
            debit, credit, _, _ = self.transfers[pending]
            self._release(pending, status)
        self.statuses[identifier] = status
        self.transfers[identifier] = (debit, credit, amount, status == "pending")
        if status == "pending":
            self.accounts[debit][0] += amount
            self.accounts[credit][2] += amount
        elif status == "posted":
            self.accounts[debit][1] += amount
            self.accounts[credit][3] += amount
            self.entries += [(debit, at, -amount), (credit, at, amount)]

    def _release(self, identifier: bytes, status: str) -> None:
        debit, credit, amount, is_open = self.transfers[identifier]
        demand(is_open, f"hold {identifier.hex()} ends twice")
        self.transfers[identifier] = (debit, credit, amount, False)
        self.statuses[identifier] = status
        self.accounts[debit][0] -= amount
        self.accounts[credit][2] -= amount

    def _check_chains(self, records: bytes, statuses: Sequence[int]) -> None:
        chain: list[int] = []
        for index, status in enumerate(statuses):
            chain.append(status)
            if not records[index * 128 + 126] & LINKED:
                created = chain.count(S.created)
                demand(created in (0, len(chain)), f"a chain is half there: {chain}")
                chain = []

    def check(self) -> None:
        totals = [sum(column) for column in zip(*self.accounts.values(), strict=True)]
        if totals:
            demand(totals[0] == totals[2], "debits pending are not credits pending")
            demand(totals[1] == totals[3], "debits posted are not credits posted")

    def check_projection(self, state: State) -> None:
        """The projection is what the journal comes to, row for row."""
        demand(state.cursor.sequence == len(state.journal), "the projection is not at the end")
        totals = {key: [number(total) for total in row[7:]] for key, row in state.accounts.items()}
        demand(totals == self.accounts, "projected accounts are not the journal's")
        statuses = {row[0]: (row[15] or b"").decode() for row in state.transfers.values()}
        demand(statuses == self.statuses, "projected transfers are not the journal's")
        entries = sorted((row[0], at, number(row[4])) for (_, at), row in state.entries.items())
        demand(entries == sorted(self.entries), "projected entries are not the journal's")
        for identifier, (_, debits, _, credits) in self.accounts.items():
            last = [row[5] for (key, _), row in sorted(state.entries.items()) if key == identifier]
            demand(
                number(last[-1]) == credits - debits if last else credits == debits == 0,
                "the last entry does not carry the balance",
            )


def _resolved(resolved: bytes) -> list[tuple[int, int]]:
    return [
        (
            int.from_bytes(resolved[k : k + 4], "little"),
            int.from_bytes(resolved[k + 4 : k + 20], "little"),
        )
        for k in range(0, len(resolved), 20)
    ]
