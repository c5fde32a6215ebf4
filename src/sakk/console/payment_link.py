"""Payment links: addresses that many people pay at, their codes, and what was paid under them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.checkout_session import with_payments
from sakk.console.listing import ListQuery, created_within, listing, options
from sakk.console.payment import STATUSES as PAYMENT_STATUSES
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import payment_link as rules
from sakk.core.checkout_session import Line, check_url
from sakk.core.errors import ParameterInvalid
from sakk.core.payment_link import PaymentLink
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import payment_link as flow
from sakk.flow.checkout_session import token_of
from sakk.flow.payment import read_catalogue
from sakk.pages.amount import read_amount
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import checkout_session as sessions
from sakk.store import network as networks
from sakk.store import payment_link as store
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/links"
SESSIONS_SHOWN: Final = 20
USES_MAX: Final = 1_000_000
STATES: Final[Mapping[str, str]] = {"active": mark("In use"), "inactive": mark("Switched off")}
# The parameters of commands, as the form names them.
_FIELDS: Final = {
    "line_items[0][price_data][currency]": "currency",
    "line_items[0][price_data][custom_unit_amount][minimum]": "least",
    "payment_method_options[crypto][networks]": "networks",
    "payment_method_options[crypto][networks][0]": "networks",
    "success_url": "success_url",
}

Amount = Annotated[str, Field(max_length=100)]
Text = Annotated[str, Field(max_length=500)]
Uses = Annotated[int, Field(ge=1, le=USES_MAX)]


class LinkQuery(ListQuery):
    """Which links."""

    state: Literal["active", "inactive"] | None = None


class ChangeForm(Form):
    """What may change afterwards; what is left empty is not said."""

    uses_max: Uses | None = None
    message: Text | None = None
    inactive_message: Text | None = None
    success_url: Annotated[str, Field(max_length=2_048)] | None = None


class LinkForm(ChangeForm):
    """What is asked for. ``priced`` payer: they say how much, within ``least`` and ``most``."""

    name: Annotated[str, Field(max_length=250)]
    currency: Annotated[str, Field(max_length=20)]
    priced: Literal["fixed", "payer"] = "fixed"
    amount: Amount | None = None
    least: Amount | None = None
    most: Amount | None = None
    networks: list[str] = Field(default_factory=list)


class StateForm(Form):
    """Switched on, or off."""

    state: Literal["active", "inactive"]


def index(visit: Visit, query: LinkQuery) -> Page:
    """The links, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
    return Page(
        "console/payment_links.html",
        {
            "list": listing(visit, query, window, window.rows),
            "is_usable": rules.is_usable,
            "may_create": visit.may("payment_links", "write") and visit.account_id is not None,
            "choices": {"state": options(visit, STATES)},
        },
    )


