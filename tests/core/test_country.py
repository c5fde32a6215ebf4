"""Countries by ISO 3166-1."""

import pytest

from sakk.core.country import CODES, is_country


@pytest.mark.parametrize(
    ("code", "good"),
    [("HK", True), ("CH", True), ("XK", False), ("XX", False), ("ch", False), ("UK", False)],
)
def test_countries(code: str, good: bool) -> None:
    assert is_country(code) is good


def test_as_many_as_the_standard_has() -> None:
    assert len(CODES) == 249
