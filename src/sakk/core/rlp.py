"""Recursive Length Prefix, Ethereum's serialisation (Yellow Paper, appendix B).

The decoder takes the canonical form only: one value has one encoding, so bytes that decode are the
bytes that would be encoded. Every deviation is a ValueError.
"""

from typing import TypeAlias

Item: TypeAlias = "bytes | list[Item]"

DEPTH_MAX = 8
INTEGER_BYTES_MAX = 32
_SHORT = 55


def encode(item: Item) -> bytes:
    """Encode a byte string or a nested list of them."""
    if isinstance(item, list):
        payload = b"".join(encode(element) for element in item)
        return _prefix(len(payload), 0xC0) + payload
    if len(item) == 1 and item[0] < 0x80:
        return item
    return _prefix(len(item), 0x80) + item


def decode(data: bytes) -> Item:
    """Decode exactly one item that fills ``data``; ValueError if it is not canonical."""
    item, end = _decode_at(data, 0, len(data), depth=0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes after the RLP item")
    return item


def encode_integer(value: int) -> bytes:
    """Write an unsigned integer as the shortest big-endian bytes: zero is empty."""
    if value < 0:
        raise ValueError(f"negative integer: {value}")
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode_integer(item: Item, name: str) -> int:
    """Read an unsigned integer of at most 256 bits; ValueError names the field."""
    if isinstance(item, list):
        raise ValueError(f"{name} is a list, not an integer")
    if len(item) > INTEGER_BYTES_MAX:
        raise ValueError(f"{name} is longer than 256 bits")
    if item[:1] == b"\x00":
        raise ValueError(f"{name} has leading zeros")
    return int.from_bytes(item, "big")


def _prefix(length: int, offset: int) -> bytes:
    if length <= _SHORT:
        return bytes([offset + length])
    size = encode_integer(length)
    return bytes([offset + _SHORT + len(size)]) + size


def _decode_at(data: bytes, position: int, end: int, *, depth: int) -> tuple[Item, int]:
    """Decode the item at ``position`` inside ``data[:end]``; return it and where it ends."""
    if position >= end:
        raise ValueError("RLP ends before its item")
    if depth > DEPTH_MAX:
        raise ValueError(f"RLP is nested deeper than {DEPTH_MAX}")
    first = data[position]
    if first < 0x80:
        return data[position : position + 1], position + 1
    is_list = first >= 0xC0
    start, length = _payload(data, position, end, offset=0xC0 if is_list else 0x80)
    stop = start + length
    if stop > end:
        raise ValueError("RLP item is longer than its data")
    if not is_list:
        text = data[start:stop]
        if length == 1 and text[0] < 0x80:
            raise ValueError("RLP byte is not in its shortest form")
        return text, stop
    items: list[Item] = []
    while start < stop:
        item, start = _decode_at(data, start, stop, depth=depth + 1)
        items.append(item)
    return items, stop


def _payload(data: bytes, position: int, end: int, *, offset: int) -> tuple[int, int]:
    """Where an item's payload starts, and its length in bytes."""
    short = data[position] - offset
    if short <= _SHORT:
        return position + 1, short
    size_length = short - _SHORT
    start = position + 1 + size_length
    if start > end:
        raise ValueError("RLP length is cut off")
    size = data[position + 1 : start]
    length = int.from_bytes(size, "big")
    if size[0] == 0 or length <= _SHORT:
        raise ValueError("RLP length is not in its shortest form")
    return start, length
