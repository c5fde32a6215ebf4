"""``sakk bench api``: payment intents created through HTTP, with everything running.

Each request carries a fresh ``Idempotency-Key``, and its intent, address, event and answer are
committed before it is answered (fsync and synchronous_commit on). The baseline is a route that
does nothing, ``GET /healthz``, on the same server by the same client in the same run.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from sakk.bench.figures import WrongResult, cost, rate, times
from sakk.bench.http import Connection
from sakk.bench.machine import describe_machine
from sakk.bench.stack import Stack, spent, start_stack

REQUESTS = 2_000
CONNECTIONS = 16
REPEATS = 3
WARM_UP_REQUESTS = 400
PAGE_MAX = 100
BODY = json.dumps(
    {"amount": 2500, "currency": "usd", "metadata": {"order": "6735"}}, separators=(",", ":")
).encode()

Say = Callable[[str], None]
# One request over a connection; returns the body of its answer.
Ask = Callable[[Connection], Awaitable[bytes]]


class Load:
    """What a number of requests over a number of connections took."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.bodies: list[bytes] = []
        self.seconds = 0.0
        self.client_cpu_seconds = 0.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.milliseconds) / self.seconds


def run(
    *,
    requests: int = REQUESTS,
    connections: int = CONNECTIONS,
    repeats: int = REPEATS,
    workers: int = 1,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Measure; the result is an object of ``sakk bench``'s shape.

    WrongResult unless every intent is there once, with an address of its own and its event, and a
    repeated key is answered by the stored answer.
    """
    machine = describe_machine()
    say(f"starting the system, {workers} API process(es)")
    with start_stack("--workers", str(workers)) as stack:
        results = measure(
            stack, requests=requests, connections=connections, repeats=repeats, say=say
        )
    return {"machine": machine, "results": results}


def measure(
    stack: Stack,
    *,
    requests: int,
    connections: int,
    repeats: int,
    warm_up: int = WARM_UP_REQUESTS,
    say: Say = lambda _: None,
) -> list[dict[str, Any]]:
    """The lines of ``results``, on a system that runs."""
    warm = asyncio.run(_load(stack, _create, warm_up, connections))
    loads: list[Load] = []
    idle: list[Load] = []
    costs: list[dict[str, float]] = []
    for number in range(1, repeats + 1):
        say(f"repeat {number}: {requests} requests over {connections} connections")
        idle.append(asyncio.run(_load(stack, _healthz, requests, connections)))
        before = stack.cpu_seconds()
        loads.append(asyncio.run(_load(stack, _create, requests, connections)))
        used = spent(before, stack.cpu_seconds())
        costs.append({name: 1000 * each / requests for name, each in used.items()})
    say("checking")
    made = [json.loads(body) for load in [warm, *loads] for body in load.bodies]
    asyncio.run(_check(stack, made))
    return [
        rate(
            f"api_payment_intents_{connections}",
            "requests/s",
            [load.rate for load in loads],
            baselines=[load.rate for load in idle],
        ),
        times(
            f"api_payment_intents_{connections}_latency",
            [each for load in loads for each in load.milliseconds],
            repeats=repeats,
        ),
        cost(
            "api_client_cpu",
            "% of a core",
            [100 * load.client_cpu_seconds / load.seconds for load in loads],
        ),
        *(
            cost(f"api_cpu_{name}", "ms/request", [each.get(name, 0.0) for each in costs])
            for name in ("api", "postgres")
        ),
    ]


async def _load(stack: Stack, ask: Ask, requests: int, connections: int) -> Load:
    """Each connection asks again as soon as it is answered."""
    load = Load()
    left = iter(range(requests))

    async def client() -> None:
        async with Connection(stack.api, stack.headers) as connection:
            for _ in left:
                began = time.perf_counter()
                load.bodies.append(await ask(connection))
                load.milliseconds.append((time.perf_counter() - began) * 1000)

    started, cpu_started = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(connections)))
    load.seconds = time.perf_counter() - started
    load.client_cpu_seconds = time.process_time() - cpu_started
    return load


async def _create(connection: Connection) -> bytes:
    status, _, body = await connection.post(
        "/v1/payment_intents", BODY, idempotency_key=str(uuid.uuid4())
    )
    if status != 200:
        raise WrongResult(f"creating an intent answered {status}: {body.decode()}")
    return body


async def _healthz(connection: Connection) -> bytes:
    status, _, body = await connection.get("/healthz")
    if status != 200:
        raise WrongResult(f"/healthz answered {status}: {body.decode()}")
    return body


async def _check(stack: Stack, made: list[dict[str, Any]]) -> None:
    identifiers = {each["id"] for each in made}
    addresses = {
        place["address"]
        for each in made
        for place in each["next_action"]["crypto_display_details"]["deposit_addresses"].values()
    }
    if not len(made) == len(identifiers) == len(addresses):
        raise WrongResult(f"{len(made)} answers, {len(identifiers)} ids, {len(addresses)} places")
    async with Connection(stack.api, stack.headers) as connection:
        listed = await _list(connection, "/v1/payment_intents?", len(made))
        events = await _list(connection, "/v1/events?type=payment_intent.created&", len(made))
        told = {each["data"]["object"]["id"] for each in events}
        if not identifiers <= {each["id"] for each in listed} or not identifiers <= told:
            raise WrongResult(
                f"{len(made)} intents made, {len(listed)} listed, {len(events)} events"
            )
        await _check_replay(connection)


async def _list(connection: Connection, path: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in range(count // PAGE_MAX + 2):
        after = f"&starting_after={found[-1]['id']}" if found else ""
        status, _, body = await connection.get(f"{path}limit={PAGE_MAX}{after}")
        page = json.loads(body)
        if status != 200:
            raise WrongResult(f"GET {path} answered {status}: {page}")
        found += page["data"]
        if not page["has_more"]:
            break
    return found


async def _check_replay(connection: Connection) -> None:
    key = str(uuid.uuid4())
    answers = [
        await connection.post("/v1/payment_intents", BODY, idempotency_key=key) for _ in range(2)
    ]
    heads = [b"idempotent-replayed: true" in head.lower() for _, head, _ in answers]
    if answers[0][2] != answers[1][2] or heads != [False, True]:
        raise WrongResult("a repeated Idempotency-Key was not answered by the stored answer")
