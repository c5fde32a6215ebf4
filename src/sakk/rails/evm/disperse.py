"""Try dispersals out on the newest state: which lines would fail, and what would really arrive."""

from dataclasses import dataclass

from sakk.core import abi, trial
from sakk.core.contract import DISPERSE
from sakk.core.disperse import (
    TRANSACTION_GAS_MAX,
    Contradiction,
    Dispersal,
    Log,
    Outcomes,
    encode_disperse,
    outcomes,
)
from sakk.core.trial import Holding, Trial, read_logs
from sakk.rails.evm.balances import MULTICALL3, decode_balances, encode_balances
from sakk.rails.evm.rpc import Call, Rpc, RpcInconsistent, RpcRefused, parse_data, parse_quantity
from sakk.rails.evm.send import TransferWouldFail, call_fields
from sakk.rails.evm.trial import SimulatedBlock, SimulatedCall

# What reading the balances of hundreds of recipients may use; a balanceOf takes up to 35,000.
READ_GAS = 10_000_000
_GAS_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Tried:
    """What a dispersal would do if it were mined now: its lines, and everything beside."""

    outcomes: Outcomes
    gas_used: int
    trial: Trial


def is_dispersing(rpc: Rpc) -> bool:
    """Do our contract and Multicall3, by which a trial reads balances, stand on this chain?"""
    calls = [Call("eth_getCode", [each, "latest"]) for each in (DISPERSE.address, MULTICALL3)]
    return all(code != "0x" for code in rpc.batch(calls, str))


def allowed_units(rpc: Rpc, *, token: str, owner: str, spender: str = DISPERSE.address) -> int:
    """How many atomic units of a token a spender may take from its owner now."""
    data = "0x" + abi.encode_allowance(owner, spender).hex()
    answer = rpc.call("eth_call", [{"to": token, "data": data}, "latest"], str)
    return int.from_bytes(parse_data(answer, length=abi.WORD_BYTES), "big")


def try_dispersal(rpc: Rpc, dispersal: Dispersal, *, sender: str, asset: str) -> Tried | None:
    """One simulated block with the dispersal between two readings of all balances.

    None where the node has no ``eth_simulateV1``. TransferWouldFail when the whole would revert or
    its logs do not fit together.
    """
    holders = list(dict.fromkeys([sender, *(each.to for each in dispersal.payments)]))
    holdings = [(holder, asset) for holder in holders]
    read = {"to": MULTICALL3, "data": "0x" + encode_balances(holdings).hex(), "gas": hex(READ_GAS)}
    data = encode_disperse(dispersal.token, dispersal.payments)
    move = call_fields(sender, (DISPERSE.address, 0, data)) | {"gas": hex(TRANSACTION_GAS_MAX)}
    options = {
        "blockStateCalls": [{"calls": [read, move, read]}],
        "traceTransfers": True,
        "validation": False,
    }
    try:
        blocks = rpc.call("eth_simulateV1", [options, "latest"], list[SimulatedBlock])
    except RpcRefused as error:
        if error.is_method_missing:
            return None
        raise
    if len(blocks) != 1 or len(blocks[0].calls) != 3:
        raise RpcInconsistent("eth_simulateV1 left calls out")
    before, moved, after = blocks[0].calls
    if moved.status != "0x1":
        raise TransferWouldFail(f"the dispersal would revert: {moved.why_failed}")
    logs = [
        (log.address.lower(), tuple(each.lower() for each in log.topics), log.data)
        for log in moved.logs
    ]
    try:
        found = outcomes(
            dispersal,
            [Log(contract, topics, parse_data(data)) for contract, topics, data in logs],
            contract=DISPERSE.address,
            sender=sender,
            takes_fee=True,
        )
    except Contradiction as error:
        raise TransferWouldFail(f"the token contradicts itself: {error}") from error
    changed = _changes(before, after, count=len(holdings))
    changes: dict[Holding, int] = {
        (holder, dispersal.token): units for holder, units in zip(holders, changed, strict=True)
    }
    moves, grants = read_logs([trial.Log(*each) for each in logs])
    return Tried(
        outcomes=found,
        gas_used=parse_quantity(moved.gas_used, maximum=_GAS_MAX),
        trial=Trial(True, changes=changes, moves=moves, grants=grants),
    )


def _changes(before: SimulatedCall, after: SimulatedCall, *, count: int) -> list[int]:
    """By how much each balance changed, in the order in which they were read."""
    readings = []
    for reading in (before, after):
        found = decode_balances(parse_data(reading.return_data), count=count)
        if reading.status != "0x1" or found is None:
            raise TransferWouldFail("the token does not answer balanceOf")
        readings.append(found)
    return [last - first for first, last in zip(*readings, strict=True)]
