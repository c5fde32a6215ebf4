"""Try a call out on the newest state, without a signature: what would it change?

``eth_simulateV1`` (ethereum/execution-apis) reads the balances before and after, and traces native
coin. A node without it is asked for the call's logs (``debug_traceCall``, the call tracer of
go-ethereum), and one without that only whether it would revert (``eth_call``).
"""

from collections.abc import Collection, Sequence

import msgspec

from sakk.core import abi, evm
from sakk.core.trial import Holding, Log, Trial, changes_by, read_logs
from sakk.rails.evm.rpc import Rpc, RpcInconsistent, RpcRefused, parse_data
from sakk.rails.evm.send import TransferWouldFail, call_fields, refusal_reason, revert_reason

# More than any call of ours takes; a block's limit is the node's own.
SIMULATION_GAS = 16_000_000
# Where the simulated chain has a contract that says whose code the sender runs.
_PROBE = "0x5a4b4b" + "00" * 16 + "01"


class TracedLog(msgspec.Struct):
    address: str
    topics: list[str]
    data: str = "0x"


class SimulatedError(msgspec.Struct):
    message: str = ""
    data: str | None = None


class SimulatedCall(msgspec.Struct, rename="camel"):
    status: str
    return_data: str = "0x"
    gas_used: str = "0x0"
    logs: list[TracedLog] = []
    error: SimulatedError | None = None

    @property
    def why_failed(self) -> str:
        error = self.error or SimulatedError()
        given = error.data if error.data not in (None, "0x") else self.return_data
        return revert_reason(given) or error.message


class SimulatedBlock(msgspec.Struct):
    calls: list[SimulatedCall]


class TracedCall(msgspec.Struct, rename="camel"):
    output: str = "0x"
    error: str | None = None
    revert_reason: str | None = None
    logs: list[TracedLog] = []
    calls: list["TracedCall"] = []


def try_out(
    rpc: Rpc,
    *,
    sender: str,
    to: str,
    value: int,
    data: bytes,
    holdings: Collection[Holding],
    answers_true: bool = False,
) -> Trial:
    """What a call of ``sender`` would do now, and by how much it changes these holdings.

    ``answers_true``: the call is a token's transfer, for which an answer of false is a refusal.
    """
    call = call_fields(sender, (to, value, data))
    for way in (_simulated, _traced):
        try:
            return way(rpc, call, list(holdings), answers_true)
        except RpcRefused as error:
            if not error.is_method_missing:
                raise
    try:
        returned = parse_data(rpc.call("eth_call", [call, "latest"], str))
    except RpcRefused as error:
        return Trial(False, refusal_reason(error))
    return _refused_by(returned, answers_true) or Trial(True)


def _simulated(
    rpc: Rpc, call: dict[str, str], holdings: Sequence[Holding], answers_true: bool
) -> Trial:
    """The call between readings of every balance, in one simulated block."""
    tokens = [(holder, contract) for holder, contract in holdings if contract is not None]
    reads = [
        {"to": contract, "data": "0x" + abi.encode_balance_of(holder).hex()}
        for holder, contract in tokens
    ]
    probe = {"to": _PROBE, "data": "0x"}
    options = {
        "blockStateCalls": [
            {
                "stateOverrides": {_PROBE: {"code": _code_hash_of(call["from"])}},
                "calls": [*reads, {**call, "gas": hex(SIMULATION_GAS)}, *reads, probe],
            }
        ],
        "traceTransfers": True,
        "validation": False,
    }
    blocks = rpc.call("eth_simulateV1", [options, "latest"], list[SimulatedBlock])
    if len(blocks) != 1 or len(blocks[0].calls) != 2 + 2 * len(reads):
        raise RpcInconsistent("eth_simulateV1 left calls out")
    calls = blocks[0].calls
    done = calls[len(reads)]
    if done.status != "0x1":
        return Trial(False, done.why_failed)
    refused = _refused_by(parse_data(done.return_data), answers_true)
    if refused is not None:
        return refused
    moves, grants = read_logs([_log(each) for each in done.logs])
    changes = changes_by(moves, holdings)
    before, after = calls[: len(reads)], calls[len(reads) + 1 : -1]
    for holding, first, last in zip(tokens, before, after, strict=True):
        changes[holding] = _balance(last) - _balance(first)
    code = "0x" + parse_data(calls[-1].return_data, length=abi.WORD_BYTES).hex()
    return Trial(True, changes=changes, moves=moves, grants=grants, code=code)


def _traced(
    rpc: Rpc, call: dict[str, str], holdings: Sequence[Holding], answers_true: bool
) -> Trial:
    """The call with its logs; what they say changed is all that is known."""
    tracer = {"tracer": "callTracer", "tracerConfig": {"withLog": True}}
    top = rpc.call("debug_traceCall", [call, "latest", tracer], TracedCall)
    if top.error is not None:
        return Trial(False, revert_reason(top.output) or top.revert_reason or top.error)
    refused = _refused_by(parse_data(top.output), answers_true)
    if refused is not None:
        return refused
    moves, grants = read_logs([_log(each) for each in _all_logs(top)])
    runs = parse_data(rpc.call("eth_getCode", [call["from"], "latest"], str))
    code = "0x" + evm.keccak256(runs).hex()
    return Trial(True, changes=changes_by(moves, holdings), moves=moves, grants=grants, code=code)


def _code_hash_of(address: str) -> str:
    """Code that returns EXTCODEHASH of an address: PUSH20, EXTCODEHASH, MSTORE at 0, RETURN it."""
    return f"0x73{address[2:]}3f60005260206000f3"


def _all_logs(top: TracedCall) -> list[TracedLog]:
    found, waiting = [], [top]
    while waiting:
        each = waiting.pop()
        if each.error is None:
            found += each.logs
            waiting += each.calls
    return found


def _refused_by(returned: bytes, answers_true: bool) -> Trial | None:
    """Tokens return true, nothing at all (USDT), or false; only false is a refusal."""
    if not answers_true or len(returned) < abi.WORD_BYTES or any(returned[: abi.WORD_BYTES]):
        return None
    return Trial(False, "transfer returned false")


def _balance(call: SimulatedCall) -> int:
    if call.status != "0x1":
        raise TransferWouldFail("the token does not answer balanceOf")
    return int.from_bytes(parse_data(call.return_data, length=abi.WORD_BYTES), "big")


def _log(log: TracedLog) -> Log:
    return Log(log.address, tuple(log.topics), log.data)
