"""What an error carries beside its words; tests/api/test_errors.py has its shape in the API."""

import pytest

from sakk.core.errors import MandateExceeded, RateLimited, ResourceMissing


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(RateLimited("too many"), 1), (RateLimited("too many", retry_after_seconds=30), 30)],
)
def test_a_limit_says_how_long_to_wait(error: RateLimited, seconds: int) -> None:
    assert (error.status, error.transient, error.retry_after_seconds) == (429, True, seconds)


def test_what_differs_is_kept_apart_from_what_is_always_said() -> None:
    error = ResourceMissing("No such payout: {payout}.", param="payout", payout=repr("{po}"))
    assert error.message == str(error) == "No such payout: '{po}'."
    assert (error.template, error.values) == ("No such payout: {payout}.", {"payout": "'{po}'"})


def test_braces_stand_for_themselves_where_there_are_no_values() -> None:
    error = MandateExceeded("{a} stays", details={"limit": "total"})
    assert (error.message, error.values, error.details) == ("{a} stays", {}, {"limit": "total"})
