"""Metadata: merging and limits."""

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.metadata import KEY_LENGTH_MAX, KEYS_MAX, VALUE_LENGTH_MAX, merge


def test_merging() -> None:
    assert merge({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == {"a": "1", "b": "3", "c": "4"}
    assert merge({"a": "1", "b": "2", "c": "3"}, {"a": None, "b": ""}) == {"c": "3"}
    assert merge({"a": "1"}, None) == {}
    assert merge({"a": "1"}, {}) == {"a": "1"}


def test_merging_leaves_its_input_alone() -> None:
    current = {"a": "1"}
    merge(current, {"a": None})
    assert current == {"a": "1"}


def test_the_limits_are_inclusive() -> None:
    full = {str(number): "v" for number in range(KEYS_MAX)}
    assert merge({}, full) == full
    assert merge({}, {"k" * KEY_LENGTH_MAX: "v" * VALUE_LENGTH_MAX})
    assert len(merge(full, {"0": None, "new": "v"})) == KEYS_MAX


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"k" * (KEY_LENGTH_MAX + 1): "v"}, "metadata"),
        ({"": "v"}, "metadata"),
        ({"a[b]": "v"}, "metadata"),
        ({"k": "v" * (VALUE_LENGTH_MAX + 1)}, "metadata[k]"),
        ({str(number): "v" for number in range(KEYS_MAX + 1)}, "metadata"),
    ],
)
def test_what_is_refused(changes: dict[str, str | None], param: str) -> None:
    with pytest.raises(ParameterInvalid) as caught:
        merge({}, changes)
    assert caught.value.param == param
