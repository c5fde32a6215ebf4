# cython: language_level=3
"""Transfers as edges, and the walk over them; the rules are `sakk.screening.exposure_graph`'s."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from sakk.screening.compiled.memory cimport NONE, grow, prefetch, share_of, u128
from sakk.screening.compiled.state cimport LABELLED, PARTS_MAX, State


cdef enum:
    # Addresses whose transfers are fetched side by side, and how many of each.
    ABREAST = 12
    FETCHED_MAX = 64
    # How far ahead the ends of an address, and then its run, are fetched.
    ENDS_AHEAD = 16
    RUN_AHEAD = 6
    CACHE_LINE = 64


ctypedef struct Edge:
    uint64_t grains
    uint32_t sender
    uint32_t receiver
    # The transfer before this one that its receiver received, and that its sender sent.
    uint32_t before_arriving
    uint32_t before_leaving
    uint32_t block
    uint32_t row


ctypedef struct Ends:
    # An address's newest transfers, and how many there are.
    uint32_t arriving
    uint32_t leaving
    uint32_t arriving_count
    uint32_t leaving_count


ctypedef struct Entry:
    # A transfer as one of its two addresses sees it.
    uint64_t grains
    uint32_t other
    uint32_t number


ctypedef struct Runs:
    # The transfers of each address side by side, newest first, from `starts[address]` on: a walk
    # that reads thousands of them waits for memory once an address and not once a transfer.
    Entry *entries
    uint64_t room
    uint32_t *starts
    uint64_t starts_room


ctypedef struct Edges:
    Edge *items
    uint64_t room
    uint64_t count
    Ends *ends
    uint64_t ends_room
    uint64_t ends_count
    uint64_t *timestamps
    uint64_t timestamp_room
    uint64_t block_count
    # A bit for each address that has a label: all of them fit a cache, their records do not.
    uint64_t *marks
    uint64_t marks_room
    # The runs hold the transfers below `covered`; what came since is found from one to the next.
    Runs arriving
    Runs leaving
    uint64_t covered
    uint64_t covered_addresses


ctypedef struct Cursor:
    # Where reading an address's transfers stands: in those since the runs were made, then in one.
    uint32_t link
    uint64_t place
    uint64_t end


ctypedef struct Step:
    u128 grains
    u128 heaviest
    uint32_t node
    uint32_t bound
    uint32_t parent
    uint32_t via


ctypedef struct Hit:
    u128 grains
    uint32_t step
    uint32_t edge


ctypedef struct Limits:
    uint32_t hops_max
    uint32_t edges_max
    uint32_t hub_edges_max
    uint64_t since
    bint forward


ctypedef struct Walk:
    Step *steps
    uint64_t step_room
    uint64_t step_count
    Hit *hits
    uint64_t hit_room
    uint64_t hit_count
    # From an address to its step of the hop under way; older steps are no answer.
    uint32_t *table
    uint64_t table_room
    uint64_t table_mask
    u128 parts[32]
    u128 direct[32]
    u128 total
    u128 unknown
    uint32_t read
    bint is_cut


cdef inline bint begin(Walk *walk, Limits *limits) noexcept nogil:
    """Empty, with room for all that the limits allow; False where there is no memory."""
    cdef uint64_t slots = 64, steps = <uint64_t>limits.edges_max + 2
    while slots < 2 * (<uint64_t>limits.edges_max + 1):
        slots *= 2
    if not (
        grow(<void **>&walk.table, &walk.table_room, slots, sizeof(uint32_t))
        and grow(<void **>&walk.steps, &walk.step_room, steps, sizeof(Step))
        and grow(<void **>&walk.hits, &walk.hit_room, steps, sizeof(Hit))
    ):
        return False
    walk.table_mask = slots - 1
    memset(walk.table, 0, slots * sizeof(uint32_t))
    memset(walk.parts, 0, sizeof(u128) * PARTS_MAX)
    memset(walk.direct, 0, sizeof(u128) * PARTS_MAX)
    walk.step_count = walk.hit_count = 0
    walk.total = walk.unknown = 0
    walk.read = 0
    walk.is_cut = False
    return True


cdef inline Step *step_to(Walk *walk, uint32_t node, uint64_t hop_start) noexcept nogil:
    """The step of the hop under way that leads to an address; a new one has no parent yet."""
    cdef uint64_t slot = (<uint64_t>node * 0x9E3779B97F4A7C15ULL >> 20) & walk.table_mask
    cdef uint32_t number
    cdef Step *step
    while True:
        number = walk.table[slot]
        if number <= hop_start:
            break
        if walk.steps[number - 1].node == node:
            return walk.steps + (number - 1)
        slot = (slot + 1) & walk.table_mask
    step = walk.steps + walk.step_count
    walk.step_count += 1
    walk.table[slot] = <uint32_t>walk.step_count
    step.grains = step.heaviest = 0
    step.node = node
    step.parent = step.via = NONE
    return step


cdef inline uint32_t before(Edge *edge, bint forward) noexcept nogil:
    return edge.before_leaving if forward else edge.before_arriving


cdef inline bint is_marked(Edges *edges, uint32_t node) noexcept nogil:
    return edges.marks[node >> 6] >> (node & 63) & 1


cdef inline void mark(Edges *edges, uint32_t node, bint labelled) noexcept nogil:
    if labelled:
        edges.marks[node >> 6] |= 1ULL << (node & 63)
    else:
        edges.marks[node >> 6] &= ~(1ULL << (node & 63))


cdef inline bint lay_out(Edges *edges, Runs *runs, bint forward) noexcept nogil:
    """Lay an address's transfers side by side; False where there is no memory."""
    cdef uint64_t number = edges.count, node
    cdef uint32_t degree
    cdef Edge *edge
    cdef Entry *entry
    if not (
        grow(<void **>&runs.starts, &runs.starts_room, edges.ends_count + 2, sizeof(uint32_t))
        and grow(<void **>&runs.entries, &runs.room, edges.count, sizeof(Entry))
    ):
        return False
    # One place further than it will stand: filling moves each start to the next one's.
    runs.starts[0] = runs.starts[1] = 0
    for node in range(edges.ends_count):
        degree = edges.ends[node].leaving_count if forward else edges.ends[node].arriving_count
        runs.starts[node + 2] = runs.starts[node + 1] + degree
    while number:
        number -= 1
        edge = edges.items + number
        node = edge.sender if forward else edge.receiver
        entry = runs.entries + runs.starts[node + 1]
        runs.starts[node + 1] += 1
        entry.grains = edge.grains
        entry.other = edge.receiver if forward else edge.sender
        entry.number = <uint32_t>number
    return True


