"""x402 payments: what becomes of those that a transaction of ours carries.

A payment is told of as settled as soon as a block holds it; that it failed is certain when that is
final. What a reorganisation takes back waits for another block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from sakk.core import evm
from sakk.core.capture import Outcome, moved_by, outcomes
from sakk.core.disperse import Contradiction, Log
from sakk.core.transaction import ChainTransaction, Purpose
from sakk.core.x402 import Reason
from sakk.core.x402_payment import (
    PAID,
    X402Payment,
    X402Status,
)
from sakk.flow.stage import wake
from sakk.rails.evm.capture import words_of
from sakk.rails.evm.rpc import RpcInconsistent, parse_data
from sakk.rails.evm.status import TransactionStatus as ChainStatus
from sakk.store import address
from sakk.store import x402_payment as store
from sakk.store.database import update_records

# Whom a stage or the confirmation of a transaction tells that payments came to an end.
ENDED = "x402.ended"
BUILD = "x402.build"

log = structlog.get_logger(__name__)


def note_signed(connection: Connection, row: ChainTransaction, tx_hash: str) -> None:
    """The payments that a transaction carries are sent from here on, under its hash."""
    carried = store.of_transaction(connection, row.id, lock=True)
    store.change(
        connection,
        [each.id for each in carried],
        status=X402Status.sent.value,
        tx_hash=tx_hash,
    )


def recipients(connection: Connection, row: ChainTransaction) -> list[int]:
    """The key indexes of the deposit addresses that a capture pays, in the order of its lines.

    Empty where one of them is nobody's here: only a signer that allows anyone signs that.
    """
    carried = store.of_transaction(connection, row.id)
    known = address.find_addresses(connection, sorted({each.pay_to for each in carried}))
    own = [known.get(each.pay_to) for each in carried]
    indexes = [each.key_index for each in own if each is not None and is_deposit(each)]
    return indexes if len(indexes) == len(carried) else []


def is_deposit(found: address.Address) -> bool:
    """Does a deposit key of the signer hold it?"""
    return found.purpose in address.DEPOSITS


def let_go(connection: Connection, transaction: str, *, retry_at: datetime | None) -> None:
    """A transaction that was not signed carries nothing: its payments are built again."""
    carried = store.of_transaction(connection, transaction, lock=True)
    store.change(
        connection,
        [each.id for each in carried],
        transaction=None,
        transaction_line=None,
        retry_at=retry_at,
    )
    wake(connection, BUILD)


def refuse_captured(connection: Connection, transaction: str) -> None:
    """The signer does not sign this, so nothing was sent and nothing will be."""
    carried = store.of_transaction(connection, transaction, lock=True)
    fail(connection, carried, Reason.failed, "It is not carried out here.")


def fail(connection: Connection, rows: Sequence[X402Payment], reason: Reason, message: str) -> None:
    """Payments that moved nothing, and never will by this house."""
    store.change(
        connection,
        [each.id for each in rows],
        status=X402Status.failed.value,
        failure_code=reason.value,
        failure_message=message[:500],
    )
    wake(connection, ENDED)


@dataclass(frozen=True, slots=True)
class Landing:
    """What was learned of a transaction that carries payments.

    ``outcomes``: of its lines, where a block holds it and it did not revert whole. ``is_final``:
    what it did not do it never will.
    """

    tx_hash: str | None
    block_number: int | None
    outcomes: Sequence[Outcome] | None
    is_final: bool


def landing(row: ChainTransaction, chain: ChainStatus, change: Mapping[str, Any]) -> Landing | None:
    """What a look at the chain says of the payments that a transaction carries, if it does.

    RpcInconsistent when the receipt contradicts itself: it settles nothing.
    """
    if row.purpose != Purpose.capture:
        return None
    is_final = "succeeded" in change
    if change.get("block_hash") is None:
        return Landing(None, None, None, is_final)
    found: Sequence[Outcome] | None = None
    if chain.succeeded:
        made = evm.decode_unsigned(row.unsigned)
        logs = [
            (each.log_index, Log(each.contract, each.topics, parse_data(each.data)))
            for each in chain.logs
        ]
        try:
            moved = moved_by(made.to, made.data)
            found = outcomes(moved, logs, to=made.to, sender=row.sender)
        except Contradiction as error:
            raise RpcInconsistent(
                f"the receipt of {row.hash} contradicts itself: {error}"
            ) from error
    return Landing(change.get("hash") or row.hash, change["block_number"], found, is_final)


def note_landing(
    connection: Connection, row: ChainTransaction, landed: Landing, *, now: datetime
) -> None:
    """Write what became of the payments of a transaction.

    A success is told as soon as a block holds it. That it failed is certain when that is final.
    """
    settled: list[dict[str, Any]] = []
    unsettled: list[str] = []
    for each in store.of_transaction(connection, row.id, lock=True):
        line = each.transaction_line or 0
        outcome = None if landed.outcomes is None else landed.outcomes[line]
        if outcome is not None and outcome.log_index is not None:
            settled.append(_settled(each, landed, outcome, now))
        elif landed.is_final:
            _note_failed(connection, each, outcome)
        elif each.status == X402Status.settled:
            # The block that held it left the chain, or holds it otherwise now.
            unsettled.append(each.id)
    update_records(connection, store.x402_payments, settled)
    store.change(
        connection, unsettled, status=X402Status.sent.value, block_number=None, log_index=None
    )
    wake(connection, ENDED)


def _settled(each: X402Payment, landed: Landing, outcome: Outcome, now: datetime) -> dict[str, Any]:
    """What is written of a payment that a block holds."""
    is_posted = each.status == X402Status.posted
    return {
        "id": each.id,
        "status": each.status if is_posted else X402Status.settled.value,
        "tx_hash": landed.tx_hash,
        "block_number": landed.block_number,
        "log_index": outcome.log_index,
        "settled_at": each.settled_at or now,
    }


def _note_failed(connection: Connection, each: X402Payment, outcome: Outcome | None) -> None:
    if outcome is not None and outcome.is_untried:
        store.change(
            connection,
            [each.id],
            status=X402Status.requested.value,
            transaction=None,
            transaction_line=None,
        )
        wake(connection, BUILD)
        return
    if each.answered_at is not None and each.status in PAID:
        # The block that was told of is gone, and the payer's coins did not move in another.
        log.error("x402.undone", payment=each.id, payer=each.payer, units=each.token_amount)
    words = "" if outcome is None else words_of(outcome)
    fail(connection, [each], Reason.failed, words or "The transaction moved nothing.")


def note_posted(connection: Connection, row: ChainTransaction) -> None:
    """The transaction is final and its gas booked."""
    carried = store.of_transaction(connection, row.id, lock=True)
    store.change(
        connection,
        [each.id for each in carried if each.status == X402Status.settled],
        status=X402Status.posted.value,
    )
