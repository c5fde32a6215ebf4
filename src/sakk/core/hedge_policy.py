"""Hedge policies: when a currency's position is closed, against which other, and who says so.

What lets more go by itself takes two people: one proposes, another confirms. What lets less go, or
the same, is one person's to say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sakk.core import money
from sakk.core.errors import ParameterInvalid
from sakk.core.proposal import digest_words

NOTE_LENGTH_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class HedgePolicy:
    """When a currency's position is closed: from ``threshold_usd_cents`` on, against another; by
    itself up to ``auto_usd_cents``, above it when two people say so."""

    currency: str
    livemode: bool
    against: str
    threshold_usd_cents: int
    auto_usd_cents: int
    updated: datetime


@dataclass(frozen=True, slots=True)
class HedgeProposal:
    """What one person wants a currency's policy to be, until another confirms it."""

    currency: str
    livemode: bool
    against: str
    threshold_usd_cents: int
    auto_usd_cents: int
    note: str | None
    proposed_by: str
    created: datetime

    def policy(self, now: datetime) -> HedgePolicy:
        """The policy that it becomes."""
        return HedgePolicy(
            self.currency,
            self.livemode,
            self.against,
            self.threshold_usd_cents,
            self.auto_usd_cents,
            now,
        )


def check_policy(
    policy: HedgePolicy, currencies: Mapping[str, int], others: Iterable[HedgePolicy] = ()
) -> HedgePolicy:
    """The policy; ParameterInvalid by the field's name for one that could not be followed, or by
    which with those that there are a position would be sold in circles."""
    for param, name in (("currency", policy.currency), ("against", policy.against)):
        if name not in currencies:
            raise ParameterInvalid(
                "There is no currency {currency}. GET /v1/currencies lists them.",
                param=param,
                currency=repr(name),
            )
    if policy.currency == policy.against:
        raise ParameterInvalid("A position is closed against another currency.", param="against")
    if not 0 < policy.threshold_usd_cents <= money.UNITS_MAX:
        raise ParameterInvalid("threshold_usd_cents is above 0.", param="threshold_usd_cents")
    if not 0 <= policy.auto_usd_cents <= money.UNITS_MAX:
        raise ParameterInvalid("auto_usd_cents is 0 or more.", param="auto_usd_cents")
    if policy.currency in _closed_over(policy, [policy, *others]):
        raise ParameterInvalid(
            "What is closed against {against} would come back to {currency} by the policies that"
            " there are. Change those first.",
            param="against",
            against=policy.against,
            currency=policy.currency,
        )
    return policy


def _closed_over(policy: HedgePolicy, policies: Sequence[HedgePolicy]) -> list[str]:
    """The currencies that a position comes to, one after the other, by policies of its mode; of two
    of one currency the first counts."""
    steps: dict[str, str] = {}
    for each in policies:
        if each.livemode == policy.livemode:
            steps.setdefault(each.currency, each.against)
    found = [policy.against]
    while found[-1] in steps and len(found) <= len(steps):
        found.append(steps[found[-1]])
    return found


def in_turn(policies: Sequence[HedgePolicy]) -> list[HedgePolicy]:
    """The order in which positions are looked at: what is closed against a currency comes before
    that currency's own position, which it changes."""
    return sorted(policies, key=lambda each: -len(_closed_over(each, policies)))


def takes_two(before: HedgePolicy | None, after: HedgePolicy) -> bool:
    """Would more go by itself than goes now, above or below, or against another currency?"""
    if before is None or before.against != after.against:
        return after.auto_usd_cents > 0
    goes = after.threshold_usd_cents <= after.auto_usd_cents
    is_lower = goes and after.threshold_usd_cents < before.threshold_usd_cents
    return is_lower or after.auto_usd_cents > before.auto_usd_cents


def digest_of(proposal: HedgeProposal, before: HedgePolicy | None) -> str:
    """SHA-256 of what is confirmed: the proposal, and the policy that it takes the place of."""
    stands = None if before is None else _words(before)
    words = [
        "sakk hedge policy v1",
        proposal.currency,
        str(proposal.livemode),
        str(stands),
        str(_words(proposal)),
        proposal.proposed_by,
        proposal.created.isoformat(),
        str(proposal.note),
    ]
    return digest_words(words)


def _words(given: HedgePolicy | HedgeProposal) -> tuple[str, int, int]:
    return given.against, given.threshold_usd_cents, given.auto_usd_cents


def public(
    currency: str, livemode: bool, policy: HedgePolicy | None, proposal: HedgeProposal | None
) -> dict[str, Any]:
    """The API's object ``hedge_policy``; the operator's alone."""
    stands = policy or proposal
    assert stands is not None
    since = stands.updated if isinstance(stands, HedgePolicy) else stands.created
    return {
        "id": currency,
        "object": "hedge_policy",
        "against": None if policy is None else policy.against,
        "auto_usd_cents": None if policy is None else policy.auto_usd_cents,
        "created": int(since.timestamp()),
        "digest": None if proposal is None else digest_of(proposal, policy),
        "livemode": livemode,
        "metadata": {},
        "proposal": None
        if proposal is None
        else {
            "against": proposal.against,
            "at": int(proposal.created.timestamp()),
            "auto_usd_cents": proposal.auto_usd_cents,
            "by": proposal.proposed_by,
            "note": proposal.note,
            "threshold_usd_cents": proposal.threshold_usd_cents,
        },
        "threshold_usd_cents": None if policy is None else policy.threshold_usd_cents,
    }
