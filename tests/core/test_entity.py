import pytest

from sakk.core.entity import parse_date, years_of


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("1962", "1962"),
        ("1962-05", "1962-05"),
        ("1962-05-03", "1962-05-03"),
        ("1962-05-03T00:00:00Z", "1962-05-03"),
        ("1962-05-03+02:00", "1962-05-03"),
        ("1962-0-0", "1962"),
        ("15 Jul 1980", "1980-07-15"),
        ("3 May 1980", "1980-05-03"),
        ("Jul 1980", "1980-07"),
        ("circa 1961", "1961~"),
        ("approximately 1961", "1961~"),
        ("c. 12 Dec 1961", "1961-12-12~"),
        ("1960 to 1965", "1960/1965"),
        ("between 1960 and 1965", "1960/1965"),
        ("1960/1965", "1960/1965"),
        ("circa 1960 to circa 1965", "1960/1965"),
        ("Jan 1960 to Feb 1962", "1960/1962"),
        ("1965 to 1960", None),
        ("1960 to soon", None),
        ("15 Foo 1980", None),
        ("32 Jan 1980", None),
        ("1980-13", None),
        ("1492", None),
        ("", None),
        ("soon", None),
    ],
)
def test_dates_as_lists_write_them(text: str, date: str | None) -> None:
    assert parse_date(text) == date


@pytest.mark.parametrize(
    ("date", "years"),
    [
        ("1962", (1962, 1962, False)),
        ("1962-05-03", (1962, 1962, False)),
        ("1962~", (1962, 1962, True)),
        ("1960/1965", (1960, 1965, False)),
    ],
)
def test_years_of_a_date(date: str, years: tuple[int, int, bool]) -> None:
    assert years_of(date) == years
