"""Settlements: what an account was paid for each period, line by line, and its statement."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.balance import KINDS
from sakk.console.failure import FAILURES
from sakk.console.listing import (
    CSV,
    Cursor,
    Exact,
    ListQuery,
    created_within,
    csv_file,
    listing,
    options,
)
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import settlement as rules
from sakk.core.balance import kind_of, timestamp_of
from sakk.core.errors import ResourceMissing
from sakk.core.money import format_decimal
from sakk.core.network import CurrencyKind
from sakk.core.search import SearchKind, read_search
from sakk.core.settlement import Settlement, SettlementStatus
from sakk.flow import settlement as flow
from sakk.flow import statement as statements
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import account as accounts
from sakk.store import network as networks
from sakk.store import settlement as store
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/settlements"
LINES_SHOWN: Final = 50
# So many lines are printed; a file has all of them.
LINES_PRINTED_MAX: Final = 2_000
XML: Final = "application/xml"
JSON: Final = "application/json"
STATUSES: Mapping[str, tuple[str, str]] = {
    SettlementStatus.closed: (mark("Closed"), "wait"),
    SettlementStatus.pending: (mark("To be paid"), "wait"),
    SettlementStatus.held: (mark("Held"), "warn"),
    SettlementStatus.paying: (mark("Being paid"), "wait"),
    SettlementStatus.paid: (mark("Paid out"), "good"),
    SettlementStatus.failed: (mark("Failed"), "bad"),
    SettlementStatus.kept: (mark("Kept on the balance"), "plain"),
    SettlementStatus.carried: (mark("Carried to the next"), "plain"),
}

Code = Annotated[str, Field(max_length=20)]


class SettlementQuery(ListQuery):
    """Which settlements."""

    currency: Code | None = None
    status: SettlementStatus | None = None


class EndForm(Form):
    """Which currency's period ends now."""

    currency: Code


class LinesQuery(Form):
    """From which line on."""

    after: Cursor | None = None


class StatementQuery(Form):
    """As a page that is printed, or as a file."""

    format: Literal["csv", "json", "camt053"] | None = None


def index(visit: Visit, query: SettlementQuery) -> Page | Download:
    """The settlements, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        if query.is_file:
            return _file(window.rows)
        return _listed(connection, visit, query, window, None)


def index_again(visit: Visit, rejected: Rejected) -> Page:
    """The same, with why a period could not be ended."""
    with visit.database.read() as connection:
        window = _window(connection, visit, SettlementQuery())
        return _listed(connection, visit, SettlementQuery(), window, rejected)


def create(visit: Visit, form: EndForm) -> Redirect:
    """End a currency's period now."""
    made = flow.create(
        visit.parts,
        identifier=visit.object_id(rules.PREFIX),
        account_id=visit.account(),
        livemode=visit.livemode,
        currency=form.currency.lower(),
        request_id=visit.request_id,
    )
    return Redirect(f"{PATH}/{made.id}", visit.words.gettext("The period is ended."))


def show(visit: Visit, settlement: str, query: LinesQuery) -> Page:
    """One settlement: what it came to, what became of it, and its lines."""
    with visit.database.read() as connection:
        found = _found(connection, visit, settlement)
        after_ns = found.from_ns
        if query.after is not None:
            try:
                after_ns = timestamp_of(query.after)
            except ValueError:
                raise ResourceMissing("There is no such line.") from None
        before = store.count_before(connection, found, after_ns)
        lines = store.lines_of(connection, found, after_ns=after_ns, limit=LINES_SHOWN + 1)
        values = _values(connection, visit, found)
    shown = lines[:LINES_SHOWN]
    values |= {
        "lines": list(enumerate(shown, start=found.first_line + before)),
        "older": shown[-1].id if len(lines) > LINES_SHOWN else None,
        "is_begin": query.after is None,
        "failures": FAILURES,
    }
    return Page("console/settlement.html", values)


