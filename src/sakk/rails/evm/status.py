"""What the chain says has become of a transaction: pending, mined, dropped, replaced.

``replaced`` is the one answer that allows a payment to be made anew, so it needs proof: the block,
deep enough, in which the sender's nonce was used without our transaction. A node that merely finds
no receipt (it may prune or lag) proves nothing: that is ``contested``. Where there are two
providers, both must say so. A transaction that was replaced by ourselves has several hashes, of
which any may be mined.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import msgspec

from sakk.core import evm
from sakk.core.errors import SakkError
from sakk.rails.evm.rpc import Call, Rpc, RpcInconsistent, RpcRefused, parse_quantity

_NUMBER_MAX = (1 << 63) - 1

Answer = TypeVar("Answer")


class TransactionState(StrEnum):
    """``contested``: the nonce is used, but by what is not proven, or not yet final; ask again.

    Then ``replaced_by`` may name the transaction of somebody else that holds it for now.
    """

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

    When mined: under which of its hashes, the block, ``confirmations`` (the head's number less the
    block's), whether it succeeded, and what it cost in wei (execution, plus a rollup's ``l1Fee``),
    either way. ``why``: it did not revert, and is no success all the same.
    When replaced: the hash that took the nonce, None if an EIP-7702 authorisation did.
    """

    state: TransactionState
    tx_hash: str | None = None
    block_number: int | None = None
    block_hash: str | None = None
    confirmations: int = 0
    succeeded: bool | None = None
    gas_used: int = 0
    fee_wei: int = 0
    logs: tuple[ReceiptLog, ...] = ()
    replaced_by: str | None = None
    why: str | None = None


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
    rpc: Rpc,
    hashes: Sequence[str],
    *,
    sender: str,
    nonce: int,
    since_block: int,
    confirmations: int,
    agreed: bool = False,
) -> TransactionStatus:
    """Ask what became of the transaction with these hashes, sender and nonce.

    ``since_block``: the head's number when it was signed, where the search for a replacement
    begins. ``confirmations``: how deep the replacement must lie to be believed. ``agreed``: a
    receipt counts only if two providers give the same; RpcDisagreement while they do not.
    """
    sender = sender.lower()
    mined = _mined(rpc, hashes, agreed=agreed)
    if mined is not None:
        return mined
    if any(_is_known(rpc, each) for each in hashes):
        return TransactionStatus(TransactionState.pending)
    head = _number(rpc.call("eth_blockNumber", [], str))
    if _count(rpc, sender, head) <= nonce:
        return TransactionStatus(TransactionState.dropped)
    final = head - confirmations
    try:
        if final >= 0 and _count(rpc, sender, final) > nonce:
            return _replacement(rpc, hashes, sender, nonce, (since_block, final))
        early = _replacement(rpc, hashes, sender, nonce, (since_block, head))
    except RpcRefused:
        # The node has no state that old any more, so there is no proof.
        return TransactionStatus(TransactionState.contested)
    return TransactionStatus(TransactionState.contested, replaced_by=early.replaced_by)


def _mined(rpc: Rpc, hashes: Sequence[str], *, agreed: bool = False) -> TransactionStatus | None:
    """The receipt, if the block that it names is on the chain now."""
    found = rpc.find_many(
        [Call("eth_getTransactionReceipt", [each]) for each in hashes], RawReceipt
    )
    for tx_hash, receipt in zip(hashes, found, strict=True):
        if receipt is None:
            continue
        if receipt.transaction_hash.lower() != tx_hash.lower():
            raise RpcInconsistent(f"asked for the receipt of {tx_hash}, the node sent another")
        if agreed:
            receipt = rpc.compare("eth_getTransactionReceipt", [tx_hash], RawReceipt) or receipt
        asked = [receipt.block_number, False]
        block = (
            rpc.compare("eth_getBlockByNumber", asked, RawHeader)
            if agreed
            else rpc.find("eth_getBlockByNumber", asked, RawHeader)
        )
        if block is None or block.hash != receipt.block_hash:
            raise RpcInconsistent(
                f"the receipt of {tx_hash} names a block that is not on the chain"
            )
        return _read(receipt, head=_head(rpc, agreed=agreed))
    return None


def _head(rpc: Rpc, *, agreed: bool) -> int:
    """The newest block's number: by two providers, what both have."""
    if not agreed:
        return _number(rpc.call("eth_blockNumber", [], str))
    heights = []
    for answer in rpc.each("eth_blockNumber", [], str)[:2]:
        if isinstance(answer, SakkError):
            raise answer
        heights.append(_number(answer or ""))
    return min(heights)


def _read(receipt: RawReceipt, *, head: int) -> TransactionStatus:
    number = _number(receipt.block_number)
    gas_used = parse_quantity(receipt.gas_used)
    l1_fee = parse_quantity(receipt.l1_fee) if receipt.l1_fee is not None else 0
    return TransactionStatus(
        TransactionState.mined,
        tx_hash=receipt.transaction_hash.lower(),
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
    rpc: Rpc, hashes: Sequence[str], sender: str, nonce: int, span: tuple[int, int]
) -> TransactionStatus:
    """Find the block in which the nonce was used, and by what."""
    contested = TransactionStatus(TransactionState.contested)
    low, high = span
    if low >= high or _count(rpc, sender, low) > nonce:
        low = 0
    if _count(rpc, sender, low) > nonce:
        return contested
    # Invariant: at `low` the nonce is free, at `high` it is used. At most 63 steps.
    while high - low > 1:
        middle = (low + high) // 2
        if _count(rpc, sender, middle) > nonce:
            high = middle
        else:
            low = middle
    block = _asked(rpc, "eth_getBlockByNumber", [hex(high), True], RawBlock)
    if block is None:
        return contested
    ours = {each.lower() for each in hashes}
    if any(transaction.hash.lower() in ours for transaction in block.transactions):
        return contested
    if _is_mined_anywhere(rpc, hashes):
        return contested
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


def _is_mined_anywhere(rpc: Rpc, hashes: Sequence[str]) -> bool:
    """Does any provider have a receipt of ours? One that does not answer might."""
    for tx_hash in hashes:
        for answer in rpc.each("eth_getTransactionReceipt", [tx_hash], RawReceipt):
            if isinstance(answer, SakkError):
                raise answer
            if answer is not None:
                return True
    return False


def _count(rpc: Rpc, address: str, block_number: int) -> int:
    """How many nonces an address has used up to a block."""
    found = _asked(rpc, "eth_getTransactionCount", [address, hex(block_number)], str)
    if found is None:
        raise RpcInconsistent("the node answered eth_getTransactionCount with nothing")
    return parse_quantity(found, maximum=evm.NONCE_MAX)


def _asked(rpc: Rpc, method: str, params: Sequence[object], kind: type[Answer]) -> Answer | None:
    """What proves that money may be sent anew is asked of two providers, where there are two."""
    if len(rpc.providers) > 1:
        return rpc.compare(method, params, kind)
    return rpc.find(method, params, kind)


def _number(text: str) -> int:
    return parse_quantity(text, maximum=_NUMBER_MAX)
