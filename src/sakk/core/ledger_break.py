"""Breaks: what the books do not agree on, as work that somebody owns.

``open → awaiting_second → correcting → corrected → resolved``. A break ends when a run no longer
finds it, and by nothing else: a correction is a new transfer between ledger accounts, proposed by
one person and confirmed by another, and what it did is for the next run to see.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import chart
from sakk.core.chart import AccountCode, LedgerAccount, TransferCode
from sakk.core.errors import ParameterInvalid, UnexpectedState
from sakk.core.posting import Posting
from sakk.core.proposal import digest_words
from sakk.core.reconciliation import Finding

PREFIX: Final = "brk"
ACT_PREFIX: Final = "bka"
SYSTEM: Final = "system"
NOTE_LENGTH_MAX: Final = 5_000
LEGS_MAX: Final = 8
# What one transfer of the ledger can move.
UNITS_MAX: Final = (1 << 127) - 1
_PLACES: Final[tuple[chart.Custody, ...]] = ("hot", "cold", "deposit")
# What an account is called, at most.
NAME_LENGTH_MAX: Final = 300


class BreakStatus(StrEnum):
    open = "open"
    awaiting_second = "awaiting_second"
    correcting = "correcting"
    corrected = "corrected"
    resolved = "resolved"


class Act(StrEnum):
    """What happened to a break; what people do and what runs find."""

    opened = "opened"
    found = "found"
    assigned = "assigned"
    noted = "noted"
    proposed = "proposed"
    declined = "declined"
    confirmed = "confirmed"
    booked = "booked"
    refused = "refused"
    reopened = "reopened"
    resolved = "resolved"


_WORKED: Final = (BreakStatus.open, BreakStatus.awaiting_second, BreakStatus.corrected)
_AFTER: Final[Mapping[Act, Mapping[BreakStatus, BreakStatus]]] = {
    Act.opened: {},
    Act.found: {each: each for each in BreakStatus if each is not BreakStatus.resolved},
    Act.assigned: {each: each for each in _WORKED},
    Act.noted: {each: each for each in BreakStatus if each is not BreakStatus.resolved},
    Act.proposed: dict.fromkeys(
        (BreakStatus.open, BreakStatus.awaiting_second), BreakStatus.awaiting_second
    ),
    Act.declined: {BreakStatus.awaiting_second: BreakStatus.open},
    Act.confirmed: {BreakStatus.awaiting_second: BreakStatus.correcting},
    Act.booked: {BreakStatus.correcting: BreakStatus.corrected},
    Act.refused: {BreakStatus.correcting: BreakStatus.open},
    Act.reopened: {BreakStatus.corrected: BreakStatus.open},
    Act.resolved: dict.fromkeys(_WORKED, BreakStatus.resolved),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerBreak:
    """A row. ``key``: by which a run finds it again; ``notes``: how many were written down.

    ``units``: signed, what the other side has beyond the ledger. ``corrections``: how many were
    confirmed, and so the number of the one in ``proposal`` once it is.
    """

    id: str
    livemode: bool
    key: str
    scope: str
    kind: str
    subject: str | None
    unit: str | None
    units: int
    detail: str
    status: str
    owner: str | None = None
    notes: int = 0
    acts: int = 1
    proposal: dict[str, Any] | None = None
    corrections: int = 0
    first_run: str
    last_run: str
    corrected_at: datetime | None = None
    resolved_at: datetime | None = None
    attempt: int = 0
    failures: int = 0
    retry_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None
    created: datetime

    @property
    def is_explained(self) -> bool:
        """Has somebody taken it, and said what it is?"""
        return self.owner is not None and self.notes > 0


@dataclass(frozen=True, slots=True)
class BreakAct:
    """One act: who did what when; never changed. ``actor``: a person's id, or ``system``."""

    id: str
    break_id: str
    number: int
    livemode: bool
    act: str
    actor: str
    key: str | None
    detail: dict[str, Any]
    created: datetime


@dataclass(frozen=True, slots=True)
class Leg:
    """One movement that a person proposes, by the ledger accounts' names."""

    debit: str
    credit: str
    units: int


def after(row: LedgerBreak, act: Act) -> BreakStatus:
    """The status after an act; UnexpectedState where it may not happen."""
    found = _AFTER[act].get(BreakStatus(row.status))
    if found is None:
        raise UnexpectedState(
            "This break is {status}: it can not be {act} now.",
            status=row.status.replace("_", " "),
            act=act.value,
        )
    return found


