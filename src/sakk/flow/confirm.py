"""Confirm: ask the chain what became of a transaction, and believe it only when it is final."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import Counter
from sqlalchemy import Connection

from sakk.core import event
from sakk.core.chart import TransferCode
from sakk.core.errors import Misconfigured, SakkError
from sakk.core.escrow_call import CallKind, CarriedCall
from sakk.core.event import NewEvent
from sakk.core.network import Asset, Network, Quirk
from sakk.core.payout import Payout, PayoutStatus
from sakk.core.payout_posting import owed_posting, undone_fee, undone_posting
from sakk.core.posting import reversed_postings
from sakk.core.sweep import SweepStatus
from sakk.core.transaction import (
    REBROADCAST_AFTER,
    Attempt,
    ChainTransaction,
    GasCoin,
    Purpose,
    TransactionStatus,
    rebroadcast_delay,
)
from sakk.core.withdrawal import WithdrawalStatus
from sakk.flow.book import PostingSet
from sakk.flow.context import Parts
from sakk.flow.escrow_call import undo_deposit
from sakk.flow.payout import hold_set
from sakk.flow.stage import REST_SECONDS, Stage, wake
from sakk.flow.sweep import confirm_collected, note_arrived, sweep_event
from sakk.flow.transaction import (
    Subject,
    find_subject,
    finish_subject,
    follow_hash,
    follow_status,
    move_payouts,
    settlement,
    transaction_event,
)
from sakk.flow.transaction_outcome import (
    arrived_units,
    collected_units,
    dispersed,
    find_attempt,
    look_up,
)
from sakk.flow.withdrawal import advance_withdrawal
from sakk.flow.x402_payment import Landing, landing, note_landing
from sakk.rails.evm.rail import EvmRail
from sakk.rails.evm.rpc import RpcDisagreement
from sakk.rails.evm.status import TransactionState
from sakk.rails.evm.status import TransactionStatus as ChainStatus
from sakk.store import address, network
from sakk.store import event as events
from sakk.store import sender as senders
from sakk.store import sweep as sweeps
from sakk.store import transaction as store
from sakk.store.database import among, update_records
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, give_back, settle

BATCH_MAX = 100
CONFIRMED = TransactionStatus.confirmed.value
# An authorisation of EIP-7702 may use a nonce too: that is no transaction, and has no hash.
_REPLACED_BY = "replaced by 0x"
_HELD_BY = "is held by"
_BOOKED = [TransactionStatus.posted.value, TransactionStatus.failed.value]

log = structlog.get_logger(__name__)

foreign_nonces = Counter(
    "sakk_foreign_nonces_total",
    "Nonces of ours that somebody else's transaction holds: a key is in other hands.",
    ["network"],
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction with all that it was signed as, and the settings that it is judged by."""

    row: ChainTransaction
    attempts: Sequence[Attempt]
    network: Network
    asset: Asset | None

    @property
    def needs_agreement(self) -> bool:
        """Is so much at stake that one provider's word is not enough?"""
        limit = None if self.asset is None else self.asset.compare_above
        return limit is not None and self.row.token_amount >= limit


_table = store.transactions
_due = claimable(
    _table,
    ChainTransaction,
    _table.c.hash.is_not(None),
    among(_table.c.status, [TransactionStatus.broadcast.value, TransactionStatus.unknown.value])
    | (_table.c.orphaned & among(_table.c.status, _BOOKED)),
    limit=BATCH_MAX,
    early=True,
)


def confirm_stage(parts: Parts) -> Stage:
    """The stage that looks up sent transactions whenever a network has a new head."""

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _due, token=token, now=parts.clock())
            if not rows:
                return 0
            networks = {each.network: each for each in network.list_networks(connection)}
            attempts = store.list_attempts(connection, [row.id for row in rows])
            assets = {each.asset: each for each in network.list_assets(connection)}
            taking = {name for name, each in assets.items() if Quirk.fee_on_transfer in each.quirks}
        changed = 0
        for row in rows:
            sent = Sent(row, attempts[row.id], networks[row.network], assets.get(row.asset))
            try:
                changed += _look_up(parts, sent, taking, token=token)
            except SakkError as error:
                log.warning("confirm.waits", transaction=row.id, code=error.code)
                with parts.database.begin() as connection:
                    _wait(connection, row, error, token=token, now=parts.clock())
        return changed

    return Stage("transaction.confirm", run, due=(_due,), rest_seconds=REST_SECONDS)


