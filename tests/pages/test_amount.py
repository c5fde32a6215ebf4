"""Amounts are shown to the last digit, in every language."""

import pytest

from sakk.pages.amount import amount, count, number, plain, read_amount, units
from sakk.pages.language import LANGUAGES


@pytest.mark.parametrize(
    ("decimal", "shown"),
    [
        ("0", "0"),
        ("0.00", "0.00"),
        ("25.00", "25.00"),
        ("25.000000", "25.00"),
        ("25.100000", "25.10"),
        # What the usual library of locales cuts.
        ("1234567.891234", "1,234,567.891234"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("-1234.5", "−1,234.5"),
        ("1000", "1,000"),
        ("999", "999"),
        (
            "340282366920938463463374607431768211455.123456789012345678",
            "340,282,366,920,938,463,463,374,607,431,768,211,455.123456789012345678",
        ),
    ],
)
def test_a_number_is_exact(decimal: str, shown: str) -> None:
    assert number(decimal) == shown
    assert shown.replace(",", "").replace("−", "-") == plain(decimal)


@pytest.mark.parametrize("wrong", ["", "1e6", "1.", "1,000", "--1", "<b>", "١٢", "NaN"])
def test_what_is_no_decimal_is_never_shown(wrong: str) -> None:
    with pytest.raises(ValueError, match="not a decimal"):
        number(wrong)


def test_the_currency_follows_the_number_as_the_language_reads() -> None:
    for language in LANGUAGES:
        direction = "rtl" if language == "ar" else "ltr"
        assert units(2500, 2, "usd", language) == (
            f'<bdi class="amount" dir="{direction}"><bdi dir="ltr">25.00</bdi>\u00a0USD</bdi>'
        )


def test_a_hostile_currency_is_escaped() -> None:
    assert "<script>" not in amount("1.00", "<script>", "en")
    assert count(1234567) == "1,234,567"


@pytest.mark.parametrize(
    ("typed", "decimals", "units"),
    [
        ("12.50", 2, 1_250),
        ("12,50", 2, 1_250),
        ("12,5", 2, 1_250),
        (" 1,234.50 ", 2, 123_450),
        ("1 234.50", 2, 123_450),
        ("١٢٫٥", 2, 1_250),
        ("１２．５０", 2, 1_250),
        ("7", 2, 700),
        ("0.000001", 6, 1),
    ],
)
def test_what_a_person_typed_is_read(typed: str, decimals: int, units: int) -> None:
    assert read_amount(typed, decimals) == units


@pytest.mark.parametrize(
    "typed",
    # A thousand to some, one to others: nobody guesses.
    ["1,000", "1,00,0.5", "", "0", "-5", "1e3", "12.345", "a", "1.2.3", ",5", "9" * 60],
)
def test_what_could_be_meant_in_two_ways_is_asked_again(typed: str) -> None:
    with pytest.raises(ValueError):
        read_amount(typed, 2)
