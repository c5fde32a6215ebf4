"""Persons: the first two by the machine's owner, every other by two admins.

Nobody but the person ever has a key of theirs: what is proposed and approved is its hash.
"""

import base64
import os
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import available_timezones

from sqlalchemy import Connection

from sakk.core import event
from sakk.core.api_key import PREFIX as KEY_PREFIX
from sakk.core.api_key import (
    SHOWN_CHARACTERS,
    TOKEN_RANDOM_BYTES,
    ApiKey,
    KeyKind,
    format_token,
    token_hash,
    token_prefix,
)
from sakk.core.errors import (
    ApprovalStale,
    ParameterInvalid,
    PermissionDenied,
    ResourceMissing,
    SamePerson,
    UnexpectedState,
)
from sakk.core.event import NewEvent
from sakk.core.person import (
    BOOTSTRAP_ADMINS,
    PREFIX,
    SANDBOX,
    SECRET_BYTES,
    Actor,
    Person,
    PersonState,
    check_details,
    check_key_hash,
    check_public_key,
    proposal_digest,
    public_person,
    totp_step,
    totp_uri,
)
from sakk.core.role import Role, check_grant, read_roles
from sakk.flow.context import Parts
from sakk.flow.credential import end_credentials
from sakk.flow.step_up import StepUp, acting_person, check, count_try
from sakk.flow.word import Word, weighing
from sakk.store import account as accounts
from sakk.store import api_key as keys
from sakk.store import event as events
from sakk.store import invitation as invitations
from sakk.store import person as store
from sakk.store import sign_in as sign_ins
from sakk.store.identity import new_id

STEP_UP_OF_NOTHING = -1


