"""The audit log: what an entry says, how entries are sealed into blocks, and what proves that.

Acts and decisions are noted by the transactions that do them, none waiting for another. A stage
seals what has been committed: it numbers the entries without a gap, and closes a block over them
that holds the hash of the block before. What is hashed is written down byte for byte in
docs/operating/audit.md; ``sakk.client.audit`` checks an export by rules of its own.

That nothing is left out: a block holds the snapshot in which the sealer looked, that is which
transactions of the database had ended by then. What such a transaction noted is in that block or
in one before it; an entry in a later block proves that something was held back, or brought in.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sakk.core import event

HASH_BYTES: Final = 32
GENESIS: Final = bytes(HASH_BYTES)
_ENTRY: Final = b"sakk.audit.entry.1"
_ENTRIES: Final = b"sakk.audit.entries.1"
_BLOCK: Final = b"sakk.audit.block.1"
# A NUL as JSON writes it: no column of the database can have held one.
_NUL: Final = "\\u0000"

# What is told by an event alone and is somebody's decision, or a sign of somebody else's act.
DECISIONS: Final = frozenset(
    {
        event.ADOPTION_CREATED,
        event.BREACH_SEEN,
        event.FACTORY_CANCELED,
        event.FACTORY_CHANGED,
        event.FACTORY_PROPOSED,
        event.HUB_CANCELED,
        event.HUB_CHANGED,
        event.HUB_PROPOSED,
        event.LEDGER_BROKEN,
        event.OUTFLOW_ORPHANED,
        event.OUTFLOW_POSTED,
        event.OUTFLOW_SEEN,
        event.PAYIN_DISPUTED,
        event.PAYIN_HELD,
        event.PAYIN_RELEASED,
        event.PAYIN_RETURNED,
        event.PAYIN_SEIZED,
        event.PAYOUT_APPROVED,
        event.PAYOUT_AWAITING_APPROVALS,
        event.PAYOUT_REJECTED,
        event.RECONCILIATION_BROKEN,
        event.RECOVERY_CANCELED,
        event.RECOVERY_CREATED,
        event.TRANSACTION_DISPUTED,
        event.TRANSACTION_FOREIGN,
        event.WITHDRAWAL_CREATED,
        event.WITHDRAWAL_FAILED,
    }
)


# Nouns whose rows are no part of the log: money on its way and who pays, by the million, and what
# is only written out of other rows. Ledger, events and the log of requests tell of them; what a
# person does to one is noted as an act.
UNKEPT: Final = frozenset(
    {
        "bills",
        "bank_files",
        "bank_lines",
        "chain_transactions",
        "channels",
        "charges",
        "checkout_sessions",
        "conversion_quotes",
        "conversions",
        "customers",
        "files",
        "ledger",
        "mandate_spends",
        "money_requests",
        "payins",
        "payment_intents",
        "payout_batches",
        "payouts",
        "pool",
        "quotes",
        "receiving_addresses",
        "recoveries",
        "refunds",
        "reports",
        "settlements",
        "transfers",
        "wallet_proofs",
        "withdrawals",
    }
)


@dataclass(frozen=True, slots=True)
class Noted:
    """What a transaction noted, before it is sealed.

    ``source`` is the table and ``key`` the row that changed; ``subject`` is what it is about.
    ``before`` and ``after``: the fields that changed; all of them for a row that came or went.
    ``xid`` is the database's number of the transaction. Without a change of a row ``act`` says
    what was done, and ``after`` with what.
    """

    id: int
    xid: int
    at: datetime
    actor: str
    request: str | None
    source: str
    act: str
    key: str
    subject: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A sealed entry: its place in the log, the bytes that are hashed (``body``), and the hash."""

    seq: int
    body: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """A run of entries under one hash. ``number`` and ``first`` count from 1.

    ``entries``: the hash over the entries' hashes. ``snapshot``: what the sealer saw, as PostgreSQL
    writes it (``xmin:xmax:running,…``), of the cluster ``cluster``. ``is_full``: more may have
    waited than a block takes, so that its snapshot proves nothing.
    """

    number: int
    first: int
    count: int
    previous: bytes
    entries: bytes
    snapshot: str
    cluster: str
    is_full: bool
    sealed_at: datetime
    hash: bytes = b""

    @property
    def last(self) -> int:
        """The number of its last entry."""
        return self.first + self.count - 1


