"""The ledger's door under load: transfers over HTTP, singly and in batches, JSON and records.

Every function works against a running stack and returns what it measured. Bodies are prepared
before the clock starts. Each answer must say that everything in it was created, and afterwards the
accounts' totals must be the sum of what was acknowledged, and ``sakk ledger verify`` must hold.
"""

import json
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sakk.bench.figures import WrongResult, cost, rate, times
from sakk.bench.flood import Flood, flood, prepare
from sakk.bench.stack import Stack, spent
from sakk.ledger.projection import lag, wait_projected

LEDGER = 700
AMOUNT = 3
ACCOUNTS = 10_000
BATCH_MAX = 8_192
RECORD = struct.Struct("<16s16s16s16s16s16sQQQIHH")
RECORDS = "application/vnd.sakk.ledger-records"
TRANSFERS, LOOKUP = "/v1/ledger/transfers", "/v1/ledger/accounts/lookup"
RESULT_SIZE = 9
CATCH_UP_SECONDS_MAX = 120.0
# PostgreSQL is at rest when it uses less than this share of a core.
REST_SHARE_MAX = 0.1
REST_LOOK_SECONDS = 0.4
REST_SECONDS_MAX = 8.0
SINGLE = ("noop", "single")
BATCHES = ("json_100", "json_1000", "binary_1000")

Say = Callable[[str], None]


@dataclass(slots=True)
class Target:
    """A stack with accounts to move money between, and how much was acknowledged so far."""

    stack: Stack
    accounts: list[bytes]
    transfers: int = 0
    _next: int = field(default=0)

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.stack.description['operator_key']}",
            "Content-Type": "application/json",
        }

    def pair(self) -> tuple[bytes, bytes]:
        """The next two accounts, all in turn."""
        self._next += 1
        count = len(self.accounts)
        return self.accounts[self._next % count], self.accounts[(7 * self._next + 1) % count]


@dataclass(frozen=True, slots=True)
class Door:
    """A way to the ledger. ``nothing``: method and path of its own no-op, which is asked with the
    key and the body of a posting. ``loads``: what it is asked for."""

    prefix: str
    address: str
    nothing: tuple[str, str]
    loads: Sequence[str]


@dataclass(frozen=True, slots=True)
class Load:
    """What one door was asked in one repeat."""

    door: Door
    name: str
    batch: int
    flood: Flood
    cpu: dict[str, float]
    # Seconds from the last answer until its rows were written, and how far they trailed then.
    rows_seconds: float
    rows_behind: int

    @property
    def transfers(self) -> int:
        return len(self.flood.milliseconds) * self.batch


def doors(stack: Stack) -> tuple[Door, Door]:
    """The ledger's own, and the API's."""
    return (
        Door("http", stack.description["ledger"], ("OPTIONS", TRANSFERS), (*SINGLE, *BATCHES)),
        Door("http_api", stack.api, ("GET", "/healthz"), (*SINGLE, BATCHES[-1])),
    )


def run(stack: Stack, *, repeats: int = 5, say: Say = lambda _: None) -> list[dict[str, Any]]:
    """Both doors' figures in one go, verified; lines of ``sakk bench``'s results.

    Each load begins when the rows of the one before it are written and PostgreSQL is at rest, so
    that none is slowed by another's.
    """
    target = open_accounts(stack, ACCOUNTS)
    loads: list[Load] = []
    for number in range(repeats + 1):
        for door in doors(stack):
            say("warming up" if number == 0 else f"repeat {number}: {door.prefix}")
            done = list(_loads(target, door, door.loads if number else SINGLE))
            loads += done if number else []
    check(target)
    return [line for door in doors(stack) for line in _results(door, loads)]


