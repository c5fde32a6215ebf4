"""Exports: a version's rules as the signer's own file holds them.

The signer knows assets, networks, addresses, amounts and its own log. What a rule says beyond that
(initiators, the address book, sums per account) it can not judge. A rule that lets go is then left
out: nothing may be signed because of something that the signer can not see. One that asks for
approvals is written without the condition, which makes it stricter. One that blocks is left out
too: without its condition it would block everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from sakk.core.money import rescale
from sakk.core.network import Asset
from sakk.core.policy import Action, Amount, Period, Rule
from sakk.signing.policy import SignerRule


@dataclass(frozen=True, slots=True)
class Exported:
    """Rules for the signer's file, and in words what they could not say."""

    rules: tuple[SignerRule, ...]
    left_out: tuple[str, ...]


def signer_rules(
    rules: Sequence[Rule], assets: Sequence[Asset], decimals: Mapping[str, int]
) -> Exported:
    """The rules over ``assets`` that can be paid out; ``decimals`` are the currencies'.

    A rule with amounts is written once for every asset that it fits.
    """
    payable = [each for each in assets if each.payout_enabled]
    written: list[SignerRule] = []
    left_out: list[str] = []
    for rule in rules:
        unknown = _unknown(rule)
        if unknown and rule.action is not Action.approve:
            left_out.append(f"{rule.name!r} is left out: the signer does not know {unknown}")
            continue
        if unknown:
            left_out.append(f"{rule.name!r} is stricter here: the signer does not know {unknown}")
        fitting = [each for each in payable if _fits(rule, each)]
        if not fitting:
            left_out.append(f"{rule.name!r} is left out: it fits no asset that is paid out")
        elif _names_assets(rule):
            written += [_for_asset(rule, each, decimals, many=len(fitting) > 1) for each in fitting]
        else:
            written.append(_plain(rule, rule.name, rule.assets))
    return Exported(tuple(written), tuple(left_out))


def _unknown(rule: Rule) -> str | None:
    """What a rule asks that only the server knows."""
    words = []
    if rule.initiators:
        words.append("who asked")
    if any(not entry.startswith("0x") for entry in rule.destinations):
        words.append("the address book")
    if rule.period is not None and rule.period.per in ("account", "initiator"):
        words.append(f"sums per {rule.period.per}")
    return " and ".join(words) or None


def _fits(rule: Rule, asset: Asset) -> bool:
    return (
        (not rule.currencies or asset.currency in rule.currencies)
        and (not rule.assets or asset.asset in rule.assets)
        and (not rule.networks or asset.network in rule.networks)
    )


def _names_assets(rule: Rule) -> bool:
    return bool(rule.currencies) or rule.amount is not None or rule.period is not None


def _for_asset(rule: Rule, asset: Asset, decimals: Mapping[str, int], *, many: bool) -> SignerRule:
    """The rule for one asset, its amounts in the asset's atomic units."""
    name = f"{rule.name} {asset.symbol} {asset.network}" if many else rule.name
    plain = _plain(rule, name, (asset.asset,))
    of_currency = decimals[asset.currency]
    period = rule.period
    if period is not None and period.per in ("account", "initiator"):
        period = None
    return msgspec.structs.replace(
        plain,
        amount=None if rule.amount is None else _atomic(rule.amount, asset, of_currency),
        period=None if period is None else _atomic(period, asset, of_currency),
    )


def _plain(rule: Rule, name: str, assets: tuple[str, ...]) -> SignerRule:
    known = all(entry.startswith("0x") for entry in rule.destinations)
    return SignerRule(
        name=name,
        action=rule.action,
        approvals=rule.approvals,
        assets=assets,
        networks=() if assets else rule.networks,
        purposes=rule.purposes,
        destinations=rule.destinations if known else (),
    )


def _atomic(found: Amount | Period, asset: Asset, of_currency: int) -> Amount | Period:
    bounds = {}
    for name in ("above", "up_to"):
        text = getattr(found, name)
        if text is not None:
            units = int(text) * (10**of_currency if found.unit == "whole" else 1)
            # Rounded down: a limit is never more than it says.
            scaled, _ = rescale(units, from_decimals=of_currency, to_decimals=asset.decimals)
            bounds[name] = str(scaled)
    return msgspec.structs.replace(found, unit="smallest", **bounds)
