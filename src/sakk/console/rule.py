"""Screening rules: what each version says, drafts, and what it would have done to the past."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.screening import CATEGORIES, VERDICTS
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import rule as rules
from sakk.core.errors import ParameterInvalid
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
TESTED_DEFAULT: Final = 1_000
DIFFERENCES_SHOWN: Final = 100
TEXT_LENGTH_MAX: Final = 200_000
NOTE_LENGTH_MAX: Final = 1_000
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


# A rule of each kind to begin with, as it stands in a version; its numbers are to be changed.
EXAMPLES: Final[Mapping[str, dict[str, Any]]] = {
    "direct": {"categories": ["sanctions"]},
    "exposure": {"categories": ["theft", "ransomware"], "share_min_ppm": 50_000},
    "unknown": {"share_min_ppm": 500_000, "amount": {"whole": "10000"}},
    "mixer": {"share_min_ppm": 100_000, "hops_max": 3},
    "bridge_hop": {"share_min_ppm": 500_000, "hops_max": 2},
    "peel_chain": {"hops_min": 3, "peel_max_ppm": 100_000},
    "amount": {"amount": {"whole": "10000"}},
    "velocity": {"seconds": 86_400, "per": "account", "count_min": 20},
    "structuring": {
        "below": {"whole": "10000"},
        "width_ppm": 100_000,
        "count_min": 3,
        "seconds": 86_400,
        "per": "account",
    },
    "pass_through": {"seconds": 86_400, "share_min_ppm": 900_000},
    "dust": {"below": {"whole": "1"}, "seconds": 86_400, "count_min": 5},
    "poisoning": {},
    "first_payout": {"direction": "outgoing", "amount": {"whole": "1000"}},
    "country": {"lists": ["black_countermeasures"]},
    "issuer": {},
    "name": {"score_min": 750},
}
# What may not be known of the past any more.
FACTS: Mapping[str, str] = {
    "exposure": mark("where its money came from or went"),
    "peels": mark("from which addresses it was passed on"),
    "countries": mark("the countries of its parties"),
    "issuer": mark("what the token's issuer said"),
}

Text = Annotated[str, Field(max_length=TEXT_LENGTH_MAX)]
Last = Annotated[int, Field(ge=1, le=TESTED_MAX)]


class DraftForm(Form):
    """The rules as JSON, and on how many of the newest transfers they are tried."""

    rules: Text
    note: Annotated[str, Field(max_length=NOTE_LENGTH_MAX)] | None = None
    last: Last = TESTED_DEFAULT


class AddForm(DraftForm):
    """Of which kind a rule is put under those that are written."""

    kind: Annotated[str, Field(max_length=40)]


class TestQuery(Form):
    """``last``: try the version on so many of the newest transfers."""

    last: Last | None = None
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
    values = {
        "rows": rows,
        "now": now,
        "states": STATES,
        "names": names,
        "may_propose": _may(visit),
    }
    return Page("console/rule_versions.html", values)


def show(visit: Visit, rules_version: str, query: TestQuery) -> Page:
    """One version: its rules, and a try of them on the newest transfers."""
    with visit.database.read() as connection:
        version = flow.shown(connection, rules_version, livemode=visit.livemode)
        people = [each for each in (version["proposed_by"], version["decided_by"]) if each]
        names = persons.names(connection, people)
        tested = None
        if query.last is not None:
            judged_by = rules.read_rules(version["rules"])
            tested = _tested(connection, visit, judged_by, query.last)
    values = {
        "version": version,
        "lines": [_line(visit, each) for each in version["rules"]],
        "tested": tested,
        "last": query.last or TESTED_DEFAULT,
        "max": TESTED_MAX,
        "states": STATES,
        "verdicts": VERDICTS,
        "names": names,
        "may_decide": version["state"] == "proposed" and _may(visit),
        "is_own": version["proposed_by"] == visit.person.id,
        "rejected": None,
    }
    return Page("console/rule_version.html", values)


def again(visit: Visit, rejected: Rejected, rules_version: str) -> Page:
    """The version with why nothing was done."""
    page = show(visit, rules_version, TestQuery())
    return replace(page, values={**page.values, "rejected": rejected})


def draft(visit: Visit) -> Page:
    """The rules in force, to write others from."""
    with visit.database.read() as connection:
        now = flow.shown(connection, IN_FORCE, livemode=visit.livemode)
    return _form(visit, {"rules": _dumped(now["rules"])}, {}, None)


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The rules as they were sent, and what is wrong with them, by the place."""
    faults = {}
    for name, text in rejected.faults.items():
        is_rule = name.startswith("rules[")
        faults["rules" if is_rule else name] = f"{name}: {text}" if is_rule else text
    return _form(visit, rejected.values, faults, rejected.message)


