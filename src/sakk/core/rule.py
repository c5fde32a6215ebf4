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
from typing import Any, Final, Literal, get_args

import msgspec

from sakk.core import caip
from sakk.core.behaviour import PPM, ROWS_READ_MAX, WINDOW_SECONDS_MAX, Per
from sakk.core.errors import ParameterInvalid
from sakk.core.label import CONFIDENCE_MAX, Category, ListKind
from sakk.core.name import NAME_SCORE_MIN, SCORE_MAX
from sakk.core.screening import CountryParty, Direction, Side, Verdict

PREFIX: Final = "rul"
RULES_MAX: Final = 200
ENTRIES_MAX: Final = 1_000
NAME_LENGTH_MAX: Final = 80
DIGITS_MAX: Final = 78
# As far as the graph is walked for an exposure.
HOPS_MAX: Final = 5
# The number of what came with the house, before any version was put in force.
BUILT_IN_NUMBER: Final = 0
# Of what each number may be, by the field's name.
_NUMBERS: Final = {
    "confidence_min": (0, CONFIDENCE_MAX),
    "share_min_ppm": (1, PPM),
    "width_ppm": (1, PPM),
    "peel_max_ppm": (1, PPM),
    "hops_max": (1, HOPS_MAX),
    "hops_min": (2, HOPS_MAX),
    "seconds": (1, WINDOW_SECONDS_MAX),
    "count_min": (1, ROWS_READ_MAX),
    "score_min": (1, SCORE_MAX),
}
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


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An amount, in digits: for each currency in its smallest unit (``units``), and for all that
    are not named there ``whole`` units of whatever currency it is."""

    units: dict[str, str] = {}
    whole: str | None = None

    def of(self, currency: str | None, decimals: int | None) -> int | None:
        """The limit in the currency's smallest unit; None where it says nothing of the currency."""
        if currency is None or decimals is None:
            return None
        if currency in self.units:
            return int(self.units[currency])
        return None if self.whole is None else int(self.whole) * 10**decimals


class _Common(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
    tag_field="kind",
):
    """What every rule has; what is left out fits any transfer. ``amount``: at least so much."""

    name: str
    verdict: Verdict
    direction: Direction | None = None
    networks: tuple[str, ...] = ()
    amount: Limit | None = None


class Direct(_Common, frozen=True, tag="direct"):
    """A list says this of one of the parties itself, at least so surely."""

    categories: tuple[Category, ...]
    sides: tuple[Side, ...] = ()
    confidence_min: int = 0


class Exposed(_Common, frozen=True, tag="exposure"):
    """So much of the counterparty's money leads to these categories.

    For a pay-in where the sender's money came from, for a payout where the receiver's went.
    ``via``: over one transfer alone (direct), over several (indirect), or either.
    """

    categories: tuple[Category, ...]
    share_min_ppm: int
    via: Literal["any", "direct", "indirect"] = "any"


class Unknown(_Common, frozen=True, tag="unknown"):
    """So much of the counterparty's money leads to nothing that is known."""

    share_min_ppm: int


class _Near(_Common, frozen=True):
    share_min_ppm: int
    hops_max: int


class Mixer(_Near, frozen=True, tag="mixer"):
    """So much of the counterparty's money leads to a mixer within so many transfers."""


class BridgeHop(_Near, frozen=True, tag="bridge_hop"):
    """So much of it crossed a bridge within so many transfers: on this chain its trail ends."""


class PeelChain(_Common, frozen=True, tag="peel_chain"):
    """The money came over so many addresses in a row that each passed on all but a little."""

    hops_min: int
    peel_max_ppm: int


class AmountRule(_Common, frozen=True, tag="amount"):
    """The amount alone; ``amount`` says from which on."""


class Velocity(_Common, frozen=True, tag="velocity"):
    """So many transfers of its direction, or so much in its currency, ``per`` whom in a window."""

    seconds: int
    per: Per
    count_min: int | None = None
    units_min: Limit | None = None


class Structuring(_Common, frozen=True, tag="structuring"):
    """So many transfers, ``per`` whom in a window, that lie just below a threshold."""

    below: Limit
    width_ppm: int
    count_min: int
    seconds: int
    per: Per


class PassThrough(_Common, frozen=True, tag="pass_through"):
    """What came in for the account in a window, and what went out, are nearly the same."""

    seconds: int
    share_min_ppm: int


class Dust(_Common, frozen=True, tag="dust"):
    """So many amounts below a limit came from one address in a window."""

    below: Limit
    seconds: int
    count_min: int = 1


