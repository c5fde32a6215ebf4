"""Tills: phones at a counter that may ask to be paid, and what was asked at each."""

from typing import Annotated, Final, Literal

from pydantic import Field

from sakk.console.checkout_session import with_payments
from sakk.console.listing import ListQuery, created_within, listing
from sakk.console.payment import STATUSES
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import pos_device as rules
from sakk.core.pos_device import PosDevice
from sakk.core.search import SearchKind, like, read_search
from sakk.core.volume import beginning, last_days
from sakk.flow import pos_device as flow
from sakk.flow.payment import read_catalogue
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.pages.moment import zone_of
from sakk.store import checkout_session as sessions
from sakk.store import network as networks
from sakk.store import pos_device as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/tills"

Name = Annotated[str, Field(max_length=100)]


class TillForm(Form):
    """What it is called, and in which currency it prices."""

    name: Name
    currency: Annotated[str, Field(max_length=20)]


class NameForm(Form):
    """What it is called from now on."""

    name: Name


class StateForm(Form):
    """Switched on, or off."""

    state: Literal["active", "inactive"]


def index(visit: Visit, query: ListQuery) -> Page:
    """The tills, newest first, and a form for a new one."""
    return _list(visit, query, None)


def list_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _list(visit, ListQuery(), rejected)


def create(visit: Visit, form: TillForm) -> Page | Redirect:
    """Set one up; the link that makes a phone this till is on this page and nowhere else."""
    account_id = visit.account()
    identifier = visit.object_id(rules.PREFIX)
    with visit.database.begin() as connection:
        if store.find(connection, identifier, account_id=account_id, livemode=visit.livemode):
            return Redirect(
                f"{PATH}/{identifier}",
                visit.words.gettext("This till is set up already. Pair a phone with it below."),
                "plain",
            )
        device, token = flow.create(
            connection,
            read_catalogue(connection),
            PosDevice(
                id=identifier,
                account_id=account_id,
                livemode=visit.livemode,
                name=form.name,
                active=True,
                currency=form.currency,
                decimals=0,
                networks=None,
                currencies=None,
                pairing_hash=None,
                pairing_until=None,
                token_hash=None,
                paired_at=None,
                metadata={},
                created=visit.now,
            ),
            now=visit.now,
        )
    return _pairing(visit, device, token)


def show(visit: Visit, till: str) -> Page:
    """One till, and what was asked at it."""
    return _detail(visit, till, None)


def again(visit: Visit, rejected: Rejected, till: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, till, rejected)


def rename(visit: Visit, till: str, form: NameForm) -> Redirect:
    """Call it otherwise."""
    _change(visit, till, name=form.name)
    return Redirect(f"{PATH}/{till}", visit.words.gettext("It is saved."))


def switch(visit: Visit, till: str, form: StateForm) -> Redirect:
    """Switch it off, as when the phone is lost, or on again."""
    _change(visit, till, active=form.state == "active")
    return Redirect(f"{PATH}/{till}", visit.words.gettext("It is saved."))


def pair(visit: Visit, till: str) -> Page:
    """Another phone becomes it; the one that was it is none any more."""
    device, token = _change(visit, till, pair=True)
    assert token is not None
    return _pairing(visit, device, token)


def _change(
    visit: Visit,
    identifier: str,
    *,
    name: str | None = None,
    active: bool | None = None,
    pair: bool = False,
) -> tuple[PosDevice, str | None]:
    with visit.database.begin() as connection:
        before = flow.require(
            connection,
            identifier,
            account_id=visit.account_id,
            livemode=visit.livemode,
            lock=True,
        )
        return flow.change(
            connection,
            before,
            active=active,
            name=name,
            metadata=None,
            pair=pair,
            now=visit.now,
        )


def _pairing(visit: Visit, device: PosDevice, token: str) -> Page:
    url = visit.settings.public_url + rules.pairing_path(token)
    return Page("console/pos_device_paired.html", {"device": device, "url": url})


def _list(visit: Visit, query: ListQuery, rejected: Rejected | None) -> Page:
    c = store.pos_devices.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [mode] if visit.account_id is None else []
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append(c.id == search.value)
    elif search is not None:
        filters.append(c.name.ilike(like(query.q or "")))
    filters += created_within(visit, query, store.pos_devices)
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.pos_devices,
            PosDevice,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        currencies = networks.list_currencies(connection)
    return Page(
        "console/pos_devices.html",
        {
            "list": listing(visit, query, window, window.rows),
            "currencies": [(each.currency, each.currency.upper()) for each in currencies],
            "may_create": visit.may("pos_devices", "write") and visit.account_id is not None,
            "rejected": rejected,
        },
    )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    zone = zone_of(visit.time_zone)
    days = last_days(visit.now, rules.TAKINGS_DAYS, zone)
    with visit.database.read() as connection:
        device = flow.require(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
        taken = store.takings(connection, device, since=beginning(days[0], zone), zone=zone.key)
        asked = sessions.of_device(connection, device.id, limit=rules.SALES_SHOWN_MAX)
        sales = with_payments(connection, asked)
    return Page(
        "console/pos_device.html",
        {
            "device": device,
            "sales_rows": sales,
            "takings": rules.each_day(taken, days),
            "may_pair": rules.may_pair(device, visit.now),
            "may_change": visit.may("pos_devices", "write"),
            "words": STATUSES,
            "rejected": rejected,
        },
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "pos_devices", menu=Menu("Payments", mark("Tills"))),
    Screen("POST", PATH, create, "pos_devices", again=list_again),
    Screen("GET", PATH + "/{till}", show, "pos_devices"),
    Screen("POST", PATH + "/{till}", rename, "pos_devices", again=again),
    Screen("POST", PATH + "/{till}/switch", switch, "pos_devices", again=again),
    Screen("POST", PATH + "/{till}/pair", pair, "pos_devices"),
)
