"""A draft of rules as a form: the one that is open, its fields, and what was typed into them.

The draft itself is the document that is proposed; it travels with the page. Without a script every
button sends it, what was typed is put into it, and the next page is made from that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from sakk.console.amount import ppm_of
from sakk.console.label import KINDS as LISTS
from sakk.console.rule_words import (
    DIRECTIONS,
    FIELDS,
    LIMITS,
    PARTIES,
    PERS,
    SHARES,
    TIMES,
    VIAS,
    parted,
)
from sakk.console.screening import CATEGORIES, SIDES, percent
from sakk.console.visit import Visit
from sakk.core import rule as rules
from sakk.core.errors import ParameterInvalid
from sakk.core.money import format_decimal
from sakk.core.network import Currency, Network
from sakk.pages.amount import plain, read_amount
from sakk.pages.form import Faulty, Form
from sakk.pages.language import mark

CODE_LENGTH_MAX: Final = 100
LIMIT_LENGTH_MAX: Final = 10_000
CHOICES: Final[Mapping[str, Mapping[str, str]]] = {
    "categories": CATEGORIES,
    "sides": SIDES,
    "parties": PARTIES,
    "list_kinds": LISTS,
}
CHOICE: Final[Mapping[str, Mapping[str, str]]] = {
    "direction": DIRECTIONS,
    "via": VIAS,
    "per": PERS,
}
NUMBERS: Final = ("confidence_min", "hops_max", "hops_min", "count_min", "score_min")
TEXTS: Final = ("lists",)
UNITS: Final[Mapping[str, str]] = {
    "days": mark("days"),
    "hours": mark("hours"),
    "minutes": mark("minutes"),
    "seconds": mark("seconds"),
}
# What nothing means, where a field may be left empty.
EMPTY: Final[Mapping[str, str]] = {
    "sides": mark("None ticked: either."),
    "parties": mark("None ticked: either."),
    "list_kinds": mark("None ticked: all lists of names."),
    "networks": mark("None ticked: all."),
    "amount": mark("Empty: any amount."),
    "lists": mark("As the list of countries calls them, with commas between: grey."),
}
_NOT_CHOSEN: Final = frozenset({"known_good", "issuance", "unknown"})

Code = Annotated[str, Field(max_length=CODE_LENGTH_MAX)]
Typed = Annotated[str, Field(max_length=LIMIT_LENGTH_MAX)]
Codes = list[Code]


class RuleForm(Form):
    """What was typed into the rule that is open, as the fields of all kinds are called."""

    name: Code | None = None
    verdict: Code | None = None
    direction: Code | None = None
    via: Code | None = None
    per: Code | None = None
    networks: Codes = Field(default_factory=list)
    categories: Codes = Field(default_factory=list)
    sides: Codes = Field(default_factory=list)
    parties: Codes = Field(default_factory=list)
    list_kinds: Codes = Field(default_factory=list)
    lists: Typed | None = None
    confidence_min: Code | None = None
    hops_max: Code | None = None
    hops_min: Code | None = None
    count_min: Code | None = None
    score_min: Code | None = None
    share_min_ppm: Code | None = None
    peel_max_ppm: Code | None = None
    width_ppm: Code | None = None
    seconds: Code | None = None
    seconds_unit: Code | None = None
    amount_whole: Code | None = None
    amount_units: Typed | None = None
    below_whole: Code | None = None
    below_units: Typed | None = None
    units_min_whole: Code | None = None
    units_min_units: Typed | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """What fields are read and shown by: the currencies, and the networks that are there."""

    visit: Visit
    currencies: Sequence[Currency]
    networks: Sequence[Network]

    @property
    def scales(self) -> dict[str, int]:
        return {each.currency: each.decimals for each in self.currencies}


def written(ground: Ground, rule: Mapping[str, Any], form: RuleForm) -> dict[str, Any]:
    """The rule as it was typed; Faulty names every field that can not be read."""
    given = form.model_dump()
    faults: dict[str, str] = {}
    made: dict[str, Any] = {
        "name": form.name or "",
        "kind": rule["kind"],
        "verdict": form.verdict or "",
    }
    for field in rules.fields_of(rule["kind"]):
        value = _read(ground, field, given, faults)
        if value not in (None, [], {}):
            made[field] = value
    if faults:
        raise Faulty(faults)
    return made


def typed(ground: Ground, rule: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the fields of a rule before anybody types."""
    found: dict[str, Any] = {"name": rule["name"], "verdict": rule["verdict"]}
    for field in rules.fields_of(rule["kind"]):
        if field not in rule:
            continue
        value = rule[field]
        if field in LIMITS:
            found[f"{field}_whole"] = value.get("whole", "")
            found[f"{field}_units"] = ", ".join(
                f"{name} {plain(format_decimal(int(units), ground.scales.get(name, 0)))}"
                for name, units in sorted(value.get("units", {}).items())
            )
        elif field in SHARES:
            found[field] = percent(value)
        elif field == "seconds":
            size, unit = parted(value)
            found |= {"seconds": str(size), "seconds_unit": unit}
        elif field in TEXTS:
            found[field] = ", ".join(value)
        else:
            found[field] = value if isinstance(value, list) else str(value)
    return found


