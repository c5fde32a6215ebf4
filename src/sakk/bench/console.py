"""``sakk bench console``: how long the console's pages take over 100,000 payments.

A page's time is from the request's arrival in the process to the answer's last byte, everything
between included: the door, the roles, the questions, the template. The browser's part is not in it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import text
from starlette.types import Message

from sakk.bench.figures import WrongResult, times
from sakk.bench.machine import describe_machine
from sakk.console.app import Console
from sakk.console.table import SCREENS
from sakk.console.visit import ConsoleSettings
from sakk.core.account import AccountKind
from sakk.core.invitation import InvitationKind
from sakk.core.person import Person, PersonState
from sakk.flow import account as accounts
from sakk.flow import invitation as invitations
from sakk.flow import sign_in
from sakk.flow.context import Parts
from sakk.flow.sign_in import Device
from sakk.runtime.postgres import start_postgres
from sakk.store import person as persons
from sakk.store.database import Database, open_database
from sakk.store.identity import new_id, now
from sakk.store.migrate import upgrade

PAYMENTS: Final = 100_000
REPEATS: Final = 60
WARM: Final = 5
ORIGIN: Final = "http://127.0.0.1:8402"
_FILL: Final = (
    "INSERT INTO customers (id, account_id, livemode, email, metadata, deleted, created)"
    " SELECT 'cus_' || lpad(i::text, 26, '0'), :account, false, 'c' || i || '@example.com', '{}',"
    " false, now() FROM generate_series(1, :payments / 10) AS i",
    "INSERT INTO payment_intents (id, account_id, livemode, amount, currency, decimals, status,"
    " amount_received, amount_status, timing, quotes, networks, address, customer, description,"
    " metadata, expires_at, created) SELECT 'pi_' || lpad(i::text, 26, '0'), :account, false,"
    " 1000000 + i, 'usdc', 6, 'succeeded', 1000000 + i, 'exact', 'on_time', '[]', '{}',"
    " '0x' || lpad(to_hex(i), 40, '0'), 'cus_' || lpad((i / 10 + 1)::text, 26, '0'),"
    " 'Order ' || i, jsonb_build_object('order', i::text), now(), now() - i * interval '1 second'"
    " FROM generate_series(1, :payments) AS i",
    "INSERT INTO payins (id, account_id, livemode, network, asset, currency, decimals,"
    " token_amount, amount, address, sender, tx_hash, log_index, block_number, block_hash,"
    " block_timestamp, status, role, counts, payment_intent, quarantined, reviewed, orphaned,"
    " posted_at, created) SELECT 'pin_' || lpad(i::text, 26, '0'), :account, false,"
    " 'eip155:1337', 'eip155:1337/erc20:0x1', 'usdc', 6, 1000000 + i, 1000000 + i,"
    " '0x' || lpad(to_hex(i), 40, '0'), '0x' || lpad(to_hex(i), 40, '0'),"
    " '0x' || lpad(to_hex(i), 64, '0'), 0, i, '0x' || lpad(to_hex(i), 64, '0'), 0, 'posted',"
    " 'payment', true, 'pi_' || lpad(i::text, 26, '0'), false, false, false, now(), now()"
    " FROM generate_series(1, :payments) AS i",
    "INSERT INTO volumes (account_id, livemode, quarter, currency, payins, amount)"
    " SELECT :account, false, date_bin('15 minutes', now(), TIMESTAMPTZ '2000-01-01')"
    " - i * interval '15 minutes', 'usdc', 10, 10000000 FROM generate_series(0, 2880) AS i",
    "INSERT INTO currencies (currency, name, kind, decimals, updated)"
    " VALUES ('usdc', 'USD Coin', 'coin', 6, now())",
)


def run(
    *,
    say: Callable[[str], None] = lambda _: None,
    payments: int = PAYMENTS,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Measure all; the result is an object of ``sakk bench``'s shape."""
    machine = describe_machine()
    with start_postgres(ephemeral=True) as postgres:
        upgrade(postgres.url())
        database = open_database(postgres.url())
        try:
            say(f"writing {payments:,} payments")
            account = _filled(database, payments)
            console = Console(Parts(database), ConsoleSettings(public_url=ORIGIN, sandbox=True))
            try:
                token = _signed_in(database, account)
                results = [
                    times(name, _measured(console, token, path, repeats, say), repeats=repeats)
                    for name, path in _pages(payments).items()
                ]
            finally:
                console.close()
        finally:
            database.close()
    return {"machine": machine, "results": results}


def _pages(payments: int) -> dict[str, str]:
    one = f"pi_{payments // 2:026d}"
    pages = {
        "home": "/console",
        "payments": "/console/payments",
        "payments_search": f"/console/payments?q=order%3D{payments // 2}",
        "payments_filter": "/console/payments?status=expired",
        "payment": f"/console/payments/{one}",
        "payouts": "/console/payouts",
    }
    there = {screen.path for screen in SCREENS}
    return {name: path for name, path in pages.items() if name != "payouts" or path in there}


def _filled(database: Database, payments: int) -> str:
    account = new_id("acct")
    with database.begin() as connection:
        accounts.create(
            connection,
            account_id=account,
            livemode=False,
            now=now(),
            kind=AccountKind.merchant,
            details={"name": "Bench"},
        )
        for statement in _FILL:
            connection.execute(text(statement), {"account": account, "payments": payments})
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    return account


def _signed_in(database: Database, account: str) -> str:
    """A sign-in of one of the operator's people, who looks at the account."""
    parts = Parts(database)
    person = Person(
        id=new_id("per"),
        livemode=False,
        name="Bench",
        email="bench@example.com",
        roles=["owner"],
        state=PersonState.active.value,
        proposal=None,
        public_key=None,
        totp_secret=None,
        totp_confirmed=False,
        totp_step=-1,
        totp_failures=0,
        totp_locked_until=None,
        proposed_by=None,
        approved_by=None,
        created=now(),
    )
    with database.begin() as connection:
        persons.insert(connection, person)
        link = invitations.make(
            connection,
            person=person.id,
            livemode=False,
            kind=InvitationKind.enter,
            by="bench",
            now=now(),
        )
    begun = sign_in.enter(parts, link, Device("bench", "127.0.0.1"), replaces=None)
    found = sign_in.find(parts, begun.token)
    if found is None:
        raise WrongResult("nobody is signed in")
    sign_in.look_at(parts, found, account)
    return begun.token


def _measured(
    console: Console, token: str, path: str, repeats: int, say: Callable[[str], None]
) -> list[float]:
    """Milliseconds of a page, one at a time; WrongResult for a page that is none."""
    say(f"{path}: {repeats} times")
    spent = []
    for turn in range(WARM + repeats):
        started = time.perf_counter()
        status, size = asyncio.run(_ask(console, token, path))
        took = 1_000 * (time.perf_counter() - started)
        if status != 200 or not size:
            raise WrongResult(f"{path} answered {status}")
        if turn >= WARM:
            spent.append(took)
        # A person's share of requests comes back with time.
        time.sleep(0.05)
    return spent


async def _ask(console: Console, token: str, path: str) -> tuple[int, int]:
    where, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": where,
        "query_string": query.encode(),
        "headers": [(b"host", b"127.0.0.1:8402"), (b"cookie", f"sakk={token}".encode())],
        "client": ("127.0.0.1", 50_000),
    }
    answers: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        answers.append(message)

    await console(scope, receive, send)
    return answers[0]["status"], sum(len(each.get("body", b"")) for each in answers)
