"""Work on breaks: who owns one, what is written down, and corrections that two people decide.

A correction is written down with the second person's word, and booked by a stage under the break's
own id: what a crash left behind is booked again, once.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from sakk.core import ledger_break as rules
from sakk.core.chart import AccountCode, LedgerAccount
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
)
from sakk.core.ledger_break import Act, BreakAct, BreakStatus, LedgerBreak, Leg
from sakk.core.person import Actor
from sakk.core.posting import Posting
from sakk.core.role import Role
from sakk.flow.book import Outcome, PostingSet
from sakk.flow.context import Parts
from sakk.flow.officer import Officer, find_officer
from sakk.flow.reconciliation import act_of
from sakk.flow.stage import Stage, wake
from sakk.flow.word import Word, weighing
from sakk.store import account as accounts
from sakk.store import bank_account as bank_accounts
from sakk.store import ledger_break as store
from sakk.store import person as persons
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id
from sakk.store.lease import claim, claimable, given_back_on_error, settle
from sakk.store.reconciliation import unit_modes

ROLES: Final = (Role.owner, Role.admin, Role.finance)
BATCH_MAX: Final = 50
STAGE: Final = "break.correct"

log = structlog.get_logger(__name__)

_to_correct = claimable(
    store.breaks,
    LedgerBreak,
    store.breaks.c.status == BreakStatus.correcting.value,
    limit=BATCH_MAX,
)


def officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    """Who acts, if they may: owner, admin or finance; PermissionDenied."""
    found = find_officer(connection, actor, livemode=livemode)
    if not found.has(ROLES):
        raise PermissionDenied("Only a person with the role finance works on breaks.")
    return found


def assign(
    parts: Parts, identifier: str, *, actor: Actor, livemode: bool, owner: str | None
) -> LedgerBreak:
    """Give a break to somebody (None: the one who asks)."""
    now = parts.clock()
    with parts.database.begin() as connection:
        row = _locked(connection, identifier, livemode=livemode)
        by = officer(connection, actor, livemode=livemode)
        to = owner or by.name
        if to != by.name:
            person = persons.find(connection, to, livemode=livemode)
            if person is None or not person.powers & {each.value for each in ROLES}:
                raise ParameterInvalid(
                    "The owner is a person with the role finance.", param="owner"
                )
        if row.owner == to:
            return row
        changed = replace(row, owner=to, status=rules.after(row, Act.assigned).value)
        return _write(connection, changed, Act.assigned, by, now, {"owner": to, "was": row.owner})


def note(
    parts: Parts, identifier: str, text: str, *, actor: Actor, livemode: bool, act_id: str
) -> BreakAct:
    """Write down what a break is, for good; the same again under the same id."""
    kept = rules.check_note(text)
    now = parts.clock()
    with parts.database.begin() as connection:
        row = _locked(connection, identifier, livemode=livemode)
        found = store.find_act(connection, act_id)
        if found is not None:
            return found
        by = officer(connection, actor, livemode=livemode)
        status = rules.after(row, Act.noted).value
        changed = replace(row, status=status, notes=row.notes + 1, acts=row.acts + 1)
        store.write(connection, changed)
        act = act_of(
            changed,
            Act.noted,
            detail={"text": kept},
            now=now,
            actor=by.name,
            key=by.key,
            identifier=act_id,
        )
        store.insert_acts(connection, [act])
    return act


def propose(
    parts: Parts,
    identifier: str,
    legs: Sequence[Leg],
    *,
    actor: Actor,
    livemode: bool,
    note: str | None = None,
) -> LedgerBreak:
    """Say by which transfers a break is corrected; another person confirms it.

    The same again by the same person changes nothing.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        row = _locked(connection, identifier, livemode=livemode)
        by = officer(connection, actor, livemode=livemode)
        proposal = rules.proposal_of(row, legs, by=by.name, note=note, now=now)
        postings = rules.correction_postings(proposal["transfers"])
        rules.check_mode(postings, livemode=livemode, live_units=unit_modes(connection))
        _check_owners(connection, postings, livemode=livemode)
        if row.proposal is not None and {**row.proposal, "at": proposal["at"]} == proposal:
            return row
        status = rules.after(row, Act.proposed).value
        changed = replace(row, status=status, proposal=proposal)
        return _write(connection, changed, Act.proposed, by, now, {"proposal": proposal})


def decline(
    parts: Parts, identifier: str, *, actor: Actor, livemode: bool, reason: str | None
) -> LedgerBreak:
    """Take a proposal back, or refuse another's."""
    why = None if reason is None else rules.check_note(reason)
    now = parts.clock()
    with parts.database.begin() as connection:
        row = _locked(connection, identifier, livemode=livemode)
        by = officer(connection, actor, livemode=livemode)
        status = rules.after(row, Act.declined).value
        changed = replace(row, status=status, proposal=None)
        return _write(connection, changed, Act.declined, by, now, {"reason": why})


