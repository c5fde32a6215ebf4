"""Rows of ``sakk bench agent``: calls paid by vouchers of x402's ``batch-settlement``.

The service is that of the other rows, behind the same middleware, and so is what is free; a call
is paid for by a voucher in x402's own form. A payer's channels take one call after the other, as
x402's clients do, and each has a connection. The other side's server is its FastAPI middleware with
channels in its own memory, in one worker as ours, settling by our facilitator; it is given the same
requests by the same client. All vouchers are signed before the clock runs. Afterwards what was
charged is what was served, channel by channel, in the ledger.
"""

import asyncio
import base64
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import psycopg
from coincurve import PrivateKey

from sakk.bench.agent_official import READY, is_there
from sakk.bench.agent_server import BARE, FREE, PAID
from sakk.bench.escrow_payer import EscrowPayer
from sakk.bench.figures import WrongResult, cost, rate
from sakk.bench.flood import Flood, flood_each, prepare
from sakk.bench.ledger_http import await_rest
from sakk.bench.service import serving
from sakk.bench.stack import Stack, cpu_seconds, spent
from sakk.core.caip import chain_id
from sakk.core.escrow import ChannelConfig
from sakk.ledger.projection import wait_projected

PRICE: Final = "$0.000001"
PRICE_UNITS: Final = 1
CHANNELS: Final = 64
CALLS: Final = 150
REPEATS: Final = 3
WARM_UP_CALLS: Final = 20
OFFICIAL_CHANNELS: Final = 8
OFFICIAL_CALLS: Final = 40
DEPOSIT_UNITS: Final = 1_000_000
OPEN_SECONDS_MAX: Final = 90.0
CATCH_UP_SECONDS_MAX: Final = 120.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Channels:
    """Open channels of one payer at one server, and how many calls each has paid for."""

    server: str
    payer: EscrowPayer
    offer: dict[str, Any]
    configs: Sequence[ChannelConfig]
    paid: int = 1
    names: list[str] = field(default_factory=list)

    def calls(self, number: int, path: str) -> list[list[bytes]]:
        """So many requests of each channel, in its order."""
        first = self.paid
        self.paid += number
        return [
            [
                self._call(path, self.payer.voucher_payload(config, (first + each) * PRICE_UNITS))
                for each in range(1, number + 1)
            ]
            for config in self.configs
        ]

    def free(self, number: int, path: str) -> list[list[bytes]]:
        """So many of what is free, as long as a paid one is."""
        payload = self.payer.voucher_payload(self.configs[0], DEPOSIT_UNITS)
        return [[self._call(path, payload)] * number for _ in self.configs]

    def _call(self, path: str, payload: dict[str, Any]) -> bytes:
        return prepare(self.server, "GET", path, _header(self.offer, payload))


def _header(offer: dict[str, Any], payload: dict[str, Any]) -> dict[str, str]:
    document = {"x402Version": 2, "accepted": offer, "payload": payload}
    return {"PAYMENT-SIGNATURE": base64.b64encode(json.dumps(document).encode()).decode()}


def measure(
    stack: Stack,
    say: Say,
    *,
    channels: int = CHANNELS,
    calls: int = CALLS,
    repeats: int = REPEATS,
) -> list[dict[str, Any]]:
    """The lines of ``results``; WrongResult unless what was served, and no more, was charged."""
    lines: list[dict[str, Any]] = []
    costs: list[dict[str, float]] = []
    with _service(stack) as server:
        say(f"opening {channels} channels")
        till = asyncio.run(_open(server, PAID, _payer(stack), channels))
        for name, under in (("voucher_relative", ""), ("voucher_relative_bare", BARE)):
            _flood(till.server, till.free(WARM_UP_CALLS, under + FREE))
            _flood(till.server, till.calls(WARM_UP_CALLS, under + PAID))
            paid: list[float] = []
            free: list[float] = []
            for number in range(1, repeats + 1):
                say(f"{name} {number}: {calls * channels} calls free, then paid by voucher")
                requests = till.calls(calls, under + PAID)
                await_rest(stack)
                free.append(_flood(server, till.free(calls, under + FREE)).rate)
                before = cpu_seconds(os.getpid())
                paid.append(_flood(server, requests).rate)
                used = spent(before, cpu_seconds(os.getpid()))
                if not under:
                    costs.append({part: 1e6 * used[part] / (calls * channels) for part in used})
                _catch_up(stack)
            lines.append(rate(name, "requests/s", paid, baselines=free))
        say("checking")
        _check(stack, till)
    official = _official(stack, say)
    ours = [line["median"] for line in lines]
    return [
        *lines,
        *(
            rate(f"voucher_official{suffix}", "requests/s", [each], baselines=official)
            for suffix, each in zip(("", "_bare"), ours, strict=True)
        ),
        *(
            cost(f"voucher_cpu_{part}", "us/call", [each.get(part, 0.0) for each in costs])
            for part in ("ledger", "postgres", "service")
        ),
    ]


