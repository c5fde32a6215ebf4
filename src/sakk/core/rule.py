"""Screening rules: a version of them is a document, and what it says never changes.

A rule names a kind, what it looks for and the verdict that it calls for. Every rule that fits gives
a reason, and the gravest verdict wins, so their order means nothing. A change is a new version,
proposed by one person and put in force by another. Where nobody wrote one, what came with the house
is in force; that stays readable under its name too, so that any old decision can be reached again.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from sakk.core import caip
from sakk.core.errors import ParameterInvalid
from sakk.core.label import CONFIDENCE_MAX, Category
from sakk.core.screening import Direction, Side, Verdict

PREFIX: Final = "rul"
RULES_MAX: Final = 200
ENTRIES_MAX: Final = 1_000
NAME_LENGTH_MAX: Final = 80
# The number of what came with the house, before any version was put in force.
BUILT_IN_NUMBER: Final = 0
_INDEX = re.compile(r"\$?\[(\d+)\]|\.?(\w+)")


class RulesState(StrEnum):
    """A version is proposed by one person and takes effect when another approves it."""

    proposed = "proposed"
    in_force = "in_force"
    retired = "retired"
    rejected = "rejected"


@dataclass(frozen=True, slots=True)
class RulesVersion:
    """One version of the screening rules of a mode. Its rules never change.

    ``base``: the number of the version that it was written against, 0 for what came with the
    house. It judged from ``in_force_from`` until before ``in_force_to``.
    """

    id: str
    livemode: bool
    number: int
    state: str
    rules: list[dict[str, Any]]
    digest: str
    note: str | None
    base: int
    proposed_by: str
    decided_by: str | None
    created: datetime
    in_force_from: datetime | None
    in_force_to: datetime | None
    closed_at: datetime | None


class _Common(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
    tag_field="kind",
):
    """What every rule has; what is left out fits any transfer."""

    name: str
    verdict: Verdict
    direction: Direction | None = None
    networks: tuple[str, ...] = ()


class Direct(_Common, frozen=True, tag="direct"):
    """A list says this of one of the parties itself, at least so surely."""

    categories: tuple[Category, ...]
    sides: tuple[Side, ...] = ()
    confidence_min: int = 0


Rule = Direct


def read_rules(document: object) -> tuple[Rule, ...]:
    """Rules as a person wrote them; ParameterInvalid names the field that is wrong, and why."""
    try:
        rules = msgspec.convert(document, tuple[Rule, ...])
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at ")
        raise ParameterInvalid(f"{said}.", param=_param(path.strip("`"))) from None
    try:
        _check(rules)
    except ValueError as error:
        path, _, said = str(error).partition(": ")
        raise ParameterInvalid(said, param=_param(path)) from None
    return rules


def load_rules(document: object) -> tuple[Rule, ...]:
    """Rules as the database holds them, which were checked before they were stored."""
    return msgspec.convert(document, tuple[Rule, ...])


def rules_document(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Rules as they are stored and shown: what has its default is left out."""
    document: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(list(rules)))
    return document


def rules_digest(rules: Sequence[Rule]) -> str:
    """SHA-256 over the rules as they are shown, keys in order: what an approver approves."""
    return hashlib.sha256(msgspec.json.encode(rules_document(rules), order="sorted")).hexdigest()


def version_name(number: int) -> str:
    """How a screening names the version that judged it."""
    return BUILT_IN_NAME if number == BUILT_IN_NUMBER else str(number)


def public_version(version: RulesVersion) -> dict[str, Any]:
    """The API's object ``screening_rules``: one version, its rules as they were written."""
    return {
        "id": version.id,
        "object": "screening_rules",
        "number": version.number,
        "state": version.state,
        "rules": version.rules,
        "digest": version.digest,
        "note": version.note,
        "base": version.base,
        "proposed_by": version.proposed_by,
        "decided_by": version.decided_by,
        "in_force_from": _seconds(version.in_force_from),
        "in_force_to": _seconds(version.in_force_to),
        "closed_at": _seconds(version.closed_at),
        "metadata": {},
        "created": _seconds(version.created),
        "livemode": version.livemode,
    }


