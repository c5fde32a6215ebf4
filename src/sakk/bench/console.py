"""``sakk bench console``: how long the console's pages take over 100,000 payments
and as much of the rest as goes with them, and the mall's pages.

A page's time is from the request's arrival in the process to the answer's last byte, everything
between included: the door, the roles, the questions, the template. The browser's part is not in it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import text
from starlette.types import Message

from sakk.bench.console_fill import fill
from sakk.bench.figures import WrongResult, times
from sakk.bench.machine import describe_machine
from sakk.checkout.app import Checkout
from sakk.checkout.visit import CheckoutSettings
from sakk.console.app import Console
from sakk.console.visit import ConsoleSettings
from sakk.core.account import AccountKind
from sakk.core.invitation import InvitationKind
from sakk.core.person import Person, PersonState
from sakk.flow import account as accounts
from sakk.flow import invitation as invitations
from sakk.flow import sign_in
from sakk.flow.book import Books
from sakk.flow.context import Parts
from sakk.flow.sign_in import Device
from sakk.ledger.writer import open_ledger
from sakk.runtime.postgres import start_postgres
from sakk.store import person as persons
from sakk.store.database import Database, open_database
from sakk.store.identity import new_id, now
from sakk.store.migrate import upgrade
from sakk.store.vault import Vault

PAYMENTS: Final = 100_000
REPEATS: Final = 60
OFTEN: Final = ("home", "payments", "payments_search", "payments_filter", "payments_one", "payouts")
WARM: Final = 5
# Who looks in turn, without a pause: each has so many requests a second, and no more.
PEOPLE: Final = 8
ORIGIN: Final = "http://127.0.0.1:8402"
# Those that people live in are looked at oftener than the others.
OTHER_REPEATS: Final = 20
LISTS: Final = (
    *("payins", "exceptions", "customers", "refunds", "gift_cards", "money_requests", "bills"),
    *("questions", "aliases", "sessions", "links", "tills", "shops", "payouts", "payout_batches"),
    *("beneficiaries", "balances", "statement", "ledger", "journal", "settlements", "bank_files"),
    *("bank_statements", "bank_lines", "reconciliations", "breaks", "days", "reports", "fees"),
    *("conversions", "orders", "sweeps", "transactions", "cases", "names", "breaches"),
    *("travel_rules", "mandates", "channels", "x402", "events", "requests", "audit"),
    *("provider_orders", "payees", "withdrawals", "accounts", "exemptions", "vasps"),
    *("gift_card_batches", "application_fees", "connected_accounts"),
)
# What each shows one of: a list, and how its ids begin.
DETAILS: Final = {
    **{"payments": "pi", "payins": "pin", "customers": "cus", "gift_cards": "gc"},
    **{"money_requests": "mreq", "bills": "bill", "sessions": "cs", "links": "plink"},
    **{"shops": "shop", "payouts": "po", "settlements": "set", "bank_statements": "bst"},
    **{"bank_lines": "bl", "reconciliations": "recon", "breaks": "brk", "conversions": "conv"},
    **{"orders": "ord", "transactions": "tx", "cases": "case", "names": "nsc", "channels": "ch"},
    **{"travel_rules": "trv", "events": "evt", "deliveries": "whd"},
    **{"provider_orders": "pvo", "exemptions": "nex", "vasps": "vasp"},
    **{"gift_card_batches": "gcb", "application_fees": "afee", "connected_accounts": "cac"},
}
SEARCHES: Final = {
    "payments_search": "payments?q=order%3D{half}",
    "payments_filter": "payments?status=expired",
    "payouts_search": "payouts?q=INV-{half}",
    "bank_lines_search": "bank_lines?q=INV-{half}&show=",
    "cases_late": "cases?order=due&late=yes",
    "audit_about": "audit?about={customer}",
    "deliveries": "webhooks/we_1",
    "ledger_account": "ledger/00000000-0000-0000-0000-00000000000a",
}
MALL: Final = {"mall": "/mall", "mall_shop": "/mall/shop-{one}"}


def run(
    *,
    say: Callable[[str], None] = lambda _: None,
    payments: int = PAYMENTS,
    repeats: int = REPEATS,
    warm: int = WARM,
) -> dict[str, Any]:
    """Measure all; the result is an object of ``sakk bench``'s shape."""
    machine = describe_machine()
    with start_postgres(ephemeral=True) as postgres:
        upgrade(postgres.url())
        database = open_database(postgres.url())
        try:
            say(f"writing {payments:,} payments")
            account = _filled(database, payments)
            ledger = open_ledger(postgres.url())
            parts = Parts(
                database,
                Books(database, ledger),
                vault=Vault(bytes(range(32))),
                public_url=ORIGIN,
            )
            console = Console(parts, ConsoleSettings(public_url=ORIGIN, sandbox=True))
            checkout = Checkout(parts, CheckoutSettings(public_url=ORIGIN))
            try:
                tokens = [_signed_in(database, account, number) for number in range(PEOPLE)]
                results = []
                for name, path in _pages(payments).items():
                    often = repeats if name in OFTEN else min(repeats, OTHER_REPEATS)
                    door = console if path.startswith("/console") else checkout
                    spent = _measured(door, tokens, path, often, warm, say)
                    results.append(times(name, spent, repeats=often))
            finally:
                console.close()
                checkout.close()
                ledger.close()
        finally:
            database.close()
    return {"machine": machine, "results": results}


def _pages(payments: int) -> dict[str, str]:
    """Each page by its name: those that people live in, every list, one of each, and the mall."""
    # A number that every noun has, for there are fewest of some.
    one = max(1, payments // 200)
    given = {"half": payments // 2, "one": one, "customer": f"cus_{one:026d}"}
    pages = {"home": "/console", "payments": "/console/payments"}
    pages |= {name: f"/console/{path.format(**given)}" for name, path in SEARCHES.items()}
    pages |= {name: f"/console/{name}" for name in LISTS}
    for name, prefix in DETAILS.items():
        pages[f"{name}_one"] = f"/console/{name}/{prefix}_{one:026d}"
    return pages | {name: path.format(**given) for name, path in MALL.items()}


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
        fill(connection, account, payments)
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    return account


def _signed_in(database: Database, account: str, number: int) -> str:
    """A sign-in of one of the operator's people, who looks at the account."""
    parts = Parts(database)
    person = Person(
        id=new_id("per"),
        livemode=False,
        name="Bench",
        email=f"bench{number}@example.com",
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
    console: Console | Checkout,
    tokens: Sequence[str],
    path: str,
    repeats: int,
    warm: int,
    say: Callable[[str], None],
) -> list[float]:
    """Milliseconds of a page, one at a time; WrongResult for a page that is none."""
    say(f"{path}: {repeats} times")
    spent = []
    for turn in range(warm + repeats):
        started = time.perf_counter()
        status, size = asyncio.run(_ask(console, tokens[turn % len(tokens)], path))
        took = 1_000 * (time.perf_counter() - started)
        if status != 200 or not size:
            raise WrongResult(f"{path} answered {status}")
        if turn >= warm:
            spent.append(took)
    return spent


async def _ask(console: Console | Checkout, token: str, path: str) -> tuple[int, int]:
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