@dataclass(frozen=True, slots=True)
class Introduction:
    """A new person as an admin introduces them; the hash of a key comes from the person.

    Without a key they come in by a link.
    """

    name: str
    email: str
    roles: list[str]
    key_hash: str | None = None
    key_last4: str = ""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A second factor in the making: the secret is shown this once."""

    person: Person
    secret: str
    uri: str


def new_token(*, livemode: bool) -> tuple[str, str]:
    """A token that a person makes for themselves, and the hash that is proposed."""
    random = os.urandom(TOKEN_RANDOM_BYTES)
    token = format_token(KeyKind.secret, livemode=livemode, random=random)
    return token, token_hash(token).hex()


def bootstrap(parts: Parts, *, name: str, email: str, livemode: bool) -> tuple[Enrolment, str]:
    """One of the first two admins, made by who has the machine: the enrolment, and the key.

    Once there are two, only they add others: PermissionDenied.
    """
    check_details(name, email)
    now = parts.clock()
    token, hashed = new_token(livemode=livemode)
    secret = _new_secret()
    with parts.database.begin() as connection:
        store.lock_all(connection)
        if store.count_admins(connection, livemode=livemode) >= BOOTSTRAP_ADMINS:
            raise PermissionDenied(
                f"There are {BOOTSTRAP_ADMINS} admins: one of them proposes a person"
                " (POST /v1/persons), another approves."
            )
        check_email(connection, email, livemode=livemode)
        identifier = new_id(PREFIX)
        person = new_person(identifier, name, email, livemode=livemode, now=now)
        person = replace(
            person,
            roles=[Role.admin.value],
            state=PersonState.active.value,
            totp_secret=parts.secrets_vault().seal(secret, identifier),
        )
        store.insert(connection, person)
        _insert_key(connection, person, hashed, token[-SHOWN_CHARACTERS:], now=now)
        tell(connection, person, event.PERSON_APPROVED, now=now)
    return Enrolment(person, secret, totp_uri(secret, email)), token


def introduce_sandbox_owner(connection: Connection, *, now: datetime) -> Person:
    """The person that a sandbox begins with, who may do everything that one person may."""
    identifier = new_id(PREFIX)
    person = replace(
        new_person(identifier, "Sandbox owner", "owner@sandbox.test", livemode=False, now=now),
        roles=[Role.approver.value, Role.compliance.value, Role.finance.value, Role.owner.value],
        state=PersonState.active.value,
        proposed_by=SANDBOX,
    )
    store.insert(connection, person)
    return person


def propose(
    parts: Parts,
    introduction: Introduction,
    *,
    identifier: str,
    actor: Actor,
    livemode: bool,
) -> Person:
    """An admin introduces a person, who may do nothing until another admin approves."""
    check_details(introduction.name, introduction.email)
    roles = read_roles(introduction.roles)
    if introduction.key_hash is not None:
        check_key_hash(introduction.key_hash)
    now = parts.clock()
    with parts.database.begin() as connection:
        store.lock_all(connection)
        by = admin_of(connection, actor, livemode=livemode)
        found = store.find(connection, identifier, livemode=livemode)
        if found is not None:
            return found
        _check_grant(connection, by, [], roles)
        check_email(connection, introduction.email, livemode=livemode)
        person = replace(
            new_person(
                identifier, introduction.name, introduction.email, livemode=livemode, now=now
            ),
            proposed_by=by.id,
            proposal={
                "by": by.id,
                "roles": roles,
                "key_hash": introduction.key_hash,
                "key_last4": introduction.key_last4,
            },
        )
        store.insert(connection, person)
        tell(connection, person, event.PERSON_PROPOSED, now=now)
    return person


def propose_change(
    parts: Parts,
    identifier: str,
    *,
    actor: Actor,
    livemode: bool,
    roles: list[str] | None,
    key_hash: str | None,
    key_last4: str,
    resets: bool = False,
) -> Person:
    """An admin proposes other roles, or a new key in place of all others and the second factor.

    The person goes on as before until another admin approves. ``resets``: all that they sign in by
    ends then, and they come in by a link again.
    """
    wanted = None if roles is None else read_roles(roles)
    if key_hash is not None:
        check_key_hash(key_hash)
    now = parts.clock()
    with parts.database.begin() as connection:
        person = locked_person(connection, identifier, livemode=livemode)
        by = admin_of(connection, actor, livemode=livemode)
        if person.state != PersonState.active:
            raise UnexpectedState(
                "This person is {state}: only an active one is changed.", state=person.state
            )
        _check_grant(connection, by, person.roles, wanted or person.roles)
        proposal = {
            "by": by.id,
            "roles": wanted or person.roles,
            "key_hash": key_hash,
            "key_last4": key_last4,
            "resets": resets,
        }
        store.change(connection, person.id, {"proposal": proposal})
        person = replace(person, proposal=proposal)
        tell(connection, person, event.PERSON_PROPOSED, now=now)
    return person


def approve(parts: Parts, identifier: str, word: Word, *, livemode: bool) -> Person:
    """Another admin approves what was proposed for a person; a fresh code is needed.

    ApprovalStale where it is not what they were shown: who proposes may propose again.
    """
    with weighing(parts, word, livemode=livemode) as (connection, now):
        person = locked_person(connection, identifier, livemode=livemode)
        by = admin_of(connection, word.actor, livemode=livemode)
        proposal = person.proposal
        if proposal is None or person.state == PersonState.suspended:
            raise UnexpectedState("Nothing is proposed for this person.")
        if by.id in (proposal["by"], person.id):
            raise SamePerson(
                "Neither who proposed it nor whom it is about approves it: another admin does."
            )
        if word.digest != proposal_digest(person):
            raise ApprovalStale(
                "This is not the proposal that you were shown: look at it again.", param="digest"
            )
        check(parts, connection, by, word.step_up, message=None, now=now)
        values: dict[str, Any] = {
            "roles": proposal["roles"],
            "state": PersonState.active.value,
            "proposal": None,
            "approved_by": by.id,
        }
        if proposal.get("public_key") is not None:
            values |= {"public_key": proposal["public_key"]}
        if proposal["key_hash"] is not None:
            values |= {"totp_secret": None, "totp_confirmed": False, "public_key": None}
        if not person.roles:
            # A link to what they had in an account opens nothing of the operator's.
            invitations.revoke_without_code(connection, person.id, now=now)
        resets = bool(proposal.get("resets"))
        if resets:
            values |= {"public_key": None}
            end_credentials(connection, person.id, now=now)
        person = replace(person, **values)
        if proposal["key_hash"] is not None or resets:
            keys.revoke_of_person(connection, person.id, now=now)
        if proposal["key_hash"] is not None:
            _insert_key(connection, person, proposal["key_hash"], proposal["key_last4"], now=now)
        store.change(connection, person.id, values)
        tell(connection, person, event.PERSON_APPROVED, now=now)
    return person


def suspend(parts: Parts, identifier: str, *, actor: Actor, livemode: bool) -> Person:
    """An admin ends a person's keys and roles at once; nobody suspends the last admin."""
    now = parts.clock()
    with parts.database.begin() as connection:
        store.lock_all(connection)
        person = locked_person(connection, identifier, livemode=livemode)
        by = admin_of(connection, actor, livemode=livemode)
        if by.id == person.id:
            raise SamePerson("Nobody suspends themselves: another admin does.")
        if person.state == PersonState.suspended:
            return person
        values: dict[str, Any] = {"state": PersonState.suspended.value, "proposal": None}
        store.change(connection, person.id, values)
        keys.revoke_of_person(connection, person.id, now=now)
        sign_ins.end_of(connection, person.id, now=now)
        invitations.revoke_of(connection, person.id, now=now)
        person = replace(person, **values)
        tell(connection, person, event.PERSON_SUSPENDED, now=now)
    return person


