"""Spends: what a mandate says of one, which budgets it takes from, and what the ledger is told.

Limits that can be counted are ledger accounts of the mandate: each is credited with its limit once
and debited by every spend, in the linked set of the money itself, and none can be overdrawn. So
whoever spends, from whichever process, nothing passes a limit by one unit. What is no count (payee,
scheme, expiry …) is checked here, at the time that stands in the spend's row.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sakk.core import caip, chart, money
from sakk.core.chart import LedgerAccount, TransferCode
from sakk.core.errors import MandateExceeded, MandateRefused, ParameterInvalid
from sakk.core.evm import parse_address
from sakk.core.mandate import (
    HERE,
    PayeeRule,
    Terms,
    has_begun,
    is_over,
)
from sakk.core.posting import Posting

PAYEE_DIGITS: Final = 32


class Kind(StrEnum):
    """``call``: one payment. ``step``: a channel's ceiling is raised; its charges are the calls."""

    call = "call"
    step = "step"


class Limit(StrEnum):
    """What a mandate refuses by; on the wire, never renamed."""

    not_begun = "not_begun"
    expired = "expired"
    revoked = "revoked"
    currency = "currency"
    scheme = "scheme"
    network = "network"
    payee = "payee"
    call_min = "call_min"
    call_max = "call_max"
    total = "total"
    uses = "count"
    period = "period"
    period_count = "period_count"
    payee_limit = "payee_limit"
    category_limit = "category_limit"
    park = "park"
    invoice = "invoice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payee:
    """Who is paid: an account here, an address on a network, and the host that asks, as known."""

    account: str | None = None
    network: str | None = None
    address: str | None = None
    host: str | None = None

    @property
    def key(self) -> str:
        """What tells payees apart: the account, else the address, else the host."""
        if self.account is not None:
            return self.account
        return f"{self.network}:{self.address}" if self.address is not None else str(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What is asked of a mandate. ``network`` is ``sakk`` for money that moves in the ledger."""

    amount: int
    currency: str
    payee: Payee
    scheme: str
    network: str = HERE
    kind: Kind = Kind.call


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One account that a spend takes from. ``uses``: it counts payments, not money.

    ``seconds`` and ``index``: the window, of a period.
    """

    name: str
    limit: int
    of: Limit
    uses: bool = False
    seconds: int | None = None
    index: int | None = None


def read_payee(
    *, account: str | None, network: str | None, address: str | None, host: str | None
) -> Payee:
    """A payee as a caller writes it; ParameterInvalid."""
    if address is not None:
        try:
            address = parse_address(address)
        except ValueError as error:
            raise ParameterInvalid(f"{error}.", param="payee[address]") from None
    if network is not None:
        try:
            caip.parse_network(network)
        except ValueError as error:
            raise ParameterInvalid(f"{error}.", param="payee[network]") from None
    return Payee(
        account=account,
        network=network,
        address=address,
        host=None if host is None else host.lower(),
    )


def check(terms: Terms, spend: Spend, *, at: datetime) -> PayeeRule | None:
    """Everything that needs no counter; the rule by which the payee is allowed, if it is by one.

    Raises MandateRefused, the first of what speaks against it, in the order of ``Limit``.
    """
    if not has_begun(terms, at):
        raise refused(Limit.not_begun, f"The mandate begins at {terms.starts_at} (Unix time).")
    if is_over(terms, at):
        raise refused(Limit.expired, f"The mandate ended at {terms.expires_at} (Unix time).")
    if spend.currency != terms.currency:
        raise refused(Limit.currency, f"The mandate is in {terms.currency}, not {spend.currency}.")
    if terms.schemes and spend.scheme not in terms.schemes:
        allowed = ", ".join(terms.schemes)
        raise refused(Limit.scheme, f"The mandate allows {allowed}, not {spend.scheme}.")
    if terms.networks and spend.network not in terms.networks:
        allowed = ", ".join(terms.networks)
        raise refused(Limit.network, f"The mandate allows {allowed}, not {spend.network}.")
    rule = rule_of(terms, spend.payee)
    if terms.payees and rule is None:
        raise refused(Limit.payee, f"{spend.payee.key} is not among the mandate's payees.")
    if spend.kind is Kind.call:
        _check_call(terms, spend.amount)
    return rule


def rule_of(terms: Terms, payee: Payee) -> PayeeRule | None:
    """The first rule with all of which a payee agrees."""
    return next((rule for rule in terms.payees if _agrees(rule, payee)), None)


def charge_max(terms: Terms) -> int | None:
    """The most that one call may cost without a person, None for no such limit."""
    limits = [each for each in (terms.call_max, terms.approval_above) if each is not None]
    return min(limits, default=None)


def needs_person(terms: Terms, amount: int) -> bool:
    """Must a person say yes to a payment of so much?"""
    return terms.approval_above is not None and amount > terms.approval_above


def budgets(terms: Terms, spend: Spend, *, at: datetime) -> list[Budget]:
    """What a spend takes from, the total first, which every spend takes from."""
    rule = rule_of(terms, spend.payee)
    found = _of_everybody(terms, at)
    if rule is not None and rule.limit is not None:
        found.append(_of_rule(terms, rule, rule.limit))
    elif terms.payee_max is not None:
        name = f"payee:{_digest(spend.payee.key)}"
        found.append(Budget(name=name, limit=terms.payee_max, of=Limit.payee_limit))
    return found + [
        each
        for each in _of_categories(terms)
        if rule is not None and each.name == f"category:{rule.category}"
    ]


def standing(terms: Terms, *, at: datetime) -> list[Budget]:
    """Every budget that can be named without a payee, of periods the window in which ``at`` is."""
    named = [_of_rule(terms, rule, rule.limit) for rule in terms.payees if rule.limit is not None]
    return _of_everybody(terms, at) + named + _of_categories(terms)


def left_of(budget: Budget, credited: int, debited: int) -> int:
    """What may still be taken: all of it before the first spend gave the budget its limit."""
    return credited - debited if credited else budget.limit


def account(mandate_id: str, terms: Terms, budget: Budget) -> LedgerAccount:
    """The ledger account of a budget: it owns what may still be spent."""
    return chart.mandate_budget(mandate_id, budget.name, _unit(terms, budget))


def opening(mandate_id: str, terms: Terms, budget: Budget) -> Posting:
    """The one movement that gives a budget its limit."""
    unit = _unit(terms, budget)
    return Posting(
        debit=chart.mandate_spent(mandate_id, unit),
        credit=account(mandate_id, terms, budget),
        amount=budget.limit,
        code=TransferCode.mandate_budgeted,
    )


def reservations(mandate_id: str, terms: Terms, spend: Spend, *, at: datetime) -> list[Posting]:
    """The legs that bind a spend: in front of its money, in one linked set."""
    return [
        Posting(
            debit=account(mandate_id, terms, budget),
            credit=chart.mandate_spent(mandate_id, _unit(terms, budget)),
            amount=1 if budget.uses else spend.amount,
            code=TransferCode.mandate_reserved,
        )
        for budget in budgets(terms, spend, at=at)
    ]


def restorations(
    mandate_id: str, terms: Terms, spend: Spend, *, at: datetime, units: int
) -> list[Posting]:
    """The legs that give ``units`` of a spend back to the budgets from which it was taken.

    A payment that was made counts as made, whatever came back of it.
    """
    return [
        Posting(
            debit=chart.mandate_spent(mandate_id, _unit(terms, budget)),
            credit=account(mandate_id, terms, budget),
            amount=units,
            code=TransferCode.mandate_restored,
        )
        for budget in budgets(terms, spend, at=at)
        if not budget.uses
    ]


def newest_first(taken: Sequence[tuple[datetime, int]], units: int) -> list[tuple[datetime, int]]:
    """How much of ``units`` that come back belongs to which of several spends, by their times.

    What was spent first was used first: what is left over is of the last.
    """
    found = []
    for at, amount in sorted(taken, reverse=True):
        part = min(amount, units)
        if part:
            found.append((at, part))
        units -= part
    if units:
        raise ValueError(f"{units} units more come back than were taken")
    return found


def refused(limit: Limit, message: str, **more: Any) -> MandateRefused:
    """Why a mandate does not allow a spend: by which limit, for a machine and in words."""
    return MandateRefused(message, param=None, details={"limit": limit.value, **more})


def exceeded(terms: Terms, spend: Spend, budget: Budget, left: int) -> MandateExceeded:
    """That a budget does not cover a spend, and what is left of it."""
    asked = 1 if budget.uses else spend.amount

    def shown(units: int) -> str:
        if budget.uses:
            return f"{units} payments"
        return f"{money.format_decimal(units, terms.decimals)} {terms.currency}"

    details: dict[str, Any] = {
        "limit": budget.of.value,
        "amount": budget.limit,
        "left": left,
        "asked": asked,
    }
    until = ""
    if budget.seconds is not None and budget.index is not None:
        ends = terms.starts_at + (budget.index + 1) * budget.seconds
        details |= {"seconds": budget.seconds, "resets_at": ends}
        until = f" of {budget.seconds} seconds, which ends at {ends} (Unix time),"
    return MandateExceeded(
        "The mandate's limit '{limit}' is {amount};{until} {left} of it are left, and {asked} are"
        " asked for.",
        param=None if budget.uses else "amount",
        details=details,
        limit=budget.of.value,
        amount=shown(budget.limit),
        until=until,
        left=shown(left),
        asked=shown(asked),
    )


def public_budget(terms: Terms, budget: Budget, left: int) -> dict[str, Any]:
    """One of the budgets of the API's object ``mandate``."""
    shown: dict[str, Any] = {
        "name": budget.name,
        "limit": budget.of.value,
        "amount": budget.limit,
        "left": left,
        "resets_at": None,
    }
    if budget.seconds is not None and budget.index is not None:
        shown["resets_at"] = terms.starts_at + (budget.index + 1) * budget.seconds
    return shown


def _of_everybody(terms: Terms, at: datetime) -> list[Budget]:
    found = [Budget(name="total", limit=terms.total, of=Limit.total)]
    if terms.count is not None:
        found.append(Budget(name="count", limit=terms.count, of=Limit.uses, uses=True))
    for period in terms.periods:
        index = (int(at.timestamp()) - terms.starts_at) // period.seconds
        window = Budget(
            name=f"period:{period.seconds}:{index}",
            limit=0,
            of=Limit.period,
            seconds=period.seconds,
            index=index,
        )
        if period.amount is not None:
            found.append(replace(window, limit=period.amount))
        if period.count is not None:
            name = f"{window.name}:count"
            found.append(
                replace(window, name=name, limit=period.count, of=Limit.period_count, uses=True)
            )
    return found


def _of_rule(terms: Terms, rule: PayeeRule, limit: int) -> Budget:
    return Budget(name=f"payee:{terms.payees.index(rule)}", limit=limit, of=Limit.payee_limit)


def _of_categories(terms: Terms) -> list[Budget]:
    return [
        Budget(name=f"category:{each.name}", limit=each.limit, of=Limit.category_limit)
        for each in terms.categories
        if each.limit is not None
    ]


def _check_call(terms: Terms, amount: int) -> None:
    if terms.call_min is not None and amount < terms.call_min:
        least = money.format_decimal(terms.call_min, terms.decimals)
        raise refused(
            Limit.call_min,
            f"One payment is at least {least} {terms.currency}.",
            amount=terms.call_min,
        )
    if terms.call_max is not None and amount > terms.call_max:
        most = money.format_decimal(terms.call_max, terms.decimals)
        raise refused(
            Limit.call_max,
            f"One payment is at most {most} {terms.currency}.",
            amount=terms.call_max,
        )


def _agrees(rule: PayeeRule, payee: Payee) -> bool:
    return (
        rule.account in (None, payee.account)
        and rule.network in (None, payee.network)
        and rule.address in (None, payee.address)
        and (rule.host is None or _is_host(rule.host, payee.host))
    )


def _is_host(rule: str, host: str | None) -> bool:
    if host is None:
        return False
    return host.endswith(rule[1:]) if rule.startswith("*.") else host == rule


def _unit(terms: Terms, budget: Budget) -> str:
    if budget.uses:
        return chart.uses_unit(livemode=terms.livemode)
    return chart.currency_unit(terms.currency, livemode=terms.livemode)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:PAYEE_DIGITS]
