"""The Travel Rule's regime: which one is in force, what it asks, who we are, and another choice."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.route import ROOT, Menu, Screen
from sakk.console.rule_words import RuleWords
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import regime as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.ivms101 import write
from sakk.core.money import format_decimal
from sakk.core.regime import NONE, PRESETS, Choice
from sakk.core.vasp import check_lei, vasp_person
from sakk.flow import regime as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import network as networks
from sakk.store import person as persons
from sakk.store import regime as store

PATH: Final = f"{ROOT}/regime"
TEXT_LENGTH_MAX: Final = 100_000
WRITTEN: Final = "written"
NAMES: Final[Mapping[str, str]] = {
    "fatf": mark("FATF's recommendation 16"),
    "eu": mark("European Union"),
    "hk": mark("Hong Kong"),
    "ch": mark("Switzerland"),
    "sg": mark("Singapore"),
    "us": mark("United States"),
    NONE: mark("None: nothing is asked"),
}
# What a regime says beside its limits: the setting, and each of its values.
SETTINGS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "self_hosted": (
        mark("Wallets without an institution"),
        {
            "collect": mark("Their owners are named too"),
            "exempt": mark("Nothing is asked of them"),
        },
    ),
    "unreachable": (
        mark("An institution that can not be asked"),
        {"hold": mark("The transfer waits for an officer"), "proceed": mark("The transfer goes")},
    ),
    "silence": (
        mark("An institution that does not answer in time"),
        {"hold": mark("The transfer waits for an officer"), "proceed": mark("The transfer goes")},
    ),
    "incoming": (
        mark("Money that came without being told of"),
        {
            "accept": mark("It is taken"),
            "hold": mark("It is held"),
            "request": mark("It is held, and the other institution is asked"),
        },
    ),
}


class ChooseForm(Form):
    """A preset, none, or one that is written out; and who we are, as others are told."""

    regime: Annotated[str, Field(max_length=20)]
    written: Annotated[str, Field(max_length=TEXT_LENGTH_MAX)] | None = None
    institution: Annotated[str, Field(max_length=100)] | None = None
    lei: Annotated[str, Field(max_length=20)] | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None


def show(visit: Visit) -> Page:
    """What is in force."""
    return _page(visit, None)


def again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _page(visit, rejected)


def choose(visit: Visit, form: ChooseForm) -> Redirect:
    """Put a regime in force from now on."""
    wanted: Any = form.regime
    if wanted == WRITTEN:
        wanted = _read(form.written)
    elif wanted not in (*PRESETS, NONE):
        raise ParameterInvalid(visit.words.gettext("Choose one from the list."), param="regime")
    with visit.database.begin() as connection:
        choice = flow.choose(
            connection,
            wanted,
            _institution(connection, visit, form),
            identifier=visit.object_id(rules.PREFIX),
            livemode=visit.livemode,
            chosen_by=visit.actor.name,
            now=visit.now,
        )
    if choice.regime is None:
        return Redirect(
            PATH, visit.words.gettext("No regime is in force: nothing is asked."), "warn"
        )
    return Redirect(PATH, visit.words.gettext("It is in force: transfers are looked at by it."))


def _institution(
    connection: Connection, visit: Visit, form: ChooseForm
) -> Mapping[str, Any] | None:
    """Who we are; None where the form says what is known already, and whatever else is."""
    before = _known(store.find_active(connection, livemode=visit.livemode))
    said = {"institution": form.institution, "lei": form.lei, "country": form.country}
    if {name: value or "" for name, value in said.items()} == before:
        return None
    if form.institution is None:
        raise ParameterInvalid(visit.words.gettext("This is needed."), param="institution")
    check_lei(form.lei, param="lei")
    return write(vasp_person(form.institution, lei=form.lei, country=form.country))


def _known(choice: Choice | None) -> dict[str, str]:
    """Who we are, as the form asks it."""
    document = {} if choice is None else choice.institution or {}
    legal = document.get("legalPerson", {})
    names = legal.get("name", {}).get("nameIdentifier") or [{}]
    number = legal.get("nationalIdentification", {})
    is_lei = number.get("nationalIdentifierType") == "LEIX"
    return {
        "institution": names[0].get("legalPersonName", ""),
        "lei": number.get("nationalIdentifier", "") if is_lei else "",
        "country": legal.get("countryOfRegistration", ""),
    }


def _page(visit: Visit, rejected: Rejected | None) -> Page:
    gettext = visit.words.gettext
    with visit.database.read() as connection:
        found = store.find_active(connection, livemode=visit.livemode)
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
        names = persons.names(connection, [found.chosen_by] if found and found.chosen_by else [])
    faults: dict[str, str] = {}
    for name, text in ({} if rejected is None else rejected.faults).items():
        faults["written" if name.startswith("regime[") else name.partition("[")[0]] = text
    text = "" if found is None or found.regime is None else _dumped(found.regime)
    given = {"regime": "" if found is None else found.name, "written": text, **_known(found)}
    if rejected is not None:
        given |= rejected.values
    options = [(each, gettext(NAMES[each])) for each in (*PRESETS, NONE)]
    values = {
        "choice": found,
        "name": None if found is None else gettext(NAMES.get(found.name, found.name)),
        "known": _known(found),
        "names": names,
        "limits": [] if found is None else list(_limits(found.regime, scales)),
        "settings": [] if found is None else _settings(visit, found.regime),
        "options": [*options, (WRITTEN, gettext("As it is written below"))],
        "given": given,
        "faults": faults,
        "message": None if rejected is None else rejected.message,
        "may_write": visit.may("travel_rule", "write"),
    }
    return Page("console/regime.html", values)


def _limits(
    regime: Mapping[str, Any] | None, scales: Mapping[str, int]
) -> list[tuple[str, str, str, str | None]]:
    """From which amount on of each currency it asks, asks all, and wants the owner shown."""
    found = []
    for currency, limit in sorted((regime or {}).get("limits", {}).items()):
        decimals = scales.get(currency, 0)
        proof = limit.get("ownership_above_units")
        found.append(
            (
                currency,
                format_decimal(limit["from_units"], decimals),
                format_decimal(limit["full_from_units"], decimals),
                None if proof is None else format_decimal(proof, decimals),
            )
        )
    return found


def _settings(visit: Visit, regime: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if regime is None:
        return []
    gettext, words = visit.words.gettext, RuleWords(visit)
    linked, answer = regime["linked_seconds"], regime["answer_seconds"]
    together = gettext("Not counted together") if not linked else words.time(linked)
    return [
        (gettext("Parts of one payment count together within"), together),
        (gettext("An institution answers within"), words.time(answer)),
        *(
            (gettext(label), gettext(options[regime[name]]))
            for name, (label, options) in SETTINGS.items()
        ),
    ]


def _dumped(regime: Mapping[str, Any]) -> str:
    return json.dumps(regime, indent=1, ensure_ascii=False)


def _read(text: str | None) -> object:
    try:
        document: object = json.loads(text or "")
    except (ValueError, RecursionError):
        raise ParameterInvalid("This is no JSON.", param="written") from None
    if not isinstance(document, dict):
        raise ParameterInvalid("This is no JSON object.", param="written")
    return document


SCREENS = (
    Screen(
        "GET",
        PATH,
        show,
        "travel_rule",
        operator_only=True,
        menu=Menu("Settings", mark("Travel Rule regime")),
    ),
    Screen("POST", PATH, choose, "travel_rule", step_up=True, operator_only=True, again=again),
)
