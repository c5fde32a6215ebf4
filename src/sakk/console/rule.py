"""Screening rules: the versions, what each says, and what it would have done to past transfers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.screening import CATEGORIES, VERDICTS
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import rule as rules
from sakk.core.role import Role
from sakk.flow import back_test
from sakk.flow import rule as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import person as persons
from sakk.store import rule as store
from sakk.store.page import LIMIT_MAX, PageRequest, fetch_page

PATH: Final = f"{ROOT}/rules"
IN_FORCE: Final = "in_force"
# A test of as many is done while a person waits for the page.
TESTED_MAX: Final = 5_000
DIFFERENCES_SHOWN: Final = 100
STATES: Mapping[str, tuple[str, str]] = {
    "proposed": (mark("Proposed"), "wait"),
    "in_force": (mark("In force"), "good"),
    "retired": (mark("Replaced"), "plain"),
    "rejected": (mark("Rejected"), "bad"),
}
KINDS: Mapping[str, str] = {
    "direct": mark("A list names one of the parties"),
    "exposure": mark("A share of the money leads to these"),
    "unknown": mark("A share of the money leads to nothing known"),
    "mixer": mark("A mixer stands near"),
    "bridge_hop": mark("The money crossed a bridge"),
    "peel_chain": mark("The money was passed on from address to address"),
    "amount": mark("The amount alone"),
    "velocity": mark("Many transfers, or much, in a while"),
    "structuring": mark("Amounts just below a threshold"),
    "pass_through": mark("What came in goes out again"),
    "dust": mark("Very small amounts"),
    "poisoning": mark("An address that imitates a known one"),
    "first_payout": mark("The first payout to an address"),
    "country": mark("A country that is listed"),
    "issuer": mark("The issuer denies the address"),
    "name": mark("A name is like one on a list"),
}


class ApproveForm(Form):
    """The digest of the rules that the page showed."""

    digest: Annotated[str, Field(max_length=64)]


class TestQuery(Form):
    """``last``: try the version on so many of the newest transfers."""

    last: Annotated[int, Field(ge=1, le=TESTED_MAX)] | None = None
    show: Literal["rules", "test"] = "rules"


def index(visit: Visit) -> Page:
    """Every version that people wrote, and which judges now."""
    with visit.database.read() as connection:
        rows, _ = fetch_page(
            connection,
            store.screening_rules,
            rules.RulesVersion,
            account_id=None,
            livemode=visit.livemode,
            page=PageRequest(LIMIT_MAX),
        )
        now = flow.shown(connection, IN_FORCE, livemode=visit.livemode)
        people = [each for row in rows for each in (row.proposed_by, row.decided_by) if each]
        names = persons.names(connection, people)
    values = {"rows": rows, "now": now, "states": STATES, "names": names}
    return Page("console/rule_versions.html", values)


def show(visit: Visit, rules_version: str, query: TestQuery) -> Page:
    """One version: its rules, and a try of them on the newest transfers."""
    with visit.database.read() as connection:
        version = flow.shown(connection, rules_version, livemode=visit.livemode)
        people = [each for each in (version["proposed_by"], version["decided_by"]) if each]
        names = persons.names(connection, people)
        tested = None
        if query.last is not None:
            found = back_test.back_test(
                connection,
                rules.read_rules(version["rules"]),
                livemode=visit.livemode,
                last=query.last,
            )
            tested = back_test.public(found, livemode=visit.livemode)
    values = {
        "version": version,
        "lines": [_line(visit, each) for each in version["rules"]],
        "tested": tested,
        "differences": [] if tested is None else tested["differences"][:DIFFERENCES_SHOWN],
        "last": query.last or 1_000,
        "max": TESTED_MAX,
        "states": STATES,
        "verdicts": VERDICTS,
        "names": names,
        "may_decide": version["state"] == "proposed"
        and visit.may("screening_rules", "write")
        and Role.compliance in visit.person.powers,
        "is_own": version["proposed_by"] == visit.person.id,
        "rejected": None,
    }
    return Page("console/rule_version.html", values)


def again(visit: Visit, rejected: Rejected, rules_version: str) -> Page:
    """The version with why nothing was done."""
    page = show(visit, rules_version, TestQuery())
    return replace(page, values={**page.values, "rejected": rejected})


def approve(visit: Visit, rules_version: str, form: ApproveForm) -> Redirect:
    """Put a version in force that another person proposed, as the page showed it."""
    flow.approve(
        visit.parts,
        rules_version,
        actor=visit.actor,
        livemode=visit.livemode,
        digest=form.digest,
        step_up=visit.step_up,
    )
    return Redirect(
        f"{PATH}/{rules_version}", visit.words.gettext("These rules judge from now on.")
    )


def reject(visit: Visit, rules_version: str) -> Redirect:
    """Refuse a version, or take it back."""
    flow.reject(visit.parts, rules_version, actor=visit.actor, livemode=visit.livemode)
    return Redirect(f"{PATH}/{rules_version}", visit.words.gettext("The version is rejected."))


def _line(visit: Visit, rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as a table shows it: what it looks at in words, and its numbers as written."""
    categories = [
        visit.words.gettext(CATEGORIES[each]) if each in CATEGORIES else each
        for each in rule.get("categories", ())
    ]
    left = {
        name: value
        for name, value in rule.items()
        if name not in ("name", "kind", "verdict", "categories")
    }
    return {
        "name": rule["name"],
        "verdict": rule["verdict"],
        "kind": KINDS.get(rule["kind"], rule["kind"]),
        "categories": categories,
        "settings": [(name, _written(value)) for name, value in sorted(left.items())],
    }


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_written(each)}" for name, each in sorted(value.items()))
    return str(value)


SCREENS = (
    Screen(
        "GET",
        PATH,
        index,
        "screening_rules",
        operator_only=True,
        menu=Menu(mark("Risk"), mark("Screening rules")),
    ),
    Screen("GET", f"{PATH}/{{rules_version}}", show, "screening_rules", operator_only=True),
    Screen(
        "POST",
        f"{PATH}/{{rules_version}}/approve",
        approve,
        "screening_rules",
        step_up=True,
        operator_only=True,
        again=again,
    ),
    Screen(
        "POST",
        f"{PATH}/{{rules_version}}/reject",
        reject,
        "screening_rules",
        operator_only=True,
        again=again,
    ),
)
