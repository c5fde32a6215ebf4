"""``sakk parties``: who accounts and their customers are, and what due diligence says of them."""

import json
import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from sakk.cli.acting import acting, opened_parts
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import party as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.ownership import WHOLE_PPM, Relation
from sakk.core.party import HitState, PartyRole, PartyStatus, Rating
from sakk.core.person import Actor
from sakk.core.profile import DocumentKind, PartyKind
from sakk.flow import due_diligence
from sakk.flow import party as flow
from sakk.flow.context import Parts
from sakk.flow.party import Whose
from sakk.flow.step_up import StepUp
from sakk.store import party as store
from sakk.store.identity import new_id, now
from sakk.store.page import LIMIT_MAX, PageRequest

app = typer.Typer(
    help="Due diligence on accounts, customers and owners (KYB, KYC).", no_args_is_help=True
)

# Who has the machine writes parties down; deciding on one takes a person's key.
MACHINE = Actor("machine")

Which = Annotated[str, typer.Argument(help="pty_…")]
Code = Annotated[str | None, typer.Option(help="The one-time code of your device.")]
Note = Annotated[str, typer.Option(help="Why.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file.")]


@app.command("list")
def list_parties(
    status: Annotated[PartyStatus | None, typer.Option(help="Only of this status.")] = None,
    account: Annotated[str | None, typer.Option(help="acct_…: only of this account.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List parties, newest first (at most 100)."""
    filters = [] if status is None else [store.parties.c.status == status.value]
    with opened_database() as database, database.begin() as connection:
        rows, _ = store.list_parties(
            connection,
            PageRequest(limit=LIMIT_MAX),
            livemode=live,
            account_id=account,
            filters=filters,
        )
    if as_json:
        print_json([rules.public_party(row, to_operator=True) for row in rows])
        return
    print_table(
        ["id", "kind", "name", "status", "rating", "open hits", "review"],
        [
            [
                row.id,
                row.kind,
                row.name,
                row.status,
                row.rating,
                row.open_hits,
                None if row.review_at is None else f"{row.review_at:%Y-%m-%d}",
            ]
            for row in rows
        ],
    )


@app.command()
def show(party: Which, live: Live = False, as_json: Json = False) -> None:
    """Show a party with its owners, links, documents and hits, and the digest to approve."""
    with opened_database() as database, database.begin() as connection:
        row = flow.find(connection, _whose(MACHINE, live), party)
        owned = flow.ownership(connection, row)
        links = store.links_of_account(connection, row.account_id, livemode=live)
        shown = rules.public_party(row, to_operator=True) | {
            "digest": flow.digest_of(connection, row),
            "links": [rules.public_link(each) for each in links if each.of_party == row.id],
            "documents": [
                rules.public_document(each) for each in store.documents_of(connection, row.id)
            ],
            "hits": [rules.public_hit(each) for each in store.hits_of(connection, row.id)],
            "owners": [
                {"party": each.party, "share_ppm": each.share_ppm, "controls": each.controls}
                for each in owned.owners
            ],
            "unattributed_ppm": owned.unattributed_ppm,
        }
    if as_json:
        print_json(shown)
    else:
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))


@app.command()
def create(
    kind: Annotated[PartyKind, typer.Argument(help="What it is.")],
    file: File,
    account: Annotated[str, typer.Option(help="acct_…: whose party.")],
    role: Annotated[
        PartyRole | None, typer.Option(help="account: the account itself. Else who is related.")
    ] = None,
    customer: Annotated[str | None, typer.Option(help="cus_…: the customer that it is.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Write a party down; FILE holds its details as JSON."""
    with opened_database() as database, database.begin() as connection:
        row = flow.create(
            connection,
            _whose(MACHINE, live),
            identifier=new_id(rules.PREFIX),
            account_id=account,
            kind=kind.value,
            details=_read(file),
            role=None if role is None else role.value,
            customer_id=customer,
            metadata=None,
            now=now(),
        )
    _say(row, as_json)


@app.command()
def update(party: Which, file: File, live: Live = False, as_json: Json = False) -> None:
    """Change what is known of a party; FILE holds all of it as JSON."""
    with opened_database() as database, database.begin() as connection:
        whose = _whose(MACHINE, live)
        changes = {"details": _read(file)}
        row = flow.update(connection, whose, party, changes=changes, now=now())
    _say(row, as_json)


@app.command()
def link(
    of_party: Which,
    party: Annotated[str, typer.Argument(help="pty_…: who is this to it.")],
    relation: Annotated[Relation, typer.Argument(help="What.")],
    share_ppm: Annotated[
        int, typer.Option(min=0, max=WHOLE_PPM, help="An owner's share; 25 % is 250000.")
    ] = 0,
    title: Annotated[str | None, typer.Option(help="As the register calls it.")] = None,
    live: Live = False,
) -> None:
    """Say who owns, controls or directs a legal entity, or signs for it."""
    with opened_database() as database, database.begin() as connection:
        made = flow.add_link(
            connection,
            _whose(MACHINE, live),
            of_party,
            identifier=new_id(rules.LINK_PREFIX),
            party_id=party,
            relation=relation,
            share_ppm=share_ppm,
            title=title,
            now=now(),
        )
    console.print(made.id)


@app.command()
def unlink(
    of_party: Which,
    link: Annotated[str, typer.Argument(help="plnk_…")],
    live: Live = False,
) -> None:
    """Say that somebody is this to a party no longer."""
    with opened_database() as database, database.begin() as connection:
        flow.remove_link(connection, _whose(MACHINE, live), of_party, link, now=now())
    console.print(f"{link} is removed.")


@app.command()
def document(
    party: Which,
    kind: Annotated[DocumentKind, typer.Argument(help="What it shows.")],
    file: File,
    country: Annotated[str | None, typer.Option(help="Who issued it, by ISO 3166-1.")] = None,
    issued_on: Annotated[str | None, typer.Option(help="YYYY-MM-DD")] = None,
    expires_on: Annotated[str | None, typer.Option(help="YYYY-MM-DD")] = None,
    live: Live = False,
) -> None:
    """Keep a document (PDF, JPEG or PNG), sealed at rest."""
    with opened_parts() as parts, parts.database.begin() as connection:
        made = flow.add_document(
            parts,
            connection,
            _whose(MACHINE, live),
            party,
            document_id=new_id(rules.DOCUMENT_PREFIX),
            content=file.read_bytes(),
            described={
                "kind": kind.value,
                "name": file.name,
                "media_type": mimetypes.guess_type(file.name)[0] or "",
                "country": country,
                "issued_on": issued_on,
                "expires_on": expires_on,
            },
            now=parts.clock(),
        )
    console.print(f"{made.id} {made.sha256}")


@app.command()
def submit(party: Which, live: Live = False, as_json: Json = False) -> None:
    """Hand a party in to be decided on; what is missing is named."""
    with opened_database() as database, database.begin() as connection:
        row = flow.submit(connection, _whose(MACHINE, live), party, now=now())
    _say(row, as_json)


@app.command()
def approve(
    party: Which,
    digest: Annotated[str, typer.Option(help="Of what you read, as `show` prints it.")],
    note: Note,
    code: Code = None,
    live: Live = False,
) -> None:
    """Say yes to a party, as the person whose key SAKK_API_KEY holds; high risk takes two."""
    with _acting(live) as (parts, whose):
        row = due_diligence.approve(
            parts, whose, party, digest=digest, note=note, step_up=StepUp(code=code)
        )
    waits = "" if row.status == PartyStatus.approved else " Another person has to say yes too."
    console.print(f"{row.id} is {row.status}.{waits}")


@app.command()
def reject(party: Which, reason: Note, live: Live = False) -> None:
    """Do not accept a party that was submitted."""
    _refuse(party, "reject", reason, live)


@app.command()
def suspend(party: Which, reason: Note, live: Live = False) -> None:
    """Take an approval back; only two persons give it again."""
    _refuse(party, "suspend", reason, live)


@app.command()
def rate(
    party: Which,
    rating: Annotated[Rating, typer.Argument(help="How much risk there is.")],
    note: Note,
    live: Live = False,
) -> None:
    """Say how much risk there is: who approves and the next review follow from it."""
    with _acting(live) as (parts, whose):
        row = due_diligence.rate(parts, whose, party, rating=rating.value, note=note)
    console.print(f"{row.id} is of {row.rating} risk.")


@app.command("hit")
def decide_hit(
    party: Which,
    hit: Annotated[str, typer.Argument(help="phit_…")],
    state: Annotated[HitState, typer.Argument(help="false_positive or true_match.")],
    note: Note,
    code: Code = None,
    live: Live = False,
) -> None:
    """Say what a likeness with a list's entry is; a true match suspends an approved party."""
    if state is HitState.open:
        raise ParameterInvalid("Say false_positive or true_match.", param="state")
    with _acting(live) as (parts, whose):
        made = due_diligence.decide_hit(
            parts, whose, party, hit, state=state, note=note, step_up=StepUp(code=code)
        )
    console.print(f"{made.id} is a {made.state}.")


def _refuse(party: str, act: str, reason: str, live: bool) -> None:
    with _acting(live) as (parts, whose):
        row = due_diligence.refuse(parts, whose, party, act=act, reason=reason)
    console.print(f"{row.id} is {row.status}.")


@contextmanager
def _acting(live: bool) -> Iterator[tuple[Parts, Whose]]:
    with opened_parts() as parts:
        yield parts, _whose(acting(parts, livemode=live), live)


def _whose(actor: Actor, live: bool) -> Whose:
    return Whose(account_id=None, livemode=live, actor=actor)


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise ParameterInvalid(f"{file} is not JSON: {error}.", param="file") from None


def _say(row: rules.Party, as_json: bool) -> None:
    if as_json:
        print_json(rules.public_party(row, to_operator=True))
    else:
        console.print(f"{row.id} is {row.status}, revision {row.revision}.")
