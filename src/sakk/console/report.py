"""Reports at the console: asked for, followed while they are written, and saved."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.failure import FAILURES
from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import file as file_rules
from sakk.core import report as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.file import StoredFile
from sakk.core.report import (
    MERCHANTS,
    Report,
    ReportForm,
    ReportKind,
    ReportParameters,
    ReportStatus,
)
from sakk.core.volume import beginning
from sakk.flow import report as flow
from sakk.pages.amount import read_amount
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.pages.moment import zone_of
from sakk.store import file as files
from sakk.store import network as networks
from sakk.store import report as store
from sakk.store.account import find_operator
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/reports"
KINDS: Final[Mapping[str, str]] = {
    ReportKind.general_ledger: mark("General ledger"),
    ReportKind.trial_balance: mark("Trial balance"),
    ReportKind.merchant_statement: mark("Statement of an account"),
    ReportKind.fees: mark("Fees and the tax in them"),
    ReportKind.volumes: mark("Volumes by network, currency and country"),
    ReportKind.travel_rule: mark("Travel Rule records"),
    ReportKind.large_values: mark("Transfers of large value"),
}
FORMS: Final[Mapping[str, str]] = {
    ReportForm.csv: "CSV",
    ReportForm.jsonl: "JSON Lines",
    ReportForm.beancount: "Beancount",
}
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    ReportStatus.pending: (mark("Waiting"), "wait"),
    ReportStatus.running: (mark("Being written"), "wait"),
    ReportStatus.succeeded: (mark("Written"), "good"),
    ReportStatus.failed: (mark("Failed"), "bad"),
    ReportStatus.canceled: (mark("Canceled"), "plain"),
}
PERCENT_DECIMALS: Final = 4

Text = Annotated[str, Field(max_length=100)]


class ReportQuery(ListQuery):
    """Which reports."""

    kind: ReportKind | None = None
    status: ReportStatus | None = None


class ReportAsked(Form):
    """What is to be written; days are of the person's zone, both included."""

    kind: ReportKind
    form: ReportForm = ReportForm.csv
    begin: date | None = None
    end: date | None = None
    account: Text | None = None
    currency: Text | None = None
    threshold: Text | None = None
    tax_percent: Text | None = None
    detail: bool = False


