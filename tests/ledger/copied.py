"""What COPY was given, read back: rows of raw fields, and arrays; a store that a page is put in."""

import struct
from collections.abc import Sequence

from sakk.ledger.charge import charge_record
from sakk.ledger.record import ACCOUNT, ID_ZERO, RESERVED, TRANSFER
from sakk.store.projection import Page


def rows(data: bytes) -> list[tuple[bytes | None, ...]]:
    """COPY's binary rows, without head and tail."""
    found: list[tuple[bytes | None, ...]] = []
    at = 0
    while at < len(data):
        count = int.from_bytes(data[at : at + 2], "big")
        at += 2
        row: list[bytes | None] = []
        for _ in range(count):
            size = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4
            row.append(None if size < 0 else data[at : at + size])
            at += max(size, 0)
        found.append(tuple(row))
    return found


def array(data: bytes) -> list[bytes]:
    """The items of a binary array without nulls."""
    dimensions, nulls, _, count, lower = struct.unpack_from(">iiIii", data)
    assert (dimensions, nulls, lower) == (1, 0, 1)
    items, at = [], 20
    for _ in range(count):
        size = int.from_bytes(data[at : at + 4], "big")
        items.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    assert at == len(data)
    return items


def numeric(data: bytes) -> int:
    """A NUMERIC without decimals as ``numeric_send`` writes it."""
    count, weight, sign, scale = struct.unpack_from(">hhHh", data)
    digits = struct.unpack_from(f">{count}h", data, 8)
    assert scale == 0
    assert all(0 <= digit < 10_000 for digit in digits)
    value = 0
    for place in range(weight + 1):
        value = value * 10_000 + (digits[place] if place < count else 0)
    return -value if sign else value


class Store:
    """Accounts and open holds as pages leave them, given back as records."""

    def __init__(self) -> None:
        self.accounts: dict[bytes, bytes] = {}
        self.holds: dict[bytes, bytes] = {}
        self.charges: dict[bytes, bytes] = {}

    def write(self, page: Page) -> None:
        for row in rows(page.accounts):
            fields = [field or b"" for field in row]
            self._account(
                fields[0], fields[5], fields[2], fields[6], fields[3], fields[4], fields[7:]
            )
        if page.totals:
            for identifier, flags, *totals in zip(*map(array, page.totals), strict=True):
                old = ACCOUNT.unpack(self.accounts[identifier])
                self.accounts[identifier] = ACCOUNT.pack(
                    identifier, *_totals(totals), old[5], old[6], old[7], old[8],
                    int.from_bytes(flags, "big"), RESERVED,
                )  # fmt: skip
        by_time = {TRANSFER.unpack(record)[8]: key for key, record in self.holds.items()}
        for settled in page.settled:
            del self.holds[by_time[settled.timestamp_ns]]
        for identifier in page.closed:
            del self.charges[identifier]
        for row in rows(page.opened):
            identifier, _, debit, credit, amount, unit, data, timestamp, timeout = (
                field or b"" for field in row
            )
            self.charges[identifier] = charge_record(
                identifier, debit, credit, numeric(amount), data, numeric(unit),
                int.from_bytes(timestamp, "big"), int.from_bytes(timeout, "big"),
            )  # fmt: skip
        for row in rows(page.transfers):
            (identifier, _, _, timestamp, effective_at, debit, credit, amount, unit, code, flags,
             timeout, user_data, _, _, status) = (field or b"" for field in row)  # fmt: skip
            if status == b"pending":
                self.holds[identifier] = TRANSFER.pack(
                    identifier, debit, credit, numeric(amount).to_bytes(16, "little"), ID_ZERO,
                    user_data, numeric(unit),
                    *(int.from_bytes(each, "big")
                      for each in (effective_at, timestamp, timeout, code, flags)),
                )  # fmt: skip

    def account_records(self, ids: Sequence[bytes]) -> bytes:
        return b"".join(self.accounts.get(each, b"") for each in ids)

    def hold_records(self, ids: Sequence[bytes]) -> bytes:
        both = self.holds | self.charges
        return b"".join(both.get(each, b"") for each in ids)

    def _account(
        self,
        identifier: bytes,
        user_data: bytes,
        unit: bytes,
        timestamp: bytes,
        code: bytes,
        flags: bytes,
        totals: Sequence[bytes],
    ) -> None:
        self.accounts[identifier] = ACCOUNT.pack(
            identifier, *_totals(totals), user_data, numeric(unit),
            *(int.from_bytes(each, "big") for each in (timestamp, code, flags)), RESERVED,
        )  # fmt: skip


def _totals(totals: Sequence[bytes]) -> list[bytes]:
    return [numeric(each).to_bytes(16, "little") for each in totals]
