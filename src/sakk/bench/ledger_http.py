"""The ledger's door under load: transfers over HTTP, singly and in batches, JSON and records.

Every function works against a running stack and returns what it measured. Bodies are prepared
before the clock starts. Each answer must say that everything in it was created, and afterwards the
accounts' totals must be the sum of what was acknowledged, and ``sakk ledger verify`` must hold.
"""

import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sakk.bench.figures import WrongResult, cost, rate, times
from sakk.bench.flood import Flood, flood, prepare
from sakk.bench.stack import Stack, spent

LEDGER = 700
AMOUNT = 3
ACCOUNTS = 10_000
BATCH_MAX = 8_192
RECORD = struct.Struct("<16s16s16s16s16s16sQQQIHH")
RECORDS = "application/vnd.sakk.ledger-records"
TRANSFERS, LOOKUP = "/v1/ledger/transfers", "/v1/ledger/accounts/lookup"
RESULT_SIZE = 9
CATCH_UP_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.2

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


def run(stack: Stack, *, repeats: int = 5, say: Say = lambda _: None) -> list[dict[str, Any]]:
    """All of the door's figures in one go, verified; lines of ``sakk bench``'s results."""
    target = open_accounts(stack, ACCOUNTS)
    loads: dict[str, list[Flood]] = {}
    costs: list[dict[str, float]] = []
    for number in range(repeats + 1):
        say("warming up" if number == 0 else f"repeat {number}: the door")
        before = stack.cpu_seconds()
        measured = {
            "noop": no_op(target, requests=4_000, connections=64),
            "single": singles(target, requests=6_000, connections=64),
            "json_100": json_batches(target, batch=100, requests=600, connections=8),
            "json_1000": json_batches(target, batch=1_000, requests=150, connections=4),
            "binary_1000": record_batches(target, batch=1_000, requests=300, connections=4),
        }
        if number:
            costs.append(spent(before, stack.cpu_seconds()))
            for name, load in measured.items():
                loads.setdefault(name, []).append(load)
    check(target)
    return _results(loads, costs, repeats)


def _results(
    loads: dict[str, list[Flood]], costs: list[dict[str, float]], repeats: int
) -> list[dict[str, Any]]:
    single = [load.rate for load in loads["single"]]
    latencies = [each for load in loads["single"] for each in load.milliseconds]
    return [
        rate(
            "http_single_64",
            "transfers/s",
            single,
            baselines=[load.rate for load in loads["noop"]],
        ),
        times("http_single_64_latency", latencies, repeats=repeats),
        *(
            rate(
                f"http_{name}",
                "transfers/s",
                [load.rate * int(name.rpartition("_")[2]) for load in loads[name]],
                baselines=single,
            )
            for name in ("json_100", "json_1000", "binary_1000")
        ),
        *(
            cost(f"http_cpu_{name}", "s/repeat", [each.get(name, 0.0) for each in costs])
            for name in ("api", "ledger", "postgres")
        ),
    ]


def open_accounts(stack: Stack, count: int) -> Target:
    """New accounts in a ledger of the operator's own."""
    target = Target(stack, [new_id() for _ in range(count)])
    requests = [
        _post(target, "/v1/ledger/accounts", {"accounts": [_account(each) for each in part]})
        for part in _parts(target.accounts)
    ]
    _flood(target, iter(requests), 1, _expect(b'"created"', min(count, BATCH_MAX), at_most=True))
    return target


def no_op(target: Target, *, requests: int, connections: int) -> Flood:
    """The server's own route that does nothing, by the same client."""
    request = prepare(target.stack.api, "GET", "/healthz", target.headers)
    return _flood(target, (request for _ in range(requests)), connections, _expect(b'"ok"', 1))


def singles(target: Target, *, requests: int, connections: int) -> Flood:
    """One transfer a request."""
    made = [_post(target, TRANSFERS, _transfer(target)) for _ in range(requests)]
    target.transfers += requests
    return _flood(target, iter(made), connections, _expect(b'"created"', 1))


def json_batches(target: Target, *, batch: int, requests: int, connections: int) -> Flood:
    """Batches in JSON."""
    made = [
        _post(target, TRANSFERS, {"transfers": [_transfer(target) for _ in range(batch)]})
        for _ in range(requests)
    ]
    target.transfers += requests * batch
    return _flood(target, iter(made), connections, _expect(b'"created"', batch))


def record_batches(target: Target, *, batch: int, requests: int, connections: int) -> Flood:
    """Batches in records of 128 bytes."""
    headers = target.headers | {"Content-Type": RECORDS}
    made = [
        prepare(
            target.stack.api,
            "POST",
            TRANSFERS,
            headers,
            b"".join([_record(target) for _ in range(batch)]),
        )
        for _ in range(requests)
    ]
    target.transfers += requests * batch

    def all_created(body: bytes) -> None:
        if len(body) != RESULT_SIZE * batch or any(body[8 * batch :]):
            raise WrongResult("a batch of records was not created whole")

    return _flood(target, iter(made), connections, all_created)


def check(target: Target) -> None:
    """WrongResult unless each acknowledged transfer stands in the totals once, on both sides."""
    totals = [0, 0]

    def add(body: bytes) -> None:
        for account in json.loads(body)["data"]:
            totals[0] += account["debits_posted"]
            totals[1] += account["credits_posted"]

    requests = [
        _post(target, LOOKUP, {"ids": [each.hex() for each in part]})
        for part in _parts(target.accounts)
    ]
    _flood(target, iter(requests), 1, add)
    wanted = AMOUNT * target.transfers
    if totals != [wanted, wanted]:
        raise WrongResult(f"{target.transfers} transfers acknowledged, totals are {totals}")
    await_projection(target)
    target.stack.check()


def await_projection(target: Target) -> float:
    """Wait until the rows have caught up with the ledger; the seconds that it took."""
    began = time.monotonic()
    last: list[int] = []
    request = _post(target, "/v1/ledger/accounts", _account(new_id()))
    _flood(target, iter([request]), 1, lambda body: last.append(json.loads(body)["timestamp"]))
    path = f"/v1/ledger/accounts/{target.accounts[0].hex()}/balance"
    look = prepare(target.stack.api, "GET", path, target.headers)
    reached: list[int] = [0]
    while reached[0] < last[0]:
        if time.monotonic() - began > CATCH_UP_SECONDS_MAX:
            raise WrongResult(f"the projection trails by {last[0] - reached[0]} ns")
        time.sleep(LOOK_SECONDS)
        _flood(target, iter([look]), 1, lambda body: reached.append(json.loads(body)["as_of"]))
        del reached[0]
    return time.monotonic() - began


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


def _post(target: Target, path: str, document: dict[str, Any]) -> bytes:
    body = json.dumps(document, separators=(",", ":")).encode()
    return prepare(target.stack.api, "POST", path, target.headers, body)


def _flood(
    target: Target, requests: Iterator[bytes], connections: int, answered: Callable[[bytes], None]
) -> Flood:
    return flood(target.stack.api, requests, connections=connections, answered=answered)


def _expect(word: bytes, count: int, *, at_most: bool = False) -> Callable[[bytes], None]:
    def answered(body: bytes) -> None:
        found = body.count(word)
        if found != count and not (at_most and 0 < found < count):
            raise WrongResult(f"{count} times {word!r} expected, {found} found: {body[:300]!r}")

    return answered
