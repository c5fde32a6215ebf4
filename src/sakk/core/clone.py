"""Clones: deposit addresses without keys, and what ``contracts/src/evm/DepositFactory.sol`` takes.

A clone is the contract that a factory creates for a salt; its address follows from the factory, the
salt and the hash of the creation code (EIP-1014, EIP-1167), so it is given out before there is any
code. The salt follows from the address of the key of the same index: whoever has the wallet's
extended public key can tell it, and two installations never share one. Calls are decoded strictly:
bytes that decode are the bytes that would be encoded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sakk.core import abi, evm, hub, rlp
from sakk.core.hd import Seed, deposit_address, xpub_at

SWEEP = abi.selector("sweep((bytes32,address,uint256)[])")
RECOVER = abi.selector("recover(bytes32,address,address,uint256)")
CREATE = abi.selector("create(bytes32)")
RECOVERER = abi.selector("recoverer()")
# The rest of what a cold key calls has a hub's names: propose, execute, cancel.
DISMISS = abi.selector("dismiss()")
# The native coin, where a call names a token.
NATIVE = bytes(abi.WORD_BYTES)
# What one deposit costs in gas, the creation of its clone included: a hundredth of a first
# collection (docs/operating/treasury.md, `sakk bench gas`).
GAS_BY_CLONE = 53_700

_SALT_DOMAIN = b"sakk deposit clone\0"
# EIP-1167: what creates a contract that has another one's code run on its own coins.
_CREATION_HEAD = bytes.fromhex("3d602d80600a3d3981f3363d3d373d3d3d363d73")
_CREATION_TAIL = bytes.fromhex("5af43d82803e903d91602b57fd5bf3")
_ITEM_BYTES = 3 * abi.WORD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Factory:
    """A factory whose clones are collected on a network, and when; addresses in lower-case hex.

    ``hub``: whose treasury it pays, whose collectors it obeys. ``recoverer``: who may send coins of
    a clone elsewhere, None for nobody; ``proposed_recoverer`` and ``proposed`` (the hub's next
    treasury) are what the cold key proposed, as it was last seen. The rest is as in `core.hub.Hub`.
    """

    network: str
    address: str
    hub: str
    treasury: str
    recoverer: str | None
    wait_seconds: int
    age_seconds_max: int
    cost_percent_max: int
    enabled: bool
    proposed: str | None = None
    proposed_recoverer: str | None = None
    created: datetime


@dataclass(frozen=True, slots=True)
class Item:
    """One deposit to collect: the salt of its clone, the token, and how many atomic units."""

    salt: bytes
    token: str
    units: int


@dataclass(frozen=True, slots=True)
class Recover:
    """Coins that leave a clone for somebody: ``token`` is None for the native coin."""

    salt: bytes
    token: str | None
    to: str
    units: int


def salt_of(key_address: str) -> bytes:
    """The salt of the clone that stands for an index, by the address of that index's key."""
    return evm.keccak256(_SALT_DOMAIN + bytes.fromhex(key_address[2:]))


def salt_at(seeds: Sequence[Seed], index: int) -> bytes:
    """The salt of an index's clone; ``seeds`` in the order of their first indices."""
    return salt_of(deposit_address(xpub_at(seeds, index), index))


def implementation_of(factory: str) -> str:
    """What a factory's clones are clones of: its first creation (CREATE, nonce 1; EIP-161)."""
    encoded = rlp.encode([bytes.fromhex(factory[2:]), rlp.encode_integer(1)])
    return "0x" + evm.keccak256(encoded)[12:].hex()


def address_of(factory: str, salt: bytes) -> str:
    """Where the clone of a salt stands or will stand (EIP-1014): lower-case hex."""
    return evm.create2_address_of(_creation_hash(factory), salt=salt, deployer=factory)


def clone_of(factory: str, key_address: str) -> str:
    """The clone that stands for an index, by the address of that index's key."""
    return address_of(factory, salt_of(key_address))


@lru_cache(maxsize=64)
def _creation_hash(factory: str) -> bytes:
    implementation = bytes.fromhex(implementation_of(factory)[2:])
    return evm.keccak256(_CREATION_HEAD + implementation + _CREATION_TAIL)


