"""Policies: which payouts go, which wait for whom, and which do not; two people change it."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.rule_words import RuleWords
from sakk.console.team import ROLES
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import policy as rules
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.policy import PolicyVersion, VersionState
from sakk.core.role import Role
from sakk.flow import policy as flow
from sakk.flow import simulation
from sakk.pages.amount import number
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import person as persons
from sakk.store import policy as store

PATH: Final = f"{ROOT}/policies"
TRIED_DEFAULT: Final = 100
DIFFERENCES_SHOWN: Final = 100
TEXT_LENGTH_MAX: Final = 200_000
NOTE_LENGTH_MAX: Final = 1_000
STATES: Mapping[str, tuple[str, str]] = {
    VersionState.proposed: (mark("Proposed"), "wait"),
    VersionState.active: (mark("In force"), "good"),
    VersionState.superseded: (mark("Replaced"), "plain"),
    VersionState.rejected: (mark("Rejected"), "bad"),
}
ACTIONS: Mapping[str, tuple[str, str]] = {
    "allow": (mark("Goes"), "good"),
    "approve": (mark("Waits for people"), "wait"),
    "block": (mark("Does not go"), "bad"),
}
# What a rule looks at, in the order in which it is shown.
LISTS: Mapping[str, str] = {
    "currencies": mark("Currencies"),
    "assets": mark("Tokens"),
    "networks": mark("Networks"),
    "purposes": mark("For"),
    "destinations": mark("To"),
    "initiators": mark("Asked for by"),
}
PERS: Mapping[str, str] = {
    "account": mark("per account"),
    "initiator": mark("per who asked for it"),
    "destination": mark("per destination"),
    "all": mark("of all together"),
}

Last = Annotated[int, Field(ge=1, le=simulation.PAST_MAX)]


class TryQuery(Form):
    """``last``: hold the version against so many of the newest decisions."""

    last: Last | None = None


class DraftForm(Form):
    """The rules as JSON, and on how many of the newest decisions they are tried."""

    rules: Annotated[str, Field(max_length=TEXT_LENGTH_MAX)]
    note: Annotated[str, Field(max_length=NOTE_LENGTH_MAX)] | None = None
    last: Last = TRIED_DEFAULT


def index(visit: Visit) -> Page:
    """What is in force, and every version before and after it."""
    with visit.database.read() as connection:
        rows = store.list_versions(connection, livemode=visit.livemode)
        names = _names(connection, rows)
    active = next((row for row in rows if row.state == VersionState.active), None)
    values = {
        "rows": rows,
        "active": active,
        "lines": [] if active is None else [_line(visit, each) for each in active.rules],
        "states": STATES,
        "actions": ACTIONS,
        "roles": ROLES,
        "names": names,
        "may_propose": _may(visit, flow.PROPOSERS),
    }
    return Page("console/policies.html", values)


def show(visit: Visit, policy: str, query: TryQuery) -> Page:
    """One version, and what it would have said of payouts that were decided."""
    return _detail(visit, policy, query.last, None)


def again(visit: Visit, rejected: Rejected, policy: str) -> Page:
    """The version once more, with why it could not be decided."""
    return _detail(visit, policy, None, rejected)


def draft(visit: Visit) -> Page:
    """The rules in force, to write others from."""
    with visit.database.read() as connection:
        active = store.find_active(connection, livemode=visit.livemode)
    written = [] if active is None else active.rules
    return _form(visit, {"rules": json.dumps(written, indent=2, ensure_ascii=False)}, {}, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The rules as they were sent, and what is wrong with them, by the place."""
    faults = {}
    for name, text in rejected.faults.items():
        is_rule = name.startswith("rules[")
        faults["rules" if is_rule else name] = f"{name}: {text}" if is_rule else text
    return _form(visit, rejected.values, faults, rejected.message)


def try_draft(visit: Visit, form: DraftForm) -> Page:
    """What the rules would have said of the newest payouts; nothing is kept."""
    judged_by = rules.read_rules(_read(form.rules), livemode=visit.livemode)
    with visit.database.read() as connection:
        tried = _tried(connection, visit, judged_by, form.last)
    lines = [_line(visit, each) for each in rules.rules_document(judged_by)]
    return _form(visit, form.model_dump(), {}, None, tried=tried, lines=lines)


def propose(visit: Visit, form: DraftForm) -> Redirect:
    """Write a version that another person puts in force."""
    version = flow.propose(
        visit.parts,
        _read(form.rules),
        identifier=visit.object_id(rules.PREFIX),
        actor=visit.actor,
        note=form.note,
        livemode=visit.livemode,
    )
    told = visit.words.gettext("Proposed: another person puts it in force.")
    return Redirect(f"{PATH}/{version.id}", told)


def approve(visit: Visit, policy: str, form: ConfirmForm) -> Redirect:
    """Put a version in force that another person proposed."""
    version = flow.approve(visit.parts, policy, yes_to(visit, form), livemode=visit.livemode)
    told = visit.words.gettext("In force: payouts that wait are judged by it now.")
    return Redirect(f"{PATH}/{version.id}", told)