def prefer(
    parts: Parts,
    identifier: str,
    *,
    livemode: bool,
    language: str | None,
    time_zone: str | None,
    theme: str | None,
) -> None:
    """How a person wants pages; None: as their browser does. ParameterInvalid for no time zone."""
    if time_zone is not None and time_zone not in available_timezones():
        raise ParameterInvalid(
            "There is no such time zone: write it as Asia/Dubai.", param="time_zone"
        )
    with parts.database.begin() as connection:
        locked_person(connection, identifier, livemode=livemode)
        values = {"language": language, "time_zone": time_zone, "theme": theme}
        store.change(connection, identifier, values)


def enrol(
    parts: Parts, identifier: str, *, actor: Actor, livemode: bool, step_up: StepUp
) -> Enrolment:
    """A person begins a second factor; one that has one gives its code to replace it."""
    count_try(parts, actor, step_up, livemode=livemode)
    now = parts.clock()
    secret = _new_secret()
    with parts.database.begin() as connection:
        person = _self(connection, identifier, actor, livemode=livemode)
        if person.totp_confirmed:
            check(parts, connection, person, step_up, message=None, now=now)
        values: dict[str, Any] = {
            "totp_secret": parts.secrets_vault().seal(secret, person.id),
            "totp_confirmed": False,
            "totp_step": STEP_UP_OF_NOTHING,
        }
        store.change(connection, person.id, values)
        person = replace(person, **values)
    return Enrolment(person, secret, totp_uri(secret, person.email))


