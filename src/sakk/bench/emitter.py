"""A contract of 68 bytes that emits any Transfer events it is told to.

It stands in for a batching token where thousands of logs must fit one transaction: no storage, so
nearly all gas goes into the logs. ``anvil_setCode`` places it, so it exists on local chains only.
"""

from collections.abc import Iterable

from sakk.core.abi import TRANSFER_TOPIC, encode_uint

# For each three words of calldata (from, to, amount): LOG3(amount; Transfer, from, to).
_CODE_HEAD = (
    "5f"  # PUSH0                the offset into calldata
    "5b"  # JUMPDEST 0x01        next event
    "36811015"  # CALLDATASIZE DUP2 LT ISZERO
    "604257"  # PUSH1 end JUMPI
    "80604001355f52"  # amount: CALLDATALOAD(offset + 64) into memory 0
    "80602001358135"  # to: CALLDATALOAD(offset + 32), then from: CALLDATALOAD(offset)
    "7f"  # PUSH32 the Transfer topic
)
_CODE_TAIL = (
    "60205f"  # PUSH1 32 PUSH0   the 32 bytes at memory 0
    "a3"  # LOG3
    "606001"  # PUSH1 96 ADD     three words on
    "600156"  # PUSH1 next JUMP
    "5b00"  # JUMPDEST 0x42 STOP
)
EMITTER_CODE = "0x" + _CODE_HEAD + TRANSFER_TOPIC[2:] + _CODE_TAIL


def encode_events(events: Iterable[tuple[str, str, int]]) -> bytes:
    """Calldata for these (from, to, amount); addresses are 0x-hex of up to 32 bytes."""
    return b"".join(
        _word(sender) + _word(receiver) + encode_uint(amount) for sender, receiver, amount in events
    )


def _word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\x00")
