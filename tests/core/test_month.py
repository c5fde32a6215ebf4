"""A month of many merchants with known errors: every one is found, and none is invented."""

import pytest

from sakk.bench.month import ERRORS, month, unexpected
from sakk.core.matching import Fault, Rule


@pytest.mark.parametrize("seed", [1, 2])
def test_every_error_of_a_month_is_found_and_none_invented(seed: int) -> None:
    made = month(merchants=200, payments=3_000, seed=seed)
    assert unexpected(made) == (set(), set())
    reached = {why for why, _ in made.expected}
    assert reached == {
        Fault.left_alone,
        Fault.duplicate,
        Fault.amount_differs,
        Fault.counterparty_differs,
        Rule.reference_late,
        Rule.reference_sum,
    }
    assert len(made.expected) >= 2 * len(ERRORS)
