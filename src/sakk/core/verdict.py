"""Verdicts: what the rules of a version make of the facts about a transfer.

Pure: the same request, facts and rules give the same verdict and the same reasons in the same
order, in this process and in an auditor's ten years later.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sakk.core import behaviour, provenance
from sakk.core.behaviour import WindowKey
from sakk.core.exposure import category_of_labels
from sakk.core.label import CONFIDENCE_MAX, Category
from sakk.core.provenance import Found
from sakk.core.rule import (
    AmountRule,
    BridgeHop,
    CountryRule,
    Direct,
    Dust,
    Exposed,
    FirstPayout,
    Issuer,
    Mixer,
    Named,
    PassThrough,
    PeelChain,
    Poisoning,
    Rule,
    Structuring,
    Unknown,
    Velocity,
)
from sakk.core.screening import (
    GRAVITY,
    Direction,
    Facts,
    Hit,
    Reason,
    ScreeningRequest,
    Side,
    Verdict,
    counterparty,
    gravest,
    other_side,
    party,
    unreadable,
)

KNOWN_GOOD: Final = "known_good"
# What is about the transfer or the account, whoever is on the other side.
_NOT_OF_THE_PARTY: Final = (AmountRule, Velocity, Structuring, PassThrough, CountryRule, Issuer)


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be found out about a transfer before these rules can judge it."""

    windows: frozenset[WindowKey] = frozenset()
    exposure: bool = False
    peels: bool = False
    paid_before: bool = False
    imitates: bool = False
    countries: bool = False
    issuer: bool = False


def needs(request: ScreeningRequest, rules: Sequence[Rule]) -> Needs:
    """What the rules that may fit this transfer ask for; nothing else is looked up."""
    applying = [rule for rule in rules if _applies(rule, request)]
    windows = {key for rule in applying for key in _windows(rule, request)}
    kinds = {type(rule) for rule in applying}
    return Needs(
        windows=frozenset(windows),
        exposure=not kinds.isdisjoint({Exposed, Unknown, Mixer, BridgeHop}),
        peels=PeelChain in kinds,
        paid_before=FirstPayout in kinds,
        imitates=Poisoning in kinds,
        countries=CountryRule in kinds,
        issuer=Issuer in kinds,
    )


def decide(
    request: ScreeningRequest, facts: Facts, rules: Sequence[Rule], *, version: str
) -> tuple[Verdict, tuple[Reason, ...]]:
    """Judge: the gravest rule that fits wins, and each that fits is a reason.

    The operator's ``known_good`` entry for a party takes reviews on that party away, never a block:
    a list of a state is not the operator's to overrule.
    """
    reasons = [
        _labelled(hit, KNOWN_GOOD, Verdict.clear, version)
        for hit in facts.hits
        if hit.category == Category.known_good
    ]
    trusted = {reason.side for reason in reasons}
    for rule in rules:
        if not _applies(rule, request):
            continue
        stays = rule.verdict is Verdict.block or isinstance(rule, _NOT_OF_THE_PARTY)
        found = _met(rule, request, facts, version)
        reasons += [reason for reason in found if stays or reason.side not in trusted]
    reasons += [
        unreadable(side, party(request, side), rule_version=version) for side in facts.unreadable
    ]
    reasons.sort(key=_order)
    return gravest([reason.verdict for reason in reasons]), tuple(reasons)


def _applies(rule: Rule, request: ScreeningRequest) -> bool:
    """Is it for this direction, this network, and an amount like this?"""
    if rule.direction not in (None, request.direction):
        return False
    if rule.networks and request.network not in rule.networks:
        return False
    if rule.amount is None:
        return _is_for(rule, request)
    least = rule.amount.of(request.currency, request.decimals)
    is_enough = least is not None and request.amount is not None and request.amount >= least
    return is_enough and _is_for(rule, request)


def _is_for(rule: Rule, request: ScreeningRequest) -> bool:
    """What a kind itself is about: dust arrives, a payout leaves, a name is no transfer."""
    match rule:
        case Named():
            return False
        case Dust():
            return request.direction is Direction.incoming
        case FirstPayout() | PassThrough():
            return request.direction is Direction.outgoing and request.account_id is not None
        case Poisoning():
            return request.account_id is not None
        case Velocity() | Structuring():
            return rule.per == "counterparty" or request.account_id is not None
        case _:
            return True


def _windows(rule: Rule, request: ScreeningRequest) -> Iterator[WindowKey]:
    """What a rule about behaviour has counted."""
    match rule:
        case Velocity():
            yield WindowKey(request.direction, rule.per, rule.seconds)
        case Structuring():
            threshold = rule.below.of(request.currency, request.decimals)
            if threshold is not None:
                low, high = behaviour.band(threshold, width_ppm=rule.width_ppm)
                yield WindowKey(request.direction, rule.per, rule.seconds, low, high)
        case PassThrough():
            for direction in Direction:
                yield WindowKey(direction, "account", rule.seconds)
        case Dust():
            limit = rule.below.of(request.currency, request.decimals)
            if limit is not None and request.amount is not None and request.amount < limit:
                yield WindowKey(request.direction, "counterparty", rule.seconds, 0, limit)
        case _:
            return


