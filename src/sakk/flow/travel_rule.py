"""Travel Rule records: what is told of a waiting transfer, and what people decide of one.

What waits is looked at again whenever something of it is told: the originator, the beneficiary, a
proof of ownership. A person of the operator may say that a record is complete, because the data
went another way, or refuse the transfer; either stands in the record with the reason.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import travel_rule as rules
from sakk.core.case import CaseKind
from sakk.core.errors import ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.ivms101 import Person, write
from sakk.core.payin import PayInStatus
from sakk.core.payout import Payout, PayoutPurpose, PayoutStatus, may_be_sent
from sakk.core.regime import Moved
from sakk.core.travel_rule import (
    UNTOLD,
    Exchange,
    TransferDirection,
    TravelRule,
    TravelRuleStatus,
)
from sakk.core.trp import Confirmation, Resolution
from sakk.flow.beneficiary import opened as opened_entry
from sakk.flow.case import open_cases
from sakk.flow.context import Parts
from sakk.flow.payin import release_held
from sakk.flow.payout import payout_event
from sakk.flow.stage import REST_SECONDS, Stage, wake
from sakk.flow.travel_exchange import MessageKind, queue
from sakk.flow.travel_income import told_by_merchant
from sakk.flow.travel_need import (
    begin,
    checked,
    ground_of,
    judge,
    look,
    merged,
    opened,
    opening_of,
    party,
    sealed,
    told_of,
)
from sakk.store import beneficiary as beneficiaries
from sakk.store import event as events
from sakk.store import payin as payins
from sakk.store import payout as payouts
from sakk.store import travel_rule as store
from sakk.store.database import fetch, fetch_values, update_records
from sakk.store.vault import Vault

DECLINED: Final = "The transfer is not accepted."
BATCH_MAX: Final = 200
REFRESHED_MAX: Final = 1_000
IDLE_SECONDS: Final = 5.0
_WRITTEN: Final = (
    "status",
    "counterparty",
    "vasp",
    "requirement",
    "missing",
    "ownership",
    "exchange",
    "peer_callback",
    "tx_hash",
    "payload",
    "deadline_at",
    "completed_at",
    "ended_at",
    "decided_by",
    "reason",
    "legal_hold",
)


def find(
    connection: Connection,
    identifier: str,
    *,
    account_id: str | None,
    livemode: bool,
    lock: bool = False,
) -> TravelRule:
    """A record by its id, or by that of its payout or pay-in; ResourceMissing."""
    columns = store.travel_rules.c
    named = columns.id if identifier.startswith(f"{rules.PREFIX}_") else columns.subject
    conditions = (named == identifier, columns.livemode == livemode)
    found = store.find(connection, *conditions, account_id=account_id, lock=lock)
    if found is None:
        raise ResourceMissing(
            "No such travel rule record: {identifier}", param="id", identifier=repr(identifier)
        )
    return found


def supply(
    connection: Connection,
    vault: Vault,
    identifier: str,
    told: Mapping[str, Any],
    *,
    account_id: str | None,
    livemode: bool,
    now: datetime,
) -> TravelRule:
    """Tell more of a waiting transfer's beneficiary; what is not told stays as it was said.

    Raises ResourceMissing, ParameterInvalid for what is no IVMS101, and UnexpectedState where the
    record does not wait for anything of the kind.
    """
    checked(told, today=now.date())
    record, payout = _locked(connection, identifier, account_id=account_id, livemode=livemode)
    if record.status != TravelRuleStatus.required or record.ended_at is not None:
        raise UnexpectedState(
            "This record is {status}: nothing of it is to be told.", status=record.status
        )
    if payout is None:
        return told_by_merchant(connection, vault, record, dict(told), now=now)
    return _again(connection, vault, payout, record, told, now=now)


def describe_account(
    connection: Connection,
    vault: Vault,
    given: Mapping[str, Any],
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> Person:
    """Say who an account is; its transfers that waited for that are looked at again."""
    person = rules.person_of(given, today=now.date(), param="originator")
    text = json.dumps(write(person), ensure_ascii=False)
    store.put_party(
        connection, account_id, vault.seal(text, account_id), livemode=livemode, now=now
    )
    refresh(connection, vault, account_id=account_id, livemode=livemode, now=now)
    return person


def described_account(
    connection: Connection, vault: Vault, *, account_id: str, livemode: bool
) -> Person | None:
    """Who an account said that it is."""
    return party(connection, vault, account_id, livemode=livemode)


def refresh(
    connection: Connection,
    vault: Vault,
    *,
    account_id: str,
    livemode: bool,
    now: datetime,
    address: str | None = None,
) -> int:
    """Look again at an account's records that wait, all or those of one address; how many."""
    waiting = store.waiting(
        connection,
        account_id=account_id,
        livemode=livemode,
        address=address,
        limit=REFRESHED_MAX,
    )
    for identifier in waiting:
        record, payout = _locked(connection, identifier, account_id=None, livemode=livemode)
        if payout is not None and record.status == TravelRuleStatus.required:
            _again(connection, vault, payout, record, {}, now=now)
    return len(waiting)