def _look_up(parts: Parts, sent: Sent, taking: set[str], *, token: str) -> int:
    row, found = sent.row, sent.network
    if row.again is not None:
        return _record_again(parts, row, *_begun(sent), landed=None, token=token)
    rail = parts.rail_of(found)
    chain = look_up(rail, found, row, sent.attempts, agreed=sent.needs_agreement)
    change = _change(sent, chain, now=parts.clock())
    collected: dict[str, int] = {}
    if change is not None and change.get("succeeded"):
        if row.purpose == Purpose.collect:
            collected = _collected(parts, rail, row, chain, taking)
        elif row.purpose == Purpose.disperse:
            change |= dispersed(row, chain, takes_fee=row.asset in taking)
        elif row.purpose == Purpose.capture:
            change["arrived_units"] = row.token_amount
        else:
            takes_fee = row.asset in taking
            change["arrived_units"] = arrived_units(rail, row, chain, takes_fee=takes_fee)
    landed = landing(row, chain, change) if change is not None else None
    if row.orphaned and change is not None and change.get("status") == CONFIRMED:
        return _record_again(parts, row, change, collected, landed=landed, token=token)
    failpoint("transaction.confirm.before")
    with parts.database.begin() as connection:
        settled = _record(connection, parts, row, change, collected, landed, token=token)
    failpoint("transaction.confirm.after")
    return settled


def _collected(
    parts: Parts, rail: EvmRail, row: ChainTransaction, chain: ChainStatus, taking: set[str]
) -> dict[str, int]:
    with parts.database.begin() as connection:
        carried = sweeps.of_transaction(connection, row.id)
        treasuries = {each.address for each in address.list_treasury(connection)}
    return collected_units(rail, row, carried, chain, treasuries=treasuries, taking_fees=taking)


def _record(
    connection: Connection,
    parts: Parts,
    row: ChainTransaction,
    change: dict[str, Any] | None,
    collected: dict[str, int],
    landed: Landing | None,
    *,
    token: str,
) -> int:
    """Write what was learned; 1 if a status changed."""
    now = parts.clock()
    if change is not None and not _is_followed(connection, row, change):
        change = _only_mined(row, change)
    if change is None:
        give_back(connection, store.transactions, [row.id], token=token, until=now)
        return 0
    kept = {"retry_at": row.retry_at, "failures": row.failures}
    settled = settle(
        connection, store.transactions, [{"id": row.id, **kept, **change}], token=token
    )
    if settled and change.get("hash", row.hash) != row.hash:
        follow_hash(connection, row, change["hash"])
    if settled and landed is not None:
        note_landing(connection, row, landed, now=now)
    if not settled or "status" not in change:
        return 0
    if change["status"] == CONFIRMED:
        happened = _follow_subject(connection, row, change, collected, now)
        events.append(connection, happened, now=now)
        wake(connection, "transaction.settle")
        _alarm_at_last(connection, row, change, now=now)
    else:
        _alarm(connection, row, change["error"], now=now)
        if row.status != TransactionStatus.unknown and not row.orphaned:
            unclear = follow_status(connection, row, TransactionStatus.unknown)
            events.append(connection, unclear, now=now)
    return settled


def _is_followed(connection: Connection, row: ChainTransaction, change: dict[str, Any]) -> bool:
    """Will the watcher tell when the block is lost by which a transaction becomes final?

    Not where it has yet to come so far, or has seen it go since the chain was asked.
    """
    if change.get("status") != CONFIRMED:
        return True
    return network.lock_followed(
        connection, row.network, change["block_number"], change["block_hash"]
    )


def _only_mined(row: ChainTransaction, change: dict[str, Any]) -> dict[str, Any] | None:
    """Where it is mined, in a block that nobody follows yet; no more is offered for it meanwhile.
    None for what another's transaction holds, or where that is known."""
    if (change.get("error") or "").startswith(_REPLACED_BY):
        return None
    names = [each for each in ("block_number", "block_hash", "hash", "raw") if each in change]
    is_news = any(getattr(row, name) != change[name] for name in names)
    return {name: change[name] for name in names} if is_news else None


