"""Money that comes from other institutions: what they told of it, and what becomes of it if not.

A pay-in that was announced is the announcement's. One from an institution of the directory of which
nothing was told is let go, held for a person, or held until its merchant says who sent it, as the
regime in force has it. Whose address a sender's is, is known by the directory alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from sakk.core import travel_rule as rules
from sakk.core.case import CaseKind, Opening
from sakk.core.payin import PayIn, PayInStatus
from sakk.core.regime import (
    Counterparty,
    CounterpartyKind,
    Moved,
    Regime,
    Requirement,
    needed,
    requirement_of,
)
from sakk.core.travel_rule import (
    UNTOLD,
    Exchange,
    Known,
    TransferDirection,
    TravelRule,
    TravelRuleStatus,
)
from sakk.core.vasp import Vasp, VaspStatus
from sakk.flow.regime import in_force
from sakk.flow.travel_exchange import request_identifier
from sakk.flow.travel_need import opening_of, sealed, told_of
from sakk.store import event as events
from sakk.store import travel_rule as store
from sakk.store import vasp as vasps
from sakk.store.event import consecutive_ids
from sakk.store.vault import Vault


def hold_untold(
    connection: Connection, rows: Sequence[PayIn], *, now: datetime
) -> tuple[list[PayIn], list[PayIn], list[Opening]]:
    """The pay-ins that are held for it, those that go on, and the cases of the held ones.

    In the transaction that screens them; where no regime is in force it is one query.
    """
    held: list[PayIn] = []
    openings: list[Opening] = []
    for livemode in sorted({row.livemode for row in rows}):
        found = in_force(connection, livemode=livemode)
        if found is None:
            continue
        of_mode = [row for row in rows if row.livemode is livemode]
        senders = _senders(connection, of_mode, livemode=livemode)
        # What a blocked institution sends is held, whoever announced it.
        welcome = [row for row in of_mode if not _is_blocked(senders.get(row.sender))]
        told = _announced(connection, welcome, now=now)
        untold = [row for row in of_mode if row.id not in told]
        more, cases = _judged(connection, found[0], untold, senders, now=now)
        held += more
        openings += cases
    stopped = {row.id for row in held}
    return held, [row for row in rows if row.id not in stopped], openings


def told_by_merchant(
    connection: Connection,
    vault: Vault,
    record: TravelRule,
    told: dict[str, Any],
    *,
    now: datetime,
) -> TravelRule:
    """The merchant says who sent a pay-in that waits for it; the record is locked."""
    requirement = requirement_of(record.requirement)
    given = told.get("originator")
    person = None
    if given is not None:
        person = rules.person_of(given, today=now.date(), param="travel_rule[originator]")
    known = Known(person, ("unknown",), None, (record.address,))
    lacks = rules.missing(requirement, known)
    after = replace(
        record,
        missing=[each.document() for each in lacks],
        payload=sealed(vault, record.id, rules.payload_of(known, ours=None, theirs=None), told),
        status=(TravelRuleStatus.required if lacks else TravelRuleStatus.complete).value,
        completed_at=None if lacks else now,
    )
    written = ("missing", "payload", "status", "completed_at")
    store.change(connection, record.id, {name: getattr(after, name) for name in written})
    if not lacks:
        events.append(connection, [told_of(after)], now=now)
    return after


def _senders(connection: Connection, rows: Sequence[PayIn], *, livemode: bool) -> dict[str, Vasp]:
    """The institutions of the directory that sent some of these, by the address."""
    if not rows:
        return {}
    wanted = {row.sender for row in rows}
    known = vasps.find_all(connection, addresses=wanted, livemode=livemode)
    return {address: vasp for vasp in known for address in vasp.addresses}


def _is_blocked(vasp: Vasp | None) -> bool:
    return vasp is not None and vasp.status == VaspStatus.blocked


def _announced(connection: Connection, rows: Sequence[PayIn], *, now: datetime) -> set[str]:
    """The pay-ins that another institution told of: by their transaction, which carries no more
    than it said, else by their amount."""
    waiting = store.announced(connection, {row.address for row in rows})
    told: set[str] = set()
    for row in rows:
        fitting = [
            each
            for each in waiting
            if each.address == row.address
            and each.currency == row.currency
            and row.amount is not None
            and (
                (each.tx_hash == row.tx_hash and row.amount <= each.amount)
                or (each.tx_hash is None and row.amount == each.amount)
            )
        ]
        if fitting:
            first = min(fitting, key=lambda each: (each.tx_hash is None, each.id))
            waiting.remove(first)
            told.add(row.id)
            values = {"subject": row.id, "tx_hash": row.tx_hash, "ended_at": now}
            store.change(connection, first.id, values)
    return told


def _judged(
    connection: Connection,
    regime: Regime,
    rows: Sequence[PayIn],
    senders: dict[str, Vasp],
    *,
    now: datetime,
) -> tuple[list[PayIn], list[Opening]]:
    held: list[PayIn] = []
    made: list[TravelRule] = []
    openings: list[Opening] = []
    for row in rows:
        vasp = senders.get(row.sender)
        if vasp is None or row.account_id is None or row.currency is None or row.amount is None:
            continue
        requirement = _requirement(regime, vasp, row.currency, row.amount)
        blocked = _is_blocked(vasp)
        if not blocked and (regime.incoming == "accept" or not requirement.needed):
            continue
        [identifier] = consecutive_ids(rules.PREFIX, 1, now=now)
        by_person = blocked or regime.incoming == "hold"
        record = _record(row, regime, vasp, requirement, identifier, by_person, now)
        made.append(record)
        held.append(replace(row, status=PayInStatus.held.value, reviewed=True, reason=UNTOLD))
        if by_person:
            why = "Its sender is a blocked institution." if blocked else "Nothing was told of it."
            openings.append(opening_of(record, CaseKind.payin, why))
    store.insert_many(connection, made)
    asked = [told_of(each) for each in made if each.exchange == Exchange.none]
    events.append(connection, asked, now=now)
    return held, openings


def _requirement(regime: Regime, vasp: Vasp, currency: str, amount: int) -> Requirement:
    """What has to be known of who sent it; who receives it is our own customer."""
    other = Counterparty(CounterpartyKind.vasp, vasp.id, reachable=True)
    found = needed(Moved(currency, amount), regime, other)
    return replace(found, beneficiary=(), exchange=False)


def _record(
    row: PayIn,
    regime: Regime,
    vasp: Vasp,
    requirement: Requirement,
    identifier: str,
    by_person: bool,
    now: datetime,
) -> TravelRule:
    nobody = Known(None, ("unknown",), None, (row.address,))
    deadline = None if by_person else now + timedelta(seconds=regime.answer_seconds)
    return TravelRule(
        id=identifier,
        account_id=row.account_id,
        livemode=row.livemode,
        direction=TransferDirection.incoming.value,
        subject=row.id,
        status=TravelRuleStatus.required.value,
        regime=regime.name,
        network=row.network,
        address=row.address,
        currency=row.currency,
        amount=row.amount or 0,
        counterparty=CounterpartyKind.vasp.value,
        vasp=vasp.id,
        requirement=requirement.document(),
        missing=[each.document() for each in rules.missing(requirement, nobody)],
        ownership=None,
        exchange=(Exchange.unanswered if by_person else Exchange.none).value,
        request_identifier=request_identifier(identifier),
        token_hash=None,
        peer_callback=None,
        tx_hash=row.tx_hash,
        payload=None,
        deadline_at=deadline,
        completed_at=None,
        ended_at=None,
        decided_by=None,
        reason=None,
        legal_hold=False,
        created=now,
    )
