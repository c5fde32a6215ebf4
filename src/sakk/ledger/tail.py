"""The journal as it is written, told in events: for who looks on, and for programs that follow."""

import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sakk.core.ledger import shown_id
from sakk.ledger.group import RESOLVED, Kind, Outcome, Request
from sakk.ledger.journal import decode_group
from sakk.ledger.record import (
    decode_account,
    decode_id,
    decode_results,
    decode_root,
    decode_transfer,
    split,
)
from sakk.ledger.types import CreateAccountStatus, CreateRootStatus, CreateTransferStatus
from sakk.ledger.voucher import decode_vouchers
from sakk.store.journal import JournalRow, connect, last_sequence, read_journal

LOOK_SECONDS = 0.25


def follow(
    url: str,
    *,
    shard: int = 0,
    after: int | None = None,
    stop: threading.Event | None = None,
) -> Iterator[JournalRow]:
    """Rows of the journal after a sequence, then those to come until ``stop`` is set.

    ``after`` None: only those to come. ``stop`` None: only those that are there.
    """
    with connect(url) as connection:
        if after is None:
            after = last_sequence(connection, shard)
        while True:
            for row in read_journal(connection, shard, after=after):
                yield row
                after = row.sequence
                if stop is not None and stop.is_set():
                    return
            if stop is None or stop.wait(LOOK_SECONDS):
                return


def events(row: JournalRow) -> Iterator[dict[str, Any]]:
    """What happened in a row, in order: ended holds, then what was asked for, refusals too."""
    group = decode_group(row.payload)
    for identifier in group.expired:
        yield {"sequence": row.sequence, "event": "expired", "id": _id(decode_id(identifier))}
    for request, outcome in zip(group.requests, group.outcomes, strict=True):
        for event in _MADE[request.kind](request, outcome):
            yield {"sequence": row.sequence, **event}


def _accounts(request: Request, outcome: Outcome) -> Iterator[dict[str, Any]]:
    timestamps, statuses = decode_results(outcome.results)
    for record, timestamp, status in zip(split(request.records), timestamps, statuses, strict=True):
        account = decode_account(record)
        yield {
            "event": "account",
            "id": _id(account.id),
            "status": CreateAccountStatus(status).name,
            "timestamp": timestamp,
            "unit": account.unit,
            "code": account.code,
        }


def _transfers(request: Request, outcome: Outcome) -> Iterator[dict[str, Any]]:
    timestamps, statuses = decode_results(outcome.results)
    moved = {
        index: int.from_bytes(amount, "little")
        for index, amount in RESOLVED.iter_unpack(outcome.resolved)
    }
    records = split(request.records)
    for index, (record, timestamp, status) in enumerate(
        zip(records, timestamps, statuses, strict=True)
    ):
        transfer = decode_transfer(record)
        yield {
            "event": "transfer",
            "id": _id(transfer.id),
            "status": CreateTransferStatus(status).name,
            "timestamp": timestamp,
            "debit_account_id": _id(transfer.debit_account_id),
            "credit_account_id": _id(transfer.credit_account_id),
            "amount": moved.get(index, transfer.amount),
            "unit": transfer.unit,
            "code": transfer.code,
            "flags": int(transfer.flags),
            **({"pending_id": _id(transfer.pending_id)} if transfer.pending_id else {}),
        }


def _roots(request: Request, outcome: Outcome) -> Iterator[dict[str, Any]]:
    timestamps, statuses = decode_results(outcome.results)
    for record, timestamp, status in zip(split(request.records), timestamps, statuses, strict=True):
        root = decode_root(record)
        yield {
            "event": "root",
            "id": _id(root.id),
            "status": CreateRootStatus(status).name,
            "timestamp": timestamp,
            "unit": root.unit,
            "epoch": root.epoch,
            "journal_sequence": root.sequence,
            "leaves": root.leaves,
            "total": root.total,
            "root": root.root.hex(),
        }


def _vouchers(request: Request, outcome: Outcome) -> Iterator[dict[str, Any]]:
    timestamps, _ = decode_results(outcome.results)
    for voucher, timestamp in zip(decode_vouchers(request.records), timestamps, strict=True):
        yield {
            "event": "voucher",
            "channel": str(UUID(bytes=voucher.channel)),
            "timestamp": timestamp,
            "ceiling": voucher.ceiling,
            "signature": voucher.signature.hex(),
        }


_MADE = {
    Kind.create_accounts: _accounts,
    Kind.create_transfers: _transfers,
    Kind.create_roots: _roots,
    Kind.keep_vouchers: _vouchers,
}


def _id(identifier: int) -> str:
    return str(UUID(int=shown_id(identifier)))