class Poisoning(_Common, frozen=True, tag="poisoning"):
    """The other side imitates an address that the account pays or has in its address book."""


class FirstPayout(_Common, frozen=True, tag="first_payout"):
    """The account never paid this address before."""


class CountryRule(_Common, frozen=True, tag="country"):
    """The account, or the beneficiary, is of a country on one of these lists."""

    lists: tuple[str, ...]
    parties: tuple[CountryParty, ...] = ()


class Issuer(_Common, frozen=True, tag="issuer"):
    """The token's issuer has the other side on the contract's deny-list, by the chain itself."""


class Named(_Common, frozen=True, tag="name"):
    """A list of names has somebody so like a name that is screened, of 1,000.

    ``list_kinds``: of which lists, all by default. It judges names, and no transfer.
    """

    score_min: int = NAME_SCORE_MIN
    list_kinds: tuple[ListKind, ...] = ()


Rule = (
    Direct
    | Exposed
    | Unknown
    | Mixer
    | BridgeHop
    | PeelChain
    | AmountRule
    | Velocity
    | Structuring
    | PassThrough
    | Dust
    | Poisoning
    | FirstPayout
    | CountryRule
    | Issuer
    | Named
)

# Fields of each kind as they are written, what all have first.
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    str(each.__struct_config__.tag): tuple(
        name for name in each.__struct_fields__ if name not in ("name", "verdict")
    )
    for each in get_args(Rule)
}

# Many threads read rules: what msgspec learns of a type, it has learnt before there are any. One
# that reads by what another is learning crashes the process.
_LEARNT: Final = msgspec.json.Decoder(tuple[Rule, ...])

# What judges names where a version says nothing of them: they are never left unscreened.
BUILT_IN_NAMED: Final = Named(name="listed_name", verdict=Verdict.review)


def read_rules(document: object) -> tuple[Rule, ...]:
    """Rules as a person wrote them; ParameterInvalid names the field that is wrong, and why."""
    try:
        rules = msgspec.convert(document, tuple[Rule, ...])
    except msgspec.ValidationError as error:
        raise _unreadable(str(error)) from None
    _check(rules)
    return rules


def fields_of(kind: str) -> tuple[str, ...]:
    """The fields that a rule of a kind has, in their order, beside its name, kind and verdict."""
    return _FIELDS[kind]


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


def _indirect(name: str, share_min_ppm: int, *categories: Category) -> Exposed:
    return Exposed(
        name=name, verdict=Verdict.review, categories=categories, share_min_ppm=share_min_ppm
    )


# Haircut leaves more than 0 of any taint on half of all addresses, and more than 1 % on three in
# a hundred: a rule of "more than zero" would stop everything.
_EXPOSED: Final = (
    _indirect("exposed_to_sanctions", 10_000, Category.sanctions, Category.terrorism),
    _indirect("exposed_to_theft", 50_000, Category.theft, Category.ransomware),
    _indirect("exposed_to_mixer", 100_000, Category.mixer),
    _indirect("exposed_to_gambling", 250_000, Category.gambling),
    Unknown(
        name="unknown_origin",
        verdict=Verdict.review,
        direction=Direction.incoming,
        amount=Limit(whole="10000"),
        share_min_ppm=500_001,
    ),
)
_ISSUER: Final = Issuer(
    name="denied_by_issuer", verdict=Verdict.review, direction=Direction.outgoing
)

# What came with each release of the house; an entry is never changed, a change is a new name.
BUILT_IN: Final[Mapping[str, tuple[Rule, ...]]] = {
    "default-1": _DIRECT,
    "default-2": (*_DIRECT, *_EXPOSED, _ISSUER),
}
BUILT_IN_NAME: Final = "default-2"


def _check(rules: Sequence[Rule]) -> None:
    """Check what types cannot say; ParameterInvalid names the field."""
    if len(rules) > RULES_MAX:
        raise ParameterInvalid(
            "A version has at most {rules_max} rules. Join some of them.",
            param="rules",
            rules_max=RULES_MAX,
        )
    names: set[str] = set()
    for index, rule in enumerate(rules):
        at = f"$[{index}]"
        if not (1 <= len(rule.name) <= NAME_LENGTH_MAX and rule.name.isprintable()):
            raise ParameterInvalid(
                "A rule's name has 1 to {length_max} characters.",
                param=_param(f"{at}.name"),
                length_max=NAME_LENGTH_MAX,
            )
        if rule.name in names:
            raise ParameterInvalid(
                "Two rules have the name {name}. Rename one.",
                param=_param(f"{at}.name"),
                name=repr(rule.name),
            )
        names.add(rule.name)
        if rule.verdict is Verdict.clear:
            raise ParameterInvalid(
                "A rule calls for review or block; the operator's known_good labels are what"
                " clears.",
                param=_param(f"{at}.verdict"),
            )
        _check_networks(rule.networks, at)
        _check_kind(rule, at)


