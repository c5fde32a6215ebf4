"""Recoveries, as rules: who may claim, what carries one out, and how its end is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core import ids
from sakk.core.network import Currency
from sakk.core.policy import Action, Decision
from sakk.core.recovery import (
    Recovery,
    approvable,
    carrier,
    decided,
    facts_of,
    is_awaiting_approvals,
    is_claimable,
    outcome,
    public,
    recovery_id,
)
from sakk.core.refund import FailureReason, RefundStatus
from sakk.core.sweep import SweepStatus

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NETWORK = "eip155:84532"
ADDRESS = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
PAYER = "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
RECOVERY = Recovery(
    id=ids.encode("rec", 7),
    livemode=False,
    network=NETWORK,
    asset=f"{NETWORK}/erc20:0x{'aa' * 20}",
    address=ADDRESS,
    key_index=3,
    token_amount=1_500_000,
    symbol="TKN",
    decimals=6,
    source="unbooked",
    account_id="acct_1",
    payment_intent="pi_1",
    payin="pin_1",
    status="requires_action",
    claim_expires_at=MOMENT + timedelta(days=1),
    created=MOMENT,
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"status": "pending"}, False),
        ({"claim_expires_at": None}, False),
        ({"claim_expires_at": MOMENT}, False),
    ],
)
def test_who_may_still_claim(changes: dict[str, Any], expected: bool) -> None:
    assert is_claimable(replace(RECOVERY, **changes), MOMENT) is expected


def test_the_sweep_that_carries_it_leaves_from_the_address_to_the_payer() -> None:
    sweep = carrier(replace(RECOVERY, destination=PAYER), now=MOMENT)
    assert sweep.id == ids.encode("sw", 7)
    assert (sweep.address, sweep.destination, sweep.token_amount) == (ADDRESS, PAYER, 1_500_000)
    assert (sweep.method, sweep.source, sweep.status) == ("recovery", "unbooked", "approved")


ENDS: dict[SweepStatus, tuple[RefundStatus, FailureReason | None]] = {
    SweepStatus.posted: (RefundStatus.succeeded, None),
    SweepStatus.failed: (RefundStatus.failed, FailureReason.transfer_failed),
    SweepStatus.rejected: (RefundStatus.failed, FailureReason.transfer_failed),
    SweepStatus.canceled: (RefundStatus.canceled, None),
}


@pytest.mark.parametrize("status", list(SweepStatus))
def test_a_recovery_follows_its_sweep(status: SweepStatus) -> None:
    sweep = carrier(replace(RECOVERY, destination=PAYER), now=MOMENT)
    expected = ENDS.get(status, (RefundStatus.pending, None))
    assert outcome(replace(sweep, status=status.value), moved=True) == expected


def test_a_token_that_said_yes_and_moved_nothing_did_not_go_back() -> None:
    sweep = carrier(replace(RECOVERY, destination=PAYER), now=MOMENT)
    found = outcome(replace(sweep, status="posted"), moved=False)
    assert found == (RefundStatus.failed, FailureReason.transfer_failed)


def test_what_is_shown() -> None:
    shown = public(RECOVERY)
    assert (shown["amount_decimal"], shown["token_amount"]) == ("1.500000", "1500000")
    assert (shown["destination"], shown["claim_url"]) == (None, None)
    row = replace(RECOVERY, destination=PAYER, claim_expires_at=None)
    shown = public(row, claim_url="https://x")
    assert shown["destination"] == "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
    assert (shown["claim_url"], shown["claim_expires_at"]) == ("https://x", None)


AIMED = replace(RECOVERY, status="pending", destination=PAYER, initiator="key_1")


def test_people_approve_the_transfer_that_the_sweep_makes() -> None:
    sweep = carrier(AIMED, now=MOMENT)
    assert recovery_id(sweep.id) == RECOVERY.id
    lines = approvable(AIMED).content.decode().splitlines()
    assert lines[1:] == [sweep.id, "recovery", NETWORK, AIMED.asset, PAYER, "1500000"]


@pytest.mark.parametrize(
    ("token_decimals", "currency_decimals", "units", "amount"),
    [
        (6, None, 1_500_000, 1_500_000),
        # What does not fit the currency's scale counts as one more.
        (18, 6, 10**12, 1),
        (18, 6, 10**12 + 1, 2),
        (6, 18, 1, 10**12),
    ],
)
def test_the_policy_judges_a_listed_token_in_its_currency(
    token_decimals: int, currency_decimals: int | None, units: int, amount: int
) -> None:
    row = replace(AIMED, decimals=token_decimals, token_amount=units)
    currency = (
        None
        if currency_decimals is None
        else Currency("usdx", "USDX", "coin", currency_decimals, 1, 1, MOMENT)
    )
    facts = facts_of(row, currency, ["admin"])
    assert facts.amount == amount
    assert facts.currency == (AIMED.asset if currency is None else "usdx")
    assert (facts.purpose, facts.account, facts.roles) == (
        "recovery",
        "acct_1",
        frozenset({"admin"}),
    )


def test_one_that_was_judged_waits_until_its_sweep_is_written() -> None:
    said = Decision(
        action=Action.approve, rule="back", index=0, approvals=2, role="approver", passed=()
    )
    judged = decided(AIMED, said, version=None, now=MOMENT)
    assert (judged.rule, judged.approvals_needed, judged.decided_at) == ("back", 2, MOMENT)
    assert is_awaiting_approvals(judged)
    assert public(judged)["awaiting_approvals"] is True
    for change in ({"sweep": "sw_1"}, {"decided_at": None}, {"status": "canceled"}):
        assert not is_awaiting_approvals(replace(judged, **change))
