# cython: language_level=3
"""What a page hands over: rows in memory of their own, and as bytes."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from sakk.ledger.compiled.binary cimport put32
from sakk.ledger.compiled.encode cimport OPEN_SIZE_MAX, put_open
from sakk.ledger.compiled.places cimport NOTHING, Room, reserve
from sakk.ledger.compiled.totals cimport EXPIRED, OPEN, POSTED, Hold, State, Written


cdef inline const char *word_of(uint32_t status) noexcept nogil:
    if status == POSTED:
        return b"posted"
    if status == OPEN:
        return b"pending"
    return b"expired" if status == EXPIRED else b"voided"


cdef inline uint32_t size_of(uint32_t status) noexcept nogil:
    return 7 if status == OPEN or status == EXPIRED else 6


cdef inline Room new_room(uint64_t size) except *:
    """Memory of this size to be written, and then ``taken``."""
    cdef Room room
    memset(&room, 0, sizeof(Room))
    if reserve(&room, size + 1) == NULL:
        raise MemoryError
    return room


cdef inline bytes taken(Room *room, unsigned char *end):
    """What was written, as bytes; the memory is given back."""
    try:
        return PyBytes_FromStringAndSize(<const char *>room.at, end - room.at)
    finally:
        free(room.at)


cdef inline bytes opened_rows(
    State *state, uint32_t shard, uint64_t holds_before, uint64_t *found
):
    """Rows of the charges that the page opened and did not end."""
    cdef Hold *holds = <Hold *>state.holds.at
    cdef uint64_t index, count = state.holds.bytes // sizeof(Hold)
    cdef Room out
    cdef unsigned char *at
    for index in range(holds_before // sizeof(Hold), count):
        if holds[index].is_open and holds[index].is_charge and holds[index].place != NOTHING:
            found[0] += 1
    out = new_room(found[0] * OPEN_SIZE_MAX)
    at = out.at
    for index in range(holds_before // sizeof(Hold), count):
        if holds[index].is_open and holds[index].is_charge and holds[index].place != NOTHING:
            at = put_open(at, shard, &holds[index])
    return taken(&out, at)


cdef inline bytes transfer_rows(State *state):
    """The rows with their statuses, which were open until the page's end."""
    cdef uint64_t count = state.written.bytes // sizeof(Written)
    cdef Written *written = <Written *>state.written.at
    cdef uint64_t index, start = 0, size = state.transfers.bytes
    cdef unsigned char *at
    cdef bytes rows
    for index in range(count):
        size += 4 + size_of(written[index].status)
    rows = PyBytes_FromStringAndSize(NULL, size)
    at = <unsigned char *>PyBytes_AS_STRING(rows)
    for index in range(count):
        memcpy(at, state.transfers.at + start, written[index].end - start)
        at += written[index].end - start
        start = written[index].end
        at = put32(at, size_of(written[index].status))
        memcpy(at, word_of(written[index].status), size_of(written[index].status))
        at += size_of(written[index].status)
    return rows
