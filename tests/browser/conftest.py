"""One Chromium for all tests of pages, in one worker; skipped loudly where there is none."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, select

from sakk.core.invitation import InvitationKind
from sakk.core.person import Person
from sakk.flow import invitation as invitations
from sakk.runtime.process import Command, spawn
from sakk.store import person as store
from sakk.store.database import open_database
from sakk.store.identity import new_id, now
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
            return _enter(connection, owner)
    finally:
        database.close()


@pytest.fixture
def finance_way_in(sandbox: dict[str, Any]) -> str:
    """Where somebody comes in who has the role `finance` and no other."""
    made = Person(
        id=new_id("per"),
        livemode=False,
        name="Fin",
        email="fin@example.com",
        roles=["finance"],
        state="active",
        proposal=None,
        public_key=None,
        totp_secret=None,
        totp_confirmed=False,
        totp_step=-1,
        totp_failures=0,
        totp_locked_until=None,
        proposed_by="test",
        approved_by=None,
        created=now(),
    )
    database = open_database(sandbox["database_url"])
    try:
        with database.begin() as connection:
            store.insert(connection, made)
            return _enter(connection, made.id)
    finally:
        database.close()


def _enter(connection: Connection, person: str) -> str:
    """A link by which a person comes in."""
    token = invitations.make(
        connection,
        person=person,
        livemode=False,
        kind=InvitationKind.enter,
        by="test",
        now=now(),
    )
    return f"/console/enter/{token}"


@pytest.fixture
def money(sandbox: dict[str, Any]) -> Iterator[httpx2.Client]:
    """What the account has, as the API says it."""
    head = {"Authorization": f"Bearer {sandbox['secret_key']}"}
    with httpx2.Client(base_url=sandbox["api"], headers=head) as client:
        yield client
