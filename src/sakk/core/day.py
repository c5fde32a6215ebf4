"""Closed days: a period of the ledger that is frozen, and the report that says so for good.

A day is a window over the ledger's own time, from where the day before ended to the first cut-off
after it. What the ledger writes later has a later time, so nothing can be booked into a day that is
closed; what was wrong in it is corrected by a transfer of the day that runs. The report names the
heads of the journal and of the audit log, and the hash of the report before: who has the last one
can prove them all.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sakk.core.errors import ParameterInvalid
from sakk.core.ledger_break import LedgerBreak
from sakk.core.reconciliation import canonical

PREFIX: Final = "day"
ACCEPTANCE_PREFIX: Final = "daya"
VERSION: Final = 1
REASON_LENGTH_MAX: Final = 1_000
ACCEPTANCES_MIN: Final = 2
WORDS: Final = b"sakk day v1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A row, never changed. ``report``: the canonical bytes that ``sha256`` is of, as text."""

    id: str
    livemode: bool
    number: int
    date: str
    timezone: str
    cutoff: str
    from_ns: int
    to_ns: int
    ends_at: datetime
    report: str
    sha256: str
    previous: str | None
    signature: bytes
    authority: bytes
    closed_by: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """One person's word that a day is closed although something stands. ``digest``: of what."""

    id: str
    livemode: bool
    date: str
    person: str
    name: str
    digest: str
    reason: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What one ledger account did in a period; balances are credits less debits."""

    account: str
    unit: str
    entries: int
    opening: int
    debits: int
    credits: int
    closing: int


@dataclass(frozen=True, slots=True)
class Clock:
    """When days end: a local time of day, in a time zone."""

    timezone: str = "UTC"
    cutoff: str = "00:00"


class SumsBroken(RuntimeError):
    """The ledger's rows do not lead from one balance to the next, or do not balance."""


def read_clock(timezone: str | None, cutoff: str | None) -> Clock | None:
    """When days end, as people say it; None where nothing is said. ParameterInvalid for half."""
    if timezone is None and cutoff is None:
        return None
    if timezone is None or cutoff is None:
        # Half of it is never guessed: a day is closed for good.
        raise ParameterInvalid(
            "timezone and cutoff go together: name both, or neither.",
            param="timezone" if timezone is None else "cutoff",
        )
    return Clock(timezone, cutoff)


