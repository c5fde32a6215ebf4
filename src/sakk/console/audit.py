"""The audit log: who did what, with what was before and after, and whether it is sealed."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Visit
from sakk.core.errors import UnexpectedState
from sakk.flow import audit as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import audit as store
from sakk.store import person as persons
from sakk.store.audited import AUDITED

PATH: Final = f"{ROOT}/audit"
PAGE_ENTRIES: Final = 50
EXPORT_BYTES_MAX: Final = 32 << 20
# So many entries are proved while a person waits for the page.
VERIFIED_ENTRIES_MAX: Final = 100_000
ACTS: Final = {
    "insert": mark("Made"),
    "update": mark("Changed"),
    "delete": mark("Removed"),
    "other": mark("Done or decided"),
}


class AuditQuery(Form):
    """``about``: an id, of what was done or to whom; ``by``: a person by name, e-mail or id, a key
    or a process; ``object``: a table; ``act``: what happened to it.
    """

    about: Annotated[str, Field(max_length=255)] | None = None
    by: Annotated[str, Field(max_length=255)] | None = None
    object: Annotated[str, Field(max_length=64)] | None = None
    act: Literal["insert", "update", "delete", "other"] | None = None
    before: Annotated[int, Field(ge=1)] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as it is shown: its columns that changed, each with what was before and after."""

    seq: int
    block: int
    said: dict[str, Any]
    changes: list[tuple[str, str, str]]


def show(visit: Visit, query: AuditQuery) -> Page:
    """The newest entries, those about something, or somebody's."""
    with visit.database.read() as connection:
        found = store.search(
            connection,
            about=query.about,
            by=[] if query.by is None else _actors(connection, visit, query.by),
            source=query.object,
            act=query.act,
            before=query.before,
            limit=PAGE_ENTRIES,
        )
        waiting, _ = store.oldest_waiting(connection)
        last = store.last_block(connection)
        lines = [_line(each) for each in found]
        ids = sorted({each for line in lines for each in _people(line)})
        names = persons.names(connection, ids)
    gettext = visit.words.gettext
    given = query.model_dump(exclude_none=True, exclude={"before"})
    seq = lines[-1].seq if len(lines) == PAGE_ENTRIES else None
    values = {
        "lines": lines,
        "names": names,
        "about": query.about or "",
        "by": query.by or "",
        "object": query.object or "",
        "act": query.act or "",
        "acts": ACTS,
        "older": None if seq is None else f"{PATH}?{urlencode({**given, 'before': seq})}",
        "choices": {
            "object": [("", gettext("All")), *((each, each) for each in sorted(AUDITED))],
            "act": [("", gettext("All")), *((each, gettext(text)) for each, text in ACTS.items())],
        },
        "waiting": waiting,
        "head": last,
    }
    return Page("console/audit.html", values)


def _actors(connection: Connection, visit: Visit, by: str) -> list[str]:
    """Whom somebody means: the people of that name or e-mail, or what has that very name."""
    wanted = by.casefold()
    people = persons.list_persons(connection, livemode=visit.livemode)
    found = [
        each.id
        for each in people
        if wanted in (each.name.casefold(), (each.email or "").casefold())
    ]
    return [by, *found]


def _people(line: "Line") -> list[str]:
    """The ids of people in an entry: who acted, and whom it is about."""
    named = (*str(line.said["actor"]).split("/"), str(line.said["subject"]))
    return [each for each in named if each.startswith("per_")]


def verify(visit: Visit) -> Page:
    """Prove the whole log, and every audited table by it: the same as ``sakk audit verify``."""
    with visit.database.read() as connection:
        last = store.last_block(connection)
    if last is not None and last.first + last.count > VERIFIED_ENTRIES_MAX:
        raise UnexpectedState("The log is too long for a page: `sakk audit verify` proves it.")
    return Page("console/audit_proof.html", {"proof": flow.verify(visit.database)})


def export(visit: Visit, query: AuditQuery) -> Download:
    """The log for an auditor: what is about one thing, and of the rest the hashes that prove it."""
    written: list[str] = []
    size = 0
    with flow.frozen(visit.database) as connection:
        for line in flow.export(connection, subject=query.about):
            size += len(line) + 1
            if size > EXPORT_BYTES_MAX:
                raise UnexpectedState(
                    "The log is too large for a browser: `sakk audit export` writes it to a file."
                )
            written.append(line + "\n")
        last = store.last_block(connection)
    assert last is not None
    flow.note_export(visit.database, name="console", subject=query.about, head=last.number)
    return Download("audit.jsonl", "".join(written).encode(), "application/x-ndjson")


def _line(found: store.Shown) -> Line:
    said = json.loads(found.body)
    before, after = _columns(said["before"]), _columns(said["after"])
    changes = [
        (name, before.get(name, ""), after.get(name, ""))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return Line(found.seq, found.block, said, changes)


def _columns(document: object) -> dict[str, str]:
    # Noted as the text of a JSON document, so that its bytes are the same for ever.
    read = json.loads(document) if isinstance(document, str) else document
    if not isinstance(read, dict):
        return {}
    return {name: json.dumps(value, ensure_ascii=False) for name, value in read.items()}


SCREENS = (
    Screen(
        "GET",
        PATH,
        show,
        "audit_log",
        operator_only=True,
        menu=Menu(mark("Organisation"), mark("Audit log")),
    ),
    Screen("GET", f"{PATH}/verify", verify, "audit_log", operator_only=True),
    Screen("GET", f"{PATH}/export", export, "audit_log", operator_only=True),
)
