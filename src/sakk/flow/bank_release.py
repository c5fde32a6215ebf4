"""Files of banks that a person brings: one brings it, another releases it, and then it is read."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from sakk.core import bank_event as news
from sakk.core import bank_file as rules
from sakk.core.bank_file import BankFile, FileStatus
from sakk.core.errors import PermissionDenied, ResourceMissing
from sakk.core.person import Actor
from sakk.core.role import Role
from sakk.flow.bank_file import file_event, take_in
from sakk.flow.context import Parts
from sakk.flow.officer import Officer, find_officer
from sakk.flow.stage import wake
from sakk.flow.word import Word, weighing
from sakk.rails.bank.read import read_file
from sakk.rails.bank.reader import ReadFile, Unreadable
from sakk.store import bank_file as store
from sakk.store import event as events
from sakk.store.database import update_records

ROLES: Final = (Role.owner, Role.admin, Role.finance)
# What is larger is looked at in a program of one's own.
SHOWN_BYTES_MAX: Final = 1 << 20


def bring(
    connection: Connection,
    content: bytes,
    *,
    name: str,
    actor: Actor,
    livemode: bool,
    now: datetime,
    identifier: str | None = None,
) -> BankFile:
    """Bring a file that a bank sent; it waits for another person. PermissionDenied, and what
    `sakk.flow.bank_file.take_in` raises."""
    by = _officer(connection, actor, livemode=livemode)
    return take_in(
        connection,
        content,
        name=name,
        bank_account=None,
        livemode=livemode,
        now=now,
        identifier=identifier,
        brought_by=by.name,
    )


def preview(connection: Connection, row: BankFile) -> ReadFile | str:
    """What a file says, before anybody believes it; why not, where it can not be shown."""
    if row.size > SHOWN_BYTES_MAX:
        return "it is too large to be shown"
    try:
        return read_file(store.content_of(connection, row.id))
    except Unreadable as error:
        return str(error)


def release(parts: Parts, identifier: str, word: Word, *, livemode: bool) -> BankFile:
    """Another person stands for a file, and it is read a moment later.

    The word's digest is SHA-256 of the bytes that were looked at. Raises ResourceMissing,
    UnexpectedState, SamePerson, ApprovalStale, PermissionDenied, StepUpRequired, StepUpFailed,
    RateLimited.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        found = _locked(connection, identifier, livemode=livemode)
        by = _officer(connection, word.actor, livemode=livemode)
        done = rules.released(found, by.second(word.digest), now=now)
        by.prove(parts, connection, word, now=now)
        change = {
            "id": done.id,
            "status": done.status,
            "released_by": done.released_by,
            "released_at": now,
        }
        update_records(connection, store.bank_files, [change])
        wake(connection, "bank.read")
    return done


def refuse(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> BankFile:
    """Refuse a file that was brought, or take it back; it is kept, and not read.

    ResourceMissing, UnexpectedState, PermissionDenied.
    """
    now = parts.clock()
    with parts.database.begin() as connection:
        found = _locked(connection, identifier, livemode=livemode)
        by = _officer(connection, actor, livemode=livemode)
        rules.check_awaiting(found)
        gone = replace(
            found,
            status=FileStatus.refused.value,
            reason=f"{by.name} refused it",
            done_at=now,
        )
        change = {"id": gone.id, "status": gone.status, "reason": gone.reason, "done_at": now}
        update_records(connection, store.bank_files, [change])
        events.append(connection, [file_event(gone, news.BANK_FILE_REFUSED)], now=now)
    return gone


def _officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    found = find_officer(connection, actor, livemode=livemode)
    if not found.has(ROLES):
        raise PermissionDenied("Only a person with the role finance brings files of banks.")
    return found


def _locked(connection: Connection, identifier: str, *, livemode: bool) -> BankFile:
    found = store.find(connection, identifier, livemode=livemode, lock=True)
    if found is None:
        raise ResourceMissing(
            "No such bank file: {identifier}", param="id", identifier=repr(identifier)
        )
    return found
