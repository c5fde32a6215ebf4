"""Breakage: where, and how long after a card's expiry, what is left goes back to its issuer."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field

from sakk.console.gift_card import PATH as CARDS
from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import gift_card_breakage as rules
from sakk.core.gift_card import MINIMUMS
from sakk.core.gift_card_breakage import BreakageState
from sakk.flow import gift_card_breakage as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import gift_card_breakage as store
from sakk.store import person as persons

PATH: Final = f"{ROOT}/gift_card_breakages"
STATES: Mapping[str, tuple[str, str]] = {
    "proposed": (mark("Waits for another person"), "wait"),
    "active": (mark("In force"), "good"),
    "ended": (mark("Ended"), "plain"),
}


class ProposeForm(Form):
    """Where, so many days after the expiry, and why."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    days: Annotated[int, Field(ge=0, le=rules.DAYS_MAX)]
    note: Annotated[str, Field(max_length=rules.NOTE_LENGTH_MAX)] | None = None


def index(visit: Visit) -> Page:
    """What is in force, what waits, and what was."""
    return _listed(visit, None)


def again(visit: Visit, rejected: Rejected, gift_card_breakage: str | None = None) -> Page:
    """The same with what was wrong."""
    return _listed(visit, rejected)


def propose(visit: Visit, form: ProposeForm) -> Redirect:
    """Propose it; another person confirms it."""
    flow.propose(
        visit.parts,
        form.country,
        form.days,
        form.note,
        actor=visit.actor,
        livemode=visit.livemode,
    )
    return Redirect(PATH, visit.words.gettext("Proposed: another person confirms it."))


def confirm(visit: Visit, gift_card_breakage: str, form: ConfirmForm) -> Redirect:
    """Confirm what another person proposed."""
    flow.confirm(visit.parts, gift_card_breakage, yes_to(visit, form), livemode=visit.livemode)
    return Redirect(PATH, visit.words.gettext("Confirmed: it is in force."))


def end(visit: Visit, gift_card_breakage: str) -> Redirect:
    """Refuse what was proposed, or stop what is in force."""
    flow.end(visit.parts, gift_card_breakage, actor=visit.actor, livemode=visit.livemode)
    told = visit.words.gettext("Ended: nothing more is given back by it.")
    return Redirect(PATH, told)


def _listed(visit: Visit, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        rows = store.list_all(connection, livemode=visit.livemode)
        people = {name for row in rows for name in (row.proposed_by, row.decided_by) if name}
        names = persons.names(connection, sorted(people))
    values = {
        "proposals": [row for row in rows if row.state == BreakageState.proposed],
        "rows": [row for row in rows if row.state != BreakageState.proposed],
        "digests": {row.id: rules.digest_of(row) for row in rows},
        "sources": {country: each.source for country, each in MINIMUMS.items()},
        "names": names,
        "states": STATES,
        "cards": CARDS,
        "countries": [(each, each) for each in sorted(MINIMUMS) if each not in rules.OWED_FOR_EVER],
        "may_write": visit.may("gift_cards", "write"),
        "message": None if rejected is None else rejected.message,
        "sent": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
    }
    return Page("console/gift_card_breakages.html", values)


def _act(name: str, handler: object) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{gift_card_breakage}}/{name}",
        handler,  # type: ignore[arg-type]
        "gift_cards",
        step_up=True,
        operator_only=True,
        again=again,
    )


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "gift_cards", operator_only=True),
    Screen("POST", PATH, propose, "gift_cards", step_up=True, operator_only=True, again=again),
    _act("confirm", confirm),
    _act("end", end),
)
