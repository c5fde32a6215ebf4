"""Every transfer of the tokens that are asked for, whoever's: packed, no log decoded by itself."""

from collections.abc import Mapping, Sequence

from sakk.core.abi import TRANSFER_TOPIC
from sakk.core.exposure_batch import ROW_BYTES
from sakk.rails.evm.raw import RawLog
from sakk.rails.evm.rpc import RpcInconsistent, parse_quantity
from sakk.rails.rail import BlockRef

_TOPIC_PADDING = "0x" + "0" * 24
# Units of a batch fit 128 bits: the upper half of the word is empty.
_UNITS_PADDING = "0x" + "0" * 32
_NOTHING = "0x" + "0" * 64
_LOG_INDEX_MAX = (1 << 32) - 1


def pack_flows(
    ref: BlockRef, logs: Sequence[RawLog], tokens: Mapping[str, str]
) -> tuple[tuple[str, bytes], ...]:
    """Of each token (contract in lower-case hex to asset) its transfers in a block, as rows.

    The logs are those that were proved against the block's header. Left out are transfers of
    nothing, and of more than a batch holds (``core.exposure_batch``). RpcInconsistent for a log
    that is none.
    """
    if not tokens:
        return ()
    found: dict[str, list[str]] = {}
    for log in logs:
        asset = tokens.get(log.address.lower())
        topics, data = log.topics, log.data
        if asset is None or len(topics) != 3 or topics[0] != TRANSFER_TOPIC or log.removed:
            continue
        if len(data) != 66 or not data.startswith(_UNITS_PADDING) or data == _NOTHING:
            continue
        sender, receiver, tx_hash = topics[1], topics[2], log.transaction_hash
        if not len(sender) == len(receiver) == len(tx_hash) == 66:
            raise RpcInconsistent(f"a log of block {ref.number} has words of another length")
        if sender.startswith(_TOPIC_PADDING) and receiver.startswith(_TOPIC_PADDING):
            index = parse_quantity(log.log_index, maximum=_LOG_INDEX_MAX)
            found.setdefault(asset, []).append(
                f"{sender[26:]}{receiver[26:]}{data[34:]}{tx_hash[2:]}{index:08x}"
            )
    return tuple((asset, _rows(ref, words)) for asset, words in found.items())


def _rows(ref: BlockRef, words: list[str]) -> bytes:
    """Rows of a batch from their hex."""
    try:
        rows = bytes.fromhex("".join(words))
    except ValueError:
        rows = b""
    # Blanks are read over, so the length is a proof that there were none.
    if len(rows) != len(words) * ROW_BYTES:
        raise RpcInconsistent(f"the node sent a log of block {ref.number} that is none")
    return rows
