"""Hot, warm and cold on a real chain: withdrawals to vaults alone, and what comes back."""

import msgspec
import pytest
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import BENEFICIARY, fund_treasury, let_pass, rich, send_rpc, units_at, wei_at
from tests.hub import ETHER

from sakk.core import chart, evm
from sakk.core.errors import BalanceInsufficient, ParameterInvalid, UnexpectedState
from sakk.core.person import Actor
from sakk.core.treasury import Target, Tier
from sakk.flow import treasury as flow
from sakk.flow import withdrawal
from sakk.flow.word import Word
from sakk.signing.policy import load_policy, write_policy
from sakk.store import withdrawal as store
from sakk.store.identity import new_id

OPERATOR = Actor("key_operator")
VAULT_KEY = "0x" + "5a" * 32


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


def vault_address(world: World) -> str:
    return world.chain.wallet(VAULT_KEY).address.lower()


def name_vault(world: World, *, in_policy: bool = True) -> str:
    place = vault_address(world)
    with world.database.begin() as connection:
        flow.put_vault(
            connection,
            name=world.chain.network,
            place=place,
            tier=Tier.cold,
            label="bank",
            now=world.clock(),
        )
    if in_policy:
        path = world.directory / "policy.toml"
        policy, _ = load_policy(path)
        networks = tuple(
            msgspec.structs.replace(rule, cold_treasury_addresses=(place,))
            for rule in policy.networks
        )
        write_policy(path, msgspec.structs.replace(policy, networks=networks))
    return place


def finish(world: World) -> None:
    for _ in range(3):
        world.finalize()
        let_pass(world, 6)


def balances(world: World) -> dict[str, str]:
    [found] = [
        each
        for each in flow.plan(world.parts, livemode=False)
        if each["asset"] == world.asset("usdc")
    ]
    shown: dict[str, str] = found["balances"]
    return shown


def test_what_is_too_much_goes_to_the_vault_and_comes_back(world: World) -> None:
    fund_treasury(world, 1_000)
    place = name_vault(world)
    asset = world.asset("usdc")
    with world.database.begin() as connection:
        flow.put_target(
            connection, Target(asset, 100 * WHOLE_TOKEN, 300 * WHOLE_TOKEN, 500 * WHOLE_TOKEN)
        )
    [shown] = [each for each in flow.plan(world.parts, livemode=False) if each["asset"] == asset]
    [proposal] = shown["proposals"]
    assert (proposal["kind"], proposal["token_amount"]) == ("withdraw", str(700 * WHOLE_TOKEN))
    row = withdrawal.withdraw(
        world.parts,
        actor=OPERATOR,
        asset_name=asset,
        units=int(proposal["token_amount"]),
        destination=proposal["destination"],
    )
    again = withdrawal.withdraw(
        world.parts, actor=OPERATOR, asset_name=asset, units=1, destination=place, identifier=row.id
    )
    assert again.token_amount == row.token_amount
    finish(world)
    with world.database.begin() as connection:
        done = store.find(connection, row.id)
    assert done is not None
    assert (done.status, done.tx_hash is not None) == ("posted", True)
    assert units_at(world, place) == 700 * WHOLE_TOKEN
    assert balances(world) == {
        "hot": str(300 * WHOLE_TOKEN),
        "warm": "0",
        "cold": str(700 * WHOLE_TOKEN),
    }
    assert world.event_types(about=row.id, operator=True) == [
        "withdrawal.created",
        "withdrawal.posted",
    ]
    assert world.custody("usdc", "cold") == 700 * WHOLE_TOKEN
    equity = world.ledger(chart.equity_operator(asset))
    world.check()
    # People who hold the vault's key send some back: it is seen, and is no new money.
    world.chain.payer.send_native(evm.checksum_address(place), ETHER)
    world.mine()
    world.chain.wallet(VAULT_KEY).transfer(
        world.contract("usdc"), evm.checksum_address(world.treasury), 200 * WHOLE_TOKEN
    )
    finish(world)
    assert balances(world) == {
        "hot": str(500 * WHOLE_TOKEN),
        "warm": "0",
        "cold": str(500 * WHOLE_TOKEN),
    }
    assert world.ledger(chart.equity_operator(asset)) == equity
    assert world.suspense() == 0
    assert world.outflows() == []
    world.check()
    # What leaves it for elsewhere is somebody's work.
    world.chain.wallet(VAULT_KEY).transfer(
        world.contract("usdc"), evm.checksum_address(BENEFICIARY), 5 * WHOLE_TOKEN
    )
    finish(world)
    [left] = world.outflows()
    assert (left.place, left.status) == ("cold", "posted")
    assert balances(world)["cold"] == str(495 * WHOLE_TOKEN)
    world.check()


def test_the_operator_fills_a_vault_directly(world: World) -> None:
    place = name_vault(world)
    world.pay(place, "usdc", 9 * WHOLE_TOKEN)
    finish(world)
    assert balances(world)["cold"] == str(9 * WHOLE_TOKEN)
    assert world.balance() == 0
    assert world.ledger(chart.equity_operator(world.asset("usdc"))) == 9 * WHOLE_TOKEN
    world.check()


