"""``sakk cases``: what compliance officers work on, and decide by two."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from sakk.cli.acting import acting, opened_parts, yes_to
from sakk.cli.mode import Live
from sakk.cli.open import opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core import attachment as attachments
from sakk.core import case as rules
from sakk.core import ids
from sakk.core import information_request as question_rules
from sakk.core.case import CaseKind, CaseStatus, Outcome, Place, Priority
from sakk.core.errors import ParameterInvalid
from sakk.flow import case_work as flow
from sakk.flow import information_request as questions
from sakk.flow.case_evidence import evidence
from sakk.flow.case_report import Words, configure, draft
from sakk.flow.case_report import file as file_report
from sakk.flow.case_subject import find_matter
from sakk.flow.context import Parts
from sakk.runtime.wiring import rail_cache
from sakk.store import case as store
from sakk.store.identity import new_id, now
from sakk.store.page import PageRequest

app = typer.Typer(
    help="Compliance cases: who works on them, and how they end.", no_args_is_help=True
)

SHOWN_MAX = 100
# What a file is, by how its name ends; anything else is refused.
_TYPES = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".txt": "text/plain",
    ".csv": "text/csv",
    ".json": "application/json",
}

Who = Annotated[str, typer.Argument(help="case_…, or the id of what it is about.")]
Note = Annotated[str | None, typer.Option(help="Why; it stays with the case.")]


@app.command(name="list")
def list_all(
    status: Annotated[CaseStatus | None, typer.Option(help="Only these.")] = None,
    kind: Annotated[CaseKind | None, typer.Option(help="Only these.")] = None,
    priority: Annotated[str | None, typer.Option(help="low, normal, high or urgent.")] = None,
    assignee: Annotated[str | None, typer.Option(help="per_…")] = None,
    subject: Annotated[str | None, typer.Option(help="An id, or an address as CAIP-10.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Past their deadline.")] = False,
    live: Live = False,
    as_json: Json = False,
) -> None:
    """List what is to be worked on, the most urgent and oldest first.

    Closed ones are listed with --status closed, newest first.
    """
    if priority is not None and priority not in Priority.__members__:
        raise ParameterInvalid("A priority is low, normal, high or urgent.", param="priority")
    wanted = store.Wanted(
        status=None if status is None else status.value,
        assignee=assignee,
        kind=None if kind is None else kind.value,
        priority=None if priority is None else Priority[priority].value,
        overdue=overdue or None,
        subject=subject,
    )
    with opened_database() as database, database.begin() as connection:
        if status is CaseStatus.closed:
            page = PageRequest(limit=SHOWN_MAX)
            rows, _ = store.list_cases(connection, wanted, page, livemode=live, now=now())
        else:
            rows, _ = store.list_queue(
                connection, wanted, livemode=live, now=now(), limit=SHOWN_MAX
            )
    if as_json:
        print_json([rules.public(row, now=now()) for row in rows])
        return
    print_table(
        ["case", "priority", "status", "kind", "about", "assignee", "due", "why"],
        [
            [
                row.id,
                Priority(row.priority).name,
                row.status,
                row.kind,
                row.subject,
                row.assignee,
                f"{row.due_at:%Y-%m-%d %H:%M}{' OVERDUE' if rules.is_overdue(row, now()) else ''}",
                row.reason,
            ]
            for row in rows
        ],
    )


@app.command()
def show(case: Who, live: Live = False, as_json: Json = False) -> None:
    """Show a case with its evidence: verdicts, ledger, what happened, what people wrote."""
    with opened_database() as database:
        found = _shown(Parts(database), case, live)
    if as_json:
        print_json(found)
        return
    _print(found)


@app.command()
def assign(
    case: Who,
    to: Annotated[str | None, typer.Option(help="per_…; yourself by default.")] = None,
    was: Annotated[str | None, typer.Option(help="Whose it is now, if it is somebody's.")] = None,
    live: Live = False,
) -> None:
    """Take a case, or give it to somebody."""
    with _opened() as parts:
        actor = acting(parts, livemode=live)
        row = flow.assign(parts, case, actor=actor, livemode=live, assignee=to, was=was)
    console.print(f"{row.id} is {row.assignee}'s.")


@app.command()
def note(case: Who, text: str, live: Live = False) -> None:
    """Write something down of a case, for good."""
    with _opened() as parts:
        actor = acting(parts, livemode=live)
        kept = flow.note(
            parts, case, text, actor=actor, livemode=live, note_id=new_id(rules.NOTE_PREFIX)
        )
    console.print(f"{kept.id} is noted.")


@app.command()
def attach(
    case: Who,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    live: Live = False,
) -> None:
    """Put a file to a case: a PDF, an image, text, CSV or JSON."""
    if file.stat().st_size > attachments.SIZE_BYTES_MAX:
        raise ParameterInvalid(
            f"A file has at most {attachments.SIZE_BYTES_MAX} bytes.", param="file"
        )
    with _opened() as parts:
        kept = flow.attach(
            parts,
            case,
            file.read_bytes(),
            name=file.name,
            media_type=_TYPES.get(file.suffix.lower(), file.suffix or "none"),
            actor=acting(parts, livemode=live),
            livemode=live,
            attachment_id=new_id(attachments.PREFIX),
        )
    console.print(f"{kept.id} is kept, SHA-256 {kept.sha256}.")


@app.command()
def ask(
    case: Who,
    question: str,
    days: Annotated[int, typer.Option(help="Until when it is to be answered.", min=1)] = 7,
    live: Live = False,
) -> None:
    """Ask the account that a case is about; it is told the question, and never why."""
    with _opened() as parts:
        asked = questions.ask(
            parts,
            case,
            question,
            due_at=parts.clock() + timedelta(days=days),
            actor=acting(parts, livemode=live),
            livemode=live,
            request_id=new_id(question_rules.PREFIX),
        )
    console.print(f"{asked.request.id} is asked; an answer is due {asked.request.due_at:%Y-%m-%d}.")


@app.command()
def withdraw(
    question: Annotated[str, typer.Argument(help="irq_…")],
    live: Live = False,
) -> None:
    """Take a question back: no answer is needed any more."""
    with _opened() as parts:
        actor = acting(parts, livemode=live)
        ended = questions.withdraw(parts, question, actor=actor, livemode=live)
    console.print(f"{ended.request.id} is {ended.status.value}.")


@app.command()
def answer(
    question: Annotated[str, typer.Argument(help="irq_…")],
    text: str,
    file: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="Repeatable.")
    ] = None,
    live: Live = False,
) -> None:
    """Write down an answer that came by letter, with its files, as the one who writes it."""
    with _opened() as parts:
        sent = [
            questions.SentFile(
                each.name, attachments.media_type_of(each.name) or "none", each.read_bytes()
            )
            for each in file or ()
        ]
        answered = questions.answer(
            parts,
            question,
            text,
            sent,
            account_id=None,
            livemode=live,
            actor=acting(parts, livemode=live),
            seed=ids.decode(new_id(question_rules.PREFIX))[1],
            by_operator=True,
        )
    console.print(f"{answered.request.id} is {answered.status.value}.")


@app.command()
def release(case: Who, note: Note = None, live: Live = False) -> None:
    """Propose that what is held goes on: a pay-in to its merchant, a payout to the policy."""
    _propose(case, flow.Plan(Outcome.release, note=note), live)


@app.command(name="return")
def return_(
    case: Who,
    to: Annotated[str, typer.Option("--to", help="The address that the coins go back to.")],
    note: Note = None,
    live: Live = False,
) -> None:
    """Propose that held coins go back to an address, from the one that they came to."""
    _propose(case, flow.Plan(Outcome.return_, note=note, destination=to), live)


@app.command()
def seize(
    case: Who,
    vault: Annotated[
        str | None, typer.Option(help="A vault of the treasury; else they stay where they are.")
    ] = None,
    note: Note = None,
    live: Live = False,
) -> None:
    """Propose that held coins are kept for an authority."""
    place = Place.left if vault is None else Place.vault
    _propose(case, flow.Plan(Outcome.seize, note=note, destination=vault, place=place), live)


@app.command()
def reject(case: Who, note: Note = None, live: Live = False) -> None:
    """Propose that a payout under review is not paid out."""
    _propose(case, flow.Plan(Outcome.reject, note=note), live)


@app.command()
def dismiss(case: Who, note: Note = None, live: Live = False) -> None:
    """Propose that nothing is to be done, where nothing is held."""
    _propose(case, flow.Plan(Outcome.dismiss, note=note), live)


@app.command()
def confirm(
    case: Who,
    code: Annotated[str | None, typer.Option(help="The one-time code of your device.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    live: Live = False,
) -> None:
    """Confirm what another person proposed, after it was shown."""
    with _opened() as parts:
        found = _shown(parts, case, live)
        _print(found)
        if found["digest"] is None:
            console.print("Nothing waits to be confirmed.")
            raise typer.Exit(1)
        if not yes:
            typer.confirm(f"Confirm {found['proposal']['outcome']}?", abort=True)
        row = flow.confirm(
            parts, case, yes_to(parts, found["digest"], code=code, live=live), livemode=live
        )
    console.print(f"{row.id} is {row.status}.")


@app.command()
def report(
    case: Who,
    form: Annotated[str, typer.Option("--format", help="goaml alone.")] = "goaml",
    reason: Annotated[str, typer.Option(help="Why it is suspicious.")] = "",
    action: Annotated[str, typer.Option(help="What was done.")] = "",
    indicator: Annotated[
        list[str] | None, typer.Option(help="A code of the authority's; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the XML there; else it is printed.")] = (
        None
    ),
    file: Annotated[
        bool, typer.Option("--file", help="Keep it, and propose that it is filed.")
    ] = False,
    live: Live = False,
) -> None:
    """Make the report to the authority; with --file another person confirms that it is filed."""
    if form != "goaml":
        raise ParameterInvalid("The one format is goaml.", param="format")
    words = Words(reason, action, tuple(indicator or ()))
    with _opened() as parts:
        if file:
            row, kept = file_report(
                parts,
                case,
                words,
                actor=acting(parts, livemode=live),
                livemode=live,
                attachment_id=new_id(attachments.PREFIX),
            )
            console.print(f"{kept.id} is kept, SHA-256 {kept.sha256}.")
            console.print(
                f"{row.id} awaits a second person: sakk cases confirm {row.id} --code 123456"
            )
            return
        with parts.database.begin() as connection:
            xml = draft(connection, case, words, livemode=live, now=parts.clock())
    if out is None:
        typer.echo(xml.decode(), nl=False)
        return
    out.write_bytes(xml)
    console.print(f"{out} holds a draft: nothing is kept or filed.")


@app.command()
def entity(
    file: Annotated[
        Path | None, typer.Argument(exists=True, dir_okay=False, help="JSON; shown without it.")
    ] = None,
    live: Live = False,
) -> None:
    """Say who reports to its authority, or show who does."""
    if file is None:
        with opened_database() as database, database.begin() as connection:
            found = store.find_settings(connection, livemode=live)
        print_json(rules.public_settings(found, livemode=live))
        return
    try:
        document = json.loads(file.read_text())
    except ValueError as error:
        raise ParameterInvalid(f"{file} is no JSON: {error}", param="reporting_entity") from None
    if not isinstance(document, dict):
        raise ParameterInvalid(f"{file} is no JSON object.", param="reporting_entity")
    with _opened() as parts:
        configure(parts, document, actor=acting(parts, livemode=live), livemode=live)
    console.print("Reports are made in its name from now on.")


@app.command()
def decline(case: Who, reason: Note = None, live: Live = False) -> None:
    """Refuse what was proposed, or take it back."""
    with _opened() as parts:
        actor = acting(parts, livemode=live)
        row = flow.decline(parts, case, actor=actor, livemode=live, reason=reason)
    console.print(f"{row.id} is {row.status}.")


@app.command()
def reopen(case: Who, reason: str, live: Live = False) -> None:
    """Open a closed case again, for what was found since."""
    with _opened() as parts:
        actor = acting(parts, livemode=live)
        row = flow.reopen(parts, case, actor=actor, livemode=live, reason=reason)
    console.print(f"{row.id} is {row.status}.")


@contextmanager
def _opened() -> Iterator[Parts]:
    with opened_parts() as parts:
        yield replace(parts, rail=rail_cache())


def _propose(case: str, plan: flow.Plan, live: bool) -> None:
    with _opened() as parts:
        row, _ = flow.propose(parts, case, plan, actor=acting(parts, livemode=live), livemode=live)
    console.print(f"{row.id} awaits a second person: sakk cases confirm {row.id} --code 123456")


def _shown(parts: Parts, case: str, live: bool) -> dict[str, Any]:
    with parts.database.begin() as connection:
        return evidence(connection, find_matter(connection, case, livemode=live), now=now())


def _print(found: dict[str, Any]) -> None:
    due = datetime.fromtimestamp(found["due_at"], UTC)
    console.print(
        f"{found['id']} ({found['kind']} {found['subject']}) is {found['status']},"
        f" {found['priority']}, due {due:%Y-%m-%d %H:%M}{' OVERDUE' if found['overdue'] else ''}",
        markup=False,
    )
    console.print(f"why: {found['reason']}", markup=False)
    console.print(f"may end by: {', '.join(found['outcomes'])}")
    for each in found["screenings"]:
        console.print(f"{each['id']} {each['verdict']}: {each['sender']} → {each['receiver']}")
        for reason in each["reasons"]:
            path = " → ".join(reason["path"])
            console.print(
                f"  {reason['rule']}: {reason['category']} by {reason['list']} at version"
                f" {reason['version']}, {path}",
                markup=False,
            )
    for line in found["ledger"]:
        console.print(f"{line['why']}: {line['units']} from {line['debit']} to {line['credit']}")
    for event in found["timeline"]:
        at = datetime.fromtimestamp(event["created"], UTC)
        console.print(f"{at:%Y-%m-%d %H:%M:%S} {event['type']}")
    for written in found["notes"]:
        console.print(f"{written['author']}: {written['text']}", markup=False)
    for asked in found["information_requests"]:
        due = datetime.fromtimestamp(asked["due_at"], UTC)
        console.print(
            f"{asked['id']} {asked['status']}, due {due:%Y-%m-%d}: {asked['question']}",
            markup=False,
        )
        if asked["answer"] is not None:
            told = asked["answer"]
            console.print(f"{told['by']} answers: {told['text']}", markup=False)
    for kept in found["attachments"]:
        console.print(f"{kept['id']} {kept['name']} {kept['sha256']}", markup=False)
    if found["related"]:
        console.print(f"related: {', '.join(found['related'])}")
    if found["proposal"] is not None:
        proposed = found["proposal"]
        where = f" to {proposed['destination']}" if proposed["destination"] else ""
        console.print(f"{proposed['by']} proposes {proposed['outcome']}{where}", markup=False)
        if found["digest"] is not None:
            console.print(f"digest {found['digest']}")
