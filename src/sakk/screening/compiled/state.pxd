# cython: language_level=3
"""Addresses and what they hold: the haircut, transfer by transfer, and its undoing.

A record is 32 bytes and its index 4 to 8 more. What an address holds of a category is a cell in a
list that is sorted by category; most addresses have none. A labelled address needs none either:
all that it holds is of its category, which stands where the list would begin.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from sakk.screening.compiled.memory cimport NONE, grow, hash_address, same, scale

cdef enum:
    ADDRESS_BYTES = 20
    PARTS_MAX = 32
    # Two of these are kept: what can be undone at once, in bytes.
    UNDO_BYTES_MAX = 1 << 24
    SKIPPED = 255

cdef extern from *:
    """
    #define GRAPH_LABELLED 0xFFFFFF00u
    """
    const uint32_t LABELLED "GRAPH_LABELLED"


ctypedef struct Record:
    uint64_t held
    uint32_t cells
    uint8_t key[20]


ctypedef struct Cell:
    uint64_t grains
    uint32_t after
    uint32_t place


ctypedef struct Log:
    # Entries end with their length's description, so that they are read from the end.
    uint8_t *bytes
    uint64_t room
    uint64_t used
    uint64_t moves


ctypedef struct State:
    Record *records
    uint64_t record_room
    uint64_t record_count
    uint32_t *slots
    uint64_t slot_mask
    uint64_t k0
    uint64_t k1
    Cell *cells
    uint64_t cell_room
    uint64_t cell_count
    uint64_t cells_used
    uint32_t free_cell
    Log newer
    Log older
    uint64_t overfilling


cdef inline bint is_labelled(uint32_t cells) noexcept nogil:
    return cells >= LABELLED and cells != NONE


cdef inline uint64_t slot_of(State *state, uint64_t hashed, const uint8_t *key) noexcept nogil:
    """Where the address's number stands, or the empty slot for it."""
    cdef uint64_t slot = hashed & state.slot_mask
    while state.slots[slot] and not same(state.records[state.slots[slot] - 1].key, key):
        slot = (slot + 1) & state.slot_mask
    return slot


cdef inline uint32_t find(State *state, const uint8_t *key) noexcept nogil:
    """The address's number, or NONE."""
    cdef uint32_t found = state.slots[slot_of(state, hash_address(key, state.k0, state.k1), key)]
    return found - 1 if found else NONE


cdef inline bint widen_index(State *state) noexcept nogil:
    """Twice the slots; False where there is no memory."""
    cdef uint64_t count = 2 * (state.slot_mask + 1), number, slot, room = 0
    cdef void *fresh = NULL
    if not grow(&fresh, &room, count, sizeof(uint32_t)):
        return False
    memset(fresh, 0, count * sizeof(uint32_t))
    free(state.slots)
    state.slots = <uint32_t *>fresh
    state.slot_mask = count - 1
    for number in range(state.record_count):
        slot = hash_address(state.records[number].key, state.k0, state.k1) & state.slot_mask
        while state.slots[slot]:
            slot = (slot + 1) & state.slot_mask
        state.slots[slot] = <uint32_t>number + 1
    return True


cdef inline uint32_t add(State *state, uint64_t slot, const uint8_t *key) noexcept nogil:
    """A new address in the slot that was found for it; its room was reserved."""
    cdef Record *record = state.records + state.record_count
    record.held = 0
    record.cells = NONE
    memcpy(record.key, key, ADDRESS_BYTES)
    state.record_count += 1
    state.slots[slot] = <uint32_t>state.record_count
    return <uint32_t>state.record_count - 1


cdef inline bint reserve_cells(State *state) noexcept nogil:
    """Room for all that one transfer can need."""
    return grow(
        <void **>&state.cells, &state.cell_room, state.cell_count + 2 * PARTS_MAX, sizeof(Cell)
    )


cdef inline uint32_t new_cell(
    State *state, uint32_t place, uint64_t grains, uint32_t after
) noexcept nogil:
    cdef uint32_t number = state.free_cell
    if number != NONE:
        state.free_cell = state.cells[number].after
    else:
        number = <uint32_t>state.cell_count
        state.cell_count += 1
    state.cells[number].grains = grains
    state.cells[number].place = place
    state.cells[number].after = after
    state.cells_used += 1
    return number


cdef inline void free_cell(State *state, uint32_t number) noexcept nogil:
    state.cells[number].after = state.free_cell
    state.free_cell = number
    state.cells_used -= 1


cdef inline bint reserve_log(State *state) noexcept nogil:
    """Room for one transfer's two entries; the older half is dropped where the newer is full."""
    cdef Log dropped
    if state.newer.used > UNDO_BYTES_MAX:
        dropped = state.older
        state.older = state.newer
        dropped.used = 0
        dropped.moves = 0
        state.newer = dropped
    return grow(
        <void **>&state.newer.bytes, &state.newer.room,
        state.newer.used + 2 * (PARTS_MAX * 9 + 16), 1,
    )


