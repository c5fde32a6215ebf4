"""One Chromium for all tests of pages, in one worker; skipped loudly where there is none."""

from collections.abc import Iterator

import pytest

from tests.browser.frame import Browser, missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/browser/"):
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser of this run."""
    reason = missing()
    if reason is not None:
        pytest.skip(f"pages are not looked at in a browser: {reason}")
    made = Browser()
    try:
        yield made
    finally:
        made.close()
