"""Rows of ``sakk bench agent``: payments by x402's ``exact``, on a chain of two-second blocks.

Sixteen sellers verify and settle as others' servers do, each for many buyers at once: a block comes
every two seconds, so one call after the other could never be more than eight a second. Payments are
signed before the clock runs. Afterwards the merchant has what was settled, once, in the ledger and
on the chain. The baseline is the other side's asynchronous facilitator on the same chain, asked the
same by the same clients; it settles one payment a block at best, so it gets a few.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from coincurve import PrivateKey

from sakk.bench.agent_official import is_there, official_facilitator
from sakk.bench.figures import WrongResult, cost, rate, times
from sakk.bench.http import Connection
from sakk.bench.stack import Stack, spent, start_stack
from sakk.core import eip3009, evm
from sakk.core.caip import chain_id
from sakk.core.eip3009 import Authorization
from sakk.rails.sandbox.rpc import LocalRpc

CLIENTS = 16
CALLS_EACH = 24
ROUNDS = 3
PAYMENTS = 1_152
UNITS = 1
BLOCK_SECONDS = 2
NETWORK_OPTIONS = ("--networks", "1", "--block-time", str(BLOCK_SECONDS))
VALID_SECONDS = 3_600
BASELINE_PAYMENTS = 6
# Whoever is paid in the baseline: nobody here.
STRANGER = "0x" + "5e" * 20
POSTED_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.1

Say = Callable[[str], None]


def measure(say: Say, *, payments: int = PAYMENTS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """The lines of ``results``: payments a second, what each costs, how long each takes."""
    rates: list[float] = []
    cpu: list[float] = []
    gas: list[float] = []
    took: list[float] = []
    with start_stack(*NETWORK_OPTIONS) as stack:
        pay_to = asyncio.run(_receiving_address(stack))
        nonces = itertools.count(1)
        # One of each kind of question is asked before the clock runs.
        first = _signed(stack, pay_to, nonces, 1)
        asyncio.run(_sell(stack.api, stack.headers, first, clients=1))
        for number in range(1, rounds + 1):
            messages = _signed(stack, pay_to, nonces, payments)
            say(f"round {number}: {payments} payments, {CLIENTS} clients")
            before, began = stack.cpu_seconds(), time.perf_counter()
            receipts = asyncio.run(_sell(stack.api, stack.headers, messages, clients=CLIENTS))
            seconds = time.perf_counter() - began
            rates.append(payments / seconds)
            used = spent(before, stack.cpu_seconds())
            cpu.append(sum(used[name] for name in used if name != "anvil") * 1_000 / payments)
            took += [milliseconds for milliseconds, _ in receipts]
            hashes = {each for _, each in receipts}
            gas.append(_gas(stack, hashes) / payments)
            say(f"{rates[-1]:.0f} payments a second in {len(hashes)} transactions")
        say("checking")
        _check(stack, payments * rounds + 1)
        baselines = _official(stack, nonces, say)
    return [
        rate("exact_settled", "payments/s", rates, baselines=baselines),
        times("exact_latency", took, repeats=len(took)),
        cost("exact_cpu", "ms/payment", cpu),
        cost("exact_gas", "gas/payment", gas),
    ]


async def _receiving_address(stack: Stack) -> str:
    async with Connection(stack.api, stack.headers) as connection:
        body = json.dumps({"network": stack.network["network"]}).encode()
        status, _, answer = await connection.post("/v1/receiving_addresses", body)
    if status != 200:
        raise WrongResult(f"POST /v1/receiving_addresses answered {status}: {answer.decode()}")
    return str(json.loads(answer)["address"])


def _signed(stack: Stack, pay_to: str, nonces: "itertools.count[int]", count: int) -> list[bytes]:
    """Bodies of verify and settle for so many payments of the payer's, each with a fresh nonce."""
    network = stack.network
    token = next(each for each in network["tokens"] if each["currency"] == "usdc")
    key = PrivateKey(bytes.fromhex(network["payer_private_key"][2:]))
    payer = evm.public_key_address(key.public_key.format(compressed=False))
    domain = token["eip712"]
    separator = eip3009.domain_separator(
        domain["name"],
        domain["version"],
        chain_id(network["network"]),
        token["contract"].lower(),
    )
    wanted = {
        "scheme": "exact",
        "network": network["network"],
        "asset": token["contract"],
        "amount": str(UNITS),
        "payTo": evm.checksum_address(pay_to.lower()),
        "maxTimeoutSeconds": VALID_SECONDS,
        "extra": domain,
    }
    until = int(time.time()) + VALID_SECONDS
    bodies = []
    for nonce in itertools.islice(nonces, count):
        authorization = Authorization(
            payer, pay_to.lower(), UNITS, 0, until, nonce.to_bytes(32, "big")
        )
        compact = key.sign_recoverable(eip3009.digest(authorization, separator), hasher=None)
        signature = compact[:64] + bytes([27 + compact[64]])
        payload = {
            "signature": "0x" + signature.hex(),
            "authorization": {
                "from": evm.checksum_address(payer),
                "to": evm.checksum_address(pay_to.lower()),
                "value": str(UNITS),
                "validAfter": "0",
                "validBefore": str(until),
                "nonce": "0x" + authorization.nonce.hex(),
            },
        }
        payment = {"x402Version": 2, "accepted": wanted, "payload": payload}
        message = {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": wanted}
        bodies.append(json.dumps(message).encode())
    return bodies


async def _sell(
    url: str, headers: dict[str, str], messages: Sequence[bytes], *, clients: int
) -> list[tuple[float, str]]:
    """Verify and settle every payment; milliseconds from verify to success, and the hash."""
    waiting = list(reversed(messages))
    receipts: list[tuple[float, str]] = []

    async def call() -> None:
        async with Connection(url, headers) as connection:
            while waiting:
                body = waiting.pop()
                began = time.perf_counter()
                good = await _ask(connection, "/x402/verify", body)
                if not good["isValid"]:
                    raise WrongResult(f"a good payment is not valid: {good}")
                told = await _ask(connection, "/x402/settle", body)
                if not told["success"]:
                    raise WrongResult(f"a good payment was not settled: {told}")
                receipts.append(((time.perf_counter() - began) * 1_000, told["transaction"]))

    async with asyncio.TaskGroup() as group:
        for _ in range(clients * CALLS_EACH):
            group.create_task(call())
    return receipts


def _official(stack: Stack, nonces: "itertools.count[int]", say: Say) -> list[float]:
    """Payments a second of the other side's facilitator; nothing where it is not installed."""
    if not is_there():
        say("the package x402 is not installed: no baseline")
        return []
    network = stack.network
    say(f"the official facilitator: {BASELINE_PAYMENTS} payments")
    with official_facilitator(network["rpc"], network["network"]) as url:
        asyncio.run(_sell(url, {}, _signed(stack, STRANGER, nonces, 1), clients=1))
        messages = _signed(stack, STRANGER, nonces, BASELINE_PAYMENTS)
        began = time.perf_counter()
        asyncio.run(_sell(url, {}, messages, clients=CLIENTS))
        return [BASELINE_PAYMENTS / (time.perf_counter() - began)]


async def _ask(connection: Connection, path: str, body: bytes) -> dict[str, Any]:
    status, _, answer = await connection.post(path, body)
    if status != 200:
        raise WrongResult(f"POST {path} answered {status}: {answer.decode()}")
    document: dict[str, Any] = json.loads(answer)
    return document


def _gas(stack: Stack, hashes: set[str]) -> int:
    """What the transactions used, by their receipts."""
    rpc = LocalRpc(stack.network["rpc"])
    try:
        receipts = rpc.batch([("eth_getTransactionReceipt", [each]) for each in sorted(hashes)])
    finally:
        rpc.close()
    if any(each["status"] != "0x1" for each in receipts):
        raise WrongResult("a transaction reverted")
    return sum(int(each["gasUsed"], 16) for each in receipts)


def _check(stack: Stack, payments: int) -> None:
    """What was settled is on the balance once, payment for payment; ledger and chain agree."""
    deadline = time.monotonic() + POSTED_SECONDS_MAX
    with psycopg.connect(str(stack.description["database_url"]), autocommit=True) as database:
        while True:
            row = database.execute(
                "SELECT count(*), sum(p.token_amount), bool_and(x.status = 'posted')"
                " FROM x402_payments x JOIN payins p ON p.network = x.network"
                " AND p.tx_hash = x.tx_hash AND p.log_index = x.log_index"
                " AND p.status = 'posted'"
            ).fetchone()
            if row is not None and row[0] == payments and row[2]:
                break
            if time.monotonic() > deadline:
                raise WrongResult(f"{payments} payments were settled, and the rows say {row}")
            time.sleep(LOOK_SECONDS)
    if int(row[1]) != payments * UNITS:
        raise WrongResult(f"{payments} payments are worth {row[1]} units")
    stack.check()
