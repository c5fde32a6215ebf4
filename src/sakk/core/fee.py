"""Fees: what an account is charged for a movement of its money, by rules that are written down.

A schedule has versions, and a version has rules in order: the first that fits a movement prices it.
A price is a percentage (parts per million), a fixed amount, a minimum and a cap; with tiers each
part of the movement is priced by the tier that the month's volume has reached with it. One division
is made for a fee, and it rounds down: in the account's favour, and never by more than one unit. The
parts that a fee is explained by are allocated by largest remainder, so that they sum to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

from sakk.core import money
from sakk.core.errors import ParameterInvalid

PREFIX: Final = "fee"
SCHEDULE_PREFIX: Final = "fsch"
MILLION: Final = 1_000_000
RULES_MAX: Final = 100
TIERS_MAX: Final = 20
VERSIONS_MAX: Final = 1_000
NAME_MAX: Final = 100


class FeeKind(StrEnum):
    """What a fee is charged on."""

    payin = "payin"
    payout = "payout"
    refund = "refund"
    conversion = "conversion"


class OnRefund(StrEnum):
    """What becomes of a pay-in's fee when its payment is refunded."""

    kept = "kept"
    returned = "returned"


class FeeReason(StrEnum):
    """Why a fee moved: charged, given back with a refund, or undone with what it was charged on."""

    charged = "charged"
    returned = "returned"
    reversed = "reversed"


@dataclass(frozen=True, slots=True)
class Tier:
    """What is priced so from a volume of the month on, in the currency's unit."""

    volume_from: int
    percent_ppm: int


