"""Roots in the reference machine: what the proof of liabilities put into the journal, in order.

A root is created once under its id; a repeat answers ``exists`` with the original time. Refusals
are not remembered: each follows from the body, or from a later root that stands for ever, so a
repeat is refused again.
"""

from sakk.ledger.group import Outcome
from sakk.ledger.record import ID_INT_MAX, ID_ZERO, ROOT, encode_results, split
from sakk.ledger.rules import stamp, timestamp_of
from sakk.ledger.types import CreateRootStatus

RESERVED = bytes(8)
R = CreateRootStatus


class Roots:
    """All roots of one shard, by id, as records in the order of creation."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        # Of the last root of each unit: its epoch, and the row that it speaks of.
        self._last: dict[int, tuple[int, int]] = {}

    @property
    def last_epoch(self) -> int:
        """The highest epoch of any unit, 0 before the first root."""
        return max((epoch for epoch, _ in self._last.values()), default=0)

    def create(self, records: bytes, first: int) -> Outcome:
        """Create roots in order, the first at the time ``first``; each stands for itself."""
        cut = split(records)
        timestamps = list(range(first, first + len(cut)))
        stamped = split(stamp(records, timestamps))
        statuses = bytearray(len(cut))
        for index, record in enumerate(cut):
            status = self._status(record)
            if status == R.exists:
                timestamps[index] = timestamp_of(self.records[record[:16]])
            elif status == R.created:
                self.add(stamped[index])
            statuses[index] = status
        return Outcome(encode_results(timestamps, bytes(statuses)))

    def add(self, record: bytes) -> None:
        """Keep a root that stands."""
        fields = ROOT.unpack(record)
        self.records[fields[0]] = record
        self._last[fields[7]] = (fields[3], fields[5])

    def _status(self, record: bytes) -> CreateRootStatus:
        """The first rule, in order, that a root breaks."""
        (identifier, root, total, epoch, leaves, sequence, reserved, unit, reserved_too, timestamp,
         rest) = ROOT.unpack(record)  # fmt: skip
        for status, broken in (
            (R.timestamp_must_be_zero, timestamp),
            (R.reserved_field, {reserved, reserved_too, rest} != {RESERVED}),
            (R.id_must_not_be_zero, identifier == ID_ZERO),
            (R.id_must_not_be_int_max, identifier == ID_INT_MAX),
        ):
            if broken:
                return status
        there = self.records.get(identifier)
        if there is not None:
            other = ROOT.unpack(there)
            for status, differs in (
                (R.exists_with_different_root, root != other[1]),
                (R.exists_with_different_total, total != other[2]),
                (R.exists_with_different_epoch, epoch != other[3]),
                (R.exists_with_different_leaves, leaves != other[4]),
                (R.exists_with_different_unit, unit != other[7]),
                (R.exists_with_different_sequence, sequence != other[5]),
            ):
                if differs:
                    return status
            return R.exists
        last_epoch, last_sequence = self._last.get(unit, (0, 0))
        for status, broken in (
            (R.epoch_must_not_be_zero, not epoch),
            (R.leaves_must_not_be_zero, not leaves),
            (R.unit_must_not_be_zero, not unit),
            (R.sequence_must_not_be_zero, not sequence),
            (R.epoch_must_advance, epoch <= last_epoch),
            (R.sequence_must_advance, sequence <= last_sequence),
        ):
            if broken:
                return status
        return R.created
