"""Imported: transactions that the signer's log holds and a restored database does not.

Each gets a row with its own bytes, ``unknown`` until the chain tells, so that the same bytes are
all that can ever be sent for it. A payout that is still there is tied to it; one that is not is
``forgotten``, and a person's to settle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from sakk.core import authorization, event, evm
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.core.restore import Finding
from sakk.core.sweep import Sweep, SweepStatus
from sakk.core.transaction import (
    Attempt,
    AttemptStatus,
    ChainTransaction,
    Purpose,
    TransactionStatus,
)
from sakk.flow.payout import payout_event
from sakk.signing.log import PaidEntry, SignedEntry
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import restore as store
from sakk.store import sweep as sweeps
from sakk.store import transaction as transactions
from sakk.store.address import Address
from sakk.store.database import update_records
from sakk.store.identity import new_id

# In these a payout was not signed, as far as the database remembers.
_UNSIGNED = (PayoutStatus.requested, PayoutStatus.screened, PayoutStatus.approved)
_PAYING = (Purpose.payout.value, Purpose.refund.value, Purpose.disperse.value)
# One plain transfer each; what carries many rows is for a person to look at.
_IMPORTED = (*_PAYING, Purpose.sweep.value, Purpose.topup.value)


@dataclass(frozen=True, slots=True)
class Line:
    """A signature in the signer's log; ``at`` in milliseconds since 1970."""

    sequence: int
    at: int
    entry: SignedEntry


def unsigned_of(raw: bytes) -> bytes:
    """What was asked to be signed, from the signed bytes."""
    if authorization.is_set_code(raw):
        return authorization.encode_unsigned(authorization.decode_signed(raw).transaction)
    made = evm.decode_signed(raw).transaction
    assert isinstance(made, evm.Transaction)
    return evm.encode_unsigned(made)


def import_lines(
    connection: Connection, lines: Sequence[Line], *, now: datetime
) -> tuple[int, list[Finding]]:
    """Import what was signed, in the order in which it was; how many transactions, and notes."""
    notes: list[Finding] = []
    imported = 0
    for line in lines:
        found = _import(connection, line, now=now)
        imported += found is None or found.code == "payout.forgotten"
        notes += [] if found is None else [found]
    return imported, notes


def _import(connection: Connection, line: Line, *, now: datetime) -> Finding | None:
    entry = line.entry
    book = network.find_network(connection, entry.network)
    source = address.find_address(connection, entry.source)
    if book is None or source is None:
        return _note("transaction.unimported", line, "its network or sender is not here")
    if entry.purpose not in _IMPORTED:
        return _note("transaction.unimported", line, f"a {entry.purpose} is not imported by itself")
    standing = store.by_nonce(
        connection, network=entry.network, sender=entry.source, nonce=entry.nonce
    )
    if standing is not None and standing.raw is not None:
        if standing.subject != entry.intent_id and standing.id != entry.intent_id:
            return _note("nonce.twice", line, f"{standing.id} has nonce {entry.nonce} here")
        _add_attempt(connection, standing, line)
        return None
    for built in [*store.built_of(connection, entry.intent_id), *([standing] if standing else [])]:
        store.call_off(connection, built, "restored: the signer had signed another")
    row = _row(line, source, livemode=book.livemode, since=_since(connection, entry.network))
    if entry.purpose in _PAYING:
        return _import_payouts(connection, row, line, now=now)
    if entry.purpose == Purpose.sweep:
        return _import_sweep(connection, row, line, source, now=now)
    _insert(connection, replace(row, id=entry.intent_id), line)
    return None


def _import_payouts(
    connection: Connection, row: ChainTransaction, line: Line, *, now: datetime
) -> Finding | None:
    """One payout, or the many that one transaction carries: all are still there, or none counts."""
    entry = line.entry
    one = PaidEntry(entry.intent_id, entry.destination, entry.amount)
    paid = entry.payments or (one,)
    found = [_standing(connection, row.asset, each) for each in paid]
    kept = [payout for payout in found if payout is not None]
    if len(kept) < len(paid):
        if entry.payments:
            # Its other payouts can not be signed again: the signer remembers each of them.
            return _note("transaction.unimported", line, "not all of its payouts are here")
        _insert(connection, replace(row, purpose=Purpose.forgotten.value), line)
        return _note("payout.forgotten", line, "it is not here as it was signed: tell its merchant")
    if entry.payments:
        row = replace(row, id=entry.intent_id)
    else:
        row = replace(row, account_id=kept[0].account_id)
    _insert(connection, row, line)
    change = {
        "status": PayoutStatus.unknown.value,
        "transaction": row.id,
        "tx_hash": row.hash,
    }
    update_records(
        connection,
        payouts.payouts,
        [
            {"id": payout.id, **change, "transaction_line": place if entry.payments else None}
            for place, payout in enumerate(kept)
        ],
    )
    now_unknown = [
        replace(payout, status=PayoutStatus.unknown.value, transaction=row.id, tx_hash=row.hash)
        for payout in kept
    ]
    events.append(
        connection, [payout_event(each, event.PAYOUT_UNKNOWN) for each in now_unknown], now=now
    )
    return None