def public_built_in(*, livemode: bool, judges: bool) -> dict[str, Any]:
    """The same object for what came with the house, which nobody proposed or approved."""
    rules = BUILT_IN[BUILT_IN_NAME]
    return {
        "id": None,
        "object": "screening_rules",
        "number": BUILT_IN_NUMBER,
        "state": (RulesState.in_force if judges else RulesState.retired).value,
        "rules": rules_document(rules),
        "digest": rules_digest(rules),
        "note": f"{BUILT_IN_NAME}, as it came with Sakk",
        "base": None,
        "proposed_by": None,
        "decided_by": None,
        "in_force_from": None,
        "in_force_to": None,
        "closed_at": None,
        "metadata": {},
        "created": None,
        "livemode": livemode,
    }


_DIRECT: Final = (
    Direct(name="direct_sanctions", verdict=Verdict.block, categories=(Category.sanctions,)),
    Direct(
        name="direct_terrorism_or_child_abuse",
        verdict=Verdict.block,
        categories=(Category.terrorism, Category.child_abuse),
    ),
    Direct(
        name="direct_crime",
        verdict=Verdict.review,
        categories=(
            Category.theft,
            Category.ransomware,
            Category.scam,
            Category.extortion,
            Category.darknet_market,
        ),
    ),
    Direct(name="direct_mixer", verdict=Verdict.review, categories=(Category.mixer,)),
    Direct(
        name="frozen_by_issuer", verdict=Verdict.review, categories=(Category.frozen_by_issuer,)
    ),
)

# What came with each release of the house; an entry is never changed, a change is a new name.
BUILT_IN: Final[Mapping[str, tuple[Rule, ...]]] = {"default-1": _DIRECT}
BUILT_IN_NAME: Final = "default-1"


def _check(rules: Sequence[Rule]) -> None:
    """Check what types cannot say; ValueError: ``$[index].field: what is wrong``."""
    if len(rules) > RULES_MAX:
        raise ValueError(f"$: A version has at most {RULES_MAX} rules. Join some of them.")
    names: set[str] = set()
    for index, rule in enumerate(rules):
        at = f"$[{index}]"
        if not (1 <= len(rule.name) <= NAME_LENGTH_MAX and rule.name.isprintable()):
            raise ValueError(f"{at}.name: A rule's name has 1 to {NAME_LENGTH_MAX} characters.")
        if rule.name in names:
            raise ValueError(f"{at}.name: Two rules have the name {rule.name!r}. Rename one.")
        names.add(rule.name)
        if rule.verdict is Verdict.clear:
            raise ValueError(
                f"{at}.verdict: A rule calls for review or block; the operator's known_good labels"
                " are what clears."
            )
        _check_networks(rule.networks, at)
        _check_kind(rule, at)


def _check_networks(networks: Sequence[str], at: str) -> None:
    if len(networks) > ENTRIES_MAX:
        raise ValueError(f"{at}.networks: A list has at most {ENTRIES_MAX} entries.")
    for place, network in enumerate(networks):
        try:
            caip.parse_network(network)
        except ValueError:
            raise ValueError(
                f"{at}.networks[{place}]: {network!r} is no network: write its CAIP-2 name, like"
                " 'eip155:8453'."
            ) from None


def _check_kind(rule: Rule, at: str) -> None:
    if not rule.categories:
        raise ValueError(f"{at}.categories: Name at least one category.")
    if not 0 <= rule.confidence_min <= CONFIDENCE_MAX:
        raise ValueError(
            f"{at}.confidence_min: A confidence is a whole number from 0 to {CONFIDENCE_MAX}."
        )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _param(path: str) -> str:
    """``$[0].amount.above`` as the API names it: ``rules[0][amount][above]``."""
    parts = [index or name for index, name in _INDEX.findall(path.removeprefix("$"))]
    return "rules" + "".join(f"[{part}]" for part in parts)
