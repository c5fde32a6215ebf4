"""The audit log: who did what, with what was before and after, and whether it is sealed."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Visit
from sakk.core.errors import UnexpectedState
from sakk.flow import audit as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import audit as store

PATH: Final = f"{ROOT}/audit"
PAGE_ENTRIES: Final = 50
EXPORT_BYTES_MAX: Final = 32 << 20
# So many entries are proved while a person waits for the page.
VERIFIED_ENTRIES_MAX: Final = 100_000


class AuditQuery(Form):
    """``about``: an id, of what was done or to whom; ``by``: a person, key or process."""

    about: Annotated[str, Field(max_length=255)] | None = None
    by: Annotated[str, Field(max_length=255)] | None = None
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
            connection, about=query.about, by=query.by, before=query.before, limit=PAGE_ENTRIES
        )
        waiting, _ = store.oldest_waiting(connection)
        last = store.last_block(connection)
    lines = [_line(each) for each in found]
    values = {
        "lines": lines,
        "about": query.about or "",
        "by": query.by or "",
        "older": lines[-1].seq if len(lines) == PAGE_ENTRIES else None,
        "waiting": waiting,
        "head": last,
    }
    return Page("console/audit.html", values)


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
