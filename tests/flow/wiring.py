"""What a world is wired of: its clock, its configuration, its rails and its signer."""

import contextlib
import dataclasses
import itertools
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from sqlalchemy import Connection, exists, make_url, select, union_all
from tests.chain import Chain

from sakk.core import caip
from sakk.core.case import Settings
from sakk.core.network import Asset, Network, Quirk
from sakk.core.transaction import TransactionStatus
from sakk.flow.build import WAIT_TURN
from sakk.flow.context import Parts
from sakk.flow.lookout import Lookout
from sakk.flow.stage import Stage
from sakk.flow.watch import watch_stage
from sakk.rails.bank.adapters import Banks
from sakk.rails.evm.rail import EvmRail
from sakk.rails.sandbox.chain import SandboxToken
from sakk.runtime.wiring import make_rail
from sakk.signing.client import SignerClient
from sakk.signing.keystore import Keystore
from sakk.signing.policy import sandbox_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.signing.server import serve
from sakk.store import network
from sakk.store.address import put_treasury, put_wallet
from sakk.store.case import put_settings
from sakk.store.database import CHANNEL, Database
from sakk.store.identity import now as wall_clock
from sakk.store.payout import payouts
from sakk.store.seed import seed_currencies, seed_policy
from sakk.store.sweep import sweeps
from sakk.store.transaction import transactions
from sakk.store.vault import KEY_BYTES, Vault

CONFIRMATIONS = 2
ROUNDS_MAX = 400
# Nobody wakes them: they look at a chain, and at what has gathered.
LOOKING = ("watch.", "sweep.collect")
# Nor it, by blocks, for which it waits: they are time that passes.
AT_BLOCKS = frozenset({"outflow.post"})
IS_SOAK = "SAKK_SOAK" in os.environ
SIGNER_READY_SECONDS_MAX = 60.0
WHOLE_TOKEN = 10**6
# Above any deposit of a test: such an address is never collected.
NEVER = 10**60


class WorldClock:
    """The wall clock plus what the test has let pass; every reading is later than the last."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._last = datetime.min.replace(tzinfo=UTC)
        self._is_held = False
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            if self._is_held:
                self._last += timedelta(microseconds=1)
            else:
                moment = datetime.now(UTC) + self._ahead
                self._last = max(moment, self._last + timedelta(milliseconds=1))
            return self._last

    def advance(self, span: timedelta) -> None:
        with self._lock:
            self._ahead += span
            self._last += span if self._is_held else timedelta()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile no time passes but by ``advance``: what is due does not hang on our speed."""
        self()
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False


class Calls:
    """The stages that commits have woken: what the bell of a worker hears."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = wall_clock) -> None:
        self._database, self._clock = database, clock
        url = make_url(database.url).set(drivername="postgresql")
        text = url.render_as_string(hide_password=False)
        self._connection = psycopg.connect(text, autocommit=True)
        self._heard: set[str] = set()
        self._looks_all = True
        self._connection.add_notify_handler(lambda each: self._heard.add(each.payload))
        self._connection.execute(f"LISTEN {CHANNEL}")

    def call(self, stages: Iterable[str]) -> None:
        """Something of theirs has come due by the clock."""
        self._heard.update(stages)

    def call_all(self) -> None:
        """Time has passed, or somebody broke off: all stages look once."""
        self._looks_all = True

    def take_all(self) -> bool:
        """Are all to look? Once, for all that have been called."""
        looks_all, self._looks_all = self._looks_all, False
        return looks_all

    def found(self, stages: Sequence[Stage]) -> set[str]:
        """Those that the worker's lookout would call."""
        return {stage.name for stage in Lookout(self._database, stages, self._clock).look()}

    def due(self, stages: Sequence[Stage]) -> set[str]:
        """The same, and those that look by themselves."""
        return self.found(stages) | {stage.name for stage in stages if not stage.due}

    def take(self, stages: Collection[str]) -> set[str]:
        """Those of the stages that were woken since the last time by what is committed now."""
        # The server tells what it has for us before it answers.
        self._connection.execute("SELECT 1")
        heard = self._heard & set(stages)
        self._heard -= heard
        return heard

    def close(self) -> None:
        self._connection.close()


