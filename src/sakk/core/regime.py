"""Regimes: what the Travel Rule of a place asks of a transfer, as configuration.

FATF Recommendation 16 lets each place choose its threshold and its list of fields, so nothing of
it is code: a regime is a document of limits in a currency's smallest unit and of wanted fields. A
currency that a regime says nothing of has the strictest limits, none. Presets are a beginning that
an institution's own counsel reads; each names the text that it follows.

`needed` is pure: a transfer, what it is linked with and who is at the other end go in, what has to
be known comes out, with the reasons in words.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sakk.core.errors import ParameterInvalid
from sakk.core.money import UNITS_MAX

PREFIX: Final = "reg"
NONE: Final = "none"
LINKED_SECONDS_MAX: Final = 30 * 86_400
ANSWER_SECONDS_MAX: Final = 30 * 86_400
WANTS_MAX: Final = 20
CURRENCIES_MAX: Final = 200

Party = Literal["originator", "beneficiary"]
FIELDS: Final = (
    "name",
    "account",
    "address",
    "country",
    "national_identification",
    "customer_identification",
    "birth",
    "lei",
)
# One of several sets of fields: "address+customer_identification", or "birth".
_ALTERNATIVE: Final = rf"^({'|'.join(FIELDS)})(\+({'|'.join(FIELDS)}))*$"

Units = Annotated[int, Field(ge=0, le=UNITS_MAX, strict=True)]
Alternative = Annotated[str, StringConstraints(pattern=_ALTERNATIVE, max_length=200)]
Want = Annotated[tuple[Alternative, ...], Field(min_length=1, max_length=WANTS_MAX)]
Dti = Annotated[str, StringConstraints(pattern=r"^[1-9B-DF-HJ-NP-TV-Z][0-9B-DF-HJ-NP-TV-Z]{8}$")]
Wants = Annotated[tuple[Want, ...], Field(max_length=WANTS_MAX)]


class CounterpartyKind(StrEnum):
    """Who keeps the keys of the other address."""

    vasp = "vasp"
    self_hosted = "self_hosted"
    own = "own"
    unknown = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A regime that an operator chose for one mode, or that none applies (``regime`` is None).

    ``institution`` is the IVMS101 person that we are ourselves. The newest choice counts.
    """

    id: str
    livemode: bool
    name: str
    regime: dict[str, Any] | None
    institution: dict[str, Any] | None
    chosen_by: str | None
    created: datetime


def public_choice(choice: Choice) -> dict[str, Any]:
    """The API's object ``travel_rule_regime``."""
    return {
        "id": choice.id,
        "object": "travel_rule_regime",
        "name": choice.name,
        "regime": choice.regime,
        "institution": choice.institution,
        "chosen_by": choice.chosen_by,
        "created": int(choice.created.timestamp()),
        "livemode": choice.livemode,
    }


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Strict):
    """Amounts of one currency, in its smallest unit.

    The rule applies from ``from_units`` on; all fields are wanted from ``full_from_units`` on; a
    self-hosted wallet's ownership is proved above ``ownership_above_units``, or never.
    """

    from_units: Units = 0
    full_from_units: Units = 0
    ownership_above_units: Units | None = None


class Fields(_Strict):
    """What is wanted of each party: for every want, any one of its alternatives."""

    originator: Wants
    beneficiary: Wants


