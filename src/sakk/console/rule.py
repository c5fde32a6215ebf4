"""Screening rules: what each version says, drafts, and what it would have done to the past."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.rule_form import Ground, RuleForm, field_of, typed, widgets, written
from sakk.console.rule_words import ACTIONS, KINDS, RuleWords, told_reasons
from sakk.console.screening import VERDICTS
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import rule as rules
from sakk.core.errors import ParameterInvalid
from sakk.flow import back_test
from sakk.flow import rule as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import network as networks
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


class DraftForm(RuleForm):
    """The rules as JSON, what was typed into the one that is open, and how they are looked at.

    ``open``: which of them that is. ``last``: on so many of the newest transfers they are tried.
    """

    rules: Text
    view: Literal["form", "json"] = "json"
    open: Annotated[int, Field(ge=0, lt=rules.RULES_MAX)] | None = None
    note: Annotated[str, Field(max_length=NOTE_LENGTH_MAX)] | None = None
    last: Last = TESTED_DEFAULT


class EditForm(DraftForm):
    """The button that was pressed (``change:3``), and of which kind a rule is added."""

    act: Annotated[str, Field(pattern=r"^(keep|add|json|form|(change|remove|up|down):\d{1,3})$")]
    kind: Annotated[str, Field(max_length=40)] | None = None


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
        words = RuleWords(visit, networks.list_currencies(connection))
        before = IN_FORCE if version["state"] == "proposed" else version["base"]
        base = None
        if before is not None:
            base = flow.shown(connection, str(before), livemode=visit.livemode)
        tested = None
        if query.last is not None:
            judged_by = rules.read_rules(version["rules"])
            tested = _tested(connection, words, judged_by, query.last)
    values = {
        "version": version,
        "lines": [words.line(each) for each in version["rules"]],
        "base": base,
        "changes": None if base is None else words.changes(base["rules"], version["rules"]),
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
    return _form(visit, Draft(now["rules"]))


def draft_again(visit: Visit, rejected: Rejected) -> Page:
    """The rules as they were sent, and what is wrong with them, by the field or by the place."""
    given = rejected.values
    is_form = given.get("view") == "form"
    faults = {}
    for name, text in rejected.faults.items():
        is_rule = name.startswith("rules[")
        if is_form:
            faults[field_of(name) if is_rule else name] = text
        else:
            faults["rules" if is_rule else name] = f"{name}: {text}" if is_rule else text
    shown = Draft(
        note=given.get("note"), last=given.get("last"), faults=faults, message=rejected.message
    )
    text = str(given.get("rules") or "")
    if not is_form:
        return _form(visit, replace(shown, text=text))
    try:
        document = rules.rules_document(rules.read_rules(_read(text)))
        place = int(given.get("open") or -1)
    except (ParameterInvalid, ValueError):
        return _form(visit, replace(shown, text=text))
    opened = place if 0 <= place < len(document) else None
    return _form(visit, replace(shown, document=document, open=opened, given=given))


def edit(visit: Visit, form: EditForm) -> Page:
    """The draft after a button was pressed; nothing is kept of it but the page."""
    act, _, number = form.act.partition(":")
    place = int(number) if number else None
    is_dropped = act == "remove" and place == form.open
    document = _document(visit, form, merge=not is_dropped)
    shown = Draft(document, note=form.note, last=form.last)
    if act == "json":
        return _form(visit, replace(shown, text=_dumped(document)))
    if act == "add":
        return _form(visit, _with_another(shown, form.kind))
    if place is None:
        return _form(visit, shown)
    if place >= len(document):
        raise ParameterInvalid("There is no such rule any more: look at the page again.")
    if act == "change":
        return _form(visit, replace(shown, open=place))
    if act == "remove":
        return _form(visit, replace(shown, document=document[:place] + document[place + 1 :]))
    other = place + (-1 if act == "up" else 1)
    if 0 <= other < len(document):
        document[place], document[other] = document[other], document[place]
    return _form(visit, shown)


def try_draft(visit: Visit, form: DraftForm) -> Page:
    """What the rules would have done to the newest transfers; nothing is kept."""
    document = _document(visit, form)
    judged_by = rules.read_rules(document)
    with visit.database.read() as connection:
        words = RuleWords(visit, networks.list_currencies(connection))
        tested = _tested(connection, words, judged_by, form.last)
    shown = Draft(document, note=form.note, last=form.last, tested=tested)
    if form.view == "json":
        return _form(visit, replace(shown, text=form.rules))
    return _form(visit, replace(shown, open=form.open))


def propose(visit: Visit, form: DraftForm) -> Redirect:
    """Write a version that another person puts in force."""
    version = flow.propose(
        visit.parts,
        _document(visit, form),
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


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft as its page shows it: as a form, or, where ``text`` is there, as JSON.

    ``open``: the rule whose fields are shown, with what was typed (``given``) where that is known.
    """

    document: Sequence[Mapping[str, Any]] = ()
    text: str | None = None
    open: int | None = None
    given: Mapping[str, Any] | None = None
    note: str | None = None
    last: Any = TESTED_DEFAULT
    faults: Mapping[str, str] = field(default_factory=dict)
    message: str | None = None
    tested: Mapping[str, Any] | None = None
    added: str | None = None


