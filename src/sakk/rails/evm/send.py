"""Try out, build and broadcast EVM transfers. Nothing here signs or holds a key.

A transfer is tried before it is built: ``eth_estimateGas``
finds what reverts, ``eth_simulateV1`` (ethereum/execution-apis) what would really arrive. A
broadcast that got no clear answer is ``unknown``, never failed: the same bytes may be sent again,
since one (sender, nonce) is mined once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from sakk.core import abi, evm
from sakk.core.errors import SakkError
from sakk.core.fee import Fees
from sakk.rails.evm.rpc import Rpc, RpcInconsistent, RpcRefused, parse_data, parse_quantity

# Balances and storage may change before the transaction is mined, and gas with them.
GAS_MARGIN_PERCENT = 25
SIMULATION_GAS = 5_000_000
APPROVAL_TOPIC = "0x" + evm.keccak256(b"Approval(address,address,uint256)").hex()
# The address that eth_simulateV1 gives to the logs of native transfers (`traceTransfers`).
NATIVE_LOG_ADDRESS = "0x" + "ee" * 20

_ERROR_STRING = abi.selector("Error(string)")
_PANIC = abi.selector("Panic(uint256)")
_REASON_BYTES_MAX = 512


class TransferWouldFail(SakkError):
    """The node says that this transfer would revert now; a paused token may work later."""

    code = "transfer_would_fail"
    status = 400
    transient = True


class BroadcastOutcome(StrEnum):
    """What a node said to signed bytes. None of these means mined, and none means failed for good.

    ``rejected``: this node does not take the bytes as they are (malformed, too much gas …).
    ``unknown``: no clear answer; they may be on their way.
    """

    accepted = "accepted"
    already_known = "already_known"
    nonce_too_low = "nonce_too_low"
    underpriced = "underpriced"
    insufficient_funds = "insufficient_funds"
    rejected = "rejected"
    unknown = "unknown"


@dataclass(frozen=True, slots=True)
class Broadcast:
    """The outcome of one broadcast, the transaction's hash, and the node's words if it had any."""

    outcome: BroadcastOutcome
    tx_hash: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Nonces:
    """Transactions of an address: mined, and mined or waiting in this node's pool."""

    latest: int
    pending: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transfer would do if it were mined now.

    ``spent_units`` and ``received_units`` are differences of balances, in atomic units without gas;
    None when the node cannot simulate (``eth_simulateV1`` missing) and only a revert was looked
    for. ``approvals``: spenders to whom the sender's tokens would be exposed; must be empty.
    """

    succeeds: bool
    reason: str
    spent_units: int | None
    received_units: int | None
    approvals: tuple[str, ...]


class SimulatedLog(msgspec.Struct, rename="camel"):
    address: str
    topics: list[str]
    data: str


class SimulatedError(msgspec.Struct):
    message: str = ""
    data: str | None = None


class SimulatedCall(msgspec.Struct, rename="camel"):
    status: str
    return_data: str = "0x"
    logs: list[SimulatedLog] = []
    error: SimulatedError | None = None


class SimulatedBlock(msgspec.Struct):
    calls: list[SimulatedCall]


def nonces(rpc: Rpc, address: str) -> Nonces:
    """The next nonces of an address, by its mined and by its known transactions."""
    latest, pending = (
        parse_quantity(
            rpc.call("eth_getTransactionCount", [address, tag], str), maximum=evm.NONCE_MAX
        )
        for tag in ("latest", "pending")
    )
    return Nonces(latest=latest, pending=pending)


def estimate_transfer(
    rpc: Rpc, *, sender: str, receiver: str, contract: str | None, units: int
) -> int:
    """The gas limit for a transfer, with a margin. TransferWouldFail if it would revert now.

    ``contract`` is the ERC-20 token; None for the native coin.
    """
    to, value, data = _target(receiver, contract, units)
    return estimate_call(rpc, sender=sender, to=to, value=value, data=data)


def estimate_call(rpc: Rpc, *, sender: str, to: str, value: int, data: bytes) -> int:
    """The gas limit for any call, with a margin. TransferWouldFail if it would revert now."""
    call = _call_fields(sender, (to, value, data))
    try:
        gas = parse_quantity(rpc.call("eth_estimateGas", [call], str), maximum=evm.GAS_LIMIT_MAX)
    except RpcRefused as error:
        raise TransferWouldFail(f"the transfer would fail: {refusal_reason(error)}") from error
    return gas + gas * GAS_MARGIN_PERCENT // 100


def simulate(
    rpc: Rpc, *, sender: str, receiver: str, contract: str | None, units: int
) -> Simulation:
    """Try a transfer on the newest state, and read what each side's balance would become."""
    sender, receiver = sender.lower(), receiver.lower()
    target = _target(receiver, contract, units)
    try:
        return _simulate_exactly(rpc, sender, receiver, contract, target)
    except RpcRefused as error:
        if not error.is_method_missing:
            raise
    try:
        returned = parse_data(rpc.call("eth_call", [_call_fields(sender, target), "latest"], str))
    except RpcRefused as error:
        return Simulation(False, refusal_reason(error), None, None, ())
    refused = contract is not None and _is_false(returned)
    return Simulation(not refused, "transfer returned false" if refused else "", None, None, ())