def test_a_withdrawal_goes_to_a_vault_alone(world: World) -> None:
    fund_treasury(world, 10)
    asset = world.asset("usdc")
    for destination in (BENEFICIARY, "0x12"):
        with pytest.raises(ParameterInvalid) as caught:
            withdrawal.withdraw(
                world.parts, actor=OPERATOR, asset_name=asset, units=1, destination=destination
            )
        assert caught.value.param == "destination"
    place = name_vault(world, in_policy=False)
    with pytest.raises(ParameterInvalid, match="more than nothing"):
        withdrawal.withdraw(
            world.parts, actor=OPERATOR, asset_name=asset, units=0, destination=place
        )
    with pytest.raises(BalanceInsufficient):
        withdrawal.withdraw(
            world.parts, actor=OPERATOR, asset_name=asset, units=11 * WHOLE_TOKEN, destination=place
        )
    with pytest.raises(ParameterInvalid, match="no listed asset"):
        withdrawal.withdraw(
            world.parts, actor=OPERATOR, asset_name=f"{asset[:-1]}0", units=1, destination=place
        )
    # The signer has an address book of its own, which no other process writes.
    row = withdrawal.withdraw(
        world.parts, actor=OPERATOR, asset_name=asset, units=1, destination=place
    )
    finish(world)
    with world.database.begin() as connection:
        found = store.find(connection, row.id)
    assert found is not None
    assert (found.status, found.failure_code) == ("rejected", "signer_destination_not_allowed")
    assert units_at(world, place) == 0
    world.check()


def test_one_that_is_approved_and_waits_is_stopped(world: World) -> None:
    """For gas, a turn, or coins that one address has: it would go whenever that comes."""
    fund_treasury(world, 10)
    place = name_vault(world)
    row = withdrawal.withdraw(
        world.parts, actor=OPERATOR, asset_name=world.asset("usdc"), units=1, destination=place
    )
    assert row.status == "approved"
    word = Word(OPERATOR, comment="not this week")
    stopped = withdrawal.reject(
        world.parts, row.id, word, approval_id=new_id("apr"), livemode=False
    )
    assert (stopped.status, stopped.failure_code) == ("rejected", "rejected")
    finish(world)
    assert (units_at(world, place), world.transactions()) == (0, [])
    another = withdrawal.withdraw(
        world.parts, actor=OPERATOR, asset_name=world.asset("usdc"), units=1, destination=place
    )
    world.run_only("withdrawal.build")
    with pytest.raises(UnexpectedState, match="approved"):
        withdrawal.reject(world.parts, another.id, word, approval_id=new_id("apr"), livemode=False)
    finish(world)
    assert units_at(world, place) == 1
    world.check()


def test_a_vault_is_no_address_of_another_kind(world: World) -> None:
    name_vault(world)
    customer = world.customer_address(world.customer())
    for place, tier, label in (
        (customer, Tier.cold, "x"),
        (world.treasury, Tier.cold, "x"),
        (BENEFICIARY, Tier.hot, "x"),
        (BENEFICIARY, Tier.cold, ""),
        ("0x12", Tier.cold, "x"),
    ):
        with world.database.begin() as connection, pytest.raises(ParameterInvalid):
            flow.put_vault(
                connection,
                name=world.chain.network,
                place=place,
                tier=tier,
                label=label,
                now=world.clock(),
            )
    asset = world.asset("usdc")
    for wrong in (Target(asset, 2, 1, 3), Target(asset, 1, 3, 2), Target("x", 1, 2, 3)):
        with world.database.begin() as connection, pytest.raises(ParameterInvalid):
            flow.put_target(connection, wrong)


def test_a_merchants_payout_does_not_go_to_a_vault(world: World) -> None:
    rich(world)
    with pytest.raises(ParameterInvalid):
        world.payout(WHOLE_TOKEN, address=name_vault(world))


def test_one_that_reverts_leaves_the_coins_hot(world: World) -> None:
    fund_treasury(world, 10)
    place = name_vault(world)
    asset = world.asset("usdc")
    row = withdrawal.withdraw(
        world.parts, actor=OPERATOR, asset_name=asset, units=WHOLE_TOKEN, destination=place
    )
    world.run_only("withdrawal.build", "transaction.sign", "transaction.broadcast")
    world.chain.issuer.call_contract(world.contract("usdc"), "pause()")
    # Before it in the block, for its tip is higher.
    send_rpc(world, "anvil_dropAllTransactions")
    world.chain.issuer.forget_nonce()
    world.chain.issuer.call_contract(world.contract("usdc"), "pause()")
    world.mine()
    let_pass(world, 6)
    finish(world)
    with world.database.begin() as connection:
        found = store.find(connection, row.id)
    assert found is not None
    assert (found.status, found.failure_code) == ("failed", "transaction_failed")
    assert world.custody("usdc", "hot") == 10 * WHOLE_TOKEN
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    world.check()
