"""Screening rules in words: what each kind looks at, its settings, and what two versions differ by.

Everything that a rule, a verdict's reason or a version has a code for is named here once, in the
person's language. Names of rules that people gave are theirs and are shown as they are.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sakk.console.label import KINDS as LISTS
from sakk.console.screening import CATEGORIES, SIDES, percent
from sakk.console.visit import Visit
from sakk.core.money import format_decimal
from sakk.core.network import Currency
from sakk.core.rule import fields_of
from sakk.pages.amount import count, number
from sakk.pages.language import mark

KINDS: Final[Mapping[str, str]] = {
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
# What came with Sakk, and what a verdict may name beside rules.
RULES: Final[Mapping[str, str]] = {
    "direct_sanctions": mark("A party is under sanctions"),
    "direct_terrorism_or_child_abuse": mark("A party is listed for terrorism or child abuse"),
    "direct_crime": mark("A party is listed for a crime"),
    "direct_mixer": mark("A party is a mixer"),
    "frozen_by_issuer": mark("The issuer froze the address of a party"),
    "exposed_to_sanctions": mark("Money of parties under sanctions"),
    "exposed_to_theft": mark("Money that was stolen or extorted"),
    "exposed_to_mixer": mark("Money from or to a mixer"),
    "exposed_to_gambling": mark("Money from or to gambling"),
    "unknown_origin": mark("A large amount of unknown origin"),
    "denied_by_issuer": mark("The token's issuer denies the receiver"),
    "listed_name": mark("A name is like one on a list"),
    "known_good": mark("The house knows the party as good"),
    "unreadable_address": mark("The address can not be read"),
    "sandbox_structuring": mark("Three payouts just below a thousand"),
}
FIELDS: Final[Mapping[str, str]] = {
    "name": mark("Name of the rule"),
    "kind": mark("What it looks at"),
    "verdict": mark("What happens"),
    "categories": mark("What is found"),
    "sides": mark("Of which party"),
    "confidence_min": mark("The list is at least so sure, in percent"),
    "share_min_ppm": mark("At least this share, in percent"),
    "via": mark("Over how many transfers"),
    "hops_max": mark("Within so many transfers"),
    "hops_min": mark("Over at least so many addresses in a row"),
    "peel_max_ppm": mark("Of which each kept at most this share, in percent"),
    "seconds": mark("Within this time"),
    "per": mark("Counted for"),
    "count_min": mark("At least so many transfers"),
    "units_min": mark("At least so much together"),
    "below": mark("Below this amount"),
    "width_ppm": mark("By at most this share of it, in percent"),
    "lists": mark("On which lists of countries"),
    "parties": mark("Whose country"),
    "score_min": mark("At least this alike, of 1,000"),
    "list_kinds": mark("On lists of which kind"),
    "direction": mark("Which way the money goes"),
    "networks": mark("On which networks"),
    "amount": mark("From this amount on"),
}
ACTIONS: Final[Mapping[str, str]] = {
    "review": mark("It waits, and an officer decides"),
    "block": mark("It is stopped, whatever the house knows of the party, and officers decide"),
}
DIRECTIONS: Final[Mapping[str, str]] = {
    "incoming": mark("What is paid in"),
    "outgoing": mark("What is paid out"),
}
VIAS: Final[Mapping[str, str]] = {
    "any": mark("Any number"),
    "direct": mark("One alone"),
    "indirect": mark("Several"),
}
PERS: Final[Mapping[str, str]] = {
    "account": mark("The account"),
    "counterparty": mark("The address on the other side"),
}
PARTIES: Final[Mapping[str, str]] = {
    "account": mark("The account's"),
    "beneficiary": mark("The beneficiary's"),
}
LISTINGS: Final[Mapping[str, str]] = {
    "black_countermeasures": mark("FATF: countermeasures"),
    "black_edd": mark("FATF: enhanced due diligence"),
    "grey": mark("FATF: increased monitoring"),
}
METHODS: Final[Mapping[str, str]] = {
    "walk": mark("followed transfer by transfer"),
    "haircut": mark("divided in proportion"),
    "fifo": mark("first in, first out"),
}
# What each word of a field is called; a field that stands in neither is digits or an amount.
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "categories": CATEGORIES,
    "sides": SIDES,
    "via": VIAS,
    "per": PERS,
    "parties": PARTIES,
    "lists": LISTINGS,
    "list_kinds": LISTS,
    "direction": DIRECTIONS,
    "verdict": ACTIONS,
    "kind": KINDS,
}
SHARES: Final = ("share_min_ppm", "peel_max_ppm", "width_ppm")
LIMITS: Final = ("amount", "units_min", "below")
# Units of time, each of so many seconds, the longest first.
TIMES: Final[Mapping[str, int]] = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
# What a reason says beside its rule; it is kept as one line of English (`sakk.core.verdict`).
DETAILS: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (
            r"by (?P<method>\w+) at height (?P<height>\d+)",
            mark("As of block {height}, {method}."),
        ),
        (
            r"(?P<units>\d+) of (?P<total>\d+) units lead to nothing known",
            mark("Of {total} atomic units {units} lead to nothing known."),
        ),
        (
            r"over (?P<number>\d+) addresses in a row, each of which kept a little",
            mark("Over {number} addresses in a row, each of which kept a little."),
        ),
        (r"the amount alone", mark("The amount alone")),
        (r"was never paid before", mark("It was never paid before.")),
        (r"looks like (?P<address>\S+)", mark("It looks like {address}.")),
        (
            r"is on the issuer's deny-list, at block (?P<height>\d+)",
            mark("It is on the issuer's deny-list, at block {height}."),
        ),
        (
            r"can not be looked up in the issuer's deny-list, at block (?P<height>\d+)",
            mark("It can not be looked up in the issuer's deny-list, at block {height}."),
        ),
        (
            r"(?P<came>\d+) came in and (?P<went>\d+) go out within (?P<seconds>\d+) s",
            mark("{came} smallest units came in and {went} go out within {time}."),
        ),
        (
            r"(?P<number>\d+) transfers, (?P<units>\d+) units,"
            r" (?P<direction>\w+)/(?P<per>\w+)/(?P<seconds>\d+)(?:/\d+-\d+)?",
            mark("{number} transfers of {units} smallest units together within {time}."),
        ),
        (
            r"the (?P<party>account|beneficiary) is of (?P<country>[A-Z]{2}),"
            r" which is (?P<list>\w+)",
            mark("{party} country {country} is listed: {list}."),
        ),
    )
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a rule as it is read: what it is called, and what it is set to."""

    field: str
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Change:
    """What another version says of a rule: it is added, removed or changed.

    ``settings``: what each is called, what it was and what it is then; None where it is not set.
    """

    kind: str
    rule: str
    settings: tuple[tuple[str, str | None, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class RuleWords:
    """How rules are read by a person, with the scale of each currency that amounts are in."""

    visit: Visit
    currencies: Sequence[Currency] = ()

    def name(self, name: str) -> str:
        """What a rule is called."""
        return self.visit.words.gettext(RULES[name]) if name in RULES else name

    def line(self, rule: Mapping[str, Any]) -> dict[str, Any]:
        """A rule as a table shows it."""
        settings = self.settings(rule)
        found = [each for each in settings if each.field == "categories"]
        return {
            "code": rule["name"],
            "name": self.name(rule["name"]),
            "is_named": rule["name"] in RULES,
            "verdict": rule["verdict"],
            "action": self.word("verdict", rule["verdict"]),
            "kind": self.word("kind", rule["kind"]),
            "found": found[0].value if found else "",
            "settings": [each for each in settings if each.field != "categories"],
        }

    def settings(self, rule: Mapping[str, Any]) -> list[Setting]:
        """What is set of a rule, beside its name, its kind and what happens."""
        return [
            Setting(field, self.visit.words.gettext(FIELDS[field]), self.value(field, rule[field]))
            for field in fields_of(rule["kind"])
            if field in rule
        ]

    def value(self, field: str, value: Any) -> str:
        """What a field is set to, in words or in exact digits."""
        if field in LIMITS:
            return self.limit(value)
        if field in SHARES:
            return f"{percent(value)} %"
        if field == "confidence_min":
            return f"{value} %"
        if field == "seconds":
            return self.time(value)
        if isinstance(value, list):
            return " · ".join(self.word(field, str(each)) for each in value)
        if field == "name":
            return self.name(value)
        return count(value) if isinstance(value, int) else self.word(field, str(value))

    def word(self, field: str, code: str) -> str:
        """What a code of a field is called; what has no name is shown as it is."""
        words = WORDS.get(field, {})
        return self.visit.words.gettext(words[code]) if code in words else code

    def time(self, seconds: int) -> str:
        """A time in the longest unit that measures it."""
        ngettext = self.visit.words.ngettext
        match parted(seconds):
            case size, "days":
                return ngettext("{number} day", "{number} days", size)
            case size, "hours":
                return ngettext("{number} hour", "{number} hours", size)
            case size, "minutes":
                return ngettext("{number} minute", "{number} minutes", size)
            case size, _:
                return ngettext("{number} second", "{number} seconds", size)

    def limit(self, limit: Mapping[str, Any]) -> str:
        """An amount, to the last digit: in whole units of any currency, and of some."""
        scales = {each.currency: each.decimals for each in self.currencies}
        gettext = self.visit.words.gettext
        parts = []
        if limit.get("whole") is not None:
            parts.append(gettext("{number} whole units", number=number(limit["whole"])))
        for currency, units in sorted(limit.get("units", {}).items()):
            if currency in scales:
                written = number(format_decimal(int(units), scales[currency]))
                parts.append(f"{written} {currency.upper()}")
            else:
                smallest = gettext("{number} smallest units", number=number(units))
                parts.append(f"{smallest} {currency.upper()}")
        return " · ".join(parts)

    def changes(
        self, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
    ) -> list[Change]:
        """What is said otherwise, by the rules' names; their order means nothing."""
        was = {each["name"]: each for each in before}
        now = {each["name"]: each for each in after}
        found = [
            Change("removed", self.name(name), self._told(rule, is_new=False))
            for name, rule in was.items()
            if name not in now
        ]
        for name, rule in now.items():
            if name not in was:
                found.append(Change("added", self.name(name), self._told(rule, is_new=True)))
            elif rule != was[name]:
                found.append(Change("changed", self.name(name), self._differing(was[name], rule)))
        return found

    def _told(
        self, rule: Mapping[str, Any], *, is_new: bool
    ) -> tuple[tuple[str, str | None, str | None], ...]:
        """All of a rule that only one of two versions has."""
        words = self.visit.words
        kind = Setting("kind", words.gettext(FIELDS["kind"]), self.value("kind", rule["kind"]))
        verdict = self.value("verdict", rule["verdict"])
        happens = Setting("verdict", words.gettext(FIELDS["verdict"]), verdict)
        return tuple(
            (each.label, None, each.value) if is_new else (each.label, each.value, None)
            for each in (kind, *self.settings(rule), happens)
        )

    def _differing(
        self, was: Mapping[str, Any], now: Mapping[str, Any]
    ) -> tuple[tuple[str, str | None, str | None], ...]:
        gettext = self.visit.words.gettext
        return tuple(
            (
                gettext(FIELDS[field]),
                self.value(field, was[field]) if field in was else None,
                self.value(field, now[field]) if field in now else None,
            )
            for field in FIELDS
            if was.get(field) != now.get(field)
        )


def parted(seconds: int) -> tuple[int, str]:
    """A time in the longest unit of which it is a whole number."""
    unit = next(name for name, size in TIMES.items() if seconds % size == 0)
    return seconds // TIMES[unit], unit


def detail_in(visit: Visit) -> Callable[[str], str]:
    """How the page's language says what a reason tells beside its rule."""
    words = RuleWords(visit)

    def said(detail: str) -> str:
        for pattern, text in DETAILS:
            found = pattern.fullmatch(detail)
            if found is not None:
                return visit.words.gettext(text, **filled(found.groupdict()))
        return detail

    def filled(given: Mapping[str, str]) -> dict[str, str]:
        named = {
            "method": lambda code: visit.words.gettext(METHODS.get(code, code)),
            "party": lambda code: words.word("parties", code),
            "list": lambda code: words.word("lists", code),
        }
        values = {
            name: named[name](value)
            if name in named
            else number(value)
            if value.isdigit()
            else value
            for name, value in given.items()
        }
        if "seconds" in given:
            values["time"] = words.time(int(given["seconds"]))
        return values

    return said


def told_reasons(words: RuleWords, reasons: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why a verdict is what it is, a sentence a reason: its rule, what was found, how much."""
    said = detail_in(words.visit)
    told = []
    for each in reasons:
        parts = [words.name(each["rule"])]
        if each["category"] and each["category"] != "other":
            parts.append(words.word("categories", each["category"]))
        if each["share_ppm"] is not None:
            parts.append(f"{percent(each['share_ppm'])} %")
        if each["detail"]:
            parts.append(said(each["detail"]))
        told.append(" · ".join(dict.fromkeys(parts)))
    return told
