"""When channels are claimed, and what that moves."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.test_escrow_channel import ASSET, CHANNEL, NOW

from sakk.core.chart import TransferCode
from sakk.core.redemption import (
    ALARM_BEFORE,
    Due,
    Redemption,
    is_late,
    is_pressing,
    redeemed_postings,
    worth_redeeming,
)

REDEMPTION = Redemption(
    id="rdm_00000000000000000000000004",
    call_id="ecl_00000000000000000000000005",
    channel_id=CHANNEL.id,
    account_id=CHANNEL.account_id,
    claimed_from=10,
    claimed_to=35,
    ceiling=40,
    signature=b"s",
    created=NOW,
)


def due(charged: int, redeemed: int = 0) -> Due:
    return Due(replace(CHANNEL, redeemed=redeemed), charged, charged + 5, b"s")


@pytest.mark.parametrize(
    ("charged", "first", "each", "chosen"),
    [
        ([100, 100], 100, 50, 2),
        ([100, 100], 101, 50, 0),
        ([100, 49], 50, 50, 1),
        ([49, 49], 0, 50, 0),
        # Where a price is not known everything goes.
        ([1, 2], 0, 0, 2),
        ([0], 0, 0, 0),
        ([], 0, 0, 0),
    ],
)
def test_channels_go_together_when_they_are_worth_their_gas(
    charged: list[int], first: int, each: int, chosen: int
) -> None:
    rows = [due(units) for units in charged]
    assert len(worth_redeeming(rows, first_units=first, each_units=each)) == chosen


def test_what_counts_is_what_is_not_claimed_yet() -> None:
    one = due(100, redeemed=60)
    assert one.units == 40
    assert (one.claim.total_claimed, one.claim.max_claimable) == (100, 105)
    assert worth_redeeming([one], first_units=41, each_units=0) == []


def test_a_payer_on_its_way_out_presses() -> None:
    leaving = replace(CHANNEL, withdraw_ends_at=NOW + ALARM_BEFORE)
    assert not is_pressing(CHANNEL)
    assert is_pressing(leaving)
    assert not is_late(CHANNEL, now=NOW)
    assert is_late(leaving, now=NOW)
    assert not is_late(leaving, now=NOW - timedelta(seconds=1))


def test_claimed_coins_are_the_payees() -> None:
    moved = [
        (each.debit.path, each.credit.path, each.amount, each.code)
        for each in redeemed_postings([(REDEMPTION, CHANNEL)])
    ]
    merchant = f"merchant:{CHANNEL.account_id}"
    assert moved == [
        (f"custody:{ASSET}:deposit", f"escrow:{ASSET}", 25, TransferCode.escrow_redeemed),
        (f"{merchant}:incoming", f"{merchant}:available", 25, TransferCode.escrow_redeemed),
    ]