def _met(rule: Rule, request: ScreeningRequest, facts: Facts, version: str) -> Iterable[Reason]:
    match rule:
        case Direct():
            return [
                _labelled(hit, rule.name, rule.verdict, version)
                for hit in facts.hits
                if hit.category in rule.categories
                and (not rule.sides or hit.side in rule.sides)
                and hit.confidence >= rule.confidence_min
            ]
        case Exposed() | Unknown() | Mixer() | BridgeHop() | PeelChain():
            found = _provenance(rule, facts, other_side(request))
        case CountryRule():
            return [
                _reason(
                    rule,
                    request,
                    Found(list=hit.list_name, version=hit.version, detail=hit.words),
                    version,
                )
                for hit in facts.countries
                if hit.listing in rule.lists and (not rule.parties or hit.party in rule.parties)
            ]
        case _:
            found = _behaviour(rule, request, facts)
    return [] if found is None else [_reason(rule, request, found, version)]


def _provenance(
    rule: Exposed | Unknown | Mixer | BridgeHop | PeelChain, facts: Facts, side: Side
) -> Found | None:
    """Where the money came from, or went; nothing is said where no graph is fed."""
    match rule:
        case PeelChain():
            length = behaviour.peel_length(facts.peels, peel_max_ppm=rule.peel_max_ppm)
            if length < rule.hops_min:
                return None
            chain = facts.peels[:length]
            return Found(
                units=chain[0].units_on,
                path=tuple(hop.address for hop in chain),
                detail=f"over {length} addresses in a row, each of which kept a little",
            )
        case _ if facts.exposure is None:
            return None
        case Exposed():
            return provenance.exposed(
                facts.exposure, rule.categories, share_min_ppm=rule.share_min_ppm, via=rule.via
            )
        case Unknown():
            # A labelled address is where the way ends: its money is known as its own.
            if category_of_labels(hit.category for hit in facts.hits if hit.side is side):
                return None
            return provenance.unresolved(facts.exposure, share_min_ppm=rule.share_min_ppm)
        case Mixer() | BridgeHop():
            category = Category.mixer if isinstance(rule, Mixer) else Category.bridge
            return provenance.near(
                facts.exposure,
                category,
                share_min_ppm=rule.share_min_ppm,
                hops_max=rule.hops_max,
            )


def _behaviour(rule: Rule, request: ScreeningRequest, facts: Facts) -> Found | None:
    """What the operator's own rows, and the token's contract, say."""
    match rule:
        case AmountRule():
            return Found(units=request.amount, detail="the amount alone")
        case FirstPayout():
            return None if facts.paid_before else Found(detail="was never paid before")
        case Poisoning():
            if facts.imitates is None:
                return None
            return Found(path=(facts.imitates,), detail=f"looks like {facts.imitates}")
        case Issuer():
            if facts.issuer is None or facts.issuer.denied is False:
                return None
            said = "is on" if facts.issuer.denied else "can not be looked up in"
            return Found(
                list=request.asset,
                version=facts.issuer.block,
                detail=f"{said} the issuer's deny-list, at block {facts.issuer.block}",
            )
        case PassThrough():
            came, went = (
                facts.counted[WindowKey(direction, "account", rule.seconds).name]
                for direction in (Direction.incoming, Direction.outgoing)
            )
            share = behaviour.passed_through_ppm(units_in=came.units, units_out=went.units)
            if share < rule.share_min_ppm:
                return None
            detail = f"{came.units} came in and {went.units} go out within {rule.seconds} s"
            return Found(share_ppm=share, units=went.units, detail=detail)
        case _:
            return _counted(rule, request, facts)


def _counted(rule: Rule, request: ScreeningRequest, facts: Facts) -> Found | None:
    """Of how many transfers in a window, and how much."""
    keys = list(_windows(rule, request))
    if not keys:
        return None
    counted = facts.counted[keys[0].name]
    words = f"{counted.count} transfers, {counted.units} units, {keys[0].name}"
    match rule:
        case Velocity():
            units_min = (
                None
                if rule.units_min is None
                else rule.units_min.of(request.currency, request.decimals)
            )
            is_met = behaviour.is_fast(counted, count_min=rule.count_min, units_min=units_min)
        case Structuring() | Dust():
            is_met = counted.count >= rule.count_min
        case _:
            raise AssertionError(f"nothing is counted for {type(rule).__name__}")
    return Found(units=counted.units, detail=words) if is_met else None


def _reason(rule: Rule, request: ScreeningRequest, found: Found, version: str) -> Reason:
    other = counterparty(request)
    return Reason(
        verdict=rule.verdict,
        rule=rule.name,
        side=other_side(request),
        address=other,
        category=found.category,
        list=found.list or "",
        version=found.version,
        confidence=CONFIDENCE_MAX,
        entity=found.entity,
        path=(other, *found.path),
        kind=_kind(rule),
        rule_version=version,
        share_ppm=found.share_ppm,
        units=found.units,
        detail=found.detail,
    )


def _kind(rule: Rule) -> str:
    return str(rule.__struct_config__.tag)


def _labelled(hit: Hit, rule: str, verdict: Verdict, version: str) -> Reason:
    return Reason(
        verdict=verdict,
        rule=rule,
        side=hit.side,
        address=hit.address,
        category=str(hit.category),
        list=hit.list_name,
        version=hit.list_version,
        confidence=hit.confidence,
        entity=hit.entity,
        path=hit.path,
        rule_version=version,
    )


def _order(reason: Reason) -> tuple[int, str, str, str, str, str, str]:
    """Gravest first, then by name: the order never depends on how facts were loaded."""
    return (
        -GRAVITY[reason.verdict],
        reason.side,
        reason.rule,
        reason.list,
        reason.category,
        reason.entity or "",
        reason.detail or "",
    )
