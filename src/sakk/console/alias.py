"""Names by which an account is paid: handles, and e-mail addresses that it has proved."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from sakk.console.listing import ListQuery, listing
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import alias as rules
from sakk.core.alias import Alias, AliasKind, AliasStatus
from sakk.core.errors import ResourceMissing
from sakk.core.search import SearchKind, like, read_search
from sakk.flow import alias as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import alias as store
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/aliases"
STATUSES: Mapping[str, tuple[str, str]] = {
    "pending": (mark("Not proved yet"), "wait"),
    "active": (mark("In use"), "good"),
    "released": (mark("Given up"), "plain"),
    "freed": (mark("Free for others"), "plain"),
}
KINDS: Mapping[str, str] = {"email": mark("E-mail address"), "handle": mark("Handle")}


class AliasForm(Form):
    """The name that is asked for."""

    kind: Literal["handle", "email"]
    value: Annotated[str, Field(max_length=rules.EMAIL_LENGTH_MAX)]


class CodeForm(Form):
    """What came to the e-mail address."""

    code: Annotated[str, Field(max_length=100)]


def index(visit: Visit, query: ListQuery) -> Page:
    """The names, newest first, and a form to ask for one."""
    return _list(visit, query, None)


def list_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _list(visit, ListQuery(), rejected)


def create(visit: Visit, form: AliasForm) -> Redirect:
    """Ask for a name: a handle counts at once, an e-mail address when it is proved."""
    with visit.database.begin() as connection:
        made = flow.create(
            connection,
            identifier=visit.object_id(rules.PREFIX),
            account_id=visit.account(),
            livemode=visit.livemode,
            kind=AliasKind(form.kind),
            value=form.value,
            metadata={},
            now=visit.now,
        )
    told = visit.words.gettext("You are paid by this name from now on.")
    if made.status == AliasStatus.pending:
        told = visit.words.gettext("A code comes to this address: write it down here.")
    return Redirect(f"{PATH}/{made.id}", told)


def show(visit: Visit, alias: str) -> Page:
    """One name."""
    return _detail(visit, alias, None)


def again(visit: Visit, rejected: Rejected, alias: str) -> Page:
    """The same with what was wrong in the form."""
    return _detail(visit, alias, rejected)


def verify(visit: Visit, alias: str, form: CodeForm) -> Redirect:
    """Give back the code that came to the address."""
    found = _found(visit, alias)
    with visit.database.begin() as connection:
        flow.verify(
            connection,
            found.id,
            form.code,
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(
        f"{PATH}/{found.id}", visit.words.gettext("You are paid by this name from now on.")
    )


def release(visit: Visit, alias: str) -> Redirect:
    """Give a name up."""
    found = _found(visit, alias)
    with visit.database.begin() as connection:
        flow.release(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(f"{PATH}/{found.id}", visit.words.gettext("The name is given up."))


def free(visit: Visit, alias: str) -> Redirect:
    """The operator lets other accounts have a name that was given up."""
    found = _found(visit, alias)
    with visit.database.begin() as connection:
        flow.free(connection, found.id, livemode=visit.livemode, now=visit.now)
    return Redirect(f"{PATH}/{found.id}", visit.words.gettext("Other accounts may have the name."))


def _list(visit: Visit, query: ListQuery, rejected: Rejected | None) -> Page:
    c = store.aliases.c
    mode = c.livemode == visit.livemode
    bound = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    filters = [mode] if visit.account_id is None else []
    search = read_search(query.q or "")
    if search is not None and search.kind is SearchKind.id:
        bound.append(c.id == search.value)
    elif search is not None:
        filters.append(c.value.ilike(like((query.q or "").removeprefix("@"))))
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.aliases,
            Alias,
            bound=bound,
            filters=filters,
            limit=query.limit,
            **query.place,
        )
    return Page(
        "console/aliases.html",
        {
            "list": listing(visit, query, window, window.rows),
            "words": {"status": STATUSES, "kind": KINDS},
            "may_ask": visit.may("aliases", "write") and visit.account_id is not None,
            "rejected": rejected,
            "sent": {} if rejected is None else rejected.values,
            "faults": {} if rejected is None else rejected.faults,
        },
    )


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    row = _found(visit, identifier)
    may_write = visit.may("aliases", "write")
    return Page(
        "console/alias.html",
        {
            "row": row,
            "may_verify": may_write and row.status == AliasStatus.pending,
            "may_release": may_write and row.status in (AliasStatus.pending, AliasStatus.active),
            "may_free": may_write and visit.is_operator and row.status == AliasStatus.released,
            "words": {"status": STATUSES, "kind": KINDS},
            "rejected": rejected,
            "faults": {} if rejected is None else rejected.faults,
        },
    )


def _found(visit: Visit, identifier: str) -> Alias:
    with visit.database.read() as connection:
        found = store.find(
            connection, identifier, account_id=visit.account_id, livemode=visit.livemode
        )
    if found is None:
        raise ResourceMissing("There is no such name.")
    return found


_ONE: Final = PATH + "/{alias}"
SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "aliases", menu=Menu("Payments", mark("Names to be paid by"))),
    Screen("POST", PATH, create, "aliases", again=list_again),
    Screen("GET", _ONE, show, "aliases"),
    Screen("POST", f"{_ONE}/verify", verify, "aliases", again=again),
    Screen("POST", f"{_ONE}/release", release, "aliases", again=again),
    Screen("POST", f"{_ONE}/free", free, "aliases", operator_only=True, again=again),
)