def _check_networks(networks: Sequence[str], at: str) -> None:
    if len(networks) > ENTRIES_MAX:
        raise ParameterInvalid(
            "A list has at most {entries_max} entries.",
            param=_param(f"{at}.networks"),
            entries_max=ENTRIES_MAX,
        )
    for place, network in enumerate(networks):
        try:
            caip.parse_network(network)
        except ValueError:
            raise ParameterInvalid(
                "{network} is no network: write its CAIP-2 name, like 'eip155:8453'.",
                param=_param(f"{at}.networks[{place}]"),
                network=repr(network),
            ) from None


def _check_kind(rule: Rule, at: str) -> None:
    """Every field by its name, whatever kind has it; then what a kind needs beside."""
    for name, (least, most) in _NUMBERS.items():
        value = getattr(rule, name, None)
        if value is not None:
            _check_number(value, least, most, f"{at}.{name}")
    for name in ("amount", "below", "units_min"):
        limit = getattr(rule, name, None)
        if limit is not None:
            _check_limit(limit, f"{at}.{name}")
    for name in ("categories", "lists"):
        entries = getattr(rule, name, None)
        if entries is not None and not 1 <= len(entries) <= ENTRIES_MAX:
            raise ParameterInvalid(
                "Name at least one, and at most {entries_max}.",
                param=_param(f"{at}.{name}"),
                entries_max=ENTRIES_MAX,
            )
    if isinstance(rule, AmountRule) and rule.amount is None:
        raise ParameterInvalid(
            "A rule about the amount says from which on.", param=_param(f"{at}.amount")
        )
    if isinstance(rule, Velocity) and rule.count_min is None and rule.units_min is None:
        raise ParameterInvalid(
            "Say how many transfers at least, how much at least, or both.",
            param=_param(f"{at}.count_min"),
        )
    is_of_transfers = rule.direction is not None or rule.networks or rule.amount is not None
    if isinstance(rule, Named) and is_of_transfers:
        raise ParameterInvalid(
            "A name has no direction, network or amount: leave them out.", param=_param(at)
        )


def _check_number(value: int, least: int, most: int, at: str) -> None:
    if not least <= value <= most:
        raise ParameterInvalid(
            "{value} is not a whole number from {least} to {most}.",
            param=_param(at),
            value=value,
            least=least,
            most=most,
        )


def _check_limit(limit: Limit, at: str) -> None:
    if not limit.units and limit.whole is None:
        raise ParameterInvalid("Say units of a currency, or whole units of any.", param=_param(at))
    digits = {f"units.{currency}": text for currency, text in limit.units.items()}
    if limit.whole is not None:
        digits["whole"] = limit.whole
    for name, text in digits.items():
        if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
            raise ParameterInvalid(
                "{text} is not a whole number in digits.",
                param=_param(f"{at}.{name}"),
                text=repr(text),
            )


def _unreadable(error: str) -> ParameterInvalid:
    """What msgspec says of a document that is none of ours, in words that pages can translate."""
    said, _, path = error.partition(" - at ")
    param = _param(path.strip("`"))
    if found := re.fullmatch("Object missing required field `(.+)`", said):
        needed = _param(f"{path.strip('`')}.{found[1]}")
        return ParameterInvalid("The field {field} is needed.", param=needed, field=found[1])
    if found := re.fullmatch("Object contains unknown field `(.+)`", said):
        return ParameterInvalid("There is no field {field} here.", param=param, field=found[1])
    if found := re.fullmatch("Invalid (?:enum )?value (.+)", said):
        return ParameterInvalid(
            "{value} is none of what may stand here.", param=param, value=found[1]
        )
    if found := re.fullmatch("Expected `(.+)`, got `(.+)`", said):
        return ParameterInvalid(
            "What stands here is to be {expected}, and is {got}.",
            param=param,
            expected=found[1],
            got=found[2],
        )
    return ParameterInvalid("{said}.", param=param, said=said)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _param(path: str) -> str:
    """``$[0].amount.above`` as the API names it: ``rules[0][amount][above]``."""
    parts = [index or name for index, name in _INDEX.findall(path.removeprefix("$"))]
    return "rules" + "".join(f"[{part}]" for part in parts)
