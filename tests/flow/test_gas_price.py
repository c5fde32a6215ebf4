"""Fees that rise above the cap: everything waits, says so, and goes on by itself."""

from dataclasses import replace

from tests.flow.harness import World
from tests.flow.money import BENEFICIARY, let_pass, payout_now, rich, send_rpc, units_at
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core.gas_price import GWEI
from sakk.flow.gas_price import WAIT_FEES
from sakk.store import gas_price, network

PAID = 30 * WHOLE_TOKEN


def set_cap(world: World, wei: int) -> None:
    """Cap what a network's gas may cost, as ``sakk networks fees`` does."""
    with world.database.begin() as connection:
        found = network.find_network(connection, world.chain.network)
        assert found is not None
        network.put_network(connection, replace(found, max_fee_per_gas_max=wei))


def set_base_fee(world: World, gwei: int) -> None:
    send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(gwei * GWEI))
    world.mine()


def test_a_spike_of_a_hundred_times_is_waited_for(world: World) -> None:
    rich(world, 100)
    set_cap(world, 60 * GWEI)
    set_base_fee(world, 20)
    set_base_fee(world, 2_000)
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    for _ in range(3):
        let_pass(world, WAIT_FEES.seconds + 1)
    waiting = payout_now(world, row)
    assert (waiting.status, waiting.transaction, waiting.failures) == ("approved", None, 0)
    assert waiting.waits_for is not None
    assert "the cap is 60000000000" in waiting.waits_for
    with world.database.begin() as connection:
        assert gas_price.list_fees(connection)[world.chain.network].above_cap_since is not None
    assert world.transactions() == []
    set_base_fee(world, 20)
    let_pass(world, WAIT_FEES.seconds + 1)
    world.finalize()
    done = payout_now(world, row)
    assert (done.status, done.waits_for) == ("posted", None)
    assert units_at(world, BENEFICIARY) == PAID
    told = world.event_types(about=world.chain.network, operator=True)
    assert told == ["network.fees_above_cap", "network.fees_within_cap"]
    world.check()
