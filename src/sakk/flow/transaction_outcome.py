"""What the chain says has become of a transaction, and what arrived by it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sakk.core import evm, hub
from sakk.core.abi import TRANSFER_TOPIC
from sakk.core.authorization import decode_unsigned as decode_set_code
from sakk.core.authorization import is_set_code
from sakk.core.caip import erc20_contract
from sakk.core.contract import DISPERSE
from sakk.core.disperse import Contradiction, Log, Outcomes, decode_disperse, outcomes
from sakk.core.network import Network
from sakk.core.sweep import Sweep
from sakk.core.transaction import (
    Attempt,
    ChainTransaction,
    Purpose,
)
from sakk.rails.evm.arrival import arrivals
from sakk.rails.evm.balances import balances
from sakk.rails.evm.rail import EvmRail, TransactionReference
from sakk.rails.evm.rpc import RpcInconsistent, parse_data
from sakk.rails.evm.send import revert_reason
from sakk.rails.evm.status import TransactionStatus as ChainStatus

_WORD_OF_FALSE = bytes(32)
_ANSWERED_FALSE = "The token answered false and moved nothing."
# One transfer each, of which the token's own log tells.
_TRANSFERS = (
    *(Purpose.payout, Purpose.refund, Purpose.withdrawal),
    *(Purpose.sweep, Purpose.recovery, Purpose.rotation),
)
_REASON_CHARACTERS_MAX = 200


def dispersed(row: ChainTransaction, chain: ChainStatus, *, takes_fee: bool) -> dict[str, Any]:
    """What became of the lines of a mined dispersal that succeeded, by its bytes and its receipt.

    RpcInconsistent when the receipt contradicts itself: it settles nothing.
    """
    dispersal = decode_disperse(evm.decode_unsigned(row.unsigned).data)
    logs = [Log(each.contract, each.topics, parse_data(each.data)) for each in chain.logs]
    try:
        found = outcomes(
            dispersal,
            logs,
            contract=DISPERSE.address,
            sender=row.sender,
            takes_fee=takes_fee,
        )
    except Contradiction as error:
        raise RpcInconsistent(f"the receipt of {row.hash} contradicts itself: {error}") from error
    paid = sum(
        payment.units for line, payment in enumerate(dispersal.payments) if line not in found.failed
    )
    failed = {str(line): _answer(found, line) for line in sorted(found.failed)}
    return {"arrived_units": paid, "failed_lines": failed or None}


def _answer(found: Outcomes, line: int) -> str:
    """What the token answered to a line that failed, in words that any log and row can hold."""
    answer = found.failed[line]
    if found.untried_from is not None and line >= found.untried_from:
        return "the transaction's gas was used up before it"
    if answer == _WORD_OF_FALSE:
        return "it answered false"
    words = revert_reason("0x" + answer.hex())[:_REASON_CHARACTERS_MAX]
    printable = "".join(each if each.isprintable() else "?" for each in words)
    return printable or "it gave no reason, or used more gas than a payment may"


def arrived_units(
    rail: EvmRail, row: ChainTransaction, chain: ChainStatus, *, takes_fee: bool
) -> int:
    """What a mined transaction brought to its destination, in atomic units.

    EIP-20 Transfer logs say it; of a token that takes a fee, the destination's balance does.
    """
    contract = erc20_contract(row.asset)
    if contract is None:
        return row.token_amount
    logged = _logged(row, chain)
    if not takes_fee or not logged or chain.block_hash is None:
        return sum(logged.values())
    really = arrivals(
        rail.rpc,
        asset=row.asset,
        contract=contract,
        receiver=row.destination,
        block_hash=chain.block_hash,
    )
    return sum(really.get(log_index, 0) for log_index in logged)


def _logged(row: ChainTransaction, chain: ChainStatus) -> dict[int, int]:
    """What the token logged of transfers to a transaction's destination, by the log's index."""
    contract = erc20_contract(row.asset)
    receiver = "0x" + row.destination[2:].rjust(64, "0")
    return {
        each.log_index: int(each.data, 16)
        for each in chain.logs
        if each.contract == contract
        and len(each.topics) == 3
        and each.topics[0] == TRANSFER_TOPIC
        and each.topics[2] == receiver
    }


def collected_units(
    rail: EvmRail,
    row: ChainTransaction,
    sweeps_of_it: Sequence[Sweep],
    chain: ChainStatus,
    *,
    treasuries: Collection[str],
    taking_fees: Collection[str],
) -> dict[str, int]:
    """What each sweep of a mined collection brought to a treasury of ours, by the sweep's id.

    An item that the hub, or the factory, says moved nothing did so, whatever else is logged. The
    treasury may have changed since the call was built: what counts is to whom the coins went.
    """
    called = _call_of(row).to
    assert called is not None
    logs = [(each.contract, each.topics, each.data) for each in chain.logs]
    failed = hub.not_collected(logs, hub=called)
    arrived: dict[str, int] = {}
    for place, sweep in enumerate(sweeps_of_it):
        sent = [] if place in failed else _transfers_from(sweep, chain, treasuries)
        arrived[sweep.id] = sum(units for _, _, units in sent)
        if not sent or sweep.asset not in taking_fees or chain.block_hash is None:
            continue
        contract = erc20_contract(sweep.asset)
        assert contract is not None
        really: dict[int, int] = {}
        for receiver in {to for _, to, _ in sent}:
            really |= arrivals(
                rail.rpc,
                asset=sweep.asset,
                contract=contract,
                receiver=receiver,
                block_hash=chain.block_hash,
            )
        arrived[sweep.id] = sum(really.get(log_index, 0) for log_index, _, _ in sent)
    return arrived


def _transfers_from(
    sweep: Sweep, chain: ChainStatus, receivers: Collection[str]
) -> list[tuple[int, str, int]]:
    """(log index, receiver, units) of the EIP-20 transfers from a deposit address to treasuries."""
    contract = erc20_contract(sweep.asset)
    sender = "0x" + sweep.address[2:].rjust(64, "0")
    return [
        (each.log_index, "0x" + each.topics[2][26:], int(each.data, 16))
        for each in chain.logs
        if each.contract == contract
        and len(each.topics) == 3
        and each.topics[0] == TRANSFER_TOPIC
        and each.topics[1] == sender
        and "0x" + each.topics[2][26:] in receivers
    ]


def _call_of(row: ChainTransaction) -> evm.Transaction:
    """The call that a transaction makes, of whichever type its bytes are."""
    if is_set_code(row.unsigned):
        return decode_set_code(row.unsigned).call
    return evm.decode_unsigned(row.unsigned)


def look_up(
    rail: EvmRail,
    found: Network,
    row: ChainTransaction,
    attempts: Sequence[Attempt],
    *,
    agreed: bool = False,
) -> ChainStatus:
    """What the chain says has become of a transaction, whichever of its attempts was mined.

    An attempt that cancels carries nothing out, so it is never a success; nor is a transfer of
    which the token logged nothing: it answered false, as EIP-20 lets it, where others revert.
    """
    chain = rail.status(
        TransactionReference(
            hashes=hashes_of(row, attempts),
            sender=row.sender,
            nonce=row.nonce,
            since_block=row.since_block,
            confirmations=found.confirmations,
            agreed=agreed,
        )
    )
    mined = find_attempt(attempts, chain.tx_hash)
    if mined is not None and mined.cancels:
        return replace(chain, succeeded=False)
    if chain.succeeded and _moved_nothing(rail, row, chain):
        return replace(chain, succeeded=False, why=_ANSWERED_FALSE)
    return chain


def _moved_nothing(rail: EvmRail, row: ChainTransaction, chain: ChainStatus) -> bool:
    """Did a transfer that did not revert move nothing? RpcInconsistent where the balance of its
    destination rose without a log: then the node left that out. A recovery's token may be
    anybody's, and is believed to have moved what it logs."""
    if row.purpose not in _TRANSFERS or erc20_contract(row.asset) is None:
        return False
    has_moved = any(_logged(row, chain).values())
    if has_moved or row.purpose == Purpose.recovery:
        return not has_moved
    assert chain.block_number is not None
    holding = (row.destination, row.asset)
    before, after = (
        balances(rail.rpc, [holding], number)[holding]
        for number in (chain.block_number - 1, chain.block_number)
    )
    if after >= before + row.token_amount:
        raise RpcInconsistent(f"the receipt of {row.hash} has no log of what arrived by it")
    return True


def hashes_of(row: ChainTransaction, attempts: Sequence[Attempt]) -> tuple[str, ...]:
    """Every hash under which a transaction may be mined, the newest first."""
    signed = [each.hash for each in reversed(attempts) if each.hash is not None]
    assert row.hash is not None
    return tuple(dict.fromkeys([row.hash, *signed]))


def find_attempt(attempts: Sequence[Attempt], tx_hash: str | None) -> Attempt | None:
    """The attempt that has this hash."""
    return next((each for each in attempts if each.hash == tx_hash), None) if tx_hash else None
