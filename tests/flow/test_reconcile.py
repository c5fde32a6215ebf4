"""Reconciliation holds after every single step of every flow, and breaks when a thing is off."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.flow.conftest import MakeWorld
from tests.flow.harness import WHOLE_TOKEN, World
from tests.flow.money import BENEFICIARY, credit, payout_now, rich, send_rpc, wei_at

from sakk.core.errors import Unavailable, UnexpectedState
from sakk.flow.adoption import adopt
from sakk.ledger.projection import wait_projected
from sakk.rails.sandbox.chain import TokenKind, deploy_contract, deploy_token, mint


def command(world: World, *options: str) -> tuple[int, dict[str, Any]]:
    """Run the real ``sakk reconcile --json`` beside the world; its exit code and document."""
    wait_projected(world.database.url)
    done = subprocess.run(
        [sys.executable, "-m", "sakk.cli", "reconcile", "--json", *options],
        env={
            **os.environ,
            "DATABASE_URL": world.database.url,
            "SAKK_DATA_DIR": str(world.directory),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


def in_flight(world: World) -> set[str]:
    proof = world.reconcile()
    return {row.row for each in proof.networks for asset in each.assets for row in asset.in_flight}


def step_by_step(world: World, *, rounds: int) -> set[str]:
    """Run one stage at a time, with a proof after each that moved anything; who was in flight."""
    seen: set[str] = set()
    for _ in range(rounds):
        for stage in world.stages.values():
            if stage.run():
                seen |= in_flight(world)
        world.mine()
        world.advance(timedelta(seconds=2))
        seen |= in_flight(world)
    return seen


def test_it_holds_after_every_step_of_every_flow(make_world: MakeWorld) -> None:
    world = make_world(sweep=True)
    intent = world.intent(2500)
    world.pay(intent)
    seen = step_by_step(world, rounds=12)
    payin, [sweep] = world.payin(intent), world.sweeps()
    assert sweep.status == "posted"
    assert payin.id in seen
    assert {row.id for row in world.transactions()} <= seen
    row = world.payout(20 * WHOLE_TOKEN, address=BENEFICIARY)
    seen |= step_by_step(world, rounds=6)
    assert payout_now(world, row).status == "posted"
    assert {each.id for each in world.transactions()} <= seen
    world.check()


def test_the_command_agrees_with_the_library(world: World) -> None:
    rich(world, 100)
    world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    world.finalize()
    code, document = command(world)
    assert (code, document["ok"], document["breaks"]) == (0, True, [])
    [found] = document["networks"]
    assert found["block_number"] == world.chain.height() - 2
    assert found["block_hash"] == world.chain.block_hash(found["block_number"])
    usdc = next(each for each in found["assets"] if each["asset"] == world.asset("usdc"))
    assert usdc["chain_units"] == usdc["ledger_units"] == str(1_070 * WHOLE_TOKEN)
    code, document = command(world, "--network", world.chain.network)
    assert (code, len(document["networks"])) == (0, 1)


ALTERED: dict[str, Sequence[str]] = {
    "a pay-in's units": [
        "UPDATE payins SET token_amount = token_amount + 1 WHERE role = 'payment'"
    ],
    "a pay-in's amount": ["UPDATE payins SET amount = amount + 1 WHERE role = 'payment'"],
    "a pay-in's credit": ["UPDATE payins SET credit_units = credit_units - 1 WHERE role='payment'"],
    "a pay-in's asset": ["UPDATE payins SET asset = 'eip155:84532/slip44:60' WHERE role='payment'"],
    "a pay-in's status": ["UPDATE payins SET status = 'reversed' WHERE role = 'payment'"],
    "a pay-in is deleted": ["DELETE FROM payins WHERE role = 'payment'"],
    "the treasury's funding is deleted": ["DELETE FROM payins WHERE role = 'treasury'"],
    "a payout's amount": ["UPDATE payouts SET amount = amount + 1"],
    "a payout's units": ["UPDATE payouts SET token_amount = token_amount + 1"],
    "a payout's destination": [f"UPDATE payouts SET destination = '0x{'71' * 20}'"],
    "a payout's status": ["UPDATE payouts SET status = 'failed'"],
    "a payout is deleted": ["DELETE FROM payouts"],
    "a transaction's destination": [f"UPDATE transactions SET destination = '0x{'71' * 20}'"],
    "a transaction's bytes": ["UPDATE transactions SET raw = unsigned"],
    "a transaction's gas": ["UPDATE transactions SET gas_cost = gas_cost + 1"],
    "a transaction is deleted": ["DELETE FROM transactions"],
    "what stands on an address": ["UPDATE deposits SET units = units - 1"],
    "no count of an address": ["DELETE FROM deposits"],
    "the address book": ["DELETE FROM addresses WHERE purpose = 'payment'"],
    "the treasury's address": ["DELETE FROM addresses WHERE purpose = 'treasury'"],
    "custody": ["UPDATE ledger_accounts SET debits_posted = debits_posted + 1 WHERE code = 10"],
    "a merchant's balance": [
        "UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE code = 21"
    ],
    "the bridge": [
        "UPDATE ledger_accounts SET credits_posted = credits_posted + 1,"
        " debits_posted = debits_posted + 1 WHERE code = 30",
        "UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE code = 15",
    ],
    "a transfer": ["UPDATE ledger_transfers SET amount = amount + 1 WHERE code = 100"],
}


@pytest.fixture
def settled(world: World) -> World:
    """A pay-in, a funded treasury and a payout, all booked."""
    rich(world, 100)
    world.payout(30 * WHOLE_TOKEN, address=BENEFICIARY)
    world.run()
    world.finalize()
    world.check()
    return world


@pytest.mark.parametrize("what", ALTERED)
def test_it_breaks_when_a_row_is_altered(settled: World, what: str) -> None:
    with settled.database.begin() as connection:
        for statement in ALTERED[what]:
            assert connection.execute(text(statement)).rowcount
    proof = settled.reconcile(ok=False)
    assert proof.breaks


def test_the_command_fails_loudly(settled: World) -> None:
    with settled.database.begin() as connection:
        connection.execute(text("UPDATE payins SET amount = amount + 1 WHERE role = 'payment'"))
    code, document = command(settled)
    assert (code, document["ok"]) == (1, False)
    assert document["breaks"]


def test_a_token_that_nobody_saw_arrive_breaks_it(settled: World) -> None:
    """Minted while nobody watched: the node shows it, no row does."""
    [address] = {row.address for row in settled.payins()}
    mint(settled.chain.contracts, settled.chain.contracts.usdc, address, 5)
    settled.mine(3)
    settled.watch()
    with settled.database.begin() as connection:
        connection.execute(text("DELETE FROM payins WHERE token_amount = 5"))
    settled.run()
    code, document = command(settled)
    assert code == 1
    assert any("difference 5" in found for found in document["breaks"])
    # A token's surplus is a fault to be found, and is never adopted.
    code, document = command(settled, "--adopt")
    assert (code, document["adopted"]) == (1, [])


@pytest.mark.parametrize("more", [1, -1])
def test_native_coin_that_is_more_or_less_breaks_it(settled: World, more: int) -> None:
    held = wei_at(settled, settled.treasury)
    send_rpc(settled, "anvil_setBalance", settled.treasury, hex(held + more))
    settled.finalize()
    proof = settled.reconcile(ok=False)
    assert [found for found in proof.breaks if f"difference {more}" in found] == proof.breaks


def test_before_a_final_block_there_is_nothing_to_prove(world: World) -> None:
    with world.database.begin() as connection:
        connection.execute(text("UPDATE network_cursors SET block_number = NULL"))
    with pytest.raises(Unavailable, match="final block"):
        world.reconcile()


def send_inside(world: World, *payments: tuple[str, int]) -> None:
    """Native coin to addresses by a contract's inner calls: no log, no transaction to them."""
    batcher = deploy_contract(world.chain.contracts, "Batcher")
    world.chain.payer.call_contract(
        batcher,
        "sendMany(address[],uint256[])",
        [address for address, _ in payments],
        [wei for _, wei in payments],
        value_wei=sum(wei for _, wei in payments),
    )