def add(visit: Visit, form: AddForm) -> Page:
    """The draft with a rule of a kind more, to be changed; nothing is kept."""
    written = _read(form.rules)
    if not isinstance(written, list):
        raise ParameterInvalid("This is no list of rules.", param="rules")
    if form.kind not in EXAMPLES:
        raise ParameterInvalid("There is no such kind of rule.", param="kind")
    said = [each.get("name") for each in written if isinstance(each, dict)]
    names = {each for each in said if isinstance(each, str)}
    others = (f"{form.kind}_{n}" for n in range(2, len(names) + 3))
    name = next(each for each in (form.kind, *others) if each not in names)
    more = {"kind": form.kind, "name": name, "verdict": "review", **EXAMPLES[form.kind]}
    text = _dumped([*written, more])
    return _form(visit, form.model_dump() | {"rules": text}, {}, None, added=name)


def try_draft(visit: Visit, form: DraftForm) -> Page:
    """What the rules would have done to the newest transfers; nothing is kept."""
    judged_by = rules.read_rules(_read(form.rules))
    with visit.database.read() as connection:
        tested = _tested(connection, visit, judged_by, form.last)
    lines = [_line(visit, each) for each in rules.rules_document(judged_by)]
    return _form(visit, form.model_dump(), {}, None, tested=tested, lines=lines)


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


def approve(visit: Visit, rules_version: str, form: ConfirmForm) -> Redirect:
    """Put a version in force that another person proposed, as the page showed it."""
    flow.approve(visit.parts, rules_version, yes_to(visit, form), livemode=visit.livemode)
    return Redirect(
        f"{PATH}/{rules_version}", visit.words.gettext("These rules judge from now on.")
    )


def reject(visit: Visit, rules_version: str) -> Redirect:
    """Refuse a version, or take it back."""
    flow.reject(visit.parts, rules_version, actor=visit.actor, livemode=visit.livemode)
    return Redirect(f"{PATH}/{rules_version}", visit.words.gettext("The version is rejected."))


def _form(
    visit: Visit,
    given: Mapping[str, Any],
    faults: Mapping[str, str],
    message: str | None,
    *,
    tested: Mapping[str, Any] | None = None,
    lines: Sequence[Mapping[str, Any]] = (),
    added: str | None = None,
) -> Page:
    values = {
        "given": given,
        "faults": faults,
        "message": message,
        "tested": tested,
        "lines": lines,
        "added": added,
        "verdicts": VERDICTS,
        "kinds": [(name, visit.words.gettext(text)) for name, text in KINDS.items()],
        "last": given.get("last") or TESTED_DEFAULT,
        "may_propose": _may(visit),
    }
    return Page("console/rule_new.html", values)


def _tested(
    connection: Connection, visit: Visit, judged_by: Sequence[rules.Rule], last: int
) -> dict[str, Any]:
    """What would have been."""
    found = back_test.back_test(connection, judged_by, livemode=visit.livemode, last=last)
    tested = back_test.public(found, livemode=visit.livemode)
    shown = tested["differences"][:DIFFERENCES_SHOWN]
    facts = {FACTS.get(name, name): number for name, number in tested["missing"].items()}
    return tested | {"shown": shown, "facts": facts}


def _read(text: str) -> object:
    try:
        document: object = json.loads(text)
        # Half of a character can be written in JSON, and shown or kept nowhere.
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ParameterInvalid("This is no JSON.", param="rules") from None
    return document


def _dumped(document: Sequence[Any]) -> str:
    """Rules as people change them: one a line, its name first."""
    lines = []
    for each in document:
        if isinstance(each, dict):
            first = {name: each[name] for name in ("name", "kind", "verdict") if name in each}
            lines.append(json.dumps(first | each, ensure_ascii=False))
        else:
            lines.append(json.dumps(each, ensure_ascii=False))
    return "[\n" + ",\n".join(lines) + "\n]"


def _may(visit: Visit) -> bool:
    return visit.may("screening_rules", "write") and not flow.RULERS.isdisjoint(visit.person.powers)


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
    Screen("GET", f"{PATH}/new", draft, "screening_rules", "write", operator_only=True),
    Screen("POST", f"{PATH}/add", add, "screening_rules", operator_only=True, again=draft_again),
    Screen(
        "POST", f"{PATH}/try", try_draft, "screening_rules", operator_only=True, again=draft_again
    ),
    Screen(
        "POST",
        f"{PATH}/new",
        propose,
        "screening_rules",
        step_up=True,
        operator_only=True,
        again=draft_again,
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
