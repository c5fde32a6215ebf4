# cython: language_level=3, boundscheck=False, wraparound=False
"""The way back: what the ledger found and said, as its caller knows it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef enum:
    RECORD = 128
    # Of an id's ninth byte; see sakk.core.ledger.
    VARIANT = 0xC0
    UUID = 0x80
    TEST_BIT = 0x40

cdef const char *DIGITS = b"0123456789abcdef"


cdef bytes show(bytes records, bint accounts):
    """Records as their caller wrote them; what is no record (zeros) stays so."""
    cdef Py_ssize_t count = PyBytes_GET_SIZE(records) // RECORD
    cdef Py_ssize_t index
    cdef int offset
    cdef uint64_t unit
    cdef bytes shown = PyBytes_FromStringAndSize(PyBytes_AS_STRING(records), count * RECORD)
    cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(shown)
    for index in range(count):
        for offset in (0, 16, 32, 64):
            if at[offset + 8] & UUID and not (accounts and offset):
                at[offset + 8] &= ~<uint8_t>TEST_BIT
        memcpy(&unit, at + 96, 8)
        unit &= (<uint64_t>1 << 62) - 1
        memcpy(at + 96, &unit, 8)
        at += RECORD
    return shown


def show_transfers(bytes records not None):
    """Transfers of a caller's own, as the caller wrote them."""
    return show(records, False)


def show_accounts(bytes records not None):
    """Accounts of a caller's own, as the caller wrote them."""
    return show(records, True)


cdef inline int write_number(uint64_t number, char *out) noexcept nogil:
    cdef char digits[20]
    cdef int length = 0, index
    while True:
        digits[length] = <char>(48 + number % 10)
        length += 1
        number //= 10
        if number == 0:
            break
    for index in range(length):
        out[index] = digits[length - 1 - index]
    return length


cdef class ResultWriter:
    """Results as a JSON array. ``befores`` and ``afters``: what stands around each timestamp, by
    status."""

    cdef list _befores, _afters
    cdef Py_ssize_t _longest

    def __init__(self, befores: list[bytes], afters: list[bytes]) -> None:
        if len(befores) != len(afters) or len(befores) > 256:
            raise ValueError("each status has a before and an after")
        self._befores = befores
        self._afters = afters
        self._longest = max(len(a) + len(b) for a, b in zip(befores, afters)) + 21

    def one(self, bytes record not None, bytes results not None, bytes middle not None) -> bytes:
        """One result as the whole of an answer: the record's id as it is shown, ``middle``, and
        the result's own fields."""
        cdef uint8_t identifier[16]
        cdef uint64_t timestamp
        cdef bytes before, after
        cdef char *out
        cdef char *end
        cdef int index
        if PyBytes_GET_SIZE(record) < RECORD or PyBytes_GET_SIZE(results) != 9:
            raise ValueError("one record has one result")
        index = <uint8_t>PyBytes_AS_STRING(results)[8]
        if index >= len(self._befores):
            raise ValueError(f"there is no status {index}")
        before, after = <bytes>self._befores[index], <bytes>self._afters[index]
        memcpy(identifier, PyBytes_AS_STRING(record), 16)
        memcpy(&timestamp, PyBytes_AS_STRING(results), 8)
        if identifier[8] & VARIANT == UUID | TEST_BIT:
            identifier[8] &= ~<uint8_t>TEST_BIT
        out = <char *>malloc(self._longest + PyBytes_GET_SIZE(middle) + 64)
        if out == NULL:
            raise MemoryError
        try:
            memcpy(out, b'{"id":"', 7)
            end = out + 7
            for index in range(16):
                if index == 4 or index == 6 or index == 8 or index == 10:
                    end[0] = 45
                    end += 1
                end[0] = DIGITS[identifier[index] >> 4]
                end[1] = DIGITS[identifier[index] & 15]
                end += 2
            memcpy(end, PyBytes_AS_STRING(middle), PyBytes_GET_SIZE(middle))
            end += PyBytes_GET_SIZE(middle)
            # The result's own opening brace is the answer's.
            memcpy(end, PyBytes_AS_STRING(before) + 1, PyBytes_GET_SIZE(before) - 1)
            end += PyBytes_GET_SIZE(before) - 1
            end += write_number(timestamp, end)
            memcpy(end, PyBytes_AS_STRING(after), PyBytes_GET_SIZE(after))
            end += PyBytes_GET_SIZE(after)
            return PyBytes_FromStringAndSize(out, end - out)
        finally:
            free(out)

    def __call__(self, bytes results not None) -> bytes:
        cdef Py_ssize_t count = PyBytes_GET_SIZE(results) // 9
        cdef Py_ssize_t index
        cdef const char *at = PyBytes_AS_STRING(results)
        cdef const uint8_t *statuses = <const uint8_t *>at + 8 * count
        cdef char *out = <char *>malloc(count * self._longest + 2)
        cdef char *end = out
        cdef bytes part
        cdef uint64_t timestamp
        if out == NULL:
            raise MemoryError
        try:
            end[0] = 91
            end += 1
            for index in range(count):
                if index:
                    end[0] = 44
                    end += 1
                if statuses[index] >= len(self._befores):
                    raise ValueError(f"there is no status {statuses[index]}")
                part = <bytes>self._befores[statuses[index]]
                memcpy(end, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
                end += PyBytes_GET_SIZE(part)
                memcpy(&timestamp, at + 8 * index, 8)
                end += write_number(timestamp, end)
                part = <bytes>self._afters[statuses[index]]
                memcpy(end, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
                end += PyBytes_GET_SIZE(part)
            end[0] = 93
            end += 1
            return PyBytes_FromStringAndSize(out, end - out)
        finally:
            free(out)