def _alarm(connection: Connection, row: ChainTransaction, reason: str, *, now: datetime) -> None:
    """Somebody else used our nonce: nothing more leaves that address; the chain decides."""
    foreign_nonces.labels(row.network).inc()
    log.error("confirm.foreign_nonce", transaction=row.id, sender=row.sender, reason=reason)
    senders.freeze(connection, row.network, row.sender, base=row.nonce, reason=reason, now=now)
    foreign = transaction_event(replace(row, error=reason), event.TRANSACTION_FOREIGN)
    events.append(connection, [foreign], now=now)


def _alarm_at_last(
    connection: Connection, row: ChainTransaction, change: dict[str, Any], *, now: datetime
) -> None:
    """Another's is final at the first look, so nobody was told while it was contested."""
    foreign = (change.get("error") or "").startswith(_REPLACED_BY)
    if foreign and _HELD_BY not in (row.error or ""):
        _alarm(connection, row, change["error"], now=now)


def _wait(
    connection: Connection, row: ChainTransaction, error: SakkError, *, token: str, now: datetime
) -> None:
    """Nothing was learned. That providers disagree is told once, and shown until they agree."""
    if not isinstance(error, RpcDisagreement | Misconfigured) or row.waits_for == error.message:
        give_back(connection, store.transactions, [row.id], token=token, until=now)
        return
    kept = {"retry_at": row.retry_at, "failures": row.failures}
    change = {"id": row.id, **kept, "waits_for": error.message}
    if settle(connection, store.transactions, [change], token=token):
        disputed = replace(row, waits_for=error.message)
        events.append(
            connection, [transaction_event(disputed, event.TRANSACTION_DISPUTED)], now=now
        )


def _change(sent: Sent, chain: ChainStatus, *, now: datetime) -> dict[str, Any] | None:
    """What to write, or None if nothing new is known."""
    row = sent.row
    match chain.state:
        case TransactionState.mined:
            place = _place(sent, chain)
            if chain.confirmations < sent.network.confirmations:
                known = {name: getattr(row, name) for name in place}
                return place if place != known else None
            return {
                **place,
                **({} if chain.why is None else {"error": chain.why}),
                "status": CONFIRMED,
                "waits_for": None,
                "succeeded": chain.succeeded,
                "gas_cost": chain.fee_wei,
                "arrived_units": 0,
                "confirmed_at": now,
                "retry_at": None,
                "failures": 0,
            }
        case TransactionState.replaced:
            # Final proof: another transaction used the nonce, so this one can never be mined.
            # Its block is kept: should that leave the chain, this one can be mined after all.
            log.error("confirm.replaced", transaction=row.id, by=chain.replaced_by)
            return {
                "block_number": chain.block_number,
                "block_hash": chain.block_hash,
                "status": CONFIRMED,
                "waits_for": None,
                "succeeded": False,
                "gas_cost": 0,
                "arrived_units": 0,
                "error": f"replaced by {chain.replaced_by}",
                "confirmed_at": now,
                "retry_at": None,
                "failures": 0,
            }
        case TransactionState.dropped:
            # Out of the pool and not in a block: the same bytes go out again, soon.
            gone = {"block_number": None, "block_hash": None, "retry_at": _soon(row)}
            now_known = {name: getattr(row, name) for name in gone}
            return gone if gone != now_known else None
        case TransactionState.pending:
            return None if row.block_hash is None else {"block_number": None, "block_hash": None}
        case TransactionState.contested:
            if chain.replaced_by is None:
                return None
            reason = f"nonce {row.nonce} {_HELD_BY} {chain.replaced_by}, which is not ours"
            if row.error == reason:
                return None
            status = row.status if row.orphaned else TransactionStatus.unknown.value
            return {"status": status, "error": reason}


def _place(sent: Sent, chain: ChainStatus) -> dict[str, Any]:
    """Where it was mined, and under which of its hashes."""
    place: dict[str, Any] = {"block_number": chain.block_number, "block_hash": chain.block_hash}
    mined = find_attempt(sent.attempts, chain.tx_hash)
    if mined is not None:
        place |= {"hash": mined.hash, "raw": mined.raw}
        if mined.cancels:
            place["error"] = "canceled: its nonce was used up"
    return place