@dataclass(frozen=True, slots=True)
class Head:
    """How far the log has come: a block, its hash, and its last entry. What is anchored outside."""

    number: int
    hash: bytes
    entries: int
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head that is, or is to be, written down outside; ``filed_at``: in the operator's file.

    ``stamp`` is a time-stamp token over its hash (RFC 3161), from ``stamped_at``.
    """

    number: int
    hash: bytes
    entries: int
    sealed_at: datetime
    created: datetime
    filed_at: datetime | None = None
    stamped_at: datetime | None = None
    stamp: bytes | None = None


@dataclass(frozen=True, slots=True)
class Break:
    """Something that is not as it was sealed: where, and what."""

    where: str
    what: str


def canonical(document: Any) -> str:
    """The one text of a JSON document: sorted keys, no spaces, ASCII. ValueError for NaN."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def moment(value: datetime) -> str:
    """A time as it is hashed: UTC, microseconds, ``Z``."""
    text = value.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def entry(noted: Noted, seq: int) -> Entry:
    """Seal one entry at its place."""
    body = canonical(
        {
            "act": noted.act,
            "actor": noted.actor,
            "after": noted.after,
            "at": moment(noted.at),
            "before": noted.before,
            "key": noted.key,
            "request": noted.request,
            "seq": seq,
            "source": noted.source,
            "subject": noted.subject,
            "xid": noted.xid,
        }
    )
    return Entry(seq, body, entry_hash(body))


def entry_hash(body: str) -> bytes:
    return hashlib.sha256(_ENTRY + body.encode()).digest()


def block_hash(block: Block) -> bytes:
    """The hash over everything that a block says, but for the hash itself."""
    return hashlib.sha256(_BLOCK + canonical(block_document(block)).encode()).digest()


def block_document(block: Block) -> dict[str, Any]:
    """A block as it is hashed and exported."""
    return {
        "cluster": block.cluster,
        "count": block.count,
        "entries": block.entries.hex(),
        "first": block.first,
        "full": block.is_full,
        "number": block.number,
        "previous": block.previous.hex(),
        "sealed_at": moment(block.sealed_at),
        "snapshot": block.snapshot,
    }


def seal(
    last: Block | None,
    noted: Sequence[Noted],
    *,
    snapshot: str,
    cluster: str,
    is_full: bool,
    now: datetime,
) -> tuple[Block, list[Entry]]:
    """Close the next block over what was noted, in the order of its ids. Not over nothing."""
    assert noted, "a block has entries"
    first = 1 if last is None else last.last + 1
    sealed = [entry(each, first + place) for place, each in enumerate(noted)]
    block = Block(
        number=1 if last is None else last.number + 1,
        first=first,
        count=len(sealed),
        previous=GENESIS if last is None else last.hash,
        entries=entries_hash([each.hash for each in sealed]),
        snapshot=snapshot,
        cluster=cluster,
        is_full=is_full,
        sealed_at=now,
    )
    return replace(block, hash=block_hash(block)), sealed


def entries_hash(hashes: Sequence[bytes]) -> bytes:
    return hashlib.sha256(_ENTRIES + b"".join(hashes)).digest()


def head_of(block: Block) -> Head:
    return Head(block.number, block.hash, block.last, block.sealed_at)


def head_document(head: Head) -> dict[str, Any]:
    """The public object ``audit_head``: what is anchored outside, as a line of JSON."""
    return {
        "object": "audit_head",
        "entries": head.entries,
        "hash": head.hash.hex(),
        "number": head.number,
        "sealed_at": moment(head.sealed_at),
    }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions had ended: those below ``xmax`` that are not among ``running``."""

    xmax: int
    running: frozenset[int]

    def had_ended(self, xid: int) -> bool:
        return xid < self.xmax and xid not in self.running


def read_snapshot(text: str) -> Snapshot:
    """PostgreSQL's ``xmin:xmax:xip_list``; ValueError for anything else."""
    _, xmax, running = text.split(":")
    return Snapshot(int(xmax), frozenset(int(each) for each in running.split(",") if each))