def opened(
    finding: Finding, *, identifier: str, livemode: bool, run: str, now: datetime
) -> LedgerBreak:
    """What a run found for the first time."""
    return LedgerBreak(
        id=identifier,
        livemode=livemode,
        key=finding.key,
        scope=finding.scope,
        kind=finding.kind.value,
        subject=finding.subject,
        unit=finding.unit,
        units=finding.units,
        detail=finding.detail,
        status=BreakStatus.open.value,
        first_run=run,
        last_run=run,
        created=now,
    )


def found_again(
    row: LedgerBreak, finding: Finding, *, run: str, started: datetime
) -> tuple[LedgerBreak, Act | None]:
    """A break that a run has found again, and what happened to it by that.

    A run that began before the correction was booked does not know of it.
    """
    if row.corrected_at is not None and started <= row.corrected_at:
        return row, None
    changed = (finding.kind.value, finding.units, finding.detail) != (
        row.kind,
        row.units,
        row.detail,
    )
    now = replace(
        row, kind=finding.kind.value, units=finding.units, detail=finding.detail, last_run=run
    )
    if row.status == BreakStatus.corrected:
        return replace(now, status=after(row, Act.reopened).value, proposal=None), Act.reopened
    return now, Act.found if changed else None


def gone(row: LedgerBreak, *, run: str, now: datetime) -> LedgerBreak | None:
    """A break that a run has looked for and not found; None while its correction is booked."""
    if row.status == BreakStatus.correcting:
        return None
    status = after(row, Act.resolved).value
    return replace(row, status=status, last_run=run, resolved_at=now)


def check_note(text: str) -> str:
    """What a person writes down, as it is kept; ParameterInvalid."""
    kept = "".join(each for each in text.strip() if each.isprintable() or each in "\n\t")
    if not kept or len(kept) > NOTE_LENGTH_MAX:
        raise ParameterInvalid(
            "A note has 1 to {note_length_max} characters.",
            param="text",
            note_length_max=NOTE_LENGTH_MAX,
        )
    return kept


def account_of(name: str, *, param: str) -> LedgerAccount:
    """The account that a correction may name, by its full name; ParameterInvalid.

    The operator's own accounts, and a merchant's available balance. What is held for an authority,
    in quarantine, in channels or under mandates has its own ways, and none of them is this one.
    """
    path, separator, unit = name.partition("#")
    if separator and len(name) <= NAME_LENGTH_MAX:
        for account in _possible(path.split(":"), unit):
            if account.path == path:
                return account
    raise ParameterInvalid(
        "No correction is booked on {name}: name an account such as suspense:ASSET#ASSET,"
        " custody:ASSET:hot#ASSET, equity:operator#CURRENCY or"
        " merchant:ACCOUNT:available#CURRENCY.",
        param=param,
        name=repr(name),
    )


def _possible(parts: Sequence[str], unit: str) -> list[LedgerAccount]:
    """Accounts of a unit whose path may be this."""
    second = parts[1] if len(parts) > 1 else ""
    found = [
        chart.dust(unit),
        chart.suspense(unit),
        chart.conversion_asset(unit),
        chart.fee_revenue(unit),
        chart.fee_network(unit),
        chart.equity_operator(unit),
    ]
    match parts[0]:
        case "custody":
            found += [chart.custody(unit, place) for place in _PLACES]
        case "loss" if second.isidentifier():
            found.append(chart.loss(second, unit))
        case "gas":
            found.append(chart.gas_tank(unit.rpartition("/")[0], unit))
        case "conversion":
            found.append(chart.conversion_currency(":".join(parts[1:]), unit))
        case "merchant" if second.startswith("acct_"):
            found.append(chart.merchant(second, "available", unit))
        case "bank" | "suspense" if second.startswith("ba_"):
            found += [chart.bank(second, unit), chart.bank_suspense(second, unit)]
        case "receivable" if second.startswith("acct_"):
            found.append(chart.receivable(second, unit))
        case _:
            pass
    return found


