"""Memberships at work: who manages the people of an account, and who comes in there.

An owner or admin of an account, or an admin of the operator's, gives and takes roles there alone:
what they give reaches no further than their account. Nobody takes their own away.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from sakk.core import event
from sakk.core.account import AccountKind
from sakk.core.errors import PermissionDenied, ResourceMissing, SamePerson, UnexpectedState
from sakk.core.invitation import InvitationKind
from sakk.core.membership import MANAGERS, Membership, roles_in
from sakk.core.person import PREFIX, Actor, Person, PersonState, check_details
from sakk.core.role import Role, check_grant, read_account_roles
from sakk.flow import invitation as invitations
from sakk.flow.context import Parts
from sakk.flow.person import Introduction, admin_of, locked_person, new_person, tell
from sakk.flow.person import propose as propose_person
from sakk.flow.person import propose_change as propose_person_change
from sakk.store import account as accounts
from sakk.store import membership as store
from sakk.store import person as persons
from sakk.store.identity import new_id


@dataclass(frozen=True, slots=True)
class Invited:
    """Who was invited, and the token of their link: None where they sign in already."""

    person: Person
    token: str | None


def invite_operator(
    parts: Parts, introduction: Introduction, *, identifier: str, actor: Actor, livemode: bool
) -> Invited:
    """Propose one of the operator's people, with a link that opens once another admin approved.

    A form that is sent twice gets a fresh link, which ends the first.
    """
    person = propose_person(
        parts, introduction, identifier=identifier, actor=actor, livemode=livemode
    )
    return Invited(person, _link(parts, person, actor))


def reset(parts: Parts, person: str, *, actor: Actor, livemode: bool) -> Invited:
    """Propose that one of the operator's people comes in anew: their devices are lost, or known."""
    proposed = propose_person_change(
        parts,
        person,
        actor=actor,
        livemode=livemode,
        roles=None,
        key_hash=None,
        key_last4="",
        resets=True,
    )
    return Invited(proposed, _link(parts, proposed, actor))


def invite(
    parts: Parts,
    *,
    name: str,
    email: str,
    roles: list[str],
    account_id: str,
    actor: Actor,
    livemode: bool,
) -> Invited:
    """Give somebody roles in an account, known here or not; PermissionDenied for no manager.

    UnexpectedState for who was invited elsewhere and has not come in: their link is made there.
    """
    check_details(name, email)
    wanted = read_account_roles(roles)
    now = parts.clock()
    with parts.database.begin() as connection:
        persons.lock_all(connection)
        by = _manager(connection, actor, account_id, livemode=livemode)
        _check_account(connection, account_id)
        person = persons.by_email(connection, email, livemode=livemode)
        is_new = person is None
        if person is None:
            person = replace(
                new_person(new_id(PREFIX), name, email, livemode=livemode, now=now),
                state=PersonState.active.value,
                proposed_by=by.id,
            )
            persons.insert(connection, person)
            tell(connection, person, event.PERSON_APPROVED, now=now)
        if person.id == by.id:
            raise SamePerson("Nobody changes their own roles: another owner or admin does.")
        comes_in = is_new or not invitations.signs_in(connection, person)
        if comes_in:
            _check_ours(connection, person, account_id)
        _grant(connection, by, person, account_id, wanted, now=now)
        if not comes_in:
            return Invited(person, None)
        token = invitations.make(
            connection,
            person=person.id,
            livemode=livemode,
            kind=InvitationKind.welcome,
            by=by.id,
            now=now,
        )
    return Invited(person, token)


def change(
    parts: Parts, person: str, *, roles: list[str], account_id: str, actor: Actor, livemode: bool
) -> Membership:
    """Give somebody other roles in an account where they have some."""
    wanted = read_account_roles(roles)
    now = parts.clock()
    with parts.database.begin() as connection:
        persons.lock_all(connection)
        by = _manager(connection, actor, account_id, livemode=livemode)
        found = _member(connection, person, account_id, livemode=livemode)
        if by.id == found.id:
            raise SamePerson("Nobody changes their own roles: another owner or admin does.")
        return _grant(connection, by, found, account_id, wanted, now=now)


def remove(parts: Parts, person: str, *, account_id: str, actor: Actor, livemode: bool) -> Person:
    """Take somebody's roles in an account away; who has none left anywhere is signed out by it."""
    now = parts.clock()
    with parts.database.begin() as connection:
        persons.lock_all(connection)
        by = _manager(connection, actor, account_id, livemode=livemode)
        found = _member(connection, person, account_id, livemode=livemode)
        if by.id == found.id:
            raise SamePerson("Nobody takes their own roles away: another owner or admin does.")
        before = roles_in(store.of_person(connection, found.id), account_id)
        _check_owner(connection, by, account_id, before, [])
        store.remove(connection, found.id, account_id)
        tell(connection, found, event.PERSON_UPDATED, now=now)
    return found


def _link(parts: Parts, person: Person, actor: Actor) -> str:
    """A link for one of the operator's people: it takes another admin's code besides."""
    assert actor.person is not None
    with parts.database.begin() as connection:
        return invitations.make(
            connection,
            person=person.id,
            livemode=person.livemode,
            kind=InvitationKind.welcome,
            by=actor.person,
            now=parts.clock(),
            needs_code=True,
        )


def _grant(
    connection: Connection,
    by: Person,
    person: Person,
    account_id: str,
    roles: list[str],
    *,
    now: datetime,
) -> Membership:
    before = roles_in(store.of_person(connection, person.id), account_id)
    _check_owner(connection, by, account_id, before, roles)
    granted = Membership(person.id, account_id, person.livemode, roles, by.id, now)
    store.put(connection, granted)
    tell(connection, person, event.PERSON_UPDATED, now=now)
    return granted


def _check_owner(
    connection: Connection, by: Person, account_id: str, before: list[str], after: list[str]
) -> None:
    """Owners of an account are made and ended by its owners, or by an admin of the operator's."""
    if Role.admin not in by.powers:
        check_grant(roles_in(store.of_person(connection, by.id), account_id), before, after)


def _manager(connection: Connection, actor: Actor, account_id: str, *, livemode: bool) -> Person:
    """Who acts, if they may manage the people of this account."""
    person = (
        None
        if actor.person is None
        else persons.find(connection, actor.person, livemode=livemode, lock=True)
    )
    if person is not None and person.state == PersonState.active:
        if Role.admin in person.powers:
            return admin_of(connection, actor, livemode=livemode)
        if MANAGERS & set(roles_in(store.of_person(connection, person.id), account_id)):
            return person
    raise PermissionDenied("Only an owner or admin of this account manages its people.")


def _member(connection: Connection, person: str, account_id: str, *, livemode: bool) -> Person:
    """Somebody with roles in an account; ResourceMissing for everybody else, known or not."""
    if not roles_in(store.of_person(connection, person), account_id):
        raise ResourceMissing("No such person: {person}", param="person", person=repr(person))
    return locked_person(connection, person, livemode=livemode)


def _check_ours(connection: Connection, person: Person, account_id: str) -> None:
    """Raise UnexpectedState where who has a link of theirs would come in elsewhere too."""
    own = store.of_person(connection, person.id)
    if person.roles or person.proposal or any(each.account_id != account_id for each in own):
        raise UnexpectedState(
            "This person was invited elsewhere and has not come in yet. Invite them when they have."
        )


def _check_account(connection: Connection, account_id: str) -> None:
    found = accounts.find_account(connection, account_id)
    if found is None or found.kind == AccountKind.operator:
        raise ResourceMissing(
            "No such account of a merchant's: {account_id}",
            param="account",
            account_id=repr(account_id),
        )
