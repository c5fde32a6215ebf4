"""What payouts need by the Travel Rule, looked at in the transaction that records them.

Two payouts of an account to one destination are counted together, also when they are asked for at
the same moment: a lock makes the second see the first. Where no regime is in force this is one
query, and nothing else.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import event
from sakk.core import travel_rule as rules
from sakk.core.case import CaseKind, Opening, Priority
from sakk.core.claim import token_hash
from sakk.core.errors import SealedElsewhere
from sakk.core.event import NewEvent
from sakk.core.ivms101 import IdentityPayload, Person, read, write
from sakk.core.money import format_decimal
from sakk.core.payout import Payout, PayoutPurpose, delivered
from sakk.core.regime import Moved, Regime, Requirement, needed
from sakk.core.travel_rule import (
    Exchange,
    Known,
    Missing,
    TransferDirection,
    TravelRule,
    TravelRuleStatus,
)
from sakk.core.trp import decode_travel_address
from sakk.core.vasp import Vasp, VaspStatus, vasp_person
from sakk.flow.beneficiary import opened as opened_entry
from sakk.flow.case import open_cases
from sakk.flow.regime import in_force
from sakk.flow.travel_exchange import MessageKind, queue, request_identifier
from sakk.store import beneficiary as beneficiaries
from sakk.store import event as events
from sakk.store import travel_rule as store
from sakk.store import vasp as vasps
from sakk.store.event import consecutive_ids
from sakk.store.vault import Vault

PARAM: Final = "travel_rule"
BLOCKED: Final = Missing(
    "beneficiary.vasp", "The operator sends nothing to this institution. Pay another address."
)


@dataclass(frozen=True, slots=True)
class Ground:
    """What is the same for transfers of one account: the regime, and whom the house knows."""

    regime: Regime
    ours: Person
    vault: Vault
    originator: Person | None
    known: Sequence[Vasp]
    now: datetime

    def vasp_of(self, address: str, told: Mapping[str, Any]) -> Vasp | None:
        """The institution of an address: by the directory's addresses, else as it was named."""
        for each in self.known:
            if address in each.addresses:
                return each
        named = told.get("vasp") or {}
        lei = named.get("lei")
        return next(
            (
                each
                for each in self.known
                if each.id == named.get("id") or (lei and each.lei == lei)
            ),
            None,
        )


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found of one transfer. ``url``: where the other institution is asked."""

    requirement: Requirement
    lacks: list[Missing]
    known: Known
    payload: IdentityPayload
    vasp: Vasp | None
    counterparty: str
    url: str | None


def checked(told: Mapping[str, Any] | None, *, today: date) -> None:
    """ParameterInvalid for what a caller said of a beneficiary, before anything is recorded."""
    if told is None:
        return
    if told.get("name") is not None or told.get("person") is not None:
        rules.person_of(told, today=today, param=PARAM)
    if told.get("originator") is not None:
        rules.person_of(told["originator"], today=today, param=f"{PARAM}[originator]")
    address = (told.get("vasp") or {}).get("travel_address")
    if address is not None:
        decode_travel_address(address, param=f"{PARAM}[vasp][travel_address]")


def judge(
    connection: Connection,
    vault: Vault | None,
    rows: Sequence[Payout],
    given: Mapping[str, Mapping[str, Any]],
    *,
    now: datetime,
) -> list[Payout]:
    """The payouts, of one account and mode, with how far their records are; records are written.

    ``given``: what the caller said of their beneficiaries, by their ids; what it did not say comes
    from the address book. Raises ParameterInvalid for what is no IVMS101, and SealedElsewhere on a
    machine that can not seal what it is told.
    """
    if not rows:
        return []
    first = rows[0]
    if in_force(connection, livemode=first.livemode) is None:
        return list(rows)
    entries = {
        entry.id: entry
        for entry in beneficiaries.find_all(
            connection,
            identifiers={row.beneficiary for row in rows if row.beneficiary is not None},
            addresses=(),
            account_id=first.account_id,
            livemode=first.livemode,
        )
    }
    told: dict[str, dict[str, Any]] = {}
    ownership: dict[str, str | None] = {}
    for row in rows:
        entry = entries.get(row.beneficiary or "")
        booked = None if entry is None else opened_entry(vault, entry)
        told[row.id] = merged(booked, given.get(row.id) or {})
        ownership[row.id] = None if entry is None else (entry.ownership or {}).get("type")
    ground = ground_of(
        connection,
        vault,
        account_id=first.account_id,
        livemode=first.livemode,
        addresses=[row.destination for row in rows],
        told=list(told.values()),
        now=now,
    )
    assert ground is not None
    linked = _linked(connection, ground.regime, rows, now=now)
    made: list[TravelRule] = []
    after: list[Payout] = []
    for row, identifier in zip(
        rows, consecutive_ids(rules.PREFIX, len(rows), now=now), strict=True
    ):
        key = (row.destination, row.currency)
        moved = Moved(row.currency, row.amount, linked.get(key, 0))
        linked[key] = moved.linked_units + row.amount
        looked = look(
            ground, row.account_id, row.destination, moved, told[row.id], ownership[row.id]
        )
        if not looked.requirement.needed:
            after.append(replace(row, travel_rule=TravelRuleStatus.not_required.value))
            continue
        record = _record(ground, row, identifier, moved, looked, given.get(row.id) or {})
        record = begin(connection, ground, record, looked, row)
        made.append(record)
        after.append(replace(row, travel_rule=record.status))
    store.insert_many(connection, made)
    events.append(connection, [told_of(each) for each in made], now=now)
    return after


def ground_of(
    connection: Connection,
    vault: Vault | None,
    *,
    account_id: str,
    livemode: bool,
    addresses: Sequence[str],
    told: Sequence[Mapping[str, Any]],
    now: datetime,
) -> Ground | None:
    """What transfers of an account are looked at with; None where no regime is in force."""
    found = in_force(connection, livemode=livemode)
    if found is None:
        return None
    if vault is None:
        raise SealedElsewhere(
            "The Travel Rule's data is sealed, and this machine has no vault key: set"
            " SAKK_VAULT_KEY_FILE to a copy of the file that the first server made.",
            param="SAKK_VAULT_KEY_FILE",
        )
    regime, ours = found
    named = [each.get("vasp") or {} for each in told]
    known = vasps.find_all(
        connection,
        identifiers={each["id"] for each in named if each.get("id")},
        leis={each["lei"] for each in named if each.get("lei")},
        addresses=set(addresses),
        livemode=livemode,
    )
    return Ground(
        regime, ours, vault, party(connection, vault, account_id, livemode=livemode), known, now
    )


def party(
    connection: Connection, vault: Vault, account_id: str, *, livemode: bool
) -> Person | None:
    """Who an account is, as its transfers tell others."""
    sealed = store.find_party(connection, account_id, livemode=livemode)
    if sealed is None:
        return None
    return read(Person, json.loads(vault.open(sealed, account_id)), param="originator")


def look(
    ground: Ground,
    account_id: str,
    address: str,
    moved: Moved,
    told: Mapping[str, Any],
    ownership: str | None,
) -> Looked:
    """What a transfer needs and what of it is missing; nothing is read or written."""
    today = ground.now.date()
    vasp = ground.vasp_of(address, told)
    counterparty = rules.counterparty_of(told, vasp)
    requirement = needed(moved, ground.regime, counterparty)
    originator = ground.originator
    if told.get("originator") is not None:
        originator = rules.person_of(told["originator"], today=today, param=f"{PARAM}[originator]")
    beneficiary = None
    if told.get("name") is not None or told.get("person") is not None:
        beneficiary = rules.person_of(told, today=today, param=PARAM)
    reference = told.get("account_reference")
    known = Known(
        None if originator is None else rules.numbered(originator, account_id),
        (account_id,),
        beneficiary,
        (address, *((reference,) if reference else ())),
        ownership,
    )
    lacks = rules.missing(requirement, known) if requirement.needed else []
    if vasp is not None and vasp.status == VaspStatus.blocked:
        lacks = [*lacks, BLOCKED]
    travel_address = (told.get("vasp") or {}).get("travel_address") or (
        None if vasp is None else vasp.travel_address
    )
    return Looked(
        requirement,
        lacks,
        known,
        rules.payload_of(known, ours=ground.ours, theirs=_theirs(vasp, told)),
        vasp,
        counterparty.kind.value,
        None if travel_address is None else decode_travel_address(travel_address),
    )


def begin(
    connection: Connection,
    ground: Ground,
    record: TravelRule,
    looked: Looked,
    payout: Payout,
) -> TravelRule:
    """A record as what was found makes it: the other institution is asked, or a person has to be.

    The same again when more was told.
    """
    exchange = Exchange(record.exchange)
    status = rules.standing(looked.requirement, looked.lacks, exchange)
    record = replace(
        record,
        status=status.value,
        missing=[each.document() for each in looked.lacks],
        completed_at=ground.now if status is TravelRuleStatus.complete else None,
    )
    if status is not TravelRuleStatus.pending or exchange is not Exchange.none:
        return record
    if looked.url is None:
        opening = opening_of(
            record,
            _kind(payout),
            "The other institution has no travel address: it can not be asked.",
        )
        open_cases(connection, [opening], now=ground.now)
        return replace(record, exchange=Exchange.unanswered.value)
    deadline = ground.now + timedelta(seconds=ground.regime.answer_seconds)
    queue(
        connection,
        record.id,
        MessageKind.inquiry,
        url=looked.url,
        identifier=record.request_identifier,
        livemode=record.livemode,
        detail={
            "asset": payout.asset,
            "amount": format_decimal(delivered(payout), payout.decimals),
        },
        now=ground.now,
        give_up_at=deadline,
    )
    return replace(record, exchange=Exchange.queued.value, deadline_at=deadline)


def merged(booked: Mapping[str, Any] | None, said: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a beneficiary: what was said of this transfer, before the address book."""
    both = {**(booked or {}), **said}
    return {name: value for name, value in both.items() if value is not None}


