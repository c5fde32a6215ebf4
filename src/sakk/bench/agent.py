"""``sakk bench agent``: HTTP 402 against the same server, worker and middleware unpaid.

A sandbox of its own is the authority, with everything durable before a call is served; a granian
worker with `sakk.paywall` sells one small answer, of a route of FastAPI and of a bare ASGI function
that does nothing else. Half of the floods ask for what is free, the others for what is paid for by
session, a MAC each, prepared before the clock starts. Afterwards
what was charged is what was served, to the unit, on the channel, on the payee's balance and in the
receipts, and ``sakk ledger verify`` holds. Payments on chain are measured apart, in
`sakk.bench.agent_exact`, and the gas of channels in `sakk.bench.agent_gas`.
"""

import base64
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import httpx2

from sakk.bench import agent_exact, agent_gas, agent_voucher
from sakk.bench.agent_server import BARE, FREE, PAID
from sakk.bench.figures import WrongResult, cost, percentile, rate
from sakk.bench.flood import Flood, flood, paced, prepare
from sakk.bench.ledger_http import await_rest
from sakk.bench.machine import describe_machine
from sakk.bench.service import serving
from sakk.bench.stack import Stack, cpu_seconds, spent, start_stack
from sakk.client.receipt import check_export
from sakk.client.session import call_mac, request_hash
from sakk.ledger.projection import wait_projected
from sakk.rails.sandbox.wallet import Wallet

PRICE: Final = "$0.000001"
PRICE_UNITS: Final = 1
REQUESTS: Final = 20_000
PACED_REQUESTS: Final = 10_000
CONNECTIONS: Final = 64
# And who pays more at a time, since they share more writes.
MANY_CONNECTIONS: Final = 256
REPEATS: Final = 5
WARM_UP_REQUESTS: Final = 2_000
FUNDS_CENTS: Final = 1_000
READY_SECONDS_MAX: Final = 60.0
CATCH_UP_SECONDS_MAX: Final = 120.0

# Rows of rates: name, under which path, over how many connections.
FLOODS: Final = (
    ("session_relative", "", CONNECTIONS),
    ("session_relative_many", "", MANY_CONNECTIONS),
    ("session_relative_bare", BARE, CONNECTIONS),
)
# Rows of CPU time: name, part of the system, and of which floods.
CPU: Final = (
    ("ledger", "ledger", "session_relative"),
    ("postgres", "postgres", "session_relative"),
    ("service", "service", "session_relative"),
    ("service_unpaid", "service", "session_relative_unpaid"),
)
# What can be measured alone: rows of one name, by the word that they begin with.
PARTS: Final = ("session", "voucher", "exact", "gas")

Say = Callable[[str], None]


@dataclass(slots=True)
class Buyer:
    """A session at the authority, and what it paid so far."""

    stack: Stack
    http: httpx2.Client
    server: str
    payee: str
    payee_key: str
    channel: str
    session: str
    key: bytes
    accepted: dict[str, Any]
    nonces: Iterator[int]
    paid: int = 0

    def calls(self, number: int, under: str = "") -> list[bytes]:
        """So many requests of the paid path, each with its own MAC."""
        self.paid += number
        path = under + PAID
        return [self._call(path, next(self.nonces)) for _ in range(number)]

    def free(self, number: int, under: str = "") -> list[bytes]:
        """So many of the free one, as long as a paid one is."""
        header = {"PAYMENT-SIGNATURE": self._header(under + FREE, 1 << 40)}
        return [prepare(self.server, "GET", under + FREE, header)] * number

    def _call(self, path: str, nonce: int) -> bytes:
        header = {"PAYMENT-SIGNATURE": self._header(path, nonce)}
        return prepare(self.server, "GET", path, header)

    def _header(self, path: str, nonce: int) -> str:
        mac = call_mac(
            self.key,
            self.session,
            nonce=nonce,
            amount=PRICE_UNITS,
            payee=self.payee,
            request=request_hash("GET", path),
        )
        document = {
            "x402Version": 2,
            "scheme": "session",
            "network": self.accepted["network"],
            "accepted": self.accepted,
            "payload": {
                "session": self.session,
                "nonce": str(nonce),
                "amount": str(PRICE_UNITS),
                "mac": mac.hex(),
            },
        }
        return base64.b64encode(json.dumps(document).encode()).decode()