cdef inline bint cover(Edges *edges) noexcept nogil:
    """Make the runs of all transfers that there are; False where there is no memory."""
    edges.covered = edges.covered_addresses = 0
    if not (lay_out(edges, &edges.arriving, False) and lay_out(edges, &edges.leaving, True)):
        return False
    edges.covered = edges.count
    edges.covered_addresses = edges.ends_count
    return True


cdef inline void open_cursor(
    Cursor *cursor, Edges *edges, uint32_t node, bint forward
) noexcept nogil:
    """Before the newest transfer of an address."""
    cdef Runs *runs = &edges.leaving if forward else &edges.arriving
    cursor.link = edges.ends[node].leaving if forward else edges.ends[node].arriving
    cursor.place = cursor.end = 0
    if node < edges.covered_addresses:
        cursor.place = runs.starts[node]
        cursor.end = runs.starts[node + 1]
        # What was taken back since the runs were made stands first in them.
        while cursor.place < cursor.end and runs.entries[cursor.place].number >= edges.covered:
            cursor.place += 1


cdef inline bint next_entry(
    Cursor *cursor, Edges *edges, bint forward, Entry *entry
) noexcept nogil:
    """The next older transfer; False where there is none."""
    cdef Runs *runs
    cdef Edge *edge
    if cursor.link != NONE and cursor.link >= edges.covered:
        edge = edges.items + cursor.link
        entry.grains = edge.grains
        entry.other = edge.receiver if forward else edge.sender
        entry.number = cursor.link
        cursor.link = before(edge, forward)
        return True
    if cursor.place == cursor.end:
        return False
    runs = &edges.leaving if forward else &edges.arriving
    entry[0] = runs.entries[cursor.place]
    cursor.place += 1
    return True


cdef inline bint read_edges(
    Walk *walk, Edges *edges, Step *step, Limits *limits, bint is_root, Cursor *first,
    uint32_t *count, u128 *weight
) noexcept nogil:
    """The newest transfer that may have led here; ``count`` from it on, and what they sum to."""
    cdef Ends *ends = edges.ends + step.node
    cdef uint32_t degree = ends.leaving_count if limits.forward else ends.arriving_count
    cdef Cursor cursor, here
    cdef Entry entry
    count[0] = 0
    weight[0] = 0
    if not is_root and degree >= limits.hub_edges_max:
        walk.is_cut = True
        return False
    open_cursor(&cursor, edges, step.node, limits.forward)
    here = cursor
    while next_entry(&cursor, edges, limits.forward, &entry):
        if limits.forward and step.bound != NONE and entry.number <= step.bound:
            break
        if walk.read == limits.edges_max:
            walk.is_cut = True
            if not is_root:
                weight[0] = 0
                return False
            break
        walk.read += 1
        if limits.forward or entry.number < step.bound:
            if limits.since and (
                edges.timestamps[edges.items[entry.number].block] < limits.since
            ):
                break
            if not count[0]:
                first[0] = here
            count[0] += 1
            weight[0] += entry.grains
        here = cursor
    return count[0] != 0