def _loads(target: Target, door: Door, names: Sequence[str]) -> Iterator[Load]:
    plan: tuple[tuple[str, int, Callable[[], Flood]], ...] = (
        ("noop", 1, lambda: no_op(target, door, requests=8_000, connections=64)),
        ("single", 1, lambda: singles(target, door, requests=10_000, connections=64)),
        ("json_100", 100, lambda: json_batches(target, door, 100, requests=400, connections=8)),
        ("json_1000", 1_000, lambda: json_batches(target, door, 1_000, requests=100)),
        ("binary_1000", 1_000, lambda: record_batches(target, door, 1_000, requests=200)),
    )
    for name, batch, flooded in plan:
        if name not in names:
            continue
        before = target.stack.cpu_seconds()
        flood = flooded()
        cpu = spent(before, target.stack.cpu_seconds())
        behind = lag(target.stack.description["database_url"]).events
        yield Load(door, name, batch, flood, cpu, await_projection(target), behind)
        await_rest(target.stack)


def _results(door: Door, loads: list[Load]) -> list[dict[str, Any]]:
    by_name: dict[str, list[Load]] = {}
    for load in loads:
        if load.door == door:
            by_name.setdefault(load.name, []).append(load)
    repeats = len(by_name["single"])
    rates = {
        name: [load.transfers / load.flood.seconds for load in found]
        for name, found in by_name.items()
    }
    binary = by_name["binary_1000"]
    return [
        rate(f"{door.prefix}_noop_64", "requests/s", rates["noop"]),
        rate(f"{door.prefix}_single_64", "transfers/s", rates["single"], baselines=rates["noop"]),
        times(
            f"{door.prefix}_single_64_latency",
            [each for load in by_name["single"] for each in load.flood.milliseconds],
            repeats=repeats,
        ),
        *(
            rate(f"{door.prefix}_{name}", "transfers/s", rates[name], baselines=rates["single"])
            for name in BATCHES
            if name in rates
        ),
        rate(
            f"{door.prefix}_binary_1000_with_rows",
            "transfers/s",
            [load.transfers / (load.flood.seconds + load.rows_seconds) for load in binary],
            baselines=rates["binary_1000"],
        ),
        cost(
            f"{door.prefix}_binary_1000_rows_behind",
            "transfers",
            [float(load.rows_behind) for load in binary],
        ),
        *(
            cost(
                f"{door.prefix}_{name}_cpu_{part}",
                "us/transfer",
                [1e6 * _cpu(load, part) / load.transfers for load in by_name[name]],
            )
            for name in ("single", "binary_1000")
            for part in ("api", "ledger", "postgres", "client")
        ),
    ]


def _cpu(load: Load, part: str) -> float:
    """CPU seconds of a part of the stack, or of this process."""
    return load.flood.client_cpu_seconds if part == "client" else load.cpu.get(part, 0.0)


def open_accounts(stack: Stack, count: int) -> Target:
    """New accounts in a ledger of the operator's own."""
    target = Target(stack, [new_id() for _ in range(count)])
    requests = [
        _post(
            target,
            stack.api,
            "/v1/ledger/accounts",
            {"accounts": [_account(each) for each in part]},
        )
        for part in _parts(target.accounts)
    ]
    answered = _expect(b'"created"', min(count, BATCH_MAX), at_most=True)
    flood(stack.api, iter(requests), connections=1, answered=answered)
    return target


def no_op(target: Target, door: Door, *, requests: int, connections: int) -> Flood:
    """The server's own route that does nothing, by the same client with the same bytes."""
    method, path = door.nothing
    body = _json(_transfer(target))
    request = prepare(door.address, method, path, target.headers, body)
    return flood(door.address, (request for _ in range(requests)), connections=connections)


def singles(target: Target, door: Door, *, requests: int, connections: int) -> Flood:
    """One transfer a request."""
    made = [_post(target, door.address, TRANSFERS, _transfer(target)) for _ in range(requests)]
    target.transfers += requests
    answered = _expect(b'"created"', 1)
    return flood(door.address, iter(made), connections=connections, answered=answered)


