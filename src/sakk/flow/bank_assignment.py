"""Whose the money of a line in suspense is: one person proposes, another confirms."""

from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from sakk.core import bank_assignment as rules
from sakk.core.bank_assignment import AssignmentStatus, BankAssignment
from sakk.core.bank_payment import expand
from sakk.core.bank_return import PREFIX as RETURN_PREFIX
from sakk.core.bank_return import BankReturnStatus
from sakk.core.bank_statement import BankLine, LineStatus, Outcome
from sakk.core.case import CaseStatus
from sakk.core.errors import (
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    UnexpectedState,
)
from sakk.core.person import Actor
from sakk.core.role import Role
from sakk.flow.context import Parts
from sakk.flow.officer import Officer, find_officer
from sakk.flow.stage import wake
from sakk.flow.word import Word, weighing
from sakk.store import account as accounts
from sakk.store import bank_assignment as store
from sakk.store import bank_return as bank_returns
from sakk.store import bank_statement as lines
from sakk.store import case as cases

PAYOUT_PREFIX: Final = "po"
ROLES: Final = (Role.owner, Role.admin, Role.finance)


def propose(
    parts: Parts,
    identifier: str,
    *,
    account_id: str,
    note: str | None,
    actor: Actor,
    livemode: bool,
) -> BankAssignment:
    """Say whose the money of a line is; another person confirms it. The same again changes nothing.

    Raises ResourceMissing, PermissionDenied, ParameterInvalid for no account, UnexpectedState for a
    line that does not stand in suspense, or whose case is open.
    """
    kept = note.strip()[: rules.NOTE_LENGTH_MAX] or None if note else None
    now = parts.clock()
    with parts.database.begin() as connection:
        line = _line(connection, identifier, livemode=livemode)
        by = _officer(connection, actor, livemode=livemode)
        _check(connection, line, livemode=livemode)
        back = bank_returns.newest_of(connection, [line.id]).get(line.id)
        if back is not None and back.status == BankReturnStatus.awaiting:
            raise UnexpectedState(
                "Somebody proposed to send this line back to its sender: decline that first."
            )
        if accounts.find_account(connection, account_id) is None:
            raise ParameterInvalid("No such account.", param="account")
        made = BankAssignment(
            line=line.id,
            livemode=livemode,
            account_id=account_id,
            note=kept,
            status=AssignmentStatus.awaiting.value,
            proposed_by=by.name,
            created=now,
        )
        before = store.of_lines(connection, [line.id]).get(line.id)
        if before is not None and replace(before, created=now) == made:
            return before
        store.put(connection, made)
    return made


def confirm(parts: Parts, identifier: str, word: Word, *, livemode: bool) -> BankLine:
    """Another person confirms it; it is booked a moment later.

    Raises ResourceMissing, UnexpectedState, SamePerson, ApprovalStale, PermissionDenied,
    StepUpRequired, StepUpFailed, RateLimited.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        line = _line(connection, identifier, livemode=livemode)
        by = _officer(connection, word.actor, livemode=livemode)
        waits = _awaiting(connection, line)
        _check(connection, line, livemode=livemode)
        done = rules.confirmed(waits, line, by.second(word.digest), now=now)
        by.prove(parts, connection, word, now=now)
        store.put(connection, done)
        after = replace(
            line,
            status=LineStatus.matched.value,
            outcome=Outcome.assigned.value,
            account_id=done.account_id,
            assigned_by=done.proposed_by,
            waits_since=now,
        )
        fields = ("status", "outcome", "account_id", "assigned_by", "waits_since")
        lines.change_line(connection, line.id, {name: getattr(after, name) for name in fields})
        wake(connection, "bank.book")
    return after


def decline(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> BankAssignment:
    """Refuse what was proposed, or take it back. ResourceMissing, UnexpectedState."""
    with parts.database.begin() as connection:
        line = _line(connection, identifier, livemode=livemode)
        by = _officer(connection, actor, livemode=livemode)
        gone = replace(
            _awaiting(connection, line),
            status=AssignmentStatus.declined.value,
            decided_by=by.name,
            decided_at=parts.clock(),
        )
        store.put(connection, gone)
    return gone


def _officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    found = find_officer(connection, actor, livemode=livemode)
    if not found.has(ROLES):
        raise PermissionDenied("Only a person with the role finance assigns a line.")
    return found


def _line(connection: Connection, identifier: str, *, livemode: bool) -> BankLine:
    found = lines.find_line(connection, identifier, livemode=livemode, lock=True)
    if found is None:
        raise ResourceMissing("No such line: {identifier}", param="id", identifier=repr(identifier))
    return found


def _awaiting(connection: Connection, line: BankLine) -> BankAssignment:
    found = store.of_lines(connection, [line.id]).get(line.id)
    if found is None or found.status != AssignmentStatus.awaiting:
        raise UnexpectedState("Nobody has proposed whose this line is.")
    return found


def _check(connection: Connection, line: BankLine, *, livemode: bool) -> None:
    case = cases.find(connection, line.id, livemode=livemode)
    rules.check_line(line, is_case_open=case is None or case.status != CaseStatus.closed)
    check_there(connection, line)


def check_there(connection: Connection, line: BankLine) -> None:
    """UnexpectedState where a debit stands in suspense that may be this money."""
    if may_be_gone(connection, line):
        raise UnexpectedState(
            "A debit with the name of this money's order stands in suspense: it may have gone"
            " already. Ask the bank, and correct that first."
        )


def may_be_gone(connection: Connection, line: BankLine) -> bool:
    """Does a debit stand in suspense that may be this money: with the name of a return of it that
    the bank had refused, or of the order that the line itself names?"""
    names = [each.end_to_end_id for each in bank_returns.list_of_line(connection, line.id)]
    own = line.end_to_end_id or ""
    if expand(own, PAYOUT_PREFIX) or expand(own, RETURN_PREFIX):
        names.append(own.upper())
    return lines.any_debit(connection, line.bank_account, names)