def check_clock(clock: Clock) -> None:
    """ParameterInvalid for a zone or a time of day that there is not."""
    try:
        ZoneInfo(clock.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ParameterInvalid(
            "There is no time zone {timezone}. Name one as Europe/Berlin.",
            param="timezone",
            timezone=repr(clock.timezone),
        ) from None
    _time_of(clock.cutoff)


def _time_of(cutoff: str) -> time:
    try:
        found = time.fromisoformat(cutoff)
    except ValueError:
        found = None
    if found is None or len(cutoff) != len("00:00") or found.tzinfo is not None:
        raise ParameterInvalid("cutoff is a time of day, as 17:30.", param="cutoff")
    return found


def end_of(day: date, clock: Clock) -> datetime:
    """When a day ends: at its cut-off, or at midnight after it where that is the cut-off.

    Where clocks are put forward over a cut-off it is as much later, where back it is the first one.
    """
    at = _time_of(clock.cutoff)
    on = day if at != time(0) else day + timedelta(days=1)
    return datetime.combine(on, at, ZoneInfo(clock.timezone)).astimezone(UTC)


def day_of(moment: datetime, clock: Clock) -> date:
    """The day that runs at a moment; a cut-off is still its day's."""
    local = moment.astimezone(ZoneInfo(clock.timezone)).date()
    first = local - timedelta(days=1)
    while end_of(first, clock) < moment:
        first += timedelta(days=1)
    return first


def read_date(text: str) -> date:
    """A date as people write it; ParameterInvalid."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ParameterInvalid("date is a day, as 2026-03-31.", param="date") from None


def check_reason(text: str) -> str:
    """Why somebody accepts what stands, as it is kept."""
    kept = "".join(each for each in text.strip() if each.isprintable() or each in "\n\t")
    if not kept or len(kept) > REASON_LENGTH_MAX:
        raise ParameterInvalid(
            "A reason has 1 to {reason_length_max} characters.",
            param="reason",
            reason_length_max=REASON_LENGTH_MAX,
        )
    return kept


def blockers_of(standing: Iterable[LedgerBreak]) -> list[LedgerBreak]:
    """The breaks for which a day is not closed: nobody's, or that nobody has explained."""
    return [each for each in standing if not each.is_explained]


def blockers_digest(blockers: Iterable[LedgerBreak]) -> str:
    """What is accepted: these breaks, as large as they are now."""
    words = sorted(f"{each.id} {each.kind} {each.units}" for each in blockers)
    return hashlib.sha256("\n".join(["sakk day blockers v1", *words]).encode()).hexdigest()


def check_sums(sums: Sequence[Sum]) -> dict[str, dict[str, int]]:
    """Totals of each unit; SumsBroken where a balance does not follow, or a unit's sides differ."""
    units: dict[str, dict[str, int]] = {}
    for each in sums:
        if each.opening + each.credits - each.debits != each.closing:
            raise SumsBroken(
                f"{each.account} leads from {each.opening} to"
                f" {each.opening + each.credits - each.debits}, and the ledger says {each.closing}"
            )
        of_unit = units.setdefault(each.unit, {"accounts": 0, "debits": 0, "credits": 0})
        of_unit["accounts"] += 1
        of_unit["debits"] += each.debits
        of_unit["credits"] += each.credits
    for unit, of_unit in units.items():
        if of_unit["debits"] != of_unit["credits"]:
            raise SumsBroken(
                f"{unit} was debited {of_unit['debits']} and credited {of_unit['credits']}"
            )
    return units


def sum_document(each: Sum) -> dict[str, Any]:
    """A ledger account's line of the report; amounts are text, whole in every reader."""
    return {
        "account": each.account,
        "unit": each.unit,
        "entries": each.entries,
        "opening": str(each.opening),
        "debits": str(each.debits),
        "credits": str(each.credits),
        "closing": str(each.closing),
    }


def unit_document(unit: str, totals: Mapping[str, int]) -> dict[str, Any]:
    """A unit's line of the report."""
    return {
        "unit": unit,
        "accounts": totals["accounts"],
        "debits": str(totals["debits"]),
        "credits": str(totals["credits"]),
    }


def break_document(each: LedgerBreak) -> dict[str, Any]:
    """A break that stood when the day was closed."""
    return {
        "id": each.id,
        "kind": each.kind,
        "status": each.status,
        "subject": each.subject,
        "unit": each.unit,
        "units": str(each.units),
        "owner": each.owner,
        "explained": each.is_explained,
        "since": int(each.created.timestamp()),
    }


def acceptance_document(each: Acceptance) -> dict[str, Any]:
    """Who accepted what stood, and why."""
    return {
        "person": each.person,
        "name": each.name,
        "reason": each.reason,
        "digest": each.digest,
        "at": int(each.created.timestamp()),
    }


def words_of(report: bytes) -> bytes:
    """What the installation signs."""
    return WORDS + hashlib.sha256(report).digest()


def report_bytes(document: Mapping[str, Any]) -> bytes:
    """The report as it is hashed, signed and kept."""
    return canonical(document)


def public(day: Day) -> dict[str, Any]:
    """The API's object ``day``; the operator's alone."""
    return {
        "id": day.id,
        "object": "day",
        "number": day.number,
        "date": day.date,
        "timezone": day.timezone,
        "cutoff": day.cutoff,
        "from_ns": str(day.from_ns),
        "to_ns": str(day.to_ns),
        "ends_at": int(day.ends_at.timestamp()),
        "sha256": day.sha256,
        "previous": day.previous,
        "signature": day.signature.hex(),
        "authority": day.authority.hex(),
        "closed_by": day.closed_by,
        "metadata": {},
        "created": int(day.created.timestamp()),
        "livemode": day.livemode,
    }


def file_document(day: Day) -> dict[str, Any]:
    """What is handed to an auditor: the report as it was signed, and the signature."""
    return {
        "sakk": "day",
        "version": VERSION,
        "report": day.report,
        "sha256": day.sha256,
        "signature": day.signature.hex(),
        "authority": day.authority.hex(),
    }
