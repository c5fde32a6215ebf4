"""What really arrived of a token that takes a fee, whose Transfer events may say more.

The difference of the receiver's balance around the block is the truth. It is given to the block's
transfers to that receiver in their order, each at most what its event says.
"""

import msgspec

from sakk.core.abi import TRANSFER_TOPIC
from sakk.rails.evm.balances import net_changes
from sakk.rails.evm.rpc import Rpc, RpcInconsistent, parse_quantity
from sakk.rails.evm.status import RawLog
from sakk.rails.rail import BlockRef

_NUMBER_MAX = (1 << 63) - 1


class RawHeader(msgspec.Struct, rename="camel"):
    hash: str
    number: str
    parent_hash: str
    timestamp: str


def arrivals(
    rpc: Rpc, *, asset: str, contract: str, receiver: str, block_hash: str
) -> dict[int, int]:
    """Per log index, the atomic units that a block's transfers of a token brought to a receiver."""
    header = rpc.find("eth_getBlockByHash", [block_hash, False], RawHeader)
    if header is None or header.hash != block_hash:
        raise RpcInconsistent(f"the node does not know block {block_hash} any more")
    block = BlockRef(
        number=parse_quantity(header.number, maximum=_NUMBER_MAX),
        hash=header.hash,
        parent_hash=header.parent_hash,
        timestamp=parse_quantity(header.timestamp, maximum=_NUMBER_MAX),
    )
    topic = "0x" + receiver[2:].lower().rjust(64, "0")
    incoming = _logs(rpc, block_hash, contract, [TRANSFER_TOPIC, None, topic])
    outgoing = _logs(rpc, block_hash, contract, [TRANSFER_TOPIC, topic])
    holding = (receiver, asset)
    left = sum(outgoing.values())
    came = net_changes(rpc, [holding], block)[holding] + left
    result: dict[int, int] = {}
    for log_index, units in sorted(incoming.items()):
        result[log_index] = min(units, max(0, came))
        came -= result[log_index]
    return result


def _logs(rpc: Rpc, block_hash: str, contract: str, topics: list[str | None]) -> dict[int, int]:
    query = {"blockHash": block_hash, "address": contract, "topics": topics}
    return {
        parse_quantity(log.log_index, maximum=_NUMBER_MAX): int(log.data, 16)
        for log in rpc.call("eth_getLogs", [query], list[RawLog])
        if len(log.topics) == 3
    }
