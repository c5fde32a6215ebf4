"""Do all nodes of a network tell the same chain?"""

import pytest

from sakk.core.node import BEHIND_BLOCKS, Answer, NodeState, common_height, judge

FAR = 100 + BEHIND_BLOCKS + 1
SAME, OTHER = "0xaa", "0xbb"


@pytest.mark.parametrize(
    ("heads", "confirmations", "height"),
    [([], 3, None), ([100], 3, 97), ([100, 90], 3, 87), ([2], 3, 0)],
)
def test_a_block_is_asked_for_that_all_have(
    heads: list[int], confirmations: int, height: int | None
) -> None:
    assert common_height(heads, confirmations) == height


@pytest.mark.parametrize(
    ("answers", "followed", "states"),
    [
        ([], None, []),
        ([(100, SAME), (99, SAME)], SAME, ["well", "well"]),
        # Both agree with each other, and not with what was followed.
        ([(100, OTHER), (100, OTHER)], SAME, ["differs", "differs"]),
        ([(100, SAME), (100, OTHER)], None, ["well", "differs"]),
        ([(None, None), (100, OTHER), (100, SAME)], None, ["silent", "well", "differs"]),
        ([(100, SAME), (FAR, SAME)], SAME, ["behind", "well"]),
        ([(100, None), (100, SAME)], SAME, ["silent", "well"]),
        ([(None, None)], SAME, ["silent"]),
    ],
)
def test_each_is_held_against_the_chain_that_was_followed(
    answers: list[tuple[int | None, str | None]], followed: str | None, states: list[str]
) -> None:
    given = [Answer(f"node{number}", head, block) for number, (head, block) in enumerate(answers)]
    assert [each.state for each in judge(given, followed=followed)] == [
        NodeState(state) for state in states
    ]
