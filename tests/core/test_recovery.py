"""Recoveries, as rules: who may claim, what carries one out, and how its end is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sakk.core import ids
from sakk.core.recovery import Recovery, carrier, is_claimable, outcome, public
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
