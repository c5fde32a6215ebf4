# cython: language_level=3
"""A core's memory: opened empty, reserved before a group, closed at the end."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from sakk.ledger.compiled.core cimport (
    ACCOUNT_SHIFT, ENTRY_SHIFT, EXTRA_SHIFT, EXTRA_WORDS_MAX, HOLD_SHIFT, Account, Core, Ending,
    Entry, Undo,
)
from sakk.ledger.compiled.index cimport SPARE_TABLES, index_close, index_open, index_reserve
from sakk.ledger.compiled.keyed cimport HashKey
from sakk.ledger.compiled.memory cimport arena_close, arena_open, arena_reserve
from sakk.ledger.compiled.transfers cimport EXPIRED_MAX, RESOLVED_BYTES

cdef enum:
    EVENTS_A_TABLE = 1024  # a new table is at hand for every so many events of a group


cdef inline bint open_core(Core *core, const uint8_t *key) noexcept nogil:
    """An empty core; False where there is no memory. ``key``: two of ``HashKey``'s size."""
    cdef uint64_t numbers = (<uint64_t>1 << 32) - (1 << 20)
    memset(core, 0, sizeof(Core))
    memcpy(&core.account_index.key, key, sizeof(HashKey))
    memcpy(&core.entry_index.key, key + sizeof(HashKey), sizeof(HashKey))
    core.expired = <uint8_t *>realloc(NULL, EXPIRED_MAX * 16)
    return (
        core.expired != NULL
        and index_open(&core.account_index)
        and index_open(&core.entry_index)
        and arena_open(&core.accounts, sizeof(Account), ACCOUNT_SHIFT, numbers)
        and arena_open(&core.saved, sizeof(Account), ACCOUNT_SHIFT, numbers)
        and arena_open(&core.entries, sizeof(Entry), ENTRY_SHIFT, numbers)
        and arena_open(&core.extras, sizeof(uint64_t), EXTRA_SHIFT, numbers)
        and arena_open(&core.holds, 1, HOLD_SHIFT, numbers)
    )


cdef inline void close_core(Core *core) noexcept nogil:
    arena_close(&core.accounts)
    arena_close(&core.saved)
    arena_close(&core.entries)
    arena_close(&core.extras)
    arena_close(&core.holds)
    index_close(&core.account_index)
    index_close(&core.entry_index)
    free(core.endings)
    free(core.undo)
    free(core.fresh)
    free(core.resolved)
    free(core.expired)


cdef inline bint reserve_endings(Core *core, uint64_t more) noexcept nogil:
    cdef uint64_t room = core.ending_room
    cdef void *moved
    if core.ending_count + more <= room:
        return True
    room = max(core.ending_count + more, 2 * room)
    moved = realloc(core.endings, room * sizeof(Ending))
    if moved == NULL:
        return False
    core.endings = <Ending *>moved
    core.ending_room = room
    return True


cdef inline bint reserve_group(Core *core, uint64_t count) noexcept nogil:
    """Room for what a group keeps while it is applied."""
    cdef void *moved
    if count <= core.group_room:
        return True
    moved = realloc(core.undo, count * sizeof(Undo))
    if moved == NULL:
        return False
    core.undo = <Undo *>moved
    moved = realloc(core.fresh, count * sizeof(uint32_t))
    if moved == NULL:
        return False
    core.fresh = <uint32_t *>moved
    moved = realloc(core.resolved, count * RESOLVED_BYTES)
    if moved == NULL:
        return False
    core.resolved = <uint8_t *>moved
    core.group_room = count
    return True


cdef inline bint reserve(Core *core, uint64_t count) noexcept nogil:
    """All the memory that a group of so many events can need; False where there is not so much.

    Tables for the indexes are the exception: a group whose ids fall together, against odds that
    nobody can bend without the key, may want more splits than are at hand. A table then fills on.
    """
    cdef uint64_t touched = 2 * count + 2 * EXPIRED_MAX if core.frozen_count else 0
    return (
        reserve_group(core, count)
        and reserve_endings(core, count)
        and index_reserve(&core.account_index, SPARE_TABLES + count // EVENTS_A_TABLE)
        and index_reserve(&core.entry_index, SPARE_TABLES + count // EVENTS_A_TABLE)
        and arena_reserve(&core.accounts, count)
        and arena_reserve(&core.saved, touched)
        and arena_reserve(&core.entries, count)
        and arena_reserve(&core.extras, count * (EXTRA_WORDS_MAX + 1) + 64)
        and arena_reserve(&core.holds, count)
    )
