"""A transfer that would do more than it is for is held, with the reason, and signed by nobody."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from tests.chain import Chain
from tests.flow.conftest import MakeWorld
from tests.flow.harness import World
from tests.flow.money import BENEFICIARY, credit, hold_total, let_pass, payout_now, rich, units_at
from tests.flow.wiring import WHOLE_TOKEN
from tests.rails.lying_node import Change, LyingNode, Refuse, lying_node

from sakk.core.abi import TRANSFER_TOPIC, TokenTransfer, decode_transfer
from sakk.core.trial import APPROVAL_TOPIC
from sakk.flow.payout_trial import try_payout

PAID = 30 * WHOLE_TOKEN
THIEF = "0x" + "66" * 20


@pytest.fixture
def liar(chain: Chain) -> Iterator[LyingNode]:
    with lying_node(chain.rpc_url) as started:
        yield started


def also(topic: str, holder: str, units: int) -> Change:
    """Whatever is tried out, it would do this too."""
    words = ["0x" + address[2:].rjust(64, "0") for address in (holder, THIEF)]

    def change(params: Any, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for call in blocks[0]["calls"]:
            for log in call["logs"][:1]:
                more = {"topics": [topic, *words], "data": f"0x{units:064x}"}
                call["logs"].append({**log, **more})
        return blocks

    return change


@pytest.mark.parametrize("topic", [APPROVAL_TOPIC, TRANSFER_TOPIC])
def test_a_payout_that_would_do_more_is_held(
    make_world: MakeWorld, liar: LyingNode, topic: str
) -> None:
    world = make_world(rpc_urls=[liar.url])
    rich(world, 100)
    another = world.intent(5).address
    holder = world.treasury if topic == APPROVAL_TOPIC else another
    liar.answer("eth_simulateV1", also(topic, holder, 7))
    row = world.payout(PAID, address=BENEFICIARY)
    for _ in range(8):
        let_pass(world, 301)
    held = payout_now(world, row)
    assert (held.status, held.transaction, hold_total(world)) == ("approved", None, PAID)
    assert "it would do more than it is for" in (held.waits_for or "")
    assert THIEF in (held.waits_for or "")
    assert world.transactions() == []
    liar.honest()
    let_pass(world, 301)
    world.finalize()
    done = payout_now(world, row)
    assert (done.status, done.waits_for) == ("posted", None)
    assert units_at(world, BENEFICIARY) == PAID
    world.check()


def test_a_sweep_that_would_do_more_is_held(make_world: MakeWorld, liar: LyingNode) -> None:
    world: World = make_world(rpc_urls=[liar.url], sweep=True)
    intent = world.intent(5_000)
    liar.answer("eth_simulateV1", also(APPROVAL_TOPIC, intent.address, 7))
    world.pay(intent)
    world.finalize()
    let_pass(world, 10)
    [held] = world.sweeps()
    assert (held.status, held.transaction) == ("approved", None)
    assert "it would do more than it is for" in (held.waits_for or "")
    liar.honest()
    for _ in range(4):
        let_pass(world, 301)
        world.finalize()
    assert [each.status for each in world.sweeps()] == ["posted"]
    credit(world, 1)
    world.check()


def _held(network: str) -> float | None:
    return REGISTRY.get_sample_value("sakk_trials_held_total", {"network": network})


def test_who_approves_a_payout_sees_what_its_transfer_would_do(
    make_world: MakeWorld, liar: LyingNode
) -> None:
    world = make_world(rpc_urls=[liar.url])
    rich(world, 100)
    row = payout_now(world, world.payout(PAID, address=BENEFICIARY))
    tried = try_payout(world.parts, row)
    assert (tried.outcome, tried.reason) == ("exact", None)
    assert tried.call is not None
    assert decode_transfer(tried.call.data) == TokenTransfer(BENEFICIARY, row.token_amount)
    assert tried.call.sender == world.treasury
    assert tried.gas is not None
    assert tried.fee_max is not None
    assert tried.fee_max > tried.gas
    held_before = _held(row.network)
    liar.answer("eth_simulateV1", also(APPROVAL_TOPIC, world.treasury, 7))
    tried = try_payout(world.parts, row)
    assert (tried.outcome, THIEF in str(tried.reason)) == ("would_do_more", True)
    # Nothing was about to be signed: nothing counts as held.
    assert _held(row.network) == held_before
    liar.honest()
    tried = try_payout(world.parts, replace(row, token_amount=10**15))
    assert (tried.outcome, tried.fee_max) == ("would_fail", None)

    def fail(params: Any, answer: Any) -> Any:
        raise Refuse(-32000, "out of order")

    for method in ("eth_simulateV1", "debug_traceCall", "eth_call", "eth_estimateGas"):
        liar.answer(method, fail)
    assert try_payout(world.parts, row).outcome == "unknown"
