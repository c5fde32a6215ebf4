"""Payees at banks: whose accounts are paid, and by which references money comes in by bank."""

from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing
from sakk.console.route import ROOT, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import bank_account as rules
from sakk.core import bank_reference as reference_rules
from sakk.core.bank_account import BankAccount, BankRole
from sakk.core.bank_reference import BankReference
from sakk.core.errors import ResourceMissing
from sakk.core.network import CurrencyKind
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import bank_account as flow
from sakk.pages.bank_code import bank_code
from sakk.pages.form import Form
from sakk.store import bank_account as store
from sakk.store import network as networks
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/payees"
REFERENCES: Final = f"{ROOT}/bank_references"
Text = Annotated[str, Field(max_length=255)]


class CreateForm(Form):
    """An account: by IBAN, or by number and bank as its country has them."""

    holder: Text
    currency: Annotated[str, Field(max_length=20)]
    iban: Text | None = None
    bic: Text | None = None
    country: Annotated[str, Field(max_length=2)] | None = None
    number: Text | None = None
    bank_code: Text | None = None
    description: Annotated[str, Field(max_length=500)] | None = None


class ReferenceForm(Form):
    """In which currency money is to come in."""

    currency: Annotated[str, Field(max_length=20)]


def index(visit: Visit, query: ListQuery) -> Page | Download:
    """Whom they pay by bank, newest first."""
    c = store.bank_accounts.c
    mode = c.livemode == visit.livemode
    bound: list[ColumnElement[bool]] = []
    filters = created_within(visit, query, store.bank_accounts)
    filters += [~c.deleted, c.role == BankRole.payee.value]
    if visit.account_id is None:
        filters.append(mode)
    else:
        bound += [c.account_id == visit.account_id, mode]
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append(c.id == search.value)
    elif query.q is not None:
        bare = query.q.replace(" ", "").upper()
        filters.append(c.holder.ilike(like(query.q)) | (c.iban == bare) | (c.number == query.q))
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.bank_accounts,
            BankAccount,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
    if query.is_file:
        plain = ("id", "created", "holder", "currency", "country", "iban", "bic", "number")
        rest = ("bank_code", "usable_at", "description")
        return csv_file("payees.csv", fields(*plain, *rest), window.rows)
    values = {
        "list": listing(visit, query, window, window.rows),
        "now": visit.now,
        "may_create": visit.may("bank_accounts", "write") and visit.account_id is not None,
    }
    return Page("console/payees.html", values)


def draft(visit: Visit) -> Page:
    """An empty form."""
    return _form(visit, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The form as it was sent, with what is wrong with it."""
    return _form(visit, rejected)


def create(visit: Visit, form: CreateForm) -> Redirect:
    """Write a payee's account down; it is paid when the account's delay is over."""
    identifier = visit.object_id(rules.PREFIX)
    account_id = visit.account()
    request = flow.AccountRequest(**form.model_dump())
    with visit.database.begin() as connection:
        if store.find(connection, identifier, account_id=account_id, livemode=visit.livemode):
            return Redirect(f"{PATH}/{identifier}")
        flow.create(
            connection,
            request,
            identifier=identifier,
            account_id=account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{identifier}", visit.words.gettext("The account is written down."))


def show(visit: Visit, payee: str) -> Page:
    """One payee's account, and when it may be paid."""
    with visit.database.read() as connection:
        row = _found(connection, visit, payee)
    values = {"row": row, "now": visit.now, "may_change": visit.may("bank_accounts", "write")}
    return Page("console/payee.html", values)


def remove(visit: Visit, payee: str) -> Redirect:
    """Take it out of the book; payouts on their way to it go on."""
    with visit.database.begin() as connection:
        row = _found(connection, visit, payee)
        flow.delete(connection, row.id, account_id=row.account_id, livemode=visit.livemode)
    return Redirect(PATH, visit.words.gettext("It is out of the book."))


def references(visit: Visit) -> Page:
    """By which references money for the account comes in, and what a payer is told."""
    return _references(visit, None)


def references_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _references(visit, rejected)


def refer(visit: Visit, form: ReferenceForm) -> Redirect:
    """Make a reference at the operator's account in a currency."""
    identifier = visit.object_id(reference_rules.PREFIX)
    account_id = visit.account()
    with visit.database.begin() as connection:
        whose: dict[str, Any] = {"account_id": account_id, "livemode": visit.livemode}
        if store.find_reference(connection, identifier, **whose) is None:
            flow.create_reference(
                connection,
                identifier=identifier,
                bank_account=None,
                currency=form.currency,
                metadata=None,
                now=visit.now,
                **whose,
            )
    told = visit.words.gettext("Payers write this reference in their transfer.")
    return Redirect(REFERENCES, told)


def code(visit: Visit, bank_reference: str) -> Download:
    """The code that a payer's bank reads, with the amount left to the payer."""
    with visit.database.read() as connection:
        row = store.find_reference(
            connection, bank_reference, account_id=visit.account_id, livemode=visit.livemode
        )
        if row is None:
            raise ResourceMissing("There is no such reference.")
        own = store.list_by_ids(connection, [row.bank_account])[row.bank_account]
    drawn = bank_code(own, row, cents=None)
    return Download(f"{row.reference}.svg", drawn, "image/svg+xml")


def _references(visit: Visit, rejected: Rejected | None) -> Page:
    c = store.bank_references.c
    mode = c.livemode == visit.livemode
    mine = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    query = ListQuery()
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.bank_references,
            BankReference,
            bound=mine,
            filters=[] if mine else [mode],
            limit=query.limit,
            **query.place,
        )
        own = store.list_by_ids(connection, {row.bank_account for row in window.rows})
        offered = flow.currencies_paid(connection, livemode=visit.livemode)
    values = {
        "rows": window.rows,
        "own": own,
        "printed": reference_rules.printed,
        "offered": [(each, each.upper()) for each in offered],
        "may_create": visit.may("bank_references", "write") and visit.account_id is not None,
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/bank_references.html", values)


def _form(visit: Visit, rejected: Rejected | None) -> Page:
    visit.account()
    with visit.database.read() as connection:
        listed = networks.list_currencies(connection)
    fiat = [each.currency for each in listed if each.kind == CurrencyKind.fiat]
    values = {
        "currencies": [(each, each.upper()) for each in fiat],
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/payee_new.html", values)


def _found(connection: Connection, visit: Visit, identifier: str) -> BankAccount:
    found = store.find(connection, identifier, account_id=visit.account_id, livemode=visit.livemode)
    if found is None or found.deleted or found.role != BankRole.payee:
        raise ResourceMissing("There is no such account.")
    return found


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "bank_accounts"),
    Screen("GET", f"{PATH}/new", draft, "bank_accounts", "write"),
    Screen("POST", f"{PATH}/new", create, "bank_accounts", step_up=True, again=draft_again),
    Screen("GET", PATH + "/{payee}", show, "bank_accounts"),
    Screen("POST", PATH + "/{payee}/remove", remove, "bank_accounts"),
    Screen("GET", REFERENCES, references, "bank_references"),
    Screen("POST", REFERENCES, refer, "bank_references", again=references_again),
    Screen("GET", REFERENCES + "/{bank_reference}/code", code, "bank_references"),
)
