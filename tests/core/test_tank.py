"""A gas tank, as rules: low is what covers too few transactions at the fees of now."""

from datetime import UTC, datetime

import pytest

from sakk.core.gas_price import GWEI, Fees
from sakk.core.tank import (
    GAS_EACH,
    GAS_KEY_TRANSACTIONS_MIN,
    SENDER_TRANSACTIONS_MIN,
    TRANSACTIONS_MIN,
    Tank,
    filling,
    is_beyond,
    is_low,
    public,
)

ENOUGH = TRANSACTIONS_MIN * GAS_EACH * 2 * GWEI


@pytest.mark.parametrize(("wei", "low"), [(ENOUGH, False), (ENOUGH - 1, True), (0, True)])
def test_low_follows_the_fees(wei: int, low: bool) -> None:
    assert is_low(wei, Fees(2 * GWEI, 1, GWEI)) is low
    assert is_low(wei, Fees(4 * GWEI, 1, 2 * GWEI))


PRICE = Fees(2 * GWEI, 1, GWEI)
EACH = SENDER_TRANSACTIONS_MIN * GAS_EACH * 2 * GWEI


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({}, None),
        ({"a": 0}, None),
        ({"a": EACH, "b": 10 * EACH}, None),
        ({"a": EACH - 1, "b": 10 * EACH}, ("b", "a", EACH + 1)),
        ({"a": 10 * EACH, "b": 0}, ("a", "b", 2 * EACH)),
        # It keeps as much for itself as it gives.
        ({"a": 4 * EACH, "b": 0}, ("a", "b", 2 * EACH)),
        ({"a": 4 * EACH - 1, "b": 0}, None),
        # The poorest first.
        ({"a": 10 * EACH, "b": 5, "c": 3}, ("a", "c", 2 * EACH - 3)),
    ],
)
def test_an_address_without_gas_is_given_some_by_the_richest(
    held: dict[str, int], expected: tuple[str, str, int] | None
) -> None:
    found = filling(held, PRICE)
    assert (None if found is None else (found.source, found.destination, found.wei)) == expected


KEY = GAS_KEY_TRANSACTIONS_MIN * GAS_EACH * 2 * GWEI


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        # It needs more than the others, comes first, and gives nothing.
        ({"a": 100 * KEY, "gas": KEY}, None),
        ({"a": 100 * KEY, "gas": KEY - 1, "b": 0}, ("a", "gas", KEY + 1)),
        ({"a": 0, "gas": 100 * KEY}, None),
        ({"gas": 0}, None),
        ({"a": 2 * KEY + 2 * EACH, "gas": 0}, ("a", "gas", 2 * KEY)),
        ({"a": 2 * KEY + 2 * EACH - 1, "gas": 0}, None),
    ],
)
def test_a_key_for_gas_alone_is_funded_by_the_others(
    held: dict[str, int], expected: tuple[str, str, int] | None
) -> None:
    found = filling(held, PRICE, gas_keys={"gas"})
    assert (None if found is None else (found.source, found.destination, found.wei)) == expected


@pytest.mark.parametrize(
    ("spent", "wei", "limit", "beyond"),
    [(0, 10**30, None, False), (60, 40, 100, False), (60, 41, 100, True)],
)
def test_a_days_limit(spent: int, wei: int, limit: int | None, beyond: bool) -> None:
    assert is_beyond(spent, wei, limit=limit) is beyond


def test_what_is_shown() -> None:
    tank = Tank("eip155:1", wei=5, low=True, checked=datetime(2026, 1, 2, tzinfo=UTC))
    shown = public(tank)
    assert (shown["object"], shown["wei"], shown["low"]) == ("gas_tank", "5", True)
