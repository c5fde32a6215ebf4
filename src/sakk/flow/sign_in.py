"""Sign-ins at work: begun by a proof of who comes, found by their token, and ended.

How a person proves who they are stands in `sakk.flow.proof`; here is what follows from it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from sakk.core.errors import AuthenticationFailed, PermissionDenied, ResourceMissing
from sakk.core.invitation import InvitationKind, is_open
from sakk.core.membership import Membership
from sakk.core.person import Person, PersonState
from sakk.core.sign_in import (
    PREFIX,
    SEEN_EVERY,
    SIGN_IN_MAX,
    TOKEN_BYTES,
    SignIn,
    SignInMethod,
    clean_user_agent,
    is_live,
    token_hash,
)
from sakk.flow.context import Parts
from sakk.store import account as accounts
from sakk.store import invitation as invitations
from sakk.store import membership as memberships
from sakk.store import person as persons
from sakk.store import sign_in as store
from sakk.store.actor import acting
from sakk.store.identity import new_id


@dataclass(frozen=True, slots=True)
class Device:
    """Where somebody comes from: what their browser says of itself, and the IP address."""

    user_agent: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that begins, and its token, which only the person's browser has."""

    sign_in: SignIn
    token: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is at the browser: the sign-in, the person as they stand now, their accounts."""

    sign_in: SignIn
    person: Person
    memberships: Sequence[Membership]


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def begin(
    connection: Connection,
    person: Person,
    method: SignInMethod,
    device: Device,
    *,
    now: datetime,
    replaces: str | None = None,
) -> Begun:
    """A sign-in for who proved to be this person; PermissionDenied for who may not act.

    ``replaces``: the token of a sign-in of this browser, which ends with it: nobody goes on with a
    token that was there before.
    """
    if person.state != PersonState.active:
        raise PermissionDenied(
            "You are {state}: an admin has to approve you first.", state=person.state
        )
    if replaces is not None:
        before = store.by_token(connection, token_hash(replaces), lock=True)
        if before is not None and before.ended_at is None:
            store.change(connection, before.id, {"ended_at": now})
    own = memberships.of_person(connection, person.id)
    token = new_token()
    sign_in = SignIn(
        id=new_id(PREFIX),
        person=person.id,
        livemode=person.livemode,
        token_hash=token_hash(token),
        method=method.value,
        user_agent=clean_user_agent(device.user_agent),
        address=device.address,
        account_id=own[0].account_id if own and not person.roles else None,
        created=now,
        seen_at=now,
        expires_at=now + SIGN_IN_MAX,
    )
    store.insert(connection, sign_in)
    return Begun(sign_in, token)


def enter(parts: Parts, token: str, device: Device, *, replaces: str | None) -> Begun:
    """Sign in at once by a one-time link of a sandbox; AuthenticationFailed for another."""
    now = parts.clock()
    hashed = token_hash(token)
    with parts.database.read() as connection:
        found = invitations.by_token(connection, hashed)
    if found is None or found.kind != InvitationKind.enter:
        raise _used()
    with acting(f"{found.person}/{found.id}", ""), parts.database.begin() as connection:
        found = invitations.by_token(connection, hashed, lock=True)
        if found is None or not is_open(found, now):
            raise _used()
        person = persons.find(connection, found.person, livemode=found.livemode, lock=True)
        assert person is not None
        invitations.change(connection, found.id, {"used_at": now})
        return begin(connection, person, SignInMethod.link, device, now=now, replaces=replaces)


def find(parts: Parts, token: str) -> SignedIn | None:
    """Who is at a browser with this token; None when nobody is, or not any more."""
    hashed = token_hash(token)
    now = parts.clock()
    with parts.database.read() as connection:
        sign_in = store.by_token(connection, hashed)
        if sign_in is None or not is_live(sign_in, now):
            return None
        person = persons.find(connection, sign_in.person, livemode=sign_in.livemode)
        if person is None or person.state != PersonState.active:
            return None
        own = memberships.of_person(connection, person.id)
    if not person.roles and not own:
        return None
    if now - sign_in.seen_at >= SEEN_EVERY:
        with parts.database.begin() as connection:
            store.change(connection, sign_in.id, {"seen_at": now})
    return SignedIn(sign_in, person, own)


def rotate(connection: Connection, sign_in: SignIn) -> str:
    """Another token for a sign-in that goes on; the one before is worth nothing from now on."""
    token = new_token()
    store.change(connection, sign_in.id, {"token_hash": token_hash(token)})
    return token


def look_at(parts: Parts, signed_in: SignedIn, account_id: str | None) -> None:
    """Look at one account, or at all; ResourceMissing for one that they have no roles in."""
    with parts.database.begin() as connection:
        is_theirs = any(each.account_id == account_id for each in signed_in.memberships)
        if not is_theirs and not signed_in.person.roles:
            raise ResourceMissing(
                "No such account: {account_id}", param="account", account_id=repr(account_id)
            )
        if account_id is not None and accounts.find_account(connection, account_id) is None:
            raise ResourceMissing(
                "No such account: {account_id}", param="account", account_id=repr(account_id)
            )
        store.change(connection, signed_in.sign_in.id, {"account_id": account_id})


def tell(parts: Parts, sign_in: str, flash: dict[str, Any] | None) -> None:
    """What the next page tells, once."""
    with parts.database.begin() as connection:
        store.change(connection, sign_in, {"flash": flash})


def end(parts: Parts, person: str, sign_in: str) -> SignIn:
    """End one sign-in of a person's own; it repeats safely. ResourceMissing for another's."""
    now = parts.clock()
    with parts.database.begin() as connection:
        found = store.find(connection, sign_in, lock=True)
        if found is None or found.person != person:
            raise ResourceMissing(
                "No such sign-in: {sign_in}", param="sign_in", sign_in=repr(sign_in)
            )
        if found.ended_at is not None:
            return found
        store.change(connection, found.id, {"ended_at": now})
        return replace(found, ended_at=now)


def end_all(parts: Parts, person: str, *, but: str | None) -> int:
    """Sign a person out everywhere, or everywhere ``but`` here; how many sign-ins ended."""
    with parts.database.begin() as connection:
        return store.end_of(connection, person, now=parts.clock(), but=but)


def _used() -> AuthenticationFailed:
    return AuthenticationFailed("This link was used before, or is too old. Ask for another.")