def test_native_coin_by_an_inner_call_is_seen_and_adopted(world: World) -> None:
    credit(world, 25)
    [deposit] = {row.address for row in world.payins()}
    send_inside(world, (deposit, 7), (world.treasury, 11))
    world.finalize()
    assert len(world.payins()) == 1
    code, document = command(world)
    assert (code, document["ok"]) == (1, False)
    assert f"difference {7 + 11}" in document["breaks"][0]

    code, document = command(world, "--adopt")
    assert (code, document["ok"]) == (0, True)
    assert sorted(int(each["token_amount"]) for each in document["adopted"]) == [7, 11]
    assert in_flight(world) == {each["id"] for each in document["adopted"]}
    world.run()
    assert in_flight(world) == set()
    assert world.suspense(world.native) == 18
    assert world.custody(world.native, "deposit") == 7
    assert world.custody(world.native, "hot") == wei_at(world, world.treasury)
    for each in document["adopted"]:
        assert world.event_types(about=each["id"], operator=True) == [
            "adoption.created",
            "adoption.posted",
        ]
    world.check()

    code, document = command(world, "--adopt")
    assert (code, document["adopted"]) == (0, [])
    world.finalize()
    assert adopt(world.parts, world.chain.network) == []
    send_inside(world, (deposit, 3))
    world.finalize()
    [again] = adopt(world.parts, world.chain.network)
    assert (again.token_amount, again.address, again.place) == (3, deposit, "deposit")
    world.run()
    assert world.suspense(world.native) == 21
    world.check()


