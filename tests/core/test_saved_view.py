"""Saved views: which are kept."""

import pytest

from sakk.core.errors import ParameterInvalid, SakkError, UnexpectedState
from sakk.core.saved_view import NAME_LENGTH_MAX, QUERY_LENGTH_MAX, VIEWS_MAX, check


@pytest.mark.parametrize(
    ("name", "query", "views", "error", "param"),
    [
        ("", "", 0, ParameterInvalid, "name"),
        ("  ", "", 0, ParameterInvalid, "name"),
        ("a\u202eb", "", 0, ParameterInvalid, "name"),
        ("x" * (NAME_LENGTH_MAX + 1), "", 0, ParameterInvalid, "name"),
        ("ok", "q" * (QUERY_LENGTH_MAX + 1), 0, ParameterInvalid, "query"),
        ("ok", "", VIEWS_MAX, UnexpectedState, None),
    ],
)
def test_what_is_refused(
    name: str, query: str, views: int, error: type[SakkError], param: str | None
) -> None:
    with pytest.raises(error) as refused:
        check(name, query, views=views)
    assert refused.value.param == param


def test_a_name_is_kept_without_the_space_around_it() -> None:
    assert check("  late ones ", "status=expired", views=VIEWS_MAX - 1) == "late ones"