class Regime(_Strict):
    """The rule of one place.

    ``linked_seconds``: transfers of one account to one destination within it count together.
    ``self_hosted``: are fields wanted where no institution is at the other end? ``unreachable``:
    what becomes of a transfer to an institution that can not be asked. ``silence``: and to one that
    does not answer in ``answer_seconds``. ``incoming``: what becomes of money from an institution
    that told nothing. ``declaration``: is somebody's word enough for a wallet's ownership? ``dti``:
    tokens by CAIP-19 and their Digital Token Identifiers (ISO 24165), by which others know them.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    source: Annotated[str, StringConstraints(max_length=1_000)] = ""
    limits: Annotated[dict[str, Limits], Field(max_length=CURRENCIES_MAX)]
    basic: Fields
    full: Fields
    linked_seconds: Annotated[int, Field(ge=0, le=LINKED_SECONDS_MAX, strict=True)] = 86_400
    self_hosted: Literal["collect", "exempt"] = "collect"
    declaration: bool = False
    unreachable: Literal["hold", "proceed"] = "hold"
    silence: Literal["hold", "proceed"] = "hold"
    answer_seconds: Annotated[int, Field(ge=60, le=ANSWER_SECONDS_MAX, strict=True)] = 86_400
    incoming: Literal["accept", "hold", "request"] = "accept"
    dti: Annotated[dict[str, Dti], Field(max_length=CURRENCIES_MAX)] = Field(default_factory=dict)

    def limits_of(self, currency: str) -> Limits:
        """A currency's limits; the strictest where there are none."""
        found = self.limits.get(currency)
        if found is not None:
            return found
        proves = any(each.ownership_above_units is not None for each in self.limits.values())
        return Limits(ownership_above_units=0 if proves else None)


@dataclass(frozen=True, slots=True)
class Counterparty:
    """Who is at the other end. ``reachable``: can an inquiry be sent there?"""

    kind: CounterpartyKind
    vasp: str | None = None
    reachable: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """A transfer as a regime looks at it; ``linked_units`` went the same way within the window."""

    currency: str
    units: int
    linked_units: int = 0


