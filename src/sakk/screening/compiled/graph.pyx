# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""``CompiledGraph``: one asset's transfers in C, with the answers of the reference.

It shares no code with ``sakk.screening.exposure_reference``: a differential test holds the two
equal. The interpreter's lock is released while transfers are taken up and while a walk goes; the
caller keeps other threads away meanwhile.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from sakk.screening.compiled.memory cimport (
    NONE, grow, hash_address, high, load32, load64, load128, low, prefetch, u128,
)
from sakk.screening.compiled.state cimport (
    ADDRESS_BYTES, LABELLED, PARTS_MAX, Cell, Record, State, add, close_state, find, forget_log,
    is_labelled, move, restart, slot_of, undo, widen_index,
)
from sakk.screening.compiled.walk cimport (
    Entry, Edge, Edges, Ends, Limits, Step, Walk, begin, close_edges, close_walk, cover, go, mark,
)

from sakk.core.exposure_batch import head_bytes
from sakk.screening.exposure_reference import GRAINS_MAX as _GRAINS_MAX
from sakk.screening.exposure_reference import ISSUER as _ISSUER
from sakk.screening.exposure_reference import Held, Trace

cdef enum:
    ROW_BYTES = 92
    RECEIVER = 20
    UNITS = 40
    BLOCK_BYTES = 20
    HEAD_BYTES = 5
    AHEAD = 16
    SLOTS_FIRST = 1024
    ROWS_MAX = 0xFFFFFF00
    EDGES_READ_MAX = 1 << 20
    # So many transfers since the runs were made are not worth making them anew, nor is one in four.
    LOOSE_MAX = 1 << 16
    LOOSE_PART = 4

cdef uint64_t GRAINS_MAX = _GRAINS_MAX
cdef uint32_t ISSUER = _ISSUER


