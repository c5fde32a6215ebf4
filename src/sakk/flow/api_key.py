"""API keys: making and revoking them. The token exists outside its holder's hands only here."""

import os
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from sakk.core.api_key import (
    SHOWN_CHARACTERS,
    TOKEN_RANDOM_BYTES,
    ApiKey,
    KeyKind,
    format_token,
    read_addresses,
    token_hash,
    token_prefix,
)
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.store import api_key as store


def create(
    connection: Connection,
    *,
    key_id: str,
    account_id: str,
    livemode: bool,
    now: datetime,
    kind: KeyKind = KeyKind.secret,
    name: str | None = None,
    scopes: Sequence[str] = (),
    allowed_addresses: Sequence[str] = (),
    expires_at: datetime | None = None,
    person: str | None = None,
    mandate: str | None = None,
) -> tuple[ApiKey, str]:
    """Make a key: its row, and the token, which cannot be had again. Scopes were checked before.

    ``mandate``: under which alone it may spend. ``person``: whose it is. A key that a person makes
    for the operator's account is their own.
    """
    if expires_at is not None and expires_at <= now:
        raise ParameterInvalid("expires_at must lie in the future.", param="expires_at")
    token = format_token(kind, livemode=livemode, random=os.urandom(TOKEN_RANDOM_BYTES))
    key = ApiKey(
        id=key_id,
        account_id=account_id,
        livemode=livemode,
        kind=kind.value,
        name=name,
        token_hash=token_hash(token),
        prefix=token_prefix(kind, livemode=livemode),
        last4=token[-SHOWN_CHARACTERS:],
        scopes=list(scopes),
        allowed_addresses=read_addresses(allowed_addresses),
        expires_at=expires_at,
        revoked_at=None,
        created=now,
        person=person,
        mandate=mandate,
    )
    store.insert_api_key(connection, key)
    return key, token


def revoke(
    connection: Connection, key_id: str, *, account_id: str, livemode: bool, now: datetime
) -> ApiKey:
    """End a key for ever; it repeats safely. Raises ResourceMissing."""
    store.revoke(connection, key_id, account_id=account_id, now=now)
    key = store.find_api_key(connection, key_id, account_id=account_id, livemode=livemode)
    if key is None:
        raise ResourceMissing("No such API key: {key_id}", param="api_key", key_id=repr(key_id))
    return key