def confirm(parts: Parts, identifier: str, word: Word, *, livemode: bool) -> LedgerBreak:
    """Another person confirms a correction; it is booked at once after.

    Raises SamePerson, ApprovalStale, PermissionDenied, StepUpRequired, StepUpFailed, RateLimited,
    UnexpectedState.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        row = _locked(connection, identifier, livemode=livemode)
        by = officer(connection, word.actor, livemode=livemode)
        said = row.proposal or {}
        if (said.get("confirmed_by"), said.get("digest")) == (by.name, word.digest):
            return row
        rules.after(row, Act.confirmed)
        digest = rules.digest_of(row)
        by.second(word.digest).check(
            proposed_by=said["by"],
            shown=digest,
            stale=ApprovalStale(
                "This is not what you were shown: look at the break again.", param="digest"
            ),
        )
        by.prove(parts, connection, word, now=now)
        changed = rules.confirmed(row, by=by.name, digest=digest)
        detail = {"proposal": row.proposal, "digest": digest}
        written = _write(connection, changed, Act.confirmed, by, now, detail)
        wake(connection, STAGE)
    return written


def correct_stage(parts: Parts) -> Stage:
    """The stage that books confirmed corrections."""

    def run() -> int:
        token = new_id("lease")
        with parts.database.begin() as connection:
            rows = claim(connection, _to_correct, token=token, now=parts.clock())
        if not rows:
            return 0
        with given_back_on_error(parts.database, store.breaks, [r.id for r in rows], token=token):
            failpoint("break.correct.before")
            outcomes = parts.books.post([_postings(row) for row in rows])
            failpoint("break.correct.after")
        with parts.database.begin() as connection:
            for row, outcome in zip(rows, outcomes, strict=True):
                _record(connection, row, outcome, token=token, now=parts.clock())
        return len(rows)

    return Stage(STAGE, run, due=(_to_correct,))


def _postings(row: LedgerBreak) -> PostingSet:
    assert row.proposal is not None
    legs = rules.correction_postings(row.proposal["transfers"])
    return PostingSet(row.id, f"correct:{row.corrections}", 0, legs)


def _record(
    connection: Connection, row: LedgerBreak, outcome: Outcome, *, token: str, now: datetime
) -> None:
    """What the ledger said; what it refuses is for people to look at again."""
    refusal = None if outcome.refusal is None else outcome.refusal.name
    act = Act.booked if refusal is None else Act.refused
    # People may have written something down meanwhile: what they wrote stands.
    current = store.find(connection, row.id, livemode=row.livemode, lock=True)
    assert current is not None
    values: dict[str, Any] = {
        "id": row.id,
        "status": rules.after(row, act).value,
        "acts": current.acts + 1,
    }
    if refusal is None:
        values["corrected_at"] = now
    else:
        values["proposal"] = None
        log.warning("break.refused", ledger_break=row.id, refusal=refusal)
    if settle(connection, store.breaks, [values], token=token):
        written = replace(current, acts=current.acts + 1)
        detail = {"correction": row.corrections, "refusal": refusal}
        store.insert_acts(connection, [act_of(written, act, detail=detail, now=now)])


def _check_owners(connection: Connection, postings: Sequence[Posting], *, livemode: bool) -> None:
    """Nothing is corrected of whom is not here; ParameterInvalid."""
    for place, posting in enumerate(postings):
        for side, account in (("debit", posting.debit), ("credit", posting.credit)):
            if not _is_here(connection, account, livemode=livemode):
                raise ParameterInvalid(
                    "There is no account {account} here.",
                    param=f"transfers[{place}][{side}]",
                    account=repr(account.name),
                )


def _is_here(connection: Connection, account: LedgerAccount, *, livemode: bool) -> bool:
    if account.owner is not None:
        return accounts.find_account(connection, account.owner) is not None
    if account.code in (AccountCode.bank, AccountCode.bank_suspense):
        name = account.path.partition(":")[2]
        found = bank_accounts.find(connection, name, account_id=None, livemode=livemode)
        return found is not None
    return True


def _write(
    connection: Connection,
    row: LedgerBreak,
    act: Act,
    by: Officer,
    now: datetime,
    detail: dict[str, Any],
) -> LedgerBreak:
    written = replace(row, acts=row.acts + 1)
    store.write(connection, written)
    store.insert_acts(
        connection, [act_of(written, act, detail=detail, now=now, actor=by.name, key=by.key)]
    )
    return written


def _locked(connection: Connection, identifier: str, *, livemode: bool) -> LedgerBreak:
    found = store.find(connection, identifier, livemode=livemode, lock=True)
    if found is None:
        raise ResourceMissing(
            "No such break: {identifier}.", param="id", identifier=repr(identifier)
        )
    return found
