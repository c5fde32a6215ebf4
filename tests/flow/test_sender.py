"""Several treasury addresses: payouts leave from all of them, and none is overspent."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from tests.flow.harness import World
from tests.flow.money import BENEFICIARY, credit, let_pass, payout_now, units_at
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core import evm
from sakk.core.errors import ResourceMissing
from sakk.flow.sender import standings, unfreeze
from sakk.signing.policy import load_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.store import network
from sakk.store.address import put_treasury
from sakk.store.transaction import freeze_sender

PAID = 10 * WHOLE_TOKEN
GAS_WEI = 10**18


def with_senders(world: World, count: int, whole: int) -> list[str]:
    """So many treasury addresses, each with whole tokens and gas; a merchant with a balance."""
    path = world.directory / "policy.toml"
    before, _ = load_policy(path)
    write_policy(path, msgspec.structs.replace(before, treasury_indexes=tuple(range(count))))
    named = world.parts.signer_client().public().treasury_addresses
    with world.database.begin() as connection:
        put_treasury(connection, named, livemode=False, now=world.clock())
    world.watch()
    for index in range(count):
        address = world.keystore.address(Branch.treasury, index)
        assert named[index] == address
        world.pay(address, "usdc", whole * WHOLE_TOKEN)
        if index:
            world.chain.payer.send_native(evm.checksum_address(address), GAS_WEI)
    credit(world, 1_000)
    return list(named.values())


def test_payouts_leave_from_all_of_them(world: World) -> None:
    addresses = with_senders(world, 3, 100)
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(6)]
    world.run_only("payout.hold", "payout.screen", "payout.decide", "payout.build")
    # One unsigned transaction an address, all in the same batch.
    built = world.transactions()
    assert {each.sender for each in built} == set(addresses)
    world.run()
    for _ in range(4):
        let_pass(world, 1)
    world.finalize()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    sent = [each.sender for each in world.transactions()]
    assert [sent.count(each) for each in addresses] == [2, 2, 2]
    assert units_at(world, BENEFICIARY) == 6 * PAID
    world.check()


def test_an_address_pays_what_it_has_and_no_more(world: World) -> None:
    addresses = with_senders(world, 2, 15)
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(3)]
    for _ in range(4):
        with ThreadPoolExecutor(2) as pool:
            for each in [pool.submit(world.stages["payout.build"].run) for _ in range(2)]:
                each.result()
        world.run()
        let_pass(world, 3)
    statuses = sorted(payout_now(world, row).status for row in rows)
    assert statuses == ["approved", "broadcast", "broadcast"]
    assert {each.sender for each in world.transactions()} == set(addresses)
    world.finalize()
    [waiting] = [row for row in rows if payout_now(world, row).status == "approved"]
    assert "do not cover it" in (payout_now(world, waiting).waits_for or "")
    world.pay(addresses[1], "usdc", 5 * WHOLE_TOKEN)
    world.finalize()
    let_pass(world, 3)
    world.finalize()
    assert units_at(world, BENEFICIARY) == 3 * PAID
    world.check()


def test_a_frozen_address_is_passed_over_and_comes_back(world: World) -> None:
    addresses = with_senders(world, 2, 100)
    name = world.chain.network
    with world.database.begin() as connection:
        assert freeze_sender(
            connection, name, addresses[0], base=0, reason="theft", now=world.clock()
        )
        assert not freeze_sender(
            connection, name, addresses[0], base=0, reason="again", now=world.clock()
        )
        found = network.find_network(connection, name)
    assert found is not None
    rows = [world.payout(PAID, address=BENEFICIARY) for _ in range(2)]
    world.run()
    let_pass(world, 1)
    world.finalize()
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    assert {each.sender for each in world.transactions()} == {addresses[1]}
    usdc = world.asset("usdc")
    seen = standings(world.parts, found, [usdc])[usdc]
    assert [each.frozen_reason for each in seen] == ["theft", None]
    assert [each.spare_units for each in seen] == [100 * WHOLE_TOKEN, 80 * WHOLE_TOKEN]
    assert unfreeze(world.parts, name, addresses[0]) == 0
    with pytest.raises(ResourceMissing):
        unfreeze(world.parts, name, addresses[0])
    again = world.payout(PAID, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert payout_now(world, again).status == "posted"
    assert addresses[0] in {each.sender for each in world.transactions()}
    world.check()