def run(*, say: Say = lambda _: None, only: Collection[str] = PARTS) -> dict[str, Any]:
    """Measure; the result is an object of ``sakk bench``'s shape. WrongResult as `measure`.

    ``only``: which of ``PARTS``.
    """
    machine = describe_machine()
    results: list[dict[str, Any]] = []
    if "session" in only or "voucher" in only:
        say("starting the authority and the service")
        with start_stack("--no-sweep", "--networks", "1") as stack:
            if "session" in only:
                results += measure(stack, say=say)
            if "voucher" in only:
                say("channels in the escrow")
                results += agent_voucher.measure(stack, say)
    if "exact" in only:
        say("coins on chain: a chain of two-second blocks")
        results += agent_exact.measure(say)
    if "gas" in only:
        results += agent_gas.measure(say)
    return {"machine": machine, "results": results}


def measure(
    stack: Stack,
    *,
    requests: int = REQUESTS,
    paced_requests: int = PACED_REQUESTS,
    repeats: int = REPEATS,
    warm_up: int = WARM_UP_REQUESTS,
    say: Say = lambda _: None,
) -> list[dict[str, Any]]:
    """The lines of ``results``; WrongResult unless what was served, and no more, was charged."""
    relative: list[dict[str, Any]] = []
    costs: dict[str, list[dict[str, float]]] = defaultdict(list)
    with _buyer(stack) as buyer:
        for name, under, connections in FLOODS:
            _flood(buyer, buyer.free(warm_up, under), connections)
            _flood(buyer, buyer.calls(warm_up, under), connections)
            paid: list[float] = []
            free: list[float] = []
            for number in range(1, repeats + 1):
                say(f"{name} {number}: {requests} calls free, then paid, over {connections}")
                calls, unpaid = buyer.calls(requests, under), buyer.free(requests, under)
                await_rest(stack)
                used, took = _cost(buyer, unpaid, connections)
                free.append(took.rate)
                costs[f"{name}_unpaid"].append(used)
                used, took = _cost(buyer, calls, connections)
                paid.append(took.rate)
                costs[name].append(used)
                _catch_up(stack)
            relative.append(rate(name, "requests/s", paid, baselines=free))
        half = relative[0]["median"] / 2
        say(f"at half load: {paced_requests} calls at {half:.0f} a second")
        added = _added(buyer, paced_requests, half)
        say("checking")
        _check(buyer)
    return [
        *relative,
        *added,
        cost("smallest_price", "units of 1e-6 usdc", [float(PRICE_UNITS)]),
        *(
            cost(f"session_cpu_{name}", "us/call", [each.get(part, 0.0) for each in costs[of]])
            for name, part, of in CPU
        ),
    ]


def _cost(buyer: Buyer, calls: list[bytes], connections: int) -> tuple[dict[str, float], Flood]:
    """Microseconds of CPU a call by part, and the flood."""
    before = cpu_seconds(os.getpid())
    took = _flood(buyer, calls, connections)
    used = spent(before, cpu_seconds(os.getpid()))
    return {part: 1e6 * each / len(calls) for part, each in used.items()}, took


def _flood(buyer: Buyer, calls: list[bytes], connections: int) -> Flood:
    return flood(buyer.server, iter(calls), connections=connections)


def _added(buyer: Buyer, requests: int, per_second: float) -> list[dict[str, Any]]:
    """What a paid call takes longer than a free one, at the same even pace."""
    calls = buyer.calls(requests)
    await_rest(buyer.stack)
    free = paced(buyer.server, buyer.free(requests), connections=CONNECTIONS, per_second=per_second)
    paid = paced(buyer.server, calls, connections=CONNECTIONS, per_second=per_second)
    _catch_up(buyer.stack)
    more = {
        percent: percentile(paid.milliseconds, percent) - percentile(free.milliseconds, percent)
        for percent in (50, 99)
    }
    line = cost("session_latency", "ms added", [max(more[50], 0.0)])
    return [line | {"p99": round(more[99], 2)}]


# The authority, the service and the buyer


