"""``sakk screen-name`` and ``sakk lists names``: who stands on a list, and who a name may be."""

from typing import Annotated, Any

import typer

from sakk.cli.acting import acting, opened_parts
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.errors import ResourceMissing
from sakk.core.name_screening import HITS_MAX, NameHit, public_exemption, public_hit, read_query
from sakk.flow import name as flow
from sakk.screening.name import LIMIT, NameIndex
from sakk.store.entity import content_document, versions_of
from sakk.store.name import list_exemptions
from sakk.store.page import PageRequest

app = typer.Typer(help="Entries of lists of names, and exemptions.", no_args_is_help=True)


def screen_name(
    name: Annotated[str, typer.Argument(help="A person's, firm's or ship's name, in any script.")],
    kind: Annotated[
        str | None, typer.Option(help="person, organization, vessel or aircraft.")
    ] = None,
    birth: Annotated[str | None, typer.Option(help="Date, month or year of birth.")] = None,
    country: Annotated[list[str] | None, typer.Option(help="Two letters; may be repeated.")] = None,
    score_min: Annotated[int, typer.Option(help="Hits from this score on, of 1,000.")] = 500,
    limit: Annotated[int, typer.Option(min=1, max=HITS_MAX)] = LIMIT,
    as_json: Json = False,
) -> None:
    """Look a name up in the lists; nothing is recorded."""
    query = read_query(name, kind=kind, birth=birth, countries=country or ())
    with opened_database() as database:
        version, hits = NameIndex(database).screen(query, limit=limit, score_min=score_min)
    if as_json:
        print_json({"lists_version": version, "hits": [public_hit(hit) for hit in hits]})
        return
    print_table(
        ["score", "list", "entry", "name", "matched", "why"],
        [[hit.score, hit.list_name, hit.ref, hit.name, hit.matched, _why(hit)] for hit in hits],
    )
    console.print(f"{len(hits)} hits at lists version {version}")


def _why(hit: NameHit) -> str:
    words = [f"{pair.query}={pair.listed} {pair.likeness}" for pair in hit.pairs]
    words += [f"without {word}" for word in (*hit.query_left, *hit.listed_left)]
    words += [f"{each.what} {each.points:+}" for each in hit.evidence]
    return "; ".join(words)


@app.command()
def show(
    entity: Annotated[str, typer.Argument(help="ent_…, as a hit names it.")],
    as_json: Json = False,
) -> None:
    """Show all that a list ever said of an entity, version by version."""
    with opened_database() as database, database.begin() as connection:
        rows = versions_of(connection, entity)
    if not rows:
        raise ResourceMissing(f"No such entity: {entity!r}", param="entity")
    documents: list[dict[str, Any]] = [
        {
            "entity": row.entity_id,
            "ref": row.ref,
            "kind": row.kind,
            "name": row.name,
            "opened_version": row.opened_version,
            "closed_version": row.closed_version,
            "recorded_from": row.recorded_from.isoformat(),
            "recorded_to": None if row.recorded_to is None else row.recorded_to.isoformat(),
            **content_document(row.content),
        }
        for row in rows
    ]
    if as_json:
        print_json(documents)
        return
    for document in documents:
        print_table(["field", "value"], [[key, str(value)] for key, value in document.items()])


@app.command()
def exempt(
    subject: Annotated[str, typer.Argument(help="What was screened, as the screening names it.")],
    entity: Annotated[str, typer.Argument(help="ent_…, as the hit names it.")],
    reason: Annotated[str, typer.Option(help="Why it is somebody else.")],
    live: Live = False,
) -> None:
    """Say that a subject is not an entity, until the list changes what it says of it."""
    with opened_parts() as parts:
        row = flow.exempt(
            parts,
            subject=subject,
            entity_id=entity,
            reason=reason,
            actor=acting(parts, livemode=live),
            livemode=live,
        )
    console.print(f"{row.id}: {subject} is not {entity}, as of lists version {row.entity_version}.")


@app.command()
def unexempt(
    exemption: Annotated[str, typer.Argument(help="nex_….")],
    reason: Annotated[str | None, typer.Option(help="Why; it stands beside it.")] = None,
    live: Live = False,
) -> None:
    """Take an exemption back."""
    with opened_parts() as parts:
        flow.end_exemption(
            parts, exemption, reason=reason, actor=acting(parts, livemode=live), livemode=live
        )
    console.print(f"{exemption} has ended: the hit counts again.")


@app.command()
def exemptions(
    subject: Annotated[str | None, typer.Option(help="Of one subject alone.")] = None,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """Show the newest exemptions: who granted each, why, and what ended it."""
    with opened_database() as database, database.begin() as connection:
        rows, _ = list_exemptions(
            connection, PageRequest(limit=100), livemode=live, subject=subject
        )
    documents = [public_exemption(row) for row in rows]
    if as_json:
        print_json(documents)
        return
    print_table(
        ["id", "subject", "entity", "reason", "by", "ended"],
        [
            [
                each["id"],
                each["subject"],
                each["entity"],
                each["reason"],
                each["created_by"],
                each["ended_by"] or "",
            ]
            for each in documents
        ],
    )