cdef inline void divide(
    Walk *walk, Edges *edges, State *state, uint32_t step_number, Cursor *cursor, uint32_t count,
    u128 weight, Limits *limits, uint64_t hop_start, bint is_direct
) noexcept nogil:
    """Give each transfer its share: to a label's part, or to the address a hop further."""
    cdef u128 grains = walk.steps[step_number].grains
    cdef u128 running = 0, reached, given = 0, share
    cdef uint32_t cells
    cdef Entry entry
    cdef Step *there
    while count and next_entry(cursor, edges, limits.forward, &entry):
        running += entry.grains
        reached = running if grains == weight else share_of(grains, running, weight)
        share = reached - given
        given = reached
        if share and is_marked(edges, entry.other):
            cells = state.records[entry.other].cells
            walk.parts[cells - LABELLED] += share
            if is_direct:
                walk.direct[cells - LABELLED] += share
            walk.hits[walk.hit_count].grains = share
            walk.hits[walk.hit_count].step = step_number
            walk.hits[walk.hit_count].edge = entry.number
            walk.hit_count += 1
        elif share:
            there = step_to(walk, entry.other, hop_start)
            if there.via == NONE:
                there.bound = entry.number
            there.grains += share
            if (entry.number < there.bound) == limits.forward:
                there.bound = entry.number
            if share > there.heaviest:
                there.heaviest = share
                there.parent = step_number
                there.via = entry.number
        count -= 1


cdef inline void fetch_runs(
    Walk *walk, Edges *edges, uint64_t at, uint64_t last, Limits *limits
) noexcept nogil:
    """Bring what a few steps from here will read into the cache: first where, then what."""
    cdef Runs *runs = &edges.leaving if limits.forward else &edges.arriving
    cdef uint32_t node
    cdef Entry *entry
    if at + ENDS_AHEAD < last:
        node = walk.steps[at + ENDS_AHEAD].node
        prefetch(edges.ends + node)
        if node < edges.covered_addresses:
            prefetch(runs.starts + node)
    if at + RUN_AHEAD < last:
        node = walk.steps[at + RUN_AHEAD].node
        if node < edges.covered_addresses:
            entry = runs.entries + runs.starts[node]
            prefetch(entry)
            prefetch(<char *>entry + CACHE_LINE)


cdef inline void fetch_ahead(
    Walk *walk, Edges *edges, uint64_t first, uint64_t last, Limits *limits
) noexcept nogil:
    """Bring transfers of several addresses into the cache at once: each is a chain by itself."""
    cdef uint32_t chains[ABREAST]
    cdef uint64_t count = min(last - first, <uint64_t>ABREAST), place, fetched
    cdef Ends *ends
    cdef bint more = True
    for place in range(count):
        ends = edges.ends + walk.steps[first + place].node
        chains[place] = ends.leaving if limits.forward else ends.arriving
        if (ends.leaving_count if limits.forward else ends.arriving_count) >= limits.hub_edges_max:
            chains[place] = NONE
        if chains[place] != NONE:
            prefetch(edges.items + chains[place])
    for fetched in range(FETCHED_MAX):
        if not more:
            break
        more = False
        for place in range(count):
            if chains[place] != NONE:
                chains[place] = before(edges.items + chains[place], limits.forward)
                if chains[place] != NONE:
                    prefetch(edges.items + chains[place])
                    more = True


cdef inline void go(
    Walk *walk, Edges *edges, State *state, uint32_t root, Limits *limits
) noexcept nogil:
    cdef uint64_t first = 0, last = 1, at
    cdef uint32_t hop, count
    cdef u128 weight
    cdef Cursor cursor
    cdef Step *step = step_to(walk, root, 0)
    step.bound = NONE
    for hop in range(limits.hops_max):
        for at in range(first, last):
            step = walk.steps + at
            if edges.covered:
                fetch_runs(walk, edges, at, last, limits)
            elif at % ABREAST == first % ABREAST:
                fetch_ahead(walk, edges, at, last, limits)
            read_edges(walk, edges, step, limits, hop == 0, &cursor, &count, &weight)
            if hop == 0:
                walk.total = step.grains = weight
            if not weight:
                walk.unknown += step.grains
                continue
            divide(walk, edges, state, <uint32_t>at, &cursor, count, weight, limits, last, hop == 0)
        first = last
        last = walk.step_count
    for at in range(first, last):
        walk.unknown += walk.steps[at].grains


cdef inline void close_walk(Walk *walk) noexcept nogil:
    free(walk.steps)
    free(walk.hits)
    free(walk.table)


cdef inline void close_edges(Edges *edges) noexcept nogil:
    free(edges.items)
    free(edges.ends)
    free(edges.timestamps)
    free(edges.marks)
    free(edges.arriving.entries)
    free(edges.arriving.starts)
    free(edges.leaving.entries)
    free(edges.leaving.starts)
