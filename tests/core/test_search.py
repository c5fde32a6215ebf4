"""What is typed into a search box, and what it is taken for."""

import pytest

from sakk.core.money import UNITS_MAX
from sakk.core.search import LENGTH_MAX, Search, SearchKind, as_units, like, read_search

HASH = "0x" + "aB" * 32
ADDRESS = "0x" + "00" * 19 + "a1"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("   ", None),
        (" pi_0123456789abcdef ", Search(SearchKind.id, "pi_0123456789abcdef", "pi")),
        ("pi_short", Search(SearchKind.words, "pi_short")),
        (HASH, Search(SearchKind.hash, HASH.lower())),
        (ADDRESS, Search(SearchKind.address, ADDRESS)),
        ("0x12", Search(SearchKind.words, "0x12")),
        ("1,234.50", Search(SearchKind.amount, "1234.50")),
        ("12", Search(SearchKind.amount, "12")),
        ("-12", Search(SearchKind.words, "-12")),
        ("ann@example.com", Search(SearchKind.email, "ann@example.com")),
        ("order = 77", Search(SearchKind.pair, "77", "order")),
        ("order:77", Search(SearchKind.pair, "77", "order")),
        ("red shoes", Search(SearchKind.words, "red shoes")),
        ("x" * 999, Search(SearchKind.words, "x" * LENGTH_MAX)),
    ],
)
def test_the_most_precise_reading_is_the_one(text: str, found: Search | None) -> None:
    assert read_search(text) == found


@pytest.mark.parametrize(
    ("value", "decimals", "units"),
    [
        ("12.5", 6, 12_500_000),
        ("12.50", 1, 125),
        ("12.55", 1, None),
        ("9" * 60, 2, None),
        (str(UNITS_MAX), 0, UNITS_MAX),
    ],
)
def test_amounts_are_exact(value: str, decimals: int, units: int | None) -> None:
    assert as_units(value, decimals) == units


def test_a_pattern_has_no_signs_but_its_own() -> None:
    assert like("50%_\\") == "%50\\%\\_\\\\%"
