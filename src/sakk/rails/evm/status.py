"""What the chain says has become of a transaction: pending, mined, dropped, replaced.

``replaced`` is the one answer that allows a payment to be made anew, so it needs proof: the block,
deep enough, in which the sender's nonce was used without our transaction. A node that merely finds
no receipt (it may prune or lag) proves nothing: that is ``contested``.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from sakk.core import evm
from sakk.rails.evm.rpc import Rpc, RpcInconsistent, RpcRefused, parse_quantity

_NUMBER_MAX = (1 << 63) - 1


class TransactionState(StrEnum):
    """``contested``: the nonce is used, but by what is not proven, or not yet final; ask again."""

    pending = "pending"
    mined = "mined"
    dropped = "dropped"
    contested = "contested"
    replaced = "replaced"


@dataclass(frozen=True, slots=True)
class ReceiptLog:
    """One event of a mined transaction, as the node gives it (lower-case hex)."""

    contract: str
    topics: tuple[str, ...]
    data: str
    log_index: int


@dataclass(frozen=True, slots=True)
class TransactionStatus:
    """What became of a transaction.

    When mined: the block, ``confirmations`` (the head's number less the block's), whether it
    succeeded, and what it cost in wei (execution, plus a rollup's ``l1Fee``), whoever succeeded.
    When replaced: the hash that took the nonce, None if an EIP-7702 authorisation did.
    """

    state: TransactionState
    block_number: int | None = None
    block_hash: str | None = None
    confirmations: int = 0
    succeeded: bool | None = None
    gas_used: int = 0
    fee_wei: int = 0
    logs: tuple[ReceiptLog, ...] = ()
    replaced_by: str | None = None


class RawLog(msgspec.Struct, rename="camel"):
    address: str
    topics: list[str]
    data: str
    log_index: str


class RawReceipt(msgspec.Struct, rename="camel"):
    transaction_hash: str
    block_number: str
    block_hash: str
    status: str
    gas_used: str
    effective_gas_price: str
    l1_fee: str | None = msgspec.field(default=None, name="l1Fee")
    logs: list[RawLog] = []


class RawTransaction(msgspec.Struct, rename="camel"):
    hash: str
    nonce: str
    sender: str = msgspec.field(name="from")


class RawBlock(msgspec.Struct):
    hash: str
    transactions: list[RawTransaction]


class RawHeader(msgspec.Struct):
    hash: str
    number: str


def status(
    rpc: Rpc, tx_hash: str, *, sender: str, nonce: int, since_block: int, confirmations: int
) -> TransactionStatus:
    """Ask what became of the transaction with this hash, sender and nonce.

    ``since_block``: the head's number when it was signed, where the search for a replacement
    begins. ``confirmations``: how deep the replacement must lie to be believed.
    """
    sender = sender.lower()
    mined = _mined(rpc, tx_hash)
    if mined is not None:
        return mined
    if _is_known(rpc, tx_hash):
        return TransactionStatus(TransactionState.pending)
    head = _number(rpc.call("eth_blockNumber", [], str))
    if _count(rpc, sender, head) <= nonce:
        return TransactionStatus(TransactionState.dropped)
    final = head - confirmations
    if final < 0 or _count(rpc, sender, final) <= nonce:
        return TransactionStatus(TransactionState.contested)
    try:
        return _replacement(rpc, tx_hash, sender, nonce, (since_block, final))
    except RpcRefused:
        # The node has no state that old any more, so there is no proof.
        return TransactionStatus(TransactionState.contested)


def _mined(rpc: Rpc, tx_hash: str) -> TransactionStatus | None:
    """The receipt, if the block that it names is on the chain now."""
    receipt = rpc.find("eth_getTransactionReceipt", [tx_hash], RawReceipt)
    if receipt is None:
        return None
    if receipt.transaction_hash.lower() != tx_hash.lower():
        raise RpcInconsistent(f"asked for the receipt of {tx_hash}, the node sent another")
    block = rpc.find("eth_getBlockByNumber", [receipt.block_number, False], RawHeader)
    if block is None or block.hash != receipt.block_hash:
        raise RpcInconsistent(f"the receipt of {tx_hash} names a block that is not on the chain")
    number = _number(receipt.block_number)
    head = _number(rpc.call("eth_blockNumber", [], str))
    gas_used = parse_quantity(receipt.gas_used)
    l1_fee = parse_quantity(receipt.l1_fee) if receipt.l1_fee is not None else 0
    return TransactionStatus(
        TransactionState.mined,
        block_number=number,
        block_hash=receipt.block_hash,
        confirmations=max(0, head - number),
        succeeded=parse_quantity(receipt.status) == 1,
        gas_used=gas_used,
        fee_wei=gas_used * parse_quantity(receipt.effective_gas_price) + l1_fee,
        logs=tuple(
            ReceiptLog(
                contract=log.address.lower(),
                topics=tuple(log.topics),
                data=log.data,
                log_index=_number(log.log_index),
            )
            for log in receipt.logs
        ),
    )


def _is_known(rpc: Rpc, tx_hash: str) -> bool:
    """Does any provider have the transaction, in its pool or in a block not indexed yet?

    One that does not answer might: then nothing is known, and its error is raised.
    """
    answers = rpc.each("eth_getTransactionByHash", [tx_hash], RawTransaction)
    failure: Exception | None = None
    for answer in answers:
        if isinstance(answer, RawTransaction):
            return True
        if isinstance(answer, Exception):
            failure = answer
    if failure is not None:
        raise failure
    return False


def _replacement(
    rpc: Rpc, tx_hash: str, sender: str, nonce: int, span: tuple[int, int]
) -> TransactionStatus:
    """Find the block in which the nonce was used, and by what."""
    low, high = span
    if low >= high or _count(rpc, sender, low) > nonce:
        low = 0
    if _count(rpc, sender, low) > nonce:
        return TransactionStatus(TransactionState.contested)
    # Invariant: at `low` the nonce is free, at `high` it is used. At most 63 steps.
    while high - low > 1:
        middle = (low + high) // 2
        if _count(rpc, sender, middle) > nonce:
            high = middle
        else:
            low = middle
    block = rpc.find("eth_getBlockByNumber", [hex(high), True], RawBlock)
    if block is None:
        return TransactionStatus(TransactionState.contested)
    hashes = {transaction.hash.lower() for transaction in block.transactions}
    if tx_hash.lower() in hashes or _mined(rpc, tx_hash) is not None:
        return TransactionStatus(TransactionState.contested)
    replaced_by = next(
        (
            transaction.hash
            for transaction in block.transactions
            if transaction.sender.lower() == sender and parse_quantity(transaction.nonce) == nonce
        ),
        None,
    )
    return TransactionStatus(
        TransactionState.replaced,
        block_number=high,
        block_hash=block.hash,
        replaced_by=replaced_by,
    )


def _count(rpc: Rpc, address: str, block_number: int) -> int:
    """How many nonces an address has used up to a block."""
    return parse_quantity(
        rpc.call("eth_getTransactionCount", [address, hex(block_number)], str),
        maximum=evm.NONCE_MAX,
    )


def _number(text: str) -> int:
    return parse_quantity(text, maximum=_NUMBER_MAX)
