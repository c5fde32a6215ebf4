"""Sweeps: coins on deposit addresses on their way to the treasury, and why some wait."""

from collections.abc import Mapping
from typing import Final

from sakk.console.failure import FAILURES
from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Visit
from sakk.core.sweep import Sweep, SweepMethod, SweepStatus
from sakk.pages.language import mark, mark_in
from sakk.store import network as networks
from sakk.store.page import fetch_window
from sakk.store.sweep import sweeps

PATH: Final = f"{ROOT}/sweeps"
STATUSES: Mapping[str, tuple[str, str]] = {
    "requested": (mark_in("sweep", "Due"), "wait"),
    "screened": (mark_in("sweep", "Due"), "wait"),
    "approved": (mark_in("sweep", "Due"), "wait"),
    "signed": (mark("Signed"), "wait"),
    "broadcast": (mark("Sent"), "wait"),
    "unknown": (mark("Sent, not seen yet"), "warn"),
    "confirmed": (mark("Confirmed"), "good"),
    "posted": (mark("Collected"), "good"),
    "rejected": (mark("Rejected"), "bad"),
    "canceled": (mark("Canceled"), "plain"),
    "failed": (mark("Failed"), "bad"),
}
METHODS: Mapping[str, str] = {
    "key": mark("By its own key"),
    "hub": mark("By the collecting contract"),
    "clone": mark("By its factory"),
    "recovery": mark("Given back"),
    "seizure": mark("Seized"),
}


class SweepQuery(ListQuery):
    """Which sweeps."""

    status: SweepStatus | None = None
    method: SweepMethod | None = None


def index(visit: Visit, query: SweepQuery) -> Page | Download:
    """The sweeps, newest first."""
    c = sweeps.c
    filters = [c.livemode == visit.livemode, *created_within(visit, query, sweeps)]
    if query.status is not None:
        filters.append(c.status == query.status.value)
    if query.method is not None:
        filters.append(c.method == query.method.value)
    if query.q is not None:
        asked = query.q.lower()
        filters.append(
            (c.id == query.q)
            | (c.address == asked)
            | (c.transaction == query.q)
            | (c.tx_hash == asked)
        )
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            sweeps,
            Sweep,
            bound=[],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        assets = {each.asset: each for each in networks.list_assets(connection)}
        followed = networks.list_networks(connection, livemode=visit.livemode)
    if query.is_file:
        names = (
            "id",
            "created",
            "status",
            "method",
            "source",
            "network",
            "asset",
            "address",
            "destination",
            "token_amount",
            "arrived_units",
            "tx_hash",
            "posted_at",
            "waits_for",
            "failure_code",
        )
        return csv_file(
            "sweeps.csv",
            fields(*names),
            window.rows,
        )
    values = {
        "followed": [(each.network, each.name) for each in followed],
        "list": listing(visit, query, window, window.rows),
        "assets": assets,
        "statuses": STATUSES,
        "methods": METHODS,
        "failures": FAILURES,
        "choices": {"status": _statuses(visit), "method": options(visit, METHODS)},
    }
    return Page("console/sweeps.html", values)


def _statuses(visit: Visit) -> list[tuple[str, str]]:
    """What a sweep can be; screening and approval are no steps of it."""
    shown = {name: word for name, word in STATUSES.items() if name not in ("screened", "approved")}
    return options(visit, shown)


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "treasury",
        operator_only=True,
        menu=Menu(mark("Money"), mark("Sweeps")),
    ),
)