@dataclass(slots=True)
class Chain:
    """Walks along the blocks in their order and says what does not hold."""

    last: Block | None = None
    breaks: list[Break] = field(default_factory=list)
    entries: int = 0
    # Some entry is nothing that PostgreSQL could look into either.
    is_unreadable: bool = False
    # The last block whose snapshot proves something, and the snapshot.
    _proof: tuple[Block, Snapshot] | None = None

    def take(self, block: Block, bodies: Sequence[tuple[int, str, bytes]]) -> None:
        """The next block with its entries as they are stored: (place, body, hash)."""
        where = f"block {block.number}"
        self._check_place(block, where)
        if block_hash(block) != block.hash:
            self._say(where, "its header was altered: it does not have its hash")
        if len(bodies) != block.count:
            self._say(where, f"{block.count} entries were sealed, {len(bodies)} are there")
        for place, (seq, body, stored) in enumerate(bodies):
            if seq != block.first + place:
                self._say(f"entry {seq}", f"stands where entry {block.first + place} belongs")
                break
            self._check_entry(seq, body, stored, block)
        if entries_hash([stored for _, _, stored in bodies]) != block.entries:
            self._say(where, "its entries are not those that were sealed")
        self.entries += len(bodies)
        self.last = block
        if not block.is_full:
            try:
                self._proof = block, read_snapshot(block.snapshot)
            except ValueError:
                self._say(where, "its snapshot was altered: it is none")

    def _check_place(self, block: Block, where: str) -> None:
        number = 1 if self.last is None else self.last.number + 1
        first = 1 if self.last is None else self.last.last + 1
        previous = GENESIS if self.last is None else self.last.hash
        if block.number != number:
            self._say(where, f"block {number} is missing before it")
        elif block.first != first:
            self._say(where, f"begins with entry {block.first}, not with {first}")
        elif block.previous != previous:
            self._say(where, "does not follow the block before it: one of the two was replaced")

    def _check_entry(self, seq: int, body: str, stored: bytes, block: Block) -> None:
        where = f"entry {seq}"
        try:
            document = json.loads(body)
            told, xid = document["seq"], int(document["xid"])
        except (ValueError, TypeError, KeyError):
            self.is_unreadable = True
            self._say(where, "was altered: it is no entry")
            return
        self.is_unreadable |= _NUL in body
        if entry_hash(body) != stored:
            self._say(where, "was altered: it does not have its hash")
            return
        if told != seq:
            self._say(where, f"was sealed as entry {told}")
        if self._proof is None:
            return
        before, snapshot = self._proof
        # A database that was loaded into another cluster counts its transactions anew.
        if before.cluster == block.cluster and snapshot.had_ended(xid):
            self._say(
                where,
                f"is of a transaction ({xid}) that had ended when block {before.number} was sealed,"
                " and is not in it: it was held back, or brought in later",
            )

    def _say(self, where: str, what: str) -> None:
        self.breaks.append(Break(where, what))


UPDATE: Final = "update"
DELETE: Final = "delete"


def follow(state: Mapping[str, Any] | None, act: str, after: Any) -> dict[str, Any] | None:
    """A row after one more entry about it; None where there is none.

    An entry that is no change of a row says the whole of what it is about.
    """
    if act == UPDATE:
        return {**(state or {}), **after}
    return None if act == DELETE else dict(after)


def unlike(sealed: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """The first field in which a row is not what was sealed of it, in words; None if none.

    A field that only one of the two has came, or went, by a migration.
    """
    for name in sorted(sealed.keys() & found.keys()):
        if sealed[name] != found[name]:
            return f"{name} is {_short(found[name])}, sealed was {_short(sealed[name])}"
    return None


VALUE_CHARACTERS_MAX: Final = 120


def _short(value: Any) -> str:
    text = canonical(value)
    if len(text) <= VALUE_CHARACTERS_MAX:
        return text
    return f"{text[:VALUE_CHARACTERS_MAX]}… ({hashlib.sha256(text.encode()).hexdigest()[:16]})"
