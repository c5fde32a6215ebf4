"""Application fees: what platforms took of what they did for others, and what of it went back."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection

from sakk.console.fee import part_of
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
from sakk.console.visit import Download, Page, Visit
from sakk.core import application_fee as rules
from sakk.core.application_fee import ApplicationFee, ApplicationFeeReason
from sakk.core.errors import ResourceMissing
from sakk.core.money import format_decimal
from sakk.core.search import SearchKind, read_search
from sakk.pages.language import mark
from sakk.store import account as accounts
from sakk.store import application_fee as store
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/application_fees"
RELATED_SHOWN_MAX: Final = 100
SIDES: Mapping[str, str] = {
    "platform": mark("Taken by us"),
    "account": mark("Taken of us"),
}
KINDS: Mapping[str, str] = {
    "payin": mark("Payment"),
    "payout": mark("Payout"),
    "refund": mark("Refund"),
}
REASONS: Mapping[str, tuple[str, str]] = {
    "charged": (mark("Taken"), "plain"),
    "returned": (mark("Given back with a refund"), "good"),
    "reversed": (mark("Undone"), "warn"),
}
STATUSES: Mapping[str, tuple[str, str]] = {
    "pending": (mark("Waits for the platform's balance"), "wait"),
    "posted": (mark("Done"), "good"),
}


class ApplicationFeeQuery(ListQuery):
    """Which fees; as the platform that took them, or as who they were taken of."""

    side: Literal["platform", "account"] | None = None
    reason: ApplicationFeeReason | None = None


def index(visit: Visit, query: ApplicationFeeQuery) -> Page | Download:
    """What was taken, newest first."""
    with visit.database.read() as connection:
        side = query.side or _side(connection, visit)
        window = _window(connection, visit, query, side)
        if query.is_file:
            return _file(window.rows)
        names = accounts.names(
            connection, {each for row in window.rows for each in (row.account_id, row.connected)}
        )
    shown = listing(visit, query, window, window.rows)
    shown.query["side"] = side
    values = {
        "list": shown,
        "side": side,
        "names": names,
        "kinds": KINDS,
        "reasons": REASONS,
        "statuses": STATUSES,
        "choices": {"side": options(visit, SIDES), "reason": options(visit, REASONS)},
    }
    return Page("console/application_fees.html", values)


def show(visit: Visit, application_fee: str) -> Page:
    """One fee: of what it was taken, by what rule, and what of it went back."""
    with visit.database.read() as connection:
        row = store.find(
            connection, application_fee, account_id=visit.account_id, livemode=visit.livemode
        )
        if row is None:
            raise ResourceMissing("There is no such fee.")
        names = accounts.names(connection, {row.account_id, row.connected})
        related = store.list_related(connection, row, limit=RELATED_SHOWN_MAX)
    values = {
        "row": row,
        "names": names,
        "parts": [(_part(visit, each["label"]), each["amount"]) for each in row.parts],
        "related": related,
        "left": sum(each.amount for each in related),
        "kinds": KINDS,
        "reasons": REASONS,
        "statuses": STATUSES,
    }
    return Page("console/application_fee.html", values)


def _side(connection: Connection, visit: Visit) -> str:
    """As what an account looks at fees where it does not say: as what it has any."""
    if visit.account_id is None or store.is_platform(
        connection, visit.account_id, livemode=visit.livemode
    ):
        return "platform"
    return "account"


def _window(
    connection: Connection, visit: Visit, query: ApplicationFeeQuery, side: str
) -> Window[ApplicationFee]:
    c = store.application_fees.c
    mode = c.livemode == visit.livemode
    bound: list[ColumnElement[bool]] = []
    filters = created_within(visit, query, store.application_fees)
    if visit.account_id is None:
        filters.append(mode)
    else:
        own = c.account_id if side == "platform" else c.connected
        bound += [own == visit.account_id, mode]
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id and search.name != "acct":
        columns = {rules.PREFIX: c.id, "pi": c.payment_intent, "cac": c.connected_account}
        column = columns.get(search.name or "", c.source)
        (filters if search.name == "cac" else bound).append(column == search.value)
    elif query.q is not None:
        filters.append((c.account_id == query.q) | (c.connected == query.q))
    if query.reason is not None:
        filters.append(c.reason == query.reason.value)
    return fetch_window(
        connection,
        store.application_fees,
        ApplicationFee,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _file(rows: list[ApplicationFee]) -> Download:
    def exact(name: str) -> tuple[str, Any]:
        return name, lambda row: Exact(format_decimal(getattr(row, name), row.decimals))

    return csv_file(
        "application_fees.csv",
        [
            *fields("id", "created", "account_id", "connected", "connected_account", "kind"),
            *fields("reason", "status", "source", "payment_intent"),
            exact("basis"),
            exact("amount"),
            *fields("currency", "version", "rule"),
        ],
        rows,
    )


def _part(visit: Visit, label: str) -> str:
    gettext = visit.words.gettext
    match label:
        case "application_fee_amount":
            return gettext("Named with the payment")
        case "agreed_maximum":
            return gettext("Cut at what was agreed to")
        case _:
            return part_of(visit, label)


_ONE: Final = PATH + "/{application_fee}"
SCREENS: tuple[Screen, ...] = (
    Screen(
        "GET",
        PATH,
        index,
        "application_fees",
        menu=Menu("Money", mark("Application fees")),
    ),
    Screen("GET", _ONE, show, "application_fees"),
)
