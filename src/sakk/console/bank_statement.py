"""Statements of banks, and their lines with what each was found to be."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Screen
from sakk.console.visit import Download, Page, Visit
from sakk.core.bank_statement import BankStatement
from sakk.core.errors import ResourceMissing
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import account as merchants
from sakk.store import bank_account as accounts
from sakk.store import bank_statement as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/bank_statements"
LINES_SHOWN: Final = 50
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "accepted": (mark("Accepted"), "good"),
    "waiting": (mark("Waits for the one before"), "warn"),
    "duplicate": (mark("Twice"), "plain"),
    "broken": (mark("Can not be right"), "bad"),
    "intraday": (mark("Within the day"), "plain"),
}
OUTCOMES: Final[Mapping[str, tuple[str, str]]] = {
    "payment": (mark("A payment of ours"), "good"),
    "returned": (mark("A payment that came back"), "warn"),
    "payin": (mark("For an account"), "good"),
    "suspense": (mark("In suspense"), "bad"),
    "held": (mark("Held by screening"), "bad"),
    "assigned": (mark("Given to an account"), "good"),
    "sent_back": (mark("Back to its sender"), "good"),
    "undone": (mark("Refused, and taken back"), "plain"),
}


class StatementQuery(ListQuery):
    """Which statements."""

    status: Literal["accepted", "waiting", "duplicate", "broken", "intraday"] | None = None
    account: Annotated[str, Field(max_length=255)] | None = None


class LinesQuery(Form):
    """After which line."""

    after: Annotated[int, Field(ge=0, le=10**9)] = 0


def index(visit: Visit, query: StatementQuery) -> Page | Download:
    """The statements, newest first."""
    c = store.bank_statements.c
    filters = created_within(visit, query, store.bank_statements)
    filters.append(c.livemode == visit.livemode)
    told = {"status": query.status, "bank_account": query.account}
    filters += [c[name] == value for name, value in told.items() if value is not None]
    if query.q is not None:
        filters.append((c.id == query.q) | (c.reference == query.q))
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.bank_statements,
            BankStatement,
            bound=[],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        own = accounts.list_own(connection, accounts.bank_accounts.c.livemode == visit.livemode)
    if query.is_file:
        names = ("id", "bank_account", "reference", "number", "from_date", "to_date", "currency")
        units = ("opening_units", "credits", "debits", "closing_units", "lines", "status", "reason")
        return csv_file("bank-statements.csv", fields(*names, *units), window.rows)
    values = {
        "list": listing(visit, query, window, window.rows),
        "statuses": STATUSES,
        "own": {each.id: each for each in own},
        "choices": {
            "status": options(visit, STATUSES),
            "account": [(each.id, f"{each.holder} {each.currency.upper()}") for each in own],
        },
    }
    return Page("console/bank_statements.html", values)


def show(visit: Visit, bank_statement: str, query: LinesQuery) -> Page:
    """One statement, and its lines in their order."""
    with visit.database.read() as connection:
        found = store.find(connection, bank_statement, livemode=visit.livemode)
        if found is None:
            raise ResourceMissing("There is no such statement.")
        lines = store.lines_of(connection, found.id, after=query.after, limit=LINES_SHOWN + 1)
        own = accounts.find(
            connection, found.bank_account, account_id=None, livemode=visit.livemode
        )
        names = merchants.names(connection, {each.account_id for each in lines if each.account_id})
    values = {
        "row": found,
        "own": own,
        "lines": lines[:LINES_SHOWN],
        "older": lines[LINES_SHOWN - 1].number if len(lines) > LINES_SHOWN else None,
        "is_begin": query.after == 0,
        "names": names,
        "statuses": STATUSES,
        "outcomes": OUTCOMES,
    }
    return Page("console/bank_statement.html", values)


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "bank_statements", operator_only=True),
    Screen("GET", f"{PATH}/{{bank_statement}}", show, "bank_statements", operator_only=True),
)
