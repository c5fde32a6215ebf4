"""A run that was kept, a break that it found, and a closed day, as objects of the API."""

import hashlib

from sakk.core import day as days
from sakk.core import reconciliation as runs
from sakk.core.day import Day
from sakk.core.reconciliation import BreakKind, Finding, Reconciliation
from sakk.flow.reconciliation import record
from sakk.store import day as day_store
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from sakk.store.ledger_break import list_standing


def put_closing(database: Database) -> dict[str, str]:
    """The operator's alone: whose accounts there are plays no part."""
    moment = now()
    run = Reconciliation(
        id=new_id(runs.PREFIX),
        livemode=False,
        status="broken",
        scopes=[runs.SUSPENSE],
        breaks=1,
        journal_sequence=1,
        document={},
        sha256=runs.sha256_of({}),
        why=None,
        started=moment,
        created=moment,
    )
    finding = Finding("suspense:x", runs.SUSPENSE, BreakKind.suspense, "x", "x", 5, "5 stand there")
    report = days.report_bytes({"accounts": [], "units": []})
    day = Day(
        id=new_id(days.PREFIX),
        livemode=False,
        number=1,
        date="2026-03-02",
        timezone="UTC",
        cutoff="00:00",
        from_ns=0,
        to_ns=1,
        ends_at=days.end_of(days.read_date("2026-03-02"), days.Clock()),
        report=report.decode(),
        sha256=hashlib.sha256(report).hexdigest(),
        previous=None,
        signature=b"",
        authority=b"",
        closed_by="operator",
        created=moment,
    )
    with database.begin() as connection:
        record(connection, run, [finding])
        day_store.insert(connection, day)
        [found] = list_standing(connection, livemode=False)
    return {"reconciliation": run.id, "ledger_break": found.id, "day": day.id}
