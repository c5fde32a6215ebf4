"""Simulations: what a version would say of a payout, and of those that were decided already."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from sakk.core import policy as rules
from sakk.core.payout import Payout, PayoutRequest, draft, facts_of
from sakk.core.policy import Decision, PeriodKey, Rule, public_decision
from sakk.flow import beneficiary
from sakk.flow.payout import read_terms
from sakk.flow.policy import roles_of
from sakk.store import payout as payouts
from sakk.store import policy as store
from sakk.store.database import fetch_all

PAST_MAX: Final = 1_000
BLOCKED: Final = "policy_blocked"


@dataclass(frozen=True, slots=True)
class Difference:
    """A payout that a version would have decided otherwise."""

    payout: Payout
    decision: Decision


def what_if(
    connection: Connection,
    judged_by: Sequence[Rule],
    request: PayoutRequest,
    *,
    identifier: str,
    account_id: str,
    livemode: bool,
    now: datetime,
) -> dict[str, Any]:
    """What would happen to a payout that is asked for now; errors are those of asking for it."""
    [place] = beneficiary.resolve(
        connection, [request.destination], account_id=account_id, livemode=livemode, now=now
    )
    row = draft(
        request,
        place,
        read_terms(connection, account_id=account_id, livemode=livemode, now=now),
        identifier=identifier,
        account_id=account_id,
        livemode=livemode,
        now=now,
    )
    return simulate(connection, judged_by, row, now=now)


def simulate(
    connection: Connection, judged_by: Sequence[Rule], row: Payout, *, now: datetime
) -> dict[str, Any]:
    """The decision on one payout, why earlier rules do not fit, and the sums that were used."""
    roles = roles_of(connection, judged_by, [row], livemode=row.livemode)
    facts = facts_of(row, roles.get(row.initiator_person or "", ()))
    sums = store.period_sums(
        connection,
        rules.period_keys(judged_by, facts),
        livemode=row.livemode,
        now=now,
        apart=[row.id],
    )
    default = rules.role_default(livemode=row.livemode)
    decision = rules.evaluate(judged_by, facts, sums, role_default=default)
    return {
        **public_decision(decision),
        "sums": [_shown(key, total) for key, total in sums.items()],
    }


def differences(
    connection: Connection, judged_by: Sequence[Rule], *, livemode: bool, last: int
) -> tuple[int, list[Difference]]:
    """What rules would have said of the last payouts, where it is not what was said.

    Each is judged beside the sums of its own moment, of what was let through then.
    """
    table = payouts.payouts
    rows = fetch_all(
        connection,
        select(table)
        .where(table.c.livemode == livemode, table.c.decided_at.is_not(None))
        .order_by(table.c.id.desc())
        .limit(min(last, PAST_MAX)),
        Payout,
    )
    roles = roles_of(connection, judged_by, rows, livemode=livemode)
    facts = [facts_of(row, roles.get(row.initiator_person or "", ())) for row in rows]
    keys = [rules.period_keys(judged_by, each) for each in facts]
    asked = [
        (key, row.decided_at)
        for row, needed in zip(rows, keys, strict=True)
        for key in needed
        if row.decided_at is not None
    ]
    totals = iter(store.past_sums(connection, asked, livemode=livemode))
    default = rules.role_default(livemode=livemode)
    found = []
    for row, each, needed in zip(rows, facts, keys, strict=True):
        sums = {key: next(totals) for key in needed}
        decision = rules.evaluate(judged_by, each, sums, role_default=default)
        if _said(row) != (decision.action.value, decision.approvals, decision.role):
            found.append(Difference(row, decision))
    return len(rows), found


def public_difference(difference: Difference) -> dict[str, Any]:
    """One line of the comparison: what was said, and what would have been."""
    action, approvals, role = _said(difference.payout)
    return {
        "payout": difference.payout.id,
        "was": {
            "action": action,
            "rule": difference.payout.rule,
            "approvals": approvals,
            "role": role,
        },
        "would_be": public_decision(difference.decision),
    }


def _said(row: Payout) -> tuple[str, int, str | None]:
    """What the policy said of a payout, whatever people and the chain did afterwards."""
    if row.failure_code == BLOCKED:
        return "block", 0, None
    if row.approvals_needed:
        return "approve", row.approvals_needed, row.approver_role
    return "allow", 0, None


def _shown(key: PeriodKey, total: int) -> dict[str, Any]:
    return {
        "seconds": key.seconds,
        "per": key.per,
        "value": key.value or None,
        "currency": key.currency,
        "amount": total,
    }
