"""One provider that lies beside one that does not: nothing is settled or sent anew on its word."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.chain import Chain
from tests.flow.conftest import MakeWorld
from tests.flow.harness import CONFIRMATIONS, World
from tests.flow.money import (
    BENEFICIARY,
    hold_total,
    let_pass,
    payout_now,
    rich,
    send_rpc,
    transaction_of,
    units_at,
)
from tests.flow.wiring import WHOLE_TOKEN
from tests.rails.lying_node import LyingNode, always, lying_node

from sakk.store import network

PAID = 30 * WHOLE_TOKEN


@pytest.fixture
def liar(chain: Chain) -> Iterator[LyingNode]:
    """The provider that is asked first."""
    with lying_node(chain.rpc_url) as started:
        yield started


@pytest.fixture
def world(make_world: MakeWorld, chain: Chain, liar: LyingNode) -> World:
    opened = make_world(rpc_urls=[liar.url, chain.rpc_url])
    with opened.database.begin() as connection:
        found = network.find_asset(connection, opened.asset("usdc"))
        assert found is not None
        network.put_asset(connection, replace(found, compare_above=PAID))
    rich(opened, 100)
    return opened


def forged_receipt(world: World, tx_hash: str | None, status: str) -> dict[str, Any]:
    """A receipt that fits a true block, for a transaction that nobody mined."""
    head = world.chain.height()
    return {
        "transactionHash": tx_hash,
        "blockNumber": hex(head - CONFIRMATIONS),
        "blockHash": world.chain.block_hash(head - CONFIRMATIONS),
        "status": status,
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x1",
        "logs": [],
    }


@pytest.mark.parametrize("status", ["0x1", "0x0"])
def test_a_forged_receipt_settles_nothing(world: World, liar: LyingNode, status: str) -> None:
    row = world.payout(PAID, address=BENEFICIARY)
    world.run_except("transaction.confirm")
    sent = transaction_of(world, row)
    liar.answer("eth_getTransactionReceipt", always(forged_receipt(world, sent.hash, status)))
    for _ in range(3):
        let_pass(world, 1)
    disputed = transaction_of(world, row)
    assert (payout_now(world, row).status, hold_total(world)) == ("broadcast", PAID)
    assert "answer eth_getTransactionReceipt differently" in (disputed.waits_for or "")
    assert world.event_types(about=sent.id, operator=True) == ["transaction.disputed"]
    liar.honest()
    world.finalize()
    assert payout_now(world, row).status == "posted"
    assert transaction_of(world, row).waits_for is None
    assert units_at(world, BENEFICIARY) == PAID
    world.check()


def test_a_small_one_is_believed_from_one(world: World, liar: LyingNode) -> None:
    row = world.payout(PAID - 1, address=BENEFICIARY)
    world.run()
    world.finalize()
    assert payout_now(world, row).status == "posted"
    world.check()


def test_a_forged_nonce_fails_nothing(world: World, liar: LyingNode) -> None:
    """A liar says that another transaction took the nonce, and forges the block with it."""
    row = world.payout(PAID, address=BENEFICIARY)
    world.run()
    sent = transaction_of(world, row)
    send_rpc(world, "anvil_dropAllTransactions")
    world.mine(CONFIRMATIONS + 1)

    def block(params: list[Any], truth: Any) -> Any:
        if truth is None or not params[1]:
            return truth
        foreign = {"hash": "0x" + "66" * 32, "nonce": hex(sent.nonce), "from": sent.sender}
        return {**truth, "transactions": [foreign]}

    liar.answer("eth_getTransactionCount", always(hex(sent.nonce + 1)))
    liar.answer("eth_getBlockByNumber", block)
    for _ in range(3):
        world.run_only("transaction.confirm")
    assert (payout_now(world, row).status, hold_total(world)) == ("broadcast", PAID)
    assert "transaction.foreign" not in world.event_types(about=sent.id, operator=True)
    liar.honest()
    let_pass(world, 6)
    world.finalize()
    assert payout_now(world, row).status == "posted"
    assert units_at(world, BENEFICIARY) == PAID
    world.check()


def test_a_forged_deposit_is_credited_to_nobody(world: World, liar: LyingNode) -> None:
    """One node can forge a whole chain: what is large is asked of another, too."""
    address = world.customer_address(world.customer())
    world.pay(address, units=PAID)
    world.pay(address, units=PAID - 1)
    before = world.balance()

    def forged(params: list[Any], receipt: Any) -> Any:
        return receipt and {**receipt, "logs": []}

    # Away at first, which is no dispute and keeps none from being told.
    liar.cut_after.add("eth_getTransactionReceipt")
    world.finalize()
    liar.honest()
    liar.answer("eth_getTransactionReceipt", forged)
    for _ in range(3):
        world.finalize()
        let_pass(world, 15)
    seen = [row for row in world.payins() if row.address == address.lower()]
    large, small = sorted(seen, key=lambda row: -row.token_amount)
    assert (large.status, small.status) == ("seen", "posted")
    assert world.balance() == before + PAID - 1
    disputed = [each.type for each in world.events(about=large.id, operator=True)]
    assert disputed.count("payin.disputed") == 1
    liar.honest()
    let_pass(world, 60)
    world.run()
    assert world.balance() == before + 2 * PAID - 1
    assert world.event_types(about=large.id)[-2:] == ["payin.confirmed", "payin.posted"]
    world.check()


def test_a_large_deposit_is_credited_when_two_agree(world: World) -> None:
    address = world.customer_address(world.customer())
    before = world.balance()
    world.pay(address, units=2 * PAID)
    world.finalize()
    assert world.balance() == before + 2 * PAID
    world.check()
