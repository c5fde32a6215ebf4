"""The compiled graph and the reference give the same answers, to the last unit."""

import random
import sys
from collections.abc import Callable
from importlib import reload
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sakk.core.exposure import ISSUANCE, PART_CATEGORIES, ZERO_ADDRESS, place_of
from sakk.core.exposure_batch import UNITS_MAX, Transfer, encode_transfers
from sakk.core.tracing import UNKNOWN, Move, backward, haircut
from sakk.screening import exposure_graph
from sakk.screening.compiled.graph import CompiledGraph
from sakk.screening.exposure_graph import Graph, Held, Limits, grain_of
from sakk.screening.exposure_reference import GRAINS_MAX, ReferenceGraph

THEFT, MIXER, EXCHANGE = place_of("theft"), place_of("mixer"), place_of("exchange")
Make = Callable[[], Graph]
both = pytest.mark.parametrize("make", [CompiledGraph, ReferenceGraph])


def name(number: int) -> bytes:
    return number.to_bytes(20, "big")


def text(address: bytes) -> str:
    return "0x" + address.hex()


def transfer(
    sender: int, receiver: int, units: int, *, block: int = 1, log_index: int = 0
) -> Transfer:
    return Transfer(block, block * 10, log_index, name(sender), name(receiver), units, bytes(32))


def filled(
    make: Make, rows: list[tuple[int, int, int]], labels: dict[int, int] | None = None
) -> Graph:
    """A graph of transfers (sender, receiver, units), one a block."""
    graph = make()
    graph.append(
        encode_transfers([transfer(*row, block=place) for place, row in enumerate(rows, 1)])
    )
    for number, place in (labels or {}).items():
        graph.label(name(number), place)
    graph.settle()
    return graph


@both
def test_three_stolen_and_seven_mined(make: Make) -> None:
    graph = filled(make, [(1, 9, 3), (2, 9, 7), (9, 8, 4)], {1: THEFT, 2: EXCHANGE})
    assert graph.held(name(9)) == Held(6, ((THEFT, 2), (EXCHANGE, 4)))
    assert graph.held(name(8)) == Held(4, ((THEFT, 1), (EXCHANGE, 3)))
    assert graph.held(name(1)) == Held(0, ())
    assert graph.held(name(7)) is None
    trace = graph.walk(name(8), forward=False, since=0, limits=Limits())
    # Newest first: 4·7/10 to the mined ones, rounded down, and the rest to the stolen.
    assert trace == (
        4,
        ((THEFT, 2, 0), (EXCHANGE, 2, 0)),
        0,
        False,
        3,
        (
            (EXCHANGE, ((name(9), 2), (name(2), 1)), 2),
            (THEFT, ((name(9), 2), (name(1), 0)), 2),
        ),
    )
    forward = graph.walk(name(9), forward=True, since=0, limits=Limits())
    assert (forward.total, forward.parts, forward.unknown) == (4, (), 4)


@both
def test_the_issuer_makes_and_takes_coins_and_is_no_party(make: Make) -> None:
    graph = filled(make, [(0, 5, 10), (5, 6, 4), (6, 0, 1)])
    issuer = place_of(ISSUANCE)
    assert graph.held(name(5)) == Held(6, ((issuer, 6),))
    assert graph.held(name(6)) == Held(3, ((issuer, 3),))
    assert graph.held(bytes(20)) is None
    assert not graph.label(bytes(20), THEFT)
    assert graph.walk(name(6), forward=True, since=0, limits=Limits()).parts == ((issuer, 1, 1),)
    assert graph.walk(bytes(20), forward=True, since=0, limits=Limits()).total == 0


@both
def test_a_label_absorbs_and_a_change_of_labels_counts_anew(make: Make) -> None:
    graph = filled(make, [(1, 2, 8), (2, 3, 4), (3, 4, 4)], {1: THEFT})
    assert graph.held(name(4)) == Held(4, ((THEFT, 4),))
    assert graph.label(name(3), EXCHANGE)
    assert not graph.label(name(3), EXCHANGE)
    assert not graph.label(name(99), EXCHANGE)
    graph.settle()
    assert graph.held(name(4)) == Held(4, ((EXCHANGE, 4),))
    assert graph.label(name(3), None)
    assert not graph.label(name(3), None)
    graph.settle()
    assert graph.held(name(4)) == Held(4, ((THEFT, 4),))


@both
def test_what_leaves_without_having_come_is_unknown(make: Make) -> None:
    graph = filled(make, [(1, 2, 3), (2, 3, 10)], {1: THEFT})
    assert graph.held(name(3)) == Held(10, ((THEFT, 3),))
    assert graph.held(name(2)) == Held(0, ())


