"""Pay-ins while a node is away, behind, cut off, or faster than the watcher."""

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.chain import Chain, StartChain
from tests.flow.conftest import MakeWorld
from tests.flow.fork import Fork
from tests.flow.harness import World
from tests.rails.lying_node import LyingNode, lying_node

from sakk.core import evm
from sakk.core.network import Network
from sakk.flow.watch import BLOCKS_PER_STEP_MAX, Follower, watch_stage
from sakk.rails.evm.rpc import Rpc, RpcUnavailable
from sakk.runtime import wiring
from sakk.runtime.wiring import make_rail
from sakk.store import network
from sakk.store.lease_length import lease_length

USD_25 = 25_000_000


def networks(world: World) -> list[Network]:
    with world.database.begin() as connection:
        return network.list_networks(connection)


@pytest.fixture
def node(chain: Chain) -> Iterator[LyingNode]:
    """What stands between the world and its node."""
    with lying_node(chain.rpc_url) as started:
        yield started


def test_node_away_for_an_hour_and_back(make_world: MakeWorld, node: LyingNode) -> None:
    world = make_world(rpc_urls=[node.url])
    watch = f"watch.{world.chain.network}"
    paid_before, paid_during = world.intent(2500), world.intent(1000)
    world.pay(paid_before)
    world.mine()
    world.run()
    assert world.facts(paid_before)[0] == "processing"

    node.status = 503
    world.pay(paid_during)
    world.mine()
    for _ in range(3):
        world.advance(timedelta(minutes=20))
        world.mine(20)
        with pytest.raises(RpcUnavailable):
            world.run_only(watch)
        world.run_except(watch)
    # Nothing was learned, so nothing was decided.
    assert world.facts(paid_before)[0] == "processing"
    assert world.facts(paid_during) == ("requires_action", 0, None, None)
    assert world.position() == {}

    node.honest()
    world.run()
    assert world.facts(paid_before) == ("succeeded", 2500, "exact", "on_time")
    assert world.facts(paid_during) == ("succeeded", 1000, "exact", "on_time")
    assert world.position() == {"custody": 35_000_000, "balance": 35_000_000}
    assert "payment_intent.expired" not in world.event_types()
    world.check()


def test_node_that_dies_between_two_answers(make_world: MakeWorld, node: LyingNode) -> None:
    """What was read of a step counts; the rest is read again, once."""
    world = make_world(rpc_urls=[node.url])
    intent = world.intent(2500)
    for units in (1_000_000, 4_000_000, 20_000_000):
        world.pay(intent, units=units)
        world.mine(10)
    node.cut_after = {"eth_getLogs"}
    with pytest.raises(RpcUnavailable):
        world.run_only(f"watch.{world.chain.network}")
    assert world.payins() == []
    node.honest()
    world.run()
    assert sorted(world.amounts()) == [1_000_000, 4_000_000, 20_000_000]
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()


def states(process: int) -> set[str]:
    """Of all its threads (proc(5))."""
    found = Path(f"/proc/{process}/task").glob("*/stat")
    return {each.read_text().rpartition(")")[2].split()[0] for each in found}


