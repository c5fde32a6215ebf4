"""``sakk persons``: the operator's people. The first two admins are made on the machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from sakk.cli.acting import acting, opened_parts
from sakk.cli.mode import Live
from sakk.cli.open import begin
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.api_key import SHOWN_CHARACTERS
from sakk.core.person import PREFIX, Actor, Person, proposal_digest, public_person
from sakk.core.role import Role
from sakk.flow import invitation as invitations
from sakk.flow import person as flow
from sakk.flow.context import Parts
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.runtime.vault import make_vault
from sakk.runtime.wiring import public_url
from sakk.store import person as store
from sakk.store.identity import new_id

app = typer.Typer(help="The operator's people and their second factors.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(help="per_…")]
Code = Annotated[str | None, typer.Option("--code", help="The one-time code of your device.")]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        help=f"{', '.join(Role)}; repeatable.",
    ),
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The person's name.")],
    email: Annotated[str, typer.Argument(help="The person's e-mail address.")],
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Make one of the first two admins: their key and second factor are shown once.

    Every other person is proposed by one admin and approved by another.
    """
    settings = begin(log_level="warning")
    make_vault(settings)
    with opened_parts(settings) as parts:
        made, token = flow.bootstrap(parts, name=name, email=email, livemode=live)
    if as_json:
        print_json(
            {
                "id": made.person.id,
                "secret_key": token,
                "totp_secret": made.secret,
                "totp_uri": made.uri,
            }
        )
        return
    console.print(f"person         {made.person.id}")
    console.print(f"secret key     {token}")
    console.print(f"second factor  {made.uri}")
    console.print("Put the second factor into an authenticator app, then:")
    console.print(f"sakk persons confirm {made.person.id} --code 123456")


@app.command()
def confirm(
    person: Who,
    code: Annotated[str, typer.Option("--code", help="The first code that the app shows.")],
    live: Live = False,
) -> None:
    """Put a new second factor in force by its first code."""
    with opened_parts() as parts:
        confirmed = flow.confirm(
            parts, person, actor=Actor("machine", person), livemode=live, code=code
        )
    console.print(f"The second factor of {confirmed.name} is in force.")


@app.command()
def invite(person: Who, live: Live = False, as_json: Json = False) -> None:
    """Make one of the first two admins a link, by which they choose how to sign in at the console.

    It works once and is shown this once.
    """
    settings = begin(log_level="warning")
    with opened_parts(settings) as parts:
        token = invitations.invite_from_machine(parts, person, livemode=live)
    link = f"{public_url(settings)}/console/welcome/{token}"
    if as_json:
        print_json({"person": person, "link": link})
        return
    console.print(link, soft_wrap=True)


@app.command()
def token(live: Live = False, as_json: Json = False) -> None:
    """Make a token for yourself: keep it, and give an admin its hash and last four characters."""
    secret, hashed = flow.new_token(livemode=live)
    if as_json:
        print_json({"secret_key": secret, "key_hash": hashed, "key_last4": secret[-4:]})
        return
    console.print(f"secret key  {secret}")
    console.print(f"key_hash    {hashed}")
    console.print(f"key_last4   {secret[-SHOWN_CHARACTERS:]}")


@app.command(name="list")
def show(live: Live = False, as_json: Json = False) -> None:
    """List everybody, suspended ones too."""
    with opened_parts() as parts, parts.database.begin() as connection:
        rows = store.list_persons(connection, livemode=live)
    if as_json:
        print_json([public_person(row) for row in rows])
        return
    print_table(
        ["id", "name", "roles", "state", "second factor", "proposed", "digest"],
        [
            [
                row.id,
                row.name,
                ",".join(row.roles),
                row.state,
                "yes" if row.totp_confirmed else "no",
                "" if row.proposal is None else ",".join(row.proposal["roles"]),
                proposal_digest(row) or "",
            ]
            for row in rows
        ],
    )


@app.command()
def propose(
    name: Annotated[str, typer.Argument(help="The person's name.")],
    email: Annotated[str, typer.Argument(help="The person's e-mail address.")],
    key_hash: Annotated[str, typer.Option(help="From the person's own `sakk persons token`.")],
    key_last4: Annotated[str, typer.Option(help="From the same.")],
    role: Roles = None,
    live: Live = False,
) -> None:
    """Propose a person, as the admin whose key SAKK_API_KEY holds."""
    with _acting(live) as (parts, actor):
        _say(
            flow.propose(
                parts,
                flow.Introduction(name, email, list(role or ()), key_hash, key_last4),
                identifier=new_id(PREFIX),
                actor=actor,
                livemode=live,
            )
        )


@app.command()
def approve(
    person: Who,
    digest: Annotated[str, typer.Argument(help="Of the proposal, as `sakk persons list` has it.")],
    code: Code = None,
    live: Live = False,
) -> None:
    """Approve what another admin proposed for a person."""
    with _acting(live) as (parts, actor):
        word = Word(actor, StepUp(code=code), digest)
        _say(flow.approve(parts, person, word, livemode=live))


@app.command()
def suspend(person: Who, live: Live = False) -> None:
    """End a person's keys at once and for ever."""
    with _acting(live) as (parts, actor):
        _say(flow.suspend(parts, person, actor=actor, livemode=live))


@contextmanager
def _acting(live: bool) -> Iterator[tuple[Parts, Actor]]:
    with opened_parts() as parts:
        yield parts, acting(parts, livemode=live)


def _say(person: Person) -> None:
    console.print(f"{person.id} {person.name} is {person.state}.")
