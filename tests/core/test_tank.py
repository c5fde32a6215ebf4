"""A gas tank, as rules: low is what covers too few transactions at the fees of now."""

from datetime import UTC, datetime

import pytest

from sakk.core.fee import GWEI, Fees
from sakk.core.tank import GAS_EACH, TRANSACTIONS_MIN, Tank, is_low, public

ENOUGH = TRANSACTIONS_MIN * GAS_EACH * 2 * GWEI


@pytest.mark.parametrize(("wei", "low"), [(ENOUGH, False), (ENOUGH - 1, True), (0, True)])
def test_low_follows_the_fees(wei: int, low: bool) -> None:
    assert is_low(wei, Fees(2 * GWEI, 1, GWEI)) is low
    assert is_low(wei, Fees(4 * GWEI, 1, 2 * GWEI))


def test_what_is_shown() -> None:
    tank = Tank("eip155:1", wei=5, low=True, checked=datetime(2026, 1, 2, tzinfo=UTC))
    shown = public(tank)
    assert (shown["object"], shown["wei"], shown["low"]) == ("gas_tank", "5", True)