def test_a_node_that_hangs_in_the_middle_of_a_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes connections and answers nothing: the kernel still shakes hands for it."""
    [found] = networks(world)
    paid_before, paid_during = world.intent(2500), world.intent(1000)
    world.pay(paid_before)
    world.finalize()
    world.pay(paid_during)
    world.mine(3)
    monkeypatch.setattr(wiring, "Rpc", partial(Rpc, timeout_seconds=0.5, attempts_max=1))
    rail = make_rail(found)
    impatient = watch_stage(world.parts, found, rail)
    world.advance(lease_length())
    node = world.chain.node.process.pid
    refresh = Follower._refresh_addresses

    def hang(follower: Follower) -> None:
        refresh(follower)
        os.kill(node, signal.SIGSTOP)
        # A thread that runs on another processor may still answer something.
        while states(node) != {"T"}:
            os.sched_yield()

    monkeypatch.setattr(Follower, "_refresh_addresses", hang)
    try:
        # The head was read, and the cursor taken; then at the first thing it asks.
        for _ in range(2):
            with pytest.raises(RpcUnavailable):
                impatient.run()
        # These ask the node too, and are patient.
        world.run_except(impatient.name, "quote.measure", "gas.look", "hub.look")
    finally:
        os.kill(node, signal.SIGCONT)
    assert world.facts(paid_before) == ("succeeded", 2500, "exact", "on_time")
    assert world.facts(paid_during) == ("requires_action", 0, None, None)
    monkeypatch.setattr(Follower, "_refresh_addresses", refresh)
    world.advance(lease_length())
    world.run()
    assert world.facts(paid_during) == ("succeeded", 1000, "exact", "on_time")
    assert world.amounts() == [USD_25, 10_000_000]
    world.check()
    rail.rpc.close()


def test_one_dead_node_keeps_nobody_else_waiting(
    make_world: MakeWorld, node: LyingNode, start_chain: StartChain
) -> None:
    other = start_chain("eip155:31337")
    world = make_world(rpc_urls=[node.url], more_chains=[other])
    intent = world.intent(2500)
    assert intent.networks == ["eip155:31337", "eip155:84532"]
    node.status = 503
    world.pay(intent, chain=other)
    world.mine(3)
    world.run_except(f"watch.{world.chain.network}")
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.balance() == USD_25
    node.honest()
    world.run()
    world.check()


def test_same_address_paid_on_two_networks(make_world: MakeWorld, start_chain: StartChain) -> None:
    other = start_chain("eip155:31337")
    world = make_world(more_chains=[other])
    intent = world.intent(2500)
    world.pay(intent, units=10_000_000)
    world.pay(intent, units=15_000_000, chain=other)
    world.finalize()
    assert {row.network for row in world.payins(intent)} == {"eip155:31337", "eip155:84532"}
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    assert world.balance() == USD_25
    assert world.position() == {"custody": 10_000_000, "balance": USD_25}
    world.check()


def test_chain_faster_than_the_watcher(world: World) -> None:
    intents = [world.intent(100 + number) for number in range(5)]
    for intent in intents:
        world.pay(intent)
        world.mine(100)
    [first] = world.run_only(f"watch.{world.chain.network}")
    assert first == BLOCKS_PER_STEP_MAX
    # Hundreds of blocks behind, and the chain goes on between two steps.
    world.mine(40)
    world.run()
    assert [world.facts(intent)[:3] for intent in intents] == [
        ("succeeded", 100 + number, "exact") for number in range(5)
    ]
    assert world.balance() == sum(100 + number for number in range(5)) * 10_000
    world.check()


def test_reorganised_while_the_watcher_is_behind(world: World) -> None:
    kept, lost = world.intent(2500), world.intent(1000)
    world.pay(kept)
    world.mine(10)
    fork = Fork(world, lambda: world.pay(lost))
    world.mine(BLOCKS_PER_STEP_MAX)
    # The watcher follows most of a branch that is replaced before it has seen the end of it.
    world.run_only(f"watch.{world.chain.network}")
    fork.to_b(BLOCKS_PER_STEP_MAX + 30)
    world.run()
    assert world.facts(kept)[0] == "succeeded"
    assert world.facts(lost)[0] == "requires_action"
    assert world.position() == {"custody": USD_25, "balance": USD_25}
    world.check()


def test_another_watcher_takes_over(world: World) -> None:
    """One follows a network at a time; when it is gone its lease runs out."""
    [found] = networks(world)
    rail = make_rail(found)
    second = watch_stage(world.parts, found, rail)
    first = world.stages[second.name]
    intent = world.intent(2500)
    world.pay(intent)
    world.mine()
    first.run()
    world.mine(2)
    assert second.run() == 0
    world.advance(lease_length())
    assert second.run() == 2
    # The first comes back from wherever it was, and changes nothing.
    world.mine()
    assert first.run() == 0
    second.run()
    world.run_except(first.name)
    assert world.amounts() == [USD_25]
    assert world.facts(intent) == ("succeeded", 2500, "exact", "on_time")
    world.check()
    rail.rpc.close()


def test_address_issued_after_the_block_was_read(world: World) -> None:
    """Whoever guesses an address before it is issued pays nobody; after, it is always seen."""
    world.mine(5)
    world.run()
    intent = world.intent(2500)
    world.pay(intent)
    world.finalize()
    late = world.customer_address(world.customer())
    world.chain.payer.transfer(world.contract("usdc"), evm.checksum_address(late), 7)
    world.finalize()
    assert world.amounts() == [USD_25, 7]
    world.check()
