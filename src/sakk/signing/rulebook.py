"""The signer's own rules: the same code that judges at the server, over what the bytes say.

What the web process claims (a version, an approval, a role) is nothing here: the rules are those of
the policy file, the facts are read from the transaction, sums are of the signer's own log, and an
approval is an Ed25519 signature of an approver whom the file names. Amounts are atomic units of the
asset, and each asset is added up for itself.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sakk.core.policy import (
    PERIOD_SECONDS_MAX,
    Action,
    Facts,
    PeriodKey,
    Rule,
    counted_keys,
    evaluate,
    period_keys,
)
from sakk.signing.approval import approved_by
from sakk.signing.policy import Policy
from sakk.signing.protocol import Purpose, Reason, refusal
from sakk.signing.rules import Decoded

PERIOD_MS_MAX: Final = PERIOD_SECONDS_MAX * 1000


class Moved(NamedTuple):
    """One payment that was signed. ``at`` in milliseconds since 1970, ``units`` atomic."""

    at: int
    network: str
    asset: str
    destination: str
    purpose: str
    units: int


def facts_of(moved: Moved) -> Facts:
    """A payment as the rules see it: its asset stands for the currency, in whole units of it."""
    return Facts(
        account="",
        currency=moved.asset,
        decimals=0,
        network=moved.network,
        asset=moved.asset,
        destination=moved.destination,
        amount=moved.units,
        purpose=moved.purpose,
    )


class Window:
    """What one period of one asset added up; it forgets what is older than its span."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, at: int, units: int) -> None:
        self._entries.append((at, units))
        self._total += units

    def total(self, after: int) -> int:
        """What counts of what was signed later than ``after``."""
        while self._entries and self._entries[0][0] <= after:
            self._total -= self._entries.popleft()[1]
        return self._total


@dataclass(slots=True)
class Rulebook:
    """The rules in force and what they have to add up; the signer's lock is held around it."""

    _moved: deque[Moved] = field(default_factory=deque)
    _rules: tuple[Rule, ...] = ()
    _approvers: tuple[frozenset[str], ...] = ()
    _is_there: bool = False
    _windows: defaultdict[PeriodKey, Window] = field(default_factory=lambda: defaultdict(Window))

    def load(self, policy: Policy) -> None:
        """Take the rules of a policy file, and add up for them what the log knows."""
        self._is_there = policy.rules is not None
        found = policy.rules or ()
        self._rules = tuple(each.rule() for each in found)
        self._approvers = tuple(frozenset(each.approvers or policy.approvers) for each in found)
        self._windows.clear()
        for moved in self._moved:
            self._count(moved)

    def take(self, moved: Iterable[Moved]) -> None:
        """Remember what was signed: at its time, and again when the log is replayed."""
        for each in moved:
            self._moved.append(each)
            self._count(each)
        while self._moved and self._moved[0].at < self._moved[-1].at - PERIOD_MS_MAX:
            self._moved.popleft()

    def judging(self, policy: Policy, now: int) -> Callable[[Decoded], None]:
        """What judges the payments of one request, each beside those of it that passed before."""
        added: dict[PeriodKey, int] = defaultdict(int)

        def judge(payment: Decoded) -> None:
            if not self._is_there:
                return
            facts = facts_of(moved_of(payment, now))
            self._judge(policy, now, payment, facts, added)
            for key in counted_keys(self._rules, facts):
                added[key] += facts.amount

        return judge

    def _judge(
        self,
        policy: Policy,
        now: int,
        payment: Decoded,
        facts: Facts,
        added: Mapping[PeriodKey, int],
    ) -> None:
        sums = {
            key: self._windows[key].total(now - key.seconds * 1000) + added.get(key, 0)
            for key in period_keys(self._rules, facts)
        }
        decision = evaluate(self._rules, facts, sums, role_default="approver")
        if decision.index is None:
            full = any(each.by_period for each in decision.passed)
            raise refusal(
                Reason.over_velocity if full else Reason.rule_blocks,
                "no rule of the policy file fits this payment"
                + (": what went before in a period is too much" if full else ""),
            )
        if decision.action is Action.block:
            # What a period's sum stops now may pass when time has.
            full = self._rules[decision.index].period is not None
            raise refusal(
                Reason.over_velocity if full else Reason.rule_blocks,
                f"the rule {decision.rule!r} blocks this payment",
            )
        if decision.action is Action.approve:
            named = self._approvers[decision.index]
            given = len(approved_by(payment.request, policy) & named)
            if given < decision.approvals:
                raise refusal(
                    Reason.approvals_required,
                    f"the rule {decision.rule!r} asks for {decision.approvals} approvals,"
                    f" {given} given",
                )

    def _count(self, moved: Moved) -> None:
        for key in counted_keys(self._rules, facts_of(moved)):
            self._windows[key].add(moved.at, moved.units)


def moved_of(payment: Decoded, at: int) -> Moved:
    """A payment of a request, as it will be remembered."""
    return Moved(
        at=at,
        network=payment.request.network,
        asset=payment.request.asset,
        destination=payment.destination,
        purpose=Purpose(payment.request.purpose).value,
        units=payment.amount,
    )
