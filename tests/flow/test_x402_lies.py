"""A node lies about what carries payments: nothing is told or booked until it fits together."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.chain import Chain
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.paying import Till
from tests.flow.test_escrow import OUT, PRICE, UNITS, Shop, settle
from tests.flow.test_escrow_facilitator import Server
from tests.rails.lying_node import LyingNode, always, lying_node

RECEIPT = "eth_getTransactionReceipt"


@pytest.fixture
def node(chain: Chain) -> Iterator[LyingNode]:
    with lying_node(chain.rpc_url) as started:
        yield started


@pytest.fixture
def world(make_world: MakeWorld, node: LyingNode) -> World:
    return make_world(rpc_urls=[node.url])


def without_logs(_: list[Any], truth: Any) -> Any:
    return truth and truth | {"logs": []}


def test_a_success_without_its_transfer_is_not_told(world: World, node: LyingNode) -> None:
    till = Till(world)
    waiting = till.asked(till.authorized())
    world.run()
    world.mine()
    node.answer(RECEIPT, without_logs)
    world.run()
    assert till.outcome(waiting) is None
    assert [row.status for row in till.rows()] == ["sent"]
    node.honest()
    world.finalize()
    told = till.outcome(waiting)
    assert told is not None
    assert told.success
    assert world.balance("usdc") == 1000
    world.check()


def test_a_receipt_of_a_block_that_is_gone_settles_nothing(world: World, node: LyingNode) -> None:
    till = Till(world)
    waiting = till.asked(till.authorized())
    world.run()
    snapshot = world.chain.rpc.call("evm_snapshot")
    world.mine()
    [sent] = [row for row in world.transactions() if row.purpose == "capture"]
    receipt = world.chain.rpc.call(RECEIPT, sent.hash)
    assert receipt["status"] == "0x1"
    world.chain.rpc.call("evm_revert", snapshot)
    # The block never was, as far as anybody else can see.
    node.answer(RECEIPT, always(receipt))
    world.run()
    assert till.outcome(waiting) is None
    assert [row.status for row in till.rows()] == ["sent"]


def test_a_deposit_is_not_final_by_a_receipt_alone(world: World, node: LyingNode) -> None:
    server = Server(Shop(world))
    ordered = server.ordered(server.deposit(server.shop.payer))
    node.answer(RECEIPT, always(None))
    settle(world)
    assert server.ended(ordered) == []
    assert not ordered.finish().success
    node.honest()
    settle(world)
    assert server.ended(ordered) == [ordered.call]
    told = ordered.finish()
    assert (told.success, told.amount) == (True, str(UNITS)), told
    assert server.shop.totals().charged == PRICE
    server.shop.check()


def test_a_deposit_that_no_block_holds_is_charged_by_nobody(world: World, node: LyingNode) -> None:
    server = Server(Shop(world))
    ordered = server.ordered(server.deposit(server.shop.payer))
    world.run_only(*OUT)
    snapshot = world.chain.rpc.call("evm_snapshot")
    world.mine()
    [sent] = [row for row in world.transactions() if row.purpose == "escrow"]
    receipt = world.chain.rpc.call(RECEIPT, sent.hash)
    assert receipt["status"] == "0x1"
    world.chain.rpc.call("evm_revert", snapshot)
    node.answer(RECEIPT, always(receipt))
    world.run_only("transaction.confirm", "transaction.settle")
    assert server.ended(ordered) == []
    assert server.shop.channel().status == "opening"
    assert server.shop.escrowed() == 0