cdef inline void note(State *state, uint32_t number, bint is_skipped) noexcept nogil:
    """Write down what an address holds before it changes."""
    cdef Log *log = &state.newer
    cdef Record *record = state.records + number
    cdef uint32_t cell = record.cells
    cdef uint8_t count = 0
    if is_skipped:
        count = SKIPPED
    elif not is_labelled(cell):
        while cell != NONE:
            log.bytes[log.used] = <uint8_t>state.cells[cell].place
            memcpy(log.bytes + log.used + 1, &state.cells[cell].grains, 8)
            log.used += 9
            count += 1
            cell = state.cells[cell].after
    memcpy(log.bytes + log.used, &record.held, 8)
    memcpy(log.bytes + log.used + 8, &number, 4)
    log.bytes[log.used + 12] = count
    log.used += 13


cdef inline void restore(State *state, Log *log) noexcept nogil:
    """Give an address back what the last entry says, and forget the entry."""
    cdef uint8_t count = log.bytes[log.used - 1]
    cdef uint32_t number, cell, after = NONE
    cdef uint64_t grains
    cdef Record *record
    memcpy(&number, log.bytes + log.used - 5, 4)
    record = state.records + number
    memcpy(&record.held, log.bytes + log.used - 13, 8)
    log.used -= 13
    if count == SKIPPED or is_labelled(record.cells):
        return
    while record.cells != NONE:
        cell = record.cells
        record.cells = state.cells[cell].after
        free_cell(state, cell)
    while count:
        memcpy(&grains, log.bytes + log.used - 8, 8)
        after = new_cell(state, log.bytes[log.used - 9], grains, after)
        log.used -= 9
        count -= 1
    record.cells = after


cdef inline bint undo(State *state) noexcept nogil:
    """Take the last move back; False where it was not written down."""
    cdef Log *log = &state.newer if state.newer.moves else &state.older
    if not log.moves or not reserve_cells(state):
        return False
    if log.bytes[log.used - 1] == SKIPPED:
        state.overfilling -= 1
    restore(state, log)
    restore(state, log)
    log.moves -= 1
    return True


cdef inline void forget_log(State *state) noexcept nogil:
    state.newer.used = state.newer.moves = 0
    state.older.used = state.older.moves = 0


cdef inline void receive(
    State *state, Record *record, uint32_t place, uint64_t grains
) noexcept nogil:
    """Add to one of an address's parts."""
    cdef uint32_t *at = &record.cells
    while at[0] != NONE and state.cells[at[0]].place < place:
        at = &state.cells[at[0]].after
    if at[0] != NONE and state.cells[at[0]].place == place:
        state.cells[at[0]].grains += grains
    else:
        at[0] = new_cell(state, place, grains, at[0])


cdef inline void carry_parts(
    State *state, Record *sender, Record *receiver, uint64_t grains, bint is_kept
) noexcept nogil:
    """Move each of the sender's parts in proportion; the receiver keeps them, or absorbs them.

    By running quotients, as ``core.exposure.carry`` divides.
    """
    cdef uint32_t *at = &sender.cells
    cdef uint32_t number, place
    cdef uint64_t held = sender.held, running = 0, reached, given = 0, share
    while at[0] != NONE:
        number = at[0]
        place = state.cells[number].place
        running += state.cells[number].grains
        reached = running if grains == held else scale(running, grains, held)
        share = reached - given
        given = reached
        if share:
            state.cells[number].grains -= share
            if state.cells[number].grains:
                at = &state.cells[number].after
            else:
                at[0] = state.cells[number].after
                free_cell(state, number)
            if is_kept:
                receive(state, receiver, place, share)
        else:
            at = &state.cells[number].after


cdef inline bint move(
    State *state, uint32_t sender_number, uint32_t receiver_number, uint64_t grains, bint undoable
) noexcept nogil:
    """One transfer; False where there is no memory. The issuer is number 0."""
    cdef Record *sender = state.records + sender_number
    cdef Record *receiver = state.records + receiver_number
    cdef bint is_overfilling = receiver_number and receiver.held + grains < grains
    if not reserve_cells(state):
        return False
    if undoable:
        if not reserve_log(state):
            return False
        note(state, sender_number, is_overfilling)
        note(state, receiver_number, is_overfilling)
        state.newer.moves += 1
    if is_overfilling:
        state.overfilling += 1
        return True
    if is_labelled(sender.cells):
        if not is_labelled(receiver.cells):
            receive(state, receiver, sender.cells - LABELLED, grains)
        sender.held = sender.held - grains if sender.held > grains else 0
    else:
        if sender.held < grains:
            sender.held = grains
        if sender.cells != NONE:
            carry_parts(state, sender, receiver, grains, not is_labelled(receiver.cells))
        sender.held -= grains
    if receiver_number:
        receiver.held += grains
    return True


cdef inline void restart(State *state) noexcept nogil:
    """Forget what everybody holds."""
    cdef uint64_t number
    for number in range(state.record_count):
        state.records[number].held = 0
        if not is_labelled(state.records[number].cells):
            state.records[number].cells = NONE
    state.cell_count = state.cells_used = 0
    state.free_cell = NONE
    state.overfilling = 0
    forget_log(state)


cdef inline void close_state(State *state) noexcept nogil:
    free(state.records)
    free(state.slots)
    free(state.cells)
    free(state.newer.bytes)
    free(state.older.bytes)
