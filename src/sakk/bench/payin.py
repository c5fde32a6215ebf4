"""``sakk bench payin``: from the block that holds a transfer to the webhook at the merchant.

The whole system runs in processes of its own, blocks come once a second. In each round hundreds of
payments are in flight at once: their transfers stand in one block or two, become final together,
and each must end as one signed ``payment_intent.succeeded`` at the receiver. Then one payment at a
time. What Sakk adds begins when the node has the block that makes the transfer final.
"""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import psycopg
from standardwebhooks.webhooks import Webhook

from sakk.bench.figures import WrongResult, cost, times
from sakk.bench.http import Connection
from sakk.bench.machine import describe_machine
from sakk.bench.stack import Stack, spent, start_stack
from sakk.core.event import PAYMENT_INTENT_SUCCEEDED
from sakk.rails.sandbox.wallet import Transfer, Wallet

PAYMENTS = 500
ROUNDS = 3
SINGLES = 20
CONNECTIONS = 8
AMOUNT_CENTS = 2_500
CENTS_IN_A_DOLLAR = 100
WAIT_SECONDS_MAX = 60.0
NANOSECONDS_IN_A_MILLISECOND = 1_000_000
CURRENCY = "usdc"

Say = Callable[[str], None]


@dataclass(slots=True)
class Seen:
    """What the observer has told: when each block came, and each intent's webhook."""

    block_ns: dict[int, int] = field(default_factory=dict)
    webhook_ns: dict[str, int] = field(default_factory=dict)
    requests: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Paid:
    """One payment: the intent, and the number of the block that holds its transfer."""

    intent: str
    block_number: int


class Observer:
    """The observer's process, and what it has told so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.seen = Seen()
        self._process = process
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self.port = int(self._read_line().split()[2])
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait(self, is_true: Callable[[Seen], bool], what: str) -> None:
        """Take in what is told until something is true; WrongResult when it never is."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not is_true(self.seen):
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise WrongResult(f"waited {WAIT_SECONDS_MAX:g} s for {what}") from None
            if line is None:
                raise WrongResult("the observer has ended")
            self._take(line)

    def _take(self, line: str) -> None:
        kind, arrived, *words = line.rstrip("\n").split(" ", 5)
        if kind == "block":
            self.seen.block_ns.setdefault(int(words[0]), int(arrived))
            return
        self.seen.requests.append(words)
        told = json.loads(words[3])
        if told["type"] == PAYMENT_INTENT_SUCCEEDED:
            self.seen.webhook_ns.setdefault(told["data"]["object"]["id"], int(arrived))

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _read(self) -> None:
        while line := self._read_line():
            self._lines.put(line)
        self._lines.put(None)


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that a round needs."""

    stack: Stack
    observer: Observer
    wallet: Wallet

    @property
    def confirmations(self) -> int:
        return int(self.stack.network["confirmations"])

    def pay(self, intents: Sequence[dict[str, Any]]) -> list[Paid]:
        """Pay intents in one batch of transactions, and wait for all their webhooks."""
        hashes = self.wallet.transfer_many([_transfer(self.stack, each) for each in intents])
        identifiers = [str(each["id"]) for each in intents]
        self.observer.wait(
            lambda seen: seen.webhook_ns.keys() >= set(identifiers),
            f"the webhooks of {len(identifiers)} payments",
        )
        receipts = self.wallet.rpc.batch([("eth_getTransactionReceipt", [each]) for each in hashes])
        return [
            Paid(intent, int(receipt["blockNumber"], 16))
            for intent, receipt in zip(identifiers, receipts, strict=True)
        ]

    def since_block(self, paid: Sequence[Paid], *, confirmations: int) -> list[float]:
        """Milliseconds from a transfer's block, or from one after it, to the webhook request."""
        seen = self.observer.seen
        return [
            (seen.webhook_ns[each.intent] - seen.block_ns[each.block_number + confirmations])
            / NANOSECONDS_IN_A_MILLISECOND
            for each in paid
        ]

    def since_confirmed(self, paid: Sequence[Paid], confirmed_ns: dict[str, int]) -> list[float]:
        """Milliseconds from ``confirmed_at`` to the webhook request: screen, post, notify."""
        seen = self.observer.seen
        return [
            (seen.webhook_ns[each.intent] - confirmed_ns[each.intent])
            / NANOSECONDS_IN_A_MILLISECOND
            for each in paid
        ]