def test_nothing_is_adopted_while_coins_are_missing(world: World) -> None:
    credit(world, 25)
    [deposit] = {row.address for row in world.payins()}
    send_inside(world, (deposit, 7))
    held = wei_at(world, world.treasury)
    send_rpc(world, "anvil_setBalance", world.treasury, hex(held - 1))
    world.finalize()
    with pytest.raises(UnexpectedState, match="missing"):
        adopt(world.parts, world.chain.network)
    assert world.suspense(world.native) == 0


def test_adoption_counts_what_is_under_way(make_world: MakeWorld) -> None:
    """Gas, top-ups and transactions that are mined and not booked yet are no surplus."""
    world = make_world(sweep=True)
    intent = world.intent(2500)
    world.pay(intent)
    for _ in range(10):
        world.mine(3)
        world.watch()
        assert adopt(world.parts, world.chain.network) == []
        world.run()
        world.advance(timedelta(seconds=3))
    assert [sweep.status for sweep in world.sweeps()] == ["posted"]
    send_inside(world, (intent.address, 9))
    world.finalize()
    [row] = adopt(world.parts, world.chain.network)
    assert row.token_amount == 9
    world.run()
    world.check()


def test_an_unknown_network_has_nothing_to_adopt(world: World) -> None:
    with pytest.raises(UnexpectedState, match="no network"):
        adopt(world.parts, "eip155:1")


def test_coins_that_no_account_can_hold_are_in_flight_and_not_a_break(world: World) -> None:
    """More units than a ledger account can hold: a held row, an alarm, and no posting."""
    token = deploy_token(
        world.chain.contracts, TokenKind.plain, name="Huge", symbol="HUGE", decimals=6
    )
    world.list_token(token)
    address = world.customer_address(world.customer())
    mint(world.chain.contracts, token, address, 1 << 130)
    world.finalize()
    [row] = world.payins()
    assert (row.status, row.role) == ("held", "excessive")
    assert in_flight(world) == {row.id}
    world.check()
