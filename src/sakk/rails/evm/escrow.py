"""Ask the escrow's contract: how channels stand, and what a call would do."""

from collections.abc import Sequence

from sakk.core.errors import Misconfigured
from sakk.core.escrow import (
    CHANNELS,
    ESCROW,
    PENDING_WITHDRAWALS,
    REFUND_NONCE,
    ChannelState,
    decode_state,
    encode_channel_query,
)
from sakk.rails.evm.balances import canonical
from sakk.rails.evm.rpc import Call, Rpc, RpcRefused, parse_data
from sakk.rails.evm.send import call_fields, refusal_reason

_VIEWS = (CHANNELS, PENDING_WITHDRAWALS, REFUND_NONCE)


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
        Call("eth_call", [{"to": ESCROW, "data": "0x" + query.hex()}, at])
        for channel in channels
        for query in (encode_channel_query(view, channel) for view in _VIEWS)
    ]
    answers = [parse_data(each) for each in rpc.batch(calls, str)] if calls else []
    try:
        return [decode_state(*answers[place : place + 3]) for place in range(0, len(answers), 3)]
    except ValueError as error:
        raise Misconfigured(f"x402's escrow does not answer at {ESCROW}: {error}") from error


def why_refused(rpc: Rpc, *, sender: str, data: bytes) -> str | None:
    """Why a call of the escrow would revert if it were mined now; None if it would not."""
    try:
        rpc.call("eth_call", [call_fields(sender, (ESCROW, 0, data)), "latest"], str)
    except RpcRefused as error:
        return refusal_reason(error)
    return None
