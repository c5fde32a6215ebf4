"""Every method by hand: the wallet of Anderson and others (2018), Clayton's account, haircuts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.core.exposure import ISSUANCE, ZERO_ADDRESS
from sakk.core.tracing import UNKNOWN, Holding, Move, backward, fifo, haircut, moved, poison

LABELS = {"thief": "theft", "shop": "exchange", "pool": "miner"}
# "Three stolen bitcoin followed by seven freshly-mined ones", then four leave.
WALLET = [Move("thief", "wallet", 3), Move("pool", "wallet", 7), Move("wallet", "next", 4)]


def test_poison_taints_all_that_leaves() -> None:
    assert poison(WALLET[:2], LABELS)["wallet"] == {"theft": 3, "miner": 7}
    assert poison(WALLET, LABELS)["next"] == {"theft": 4, "miner": 4}


def test_a_haircut_marks_ten_coins_thirty_percent_stolen() -> None:
    held = haircut(WALLET[:2], LABELS)
    assert held["wallet"] == Holding(10, {"theft": 3, "miner": 7})
    # Of 4: 4·3/10 rounded down is 1 of the stolen, and 4·10/10 less that is 3 of the mined.
    held = haircut(WALLET, LABELS)
    assert held["next"] == Holding(4, {"theft": 1, "miner": 3})
    assert held["wallet"] == Holding(6, {"theft": 2, "miner": 4})


def test_first_in_first_out_sends_the_stolen_coins_first() -> None:
    queues = fifo(WALLET, LABELS)
    assert queues["next"] == [("theft", 3), ("miner", 1)]
    assert queues["wallet"] == [("miner", 6)]


def test_claytons_account() -> None:
    """Devaynes v Noble (1816): £1,717 stood to his credit when a partner died; he drew more than
    that before he paid more in. What he drew was the old money, so nothing of it was left."""
    labels = {"old firm": "known_good", "new firm": "exchange"}
    account = [Move("old firm", "Clayton", 1717), Move("Clayton", "trade", 1260)]
    assert fifo(account, labels)["Clayton"] == [("known_good", 457)]
    account += [Move("new firm", "Clayton", 2000), Move("Clayton", "trade", 457)]
    assert fifo(account, labels)["Clayton"] == [("exchange", 2000)]
    assert fifo(account, labels)["trade"] == [("known_good", 1717)]


@pytest.mark.parametrize(
    ("moves", "address", "holding"),
    [
        # All that is held leaves: nothing of the taint stays.
        ([*WALLET, Move("wallet", "all", 6)], "wallet", Holding(0, {})),
        # What was never received here is of unknown origin.
        ([Move("nobody", "v", 5)], "v", Holding(5, {})),
        ([Move("thief", "u", 4), Move("u", "v", 10)], "v", Holding(10, {"theft": 4})),
        # Labels absorb: the exchange's customers' coins are the exchange's.
        ([Move("thief", "shop", 4), Move("shop", "v", 4)], "v", Holding(4, {"exchange": 4})),
        ([Move("thief", "shop", 4)], "shop", Holding(4, {"exchange": 4})),
        # The issuer makes and takes coins, and is no party.
        ([Move(ZERO_ADDRESS, "v", 9)], "v", Holding(9, {ISSUANCE: 9})),
        ([*WALLET, Move("wallet", ZERO_ADDRESS, 6)], "wallet", Holding(0, {})),
        # Nothing, and oneself.
        ([Move("thief", "v", 0), Move("thief", "v", 2), Move("v", "v", 2)], "v",
         Holding(2, {"theft": 2})),
        # Any amount that a token can have.
        ([Move("thief", "u", 2**255), Move("nobody", "u", 2**255), Move("u", "v", 2**254)], "v",
         Holding(2**254, {"theft": 2**253})),
    ],
)  # fmt: skip
def test_haircuts_by_hand(moves: list[Move], address: str, holding: Holding) -> None:
    assert haircut(moves, LABELS)[address] == holding


def test_a_haircut_thins_by_half_at_each_mixing_and_never_ends() -> None:
    moves = [Move("thief", "m0", 1024)]
    for number in range(10):
        half = [Move("pool", f"m{number}", 1024), Move(f"m{number}", f"m{number + 1}", 1024)]
        moves += half
    held = haircut(moves, LABELS)
    assert [held[f"m{number}"].parts["theft"] for number in range(11)] == [
        512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 1,
    ]  # fmt: skip


def test_poison_is_not_spread_by_services_and_counts_in_many_places() -> None:
    moves = [
        Move("thief", "u", 1),
        Move("nobody", "u", 99),
        Move("u", "v", 50),
        Move("u", "w", 50),
        Move("u", "shop", 1),
        Move("shop", "x", 1),
        Move("nobody", "y", 1),
    ]
    assert poison(moves, LABELS) == {
        "u": {"theft": 1},
        "v": {"theft": 50},
        "w": {"theft": 50},
        "x": {"exchange": 1},
    }


@pytest.mark.parametrize(
    ("moves", "queue"),
    [
        ([Move("nobody", "v", 5), Move("thief", "v", 5)], [(UNKNOWN, 5), ("theft", 5)]),
        ([Move("thief", "v", 1), Move("thief", "v", 2)], [("theft", 3)]),
        ([Move("thief", "u", 3), Move("u", "v", 5)], [("theft", 3), (UNKNOWN, 2)]),
        ([Move("shop", "v", 3), Move("thief", "v", 3), Move("v", "w", 4)], [("theft", 2)]),
    ],
)
def test_queues_by_hand(moves: list[Move], queue: list[tuple[str, int]]) -> None:
    assert fifo(moves, LABELS)["v"] == queue


BACKWARD = [
    Move("thief", "a", 30),
    Move("shop", "a", 70),
    Move("a", "v", 50),
    Move("pool", "v", 50),
]


@pytest.mark.parametrize(
    ("moves", "hops", "found"),
    [
        (BACKWARD, 5, {"theft": 15, "exchange": 35, "miner": 50}),
        (BACKWARD, 1, {"miner": 50, UNKNOWN: 50}),
        ([*BACKWARD, Move("nobody", "v", 100)], 5,
         {"theft": 15, "exchange": 35, "miner": 50, UNKNOWN: 100}),
        # A ring feeds on itself: what has not come out of it after the last hop is unknown.
        ([Move("thief", "a", 1), Move("b", "a", 1), Move("a", "b", 2), Move("a", "v", 8)], 3,
         {"theft": 4, UNKNOWN: 4}),
        ([], 5, {}),
    ],
)  # fmt: skip
def test_backward_exposure_by_hand(moves: list[Move], hops: int, found: dict[str, int]) -> None:
    assert backward(moves, LABELS, "v", hops_max=hops) == found


NAMES = ["thief", "shop", "pool", "a", "b", "c", "d", "e", ZERO_ADDRESS]
moves_of_few = st.lists(
    st.builds(
        Move, st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 50) | st.just(2**200)
    ),
    max_size=40,
)


@given(moves_of_few)
def test_a_haircut_neither_makes_nor_loses_taint_but_at_labels(moves: list[Move]) -> None:
    """A move between the unlabelled moves it; a label's own move brings just what it sent."""
    for count in range(len(moves)):
        before, after = haircut(moves[:count], LABELS), haircut(moves[: count + 1], LABELS)
        move = moves[count]
        changed = {
            address: {
                category: holding.parts.get(category, 0)
                - before.get(address, Holding()).parts.get(category, 0)
                for category in LABELS.values()
            }
            for address, holding in after.items()
            if address not in LABELS
        }
        ends = {move.sender, move.receiver} & {*LABELS, ZERO_ADDRESS}
        for category in LABELS.values():
            total = sum(parts[category] for parts in changed.values())
            if not ends:
                assert total == 0
            elif LABELS.get(move.sender) == category and move.receiver not in ends:
                assert total == (move.units if move.sender != move.receiver else 0)
        for holding in after.values():
            assert 0 <= holding.unknown_units <= holding.units


