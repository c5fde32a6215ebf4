"""The hub's calls and events: what ``contracts/src/evm/Hub.sol`` takes and tells.

One call has many deposit addresses send coins to the hub's treasury. An item that moves nothing
holds up no other and is told by an event. Everything is decoded strictly: bytes that decode are the
bytes that would be encoded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sakk.core import abi, evm

SWEEP = abi.selector("sweep((address,address,uint256)[])")
NOT_COLLECTED_TOPIC = "0x" + evm.keccak256(b"NotCollected(uint256,address,address)").hex()
TREASURY = abi.selector("treasury()")
PROPOSE = abi.selector("propose(address)")
EXECUTE = abi.selector("execute()")
CANCEL = abi.selector("cancel()")
SET_COLLECTOR = abi.selector("setCollector(address,bool)")
IS_COLLECTOR = abi.selector("isCollector(address)")
# The hub begins an item only where this much gas is left (ITEM_GAS_MAX and one part in 32 of it).
ITEM_GAS_RESERVE = 309_375
# EIP-7825 caps the gas of one transaction. A first collection of the real USDC takes 31,400.
TRANSACTION_GAS_MAX = 16_777_216
ITEMS_MAX = 400

_ITEM_BYTES = 3 * abi.WORD_BYTES


class Alone(StrEnum):
    """How a deposit travels that is the only one of its batch, and not delegated yet.

    ``key``: by a top-up and its own key, which takes 61,300 gas and two transactions. ``hub``:
    65,500 gas and one transaction, and less the next time.
    """

    key = "key"
    hub = "hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """The hub that collects on a network, and when it does; addresses in lower-case hex.

    A deposit waits ``wait_seconds`` for company. One whose share of the gas is more than
    ``cost_percent_max`` of its worth waits on, at most until it is ``age_seconds_max`` old.
    ``proposed`` is the treasury that the cold key proposed, as it was last seen.
    """

    network: str
    address: str
    delegate: str
    treasury: str
    wait_seconds: int
    age_seconds_max: int
    cost_percent_max: int
    alone: str
    enabled: bool
    proposed: str | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Item:
    """One deposit to collect: whose, of which token (lower-case hex), and how many atomic units."""

    deposit: str
    token: str
    units: int


def public(hub: Hub, *, executable_at: int | None = None) -> dict[str, Any]:
    """The operator's object ``hub``."""
    return {
        "id": hub.network,
        "object": "hub",
        "address": evm.checksum_address(hub.address),
        "enabled": hub.enabled,
        "executable_at": executable_at,
        "network": hub.network,
        "proposed": None if hub.proposed is None else evm.checksum_address(hub.proposed),
        "treasury": evm.checksum_address(hub.treasury),
    }


def encode_propose(treasury: str) -> bytes:
    """Calldata by which the cold key proposes a treasury."""
    return PROPOSE + abi.encode_address(treasury)


def encode_set_collector(collector: str, *, allowed: bool) -> bytes:
    """Calldata by which the cold key names or dismisses an address that may ask for a sweep."""
    return SET_COLLECTOR + abi.encode_address(collector) + abi.encode_uint(int(allowed))


def encode_sweep(items: Sequence[Item]) -> bytes:
    """Calldata of ``Hub.sweep``. ValueError for none, too many, or an item of nothing."""
    check_count(len(items))
    head = SWEEP + abi.encode_uint(abi.WORD_BYTES) + abi.encode_uint(len(items))
    return head + b"".join(_encode_item(item) for item in items)


def decode_sweep(data: bytes) -> tuple[Item, ...]:
    """Read calldata that is exactly one ``Hub.sweep``; ValueError says what it is instead."""
    if data[: abi.SELECTOR_BYTES] != SWEEP:
        raise ValueError(f"not a sweep of the hub but {abi.describe_call(data)}")
    body = data[abi.SELECTOR_BYTES :]
    offset, count = (int.from_bytes(body[at : at + 32], "big") for at in (0, 32))
    if offset != abi.WORD_BYTES or len(body) != 2 * abi.WORD_BYTES + count * _ITEM_BYTES:
        raise ValueError("a sweep of the hub is one list of items and nothing else")
    check_count(count)
    start = 2 * abi.WORD_BYTES
    return tuple(
        _decode_item(body[at : at + _ITEM_BYTES]) for at in range(start, len(body), _ITEM_BYTES)
    )


def not_collected(logs: Iterable[tuple[str, Sequence[str], str]], *, hub: str) -> set[int]:
    """The indexes of the items that moved nothing, from a receipt's (contract, topics, data)."""
    return {
        int(data[2 : 2 + 2 * abi.WORD_BYTES], 16)
        for contract, topics, data in logs
        if contract == hub and list(topics) == [NOT_COLLECTED_TOPIC]
    }


def check_count(count: int) -> None:
    """ValueError unless so many items fit into one call of a hub, or of a factory."""
    if not 0 < count <= ITEMS_MAX:
        raise ValueError(f"a sweep has 1 to {ITEMS_MAX} items, not {count}")


def _encode_item(item: Item) -> bytes:
    if not 0 < item.units < evm.UINT256_MAX:
        raise ValueError(f"an item moves more than nothing and a known amount, not {item.units}")
    return (
        abi.encode_address(item.deposit)
        + abi.encode_address(item.token)
        + abi.encode_uint(item.units)
    )


def _decode_item(data: bytes) -> Item:
    item = Item(
        deposit=abi.decode_address(data[: abi.WORD_BYTES]),
        token=abi.decode_address(data[abi.WORD_BYTES : 2 * abi.WORD_BYTES]),
        units=int.from_bytes(data[2 * abi.WORD_BYTES :], "big"),
    )
    _encode_item(item)
    return item
