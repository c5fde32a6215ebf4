"""Sweeps on a real chain: deposits are collected with gas from the treasury, to the wei."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import text
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import (
    BENEFICIARY,
    let_pass,
    payout_now,
    send_rpc,
    sweep_now,
    transaction_of,
    units_at,
    wei_at,
)

from sakk.core import chart
from sakk.core.network import Quirk
from sakk.core.payment import PaymentIntent
from sakk.core.sweep import Sweep
from sakk.rails.sandbox.chain import TokenKind, deploy_token, mint
from sakk.signing.policy import AssetRule, load_policy, write_policy
from sakk.store import network


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A world that collects deposits of one token and more."""
    return make_world(sweep=True)


def paid(world: World, amount: int = 2500, token: str = "usdc") -> PaymentIntent:
    """A payment that is credited, whose coins stand on their deposit address."""
    intent = world.intent(amount)
    world.pay(intent, token)
    world.mine(3)
    world.run_except("sweep.collect")
    return intent


def collect(world: World, rounds: int = 8) -> None:
    """Everything runs until a sweep with its top-up is final."""
    for _ in range(rounds):
        let_pass(world, 3)
        world.mine()
    world.mine(2)
    let_pass(world, 3)


def only_sweep(world: World) -> Sweep:
    [sweep] = world.sweeps()
    return sweep


def native_matches(world: World, *deposits: str) -> None:
    """The ledger's native coin is the chain's, by place, to the wei."""
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    tank = -world.ledger(chart.gas_tank(world.chain.network, world.native))
    held = world.custody(world.native, "deposit") + tank
    assert held == sum(wei_at(world, each) for each in deposits)


def test_a_deposit_is_collected_after_its_credit(world: World) -> None:
    intent = paid(world)
    assert world.balance() == 25 * WHOLE_TOKEN
    assert world.sweeps() == []
    collect(world)
    sweep = only_sweep(world)
    assert (sweep.status, sweep.token_amount) == ("posted", 25 * WHOLE_TOKEN)
    assert units_at(world, intent.address) == 0
    assert units_at(world, world.treasury) == 25 * WHOLE_TOKEN
    assert world.custody("usdc", "deposit") == 0
    assert world.custody("usdc", "hot") == 25 * WHOLE_TOKEN
    assert world.balance() == 25 * WHOLE_TOKEN
    # One top-up, one sweep; what was too much stays on the deposit address and in the ledger.
    assert sorted(row.purpose for row in world.transactions()) == ["sweep", "topup"]
    assert {row.status for row in world.transactions()} == {"posted"}
    assert wei_at(world, intent.address) > 0
    native_matches(world, intent.address)
    assert world.event_types(about=sweep.id, operator=True) == [
        "sweep.created",
        "sweep.signed",
        "sweep.broadcast",
        "sweep.confirmed",
        "sweep.posted",
    ]
    assert [name for name in world.event_types() if name.startswith("sweep")] == []
    world.check()


def test_the_next_sweep_of_an_address_spends_what_the_last_left(world: World) -> None:
    customer = world.customer()
    address = world.customer_address(customer)
    for _ in range(2):
        world.pay(address, "usdc", 5 * WHOLE_TOKEN)
        world.finalize()
        collect(world)
    assert [sweep.status for sweep in world.sweeps()] == ["posted", "posted"]
    native_matches(world, address)
    assert units_at(world, world.treasury) == 10 * WHOLE_TOKEN
    world.check()


def test_below_the_minimum_it_stays_until_more_comes(world: World) -> None:
    address = world.customer_address(world.customer())
    world.pay(address, "usdc", WHOLE_TOKEN - 1)
    world.finalize()
    collect(world, 2)
    assert world.sweeps() == []
    world.pay(address, "usdc", 1)
    world.finalize()
    collect(world)
    assert only_sweep(world).token_amount == WHOLE_TOKEN
    assert only_sweep(world).status == "posted"
    world.check()


def test_an_address_with_held_money_is_not_touched(world: World) -> None:
    address = world.customer_address(world.customer())
    world.pay(address, "usdc", 5 * WHOLE_TOKEN)
    world.mine(3)
    world.run_except("sweep.collect")
    world.import_list(world.chain.payer.address.lower())
    world.pay(address, "usdt", 2 * WHOLE_TOKEN)
    world.finalize()
    assert [row.status for row in world.payins(asset=world.asset("usdt"))] == ["held"]
    collect(world, 2)
    assert world.sweeps() == []
    assert units_at(world, address) == 5 * WHOLE_TOKEN
    world.check()
    [held] = world.payins(status="held")
    world.release(held)
    collect(world, 12)
    assert {sweep.status for sweep in world.sweeps()} == {"posted"}
    assert (units_at(world, address), units_at(world, address, "usdt")) == (0, 0)
    world.check()


