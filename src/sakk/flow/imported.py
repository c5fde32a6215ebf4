"""Imported: transactions that the signer's log holds and a restored database does not.

Each gets a row with its own bytes, ``unknown`` until the chain tells, so that the same bytes are
all that can ever be sent for it. What is still there (a payout, a sweep, a withdrawal, a recovery)
is tied to it. What is not is made again where both ends are ours; where they are not it is
``forgotten``, and a person's to settle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from sakk.core import abi, authorization, clone, event, evm
from sakk.core.caip import erc20_asset
from sakk.core.collection import items_of
from sakk.core.hub import Item
from sakk.core.payout import HoldStatus, Payout, PayoutStatus
from sakk.core.refund import RefundStatus
from sakk.core.restore import Finding
from sakk.core.sweep import Sweep, SweepMethod, SweepSource, SweepStatus, deposit_units
from sakk.core.transaction import (
    Attempt,
    AttemptStatus,
    ChainTransaction,
    Purpose,
    TransactionStatus,
)
from sakk.core.withdrawal import Withdrawal, WithdrawalStatus, amount_of
from sakk.flow.payout import payout_event
from sakk.signing.log import PaidEntry, SignedEntry
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import payout as payouts
from sakk.store import recovery as recoveries
from sakk.store import restore as store
from sakk.store import rotation as rotations
from sakk.store import sweep as sweeps
from sakk.store import transaction as transactions
from sakk.store import withdrawal as withdrawals
from sakk.store.address import Address
from sakk.store.database import update_records
from sakk.store.identity import new_id

# In these a payout was not signed, as far as the database remembers.
_UNSIGNED = (PayoutStatus.requested, PayoutStatus.screened, PayoutStatus.approved)
# In these a sweep or a withdrawal was not signed, as far as the database remembers.
_SWEPT = (SweepStatus.requested, SweepStatus.screened, SweepStatus.approved)
# What a person has to settle, though the transaction itself was imported.
FORGOTTEN = ("payout.forgotten", "recovery.forgotten", "rotation.forgotten")


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
        imported += found is None or found.code in FORGOTTEN
        notes += [] if found is None else [found]
    return imported, notes


def _import(connection: Connection, line: Line, *, now: datetime) -> Finding | None:
    entry = line.entry
    book = network.find_network(connection, entry.network)
    source = address.find_address(connection, entry.source)
    if book is None or source is None:
        return _note("transaction.unimported", line, "its network or sender is not here")
    standing = store.by_nonce(
        connection, network=entry.network, sender=entry.source, nonce=entry.nonce
    )
    if standing is not None and standing.raw is not None:
        # A cancel takes the nonce of whatever has it: it is one more attempt of that.
        same = (standing.subject, standing.id)
        if entry.intent_id not in same and entry.purpose != Purpose.cancel:
            return _note("nonce.twice", line, f"{standing.id} has nonce {entry.nonce} here")
        _add_attempt(connection, standing, line)
        return None
    for built in [*store.built_of(connection, entry.intent_id), *([standing] if standing else [])]:
        store.call_off(connection, built, "restored: the signer had signed another")
    row = _row(line, source, livemode=book.livemode, since=_since(connection, entry.network))
    return _carry(connection, row, line, source, now=now)


def _carry(
    connection: Connection, row: ChainTransaction, line: Line, source: Address, *, now: datetime
) -> Finding | None:
    """Insert a transaction that has no row here, and tie it to what it carries out."""
    match Purpose(row.purpose):
        case Purpose.payout | Purpose.refund | Purpose.disperse:
            return _import_payouts(connection, row, line, now=now)
        case Purpose.sweep:
            return _import_sweep(connection, row, line, source, now=now)
        case Purpose.collect:
            return _import_collection(connection, row, line, now=now)
        case Purpose.withdrawal:
            return _import_withdrawal(connection, row, line, now=now)
        case Purpose.recovery:
            return _import_recovery(connection, row, line, source, now=now)
        case Purpose.rotation:
            return _import_rotation(connection, row, line)
        case Purpose.cancel:
            _insert(connection, replace(row, subject=row.id), line)
            return None
        case Purpose.topup:
            # Gas for a deposit address is booked into its tank, by the index of its key.
            given = address.find_address(connection, row.destination)
            is_deposit = given is not None and given.purpose not in address.OPERATORS
            index = given.key_index if given is not None and is_deposit else None
            _insert(connection, replace(row, id=row.subject, destination_index=index), line)
            return None
        case (
            Purpose.allowance
            | Purpose.deploy
            | Purpose.capture
            | Purpose.redemption
            | Purpose.escrow
        ):
            _insert(connection, replace(row, id=row.subject), line)
            return None
        case Purpose.forgotten:
            raise AssertionError("the signer signs nothing that was forgotten")


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
    _make_sweep(connection, sweep)
    return None


def _import_collection(
    connection: Connection, row: ChainTransaction, line: Line, *, now: datetime
) -> Finding | None:
    """A collection: what it takes from each deposit address is a sweep, made again if gone.

    Its sweeps are told apart by the order of its bytes, so those that are still there must stand
    in that order.
    """
    call = _call_of(row.raw or b"")
    items = items_of(call.to, call.data)
    by_factory = call.data[: abi.SELECTOR_BYTES] == clone.SWEEP
    method = (SweepMethod.clone if by_factory else SweepMethod.hub).value
    kept = [_kept_sweep(connection, row.network, item) for item in items]
    known = [each.id for each in kept if each is not None]
    place_of_new = next((place for place, each in enumerate(kept) if each is None), len(kept))
    if known != sorted(known) or any(each is not None for each in kept[place_of_new:]):
        return _note("transaction.unimported", line, "its sweeps are not here in its order")
    row = replace(row, id=line.entry.intent_id)
    _insert(connection, row, line)
    tied = {"status": SweepStatus.unknown.value, "transaction": row.id, "tx_hash": row.hash}
    tied["method"] = method
    update_records(connection, sweeps.sweeps, [{"id": each, **tied} for each in known])
    owners = address.find_addresses(connection, [item.deposit for item in items])
    made = items[place_of_new:]
    # Those of one millisecond come in any order, and sweeps stand by their ids.
    identifiers = sorted(new_id("sw") for _ in made)
    for identifier, item in zip(identifiers, made, strict=True):
        owner = owners.get(item.deposit)
        _make_sweep(
            connection,
            Sweep(
                id=identifier,
                livemode=row.livemode,
                network=row.network,
                asset=erc20_asset(row.network, item.token),
                address=item.deposit,
                key_index=address.NO_KEY if owner is None else owner.key_index,
                destination=row.destination,
                token_amount=item.units,
                method=method,
                factory=call.to if by_factory else None,
                status=SweepStatus.unknown.value,
                transaction=row.id,
                tx_hash=row.hash,
                created=now,
            ),
        )
    return None


def _kept_sweep(connection: Connection, network_name: str, item: Item) -> Sweep | None:
    """The sweep of one item, as the database holds it: approved, and in no transaction yet."""
    asset = erc20_asset(network_name, item.token)
    return sweeps.lock_unsent(connection, address=item.deposit, asset=asset, units=item.units)


def _make_sweep(connection: Connection, sweep: Sweep) -> None:
    """A sweep that was decided after the backup; what it takes is put there by its pay-in again."""
    sweeps.insert(connection, [sweep])
    taken = [(held, asset, -units) for held, asset, units in deposit_units(sweep)]
    address.add_deposits(connection, taken)


def _import_withdrawal(
    connection: Connection, row: ChainTransaction, line: Line, *, now: datetime
) -> Finding | None:
    """To a vault of ours: its row is tied, or made again."""
    found = withdrawals.lock_one(connection, row.subject)
    if found is not None and found.status not in _SWEPT:
        return _note("transaction.unimported", line, f"the withdrawal is {found.status} here")
    _insert(connection, row, line)
    sent = {
        "status": WithdrawalStatus.unknown.value,
        "transaction": row.id,
        "tx_hash": row.hash,
    }
    if found is not None:
        update_records(connection, withdrawals.withdrawals, [{"id": found.id, **sent}])
        return None
    asset = network.find_asset(connection, row.asset)
    assert asset is not None, "an asset stays listed while something names it"
    currencies = {each.currency: each for each in network.list_currencies(connection)}
    currency = currencies[asset.currency]
    made = Withdrawal(
        id=row.subject,
        livemode=row.livemode,
        network=row.network,
        asset=row.asset,
        destination=row.destination,
        token_amount=row.token_amount,
        currency=currency.currency,
        decimals=currency.decimals,
        amount=amount_of(row.token_amount, asset, currency),
        status=WithdrawalStatus.unknown.value,
        transaction=row.id,
        tx_hash=row.hash,
        created=now,
    )
    withdrawals.insert(connection, made)
    return None


def _import_recovery(
    connection: Connection, row: ChainTransaction, line: Line, source: Address, *, now: datetime
) -> Finding | None:
    """Coins went back to who paid by mistake: by its sweep, by its recovery, or for a person.

    Of a recovery that is gone nobody knows out of what the coins were held: those of a listed token
    are booked out of suspense, and others were never in the books.
    """
    found = sweeps.lock_one(connection, row.subject)
    if found is not None and found.status not in _SWEPT:
        return _note("transaction.unimported", line, f"the recovery's sweep is {found.status} here")
    _insert(connection, row, line)
    sent = {"status": SweepStatus.unknown.value, "transaction": row.id, "tx_hash": row.hash}
    if found is not None:
        update_records(connection, sweeps.sweeps, [{"id": found.id, **sent}])
        return None
    left, factory = row.sender, None
    if row.key_branch == "treasury":
        call = _call_of(row.raw or b"")
        left, factory = clone.recovered_from(call.to, call.data), call.to
    owner = address.find_address(connection, left)
    asked = recoveries.lock_unsent(
        connection, address=left, asset=row.asset, units=row.token_amount
    )
    listed = network.find_asset(connection, row.asset) is not None
    source_of = SweepSource.suspense if listed else SweepSource.unbooked
    sweep = Sweep(
        id=row.subject,
        livemode=row.livemode,
        network=row.network,
        asset=row.asset,
        address=left,
        key_index=address.NO_KEY if owner is None else owner.key_index,
        factory=factory,
        destination=row.destination,
        token_amount=row.token_amount,
        method=SweepMethod.recovery.value,
        source=source_of.value if asked is None else asked.source,
        status=SweepStatus.unknown.value,
        transaction=row.id,
        tx_hash=row.hash,
        created=now,
    )
    _make_sweep(connection, sweep)
    if asked is None:
        return _note("recovery.forgotten", line, "it is not here: tell whoever asked for it")
    change = {
        "id": asked.id,
        "status": RefundStatus.pending.value,
        "destination": row.destination,
        "sweep": sweep.id,
        "tx_hash": row.hash,
    }
    update_records(connection, recoveries.recoveries, [change])
    return None


def _import_rotation(connection: Connection, row: ChainTransaction, line: Line) -> Finding | None:
    """From one treasury address to its successor: the books have both."""
    known = rotations.find_of(connection, row.sender)
    row = replace(row, id=line.entry.intent_id)
    if known is None or known.target != row.destination:
        _insert(connection, replace(row, subject=row.id), line)
        return _note("rotation.forgotten", line, "its rotation is not here: announce it again")
    _insert(connection, replace(row, subject=known.id), line)
    return None


def _call_of(raw: bytes) -> evm.Transaction:
    """The call that signed bytes make, of whichever type they are."""
    if authorization.is_set_code(raw):
        return authorization.decode_signed(raw).transaction.call
    made = evm.decode_signed(raw).transaction
    assert isinstance(made, evm.Transaction)
    return made


def _row(line: Line, source: Address, *, livemode: bool, since: int) -> ChainTransaction:
    entry = line.entry
    raw = bytes.fromhex(entry.raw)
    made = _call_of(raw)
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
        unsigned=unsigned_of(raw),
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
    made = _call_of(raw)
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
        unsigned=unsigned_of(raw),
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
