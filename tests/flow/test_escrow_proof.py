"""Coins in the escrow are proved as coins in custody are: a unit that one side lacks is found."""

from collections.abc import Sequence

import pytest
from sqlalchemy import text
from tests.flow.conftest import MakeWorld
from tests.flow.harness import CONFIRMATIONS, WHOLE_TOKEN, World
from tests.flow.test_escrow import BACK, OUT, PRICE, UNITS, Shop, settle

from sakk.core import evm
from sakk.core.escrow import ESCROW, ChannelState, encode_deposit
from sakk.core.reconcile import EscrowProof
from sakk.flow import escrow_proof
from sakk.flow.escrow_channel import order_deposit
from sakk.rails.evm.escrow import read_states
from sakk.rails.evm.rpc import Rpc


def proved(world: World, *, ok: bool = True) -> EscrowProof:
    [network] = world.reconcile(ok=ok).networks
    [proof] = network.escrows
    return proof


def step_by_step(world: World) -> set[str]:
    """Run each stage alone with a proof after it; why what stands in escrow was in flight."""
    seen: set[str] = set()
    for stages in (OUT, BACK):
        for stage in stages:
            world.run_only(stage)
            seen |= {row.why for row in proved(world).in_flight}
        world.mine(CONFIRMATIONS + 1)
        world.watch()
    return seen


def alter(world: World, statement: str) -> None:
    with world.database.begin() as connection:
        assert connection.execute(text(statement)).rowcount == 1


def take_out_of_contract(shop: Shop, units: int) -> None:
    """Write a channel's balance into the contract's storage: no call of it takes coins so."""
    rpc = shop.world.chain.rpc
    for slot in range(10):
        key = "0x" + evm.keccak256(shop.payer.channel + slot.to_bytes(32, "big")).hex()
        held = int(rpc.call("eth_getStorageAt", ESCROW, key, "latest"), 16)
        if held:
            rpc.call("anvil_setStorageAt", ESCROW, key, f"0x{held - units:064x}")
            return
    raise AssertionError("the contract keeps channels elsewhere")


def test_a_unit_that_one_side_lacks_is_found(make_world: MakeWorld) -> None:
    shop = Shop(make_world())
    world, payer = shop.world, shop.payer
    order_deposit(world.parts, shop.terms, payer.deposit(UNITS, PRICE))
    assert "escrow confirmed" in step_by_step(world) | step_by_step(world)
    shop.pay(WHOLE_TOKEN, amount=WHOLE_TOKEN)
    assert "redemption confirmed" in step_by_step(world) | step_by_step(world)
    coins = UNITS - WHOLE_TOKEN
    proof = proved(world)
    assert (proof.chain_units, proof.ledger_units, proof.channels) == (coins, coins, [])

    # Deposited by its payer's own transaction: no money of ours, and no break.
    other = payer.deposit(5, PRICE)
    payer.call(encode_deposit(other.config, 5, other.authorization))
    settle(world)
    proof = proved(world)
    assert (proof.foreign_units, proof.difference, proof.breaks) == (5, 0, [])
    [differing] = proof.channels
    assert (differing.channel, differing.foreign_units) == (shop.channel().id, 5)

    take_out_of_contract(shop, 8)
    world.mine(CONFIRMATIONS + 1)
    world.watch()
    asset = world.asset("usdc")
    assert proved(world, ok=False).breaks == [
        f"{shop.channel().id}: the escrow holds {UNITS - 3}, the books expect {UNITS},"
        " difference -3",
        f"{asset} in escrow: the contract holds {coins - 3}, the ledger expects {coins},"
        " difference -3",
    ]
    # It is a loss that nobody may hide: the look books it as taken by its payer, and tells.
    settle(world, seconds=300)
    world.check()

    for statement, words in (
        ("debits_posted = debits_posted + 1 WHERE code = 18", "in escrow: the contract holds"),
        (
            "credits_posted = credits_posted + 1 WHERE id = (SELECT id FROM ledger_account_names"
            f" WHERE name LIKE 'channel:{shop.channel().id}:deposit#%')",
            "the books expect",
        ),
    ):
        alter(world, f"UPDATE ledger_accounts SET {statement}")
        assert words in " ".join(proved(world, ok=False).breaks)
        alter(world, f"UPDATE ledger_accounts SET {statement.replace('+ 1', '- 1')}")
    alter(world, "UPDATE escrow_calls SET token_amount = token_amount + 1 WHERE kind = 'deposit'")
    found = world.reconcile(ok=False).breaks
    assert f"its call moves {UNITS + 1} of {asset} in escrow" in " ".join(found)


def test_a_channel_that_is_empty_is_asked_about_once(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again when the books say otherwise, or its turn has come."""
    shop = Shop(make_world())
    world = shop.world
    asked: list[bytes] = []

    def asking(rpc: Rpc, names: Sequence[bytes], block: int | str) -> list[ChannelState]:
        asked.extend(names)
        return read_states(rpc, names, block)

    def was_asked() -> bool:
        proof = proved(world)
        assert (proof.channels, proof.difference) == ([], 0)
        found = list(asked)
        asked.clear()
        return found != []

    monkeypatch.setattr(escrow_proof, "read_states", asking)
    monkeypatch.setattr(escrow_proof, "ASKED_AGAIN", 0)
    shop.deposit(units=WHOLE_TOKEN)
    assert (was_asked(), was_asked()) == (True, True)
    shop.pay(WHOLE_TOKEN, amount=WHOLE_TOKEN)
    settle(world)
    assert shop.channel().redeemed == WHOLE_TOKEN
    assert (was_asked(), was_asked(), was_asked()) == (True, False, False)
    monkeypatch.setattr(escrow_proof, "ASKED_AGAIN", 1)
    assert was_asked()
    monkeypatch.setattr(escrow_proof, "ASKED_AGAIN", 0)
    assert not was_asked()
    # A difference in the books is held against the chain, as ever.
    alter(world, "UPDATE escrow_channels SET lost = 1")
    [breaking] = proved(world, ok=False).channels
    assert breaking.channel == shop.channel().id
    alter(world, "UPDATE escrow_channels SET lost = 0")
    assert (was_asked(), was_asked()) == (True, False)
    # Another deposit is known of from its transaction on.
    order_deposit(world.parts, shop.terms, shop.payer.deposit(UNITS, PRICE))
    settle(world)
    assert (was_asked(), was_asked()) == (True, True)
