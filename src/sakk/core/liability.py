"""Proof of liabilities: a Merkle-sum tree over what is owed, and what is shown of it.

One tree a currency (the ledger's unit) and epoch, one leaf a ledger account. Every hash is SHA-256
and begins with a name of its own, so that no leaf can be shown as a node, or a node as a root. Ids
and hashes are bytes as they are, numbers big-endian:

====  ==============================================================================================
leaf  ``sakk.liability.leaf.1`` · salt 32 · ledger account id 16 · balance u128
node  ``sakk.liability.node.1`` · left hash 32 · left sum u128 · right hash 32 · right sum u128
root  ``sakk.liability.root.1`` · unit u64 · epoch u64 · journal sequence u64 · hash of that row of
      the journal 32 · leaves u64 · total u128 · hash of the top node 32
====  ==============================================================================================

A parent hashes both sums, not their sum: else one of them could be claimed lower than it is
(Hu, Zhang and Guo, *Breaking the Binding*, https://eprint.iacr.org/2018/1139; the summary of
attacks in Chalkias et al., https://eprint.iacr.org/2020/468). Sums are whole numbers below 2**128;
nothing is negative, nothing wraps.

Leaves stand in the order of their salts. Level by level neighbours become parents; the last node of
an odd level goes up as it is (the shape of RFC 9162, section 2.1.1). Nothing is doubled to fill a
level: a doubled leaf is another tree under the same root (CVE-2012-2459). The root names the number
of leaves, so an index has one path, of one length, with one side at every step.

A salt is BLAKE2b (RFC 7693) of the account's id, keyed by the epoch's secret; only the operator
computes it. Who sees a neighbour's hash can not find out whose it is, and the order of one epoch
says nothing of another's.
"""

import hashlib
import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

from sakk.core import chart, money
from sakk.core.chart import AccountCode

PREFIX = "le"
SUM_MAX = (1 << 128) - 1
SECRET_BYTES = 32
LEAF = b"sakk.liability.leaf.1"
NODE = b"sakk.liability.node.1"
ROOT = b"sakk.liability.root.1"
# Subtrees of this many leaves are kept whole: a proof reads one of them and the tops of all.
TILE_LEAVES = 1_024

_ROOT = struct.Struct(">QQQ32sQ16s32s")
_HASH, _SALT, _ID, _SUM = 32, 32, 16, 16
_NODE_SIZE = _HASH + _SUM
_HELD_SIZE = _ID + _SUM

# Ledger accounts that hold money owed to a merchant, or to who put it into a channel.
OWED = frozenset(
    {
        AccountCode.merchant_incoming,
        AccountCode.merchant_available,
        AccountCode.merchant_reserved,
        AccountCode.channel,
        AccountCode.pool,
        AccountCode.unclaimed,
        AccountCode.gift_card,
    }
)

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a root speaks of. ``unit``: the ledger's number of it; ``sequence``: the journal's."""

    unit: int
    epoch: int
    sequence: int
    journal_hash: bytes


@dataclass(frozen=True, slots=True)
class Tile:
    """A subtree of at most ``TILE_LEAVES`` leaves, without what follows from the secret.

    ``first``: the salt of its first leaf. ``held``: id and balance of each leaf, 32 bytes.
    """

    first: bytes
    held: bytes


@dataclass(frozen=True, slots=True)
class Tree:
    """All liabilities of one unit. ``tops``: the top node of each tile, 48 bytes (hash, sum)."""

    leaves: int
    total: int
    top: bytes
    tops: bytes
    tiles: list[Tile]

    def root(self, subject: Subject) -> bytes:
        """The hash that is published."""
        return root_hash(subject, leaves=self.leaves, total=self.total, top=self.top)


@dataclass(frozen=True, slots=True)
class Step:
    """A sibling on the way up: its hash, its sum, and the side on which it stands."""

    hash: bytes
    sum: int
    side: Side


@dataclass(frozen=True, slots=True)
class Inclusion:
    """One leaf, and its way to the top."""

    account_id: bytes
    salt: bytes
    balance: int
    index: int
    path: list[Step]


@dataclass(frozen=True, slots=True)
class LiabilityEpoch:
    """What was owed in one unit after one row of the journal.

    ``unit``: its name in the chart. ``as_of``: the time of that row. ``root_id``: under which the
    root is journalled; ``journalled``: when it was, None until then, and nothing is shown before.
    """

    id: str
    livemode: bool
    shard: int
    epoch: int
    unit: str
    unit_id: int
    sequence: int
    journal_hash: bytes
    as_of: datetime
    root_id: bytes
    root: bytes
    total: int
    leaves: int
    secret: bytes
    tops: bytes
    created: datetime
    journalled: datetime | None = None

    @property
    def subject(self) -> Subject:
        return Subject(self.unit_id, self.epoch, self.sequence, self.journal_hash)


def salt_of(secret: bytes, account_id: bytes) -> bytes:
    """The salt of an account's leaf in the epoch of ``secret``."""
    return hashlib.blake2b(account_id, key=secret, digest_size=_SALT).digest()