def draft(visit: Visit) -> Page:
    """An empty form."""
    return _form(visit, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The form as it was sent, with what is wrong with it."""
    return _form(visit, rejected)


def create(visit: Visit, form: LinkForm) -> Redirect:
    """Make a link."""
    account_id = visit.account()
    identifier = visit.object_id(rules.PREFIX)
    with visit.database.begin() as connection:
        whose: dict[str, Any] = {"account_id": account_id, "livemode": visit.livemode}
        if store.find(connection, identifier, **whose) is None:
            flow.create(
                connection,
                read_catalogue(connection),
                visit.parts.secrets_vault(),
                _drawn(visit, connection, form, identifier, account_id),
                public_url=visit.settings.public_url,
                now=visit.now,
                request_id=visit.request_id,
            )
    return Redirect(f"{PATH}/{identifier}", visit.words.gettext("The link can be paid now."))


def show(visit: Visit, link: str) -> Page:
    """One link: its address and code, and what was begun under it."""
    return _detail(visit, link, None)


def again(visit: Visit, rejected: Rejected, link: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, link, rejected)


def change(visit: Visit, link: str, form: ChangeForm) -> Redirect:
    """Limit it, or change what it says."""
    _change(visit, link, lambda before: _said(before, form))
    return Redirect(f"{PATH}/{link}", visit.words.gettext("It is saved."))


def switch(visit: Visit, link: str, form: StateForm) -> Redirect:
    """Switch it off, or on again; sessions that are open go on."""
    _change(visit, link, lambda before: replace(before, active=form.state == "active"))
    return Redirect(f"{PATH}/{link}", visit.words.gettext("It is saved."))


def _change(visit: Visit, identifier: str, changed: Any) -> None:
    with visit.database.begin() as connection:
        found = _found(connection, visit, identifier)
        flow.change(
            connection,
            visit.parts.secrets_vault(),
            found.id,
            changed,
            account_id=found.account_id,
            livemode=visit.livemode,
            public_url=visit.settings.public_url,
            now=visit.now,
            request_id=visit.request_id,
        )


def _said(link: PaymentLink, form: ChangeForm) -> PaymentLink:
    url = None if form.success_url is None else check_url(form.success_url, "success_url")
    return replace(
        link,
        uses_max=form.uses_max,
        success_url=url,
        # A payer who goes elsewhere reads nothing here.
        message=form.message if url is None else None,
        inactive_message=form.inactive_message,
    )


def _drawn(
    visit: Visit, connection: Connection, form: LinkForm, identifier: str, account_id: str
) -> PaymentLink:
    """The link that a form asks for."""
    currencies = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    decimals = currencies.get(form.currency)
    if decimals is None:
        raise ParameterInvalid(visit.words.gettext("Choose one from the list."), param="currency")

    def units(text: str | None, param: str) -> int | None:
        if text is None:
            return None
        try:
            return read_amount(text, decimals)
        except ValueError:
            told = visit.words.gettext("Write an amount, as 12.50.")
            raise ParameterInvalid(told, param=param) from None

    amount = None
    bounds = dict[str, int | None].fromkeys(("amount_min", "amount_max", "amount_preset"))
    if form.priced == "fixed":
        amount = units(form.amount or "", "amount")
    else:
        bounds |= {"amount_min": units(form.least, "least"), "amount_max": units(form.most, "most")}
        rules.check_bounds(**bounds)
    blank = PaymentLink(
        id=identifier,
        account_id=account_id,
        livemode=visit.livemode,
        token_hash="",
        active=True,
        currency=form.currency,
        decimals=decimals,
        lines=[Line(form.name, amount or 0, 1).document()],
        amount=amount,
        networks=form.networks or None,
        currencies=None,
        uses_max=None,
        uses=0,
        success_url=None,
        message=None,
        inactive_message=None,
        metadata={},
        created=visit.now,
        **bounds,
    )
    return _said(blank, form)


def _window(connection: Connection, visit: Visit, query: LinkQuery) -> Window[PaymentLink]:
    c = store.payment_links.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [mode] if visit.account_id is None else []
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append(c.id == search.value)
    elif search is not None:
        filters.append(c.lines[0]["name"].as_string().ilike(like(query.q or "")))
    if query.state is not None:
        filters.append(c.active.is_(query.state == "active"))
    filters += created_within(visit, query, store.payment_links)
    return fetch_window(
        connection,
        store.payment_links,
        PaymentLink,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        link = _found(connection, visit, identifier)
        begun = sessions.of_link(connection, link.id, limit=SESSIONS_SHOWN)
        paid = with_payments(connection, begun)
        rails = {each.network: each.name for each in networks.list_networks(connection)}
    token = token_of(visit.parts.secrets_vault(), link.id)
    return Page(
        "console/payment_link.html",
        {
            "link": link,
            "url": visit.settings.public_url + rules.page_path(token),
            "poster": rules.poster_path(token),
            "is_usable": rules.is_usable(link),
            "sessions": paid,
            "networks": [rails.get(each, each) for each in link.networks or ()],
            "words": PAYMENT_STATUSES,
            "may_change": visit.may("payment_links", "write"),
            "rejected": None if rejected is None else _renamed(rejected),
        },
    )


def _form(visit: Visit, rejected: Rejected | None) -> Page:
    visit.account()
    with visit.database.read() as connection:
        currencies = networks.list_currencies(connection)
        rails = networks.list_networks(connection, livemode=visit.livemode)
    return Page(
        "console/payment_link_new.html",
        {
            "currencies": [(each.currency, each.currency.upper()) for each in currencies],
            "networks": [(each.network, each.name) for each in rails if each.enabled],
            "rejected": None if rejected is None else _renamed(rejected),
        },
    )


def _renamed(rejected: Rejected) -> Rejected:
    faults = {_FIELDS.get(name, name): text for name, text in rejected.faults.items()}
    return Rejected(rejected.values, faults, rejected.message)


def _found(connection: Connection, visit: Visit, identifier: str) -> PaymentLink:
    found = store.find(connection, identifier, account_id=visit.account_id, livemode=visit.livemode)
    if found is None:
        raise flow.missing(identifier)
    return found


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "payment_links", menu=Menu("Payments", mark("Payment links"))),
    Screen("GET", f"{PATH}/new", draft, "payment_links", "write"),
    Screen("POST", f"{PATH}/new", create, "payment_links", again=draft_again),
    Screen("GET", PATH + "/{link}", show, "payment_links"),
    Screen("POST", PATH + "/{link}", change, "payment_links", again=again),
    Screen("POST", PATH + "/{link}/switch", switch, "payment_links", again=again),
)
