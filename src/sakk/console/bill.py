"""Bills that are split: each share is a request for money, and the shares sum to the bill."""

import re
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.amount import currencies, units_of
from sakk.console.listing import ListQuery, created_within, listing
from sakk.console.money_request import STATUSES
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import bill as rules
from sakk.core import money_request as requests
from sakk.core.alias import NOTE_LENGTH_MAX
from sakk.core.bill import Bill, Share
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import bill as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import money_request as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/bills"
SHARES_LENGTH_MAX: Final = 10_000
# Who, and how much if it is said; what is not said is divided equally.
_LINE: Final = re.compile(r"(\S+)(?:\s+(\S+))?")


class SplitForm(Form):
    """A bill, and a line for each of the others: who, and how much if it is said."""

    amount: Annotated[str, Field(max_length=80)]
    currency: Annotated[str, Field(max_length=20)]
    shares: Annotated[str, Field(max_length=SHARES_LENGTH_MAX)]
    own: Annotated[str, Field(max_length=80)] | None = None
    note: Annotated[str, Field(max_length=NOTE_LENGTH_MAX)] | None = None


class ReassignForm(Form):
    """Which share, and who bears what is left of it; nobody said: who paid the bill."""

    share: Annotated[str, Field(max_length=60)]
    payer: Annotated[str, Field(max_length=255)] | None = None


def index(visit: Visit, query: ListQuery) -> Page:
    """The bills, newest first, and a form to split one."""
    return _list(visit, query, None)


def list_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _list(visit, ListQuery(), rejected)


def split(visit: Visit, form: SplitForm) -> Redirect:
    """Split a bill: each of the others is asked for a share."""
    account_id = visit.account()
    identifier = visit.object_id(rules.PREFIX)
    whose: dict[str, Any] = {"account_id": account_id, "livemode": visit.livemode}
    with visit.database.begin() as connection:
        if store.find_bill(connection, identifier, **whose):
            return Redirect(f"{PATH}/{identifier}")

        def units(text: str, param: str) -> int:
            return units_of(visit, connection, text, form.currency, param=param)

        amount = units(form.amount, "amount")
        shares = [
            Share(payer, None if part is None else units(part, "shares"))
            for payer, part in _lines(visit, form.shares)
        ]
        flow.split(
            connection,
            Bill(
                id=identifier,
                **whose,
                amount=amount,
                own_share=0,
                currency=form.currency,
                decimals=0,
                note=form.note,
                metadata={},
                created=visit.now,
            ),
            shares,
            own_amount=None if form.own is None else units(form.own, "own"),
            own_weight=1,
            expires_at=None,
            share_id=lambda place: visit.object_id(requests.PREFIX, place),
        )
    return Redirect(f"{PATH}/{identifier}", visit.words.gettext("Everybody is asked."))


def show(visit: Visit, bill: str) -> Page:
    """One bill with its shares."""
    return _detail(visit, bill, None)


def again(visit: Visit, rejected: Rejected, bill: str) -> Page:
    """The same with what could not be done."""
    return _detail(visit, bill, rejected)


def reassign(visit: Visit, bill: str, form: ReassignForm) -> Redirect:
    """Give what is left of a share to somebody else, or take it on."""
    found = _found(visit, bill)
    with visit.database.begin() as connection:
        flow.reassign(
            connection,
            found.id,
            form.share,
            form.payer,
            share_id=visit.object_id(requests.PREFIX),
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    told = visit.words.gettext("Somebody else is asked for it.")
    if form.payer is None:
        told = visit.words.gettext("The rest of the share is borne by who paid the bill.")
    return Redirect(f"{PATH}/{found.id}", told)


def _lines(visit: Visit, text: str) -> list[tuple[str, str | None]]:
    written = [each.strip() for each in text.splitlines() if each.strip()]
    if not 0 < len(written) <= rules.SHARES_MAX:
        told = visit.words.gettext("Write 1 to {most} lines.", most=rules.SHARES_MAX)
        raise ParameterInvalid(told, param="shares")
    found = []
    for each in written:
        line = _LINE.fullmatch(each)
        if line is None:
            told = visit.words.gettext("A line is who is asked, and an amount if you like.")
            raise ParameterInvalid(told, param="shares")
        found.append((line[1], line[2]))
    return found


def _list(visit: Visit, query: ListQuery, rejected: Rejected | None) -> Page:
    c = store.bills.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [mode] if visit.account_id is None else []
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append(c.id == search.value)
    elif search is not None:
        filters.append(c.note.ilike(like(query.q or "")))
    filters += created_within(visit, query, store.bills)
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.bills,
            Bill,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        shares = store.shares_of(connection, [each.id for each in window.rows])
        known = currencies(connection)
    return Page(
        "console/bills.html",
        {
            "list": listing(visit, query, window, window.rows),
            "paid": {name: sum(each.amount_paid for each in rows) for name, rows in shares.items()},
            "currencies": known,
            "may_split": visit.may("bills", "write") and visit.account_id is not None,
            "rejected": rejected,
            "sent": {} if rejected is None else rejected.values,
            "faults": {} if rejected is None else rejected.faults,
        },
    )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    bill = _found(visit, identifier)
    with visit.database.read() as connection:
        shares = store.shares_of(connection, [bill.id])[bill.id]
    paid = sum(each.amount_paid for each in shares)
    return Page(
        "console/bill.html",
        {
            "bill": bill,
            "shares": shares,
            "paid": paid,
            "open": bill.amount - bill.own_share - paid,
            "may_write": visit.may("bills", "write"),
            "words": STATUSES,
            "rejected": rejected,
        },
    )


def _found(visit: Visit, identifier: str) -> Bill:
    with visit.database.read() as connection:
        found = store.find_bill(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    if found is None:
        raise ResourceMissing("There is no such bill.")
    return found


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "bills", menu=Menu("Payments", mark("Split bills"))),
    Screen("POST", PATH, split, "bills", again=list_again),
    Screen("GET", PATH + "/{bill}", show, "bills"),
    Screen("POST", PATH + "/{bill}/reassign", reassign, "bills", again=again),
)