def confirm(parts: Parts, identifier: str, *, actor: Actor, livemode: bool, code: str) -> Person:
    """The first code of a new second factor puts it in force."""
    step_up = StepUp(code=code)
    count_try(parts, actor, step_up, livemode=livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        person = _self(connection, identifier, actor, livemode=livemode)
        if person.totp_secret is None or person.totp_confirmed:
            raise UnexpectedState("No second factor waits for its first code.")
        secret = parts.secrets_vault().open(bytes(person.totp_secret), person.id)
        step = totp_step(secret, code, now=now, used=person.totp_step)
        if step is None:
            raise ParameterInvalid(
                "This code is wrong. Send the one that your device shows now.", param="code"
            )
        values: dict[str, Any] = {
            "totp_confirmed": True,
            "totp_step": step,
            "totp_failures": 0,
            "totp_locked_until": None,
        }
        store.change(connection, person.id, values)
        person = replace(person, **values)
        tell(connection, person, event.PERSON_UPDATED, now=now)
    return person


def set_public_key(
    parts: Parts,
    identifier: str,
    *,
    actor: Actor,
    livemode: bool,
    public_key: str,
    step_up: StepUp,
) -> Person:
    """A person names the key that they sign approvals with; a fresh code is needed.

    The first one holds at once. Another in its place is proposed, and an admin approves it: whoever
    has a person's key and device does not take their voice over alone.
    """
    check_public_key(public_key)
    count_try(parts, actor, step_up, livemode=livemode)
    now = parts.clock()
    with parts.database.begin() as connection:
        person = _self(connection, identifier, actor, livemode=livemode)
        check(parts, connection, person, step_up, message=None, now=now)
        if person.public_key is None or person.public_key == public_key:
            values: dict[str, Any] = {"public_key": public_key}
            name = event.PERSON_UPDATED
        else:
            values = {
                "proposal": {
                    "by": person.id,
                    "roles": person.roles,
                    "key_hash": None,
                    "key_last4": "",
                    "public_key": public_key,
                }
            }
            name = event.PERSON_PROPOSED
        store.change(connection, person.id, values)
        person = replace(person, **values)
        tell(connection, person, name, now=now)
    return person


def _new_secret() -> str:
    return base64.b32encode(os.urandom(SECRET_BYTES)).decode()


def new_person(identifier: str, name: str, email: str, *, livemode: bool, now: datetime) -> Person:
    return Person(
        id=identifier,
        livemode=livemode,
        name=name,
        email=email,
        roles=[],
        state=PersonState.proposed.value,
        proposal=None,
        public_key=None,
        totp_secret=None,
        totp_confirmed=False,
        totp_step=STEP_UP_OF_NOTHING,
        totp_failures=0,
        totp_locked_until=None,
        proposed_by=None,
        approved_by=None,
        created=now,
    )


def _insert_key(
    connection: Connection, person: Person, hashed: str, last4: str, *, now: datetime
) -> None:
    operator = accounts.find_operator(connection)
    if operator is None:
        raise UnexpectedState(
            "There is no operator's account yet: `sakk accounts create NAME --operator`."
        )
    kind = KeyKind.secret
    keys.insert_api_key(
        connection,
        ApiKey(
            id=new_id(KEY_PREFIX),
            account_id=operator.id,
            livemode=person.livemode,
            kind=kind.value,
            name=person.name,
            token_hash=bytes.fromhex(hashed),
            prefix=token_prefix(kind, livemode=person.livemode),
            last4=last4,
            scopes=[],
            allowed_addresses=[],
            expires_at=None,
            revoked_at=None,
            created=now,
            person=person.id,
        ),
    )


def admin_of(connection: Connection, actor: Actor, *, livemode: bool) -> Person:
    person = acting_person(connection, actor, livemode=livemode)
    if Role.admin not in person.powers:
        raise PermissionDenied("Only a person with the role admin may do this.")
    return person


def _check_grant(connection: Connection, by: Person, before: list[str], after: list[str]) -> None:
    """Owners are made by owners, once there is one."""
    if store.count_owners(connection, livemode=by.livemode):
        check_grant(by.roles, before, after)


def _self(connection: Connection, identifier: str, actor: Actor, *, livemode: bool) -> Person:
    locked_person(connection, identifier, livemode=livemode)
    if actor.person != identifier:
        raise PermissionDenied("Only the person may do this, with a key of their own.")
    return acting_person(connection, actor, livemode=livemode)


def locked_person(connection: Connection, identifier: str, *, livemode: bool) -> Person:
    person = store.find(connection, identifier, livemode=livemode, lock=True)
    if person is None:
        raise ResourceMissing(
            "No such person: {identifier}", param="person", identifier=repr(identifier)
        )
    return person


def check_email(connection: Connection, email: str, *, livemode: bool) -> None:
    if store.by_email(connection, email, livemode=livemode) is not None:
        raise ParameterInvalid(
            "There is a person with the address {email}.", param="email", email=repr(email)
        )


def tell(connection: Connection, person: Person, name: str, *, now: datetime) -> None:
    told = NewEvent(
        account_id=None,
        livemode=person.livemode,
        type=name,
        object_id=person.id,
        object=public_person(person),
    )
    events.append(connection, [told], now=now)
