"""Customers: payers who come back, each with addresses of their own."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import ColumnElement, Connection, or_

from sakk.console.listing import ListQuery, created_within, csv_file, listing
from sakk.console.payment import PAYIN_STATUSES, STATUSES, payin_status, symbols
from sakk.console.route import Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core.customer import PREFIX, Customer
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import customer as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import customer as store
from sakk.store import payment_story as story
from sakk.store.page import Window, fetch_window

PATH = "/console/customers"
Short = Annotated[str, Field(max_length=500)]


class CustomerForm(Form):
    """Who it is; all of it may be left out."""

    name: Short | None = None
    email: Annotated[str, Field(max_length=300)] | None = None
    description: Short | None = None


def index(visit: Visit, query: ListQuery) -> Page | Download:
    """The customers, newest first; deleted ones are left out."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
    if query.is_file:
        return _file(window.rows)
    return Page(
        "console/customers.html",
        {
            "list": listing(visit, query, window, window.rows),
            "may_create": visit.account_id is not None and visit.may("customers", "write"),
        },
    )


def new(visit: Visit) -> Page:
    """The form for a new customer."""
    return Page("console/customer_new.html", {"rejected": None})


def again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong."""
    return Page("console/customer_new.html", {"rejected": rejected})


def create(visit: Visit, form: CustomerForm) -> Redirect:
    """Keep a customer and give out an address."""
    identifier = visit.object_id(PREFIX)
    whose: dict[str, Any] = {"account_id": visit.account(), "livemode": visit.livemode}
    with visit.database.begin() as connection:
        if store.find_customer(connection, identifier, **whose) is None:
            flow.create(
                connection,
                customer_id=identifier,
                now=visit.now,
                details=form.model_dump(),
                **whose,
            )
    told = visit.words.gettext("The customer has an address now.")
    return Redirect(f"{PATH}/{identifier}", flash=told)


def show(visit: Visit, customer: str) -> Page:
    """A customer with addresses and payments."""
    return _detail(visit, customer, None)


def change_again(visit: Visit, rejected: Rejected, customer: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, customer, rejected)


def change(visit: Visit, customer: str, form: CustomerForm) -> Redirect:
    """Change who it is; what is left empty is forgotten."""
    with visit.database.begin() as connection:
        found = _found(connection, visit, customer)
        flow.update(
            connection,
            found.id,
            form.model_dump(),
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{customer}", flash=visit.words.gettext("It is saved."))


def remove(visit: Visit, customer: str) -> Redirect:
    """Forget a customer's details. What comes to its addresses is credited for ever."""
    with visit.database.begin() as connection:
        found = _found(connection, visit, customer)
        flow.delete(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(PATH, flash=visit.words.gettext("The customer is deleted."))


def _detail(visit: Visit, customer: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = _found(connection, visit, customer)
        [shown] = flow.show(connection, [found])
        values: dict[str, Any] = {
            "customer": found,
            "addresses": shown.get("crypto_deposit_addresses", {}),
            "payments": story.list_of_customer(connection, found.id),
            "payins": story.list_payins_of_customer(connection, found.id),
            "symbols": symbols(connection),
        }
    statuses: Mapping[str, Any] = {"payment": STATUSES, "payin": PAYIN_STATUSES}
    return Page(
        "console/customer.html",
        values
        | {
            "words": statuses,
            "status_of": payin_status(visit),
            "rejected": rejected,
            "may_change": visit.may("customers", "write") and not found.deleted,
        },
    )


def _window(connection: Connection, visit: Visit, query: ListQuery) -> Window[Customer]:
    c = store.customers.c
    mode = c.livemode == visit.livemode
    bound: list[ColumnElement[bool]] = []
    filters: list[ColumnElement[bool]] = [~c.deleted]
    if visit.account_id is None:
        filters.append(mode)
    else:
        bound += [c.account_id == visit.account_id, mode]
    search = read_search(query.q or "")
    if search is not None:
        match search.kind:
            case SearchKind.id:
                bound.append(c.id == search.value)
            case SearchKind.email:
                bound.append(c.email == search.value)
            case _:
                pattern = like(query.q or "")
                names = (c.name, c.email, c.description)
                filters.append(or_(*(each.ilike(pattern) for each in names)))
    filters += created_within(visit, query, store.customers)
    return fetch_window(
        connection,
        store.customers,
        Customer,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _found(connection: Connection, visit: Visit, customer: str) -> Customer:
    found = store.find_visible(
        connection, customer, account_id=visit.account_id, livemode=visit.livemode
    )
    if found is None:
        raise flow.missing(customer)
    return found


def _file(rows: list[Customer]) -> Download:
    return csv_file(
        "customers.csv",
        [
            ("id", lambda row: row.id),
            ("created", lambda row: row.created),
            ("name", lambda row: row.name),
            ("email", lambda row: row.email),
            ("description", lambda row: row.description),
        ],
        rows,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "customers", menu=Menu("Payments", mark("Customers"))),
    Screen("GET", f"{PATH}/new", new, "customers", access="write"),
    Screen("POST", PATH, create, "customers", again=again),
    Screen("GET", PATH + "/{customer}", show, "customers"),
    Screen("POST", PATH + "/{customer}", change, "customers", again=change_again),
    Screen("POST", PATH + "/{customer}/delete", remove, "customers"),
)
