"""Reconciliations: the runs that were kept, what each has seen, and one that begins now."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.transaction import PURPOSES
from sakk.console.transaction import STATUSES as TRANSACTION_STATUSES
from sakk.console.visit import Download, Page, Redirect, Visit
from sakk.core.errors import ResourceMissing
from sakk.core.reconciliation import Reconciliation, ReconciliationStatus
from sakk.flow import reconciliation as flow
from sakk.pages.form import Form
from sakk.pages.language import Words, mark
from sakk.store import ledger_break as breaks
from sakk.store import reconciliation as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/reconciliations"
# In-flight rows and differences of one run that a page shows.
ROWS_SHOWN_MAX: Final = 500
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "balanced": (mark("Balanced"), "good"),
    "broken": (mark("Breaks"), "bad"),
    "failed": (mark("Could not be read"), "warn"),
}
# Why a row is on its way: what it is, and where it stands.
KINDS: Final[Mapping[str, str]] = {
    "payin": mark("Pay-in"),
    "outflow": mark("Left without us"),
    **PURPOSES,
}
STANDS: Final[Mapping[str, str]] = {
    **{status: text for status, (text, _) in TRANSACTION_STATUSES.items()},
    "seen": mark("Seen"),
    "screened": mark("Screened"),
    "held": mark("Held by screening"),
    "released": mark("Credited"),
    "returned": mark("Returned"),
    "seized": mark("Seized"),
    "orphaned": mark("Taken back by the network"),
    "reversed": mark("Taken back by the network"),
}
WHOLE: Final = (mark("booked above the block"), mark("withdrawn by its payer"))


class ReconciliationQuery(ListQuery):
    """Which runs."""

    status: ReconciliationStatus | None = None


class RunForm(Form):
    """A run of all networks of the mode."""

    networks: Literal["all"]


def index(visit: Visit, query: ReconciliationQuery) -> Page | Download:
    """The runs, newest first."""
    table = store.reconciliations
    filters = created_within(visit, query, table)
    if query.status is not None:
        filters.append(table.c.status == query.status.value)
    if query.q is not None:
        filters.append(table.c.id == query.q)
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            table,
            Reconciliation,
            bound=[table.c.livemode == visit.livemode],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        standing = breaks.count_standing(connection, livemode=visit.livemode)
    if query.is_file:
        names = ("id", "created", "status", "breaks", "journal_sequence", "sha256", "why")
        return csv_file("reconciliations.csv", fields(*names), window.rows)
    values = {
        "list": listing(visit, query, window, window.rows),
        "statuses": STATUSES,
        "standing": standing,
        "choices": {"status": options(visit, STATUSES)},
        "may_run": visit.may("reconciliations", "write"),
    }
    return Page("console/reconciliations.html", values)


def show(visit: Visit, reconciliation: str) -> Page:
    """One run: each network's coins by the chain and the ledger, and what is in between."""
    with visit.database.read() as connection:
        found = store.find(connection, reconciliation, livemode=visit.livemode)
    if found is None:
        raise ResourceMissing("There is no such reconciliation.")
    document: dict[str, Any] = found.document
    networks = document.get("networks", [])
    in_flight = [
        {**row, "asset": asset["asset"], "why": why_of(visit.words, row["why"])}
        for network in networks
        for part in ("assets", "escrows")
        for asset in network[part]
        for row in asset["in_flight"]
    ]
    values = {
        "row": found,
        "statuses": STATUSES,
        "networks": networks,
        "in_flight": in_flight[:ROWS_SHOWN_MAX],
        "differences": document.get("breaks", [])[:ROWS_SHOWN_MAX],
        "suspense": document.get("suspense", []),
    }
    return Page("console/reconciliation.html", values)


def why_of(words: Words, why: str) -> str:
    """Why a row is on its way, in words; as it is kept where it says something else."""
    gettext = words.gettext
    if why in WHOLE:
        return gettext(why)
    kind, _, stands = why.partition(" ")
    if kind not in KINDS or stands not in STANDS:
        return why
    return f"{gettext(KINDS[kind])} · {gettext(STANDS[stands])}"


def run(visit: Visit, form: RunForm) -> Redirect:
    """Reconcile now."""
    found = flow.run(visit.parts, livemode=visit.livemode, identifier=visit.object_id("recon"))
    told = visit.words.gettext("The books were reconciled.")
    if found.row.status == ReconciliationStatus.failed:
        return Redirect(
            f"{PATH}/{found.row.id}",
            visit.words.gettext("A side could not be read: nothing was found or ended."),
            tone="bad",
        )
    return Redirect(f"{PATH}/{found.row.id}", told)


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "reconciliations",
        operator_only=True,
        menu=Menu("Money", mark("Reconciliations")),
    ),
    Screen("POST", f"{PATH}/run", run, "reconciliations", operator_only=True),
    Screen("GET", f"{PATH}/{{reconciliation}}", show, "reconciliations", operator_only=True),
)
