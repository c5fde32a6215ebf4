"""Refills: rules that keep agents' channels funded, each made at its channel and ended here."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.failure import FAILURES
from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import refill as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.refill import Refill, RefillStatus
from sakk.flow import refill as flow
from sakk.pages.amount import read_amount
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import channel as channels
from sakk.store import refill as store
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/refills"
STATUSES: Mapping[str, tuple[str, str]] = {
    RefillStatus.active: (mark("In force"), "good"),
    RefillStatus.exhausted: (mark("Used up"), "warn"),
    RefillStatus.ended: (mark("Ended"), "plain"),
}

Amount = Annotated[str, Field(max_length=100)]


class RefillQuery(ListQuery):
    """Which rules."""

    status: RefillStatus | None = None


class RuleForm(Form):
    """Below how much left a channel is refilled, and up to how much left; in whole units."""

    channel: Annotated[str, Field(max_length=255)]
    below: Amount
    up_to: Amount


def index(visit: Visit, query: RefillQuery) -> Page | Download:
    """The rules, newest first."""
    if not query.is_file:
        return _listed(visit, query, None)
    names = ("id", "created", "status", "channel", "mandate", "below", "up_to", "failure_code")
    return csv_file("refills.csv", fields(*names), _window(visit, query)[0].rows)


def again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _listed(visit, RefillQuery(), rejected)


def create(visit: Visit, form: RuleForm) -> Redirect:
    """Keep a channel funded from now on, within what its agent signed and its mandate allows."""
    identifier = visit.object_id(rules.PREFIX)
    told = visit.words.gettext("The channel is kept funded from now on.")
    whose: dict[str, Any] = {"account_id": visit.account(), "livemode": visit.livemode}
    with visit.database.begin() as connection:
        if store.find(connection, identifier, **whose) is not None:
            return Redirect(PATH, told)
        found = channels.find(connection, form.channel, livemode=visit.livemode)
        if found is None or found.account_id != whose["account_id"]:
            raise ParameterInvalid("There is no such channel of yours.", param="channel")
        flow.create(
            connection,
            found.id,
            below=_units(visit, form.below, found.decimals, "below"),
            up_to=_units(visit, form.up_to, found.decimals, "up_to"),
            identifier=identifier,
            now=visit.now,
            **whose,
        )
    return Redirect(PATH, told)


def end(visit: Visit, refill: str) -> Redirect:
    """Put nothing in any more; what was put in stays there."""
    with visit.database.begin() as connection:
        flow.end(connection, refill, account_id=visit.account(), livemode=visit.livemode)
    return Redirect(PATH, visit.words.gettext("Nothing is put in any more."))


def _listed(visit: Visit, query: RefillQuery, rejected: Rejected | None) -> Page:
    window, scales = _window(visit, query)
    values = {
        "list": listing(visit, query, window, window.rows),
        "scales": scales,
        "statuses": STATUSES,
        "failures": FAILURES,
        "may_change": visit.account_id is not None and visit.may("refills", "write"),
        "given": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
        "message": None if rejected is None else rejected.message,
        "choices": {"status": options(visit, STATUSES)},
    }
    return Page("console/refills.html", values)


def _window(visit: Visit, query: RefillQuery) -> tuple[Window[Refill], dict[str, tuple[int, str]]]:
    """A page of rules, and by channel the decimals and the currency of its money."""
    c = store.refills.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = created_within(visit, query, store.refills)
    if visit.account_id is None:
        filters.append(mode)
    if query.status is not None:
        filters.append(c.status == query.status.value)
    if query.q is not None:
        filters.append((c.id == query.q) | (c.channel == query.q) | (c.mandate == query.q))
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.refills,
            Refill,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        return window, channels.units_of(connection, [row.channel for row in window.rows])


def _units(visit: Visit, text: str, decimals: int, param: str) -> int:
    try:
        return read_amount(text, decimals)
    except ValueError:
        told = visit.words.gettext("Write an amount as 1250.00, without signs between the digits.")
        raise ParameterInvalid(told, param=param) from None


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "refills", menu=Menu("Agents", mark("Refills"))),
    Screen("POST", PATH, create, "refills", step_up=True, again=again),
    Screen("POST", f"{PATH}/{{refill}}/end", end, "refills"),
)