@both
def test_nothing_and_oneself_move_nothing(make: Make) -> None:
    graph = filled(make, [(1, 1, 5), (1, 2, 5), (2, 2, 5)], {1: THEFT})
    assert (graph.row_count, graph.edge_count, graph.address_count) == (3, 1, 2)
    assert graph.held(name(2)) == Held(5, ((THEFT, 5),))


@both
def test_amounts_beyond_any_payment_are_skipped_and_counted(make: Make) -> None:
    graph = filled(make, [(1, 2, GRAINS_MAX), (1, 2, UNITS_MAX), (1, 2, GRAINS_MAX - 1)])
    assert (graph.skipped, graph.edge_count) == (2, 1)
    assert graph.held(name(2)) == Held(GRAINS_MAX - 1, ())
    # So many of the largest that the receiver's 64 bits are full: the last ones move nothing.
    graph = filled(make, [(3, 2, GRAINS_MAX - 1)] * 65 + [(2, 4, 1)])
    assert graph.skipped == 1
    held = graph.held(name(2))
    assert held is not None
    assert held.grains == 64 * (GRAINS_MAX - 1) - 1
    graph.truncate(64)
    assert graph.skipped == 0


@pytest.mark.parametrize("kind", [CompiledGraph, ReferenceGraph])
def test_a_token_of_eighteen_decimals_is_counted_in_millionths(kind: Any) -> None:
    graph = kind(grain=grain_of(18))
    units = [10**12 - 1, 10**18 + 1, 10**28, 2**127]
    graph.append(
        encode_transfers([transfer(1, 2, each, log_index=n) for n, each in enumerate(units)])
    )
    graph.settle()
    assert (graph.edge_count, graph.skipped) == (2, 1)
    assert graph.held(name(2)) == Held(10**6 + 10**16, ())
    assert grain_of(6) == grain_of(2) == 1


@both
def test_a_walk_reads_no_transfer_that_came_after_the_one_it_asks_about(make: Make) -> None:
    graph = filled(make, [(1, 5, 10), (5, 6, 10), (2, 5, 90)], {1: EXCHANGE, 2: THEFT})
    trace = graph.walk(name(6), forward=False, since=0, limits=Limits())
    assert trace.parts == ((EXCHANGE, 10, 0),)
    graph = filled(make, [(5, 1, 10), (4, 5, 10), (5, 2, 10)], {1: THEFT, 2: EXCHANGE})
    trace = graph.walk(name(4), forward=True, since=0, limits=Limits())
    assert trace.parts == ((EXCHANGE, 10, 0),)


@both
def test_a_walk_looks_back_to_a_time_and_no_further(make: Make) -> None:
    graph = filled(make, [(1, 5, 10), (2, 5, 30)], {1: EXCHANGE, 2: THEFT})
    trace = graph.walk(name(5), forward=False, since=20, limits=Limits())
    assert (trace.total, trace.parts) == (30, ((THEFT, 30, 30),))
    assert graph.walk(name(5), forward=False, since=30, limits=Limits()).total == 0


@both
def test_rings_end_after_the_last_hop(make: Make) -> None:
    graph = filled(make, [(1, 2, 5), (2, 3, 5), (3, 1, 5), (1, 2, 5)])
    trace = graph.walk(name(2), forward=False, since=0, limits=Limits())
    assert (trace.total, trace.parts, trace.unknown) == (10, (), 10)


@both
def test_beyond_the_limits_is_unknown_and_said_to_be_cut(make: Make) -> None:
    chain = [(number, number + 1, 10) for number in range(1, 8)]
    graph = filled(make, chain, {1: THEFT})
    assert graph.walk(name(6), forward=False, since=0, limits=Limits()).parts == ((THEFT, 10, 0),)
    far = graph.walk(name(7), forward=False, since=0, limits=Limits())
    assert (far.parts, far.unknown, far.is_cut) == ((), 10, False)
    # A hub without a label is a service that nobody named.
    hub = [(100 + number, 2, 1) for number in range(50)] + [(1, 2, 50), (2, 3, 100)]
    graph = filled(make, hub, {1: THEFT})
    assert graph.walk(name(3), forward=False, since=0, limits=Limits()).parts == ((THEFT, 50, 0),)
    cut = graph.walk(name(3), forward=False, since=0, limits=Limits(hub_edges_max=51))
    assert (cut.parts, cut.unknown, cut.is_cut) == ((), 100, True)
    cut = graph.walk(name(3), forward=False, since=0, limits=Limits(edges_max=40))
    assert (cut.parts, cut.unknown, cut.is_cut, cut.edges_read) == ((), 100, True, 40)
    # Of the address itself the newest are read, and the total is of those.
    cut = graph.walk(name(2), forward=False, since=0, limits=Limits(edges_max=11))
    assert (cut.total, cut.parts, cut.unknown, cut.is_cut) == (60, ((THEFT, 50, 50),), 10, True)