cdef class CompiledGraph:
    """``sakk.screening.exposure_graph.Graph``, compiled."""

    cdef State state
    cdef Edges edges
    cdef Walk walking
    cdef u128 grain
    cdef uint64_t rows
    cdef uint64_t settled
    cdef uint64_t settled_addresses
    cdef bint is_stale
    cdef list too_large
    cdef uint64_t loose_max

    def __cinit__(self, grain=1, *, uint64_t loose_max=LOOSE_MAX):
        cdef uint8_t zero[20]
        memset(zero, 0, ADDRESS_BYTES)
        if not 0 < grain < 1 << 127:
            raise ValueError("a grain is one atomic unit or more")
        self.grain = (<u128><uint64_t>(grain >> 64) << 64) | <uint64_t>(grain & ((1 << 64) - 1))
        self.state.k0 = int.from_bytes(os.urandom(8), "big") | 1
        self.state.k1 = int.from_bytes(os.urandom(8), "big") | 1
        self.state.free_cell = NONE
        self.state.slots = <uint32_t *>calloc(SLOTS_FIRST, sizeof(uint32_t))
        self.state.slot_mask = SLOTS_FIRST - 1
        self.too_large = []
        self.loose_max = loose_max
        if self.state.slots == NULL or not self._reserve(1, 0):
            raise MemoryError
        self._intern(zero)
        self.state.records[0].cells = LABELLED + ISSUER
        mark(&self.edges, 0, True)

    def __dealloc__(self):
        close_state(&self.state)
        close_edges(&self.edges)
        close_walk(&self.walking)

    @property
    def row_count(self):
        return self.rows

    @property
    def edge_count(self):
        return self.edges.count

    @property
    def address_count(self):
        return self.state.record_count - 1

    @property
    def skipped(self):
        return len(self.too_large) + self.state.overfilling

    @property
    def state_bytes(self):
        return (
            self.state.record_count * sizeof(Record)
            + (self.state.slot_mask + 1) * sizeof(uint32_t)
            + self.state.cell_count * sizeof(Cell)
        )

    @property
    def edge_bytes(self):
        return (
            self.edges.count * sizeof(Edge)
            + self.edges.ends_count * sizeof(Ends)
            + self.edges.block_count * sizeof(uint64_t)
            + 2 * (self.edges.covered * sizeof(Entry) + self.edges.covered_addresses * 4)
        )

    cdef bint _reserve(self, uint64_t rows, uint64_t blocks) noexcept nogil:
        """Room for all that so many rows may bring; False where there is no memory."""
        cdef uint64_t addresses = self.state.record_count + 2 * rows
        while 5 * (self.state.slot_mask + 1) < 8 * addresses:
            if not widen_index(&self.state):
                return False
        return (
            grow(<void **>&self.state.records, &self.state.record_room, addresses, sizeof(Record))
            and grow(<void **>&self.edges.ends, &self.edges.ends_room, addresses, sizeof(Ends))
            and grow(
                <void **>&self.edges.marks, &self.edges.marks_room, addresses // 64 + 1,
                sizeof(uint64_t),
            )
            and grow(
                <void **>&self.edges.items, &self.edges.room, self.edges.count + rows, sizeof(Edge)
            )
            and grow(
                <void **>&self.edges.timestamps, &self.edges.timestamp_room,
                self.edges.block_count + blocks + 1, sizeof(uint64_t),
            )
        )

    cdef uint32_t _intern(self, const uint8_t *key) noexcept nogil:
        """The address's number; its room was reserved."""
        cdef uint64_t slot = slot_of(
            &self.state, hash_address(key, self.state.k0, self.state.k1), key
        )
        cdef Ends *ends
        if self.state.slots[slot]:
            return self.state.slots[slot] - 1
        ends = self.edges.ends + self.edges.ends_count
        ends.arriving = ends.leaving = NONE
        ends.arriving_count = ends.leaving_count = 0
        mark(&self.edges, <uint32_t>self.edges.ends_count, False)
        self.edges.ends_count += 1
        return add(&self.state, slot, key)

    def append(self, bytes payload):
        cdef uint64_t start = head_bytes(payload)
        cdef const uint8_t *content = <const uint8_t *>PyBytes_AS_STRING(payload)
        cdef uint64_t blocks = load32(content + 1)
        cdef uint64_t count = (<uint64_t>PyBytes_GET_SIZE(payload) - start) // ROW_BYTES
        cdef uint64_t known = self.state.record_count, done = 0, piece, number, place
        cdef uint32_t in_block
        cdef const uint8_t *block
        if self.rows + count > ROWS_MAX:
            raise MemoryError("a graph holds at most 2**32 - 256 transfers")
        for number in range(blocks):
            block = content + HEAD_BYTES + number * BLOCK_BYTES
            in_block = load32(block + 16)
            with nogil:
                # A piece at a time, so that the index is not widened for addresses that are known.
                place = 0
                while place < in_block:
                    piece = min(<uint64_t>in_block - place, 4096)
                    if not self._reserve(piece, 1):
                        break
                    if place == 0:
                        self.edges.timestamps[self.edges.block_count] = load64(block + 8)
                        self.edges.block_count += 1
                    self._take(content + start + (done + place) * ROW_BYTES, piece)
                    place += piece
                done += place
            if place < in_block:
                raise MemoryError
            self._note_large(content + start + (done - in_block) * ROW_BYTES, in_block)
        return self._keys_from(known)

    cdef void _take(self, const uint8_t *row, uint64_t count) noexcept nogil:
        """Rows of the newest block become edges; the memory they need is fetched ahead."""
        cdef uint64_t number, hashed
        cdef const uint8_t *ahead
        cdef u128 grains
        cdef uint32_t sender, receiver
        for number in range(count):
            if number + AHEAD < count:
                ahead = row + AHEAD * ROW_BYTES
                hashed = hash_address(ahead, self.state.k0, self.state.k1)
                prefetch(self.state.slots + (hashed & self.state.slot_mask))
                hashed = hash_address(ahead + RECEIVER, self.state.k0, self.state.k1)
                prefetch(self.state.slots + (hashed & self.state.slot_mask))
                ahead = row + AHEAD // 2 * ROW_BYTES
                self._prefetch_record(ahead)
                self._prefetch_record(ahead + RECEIVER)
            sender = self._intern(row)
            receiver = self._intern(row + RECEIVER)
            grains = load128(row + UNITS)
            if self.grain != 1:
                grains = grains / self.grain
            if grains and grains < GRAINS_MAX and sender != receiver:
                self._link(sender, receiver, <uint64_t>grains)
            self.rows += 1
            row += ROW_BYTES

    cdef void _prefetch_record(self, const uint8_t *key) noexcept nogil:
        cdef uint64_t hashed = hash_address(key, self.state.k0, self.state.k1)
        cdef uint32_t number = self.state.slots[hashed & self.state.slot_mask]
        if number:
            prefetch(self.state.records + (number - 1))
            prefetch(self.edges.ends + (number - 1))

    cdef void _link(self, uint32_t sender, uint32_t receiver, uint64_t grains) noexcept nogil:
        cdef uint32_t number = <uint32_t>self.edges.count
        cdef Edge *edge = self.edges.items + number
        cdef Ends *ends = self.edges.ends + sender
        edge.grains = grains
        edge.sender = sender
        edge.receiver = receiver
        edge.block = <uint32_t>self.edges.block_count - 1
        edge.row = <uint32_t>self.rows
        edge.before_leaving = ends.leaving
        ends.leaving = number
        ends.leaving_count += 1
        ends = self.edges.ends + receiver
        edge.before_arriving = ends.arriving
        ends.arriving = number
        ends.arriving_count += 1
        self.edges.count += 1

    cdef _note_large(self, const uint8_t *row, uint64_t count):
        """Remember which of the last rows were too large to count."""
        cdef uint64_t number
        for number in range(count):
            if load64(row + UNITS) or load64(row + UNITS + 8) >= GRAINS_MAX:
                if load128(row + UNITS) / self.grain >= GRAINS_MAX:
                    self.too_large.append(self.rows - count + number)
            row += ROW_BYTES

    cdef _keys_from(self, uint64_t first):
        """The addresses from this number on, end to end."""
        cdef uint64_t count = self.state.record_count - first, number
        cdef bytes keys = PyBytes_FromStringAndSize(NULL, count * ADDRESS_BYTES)
        cdef char *into = PyBytes_AS_STRING(keys)
        for number in range(count):
            memcpy(
                into + number * ADDRESS_BYTES, self.state.records[first + number].key, ADDRESS_BYTES
            )
        return keys

    cdef uint32_t _number(self, bytes address) except? 0xFFFFFFFE:
        if PyBytes_GET_SIZE(address) != ADDRESS_BYTES:
            raise ValueError("an address has 20 bytes")
        return find(&self.state, <const uint8_t *>PyBytes_AS_STRING(address))

    def label(self, bytes address, place):
        cdef uint32_t number = self._number(address), cells
        cdef bint was
        if number == NONE or number == 0:
            return False
        cells = self.state.records[number].cells
        was = is_labelled(cells)
        if place is None:
            if not was:
                return False
            self.state.records[number].cells = NONE
            mark(&self.edges, number, False)
        else:
            if not 0 <= place < PARTS_MAX:
                raise ValueError("no place of a category")
            if was and cells == LABELLED + <uint32_t>place:
                return False
            self.state.records[number].cells = LABELLED + <uint32_t>place
            mark(&self.edges, number, True)
        # Whoever came since the last settling has moved nothing yet.
        if number < self.settled_addresses:
            self.is_stale = True
        return True

    def settle(self, *, bint undoable=True):
        cdef bint done
        with nogil:
            if self.is_stale:
                restart(&self.state)
                self.settled = 0
                self.is_stale = False
            if not undoable:
                forget_log(&self.state)
            done = self._settle(undoable)
            self.settled_addresses = self.state.record_count
        if not done:
            self.is_stale = True
            raise MemoryError

    cdef bint _settle(self, bint undoable) noexcept nogil:
        cdef Edge *edge
        cdef Edge *ahead
        while self.settled < self.edges.count:
            edge = self.edges.items + self.settled
            if self.settled + AHEAD < self.edges.count:
                ahead = edge + AHEAD
                prefetch(self.state.records + ahead.sender)
                prefetch(self.state.records + ahead.receiver)
            if not move(&self.state, edge.sender, edge.receiver, edge.grains, undoable):
                return False
            self.settled += 1
        return True

    def truncate(self, uint64_t row):
        cdef Edge *edge
        cdef Ends *ends
        while self.edges.count and self.edges.items[self.edges.count - 1].row >= row:
            if self.settled == self.edges.count:
                if not self.is_stale and not undo(&self.state):
                    self.is_stale = True
                self.settled -= 1
            edge = self.edges.items + self.edges.count - 1
            ends = self.edges.ends + edge.receiver
            ends.arriving = edge.before_arriving
            ends.arriving_count -= 1
            ends = self.edges.ends + edge.sender
            ends.leaving = edge.before_leaving
            ends.leaving_count -= 1
            self.edges.count -= 1
        self.edges.covered = min(self.edges.covered, self.edges.count)
        self.too_large = [each for each in self.too_large if each < row]
        self.rows = min(self.rows, row)
        if self.is_stale:
            self.settle()

    def held(self, bytes address):
        cdef uint32_t number = self._number(address), cell
        cdef Record *record
        if number == NONE or number == 0:
            return None
        record = self.state.records + number
        if is_labelled(record.cells):
            parts = ((record.cells - LABELLED, record.held),) if record.held else ()
            return Held(record.held, parts)
        cell = record.cells
        found = []
        while cell != NONE:
            found.append((self.state.cells[cell].place, self.state.cells[cell].grains))
            cell = self.state.cells[cell].after
        return Held(record.held, tuple(found))

    def transfers_of(self, bytes address, *, bint leaving, uint64_t limit):
        cdef uint32_t number = self._number(address), edge_number, other
        cdef Edge *edge
        cdef list found = []
        if number == NONE:
            return found
        edge_number = (
            self.edges.ends[number].leaving if leaving else self.edges.ends[number].arriving
        )
        while edge_number != NONE and <uint64_t>len(found) < limit:
            edge = self.edges.items + edge_number
            other = edge.receiver if leaving else edge.sender
            found.append(
                (self._key(other), edge.row, bool(is_labelled(self.state.records[other].cells)))
            )
            edge_number = edge.before_leaving if leaving else edge.before_arriving
        return found

    def walk(self, bytes address, *, bint forward, uint64_t since, limits):
        cdef uint32_t number = self._number(address), place
        cdef uint64_t loose
        cdef Limits bounds
        if not 0 < limits.hops_max < 256 or not 0 < limits.edges_max <= EDGES_READ_MAX:
            raise ValueError("a walk goes 1 to 255 hops and reads 1 to 1048576 transfers")
        if number == NONE or number == 0:
            return Trace(0, (), 0, False, 0, ())
        bounds.hops_max = limits.hops_max
        bounds.edges_max = limits.edges_max
        bounds.hub_edges_max = limits.hub_edges_max
        bounds.since = since
        bounds.forward = forward
        if not begin(&self.walking, &bounds):
            raise MemoryError
        with nogil:
            loose = self.edges.count - self.edges.covered
            if loose > self.loose_max and loose > self.edges.covered // LOOSE_PART:
                # Without memory for it the walk goes from one transfer to the next.
                cover(&self.edges)
            go(&self.walking, &self.edges, &self.state, number, &bounds)
        parts = tuple(
            [
                (place, _whole(self.walking.parts[place]), _whole(self.walking.direct[place]))
                for place in range(PARTS_MAX)
                if self.walking.parts[place]
            ]
        )
        return Trace(
            _whole(self.walking.total),
            parts,
            _whole(self.walking.unknown),
            bool(self.walking.is_cut),
            self.walking.read,
            tuple(self._paths(forward, limits.paths_max)),
        )

    cdef list _paths(self, bint forward, uint32_t paths_max):
        """The heaviest hits with the way to each; of equal ones the first."""
        cdef list heaviest = []
        cdef uint64_t number
        cdef u128 least = 0
        for number in range(self.walking.hit_count):
            if len(heaviest) >= paths_max and self.walking.hits[number].grains <= least:
                continue
            heaviest.append((-_whole(self.walking.hits[number].grains), number))
            if len(heaviest) >= 2 * paths_max:
                heaviest.sort()
                del heaviest[paths_max:]
                if heaviest:
                    least = self.walking.hits[<uint64_t>heaviest[len(heaviest) - 1][1]].grains
        heaviest.sort()
        return [self._path(place, forward) for _, place in heaviest[:paths_max]]

    cdef tuple _path(self, uint64_t hit, bint forward):
        cdef Edge *edge = self.edges.items + self.walking.hits[hit].edge
        cdef uint32_t other = edge.receiver if forward else edge.sender
        cdef uint32_t step = self.walking.hits[hit].step
        cdef list hops = [(self._key(other), edge.row)]
        while self.walking.steps[step].parent != NONE:
            edge = self.edges.items + self.walking.steps[step].via
            hops.append((self._key(self.walking.steps[step].node), edge.row))
            step = self.walking.steps[step].parent
        hops.reverse()
        return (
            self.state.records[other].cells - LABELLED,
            tuple(hops),
            _whole(self.walking.hits[hit].grains),
        )

    cdef bytes _key(self, uint32_t number):
        return PyBytes_FromStringAndSize(<char *>self.state.records[number].key, ADDRESS_BYTES)


cdef object _whole(u128 value):
    cdef uint64_t upper = high(value), lower = low(value)
    return (upper << 64) | lower if not upper else (int(upper) << 64) | int(lower)
