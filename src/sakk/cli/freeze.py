"""``sakk freeze`` and ``sakk unfreeze``: stop what goes out, and let it go on.

Both halves are tried, each for itself: the database's row stops the stages of every process, the
signer's own entry the keys. What was not reached is said, and is the exit code.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from sakk.cli.open import begin
from sakk.cli.out import Json, console, print_json
from sakk.core.errors import Misconfigured, ParameterInvalid, SakkError
from sakk.core.freeze import PREFIX, Freeze, FreezeOrigin, check_reason, message_of, public
from sakk.flow import freeze as flow
from sakk.flow.freeze import FreezeOrder
from sakk.runtime.place import database_url, signer_socket
from sakk.runtime.settings import Settings
from sakk.signing.approver import is_encrypted, sign_approval
from sakk.signing.client import SignerClient
from sakk.signing.freeze import request_freeze, request_unfreeze
from sakk.signing.protocol import FreezeRequest, SignerUnavailable
from sakk.signing.server import signer_files
from sakk.store import freeze as store
from sakk.store.database import open_database
from sakk.store.identity import new_id, now

# One half was not reached; the other did what was asked.
EXIT_HALF = 3

Reason = Annotated[str, typer.Argument(help="Written in the signer's log and the events.")]
Scope = typer.Option(help="Stop this alone; several options narrow it further.")


def freeze(
    reason: Reason = "no reason given",
    network: Annotated[str | None, Scope] = None,
    asset: Annotated[str | None, Scope] = None,
    account: Annotated[str | None, Scope] = None,
    hold_rebroadcasts: Annotated[
        bool, typer.Option(help="Hold back too what a node was given before.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Only say what is frozen.")] = False,
    as_json: Json = False,
) -> None:
    """Stop signing and sending at once, everywhere; pay-ins go on."""
    settings = begin(log_level="warning")
    if show:
        _show(settings, as_json=as_json)
        return
    order = FreezeOrder(
        reason=check_reason(reason),
        network=network,
        asset=asset,
        account_id=account,
        holds_rebroadcasts=hold_rebroadcasts,
    )
    identifier = new_id(PREFIX)
    said = {}
    if account is None:
        said["signer"] = _half(lambda: _freeze_signer(settings, order, identifier))
    said["database"] = _half(lambda: _freeze_database(settings, order, identifier))
    if account is not None:
        said["signer"] = "knows no accounts: it goes on, the stages stop"
    _report(identifier, said, as_json=as_json)


def unfreeze(
    reason: Annotated[str, typer.Argument(help="Written in the signer's log and the events.")],
    only: Annotated[
        str | None, typer.Option("--freeze", help="End this one (frz_…), not all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    sign: Annotated[
        Path | None,
        typer.Option(exists=True, help="Lift nothing: sign it with this approver's key, for HTTP."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let signing and sending go on; works only where the signer's files are.

    With --sign it prints an approver's signature of the lift of one freeze, for the reason that is
    given: what `POST /v1/freezes/{freeze}/lift` and its confirmation take.
    """
    settings = begin(log_level="warning")
    kept = check_reason(reason)
    if sign is not None:
        _sign(settings, kept, only, sign, as_json=as_json)
        return
    if not yes:
        _show(settings, as_json=False)
        typer.confirm("What waits is signed and sent now. Lift it?", abort=True)
    # The signer first: a lift that is half done leaves the stages stopped.
    said = {
        "signer": _half(lambda: _unfreeze_signer(settings, kept, only)),
        "database": _half(lambda: _lift_database(settings, kept, only)),
    }
    _report(only, said, as_json=as_json)


def _sign(settings: Settings, reason: str, only: str | None, key: Path, *, as_json: bool) -> None:
    """What this approver signs of a freeze's lift; nothing is sent."""
    database = open_database(database_url(settings))
    try:
        with database.begin() as connection:
            row = None if only is None else store.find(connection, only)
    finally:
        database.close()
    if row is None:
        raise ParameterInvalid("Say which freeze: --freeze frz_…", param="freeze")
    word = typer.prompt("Passphrase", hide_input=True) if is_encrypted(key) else None
    message = message_of(row, reason)
    public_key, signature = sign_approval(key, message, word)
    if as_json:
        print_json({"freeze": row.id, "public_key": public_key, "signature": signature})
        return
    console.print(message.decode())
    console.print(f"signature   {signature}")


def _half(act: Callable[[], str]) -> str:
    try:
        return act()
    except ParameterInvalid:
        raise
    except (SakkError, SQLAlchemyError, OSError) as error:
        words = error.message if isinstance(error, SakkError) else str(error).splitlines()[0]
        return f"NOT REACHED: {words}"


def _report(identifier: str | None, said: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        print_json({"id": identifier, **said})
    else:
        for half, words in said.items():
            console.print(f"{half:<10}{words}")
    if any(words.startswith("NOT REACHED") for words in said.values()):
        raise typer.Exit(EXIT_HALF if len(set(map(_reached, said.values()))) == 2 else 1)


def _reached(words: str) -> bool:
    return not words.startswith("NOT REACHED")


def _freeze_signer(settings: Settings, order: FreezeOrder, identifier: str) -> str:
    """By its socket; a signer that does not answer finds a file at its next start."""
    request = FreezeRequest(
        reason=order.reason, freeze=identifier, network=order.network, asset=order.asset
    )
    try:
        with SignerClient(signer_socket(settings)) as client:
            client.freeze(request)
    except (SignerUnavailable, Misconfigured):
        request_freeze(signer_files(settings.data_dir).directory, request)
        return "does not answer: frozen at its next start, by a file in its folder"
    return "frozen"


def _freeze_database(settings: Settings, order: FreezeOrder, identifier: str) -> str:
    database = open_database(database_url(settings))
    try:
        with database.begin() as connection:
            row = flow.freeze(
                connection, order, identifier=identifier, origin=FreezeOrigin.cli, now=now()
            )
    finally:
        database.close()
    return f"frozen: {row.scope}, as {row.id}; `sakk unfreeze REASON` ends it"


def _unfreeze_signer(settings: Settings, reason: str, only: str | None) -> str:
    request_unfreeze(signer_files(settings.data_dir).directory, reason, freeze=only)
    try:
        with SignerClient(signer_socket(settings)) as client:
            status = client.status()
    except (SignerUnavailable, Misconfigured):
        return "does not answer: unfrozen at its next start"
    return "unfrozen" if not status.frozen else f"still frozen: {status.frozen_reason}"


def _lift_database(settings: Settings, reason: str, only: str | None) -> str:
    database = open_database(database_url(settings))
    try:
        with database.begin() as connection:
            lifted = flow.lift(connection, only, reason=reason, now=now())
    finally:
        database.close()
    return f"lifted: {', '.join(each.id for each in lifted)}" if lifted else "was not frozen"


def _show(settings: Settings, *, as_json: bool) -> None:
    rows: list[Freeze] = []

    def from_database() -> str:
        database = open_database(database_url(settings))
        try:
            with database.begin() as connection:
                rows.extend(store.list_in_force(connection))
        finally:
            database.close()
        return f"{len(rows)} in force"

    def from_signer() -> str:
        with SignerClient(signer_socket(settings)) as client:
            status = client.status()
        return f"frozen: {status.frozen_reason}" if status.frozen else "not frozen"

    said = {"database": _half(from_database), "signer": _half(from_signer)}
    if as_json:
        print_json({**said, "freezes": [public(row, livemode=True) for row in rows]})
        return
    for half, words in said.items():
        console.print(f"{half:<10}{words}")
    for row in rows:
        console.print(f"{row.id}  {row.scope}: {row.reason}")