def _soon(row: ChainTransaction) -> datetime | None:
    """When a lost transaction is sent again: at most so often as one that was never taken."""
    if row.retry_at is None or not row.broadcasts:
        return None
    last = row.retry_at - rebroadcast_delay(row.broadcasts - 1)
    return min(row.retry_at, last + REBROADCAST_AFTER)


def _record_again(
    parts: Parts,
    row: ChainTransaction,
    change: dict[str, Any],
    collected: dict[str, int],
    *,
    landed: Landing | None,
    token: str,
) -> int:
    """A booked transaction lost its block and has another: book what is different this time.

    What that is is written down first: should the chain decide once more before the row says what
    the books have, that is recorded all the same, and then what came after.
    """
    again = _mined_again(row, change)
    with parts.database.begin() as connection:
        if row.again is None and not _begin(connection, row, again, change, collected, token=token):
            give_back(connection, store.transactions, [row.id], token=token, until=parts.clock())
            return 0
        subject = find_subject(connection, row)
        coin = network.gas_coins(connection)[row.network]
    after = _after(subject, collected)
    if not _book_again(parts, row, again, subject, after, coin=coin):
        log.error("confirm.again_refused", transaction=row.id)
        with parts.database.begin() as connection:
            give_back(connection, store.transactions, [row.id], token=token, until=parts.clock())
        return 0
    with parts.database.begin() as connection:
        is_followed = _is_followed(connection, row, change)
        written = [{name: getattr(again, name) for name in ("id", *_AGAIN)}]
        if not settle(connection, store.transactions, written, token=token):
            return 0
        if subject != after:
            log.error("confirm.collection_changed", transaction=row.id)
            note_arrived(connection, row.id, collected)
        now = parts.clock()
        _follow_again(connection, row, again, landed, moved=subject != after, now=now)
        _alarm_at_last(connection, row, change, now=now)
        if not is_followed:
            # Lost once more while it was booked: the watcher has told of it already.
            store.reopen_orphaned(connection, row.network, [change["block_hash"]], now=now)
    return 1


def _begin(
    connection: Connection,
    row: ChainTransaction,
    again: ChainTransaction,
    change: dict[str, Any],
    collected: dict[str, int],
    *,
    token: str,
) -> bool:
    """Write down what will be booked; not of a block that nobody follows, or without the lease."""
    if not _is_followed(connection, row, change):
        return False
    facts = {name: getattr(again, name) for name in (*_FACTS, "hash", "error")}
    begun = {"id": row.id, "lease_token": token, "again": {**facts, "collected": collected}}
    return update_records(connection, store.transactions, [begun], "lease_token") == 1


def _begun(sent: Sent) -> tuple[dict[str, Any], dict[str, int]]:
    """What somebody had begun to book, who is gone since; see `_begin`."""
    change = {**(sent.row.again or {}), "status": CONFIRMED}
    mined = find_attempt(sent.attempts, change["hash"])
    if mined is not None:
        change["raw"] = mined.raw
    return change, change.pop("collected")


# What a transaction that is mined again has anew.
_FACTS = ("succeeded", "gas_cost", "arrived_units", "failed_lines", "block_number", "block_hash")
_BYTES = ("hash", "raw", "error")
_AGAIN = ("status", "orphaned", "again", *_FACTS, *_BYTES)


def _mined_again(row: ChainTransaction, change: dict[str, Any]) -> ChainTransaction:
    """The transaction as the chain has it this time."""
    known: dict[str, Any] = {name: change.get(name) for name in _FACTS}
    known |= {name: change.get(name, getattr(row, name)) for name in _BYTES}
    status = TransactionStatus.posted if known["succeeded"] else TransactionStatus.failed
    return replace(row, status=status.value, orphaned=False, again=None, **known)


