"""Beneficiaries: the address book, to which payouts go, and who stands behind an address."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.listing import ListQuery, created_within, csv_file, listing
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import beneficiary as rules
from sakk.core.beneficiary import Beneficiary
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import beneficiary as flow
from sakk.flow import travel_need
from sakk.flow.travel_rule import refresh
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import beneficiary as store
from sakk.store import network as networks
from sakk.store.page import Window, fetch_window

PATH: Final = f"{ROOT}/beneficiaries"
TYPES: Final[Mapping[str, str]] = {"natural": mark("A person"), "legal": mark("A company")}
WALLETS: Final[Mapping[str, str]] = {
    "self_hosted": mark("Their own wallet"),
    "hosted": mark("An exchange or another institution"),
}
# The parameters of the command, as the form names them.
_FIELDS: Final = {
    **{f"networks[{place}]": "networks" for place in range(rules.NETWORKS_MAX)},
    "travel_rule": "holder_name",
    "travel_rule[vasp][travel_address]": "vasp_travel_address",
}

Text = Annotated[str, Field(max_length=100)]
Description = Annotated[str, Field(max_length=500)]


class HolderForm(Form):
    """Who stands behind the address (the Travel Rule), and how it is known."""

    holder_type: Literal["natural", "legal"] | None = None
    holder_name: Text | None = None
    holder_given_name: Text | None = None
    holder_country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    wallet: Literal["self_hosted", "hosted"] | None = None
    vasp_name: Text | None = None
    vasp_travel_address: Annotated[str, Field(max_length=500)] | None = None
    statement: Description | None = None


class ChangeForm(HolderForm):
    """What may change: nothing that decides where money goes."""

    name: Text
    description: Description | None = None


class CreateForm(ChangeForm):
    """A new entry. ``confirmed_unlike``: the known address that it looks like, when it is meant."""

    address: Text
    networks: list[str] = Field(default_factory=list)
    confirmed_unlike: Text | None = None


def index(visit: Visit, query: ListQuery) -> Page | Download:
    """The address book, newest first."""
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        rails = {each.network: each.name for each in networks.list_networks(connection)}
    if query.is_file:
        return csv_file(
            "beneficiaries.csv",
            [
                ("id", lambda row: row.id),
                ("created", lambda row: row.created),
                ("name", lambda row: row.name),
                ("address", lambda row: checksum_address(row.address)),
                ("networks", lambda row: " ".join(row.networks)),
                ("usable_at", lambda row: row.usable_at),
                ("description", lambda row: row.description),
            ],
            window.rows,
        )
    return Page(
        "console/beneficiaries.html",
        {
            "list": listing(visit, query, window, window.rows),
            "networks": rails,
            "now": visit.now,
            "may_create": visit.may("beneficiaries", "write") and visit.account_id is not None,
        },
    )


def draft(visit: Visit) -> Page:
    """An empty form."""
    return _form(visit, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The form as it was sent, with what is wrong with it."""
    return _form(visit, rejected)


def create(visit: Visit, form: CreateForm) -> Redirect:
    """Write an entry; it waits, as long as the operator set, before it may be paid."""
    identifier = visit.object_id(rules.PREFIX)
    account_id = visit.account()
    if not form.networks:
        told = visit.words.gettext("Choose at least one network.")
        raise ParameterInvalid(told, param="networks")
    told_of = _told(visit, form)
    with visit.database.begin() as connection:
        if _own(connection, visit, identifier) is None:
            flow.create(
                connection,
                identifier=identifier,
                account_id=account_id,
                livemode=visit.livemode,
                now=visit.now,
                details={
                    "name": form.name,
                    "address": form.address,
                    "networks": form.networks,
                    "ownership": _ownership(form),
                    "travel_rule": told_of,
                    "confirmed_unlike": form.confirmed_unlike,
                    "description": form.description,
                },
                vault=visit.parts.vault,
                request_id=visit.request_id,
            )
    return Redirect(f"{PATH}/{identifier}", visit.words.gettext("It is in the address book."))


def show(visit: Visit, beneficiary: str) -> Page:
    """One entry: when it may be paid, how it is known whose it is, and who stands behind it."""
    return _detail(visit, beneficiary, None)


def again(visit: Visit, rejected: Rejected, beneficiary: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, beneficiary, rejected)


def change(visit: Visit, beneficiary: str, form: ChangeForm) -> Redirect:
    """Change who it is; what waited for that goes on."""
    changes: dict[str, Any] = {"name": form.name, "description": form.description}
    told = _told(visit, form)
    if told is not None:
        changes["travel_rule"] = told
    if form.statement is not None:
        changes["ownership"] = _ownership(form)
    with visit.database.begin() as connection:
        found = _found(connection, visit, beneficiary)
        whose: dict[str, Any] = {"account_id": found.account_id, "livemode": visit.livemode}
        flow.update(
            connection,
            found.id,
            changes,
            now=visit.now,
            vault=visit.parts.vault,
            request_id=visit.request_id,
            **whose,
        )
        if visit.parts.vault is not None and {"ownership", "travel_rule"} & changes.keys():
            refresh(connection, visit.parts.vault, now=visit.now, address=found.address, **whose)
    return Redirect(f"{PATH}/{beneficiary}", visit.words.gettext("It is saved."))