def build_transfer(
    *,
    chain_id: int,
    nonce: int,
    fees: Fees,
    gas_limit: int,
    receiver: str,
    contract: str | None,
    units: int,
) -> evm.Transaction:
    """The unsigned transaction of one transfer, of a token or (``contract`` None) native coins."""
    to, value, data = _target(receiver, contract, units)
    return evm.Transaction(
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
        max_fee_per_gas=fees.max_fee_per_gas,
        gas_limit=gas_limit,
        to=to,
        value=value,
        data=data,
    )


def broadcast(rpc: Rpc, signed: bytes) -> Broadcast:
    """Hand signed bytes to the providers in turn until one has them; never raises for an answer.

    The same bytes may be sent any number of times, so a provider after one that was silent is safe.
    ``unknown`` outweighs a refusal by another provider: the silent one may have passed them on.
    """
    tx_hash = evm.transaction_hash(signed)
    answers = rpc.each(
        "eth_sendRawTransaction",
        ["0x" + signed.hex()],
        str,
        enough=lambda answer: _outcome(answer, tx_hash)[0] in _TAKEN,
    )
    outcomes = [_outcome(answer, tx_hash) for answer in answers]
    for wanted in (*_TAKEN, BroadcastOutcome.unknown):
        for outcome, reason in outcomes:
            if outcome is wanted:
                return Broadcast(outcome, tx_hash, reason)
    outcome, reason = outcomes[0]
    return Broadcast(outcome, tx_hash, reason)


def refusal_reason(error: RpcRefused) -> str:
    """Why a call would revert, in the contract's words where it gave any."""
    if isinstance(error.data, str) and error.data.startswith("0x"):
        return revert_reason(error.data) or error.reason
    return error.reason


def revert_reason(data: str | None) -> str:
    """Read Solidity's ``Error(string)`` and ``Panic(uint256)``; the selector of anything else."""
    try:
        raw = bytes.fromhex((data or "0x")[2:])
    except ValueError:
        return ""
    head, body = raw[: abi.SELECTOR_BYTES], raw[abi.SELECTOR_BYTES :]
    if head == _ERROR_STRING and len(body) >= 2 * abi.WORD_BYTES:
        length = min(int.from_bytes(body[32:64], "big"), _REASON_BYTES_MAX)
        return body[64 : 64 + length].decode(errors="replace")
    if head == _PANIC and len(body) == abi.WORD_BYTES:
        return f"panic 0x{int.from_bytes(body, 'big'):02x}"
    return f"custom error 0x{head.hex()}" if head else ""


# The nodes' words, in lower case: go-ethereum, Erigon, Nethermind, Besu, Reth, anvil.
_WORDS: tuple[tuple[BroadcastOutcome, tuple[str, ...]], ...] = (
    (
        BroadcastOutcome.already_known,
        ("already known", "alreadyknown", "known transaction", "already imported"),
    ),
    (BroadcastOutcome.nonce_too_low, ("nonce too low", "oldnonce", "nonce is too low")),
    (
        BroadcastOutcome.underpriced,
        (
            "underpriced",
            "less than block base fee",
            "max fee per gas less than",
            "feetoolow",
            "gas price below",
            "gas price too low",
            "tip needed",
            "txpool is full",
            "transaction pool is full",
        ),
    ),
    (
        BroadcastOutcome.insufficient_funds,
        ("insufficient funds", "insufficientfunds", "exceeds account balance", "insufficient bal"),
    ),
    (
        BroadcastOutcome.rejected,
        (
            "intrinsic gas",
            "exceeds block gas limit",
            "exceeds transaction gas limit",
            "gas limit too high",
            "gas too high",
            "oversized",
            "invalid sender",
            "invalid chain id",
            "invalid signature",
            "invalid transaction",
            "failed to decode",
            "type not supported",
            "nonce too high",
            "nonce too far",
            "nonce gap",
            "higher than max fee",
            "priority fee per gas higher",
            "rlp",
        ),
    ),
)
_TAKEN = (BroadcastOutcome.accepted, BroadcastOutcome.already_known)