def sealed(
    vault: Vault, identifier: str, payload: IdentityPayload, said: Mapping[str, Any]
) -> bytes:
    """What a record keeps of its parties: the document, and what was said of this transfer."""
    document = {"ivms101": write(payload), "said": dict(said)}
    return vault.seal(json.dumps(document, ensure_ascii=False, default=str), identifier)


def opened(vault: Vault, record: TravelRule) -> tuple[IdentityPayload, dict[str, Any]]:
    """The document of a record, and what was said; empty where it was forgotten."""
    if record.payload is None:
        return IdentityPayload(), {}
    found = json.loads(vault.open(bytes(record.payload), record.id))
    return read(IdentityPayload, found["ivms101"], param="payload"), found["said"]


def told_of(record: TravelRule) -> NewEvent:
    """The event about a record as it now stands, as merchants may see it."""
    names = {
        TravelRuleStatus.complete.value: event.TRAVEL_RULE_COMPLETED,
        TravelRuleStatus.refused.value: event.TRAVEL_RULE_REFUSED,
    }
    name = names.get(record.status, event.TRAVEL_RULE_REQUIRED)
    operator = event.event_type(name).audience == "operator"
    return NewEvent(
        account_id=record.account_id,
        livemode=record.livemode,
        type=name,
        object_id=record.id,
        object=rules.public_travel_rule(record, operator=operator),
    )


