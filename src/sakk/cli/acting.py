"""Whose key acts: the commands that need a person take one by ``SAKK_API_KEY``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from sakk.cli.open import begin
from sakk.cli.out import console
from sakk.core.api_key import check_usable, is_token, token_hash
from sakk.core.errors import AuthenticationFailed
from sakk.core.person import Actor
from sakk.flow.context import Parts
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.runtime.place import database_url
from sakk.runtime.settings import Settings
from sakk.runtime.vault import read_vault
from sakk.screening.name import NameIndex
from sakk.signing.approver import is_encrypted, sign_approval
from sakk.store import actor
from sakk.store.api_key import find_principal
from sakk.store.database import Database, open_database

VARIABLE = "SAKK_API_KEY"
Code = Annotated[str | None, typer.Option(help="The one-time code of your device.")]
Key = Annotated[
    Path | None, typer.Option(exists=True, help="Your approver's key: the signer checks it.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask again.")]
# Who has the machine and shows no key: what a policy asks of the operator, no more.
MACHINE = "machine"


@contextmanager
def opened_parts(settings: Settings | None = None) -> Iterator[Parts]:
    """The parts of commands that need no ledger: the database and the vault.

    By the settings of the environment, where a command has read none.
    """
    chosen = begin(log_level="warning") if settings is None else settings
    database = open_database(database_url(chosen))
    parts = Parts(database, vault=read_vault(chosen), names=NameIndex(database))
    try:
        yield parts
    finally:
        database.close()


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


def yes_to(parts: Parts, digest: str, *, code: str | None, live: bool) -> Word:
    """A yes to what has this digest, as the person whose key ``SAKK_API_KEY`` holds."""
    return Word(acting(parts, livemode=live), StepUp(code=code), digest)


def word_of(
    parts: Parts,
    found: dict[str, Any],
    *,
    code: str | None,
    key: Path | None,
    yes: bool,
    live: bool,
) -> Word:
    """A yes to what an explanation says, after it was shown and, unless ``yes``, asked for."""
    print_explanation(found)
    if not yes:
        typer.confirm("Approve this?", abort=True)
    signature = None if key is None else signed_with(key, found["message"])
    return Word(acting(parts, livemode=live), StepUp(code, signature), found["digest"])


def signed_with(key: Path, message: str) -> str:
    """An approver's signature of a message, in hexadecimal; asks for the key's passphrase."""
    word = typer.prompt("Passphrase", hide_input=True) if is_encrypted(key) else None
    _, signature = sign_approval(key, message.encode(), word)
    return signature


def print_explanation(found: dict[str, Any]) -> None:
    """What will be signed, in words."""
    console.print(found["text"], markup=False)
    if found["warning"] is not None:
        console.print(found["warning"], style="bold red")
    if found["signed"] is not None:
        console.print(f"The signer signed: {found['signed']}", markup=False)
    console.print(f"digest {found['digest']}")