def run_until_rest(stages: Sequence[Stage], calls: Calls) -> int:
    """Run the stages that are woken until none is; how many rows they moved.

    As in a worker: what moved something looks again, and so do those that nobody ever wakes. All
    look at first where time has passed, as they do in a worker when it is theirs, and in the end
    where nothing has moved; for most of them the worker's lookout does, and then looks on. In the
    long run all look once more at every end, and find nothing.
    """
    try:
        return _run_until_rest(stages, calls)
    except BaseException:
        calls.call_all()
        raise


def _run_until_rest(stages: Sequence[Stage], calls: Calls) -> int:
    # Those of a lane are woken together, and begin with its first.
    lanes = {stage.name: stage.lane or stage.name for stage in stages}
    firsts = {lane: name for name, lane in reversed(lanes.items())}
    looks_all = calls.take_all()
    woken = {lanes[name] for name in calls.take(lanes)}
    if looks_all:
        woken |= {lanes[name] for name in calls.due(stages)}
    total = looked_at = 0
    for _ in range(ROUNDS_MAX):
        due: set[str] = set()
        before = total
        for stage in stages:
            lane = lanes[stage.name]
            if firsts[lane] == stage.name and lane in woken:
                woken.discard(lane)
                due.add(lane)
            if lane in due or stage.name.startswith(LOOKING):
                moved = stage.run()
                if moved:
                    total += moved
                    if stage.name.startswith("watch."):
                        calls.call(AT_BLOCKS)
                    woken |= {lanes[name] for name in calls.take(lanes)} | {lane}
        if total == before:
            if total == 0 and not looks_all:
                looks_all, woken = True, {lanes[name] for name in calls.due(stages)}
                continue
            if looks_all and looked_at < total:
                # Those that had their look before others moved: the lookout looks on.
                looked_at, woken = total, {lanes[name] for name in calls.found(stages)}
                if woken:
                    continue
            if IS_SOAK:
                asleep = [stage.name for stage in stages if stage.run()]
                assert not asleep, f"nobody woke {asleep}"
            return total
    raise AssertionError(f"these stages never come to rest: {woken}")


def turn_comes(database: Database, now: datetime) -> bool:
    """Does something wait for a transaction of its sender that has been signed meanwhile?"""
    stuck = exists().where(transactions.c.status == TransactionStatus.built.value)
    waiting = [
        select(table.c.id).where(
            table.c.retry_at > now, table.c.retry_at <= now + WAIT_TURN, ~stuck
        )
        for table in (payouts, sweeps)
    ]
    with database.begin() as connection:
        return connection.execute(union_all(*waiting).limit(1)).first() is not None


def watchers(parts: Parts) -> list[Stage]:
    """A stage that follows each network, with a rail and an address set of its own."""
    with parts.database.begin() as connection:
        found = network.list_networks(connection)
    return [watch_stage(parts, each, parts.rail_of(each)) for each in found]


@contextlib.contextmanager
def opened_rails() -> Iterator[Callable[[Network], EvmRail]]:
    rails: dict[str, EvmRail] = {}

    def rail_of(found: Network) -> EvmRail:
        if found.network not in rails:
            rails[found.network] = make_rail(found)
        return rails[found.network]

    yield rail_of
    for rail in rails.values():
        rail.rpc.close()


def put_configuration(
    database: Database,
    chains: Sequence[Chain],
    keystore: Keystore,
    clock: WorldClock,
    *,
    sweep: bool,
    disperse_min: int,
    rpc_urls: Sequence[str] | None,
) -> None:
    with database.begin() as connection:
        seed_currencies(connection)
        seed_policy(connection)
        put_wallet(connection, keystore.xpub, now=clock())
        treasury = keystore.address(Branch.treasury, 0)
        put_treasury(connection, {0: treasury}, livemode=False, now=clock())
        # Cases are decided as in the sandbox: what takes two people is tested with people.
        put_settings(connection, Settings(False, True, None, "test", clock()))
        for position, chain in enumerate(chains):
            urls = rpc_urls if rpc_urls is not None and position == 0 else [chain.rpc_url]
            _put_network(
                connection, chain, urls=urls, sweep=sweep, disperse_min=disperse_min, now=clock()
            )