def _standing(connection: Connection, asset: str, paid: PaidEntry) -> Payout | None:
    """The payout that a payment was for, if the database holds it as it was and not yet signed."""
    payout = payouts.lock_one(connection, paid.intent_id)
    if payout is None or payout.status not in _UNSIGNED or payout.hold != HoldStatus.held:
        return None
    asked = (payout.asset, payout.destination, payout.token_amount)
    return payout if asked == (asset, paid.destination, int(paid.amount)) else None


def _import_sweep(
    connection: Connection, row: ChainTransaction, line: Line, source: Address, *, now: datetime
) -> Finding | None:
    """Both ends are ours: the sweep's row can be made again."""
    found = sweeps.lock_one(connection, row.subject)
    if found is not None and found.status != SweepStatus.approved:
        return _note("transaction.unimported", line, f"the sweep is {found.status} here")
    _insert(connection, row, line)
    if found is not None:
        change = {"status": SweepStatus.unknown.value, "transaction": row.id, "tx_hash": row.hash}
        update_records(connection, sweeps.sweeps, [{"id": found.id, **change}])
        return None
    sweep = Sweep(
        id=row.subject,
        livemode=row.livemode,
        network=row.network,
        asset=row.asset,
        address=row.sender,
        key_index=source.key_index,
        destination=row.destination,
        token_amount=row.token_amount,
        status=SweepStatus.unknown.value,
        transaction=row.id,
        tx_hash=row.hash,
        created=now,
    )
    sweeps.insert(connection, [sweep])
    # What it takes is put there by its pay-in, which is read again.
    address.add_deposits(connection, [(row.sender, row.asset, -row.token_amount)])
    return None


def _row(line: Line, source: Address, *, livemode: bool, since: int) -> ChainTransaction:
    entry = line.entry
    raw = bytes.fromhex(entry.raw)
    made = evm.decode_signed(raw).transaction
    assert isinstance(made, evm.Transaction)
    at = datetime.fromtimestamp(line.at / 1000, UTC)
    return ChainTransaction(
        id=new_id("tx"),
        livemode=livemode,
        network=entry.network,
        purpose=entry.purpose,
        subject=entry.intent_id,
        sender=entry.source,
        key_branch="treasury" if source.purpose == "treasury" else "deposit",
        key_index=source.key_index,
        nonce=entry.nonce,
        asset=entry.asset,
        destination=entry.destination,
        token_amount=int(entry.amount),
        gas_limit=made.gas_limit,
        max_fee_per_gas=made.max_fee_per_gas,
        max_priority_fee_per_gas=made.max_priority_fee_per_gas,
        unsigned=evm.encode_unsigned(made),
        since_block=since,
        raw=raw,
        hash=entry.hash,
        status=TransactionStatus.unknown.value,
        error="restored: signed after the backup",
        broadcasts=1,
        signed_at=at,
        broadcast_at=at,
        replacements=entry.attempt,
        explanation=entry.explanation,
        created=at,
    )


def _insert(connection: Connection, row: ChainTransaction, line: Line) -> None:
    # A sender that the backup had never seen send: its nonces are counted from here on.
    transactions.lock_nonce(connection, row.network, row.sender, base=row.nonce)
    transactions.insert(connection, row)
    transactions.insert_attempt(connection, _attempt(row, line))


def _add_attempt(connection: Connection, row: ChainTransaction, line: Line) -> None:
    """A replacement that was signed after the backup: the newest bytes are what is sent."""
    transactions.insert_attempt(connection, _attempt(row, line))
    if line.entry.attempt >= row.replacements:
        change = {
            "raw": bytes.fromhex(line.entry.raw),
            "hash": line.entry.hash,
            "replacements": line.entry.attempt,
        }
        update_records(connection, transactions.transactions, [{"id": row.id, **change}])


def _attempt(row: ChainTransaction, line: Line) -> Attempt:
    raw = bytes.fromhex(line.entry.raw)
    made = evm.decode_signed(raw).transaction
    assert isinstance(made, evm.Transaction)
    at = datetime.fromtimestamp(line.at / 1000, UTC)
    return Attempt(
        id=new_id("txa"),
        transaction=row.id,
        attempt=line.entry.attempt,
        network=row.network,
        # One that only uses the nonce up goes from its sender to itself.
        cancels=made.to == row.sender,
        max_fee_per_gas=made.max_fee_per_gas,
        max_priority_fee_per_gas=made.max_priority_fee_per_gas,
        unsigned=evm.encode_unsigned(made),
        raw=raw,
        hash=line.entry.hash,
        status=AttemptStatus.signed.value,
        explanation=line.entry.explanation,
        signed_at=at,
        created=at,
    )


def _since(connection: Connection, name: str) -> int:
    """A block that is surely older than the transaction: how far the restored database had read."""
    cursor = network.find_cursor(connection, name)
    return 0 if cursor is None else cursor.block_number or 0


def _note(code: str, line: Line, what: str) -> Finding:
    entry = line.entry
    return Finding(
        code, entry.intent_id, f"{entry.explanation} (line {line.sequence}, {entry.hash}): {what}"
    )
