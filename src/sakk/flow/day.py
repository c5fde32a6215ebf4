"""Days: a period of the ledger is closed, once, with a report that the installation signs.

Closing is of the database alone, and one transaction; what the report sums up was written before it
and never changes. No act opens a day again, and its row can not be changed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from sakk.core import day as rules
from sakk.core.day import Acceptance, Clock, Day
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.ledger_break import LedgerBreak
from sakk.core.person import OPERATOR, Actor
from sakk.core.reconciliation import Reconciliation
from sakk.core.role import Role
from sakk.flow.context import Parts
from sakk.flow.officer import Officer, find_officer, is_alone
from sakk.flow.step_up import StepUp, check, count_try
from sakk.store import day as store
from sakk.store import ledger_break as breaks
from sakk.store import network
from sakk.store import reconciliation as reconciliations
from sakk.store.audit import Note, note
from sakk.store.settlement import projected_until

ROLES: Final = (Role.owner, Role.admin, Role.finance)
RECONCILIATIONS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Outlook:
    """The day that would be closed next, and what stands in its way.

    ``digest``: of ``blockers``, which two people may accept. ``waits_for``: what nobody may accept.
    """

    date: date
    clock: Clock
    ends_at: datetime
    standing: Sequence[LedgerBreak]
    blockers: Sequence[LedgerBreak]
    digest: str
    accepted: Sequence[Acceptance]
    acceptances_min: int
    waits_for: str | None

    @property
    def is_accepted(self) -> bool:
        """Does nothing stand in the way that enough people have not accepted?"""
        return not self.blockers or len(self.accepted) >= self.acceptances_min

    @property
    def is_ready(self) -> bool:
        """Would it be closed?"""
        return self.waits_for is None and self.is_accepted


def outlook(
    connection: Connection, *, livemode: bool, now: datetime, clock: Clock | None = None
) -> Outlook:
    """Look at the day that is next; ``clock`` None: as the day before, or midnight in UTC.

    ParameterInvalid for a clock that would end no day later than the day before it.
    """
    last = store.find_last(connection, livemode=livemode)
    wanted = clock or (Clock() if last is None else Clock(last.timezone, last.cutoff))
    rules.check_clock(wanted)
    if last is None:
        # The first day has all that was before it, and ends at the last cut-off that has passed.
        day = rules.day_of(now, wanted) - timedelta(days=1)
    else:
        day = date.fromisoformat(last.date) + timedelta(days=1)
        if rules.end_of(day, wanted) <= last.ends_at:
            raise ParameterInvalid(
                "This cut-off would end the day before it began: name a later one.",
                param="cutoff",
            )
    ends_at = rules.end_of(day, wanted)
    standing = breaks.list_standing(connection, livemode=livemode)
    blockers = rules.blockers_of(standing)
    digest = rules.blockers_digest(blockers)
    accepted = store.list_acceptances(
        connection, date=day.isoformat(), digest=digest, livemode=livemode
    )
    alone = is_alone(connection, livemode=livemode) and any(
        each.person == OPERATOR for each in accepted
    )
    return Outlook(
        date=day,
        clock=wanted,
        ends_at=ends_at,
        standing=standing,
        blockers=blockers,
        digest=digest,
        accepted=accepted,
        acceptances_min=1 if alone else rules.ACCEPTANCES_MIN,
        waits_for=_waits_for(connection, ends_at, livemode=livemode, now=now),
    )


def _waits_for(
    connection: Connection, ends_at: datetime, *, livemode: bool, now: datetime
) -> str | None:
    """What the clock, the ledger or a run has to do first, whoever asks."""
    if now < ends_at:
        return "the day is not over"
    if projected_until(connection, ends_at, now=now) is None:
        return "the ledger's rows are still being written"
    last = reconciliations.find_last(connection, livemode=livemode, read=True)
    if last is None or last.started < ends_at or not _covers(connection, last):
        return "the books are to be reconciled after the day's end"
    return None


def _covers(connection: Connection, run: Reconciliation) -> bool:
    """Did a run look at every network of its mode?"""
    known = network.list_networks(connection, livemode=run.livemode)
    return {f"chain:{each.network}" for each in known if each.enabled} <= set(run.scopes)


def accept(
    parts: Parts,
    *,
    identifier: str,
    day: date,
    digest: str,
    reason: str,
    actor: Actor,
    livemode: bool,
    step_up: StepUp,
) -> Outlook:
    """One person's word that a day is closed although breaks stand that nobody has explained.

    ``digest``: of what was shown. Raises ApprovalStale, PermissionDenied, StepUp….
    """
    kept = rules.check_reason(reason)
    count_try(parts, actor, step_up, livemode=livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        store.lock_close(connection)
        by = _officer(connection, actor, livemode=livemode)
        found = outlook(connection, livemode=livemode, now=now)
        if found.date != day or found.digest != digest:
            raise ApprovalStale(
                "This is not what you were shown: look at the day again.", param="digest"
            )
        if not found.blockers:
            raise UnexpectedState("Nothing stands in the way of this day.")
        if by.person is not None:
            check(parts, connection, by.person, step_up, message=None, now=now)
        store.accept(
            connection,
            Acceptance(
                id=identifier,
                livemode=livemode,
                date=day.isoformat(),
                person=by.name,
                name=by.name if by.person is None else by.person.name,
                digest=digest,
                reason=kept,
                created=now,
            ),
        )
        return outlook(connection, livemode=livemode, now=now)


def close(
    parts: Parts,
    *,
    identifier: str,
    day: date | None,
    actor: Actor,
    livemode: bool,
    step_up: StepUp,
    clock: Clock | None = None,
) -> Day:
    """Close a day (None: the next one); a day that is closed is given as it is.

    Days follow one another without a gap. Raises UnexpectedState with what stands in the way,
    ParameterInvalid, PermissionDenied, StepUp…, and Unavailable while the ledger's rows are behind.
    """
    count_try(parts, actor, step_up, livemode=livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        # Whoever did not hear the answer asks again, and closes no second day by that.
        found = store.find(connection, identifier, livemode=livemode)
        if found is None and day is not None:
            found = store.find_by_date(connection, day.isoformat(), livemode=livemode)
        by = _officer(connection, actor, livemode=livemode)
        if found is None and by.person is not None:
            check(parts, connection, by.person, step_up, message=None, now=now)
    if found is not None:
        return found
    with parts.database.begin() as connection:
        store.lock_close(connection)
        made = _close(
            connection,
            parts,
            identifier=identifier,
            day=day,
            by=by,
            livemode=livemode,
            clock=clock,
            now=now,
        )
        note(
            connection,
            [
                Note(
                    "days",
                    "closed",
                    made.id,
                    made.date,
                    {"number": made.number, "sha256": made.sha256, "by": by.name},
                )
            ],
        )
    return made


def _close(
    connection: Connection,
    parts: Parts,
    *,
    identifier: str,
    day: date | None,
    by: Officer,
    livemode: bool,
    clock: Clock | None,
    now: datetime,
) -> Day:
    if day is not None:
        found = store.find_by_date(connection, day.isoformat(), livemode=livemode)
        if found is not None:
            return found
    seen = outlook(connection, livemode=livemode, now=now, clock=clock)
    last = store.find_last(connection, livemode=livemode)
    if day is not None and day != seen.date:
        raise ParameterInvalid(
            "The next day to close is {next}: days are closed one after another.",
            param="date",
            next=seen.date.isoformat(),
        )
    _check_ready(seen)
    until_ns = projected_until(connection, seen.ends_at, now=now)
    assert until_ns is not None
    from_ns = 0 if last is None else last.to_ns
    document = _report(
        connection,
        seen,
        identifier=identifier,
        last=last,
        from_ns=from_ns,
        to_ns=max(from_ns, until_ns),
        by=by,
        livemode=livemode,
        now=now,
    )
    report = rules.report_bytes(document)
    vault = parts.secrets_vault()
    made = Day(
        id=identifier,
        livemode=livemode,
        number=document["number"],
        date=document["date"],
        timezone=seen.clock.timezone,
        cutoff=seen.clock.cutoff,
        from_ns=from_ns,
        to_ns=max(from_ns, until_ns),
        ends_at=seen.ends_at,
        report=report.decode(),
        sha256=hashlib.sha256(report).hexdigest(),
        previous=document["previous"],
        signature=vault.sign(rules.words_of(report)),
        authority=vault.authority_key(),
        closed_by=by.name,
        created=now,
    )
    store.insert(connection, made)
    return made


def _check_ready(seen: Outlook) -> None:
    """UnexpectedState with what stands in the way."""
    if seen.waits_for is not None:
        raise UnexpectedState(
            "{date} can not be closed yet: {why}.",
            date=seen.date.isoformat(),
            why=seen.waits_for,
        )
    if not seen.is_accepted:
        raise UnexpectedState(
            "{count} breaks have no owner who explains them, {first} among them: explain each, or"
            " let two people accept them with a reason.",
            count=len(seen.blockers),
            first=seen.blockers[0].id,
        )


def _report(
    connection: Connection,
    seen: Outlook,
    *,
    identifier: str,
    last: Day | None,
    from_ns: int,
    to_ns: int,
    by: Officer,
    livemode: bool,
    now: datetime,
) -> dict[str, Any]:
    """The report, whole. UnexpectedState where the ledger's rows do not lead to their balances."""
    modes = reconciliations.unit_modes(connection)
    sums = [
        each
        for each in store.sums(connection, after_ns=from_ns, until_ns=to_ns)
        if modes.get(each.unit, not each.unit.startswith("test/")) is livemode
    ]
    try:
        units = rules.check_sums(sums)
    except rules.SumsBroken as error:
        raise UnexpectedState(
            "The ledger's rows do not add up: {why}. Run `sakk ledger verify`, and rebuild the"
            " projection before anything is closed.",
            why=error,
        ) from None
    runs = reconciliations.list_between(
        connection,
        after=datetime.fromtimestamp(0, now.tzinfo) if last is None else last.created,
        until=now,
        livemode=livemode,
        limit=RECONCILIATIONS_MAX,
    )
    number, head = store.audit_head(connection)
    return {
        "version": rules.VERSION,
        "id": identifier,
        "livemode": livemode,
        "number": 1 if last is None else last.number + 1,
        "date": seen.date.isoformat(),
        "timezone": seen.clock.timezone,
        "cutoff": seen.clock.cutoff,
        "from_ns": str(from_ns),
        "to_ns": str(to_ns),
        "previous": None if last is None else last.sha256,
        "closed_by": by.name,
        "closed_at": int(now.timestamp()),
        "journal": [
            {"shard": each.shard, "sequence": each.sequence, "hash": each.hash}
            for each in store.journal_heads(connection, until_ns=to_ns)
        ],
        "audit": {"block": number, "hash": head},
        "entries": sum(each.entries for each in sums),
        "units": [rules.unit_document(unit, units[unit]) for unit in sorted(units)],
        "accounts": [
            rules.sum_document(each) for each in sorted(sums, key=lambda each: each.account)
        ],
        "reconciliations": [
            {"id": each.id, "status": each.status, "sha256": each.sha256} for each in runs
        ],
        "breaks": [rules.break_document(each) for each in seen.standing],
        "accepted": [rules.acceptance_document(each) for each in seen.accepted],
    }


def outlook_document(found: Outlook, *, livemode: bool) -> dict[str, Any]:
    """The API's object ``day_outlook``."""
    return {
        "object": "day_outlook",
        "accepted": [rules.acceptance_document(each) for each in found.accepted],
        "blockers": [each.id for each in found.blockers],
        "breaks": [each.id for each in found.standing],
        "cutoff": found.clock.cutoff,
        "date": found.date.isoformat(),
        "digest": found.digest,
        "ends_at": int(found.ends_at.timestamp()),
        "livemode": livemode,
        "ready": found.is_ready,
        "timezone": found.clock.timezone,
        "waits_for": found.waits_for,
    }


def find(connection: Connection, identifier: str, *, livemode: bool) -> Day:
    """A closed day by its id or its date; ResourceMissing."""
    found = store.find(connection, identifier, livemode=livemode) or store.find_by_date(
        connection, identifier, livemode=livemode
    )
    if found is None:
        raise ResourceMissing("No such day: {day}.", param="id", day=repr(identifier))
    return found


def _officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    found = find_officer(connection, actor, livemode=livemode)
    if not found.has(ROLES):
        raise PermissionDenied("Only a person with the role finance closes days.")
    return found
