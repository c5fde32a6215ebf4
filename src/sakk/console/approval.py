"""Approvals in words: which rule asks whom for what, and what was said so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from sakk.console.team import ROLES
from sakk.console.visit import Visit
from sakk.core import money
from sakk.core.payout import Payout
from sakk.core.policy import Amount, Period, Rule
from sakk.flow.policy import rules_of
from sakk.store import policy as policies


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rule of a version asks for ``count`` payouts. ``limits``: why it fits, in words."""

    rule: str | None
    version: int | None
    approvals: int
    role: str
    limits: Sequence[str]
    count: int


def asked_for(connection: Connection, visit: Visit, rows: Sequence[Payout]) -> list[Asked]:
    """What the policy asks for payouts, each rule once."""
    counts: dict[tuple[str | None, str | None, int, str | None, str, int], int] = {}
    for row in rows:
        key = (
            row.policy_version,
            row.rule,
            row.approvals_needed,
            row.approver_role,
            row.currency,
            row.decimals,
        )
        counts[key] = counts.get(key, 0) + 1
    versions = {
        each: policies.find(connection, each, livemode=visit.livemode)
        for each in {key[0] for key in counts if key[0] is not None}
    }
    told = []
    for (version, name, approvals, role, currency, decimals), count in counts.items():
        found = None if version is None else versions[version]
        rule = next((each for each in rules_of(found) if each.name == name), None)
        told.append(
            Asked(
                rule=name,
                version=None if found is None else found.number,
                approvals=approvals,
                role=visit.words.gettext(ROLES.get(role or "", role or "–")),
                limits=[] if rule is None else _limits(visit, rule, currency, decimals),
                count=count,
            )
        )
    return told


def _limits(visit: Visit, rule: Rule, currency: str, decimals: int) -> list[str]:
    """The bounds of a rule, in words."""
    say = visit.words.gettext
    found = []
    if rule.amount is not None:
        above, most = _bounds(rule.amount, currency, decimals)
        if above is not None:
            found.append(say("One payment above {amount}", amount=above))
        if most is not None:
            found.append(say("One payment of at most {amount}", amount=most))
    if rule.period is not None:
        above, most = _bounds(rule.period, currency, decimals)
        hours = f"{rule.period.seconds / 3600:g}"
        if above is not None:
            found.append(say("Above {amount} in {hours} hours together", amount=above, hours=hours))
        if most is not None:
            found.append(
                say("At most {amount} in {hours} hours together", amount=most, hours=hours)
            )
    if rule.networks:
        found.append(say("On {names}", names=", ".join(rule.networks)))
    if rule.destinations:
        found.append(say("To {names}", names=", ".join(rule.destinations)))
    if rule.initiators:
        found.append(say("Asked for by {names}", names=", ".join(rule.initiators)))
    return found


def _bounds(range_: Amount | Period, currency: str, decimals: int) -> tuple[str | None, str | None]:
    def shown(text: str | None) -> str | None:
        if text is None:
            return None
        whole = money.format_decimal(int(text), decimals if range_.unit == "smallest" else 0)
        return f"{whole} {currency.upper()}"

    return shown(range_.above), shown(range_.up_to)
