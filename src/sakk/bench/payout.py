"""``sakk bench payout``: ten thousand payouts in one request, and each until a node has it.

The whole system runs in processes of its own. A round is one request with a batch: how long until
it is answered, with every row committed and every amount held in the ledger; then how fast its
payouts are screened, judged by the policy, built, signed and taken by the node. Afterwards single
payouts, one request after another, at rest; and payouts of which each is a transaction of its own,
from one treasury address and, in a system of its own, from several. In the end every beneficiary
has exactly its amount, nobody has more, and `sakk reconcile` and `sakk ledger verify` find the
books in order.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import psycopg

from sakk.bench.figures import WrongResult, cost, rate, times
from sakk.bench.http import Connection
from sakk.bench.machine import describe_machine
from sakk.bench.stack import Stack, spent, start_stack
from sakk.rails.sandbox.wallet import Transfer, Wallet

PAYOUTS = 10_000
ROUNDS = 2
SINGLES = 300
PLAIN = 300
TREASURIES = 4
# Its beneficiaries are nobody else's.
PLAIN_ROUND = 1_000
AMOUNT_UNITS = 10_000
CURRENCY = "usdc"
CENTS_IN_A_DOLLAR = 100
UNITS_IN_A_CENT = 10_000
TREASURY_MARGIN = 2
WAIT_SECONDS_MAX = 900.0
LOOK_SECONDS = 0.2

Say = Callable[[str], None]


def run(
    *,
    payouts: int = PAYOUTS,
    rounds: int = ROUNDS,
    singles: int = SINGLES,
    plain: int = PLAIN,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Measure; the result is an object of ``sakk bench``'s shape.

    WrongResult unless every payout was made once, to the unit, and the books agree with the chain.
    CPU time is that of all Sakk's processes and PostgreSQL.
    """
    machine = describe_machine()
    say("starting the system")
    with start_stack("--no-sweep") as stack:
        results = measure(
            stack, payouts=payouts, rounds=rounds, singles=singles, plain=plain, say=say
        )
    say(f"starting one with {TREASURIES} treasury addresses")
    with start_stack("--no-sweep", "--treasuries", str(TREASURIES)) as stack:
        with _opened(stack) as database:
            _fund(stack, database, plain * AMOUNT_UNITS)
            rates = [_plain(stack, database, PLAIN_ROUND, plain, say=say)]
            _check(stack, database, plain)
        results.append(rate(f"plain_{TREASURIES}_treasuries", "payouts/s", rates))
    return {"machine": machine, "results": results}


def measure(
    stack: Stack,
    *,
    payouts: int,
    rounds: int,
    singles: int,
    plain: int,
    say: Say = lambda _: None,
) -> list[dict[str, Any]]:
    """The lines of ``results``."""
    accepted: list[float] = []
    rates: list[float] = []
    cpu: list[float] = []
    with _opened(stack) as database:
        _fund(stack, database, (payouts * rounds + singles + plain) * AMOUNT_UNITS)
        for number in range(1, rounds + 1):
            say(f"round {number}: {payouts} payouts in one request")
            before = stack.cpu_seconds()
            began = time.perf_counter()
            batch = asyncio.run(_send_batch(stack, number, payouts))
            accepted.append(time.perf_counter() - began)
            answered = time.time()
            say(f"answered in {accepted[-1]:.2f} s; waiting until a node has each")
            rates.append(payouts / (_broadcast_at(database, batch, payouts) - answered))
            used = spent(before, stack.cpu_seconds())
            cpu.append(sum(used[name] for name in used if name != "anvil") * 1_000 / payouts)
            say(f"{rates[-1]:.0f} payouts a second; waiting until they are in the books")
            _await_posted(database)
        say(f"{singles} payouts, one request each")
        alone = asyncio.run(_send_singles(stack, singles))
        _await_posted(database)
        lone = [_plain(stack, database, PLAIN_ROUND, plain, say=say)]
        say("checking")
        _check(stack, database, payouts * rounds + singles + plain)
    return [
        cost(f"accept_{payouts}", "s", accepted),
        rate("accepted_to_broadcast", "payouts/s", rates),
        times("single_p99", alone, repeats=singles),
        cost("payout_cpu", "ms/payout", cpu),
        rate("plain_1_treasury", "payouts/s", lone),
    ]


def _opened(stack: Stack) -> psycopg.Connection[Any]:
    return psycopg.connect(str(stack.description["database_url"]), autocommit=True)


def _plain(
    stack: Stack, database: psycopg.Connection[Any], number: int, payouts: int, *, say: Say
) -> float:
    """How many a second reach a node when each is a transaction of its own."""
    say(f"{payouts} payouts, a transaction each")
    database.execute("UPDATE assets SET disperse_min = 0 WHERE currency = %s", [CURRENCY])
    batch = asyncio.run(_send_batch(stack, number, payouts))
    answered = time.time()
    found = payouts / (_broadcast_at(database, batch, payouts) - answered)
    _await_posted(database)
    return found


def beneficiary(round_number: int, line: int) -> str:
    """An address that nobody used before and whose key nobody has."""
    return "0x" + sha256(f"bench payout {round_number} {line}".encode()).hexdigest()[:40]


