"""The watcher keeps every transfer of a listed token, and takes back what a reorganisation took."""

from dataclasses import replace
from datetime import timedelta

from tests.flow.harness import World

from sakk.core import caip
from sakk.core.exposure import Exposure, Way
from sakk.core.exposure_batch import transfers
from sakk.screening.exposure import Exposures
from sakk.store import exposure as store
from sakk.store import network

STRANGER = "0x" + "57" * 20


def asset(world: World) -> str:
    return caip.erc20_asset(world.chain.network, world.chain.contracts.usdc.contract.lower())


def kept(world: World) -> list[tuple[int, int]]:
    """Height and units of all that was ever kept."""
    with world.database.begin() as connection:
        batches = store.heads_after(
            connection, world.chain.network, asset(world), height=0, limit=99
        )
    return [
        (head.height, row.units)
        for head, payload in batches
        if payload
        for row in transfers(payload)
    ]


def source(world: World, address: str = STRANGER) -> Exposure:
    return world.parts.exposures().exposure(world.chain.network, asset(world), address, Way.source)


def test_transfers_between_strangers_are_kept_and_taken_back(world: World) -> None:
    intent = world.intent(2500)
    world.pay(intent)
    world.pay(STRANGER, units=7)
    world.mine(1)
    world.run()
    first = source(world)
    assert (first.total_units, first.height) == (7, 1)
    assert source(world, world.payin(intent).address).total_units == 25_000_000
    world.pay(STRANGER, units=5)
    world.mine(1)
    world.run()
    assert source(world).total_units == 12
    world.advance(timedelta(seconds=5))
    world.chain.reorg(1)
    world.run()
    assert replace(source(world), height=1) == first
    world.pay(STRANGER, units=5)
    world.mine(1)
    world.run()
    assert source(world).total_units == 12
    fresh = Exposures(world.database)
    assert source(world) == fresh.exposure(world.chain.network, asset(world), STRANGER)
    assert sorted(units for _, units in kept(world)) == [5, 5, 7, 25_000_000]
    world.check()


def test_a_network_that_is_switched_off_keeps_nothing(world: World) -> None:
    with world.database.begin() as connection:
        found = network.find_network(connection, world.chain.network)
        assert found is not None
        network.put_network(connection, replace(found, exposure=False))
    world.pay(STRANGER, units=7)
    world.mine(1)
    world.run()
    assert kept(world) == []
    assert source(world).total_units == 0
