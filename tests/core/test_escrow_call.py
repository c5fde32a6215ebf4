"""What a call of the escrow moved, once it is final."""

from dataclasses import replace

import pytest
from tests.core.test_escrow_channel import ASSET, CHANNEL, NOW
from tests.core.test_redemption import REDEMPTION

from sakk.core.escrow_call import (
    SIGNED_MEANWHILE,
    CallKind,
    CallStatus,
    CarriedCall,
    EscrowCall,
    public_refund,
    settlement_postings,
)

CALL = EscrowCall(
    id=REDEMPTION.call_id,
    kind="redemption",
    livemode=False,
    network=CHANNEL.network,
    asset=ASSET,
    channel_id=None,
    account_id=CHANNEL.account_id,
    key="key",
    sender=None,
    destination=CHANNEL.receiver,
    token_amount=25,
    data=b"",
    status="sent",
    created=NOW,
)


@pytest.mark.parametrize(
    ("kind", "arrived", "accounts"),
    [
        ("deposit", 25, ["escrow", "conversion"]),
        ("refund", 25, ["conversion", "channel"]),
        ("redemption", 25, ["custody", "merchant"]),
        ("redemption", 20, ["custody", "merchant"]),
        # Somebody else claimed for the same receiver.
        ("redemption", 30, ["custody", "merchant", "custody"]),
        ("relay", 25, []),
    ],
)
def test_what_a_call_moved(kind: str, arrived: int, accounts: list[str]) -> None:
    call = replace(CALL, kind=kind)
    carried = CarriedCall(call, CHANNEL, [(REDEMPTION, CHANNEL)])
    legs = settlement_postings(carried, arrived_units=arrived)
    assert [each.debit.path.split(":")[0] for each in legs] == accounts
    if arrived == 30:
        assert (legs[-1].credit.path, legs[-1].amount) == (f"suspense:{ASSET}", 5)


def test_what_failed_of_a_refund_is_given_back_first() -> None:
    assert CALL.failed_status is CallStatus.failed
    assert replace(CALL, kind=CallKind.refund.value).failed_status is CallStatus.failing
    assert [each for each in CallStatus if each.is_over] == [CallStatus.posted, CallStatus.failed]


@pytest.mark.parametrize(
    ("status", "failure", "shown", "reason"),
    [
        ("asked", None, "pending", None),
        ("requested", None, "pending", None),
        ("sent", None, "pending", None),
        ("failing", "Blacklistable: account is blacklisted", "pending", None),
        ("posted", None, "succeeded", None),
        ("failed", "Blacklistable: account is blacklisted", "failed", "not_carried_out"),
        ("failed", SIGNED_MEANWHILE, "failed", "spent"),
    ],
)
def test_a_refund_as_its_payee_sees_it(
    status: str, failure: str | None, shown: str, reason: str | None
) -> None:
    call = replace(CALL, kind="refund", status=status, failure=failure, channel_id=CHANNEL.id)
    found = public_refund(call, currency="usdc", tx_hash="0x1")
    assert (found["status"], found["failure_reason"]) == (shown, reason)
    assert (found["escrow_channel"], found["amount"], found["tx_hash"]) == (CHANNEL.id, 25, "0x1")
