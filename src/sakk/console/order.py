"""Orders at venues: what closes open positions, why there, and who says yes to it."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.listing import (
    Exact,
    ListQuery,
    created_within,
    csv_file,
    fields,
    listing,
    options,
)
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import order as rules
from sakk.core.errors import ResourceMissing
from sakk.core.money import format_decimal
from sakk.core.order import Order, OrderStatus
from sakk.core.rate import write_price
from sakk.flow import order as flow
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import order as store
from sakk.store import person as persons
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/orders"
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "awaiting": (mark("Waits for people"), "wait"),
    "approved": (mark("Approved"), "wait"),
    "working": (mark("At venues"), "wait"),
    "done": (mark("Done"), "good"),
    "canceled": (mark("Called off"), "plain"),
    "expired": (mark("Waited too long"), "warn"),
}
SIDES: Final[Mapping[str, str]] = {"buy": mark("Buy"), "sell": mark("Sell")}
WHYS: Final[Mapping[str, tuple[str, str]]] = {
    "chosen": (mark("Has a part"), "good"),
    "slow": (mark("Too slow"), "plain"),
    "nothing": (mark("Offers nothing within the limit"), "plain"),
    "minimum": (mark("Its minimum is more than can be had of it"), "plain"),
    "dearer": (mark("No better than the others"), "plain"),
}


class OrderQuery(ListQuery):
    """Which orders."""

    status: OrderStatus | None = None
    base: Annotated[str, Field(max_length=20)] | None = None


def index(visit: Visit, query: OrderQuery) -> Page | Download:
    """The orders, newest first."""
    c = store.orders.c
    filters = created_within(visit, query, store.orders)
    if query.status is not None:
        filters.append(c.status == query.status.value)
    if query.base is not None:
        filters.append(c.base == query.base)
    if query.q is not None:
        filters.append(c.id == query.q)
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.orders,
            Order,
            bound=[c.livemode == visit.livemode],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        codes = [each.currency for each in networks.list_currencies(connection)]
    if query.is_file:
        return _file(window.rows)
    values = {
        "list": listing(visit, query, window, window.rows),
        "statuses": STATUSES,
        "sides": SIDES,
        "write_price": write_price,
        "needed": rules.APPROVALS_NEEDED,
        "choices": {
            "status": options(visit, STATUSES),
            "base": [(each, each.upper()) for each in codes],
        },
    }
    return Page("console/orders.html", values)


def show(visit: Visit, order: str) -> Page:
    """One order: its route, its parts, and who said yes."""
    return _detail(visit, order, None)


def again(visit: Visit, rejected: Rejected, order: str) -> Page:
    """The same with why something could not be done."""
    return _detail(visit, order, rejected)


def approve(visit: Visit, order: str) -> Redirect:
    """Say yes; the second person's yes sends it."""
    found = flow.approve(
        visit.parts,
        order,
        actor=visit.actor,
        livemode=visit.livemode,
        step_up=visit.step_up,
    )
    told = (
        visit.words.gettext("Approved: it goes to the venues.")
        if found.status == OrderStatus.approved
        else visit.words.gettext("You said yes. Another person has to, too.")
    )
    return Redirect(f"{PATH}/{order}", told)


def cancel(visit: Visit, order: str) -> Redirect:
    """Call off an order that waits."""
    flow.cancel(visit.parts, order, actor=visit.actor, livemode=visit.livemode)
    return Redirect(f"{PATH}/{order}", visit.words.gettext("The order is called off."))


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = store.find(connection, identifier, livemode=visit.livemode)
        if found is None:
            raise ResourceMissing("There is no such order.")
        children = store.list_children(connection, found.id)
        names = persons.names(connection, found.approvals)
    route: dict[str, Any] = found.route or {}
    waits = found.status == OrderStatus.awaiting and visit.now < found.expires_at
    values = {
        "row": found,
        "children": children,
        "names": names,
        "route": route,
        "venues": route.get("venues", []),
        "statuses": STATUSES,
        "sides": SIDES,
        "whys": WHYS,
        "write_price": write_price,
        "needed": rules.APPROVALS_NEEDED,
        "waits": waits,
        "may_decide": waits and visit.may("orders", "write"),
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/order.html", values)


def _file(rows: list[Order]) -> Download:
    def exact(name: str, scale: str) -> tuple[str, Any]:
        return name, lambda row: Exact(format_decimal(getattr(row, name), getattr(row, scale)))

    return csv_file(
        "orders.csv",
        [
            *fields("id", "created", "status", "side", "base", "quote"),
            exact("units", "base_decimals"),
            ("limit", lambda row: Exact(write_price(row.limit_price))),
            exact("filled_units", "base_decimals"),
            exact("quote_units", "quote_decimals"),
            exact("fee_units", "quote_decimals"),
            ("usd", lambda row: Exact(format_decimal(row.usd_cents, 2))),
            ("approvals", lambda row: " ".join(row.approvals)),
            *fields("ended_at"),
        ],
        rows,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "orders", operator_only=True, menu=Menu("Money", mark("Orders"))),
    Screen("GET", f"{PATH}/{{order}}", show, "orders", operator_only=True),
    Screen(
        "POST",
        f"{PATH}/{{order}}/approve",
        approve,
        "orders",
        step_up=True,
        operator_only=True,
        again=again,
    ),
    Screen(
        "POST",
        f"{PATH}/{{order}}/cancel",
        cancel,
        "orders",
        step_up=True,
        operator_only=True,
        again=again,
    ),
)
