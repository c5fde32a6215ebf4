"""The gas station's alarm: told once when a tank runs low, and once when it is filled."""

from datetime import timedelta

import msgspec
from prometheus_client import REGISTRY
from tests.flow.harness import World
from tests.flow.money import send_rpc, wei_at

from sakk.core.tank import Tank
from sakk.flow.gas import LOOK_EVERY
from sakk.signing.policy import load_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.store import tank
from sakk.store.address import put_treasury


def look(world: World) -> None:
    world.advance(LOOK_EVERY + timedelta(seconds=1))
    world.run_only("gas.look")


def told(world: World) -> list[str]:
    return [name for name in world.event_types(operator=True) if name.startswith("gas.")]


def test_a_low_tank_is_told_once_and_so_is_its_filling(world: World) -> None:
    look(world)
    assert told(world) == []
    full = wei_at(world, world.treasury)
    send_rpc(world, "anvil_setBalance", world.treasury, hex(10**12))
    world.mine()
    world.run_only("gas.look")
    assert told(world) == []
    for _ in range(2):
        look(world)
    assert told(world) == ["gas.low"]
    [found] = _tanks(world)
    assert (found.network, found.wei, found.low) == (world.chain.network, 10**12, True)
    labels = {"network": world.chain.network}
    assert REGISTRY.get_sample_value("sakk_gas_tank_low", labels) == 1
    send_rpc(world, "anvil_setBalance", world.treasury, hex(full))
    world.mine()
    for _ in range(2):
        look(world)
    assert told(world) == ["gas.low", "gas.restored"]
    assert REGISTRY.get_sample_value("sakk_gas_tank_wei", labels) == full
    world.check()


def test_a_treasury_address_without_gas_is_given_some_once(world: World) -> None:
    fresh = world.keystore.address(Branch.treasury, 1)
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)
    write_policy(path, msgspec.structs.replace(policy, treasury_indexes=(0, 1)))
    with world.database.begin() as connection:
        put_treasury(connection, {0: world.treasury, 1: fresh}, livemode=False, now=world.clock())
    world.watch()
    for _ in range(3):
        look(world)
        world.finalize()
    [given] = world.transactions()
    assert (given.purpose, given.destination, given.status) == ("topup", fresh, "posted")
    assert wei_at(world, fresh) == given.token_amount
    hot = wei_at(world, world.treasury) + wei_at(world, fresh)
    assert world.custody(world.native, "hot") == hot
    world.check()


def _tanks(world: World) -> list[Tank]:
    with world.database.begin() as connection:
        return tank.list_tanks(connection)
