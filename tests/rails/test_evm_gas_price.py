"""What a real node asks for gas, and what is made of nodes that say less."""

import pytest

from sakk.core.gas_price import (
    GWEI,
    HISTORY_BLOCKS,
    PRIORITY_FEE_FLOOR_WEI,
    Caps,
    FeesAboveCap,
    with_headroom,
)
from sakk.rails.evm.gas_price import fees
from sakk.rails.evm.rpc import Rpc, RpcInconsistent, RpcRefused
from tests.chain import Chain
from tests.rails.conftest import OpenRpc
from tests.rails.lying_node import Change, LyingNode, Refuse, always

RECEIVER = "0x" + "77" * 20


def refuse(number: int) -> Change:
    def change(params: list[object], truth: object) -> object:
        raise Refuse(number, "the method eth_feeHistory does not exist")

    return change


def test_fees_follow_the_chain(chain: Chain, rpc: Rpc) -> None:
    chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(7 * GWEI))
    chain.payer.send_native(RECEIVER, 1)
    chain.mine()
    priced = fees(rpc, Caps())
    next_base = priced.base_fee_per_gas
    assert 6 * GWEI < next_base < 7 * GWEI
    assert priced.max_fee_per_gas == with_headroom(next_base) + priced.max_priority_fee_per_gas
    # What the payer tipped: the empty blocks before it say nothing.
    assert priced.max_priority_fee_per_gas == GWEI


def test_a_fee_spike_is_capped_and_then_refused(chain: Chain, rpc: Rpc) -> None:
    chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(90 * GWEI))
    chain.mine()
    assert fees(rpc, Caps(100 * GWEI)).max_fee_per_gas == 100 * GWEI
    with pytest.raises(FeesAboveCap) as caught:
        fees(rpc, Caps(9 * GWEI // 10))
    assert caught.value.transient


def test_the_tip_has_a_floor_and_a_cap(chain: Chain, rpc: Rpc) -> None:
    chain.mine(HISTORY_BLOCKS)
    assert fees(rpc, Caps()).max_priority_fee_per_gas == PRIORITY_FEE_FLOOR_WEI
    assert fees(rpc, Caps(500 * GWEI, 3)).max_priority_fee_per_gas == 3


def test_a_chain_without_tips_gets_none(liar: LyingNode, open_rpc: OpenRpc) -> None:
    liar.answer(
        "eth_feeHistory",
        always(
            {
                "baseFeePerGas": ["0x989680"] * 4,
                "gasUsedRatio": [0.5, 0.1, 0.2],
                "reward": [["0x0"]] * 3,
            }
        ),
    )
    priced = fees(open_rpc(liar.url), Caps())
    assert priced.max_priority_fee_per_gas == 0
    assert priced.max_fee_per_gas == with_headroom(10**7)


def test_ratios_that_are_left_out_are_read_from_the_tips(
    liar: LyingNode, open_rpc: OpenRpc
) -> None:
    history = {"baseFeePerGas": ["0x1"] * 4, "reward": [["0x0"], [], [hex(GWEI)]]}
    liar.answer("eth_feeHistory", always(history))
    assert fees(open_rpc(liar.url), Caps()).max_priority_fee_per_gas == GWEI


@pytest.mark.parametrize("number", [-32601, -32004])
def test_a_node_without_fee_history_is_asked_for_its_newest_block(
    chain: Chain, rpc: Rpc, liar: LyingNode, open_rpc: OpenRpc, number: int
) -> None:
    chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(7 * GWEI))
    chain.payer.send_native(RECEIVER, 1)
    chain.mine()
    liar.answer("eth_feeHistory", refuse(number))
    asked = open_rpc(liar.url)
    assert fees(asked, Caps()).base_fee_per_gas == fees(rpc, Caps()).base_fee_per_gas
    liar.answer("eth_maxPriorityFeePerGas", always(hex(2 * GWEI)))
    assert fees(asked, Caps()).max_priority_fee_per_gas == 2 * GWEI
    liar.answer("eth_maxPriorityFeePerGas", refuse(number))
    assert fees(asked, Caps()).max_priority_fee_per_gas == PRIORITY_FEE_FLOOR_WEI


@pytest.mark.parametrize("method", ["eth_feeHistory", "eth_maxPriorityFeePerGas"])
def test_another_refusal_is_told(liar: LyingNode, open_rpc: OpenRpc, method: str) -> None:
    liar.answer("eth_feeHistory", refuse(-32601))
    liar.answer(method, refuse(-32000))
    with pytest.raises(RpcRefused):
        fees(open_rpc(liar.url), Caps())


def test_a_chain_before_eip_1559_is_named(liar: LyingNode, open_rpc: OpenRpc) -> None:
    liar.answer("eth_feeHistory", refuse(-32601))
    liar.answer(
        "eth_getBlockByNumber",
        lambda params, truth: {**truth, "baseFeePerGas": None},
    )
    with pytest.raises(RpcInconsistent, match="EIP-1559"):
        fees(open_rpc(liar.url), Caps())


def test_a_history_without_a_base_fee_is_inconsistent(liar: LyingNode, open_rpc: OpenRpc) -> None:
    liar.answer("eth_feeHistory", always({"baseFeePerGas": []}))
    with pytest.raises(RpcInconsistent, match="no base fee"):
        fees(open_rpc(liar.url), Caps())