@dataclass(frozen=True, slots=True)
class Requirement:
    """What has to be known before a transfer goes on; nothing, where it is not ``needed``.

    ``exchange``: the data has to reach the other institution, and it has to agree.
    """

    needed: bool
    level: Literal["none", "basic", "full"] = "none"
    originator: tuple[tuple[str, ...], ...] = ()
    beneficiary: tuple[tuple[str, ...], ...] = ()
    ownership: bool = False
    declaration: bool = False
    exchange: bool = False
    counterparty: bool = False
    reasons: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As it is stored; `requirement_of` reads it."""
        return {name: getattr(self, name) for name in self.__slots__}


def requirement_of(document: Mapping[str, Any]) -> Requirement:
    """What `Requirement.document` wrote, after a way through JSON."""
    wants = {
        party: tuple(tuple(want) for want in document[party])
        for party in ("originator", "beneficiary")
    }
    kept = {name: document[name] for name in Requirement.__slots__}
    return Requirement(**{**kept, **wants, "reasons": tuple(document["reasons"])})


def needed(moved: Moved, regime: Regime, counterparty: Counterparty) -> Requirement:
    """What the regime asks of a transfer, and why."""
    limits = regime.limits_of(moved.currency)
    counted = moved.units + moved.linked_units
    where = _where(moved, counted)
    if counterparty.kind is CounterpartyKind.own:
        return Requirement(False, reasons=("It stays with the same owner.",))
    if counted < limits.from_units:
        return Requirement(
            False, reasons=(f"{where} is under {limits.from_units}, from where on it applies.",)
        )
    if counterparty.kind is CounterpartyKind.self_hosted and regime.self_hosted == "exempt":
        return Requirement(False, reasons=(f"{regime.name} asks nothing of self-hosted wallets.",))
    full = counted >= limits.full_from_units
    reasons = [f"{where} is at least {limits.from_units}, from where on {regime.name} applies."]
    if full and limits.full_from_units > limits.from_units:
        reasons.append(f"All fields are wanted from {limits.full_from_units} on.")
    above = limits.ownership_above_units
    proves = above is not None and counted > above
    if proves and counterparty.kind is not CounterpartyKind.vasp:
        reasons.append(f"Above {above} a self-hosted wallet's ownership is proved.")
    exchange = counterparty.kind is CounterpartyKind.vasp
    if exchange and not counterparty.reachable and regime.unreachable == "proceed":
        exchange = False
        reasons.append("The other institution can not be asked; the data is kept here.")
    wanted = regime.full if full else regime.basic
    return Requirement(
        True,
        level="full" if full else "basic",
        originator=wanted.originator,
        beneficiary=wanted.beneficiary,
        ownership=proves and counterparty.kind is CounterpartyKind.self_hosted,
        declaration=regime.declaration,
        exchange=exchange,
        counterparty=counterparty.kind is CounterpartyKind.unknown,
        reasons=tuple(reasons),
    )


def _where(moved: Moved, counted: int) -> str:
    if moved.linked_units:
        return f"With what is linked, {counted} {moved.currency}"
    return f"{counted} {moved.currency}"


def read_regime(document: object, *, param: str = "regime") -> Regime:
    """The regime that a document is; ParameterInvalid names the field."""
    try:
        return Regime.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = param + "".join(f"[{each}]" for each in first["loc"])
        raise ParameterInvalid(
            "{path}: {fault}.", param=path, path=path, fault=first["msg"]
        ) from None


_NAMES: Final[tuple[tuple[str, ...], ...]] = (("name",), ("account",))
_ANY: Final = ("address", "national_identification", "customer_identification", "birth")


def _fields(
    *originator: Sequence[str], beneficiary: Sequence[Sequence[str]] = _NAMES
) -> dict[str, Any]:
    return {"originator": [*_NAMES, *originator], "beneficiary": beneficiary}


# Whole amounts of currencies: from where on, all fields from where on, ownership above.
_AMOUNTS: Final[Mapping[str, Mapping[str, tuple[int, int, int | None]]]] = {
    "fatf": {"usd": (1_000, 1_000, None), "eur": (1_000, 1_000, None)},
    # A dollar is worth less than a euro or about as much: the dollar's limit is no higher.
    "eu": {"eur": (0, 0, 1_000), "usd": (0, 0, 1_000)},
    # HK$8,000 are more than US$1,000 while the peg holds (7.75 to 7.85).
    "hk": {"hkd": (0, 8_000, 8_000), "usd": (0, 1_000, 1_000), "eur": (0, 800, 800)},
    "ch": {"chf": (0, 0, 0), "usd": (0, 0, 0), "eur": (0, 0, 0)},
    "sg": {"sgd": (0, 1_500, None), "usd": (0, 1_000, None), "eur": (0, 900, None)},
    "us": {"usd": (3_000, 3_000, None), "eur": (2_400, 2_400, None)},
}
_PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "fatf": {
        "source": "FATF Recommendation 16; interpretive note to Recommendation 15, paragraph 7(b)",
        "basic": _fields(_ANY),
        "full": _fields(_ANY),
    },
    "eu": {
        "source": "Regulation (EU) 2023/1113, articles 14 and 16",
        "basic": _fields(("address+national_identification+customer_identification", "birth")),
        "full": _fields(("address+national_identification+customer_identification", "birth")),
    },
    "hk": {
        "source": "HKMA, Guideline on AML/CFT (For Licensed Stablecoin Issuers), 2025",
        "basic": _fields(),
        "full": _fields(_ANY),
    },
    "ch": {
        "source": "FINMA Guidance 02/2019; AMLO-FINMA, article 10",
        "basic": _fields(_ANY),
        "full": _fields(_ANY),
    },
    "sg": {
        "source": "MAS Notice PSN02, value transfers",
        "basic": _fields(),
        "full": _fields(_ANY),
    },
    "us": {
        "source": "31 CFR 1010.410(f)",
        "basic": _fields(("address",)),
        "full": _fields(("address",)),
        "self_hosted": "exempt",
    },
}
PRESETS: Final = tuple(_PRESETS)


def preset(
    name: str, decimals: Mapping[str, int], *, dollars: Collection[str] = frozenset()
) -> Regime:
    """A preset in the smallest units of the currencies that there are; ParameterInvalid.

    ``dollars``: currencies worth a US dollar, whose limits are the dollar's.
    """
    found = _PRESETS.get(name)
    if found is None:
        raise ParameterInvalid(
            "There is no preset {name}. There are {presets}, and {none}.",
            param="regime",
            name=repr(name),
            presets=", ".join(PRESETS),
            none=NONE,
        )
    amounts = {**dict.fromkeys(dollars, _AMOUNTS[name]["usd"]), **_AMOUNTS[name]}
    limits = {
        currency: {
            "from_units": start * 10 ** decimals[currency],
            "full_from_units": full * 10 ** decimals[currency],
            "ownership_above_units": None if above is None else above * 10 ** decimals[currency],
        }
        for currency, (start, full, above) in amounts.items()
        if currency in decimals
    }
    return read_regime({"name": name, "limits": limits, **found})