def opening_of(record: TravelRule, kind: CaseKind, reason: str) -> Opening:
    """The case of a transfer that a person has to decide on."""
    assert record.subject is not None
    return Opening(
        subject=record.subject,
        kind=kind,
        account_id=record.account_id,
        livemode=record.livemode,
        screening_id=None,
        reason=f"Travel Rule {record.id}: {reason}",
        priority=Priority.normal,
    )


def _kind(row: Payout) -> CaseKind:
    return CaseKind.refund if row.purpose == PayoutPurpose.refund else CaseKind.payout


def _linked(
    connection: Connection, regime: Regime, rows: Sequence[Payout], *, now: datetime
) -> dict[tuple[str, str], int]:
    if not regime.linked_seconds:
        return {}
    first = rows[0]
    destinations = {row.destination for row in rows}
    store.lock_linked(connection, first.account_id, destinations)
    return store.linked_units(
        connection,
        first.account_id,
        destinations,
        livemode=first.livemode,
        since=now - timedelta(seconds=regime.linked_seconds),
        but=[row.id for row in rows],
    )


def _theirs(vasp: Vasp | None, told: Mapping[str, Any]) -> Person | None:
    if vasp is not None:
        return vasp_person(vasp.name, lei=vasp.lei, country=vasp.country)
    named = told.get("vasp") or {}
    if not named.get("name"):
        return None
    return vasp_person(named["name"], lei=named.get("lei"), country=named.get("country"))


def _record(
    ground: Ground,
    row: Payout,
    identifier: str,
    moved: Moved,
    looked: Looked,
    said: Mapping[str, Any],
) -> TravelRule:
    return TravelRule(
        id=identifier,
        account_id=row.account_id,
        livemode=row.livemode,
        direction=TransferDirection.outgoing.value,
        subject=row.id,
        status=TravelRuleStatus.required.value,
        regime=ground.regime.name,
        network=row.network,
        address=row.destination,
        currency=row.currency,
        amount=row.amount,
        counterparty=looked.counterparty,
        vasp=None if looked.vasp is None else looked.vasp.id,
        requirement=looked.requirement.document()
        | {"linked_units": moved.linked_units, "silence": ground.regime.silence},
        missing=[],
        ownership=looked.known.ownership,
        exchange=Exchange.none.value,
        request_identifier=request_identifier(identifier),
        token_hash=token_hash(ground.vault.token(identifier)),
        peer_callback=None,
        tx_hash=None,
        payload=sealed(ground.vault, identifier, looked.payload, said),
        deadline_at=None,
        completed_at=None,
        ended_at=None,
        decided_by=None,
        reason=None,
        legal_hold=False,
        created=ground.now,
    )
