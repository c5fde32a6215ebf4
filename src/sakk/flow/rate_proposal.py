"""What people say of rates: one proposes, another confirms, and it is so from then on.

Rates price both modes. Where real money is served, people of live mode alone decide on them.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from sakk.core import rate_proposal as rules
from sakk.core.errors import ApprovalStale, PermissionDenied, ResourceMissing
from sakk.core.person import Actor
from sakk.core.rate import Peg
from sakk.core.rate_proposal import RateChange
from sakk.core.rate_source import RateSource, SourceKind
from sakk.core.role import Role
from sakk.flow import rate as flow
from sakk.flow.context import Parts
from sakk.flow.officer import Officer, find_officer
from sakk.flow.stage import wake
from sakk.flow.word import Word, weighing
from sakk.store import person as persons
from sakk.store import rate as store

Row = TypeVar("Row", RateSource, Peg)
ROLES: Final = (Role.owner, Role.admin, Role.finance)


def propose_source(
    connection: Connection, wanted: RateSource, *, actor: Actor, livemode: bool, now: datetime
) -> None:
    """Say how a source is to be asked; a new one is asked when another person has confirmed it."""
    by = _officer(connection, actor, livemode=livemode)
    said = rules.proposal(RateChange.put, wanted, by=by.name, livemode=livemode, now=now)
    if store.find_source(connection, wanted.id, lock=True) is None:
        store.put_source(connection, replace(wanted, enabled=False))
    store.propose_of_source(connection, wanted.id, said)


def propose_enabled(
    connection: Connection, name: str, *, actor: Actor, livemode: bool, now: datetime
) -> None:
    """Say that a source is to be asked again."""
    by = _officer(connection, actor, livemode=livemode)
    _source(connection, name)
    said = rules.proposal(RateChange.enable, None, by=by.name, livemode=livemode, now=now)
    store.propose_of_source(connection, name, said)


def disable(
    connection: Connection, name: str, *, actor: Actor, livemode: bool, now: datetime
) -> None:
    """Ask a source no more, at once: one person's word."""
    _officer(connection, actor, livemode=livemode)
    flow.set_enabled(connection, name, enabled=False, now=now)


def propose_peg(connection: Connection, wanted: Peg, *, actor: Actor, livemode: bool) -> bool:
    """Say how a coin is watched; True where another person has to confirm it."""
    by = _officer(connection, actor, livemode=livemode)
    before = flow.find_peg(connection, wanted.currency)
    if before is None or not rules.takes_two(before, wanted):
        store.put_peg(connection, wanted)
        wake(connection, flow.STAGE)
        return False
    said = rules.proposal(RateChange.put, wanted, by=by.name, livemode=livemode, now=wanted.updated)
    store.put_peg(connection, replace(before, proposal=said))
    return True


def stop(
    connection: Connection, currency: str, *, actor: Actor, livemode: bool, now: datetime
) -> None:
    """Stop a coin, at once: one person's word."""
    _officer(connection, actor, livemode=livemode)
    flow.stop(connection, currency, now=now)


def propose_clear(
    connection: Connection, currency: str, *, actor: Actor, livemode: bool, now: datetime
) -> None:
    """Say that a coin is let go; UnexpectedState while it is off its peg still."""
    by = _officer(connection, actor, livemode=livemode)
    found = flow.clearable(connection, currency, now=now)
    said = rules.proposal(RateChange.clear, None, by=by.name, livemode=livemode, now=now)
    store.put_peg(connection, replace(found, proposal=said))


def confirm_source(parts: Parts, name: str, word: Word, *, livemode: bool) -> None:
    """Another person confirms what was proposed of a source.

    ResourceMissing, SamePerson, ApprovalStale, PermissionDenied, StepUpRequired, StepUpFailed,
    RateLimited.
    """

    def act(connection: Connection, row: RateSource, now: datetime) -> None:
        said = _said(row)
        wanted: dict[str, Any] | None = said["wanted"]
        if wanted is None:
            flow.set_enabled(connection, name, enabled=True, now=now)
        else:
            kind = SourceKind(wanted["kind"])
            is_asked = row.enabled or row.checked is None
            flow.put_source(
                connection, name=name, enabled=is_asked, now=now, **{**wanted, "kind": kind}
            )
        store.propose_of_source(connection, name, None)

    _confirm(parts, word, _source, name, act, livemode=livemode)


def confirm_peg(parts: Parts, currency: str, word: Word, *, livemode: bool) -> None:
    """The same of a coin and its peg."""

    def act(connection: Connection, row: Peg, now: datetime) -> None:
        said = _said(row)
        if said["change"] == RateChange.clear:
            flow.clear(connection, currency, now=now)
        else:
            flow.put_peg(connection, currency=currency, now=now, **said["wanted"])

    _confirm(parts, word, flow.required_peg, currency, act, livemode=livemode)


def decline_source(connection: Connection, name: str, *, actor: Actor, livemode: bool) -> None:
    """Refuse what was proposed of a source, or take it back. ResourceMissing, PermissionDenied."""
    _officer(connection, actor, livemode=livemode)
    _said(_source(connection, name))
    store.propose_of_source(connection, name, None)


def decline_peg(connection: Connection, currency: str, *, actor: Actor, livemode: bool) -> None:
    """The same of a peg."""
    _officer(connection, actor, livemode=livemode)
    found = flow.required_peg(connection, currency)
    _said(found)
    store.put_peg(connection, replace(found, proposal=None))


def _confirm(
    parts: Parts,
    word: Word,
    find: Callable[[Connection, str], Row],
    name: str,
    act: Callable[[Connection, Row, datetime], None],
    *,
    livemode: bool,
) -> None:
    with weighing(parts, word, livemode=livemode) as (connection, now):
        by = _officer(connection, word.actor, livemode=livemode)
        row = find(connection, name)
        said = _said(row)
        if said["livemode"] is not livemode:
            # One person is two, a mode each: neither stands for the other.
            raise PermissionDenied(
                "This was proposed in the other mode: decline it, and propose it here."
            )
        by.second(word.digest).check(
            proposed_by=said["by"],
            shown=rules.digest_of(row),
            stale=ApprovalStale(
                "This is not what you were shown: look at it again.", param="digest"
            ),
        )
        by.prove(parts, connection, word, now=now)
        act(connection, row, now)


def _said(row: RateSource | Peg) -> dict[str, Any]:
    if row.proposal is None:
        raise ResourceMissing("Nothing with this name waits for a second person.", param="name")
    return row.proposal


def _source(connection: Connection, name: str) -> RateSource:
    found = store.find_source(connection, name, lock=True)
    if found is None:
        raise ResourceMissing("No such source: {name}.", param="name", name=repr(name))
    return found


def _officer(connection: Connection, actor: Actor, *, livemode: bool) -> Officer:
    found = find_officer(connection, actor, livemode=livemode)
    if not found.has(ROLES):
        raise PermissionDenied("Only a person with the role finance or admin says so.")
    if not livemode and persons.any_live(connection):
        raise PermissionDenied(
            "Rates price real money too: people of live mode decide on them, and not of test mode."
        )
    return found
