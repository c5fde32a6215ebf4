"""What the API's tests start from: an operator, two merchants, keys, coins and two networks."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx2
import stripe
from sqlalchemy import text

from sakk.core.account import AccountKind
from sakk.core.api_key import KeyKind
from sakk.core.network import Currency
from sakk.flow import account as account_flow
from sakk.flow import api_key as api_key_flow
from sakk.store import address as address_store
from sakk.store import network as network_store
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from tests.networks import a_network, a_token

READY_SECONDS_MAX = 120.0
# The extended public key of BIP-44 account 0 of the mnemonic "test test … junk".
XPUB = (
    "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd"
    "54JoNXVsXFYSYwHsnJxqP"
)
NETWORK = "eip155:84532"
ADDRESS = "0x00000000000000000000000000000000000000a1"
USDC = "0x036cbd53842c5426634e7929541ec2318f3dcf7e"


@dataclass(frozen=True, slots=True)
class Tenant:
    """An account and a secret key of it in the test mode."""

    account: str
    key: str


@dataclass(frozen=True, slots=True)
class World:
    """Who there is."""

    operator: Tenant
    alice: Tenant
    bob: Tenant
    live_key: str


@dataclass(frozen=True, slots=True)
class Api:
    """A running server and who may speak to it. ``door``: the ledger's own, beside it."""

    url: str
    world: World
    database: Database
    door: str = ""

    def stripe(self, key: str | None = None, **options: Any) -> stripe.StripeClient:
        """The unmodified Stripe client, pointed here; as Alice unless told otherwise."""
        return stripe.StripeClient(
            key or self.world.alice.key, base_addresses={"api": self.url}, **options
        )

    def call(
        self, method: str, path: str, *, key: str | None = None, **options: Any
    ) -> httpx2.Response:
        """One plain request; as Alice unless told otherwise."""
        headers = {"Authorization": f"Bearer {key or self.world.alice.key}"}
        headers |= options.pop("headers", {})
        return http().request(method, self.url + path, headers=headers, **options)

    def newcomer(self, name: str) -> Tenant:
        """A merchant whom no other test knows: what Bob has would stand in others' way."""
        with self.database.begin() as connection:
            return _tenant(connection, name, moment=now())

    def live(self, tenant: Tenant) -> str:
        """A live key of a merchant's."""
        with self.database.begin() as connection:
            return _token(connection, tenant.account, livemode=True)


@cache
def http() -> httpx2.Client:
    """The one client of this process: making one costs more than a request."""
    return httpx2.Client(timeout=60, limits=httpx2.Limits(max_connections=200))


def create_world(database: Database) -> World:
    """Write accounts, keys and configuration."""
    moment = now()
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE probes (id text PRIMARY KEY)"))
        connection.execute(text("CREATE TABLE probe_runs (id text)"))
        address_store.put_wallet(connection, XPUB, now=moment)
        for currency, kind, decimals in (("usd", "fiat", 2), ("usdc", "coin", 6)):
            network_store.put_currency(
                connection,
                Currency(currency, currency.upper(), kind, decimals, 1, 1, moment),
            )
        for name, livemode in (("eip155:84532", False), ("eip155:8453", True)):
            _put_network(connection, name, livemode=livemode)
        tenants = {}
        for name in ("operator", "alice", "bob"):
            tenants[name] = _tenant(connection, name, moment=moment)
        live_key = _token(connection, tenants["alice"].account, livemode=True)
    return World(live_key=live_key, **tenants)


def _tenant(connection: Any, name: str, *, moment: datetime) -> Tenant:
    account = account_flow.create(
        connection,
        account_id=new_id("acct"),
        livemode=False,
        now=moment,
        kind=AccountKind.operator if name == "operator" else AccountKind.merchant,
        details={"name": name},
    )
    return Tenant(account.id, _token(connection, account.id, livemode=False))


def _token(connection: Any, account_id: str, *, livemode: bool) -> str:
    _, token = api_key_flow.create(
        connection,
        key_id=new_id("key"),
        account_id=account_id,
        livemode=livemode,
        now=datetime.now(UTC),
        kind=KeyKind.secret,
    )
    return token


def _put_network(connection: Any, name: str, *, livemode: bool) -> None:
    moment = now()
    network_store.put_network(
        connection,
        a_network(
            name,
            name=name,
            livemode=livemode,
            rpc_urls=["http://127.0.0.1:1"],
            confirmations=2,
            block_seconds=1,
            created=moment,
        ),
    )
    network_store.put_asset(
        connection,
        a_token(
            f"{name}/erc20:{USDC}",
            sweep_minimum=1,
            eip712_name="USDC",
            eip712_version="2",
            created=moment,
        ),
    )


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(database_url: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the real server on a free loopback port until the block ends."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "granian", "--interface", "asgi", "--factory"),
            *("--host", "127.0.0.1", "--port", str(port), "--no-ws", "--no-log"),
            "tests.api.server:make",
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "DATABASE_URL": database_url,
            **environment,
        },
    )
    try:
        _await_ready(url, process)
        yield url, process
    finally:
        process.terminate()
        process.wait(READY_SECONDS_MAX)


def _await_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            if http().get(f"{url}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise TimeoutError("the server did not become ready")