def remove(visit: Visit, beneficiary: str) -> Redirect:
    """Take it out of the book; payouts on their way to it go on."""
    with visit.database.begin() as connection:
        found = _found(connection, visit, beneficiary)
        flow.delete(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
            request_id=visit.request_id,
        )
    return Redirect(PATH, visit.words.gettext("It is out of the address book."))


def _told(visit: Visit, form: HolderForm) -> dict[str, Any] | None:
    """Who stands behind the address, as the command takes it; None where nothing is said."""
    given = {
        "type": form.holder_type,
        "name": form.holder_name,
        "given_name": form.holder_given_name,
        "country": form.holder_country,
        "wallet": form.wallet,
    }
    vasp = {"name": form.vasp_name, "travel_address": form.vasp_travel_address}
    told: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    vasp_told = {name: value for name, value in vasp.items() if value is not None}
    if not told and not vasp_told:
        return None
    for name, field in (("type", "holder_type"), ("name", "holder_name"), ("wallet", "wallet")):
        if name not in told:
            told_why = visit.words.gettext(
                "Say what kind they are, their name and where their wallet is, or none of it."
            )
            raise ParameterInvalid(told_why, param=field)
    found = told | ({"vasp": vasp_told} if vasp_told else {})
    travel_need.checked(found, today=visit.now.date())
    return found


def _ownership(form: HolderForm) -> dict[str, Any] | None:
    if form.statement is None:
        return None
    return {"type": "declaration", "signature": None, "statement": form.statement}


def _window(connection: Connection, visit: Visit, query: ListQuery) -> Window[Beneficiary]:
    c = store.beneficiaries.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [~c.deleted] if visit.account_id is not None else [mode, ~c.deleted]
    search = read_search(query.q or "")
    match search:
        case None:
            pass
        case search if search.kind is SearchKind.id:
            bound.append(c.id == search.value)
        case search if search.kind is SearchKind.address:
            filters.append(c.address == search.value)
        case _:
            pattern = like(query.q or "")
            filters.append(c.name.ilike(pattern) | c.description.ilike(pattern))
    filters += created_within(visit, query, store.beneficiaries)
    return fetch_window(
        connection,
        store.beneficiaries,
        Beneficiary,
        bound=bound,
        filters=filters,
        limit=query.limit,
        **query.place,
    )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        entry = _found(connection, visit, identifier)
        rails = {each.network: each.name for each in networks.list_networks(connection)}
    holder = flow.opened(visit.parts.vault, entry) or {}
    vasp = holder.get("vasp") or {}
    sent: dict[str, Any] = {
        "name": entry.name,
        "description": entry.description,
        "holder_type": holder.get("type"),
        "holder_name": holder.get("name"),
        "holder_given_name": holder.get("given_name"),
        "holder_country": holder.get("country"),
        "wallet": holder.get("wallet"),
        "vasp_name": vasp.get("name"),
        "vasp_travel_address": vasp.get("travel_address"),
    }
    return Page(
        "console/beneficiary.html",
        {
            "entry": entry,
            "holder": holder,
            "networks": rails,
            "now": visit.now,
            "words": {"type": TYPES, "wallet": WALLETS},
            "may_change": visit.may("beneficiaries", "write"),
            "rejected": None if rejected is None else rejected.message or "",
            **_fields(visit, sent, rejected),
        },
    )


def _form(visit: Visit, rejected: Rejected | None) -> Page:
    visit.account()
    with visit.database.read() as connection:
        rails = networks.list_networks(connection, livemode=visit.livemode)
    return Page(
        "console/beneficiary_new.html",
        {
            "networks": [(each.network, each.name) for each in rails if each.enabled],
            "message": None if rejected is None else rejected.message,
            **_fields(visit, {}, rejected),
        },
    )


def _fields(visit: Visit, sent: Mapping[str, Any], rejected: Rejected | None) -> dict[str, Any]:
    """What the macro of the fields needs: what is in them, what is wrong, what may be chosen."""
    gettext = visit.words.gettext
    none = [("", "–")]
    return {
        "sent": sent if rejected is None else rejected.values,
        "faults": {}
        if rejected is None
        else {_FIELDS.get(name, name): text for name, text in rejected.faults.items()},
        "choices": {
            "type": none + [(value, gettext(text)) for value, text in TYPES.items()],
            "wallet": none + [(value, gettext(text)) for value, text in WALLETS.items()],
        },
    }


def _own(connection: Connection, visit: Visit, identifier: str) -> Beneficiary | None:
    return store.find(connection, identifier, account_id=visit.account_id, livemode=visit.livemode)


def _found(connection: Connection, visit: Visit, identifier: str) -> Beneficiary:
    found = _own(connection, visit, identifier)
    if found is None or found.deleted:
        raise flow.missing(identifier)
    return found


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "beneficiaries", menu=Menu("Money", mark("Address book"))),
    Screen("GET", f"{PATH}/new", draft, "beneficiaries", "write"),
    Screen("POST", f"{PATH}/new", create, "beneficiaries", step_up=True, again=draft_again),
    Screen("GET", PATH + "/{beneficiary}", show, "beneficiaries"),
    Screen("POST", PATH + "/{beneficiary}", change, "beneficiaries", step_up=True, again=again),
    Screen("POST", PATH + "/{beneficiary}/remove", remove, "beneficiaries", again=again),
)