def reject(visit: Visit, policy: str) -> Redirect:
    """End a version that was proposed; who proposed it takes it back so."""
    flow.reject(visit.parts, policy, actor=visit.actor, livemode=visit.livemode)
    return Redirect(f"{PATH}/{policy}", visit.words.gettext("The proposal is ended."))


def _detail(visit: Visit, identifier: str, last: int | None, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        version = flow.find_version(connection, identifier, livemode=visit.livemode)
        if version is None:
            raise ResourceMissing("No version of the policy is in force.")
        names = _names(connection, [version])
        tried = None if last is None else _tried(connection, visit, flow.rules_of(version), last)
    waits = version.state == VersionState.proposed
    is_proposer = version.proposed_by == visit.person.id
    values = {
        "version": version,
        "lines": [_line(visit, each) for each in version.rules],
        "states": STATES,
        "actions": ACTIONS,
        "roles": ROLES,
        "names": names,
        "tried": tried,
        "last": last or TRIED_DEFAULT,
        "max": simulation.PAST_MAX,
        "waits": waits,
        "is_proposer": is_proposer,
        "may_approve": waits and not is_proposer and _may(visit, flow.APPROVERS),
        "may_reject": waits and _may(visit, flow.PROPOSERS | flow.APPROVERS),
        "fault": None if rejected is None else rejected.message,
    }
    return Page("console/policy.html", values)


def _form(
    visit: Visit,
    given: Mapping[str, Any],
    faults: Mapping[str, str],
    message: str | None,
    *,
    tried: Mapping[str, Any] | None = None,
    lines: Sequence[Mapping[str, Any]] = (),
) -> Page:
    values = {
        "given": given,
        "faults": faults,
        "message": message,
        "tried": tried,
        "lines": lines,
        "actions": ACTIONS,
        "roles": ROLES,
        "last": given.get("last") or TRIED_DEFAULT,
        "max": simulation.PAST_MAX,
        "may_propose": _may(visit, flow.PROPOSERS),
    }
    return Page("console/policy_new.html", values)


def _tried(
    connection: Connection, visit: Visit, judged_by: Sequence[rules.Rule], last: int
) -> dict[str, Any]:
    compared, found = simulation.differences(
        connection, judged_by, livemode=visit.livemode, last=last
    )
    shown = [(each.payout, simulation.public_difference(each)) for each in found]
    return {"compared": compared, "number": len(found), "shown": shown[:DIFFERENCES_SHOWN]}


def _read(text: str) -> object:
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError):
        raise ParameterInvalid("This is no JSON.", param="rules") from None
    return document


def _names(connection: Connection, rows: Sequence[PolicyVersion]) -> dict[str, str]:
    people = [each for row in rows for each in (row.proposed_by, row.decided_by) if each]
    return persons.names(connection, people)


def _may(visit: Visit, roles: frozenset[Role]) -> bool:
    return visit.may("policies", "write") and not roles.isdisjoint(visit.person.powers)


def _line(visit: Visit, rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as a table shows it: what it fits in words, and who has to approve."""
    gettext = visit.words.gettext
    fits = [
        (gettext(label), ", ".join(rule[name])) for name, label in LISTS.items() if rule.get(name)
    ]
    if "amount" in rule:
        fits.append((gettext("Amount"), _range(visit, rule["amount"])))
    if "period" in rule:
        period = rule["period"]
        time, per = RuleWords(visit).time(period["seconds"]), gettext(PERS[period["per"]])
        span = gettext("Sum within {time}, {per}", time=time, per=per)
        fits.append((span, _range(visit, period)))
    return {
        "name": rule["name"],
        "action": rule["action"],
        "approvals": rule.get("approvals"),
        "role": rule.get("role"),
        "fits": fits,
    }


def _range(visit: Visit, bounds: Mapping[str, Any]) -> str:
    """A range in the unit in which it was written."""
    gettext = visit.words.gettext
    parts = []
    if "above" in bounds:
        parts.append(gettext("above {amount}", amount=number(bounds["above"])))
    if "up_to" in bounds:
        parts.append(gettext("up to {amount}", amount=number(bounds["up_to"])))
    unit = bounds.get("unit", "smallest")
    parts.append(gettext("whole units") if unit == "whole" else gettext("smallest units"))
    return ", ".join(parts)


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "policies",
        operator_only=True,
        menu=Menu("Settings", mark("Policy for payouts")),
    ),
    Screen("GET", f"{PATH}/new", draft, "policies", access="write", operator_only=True),
    Screen("POST", f"{PATH}/try", try_draft, "policies", operator_only=True, again=draft_again),
    Screen(
        "POST",
        f"{PATH}/new",
        propose,
        "policies",
        step_up=True,
        operator_only=True,
        again=draft_again,
    ),
    Screen("GET", f"{PATH}/{{policy}}", show, "policies", operator_only=True),
    Screen(
        "POST",
        f"{PATH}/{{policy}}/approve",
        approve,
        "policies",
        step_up=True,
        operator_only=True,
        again=again,
    ),
    Screen(
        "POST", f"{PATH}/{{policy}}/reject", reject, "policies", operator_only=True, again=again
    ),
)
