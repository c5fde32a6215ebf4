"""Build and broadcast EVM transfers. Nothing here signs or holds a key.

A transfer's gas is estimated before it is built, which finds what reverts; what it would change is
tried out in ``rails.evm.trial``. A broadcast that got no clear answer is ``unknown``, never failed:
the same bytes may be sent again, since one (sender, nonce) is mined once.
"""

from dataclasses import dataclass
from enum import StrEnum

from sakk.core import abi, evm
from sakk.core.errors import SakkError
from sakk.core.gas_price import Fees
from sakk.rails.evm.rpc import Rpc, RpcInconsistent, RpcRefused, parse_quantity

# Balances and storage may change before the transaction is mined, and gas with them.
GAS_MARGIN_PERCENT = 25
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


def nonces(rpc: Rpc, address: str) -> Nonces:
    """The next nonces of an address, by its mined and by its known transactions."""
    latest, pending = (
        parse_quantity(
            rpc.call("eth_getTransactionCount", [address, tag], str), maximum=evm.NONCE_MAX
        )
        for tag in ("latest", "pending")
    )
    return Nonces(latest=latest, pending=pending)


def agreed_nonce(rpc: Rpc, address: str) -> int:
    """How many nonces of an address are used; by two providers where there are two."""
    asked = ("eth_getTransactionCount", [address, "latest"])
    answer = rpc.compare(*asked, str) if len(rpc.providers) > 1 else rpc.find(*asked, str)
    if answer is None:
        raise RpcInconsistent("the node answered eth_getTransactionCount with nothing")
    return parse_quantity(answer, maximum=evm.NONCE_MAX)


def estimate_transfer(
    rpc: Rpc, *, sender: str, receiver: str, contract: str | None, units: int
) -> int:
    """The gas limit for a transfer, with a margin. TransferWouldFail if it would revert now.

    ``contract`` is the ERC-20 token; None for the native coin.
    """
    to, value, data = transfer_call(receiver, contract, units)
    return estimate_call(rpc, sender=sender, to=to, value=value, data=data)


def estimate_call(rpc: Rpc, *, sender: str, to: str, value: int, data: bytes) -> int:
    """The gas limit for any call, with a margin. TransferWouldFail if it would revert now."""
    call = call_fields(sender, (to, value, data))
    try:
        gas = parse_quantity(rpc.call("eth_estimateGas", [call], str), maximum=evm.GAS_LIMIT_MAX)
    except RpcRefused as error:
        raise TransferWouldFail(f"the transfer would fail: {refusal_reason(error)}") from error
    return gas + gas * GAS_MARGIN_PERCENT // 100


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
    to, value, data = transfer_call(receiver, contract, units)
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


def transfer_call(receiver: str, contract: str | None, units: int) -> tuple[str, int, bytes]:
    """Where the transaction goes, its value in wei, and its calldata. ValueError if malformed."""
    if units <= 0:
        raise ValueError(f"a transfer moves more than nothing, not {units}")
    if contract is None:
        if units > evm.UINT256_MAX:
            raise ValueError(f"value out of range: {units}")
        return evm.parse_address(receiver), units, b""
    return evm.parse_address(contract), 0, abi.encode_transfer(receiver, units)


def call_fields(sender: str, target: tuple[str, int, bytes]) -> dict[str, str]:
    """A call as nodes are asked about it: where to, the value in wei, the calldata."""
    to, value, data = target
    return {"from": sender, "to": to, "value": hex(value), "data": "0x" + data.hex()}