def json_batches(
    target: Target, door: Door, batch: int, *, requests: int, connections: int = 4
) -> Flood:
    """Batches in JSON."""
    made = [
        _post(
            target,
            door.address,
            TRANSFERS,
            {"transfers": [_transfer(target) for _ in range(batch)]},
        )
        for _ in range(requests)
    ]
    target.transfers += requests * batch
    answered = _expect(b'"created"', batch)
    return flood(door.address, iter(made), connections=connections, answered=answered)


def record_batches(
    target: Target, door: Door, batch: int, *, requests: int, connections: int = 4
) -> Flood:
    """Batches in records of 128 bytes."""
    headers = target.headers | {"Content-Type": RECORDS}
    made = [
        prepare(
            door.address,
            "POST",
            TRANSFERS,
            headers,
            b"".join([_record(target) for _ in range(batch)]),
        )
        for _ in range(requests)
    ]
    target.transfers += requests * batch
    created = bytes(batch)

    def all_created(body: bytes) -> None:
        if len(body) != RESULT_SIZE * batch or body[8 * batch :] != created:
            raise WrongResult("a batch of records was not created whole")

    return flood(door.address, iter(made), connections=connections, answered=all_created)


def check(target: Target) -> None:
    """WrongResult unless each acknowledged transfer stands in the totals once, on both sides."""
    totals = [0, 0]

    def add(body: bytes) -> None:
        for account in json.loads(body)["data"]:
            totals[0] += account["debits_posted"]
            totals[1] += account["credits_posted"]

    requests = [
        _post(target, target.stack.api, LOOKUP, {"ids": [each.hex() for each in part]})
        for part in _parts(target.accounts)
    ]
    flood(target.stack.api, iter(requests), connections=1, answered=add)
    wanted = AMOUNT * target.transfers
    if totals != [wanted, wanted]:
        raise WrongResult(f"{target.transfers} transfers acknowledged, totals are {totals}")
    await_projection(target)
    target.stack.check()


def await_projection(target: Target) -> float:
    """Wait until the rows have caught up with the ledger; the seconds that it took."""
    began = time.monotonic()
    wait_projected(target.stack.description["database_url"], seconds_max=CATCH_UP_SECONDS_MAX)
    return time.monotonic() - began


def await_rest(stack: Stack) -> None:
    """Wait until PostgreSQL has cleaned up behind many rows (vacuum, checkpoint), or for a time."""
    deadline = time.monotonic() + REST_SECONDS_MAX
    used = stack.cpu_seconds().get("postgres", 0.0)
    while time.monotonic() < deadline:
        time.sleep(REST_LOOK_SECONDS)
        before, used = used, stack.cpu_seconds().get("postgres", 0.0)
        if used - before < REST_LOOK_SECONDS * REST_SHARE_MAX:
            return


def new_id() -> bytes:
    """A random UUID (version 4) as bytes."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def _account(identifier: bytes) -> dict[str, Any]:
    return {"id": identifier.hex(), "ledger": LEDGER, "code": 1}


def _transfer(target: Target) -> dict[str, Any]:
    debit, credit = target.pair()
    return {
        "id": new_id().hex(),
        "debit_account_id": debit.hex(),
        "credit_account_id": credit.hex(),
        "amount": AMOUNT,
        "ledger": LEDGER,
        "code": 1,
    }


def _record(target: Target) -> bytes:
    debit, credit = target.pair()
    amount = AMOUNT.to_bytes(16, "little")
    return RECORD.pack(new_id(), debit, credit, amount, bytes(16), bytes(16), LEDGER, 0, 0, 0, 1, 0)


def _parts(accounts: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(accounts), BATCH_MAX):
        yield accounts[start : start + BATCH_MAX]


def _post(target: Target, address: str, path: str, document: dict[str, Any]) -> bytes:
    return prepare(address, "POST", path, target.headers, _json(document))


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _expect(word: bytes, count: int, *, at_most: bool = False) -> Callable[[bytes], None]:
    def answered(body: bytes) -> None:
        found = body.count(word)
        if found != count and not (at_most and 0 < found < count):
            raise WrongResult(f"{count} times {word!r} expected, {found} found: {body[:300]!r}")

    return answered