def _follow_again(
    connection: Connection,
    row: ChainTransaction,
    again: ChainTransaction,
    landed: Landing | None,
    *,
    moved: bool,
    now: datetime,
) -> None:
    """What a transaction carries takes its hash, and its end where that is another this time.

    ``moved``: not the same units of a collection arrived.
    """
    if again.hash is not None and again.hash != row.hash:
        follow_hash(connection, row, again.hash)
    if landed is not None:
        note_landing(connection, row, landed, now=now)
    changed = (again.succeeded, again.failed_lines) != (row.succeeded, row.failed_lines)
    if changed:
        log.error("confirm.outcome_changed", transaction=row.id, succeeded=again.succeeded)
    if changed or moved:
        happened = finish_subject(connection, again, now=now, before=row)
        events.append(connection, happened, now=now)


def _after(subject: Subject, collected: dict[str, int]) -> Subject:
    """The sweeps of a call of the hub as they end this time; anything else as it is."""
    if not isinstance(subject, tuple):
        return subject
    return tuple(replace(each, arrived_units=collected.get(each.id, 0)) for each in subject)


def _book_again(
    parts: Parts,
    row: ChainTransaction,
    again: ChainTransaction,
    subject: Subject,
    after: Subject,
    *,
    coin: GasCoin,
) -> bool:
    """Undo what was booked and book what is true now; nothing where both are the same."""
    step = f"again:{again.block_hash}"
    was = settlement(row, subject, coin=coin)
    now_true = settlement(again, after, coin=coin)
    sets = []
    if was != now_true:
        undo = reversed_postings(was, TransferCode.transaction_undone)
        lost = bool(row.succeeded) and not again.succeeded
        if lost and isinstance(subject, CarriedCall) and subject.call.kind == CallKind.deposit:
            gas = settlement(replace(row, succeeded=False), subject, coin=coin)
            undo = reversed_postings(gas, TransferCode.transaction_undone)
            undo += undo_deposit(parts, row, subject, step)
        if isinstance(subject, list):
            undo = [undone_fee(each) for each in undo]
        sets.append(PostingSet(row.id, step, 0, [*undo, *now_true]))
    for payout in subject if isinstance(subject, list) else ():
        line = payout.transaction_line
        if again.pays(line) == row.pays(line):
            continue
        if not again.pays(line):
            sets.append(PostingSet(payout.id, step, 0, [undone_posting(payout)]))
        elif not _post_hold(parts, payout, step):
            sets.append(PostingSet(payout.id, f"owed:{step}", 0, [owed_posting(payout)]))
    return all(outcome.booked for outcome in parts.books.post(sets))


def _post_hold(parts: Parts, payout: Payout, step: str) -> bool:
    """A failed payout's hold may not have been given back yet: then it is posted as usual."""
    outcome = parts.books.settle_hold(hold_set(payout), step=step, attempt=0, void=False)
    return outcome.booked


def _follow_subject(
    connection: Connection,
    row: ChainTransaction,
    change: dict[str, Any],
    collected: dict[str, int],
    now: datetime,
) -> list[NewEvent]:
    """A success is told at once; a failure when its hold and gas are settled."""
    if not change["succeeded"]:
        return []
    match Purpose(row.purpose):
        case Purpose.payout | Purpose.refund | Purpose.disperse:
            learned = replace(row, succeeded=True, failed_lines=change.get("failed_lines"))
            return move_payouts(
                connection,
                learned,
                PayoutStatus.confirmed,
                event.PAYOUT_CONFIRMED,
                paid_only=True,
                confirmed_at=now,
            )
        case Purpose.sweep | Purpose.recovery:
            sweep = sweeps.lock_one(connection, row.subject)
            assert sweep is not None
            swept = replace(sweep, status=SweepStatus.confirmed.value)
            update_records(connection, sweeps.sweeps, [{"id": swept.id, "status": swept.status}])
            return [sweep_event(swept, event.SWEEP_CONFIRMED)]
        case Purpose.collect:
            return confirm_collected(connection, row.id, collected)
        case Purpose.withdrawal:
            return advance_withdrawal(connection, row.subject, WithdrawalStatus.confirmed)
        case (
            Purpose.topup
            | Purpose.cancel
            | Purpose.allowance
            | Purpose.deploy
            | Purpose.rotation
            | Purpose.capture
            | Purpose.redemption
            | Purpose.escrow
            | Purpose.forgotten
        ):
            return []
