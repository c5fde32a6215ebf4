"""Money in suspense that is sent back to its sender: one person proposes, another confirms.

The line's row is locked first, by everybody: of two who decide about it at once, one is second.
"""

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from sakk.core import bank_event as news
from sakk.core import bank_return as rules
from sakk.core.bank_account import Adapter, Place, read_place, read_terms
from sakk.core.bank_assignment import AssignmentStatus
from sakk.core.bank_payment import compact
from sakk.core.bank_return import STANDING, BankReturn, BankReturnStatus
from sakk.core.bank_statement import BankLine, Outcome
from sakk.core.case import CaseStatus
from sakk.core.errors import ParameterInvalid, PermissionDenied, ResourceMissing, UnexpectedState
from sakk.core.event import NewEvent
from sakk.core.person import Actor
from sakk.flow.bank_assignment import ROLES, check_there
from sakk.flow.context import Parts
from sakk.flow.officer import Officer, find_officer
from sakk.flow.stage import wake
from sakk.flow.word import Word, weighing
from sakk.store import bank_account as bank_accounts
from sakk.store import bank_assignment as assignments
from sakk.store import bank_return as store
from sakk.store import bank_statement as lines
from sakk.store import case as cases
from sakk.store import event as events
from sakk.store.identity import new_id

FIELDS: Final = ("status", "decided_by", "decided_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRequest:
    """What is asked for. An account, and a ``holder``, only where the line names none.

    ``fee_max``: in the currency's smallest unit, what the bank may take besides.
    """

    line: str
    holder: str | None = None
    iban: str | None = None
    bic: str | None = None
    country: str | None = None
    number: str | None = None
    bank_code: str | None = None
    fee_max: int = 0
    note: str | None = None

    def place(self) -> Place | None:
        """The account that people said, checked; ParameterInvalid."""
        told = (self.iban, self.bic, self.country, self.number, self.bank_code)
        if all(each is None for each in told):
            return None
        return read_place(
            iban=self.iban,
            bic=self.bic,
            country=self.country,
            number=self.number,
            bank_code=self.bank_code,
        )


def propose(
    parts: Parts,
    request: ReturnRequest,
    *,
    actor: Actor,
    livemode: bool,
    identifier: str | None = None,
) -> BankReturn:
    """Say that a line's money goes back to its sender; another person confirms it.

    Raises ResourceMissing, PermissionDenied, ParameterInvalid for an account that can not be paid,
    UnexpectedState for a line that does not stand in suspense, whose case is open, or of which
    somebody has proposed something already.
    """
    now = parts.clock()
    note = request.note.strip()[: rules.NOTE_LENGTH_MAX] or None if request.note else None
    said = request.place()
    with parts.database.begin() as connection:
        line = _line(connection, request.line, livemode=livemode)
        by = _officer(connection, actor, livemode=livemode)
        before = store.find(connection, identifier or "", livemode=livemode)
        if before is not None:
            # The same request, whose answer was lost.
            return before
        _check(connection, line, livemode=livemode)
        _check_alone(connection, line)
        payee = rules.payee_of(line, holder=request.holder, said=said)
        _check_account(connection, line, payee)
        if not 0 <= request.fee_max <= line.units:
            raise ParameterInvalid(
                "A bank's fee is from nothing to what is sent back.", param="fee_max"
            )
        name = identifier or new_id(rules.PREFIX)
        made = BankReturn(
            id=name,
            livemode=livemode,
            line=line.id,
            bank_account=line.bank_account,
            units=line.units,
            currency=line.currency,
            decimals=line.decimals,
            holder=payee.holder,
            country=payee.place.country,
            iban=payee.place.iban,
            bic=payee.place.bic,
            number=payee.place.number,
            bank_code=payee.place.bank_code,
            by_hand=payee.by_hand,
            fee_max=request.fee_max,
            note=note,
            line_outcome=line.outcome or "",
            status=BankReturnStatus.awaiting.value,
            end_to_end_id=compact(name),
            proposed_by=by.name,
            created=now,
        )
        store.insert(connection, made)
        events.append(connection, [return_event(made, news.BANK_RETURN_CREATED)], now=now)
    return made


def confirm(parts: Parts, identifier: str, word: Word, *, livemode: bool) -> BankReturn:
    """Another person confirms it: it is screened and ordered a moment later.

    Raises ResourceMissing, UnexpectedState, SamePerson, ApprovalStale, PermissionDenied,
    StepUpRequired, StepUpFailed, RateLimited.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        found, line = _locked(connection, identifier, livemode=livemode)
        by = _officer(connection, word.actor, livemode=livemode)
        _check(connection, line, livemode=livemode)
        done = rules.confirmed(found, by.second(word.digest), now=now)
        by.prove(parts, connection, word, now=now)
        done = replace(done, line_outcome=line.outcome or "")
        store.change(connection, [done], *FIELDS, "line_outcome")
        # From here on it is nobody else's to assign.
        lines.change_line(connection, line.id, {"outcome": Outcome.sent_back.value})
        wake(connection, "bank.return")
    return done


def decline(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> BankReturn:
    """Refuse what was proposed, or take it back. ResourceMissing, UnexpectedState."""
    with parts.database.begin() as connection:
        found, _ = _locked(connection, identifier, livemode=livemode)
        by = _officer(connection, actor, livemode=livemode)
        gone = replace(
            found,
            status=BankReturnStatus.declined.value,
            decided_by=by.name,
            decided_at=parts.clock(),
        )
        store.change(connection, [gone], *FIELDS)
    return gone


def return_event(row: BankReturn, name: str) -> NewEvent:
    """An event about a return, to the operator."""
    return NewEvent(
        account_id=None,
        livemode=row.livemode,
        type=name,
        object_id=row.id,
        object=rules.public(row),
    )


def _officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    found = find_officer(connection, actor, livemode=livemode)
    if not found.has(ROLES):
        raise PermissionDenied("Only a person with the role finance sends money back.")
    return found


def _line(connection: Connection, identifier: str, *, livemode: bool) -> BankLine:
    found = lines.find_line(connection, identifier, livemode=livemode, lock=True)
    if found is None:
        raise ResourceMissing(
            "No such line: {identifier}", param="line", identifier=repr(identifier)
        )
    return found


def _locked(
    connection: Connection, identifier: str, *, livemode: bool
) -> tuple[BankReturn, BankLine]:
    """A return that awaits a second person, as it is once its line is locked."""
    told = store.find(connection, identifier, livemode=livemode)
    if told is None:
        raise ResourceMissing(
            "No such bank return: {identifier}", param="id", identifier=repr(identifier)
        )
    line = _line(connection, told.line, livemode=livemode)
    found = store.find(connection, identifier, livemode=livemode)
    assert found is not None
    if found.status != BankReturnStatus.awaiting:
        raise UnexpectedState("This return is {status}: it awaits nobody.", status=found.status)
    return found, line


def _check(connection: Connection, line: BankLine, *, livemode: bool) -> None:
    case = cases.find(connection, line.id, livemode=livemode)
    rules.check_line(line, is_case_open=case is None or case.status != CaseStatus.closed)
    check_there(connection, line)


def _check_alone(connection: Connection, line: BankLine) -> None:
    """UnexpectedState where somebody has proposed something of the line already."""
    said = assignments.of_lines(connection, [line.id]).get(line.id)
    if said is not None and said.status == AssignmentStatus.awaiting:
        raise UnexpectedState(
            "Somebody proposed to give this line to an account: decline that first."
        )
    last = store.newest_of(connection, [line.id]).get(line.id)
    if last is not None and last.status in STANDING:
        raise UnexpectedState(
            "Somebody proposed to send this back already: {id} is {status}.",
            id=last.id,
            status=last.status,
        )


def _check_account(connection: Connection, line: BankLine, payee: rules.Payee) -> None:
    own = bank_accounts.list_by_ids(connection, [line.bank_account])[line.bank_account]
    assert own.terms is not None
    terms = read_terms(own.terms)
    if terms.adapter is Adapter.provider:
        raise UnexpectedState(
            "A provider carries payouts out, and no returns: ask it to send the money back."
        )
    rules.check_place(payee.place, terms)