def run(
    *,
    payments: int = PAYMENTS,
    rounds: int = ROUNDS,
    singles: int = SINGLES,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Measure; the result is an object of ``sakk bench``'s shape, times in milliseconds.

    WrongResult unless every payment succeeded, was told once and signed, the balance is exact and
    the books agree with the chain. CPU time is that of all Sakk's processes and PostgreSQL.
    """
    machine = describe_machine()
    say("starting the system")
    # Deposits stay where they are: to collect them is work that begins after a payment's end.
    with start_stack("--no-sweep") as stack:
        results = measure(stack, payments=payments, rounds=rounds, singles=singles, say=say)
    return {"machine": machine, "results": results}


def measure(
    stack: Stack, *, payments: int, rounds: int, singles: int, say: Say = lambda _: None
) -> list[dict[str, Any]]:
    """The lines of ``results``, on a system whose account has no payments yet."""
    at_once: list[Paid] = []
    cpu_milliseconds: list[float] = []
    with _observing(stack) as observer, _wallet(stack) as wallet:
        bench = Bench(stack, observer, wallet)
        secret = asyncio.run(_open_endpoint(stack, observer.port))
        for number in range(1, rounds + 1):
            say(f"round {number}: {payments} payments at once")
            intents = asyncio.run(_create_intents(stack, payments))
            before = stack.cpu_seconds()
            paid = bench.pay(intents)
            cpu_milliseconds.append(_stack_milliseconds(before, stack.cpu_seconds()) / payments)
            at_once += paid
        say(f"{singles} payments, one at a time")
        alone: list[Paid] = []
        for intent in asyncio.run(_create_intents(stack, singles)):
            alone += bench.pay([intent])
        say("checking")
        asyncio.run(_check(bench, [*at_once, *alone], secret))
        stack.check()
    final = bench.confirmations
    confirmed_ns = _confirmed_ns(stack)
    return [
        times(
            f"payin_{payments}_stages",
            bench.since_confirmed(at_once, confirmed_ns),
            repeats=rounds,
        ),
        times("payin_at_rest_stages", bench.since_confirmed(alone, confirmed_ns), repeats=singles),
        times(
            f"payin_{payments}_after_finality",
            bench.since_block(at_once, confirmations=final),
            repeats=rounds,
        ),
        times(
            "payin_at_rest_after_finality",
            bench.since_block(alone, confirmations=final),
            repeats=singles,
        ),
        times(
            f"payin_{payments}_from_block",
            bench.since_block(at_once, confirmations=0),
            repeats=rounds,
        ),
        cost("payin_cpu", "ms/payment", cpu_milliseconds),
    ]


def _confirmed_ns(stack: Stack) -> dict[str, int]:
    """When each intent's pay-in was found final, in ns of the observer's clock; it has one."""
    with psycopg.connect(str(stack.description["database_url"])) as connection:
        rows = connection.execute(
            "SELECT payment_intent, (extract(epoch FROM confirmed_at) * 1000000)::bigint"
            " FROM payins WHERE payment_intent IS NOT NULL"
        ).fetchall()
    began = time.time_ns() - time.monotonic_ns()
    return {intent: int(microseconds) * 1_000 - began for intent, microseconds in rows}


@contextmanager
def _observing(stack: Stack) -> Iterator[Observer]:
    rpc = str(stack.network["rpc"])
    process = subprocess.Popen(
        [sys.executable, "-m", "sakk.bench.observer", rpc.replace("http://", "ws://", 1)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Observer(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def _wallet(stack: Stack) -> Iterator[Wallet]:
    network = stack.network
    with Wallet(network["rpc"], network["payer_private_key"]) as wallet:
        yield wallet


async def _open_endpoint(stack: Stack, port: int) -> str:
    body = {
        "url": f"http://127.0.0.1:{port}/webhook",
        "enabled_events": [PAYMENT_INTENT_SUCCEEDED],
    }
    async with Connection(stack.api, stack.headers) as connection:
        made = await _post(connection, "/v1/webhook_endpoints", body, key="bench-endpoint")
    return str(made["secret"])


async def _create_intents(stack: Stack, count: int) -> list[dict[str, Any]]:
    body = {"amount": AMOUNT_CENTS, "currency": "usd"}
    numbers = iter(range(count))

    async def create(made: list[dict[str, Any]]) -> None:
        async with Connection(stack.api, stack.headers) as connection:
            for _ in numbers:
                key = f"bench-{next(_keys)}"
                made.append(await _post(connection, "/v1/payment_intents", body, key=key))

    made: list[dict[str, Any]] = []
    await asyncio.gather(*(create(made) for _ in range(CONNECTIONS)))
    return made


_keys = itertools.count()


async def _post(
    connection: Connection, path: str, body: dict[str, Any], *, key: str
) -> dict[str, Any]:
    status, _, answer = await connection.post(path, json.dumps(body).encode(), idempotency_key=key)
    document: dict[str, Any] = json.loads(answer)
    if status != 200:
        raise WrongResult(f"POST {path} answered {status}: {document}")
    return document


async def _get(stack: Stack, path: str) -> dict[str, Any]:
    async with Connection(stack.api, stack.headers) as connection:
        status, _, answer = await connection.get(path)
    document: dict[str, Any] = json.loads(answer)
    if status != 200:
        raise WrongResult(f"GET {path} answered {status}: {document}")
    return document


def _transfer(stack: Stack, intent: dict[str, Any]) -> Transfer:
    """What pays an intent in full, by its own ``next_action``."""
    details = intent["next_action"]["crypto_display_details"]["deposit_addresses"]
    place = details[stack.network["network"]]
    (token,) = (each for each in place["supported_tokens"] if each["token_currency"] == CURRENCY)
    return Transfer(token["token_contract_address"], place["address"], int(token["amount"]))


def _stack_milliseconds(before: dict[str, float], after: dict[str, float]) -> float:
    """CPU time of Sakk and its database, without the node's."""
    used = spent(before, after)
    return sum(seconds for name, seconds in used.items() if name != "anvil") * 1000


async def _check(bench: Bench, paid: Sequence[Paid], secret: str) -> None:
    """Every payment succeeded, was told once and signed, and the balance is their sum."""
    verifier = Webhook(secret)
    for identifier, timestamp, signature, body in bench.observer.seen.requests:
        verifier.verify(
            body,
            {
                "webhook-id": identifier,
                "webhook-timestamp": timestamp,
                "webhook-signature": signature.replace("+v1,", " v1,"),
            },
        )
    told = [words[0] for words in bench.observer.seen.requests]
    if len(told) != len(set(told)) or len(told) != len(paid):
        raise WrongResult(f"{len(told)} webhooks, {len(set(told))} events, {len(paid)} payments")
    found: list[dict[str, Any]] = []
    path = "/v1/payment_intents?limit=100"
    for _ in range(len(paid) // 100 + 2):
        page = await _get(bench.stack, path + _after(found))
        found += page["data"]
        if not page["has_more"]:
            break
    # What another bench asked for on the same system is none of these.
    asked = {each.intent for each in paid}
    found = [each for each in found if each["id"] in asked]
    wrong = [each["id"] for each in found if each["status"] != "succeeded"]
    if wrong or len(found) != len(paid):
        raise WrongResult(f"{len(found)} of {len(paid)} intents, not succeeded: {wrong[:5]}")
    balance = await _get(bench.stack, "/v1/balance")
    (token,) = (each for each in bench.stack.network["tokens"] if each["currency"] == CURRENCY)
    due = len(paid) * AMOUNT_CENTS * 10 ** int(token["decimals"]) // CENTS_IN_A_DOLLAR
    held = {each["currency"]: each["amount"] for each in balance["available"]}
    if held.get(CURRENCY) != due:
        raise WrongResult(f"the balance is {held}, the payments are {due} {CURRENCY}")


def _after(found: Sequence[dict[str, Any]]) -> str:
    return f"&starting_after={found[-1]['id']}" if found else ""
