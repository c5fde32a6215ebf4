"""Screening a name: what is asked, what was found, and what speaks for and against it.

A hit's score is that of the names (``core/name.py``) and points for what else is known: a date of
birth, countries, what kind of entity it is. Each point has its reason in the hit, so that a person
who decides reads why, and the same question at the same lists version gives the same answer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from sakk.core.country import is_country
from sakk.core.entity import NAME_LENGTH_MAX, EntityKind, NameQuality, parse_date, years_of
from sakk.core.errors import ParameterInvalid
from sakk.core.name import SCORE_MAX, Pair
from sakk.core.rule import BUILT_IN_NAMED, Named, Rule
from sakk.core.screening import Verdict, gravest

PREFIX: Final = "nsc"
EXEMPTION_PREFIX: Final = "nex"
# What compares names; a decision says by which.
MATCHER: Final = "names-1"
SUBJECT_LENGTH_MAX: Final = 128
REASON_LENGTH_MAX: Final = 500
COUNTRIES_MAX: Final = 20
HITS_MAX: Final = 50

_WEAK = -40
_KIND_OTHER = -120
_BORN_SAME_DAY = 60
_BORN_SAME_YEAR = 30
_BORN_OTHERWISE = -150
_COUNTRY_SAME = 20
_COUNTRY_OTHER = -40
# A year that a list gives may be off by so much, and by more where it says that it is only about.
_YEARS_OFF_MAX = 1
_YEARS_ABOUT_MAX = 3


@dataclass(frozen=True, slots=True)
class NameQuery:
    """Who is asked for. ``birth`` is in EDTF, countries are two letters each."""

    name: str
    kind: EntityKind = EntityKind.unknown
    birth: str | None = None
    countries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for (points above zero) or against a hit beside its name."""

    what: str
    points: int


@dataclass(frozen=True, slots=True)
class NameHit:
    """An entity of a list that may be who is asked for; ``score`` is of 1,000.

    ``name`` is the entry's own name, ``matched`` that of its names which is most alike.
    ``entity_version`` is the lists version that opened the entry as it was compared.
    """

    entity_id: str
    list_name: str
    list_kind: str
    list_version: int
    ref: str
    entity_version: int
    kind: str
    name: str
    matched: str
    quality: str
    score: int
    name_score: int
    pairs: tuple[Pair, ...]
    query_left: tuple[str, ...]
    listed_left: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    programs: tuple[str, ...] = ()
    exemption: str | None = None


@dataclass(frozen=True, slots=True)
class NameScreening:
    """One decision about one name. Never changed."""

    id: str
    account_id: str | None
    livemode: bool
    subject: str
    query: NameQuery
    verdict: Verdict
    hits: tuple[NameHit, ...]
    lists_version: int
    rules_version: str
    matcher: str
    input_hash: str
    created: datetime


@dataclass(frozen=True, slots=True)
class NameExemption:
    """A person's word that a subject is not an entity: good until the list says otherwise of it.

    ``entity_version`` binds it: an entry that changed has another one, and the hit is open again.
    """

    id: str
    livemode: bool
    subject: str
    entity_id: str
    entity_version: int
    reason: str
    created_by: str
    created: datetime
    ended_by: str | None = None
    ended: datetime | None = None
    ended_reason: str | None = None


def read_query(
    name: str,
    *,
    kind: str | None = None,
    birth: str | None = None,
    countries: Sequence[str] = (),
) -> NameQuery:
    """A question as it came from outside; ParameterInvalid names the field that is wrong."""
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise ParameterInvalid(
            "A name has 1 to {length_max} printable characters.",
            param="name",
            length_max=NAME_LENGTH_MAX,
        )
    if kind is not None and kind not in set(EntityKind):
        known = ", ".join(EntityKind)
        raise ParameterInvalid("Unknown kind; known are {known}.", param="kind", known=known)
    date = None if birth is None else parse_date(birth)
    if birth is not None and date is None:
        raise ParameterInvalid(
            "Write a date of birth as 1962-05-03, 1962-05 or 1962.", param="birth"
        )
    wrong = [code for code in countries if not is_country(code)]
    if wrong or len(countries) > COUNTRIES_MAX:
        raise ParameterInvalid(
            "Countries are at most {most} of two capital letters (ISO 3166-1).",
            param="countries",
            most=COUNTRIES_MAX,
        )
    return NameQuery(
        name=" ".join(name.split()),
        kind=EntityKind(kind) if kind else EntityKind.unknown,
        birth=date,
        countries=tuple(dict.fromkeys(countries)),
    )