@dataclass(frozen=True, slots=True)
class FeeRule:
    """Which movements it fits (None: any), and their price; amounts in the currency's unit."""

    kind: FeeKind | None = None
    currency: str | None = None
    network: str | None = None
    percent_ppm: int = 0
    fixed: int = 0
    minimum: int = 0
    maximum: int | None = None
    tiers: tuple[Tier, ...] = ()
    on_refund: OnRefund = OnRefund.kept

    def fits(self, movement: "Movement") -> bool:
        """Does it price this movement?"""
        return all(
            wanted is None or wanted == given
            for wanted, given in (
                (self.kind, movement.kind),
                (self.currency, movement.currency),
                (self.network, movement.network),
            )
        )

    def document(self) -> dict[str, Any]:
        """The rule as it is stored and shown."""
        return {
            "kind": None if self.kind is None else self.kind.value,
            "currency": self.currency,
            "network": self.network,
            "percent_ppm": self.percent_ppm,
            "fixed": self.fixed,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "tiers": [
                {"volume_from": each.volume_from, "percent_ppm": each.percent_ppm}
                for each in self.tiers
            ],
            "on_refund": self.on_refund.value,
        }


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """A named schedule of the operator's; its rules stand in its versions."""

    id: str
    name: str
    metadata: dict[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class FeeVersion:
    """One version of a schedule's rules, in force from ``effective_at`` until the next is."""

    schedule: str
    version: int
    rules: list[dict[str, Any]]
    effective_at: datetime
    created: datetime
    created_by: str | None


@dataclass(frozen=True, slots=True)
class Movement:
    """What is priced: ``amount`` in the currency's unit, ``volume`` what the month had before."""

    kind: FeeKind
    currency: str
    network: str | None
    amount: int
    volume: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a fee, and what it is for; a cap's is below zero."""

    label: str
    units: int


@dataclass(frozen=True, slots=True)
class Price:
    """What a movement costs, by which rule (its place in the version, from 1)."""

    schedule: str
    version: int
    rule: int
    basis: int
    fee: int
    parts: tuple[Part, ...]
    on_refund: OnRefund

    def document(self) -> dict[str, Any]:
        """The price as it is kept with what it was charged on."""
        return {
            "schedule": self.schedule,
            "version": self.version,
            "rule": self.rule,
            "basis": self.basis,
            "parts": [{"label": each.label, "amount": each.units} for each in self.parts],
            "on_refund": self.on_refund.value,
        }


@dataclass(frozen=True, slots=True)
class Fee:
    """One fee as it was booked: one transfer in the ledger. ``amount`` below zero went back."""

    id: str
    account_id: str
    livemode: bool
    kind: str
    reason: str
    source: str
    currency: str
    decimals: int
    basis: int
    amount: int
    schedule: str
    version: int
    rule: int
    parts: list[dict[str, Any]]
    created: datetime


def allocate(units: int, weights: Sequence[int]) -> list[int]:
    """Divide units by weights: each its share rounded down, what is left by largest remainder.

    Of equal remainders the first has the unit. The shares sum to ``units``, whatever they are.
    """
    total = sum(weights)
    if total <= 0 or any(weight < 0 for weight in weights):
        raise ValueError("weights are whole numbers of 0 or more, and not all 0")
    shares = [divmod(units * weight, total) for weight in weights]
    result = [share for share, _ in shares]
    left = units - sum(result)
    by_remainder = sorted(range(len(shares)), key=lambda place: (-shares[place][1], place))
    for place in by_remainder[:left]:
        result[place] += 1
    return result


def price(version: FeeVersion, movement: Movement) -> Price | None:
    """What a movement costs by a version's first rule that fits; None where none does.

    A pay-in's fee is at most what came in: nobody is charged out of other money.
    """
    for place, rule in enumerate(read_rules(version.rules), start=1):
        if rule.fits(movement):
            parts = _parts(rule, movement)
            return Price(
                version.schedule,
                version.version,
                place,
                movement.amount,
                sum(each.units for each in parts),
                parts,
                rule.on_refund,
            )
    return None


@dataclass(frozen=True, slots=True)
class Pricing:
    """What an account's movements of one kind cost now; ``volumes`` of the month, by currency."""

    kind: FeeKind
    version: FeeVersion
    volumes: Mapping[str, int]

    def price(self, amount: int, *, currency: str, network: str | None) -> Price | None:
        """What a movement costs; None where no rule fits it."""
        volume = self.volumes.get(currency, 0)
        return price(self.version, Movement(self.kind, currency, network, amount, volume))


def _parts(rule: FeeRule, movement: Movement) -> tuple[Part, ...]:
    parts = _percent_parts(rule, movement)
    if rule.fixed:
        parts.append(Part("fixed", rule.fixed))
    fee = sum(each.units for each in parts)
    if fee < rule.minimum:
        parts.append(Part("minimum", rule.minimum - fee))
        fee = rule.minimum
    cap = rule.maximum
    if movement.kind is FeeKind.payin:
        cap = movement.amount if cap is None else min(cap, movement.amount)
    if cap is not None and fee > cap:
        parts.append(Part("cap", cap - fee))
    return tuple(parts)


def _percent_parts(rule: FeeRule, movement: Movement) -> list[Part]:
    """The percentage of each slice; one division, rounded down, allocated to the slices."""
    slices = slices_of(rule, movement.volume, movement.amount)
    weights = [units * ppm for units, ppm in slices]
    if not sum(weights):
        return []
    total = sum(weights) // MILLION
    return [
        Part(f"percent_{ppm}ppm", share)
        for (_, ppm), share in zip(slices, allocate(total, weights), strict=True)
        if share
    ]


def slices_of(rule: FeeRule, volume: int, amount: int) -> list[tuple[int, int]]:
    """(units, parts per million) of a movement that begins at a volume; the units sum to it."""
    bounds = [Tier(0, rule.percent_ppm), *rule.tiers]
    result: list[tuple[int, int]] = []
    for tier, after in zip(bounds, [*bounds[1:], None], strict=True):
        begin = max(volume, tier.volume_from)
        end = volume + amount if after is None else min(volume + amount, after.volume_from)
        if end > begin:
            result.append((end - begin, tier.percent_ppm))
    return result


def in_force(versions: Sequence[FeeVersion], at: datetime) -> FeeVersion | None:
    """The version that prices what happens at a time: the last to take effect, None before any."""
    begun = [each for each in versions if each.effective_at <= at]
    return max(begun, key=lambda each: (each.effective_at, each.version), default=None)


def has_tiers(version: FeeVersion) -> bool:
    """Must the month's volume be known to price by it?"""
    return any(rule["tiers"] for rule in version.rules)


def month_of(at: datetime) -> str:
    """The month, in UTC, in which a movement's volume is counted."""
    return at.astimezone(UTC).strftime("%Y-%m")


def due_back(*, charged: int, received: int, given: int) -> int:
    """How much of what was charged has to be back when so much was refunded, in one coin's unit.

    In proportion, rounded down: of all that was received it is all that was charged. Of nothing
    that stands nothing is due, for nothing is charged of it.
    """
    return charged * min(given, received) // received if received > 0 else 0


def returned(*, charged: int, received: int, given: int, giving: int, returned_before: int) -> int:
    """How much of a payment's fee goes back with a refund, all in one coin's unit.

    Cumulative: refunds of all that was received give back all that was charged, in however many
    steps.
    """
    due = due_back(charged=charged, received=received, given=given + giving)
    return max(0, due - returned_before)


def read_rules(documents: Sequence[Mapping[str, Any]]) -> list[FeeRule]:
    """The rules in a version's stored documents."""
    return [
        FeeRule(
            kind=None if each["kind"] is None else FeeKind(each["kind"]),
            currency=each["currency"],
            network=each["network"],
            percent_ppm=each["percent_ppm"],
            fixed=each["fixed"],
            minimum=each["minimum"],
            maximum=each["maximum"],
            tiers=tuple(Tier(tier["volume_from"], tier["percent_ppm"]) for tier in each["tiers"]),
            on_refund=OnRefund(each["on_refund"]),
        )
        for each in documents
    ]


_DEFAULTS = FeeRule().document()
_TIER = frozenset(("volume_from", "percent_ppm"))


def parse_rules(documents: Any) -> list[FeeRule]:
    """Rules as people write them in JSON, where what is left out fits anything or costs nothing;
    ValueError with what is wrong."""
    if not isinstance(documents, list):
        raise ValueError("a schedule is a list of rules")
    return read_rules([_parsed(each, place) for place, each in enumerate(documents)])


def _parsed(document: Any, place: int) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise ValueError(f"rules[{place}] is no object")
    unknown = sorted(set(document) - set(_DEFAULTS))
    if unknown:
        raise ValueError(f"rules[{place}] has no field {unknown[0]!r}")
    rule = {**_DEFAULTS, **document}
    if not isinstance(rule["tiers"], list) or any(
        not isinstance(tier, dict) or set(tier) != _TIER for tier in rule["tiers"]
    ):
        raise ValueError(f"rules[{place}][tiers] is a list of {{volume_from, percent_ppm}}")
    numbers = [rule["percent_ppm"], rule["fixed"], rule["minimum"], rule["maximum"] or 0]
    numbers += [units for tier in rule["tiers"] for units in tier.values()]
    if any(type(units) is not int or not 0 <= units <= money.UNITS_MAX for units in numbers):
        raise ValueError(f"rules[{place}]: amounts are whole numbers of the smallest unit")
    shares = [rule["percent_ppm"], *(tier["percent_ppm"] for tier in rule["tiers"])]
    if max(shares) > MILLION:
        raise ValueError(f"rules[{place}]: percent_ppm is at most {MILLION}, which is all of it")
    return rule


def check_rules(rules: Sequence[FeeRule], currencies: Mapping[str, int]) -> None:
    """ParameterInvalid, by its place, for a rule that could not price what it fits.

    ``currencies``: the decimals of those that there are.
    """
    if len(rules) > RULES_MAX:
        raise ParameterInvalid(
            "A schedule has at most {most} rules.", param="rules", most=RULES_MAX
        )
    for place, rule in enumerate(rules):
        _check_rule(rule, f"rules[{place}]", currencies)


def _check_rule(rule: FeeRule, param: str, currencies: Mapping[str, int]) -> None:
    if rule.currency is not None and rule.currency not in currencies:
        raise ParameterInvalid(
            "There is no currency {currency}. GET /v1/currencies lists them.",
            param=f"{param}[currency]",
            currency=repr(rule.currency),
        )
    has_amounts = rule.fixed or rule.minimum or rule.maximum is not None or rule.tiers
    if rule.currency is None and has_amounts:
        raise ParameterInvalid(
            "fixed, minimum, maximum and tiers are amounts: name the currency that they are in.",
            param=f"{param}[currency]",
        )
    if rule.maximum is not None and rule.maximum < rule.minimum:
        raise ParameterInvalid(
            "The cap is below the minimum: raise maximum or lower minimum.",
            param=f"{param}[maximum]",
        )
    if rule.tiers and rule.kind is None:
        raise ParameterInvalid(
            "Volume is counted by kind: name the kind that the tiers are of.",
            param=f"{param}[kind]",
        )
    if len(rule.tiers) > TIERS_MAX:
        raise ParameterInvalid(
            "A rule has at most {most} tiers.", param=f"{param}[tiers]", most=TIERS_MAX
        )
    bounds = [0, *(tier.volume_from for tier in rule.tiers)]
    if any(after <= before for before, after in pairwise(bounds)):
        raise ParameterInvalid(
            "Tiers begin above 0, each at more volume than the one before it.",
            param=f"{param}[tiers]",
        )
    if rule.on_refund is OnRefund.returned and rule.kind not in (None, FeeKind.payin):
        raise ParameterInvalid(
            "Only a pay-in's fee can be returned with a refund.", param=f"{param}[on_refund]"
        )


def public_version(version: FeeVersion) -> dict[str, Any]:
    """One version as the API shows it inside its schedule."""
    return {
        "version": version.version,
        "rules": version.rules,
        "effective_at": int(version.effective_at.timestamp()),
        "created": int(version.created.timestamp()),
        "created_by": version.created_by,
    }


def public_schedule(
    schedule: FeeSchedule, versions: Sequence[FeeVersion], *, livemode: bool, now: datetime
) -> dict[str, Any]:
    """The API's object ``fee_schedule``: one for both modes, versions newest first."""
    current = in_force(versions, now)
    return {
        "id": schedule.id,
        "object": "fee_schedule",
        "created": int(schedule.created.timestamp()),
        "livemode": livemode,
        "metadata": schedule.metadata,
        "name": schedule.name,
        "version_in_force": None if current is None else current.version,
        "versions": [
            public_version(each)
            for each in sorted(versions, key=lambda each: each.version, reverse=True)
        ],
    }


def public_fee(fee: Fee) -> dict[str, Any]:
    """The API's object ``fee``: what was charged, or went back (below zero), and by which rule."""
    return {
        "id": fee.id,
        "object": "fee",
        "account": fee.account_id,
        "amount": fee.amount,
        "amount_decimal": money.format_decimal(fee.amount, fee.decimals),
        "basis": fee.basis,
        "created": int(fee.created.timestamp()),
        "currency": fee.currency,
        "fee_schedule": fee.schedule,
        "kind": fee.kind,
        "livemode": fee.livemode,
        "metadata": {},
        "parts": fee.parts,
        "reason": fee.reason,
        "rule": fee.rule,
        "source": fee.source,
        "version": fee.version,
    }


def public_simulation(
    movement: Movement,
    priced: Price | None,
    *,
    decimals: int,
    application: tuple[int, list[dict[str, Any]]] = (0, []),
) -> dict[str, Any]:
    """The API's object ``fee_simulation``: what a movement would cost, and by which rule.

    A pay-in's ``net`` is what is left of it; that of a payout or refund is what it takes in all.
    ``application``: what a platform takes, and its parts.
    """
    fee = 0 if priced is None else priced.fee
    taken, of_application = application
    costs = fee + taken
    net = movement.amount - costs if movement.kind is FeeKind.payin else movement.amount + costs
    return {
        "object": "fee_simulation",
        "amount": movement.amount,
        "application_fee": taken,
        "application_fee_parts": of_application,
        "currency": movement.currency,
        "fee": fee,
        "fee_decimal": money.format_decimal(fee, decimals),
        "kind": movement.kind.value,
        "net": net,
        "net_decimal": money.format_decimal(net, decimals),
        "network": movement.network,
        "on_refund": None if priced is None else priced.on_refund.value,
        "parts": []
        if priced is None
        else [{"label": each.label, "amount": each.units} for each in priced.parts],
        "rule": None if priced is None else priced.rule,
        "volume": movement.volume,
    }
