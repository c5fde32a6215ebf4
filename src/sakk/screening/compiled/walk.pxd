# cython: language_level=3
"""Transfers as edges, and the walk over them; the rules are `sakk.screening.exposure_graph`'s."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from sakk.screening.compiled.memory cimport NONE, grow, high, low, prefetch, share_of, u128
from sakk.screening.compiled.state cimport LABELLED, PARTS_MAX, State, is_labelled


cdef enum:
    # Addresses whose transfers are fetched side by side, and how many of each.
    ABREAST = 12
    FETCHED_MAX = 64


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


cdef inline uint32_t read_edges(
    Walk *walk, Edges *edges, State *state, Step *step, Limits *limits, bint is_root,
    uint32_t *count, u128 *weight
) noexcept nogil:
    """The newest transfer that may have led here; ``count`` from it on, and what they sum to."""
    cdef Ends *ends = edges.ends + step.node
    cdef uint32_t number = ends.leaving if limits.forward else ends.arriving
    cdef uint32_t degree = ends.leaving_count if limits.forward else ends.arriving_count
    cdef uint32_t first = NONE
    cdef uint32_t other
    cdef Edge *edge
    count[0] = 0
    weight[0] = 0
    if not is_root and degree >= limits.hub_edges_max:
        walk.is_cut = True
        return NONE
    while number != NONE:
        if limits.forward and step.bound != NONE and number <= step.bound:
            break
        if walk.read == limits.edges_max:
            walk.is_cut = True
            if not is_root:
                weight[0] = 0
                return NONE
            break
        walk.read += 1
        edge = edges.items + number
        if limits.forward or number < step.bound:
            if limits.since and edges.timestamps[edge.block] < limits.since:
                break
            # What dividing among these transfers will look at next.
            other = edge.receiver if limits.forward else edge.sender
            prefetch(state.records + other)
            prefetch(edges.ends + other)
            if first == NONE:
                first = number
            count[0] += 1
            weight[0] += edge.grains
        number = before(edge, limits.forward)
    return first


cdef inline void divide(
    Walk *walk, Edges *edges, State *state, uint32_t step_number, uint32_t number, uint32_t count,
    u128 weight, Limits *limits, uint64_t hop_start, bint is_direct
) noexcept nogil:
    """Give each transfer its share: to a label's part, or to the address a hop further."""
    cdef u128 grains = walk.steps[step_number].grains
    cdef u128 running = 0, reached, given = 0, share
    cdef uint32_t other, cells
    cdef Edge *edge
    cdef Step *there
    while count:
        edge = edges.items + number
        running += edge.grains
        reached = running if grains == weight else share_of(grains, running, weight)
        share = reached - given
        given = reached
        if share:
            other = edge.receiver if limits.forward else edge.sender
            cells = state.records[other].cells
            if is_labelled(cells):
                walk.parts[cells - LABELLED] += share
                if is_direct:
                    walk.direct[cells - LABELLED] += share
                walk.hits[walk.hit_count].grains = share
                walk.hits[walk.hit_count].step = step_number
                walk.hits[walk.hit_count].edge = number
                walk.hit_count += 1
            else:
                there = step_to(walk, other, hop_start)
                if there.via == NONE:
                    there.bound = number
                there.grains += share
                if (number < there.bound) == limits.forward:
                    there.bound = number
                if share > there.heaviest:
                    there.heaviest = share
                    there.parent = step_number
                    there.via = number
        number = before(edge, limits.forward)
        count -= 1


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
    cdef uint32_t hop, number, count
    cdef u128 weight
    cdef Step *step = step_to(walk, root, 0)
    step.bound = NONE
    for hop in range(limits.hops_max):
        for at in range(first, last):
            step = walk.steps + at
            if at % ABREAST == first % ABREAST:
                fetch_ahead(walk, edges, at, last, limits)
            number = read_edges(walk, edges, state, step, limits, hop == 0, &count, &weight)
            if hop == 0:
                walk.total = step.grains = weight
            if not weight:
                walk.unknown += step.grains
                continue
            divide(walk, edges, state, <uint32_t>at, number, count, weight, limits, last, hop == 0)
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