def _fund(stack: Stack, database: psycopg.Connection[Any], units: int) -> None:
    """Give the merchant a balance by a payment, and the treasury the coins to pay it out."""
    cents = units // UNITS_IN_A_CENT + 1
    intent = asyncio.run(
        _post(stack, "/v1/payment_intents", {"amount": cents, "currency": "usd"}, "fund")
    )
    details = intent["next_action"]["crypto_display_details"]["deposit_addresses"]
    place = details[stack.network["network"]]
    (token,) = (each for each in place["supported_tokens"] if each["token_currency"] == CURRENCY)
    contract = token["token_contract_address"]
    treasury = database.execute("SELECT address FROM addresses WHERE purpose = 'treasury'")
    places = [str(address) for (address,) in treasury.fetchall()]
    with Wallet(stack.network["rpc"], stack.network["payer_private_key"]) as wallet:
        hashes = wallet.transfer_many(
            [
                Transfer(contract, place["address"], int(token["amount"])),
                *(Transfer(contract, each, units * TREASURY_MARGIN) for each in places),
            ]
        )
    _wait(
        database,
        "SELECT count(*) = cardinality(%s::text[]) FROM payins"
        " WHERE status = 'posted' AND tx_hash = ANY(%s)",
        "the balance and the treasury's coins",
        hashes,
        hashes,
    )


async def _send_batch(stack: Stack, number: int, payouts: int) -> str:
    """One request; the id of the batch, every line of which has its money held."""
    lines = [
        {
            "amount": AMOUNT_UNITS,
            "currency": CURRENCY,
            "destination": {
                "network": stack.network["network"],
                "address": beneficiary(number, line),
            },
            "reference": f"{number}-{line}",
        }
        for line in range(payouts)
    ]
    made = await _post(stack, "/v1/payout_batches", {"lines": lines}, f"batch-{number}")
    counts = {each["status"]: each["count"] for each in made["totals"]}
    if sum(counts.values()) != payouts or "rejected" in counts:
        raise WrongResult(f"{payouts} payouts were asked for, and there are {counts}")
    return str(made["id"])


async def _send_singles(stack: Stack, singles: int) -> list[float]:
    """Milliseconds of each request until its payout is committed and held."""
    took: list[float] = []
    async with Connection(stack.api, stack.headers) as connection:
        for line in range(singles):
            place = {"network": stack.network["network"], "address": beneficiary(0, line)}
            body = json.dumps(
                {"amount": AMOUNT_UNITS, "currency": CURRENCY, "destination": place}
            ).encode()
            began = time.perf_counter()
            status, _, answer = await connection.post(
                "/v1/payouts", body, idempotency_key=f"single-{line}"
            )
            took.append((time.perf_counter() - began) * 1_000)
            if status != 200:
                raise WrongResult(f"POST /v1/payouts answered {status}: {answer.decode()}")
    return took


async def _post(stack: Stack, path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    async with Connection(stack.api, stack.headers) as connection:
        status, _, answer = await connection.post(
            path, json.dumps(body).encode(), idempotency_key=f"bench-payout-{key}"
        )
    document: dict[str, Any] = json.loads(answer)
    if status != 200:
        raise WrongResult(f"POST {path} answered {status}: {document}")
    return document


def _broadcast_at(database: psycopg.Connection[Any], batch: str, payouts: int) -> float:
    """When a node had the last payout of a batch, in seconds since 1970, by its event."""
    _wait(
        database,
        "SELECT count(*) = 0 FROM payouts WHERE batch = %s"
        " AND status IN ('requested', 'screened', 'approved', 'signed')",
        "a node to have every payout",
        batch,
    )
    row = database.execute(
        "SELECT count(*), extract(epoch FROM max(e.created))::float8 FROM events AS e"
        " JOIN payouts AS p ON p.id = e.object_id"
        " WHERE p.batch = %s AND e.type = 'payout.broadcast'",
        [batch],
    ).fetchone()
    assert row is not None
    if row[0] != payouts:
        raise WrongResult(f"{row[0]} of {payouts} payouts were broadcast")
    return float(row[1])


def _await_posted(database: psycopg.Connection[Any]) -> None:
    _wait(
        database,
        "SELECT count(*) = 0 FROM payouts WHERE status <> 'posted'",
        "every payout to be in the books",
    )


def _wait(
    database: psycopg.Connection[Any], question: str, what: str, *values: Sequence[str] | str
) -> None:
    """Ask until it is so; WrongResult when it never is."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        row = database.execute(question, list(values)).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() > deadline:
            raise WrongResult(f"waited {WAIT_SECONDS_MAX:g} s for {what}")
        time.sleep(LOOK_SECONDS)


def _check(stack: Stack, database: psycopg.Connection[Any], payouts: int) -> None:
    """Every payout is one transfer on the chain, the sums agree, and so do ledger and chain."""
    row = database.execute(
        "SELECT count(*), count(DISTINCT destination), sum(amount) FROM payouts"
    ).fetchone()
    if row is None or (row[0], row[1], int(row[2])) != (payouts, payouts, payouts * AMOUNT_UNITS):
        raise WrongResult(f"{payouts} payouts were asked for, and the rows say {row}")
    stack.check()