def index(visit: Visit, query: ReportQuery) -> Page | Download:
    """The reports, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        if query.is_file:
            names = ("id", "kind", "form", "status", "rows", "requested_by", "created", "ended_at")
            return csv_file("reports.csv", fields(*names), window.rows)
        return _listed(connection, visit, query, window, None)


def index_again(visit: Visit, rejected: Rejected) -> Page:
    """The same, with why a report could not be asked for."""
    with visit.database.read() as connection:
        window = _window(connection, visit, ReportQuery())
        return _listed(connection, visit, ReportQuery(), window, rejected)


def create(visit: Visit, form: ReportAsked) -> Redirect:
    """Ask for a report."""
    identifier = visit.object_id(rules.PREFIX)
    with visit.database.begin() as connection:
        whose: dict[str, Any] = {
            "account_id": _owner(connection, visit),
            "livemode": visit.livemode,
        }
        if store.find(connection, identifier, **whose) is None:
            flow.create(
                connection,
                form.kind,
                form.form,
                _parameters(connection, visit, form),
                identifier=identifier,
                is_operator=visit.account_id is None,
                requested_by=visit.actor.signature,
                metadata={},
                now=visit.now,
                **whose,
            )
    return Redirect(f"{PATH}/{identifier}", visit.words.gettext("The report is being written."))


def show(visit: Visit, report: str) -> Page:
    """One report: what was asked, how far it is, and its file with the proof."""
    with visit.database.read() as connection:
        found, file = _found(connection, visit, report)
    return Page("console/report.html", _values(visit, found, file))


def progress(visit: Visit, report: str) -> Page:
    """How far a report is, for the page that shows it."""
    with visit.database.read() as connection:
        found, file = _found(connection, visit, report)
    return Page("console/report_progress.html", _values(visit, found, file))


def cancel(visit: Visit, report: str) -> Redirect:
    """Write it no further."""
    with visit.database.begin() as connection:
        flow.cancel(
            connection,
            report,
            account_id=_owner(connection, visit),
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{report}", visit.words.gettext("The report is canceled."))


def download(visit: Visit, report: str) -> Download:
    """The file."""
    with visit.database.read() as connection:
        _, file = _found(connection, visit, report)
    if file is None:
        raise ResourceMissing("The file is kept no more.")
    pieces = files.chunks(visit.database, file.id)
    return Download(file.name, pieces, file_rules.MEDIA_TYPES[file.form], size=file.size)


def proof(visit: Visit, report: str) -> Download:
    """What the installation signed of the file."""
    with visit.database.read() as connection:
        _, file = _found(connection, visit, report)
    if file is None:
        raise ResourceMissing("The file is kept no more.")
    shown = file_rules.public(file, public_url=visit.settings.public_url)
    content = json.dumps(shown).encode()
    return Download(f"{file.name}.proof.json", content, "application/json")


def _parameters(connection: Connection, visit: Visit, form: ReportAsked) -> ReportParameters:
    zone = zone_of(visit.time_zone)
    start = datetime.fromtimestamp(0, UTC) if form.begin is None else beginning(form.begin, zone)
    now = visit.now.replace(microsecond=0)
    end = now if form.end is None else min(now, beginning(form.end + timedelta(days=1), zone))
    decimals = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    currency = None if form.currency is None else form.currency.lower()
    threshold = None
    if form.threshold is not None:
        threshold = _typed(form.threshold, decimals.get(currency or "", 0), "threshold")
    tax = 0
    if form.tax_percent is not None:
        tax = _typed(form.tax_percent, PERCENT_DECIMALS, "tax_percent")
    return ReportParameters(
        start=start.astimezone(UTC),
        end=end.astimezone(UTC),
        account=form.account,
        currency=currency,
        detail=form.detail,
        tax_ppm=tax,
        threshold=threshold,
    )


def _typed(text: str, decimals: int, name: str) -> int:
    try:
        return read_amount(text, decimals)
    except ValueError:
        raise ParameterInvalid("That is no amount: {text}.", param=name, text=repr(text)) from None


def _listed(
    connection: Connection,
    visit: Visit,
    query: ReportQuery,
    window: Window[Report],
    rejected: Rejected | None,
) -> Page:
    codes = [
        (each.currency, each.currency.upper()) for each in networks.list_currencies(connection)
    ]
    is_all = visit.account_id is None
    kinds = {name: word for name, word in KINDS.items() if is_all or name in MERCHANTS}
    values = {
        "list": listing(visit, query, window, window.rows),
        "kinds": KINDS,
        "forms": FORMS,
        "statuses": STATUSES,
        "percent": rules.progress_percent,
        "may_ask": visit.may("reports", "write"),
        "is_all": is_all,
        "message": None if rejected is None else rejected.message,
        "faults": {} if rejected is None else rejected.faults,
        "given": {} if rejected is None else rejected.values,
        "choices": {
            "kind": options(visit, kinds),
            "form": [(name, word) for name, word in FORMS.items() if is_all or name != "beancount"],
            "currency": codes,
            "status": options(visit, STATUSES),
        },
    }
    return Page("console/reports.html", values)


def _window(connection: Connection, visit: Visit, query: ReportQuery) -> Window[Report]:
    c = store.reports.c
    bound: list[ColumnElement[bool]] = [
        c.account_id == _owner(connection, visit),
        c.livemode == visit.livemode,
    ]
    filters = created_within(visit, query, store.reports)
    if query.kind is not None:
        filters.append(c.kind == query.kind.value)
    if query.status is not None:
        filters.append(c.status == query.status.value)
    if query.q is not None:
        filters.append(c.id == query.q)
    return fetch_window(
        connection,
        store.reports,
        Report,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _values(visit: Visit, found: Report, file: StoredFile | None) -> dict[str, Any]:
    return {
        "row": found,
        "file": file,
        "parameters": rules.read_parameters(found.parameters),
        "is_open": found.status in rules.OPEN,
        "percent": rules.progress_percent(found),
        "kinds": KINDS,
        "forms": FORMS,
        "statuses": STATUSES,
        "failures": FAILURES,
        "may_cancel": visit.may("reports", "write"),
    }


def _found(
    connection: Connection, visit: Visit, identifier: str
) -> tuple[Report, StoredFile | None]:
    owner = _owner(connection, visit)
    found = store.find(connection, identifier, account_id=owner, livemode=visit.livemode)
    if found is None:
        raise ResourceMissing("There is no such report.")
    if found.file is None:
        return found, None
    file = files.find(connection, found.file, account_id=owner, livemode=visit.livemode)
    return found, file


def _owner(connection: Connection, visit: Visit) -> str:
    """Whose reports are looked at: the account's, or the operator's own, which are of all."""
    if visit.account_id is not None:
        return visit.account_id
    operator = find_operator(connection)
    return "" if operator is None else operator.id


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "reports", menu=Menu("Money", mark("Reports"))),
    Screen("POST", PATH, create, "reports", again=index_again),
    Screen("GET", f"{PATH}/{{report}}", show, "reports"),
    Screen("GET", f"{PATH}/{{report}}/progress", progress, "reports"),
    Screen("POST", f"{PATH}/{{report}}/cancel", cancel, "reports"),
    Screen("GET", f"{PATH}/{{report}}/file", download, "files"),
    Screen("GET", f"{PATH}/{{report}}/proof", proof, "files"),
)
