"""A thief who has a key of ours: told from the block on, and nothing is signed after it."""

import json
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import select
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.hubs import collect_all, deposited, use_hub
from tests.flow.money import BENEFICIARY, payout_now, rich, transaction_of, units_at
from tests.flow.wiring import WHOLE_TOKEN
from tests.hub import authorize
from typer.testing import CliRunner

from sakk.cli.app import make_app
from sakk.core import evm
from sakk.core.breach import Breach, Guard
from sakk.core.case import CaseKind, Priority
from sakk.flow.hub import LOOK_EVERY
from sakk.flow.transaction import ask
from sakk.rails.sandbox.chain import TokenKind, deploy_token
from sakk.rails.sandbox.wallet import Wallet
from sakk.signing.keystore import Keystore
from sakk.signing.protocol import Branch
from sakk.store.breach import breaches
from sakk.store.case import cases
from sakk.store.database import fetch_all
from sakk.store.freeze import list_in_force

THIEF = evm.checksum_address("0x" + "7f" * 20)
pytestmark = pytest.mark.breached


def guard(world: World, which: Guard) -> None:
    """As the watcher's process sets it."""
    for name, stage in world.stages.items():
        if name.startswith("watch."):
            follower: Any = stage.run
            follower.__self__.guard = which


def stolen(world: World, keystore: Keystore, branch: Branch = Branch.treasury) -> Wallet:
    """A wallet with a key of ours."""
    key = keystore._derive(branch, 0)
    return world.chain.wallet("0x" + key.to_hex())


def seen(world: World) -> list[Breach]:
    with world.database.begin() as connection:
        return fetch_all(connection, select(breaches).order_by(breaches.c.id), Breach)


def mined(world: World) -> list[Breach]:
    """One more block, followed; what it tells."""
    before = len(seen(world))
    world.mine()
    world.watch()
    return seen(world)[before:]