@given(moves_of_few)
def test_queues_hold_what_was_received_and_not_sent(moves: list[Move]) -> None:
    held = haircut(moves, LABELS)
    for address, queue in fifo(moves, LABELS).items():
        assert sum(units for _, units in queue) == held[address].units


@given(moves_of_few, st.integers(0, 6))
def test_backward_parts_sum_to_what_was_received(moves: list[Move], hops: int) -> None:
    received = sum(move.units for move in moves if move.receiver == "a" and move.sender != "a")
    assert sum(backward(moves, LABELS, "a", hops_max=hops).values()) == received


@pytest.mark.parametrize(
    ("parts", "held", "units", "shares"),
    [
        ([3, 1], 10, 4, [1, 0]),
        # One unit of each: one leaves, and it is of one of them. Two times nothing would not do.
        ([1, 1], 2, 1, [0, 1]),
        ([1, 1, 1], 3, 2, [0, 1, 1]),
        ([1], 2, 1, [0]),
        ([], 5, 3, []),
    ],
)
def test_what_leaves_is_divided_among_the_parts_and_the_unknown(
    parts: list[int], held: int, units: int, shares: list[int]
) -> None:
    assert moved(parts, held, units) == shares


@given(st.lists(st.integers(0, 2**128), max_size=6), st.integers(0, 2**128), st.integers(1, 2**130))
def test_no_part_leaves_that_is_not_there_and_none_grows_beyond_what_is_held(
    parts: list[int], unknown: int, units: int
) -> None:
    held = sum(parts) + unknown
    if units > held:
        return
    shares = moved(parts, held, units)
    left = [part - share for part, share in zip(parts, shares, strict=True)]
    assert min([*left, *shares, 0]) == 0
    assert sum(left) <= held - units
    assert sum(shares) <= units