def test_two_assets_on_one_address(world: World) -> None:
    address = world.customer_address(world.customer())
    world.pay(address, "usdc", 5 * WHOLE_TOKEN)
    world.pay(address, "usdt", 3 * WHOLE_TOKEN)
    world.finalize()
    collect(world, 14)
    assert {sweep.status for sweep in world.sweeps()} == {"posted"}
    assert units_at(world, world.treasury, "usdc") == 5 * WHOLE_TOKEN
    assert units_at(world, world.treasury, "usdt") == 3 * WHOLE_TOKEN
    sent = [row for row in world.transactions() if row.purpose == "sweep"]
    assert sorted(row.nonce for row in sent) == [0, 1]
    native_matches(world, address)
    world.check()


def test_a_payout_waits_for_a_sweep_and_then_goes(world: World) -> None:
    paid(world)
    row = world.payout(20 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run_except("sweep.collect")
    assert payout_now(world, row).status == "approved"
    collect(world, 12)
    world.finalize()
    assert payout_now(world, row).status == "posted"
    assert units_at(world, BENEFICIARY) == 20 * WHOLE_TOKEN
    world.check()


def test_what_a_token_keeps_on_the_way_is_a_loss(world: World) -> None:
    """Tether with its fee on: a Transfer to the issuer says what was kept."""
    intent = paid(world, token="usdt")
    world.chain.issuer.call_contract(world.contract("usdt"), "setParams(uint256,uint256)", 10, 49)
    world.mine()
    collect(world)
    assert only_sweep(world).status == "posted"
    lost = 25 * WHOLE_TOKEN // 1_000
    assert units_at(world, world.treasury, "usdt") == 25 * WHOLE_TOKEN - lost
    assert world.custody("usdt", "hot") == 25 * WHOLE_TOKEN - lost
    assert world.ledger(chart.loss("transfer_fee", world.asset("usdt"))) == -lost
    native_matches(world, intent.address)
    world.check()


def test_what_a_token_keeps_and_does_not_tell_is_a_loss_too(world: World) -> None:
    """A token whose Transfer event says more than it credits."""
    token = deploy_token(
        world.chain.contracts,
        TokenKind.gross_fee,
        name="Gross",
        symbol="GRS",
        decimals=6,
        fee_basis_points=100,
    )
    asset = world.list_token(token, quirks=[Quirk.fee_on_transfer], sweep_minimum=WHOLE_TOKEN)
    policy, _ = load_policy(world.directory / "policy.toml")
    allowed = AssetRule(asset=asset.asset, per_transaction_max=str(10**12))
    write_policy(
        world.directory / "policy.toml",
        msgspec.structs.replace(policy, assets=(*policy.assets, allowed)),
    )
    address = world.customer_address(world.customer())
    mint(world.chain.contracts, token, world.chain.payer.address, 200 * WHOLE_TOKEN)
    world.pay(address, token.contract, 100 * WHOLE_TOKEN)
    world.finalize()
    arrived = units_at(world, address, token.contract)
    assert arrived < 100 * WHOLE_TOKEN
    assert world.balance("grs") == arrived
    let_pass(world, 3)
    while not (world.sweeps() and only_sweep(world).status == "broadcast"):
        world.mine()
        let_pass(world, 3)
    # The next payment stands in the block in which the first is collected.
    world.pay(address, token.contract, 100 * WHOLE_TOKEN)
    collect(world, rounds=4)
    assert world.balance("grs") == 2 * arrived
    assert [each.status for each in world.sweeps()] == ["posted", "posted"]
    in_treasury = units_at(world, world.treasury, token.contract)
    assert in_treasury < 2 * arrived
    assert world.custody(asset.asset, "hot") == in_treasury
    assert world.ledger(chart.loss("transfer_fee", asset.asset)) == in_treasury - 2 * arrived
    world.check()


def test_one_that_reverted_puts_the_coins_back_and_is_tried_again(world: World) -> None:
    intent = paid(world)
    world.stages["transaction.broadcast"], broadcast = (
        replace(world.stages["transaction.broadcast"], run=lambda: 0),
        world.stages["transaction.broadcast"],
    )
    world.chain.payer.send_native(intent.address, 10**18)
    world.finalize()
    world.stages["transaction.broadcast"] = broadcast
    for _ in range(3):
        world.run_except("transaction.broadcast")
        world.advance(timedelta(seconds=3))
    assert only_sweep(world).status == "signed"
    world.chain.issuer.call_contract(world.contract("usdc"), "pause()")
    world.run()
    world.finalize()
    failed = only_sweep(world)
    assert (failed.status, failed.failure_code) == ("failed", "transaction_failed")
    assert units_at(world, intent.address) == 25 * WHOLE_TOKEN
    assert world.custody("usdc", "deposit") == 25 * WHOLE_TOKEN
    assert world.event_types(about=failed.id, operator=True)[-1] == "sweep.failed"
    world.check()
    world.chain.issuer.call_contract(world.contract("usdc"), "unpause()")
    world.mine()
    world.run()
    assert len(world.sweeps()) == 1
    world.advance(timedelta(hours=1))
    collect(world)
    assert [sweep.status for sweep in world.sweeps()] == ["failed", "posted"]
    assert units_at(world, world.treasury) == 25 * WHOLE_TOKEN
    world.check()


def test_one_that_would_revert_is_given_up_for_an_hour(world: World) -> None:
    paid(world)
    world.chain.issuer.call_contract(world.contract("usdc"), "pause()")
    world.mine()
    for _ in range(8):
        let_pass(world, 10)
    failed = only_sweep(world)
    assert (failed.status, failed.failure_code) == ("failed", "transfer_would_fail")
    assert world.event_types(about=failed.id, operator=True)[-1] == "sweep.failed"
    world.check()
    world.chain.issuer.call_contract(world.contract("usdc"), "unpause()")
    world.mine()
    world.advance(timedelta(hours=1))
    collect(world)
    assert [sweep.status for sweep in world.sweeps()] == ["failed", "posted"]
    world.check()


def test_the_signer_sends_a_sweep_nowhere_but_home(world: World) -> None:
    paid(world)
    world.run_only("sweep.collect")
    with world.database.begin() as connection:
        connection.execute(text(f"UPDATE sweeps SET destination = '{BENEFICIARY}'"))
    collect(world)
    assert only_sweep(world).status == "failed"
    assert only_sweep(world).failure_code == "signer_destination_not_allowed"
    assert units_at(world, BENEFICIARY) == 0
    assert world.custody("usdc", "deposit") == 25 * WHOLE_TOKEN
    world.check()
    world.advance(timedelta(hours=1))
    collect(world)
    assert [sweep.status for sweep in world.sweeps()] == ["failed", "posted"]
    assert units_at(world, world.treasury) == 25 * WHOLE_TOKEN
    world.check()


def test_a_top_up_that_was_refused_is_asked_for_again(world: World) -> None:
    path = world.directory / "policy.toml"
    generous, _ = load_policy(path)
    rules = tuple(
        msgspec.structs.replace(rule, topup_per_transaction_max="1") for rule in generous.networks
    )
    write_policy(path, msgspec.structs.replace(generous, networks=rules))
    paid(world)
    collect(world, 3)
    assert {row.status for row in world.transactions()} == {"refused"}
    refused = len(world.transactions())
    collect(world, 3)
    assert len(world.transactions()) == refused
    world.check()
    write_policy(path, generous)
    let_pass(world, 61)
    collect(world)
    assert only_sweep(world).status == "posted"
    world.check()


def test_a_treasury_without_native_coin_is_waited_for(world: World) -> None:
    intent = paid(world)
    held = wei_at(world, world.treasury)
    send_rpc(world, "anvil_setBalance", world.treasury, "0x1")
    collect(world, 3)
    for _ in range(8):
        let_pass(world, 20)
    assert only_sweep(world).status == "approved"
    assert world.transactions() == []
    send_rpc(world, "anvil_setBalance", world.treasury, hex(held))
    world.mine()
    collect(world)
    assert only_sweep(world).status == "posted"
    native_matches(world, intent.address)
    world.check()


def test_a_reorg_of_the_whole_collection(world: World) -> None:
    intent = paid(world)
    collect(world)
    sweep = only_sweep(world)
    assert sweep.status == "posted"
    raws = {row.id: row.raw for row in world.transactions()}
    blocks = [row.block_number or 0 for row in world.transactions()]
    world.chain.reorg(world.chain.height() - min(blocks) + 1)
    world.run()
    assert units_at(world, intent.address) == 25 * WHOLE_TOKEN
    world.reconcile()
    for _ in range(4):
        let_pass(world, 6)
        world.mine()
    world.finalize()
    assert {row.id: row.raw for row in world.transactions()} == raws
    assert all(not row.orphaned for row in world.transactions())
    assert sweep_now(world, sweep).status == "posted"
    assert transaction_of(world, sweep).status == "posted"
    assert units_at(world, world.treasury) == 25 * WHOLE_TOKEN
    native_matches(world, intent.address)
    world.check()


def test_a_fee_that_rises_before_the_top_up_arrives(world: World) -> None:
    intent = paid(world)
    world.run()
    base = int(send_rpc(world, "eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    for _ in range(14):
        base = base * 9 // 8
        send_rpc(world, "anvil_setNextBlockBaseFeePerGas", hex(base))
        world.mine()
        let_pass(world, 6)
    collect(world)
    assert only_sweep(world).status == "posted"
    native_matches(world, intent.address)
    world.check()


def test_a_disabled_network_is_left_alone(world: World) -> None:
    paid(world)
    with world.database.begin() as connection:
        [found] = network.list_networks(connection)
        network.put_network(connection, replace(found, enabled=False))
    world.run_only("sweep.collect", "sweep.build")
    assert world.sweeps() == []
