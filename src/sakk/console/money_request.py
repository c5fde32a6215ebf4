"""Requests for money: what an account asks others for, and what it is asked for itself."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.amount import currencies, units_of
from sakk.console.listing import ListQuery, created_within, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import money_request as rules
from sakk.core import transfer as transfers
from sakk.core.alias import NOTE_LENGTH_MAX
from sakk.core.errors import ResourceMissing
from sakk.core.money_request import MoneyRequest, MoneyRequestStatus
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import money_request as flow
from sakk.pages.form import Form
from sakk.pages.language import mark, mark_in
from sakk.store import money_request as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/money_requests"
STATUSES: Mapping[str, tuple[str, str]] = {
    "open": (mark_in("request for money", "Open"), "wait"),
    "paid": (mark("Paid"), "good"),
    "declined": (mark("Declined"), "bad"),
    "canceled": (mark("Called off"), "plain"),
    "expired": (mark("Expired"), "plain"),
}
DIRECTIONS: Mapping[str, str] = {
    "outgoing": mark("What we ask for"),
    "incoming": mark("What we are asked for"),
}
Typed = Annotated[str, Field(max_length=80)]


class MoneyRequestQuery(ListQuery):
    """Which requests; those that the account made, where nothing is said."""

    direction: Literal["outgoing", "incoming"] | None = None
    status: MoneyRequestStatus | None = None


class AskForm(Form):
    """Whom is asked for what; without an amount the payer chooses it."""

    payer: Annotated[str, Field(max_length=255)]
    currency: Annotated[str, Field(max_length=20)]
    amount: Typed | None = None
    note: Annotated[str, Field(max_length=NOTE_LENGTH_MAX)] | None = None
    until: date | None = None


class PayForm(Form):
    """How much of it; all that is left when it is empty."""

    amount: Typed | None = None


def index(visit: Visit, query: MoneyRequestQuery) -> Page:
    """The requests, newest first, and a form to ask for money."""
    return _list(visit, query, None)


def list_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _list(visit, MoneyRequestQuery(), rejected)


def ask(visit: Visit, form: AskForm) -> Redirect:
    """Ask another account, a handle or an e-mail address for money."""
    account_id = visit.account()
    until = None if form.until is None else datetime.combine(form.until, time(), UTC)
    identifier = visit.object_id(rules.PREFIX)
    with visit.database.begin() as connection:
        if store.find(connection, identifier, account_id=account_id, livemode=visit.livemode):
            return Redirect(f"{PATH}/{identifier}")
        amount = None
        if form.amount is not None:
            amount = units_of(visit, connection, form.amount, form.currency)
        flow.create(
            connection,
            flow.Asked(form.payer, amount, form.currency, form.note, until),
            identifier=identifier,
            account_id=account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{identifier}", visit.words.gettext("Asked."))


def show(visit: Visit, money_request: str) -> Page:
    """One request."""
    return _detail(visit, money_request, None)


def again(visit: Visit, rejected: Rejected, money_request: str) -> Page:
    """The same with what could not be done."""
    return _detail(visit, money_request, rejected)


def pay(visit: Visit, money_request: str, form: PayForm) -> Redirect:
    """Pay what is left of it, or a part."""
    row, is_asked = _found(visit, money_request)
    account_id = visit.account()
    if not is_asked:
        raise ResourceMissing("There is no such request for money.")
    amount = None
    if form.amount is not None:
        with visit.database.read() as connection:
            amount = units_of(visit, connection, form.amount, row.currency)
    flow.pay(
        visit.parts,
        row.id,
        amount,
        transfer_id=visit.object_id(transfers.PREFIX),
        account_id=account_id,
        livemode=visit.livemode,
        actor=visit.actor,
        request_id=visit.request_id,
    )
    return Redirect(f"{PATH}/{row.id}", visit.words.gettext("Paid."))


def decline(visit: Visit, money_request: str) -> Redirect:
    """Say that it is not paid."""
    row, _ = _found(visit, money_request)
    with visit.database.begin() as connection:
        flow.decline(
            connection,
            row.id,
            account_id=visit.account(),
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{row.id}", visit.words.gettext("Declined: who asks is told."))


def cancel(visit: Visit, money_request: str) -> Redirect:
    """Call it off."""
    row = _own(visit, money_request)
    with visit.database.begin() as connection:
        flow.cancel(
            connection,
            row.id,
            account_id=row.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{row.id}", visit.words.gettext("Called off."))


def remind(visit: Visit, money_request: str) -> Redirect:
    """Remind who is asked."""
    row = _own(visit, money_request)
    with visit.database.begin() as connection:
        flow.remind(
            connection,
            row.id,
            account_id=row.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{row.id}", visit.words.gettext("Reminded."))


def _list(visit: Visit, query: MoneyRequestQuery, rejected: Rejected | None) -> Page:
    c = store.money_requests.c
    mode = c.livemode == visit.livemode
    bound: list[Any] = []
    filters: list[Any] = [mode]
    is_incoming = query.direction == "incoming" and visit.account_id is not None
    if is_incoming:
        assert visit.account_id is not None
        filters.append(store.is_asked(visit.account_id, livemode=visit.livemode))
    elif visit.account_id is not None:
        bound, filters = [c.account_id == visit.account_id, mode], []
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        filters.append(c.bill == search.value if search.name == "bill" else c.id == search.value)
    elif search is not None:
        filters.append(c.note.ilike(like(query.q or "")))
    if query.status is not None:
        filters.append(c.status == query.status.value)
    filters += created_within(visit, query, store.money_requests)
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.money_requests,
            MoneyRequest,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        known = currencies(connection)
    return Page(
        "console/money_requests.html",
        {
            "list": listing(visit, query, window, window.rows),
            "is_incoming": is_incoming,
            "words": STATUSES,
            "choices": {
                "status": options(visit, STATUSES),
                "direction": options(visit, DIRECTIONS),
                "currency": known,
            },
            "may_ask": visit.may("money_requests", "write") and visit.account_id is not None,
            "rejected": rejected,
            "sent": {} if rejected is None else rejected.values,
            "faults": {} if rejected is None else rejected.faults,
        },
    )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    row, is_asked = _found(visit, identifier)
    is_open = row.status == MoneyRequestStatus.open and row.expires_at > visit.now
    may_write = visit.may("money_requests", "write") and is_open
    return Page(
        "console/money_request.html",
        {
            "row": row,
            "is_asked": is_asked,
            "may_pay": may_write and is_asked,
            "may_end": may_write and not is_asked,
            "may_remind": may_write and not is_asked and row.reminders < rules.REMINDERS_MAX,
            "words": STATUSES,
            "rejected": rejected,
            "faults": {} if rejected is None else rejected.faults,
        },
    )


def _found(visit: Visit, identifier: str) -> tuple[MoneyRequest, bool]:
    """A request, and whether the account that was chosen is the one that is asked."""
    with visit.database.read() as connection:
        if visit.account_id is None:
            found = store.find_any(connection, identifier, livemode=visit.livemode)
        else:
            whose: dict[str, Any] = {"account_id": visit.account_id, "livemode": visit.livemode}
            found = store.find(connection, identifier, **whose)
            if found is None:
                asked = store.find_asked(connection, identifier, **whose)
                if asked is not None:
                    return asked, True
    if found is None:
        raise ResourceMissing("There is no such request for money.")
    return found, False


def _own(visit: Visit, identifier: str) -> MoneyRequest:
    """A request that the chosen account made: who is asked neither ends it nor reminds."""
    found, is_asked = _found(visit, identifier)
    if is_asked:
        raise ResourceMissing("There is no such request for money.")
    return found


_ONE: Final = PATH + "/{money_request}"
SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "money_requests", menu=Menu("Payments", mark("Requests for money"))),
    Screen("POST", PATH, ask, "money_requests", again=list_again),
    Screen("GET", _ONE, show, "money_requests"),
    Screen("POST", f"{_ONE}/pay", pay, "money_requests", step_up=True, again=again),
    Screen("POST", f"{_ONE}/decline", decline, "money_requests", again=again),
    Screen("POST", f"{_ONE}/cancel", cancel, "money_requests", again=again),
    Screen("POST", f"{_ONE}/remind", remind, "money_requests", again=again),
)