def leaf_hash(salt: bytes, account_id: bytes, balance: int) -> bytes:
    """The hash of one account's leaf."""
    return hashlib.sha256(LEAF + salt + account_id + balance.to_bytes(_SUM, "big")).digest()


def root_hash(subject: Subject, *, leaves: int, total: int, top: bytes) -> bytes:
    """The root: the top node's hash, and all that it speaks of."""
    packed = _ROOT.pack(
        subject.unit,
        subject.epoch,
        subject.sequence,
        subject.journal_hash,
        leaves,
        total.to_bytes(_SUM, "big"),
        top,
    )
    return hashlib.sha256(ROOT + packed).digest()


def build(secret: bytes, balances: Iterable[tuple[bytes, int]]) -> Tree:
    """The tree over (ledger account id, balance).

    ValueError for no account, one that stands there twice, a negative balance, and a total of
    2**128 or more.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret is {SECRET_BYTES} bytes")
    entries, total = _entries(secret, balances)
    tiles, tops = [], []
    for start in range(0, len(entries), TILE_LEAVES):
        part = entries[start : start + TILE_LEAVES]
        tiles.append(Tile(part[0][:_SALT], b"".join([entry[_SALT:] for entry in part])))
        tops.append(_top(_leaf_nodes(part)))
    top = _top(tops)
    return Tree(len(entries), total, top[:_HASH], b"".join(tops), tiles)


def tile_of(firsts: Sequence[bytes], salt: bytes) -> int:
    """The number of the tile in which a leaf with this salt stands, if it stands in any."""
    return max(bisect_right(firsts, salt) - 1, 0)


def prove(
    secret: bytes, account_id: bytes, *, number: int, held: bytes, tops: bytes
) -> Inclusion | None:
    """The proof of one account from the tile that would hold it; None where it does not."""
    cut = [held[start : start + _HELD_SIZE] for start in range(0, len(held), _HELD_SIZE)]
    index = next((i for i, each in enumerate(cut) if each[:_ID] == account_id), None)
    if index is None:
        return None
    entries = [salt_of(secret, each[:_ID]) + each for each in cut]
    above = [tops[start : start + _NODE_SIZE] for start in range(0, len(tops), _NODE_SIZE)]
    return Inclusion(
        account_id=account_id,
        salt=entries[index][:_SALT],
        balance=int.from_bytes(cut[index][_ID:], "big"),
        index=number * TILE_LEAVES + index,
        path=_path(_leaf_nodes(entries), index) + _path(above, number),
    )


def _entries(secret: bytes, balances: Iterable[tuple[bytes, int]]) -> tuple[list[bytes], int]:
    """Salt, id and balance of each leaf (64 bytes), in the order of salts, and the total."""
    entries, total, blake2b = [], 0, hashlib.blake2b
    for account_id, balance in balances:
        if not 0 <= balance <= SUM_MAX or len(account_id) != _ID:
            raise ValueError(f"account {account_id.hex()} can not have a balance of {balance}")
        total += balance
        salt = blake2b(account_id, key=secret, digest_size=_SALT).digest()
        entries.append(salt + account_id + balance.to_bytes(_SUM, "big"))
    if not entries:
        raise ValueError("a tree has at least one leaf")
    if total > SUM_MAX:
        raise ValueError(f"the total {total} does not fit 128 bits")
    entries.sort()
    for entry, following in pairwise(entries):
        if entry[:_SALT] == following[:_SALT]:
            raise ValueError(f"account {entry[_SALT:][:_ID].hex()} stands there twice")
    return entries, total


def _leaf_nodes(entries: Sequence[bytes]) -> list[bytes]:
    sha256 = hashlib.sha256
    return [sha256(LEAF + entry).digest() + entry[-_SUM:] for entry in entries]


def _parents(nodes: Sequence[bytes], sums: Sequence[int]) -> tuple[list[bytes], list[int]]:
    """One level up. A sum that does not fit raises OverflowError, and cannot: the total fits."""
    sha256 = hashlib.sha256
    above = [left + right for left, right in zip(sums[::2], sums[1::2], strict=False)]
    parents = [
        sha256(NODE + left + right).digest() + total.to_bytes(_SUM, "big")
        for left, right, total in zip(nodes[::2], nodes[1::2], above, strict=False)
    ]
    if len(nodes) % 2:
        parents.append(nodes[-1])
        above.append(sums[-1])
    return parents, above


def _top(nodes: Sequence[bytes]) -> bytes:
    """The one node above all of these."""
    sums: Sequence[int] = [int.from_bytes(node[_HASH:], "big") for node in nodes]
    while len(nodes) > 1:
        nodes, sums = _parents(nodes, sums)
    return nodes[0]


def _path(nodes: Sequence[bytes], index: int) -> list[Step]:
    """The siblings from a node to the top of these."""
    sums: Sequence[int] = [int.from_bytes(node[_HASH:], "big") for node in nodes]
    steps = []
    while len(nodes) > 1:
        sibling = index ^ 1
        if sibling < len(nodes):
            side: Side = "left" if sibling < index else "right"
            steps.append(Step(nodes[sibling][:_HASH], sums[sibling], side))
        nodes, sums = _parents(nodes, sums)
        index //= 2
    return steps


def public_epoch(epoch: LiabilityEpoch, *, decimals: int | None) -> dict[str, Any]:
    """The API's object ``liability_epoch``: what is published, for everybody the same.

    ``total`` is a string: it may be more than a JavaScript number holds.
    """
    if epoch.journalled is None:
        raise ValueError(f"{epoch.id} is not in the journal")
    return {
        "id": epoch.id,
        "object": "liability_epoch",
        "as_of": int(epoch.as_of.timestamp()),
        "created": int(epoch.created.timestamp()),
        "currency": chart.currency_of_unit(epoch.unit)[0],
        "epoch": epoch.epoch,
        "journal_hash": epoch.journal_hash.hex(),
        "journal_sequence": epoch.sequence,
        "leaves": epoch.leaves,
        "livemode": epoch.livemode,
        "metadata": {},
        "root": epoch.root.hex(),
        "shard": epoch.shard,
        "total": str(epoch.total),
        "total_decimal": None if decimals is None else money.format_decimal(epoch.total, decimals),
        "unit": epoch.unit,
    }


def public_proof(
    epoch: LiabilityEpoch, account_id: str, proved: Sequence[tuple[str, Inclusion]]
) -> dict[str, Any]:
    """The API's object ``liability_proof``: an account's leaves, by the chart's names of them."""
    return {
        "id": epoch.id,
        "object": "liability_proof",
        "account": account_id,
        "balance": str(sum(inclusion.balance for _, inclusion in proved)),
        "created": int(epoch.created.timestamp()),
        "currency": chart.currency_of_unit(epoch.unit)[0],
        "epoch": epoch.epoch,
        "leaves": [
            {
                "balance": str(inclusion.balance),
                "index": inclusion.index,
                "ledger_account": name,
                "path": [
                    {"hash": step.hash.hex(), "side": step.side, "sum": str(step.sum)}
                    for step in inclusion.path
                ],
                "salt": inclusion.salt.hex(),
            }
            for name, inclusion in proved
        ],
        "livemode": epoch.livemode,
        "metadata": {},
        "root": epoch.root.hex(),
        "unit": epoch.unit,
    }