def correction_postings(legs: Sequence[Mapping[str, Any]]) -> list[Posting]:
    """What a proposal of these legs would book; ParameterInvalid names the leg."""
    if not 0 < len(legs) <= LEGS_MAX:
        raise ParameterInvalid(
            "A correction has 1 to {legs_max} transfers.", param="transfers", legs_max=LEGS_MAX
        )
    postings = []
    for place, leg in enumerate(legs):
        param = f"transfers[{place}]"
        debit = account_of(str(leg["debit"]), param=f"{param}[debit]")
        credit = account_of(str(leg["credit"]), param=f"{param}[credit]")
        units = int(leg["units"])
        if debit.unit != credit.unit or debit == credit:
            raise ParameterInvalid(
                "A transfer is between two accounts of one unit.", param=f"{param}[credit]"
            )
        if not 0 < units <= UNITS_MAX:
            raise ParameterInvalid(
                "units is a whole number above 0, of the unit's smallest part.",
                param=f"{param}[units]",
            )
        postings.append(Posting(debit, credit, units, TransferCode.break_corrected))
    return postings


def proposal_of(
    row: LedgerBreak, legs: Sequence[Leg], *, by: str, note: str | None, now: datetime
) -> dict[str, Any]:
    """What one person asks another to confirm; UnexpectedState, ParameterInvalid."""
    after(row, Act.proposed)
    given = [
        {"debit": each.debit, "credit": each.credit, "units": str(each.units)} for each in legs
    ]
    correction_postings(given)
    return {
        "by": by,
        "at": int(now.timestamp()),
        "note": None if note is None else check_note(note),
        "transfers": given,
    }


def check_mode(
    postings: Sequence[Posting], *, livemode: bool, live_units: Mapping[str, bool]
) -> None:
    """Test money is corrected in test mode, live money in live mode; ParameterInvalid.

    ``live_units``: whether a unit is of live money, for every unit that there is.
    """
    for place, posting in enumerate(postings):
        units = {"debit": posting.debit.unit}
        for side, account in (("debit", posting.debit), ("credit", posting.credit)):
            if account.code is AccountCode.conversion:
                # The bridge of a coin to money owed is named after the coin.
                units[side] = account.path.partition(":")[2]
        for side, unit in units.items():
            if live_units.get(unit) is not livemode:
                raise ParameterInvalid(
                    "There is no unit {unit} in this mode.",
                    param=f"transfers[{place}][{side}]",
                    unit=repr(unit),
                )


def digest_of(row: LedgerBreak) -> str:
    """SHA-256 of what is confirmed: the proposal, and the difference as it stands."""
    assert row.proposal is not None
    words = [
        "sakk break v1",
        row.id,
        row.key,
        row.kind,
        str(row.units),
        str(row.corrections),
        *(
            f"{each['debit']} {each['credit']} {each['units']}"
            for each in row.proposal["transfers"]
        ),
        *(f"{name}={row.proposal[name]}" for name in ("by", "at", "note")),
    ]
    return digest_words(words)


def confirmed(row: LedgerBreak, *, by: str, digest: str) -> LedgerBreak:
    """The break as a second person leaves it."""
    assert row.proposal is not None
    return replace(
        row,
        status=after(row, Act.confirmed).value,
        proposal={**row.proposal, "confirmed_by": by, "digest": digest},
        corrections=row.corrections + 1,
    )


def age_seconds(row: LedgerBreak, now: datetime) -> int:
    """How long it has stood, or stood until it was gone."""
    return int(((row.resolved_at or now) - row.created).total_seconds())


def public(row: LedgerBreak, *, now: datetime) -> dict[str, Any]:
    """The API's object ``break``; the operator's alone."""
    return {
        "id": row.id,
        "object": "break",
        "kind": row.kind,
        "status": row.status,
        "subject": row.subject,
        "unit": row.unit,
        "units": str(row.units),
        "detail": row.detail,
        "age_seconds": age_seconds(row, now),
        "owner": row.owner,
        "notes": row.notes,
        "explained": row.is_explained,
        "proposal": row.proposal,
        "digest": digest_of(row) if row.status == BreakStatus.awaiting_second else None,
        "corrections": row.corrections,
        "first_reconciliation": row.first_run,
        "last_reconciliation": row.last_run,
        "corrected_at": None if row.corrected_at is None else int(row.corrected_at.timestamp()),
        "resolved_at": None if row.resolved_at is None else int(row.resolved_at.timestamp()),
        "metadata": {},
        "created": int(row.created.timestamp()),
        "livemode": row.livemode,
    }


def public_act(act: BreakAct) -> dict[str, Any]:
    """One line of a break's history."""
    return {
        "id": act.id,
        "object": "break_act",
        "break": act.break_id,
        "number": act.number,
        "act": act.act,
        "by": act.actor,
        "key": act.key,
        "detail": act.detail,
        "created": int(act.created.timestamp()),
        "livemode": act.livemode,
    }
