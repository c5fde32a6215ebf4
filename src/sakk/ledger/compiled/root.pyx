# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Roots of the proof of liabilities in the compiled machine: a few an epoch, kept as records.

They touch neither accounts nor transfers, so they are created apart from these, with the
interpreter's lock held. Written apart from ``sakk.ledger.root``, like the rest of this folder.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from sakk.ledger.compiled.memory cimport load_u64, store_u64
from sakk.ledger.compiled.rules cimport is_int_max, is_zero
from sakk.ledger.compiled.statuses cimport *

cdef enum:
    RECORD = 128
    AT_ROOT = 16
    AT_TOTAL = 48
    AT_EPOCH = 64
    AT_LEAVES = 72
    AT_SEQUENCE = 80
    AT_UNIT = 96
    AT_TIMESTAMP = 112


cdef class Roots:
    """All roots by id, in the order of creation, and the last of each unit."""

    cdef dict _records, _last

    def __cinit__(self) -> None:
        self._records, self._last = {}, {}

    def __len__(self) -> int:
        return len(self._records)

    @property
    def last_epoch(self) -> int:
        """The highest epoch of any unit, 0 before the first root."""
        cdef uint64_t highest = 0
        cdef bytes record
        for record in self._last.values():
            highest = max(highest, load_u64(<const uint8_t *>PyBytes_AS_STRING(record) + AT_EPOCH))
        return highest

    def joined(self) -> bytes:
        """Every record, one after the other."""
        return b"".join(self._records.values())

    def add(self, bytes record not None) -> bool:
        """Keep a root that stands; False where its id is there already."""
        if record[:16] in self._records:
            return False
        self._records[record[:16]] = record
        self._last[load_u64(<const uint8_t *>PyBytes_AS_STRING(record) + AT_UNIT)] = record
        return True

    def create(self, bytes records not None, uint64_t first) -> bytes:
        """Create roots in order, the first at the time ``first``; their results."""
        cdef uint64_t count = PyBytes_GET_SIZE(records) // RECORD, index
        cdef bytes results = PyBytes_FromStringAndSize(NULL, 9 * count), record, there
        cdef uint8_t *answer = <uint8_t *>PyBytes_AS_STRING(results)
        cdef int status
        for index in range(count):
            record = records[RECORD * index : RECORD * (index + 1)]
            store_u64(answer + 8 * index, first + index)
            status = self._status(<const uint8_t *>PyBytes_AS_STRING(record))
            if status == R_exists:
                there = self._records[record[:16]]
                memcpy(answer + 8 * index, PyBytes_AS_STRING(there) + AT_TIMESTAMP, 8)
            elif status == R_created:
                stamp = (first + index).to_bytes(8, "little")
                self.add(record[:AT_TIMESTAMP] + stamp + record[AT_TIMESTAMP + 8 :])
            answer[8 * count + index] = <uint8_t>status
        return results

    cdef int _status(self, const uint8_t *record) except -1:
        """The first rule, in order, that a root breaks."""
        cdef bytes there, last
        if load_u64(record + AT_TIMESTAMP):
            return R_timestamp_must_be_zero
        if load_u64(record + 88) or load_u64(record + 104) or load_u64(record + 120):
            return R_reserved_field
        if is_zero(record):
            return R_id_must_not_be_zero
        if is_int_max(record):
            return R_id_must_not_be_int_max
        there = self._records.get(PyBytes_FromStringAndSize(<const char *>record, 16))
        if there is not None:
            return difference(record, <const uint8_t *>PyBytes_AS_STRING(there))
        if not load_u64(record + AT_EPOCH):
            return R_epoch_must_not_be_zero
        if not load_u64(record + AT_LEAVES):
            return R_leaves_must_not_be_zero
        if not load_u64(record + AT_UNIT):
            return R_unit_must_not_be_zero
        if not load_u64(record + AT_SEQUENCE):
            return R_sequence_must_not_be_zero
        last = self._last.get(load_u64(record + AT_UNIT))
        if last is not None:
            return advance(record, <const uint8_t *>PyBytes_AS_STRING(last))
        return R_created


cdef int difference(const uint8_t *new, const uint8_t *old) noexcept:
    """The first field, in order, in which a repeat differs from what stands."""
    if memcmp(new + AT_ROOT, old + AT_ROOT, 32):
        return R_exists_with_different_root
    if memcmp(new + AT_TOTAL, old + AT_TOTAL, 16):
        return R_exists_with_different_total
    if memcmp(new + AT_EPOCH, old + AT_EPOCH, 8):
        return R_exists_with_different_epoch
    if memcmp(new + AT_LEAVES, old + AT_LEAVES, 8):
        return R_exists_with_different_leaves
    if memcmp(new + AT_UNIT, old + AT_UNIT, 8):
        return R_exists_with_different_unit
    if memcmp(new + AT_SEQUENCE, old + AT_SEQUENCE, 8):
        return R_exists_with_different_sequence
    return R_exists


cdef int advance(const uint8_t *new, const uint8_t *last) noexcept:
    """A later epoch that speaks of a later row than the last root of its unit."""
    if load_u64(new + AT_EPOCH) <= load_u64(last + AT_EPOCH):
        return R_epoch_must_advance
    if load_u64(new + AT_SEQUENCE) <= load_u64(last + AT_SEQUENCE):
        return R_sequence_must_advance
    return R_created
