"""``sakk audit``: prove the audit log, show it, and hand it to an auditor."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.client import audit as offline
from sakk.core.audit import Head, head_document, head_of, moment
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.flow import audit as flow
from sakk.flow import audit_replay as again
from sakk.flow.context import Parts
from sakk.screening.engine import Engine
from sakk.store import audit as store

app = typer.Typer(help="The audit log of decisions and acts.", no_args_is_help=True)

SHOWN_MAX = 1_000

Anchors = Annotated[
    Path | None,
    typer.Option(exists=True, help="A file of heads, or a folder of such files, to compare with."),
]


@app.command()
def verify(
    file: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="An export; the database by default."),
    ] = None,
    anchors: Anchors = None,
    head: Annotated[
        str | None, typer.Option(help="The hash of the last block, as known from elsewhere.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove that nothing was altered, removed, inserted or reordered; exit 1 names what was.

    A database is proved with all tables that are audited. A file is proved without any database.
    """
    if file is None:
        _verify_database(anchors, head, as_json=as_json)
        return
    try:
        report = offline.check(file, anchors=anchors, head=head)
    except offline.AuditExportError as error:
        raise ParameterInvalid(f"{error}.", param="file") from None
    said = {
        "ok": not report.breaks,
        "head": {"number": report.head[0], "hash": report.head[1], "sealed_at": report.sealed_at},
        "blocks": report.blocks,
        "entries": report.entries,
        "withheld": report.withheld,
        "anchors": report.anchors,
        "breaks": report.breaks,
    }
    _say(said, offline.summary(report), as_json=as_json)


def _verify_database(anchors: Path | None, head: str | None, *, as_json: bool) -> None:
    terminal = Console(stderr=True)
    with opened_database() as database:
        if terminal.is_terminal and not as_json:
            with terminal.status("") as status:
                proof = flow.verify(database, say=status.update)
        else:
            proof = flow.verify(database)
        with database.begin() as connection:
            known = store.hashes(connection)
    breaks = [f"{each.where}: {each.what}" for each in proof.breaks]
    compared = 0
    if anchors is not None:
        try:
            for anchor in offline.read_anchors(anchors):
                compared += 1
                breaks += flow.unlike_anchor(anchor, known)
        except offline.AuditExportError as error:
            raise ParameterInvalid(f"{error}.", param="anchors") from None
    if head is not None and (proof.head is None or proof.head.hash.hex() != head):
        breaks.append(f"the log does not end with {head}")
    said = {
        "ok": not breaks,
        "head": None if proof.head is None else head_document(proof.head),
        "blocks": proof.blocks,
        "entries": proof.entries,
        "anchors": compared,
        "waiting": proof.waiting,
        "waiting_since": None if proof.waiting_since is None else moment(proof.waiting_since),
        "breaks": breaks,
    }
    ends = "nothing is sealed yet" if proof.head is None else _words(proof.head)
    text = f"{proof.blocks} blocks, {proof.entries} entries, {compared} anchors; {ends}"
    if proof.waiting:
        text += f"; {proof.waiting} entries wait to be sealed"
    _say(said, text, as_json=as_json)


def _say(said: dict[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(said)
    else:
        for each in said["breaks"]:
            console.print(f"NO: {each}", markup=False)
        console.print(f"{'YES' if said['ok'] else 'NO'}: {text}", markup=False)
    if not said["ok"]:
        raise typer.Exit(1)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where to; never over a file.")],
    subject: Annotated[
        str | None,
        typer.Option(help="Show only what is about it; of the rest the hash proves the whole."),
    ] = None,
    from_block: Annotated[int, typer.Option(min=1, help="Begin with this block.")] = 1,
) -> None:
    """Write the log to a file that anybody can verify, offline and without Sakk."""
    with opened_database() as database:
        with flow.frozen(database) as connection, file.open("x", encoding="ascii") as out:
            for line in flow.export(connection, subject=subject, since=from_block):
                out.write(line + "\n")
            last = store.last_block(connection)
        assert last is not None
        flow.note_export(database, name=file.name, subject=subject, head=last.number)
    console.print(
        f"{file}: to block {last.number}. Give the auditor the verifier with it"
        " (sakk/client/audit.py needs Python alone), and the anchors from where they are kept."
    )


@app.command()
def show(
    subject: Annotated[str, typer.Option(help="An id: po_…, pin_…, case_…, per_…, or a key.")],
    as_json: Json = False,
) -> None:
    """Show what was decided and done about a subject, by whom, oldest first."""
    with opened_database() as database, database.begin() as connection:
        found = store.about(connection, subject, limit=SHOWN_MAX)
    rows = [{"block": each.block, **json.loads(each.body)} for each in found]
    if as_json:
        print_json(rows)
        return
    print_table(
        ["entry", "block", "at", "who", "request", "what", "which", "change"],
        [
            [each["seq"], each["block"], each["at"], each["actor"], each["request"],
             f"{each['source']} {each['act']}", each["key"], _change(each)]
            for each in rows
        ],
    )  # fmt: skip
    if len(rows) == SHOWN_MAX:
        console.print(f"The first {SHOWN_MAX}; `sakk audit export --subject` has all.")


def _change(row: dict[str, Any]) -> str:
    """What an update changed; of a row that came or went the id says enough."""
    if row["act"] != "update":
        return ""
    before = row["before"] or {}
    return ", ".join(
        f"{name}: {json.dumps(before.get(name))} → {json.dumps(value)}"
        for name, value in sorted((row["after"] or {}).items())
    )


@app.command()
def heads(
    limit: Annotated[int, typer.Option(min=1, max=SHOWN_MAX, help="How many.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the newest blocks: what an anchor is compared with."""
    with opened_database() as database, database.begin() as connection:
        blocks = store.list_blocks(connection, limit=limit)
    documents = [head_document(head_of(each)) for each in blocks]
    if as_json:
        print_json(documents)
        return
    print_table(
        ["block", "entries", "sealed", "hash"],
        [[each["number"], each["entries"], each["sealed_at"], each["hash"]] for each in documents],
    )


@app.command()
def replay(
    subject: Annotated[
        str | None, typer.Argument(help="pin_…, po_… or scr_…; every screening by default.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Decided since then (UTC).")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="So many, taken at random.")] = None,
    as_json: Json = False,
) -> None:
    """Decide old screenings again, bit for bit; exit 1 names the first differences.

    Each from its stored inputs, under its own versions of the lists and of the rules.
    """
    with opened_database() as database:
        parts = Parts(database, screening=Engine(database))
        moment_since = None if since is None else since.replace(tzinfo=UTC)
        screenings = again.chosen(parts, subject=subject, since=moment_since, sample=sample)
        result = again.replay(parts, screenings)
    if subject is not None and not result.replayed:
        raise ResourceMissing(f"There is no screening of {subject!r}.", param="subject")
    if as_json:
        print_json(
            {
                "ok": not result.differences,
                "replayed": result.replayed,
                "differences": [asdict(each) for each in result.differences],
            }
        )
    else:
        for each in result.differences:
            console.print(f"NO: {each.screening} of {each.subject}: {each.what}", markup=False)
        verdict = "NO" if result.differences else "YES"
        console.print(f"{verdict}: {result.replayed} screenings decided again")
    if result.differences:
        raise typer.Exit(1)


def _words(head: Head) -> str:
    return f"head {head.number} {head.hash.hex()}, sealed {moment(head.sealed_at)}"