@both
def test_a_hub_of_many_transfers_is_read_within_the_budget(make: Make) -> None:
    count = 100_000 if make is CompiledGraph else 6_000
    rows = [transfer(2 + number % 97, 1, 7, log_index=number) for number in range(count)]
    graph = make()
    graph.append(encode_transfers(rows))
    graph.settle()
    trace = graph.walk(name(1), forward=False, since=0, limits=Limits(edges_max=5_000))
    assert (trace.total, trace.unknown, trace.is_cut) == (35_000, 35_000, True)
    assert trace.edges_read == 5_000


@both
def test_paths_are_the_heaviest_first_and_no_more_than_asked(make: Make) -> None:
    rows = [(10 + number, 1, 100 + number % 7) for number in range(30)]
    graph = filled(make, rows, {10 + number: THEFT for number in range(30)})
    paths = graph.walk(name(1), forward=False, since=0, limits=Limits(paths_max=9)).paths
    assert [units for _, _, units in paths] == [106] * 4 + [105] * 4 + [104]
    assert graph.walk(name(1), forward=False, since=0, limits=Limits(paths_max=0)).paths == ()


ADDRESSES = 7
amounts = st.integers(1, 60) | st.integers(1, 2**64) | st.sampled_from([GRAINS_MAX - 1, UNITS_MAX])
rows = st.tuples(st.integers(0, ADDRESSES), st.integers(0, ADDRESSES), amounts)
labels = st.tuples(st.integers(1, ADDRESSES), st.none() | st.sampled_from([THEFT, MIXER, EXCHANGE]))
steps = st.one_of(
    st.tuples(st.just("append"), st.lists(rows, min_size=1, max_size=12)),
    st.tuples(st.just("label"), labels),
    st.tuples(st.just("truncate"), st.integers(0, 30)),
    st.tuples(st.just("settle"), st.booleans()),
)
limits = st.builds(
    Limits, st.integers(1, 6), st.integers(1, 40), st.integers(1, 20), st.integers(0, 5)
)


def compare(mine: Graph, theirs: Graph, since: int, within: Limits) -> None:
    for each in (mine, theirs):
        each.settle()
    assert (mine.row_count, mine.edge_count, mine.skipped) == (
        theirs.row_count,
        theirs.edge_count,
        theirs.skipped,
    )
    for number in range(ADDRESSES + 1):
        held = mine.held(name(number))
        assert held == theirs.held(name(number))
        assert held is None or sum(grains for _, grains in held.parts) <= held.grains
        for forward in (False, True):
            found = mine.walk(name(number), forward=forward, since=since, limits=within)
            assert found == theirs.walk(name(number), forward=forward, since=since, limits=within)
            assert sum(part[1] for part in found.parts) + found.unknown == found.total
            assert mine.transfers_of(
                name(number), leaving=forward, limit=within.edges_max
            ) == theirs.transfers_of(name(number), leaving=forward, limit=within.edges_max)


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=14), st.integers(0, 40), limits, st.sampled_from([1, 3, 10**12]))
def test_both_graphs_agree_whatever_is_done_to_them(
    done: list[tuple[str, Any]], since: int, within: Limits, grain: int
) -> None:
    mine, theirs = CompiledGraph(grain=grain), ReferenceGraph(grain=grain)
    # One that lays transfers side by side as soon as there are any, and then gets more of them.
    tidy = CompiledGraph(grain=grain, loose_max=0)
    block = 0
    for kind, value in done:
        for graph in (mine, tidy, theirs):
            if kind == "append":
                graph.append(
                    encode_transfers(
                        [
                            transfer(*row, block=block + place // 3, log_index=place)
                            for place, row in enumerate(value)
                        ]
                    )
                )
            elif kind == "label":
                graph.label(name(value[0]), value[1])
            elif kind == "truncate":
                graph.truncate(value)
            else:
                graph.settle(undoable=value)
        block += len(value) if kind == "append" else 0
        for forward in (False, True):
            way: dict[str, Any] = {"forward": forward, "since": since, "limits": within}
            assert tidy.walk(name(1), **way) == theirs.walk(name(1), **way)
    compare(mine, theirs, since, within)
    compare(tidy, theirs, since, within)


@both
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(1, ADDRESSES)] * 2, st.integers(1, 60)), max_size=40),
    st.integers(0, 40),
)
def test_what_is_taken_back_has_never_been(
    make: Make, taken: list[tuple[int, int, int]], kept: int
) -> None:
    """A reorganisation ends in the state of never having seen the block, at once or counted anew.

    Twice: once from what was written down, once where nothing was.
    """
    marks = {1: THEFT, 2: EXCHANGE}
    never = filled(make, taken[:kept], marks)
    for undoable in (True, False):
        graph = filled(make, taken[:kept], marks)
        payload = [transfer(*row, block=100 + place) for place, row in enumerate(taken[kept:])]
        graph.append(encode_transfers(payload))
        for number, place in marks.items():
            graph.label(name(number), place)
        graph.settle(undoable=undoable)
        graph.truncate(len(taken[:kept]))
        for number in range(1, ADDRESSES + 1):
            nothing = Held(0, ())
            assert (graph.held(name(number)) or nothing) == (never.held(name(number)) or nothing)
            assert graph.walk(name(number), forward=False, since=0, limits=Limits()) == never.walk(
                name(number), forward=False, since=0, limits=Limits()
            )


