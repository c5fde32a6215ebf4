"""One Chromium for all tests of pages, in one worker; skipped loudly where there is none."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from sakk.core.invitation import InvitationKind
from sakk.flow import invitation as invitations
from sakk.runtime.process import Command, spawn
from sakk.store.database import open_database
from sakk.store.identity import now
from sakk.store.person import persons
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


@pytest.fixture
def way_in(sandbox: dict[str, Any]) -> str:
    """Where the sandbox's owner comes in, in a browser that nobody signed in from."""
    database = open_database(sandbox["database_url"])
    try:
        with database.begin() as connection:
            owner = (
                connection.execute(select(persons.c.id).order_by(persons.c.id)).scalars().first()
            )
            assert owner is not None
            token = invitations.make(
                connection,
                person=owner,
                livemode=False,
                kind=InvitationKind.enter,
                by="test",
                now=now(),
            )
    finally:
        database.close()
    return f"/console/enter/{token}"
