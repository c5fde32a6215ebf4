"""What a network asks for gas now: read from a node, priced by ``core.gas_price``.

``eth_feeHistory`` tells the next block's base fee and what others tipped. A node that does not know
it is asked for its newest block, from which EIP-1559 gives the next base fee, and for a tip
(``eth_maxPriorityFeePerGas``). Specification: ethereum/execution-apis.
"""

from collections.abc import Sequence

import msgspec

from sakk.core import gas_price
from sakk.core.gas_price import Caps, Fees, Reward
from sakk.rails.evm.rpc import Rpc, RpcInconsistent, RpcRefused, parse_quantity


class FeeHistory(msgspec.Struct, rename="camel"):
    base_fee_per_gas: list[str]
    gas_used_ratio: list[float] = []
    reward: list[list[str]] | None = None


class FeeHeader(msgspec.Struct, rename="camel"):
    gas_used: str
    gas_limit: str
    base_fee_per_gas: str | None = None


def fees(rpc: Rpc, caps: Caps) -> Fees:
    """Fees for the next blocks. FeesAboveCap while the network asks more than the caps allow."""
    try:
        history = rpc.call(
            "eth_feeHistory",
            [hex(gas_price.HISTORY_BLOCKS), "latest", [gas_price.REWARD_PERCENTILE]],
            FeeHistory,
        )
    except RpcRefused as error:
        if not error.is_method_missing:
            raise
        return _without_history(rpc, caps)
    if not history.base_fee_per_gas:
        raise RpcInconsistent("eth_feeHistory holds no base fee")
    base = parse_quantity(history.base_fee_per_gas[-1])
    return gas_price.quote(base, _rewards(history), caps)


def _rewards(history: FeeHistory) -> Sequence[Reward]:
    """A node may leave the ratios out; then a block that shows a tip had a transaction."""
    rewards = history.reward or []
    ratios = history.gas_used_ratio
    return [
        Reward(wei, ratios[place] > 0 if place < len(ratios) else wei > 0)
        for place, block in enumerate(rewards)
        if block
        for wei in [parse_quantity(block[0])]
    ]


def _without_history(rpc: Rpc, caps: Caps) -> Fees:
    header = rpc.call("eth_getBlockByNumber", ["latest", False], FeeHeader)
    if header.base_fee_per_gas is None:
        raise RpcInconsistent("the node's blocks have no base fee: the chain is without EIP-1559")
    base = gas_price.next_base_fee(
        parse_quantity(header.base_fee_per_gas),
        gas_used=parse_quantity(header.gas_used),
        gas_limit=parse_quantity(header.gas_limit),
    )
    try:
        tip = parse_quantity(rpc.call("eth_maxPriorityFeePerGas", [], str))
    except RpcRefused as error:
        if not error.is_method_missing:
            raise
        tip = 0
    return gas_price.quote(base, [Reward(tip, busy=True)], caps)