def test_whatever_a_thief_does_with_the_treasurys_key_stops_what_goes_out(
    world: World, world_keystore: Keystore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rich(world, 100)
    guard(world, Guard.treasury)
    row = world.payout(WHOLE_TOKEN, address=BENEFICIARY)
    world.run_only("payout.screen", "payout.decide", "payout.build")
    thief = stolen(world, world_keystore)
    usdc = world.contract("usdc")
    thief.call_contract(usdc, "approve(address,uint256)", THIEF, 2**256 - 1)
    approval, sending = sorted(mined(world), key=lambda each: each.kind)
    assert (approval.kind, approval.units, approval.other) == (
        "approval",
        2**256 - 1,
        THIEF.lower(),
    )
    assert (sending.kind, sending.other, sending.tx_hash) == (
        "transaction",
        usdc.lower(),
        approval.tx_hash,
    )
    with world.database.begin() as connection:
        [halt] = list_in_force(connection)
        [case] = connection.execute(select(cases)).all()
    assert (halt.origin, halt.scope, approval.freeze) == ("defence", "all", halt.id)
    assert (case.kind, case.priority, approval.case) == (CaseKind.outflow, Priority.urgent, case.id)
    assert approval.case == sending.case
    assert world.event_types(about=approval.id, operator=True) == ["breach.seen"]

    # What was built before is not signed after, and the signer itself is told.
    world.run()
    assert transaction_of(world, row).raw is None
    assert payout_now(world, row).status == "approved"
    assert world.parts.signer_client().status().frozen

    thief.transfer(usdc, THIEF, WHOLE_TOKEN)
    assert sorted(each.kind for each in mined(world)) == ["transaction", "transfer"]
    thief.send_native(THIEF, 1)
    assert sorted(each.kind for each in mined(world)) == ["transaction", "transfer"]
    thief.send_native(world.treasury, 0)
    assert [each.kind for each in mined(world)] == ["transaction"]
    monkeypatch.setenv("DATABASE_URL", world.database.url)
    said = CliRunner().invoke(make_app("breaches"), ["breaches", "list", "--json"])
    assert {each["freeze"] for each in json.loads(said.stdout)} == {halt.id}
    with world.database.begin() as connection:
        assert [each.id for each in list_in_force(connection)] == [halt.id]
    assert {each.freeze for each in seen(world)} == {halt.id}


def test_a_stolen_signature_that_another_sends_is_seen(
    world: World, world_keystore: Keystore
) -> None:
    guard(world, Guard.treasury)
    key = "0x" + world_keystore._derive(Branch.treasury, 0).to_hex()
    signed = authorize(key, THIEF.lower(), nonce=0)
    payer = world.chain.payer
    fields = {
        "type": 4,
        "chainId": int(world.chain.network.split(":")[1]),
        "nonce": int(world.chain.rpc.call("eth_getTransactionCount", payer.address, "latest"), 16),
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 10**9,
        "gas": 100_000,
        "to": payer.address,
        "value": 0,
        "data": b"",
        "authorizationList": [
            {
                "chainId": 0,
                "address": bytes.fromhex(THIEF[2:]),
                "nonce": 0,
                "yParity": signed.signature.y_parity,
                "r": signed.signature.r,
                "s": signed.signature.s,
            }
        ],
    }
    raw = Account.from_key(payer.private_key).sign_transaction(fields).raw_transaction
    world.chain.rpc.call("eth_sendRawTransaction", "0x" + bytes(raw).hex())
    payer.forget_nonce()
    [found] = mined(world)
    assert (found.kind, found.address, found.other) == (
        "delegation",
        world.treasury,
        THIEF.lower(),
    )
    assert found.freeze is not None


def test_of_a_deposit_address_it_is_told_and_nothing_stops(
    world: World, world_keystore: Keystore
) -> None:
    """Unless the operator wants it; anybody's contract may say that we approved somebody."""
    guard(world, Guard.treasury)
    intent = world.intent(2500)
    world.pay(intent)
    world.pay_native(intent, 10**18)
    world.finalize()
    owner = evm.checksum_address(intent.address)
    with world.database.begin() as connection:
        index = connection.exec_driver_sql(
            "SELECT key_index FROM addresses WHERE address = %s", (intent.address,)
        ).scalar_one()
    key = world_keystore._derive(Branch.deposit, index)
    thief = world.chain.wallet("0x" + key.to_hex())
    assert thief.address == owner
    thief.call_contract(world.contract("usdt"), "approve(address,uint256)", THIEF, 5)
    found = mined(world)
    assert sorted(each.kind for each in found) == ["approval", "transaction"]
    assert {(each.place, each.freeze) for each in found} == {("deposit", None)}
    assert all(each.case for each in found)

    guard(world, Guard.all)
    unlisted = deploy_token(
        world.chain.contracts, TokenKind.plain, name="Fake", symbol="FAKE", decimals=6
    )
    thief.call_contract(unlisted.contract, "approve(address,uint256)", THIEF, 5)
    found = mined(world)
    assert [each.kind for each in found] == ["transaction"]
    assert found[0].freeze is not None


def test_what_we_do_ourselves_is_no_alarm(make_world: MakeWorld) -> None:
    """Top-ups, sweeps, payouts, one signed anew for a higher fee and one called off.

    Every other test with a world asserts the same at its end, unless it is marked ``breached``.
    """
    world = make_world(sweep=True)
    guard(world, Guard.all)
    rich(world, 100)
    collect_all(world)
    assert {each.purpose for each in world.transactions()} >= {"topup", "sweep"}
    rows = [world.payout(WHOLE_TOKEN, address=BENEFICIARY) for _ in range(2)]
    world.run()
    for row, asked in zip(rows, ("replace", "cancel"), strict=True):
        ask(world.parts, transaction_of(world, row).id, asked, livemode=False)
    world.run()
    world.finalize()
    world.finalize()
    assert sorted(payout_now(world, row).status for row in rows) == ["failed", "posted"]
    assert seen(world) == []
    world.check()


def test_it_is_told_once_however_often_its_block_comes_back(
    world: World, world_keystore: Keystore
) -> None:
    rich(world, 1)
    gone = stolen(world, world_keystore).transfer(world.contract("usdc"), THIEF, 1)
    assert len(mined(world)) == 2
    world.mine()
    world.watch()
    world.chain.reorg(2, again=[gone])
    world.watch()
    world.mine()
    world.watch()
    assert len(seen(world)) == 2
    assert units_at(world, THIEF) == 1


def test_a_hub_that_is_to_pay_a_stranger_is_told(make_world: MakeWorld) -> None:
    world = make_world(sweep=True)
    deployed = use_hub(world)
    deposited(world, 2)
    collect_all(world)
    assert seen(world) == []
    deployed.cold_call("propose(address)", THIEF)
    world.advance(LOOK_EVERY)
    world.run_only("hub.look")
    [found] = seen(world)
    assert (found.kind, found.place, found.other) == ("treasury", "contract", THIEF.lower())
    assert (found.freeze, found.case is not None) == (None, True)
