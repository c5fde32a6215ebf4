"""Countries by ISO 3166-1."""

import pytest

from sakk.core.country import CODES, country_code, is_country


@pytest.mark.parametrize(
    ("code", "good"),
    [("HK", True), ("CH", True), ("XK", False), ("XX", False), ("ch", False), ("UK", False)],
)
def test_countries(code: str, good: bool) -> None:
    assert is_country(code) is good


def test_as_many_as_the_standard_has() -> None:
    assert len(CODES) == 249


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Cuba", "CU"),
        ("RUSSIAN FEDERATION", "RU"),
        ("  Iran,  Islamic Republic of ", "IR"),
        ("Democratic People’s Republic of Korea", "KP"),
        ("Korea, South", "KR"),
        ("gb", "GB"),
        ("xk", "XK"),
        ("00", None),
        ("Ruritania", None),
        ("", None),
    ],
)
def test_countries_by_code_and_by_the_names_that_lists_use(text: str, code: str | None) -> None:
    assert country_code(text) == code
