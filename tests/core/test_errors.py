"""What an error carries beside its words; tests/api/test_errors.py has its shape in the API."""

import pytest

from sakk.core.errors import RateLimited


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(RateLimited("too many"), 1), (RateLimited("too many", retry_after_seconds=30), 30)],
)
def test_a_limit_says_how_long_to_wait(error: RateLimited, seconds: int) -> None:
    assert (error.status, error.transient, error.retry_after_seconds) == (429, True, seconds)