def _form(visit: Visit, shown: Draft) -> Page:
    with visit.database.read() as connection:
        now = flow.shown(connection, IN_FORCE, livemode=visit.livemode)
        ground = Ground(
            visit,
            networks.list_currencies(connection),
            networks.list_networks(connection, livemode=visit.livemode),
        )
    words = RuleWords(visit, ground.currencies)
    opened = None if shown.open is None else shown.document[shown.open]
    given = shown.given
    if opened is not None and given is None:
        given = typed(ground, opened)
    gettext = visit.words.gettext
    values = {
        "draft": shown,
        "text": _dumped(shown.document) if shown.text is None else shown.text,
        "is_json": shown.text is not None,
        "lines": [words.line(each) for each in shown.document],
        "changes": words.changes(now["rules"], shown.document),
        "opened": None if opened is None else words.line(opened),
        "given": given or {},
        "widgets": [] if opened is None else widgets(ground, opened, given or {}, shown.faults),
        "actions": [(code, gettext(text)) for code, text in ACTIONS.items()],
        "verdicts": VERDICTS,
        "kinds": [(name, gettext(text)) for name, text in KINDS.items()],
        "max": TESTED_MAX,
        "may_propose": _may(visit),
    }
    return Page("console/rule_new.html", values)


def _document(visit: Visit, form: DraftForm, *, merge: bool = True) -> list[dict[str, Any]]:
    """The draft with what was typed into the rule that is open; ParameterInvalid, Faulty."""
    document = rules.rules_document(rules.read_rules(_read(form.rules)))
    if form.view == "json" or form.open is None or not merge:
        return document
    if form.open >= len(document):
        raise ParameterInvalid("There is no such rule any more: look at the page again.")
    with visit.database.read() as connection:
        ground = Ground(visit, networks.list_currencies(connection), ())
    document[form.open] = written(ground, document[form.open], form)
    return rules.rules_document(rules.read_rules(document))


def _with_another(shown: Draft, kind: str | None) -> Draft:
    """The draft with a rule of a kind at its end, which is open."""
    if kind is None or kind not in EXAMPLES:
        raise ParameterInvalid("There is no such kind of rule.", param="kind")
    names = {each["name"] for each in shown.document}
    others = (f"{kind}_{n}" for n in range(2, len(names) + 3))
    name = next(each for each in (kind, *others) if each not in names)
    more = {"kind": kind, "name": name, "verdict": "review", **EXAMPLES[kind]}
    document = rules.rules_document(rules.read_rules([*shown.document, more]))
    return replace(shown, document=document, open=len(document) - 1, added=name)


def _tested(
    connection: Connection, words: RuleWords, judged_by: Sequence[rules.Rule], last: int
) -> dict[str, Any]:
    """What would have been, and why, in words."""
    visit = words.visit
    found = back_test.back_test(connection, judged_by, livemode=visit.livemode, last=last)
    tested = back_test.public(found, livemode=visit.livemode)
    shown = [
        {**each, "why": told_reasons(words, each["reasons"])}
        for each in tested["differences"][:DIFFERENCES_SHOWN]
    ]
    facts = {FACTS.get(name, name): number for name, number in tested["missing"].items()}
    by_rule = [{**each, "word": words.name(each["rule"])} for each in tested["rules"]]
    return tested | {"shown": shown, "facts": facts, "by_rule": by_rule}


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
    Screen("POST", f"{PATH}/edit", edit, "screening_rules", operator_only=True, again=draft_again),
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
