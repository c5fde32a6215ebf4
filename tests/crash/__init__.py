"""Crashes: real processes, real SIGKILL, and all witnesses compared afterwards."""

import pytest

# Before it is imported, so that a difference is shown and not only found.
pytest.register_assert_rewrite("tests.crash.job")
