import pytest

from sakk.core.money import (
    UNITS_MAX,
    Rate,
    convert_down,
    convert_up,
    divide_up,
    format_decimal,
    parse_decimal,
    rescale,
)


@pytest.mark.parametrize(
    ("units", "decimals", "shown"),
    [
        (0, 0, "0"),
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (2500, 2, "25.00"),
        (-5, 2, "-0.05"),
        (-2500, 0, "-2500"),
        (1, 18, "0.000000000000000001"),
        (UNITS_MAX, 6, "340282366920938463463374607431768.211455"),
    ],
)
def test_decimal_is_exact_both_ways(units: int, decimals: int, shown: str) -> None:
    assert format_decimal(units, decimals) == shown
    assert parse_decimal(shown, decimals) == units


@pytest.mark.parametrize(
    ("shown", "decimals", "units"),
    [
        ("25", 2, 2500),
        ("25.5", 2, 2550),
        ("25.500", 2, 2550),
        ("0025.5", 2, 2550),
        ("1.000", 0, 1),
    ],
)
def test_other_spellings_of_a_decimal(shown: str, decimals: int, units: int) -> None:
    assert parse_decimal(shown, decimals) == units


@pytest.mark.parametrize(
    "text",
    ["", "-", ".5", "1,5", "1e3", "٣", "1.x", "+1", " 1", "1.005", "0x10", "1.2.3", "--1", "25."],
)
def test_no_decimal(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimal"):
        parse_decimal(text, 2)


@pytest.mark.parametrize(
    ("numerator", "denominator", "quotient"),
    [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2), (-4, 3, -1), (UNITS_MAX, 1, UNITS_MAX)],
)
def test_divide_up(numerator: int, denominator: int, quotient: int) -> None:
    assert divide_up(numerator, denominator) == quotient


@pytest.mark.parametrize(
    ("units", "rate", "worth", "asked"),
    [
        (10, Rate(1, 1), 10, 10),
        (10, Rate(1, 3), 3, 30),
        (10, Rate(3, 1), 30, 4),
        (10, Rate(7, 3), 23, 5),
        (0, Rate(7, 3), 0, 0),
    ],
)
def test_worth_is_rounded_down_and_what_is_asked_up(
    units: int, rate: Rate, worth: int, asked: int
) -> None:
    assert convert_down(units, rate) == worth
    assert convert_up(units, rate) == asked
    # What is asked for an amount is always worth that amount.
    assert convert_down(asked, rate) >= units


@pytest.mark.parametrize(("numerator", "denominator"), [(0, 1), (1, 0), (-1, 1), (1, -1)])
def test_rate_is_above_zero(numerator: int, denominator: int) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Rate(numerator, denominator)


@pytest.mark.parametrize(
    ("units", "from_decimals", "to_decimals", "result"),
    [
        (25, 0, 6, (25_000_000, 0)),
        (25, 6, 6, (25, 0)),
        (25_000_001, 6, 2, (2500, 1)),
        (9_999, 6, 2, (0, 9_999)),
        (0, 18, 6, (0, 0)),
    ],
)
def test_rescale_keeps_the_remainder(
    units: int, from_decimals: int, to_decimals: int, result: tuple[int, int]
) -> None:
    assert rescale(units, from_decimals=from_decimals, to_decimals=to_decimals) == result
