"""The team: the operator's people, or the people of the account that is looked at."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core.person import NAME_LENGTH_MAX, PREFIX, proposal_digest
from sakk.core.role import ACCOUNT_ROLES, Role
from sakk.flow import invitation as invitations
from sakk.flow import membership as flow
from sakk.flow import person as people
from sakk.flow.membership import Invited
from sakk.flow.person import Introduction
from sakk.pages.form import Form
from sakk.pages.language import mark, mark_in
from sakk.store import membership as memberships
from sakk.store import person as persons

PATH: Final = f"{ROOT}/team"
EMAIL_LENGTH_MAX: Final = 255


ROLES: Mapping[str, str] = {
    "owner": mark_in("role", "Owner"),
    "admin": mark("Administrator"),
    "finance": mark("Finance"),
    "approver": mark("Approver"),
    "compliance": mark("Compliance"),
    "developer": mark("Developer"),
    "support": mark("Support"),
    "viewer": mark("Viewer"),
}
STATES: Mapping[str, tuple[str, str]] = {
    "proposed": (mark("Proposed"), "wait"),
    "active": (mark("Active"), "good"),
    "suspended": (mark("Suspended"), "bad"),
}


class InviteForm(Form):
    """Somebody who is to come in."""

    name: Annotated[str, Field(max_length=NAME_LENGTH_MAX)]
    email: Annotated[str, Field(max_length=EMAIL_LENGTH_MAX)]
    roles: Annotated[list[str], Field(default_factory=list)]


class RolesForm(Form):
    """Roles in place of those before."""

    roles: Annotated[list[str], Field(default_factory=list)]


def show(visit: Visit) -> Page:
    """Who there is, and what they may do."""
    return _page(visit)


def again(visit: Visit, rejected: Rejected, **_: Any) -> Page:
    """The page with what was wrong."""
    return _page(visit, rejected)


def invite(visit: Visit, form: InviteForm) -> Page:
    """Invite somebody: into the account, or with another admin's approval to the operator's."""
    if visit.account_id is None:
        introduction = Introduction(form.name, form.email, form.roles)
        made = flow.invite_operator(
            visit.parts,
            introduction,
            identifier=visit.object_id(PREFIX),
            actor=visit.actor,
            livemode=visit.livemode,
        )
    else:
        made = flow.invite(
            visit.parts,
            name=form.name,
            email=form.email,
            roles=form.roles,
            account_id=visit.account_id,
            actor=visit.actor,
            livemode=visit.livemode,
        )
    return _invited(visit, made)


def approve(visit: Visit, person: str, form: ConfirmForm) -> Redirect:
    """Approve what another admin proposed."""
    people.approve(visit.parts, person, yes_to(visit, form), livemode=visit.livemode)
    return Redirect(PATH, visit.words.gettext("Approved."))


def give_code(visit: Visit, person: str) -> Page:
    """The code that goes with a link which another admin made."""
    code = invitations.give_code(visit.parts, person, actor=visit.actor, livemode=visit.livemode)
    return Page("console/invited.html", {"link": None, "code": code})


def suspend(visit: Visit, person: str) -> Redirect:
    """End a person's keys, sign-ins and roles at once."""
    people.suspend(visit.parts, person, actor=visit.actor, livemode=visit.livemode)
    return Redirect(PATH, visit.words.gettext("Suspended."))


def propose_roles(visit: Visit, person: str, form: RolesForm) -> Redirect:
    """Propose other roles for one of the operator's people."""
    people.propose_change(
        visit.parts,
        person,
        actor=visit.actor,
        livemode=visit.livemode,
        roles=form.roles,
        key_hash=None,
        key_last4="",
    )
    return Redirect(PATH, visit.words.gettext("Proposed: another admin approves it."))


def reset(visit: Visit, person: str) -> Page:
    """Propose that somebody comes in anew, whose devices are lost."""
    return _invited(
        visit, flow.reset(visit.parts, person, actor=visit.actor, livemode=visit.livemode)
    )


def change(visit: Visit, person: str, form: RolesForm) -> Redirect:
    """Give somebody other roles in the account."""
    flow.change(
        visit.parts,
        person,
        roles=form.roles,
        account_id=visit.account(),
        actor=visit.actor,
        livemode=visit.livemode,
    )
    return Redirect(PATH, visit.words.gettext("Kept."))


def remove(visit: Visit, person: str) -> Redirect:
    """Take somebody's roles in the account away."""
    flow.remove(
        visit.parts,
        person,
        account_id=visit.account(),
        actor=visit.actor,
        livemode=visit.livemode,
    )
    return Redirect(PATH, visit.words.gettext("Removed from this account."))


def _invited(visit: Visit, made: Invited) -> Page:
    link = None
    if made.token is not None:
        link = f"{visit.settings.public_url}{ROOT}/welcome/{made.token}"
    return Page("console/invited.html", {"link": link, "code": None})


def _page(visit: Visit, rejected: Rejected | None = None) -> Page:
    with visit.database.read() as connection:
        if visit.account_id is None:
            found = persons.list_persons(connection, livemode=visit.livemode)
            rows = [(each, each.roles) for each in found if each.roles or each.proposal]
        else:
            own = memberships.of_account(connection, visit.account_id, livemode=visit.livemode)
            known = memberships.people_of(connection, own)
            rows = [(known[each.person], each.roles) for each in own]
    values = {
        "rows": rows,
        "in_account": visit.account_id is not None,
        "roles": [role.value for role in (Role if visit.account_id is None else ACCOUNT_ROLES)],
        "digest": proposal_digest,
        "words": {"role": ROLES, "state": STATES},
        "may_write": visit.may("persons", "write"),
        "typed": {} if rejected is None else rejected.values,
        "faults": {} if rejected is None else rejected.faults,
        "message": None if rejected is None else rejected.message,
    }
    return Page("console/team.html", values)


def _of_operator(act: str, handler: Any) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{person}}/{act}",
        handler,
        "persons",
        step_up=True,
        operator_only=True,
        again=again,
    )


SCREENS = (
    Screen("GET", PATH, show, "persons", menu=Menu(mark("Organisation"), mark("Team"))),
    Screen("POST", PATH, invite, "persons", step_up=True, again=again),
    _of_operator("approve", approve),
    _of_operator("code", give_code),
    _of_operator("suspend", suspend),
    _of_operator("roles", propose_roles),
    _of_operator("reset", reset),
    Screen("POST", f"{PATH}/{{person}}/change", change, "persons", step_up=True, again=again),
    Screen("POST", f"{PATH}/{{person}}/remove", remove, "persons", step_up=True, again=again),
)