moves = st.lists(
    st.tuples(*[st.integers(0, ADDRESSES)] * 2, st.integers(1, 60)), min_size=1, max_size=30
)


@both
@settings(max_examples=60, deadline=None)
@given(moves)
def test_haircuts_are_those_of_the_specification(
    make: Make, taken: list[tuple[int, int, int]]
) -> None:
    graph = filled(make, taken, {1: THEFT, 2: EXCHANGE})
    known = {text(name(1)): "theft", text(name(2)): "exchange"}
    assert text(bytes(20)) == ZERO_ADDRESS
    by_hand = haircut([Move(text(name(a)), text(name(b)), x) for a, b, x in taken], known)
    for address, holding in by_hand.items():
        held = graph.held(bytes.fromhex(address[2:]))
        assert held is not None
        assert held.grains == holding.units
        assert {PART_CATEGORIES[place]: units for place, units in held.parts} == holding.parts


@both
@settings(max_examples=60, deadline=None)
@given(moves, st.integers(1, 5))
def test_walks_are_those_of_a_naive_model_where_time_forbids_nothing(
    make: Make, taken: list[tuple[int, int, int]], hops: int
) -> None:
    """The naive model divides by all that an address ever received. The graph is told of every
    transfer into an address before any out of it, so both read the same transfers; they divide in
    another order, so an atomic unit may fall elsewhere at each division."""
    downward = sorted(
        ((a, b, x) for a, b, x in taken if a < b and a != 0), key=lambda row: (row[1], row[0])
    )
    marks = {1: THEFT, 2: EXCHANGE}
    graph = filled(make, downward, marks)
    known = {text(name(1)): "theft", text(name(2)): "exchange"}
    naive = [Move(text(name(a)), text(name(b)), x) for a, b, x in downward]
    for number in range(3, ADDRESSES + 1):
        trace = graph.walk(name(number), forward=False, since=0, limits=Limits(hops_max=hops))
        found = {PART_CATEGORIES[place]: units for place, units, _ in trace.parts}
        found[UNKNOWN] = trace.unknown
        expected = backward(naive, known, text(name(number)), hops_max=hops)
        assert sum(found.values()) == sum(expected.values())
        for category in {*found, *expected}:
            assert abs(found.get(category, 0) - expected.get(category, 0)) <= trace.edges_read


def test_a_seeded_crowd_agrees_too() -> None:
    generator = random.Random(8402)
    crowd = [
        transfer(
            generator.randrange(300),
            generator.randrange(300),
            generator.randrange(1, 10**9),
            block=number,
        )
        for number in range(6_000)
    ]
    mine, tidy, theirs = CompiledGraph(), CompiledGraph(loose_max=0), ReferenceGraph()
    for graph in (mine, tidy, theirs):
        new = graph.append(encode_transfers(crowd))
        assert len(new) == 20 * graph.address_count
        for number in range(1, 40):
            graph.label(name(number), number % len(PART_CATEGORIES))
        graph.settle()
    for number in range(300):
        assert mine.held(name(number)) == theirs.held(name(number))
    for number in range(0, 300, 23):
        for forward in (False, True):
            expected = theirs.walk(name(number), forward=forward, since=0, limits=Limits())
            for graph in (mine, tidy):
                found = graph.walk(name(number), forward=forward, since=0, limits=Limits())
                assert found == expected


@pytest.mark.parametrize("make", [CompiledGraph, ReferenceGraph])
def test_what_is_no_batch_is_refused_and_changes_nothing(make: Make) -> None:
    graph = make()
    with pytest.raises(ValueError, match="cut off"):
        graph.append(encode_transfers([transfer(1, 2, 3)])[:-1])
    assert graph.row_count == 0


def test_without_compiled_code_the_reference_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(exposure_graph.make_graph(decimals=6), CompiledGraph)
    monkeypatch.setitem(sys.modules, "sakk.screening.compiled.graph", None)
    try:
        assert isinstance(reload(exposure_graph).make_graph(decimals=6), ReferenceGraph)
    finally:
        monkeypatch.undo()
        reload(exposure_graph)
