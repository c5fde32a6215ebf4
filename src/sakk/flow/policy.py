"""Policies: judging payouts by the version in force.

A period's sum is computed from the rows under a lock, and what is let through is added to it before
the next payout is judged, so payouts at the same moment can not pass a limit together.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import msgspec
from sqlalchemy import Connection

from sakk.core import policy as rules
from sakk.core.payout import Payout, facts_of
from sakk.core.policy import Action, Decision, PolicyVersion, Rule, load_rules
from sakk.store import person as persons
from sakk.store import policy as store

VERSIONS_REMEMBERED_MAX = 32


def judge(
    connection: Connection,
    version: PolicyVersion | None,
    payouts: Sequence[Payout],
    *,
    livemode: bool,
    now: datetime,
) -> list[Decision]:
    """What a version says of payouts of one mode, each with those before it in the sums.

    The caller holds `sakk.store.policy.lock_judging` when it acts on the decisions.
    """
    judged_by = rules_of(version)
    roles = _roles(connection, judged_by, payouts, livemode=livemode)
    facts = [facts_of(each, roles.get(each.initiator_person or "", ())) for each in payouts]
    sums = store.period_sums(
        connection,
        [key for each in facts for key in rules.period_keys(judged_by, each)],
        livemode=livemode,
        now=now,
        apart=[each.id for each in payouts],
    )
    decisions = []
    default = rules.role_default(livemode=livemode)
    for each in facts:
        decision = rules.evaluate(judged_by, each, sums, role_default=default)
        decisions.append(decision)
        if decision.action is not Action.block:
            for key in rules.counted_keys(judged_by, each):
                if key in sums:
                    sums[key] += each.amount
    return decisions


def rules_of(version: PolicyVersion | None) -> tuple[Rule, ...]:
    """A version's rules, read once a process; none without a version."""
    return () if version is None else _read(msgspec.json.encode(version.rules))


@lru_cache(maxsize=VERSIONS_REMEMBERED_MAX)
def _read(document: bytes) -> tuple[Rule, ...]:
    return load_rules(msgspec.json.decode(document))


def _roles(
    connection: Connection, judged_by: Sequence[Rule], payouts: Sequence[Payout], *, livemode: bool
) -> dict[str, list[str]]:
    """The roles of the persons who asked, where a rule asks for roles."""
    asked = {each.initiator_person for each in payouts if each.initiator_person is not None}
    if not asked or not any(
        entry.startswith(rules.ROLE_ENTRY) for rule in judged_by for entry in rule.initiators
    ):
        return {}
    found = persons.list_persons(connection, livemode=livemode, ids=sorted(asked))
    return {each.id: each.roles for each in found}
