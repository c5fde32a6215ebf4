"""A run that was kept, a break that it found, and a closed day, as objects of the API."""

import hashlib

from sakk.core import day as days
from sakk.core import reconciliation as runs
from sakk.core.day import Day, Sum
from sakk.core.reconciliation import BreakKind, Finding, Reconciliation
from sakk.flow.reconciliation import record
from sakk.store import day as day_store
from sakk.store.database import Database
from sakk.store.identity import new_id, now
from sakk.store.ledger_break import list_standing

HOSTILE = "<script>alert(1)</script>\u202e=1+1"
ASSET = {
    "asset": "eip155:1/erc20:0xaa",
    "chain_units": "105",
    "ledger_units": "100",
    "in_flight": [{"row": "po_1", "units": "2", "why": HOSTILE}],
    "difference": "3",
}
DOCUMENT = {
    "ok": False,
    "journal_sequence": 1,
    "networks": [
        {
            "network": "eip155:1",
            "block_number": 7,
            "block_hash": "0x01",
            "addresses": 1,
            "assets": [ASSET],
            "escrows": [ASSET],
        }
    ],
    "breaks": [HOSTILE],
    "suspense": [{"account": "suspense:x#x", "units": "5"}],
}
SUM = Sum(account="suspense:x#x", unit="x", entries=1, opening=0, debits=0, credits=5, closing=5)


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
        document=DOCUMENT,
        sha256=runs.sha256_of(DOCUMENT),
        why=None,
        started=moment,
        created=moment,
    )
    finding = Finding("suspense:x", runs.SUSPENSE, BreakKind.suspense, "x", "x", 5, "5 stand there")
    report = days.report_bytes(
        {
            "accounts": [days.sum_document(SUM)],
            "units": [{"unit": "x", "accounts": 1, "debits": "5", "credits": "5"}],
            "entries": 1,
            "journal": [{"shard": 0, "sequence": 1, "hash": "00"}],
            "audit": {"block": 0, "hash": ""},
            "breaks": [],
            "accepted": [],
            "reconciliations": [{"id": run.id, "status": run.status, "sha256": run.sha256}],
        }
    )
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
        closed = day_store.find_by_date(connection, day.date, livemode=False)
        if closed is None:
            day_store.insert(connection, day)
        [found] = [
            each for each in list_standing(connection, livemode=False) if each.key == finding.key
        ]
    return {
        "reconciliation": run.id,
        "ledger_break": found.id,
        "day": day.id if closed is None else closed.id,
    }
