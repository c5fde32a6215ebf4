"""Ask the escrow's contract: how channels stand, and what a call would do."""

from collections.abc import Sequence
from typing import Final

from sakk.core.errors import Misconfigured
from sakk.core.escrow import (
    CHANNELS,
    ESCROW,
    PENDING_WITHDRAWALS,
    REFUND_NONCE,
    ChannelState,
    decode_results,
    decode_state,
    encode_channel_query,
    encode_multicall,
)
from sakk.rails.evm.balances import canonical
from sakk.rails.evm.rpc import Call, Rpc, RpcRefused, parse_data
from sakk.rails.evm.send import call_fields, refusal_reason

_VIEWS = (CHANNELS, PENDING_WITHDRAWALS, REFUND_NONCE)
# So many are asked about in one call, by the contract's own ``multicall``: some 3 million gas, of
# which nodes allow tens of millions for a call that is not mined.
CHANNELS_PER_CALL: Final = 100


def read_states(
    rpc: Rpc, channels: Sequence[bytes], block: int | str = "latest"
) -> list[ChannelState]:
    """How channels stand at one block, given by number, by hash or by name.

    Misconfigured where the contract does not stand.
    """
    at: object = hex(block) if isinstance(block, int) else block
    if isinstance(block, str) and block.startswith("0x"):
        at = canonical(block)
    calls = [
        Call("eth_call", [{"to": ESCROW, "data": "0x" + _questions(page).hex()}, at])
        for page in (
            channels[place : place + CHANNELS_PER_CALL]
            for place in range(0, len(channels), CHANNELS_PER_CALL)
        )
    ]
    answers = [parse_data(each) for each in rpc.batch(calls, str)] if calls else []
    try:
        found = [result for answer in answers for result in decode_results(answer)]
        if len(found) != len(channels) * len(_VIEWS):
            raise ValueError(f"{len(found)} results for {len(channels)} channels")
        return [
            decode_state(found[place], found[place + 1], found[place + 2])
            for place in range(0, len(found), len(_VIEWS))
        ]
    except ValueError as error:
        raise Misconfigured(f"x402's escrow does not answer at {ESCROW}: {error}") from error


def _questions(channels: Sequence[bytes]) -> bytes:
    return encode_multicall(
        [encode_channel_query(view, channel) for channel in channels for view in _VIEWS]
    )


def why_refused(rpc: Rpc, *, sender: str, data: bytes) -> str | None:
    """Why a call of the escrow would revert if it were mined now; None if it would not."""
    try:
        rpc.call("eth_call", [call_fields(sender, (ESCROW, 0, data)), "latest"], str)
    except RpcRefused as error:
        return refusal_reason(error)
    return None