def _outcome(answer: str | SakkError | None, tx_hash: str) -> tuple[BroadcastOutcome, str]:
    """Read one provider's answer to signed bytes."""
    if isinstance(answer, str):
        if answer.lower() == tx_hash:
            return BroadcastOutcome.accepted, ""
        return BroadcastOutcome.unknown, f"the node answered with another hash: {answer[:80]}"
    if answer is None:
        return BroadcastOutcome.unknown, "the node answered with nothing"
    if not isinstance(answer, RpcRefused):
        return BroadcastOutcome.unknown, answer.message
    words = answer.reason.lower()
    for outcome, phrases in _WORDS:
        if any(phrase in words for phrase in phrases):
            return outcome, answer.reason
    # What we cannot read may as well be a time-out behind the node's gateway.
    return BroadcastOutcome.unknown, answer.reason


def _target(receiver: str, contract: str | None, units: int) -> tuple[str, int, bytes]:
    """Where the transaction goes, its value in wei, and its calldata. ValueError if malformed."""
    if units <= 0:
        raise ValueError(f"a transfer moves more than nothing, not {units}")
    if contract is None:
        if units > evm.UINT256_MAX:
            raise ValueError(f"value out of range: {units}")
        return evm.parse_address(receiver), units, b""
    return evm.parse_address(contract), 0, abi.encode_transfer(receiver, units)


def _call_fields(sender: str, target: tuple[str, int, bytes]) -> dict[str, str]:
    to, value, data = target
    return {"from": sender, "to": to, "value": hex(value), "data": "0x" + data.hex()}


def _is_false(returned: bytes) -> bool:
    """Tokens return true, nothing at all (USDT), or false; only false is a refusal."""
    return len(returned) >= abi.WORD_BYTES and not any(returned[: abi.WORD_BYTES])


def _simulate_exactly(
    rpc: Rpc, sender: str, receiver: str, contract: str | None, target: tuple[str, int, bytes]
) -> Simulation:
    """The transfer between readings of both balances, in one simulated block."""
    move = {**_call_fields(sender, target), "gas": hex(SIMULATION_GAS)}
    reads = [] if contract is None else _balance_calls(contract, sender, receiver)
    options = {
        "blockStateCalls": [{"calls": [*reads, move, *reads]}],
        "traceTransfers": contract is None,
        "validation": False,
    }
    blocks = rpc.call("eth_simulateV1", [options, "latest"], list[SimulatedBlock])
    if len(blocks) != 1 or len(blocks[0].calls) != 1 + 2 * len(reads):
        raise RpcInconsistent("eth_simulateV1 left calls out")
    calls = blocks[0].calls
    moved = calls[len(reads)]
    if moved.status != "0x1":
        error = moved.error or SimulatedError()
        data = error.data if error.data not in (None, "0x") else moved.return_data
        return Simulation(False, revert_reason(data) or error.message, None, None, ())
    if contract is not None and _is_false(parse_data(moved.return_data)):
        return Simulation(False, "transfer returned false", None, None, ())
    if contract is None:
        spent, received = _native_moves(moved.logs, sender, receiver)
    else:
        before = [_balance(call) for call in calls[: len(reads)]]
        after = [_balance(call) for call in calls[len(reads) + 1 :]]
        spent, received = before[0] - after[0], after[1] - before[1]
    return Simulation(True, "", spent, received, _approvals(moved.logs, sender))


def _balance_calls(contract: str, *holders: str) -> list[dict[str, str]]:
    return [
        {"to": contract, "data": "0x" + abi.encode_balance_of(holder).hex()} for holder in holders
    ]


def _balance(call: SimulatedCall) -> int:
    if call.status != "0x1":
        raise TransferWouldFail("the token does not answer balanceOf")
    return int.from_bytes(parse_data(call.return_data, length=abi.WORD_BYTES), "big")


def _native_moves(logs: Sequence[SimulatedLog], sender: str, receiver: str) -> tuple[int, int]:
    """What native coins left the sender and reached the receiver, by the traced transfers."""
    spent = received = 0
    for log in logs:
        if log.address.lower() != NATIVE_LOG_ADDRESS or len(log.topics) != 3:
            continue
        units = int.from_bytes(parse_data(log.data, length=abi.WORD_BYTES), "big")
        source, target = ("0x" + topic[26:].lower() for topic in log.topics[1:])
        spent += units * ((source == sender) - (target == sender))
        received += units * ((target == receiver) - (source == receiver))
    return spent, received


def _approvals(logs: Sequence[SimulatedLog], sender: str) -> tuple[str, ...]:
    """Spenders that the sender would approve, other than by spending an allowance down to zero."""
    return tuple(
        "0x" + log.topics[2][26:].lower()
        for log in logs
        if len(log.topics) == 3
        and log.topics[0].lower() == APPROVAL_TOPIC
        and "0x" + log.topics[1][26:].lower() == sender
        and any(parse_data(log.data))
    )