def complete(
    connection: Connection,
    identifier: str,
    *,
    livemode: bool,
    by: str,
    reason: str,
    now: datetime,
) -> TravelRule:
    """A person says that all is there: the data went another way, or none was to be had.

    A payout goes on; a pay-in that is held goes on when two people end its case so.
    """
    record, payout = _open(connection, identifier, livemode=livemode)
    done = replace(
        record,
        status=TravelRuleStatus.complete.value,
        missing=[],
        completed_at=now,
        decided_by=by,
        reason=reason,
    )
    _write(connection, record, done, payout, now=now)
    _answer(connection, done, Resolution(), now=now)
    _leave_to_two(connection, done, "An officer says that all of it is told.", now=now)
    return done


def refuse(
    connection: Connection,
    identifier: str,
    *,
    livemode: bool,
    by: str,
    reason: str,
    now: datetime,
) -> TravelRule:
    """A person refuses the transfer: its payout ends, and its money is available again. Of a pay-in
    that is held two people end the case."""
    record, payout = _open(connection, identifier, livemode=livemode)
    done = replace(record, status=TravelRuleStatus.refused.value, decided_by=by, reason=reason)
    _write(connection, record, done, payout, now=now)
    if payout is not None:
        _reject(connection, payout, now=now)
    _answer(connection, done, Resolution(rejected=DECLINED), now=now)
    _leave_to_two(connection, done, "An officer refuses it.", now=now)
    return done


def _leave_to_two(connection: Connection, record: TravelRule, why: str, *, now: datetime) -> None:
    """What is held for a record on which one person has decided is a case."""
    if record.direction == TransferDirection.incoming and record.subject is not None:
        open_cases(connection, [opening_of(record, CaseKind.payin, why)], now=now)


def hold_data(
    connection: Connection, identifier: str, *, livemode: bool, legal_hold: bool
) -> TravelRule:
    """Keep a record's data for longer than the ten years, or no longer so."""
    record = find(connection, identifier, account_id=None, livemode=livemode, lock=True)
    store.change(connection, record.id, {"legal_hold": legal_hold})
    return replace(record, legal_hold=legal_hold)


def answered(
    connection: Connection,
    identifier: str,
    resolution: Resolution,
    *,
    livemode: bool,
    now: datetime,
) -> TravelRule:
    """What the other institution said of an inquiry of ours.

    It agrees by naming the address that is to be paid; another address is no agreement. Said
    again, or after a person has decided, it changes nothing.
    """
    record, payout = _locked(connection, identifier, account_id=None, livemode=livemode)
    open_ = (Exchange.queued, Exchange.asked, Exchange.unanswered)
    if record.exchange not in open_ or record.status not in _WAITING or record.ended_at is not None:
        return record
    if resolution.rejected is None and resolution.address is None:
        if record.exchange != Exchange.queued:
            return record
        asked = replace(record, exchange=Exchange.asked.value)
        store.change(connection, record.id, {"exchange": asked.exchange})
        return asked
    agreed = (resolution.address or "").lower() == record.address
    if resolution.rejected is None and agreed:
        after = replace(
            record,
            exchange=Exchange.approved.value,
            peer_callback=resolution.callback,
            status=TravelRuleStatus.complete.value,
            completed_at=now,
        )
        _write(connection, record, after, payout, now=now)
        return after
    why = resolution.rejected or "It agreed to another address than the payout's."
    after = replace(
        record, exchange=Exchange.rejected.value, status=TravelRuleStatus.refused.value, reason=why
    )
    _write(connection, record, after, payout, now=now)
    opening = opening_of(after, _kind(record, payout), "The other institution did not agree.")
    open_cases(connection, [opening], now=now)
    return after


