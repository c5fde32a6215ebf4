"""Values and rows in PostgreSQL's binary formats, for loading many rows at once.

COPY's binary format and the array format are those of the manual ("COPY", file formats) and of
``src/backend/utils/adt/{numeric,arrayfuncs}.c`` (``numeric_send``, ``array_send``): everything is
big-endian, and each value is preceded by its length.
"""

import struct
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TAIL = b"\xff\xff"
INT4_OID, NUMERIC_OID, UUID_OID = 23, 1700, 2950

_SMALL = struct.Struct(">iHhHHH")
_ARRAY = struct.Struct(">iiIii")
_BASE = 10_000
_NEGATIVE = 0x4000


def numeric(value: int) -> bytes:
    """A whole number as a NUMERIC without decimals, with its length before it."""
    sign = 0
    if value < 0:
        sign, value = _NEGATIVE, -value
    if 0 < value < _BASE:
        return _SMALL.pack(10, 1, 0, sign, 0, value)
    digits = []
    while value:
        value, digit = divmod(value, _BASE)
        digits.append(digit)
    weight = max(len(digits) - 1, 0)
    # Digits of zero at the end are not written: the weight says where the first one stands.
    start = 0
    while start < len(digits) and not digits[start]:
        start += 1
    kept = digits[start:][::-1]
    count = len(kept)
    return struct.pack(f">iHhHH{count}H", 8 + 2 * count, count, weight, sign, 0, *kept)


def array(oid: int, items: Sequence[bytes]) -> bytes:
    """An array without nulls; each item is preceded by its length already."""
    if not items:
        return struct.pack(">iiI", 0, 0, oid)
    return _ARRAY.pack(1, 0, oid, len(items), 1) + b"".join(items)


class Binary(bytes):
    """A parameter that is in PostgreSQL's binary format already; the statement names its type."""


class _BinaryDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer:
        return bytes(obj)


def accept_binary(connection: psycopg.Connection[Any]) -> None:
    """Let this connection's statements take ``Binary`` parameters."""
    connection.adapters.register_dumper(Binary, _BinaryDumper)


def copy_rows(connection: psycopg.Connection[Any], target: str, rows: bytes) -> None:
    """Load rows into ``target``, a table with its columns; nothing to do where there are none."""
    if not rows:
        return
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY {target} FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(HEAD)
            copy.write(rows)
            copy.write(TAIL)