def decide_names(
    hits: Sequence[NameHit], rules: Sequence[Rule]
) -> tuple[Verdict, tuple[NameHit, ...]]:
    """The gravest verdict that the rules about names give, and the hits that met one of them.

    A hit that a person exempted is kept and gives no verdict.
    """
    named = name_rules(rules)
    met = tuple(hit for hit in hits if any(_meets(hit, rule) for rule in named))
    verdicts = [
        rule.verdict
        for rule in named
        if any(hit.exemption is None and _meets(hit, rule) for hit in met)
    ]
    return gravest(verdicts), met


def name_rules(rules: Sequence[Rule]) -> tuple[Named, ...]:
    """The rules about names; what came with the house where a version says nothing of them."""
    return tuple(rule for rule in rules if isinstance(rule, Named)) or (BUILT_IN_NAMED,)


def _meets(hit: NameHit, rule: Named) -> bool:
    return hit.score >= rule.score_min and (not rule.list_kinds or hit.list_kind in rule.list_kinds)


def query_hash(query: NameQuery, *, lists_version: int, rules_version: str) -> str:
    """SHA-256 of all that a decision about a name depends on."""
    document = [msgspec.to_builtins(query), lists_version, rules_version, MATCHER]
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def weigh_evidence(
    query: NameQuery,
    *,
    kind: EntityKind,
    quality: NameQuality,
    births: Sequence[str],
    countries: Sequence[str],
) -> tuple[Evidence, ...]:
    """What a list says of an entity beside its name, held against what is known of the query."""
    found = []
    if quality is NameQuality.weak:
        found.append(Evidence("the list calls the name weak", _WEAK))
    if _is_other_kind(query.kind, kind):
        found.append(Evidence(f"{kind} on the list, {query.kind} asked for", _KIND_OTHER))
    if query.birth is not None and births:
        found.append(_birth_evidence(query.birth, births))
    if query.countries and countries:
        same = sorted(set(query.countries) & set(countries))
        if same:
            found.append(Evidence(f"country {', '.join(same)}", _COUNTRY_SAME))
        else:
            found.append(Evidence("no country in common", _COUNTRY_OTHER))
    return tuple(found)


def _is_other_kind(asked: EntityKind, listed: EntityKind) -> bool:
    return EntityKind.unknown not in (asked, listed) and asked is not listed


def _birth_evidence(asked: str, listed: Sequence[str]) -> Evidence:
    """The best of the dates that the list gives: it often gives several, to be sure."""
    if any(date == asked and len(date) == len("1962-05-03") for date in listed):
        return Evidence(f"born {asked}", _BORN_SAME_DAY)
    first, last, about = years_of(asked)
    gaps = []
    for date in listed:
        low, high, is_about = years_of(date)
        gap = max(low - last, first - high, 0)
        gaps.append(0 if (about or is_about) and gap <= _YEARS_ABOUT_MAX else gap)
    if min(gaps) == 0:
        return Evidence("born in a year that the list gives", _BORN_SAME_YEAR)
    if min(gaps) <= _YEARS_OFF_MAX:
        return Evidence("born within a year of what the list gives", 0)
    return Evidence(f"born {asked}, and the list says {', '.join(listed[:3])}", _BORN_OTHERWISE)


def total_score(name_score: int, evidence: Sequence[Evidence]) -> int:
    """The names' likeness and all points, from 0 to 1,000."""
    return max(0, min(SCORE_MAX, name_score + sum(each.points for each in evidence)))


def public_hit(hit: NameHit) -> dict[str, Any]:
    """A hit as the API shows it."""
    document: dict[str, Any] = msgspec.to_builtins(hit)
    return document


def public_screening(screening: NameScreening) -> dict[str, Any]:
    """The API's object ``name_screening``: the operator's alone."""
    return {
        "id": screening.id,
        "object": "name_screening",
        "account": screening.account_id,
        "livemode": screening.livemode,
        "created": int(screening.created.timestamp()),
        "metadata": {},
        "subject": screening.subject,
        "name": screening.query.name,
        "kind": screening.query.kind,
        "birth": screening.query.birth,
        "countries": list(screening.query.countries),
        "verdict": screening.verdict,
        "hits": [public_hit(hit) for hit in screening.hits],
        "lists_version": screening.lists_version,
        "rules_version": screening.rules_version,
        "matcher": screening.matcher,
        "input_hash": screening.input_hash,
    }


def public_exemption(exemption: NameExemption) -> dict[str, Any]:
    """The API's object ``name_exemption``."""
    return {
        "id": exemption.id,
        "object": "name_exemption",
        "created": int(exemption.created.timestamp()),
        "livemode": exemption.livemode,
        "metadata": {},
        "subject": exemption.subject,
        "entity": exemption.entity_id,
        "entity_version": exemption.entity_version,
        "reason": exemption.reason,
        "created_by": exemption.created_by,
        "ended": None if exemption.ended is None else int(exemption.ended.timestamp()),
        "ended_by": exemption.ended_by,
        "ended_reason": exemption.ended_reason,
    }
