"""The log of requests: what is kept of a path, and how much of it all."""

import pytest

from sakk.core.request_log import (
    PARAM_LENGTH_MAX,
    PATH_LENGTH_MAX,
    ROWS_MAX,
    excess,
    shown_param,
    shown_path,
)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/payouts/po_1", "/v1/payouts/po_1"),
        ("/v1/a\nb\x1b[2J", "/v1/a%0Ab%1B[2J"),
        ("/" + "x" * 500, "/" + "x" * (PATH_LENGTH_MAX - 1)),
        ("/\u202ev1", "/%202Ev1"),
    ],
)
def test_a_path_is_kept_as_one_printable_line(path: str, shown: str) -> None:
    assert shown_path(path) == shown


@pytest.mark.parametrize(
    ("code", "param", "shown"),
    [
        ("parameter_invalid", "line_items[0][price_data]", "line_items[0][price_data]"),
        ("parameter_invalid", "metadata[ann@example.com]", "metadata"),
        ("parameter_unknown", "ann@example.com", None),
        ("parameter_invalid", "a\x1b[2J", None),
        ("parameter_invalid", "x" * 500, "x" * PARAM_LENGTH_MAX),
        (None, None, None),
    ],
)
def test_a_field_is_kept_by_its_name_alone(
    code: str | None, param: object, shown: str | None
) -> None:
    assert shown_param(code, param) == shown


def test_only_what_is_too_much_goes() -> None:
    assert [excess(rows) for rows in (0, ROWS_MAX, ROWS_MAX + 7)] == [0, 0, 7]