def statement(visit: Visit, settlement: str, query: StatementQuery) -> Page | Download:
    """Every line with its number: a page to print, or a file."""
    with visit.database.read() as connection:
        found = _found(connection, visit, settlement)
        name = f"settlement-{found.number}-{found.currency}"
        if query.format == "csv":
            return Download(f"{name}.csv", statements.csv_of(connection, found), CSV)
        if query.format == "json":
            document = msgspec.json.encode(statements.json_of(connection, found))
            return Download(f"{name}.json", document, JSON)
        if query.format == "camt053":
            return Download(f"{name}.xml", statements.camt053_of(connection, found), XML)
        values = _values(connection, visit, found)
        lines = list(islice(store.all_lines(connection, found), LINES_PRINTED_MAX))
    values |= {"lines": lines, "left_out": found.lines - len(lines)}
    return Page("console/settlement_statement.html", values)


def _listed(
    connection: Connection,
    visit: Visit,
    query: SettlementQuery,
    window: Window[Settlement],
    rejected: Rejected | None,
) -> Page:
    currencies = networks.list_currencies(connection)
    names = accounts.names(connection, {row.account_id for row in window.rows})
    codes = [(each.currency, each.currency.upper()) for each in currencies]
    values = {
        "list": listing(visit, query, window, window.rows),
        "statuses": STATUSES,
        "names": names,
        "currencies": codes,
        "may_end": visit.account_id is not None and visit.may("settlements", "write"),
        "message": None if rejected is None else rejected.message,
        "choices": {"currency": codes, "status": options(visit, STATUSES)},
    }
    return Page("console/settlements.html", values)


def _window(connection: Connection, visit: Visit, query: SettlementQuery) -> Window[Settlement]:
    c = store.settlements.c
    mode = c.livemode == visit.livemode
    bound: list[ColumnElement[bool]] = []
    filters = created_within(visit, query, store.settlements)
    if visit.account_id is None:
        filters.append(mode)
    else:
        bound += [c.account_id == visit.account_id, mode]
    if query.currency is not None:
        filters.append(c.currency == query.currency.lower())
    if query.status is not None:
        filters.append(c.status == query.status.value)
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append((c.payout if search.value.startswith("po_") else c.id) == search.value)
    elif query.q is not None:
        number = int(query.q) if query.q.isdecimal() and len(query.q) < 10 else 0
        filters.append(c.number == number)
    return fetch_window(
        connection,
        store.settlements,
        Settlement,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _file(rows: list[Settlement]) -> Download:
    def exact(name: str) -> tuple[str, Any]:
        return name, lambda row: Exact(format_decimal(getattr(row, name), row.decimals))

    def plain(name: str) -> tuple[str, Any]:
        return name, lambda row: getattr(row, name)

    amounts = ("opening", "credits", "debits", "closing", "received", "fees", "recovered")
    reserves = ("reserved", "reserved_fixed", "payable", "amount")
    return csv_file(
        "settlements.csv",
        [
            *(plain(name) for name in ("id", "number", "account_id", "currency", "status")),
            *(plain(name) for name in ("period_end", "first_line", "lines")),
            *(exact(name) for name in (*amounts, *reserves)),
            *(plain(name) for name in ("pay_at", "paid_at", "payout", "release_at", "released")),
        ],
        rows,
    )


def _found(connection: Connection, visit: Visit, identifier: str) -> Settlement:
    found = store.find(connection, identifier, account_id=visit.account_id, livemode=visit.livemode)
    if found is None:
        raise ResourceMissing("There is no such settlement.")
    return found


def _values(connection: Connection, visit: Visit, found: Settlement) -> dict[str, Any]:
    account = accounts.find_account(connection, found.account_id)
    fiat = {
        each.currency
        for each in networks.list_currencies(connection)
        if each.kind == CurrencyKind.fiat
    }
    return {
        "row": found,
        "account": account,
        "begin": None
        if not found.from_ns
        else datetime.fromtimestamp(found.from_ns // 1_000_000_000, UTC),
        "statuses": STATUSES,
        "is_fiat": found.currency in fiat,
        "kinds": KINDS,
        "kind_of": lambda line: kind_of(line.code, line.amount),
    }


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "settlements", menu=Menu("Money", mark("Settlements"))),
    Screen("POST", PATH, create, "settlements", step_up=True, again=index_again),
    Screen("GET", f"{PATH}/{{settlement}}", show, "settlements"),
    Screen("GET", f"{PATH}/{{settlement}}/statement", statement, "settlements"),
)