def public(
    factory: Factory,
    *,
    executable_at: int | None = None,
    treasury_executable_at: int | None = None,
) -> dict[str, Any]:
    """The operator's object ``factory``; when what is proposed to it, and to its hub, is due."""
    return {
        "id": factory.address,
        "object": "factory",
        "address": evm.checksum_address(factory.address),
        "enabled": factory.enabled,
        "executable_at": executable_at,
        "hub": evm.checksum_address(factory.hub),
        "network": factory.network,
        "proposed": _checksum(factory.proposed),
        "proposed_recoverer": _checksum(factory.proposed_recoverer),
        "recoverer": _checksum(factory.recoverer),
        "treasury": evm.checksum_address(factory.treasury),
        "treasury_executable_at": treasury_executable_at,
    }


def encode_create(salt: bytes) -> bytes:
    """Calldata of ``DepositFactory.create``, which answers with the address that it made."""
    return CREATE + salt


def encode_sweep(items: Sequence[Item]) -> bytes:
    """Calldata of ``DepositFactory.sweep``; ValueError for none, too many, or one of nothing."""
    hub.check_count(len(items))
    head = SWEEP + abi.encode_uint(abi.WORD_BYTES) + abi.encode_uint(len(items))
    return head + b"".join(_encode_item(item) for item in items)


def decode_sweep(data: bytes) -> tuple[Item, ...]:
    """Read calldata that is exactly one ``DepositFactory.sweep``; ValueError says what it is."""
    if data[: abi.SELECTOR_BYTES] != SWEEP:
        raise ValueError(f"not a sweep of the factory but {abi.describe_call(data)}")
    body = data[abi.SELECTOR_BYTES :]
    offset, count = (int.from_bytes(body[at : at + 32], "big") for at in (0, 32))
    if offset != abi.WORD_BYTES or len(body) != 2 * abi.WORD_BYTES + count * _ITEM_BYTES:
        raise ValueError("a sweep of the factory is one list of items and nothing else")
    hub.check_count(count)
    start = 2 * abi.WORD_BYTES
    return tuple(
        _decode_item(body[at : at + _ITEM_BYTES]) for at in range(start, len(body), _ITEM_BYTES)
    )


def encode_recover(call: Recover) -> bytes:
    """Calldata of ``DepositFactory.recover``; ValueError for nothing."""
    if not 0 < call.units <= evm.UINT256_MAX:
        raise ValueError(f"a recovery moves more than nothing, not {call.units}")
    return (
        RECOVER
        + call.salt
        + (abi.encode_address(call.token) if call.token else NATIVE)
        + abi.encode_address(call.to)
        + abi.encode_uint(call.units)
    )


def decode_recover(data: bytes) -> Recover:
    """Read calldata that is exactly one ``DepositFactory.recover``; ValueError says what it is."""
    if data[: abi.SELECTOR_BYTES] != RECOVER:
        raise ValueError(f"not a recovery by the factory but {abi.describe_call(data)}")
    body = data[abi.SELECTOR_BYTES :]
    if len(body) != 4 * abi.WORD_BYTES:
        raise ValueError("a recovery by the factory has four arguments and nothing else")
    salt, token, to, units = (
        body[at : at + abi.WORD_BYTES] for at in range(0, len(body), abi.WORD_BYTES)
    )
    found = Recover(
        salt=salt,
        token=None if token == NATIVE else abi.decode_address(token),
        to=abi.decode_address(to),
        units=int.from_bytes(units, "big"),
    )
    encode_recover(found)
    return found


def recovered_from(to: str | None, data: bytes) -> str:
    """The clone that a call of a factory sends something from; ValueError if it is no such call."""
    call = decode_recover(data)
    if to is None:
        raise ValueError("it creates a contract, and calls no factory")
    return address_of(to, call.salt)


def _checksum(address: str | None) -> str | None:
    return None if address is None else evm.checksum_address(address)


def _encode_item(item: Item) -> bytes:
    if not 0 < item.units < evm.UINT256_MAX:
        raise ValueError(f"an item moves more than nothing and a known amount, not {item.units}")
    return item.salt + abi.encode_address(item.token) + abi.encode_uint(item.units)


def _decode_item(data: bytes) -> Item:
    item = Item(
        salt=data[: abi.WORD_BYTES],
        token=abi.decode_address(data[abi.WORD_BYTES : 2 * abi.WORD_BYTES]),
        units=int.from_bytes(data[2 * abi.WORD_BYTES :], "big"),
    )
    _encode_item(item)
    return item