def _put_network(
    connection: Connection,
    chain: Chain,
    *,
    urls: Sequence[str],
    sweep: bool,
    disperse_min: int,
    now: datetime,
) -> None:
    network.put_network(
        connection,
        Network(
            network=chain.network,
            name=f"Test {chain.contracts.chain_id}",
            family="eip155",
            livemode=False,
            enabled=True,
            rpc_urls=list(urls),
            confirmations=CONFIRMATIONS,
            block_seconds=1,
            poll_milliseconds=50,
            start_block=chain.height() + 1,
            native_asset=caip.native_asset(chain.network),
            bloom="exact",
            created=now,
            exposure=True,
        ),
    )
    usdt = [
        Quirk.no_return_value,
        Quirk.fee_on_transfer,
        Quirk.pausable,
        Quirk.deny_listed,
    ]
    minimum = WHOLE_TOKEN if sweep else NEVER
    for token, quirks in (
        (chain.contracts.usdc, [Quirk.pausable, Quirk.deny_listed]),
        (chain.contracts.usdt, usdt),
    ):
        listed = asset_of(chain, token, quirks=quirks, sweep_minimum=minimum, now=now)
        network.put_asset(connection, dataclasses.replace(listed, disperse_min=disperse_min))
    native = dataclasses.replace(
        asset_of(chain, chain.contracts.usdc, quirks=(), sweep_minimum=0, now=now),
        asset=caip.native_asset(chain.network),
        contract=None,
        currency="eth",
        symbol="ETH",
        decimals=18,
        payin_enabled=False,
        payout_enabled=False,
        eip712_name=None,
        eip712_version=None,
    )
    network.put_asset(connection, native)


def asset_of(
    chain: Chain,
    token: SandboxToken,
    *,
    quirks: Sequence[Quirk],
    sweep_minimum: int,
    now: datetime,
) -> Asset:
    contract = token.contract.lower()
    return Asset(
        asset=caip.erc20_asset(chain.network, contract),
        network=chain.network,
        contract=contract,
        currency=token.currency,
        symbol=token.currency.upper(),
        decimals=token.decimals,
        quirks=[quirk.value for quirk in quirks],
        payin_enabled=True,
        payout_enabled=True,
        sweep_minimum=sweep_minimum,
        eip712_name=token.eip712.name if token.eip712 else None,
        eip712_version=token.eip712.version if token.eip712 else None,
        created=now,
    )


@contextlib.contextmanager
def serving_signer(
    directory: Path, chains: Sequence[Chain], keystore: Keystore, clock: WorldClock
) -> Iterator[SignerClient]:
    """The real signer in a thread, with a policy and a log of this world's own.

    A log outlives no test: the chain goes back, and its nonces with it.
    """
    policy_path, socket_path = directory / "policy.toml", directory / "signer.sock"
    assets = {
        caip.erc20_asset(chain.network, token.contract.lower()): token.decimals
        for chain in chains
        for token in chain.contracts.tokens
    }
    assets |= {caip.native_asset(chain.network): 18 for chain in chains}
    write_policy(policy_path, sandbox_policy([chain.network for chain in chains], assets))
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(
        target=serve,
        args=(socket_path, keystore, policy_path, directory / "log.jsonl", stop),
        kwargs={"clock": clock, "on_ready": ready.set},
        name="signer",
    )
    thread.start()
    try:
        assert ready.wait(SIGNER_READY_SECONDS_MAX), "the signer did not start"
        with SignerClient(socket_path) as client:
            yield client
            stop.set()
            # One more connection wakes the signer, which looks at ``stop`` between two of them.
            with contextlib.suppress(Exception), SignerClient(socket_path) as last:
                last.status()
    finally:
        stop.set()
        thread.join()


def await_true(condition: Callable[[], bool], *, seconds_max: float = 60.0) -> None:
    """Wait until something another thread or process does has happened."""
    deadline = time.monotonic() + seconds_max
    for pause in itertools.repeat(0.01):
        if condition():
            return
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(pause)


# By which banks know us.
VAULT = Vault(bytes(KEY_BYTES))


def banks_at(directory: Path, database: Database, clock: WorldClock) -> Banks:
    """The way to banks, in folders and at servers on this machine."""
    return Banks(
        directory / "banks",
        database=database,
        vault=VAULT,
        quiet_seconds=0.0,
        allow_loopback=True,
        clock=clock,
    )
