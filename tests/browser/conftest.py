"""One Chromium for all tests of pages, in one worker; skipped loudly where there is none."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sakk.runtime.process import Command, spawn
from tests.browser.frame import Browser, missing


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def sandbox(browser: Browser) -> Iterator[dict[str, Any]]:
    """A whole Sakk on local chains, as its one line describes it; all these tests share it."""
    process = spawn(
        Command(
            argv=[sys.executable, "-m", "sakk.cli", "sandbox", "--json", "--networks", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    )
    try:
        assert process.popen.stdout is not None
        yield json.loads(next(line for line in process.popen.stdout if line.startswith(b"{")))
    finally:
        process.end()