def unanswered(
    connection: Connection, identifier: str, why: str, *, livemode: bool, now: datetime
) -> None:
    """The other institution did not answer in time: the regime says what follows.

    It waits for a person, or goes on with the data kept here.
    """
    record, payout = _locked(connection, identifier, account_id=None, livemode=livemode)
    if record.status not in _WAITING or record.ended_at is not None:
        return
    proceeds = record.requirement.get("silence") == "proceed" and not record.missing
    after = replace(
        record,
        exchange=Exchange.unanswered.value,
        deadline_at=None,
        reason=why,
        status=(TravelRuleStatus.complete if proceeds else TravelRuleStatus(record.status)).value,
        completed_at=now if proceeds else None,
    )
    _write(connection, record, after, payout, now=now)
    if not proceeds and record.subject is not None:
        open_cases(connection, [opening_of(after, _kind(record, payout), why)], now=now)
        told = NewEvent(
            account_id=None,
            livemode=record.livemode,
            type=event.TRAVEL_RULE_UNANSWERED,
            object_id=record.id,
            object=rules.public_travel_rule(after, operator=True),
        )
        events.append(connection, [told], now=now)


def travel_rule_stage(parts: Parts) -> Stage:
    """The stage of what no request does: refunds' payouts looked at, silence noticed, ends told."""

    def run() -> int:
        with parts.database.begin() as connection:
            done = _judge_left(connection, parts)
        with parts.database.begin() as connection:
            now = parts.clock()
            late = fetch(connection, store.overdue, now=now, limit=BATCH_MAX)
            for each in late:
                unanswered(
                    connection, each.id, "No answer came in time.", livemode=each.livemode, now=now
                )
        with parts.database.begin() as connection:
            over = fetch(connection, store.ended, limit=BATCH_MAX)
            for ended in over:
                _end(connection, ended, now=parts.clock())
        with parts.database.begin() as connection:
            told = fetch_values(connection, store.told_payins, limit=BATCH_MAX)
            for payin in told:
                _let_go(connection, payin, now=parts.clock())
        return done + len(late) + len(over) + len(told)

    return Stage(
        "payout.travel_rule",
        run,
        idle_seconds=IDLE_SECONDS,
        rest_seconds=REST_SECONDS,
        due=(store.unjudged, store.overdue, store.ended, store.told_payins),
    )


_WAITING: Final = (TravelRuleStatus.required, TravelRuleStatus.pending)


def _locked(
    connection: Connection, identifier: str, *, account_id: str | None, livemode: bool
) -> tuple[TravelRule, Payout | None]:
    """A record and its payout, whose row is locked first, as everywhere."""
    found = find(connection, identifier, account_id=account_id, livemode=livemode)
    payout = None if found.subject is None else payouts.lock_one(connection, found.subject)
    record = find(connection, found.id, account_id=account_id, livemode=livemode, lock=True)
    return record, payout


def _open(
    connection: Connection, identifier: str, *, livemode: bool
) -> tuple[TravelRule, Payout | None]:
    """A record that may be decided on, and its payout, both locked."""
    record, payout = _locked(connection, identifier, account_id=None, livemode=livemode)
    decided = record.decided_by is not None or record.ended_at is not None
    if decided or record.status == TravelRuleStatus.complete:
        raise UnexpectedState(
            "This record is {status}: nothing of it is to be decided.", status=record.status
        )
    return record, payout


def _again(
    connection: Connection,
    vault: Vault,
    payout: Payout,
    record: TravelRule,
    more: Mapping[str, Any],
    *,
    now: datetime,
) -> TravelRule:
    """Look at a payout's record once more; both are locked. ``more`` was said just now."""
    _, before = opened(vault, record)
    said = merged(before, more)
    entries = beneficiaries.find_all(
        connection,
        identifiers=(),
        addresses={payout.destination},
        account_id=payout.account_id,
        livemode=payout.livemode,
    )
    entry = entries[0] if entries else None
    told = merged(None if entry is None else opened_entry(vault, entry), said)
    ground = ground_of(
        connection,
        vault,
        account_id=payout.account_id,
        livemode=payout.livemode,
        addresses=[payout.destination],
        told=[told],
        now=now,
    )
    if ground is None:
        # The operator asks for nothing any more.
        done = replace(record, status=TravelRuleStatus.complete.value, missing=[], completed_at=now)
        _write(connection, record, done, payout, now=now)
        return done
    linked = record.requirement.get("linked_units", 0)
    ownership = None if entry is None else (entry.ownership or {}).get("type")
    looked = look(
        ground,
        payout.account_id,
        payout.destination,
        Moved(payout.currency, payout.amount, linked),
        told,
        ownership,
    )
    fresh = replace(
        record,
        counterparty=looked.counterparty,
        vasp=None if looked.vasp is None else looked.vasp.id,
        requirement=looked.requirement.document()
        | {"linked_units": linked, "silence": ground.regime.silence},
        ownership=ownership,
        payload=sealed(vault, record.id, looked.payload, said),
    )
    after = begin(connection, ground, fresh, looked, payout)
    if not looked.requirement.needed:
        after = replace(after, status=TravelRuleStatus.complete.value, completed_at=now)
    _write(connection, record, after, payout, now=now)
    return after


