"""The gas station's alarm: told once when a tank runs low, and once when it is filled."""

import dataclasses
from datetime import timedelta

import msgspec
from prometheus_client import REGISTRY
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.money import let_pass, send_rpc, wei_at
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core.sender import TreasuryRole
from sakk.core.tank import Tank
from sakk.flow.gas import LOOK_EVERY
from sakk.signing.policy import load_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.store import network, tank
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


def test_a_gas_key_orders_what_the_treasury_ordered_and_pays_nobody(make_world: MakeWorld) -> None:
    world = make_world(sweep=True)
    gas_key = world.keystore.address(Branch.treasury, 7)
    path = world.directory / "policy.toml"
    policy, _ = load_policy(path)
    write_policy(path, msgspec.structs.replace(policy, gas_indexes=(7,)))
    named = world.parts.signer_client().public().gas_addresses
    assert named == {7: gas_key}
    for _ in range(2):
        with world.database.begin() as connection:
            put_treasury(
                connection, named, livemode=False, now=world.clock(), role=TreasuryRole.gas
            )
    world.watch()
    for _ in range(3):
        look(world)
        world.finalize()
    [funded] = world.transactions()
    assert (funded.purpose, funded.destination, funded.status) == ("topup", gas_key, "posted")
    address = world.customer_address(world.customer())
    world.pay(address, "usdc", 5 * WHOLE_TOKEN)
    for _ in range(4):
        world.finalize()
        let_pass(world, 3)
    given, swept = world.transactions()[1:]
    assert (given.purpose, given.sender, given.status) == ("topup", gas_key, "posted")
    assert (swept.destination, swept.status) == (world.treasury, "posted")
    world.check()


def test_a_days_limit_of_gas_holds_sweeps_back_and_loses_nothing(make_world: MakeWorld) -> None:
    world = make_world(sweep=True)
    look(world)
    _limit(world, 1)
    address = world.customer_address(world.customer())
    world.pay(address, "usdc", 5 * WHOLE_TOKEN)
    for _ in range(3):
        world.finalize()
        let_pass(world, 3)
    assert [each.status for each in world.sweeps()] == ["approved"]
    assert world.transactions() == []
    assert told(world) == ["gas.limited"]
    look(world)
    let_pass(world, 3)
    labels = {"network": world.chain.network}
    assert REGISTRY.get_sample_value("sakk_gas_limited", labels) == 1
    assert told(world) == ["gas.limited"]
    _limit(world, None)
    look(world)
    assert told(world) == ["gas.limited", "gas.unlimited"]
    for _ in range(4):
        world.finalize()
        let_pass(world, 3)
    assert [each.status for each in world.sweeps()] == ["posted"]
    look(world)
    given = world.transactions()[0].token_amount
    assert REGISTRY.get_sample_value("sakk_gas_topped_up_wei", labels) == given
    assert REGISTRY.get_sample_value("sakk_gas_limited", labels) == 0
    world.check()


def _limit(world: World, wei: int | None) -> None:
    with world.database.begin() as connection:
        found = network.find_network(connection, world.chain.network)
        assert found is not None
        network.put_network(connection, dataclasses.replace(found, topup_wei_per_day_max=wei))


def _tanks(world: World) -> list[Tank]:
    with world.database.begin() as connection:
        return tank.list_tanks(connection)