def _flood(server: str, streams: Sequence[Sequence[bytes]]) -> Flood:
    return flood_each(server, [iter(each) for each in streams])


def _catch_up(stack: Stack) -> None:
    wait_projected(stack.description["database_url"], seconds_max=CATCH_UP_SECONDS_MAX)


# The services and the payer


@contextmanager
def _service(stack: Stack) -> Iterator[str]:
    environment = {
        "SAKK_BENCH_PRICE": PRICE,
        "SAKK_BENCH_URL": stack.api,
        "SAKK_BENCH_KEY": str(stack.description["secret_key"]),
        "SAKK_BENCH_CHARGES_URL": str(stack.description["ledger"]),
        "SAKK_BENCH_NETWORK": str(stack.network["network"]),
    }
    with serving("sakk.bench.agent_server:make_vouchers", environment, ready=FREE) as url:
        yield url


def _payer(stack: Stack) -> EscrowPayer:
    network = stack.network
    token = next(each for each in network["tokens"] if each["currency"] == "usdc")
    return EscrowPayer(
        key=PrivateKey(bytes.fromhex(network["payer_private_key"][2:])),
        chain=chain_id(network["network"]),
        token=token["contract"].lower(),
        domain=(token["eip712"]["name"], token["eip712"]["version"]),
    )


async def _open(server: str, path: str, payer: EscrowPayer, count: int) -> Channels:
    """So many channels, each by a first call that brings a deposit."""
    async with httpx2.AsyncClient(base_url=server, timeout=OPEN_SECONDS_MAX) as http:
        asked = await http.get(path, headers={"Accept": "application/json"})
        if asked.status_code != 402:
            raise WrongResult(f"unpaid, the service answered {asked.status_code}: {asked.text}")
        challenge = json.loads(base64.b64decode(asked.headers["payment-required"]))
        offer = next(each for each in challenge["accepts"] if each["asset"].lower() == payer.token)
        extra = offer["extra"]
        configs = [
            payer.channel(
                receiver=offer["payTo"],
                authorizer=extra["receiverAuthorizer"],
                delay=extra["withdrawDelay"],
            )
            for _ in range(count)
        ]

        async def deposit(config: ChannelConfig) -> None:
            payload = payer.deposit_payload(config, DEPOSIT_UNITS, PRICE_UNITS)
            answer = await http.get(path, headers=_header(offer, payload))
            if answer.status_code != 200:
                told = answer.headers.get("payment-required", "")
                why = base64.b64decode(told).decode() or answer.text
                raise WrongResult(f"a deposit was answered {answer.status_code}: {why}")

        async with asyncio.TaskGroup() as group:
            for config in configs:
                group.create_task(deposit(config))
    return Channels(server, payer, offer, configs)


def _official(stack: Stack, say: Say) -> list[float]:
    """Calls a second of the other side's server; nothing where it is not installed."""
    if not is_there():
        say("the package x402 is not installed: no baseline")
        return []
    say("the official server")
    network = stack.network["network"]
    environment = {
        "SAKK_BENCH_PRICE": PRICE,
        "SAKK_BENCH_URL": stack.api,
        "SAKK_BENCH_NETWORK": str(network),
        "SAKK_BENCH_PAYEE": STRANGER,
    }
    with serving("sakk.bench.agent_official:make_server", environment, ready=READY) as server:
        till = asyncio.run(_open(server, PAID, _payer(stack), OFFICIAL_CHANNELS))
        _flood(server, till.calls(2, PAID))
        return [_flood(server, till.calls(OFFICIAL_CALLS, PAID)).rate]


# Whoever is paid at the other side's server: nobody here.
STRANGER: Final = "0x" + "5E" * 20


def _check(stack: Stack, till: Channels) -> None:
    """WrongResult unless each served call, and nothing else, was charged, channel by channel."""
    _catch_up(stack)
    with psycopg.connect(str(stack.description["database_url"]), autocommit=True) as database:
        rows = database.execute(
            "SELECT a.debits_posted, a.debits_pending FROM ledger_accounts a"
            " JOIN ledger_account_names n ON n.id = a.id"
            " JOIN escrow_channels c ON n.name LIKE 'channel:' || c.id || '#%'"
        ).fetchall()
    wanted = till.paid * PRICE_UNITS
    found = sorted((int(charged), int(pending)) for charged, pending in rows)
    if found != [(wanted, 0)] * len(till.configs):
        raise WrongResult(f"{till.paid} calls a channel were served, and charged are {found}")
    stack.check()
