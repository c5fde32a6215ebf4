"""Invitations: links that are shown once, by which people come in."""

from datetime import datetime

from sqlalchemy import Connection

from sakk.core.invitation import GOOD_FOR, PREFIX, Invitation, InvitationKind
from sakk.core.sign_in import token_hash
from sakk.flow.sign_in import new_token
from sakk.store import invitation as store
from sakk.store.identity import new_id


def make(
    connection: Connection,
    *,
    person: str,
    livemode: bool,
    kind: InvitationKind,
    by: str,
    now: datetime,
) -> str:
    """The token of a new link of a person's, which ends those before."""
    store.revoke_of(connection, person, now=now)
    token = new_token()
    made = Invitation(
        id=new_id(PREFIX),
        livemode=livemode,
        person=person,
        kind=kind.value,
        token_hash=token_hash(token),
        created_by=by,
        created=now,
        expires_at=now + GOOD_FOR,
    )
    store.insert(connection, made)
    return token
