"""Whose key acts: the commands that need a person take one by ``SAKK_API_KEY``."""

import os

from sakk.core.api_key import check_usable, is_token, token_hash
from sakk.core.errors import AuthenticationFailed
from sakk.core.person import Actor
from sakk.flow.context import Parts
from sakk.runtime.place import database_url
from sakk.runtime.settings import Settings
from sakk.runtime.vault import read_vault
from sakk.screening.name import NameIndex
from sakk.store import actor
from sakk.store.api_key import find_principal
from sakk.store.database import Database, open_database

VARIABLE = "SAKK_API_KEY"
# Who has the machine and shows no key: what a policy asks of the operator, no more.
MACHINE = "machine"


def parts_of(settings: Settings) -> Parts:
    """The parts of commands that need no ledger: the database and the vault."""
    database = open_database(database_url(settings))
    return Parts(database, vault=read_vault(settings), names=NameIndex(database))


def acting(parts: Parts, *, livemode: bool) -> Actor:
    """Whose key ``SAKK_API_KEY`` holds; AuthenticationFailed for one that does not fit."""
    token = os.environ.get(VARIABLE)
    if not token:
        return Actor(MACHINE)
    acts = _actor(parts.database, token, parts, livemode=livemode)
    actor.become(acts.signature)
    return acts


def _actor(database: Database, token: str, parts: Parts, *, livemode: bool) -> Actor:
    with database.begin() as connection:
        principal = find_principal(connection, token_hash(token)) if is_token(token) else None
    if principal is None or principal.key.livemode is not livemode:
        mode = "live" if livemode else "test"
        raise AuthenticationFailed(f"{VARIABLE} is no {mode} key of this server.")
    if principal.account_kind != "operator":
        raise AuthenticationFailed(f"{VARIABLE} is a merchant's key, not one of the operator's.")
    check_usable(principal.key, now=parts.clock(), address=None)
    return Actor(principal.key.id, principal.key.person)