def _write(
    connection: Connection,
    before: TravelRule,
    after: TravelRule,
    payout: Payout | None,
    *,
    now: datetime,
) -> None:
    """Record what became of a record, on its payout too, and wake whoever waited for it."""
    changed = {
        name: getattr(after, name)
        for name in _WRITTEN
        if getattr(after, name) != getattr(before, name)
    }
    if changed:
        store.change(connection, after.id, changed)
    if after.status == before.status:
        return
    if payout is not None:
        update_records(
            connection, payouts.payouts, [{"id": payout.id, "travel_rule": after.status}]
        )
    events.append(connection, [told_of(after)], now=now)
    wake(connection, "payout.decide")


def _answer(
    connection: Connection, record: TravelRule, resolution: Resolution, *, now: datetime
) -> None:
    """Whoever asked whether money may come is told what a person decided."""
    if record.direction != TransferDirection.incoming or record.peer_callback is None:
        return
    queue(
        connection,
        record.id,
        MessageKind.resolution,
        url=record.peer_callback,
        identifier=record.request_identifier,
        livemode=record.livemode,
        detail={"rejected": resolution.rejected},
        now=now,
    )


def _reject(connection: Connection, payout: Payout, *, now: datetime) -> None:
    """A payout whose record was refused ends, unless it ended already."""
    if payout.status != PayoutStatus.requested and not may_be_sent(payout):
        return
    rejected = replace(
        payout,
        status=PayoutStatus.rejected.value,
        under_review=False,
        travel_rule=TravelRuleStatus.refused.value,
        failure_code="declined",
        failure_message="The payout was declined.",
    )
    fields = ("id", "status", "under_review", "failure_code", "failure_message")
    update_records(
        connection,
        payouts.payouts,
        # Whoever still holds a lease on it from before finds that its token counts no more.
        [
            {
                **{name: getattr(rejected, name) for name in fields},
                "lease_token": None,
                "lease_until": None,
            }
        ],
    )
    events.append(connection, [payout_event(rejected, event.PAYOUT_REJECTED)], now=now)
    wake(connection, "payout.release", "refund.follow")


def _judge_left(connection: Connection, parts: Parts) -> int:
    """Look at payouts that were recorded without it, which carry refunds."""
    rows = fetch(connection, store.unjudged, limit=BATCH_MAX)
    now = parts.clock()
    after = [each for row in rows for each in judge(connection, parts.vault, [row], {}, now=now)]
    settled = [
        # Where the regime is gone, `judge` leaves a row as it was.
        {"id": each.id, "travel_rule": each.travel_rule}
        for each in after
    ]
    for row in settled:
        if store.find_subject(connection, row["id"]) is None:
            row["travel_rule"] = TravelRuleStatus.not_required.value
    update_records(connection, payouts.payouts, settled)
    if rows:
        wake(connection, "payout.decide")
    return len(rows)


def _end(connection: Connection, ended: store.Ended, *, now: datetime) -> None:
    """A payout came to its end: who agreed to it is told the transaction, or that there is none."""
    record = store.find(connection, store.travel_rules.c.id == ended.id)
    assert record is not None
    tx_hash = ended.tx_hash
    if record.exchange == Exchange.approved and record.peer_callback is not None:
        paid = ended.end == PayoutStatus.posted and tx_hash is not None
        confirmation = (
            Confirmation(txid=tx_hash) if paid else Confirmation(canceled="It was not sent.")
        )
        queue(
            connection,
            record.id,
            MessageKind.confirmation,
            url=record.peer_callback,
            identifier=record.request_identifier,
            livemode=record.livemode,
            detail={"txid": confirmation.txid, "canceled": confirmation.canceled},
            now=now,
        )
    store.change(connection, record.id, {"ended_at": now, "tx_hash": tx_hash})


def _let_go(connection: Connection, identifier: str, *, now: datetime) -> None:
    """A pay-in of which everything is told goes on, unless something else holds it by now."""
    record = store.find_subject(connection, identifier)
    assert record is not None
    payin = payins.find(
        connection, identifier, account_id=None, livemode=record.livemode, lock=True
    )
    assert payin is not None
    if payin.status == PayInStatus.held and payin.reason == UNTOLD:
        release_held(connection, payin, now=now)
        store.change(connection, record.id, {"ended_at": now})


def _kind(record: TravelRule, payout: Payout | None) -> CaseKind:
    if record.direction == TransferDirection.incoming:
        return CaseKind.payin
    refund = payout is not None and payout.purpose == PayoutPurpose.refund
    return CaseKind.refund if refund else CaseKind.payout
