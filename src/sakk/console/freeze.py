"""Freezes: stopping all that goes out at once, and ending that by two people."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.listing import ListQuery, created_within, listing
from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core.errors import ResourceMissing
from sakk.core.freeze import (
    LIFT_PREFIX,
    PREFIX,
    REASON_CHARACTERS_MAX,
    Freeze,
    FreezeOrigin,
    LiftStatus,
)
from sakk.flow import freeze as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import account as accounts
from sakk.store import freeze as store
from sakk.store import network as networks
from sakk.store import person as persons
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/freezes"
IDENTIFIER_LENGTH_MAX: Final = 255
ORIGINS: Mapping[str, str] = {
    "api": mark("By a person or a program"),
    "cli": mark("At the command line"),
    "signer": mark("At the signer"),
    "restore": mark("The database was restored"),
    "defence": mark("By itself, after a breach"),
}


class FreezeQuery(ListQuery):
    """Which freezes."""

    state: Literal["in_force", "lifted"] | None = None


class FreezeForm(Form):
    """What is to be stopped; where nothing is named it is everything."""

    reason: Annotated[str, Field(max_length=REASON_CHARACTERS_MAX)]
    network: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None
    asset: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None
    account: Annotated[str, Field(max_length=IDENTIFIER_LENGTH_MAX)] | None = None
    hold_rebroadcasts: bool = False


class LiftForm(Form):
    """Why it may end."""

    reason: Annotated[str, Field(max_length=REASON_CHARACTERS_MAX)]


def index(visit: Visit, query: FreezeQuery) -> Page:
    """The freezes, newest first, and a form that stops what goes out."""
    return _index(visit, query, None)


def index_again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _index(visit, FreezeQuery(), rejected)


def create(visit: Visit, form: FreezeForm) -> Redirect:
    """Stop signing and sending at once."""
    with visit.database.begin() as connection:
        row = flow.freeze(
            connection,
            flow.FreezeOrder(
                reason=form.reason,
                network=form.network,
                asset=form.asset,
                account_id=form.account,
                holds_rebroadcasts=form.hold_rebroadcasts,
            ),
            identifier=visit.object_id(PREFIX),
            origin=FreezeOrigin.api,
            now=visit.now,
            request_id=visit.request_id,
        )
    told = visit.words.gettext("Stopped. Two people end it.")
    return Redirect(f"{PATH}/{row.id}", told, tone="warn")


def show(visit: Visit, freeze: str) -> Page:
    """One freeze, and the lift that somebody proposed."""
    return _detail(visit, freeze, None)


def again(visit: Visit, rejected: Rejected, freeze: str) -> Page:
    """The same with why it could not be done."""
    return _detail(visit, freeze, rejected)


def propose(visit: Visit, freeze: str, form: LiftForm) -> Redirect:
    """Propose to end it."""
    flow.propose_lift(
        visit.parts,
        freeze,
        reason=form.reason,
        lift_id=visit.object_id(LIFT_PREFIX),
        actor=visit.actor,
        livemode=visit.livemode,
    )
    told = visit.words.gettext("Proposed: another person confirms it.")
    return Redirect(f"{PATH}/{freeze}", told)


def confirm(visit: Visit, freeze: str, form: ConfirmForm) -> Redirect:
    """End it, as another person proposed."""
    flow.confirm_lift(visit.parts, freeze, yes_to(visit, form), livemode=visit.livemode)
    return Redirect(f"{PATH}/{freeze}", visit.words.gettext("Ended: what waited goes on."))


def reject(visit: Visit, freeze: str) -> Redirect:
    """Refuse the proposal, or take it back."""
    flow.reject_lift(visit.parts, freeze, actor=visit.actor, livemode=visit.livemode)
    return Redirect(f"{PATH}/{freeze}", visit.words.gettext("It stays frozen."))


def _index(visit: Visit, query: FreezeQuery, rejected: Rejected | None) -> Page:
    c = store.freezes.c
    filters = created_within(visit, query, store.freezes)
    if query.state is not None:
        filters.append(
            c.lifted_at.is_(None) if query.state == "in_force" else c.lifted_at.is_not(None)
        )
    if query.q is not None:
        filters.append((c.id == query.q) | (c.account_id == query.q) | (c.asset == query.q))
    gettext = visit.words.gettext
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.freezes,
            Freeze,
            bound=[],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
        known = networks.list_networks(connection, livemode=visit.livemode)
        names = {each.network: each.name for each in known}
        assets = [each for each in networks.list_assets(connection) if each.network in names]
    everything = ("", gettext("Everything"))
    values = {
        "list": listing(visit, query, window, window.rows),
        "origins": ORIGINS,
        "may_freeze": visit.may("freezes", "write"),
        "choices": {
            "state": [("in_force", gettext("In force")), ("lifted", gettext("Ended"))],
            "network": [everything, *names.items()],
            "asset": [
                everything,
                *((each.asset, f"{each.symbol} · {names[each.network]}") for each in assets),
            ],
        },
        "rejected": rejected,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
    }
    return Page("console/freezes.html", values)


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        row = store.find(connection, identifier)
        if row is None:
            raise ResourceMissing("There is no such freeze.")
        lifting = store.find_lift(connection, row.id)
        people = [] if lifting is None else [lifting.proposed_by, lifting.decided_by or ""]
        names = persons.names(connection, people)
        account = None
        if row.account_id is not None:
            account = accounts.find_account(connection, row.account_id)
    waits = lifting is not None and lifting.status == LiftStatus.proposed
    values: dict[str, Any] = {
        "row": row,
        "account": account,
        "lifting": lifting,
        "waits": waits,
        "names": names,
        "origins": ORIGINS,
        "is_proposer": lifting is not None and lifting.proposed_by == visit.person.id,
        "may_lift": row.lifted_at is None
        and row.origin != FreezeOrigin.restore
        and not flow.LIFT_PROPOSERS.isdisjoint(visit.person.powers),
        "may_confirm": not flow.LIFT_CONFIRMERS.isdisjoint(visit.person.powers),
        "fault": None if rejected is None else rejected.message,
        "faults": {} if rejected is None else rejected.faults,
    }
    return Page("console/freeze.html", values)


def _act(name: str, handler: Any, *, step_up: bool) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{freeze}}/{name}",
        handler,
        "freezes",
        step_up=step_up,
        operator_only=True,
        again=again,
    )


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "freezes",
        operator_only=True,
        menu=Menu(mark("Risk"), mark("Freezes")),
    ),
    # Whoever may stop everything does so at once: a second proof would cost what a thief needs.
    Screen("POST", PATH, create, "freezes", operator_only=True, again=index_again),
    Screen("GET", f"{PATH}/{{freeze}}", show, "freezes", operator_only=True),
    _act("lift", propose, step_up=True),
    _act("confirm", confirm, step_up=True),
    _act("reject", reject, step_up=False),
)