@contextmanager
def _buyer(stack: Stack) -> Iterator[Buyer]:
    operator = str(stack.description["operator_key"])
    with httpx2.Client(base_url=stack.api, timeout=60) as http:
        account = _post(http, operator, "/v1/accounts", {"business_profile": {"name": "Seller"}})
        key = _post(http, operator, "/v1/api_keys", {"kind": "secret"}, account=account["id"])[
            "secret"
        ]
        payer = str(stack.description["secret_key"])
        _fund(stack, http)
        channel = _post(
            http,
            payer,
            "/v1/channels",
            {"payee": account["id"], "currency": "usdc", "amount": FUNDS_CENTS * 5_000},
        )
        session = _post(http, payer, f"/v1/channels/{channel['id']}/sessions", {})
        with _service(stack, account["id"], key, _network(http)) as server:
            asked = httpx2.get(server + PAID, headers={"Accept": "application/json"})
            if asked.status_code != 402:
                raise WrongResult(f"unpaid, the service answered {asked.status_code}: {asked.text}")
            challenge = json.loads(base64.b64decode(asked.headers["payment-required"]))
            yield Buyer(
                stack=stack,
                http=http,
                server=server,
                payee=account["id"],
                payee_key=key,
                channel=channel["id"],
                session=session["id"],
                key=base64.urlsafe_b64decode(session["key"] + "="),
                accepted=challenge["accepts"][0],
                nonces=count(),
            )


@contextmanager
def _service(stack: Stack, payee: str, key: str, network: str) -> Iterator[str]:
    """The paid service in one worker of granian, until the block ends."""
    environment = {
        "SAKK_BENCH_PRICE": PRICE,
        "SAKK_BENCH_URL": stack.api,
        "SAKK_BENCH_KEY": key,
        "SAKK_BENCH_PAYEE": payee,
        "SAKK_BENCH_NETWORK": network,
        "SAKK_BENCH_CHARGES_URL": str(stack.description["ledger"]),
    }
    with serving("sakk.bench.agent_server:make", environment, ready=FREE) as url:
        yield url


def _network(http: httpx2.Client) -> str:
    return str(_told(http.get("/x402/sessions"))["network"])


def _fund(stack: Stack, http: httpx2.Client) -> None:
    """Give the payer a balance by a payment."""
    key = str(stack.description["secret_key"])
    intent = _post(http, key, "/v1/payment_intents", {"amount": FUNDS_CENTS, "currency": "usd"})
    details = intent["next_action"]["crypto_display_details"]["deposit_addresses"]
    place = details[stack.network["network"]]
    [token] = [each for each in place["supported_tokens"] if each["token_currency"] == "usdc"]
    with Wallet(stack.network["rpc"], stack.network["payer_private_key"]) as wallet:
        wallet.transfer(token["token_contract_address"], place["address"], int(token["amount"]))
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        found = _get(http, key, f"/v1/payment_intents/{intent['id']}")
        if found["status"] == "succeeded":
            return
        time.sleep(0.2)
    raise WrongResult("the payer's payment did not become final")


# What was charged


def _check(buyer: Buyer) -> None:
    """WrongResult unless each served call, and nothing else, was charged, on every record."""
    _catch_up(buyer.stack)
    wanted = buyer.paid * PRICE_UNITS
    deadline = time.monotonic() + READY_SECONDS_MAX
    while (revenue := _revenue(buyer)) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    payer = str(buyer.stack.description["secret_key"])
    path = f"/v1/channels/{buyer.channel}"
    closed = _post(buyer.http, payer, f"{path}/close", {})
    while closed["status"] != "closed" or closed["charges"] < buyer.paid:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
        closed = _get(buyer.http, payer, path)
    found = (revenue, closed["charges"], closed["spent"], closed["funded"] - closed["returned"])
    if found != (wanted, buyer.paid, wanted, wanted):
        raise WrongResult(f"{buyer.paid} calls were served, and charged are {found}")
    answer = buyer.http.get(f"{path}/receipts", headers={"Authorization": f"Bearer {payer}"})
    report = check_export(answer.content.decode().splitlines())
    if report.breaks or (report.charges, report.spent) != (buyer.paid, wanted):
        raise WrongResult(f"the receipts do not prove it: {report}")
    buyer.stack.check()


def _revenue(buyer: Buyer) -> int:
    balance = _get(buyer.http, buyer.payee_key, "/v1/balance")["available"]
    return sum(int(each["amount"]) for each in balance)


def _catch_up(stack: Stack) -> None:
    wait_projected(stack.description["database_url"], seconds_max=CATCH_UP_SECONDS_MAX)


def _post(
    http: httpx2.Client, key: str, path: str, body: dict[str, Any], *, account: str | None = None
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    if account is not None:
        headers["Stripe-Account"] = account
    return _told(http.post(path, json=body, headers=headers))


def _get(http: httpx2.Client, key: str, path: str) -> dict[str, Any]:
    return _told(http.get(path, headers={"Authorization": f"Bearer {key}"}))


def _told(answer: httpx2.Response) -> dict[str, Any]:
    if answer.status_code != 200:
        raise WrongResult(f"{answer.request.url} answered {answer.status_code}: {answer.text}")
    return dict(json.loads(answer.content))
