"""Senders, as rules: which treasury address pays next."""

import pytest

from sakk.core.sender import UNSIGNED_MAX, Standing, choose, has_turn


def at(index: int, units: int, *, wei: int = 1, **more: object) -> Standing:
    fields: dict[str, object] = {"in_flight": 0, **more}
    return Standing(f"0x{index}", index, units, wei, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("standings", "index"),
    [
        ([at(0, 10), at(1, 10)], 0),
        ([at(0, 10), at(1, 20)], 1),
        ([at(0, 4), at(1, 5)], 1),
        # An idle one before a richer one with a queue.
        ([at(0, 90, in_flight=3), at(1, 10, in_flight=2)], 1),
        ([at(0, 10, is_busy=True), at(1, 10, in_flight=7)], 1),
        ([at(0, 10, is_busy=True), at(1, 10, is_busy=True)], 0),
        # Coins without gas pay nothing.
        ([at(0, 90, wei=0), at(1, 10)], 1),
        ([at(0, 90, frozen_reason="theft"), at(1, 10)], 1),
        # None is able: the one that lacks least says what it waits for.
        ([at(0, 1), at(1, 4), at(2, 3)], 1),
        ([at(0, 4), at(1, 4)], 0),
        ([at(0, 90, wei=0)], 0),
        ([at(0, 90, frozen_reason="theft")], None),
        ([], None),
    ],
)
def test_the_next_sender(standings: list[Standing], index: int | None) -> None:
    chosen = choose(standings, units=5)
    assert (None if chosen is None else chosen.key_index) == index


@pytest.mark.parametrize(
    ("purpose", "unsigned", "may"),
    [
        ("payout", [], True),
        ("topup", [], True),
        ("payout", ["payout", "refund"], True),
        ("refund", ["payout"] * (UNSIGNED_MAX - 1), True),
        ("payout", ["payout"] * UNSIGNED_MAX, False),
        # What is not one payment to somebody has the turn alone, before and after.
        ("disperse", ["payout"], False),
        ("payout", ["payout", "disperse"], False),
        ("payout", ["topup"], False),
        ("withdrawal", ["payout"], False),
        ("cancel", ["cancel"], False),
    ],
)
def test_who_may_take_the_next_nonce(purpose: str, unsigned: list[str], may: bool) -> None:
    assert has_turn(purpose, unsigned) is may
