"""The client's calls about reconciliations, breaks and closed days, and what is answered."""

from collections.abc import Callable
from typing import Any

from sakk.client import SakkClient
from sakk.client.objects import Resource

from .escrow_calls import shown

Call = Callable[[SakkClient], Resource]

RUN = shown("reconciliation", status="balanced", breaks=0)
BREAK = shown("break", kind="suspense", status="open", units="5")
DAY = shown("day", date="2026-03-02", number=1)
TRANSFERS = [{"debit": "suspense:x#x", "credit": "equity:operator#x", "units": "5"}]

CALLS: list[tuple[Call, dict[str, Any], str, Any]] = [
    (
        lambda c: c.reconciliations.create(networks=["eip155:1"]),
        RUN,
        "POST /v1/reconciliations",
        {"networks": ["eip155:1"]},
    ),
    (lambda c: c.reconciliations.retrieve("recon_1"), RUN, "GET /v1/reconciliations/recon_1", None),
    (lambda c: c.breaks.retrieve("brk_1"), BREAK, "GET /v1/breaks/brk_1", None),
    (
        lambda c: c.breaks.assign("brk_1", owner="per_1"),
        BREAK,
        "POST /v1/breaks/brk_1/assign",
        {"owner": "per_1"},
    ),
    (
        lambda c: c.breaks.note("brk_1", text="known"),
        BREAK,
        "POST /v1/breaks/brk_1/notes",
        {"text": "known"},
    ),
    (
        lambda c: c.breaks.propose("brk_1", transfers=TRANSFERS, note="counted"),
        BREAK,
        "POST /v1/breaks/brk_1/propose",
        {"transfers": TRANSFERS, "note": "counted"},
    ),
    (
        lambda c: c.breaks.decline("brk_1", reason="no"),
        BREAK,
        "POST /v1/breaks/brk_1/decline",
        {"reason": "no"},
    ),
    (
        lambda c: c.breaks.confirm("brk_1", digest="00", code="123456"),
        BREAK,
        "POST /v1/breaks/brk_1/confirm",
        {"digest": "00", "code": "123456"},
    ),
    (lambda c: c.days.retrieve("day_1"), DAY, "GET /v1/days/day_1", None),
    (
        lambda c: c.days.close(date="2026-03-02", cutoff="17:30"),
        DAY,
        "POST /v1/days",
        {"date": "2026-03-02", "cutoff": "17:30"},
    ),
]
LISTS: list[tuple[Callable[[SakkClient], Any], dict[str, Any], str]] = [
    (lambda c: c.reconciliations.list(), RUN, "/v1/reconciliations"),
    (lambda c: c.breaks.list(), BREAK, "/v1/breaks"),
    (lambda c: c.days.list(), DAY, "/v1/days"),
]
