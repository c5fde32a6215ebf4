"""Our contracts and their allowances, as an operator's commands order them."""

import pytest
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.money import let_pass, payout_now, rich, send_rpc
from tests.flow.wiring import WHOLE_TOKEN

from sakk.core import evm
from sakk.core.contract import DISPERSE
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.flow.contract import allowances, deploy, disperse_from, places, revoke


def settle(world: World) -> None:
    for _ in range(2):
        let_pass(world, 1)
        world.finalize()


def allowed(world: World) -> dict[str, int]:
    return {each.asset.currency: each.units for each in allowances(world.parts)}


def pay(world: World, count: int, first: int) -> list[str]:
    """Payouts that are due together; the purposes of the transactions that they made."""
    known = {row.id for row in world.transactions()}
    places = range(first, first + count)
    rows = [world.payout(WHOLE_TOKEN, address=f"0x{0xFEED0000 + each:040x}") for each in places]
    settle(world)
    assert {payout_now(world, row).status for row in rows} == {"posted"}
    return [row.purpose for row in world.transactions() if row.id not in known]


def standing(world: World) -> dict[str, bool]:
    """Which of our contracts stand on the world's one network."""
    return {each.contract.name: each.is_deployed for each in places(world.parts)}


def test_a_contract_is_deployed_once_where_it_does_not_stand(make_world: MakeWorld) -> None:
    world = make_world(disperse_min=2)
    network = world.chain.network
    send_rpc(world, "anvil_setCode", DISPERSE.address, "0x")
    send_rpc(world, "anvil_setNonce", DISPERSE.address, "0x0")
    assert standing(world) == {"Disperse": False, "Capture": True}
    assert allowances(world.parts) == []
    rich(world, 100)
    # Without it payouts go one by one, and nothing is ordered.
    assert pay(world, 2, 0) == ["payout", "payout"]
    ordered = deploy(world.parts, "Disperse", network)
    with pytest.raises(UnexpectedState, match="on its way"):
        deploy(world.parts, "Disperse", network)
    settle(world)
    assert standing(world) == {"Disperse": True, "Capture": True}
    [done] = [row for row in world.transactions() if row.id == ordered.id]
    assert (done.purpose, done.status, done.destination) == ("deploy", "posted", DISPERSE.address)
    with pytest.raises(UnexpectedState, match="stands at"):
        deploy(world.parts, "Disperse", network)
    assert pay(world, 2, 10) == ["allowance", "disperse"]
    world.check()


def test_an_allowance_is_taken_back_and_given_again(make_world: MakeWorld) -> None:
    world = make_world(disperse_min=2)
    usdc = world.asset("usdc")
    rich(world, 100)
    assert allowed(world) == {"usdc": 0, "usdt": 0}
    assert pay(world, 2, 0) == ["allowance", "disperse"]
    assert allowed(world)["usdc"] > evm.UINT256_MAX // 2
    [taken] = revoke(world.parts, usdc)
    settle(world)
    assert (taken.purpose, taken.token_amount) == ("allowance", 0)
    assert allowed(world) == {"usdc": 0, "usdt": 0}
    assert revoke(world.parts, usdc) == []
    assert pay(world, 2, 10) == ["payout", "payout"]
    assert disperse_from(world.parts, usdc, 3).disperse_min == 3
    assert pay(world, 2, 20) == ["payout", "payout"]
    assert pay(world, 3, 30) == ["allowance", "disperse"]
    world.check()


def test_what_is_not_ours_is_refused(world: World) -> None:
    with pytest.raises(ResourceMissing, match="Ours are: Disperse"):
        deploy(world.parts, "Other", world.chain.network)
    with pytest.raises(ResourceMissing, match="no network"):
        deploy(world.parts, "Disperse", "eip155:1")
    with pytest.raises(ResourceMissing, match="no listed token"):
        revoke(world.parts, world.native)
