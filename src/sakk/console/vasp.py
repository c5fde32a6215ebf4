"""Institutions that keep wallets for others: who they are, where they are asked, who is trusted."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Connection

from sakk.console.listing import ListQuery, created_within, csv_file, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.travel_rule import DIRECTIONS, EXCHANGES, STATUSES
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import vasp as rules
from sakk.core.evm import checksum_address
from sakk.core.search import SearchKind, like, read_search
from sakk.core.travel_rule import TravelRule
from sakk.core.vasp import Vasp, VaspStatus
from sakk.flow import vasp as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import travel_rule as records
from sakk.store import vasp as store
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/vasps"
# An address has 42 letters, and a line its end.
ADDRESSES_LENGTH_MAX: Final = rules.ADDRESSES_MAX * 44
TRAVEL_ADDRESS_LENGTH_MAX: Final = 2_000
RECORDS_SHOWN: Final = 20
WORDS: Mapping[str, tuple[str, str]] = {
    VaspStatus.active: (mark("Trusted"), "good"),
    VaspStatus.blocked: (mark("Blocked"), "bad"),
}
_PLACE = re.compile(r"addresses\[\d+\]")


class VaspQuery(ListQuery):
    """Which institutions."""

    status: VaspStatus | None = None


class VaspForm(Form):
    """What is known of one. ``addresses``: known to be its, a line each."""

    name: Annotated[str, Field(max_length=200)]
    lei: Annotated[str, Field(max_length=20)] | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    travel_address: Annotated[str, Field(max_length=TRAVEL_ADDRESS_LENGTH_MAX)] | None = None
    addresses: Annotated[str, Field(max_length=ADDRESSES_LENGTH_MAX)] | None = None

    def told(self) -> dict[str, Any]:
        """As the command takes it: what is empty is known no more."""
        return self.model_dump(exclude={"addresses"}) | {
            "addresses": re.split(r"[\s,;]+", self.addresses) if self.addresses else []
        }


class TrustForm(Form):
    """Is it dealt with?"""

    status: Literal["active", "blocked"]


def index(visit: Visit, query: VaspQuery) -> Page | Download:
    """The directory, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
    if query.is_file:
        return csv_file(
            "institutions.csv",
            [
                ("id", lambda row: row.id),
                ("created", lambda row: row.created),
                ("name", lambda row: row.name),
                ("lei", lambda row: row.lei),
                ("country", lambda row: row.country),
                ("status", lambda row: row.status),
                ("travel_address", lambda row: row.travel_address),
                ("addresses", lambda row: " ".join(map(checksum_address, row.addresses))),
            ],
            window.rows,
        )
    values = {
        "list": listing(visit, query, window, window.rows),
        "words": WORDS,
        "choices": {"status": options(visit, WORDS)},
        "may_write": visit.may("vasps", "write"),
    }
    return Page("console/vasps.html", values)


def draft(visit: Visit) -> Page:
    """An empty form."""
    return _form(visit, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The form as it was sent, with what is wrong with it."""
    return _form(visit, rejected)


def create(visit: Visit, form: VaspForm) -> Redirect:
    """Put an institution in the directory."""
    identifier = visit.object_id(rules.PREFIX)
    with visit.database.begin() as connection:
        if store.find(connection, identifier, livemode=visit.livemode) is None:
            flow.create(
                connection,
                form.told(),
                identifier=identifier,
                livemode=visit.livemode,
                now=visit.now,
            )
    return Redirect(f"{PATH}/{identifier}", visit.words.gettext("It is in the directory."))


def show(visit: Visit, vasp: str) -> Page:
    """One institution, and the newest transfers with it."""
    return _detail(visit, vasp, None)


def again(visit: Visit, rejected: Rejected, vasp: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, vasp, rejected)


def change(visit: Visit, vasp: str, form: VaspForm) -> Redirect:
    """Write down what is known now."""
    with visit.database.begin() as connection:
        flow.update(connection, vasp, form.told(), livemode=visit.livemode)
    return Redirect(f"{PATH}/{vasp}", visit.words.gettext("It is saved."))


def trust(visit: Visit, vasp: str, form: TrustForm) -> Redirect:
    """Block it both ways, or deal with it again."""
    with visit.database.begin() as connection:
        flow.update(connection, vasp, {"status": form.status}, livemode=visit.livemode)
    gettext = visit.words.gettext
    told = gettext("Blocked: nothing is sent to it, and what it sends is held.")
    if form.status == "active":
        told = gettext("It is dealt with again.")
    return Redirect(f"{PATH}/{vasp}", told)


def _window(connection: Connection, visit: Visit, query: VaspQuery) -> Window[Vasp]:
    c = store.vasps.c
    bound: list[ColumnElement[bool]] = []
    filters = [c.livemode == visit.livemode, *created_within(visit, query, store.vasps)]
    search = read_search(query.q or "")
    match search:
        case None:
            pass
        case search if search.kind is SearchKind.id:
            bound.append(c.id == search.value)
        case search if search.kind is SearchKind.address:
            bound.append(c.addresses.contains([search.value]))
        case _:
            text = (query.q or "").strip()
            filters.append(c.name.ilike(like(text)) | (c.lei == text.upper()))
    if query.status is not None:
        filters.append(c.status == query.status.value)
    return fetch_window(
        connection,
        store.vasps,
        Vasp,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = flow.find(connection, identifier, livemode=visit.livemode)
        c = records.travel_rules.c
        whose = [] if visit.account_id is None else [c.account_id == visit.account_id]
        dealings = fetch_window(
            connection,
            records.travel_rules,
            TravelRule,
            bound=[c.vasp == found.id],
            filters=[c.livemode == visit.livemode, *whose],
            limit=RECORDS_SHOWN,
            after=None,
            before=None,
        )
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    known = {
        "name": found.name,
        "lei": found.lei,
        "country": found.country,
        "travel_address": found.travel_address,
        "addresses": "\n".join(map(checksum_address, found.addresses)),
    }
    values = {
        "row": found,
        "dealings": dealings.rows,
        "scales": scales,
        "words": {"status": STATUSES, "exchange": EXCHANGES, "direction": DIRECTIONS, "own": WORDS},
        "may_write": visit.may("vasps", "write"),
        **_fields(known, rejected),
    }
    return Page("console/vasp.html", values)


def _form(visit: Visit, rejected: Rejected | None) -> Page:
    return Page("console/vasp_new.html", _fields({}, rejected))


def _fields(known: Mapping[str, Any], rejected: Rejected | None) -> dict[str, Any]:
    if rejected is None:
        return {"sent": known, "faults": {}, "message": None}
    faults = {
        "addresses" if _PLACE.fullmatch(name) else name: text
        for name, text in rejected.faults.items()
    }
    return {"sent": rejected.values, "faults": faults, "message": rejected.message}


SCREENS = (
    Screen(
        "GET", PATH, index, "vasps", operator_only=True, menu=Menu("Risk", mark("Institutions"))
    ),
    Screen("GET", f"{PATH}/new", draft, "vasps", "write", operator_only=True),
    Screen(
        "POST", f"{PATH}/new", create, "vasps", step_up=True, operator_only=True, again=draft_again
    ),
    Screen("GET", f"{PATH}/{{vasp}}", show, "vasps", operator_only=True),
    Screen(
        "POST", f"{PATH}/{{vasp}}", change, "vasps", step_up=True, operator_only=True, again=again
    ),
    Screen(
        "POST",
        f"{PATH}/{{vasp}}/trust",
        trust,
        "vasps",
        step_up=True,
        operator_only=True,
        again=again,
    ),
)