def widgets(
    ground: Ground, rule: Mapping[str, Any], given: Mapping[str, Any], faults: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The fields of a rule as the template lays them out."""
    gettext = ground.visit.words.gettext
    return [
        {
            "field": field,
            "label": gettext(FIELDS[field]),
            "widget": _widget(field),
            "value": _chosen(field, given),
            "whole": given.get(f"{field}_whole") or "",
            "units": given.get(f"{field}_units") or "",
            "unit": given.get(f"{field}_unit") or "hours",
            "options": _options(ground, field, rule),
            "help": gettext(EMPTY[field]) if field in EMPTY else "",
            "fault": faults.get(field) or "",
            "faults": {each: faults.get(f"{field}_{each}") or "" for each in ("whole", "units")},
        }
        for field in rules.fields_of(rule["kind"])
        if not (rule["kind"] == "name" and field in ("direction", "networks", "amount"))
    ]


def field_of(param: str) -> str:
    """The form's name of what a command found wrong: ``rules[3][amount][whole]``."""
    _, _, place = param.partition("][")
    parts = place.rstrip("]").split("][") if place else []
    if not parts:
        return "rule"
    if parts[0] in LIMITS:
        return f"{parts[0]}_{parts[1] if len(parts) > 1 else 'whole'}"
    return parts[0]


def _widget(field: str) -> str:
    if field in LIMITS:
        return "limit"
    if field in CHOICES or field == "networks":
        return "choices"
    if field in CHOICE:
        return "choice"
    return "time" if field == "seconds" else "share" if field in SHARES else "text"


def _chosen(field: str, given: Mapping[str, Any]) -> Any:
    value = given.get(field)
    if _widget(field) == "choices":
        return [] if value is None else [value] if isinstance(value, str) else value
    return "" if value is None else value


def _options(ground: Ground, field: str, rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    gettext = ground.visit.words.gettext
    if field == "networks":
        known = {each.network: each.name for each in ground.networks}
        known |= {each: each for each in rule.get("networks", ()) if each not in known}
        return list(known.items())
    if field == "seconds":
        return [(name, gettext(text)) for name, text in UNITS.items()]
    if field in CHOICE:
        nothing = (
            [] if field == "per" else [("", gettext("Either"))] if field == "direction" else []
        )
        return [*nothing, *((code, gettext(text)) for code, text in CHOICE[field].items())]
    if field in CHOICES:
        return [
            (code, gettext(text))
            for code, text in CHOICES[field].items()
            if code not in _NOT_CHOSEN or code in rule.get(field, ())
        ]
    return []


def _read(ground: Ground, field: str, given: Mapping[str, Any], faults: dict[str, str]) -> Any:
    """One field; what is wrong with it is put among the faults."""
    if field in LIMITS:
        return _limit(ground, field, given, faults)
    value = given[field]
    if value in (None, []):
        return None
    if field in SHARES:
        return _noted(ground, field, faults, lambda: ppm_of(value, param=field))
    if field == "seconds":
        size = TIMES.get(given["seconds_unit"] or "seconds", 1)
        return _noted(ground, field, faults, lambda: _whole(value, field) * size)
    if field in NUMBERS:
        return _noted(ground, field, faults, lambda: _whole(value, field))
    if field in TEXTS:
        return [each.strip() for each in value.split(",") if each.strip()]
    return value


def _limit(
    ground: Ground, field: str, given: Mapping[str, Any], faults: dict[str, str]
) -> dict[str, Any] | None:
    """An amount: whole units of any currency, and amounts of some (``usdc 12.50, eth 0.5``)."""
    whole, units = given[f"{field}_whole"], given[f"{field}_units"]
    found: dict[str, Any] = {}
    if whole is not None:
        name = f"{field}_whole"
        number = _noted(ground, name, faults, lambda: _whole(whole, name))
        found["whole"] = "" if number is None else str(number)
    if units is not None:
        name = f"{field}_units"
        amounts = _noted(ground, name, faults, lambda: _amounts(ground, units, name))
        found["units"] = amounts or {}
    return found or None


def _amounts(ground: Ground, text: str, param: str) -> dict[str, str]:
    scales = ground.scales
    found: dict[str, str] = {}
    for each in text.replace("\n", ",").split(","):
        currency, _, amount = each.strip().partition(" ")
        currency = currency.lower()
        if not currency:
            continue
        if currency not in scales:
            raise ParameterInvalid(
                "There is no currency {currency} here.", param=param, currency=currency
            )
        try:
            found[currency] = str(read_amount(amount, scales[currency]))
        except ValueError:
            raise ParameterInvalid(
                "Write each as usdc 12.50, with commas between.", param=param
            ) from None
    return found


def _whole(text: str, param: str) -> int:
    """A whole number in digits of any script, with or without commas between thousands."""
    digits = text.replace(",", "").replace("٬", "").strip()
    if not digits.isdecimal() or len(digits) > rules.DIGITS_MAX:
        raise ParameterInvalid("Write a whole number.", param=param)
    return int(digits)


def _noted(ground: Ground, field: str, faults: dict[str, str], read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ParameterInvalid as error:
        faults[field] = ground.visit.words.error(error)
        return None
